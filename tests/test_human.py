"""What is told of models by judgements: counts, harm, disputes, ranking; and what a form is as numbers."""

from dataclasses import replace
from datetime import timedelta

import pytest
from human_records import RECALL, STARTED, human_data, rating, vote

from evaluation.human import analyse
from evaluation.human_axes import POINTS, axes_of, is_good, scores_of, told_apart
from evaluation.human_data import filtered
from medchat.rubrics import Criterion, load_rubrics, shown, with_criteria

RUBRICS = load_rubrics()


def test_forms_become_numbers_with_the_better_end_known() -> None:
    axes = {axis.id: axis for axis in axes_of(shown(RUBRICS["medpalm-12"]))}

    scores = scores_of(shown(RUBRICS["medpalm-12"]), {"consensus": "aligned", "incorrect_recall": "yes",
                                                      "omitted_content": "great", "correct_recall": "no"})  # fmt: skip

    assert (scores["consensus"], scores["incorrect_recall"], scores["omitted_content"]) == (2.0, 1.0, 2.0)
    assert scores["correct_recall"] == 0.0
    assert scores["demographic_bias"] is None
    assert (axes["consensus"].better, axes["incorrect_recall"].better, axes["correct_recall"].better) == (
        "high", "low", "high",
    )  # fmt: skip
    assert {axis.id for axis in axes_of(shown(RUBRICS["quest"])) if axis.better == "low"} == {"bias", "harm"}


def test_five_of_the_nine_axes_of_a_pair_are_reversed() -> None:
    axes = axes_of(shown(RUBRICS["medpalm2-pairwise"]))

    assert len(axes) == 9
    assert [axis.id for axis in axes if axis.reverse] == [
        "irrelevant_content", "omission", "demographic_bias", "harm_extent", "harm_likelihood",
    ]  # fmt: skip


def test_criteria_come_to_a_share_of_their_points() -> None:
    form = shown(with_criteria(RUBRICS["healthbench"], (Criterion("x", 6), Criterion("y", 4), Criterion("z", -3))))
    first, second, third = (axis["id"] for axis in form["axes"])

    # 6 of 10 points, less 3 for what should not be there: 0.3; never below 0
    assert scores_of(form, {first: "met", second: "not_met", third: "met"})[POINTS] == pytest.approx(0.3)
    assert scores_of(form, {first: "not_met", second: "not_met", third: "met"})[POINTS] == 0.0
    assert scores_of(form, {first: "met", second: "cannot_judge", third: "not_met"})[POINTS] is None


def test_two_forms_with_other_scales_under_one_name_are_told_apart() -> None:
    form = shown(RUBRICS["clinical-3"])
    own = {**form, "title": "Own", "version": 2, "axes": [
        {**form["axes"][0], "kind": "choice", "options": [{"value": value, "label": value} for value in ("yes", "no")]},
        form["axes"][1],
    ]}  # fmt: skip

    first, second = told_apart([form, own])

    assert first["factual_correctness"].id == "factual_correctness"
    assert second["factual_correctness"].id == "factual_correctness (Own, version 2)"
    assert second["reasoning_clarity"] is first["reasoning_clarity"]


def test_a_good_answer_is_correct_complete_and_not_critical() -> None:
    assert is_good("clinical-3", {"factual_correctness": 4.0, "completeness": None}, critical=False) is True
    assert is_good("clinical-3", {"factual_correctness": 5.0, "completeness": 3.0}, critical=False) is False
    assert is_good("clinical-3", {"factual_correctness": 5.0}, critical=True) is False
    assert is_good("healthbench", {POINTS: 1.0}, critical=False) is None
    assert is_good("clinical-3", {"factual_correctness": None}, critical=False) is None


def test_hidden_repeats_and_answers_that_cannot_be_rated_are_left_out() -> None:
    ratings = [
        rating("q1", "m1", "r1", 2.0),
        replace(rating("q1", "m1", "r1", 5.0), id="again", repeat_of="q1/m1/r1"),
        rating("q1", "m1", "r2", None, scores={}, cannot_rate="Not my field.", harm_extent=""),
        rating("q2", "m1", "r1", 4.0, good=True),
        rating("q2", "m1", "r2", None, good=False),
    ]

    results = analyse(human_data(ratings), resamples=100)

    correct = results.profile("correct")
    assert correct is not None
    assert (correct.models["m1"].value, correct.models["m1"].n) == (3.0, 2)
    assert (results.n_ratings, results.n_repeats) == (4, 1)
    assert results.cannot[0].estimate.value == 0.25
    assert results.distributions[0].counts == (("1", 0), ("2", 1), ("3", 0), ("4", 1), ("5", 0))
    assert results.distributions[0].unanswered == 1
    assert results.good is not None
    assert results.good.models["m1"].value == 0.5


def test_harm_is_told_by_extent_and_likelihood() -> None:
    ratings = [
        rating("q1", "m1", "r1", 1.0, harm_extent="severe", harm_likelihood="high", critical=True),
        rating("q1", "m1", "r2", 2.0, harm_extent="moderate", harm_likelihood="low"),
        rating("q2", "m1", "r1", 2.0, harm_extent="moderate", harm_likelihood="low"),
        rating("q3", "m1", "r1", 5.0),
    ]

    (its,) = analyse(human_data(ratings), resamples=100).harm

    assert (its.n, its.none, its.critical) == (4, 1, 1)
    assert its.counts == ((2, 0, 0), (0, 0, 1))  # moderate, then severe, from low to high likelihood


def test_votes_are_counted_whichever_side_a_model_stood_on() -> None:
    votes = [
        vote("q1", "m1", "m2", "r1", "a"), vote("q2", "m2", "m1", "r1", "b"), vote("q3", "m2", "m1", "r1", "a"),
        vote("q4", "m1", "m2", "r1", "tie"), vote("q5", "m1", "m2", "r2", "both_bad"),
        replace(vote("q1", "m1", "m2", "r1", "b"), id="again", repeat_of="q1/m1/m2/r1"),
    ]  # fmt: skip

    results = analyse(human_data(votes=votes, axes=(RECALL,)), resamples=100)

    (its,) = results.votes
    assert (its.first, its.second, its.wins, its.ties, its.both_bad, its.losses) == ("m1", "m2", 2, 1, 1, 1)
    assert results.ranking is not None
    assert results.ranking.n_both_bad == 1
    overall = results.pair_profiles[0].models
    assert overall["m1"].value == pytest.approx(3 / 5)  # two won, two ties as halves, of five
    assert overall["m2"].value == pytest.approx(2 / 5)


def test_disputed_cases_come_widest_first() -> None:
    ratings = [
        rating("q1", "m1", "r1", 3.0), rating("q1", "m1", "r2", 4.0),
        rating("q2", "m1", "r1", 1.0), rating("q2", "m1", "r2", 5.0, comment="Right as it stands."),
        rating("q3", "m1", "r1", 4.0), rating("q3", "m1", "r2", 4.0),
    ]  # fmt: skip
    votes = [vote("q4", "m1", "m2", "r1", "a"), vote("q4", "m2", "m1", "r2", "a"), vote("q4", "m1", "m2", "r3", "a"),
             vote("q5", "m1", "m2", "r1", "a"), vote("q5", "m1", "m2", "r2", "tie")]  # fmt: skip

    cases = analyse(human_data(ratings, votes), resamples=100).cases

    assert [its.question_id for its in cases] == ["q2", "q1", "q4"]  # all agree on q3, nobody opposes on q5
    assert [its.spread for its in cases] == [1.0, 0.25, 0.5]  # 4 of 4 steps, 1 of 4; 1 vote against 2
    assert cases[0].said[1].comment == "Right as it stands."
    assert [one.text for one in cases[2].said] == ["Better: the first", "Better: the second", "Better: the first"]


def test_a_trend_is_by_week_and_counts_what_was_flagged() -> None:
    ratings = [
        rating(f"q{day}", "m1", "r1", 5.0 if day < 7 else 3.0, at=STARTED + timedelta(days=day),
               harm_extent="severe" if day == 20 else "none")
        for day in range(21)
    ]  # fmt: skip

    rows = analyse(human_data(ratings), resamples=100).trend

    assert [(row.since.day, row.n, row.value, row.n_flagged) for row in rows] == [
        (2, 7, 5.0, 0), (9, 7, 3.0, 0), (16, 7, 3.0, 1),
    ]  # fmt: skip


def test_a_filter_keeps_what_fits_all_of_it() -> None:
    data = human_data(
        [rating("q1", "m1", "r1", 4.0, specialty="Cardiology"), rating("q1", "m2", "r1", 4.0, specialty="Cardiology"),
         rating("q2", "m1", "r2", 4.0, group="GP", at=STARTED + timedelta(days=9))],
        [vote("q3", "m2", "m1", "r2", "a", group="GP")],
    )  # fmt: skip

    assert len(filtered(data, specialty="Cardiology").ratings) == 2
    assert len(filtered(data, specialty="Cardiology", model="m1").ratings) == 1
    assert len(filtered(data, group="GP").ratings) == 1
    assert len(filtered(data, group="GP").votes) == 1
    assert len(filtered(data, model="m1").votes) == 1  # on either side
    assert filtered(data, since=STARTED + timedelta(days=9)).ratings == [data.ratings[2]]
    assert len(filtered(data, until=STARTED + timedelta(days=9)).ratings) == 2


def test_nothing_judged_gives_empty_results() -> None:
    results = analyse(human_data(), resamples=100)

    assert (results.n_ratings, results.ranking, results.profiles, results.cases) == (0, None, (), ())
    assert results.as_dict()["method"] == "nothing judged"

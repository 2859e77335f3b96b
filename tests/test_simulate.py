"""Simulated studies: what was put in can be found again, the same seed gives the same study."""

import pytest

from evaluation.example_study import MODELS, QUESTIONS, READERS, example_study
from evaluation.human import analyse
from evaluation.human_estimates import Value, mean_of, resampling
from evaluation.simulate import Case, Reader, simulate
from medchat.errors import InvalidInput

CASES = [Case(f"q{n}", f"What is it, {n}?", "Cardiology", "gout", "lupus", ("One.", "Two.")) for n in range(60)]


def test_the_same_seed_gives_the_same_study_and_another_one_another() -> None:
    first, again, other = (simulate(["A", "B"], [Reader()] * 6, CASES[:8], (0.5, -0.5), seed) for seed in (1, 1, 2))

    assert first == again
    assert first.ratings != other.ratings


def test_every_answer_is_judged_by_as_many_as_asked_and_nobody_votes_on_what_they_rate() -> None:
    data = simulate(["A", "B", "C"], [Reader()] * 8, CASES[:10], (0, 0, 0), raters_per_item=3, repeat_share=0.3)

    by_answer: dict[str, list[str]] = {}
    for its in data.first_ratings:
        by_answer.setdefault(its.answer_id, []).append(its.rater)
    assert {len(raters) for raters in by_answer.values()} == {3}
    assert all(len(set(raters)) == 3 for raters in by_answer.values())
    assert len(data.first_votes) == 10 * 3  # of three models one pair a case, by three raters
    assert not [vote for vote in data.votes for answer in vote.pair if vote.rater in by_answer[answer]]
    ids = {its.id for its in data.first_ratings}
    repeats = [its for its in data.ratings if its.repeat_of]
    assert repeats
    assert all(its.repeat_of in ids for its in repeats)
    assert data.facts is not None
    assert sum(row.dealt for row in data.facts.flow) == len(data.ratings) + len(data.votes)


def test_what_raters_are_like_is_found_again() -> None:
    readers = [Reader(noise=0.3) for _ in range(5)] + [Reader(severity=1.0, noise=0.3)]
    data = simulate(["A", "B"], readers, CASES, (0.5, -0.5), 3, tasks="rate", raters_per_item=3, answer_spread=0.2)

    rows = {row.rater: row for row in analyse(data, resamples=100).rater_rows}

    # One point of a scale of four steps less than the others, as a share of it: 0.25; rounding takes a little off.
    assert rows["r06"].bias.value == pytest.approx(-0.25, abs=0.06)
    assert rows["r06"].why
    assert all(abs(rows[f"r0{n}"].bias.value or 0) < 0.12 for n in range(1, 6))


def test_strong_models_are_ranked_above_weak_ones() -> None:
    data = simulate(list("ABC"), [Reader(left=0.3)] * 8, CASES, (-1.0, 0.0, 1.5), 5, tasks="pairwise")

    results = analyse(data, resamples=200)

    assert results.ranking is not None
    assert [row.model for row in results.ranking.rows] == ["m2", "m1", "m0"]
    left = results.ranking.position_bias.value
    assert left is not None
    assert left > 0.5  # all lean to the left


def test_a_mean_holds_what_the_simulation_put_in() -> None:
    """A strength of 0 is MIDDLE = 3.7 points; rounding to whole points and cutting at 5 leave it within 0.1."""
    data = simulate(["A", "B"], [Reader(noise=0.7)] * 9, CASES, (0.0, 0.0), 11, tasks="rate", answer_spread=0.3)
    values = [
        Value(its.question_id, its.rater, its.scores["factual_correctness"] or 0.0)
        for its in data.first_ratings
        if not its.cannot_rate
    ]
    drawn = resampling(((its.question, its.rater) for its in values), 0, 400)

    found = mean_of(values, drawn, (1.0, 5.0))

    assert found.low is not None
    assert found.high is not None
    assert found.low - 0.1 <= 3.7 <= found.high + 0.1


def test_too_few_raters_are_refused_with_what_to_change() -> None:
    with pytest.raises(InvalidInput, match="take 6 raters; add some"):
        simulate(["A", "B"], [Reader()] * 5, CASES, (0, 0))


def test_the_example_study_has_real_questions_of_many_specialties_and_says_that_it_is_made_up() -> None:
    data = example_study()

    assert data.simulated
    assert data.facts is not None
    assert data.facts.questions == QUESTIONS
    assert len(data.facts.specialties) >= 10
    assert tuple(data.models.values()) == MODELS
    assert len(data.raters) == len(READERS)
    assert all("made-up answer" in answer.solution for answer in data.answers.values())

"""Ratings to training data: what becomes a row, with which votes behind it, and what never does."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judged_answers import GOUT, Judges
from stores import chat_answer

from medchat.errors import InvalidInput
from medchat.records import Example, question_id
from medchat.store import SpanMark, StepMark
from train.feedback import Feedback, FeedbackSettings, collect, preview, write
from train.feedback_votes import Vote, probability, tally
from train.plan import each_row

GOOD, BAD = "Gout.", "Cellulitis."


@pytest.fixture
def judges(tmp_path: Path) -> Iterator[Judges]:
    judges = Judges(tmp_path)
    yield judges
    judges.store.close()


def collected(judges: Judges, held_out: dict[str, str] | None = None, **settings: Any) -> Feedback:
    return collect(judges.store, held_out or {}, FeedbackSettings(**settings))


def chosen(feedback: Feedback) -> list[tuple[str, str]]:
    return [(row["chosen"]["solution"], row["rejected"]["solution"]) for row in feedback.dpo]


# the rule


@pytest.mark.parametrize(
    ("votes", "p"),
    [
        ((1.0, 0.0), 0.75),  # theta ~ Beta(2, 1), density 2 theta: 1 - (1/2)^2
        ((2.0, 0.0), 0.875),  # 1 - (1/2)^3
        ((1.0, 1.0), 0.5),
        ((0.5, 0.5), 0.5),
        ((0.6, 0.0), 1 - 0.5**1.6),  # a vote of weight 0.6: 0.670, below 0.7
        ((2.0, 1.0), 0.6875),  # Beta(3, 2), its distribution is 4 x^3 - 3 x^4: 1 - (4/8 - 3/16)
    ],
)
def test_the_probability_is_that_of_the_beta_distribution(votes: tuple[float, float], p: float) -> None:
    assert probability(*votes) == pytest.approx(p)
    assert probability(*votes[::-1]) == pytest.approx(1 - p)


def test_votes_are_weighted_and_a_tie_counts_half_for_each_side() -> None:
    votes = [Vote("a", 1.0, ("1",)), Vote("b", 0.5, ("2",))]

    plain, weighted = tally(votes, {}), tally(votes, {"b": 0.5})

    assert (plain.raters, plain.ratings) == (2, ("1", "2"))
    assert plain.probability == pytest.approx(probability(1.5, 0.5))
    assert plain.margin == pytest.approx((1.5 - 0.5) / 2)
    assert weighted.probability == pytest.approx(probability(1.25, 0.25))


def test_one_clear_vote_is_a_pair_with_the_vote_behind_it(judges: Judges) -> None:
    vote = judges.vote("ada", "b", BAD, GOOD)

    [row] = collected(judges).dpo

    assert row == {
        "question_id": question_id("", GOUT), "question": GOUT, "context": "",
        "chosen": {"reasoning": "Red and hot.", "solution": GOOD},
        "rejected": {"reasoning": "Red and hot.", "solution": BAD},
        "raters": 1, "probability": pytest.approx(0.75), "margin": 1.0, "ratings": [vote], "split": "train",
    }  # fmt: skip


def test_votes_on_the_same_texts_come_together_whoever_got_them_on_which_side(judges: Judges) -> None:
    votes = [judges.vote("ada", "a", GOOD, BAD), judges.vote("bob", "b", BAD, " Gout.\n")]

    [row] = collected(judges).dpo

    assert (row["raters"], row["probability"], row["ratings"]) == (2, pytest.approx(0.875), sorted(votes))


@pytest.mark.parametrize(
    ("votes", "reason"),
    [
        ([("ada", "tie")], "the votes are even"),
        ([("ada", "both_bad")], "the votes are even"),
        ([("ada", "a"), ("bob", "b")], "the votes are even"),
        ([("ada", "a"), ("bob", "a"), ("cy", "b")], "the votes are not clear enough"),  # 0.6875
        ([("ada", "a"), ("ada", "b")], "the votes are even"),  # the same rater, asked twice
    ],
)
def test_ties_and_splits_are_left_out_and_counted(judges: Judges, votes: list[tuple[str, str]], reason: str) -> None:
    for rater, vote in votes:
        judges.vote(rater, vote, GOOD, BAD)

    feedback = collected(judges)

    assert feedback.dpo == ()
    assert feedback.report["left_out"]["dpo"] == {reason: 1}


def test_a_changed_vote_counts_as_it_is_now(judges: Judges) -> None:
    left, right = judges.answer(GOOD), judges.answer(BAD)
    judges.vote_on("ada", "b", left.id, right.id)
    comparison = judges.store.comparisons_of("ada")[0]
    now = judges.store.add_preference("ada", comparison.id, "a", {}, "", {}, 1.0, "later")

    [row] = collected(judges).dpo

    assert (row["chosen"]["solution"], row["ratings"]) == (GOOD, [now.id])


def test_a_rater_who_disagrees_with_the_others_counts_less(judges: Judges) -> None:
    for number in range(5):
        question = f"Question {number}?"
        for rater, vote in (("ada", "a"), ("bob", "a"), ("cy", "b")):
            judges.vote(rater, vote, GOOD, BAD, question)
    judges.vote("ada", "a", GOOD, BAD, "Ada alone?")
    judges.vote("cy", "a", GOOD, BAD, "Cy alone?")

    feedback = collected(judges)

    # Of each shared pair Ada agrees with one of the two others, Cy with none.
    raters = feedback.report["raters"]
    assert [(raters[name]["agreement"], raters[name]["n"]) for name in ("ada", "bob", "cy")] == [
        (0.5, 5), (0.5, 5), (0.0, 5)
    ]  # fmt: skip
    # Ada and Bob with a half each make 1 for A: 0.75; Ada's half alone is 1 - 0.5^1.5 = 0.646, and Cy says nothing.
    assert len(feedback.dpo) == 5
    assert all(row["probability"] == pytest.approx(0.75) for row in feedback.dpo)
    # Per pair a-b agree, a-c and b-c do not: 10 of 15.
    assert feedback.report["disagreement"] == pytest.approx(2 / 3)


def test_disagreement_is_null_where_nobody_judged_the_same(judges: Judges) -> None:
    judges.vote("ada", "a", GOOD, BAD)

    report = collected(judges).report

    assert report["disagreement"] is None
    assert report["raters"]["ada"] == {"rater": "ada", "n": 0, "agreement": None, "weight": 1.0}
    assert report["agreement"]["votes"]["value"] is None


# safety


@pytest.mark.parametrize(
    "more",
    [
        {"critical": True},
        {"harm_extent": "moderate"},
        {"harm_extent": "severe", "harm_likelihood": "high"},
        {"span_marks": (SpanMark("solution", 0, 4, "Gout", "unsafe"),)},
    ],
)
def test_an_answer_that_anybody_found_harmful_is_never_taught(judges: Judges, more: dict[str, Any]) -> None:
    for rater in ("ada", "bob", "cy"):
        judges.vote(rater, "a", GOOD, BAD)
        judges.rate(judges.answer(GOOD, owner=rater), 5)
    judges.rate(judges.answer(GOOD, owner="dan"), 5, **more)

    feedback = collected(judges)

    assert (feedback.dpo, feedback.sft, feedback.grpo) == ((), (), ())
    assert not any(row["label"] for row in feedback.kto)
    [(reason, n)] = feedback.report["left_out"]["dpo"].items()
    assert (reason.partition(":")[0], n) == ("the better answer", 1)


def test_a_flag_in_a_comparison_bars_the_answer(judges: Judges) -> None:
    judges.vote("ada", "a", GOOD, BAD)
    judges.vote("bob", "a", GOOD, "Sprain.", flags=("a",))

    assert chosen(collected(judges)) == []


def test_a_thumb_for_unsafe_bars_the_answer(judges: Judges) -> None:
    judges.vote("ada", "a", GOOD, BAD)
    store = judges.store
    talk = store.start_conversation("ada", "demo", "Toe").id
    begun = store.begin_answer("ada", talk, "", GOUT, "demo", prompt=None, sampling=None, answer_format="think",
                               parent_id=None)  # fmt: skip
    store.finish_answer(begun.id, "done", raw="", reasoning="Red and hot.", solution=GOOD, complete=True,
                        finish_reason="stop")  # fmt: skip
    store.add_thumb("ada", begun.id, "down", ["unsafe"])

    assert chosen(collected(judges)) == []


def test_an_amended_rating_gives_way(judges: Judges) -> None:
    answer = judges.answer(GOOD)
    judges.rate(answer, 5, critical=True)
    assert collected(judges).sft == ()

    judges.rate(answer, 5)

    assert [one.answer for one in collected(judges).sft] == [GOOD]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"complete": False}, "the better answer: not complete"),
        ({"status": "stopped"}, "stopped, or broken off by an error"),
        ({"status": "failed"}, "stopped, or broken off by an error"),
    ],
)
def test_an_answer_that_did_not_end_is_not_taught(judges: Judges, more: dict[str, Any], reason: str) -> None:
    judges.vote_on("ada", "a", judges.answer(GOOD, **more).id, judges.answer(BAD).id)

    feedback = collected(judges)

    assert feedback.dpo == ()
    assert feedback.report["left_out"]["dpo"] == {reason: 1}


def test_an_answer_after_earlier_turns_is_left_out(judges: Judges) -> None:
    judges.rate(judges.follow_up(GOOD), 5)

    feedback = collected(judges)

    assert (feedback.sft, feedback.kto) == ((), ())
    assert feedback.report["left_out"]["kto"] == {"asked after an earlier turn": 1}


def test_an_answer_of_a_deleted_conversation_is_left_out(judges: Judges) -> None:
    answer = chat_answer(judges.store)
    judges.rate(answer, 5)
    assert [one.answer for one in collected(judges).sft] == ["Rest."]

    judges.store.delete_conversation("ada", str(answer.conversation_id))

    assert collected(judges).sft == ()
    assert collected(judges).report["left_out"]["kto"] == {"its conversation was deleted": 1}


def test_two_answers_of_the_same_text_are_no_pair(judges: Judges) -> None:
    judges.vote("ada", "a", GOOD, "Gout. ")

    assert collected(judges).report["left_out"]["dpo"] == {"the two answers are the same text": 1}


def test_questions_of_suites_are_held_out(judges: Judges) -> None:
    judges.vote("ada", "a", GOOD, BAD, "  A RED, hot big toe. What is it?")
    judges.rate(judges.answer(GOOD), 5, step_marks=(StepMark(1, 1),))

    feedback = collected(judges, {question_id("", GOUT): "handwritten"})

    assert not any((feedback.sft, feedback.grpo, feedback.dpo, feedback.kto, feedback.steps))
    assert feedback.report["left_out"]["dpo"] == {"a question of the evaluation suite handwritten": 1}
    assert feedback.report["suites"] == ["handwritten"]


# ratings


def test_ratings_of_answers_to_one_question_make_a_pair(judges: Judges) -> None:
    first, second = judges.rate(judges.answer(GOOD), 5), judges.rate(judges.answer(BAD), 2)

    [row] = collected(judges).dpo

    assert (row["chosen"]["solution"], row["rejected"]["solution"]) == (GOOD, BAD)
    assert (row["raters"], row["ratings"]) == (1, sorted([first, second]))


def test_near_ratings_prefer_neither(judges: Judges) -> None:
    judges.rate(judges.answer(GOOD), 5)
    # One point on one of three axes of four points' range: 1/4 / 3 = 0.083 of the range.
    judges.rate(judges.answer(BAD), {"factual_correctness": "4", "reasoning_clarity": "5", "safety": "5"})

    assert collected(judges).report["left_out"]["dpo"] == {"the votes are even": 1}


def test_a_vote_goes_before_what_ratings_say_of_the_pair(judges: Judges) -> None:
    judges.rate(judges.answer(GOOD), 5)
    judges.rate(judges.answer(BAD), 3)
    judges.vote("ada", "b", GOOD, BAD)

    assert chosen(collected(judges)) == [(BAD, GOOD)]


@pytest.mark.parametrize(
    ("scores", "label"),
    [
        (4, True),
        ({"factual_correctness": "5", "reasoning_clarity": "4", "safety": "5", "verbosity": "too_long"}, True),
        ({"factual_correctness": "5", "reasoning_clarity": "3", "safety": "5"}, None),
        ({"factual_correctness": "5", "reasoning_clarity": "5", "safety": "5", "completeness": "3"}, None),
        ({"factual_correctness": "2", "reasoning_clarity": "5", "safety": "5"}, False),
    ],
)
def test_a_rating_finds_an_answer_good_or_bad_or_neither(
    judges: Judges, scores: int | dict[str, str], label: bool | None
) -> None:
    rating = judges.rate(judges.answer(GOOD), scores)

    feedback = collected(judges)

    assert [row["label"] for row in feedback.kto] == ([] if label is None else [label])
    assert [one.answer for one in feedback.sft] == ([GOOD] if label else [])
    if label:
        [row] = feedback.sft
        assert (row.rationale, row.source, row.split) == ("Red and hot.", "ratings", "train")
        assert row.meta == {"from": "an answer found good", "raters": 1, "probability": pytest.approx(0.75),
                            "margin": 1.0, "ratings": [rating]}  # fmt: skip


def test_a_reversed_axis_counts_the_other_way_round(judges: Judges) -> None:
    scores = dict.fromkeys(
        "accuracy relevance currency coverage usefulness understanding reasoning clarity empathy limits trust"
        " satisfaction".split(), "5",
    )  # fmt: skip
    judges.rated(judges.answer(GOOD), scores | {"bias": "1", "harm": "1", "cites_sources": "no"}, rubric="quest")
    judges.rated(judges.answer(BAD), scores | {"bias": "1", "harm": "5", "cites_sources": "no"}, rubric="quest")

    assert [(row["completion"]["solution"], row["label"]) for row in collected(judges).kto] == [
        (BAD, False), (GOOD, True)
    ]  # fmt: skip


def test_criteria_count_by_their_points(judges: Judges) -> None:
    met = dict.fromkeys(("accuracy", "completeness", "context_awareness", "communication_quality"), "met")
    # 30 of 35 points, then 20 of 35 (5 + 5 + 10 missing 8 + 7): good from three quarters on.
    judges.rated(judges.answer(GOOD), met | {"instruction_following": "not_met"}, rubric="healthbench")
    few = {"completeness": "not_met", "context_awareness": "not_met", "instruction_following": "met"}
    judges.rated(judges.answer(BAD), met | few, rubric="healthbench")

    assert [row["completion"]["solution"] for row in collected(judges).kto] == [GOOD]


def test_both_bad_labels_both(judges: Judges) -> None:
    judges.vote("ada", "both_bad", GOOD, BAD)

    feedback = collected(judges)

    assert [(row["completion"]["solution"], row["label"]) for row in feedback.kto] == [(BAD, False), (GOOD, False)]


def test_what_cannot_be_rated_says_nothing(judges: Judges) -> None:
    judges.rate(judges.answer(GOOD), 5, cannot_rate="Not my field.")

    feedback = collected(judges)

    assert (feedback.kto, feedback.sft) == ((), ())


# corrections, references and steps


def test_a_correction_is_taught_and_is_the_reference(judges: Judges) -> None:
    rating = judges.rate(
        judges.answer("Take colchicine."), 2, corrected_reasoning="Red, hot, sudden.", corrected_solution="Acute gout."
    )
    judges.rate(judges.answer(GOOD), 5)

    feedback = collected(judges)

    correction, good = feedback.sft
    assert (correction.answer, correction.rationale, good.answer) == ("Acute gout.", "Red, hot, sudden.", GOOD)
    assert correction.meta == {"from": "a correction", "raters": 1, "probability": pytest.approx(0.75), "margin": 1.0,
                               "ratings": [rating]}  # fmt: skip
    [prompt] = feedback.grpo
    assert (prompt.question, prompt.answer, prompt.accepted) == (GOUT, "Acute gout.", [GOOD])


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, None),
        ({"step_marks": (StepMark(1, 1),)}, None),
        ({"first_wrong_step": 1}, "only the solution was corrected, and the reasoning is marked as wrong"),
        ({"critical": True}, "marked as critical"),
        ({"corrected_solution": "[model] is right."}, "a correction that repeats the mask of a model's name"),
    ],
)
def test_a_corrected_solution_keeps_a_reasoning_that_nobody_faulted(
    judges: Judges, more: dict[str, Any], reason: str | None
) -> None:
    judges.rate(judges.answer(BAD), 3, **{"corrected_solution": "Acute gout.", **more})

    feedback = collected(judges)

    assert [(one.rationale, one.answer) for one in feedback.sft] == (
        [] if reason else [("Red and hot.", "Acute gout.")]
    )
    assert feedback.report["left_out"]["sft"] == ({reason: 1} if reason else {})


def test_marked_steps_are_written_with_their_texts(judges: Judges) -> None:
    answer = judges.answer(GOOD, "1. Red toe.\n2. So it is broken.\n3. Gout.")
    ratings = [
        judges.rate(answer, 3, step_marks=(StepMark(1, 1), StepMark(2, -1), StepMark(3, 0))),
        judges.rate(answer, 3, "bob", step_marks=(StepMark(1, 1),), first_wrong_step=3),
    ]

    [row] = collected(judges).steps

    assert [(step["text"], step["label"], step["raters"]) for step in row["steps"]] == [
        ("1. Red toe.", 1, 2), ("2. So it is broken.", -1, 1), ("3. Gout.", -1, 2)
    ]  # fmt: skip
    # The third: a tie and a vote against, Beta(1.5, 2.5).
    assert row["steps"][2]["probability"] == pytest.approx(probability(0.5, 1.5))
    assert (row["raters"], row["ratings"]) == (2, sorted(ratings))


# files


def test_a_question_is_in_one_split_whatever_file_it_is_in(judges: Judges) -> None:
    for number in range(20):
        question = f"Question {number}?"
        judges.vote("ada", "a", GOOD, BAD, question)
        judges.rate(judges.answer(GOOD, question=question), 5)

    feedback = collected(judges, validation_share=0.3)

    splits = {row["question_id"]: row["split"] for row in (*feedback.dpo, *feedback.kto)}
    assert {one.question_id: one.split for one in (*feedback.sft, *feedback.grpo)} == splits
    assert {"train", "validation"} == set(splits.values())
    assert collected(judges, validation_share=0.3).report == feedback.report
    assert collected(judges, validation_share=0.3, seed=1).report["sha256"] != feedback.report["sha256"]


def test_what_is_written_is_what_training_reads(judges: Judges, tmp_path: Path) -> None:
    judges.vote("ada", "a", GOOD, BAD)
    judges.rate(judges.answer(GOOD), 5)
    feedback = collected(judges)

    write(feedback, tmp_path / "out")
    write(feedback, tmp_path / "out")

    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == [
        "dpo.jsonl", "grpo.jsonl", "kto.jsonl", "report.json", "sft.jsonl", "steps.jsonl"
    ]  # fmt: skip
    assert [json.loads(line) for line in (out / "dpo.jsonl").read_text().splitlines()] == list(feedback.dpo)
    for kind in ("sft", "grpo", "dpo", "kto"):
        assert [split for split, _ in each_row(kind, out / f"{kind}.jsonl")] == ["train"]
    assert Example.from_json((out / "sft.jsonl").read_text()).answer == GOOD
    assert json.loads((out / "report.json").read_text())["rows"]["dpo"] == {"train": 1, "validation": 0}


def test_the_preview_shows_pairs_of_different_questions_first(judges: Judges) -> None:
    for vote, other in (("a", "Sprain."), ("a", BAD), ("tie", "Fracture.")):
        judges.vote("ada", vote, GOOD, other)
    for number in range(3):
        judges.vote("ada", "a", GOOD, BAD, f"Question {number}?")

    shown = preview(collected(judges))

    assert len({pair["question"] for pair in shown.pairs}) == 3
    assert shown.rows["dpo"] == {"train": 5, "validation": 0}
    assert shown.left_out["dpo"] == {"the votes are even": 1}
    assert shown.disagreement is None
    assert "none validates" in shown.notes[0]


def test_an_empty_store_gives_empty_files(judges: Judges) -> None:
    feedback = collected(judges)

    assert not any((feedback.sft, feedback.grpo, feedback.dpo, feedback.kto, feedback.steps))
    assert preview(feedback).pairs == ()


@pytest.mark.parametrize("settings", [{"min_probability": 0.5}, {"min_probability": 1.0}, {"validation_share": 0.9}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        FeedbackSettings(**settings)  # type: ignore[arg-type]


# whatever is said

RATERS, QUESTIONS, ANSWERS = (
    ("ada", "bob", "cy"),
    tuple(f"Question {n}?" for n in range(12)),
    ("Gout.", "Flu.", "Flu. "),
)
rater, question, solution = st.sampled_from(RATERS), st.sampled_from(QUESTIONS), st.sampled_from(ANSWERS)
VOTES = st.tuples(
    st.just("vote"), rater, question, solution, solution, st.sampled_from(["a", "b", "tie", "both_bad"]),
    st.sets(st.sampled_from(["a", "b"]), max_size=1),
)  # fmt: skip
RATINGS = st.tuples(
    st.just("rating"), rater, question, solution, st.integers(1, 5), st.sampled_from(["none", "none", "severe"]),
    st.booleans() | st.just(False), st.sampled_from(["", "", "Acute gout."]),
)  # fmt: skip


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(VOTES | RATINGS, max_size=15), st.sampled_from([0.0, 0.3]))
def test_no_pair_is_ever_its_own_opposite_or_harmful_or_on_both_sides(said: list[Any], share: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        judges = Judges(Path(folder))
        harmful = _do(judges, said)
        feedback = collected(judges, {question_id("", QUESTIONS[0]): "suite"}, validation_share=share)
        again = collected(judges, {question_id("", QUESTIONS[0]): "suite"}, validation_share=share)
        judges.store.close()

    assert feedback == again
    splits: dict[str, set[str]] = {}
    for row in (*feedback.dpo, *feedback.kto):
        splits.setdefault(row["question"], set()).add(row["split"])
    for one in (*feedback.sft, *feedback.grpo):
        splits.setdefault(one.question, set()).add(one.split)
    assert all(len(its) == 1 for its in splits.values())
    assert QUESTIONS[0] not in splits
    for row in feedback.dpo:
        assert " ".join(row["chosen"]["solution"].split()) != " ".join(row["rejected"]["solution"].split())
        assert (row["question"], row["chosen"]["solution"]) not in harmful
        assert row["probability"] >= 0.7
        assert row["margin"] > 0
        assert row["ratings"]
    taught = [(one.question, one.answer) for one in feedback.sft]
    taught += [(row["question"], row["completion"]["solution"]) for row in feedback.kto if row["label"]]
    assert not harmful & set(taught)


def _do(judges: Judges, said: list[Any]) -> set[tuple[str, str]]:
    """The question and solution of what somebody flagged, or found harmful in their newest rating."""
    flagged, newest = set(), {}
    answers: dict[tuple[str, str, str], Any] = {}
    for kind, rater, question, *more in said:
        if kind == "vote":
            left, right, vote, flags = more
            try:
                judges.vote(rater, vote, left, right, question, tuple(flags))
            except InvalidInput:  # the store refuses a critical answer as the better one
                continue
            flagged |= {(question, (left if side == "a" else right).strip()) for side in flags}
        else:
            solution, score, harm, critical, correction = more
            key = rater, question, solution
            if key not in answers:
                answers[key] = judges.answer(solution, question=question, owner=rater)
            judges.rate(answers[key], score, harm_extent=harm, critical=critical, corrected_solution=correction)
            newest[key] = critical or harm != "none"
    return flagged | {(question, solution.strip()) for (_, question, solution), is_bad in newest.items() if is_bad}

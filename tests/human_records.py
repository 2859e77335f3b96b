"""Judgements written by hand, for tests of what is made of them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from evaluation.human_axes import AxisInfo
from evaluation.human_data import AnswerText, HumanData, HumanRating, HumanVote

STARTED = datetime(2026, 3, 2, tzinfo=UTC)
FIVE = AxisInfo("correct", "Correct", "high", tuple("12345"), numbers=(1.0, 2.0, 3.0, 4.0, 5.0), labels=tuple("12345"))
RECALL = AxisInfo("recall", "Recall", "high", ("a", "b", "tie"), pairwise=True, kind="side")
OMISSION = AxisInfo("omission", "Omission", "low", ("a", "b", "tie"), pairwise=True, reverse=True, kind="side")


def rating(question: str, model: str, rater: str, score: float | None, **more: Any) -> HumanRating:
    """One on the axis `correct`, of the model's answer to the question."""
    values: dict[str, Any] = {
        "id": f"{question}/{model}/{rater}", "answer_id": f"{question}/{model}", "question_id": question,
        "model": model, "rater": rater, "group": "", "specialty": "", "at": STARTED, "scores": {"correct": score},
        "harm_extent": "none", "harm_likelihood": "low", "seconds": 30.0,
    }  # fmt: skip
    return HumanRating(**values | more)


def vote(question: str, left: str, right: str, rater: str, said: Any, **more: Any) -> HumanVote:
    """One on the two models' answers to the question."""
    values: dict[str, Any] = {
        "id": f"{question}/{left}/{right}/{rater}", "pair": (f"{question}/{left}", f"{question}/{right}"),
        "question_id": question, "models": (left, right), "rater": rater, "group": "", "specialty": "",
        "at": STARTED + timedelta(days=1), "vote": said, "words": (50, 50),
    }  # fmt: skip
    return HumanVote(**values | more)


def human_data(
    ratings: Sequence[HumanRating] = (),
    votes: Sequence[HumanVote] = (),
    axes: Sequence[AxisInfo] = (FIVE,),
    **more: Any,
) -> HumanData:
    """A study of these judgements, with a text for each answer that they are about."""
    answers: Mapping[str, tuple[str, str]] = {
        **{its.answer_id: (its.question_id, its.model) for its in ratings},
        **{
            answer: (its.question_id, model)
            for its in votes
            for answer, model in zip(its.pair, its.models, strict=True)
        },
    }
    models = dict.fromkeys(sorted(model for _, model in answers.values()))
    raters = sorted({*(its.rater for its in ratings), *(its.rater for its in votes)})
    values: dict[str, Any] = {
        "title": "By hand", "study_id": "s1", "simulated": False, "ratings": ratings, "votes": votes,
        "axes": tuple(axes), "models": {model: model.upper() for model in models},
        "raters": {rater: f"Rater {n}" for n, rater in enumerate(raters, 1)},
        "answers": {
            answer: AnswerText(question, f"What of <{question}>?", "", "1. One step.", f"It is {model}.", model)
            for answer, (question, model) in answers.items()
        },
    }  # fmt: skip
    return HumanData(**values | more)

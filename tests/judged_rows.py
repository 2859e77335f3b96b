"""Judgements by people, as short as a test can say them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from evaluation.human_axes import AxisInfo
from evaluation.human_data import HumanData, HumanRating, HumanVote

AT = datetime(2026, 1, 5, 9, tzinfo=UTC)
FIVE = ("1", "2", "3", "4", "5")


def scale_axis(name: str, better: Any = "high") -> AxisInfo:
    """An axis from 1 to 5."""
    return AxisInfo(name, name, better, FIVE, numbers=(1.0, 2.0, 3.0, 4.0, 5.0), labels=FIVE)


def side_axis(name: str, *, reverse: bool = False) -> AxisInfo:
    """An axis of a vote."""
    return AxisInfo(name, name, "low" if reverse else "high", ("a", "b", "tie"), True, reverse, kind="side")


def rating(rater: str, answer: str, scores: Mapping[str, float | None] | None = None, **more: Any) -> HumanRating:
    """A rating; its question is the answer's first letters up to "/", its model what follows."""
    question, _, model = answer.partition("/")
    number = more.pop("id", f"{rater} on {answer}")
    return HumanRating(number, answer, question, model or "m", rater, "", "", AT, dict(scores or {}), **more)


def vote(rater: str, left: str, right: str, said: Any, **more: Any) -> HumanVote:
    """A vote on two answers of one question."""
    question, _, model = left.partition("/")
    number = more.pop("id", f"{rater} on {left} and {right}")
    models = (model, right.partition("/")[2])
    return HumanVote(number, (left, right), question, models, rater, "", "", AT, said, **more)


def judged(
    ratings: Sequence[HumanRating] = (), votes: Sequence[HumanVote] = (), axes: Sequence[AxisInfo] = (), **more: Any
) -> HumanData:
    """All that was said; every rater is shown by their id."""
    raters = {one.rater: one.rater for one in ratings} | {one.rater: one.rater for one in votes}
    models = {one.model: one.model for one in ratings}
    return HumanData("Study", "s", False, ratings, votes, tuple(axes), models, raters, {}, **more)

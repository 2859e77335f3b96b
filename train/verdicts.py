"""What a filled rating form says of an answer: whether it is harmful, good or bad, and better than another one.

The direction of an axis is the rubric's own, as it was shown: the higher value of a scale is the better one, of a
reversed scale the worse one; a criterion with points is to be met, one with negative points is not. Choices have no
direction and say nothing here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from medchat.store import RatingForm

GOOD, BAD = 0.75, 0.25  # of a scale's range: 4 and 2 where it goes from 1 to 5
TIE = 0.1  # of the range: forms that are nearer than this, over all axes, prefer neither answer
CRITERIA = "criteria"  # all criteria together count as one axis of this name
UNSAFE = "unsafe"  # kind of a marked passage

CRITICAL, HARMFUL, UNSAFE_PASSAGE = "marked as critical", "found harmful", "has a passage marked as unsafe"


def fault_of(form: RatingForm) -> str:
    """Why the answer must not be taught, "" for no reason: critical, any harm, or an unsafe passage."""
    if form.critical:
        return CRITICAL
    if form.harm_extent not in ("", "none"):
        return HARMFUL
    return UNSAFE_PASSAGE if any(span.kind == UNSAFE for span in form.span_marks) else ""


def verdict(form: RatingForm) -> float | None:
    """1.0 for a good answer, 0.0 for a bad one, 0.5 for one between; None where the form does not say.

    Good: no axis is below 4 of 5, and nothing speaks against teaching it. Bad: an axis is at 2 or below, or it is
    harmful.
    """
    if fault_of(form):
        return 0.0
    values = axis_values(form).values()
    if form.cannot_rate or not values:
        return None
    if min(values) >= GOOD:
        return 1.0
    return 0.0 if min(values) <= BAD else 0.5


def preference(a: RatingForm, b: RatingForm) -> float | None:
    """1.0 where a rater's form finds answer a better than their form on b, 0.0 worse, 0.5 neither; None if unsaid.

    Safety comes first; then the mean difference over the axes that both forms have.
    """
    if bool(fault_of(a)) != bool(fault_of(b)):
        return float(not fault_of(a))
    ours, theirs = axis_values(a), axis_values(b)
    both = sorted(ours.keys() & theirs.keys())
    if a.cannot_rate or b.cannot_rate or not both:
        return None
    difference = sum(ours[axis] - theirs[axis] for axis in both) / len(both)
    return 0.5 if abs(difference) < TIE else float(difference > 0)


def axis_values(form: RatingForm) -> dict[str, float]:
    """Each answered axis that has a direction, from 0 (worst) to 1 (best); criteria together as in HealthBench."""
    axes: Sequence[Mapping[str, Any]] = form.shown.get("axes") or ()
    values: dict[str, float] = {}
    points = {axis["id"]: axis.get("points") for axis in axes if axis.get("kind") == "criteria"}
    for axis in axes:
        value = _on_scale(axis, form.scores.get(axis["id"])) if axis.get("kind") == "scale" else None
        if value is not None:
            values[axis["id"]] = value
    met = _criteria_met(points, form.scores)
    return values if met is None else values | {CRITERIA: met}


def _on_scale(axis: Mapping[str, Any], value: object) -> float | None:
    steps = [option["value"] for option in axis.get("options") or ()]
    if len(steps) < 2 or value not in steps:
        return None
    low, high = int(steps[0]), int(steps[-1])
    share = (int(str(value)) - low) / (high - low)
    return 1 - share if axis.get("reverse") else share


def _criteria_met(points: Mapping[str, int | None], scores: Mapping[str, Any]) -> float | None:
    """Points met of the positive points, from 0 to 1, over the criteria that could be judged; None without any."""
    judged = {axis: n for axis, n in points.items() if n and scores.get(axis) in ("met", "not_met")}
    possible = sum(n for n in judged.values() if n > 0)
    if not possible:
        return None
    return min(1.0, max(0.0, sum(n for axis, n in judged.items() if scores[axis] == "met") / possible))

"""What was asked of raters, as numbers: the axes of a rubric, which way each is better, and when an answer is good."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

AxisKind = Literal["scale", "yes_no", "choice", "points", "side"]
Better = Literal["high", "low", "neither"]

POINTS = "criteria_points"  # the axis that a form of criteria comes to
CANNOT_JUDGE = "cannot_judge"
# Of the shipped rubrics: choices in the order from 0 on, where the form lists them in another one.
_ORDERS: Mapping[str, Sequence[str]] = {"consensus": ("opposed", "no_consensus", "aligned")}
# Of the shipped rubrics: axes on which a higher number is worse, or neither, though they are not reverse-coded.
_BETTER: Mapping[str, Better] = {
    "incorrect_comprehension": "low", "incorrect_recall": "low", "incorrect_reasoning": "low",
    "inappropriate_content": "low", "omitted_content": "low", "demographic_bias": "low",
    "consensus": "high", "verbosity": "neither",
}  # fmt: skip
# What makes an answer good, by rubric: axis -> the least and the most of correctness and completeness.
GOOD: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "clinical-3": {"factual_correctness": (4, 5), "completeness": (4, 5)},
    "quest": {"accuracy": (4, 5), "coverage": (4, 5)},
    "medpalm-12": {"consensus": (2, 2), "omitted_content": (0, 1)},
}
GOOD_WORDS = (
    "Good: correct and, where that was asked, complete, and not marked as critical. Clinical-3: factual correctness and"
    " completeness of 4 or 5; QUEST: accuracy and coverage of 4 or 5; Med-PaLM: in line with consensus, and nothing of"
    " great significance left out. Other rubrics do not say it."
)
EXTENTS = ("none", "moderate", "severe")
LIKELIHOODS = ("low", "medium", "high")


@dataclass(frozen=True, slots=True)
class AxisInfo:
    """An axis that raters answered.

    values: what is stored, in the order of `numbers`, which is what a score holds: a scale's own 1 to 5, yes 1 and no
    0, other choices 0, 1, 2. labels: what raters read. Of "points" (criteria met) all three are empty, scores lie
    between 0 and 1. better: which end of the numbers is. pairwise: votes give a side ("a", "b", "tie") instead of a
    number; reverse: the side that is chosen is the worse one.
    """

    id: str
    label: str
    better: Better
    values: tuple[str, ...]
    pairwise: bool = False
    reverse: bool = False
    numbers: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    kind: AxisKind = "scale"
    question: str = ""

    @property
    def is_share(self) -> bool:
        """Whether its mean is a share."""
        return self.kind in ("yes_no", "points")

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the most of a score."""
        return (self.numbers[0], self.numbers[-1]) if self.numbers else (0.0, 1.0)

    @property
    def span(self) -> float:
        """The width of its scale."""
        return self.bounds[1] - self.bounds[0]


def axes_of(shown: Mapping[str, Any]) -> list[AxisInfo]:
    """The axes of a rubric as a rating stores it; all its criteria together are one axis."""
    pairwise = bool(shown.get("pairwise"))
    axes = [_axis(axis, pairwise) for axis in shown.get("axes", ()) if axis["kind"] != "criteria"]
    if any(axis["kind"] == "criteria" for axis in shown.get("axes", ())):
        axes.insert(0, AxisInfo(POINTS, "Criteria met", "high", (), kind="points", question="Points of criteria met."))
    return axes


def scores_of(shown: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, float | None]:
    """A form's answers as numbers by axis id; None for what was not answered, or could not be judged."""
    scores = {
        axis.id: dict(zip(axis.values, axis.numbers, strict=True)).get(str(given.get(axis.id, "")))
        for axis in axes_of(shown)
        if axis.kind != "points"
    }
    criteria = [axis for axis in shown.get("axes", ()) if axis["kind"] == "criteria"]
    if criteria:
        scores[POINTS] = _points_met(criteria, given)
    return scores


def is_good(rubric_id: str, scores: Mapping[str, float | None], *, critical: bool) -> bool | None:
    """Whether a rater found the answer good, see GOOD_WORDS; None where the rubric does not say."""
    asked = [(scores.get(axis), ends) for axis, ends in GOOD.get(rubric_id, {}).items()]
    said = [(value, low, high) for value, (low, high) in asked if value is not None]
    if not asked or asked[0][0] is None:
        return None
    return not critical and all(low <= value <= high for value, low, high in said)


def merged(groups: Iterable[Sequence[AxisInfo]]) -> tuple[AxisInfo, ...]:
    """All axes once, in the order in which they come; those of one answer and those of pairs are apart."""
    return tuple({(axis.id, axis.pairwise): axis for axes in groups for axis in axes}.values())


def told_apart(forms: Sequence[Mapping[str, Any]]) -> list[dict[str, AxisInfo]]:
    """The axes of each form by their ids in it, where forms that ask other things may use the same id.

    An axis whose scale is not that of an earlier form's under the same id gets the form's title behind its name.
    """
    taken: dict[tuple[str, bool], AxisInfo] = {}
    found = []
    for form in forms:
        axes: dict[str, AxisInfo] = {}
        for axis in axes_of(form):
            first = taken.setdefault((axis.id, axis.pairwise), axis)
            if (first.values, first.better, first.kind) == (axis.values, axis.better, axis.kind):
                axes[axis.id] = first
                continue
            mark = f"{form.get('title', '')}, version {form.get('version', '')}"
            axes[axis.id] = replace(axis, id=f"{axis.id} ({mark})", label=f"{axis.label} ({mark})")
        found.append(axes)
    return found


def _axis(axis: Mapping[str, Any], pairwise: bool) -> AxisInfo:
    options = {str(option["value"]): str(option["label"]) for option in axis["options"]}
    kind: AxisKind = (
        "side" if pairwise else "scale" if axis["kind"] == "scale" else "yes_no" if set(options) == {"yes", "no"}
        else "choice"
    )  # fmt: skip
    values = tuple(options)
    if kind == "yes_no":
        values = ("no", "yes")
    elif kind == "choice" and set(_ORDERS.get(axis["id"], ())) == set(options):
        values = tuple(_ORDERS[axis["id"]])
    numbers = () if pairwise else tuple(float(value) if kind == "scale" else float(n) for n, value in enumerate(values))
    usual: Better = "neither" if kind == "choice" else "high"
    better: Better = "low" if axis["reverse"] else usual if pairwise else _BETTER.get(axis["id"], usual)
    return AxisInfo(
        axis["id"], str(axis["id"]).replace("_", " ").capitalize(), better, values, pairwise, bool(axis["reverse"]),
        numbers, tuple(options[value] for value in values), kind, str(axis["question"]),
    )  # fmt: skip


def _points_met(criteria: Sequence[Mapping[str, Any]], given: Mapping[str, Any]) -> float | None:
    """Points met of the positive points, from 0 to 1; None where a criterion was not judged."""
    said = [given.get(axis["id"], CANNOT_JUDGE) for axis in criteria]
    possible = sum(axis["points"] or 0 for axis in criteria if (axis["points"] or 0) > 0)
    if not possible or CANNOT_JUDGE in said:
        return None
    met = sum(axis["points"] or 0 for axis, value in zip(criteria, said, strict=True) if value == "met")
    return min(1.0, max(0.0, met / possible))

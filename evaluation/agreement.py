"""How far raters agree: Krippendorff's alpha of all of them, and each rater's agreement with the others.

Values are numbers. Every figure comes with what it rests on, and is None where it cannot be told.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, NamedTuple

from medchat.errors import InvalidInput

Distance = Literal["nominal", "ordinal", "interval"]
MIN_SHARED = 5  # items, or pairs of values, below which agreement is chance more than anything


class Rated(NamedTuple):
    """What a rater said of an item."""

    item: Hashable
    rater: str
    value: float


@dataclass(frozen=True, slots=True)
class Alpha:
    """Krippendorff's alpha: 1 is perfect, 0 what chance would give, below 0 less than chance.

    n_items, n_values: items that two or more raters judged, and the values there; n_raters: who gave these. value:
    None where there is none, and where all said the same of everything, so that chance cannot be told.
    """

    value: float | None
    distance: Distance
    n_items: int
    n_raters: int
    n_values: int


@dataclass(frozen=True, slots=True)
class RaterAgreement:
    """How far a rater agrees with the others, from 0 to 1. n: items that others judged too.

    agreement: None with fewer than the least number of such items.
    """

    rater: str
    n: int
    agreement: float | None


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Share of the n pairs of values of two raters on one item that differ; None for too few pairs."""

    n: int
    share: float | None


def krippendorff_alpha(ratings: Iterable[Rated], distance: Distance = "nominal") -> Alpha:
    """Alpha over the items that two or more raters judged; any may be missing.

    Source: K. Krippendorff, Content Analysis, 4th ed. (2018), chapter 12; computed by evalica. Raises InvalidInput when
    a rater has two values for one item.
    """
    shared = {item: values for item, values in _by_item(ratings).items() if len(values) > 1}
    said = [value for values in shared.values() for value in values.values()]
    raters = {rater for values in shared.values() for rater in values}
    value = None
    if len(set(said)) > 1:
        import pandas as pd
        from evalica import alpha

        table = pd.DataFrame(
            [[values.get(rater) for values in shared.values()] for rater in sorted(raters)], dtype=float
        )
        value = float(alpha(table, distance=distance).alpha)
    return Alpha(value, distance, len(shared), len(raters), len(said))


def rater_agreement(
    ratings: Iterable[Rated], *, span: float | None = None, least: int = MIN_SHARED
) -> dict[str, RaterAgreement]:
    """Each rater's agreement with the others: the mean over shared items of how near the others' values are.

    With a span, the width of the scale, two values agree by 1 - |difference| / span; without one they are the same or
    not. The rater's own values never count among the others'. Raises InvalidInput when a rater has two values for
    one item.
    """
    shares: dict[str, list[float]] = {}
    for values in _by_item(ratings).values():
        for rater, value in values.items():
            others = [other for name, other in values.items() if name != rater]
            its = shares.setdefault(rater, [])
            if others:
                its.append(sum(_nearness(value, other, span) for other in others) / len(others))
    return {
        rater: RaterAgreement(rater, len(its), sum(its) / len(its) if len(its) >= max(1, least) else None)
        for rater, its in sorted(shares.items())
    }


def disagreement(ratings: Iterable[Rated], least: int = MIN_SHARED) -> Disagreement:
    """How often two raters say different things of the same item. Raises InvalidInput as above."""
    differ = [a != b for values in _by_item(ratings).values() for a, b in combinations(values.values(), 2)]
    return Disagreement(len(differ), sum(differ) / len(differ) if len(differ) >= max(1, least) else None)


def _by_item(ratings: Iterable[Rated]) -> dict[Hashable, dict[str, float]]:
    items: dict[Hashable, dict[str, float]] = {}
    for item, rater, value in ratings:
        values = items.setdefault(item, {})
        if rater in values:
            raise InvalidInput("A rater has two values for the same item; give one of them.")
        values[rater] = value
    return items


def _nearness(value: float, other: float, span: float | None) -> float:
    return float(value == other) if span is None else 1 - min(1.0, abs(value - other) / span)

"""How far raters agree: all common coefficients side by side, pair by pair, and each rater with the others.

Values are numbers; what was not rated is left out. Every figure comes with what it rests on, and is None, with the
reason, where it cannot be told. Intervals are for other items judged by these raters.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evaluation import kappa
from evaluation.icc import Form, icc
from evaluation.item_bootstrap import AGREEING, RESAMPLES, Statistic, interval_of, value_of
from evaluation.kappa import Distance
from evaluation.stats import Floats
from medchat.errors import InvalidInput

MIN_SHARED = 5  # items, or pairs of values, below which agreement is chance more than anything

ONE_SAID = "all ratings are the same: chance alone explains that"
NONE_SHARED, ONE_SHARED = "no item was judged by two raters", "only one item was judged by two raters"
NOT_TOLD = "these ratings are too few, or too alike, to tell it"

# When each misleads. Keys are the names in the table.
ALPHA_ORDINAL, ALPHA_NOMINAL = "Krippendorff's alpha, ordinal", "Krippendorff's alpha, nominal"
ALPHA_INTERVAL, FLEISS, RANDOLPH = "Krippendorff's alpha, interval", "Fleiss' kappa", "Randolph's kappa"
AC1, AC2 = "Gwet's AC1", "Gwet's AC2, quadratic weights"
WEIGHTED, CONGER = "Conger's kappa, quadratic weights", "Conger's kappa"
ICC_ONE, ICC_MEAN = "ICC(2,1), one rater", "ICC(2,k), mean of the raters"
_RARE = "Near 0 or below it when one value is rare, however seldom raters differ: chance is told from the ratings."
MISLEADS: Mapping[str, str] = {
    ALPHA_ORDINAL: f"{_RARE} How far two values are apart depends on how often those between were given.",
    ALPHA_NOMINAL: f"{_RARE} On a scale a near miss counts as much as a far one.",
    ALPHA_INTERVAL: f"{_RARE} Takes all steps of the scale as equally wide.",
    FLEISS: f"{_RARE} On a scale a near miss counts as much as a far one.",
    RANDOLPH: "High when one value is rare, even if raters never agree on that one; higher with every value that the"
    " scale offers and nobody gives.",
    AC1: "High when one value is rare, even if raters never agree on that one.",
    AC2: "High when ratings crowd in one part of the scale; a near miss counts almost as full agreement.",
    WEIGHTED: "Cohen's for many raters: low when one value is rare; a near miss counts almost as full agreement; hides"
    " a pair that is far off, and raters who use the scale differently.",
    CONGER: "Cohen's for many raters: low when one value is rare; hides a pair that is far off, and raters who use the"
    " scale differently.",
    ICC_ONE: "Low when the items are all alike, however close raters are; takes all steps as equally wide.",
    ICC_MEAN: "Says how far the mean of the raters can be relied on, not how far two agree: more raters raise it.",
}


class Rated(NamedTuple):
    """What a rater said of an item."""

    item: Hashable
    rater: str
    value: float


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A coefficient of agreement with its 95 % interval: at most 1, and 0 where raters agree as by its idea of chance.

    value: None with the reason. n_items, n_raters: items that two or more raters judged, and who did. misleads: when
    not to believe it. method: of the interval, or why there is none.
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    n_items: int
    n_raters: int
    misleads: str
    reason: str = ""
    method: str = ""


@dataclass(frozen=True, slots=True)
class PairKappa:
    """Cohen's kappa of two raters over the n items that both judged; None with the reason. method: of the interval."""

    raters: tuple[str, str]
    value: float | None
    low: float | None
    high: float | None
    n_items: int
    reason: str = ""
    method: str = ""


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


@dataclass(frozen=True)
class _Table:
    """What each rater said, NaN for nothing: values (N, J) of items that two or more judged, alone (M, J) of others.

    clusters: of each of the N items.
    """

    values: Floats
    alone: Floats
    raters: Sequence[str]
    clusters: Sequence[Hashable]

    @property
    def n_raters(self) -> int:
        """Raters who judged an item together with another one."""
        return int(np.isfinite(self.values).any(axis=0).sum())

    def counts(self, scale: Sequence[float]) -> Floats:
        """How often each value of the scale was given to each of the N items (N, q)."""
        return _chosen(self.values, scale).sum(axis=1)

    def with_alone(self, statistic: Statistic) -> Statistic:
        """Of all N + M items: the M say what is common, not how far raters agree, and count once in each resample."""
        return lambda times: statistic(np.pad(times, ((0, 0), (0, len(self.alone))), constant_values=1.0))

    def pair(self, one: int, other: int, scale: Sequence[float]) -> tuple[npt.NDArray[np.intp], Floats]:
        """The items that both raters judged, as indices (n,), and 1 at the values of the two (n, q, q)."""
        rows = np.flatnonzero(np.isfinite(self.values[:, one]) & np.isfinite(self.values[:, other]))
        places = np.asarray(scale)
        first, second = (np.searchsorted(places, self.values[rows, rater]) for rater in (one, other))
        both = np.zeros((len(rows), len(scale), len(scale)))
        both[np.arange(len(rows)), first, second] = 1
        return rows, both


def table(
    ratings: Iterable[Rated],
    scale: Sequence[float] = (),
    *,
    ordered: bool = True,
    clusters: Mapping[Hashable, Hashable] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[Coefficient]:
    """All coefficients that fit the values, side by side, each over the items that two or more raters judged.

    scale: every value that could be given, also those that nobody gave; without one values are measured, not chosen.
    ordered: whether they have an order; of a scale of two it does not matter. clusters: the question of each item:
    intervals then draw whole questions. Raises InvalidInput for a value outside the scale, or two of a rater for one
    item.
    """
    scale = sorted(scale)
    its = _laid(ratings, scale, clusters)
    statistics: dict[str, Statistic] = {}
    if scale:
        counts, chosen = its.counts(scale), _chosen(np.concatenate([its.values, its.alone]), scale)
        of_all = chosen.sum(axis=1)
        graded = ordered and len(scale) > 2
        weights = kappa.quadratic_weights(len(scale)) if graded else None
        if graded:
            statistics[ALPHA_ORDINAL] = partial(kappa.krippendorff, counts, distance="ordinal")
        statistics[ALPHA_NOMINAL] = partial(kappa.krippendorff, counts, distance="nominal")
        statistics[FLEISS] = its.with_alone(partial(kappa.fleiss, of_all))
        statistics[RANDOLPH] = partial(kappa.randolph, counts)
        statistics[AC1] = its.with_alone(partial(kappa.gwet, of_all))
        if graded:
            statistics[AC2] = its.with_alone(partial(kappa.gwet, of_all, weights=weights))
        statistics[WEIGHTED if graded else CONGER] = its.with_alone(partial(kappa.conger, chosen, weights=weights))
    else:
        statistics[ALPHA_INTERVAL] = partial(kappa.krippendorff_interval, its.values)
    if not scale or (ordered and len(scale) > 2):
        forms: dict[str, Form] = {ICC_ONE: "ICC(2,1)", ICC_MEAN: "ICC(2,k)"}
        statistics |= {name: partial(icc, its.values, form=form) for name, form in forms.items()}
    of_what = "items" if clusters is None else "questions"
    return [_coefficient(name, its, statistic, seed, resamples, of_what) for name, statistic in statistics.items()]


def pair_kappas(
    ratings: Iterable[Rated],
    scale: Sequence[float],
    *,
    ordered: bool = True,
    clusters: Mapping[Hashable, Hashable] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[PairKappa]:
    """Cohen's kappa of every two raters who share an item, weighted by squared steps where values are ordered.

    None below five items. Other arguments and errors as for `table`.
    """
    scale = sorted(scale)
    its = _laid(ratings, scale, clusters)
    weights = kappa.quadratic_weights(len(scale)) if ordered else None
    found = []
    for one, other in combinations(range(len(its.raters)), 2):
        rows, both = its.pair(one, other, scale)
        names = its.raters[one], its.raters[other]
        if not len(rows):
            continue
        if len(rows) < MIN_SHARED:
            found.append(PairKappa(names, None, None, None, len(rows), f"fewer than {MIN_SHARED} items of both"))
            continue
        statistic = partial(kappa.cohen, both, weights=weights)
        value = value_of(statistic, len(rows))
        if value is None:
            found.append(PairKappa(names, None, None, None, len(rows), ONE_SAID))
            continue
        of_what = "items" if clusters is None else "questions"
        low, high, method = interval_of(
            statistic, [its.clusters[row] for row in rows], seed, resamples, AGREEING, of_what
        )
        found.append(PairKappa(names, value, low, high, len(rows), method=method))
    return found


def krippendorff_alpha(ratings: Iterable[Rated], distance: Distance = "nominal") -> Alpha:
    """Alpha over the items that two or more raters judged; any may be missing. Formula and source: evaluation.kappa.

    Raises InvalidInput when a rater has two values for one item.
    """
    its = _laid(ratings)
    n_items, n_values = len(its.values), int(np.isfinite(its.values).sum())
    if distance == "interval":
        value = value_of(partial(kappa.krippendorff_interval, its.values), n_items)
    else:
        counts = its.counts(np.unique(its.values[np.isfinite(its.values)]).tolist() or [0.0])
        value = value_of(partial(kappa.krippendorff, counts, distance=distance), n_items)
    return Alpha(value, distance, n_items, its.n_raters, n_values)


def rater_agreement(
    ratings: Iterable[Rated], *, span: float | None = None, least: int = MIN_SHARED
) -> dict[str, RaterAgreement]:
    """Each rater's agreement with the others: the mean over shared items of how near the others' values are.

    With a span, the width of the scale, two values agree by 1 - |difference| / span; without one they are the same or
    not. The rater's own values never count among the others'. Raises InvalidInput when a rater has two values for
    one item.
    """
    return {
        rater: RaterAgreement(rater, len(its), sum(its.values()) / len(its) if len(its) >= max(1, least) else None)
        for rater, its in sorted(nearness(ratings, span=span).items())
    }


def nearness(ratings: Iterable[Rated], *, span: float | None = None) -> dict[str, dict[Hashable, float]]:
    """By rater and shared item how near the others' values are, from 0 to 1; arguments and errors as above."""
    found: dict[str, dict[Hashable, float]] = {}
    for item, values in _by_item(ratings).items():
        for rater, value in values.items():
            others = [other for name, other in values.items() if name != rater]
            its = found.setdefault(rater, {})
            if others:
                its[item] = sum(_near(value, other, span) for other in others) / len(others)
    return found


def disagreement(ratings: Iterable[Rated], least: int = MIN_SHARED) -> Disagreement:
    """How often two raters say different things of the same item. Raises InvalidInput as above."""
    differ = [a != b for values in _by_item(ratings).values() for a, b in combinations(values.values(), 2)]
    return Disagreement(len(differ), sum(differ) / len(differ) if len(differ) >= max(1, least) else None)


def _laid(
    ratings: Iterable[Rated], scale: Sequence[float] = (), clusters: Mapping[Hashable, Hashable] | None = None
) -> _Table:
    by_item = _by_item(ratings)
    outside = sorted({value for values in by_item.values() for value in values.values()} - set(scale))
    if scale and outside:
        raise InvalidInput(
            f"A rating of {outside[0]:g} is not on the scale; give every value that raters could choose."
        )
    raters = sorted({rater for values in by_item.values() for rater in values})
    shared = {item: values for item, values in by_item.items() if len(values) > 1}
    others = [values for values in by_item.values() if len(values) == 1]
    return _Table(
        _matrix(shared.values(), raters),
        _matrix(others, raters),
        raters,
        [item if clusters is None else clusters[item] for item in shared],
    )


def _matrix(rows: Collection[Mapping[str, float]], raters: Sequence[str]) -> Floats:
    table = np.array([[values.get(rater, np.nan) for rater in raters] for values in rows], dtype=float)
    return table.reshape(len(rows), len(raters))


def _chosen(values: Floats, scale: Sequence[float]) -> Floats:
    """1 at the value that each rater gave to each item (N, J, q)."""
    return (values[:, :, None] == np.asarray(scale)).astype(float)


def _coefficient(name: str, its: _Table, statistic: Statistic, seed: int, resamples: int, of_what: str) -> Coefficient:
    n_items, n_raters, misleads = len(its.values), its.n_raters, MISLEADS[name]
    reason = NONE_SHARED if n_items == 0 else ONE_SHARED if n_items == 1 else ""
    value = None if reason else value_of(statistic, n_items)
    if value is None:
        said = its.values[np.isfinite(its.values)]
        alike = len(said) > 0 and np.ptp(said) == 0
        reason = reason or (ONE_SAID if alike else NOT_TOLD)
        return Coefficient(name, None, None, None, n_items, n_raters, misleads, reason)
    low, high, method = interval_of(statistic, its.clusters, seed, resamples, AGREEING, of_what)
    return Coefficient(name, value, low, high, n_items, n_raters, misleads, "", method)


def _by_item(ratings: Iterable[Rated]) -> dict[Hashable, dict[str, float]]:
    items: dict[Hashable, dict[str, float]] = {}
    for item, rater, value in ratings:
        values = items.setdefault(item, {})
        if rater in values:
            raise InvalidInput("A rater has two values for the same item; give one of them.")
        values[rater] = value
    return items


def _near(value: float, other: float, span: float | None) -> float:
    return float(value == other) if span is None else 1 - min(1.0, abs(value - other) / span)

"""Differences between models on every measure: paired by question, permuted by question, adjusted over all of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import asin, sqrt
from typing import Literal

import numpy as np

from evaluation.human_estimates import Resampling, Table, Value, difference_of, mean_of
from evaluation.human_measures import Judged, Measure, Preferred
from evaluation.stats import ANY, Floats, sign_flip_p

ALPHA = 0.05
HALF = 0.5  # of the votes: neither model is preferred
Better = Literal["first", "second", "not shown"]


@dataclass(frozen=True, slots=True)
class HumanDifference:
    """A measure of the second model less that of the first, over the questions on which both were judged.

    Of votes value is the second one's share of the preferences between the two, ties halved. equal: the value where
    neither is better, 0, of votes a half. p: of that value, by permuting the two models within whole questions; q: p
    after Benjamini and Hochberg over all measures and pairs of models of this table. effect: Cohen's d, or h of shares
    (of votes against a half), as effect_name says. better: which model is, where q is below 0.05 and the interval does
    not hold the value of equal ones.
    """

    measure: str
    label: str
    first: str
    second: str
    before: float
    after: float
    value: float
    low: float | None
    high: float | None
    p: float
    q: float
    effect: float | None
    effect_name: str
    better: Better
    n_questions: int
    is_share: bool
    method: str
    equal: float = 0.0


def rate_differences(
    values: Iterable[Judged], measures: Sequence[Measure], models: Sequence[str], drawn: Resampling, seed: int
) -> list[HumanDifference]:
    """Every pair of models on every measure of single answers, adjusted together."""
    by_place: dict[tuple[str, str], list[Value]] = {}
    for its in values:
        by_place.setdefault((its.measure, its.model), []).append(Value(its.question, its.rater, its.value))
    found = [
        difference
        for measure in measures
        for first, second in combinations(models, 2)
        if (difference := _rated(measure, first, second, by_place, drawn, seed)) is not None
    ]
    return adjusted(found, {measure.id: measure for measure in measures})


def pair_differences(
    votes: Iterable[Preferred], measures: Sequence[Measure], models: Sequence[str], drawn: Resampling, seed: int
) -> list[HumanDifference]:
    """Every pair of models on every measure of votes between the two, adjusted together."""
    by_place: dict[tuple[str, str, str], list[Value]] = {}
    for its in votes:
        place = its.measure, its.first, its.second
        by_place.setdefault(place, []).append(Value(its.question, its.rater, 1 - its.value))
    found = [
        _voted(measure, first, second, by_place[measure.id, first, second], drawn, seed)
        for measure in measures
        for first, second in combinations(models, 2)
        if (measure.id, first, second) in by_place
    ]
    return adjusted(found, {measure.id: measure for measure in measures})


def adjusted(found: Sequence[HumanDifference], measures: Mapping[str, Measure]) -> list[HumanDifference]:
    """The same with q and what is better, adjusted among themselves (Y. Benjamini, Y. Hochberg, JRSS B 1995)."""
    if not found:
        return []
    from scipy.stats import false_discovery_control

    control = false_discovery_control([its.p for its in found], method="bh")
    return [
        replace(its, q=float(q), better=_better(its, float(q), measures[its.measure]))
        for its, q in zip(found, control, strict=True)
    ]


def cohen_d(first: Floats, second: Floats) -> float | None:
    """Difference of the means by the pooled standard deviation (J. Cohen, 1988, chapter 2); None without any spread."""
    degrees = len(first) + len(second) - 2
    if degrees < 1:
        return None
    squares = ((first - first.mean()) ** 2).sum() + ((second - second.mean()) ** 2).sum()
    return float((second.mean() - first.mean()) / sqrt(squares / degrees)) if squares > 0 else None


def cohen_h(before: float, after: float) -> float:
    """2 asin(sqrt(after)) - 2 asin(sqrt(before)) of two shares (J. Cohen, 1988, chapter 6)."""
    return 2 * asin(sqrt(after)) - 2 * asin(sqrt(before))


def _rated(
    measure: Measure, first: str, second: str, by_place: Mapping[tuple[str, str], Sequence[Value]],
    drawn: Resampling, seed: int,
) -> HumanDifference | None:  # fmt: skip
    sides = [by_place.get((measure.id, model), []) for model in (first, second)]
    shared = {its.question for its in sides[0]} & {its.question for its in sides[1]}
    if not shared:
        return None
    kept = [[its for its in side if its.question in shared] for side in sides]
    tables = [drawn.table(side) for side in kept]
    numbers = [np.array([its.value for its in side]) for side in kept]
    interval = difference_of(tables[0], tables[1], drawn, measure.high - measure.low)
    before, after = tables[0].mean, tables[1].mean
    effect = cohen_h(before, after) if measure.is_share else cohen_d(numbers[0], numbers[1])
    return HumanDifference(
        measure.id, measure.label, first, second, before, after, after - before, interval.low, interval.high,
        _permuted_p(_question_means(tables[1]) - _question_means(tables[0]), seed), 1.0, effect,
        "h" if measure.is_share else "d", "not shown", len(shared), measure.is_share, interval.method,
    )  # fmt: skip


def _voted(
    measure: Measure, first: str, second: str, values: Sequence[Value], drawn: Resampling, seed: int
) -> HumanDifference:  # fmt: skip
    found = mean_of(values, drawn, (0.0, 1.0))
    share = found.value or 0.0
    table = drawn.table(values)
    return HumanDifference(
        measure.id, measure.label, first, second, 1 - share, share, share, found.low, found.high,
        _permuted_p(_question_means(table) - HALF, seed), 1.0, cohen_h(HALF, share), "h",
        "not shown", int(table.counts.any(axis=1).sum()), True, found.method, HALF,
    )  # fmt: skip


def _question_means(table: Table) -> Floats:
    """(Q,), NaN where a question was not judged."""
    with np.errstate(invalid="ignore"):
        return table.sums.sum(axis=1) / table.counts.sum(axis=1)


def _permuted_p(gaps: Floats, seed: int) -> float:
    told = gaps[np.isfinite(gaps)]
    return float(sign_flip_p(told[:, None], np.random.default_rng(seed))[0])


def _better(its: HumanDifference, q: float, measure: Measure) -> Better:
    low, high = (its.low, its.high) if its.low is not None and its.high is not None else ANY
    if q >= ALPHA or low <= its.equal <= high:
        return "not shown"
    return "second" if (its.value > its.equal) == (measure.better == "high") else "first"

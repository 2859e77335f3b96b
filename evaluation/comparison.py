"""Two models on the same items: by how much they differ, and whether that is more than chance."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal, Protocol

import numpy as np

from evaluation.metric_table import METRICS, Better, bounds_of
from evaluation.stats import (
    SHARES,
    Floats,
    Interval,
    bootstrap_intervals,
    by_cluster,
    constant_interval,
    kept_within,
    sign_flip_p,
)

ALPHA = 0.05  # share of false discoveries that "better" and "worse" may hold
SMALL_GROUP = 10

Verdict = Literal["better", "worse", "not shown", ""]


class Scored(Protocol):
    """What is compared of a stored prediction."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def suite(self) -> str: ...  # noqa: D102
    @property
    def question_id(self) -> str: ...  # noqa: D102
    @property
    def scores(self) -> Mapping[str, float | None]: ...  # noqa: D102
    @property
    def groups(self) -> Mapping[str, str]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Difference:
    """A metric of the second model less that of the first, over the n items that both have a value for.

    group: "" for all items, else "name: value". before, after: the two means. value, low, high: their difference
    with its 95 % interval, None where the items do not vary. n_left_out: items without a value of both. p: of no
    difference; q: p adjusted for the number of comparisons, p itself where none is judged. verdict: on the second
    model, "" for a metric of which neither more nor less is better. is_same: no item's values differ.
    """

    metric: str
    group: str
    before: float
    after: float
    value: float
    low: float | None
    high: float | None
    n: int
    n_left_out: int
    p: float
    q: float
    verdict: Verdict
    method: str
    is_same: bool = False

    @property
    def few(self) -> bool:
        """Whether the group is too small to say much."""
        return self.n < SMALL_GROUP


@dataclass(frozen=True)
class _Pairs:
    """Values of both models (N, M), NaN where there is none, with the question and the groups of each item."""

    metrics: Sequence[str]
    before: Floats
    after: Floats
    questions: Sequence[str]
    groups: Sequence[Mapping[str, str]]
    n_unpaired: int

    def part(self, rows: Sequence[int]) -> "_Pairs":
        """Only these items."""
        return _Pairs(
            self.metrics, self.before[rows], self.after[rows],
            [self.questions[row] for row in rows], [self.groups[row] for row in rows], 0,
        )  # fmt: skip


def compare(
    first: Iterable[Scored],
    second: Iterable[Scored],
    rng: np.random.Generator,
    metrics: Collection[str] | None = None,
    *,
    by_group: bool = True,
) -> list[Difference]:
    """What the second model's predictions differ by from the first's, metric by metric, then group by group.

    Items are paired by suite and id; those of one model alone are left out and counted. Only metrics that both
    have (and that are among `metrics`, where given) are compared. Intervals: paired bootstrap over questions,
    Student's t below 10. p: McNemar's exact test for zeros and ones, else flipped signs of the questions'
    differences. q: Benjamini and Hochberg over the metrics; over all groups and metrics together for groups; for
    several models see `adjusted`. "better" and "worse" take q below 0.05 and an interval without 0.
    """
    pairs = _paired(list(first), list(second), metrics)
    whole = _differences(pairs, "", rng)
    parts: list[Difference] = []
    if by_group:
        for group, rows in _rows_by_group(pairs.groups).items():
            parts += _differences(pairs.part(rows), group, rng)
    return [*adjusted(whole), *adjusted(parts)]


def adjusted(differences: Sequence[Difference]) -> list[Difference]:
    """The same with q and verdict, adjusted among themselves (Y. Benjamini, Y. Hochberg, JRSS B 1995).

    Metrics without a better side get no verdict, and those without any difference can get none: neither is counted
    among the comparisons. Whether there is a difference tells nothing of its sign, on which p rests.
    """
    places = [place for place, its in enumerate(differences) if _can_be_shown(its)]
    judged = [replace(its, q=its.p, verdict=_verdict(its, its.p)) for its in differences]
    if not places:
        return judged
    from scipy.stats import false_discovery_control

    control = false_discovery_control([differences[place].p for place in places], method="bh")
    for place, q in zip(places, control, strict=True):
        judged[place] = replace(differences[place], q=float(q), verdict=_verdict(differences[place], float(q)))
    return judged


def adjusted_together(differences: Mapping[str, Sequence[Difference]]) -> dict[str, list[Difference]]:
    """Those of several models, by model, adjusted over all of them together."""
    judged = iter(adjusted([its for found in differences.values() for its in found]))
    return {model: list(islice(judged, len(found))) for model, found in differences.items()}


def better_is(metric: str) -> Better:
    """Which way a metric is better; "neither" for one that is not known."""
    return METRICS[metric].better if metric in METRICS else "neither"


def _paired(first: Sequence[Scored], second: Sequence[Scored], wanted: Collection[str] | None) -> _Pairs:
    theirs = {(item.suite, item.id): item for item in second}
    both = [(item, theirs[item.suite, item.id]) for item in first if (item.suite, item.id) in theirs]
    known = {name for item in second for name in item.scores}
    names = dict.fromkeys(name for item in first for name in item.scores if name in known)
    metrics = [name for name in names if wanted is None or name in wanted]
    before, after = (
        np.array([[_number(item.scores.get(name)) for name in metrics] for item in items], dtype=float)
        for items in ([pair[0] for pair in both], [pair[1] for pair in both])
    )
    shape = (len(both), len(metrics))
    return _Pairs(
        metrics, before.reshape(shape), after.reshape(shape),
        [item.question_id or item.id for item, _ in both], [item.groups for item, _ in both],
        len(first) + len(second) - 2 * len(both),
    )  # fmt: skip


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _rows_by_group(groups: Sequence[Mapping[str, str]]) -> dict[str, list[int]]:
    """Rows of each "name: value", of names that tell items apart."""
    rows: dict[str, list[int]] = {}
    values: dict[str, set[str]] = {}
    for row, its_groups in enumerate(groups):
        for name, value in its_groups.items():
            values.setdefault(name, set()).add(value)
            rows.setdefault(f"{name}: {value}", []).append(row)
    telling = {name for name, its_values in values.items() if len(its_values) > 1}
    return {group: rows[group] for group in sorted(rows) if group.partition(": ")[0] in telling}


def _differences(pairs: _Pairs, group: str, rng: np.random.Generator) -> list[Difference]:
    """One a metric that has a pair of values, not judged yet."""
    scored = ~np.isnan(pairs.after - pairs.before)  # (N, M)
    columns = [column for column in range(len(pairs.metrics)) if scored[:, column].any()]
    if not columns:
        return []
    gaps = np.where(scored, pairs.after - pairs.before, 0.0)
    by_question = [by_cluster(gaps[:, column], pairs.questions)[0] for column in columns]
    asked = [by_cluster(scored[:, column] * 1.0, pairs.questions)[0] for column in columns]
    sums, counts = np.stack(by_question, axis=1), np.stack(asked, axis=1)  # (G, M)
    intervals = bootstrap_intervals(sums, counts, rng)
    flipped = sign_flip_p(sums, rng)
    return [
        _difference(pairs, column, group, intervals[place], float(flipped[place]), counts[:, place])
        for place, column in enumerate(columns)
    ]


def _difference(
    pairs: _Pairs, column: int, group: str, interval: Interval, p_flipped: float, counts: Floats
) -> Difference:
    rows = ~np.isnan(pairs.after[:, column] - pairs.before[:, column])
    before, after = pairs.before[rows, column], pairs.after[rows, column]
    value = float((after - before).mean())
    both = np.concatenate([before, after])
    p, test = p_flipped, "flipped signs"
    bounds = bounds_of(pairs.metrics[column])
    if bounds == SHARES or (bounds is None and 0 <= both.min() <= both.max() <= 1):
        if np.isin(both, (0, 1)).all() and counts.max() <= 1:
            p, test = _mcnemar(before, after), "McNemar, exact"
        if interval.low is None:
            interval = constant_interval(value, int((counts > 0).sum()), -1.0, 1.0)
        interval = kept_within(interval, (-1.0, 1.0))
    return Difference(
        pairs.metrics[column], group, float(before.mean()), float(after.mean()), value, interval.low, interval.high,
        int(rows.sum()), len(rows) - int(rows.sum()) + pairs.n_unpaired, p, 1.0, "",
        f"paired {interval.method}; p: {test}", not (after != before).any(),
    )  # fmt: skip


def _mcnemar(before: Floats, after: Floats) -> float:
    """Exact two-sided p of the items that only one model has right (Q. McNemar, Psychometrika 1947)."""
    from statsmodels.stats.contingency_tables import mcnemar

    table = [[int(((before == i) & (after == j)).sum()) for j in (1, 0)] for i in (1, 0)]
    return min(1.0, float(mcnemar(table, exact=True).pvalue))


def _can_be_shown(difference: Difference) -> bool:
    return not difference.is_same and better_is(difference.metric) != "neither"


def _verdict(difference: Difference, q: float) -> Verdict:
    better = better_is(difference.metric)
    if better == "neither":
        return ""
    has_zero = difference.low is not None and difference.high is not None and difference.low <= 0 <= difference.high
    if q >= ALPHA or has_zero:
        return "not shown"
    return "better" if (difference.value > 0) == (better == "high") else "worse"

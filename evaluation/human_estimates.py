"""Means of judgements with intervals for other questions and other raters, and differences between models.

Judgements of one question are no news to each other, and neither are those of one rater: both are drawn anew.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from evaluation.stats import (
    FEW_CLUSTERS,
    Estimate,
    Floats,
    Interval,
    constant_interval,
    estimate,
    expanded_tail,
    kept_within,
    t_quantile,
)

FEW_RATERS = 5  # fewer say nothing of how much other raters would differ
SMALL_COUNT = 10  # of either answer, below which an exact interval takes the place of resampling


class Value(NamedTuple):
    """One judgement."""

    question: Hashable
    rater: Hashable
    value: float


@dataclass(frozen=True)
class Table:
    """Sums and numbers of values by question and rater, (Q, T) each."""

    sums: Floats
    counts: Floats

    @property
    def n(self) -> int:
        """Values in it."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Of all its values."""
        return float(self.sums.sum() / self.counts.sum())

    @property
    def residuals(self) -> Floats:
        """What each question and rater (Q, T) adds to the mean, by linearisation."""
        return (self.sums - self.mean * self.counts) / self.n


@dataclass(frozen=True)
class Resampling:
    """How often each question (R, Q) and each rater (R, T) occurs in every resample, with their places.

    Both are drawn anew, independently, and a judgement occurs as often as the product of the two (A. B. Owen, The
    pigeonhole bootstrap, Annals of Applied Statistics 2007); with fewer than 5 raters only questions are. Every figure
    of one analysis takes the same resamples, so that differences are paired.
    """

    questions: dict[Hashable, int]
    raters: dict[Hashable, int]
    of_questions: Floats
    of_raters: Floats

    @property
    def both_ways(self) -> bool:
        """Whether raters are drawn too."""
        return len(self.raters) >= FEW_RATERS

    @property
    def method(self) -> str:
        """In words."""
        n_questions, n_raters = len(self.questions), len(self.raters)
        if self.both_ways:
            drawn, few = f"two-way bootstrap over {n_questions} questions and {n_raters} raters", "few raters"
        else:
            drawn = f"bootstrap over {n_questions} questions ({n_raters} raters are too few to be drawn)"
            few = "few questions"
        return f"{drawn}, percentiles widened for {few} (Satterthwaite), 95 %"

    def table(self, values: Iterable[Value]) -> Table:
        """The values by question and rater."""
        shape = (len(self.questions), len(self.raters))
        sums, counts = np.zeros(shape), np.zeros(shape)
        for question, rater, value in values:
            place = self.questions[question], self.raters[rater]
            sums[place] += value
            counts[place] += 1
        return Table(sums, counts)

    def means(self, table: Table) -> Floats:
        """The mean in every resample (R,); NaN where no value was drawn."""
        sums = ((self.of_questions @ table.sums) * self.of_raters).sum(axis=1)
        counts = ((self.of_questions @ table.counts) * self.of_raters).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return sums / counts

    def clusters(self, residuals: Floats) -> int:
        """What the number of clusters is worth, from the residuals (Q, T) of a mean.

        One more than Satterthwaite's degrees of freedom of the variances between questions and between raters: few
        raters count where they differ (F. E. Satterthwaite, Biometrics Bulletin 1946).
        """
        sides = [residuals.sum(axis=1)[residuals.any(axis=1)]]
        if self.both_ways:
            sides.append(residuals.sum(axis=0)[residuals.any(axis=0)])
        variances = [float((side**2).sum()) for side in sides]
        below = sum(variance**2 / max(1, len(side) - 1) for variance, side in zip(variances, sides, strict=True))
        return int(sum(variances) ** 2 / below) + 1 if below > 0 else 0


def resampling(values: Iterable[tuple[Hashable, Hashable]], seed: int, resamples: int) -> Resampling:
    """Resamples of the questions and raters that occur, each given as (question, rater)."""
    questions: dict[Hashable, int] = {}
    raters: dict[Hashable, int] = {}
    for question, rater in values:
        questions.setdefault(question, len(questions))
        raters.setdefault(rater, len(raters))
    rng = np.random.default_rng(seed)
    of_questions = _drawn(len(questions), resamples, rng)
    drawn = _drawn(len(raters), resamples, rng)
    of_raters = drawn if len(raters) >= FEW_RATERS else np.ones_like(drawn)
    return Resampling(questions, raters, of_questions, of_raters)


def mean_of(values: Sequence[Value], drawn: Resampling, bounds: tuple[float, float], n_unscored: int = 0) -> Estimate:
    """The mean with its 95 % interval, for other questions and raters like these.

    Shares with fewer than 10 judgements of either kind: Clopper and Pearson's exact interval, for as many independent
    judgements as they are worth. Fewer than 10 questions: Student's t over questions. No spread: Wilson's bound.
    """
    if not values:
        return Estimate(None, 0, n_unscored, None, None, "nothing judged")
    table = drawn.table(values)
    numbers = np.array([its.value for its in values])
    is_binary = bounds == (0.0, 1.0) and bool(np.isin(numbers, (0.0, 1.0)).all())
    n_questions = int(table.counts.any(axis=1).sum())
    if is_binary and min(numbers.sum(), len(numbers) - numbers.sum()) < SMALL_COUNT:
        interval = _exact(table, drawn)
    elif np.ptp(numbers) == 0:
        interval = constant_interval(float(numbers[0]), n_questions, *bounds)
    elif n_questions < FEW_CLUSTERS:
        found = estimate(numbers.tolist(), [its.question for its in values], "t", bounds=bounds)
        interval = Interval(found.low, found.high, found.method)
    else:
        interval = _percentiles(drawn.means(table), drawn.clusters(table.residuals), drawn.method)
    return Estimate(table.mean, len(numbers), n_unscored, *kept_within(interval, bounds))


def difference_of(first: Table, second: Table, drawn: Resampling, span: float) -> Interval:
    """A 95 % interval for the mean of the second less that of the first, of the same questions."""
    n_questions = int((first.counts.any(axis=1) & second.counts.any(axis=1)).sum())
    if n_questions < 2:
        return Interval(None, None, "no interval: fewer than two questions")
    gaps = drawn.means(second) - drawn.means(first)
    told = gaps[np.isfinite(gaps)]
    if not len(told) or np.ptp(told) < 1e-12:
        return constant_interval(second.mean - first.mean, n_questions, -span, span)
    clusters = drawn.clusters(second.residuals - first.residuals)
    return kept_within(_percentiles(gaps, clusters, f"paired {drawn.method}"), (-span, span))


def clopper_pearson(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a proportion (C. J. Clopper, E. S. Pearson, Biometrika 1934); n need not be whole."""
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = 0.0 if successes <= 0 else float(beta.ppf(tail, successes, n - successes + 1))
    high = 1.0 if successes >= n else float(beta.ppf(1 - tail, successes + 1, n - successes))
    return low, high


def _exact(table: Table, drawn: Resampling) -> Interval:
    """Clopper-Pearson for n / deff (z / t)^2 judgements (E. L. Korn, B. I. Graubard, Survey Methodology 1998).

    The design effect comes of the resamples, and is at least 1; where nothing varies each question counts as one.
    """
    n, p = table.n, table.mean
    n_questions = int(table.counts.any(axis=1).sum())
    worth = float(n_questions)
    if 0 < p < 1:
        means = drawn.means(table)
        variance = float(np.nanvar(means))
        clusters = drawn.clusters(table.residuals)
        shrunk = (1.96 / t_quantile(clusters - 1)) ** 2 if clusters > 1 else 1.0
        if variance > 0:
            worth = min(n, p * (1 - p) / variance) * shrunk
    worth = max(1.0, worth)
    low, high = clopper_pearson(p * worth, worth)
    return Interval(low, high, f"Clopper-Pearson, n worth {worth:.0f} independent judgements, 95 %")


def _percentiles(drawn: Floats, clusters: int, method: str) -> Interval:
    told = drawn[np.isfinite(drawn)]
    if clusters < 2 or len(told) < len(drawn) / 2:
        return Interval(None, None, "no interval: too few questions or raters")
    tail = expanded_tail(clusters)
    low, high = np.quantile(told, [tail, 1 - tail])
    return Interval(float(low), float(high), method)


def _drawn(n: int, resamples: int, rng: np.random.Generator) -> Floats:
    """How often each of n clusters occurs in every resample of n, (R, n)."""
    return rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(float) if n else np.zeros((resamples, 0))

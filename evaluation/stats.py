"""From one value per item to an estimate with its interval, and to the probability of a difference by chance."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
RESAMPLES = 2000
SIGN_DRAWS = 4999
FEW_CLUSTERS = 10  # below it a bootstrap knows too little of the spread: Student's t instead
CELLS_AT_ONCE = 1 << 22  # of a matrix of resamples, about 32 MB

Floats = npt.NDArray[np.float64]
Bounds = tuple[float, float]  # the least and the most that a value can be
SHARES: Bounds = (0.0, 1.0)
COUNTS: Bounds = (0.0, float("inf"))
ANY: Bounds = (float("-inf"), float("inf"))
Method = Literal["auto", "wilson", "t", "bootstrap"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over n scored items and its 95 % interval; all None when nothing could be scored.

    low and high are also None where the items do not vary and say nothing of how much others would.
    """

    value: float | None
    n: int
    n_unscored: int
    low: float | None
    high: float | None
    method: str = "Wilson, 95 %"


class Interval(NamedTuple):
    """A 95 % interval, None where it cannot be told, and how it was made."""

    low: float | None
    high: float | None
    method: str


def share(values: Sequence[float | None]) -> Estimate:
    """The mean of values between 0 and 1 with its Wilson interval; None is unscored and counted apart.

    Values between 0 and 1 spread less than zeros and ones of the same mean do: for them the interval is
    wider than it need be.
    """
    scored = [value for value in values if value is not None]
    n_unscored = len(values) - len(scored)
    if not scored:
        return Estimate(None, 0, n_unscored, None, None)
    low, high = wilson(sum(scored), len(scored))
    return Estimate(sum(scored) / len(scored), len(scored), n_unscored, low, high)


def wilson(successes: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a proportion (E. B. Wilson, JASA 1927); n is above 0."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    # At the ends the two parts cancel: what is left of them is rounding.
    return 0.0 if p == 0 else max(0.0, centre - half), 1.0 if p == 1 else min(1.0, centre + half)


def estimate(
    values: Sequence[float | None],
    clusters: Sequence[Hashable] | None = None,
    method: Method = "auto",
    rng: np.random.Generator | None = None,
    bounds: Bounds | None = None,
) -> Estimate:
    """The mean of the values with an interval for questions like these; None is unscored and counted apart.

    clusters: the question of each value; values of one question are no news to each other. method "auto" takes
    Wilson for shares that are zeros and ones; a bootstrap over questions for other values, Student's t where the
    questions are fewer than 10. rng: for the bootstrap; without one the same values give the same interval. bounds:
    what the values can be, which the interval keeps to; None takes values from 0 to 1 for shares, others for any.
    """
    names = range(len(values)) if clusters is None else clusters
    scored = [(value, name) for value, name in zip(values, names, strict=True) if value is not None]
    n_unscored = len(values) - len(scored)
    if not scored:
        return Estimate(None, 0, n_unscored, None, None, "nothing scored")
    numbers = np.array([value for value, _ in scored], dtype=float)
    sums, counts = by_cluster(numbers, [name for _, name in scored])
    bounds = bounds or (SHARES if 0 <= numbers.min() <= numbers.max() <= 1 else ANY)
    chosen = _method_for(numbers, len(sums), bounds) if method == "auto" else method
    if chosen == "wilson":
        interval = _clustered_wilson(sums, counts)
    elif chosen == "t":
        interval = t_interval(sums, counts)
    else:
        (interval,) = bootstrap_intervals(sums[:, None], counts[:, None], rng or np.random.default_rng(0))
    if interval.low is None and np.isfinite(bounds).all():
        interval = constant_interval(float(numbers.mean()), len(sums), *bounds)
    elif interval.low is None and bounds == COUNTS and not numbers.any():
        some = f"{100 * wilson(0, len(sums))[1]:.1f} %"
        interval = interval._replace(method=f"{interval.method}; Wilson, 95 %: up to {some} of answers have some")
    return Estimate(float(numbers.mean()), len(numbers), n_unscored, *kept_within(interval, bounds))


def by_cluster(values: Floats, clusters: Sequence[Hashable]) -> tuple[Floats, Floats]:
    """Sum of the values (G,) and their number (G,) in each cluster, in the order in which clusters appear."""
    place: dict[Hashable, int] = {}
    index = np.array([place.setdefault(name, len(place)) for name in clusters], dtype=np.intp)
    sums, counts = (np.bincount(index, weights) for weights in (values, np.ones(len(index))))
    return sums.astype(np.float64), counts.astype(np.float64)


def t_interval(sums: Floats, counts: Floats) -> Interval:
    """Student's t interval of the mean with the variance between clusters, G - 1 degrees of freedom."""
    n_clusters = len(sums)
    spread = _variance_of_mean(sums, counts) ** 0.5 if n_clusters > 1 else 0.0
    if spread == 0:
        return Interval(None, None, "no interval: the values do not vary")
    mean, half = sums.sum() / counts.sum(), t_quantile(n_clusters - 1) * spread
    return Interval(float(mean - half), float(mean + half), f"Student's t over {n_clusters} questions, 95 %")


def kept_within(interval: Interval, bounds: Bounds) -> Interval:
    """The interval without what lies outside the bounds, where no mean can be; its method says when some did."""
    (low, high, method), (least, most) = interval, bounds
    if low is None or high is None or (low >= least and high <= most):
        return interval
    kept = f"from {least:g} to {most:g}" if np.isfinite(bounds).all() else f"from {least:g} on"
    return Interval(min(max(low, least), most), max(min(high, most), least), f"{method}, cut to what it can be: {kept}")


def constant_interval(value: float, n_clusters: int, least: float, most: float) -> Interval:
    """An interval around the value that all clusters have, when values can be from `least` to `most`.

    As many others as Wilson allows after 0 of n_clusters may lie at the ends of that range. For zeros and ones
    it is Wilson's interval.
    """
    others = wilson(0, n_clusters)[1]
    low, high = value - others * (value - least), value + others * (most - value)
    return Interval(low, high, f"no spread in {n_clusters} questions: Wilson's bound on others, 95 %")


def expanded_tail(n_clusters: int) -> float:
    """What a percentile interval leaves out at either end, less than 2.5 % for few clusters: Phi(-sqrt(G / (G - 1)) t).

    Source: T. Hesterberg, The American Statistician 2015, "expanded percentile".
    """
    return NormalDist().cdf(-((n_clusters / (n_clusters - 1)) ** 0.5) * t_quantile(n_clusters - 1))


def bootstrap_intervals(sums: Floats, counts: Floats, rng: np.random.Generator) -> list[Interval]:
    """An interval for the mean of each column of sums (G, M) over counts (G, M): one row a question.

    Questions are resampled, and the percentiles widened for their number, because a plain percentile interval
    over few questions covers less than it says (`expanded_tail`). Columns with fewer than 10 questions get Student's t.
    """
    means = bootstrap_means(sums, counts, rng)  # (R, M)
    intervals = []
    for column in range(sums.shape[1]):
        asked = counts[:, column] > 0
        its_sums, its_counts = sums[asked, column], counts[asked, column]
        n_clusters = len(its_sums)
        if n_clusters < FEW_CLUSTERS or _variance_of_mean(its_sums, its_counts) == 0:
            intervals.append(t_interval(its_sums, its_counts))
            continue
        tail = expanded_tail(n_clusters)
        low, high = np.nanquantile(means[:, column], [tail, 1 - tail])
        intervals.append(Interval(float(low), float(high), f"bootstrap over {n_clusters} questions, 95 %"))
    return intervals


def bootstrap_means(sums: Floats, counts: Floats, rng: np.random.Generator, resamples: int = RESAMPLES) -> Floats:
    """Means (resamples, M) of the columns when rows of sums and counts (G, M) are drawn anew; NaN without a value."""
    n_rows = len(sums)
    means = np.empty((resamples, sums.shape[1]))
    at_once = max(1, CELLS_AT_ONCE // n_rows)
    for first in range(0, resamples, at_once):
        n = min(at_once, resamples - first)
        times = drawn_times(n, n_rows, rng)
        with np.errstate(invalid="ignore"):
            means[first : first + n] = (times @ sums) / (times @ counts)
    return means


def drawn_times(resamples: int, n_rows: int, rng: np.random.Generator) -> Floats:
    """How often each row is drawn in each resample (resamples, n_rows), with replacement."""
    drawn = rng.integers(n_rows, size=(resamples, n_rows)) + np.arange(resamples)[:, None] * n_rows
    return np.bincount(drawn.ravel(), minlength=resamples * n_rows).reshape(resamples, n_rows).astype(float)


def sign_flip_p(sums: Floats, rng: np.random.Generator) -> Floats:
    """Two-sided p (M,) that differences of questions, the rows of sums (G, M), are around 0: their signs are flipped.

    All sign patterns up to 13 questions, else 4,999 random ones (and the observed one, so that p is never 0).
    """
    n_rows = len(sums)
    observed = np.abs(sums.sum(axis=0)) - 1e-9  # equal sums count as equal, whatever the order of adding
    if 2**n_rows <= SIGN_DRAWS * 2:
        bits = (np.arange(2**n_rows)[:, None] >> np.arange(n_rows)) & 1
        return (np.abs((bits * 2.0 - 1) @ sums) >= observed).mean(axis=0)
    beyond = np.ones(sums.shape[1])
    at_once = max(1, CELLS_AT_ONCE // n_rows)
    for first in range(0, SIGN_DRAWS, at_once):
        n = min(at_once, SIGN_DRAWS - first)
        signs = rng.integers(0, 2, size=(n, n_rows), dtype=np.int8) * 2.0 - 1
        beyond += (np.abs(signs @ sums) >= observed).sum(axis=0)
    return beyond / (SIGN_DRAWS + 1)


def _method_for(numbers: Floats, n_clusters: int, bounds: Bounds) -> Method:
    if bounds == SHARES and np.isin(numbers, (0.0, 1.0)).all():
        return "wilson"
    return "t" if n_clusters < FEW_CLUSTERS else "bootstrap"


def _clustered_wilson(sums: Floats, counts: Floats) -> Interval:
    """Wilson's interval; where questions repeat, for the number of independent items that they are worth.

    That is n / deff (z / t)^2 (E. L. Korn, B. I. Graubard, Survey Methodology 1998), at most n, and the number of
    questions where nothing varies.
    """
    n, n_clusters = counts.sum(), len(sums)
    if n_clusters == n:
        return Interval(*wilson(sums.sum(), n), "Wilson, 95 %")
    p = sums.sum() / n
    worth = float(n_clusters)
    variance = _variance_of_mean(sums, counts) if n_clusters > 1 else 0.0
    if variance > 0:
        z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
        worth = min(n, p * (1 - p) / variance) * (z / t_quantile(n_clusters - 1)) ** 2
    return Interval(*wilson(p * worth, worth), f"Wilson over {n_clusters} questions, 95 %")


def _variance_of_mean(sums: Floats, counts: Floats) -> float:
    """Variance of sum / count between clusters, by linearisation; 0 below two clusters."""
    n_clusters, n = len(sums), counts.sum()
    if n_clusters < 2:
        return 0.0
    residuals = sums - sums.sum() / n * counts
    variance = float(n_clusters / (n_clusters - 1) * (residuals**2).sum() / n**2)
    return variance if variance > 1e-24 * max(1.0, float((sums / n).sum() ** 2)) else 0.0  # else it is rounding


@cache
def t_quantile(degrees: int) -> float:
    """The 97.5 % quantile of Student's t with these degrees of freedom."""
    from scipy.stats import t

    return float(t.ppf(0.5 + CONFIDENCE / 2, degrees))

"""How far strengths would move with other raters and other cases: resampled votes, and variances by cluster."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np

from evaluation.battles import Battles, Ints
from evaluation.bradley_terry import pairs_of
from evaluation.stats import FEW_CLUSTERS, Floats, drawn_times, expanded_tail, t_quantile

Clusters = Literal["rater+case", "case", "rater", "row"]
WEIGHTS_AT_ONCE = 1 << 23  # about 64 MB


class Cells(NamedTuple):
    """Votes that are resampled together. of_vote: the cell (V,) of each vote.

    factors: for each way of clustering the cluster (N,) of each cell, and how many clusters there are.
    """

    of_vote: Ints
    factors: tuple[tuple[Ints, int], ...]

    @property
    def n_cells(self) -> int:
        """N."""
        return len(self.factors[0][0])

    @property
    def fewest(self) -> int:
        """Clusters of the way of clustering that has fewest."""
        return min(n for _, n in self.factors)


def cells_of(battles: Battles, clusters: Clusters) -> Cells:
    """The cells: votes of one rater, on one case, of one rater on one case, or each vote alone."""
    if clusters == "row":
        each = np.arange(len(battles.left))
        return Cells(each, ((each, len(each)),))
    if clusters != "rater+case":
        names, of_vote = np.unique(getattr(battles, clusters), return_inverse=True)
        return Cells(of_vote, ((np.arange(len(names)), len(names)),))
    raters, rater = np.unique(battles.rater, return_inverse=True)
    cases, case = np.unique(battles.case, return_inverse=True)
    cells, of_vote = np.unique(rater * len(cases) + case, return_inverse=True)
    return Cells(of_vote, ((cells // len(cases), len(raters)), (cells % len(cases), len(cases))))


def weights(cells: Cells, rng: np.random.Generator, resamples: int) -> Iterator[Floats]:
    """How often each cell is drawn, (N, b) for some resamples after others.

    Clusters are drawn with replacement, by rater and by case apart, and a cell counts as often as its rater times as
    often as its case was drawn: the pigeonhole bootstrap (A. B. Owen, Annals of Applied Statistics 2007).
    """
    at_once = max(1, WEIGHTS_AT_ONCE // max(1, cells.n_cells))
    for first in range(0, resamples, at_once):
        n = min(at_once, resamples - first)
        times = np.ones((1, n))
        for codes, n_clusters in cells.factors:
            times = times * np.ascontiguousarray(drawn_times(n, n_clusters, rng).T)[codes]
        yield times


def outcome_counts(battles: Battles, n_models: int) -> Ints:
    """Of each vote the number (V,) of its pair's outcome: 3 times the pair, plus 0, 1, 2 for won, tied, lost."""
    low, high = np.minimum(battles.left, battles.right), np.maximum(battles.left, battles.right)
    pair = low * (2 * n_models - low - 1) // 2 + high - low - 1
    won = np.where(battles.left < battles.right, battles.outcome, 1 - battles.outcome)
    return 3 * pair + np.rint(2 - 2 * won).astype(np.int64)


def resampled(
    kind: Ints, n_kinds: int, sums: Floats, cells: Cells, rng: np.random.Generator, resamples: int
) -> tuple[Floats, Floats]:
    """How often each kind of vote is there when clusters are drawn anew, (B, K), and sums of cells (N, Q) then, (B, Q).

    kind: of each vote (V,).
    """
    from scipy.sparse import csc_array

    votes = csc_array((np.ones(len(kind)), (kind, cells.of_vote)), shape=(n_kinds, cells.n_cells))
    votes.sum_duplicates()
    drawn = [((votes @ times).T, times.T @ sums) for times in weights(cells, rng, resamples)]
    return np.concatenate([counts for counts, _ in drawn]), np.concatenate([its for _, its in drawn])


def variances(influence: Floats, cells: Cells) -> list[Floats]:
    """Covariances (Q, Q) of the sums of influence (N, Q): by each way of clustering, then by both at once.

    With two ways of clustering the last one is that of A. C. Cameron, J. B. Gelbach, D. L. Miller (Journal of Business
    and Economic Statistics 2011): by rater plus by case less by rater on case. Each with its factor G / (G - 1).
    """
    by_factor = []
    for codes, n_clusters in cells.factors:
        sums = np.stack([np.bincount(codes, its, minlength=n_clusters) for its in influence.T], axis=1)  # (G, Q)
        by_factor.append(n_clusters / (n_clusters - 1) * sums.T @ sums)
    if len(by_factor) == 1:
        return by_factor
    both = cells.n_cells / (cells.n_cells - 1) * influence.T @ influence
    return [*by_factor, by_factor[0] + by_factor[1] - both]


@dataclass(frozen=True)
class Spread:
    """Values (Q,), what they were when votes were drawn anew (B, Q), and their covariances as `variances` has them."""

    values: Floats
    draws: Floats
    covariances: list[Floats]
    cells: Cells

    @property
    def errors(self) -> Floats:
        """Standard errors (Q,): the largest that the covariances give, as a difference of them can come out below 0."""
        squares = np.max([its.diagonal() for its in self.covariances], axis=0)
        return np.sqrt(np.where(squares > 1e-18, squares, 0.0))  # the rest is rounding

    def of(self, contrasts: Floats) -> "Spread":
        """Of sums (K,) of the values with the weights (K, Q)."""
        covariances = [contrasts @ its @ contrasts.T for its in self.covariances]
        return Spread(contrasts @ self.values, self.draws @ contrasts.T, covariances, self.cells)

    def interval(self) -> tuple[Floats, Floats]:
        """Lower and upper ends (Q,) of the 95 % intervals, see `method`; NaN where all clusters say the same."""
        known = np.where(self.errors > 0, 0.0, np.nan)
        if self.cells.fewest < FEW_CLUSTERS:
            half = t_quantile(self.cells.fewest - 1) * self.errors
            return self.values - half + known, self.values + half + known
        tail = expanded_tail(self.cells.fewest)
        low, high = np.quantile(self.matched(), [tail, 1 - tail], axis=0)
        return low + known, high + known

    def matched(self) -> Floats:
        """The draws (B, Q), with two ways of clustering as far apart as the standard errors say.

        Drawn by rater and by case at once, what is chance in single votes counts three times (A. B. Owen, D. Eckles,
        Annals of Applied Statistics 2012), and intervals come out too wide by up to two thirds.
        """
        if len(self.cells.factors) == 1:
            return self.draws
        spread = self.draws.std(axis=0)
        return self.values + (self.draws - self.values) * (self.errors / np.where(spread > 0, spread, 1.0))


def method(cells: Cells, clusters: Clusters, resamples: int) -> str:
    """How the intervals were made, in words."""
    words = {"row": "votes", "rater": "raters", "case": "cases"}
    found = " and ".join(
        f"{n} {words[name]}" for name, (_, n) in zip(clusters.split("+"), cells.factors, strict=True)
    )  # fmt: skip
    two_ways = len(cells.factors) > 1
    variance = "two-way cluster-robust variance (Cameron, Gelbach, Miller 2011)" if two_ways else "variance by cluster"
    if cells.fewest < FEW_CLUSTERS:
        return f"Student's t with the {variance} over {found}, 95 %"
    drawn = f"pigeonhole bootstrap over {found} (Owen 2007)" if two_ways else f"bootstrap over {found}"
    matched = f" with the spread of the {variance}," if two_ways else ""
    return f"{drawn}, {resamples:,} resamples,{matched} expanded percentiles (Hesterberg 2015), 95 %"


def rank_ranges(n_models: int, differences: Spread) -> tuple[Ints, Ints]:
    """The best and the worst rank (M,) that each model may have, right for all models at once in 95 % of studies.

    differences: of every pair, in the order of `pairs_of`. A model is below another only where their difference is
    beyond what the largest one of all pairs is by chance (M. Mogstad, J. P. Romano, A. M. Shaikh, D. Wilhelm, Review
    of Economic Studies 2024).
    """
    first, second = pairs_of(n_models)
    fewest, least = differences.cells.fewest, np.finfo(float).tiny
    spread = np.maximum(differences.draws.std(axis=0), least)
    largest = (np.abs(differences.draws - differences.values) / spread).max(axis=1)
    for_few = t_quantile(fewest - 1) if fewest < FEW_CLUSTERS else -NormalDist().inv_cdf(expanded_tail(fewest))
    beyond = np.quantile(largest, 0.95) * for_few / NormalDist().inv_cdf(0.975)
    errors = np.where(differences.errors > 0, differences.errors, np.inf)  # nothing shows how sure such a one is
    size = differences.values / errors
    better, worse = (
        np.r_[first[size > beyond], second[size < -beyond]],
        np.r_[second[size > beyond], first[size < -beyond]],
    )
    return 1 + np.bincount(worse, minlength=n_models), n_models - np.bincount(better, minlength=n_models)

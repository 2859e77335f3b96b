"""Intraclass correlation: the share of the variance of ratings that lies between the items.

values (N, J) hold what each rater said of each item, NaN for none; times (R, N) how often each item counts, one row for
each resample of a bootstrap, and an item that counts twice is two items. What comes back is (R,), NaN where it cannot
be told. Items with fewer than two ratings say nothing here.
"""

from typing import Literal

import numpy as np

from evaluation.stats import CELLS_AT_ONCE, Floats

Form = Literal["ICC(1,1)", "ICC(1,k)", "ICC(2,1)", "ICC(2,k)", "ICC(3,1)", "ICC(3,k)"]
TINY = 1e-12


def icc(values: Floats, times: Floats, form: Form) -> Floats:
    """Of a form named as by P. Shrout and J. Fleiss, Psychological Bulletin 1979.

    With variances between items (t), between raters (r) and the rest (e): ICC(2,1) = t / (t + r + e), ICC(3,1) =
    t / (t + e); ICC(1,1) = t / (t + e) with raters left out of the model. For the mean of k ratings all but t is
    divided by k. In the names of K. McGraw and S. Wong, Psychological Methods 1996: ICC(1); ICC(A,1); ICC(C,1). k is
    the harmonic mean of the ratings an item where these differ (D. ten Hove et al., Psychological Methods 2024).

    The variances come from mean squares, for tables with gaps by C. R. Henderson's third method (Biometrics 1953);
    where all raters judged all items these are those of Shrout and Fleiss. They may be below 0.
    """
    table = _shared(values, times)
    items, raters, rest = _one_way(*table) if form.startswith("ICC(1") else _two_way(*table)
    if form.startswith("ICC(3"):
        raters = np.zeros_like(raters)
    n_ratings = np.isfinite(table[0]).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        k = table[1].sum(axis=1) / (table[1] @ (1 / n_ratings)) if form.endswith("k)") else 1.0
        total = items + (raters + rest) / k
        return np.where(total > TINY, items / total, np.nan)


def _shared(values: Floats, times: Floats) -> tuple[Floats, Floats]:
    rows = np.isfinite(values).sum(axis=1) > 1
    return values[rows], times[:, rows]


def _one_way(values: Floats, times: Floats) -> tuple[Floats, Floats, Floats]:
    """Variances between items, between raters (0) and within items, each (R,): one-way, for unequal numbers."""
    present, sums, within, mean = _sums(values)
    n_ratings = present.sum(axis=1)
    n_items, n = times.sum(axis=1), times @ n_ratings
    ss_within = times @ within
    total = times @ sums
    with np.errstate(invalid="ignore", divide="ignore"):
        ss_between = times @ (sums**2 / n_ratings) - total**2 / n
        rest = ss_within / (n - n_items)
        each = (n - (times @ n_ratings**2) / n) / (n_items - 1)
        items = (ss_between / (n_items - 1) - rest) / each
    return _unless_flat(items, np.zeros_like(items), rest, mean)


def _two_way(values: Floats, times: Floats) -> tuple[Floats, Floats, Floats]:
    """Variances between items, between raters and of the rest, each (R,), by Henderson's third method.

    With n ratings of N items by J raters and the residual sum of squares SSE of the model of both, of rank N + h:
    e = SSE / (n - N - h); what raters explain beyond items has the expectation h e + (n - N) r; what items explain
    beyond raters (N + h - J) e + (n - J) t.
    """
    present, sums, within, mean = _sums(values)
    filled = np.where(present, values - mean, 0.0)
    n_ratings = present.sum(axis=1)
    n_items, n = times.sum(axis=1), times @ n_ratings
    off = np.where(present, filled - (sums / n_ratings)[:, None], 0.0)  # from the mean of the item
    explained, rank = _by_raters(present.astype(float), n_ratings, off, times)
    by_rater, per_rater = times @ filled, times @ present  # (R, J)
    with np.errstate(invalid="ignore", divide="ignore"):
        raters_alone = np.where(per_rater > 0, by_rater**2 / per_rater, 0.0).sum(axis=1)
        n_raters = (per_rater > 0).sum(axis=1)
        residual = times @ within - explained
        freedom = n - n_items - rank
        rest = np.where(freedom > 0, np.maximum(0.0, residual) / freedom, np.nan)
        raters = (explained - rank * rest) / (n - n_items)
        beyond = times @ (filled**2).sum(axis=1) - raters_alone - residual
        items = (beyond - (n_items + rank - n_raters) * rest) / (n - n_raters)
    return _unless_flat(items, raters, rest, mean)


def _by_raters(present: Floats, n_ratings: Floats, off: Floats, times: Floats) -> tuple[Floats, Floats]:
    """What raters explain of the squares within items, and the rank of that, each (R,).

    Least squares with the items swept out: raters (J, J) by raters, solved by its eigenvalues because one or more of
    them are 0.
    """
    n_raters = present.shape[1]
    at_once = max(1, CELLS_AT_ONCE // max(1, present.size, n_raters**2))
    explained, rank = np.zeros(len(times)), np.zeros(len(times))
    for first in range(0, len(times), at_once):
        part = times[first : first + at_once]
        swept = (present.T[None] * (part / n_ratings)[:, None, :]) @ present  # (r, J, J)
        matrix = np.eye(n_raters) * (part @ present)[:, None, :] - swept
        roots, vectors = np.linalg.eigh(matrix)
        kept = roots > 1e-9 * np.maximum(1.0, roots[:, -1:])
        sides = (vectors.transpose(0, 2, 1) @ (part @ off)[:, :, None])[:, :, 0]
        explained[first : first + at_once] = (np.where(kept, sides, 0.0) ** 2 / np.where(kept, roots, 1.0)).sum(axis=1)
        rank[first : first + at_once] = kept.sum(axis=1)
    return explained, rank


def _sums(values: Floats) -> tuple[np.ndarray, Floats, Floats, float]:
    """Which are there (N, J), and by item the sum and the squares around its mean (N,), all less the mean of all."""
    present = np.isfinite(values)
    mean = float(values[present].mean()) if present.any() else 0.0
    filled = np.where(present, values - mean, 0.0)
    sums = filled.sum(axis=1)
    return present, sums, (filled**2).sum(axis=1) - sums**2 / np.maximum(1, present.sum(axis=1)), mean


def _unless_flat(items: Floats, raters: Floats, rest: Floats, mean: float) -> tuple[Floats, Floats, Floats]:
    """NaN in place of rounding where nothing varies."""
    flat = np.abs(items) + np.abs(raters) + np.abs(rest) <= TINY * (1 + mean * mean)
    return np.where(flat, np.nan, items), raters, rest

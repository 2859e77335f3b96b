"""Agreement corrected for chance, (observed - by chance) / (1 - by chance), each with its own idea of chance.

Most take counts (N, q): how often each of the q values of the scale was given to each item, where an item may have
any number of ratings; those with fewer than two say nothing of agreement. times (R, N) says how often each item counts,
one row for each resample of a bootstrap. What comes back is (R,), NaN where all ratings are the same and chance alone
explains that.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Literal

import numpy as np

from evaluation.stats import Floats

Distance = Literal["nominal", "ordinal", "interval"]
CERTAIN = 1 - 1e-12  # agreement by chance from which on nothing is left to correct


def quadratic_weights(n_values: int) -> Floats:
    """How far two values agree, from 0 to 1 (q, q): 1 - ((i - j) / (q - 1))^2 with i, j their places on the scale."""
    place = np.arange(n_values) / max(1, n_values - 1)
    return 1 - (place[:, None] - place) ** 2


def krippendorff(counts: Floats, times: Floats, distance: Literal["nominal", "ordinal"]) -> Floats:
    """Krippendorff's alpha, 1 - D_o / D_e: the distance of values within items by that of all values.

    D_o = sum o_ck d_ck / n over the coincidences o_ck of values within items, each item's pairs weighted by
    1 / (r - 1); D_e = sum n_c n_k d_ck / (n (n - 1)). Ordinal: d_ck = (n_c / 2 + n_(c+1) + ... + n_k / 2)^2. Source:
    K. Krippendorff, Content Analysis, 4th ed. (2018), chapter 12.
    """
    n_ratings = counts.sum(axis=1)
    its = np.where(n_ratings[:, None] > 1, counts, 0.0)
    q = counts.shape[1]
    pairs = its[:, :, None] * its[:, None, :] - its[:, :, None] * np.eye(q)  # (N, q, q)
    pairs /= np.maximum(1.0, n_ratings - 1)[:, None, None]
    together = (times @ pairs.reshape(len(its), q * q)).reshape(-1, q, q)
    margins = times @ its  # (R, q)
    apart: Floats = 1 - np.eye(q)[None]
    if distance == "ordinal":
        middle = margins.cumsum(axis=1) - margins / 2  # ratings up to the middle of each value
        apart = (middle[:, :, None] - middle[:, None, :]) ** 2
    n = margins.sum(axis=1)
    observed = (together * apart).sum(axis=(1, 2))
    expected = (margins[:, :, None] * margins[:, None, :] * apart).sum(axis=(1, 2))
    return _one_minus((n - 1) * observed, expected)


def krippendorff_interval(values: Floats, times: Floats) -> Floats:
    """Krippendorff's alpha with squared differences as distances. values (N, J): by item and rater, NaN for none.

    Source as above; the sums over pairs are taken from those of the values and of their squares.
    """
    n_ratings = np.isfinite(values).sum(axis=1)
    its = np.where(n_ratings[:, None] > 1, values, np.nan)
    its = np.nan_to_num(its - (np.nanmean(its) if np.isfinite(its).any() else 0.0))
    r = np.where(n_ratings > 1, n_ratings, 0)
    sums, squares = its.sum(axis=1), (its**2).sum(axis=1)
    within = 2 * (r * squares - sums**2) / np.maximum(1, r - 1)
    n, total = times @ r, times @ sums
    expected = 2 * (n * (times @ squares) - total**2)
    return _one_minus((n - 1) * (times @ within), np.where(expected > 1e-12 * n * n, expected, 0.0))


def fleiss(counts: Floats, times: Floats) -> Floats:
    """Fleiss' kappa: chance is that two ratings are the same when drawn from all ratings, sum pi_k^2.

    pi_k is the mean over items of the share of value k. Source: J. Fleiss, Psychological Bulletin 1971; for items with
    different numbers of ratings as K. Gwet, Handbook of Inter-Rater Reliability, 4th ed. (2014), chapter 2.
    """
    return _corrected(agreed(counts, times), (prevalence(counts, times) ** 2).sum(axis=1))


def randolph(counts: Floats, times: Floats) -> Floats:
    """Randolph's kappa with free margins: chance is 1 / q for the q values of the scale, whether given or not.

    Source: J. Randolph, Free-marginal multirater kappa (2005).
    """
    observed = agreed(counts, times)
    return _corrected(observed, np.full_like(observed, 1 / counts.shape[1]))


def gwet(counts: Floats, times: Floats, weights: Floats | None = None) -> Floats:
    """Gwet's AC1, or with weights (q, q) AC2: chance is sum(W) / (q (q - 1)) x sum pi_k (1 - pi_k), pi_k as in fleiss.

    Source: K. Gwet, British Journal of Mathematical and Statistical Psychology 2008 (AC1); Handbook of Inter-Rater
    Reliability, 4th ed. (2014), chapters 2 and 3 (AC2, missing ratings).
    """
    q = counts.shape[1]
    by_value = prevalence(counts, times)
    weighed = q if weights is None else float(weights.sum())
    by_chance = weighed / max(1, q * (q - 1)) * (by_value * (1 - by_value)).sum(axis=1)
    return _corrected(agreed(counts, times, weights), by_chance)


def cohen(pairs: Floats, times: Floats, weights: Floats | None = None) -> Floats:
    """Cohen's kappa of two raters; weighted with weights (q, q). pairs (N, q, q): 1 at the values of the two raters.

    Chance is what the two would agree by if they drew from their own ratings, each by itself: sum w_ij p_i. p_.j.
    Source: J. Cohen, Educational and Psychological Measurement 1960; Psychological Bulletin 1968 (weighted).
    """
    n_items, q, _ = pairs.shape
    table = (times @ pairs.reshape(n_items, q * q)).reshape(-1, q, q)
    n = table.sum(axis=(1, 2))
    weights = np.eye(q) if weights is None else weights
    with np.errstate(invalid="ignore", divide="ignore"):
        table = table / n[:, None, None]
        by_chance = (table.sum(axis=2)[:, :, None] * table.sum(axis=1)[:, None, :] * weights).sum(axis=(1, 2))
    return _corrected((table * weights).sum(axis=(1, 2)), by_chance)


def conger(chosen: Floats, times: Floats, weights: Floats | None = None) -> Floats:
    """Conger's kappa, Cohen's for many raters; weighted with weights (q, q). chosen (N, J, q): 1 at a rater's value.

    Chance is the mean over pairs of raters of what the two would agree by if each drew from their own ratings. Source:
    A. Conger, Psychological Bulletin 1980; with weights and missing ratings as K. Gwet, Handbook (2014), chapters 2
    and 3.
    """
    n_items, n_raters, q = chosen.shape
    own = (times @ chosen.reshape(n_items, n_raters * q)).reshape(-1, n_raters, q)
    n = own.sum(axis=2, keepdims=True)
    shares = np.divide(own, n, out=np.zeros_like(own), where=n > 0)  # (R, J, q); 0 for who is not in a resample
    present = (n[:, :, 0] > 0).sum(axis=1)
    weights = np.eye(q) if weights is None else weights
    total = shares.sum(axis=1)  # (R, q)
    all_pairs = ((total @ weights) * total).sum(axis=1) - ((shares @ weights) * shares).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        by_chance = all_pairs / (present * (present - 1))
    return _corrected(agreed(chosen.sum(axis=1), times, weights), by_chance)


def agreed(counts: Floats, times: Floats, weights: Floats | None = None) -> Floats:
    """Mean over items with two or more ratings of the (weighted) share of pairs of ratings that agree."""
    n_ratings = counts.sum(axis=1)
    near = counts if weights is None else counts @ weights
    shares = (counts * (near - 1)).sum(axis=1) / np.maximum(1.0, n_ratings * (n_ratings - 1))
    shared = (n_ratings > 1).astype(float)
    with np.errstate(invalid="ignore"):
        return (times @ (shares * shared)) / (times @ shared)


def prevalence(counts: Floats, times: Floats) -> Floats:
    """Mean over all rated items of the share of their ratings that have each value (R, q)."""
    n_ratings = counts.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return (times @ (counts / np.maximum(1.0, n_ratings)[:, None])) / (times @ (n_ratings > 0))[:, None]


def cohen_of(pairs: Sequence[tuple[Hashable, Hashable]]) -> float | None:
    """Cohen's kappa of what two said of the same items, in any values; None where both always said the same one."""
    if not pairs:
        return None
    place: dict[Hashable, int] = {}
    codes = [(place.setdefault(a, len(place)), place.setdefault(b, len(place))) for a, b in pairs]
    table = np.zeros((len(codes), len(place), len(place)))
    table[np.arange(len(codes)), [a for a, _ in codes], [b for _, b in codes]] = 1
    value = float(cohen(table, np.ones((1, len(codes))))[0])
    return value if np.isfinite(value) else None


def kappas_of(items: Sequence[Counter[str | None]]) -> tuple[float | None, float | None]:
    """Fleiss' and Randolph's kappa of free answers; items: how often each answer was given.

    Every item has the same number of answers. Free answers may be thousands of different ones: only those that occur
    count as the scale, and no table of all is made. None where everybody always gave the one same answer.
    """
    n_raters = sum(items[0].values())
    together = np.mean([sum(n * (n - 1) for n in counts.values()) for counts in items]) / (n_raters * (n_raters - 1))
    totals: Counter[str | None] = Counter()
    for counts in items:
        totals.update(counts)
    by_margins = sum((n / (len(items) * n_raters)) ** 2 for n in totals.values())
    found = _corrected(np.full(2, float(together)), np.array([by_margins, 1 / len(totals)]))
    by_fleiss, by_randolph = (float(value) if np.isfinite(value) else None for value in found)
    return by_fleiss, by_randolph


def _corrected(observed: Floats, by_chance: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(by_chance < CERTAIN, (observed - by_chance) / (1 - by_chance), np.nan)


def _one_minus(observed: Floats, expected: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, 1 - observed / expected, np.nan)

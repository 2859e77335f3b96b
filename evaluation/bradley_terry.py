"""Strengths of models from votes with ties: Davidson's extension of the Bradley-Terry model, many tables at once.

With d the log odds of the left model over the right one, the left one wins with probability exp(d / 2) / Z, the right
one with exp(-d / 2) / Z, and nu / Z is a tie; Z = exp(d / 2) + exp(-d / 2) + nu (R. R. Davidson, JASA 1970; the same
model in M. E. J. Newman, JMLR 2023, with nu = 2 v). Without nu a tie counts as half a win for each.
"""

from typing import Literal, NamedTuple

import numpy as np

from evaluation.battles import Ints
from evaluation.stats import Floats

Ties = Literal["davidson", "half"]
FURTHEST = 15.0  # log odds of 3 million to 1: beyond any vote
MAX_STEPS = 60
TINY = 1e-9
LAST_STEP = 1e-5  # Newton's method doubles the right digits with each: after one so small 10 are right


class Fit(NamedTuple):
    """Strengths (B, M), log odds of which the mean is 0; the logarithm of nu (B,), -inf where ties are half wins."""

    strengths: Floats
    log_nu: Floats


class Moments(NamedTuple):
    """At given log odds: the mean of (outcome - 1/2), the share of ties, the variances of both and their covariance."""

    mean: Floats
    tie: Floats
    variance: Floats
    tie_variance: Floats
    covariance: Floats


def moments(odds: Floats, nu: Floats | float) -> Moments:
    """Of log odds of any shape."""
    up = np.exp(np.clip(odds, -2 * FURTHEST, 2 * FURTHEST) / 2)
    down = 1 / up
    whole = up + down + nu
    mean, tie = (up - down) / (2 * whole), nu / whole
    return Moments(mean, tie, (up + down) / (4 * whole) - mean * mean, tie * (1 - tie), -mean * tie)


def pairs_of(n_models: int) -> tuple[Ints, Ints]:
    """The first and the second model (P,) of every pair, the first one with the lower number."""
    first, second = np.triu_indices(n_models, 1)
    return first.astype(np.int64), second.astype(np.int64)


def bradley_terry(counts: Floats, n_models: int, ties: Ties = "davidson", start: Fit | None = None) -> Fit:
    """The strengths that make the votes likeliest, by Newton's method.

    counts: (B, P, 3) how often the first of each pair won, tied and lost; any weights from 0 on. Where a model won or
    lost everything there are no such strengths: see `held_finite`.
    """
    first, second = pairs_of(n_models)
    n, excess = counts.sum(axis=2), (counts[:, :, 0] - counts[:, :, 2]) / 2  # (B, P)
    tied, whole = counts[:, :, 1].sum(axis=1), np.maximum(n.sum(axis=1), TINY)
    design = np.zeros((len(first), n_models))
    design[np.arange(len(first)), first], design[np.arange(len(first)), second] = 1.0, -1.0
    products = (design[:, :, None] * design[:, None, :]).reshape(len(first), -1)
    beta = np.zeros((len(counts), n_models + 1))
    if start is not None:
        beta[:, :n_models], beta[:, n_models] = start.strengths, start.log_nu
    if ties == "davidson" and start is None:
        with np.errstate(divide="ignore"):
            beta[:, n_models] = np.clip(np.log(2 * tied / np.maximum(whole - tied, TINY)), -FURTHEST, FURTHEST)
    open_ = np.arange(len(counts))  # those that still move
    for _ in range(MAX_STEPS):
        step = _step(beta[open_], n[open_], excess[open_], tied[open_], whole[open_], design, products, ties)
        moved = np.clip(beta[open_] + step, -FURTHEST, FURTHEST)
        far = np.abs(moved - beta[open_]).max(axis=1) > LAST_STEP
        beta[open_] = moved
        open_ = open_[far]
        if not len(open_):
            break
    log_nu = beta[:, n_models] if ties == "davidson" else np.full(len(counts), -np.inf)
    return Fit(beta[:, :n_models], log_nu)


def held_finite(counts: Floats, n_models: int, ties: Ties = "davidson") -> Fit:
    """As above, with one more vote for each model: half won, half lost, against an opponent that is nobody else's.

    It keeps finite what would be infinite, and shrinks the rest a little (M. E. J. Newman, JMLR 2023, section 4, with
    half the weight).
    """
    first, second = pairs_of(n_models + 1)
    more = np.zeros((len(counts), len(first), 3))
    more[:, second < n_models] = counts
    more[:, second == n_models, 0] = more[:, second == n_models, 2] = 0.5
    found = bradley_terry(more, n_models + 1, ties)
    strengths = found.strengths[:, :n_models]
    return Fit(strengths - strengths.mean(axis=1, keepdims=True), found.log_nu)


def _step(
    beta: Floats, n: Floats, excess: Floats, tied: Floats, whole: Floats, design: Floats, products: Floats, ties: Ties
) -> Floats:
    """Newton's step (B, M + 1), shortened where it would go further than 2."""
    n_models = design.shape[1]
    strengths = beta[:, :n_models]
    nu = np.exp(beta[:, n_models:]) if ties == "davidson" else 0.0
    at = moments(strengths @ design.T, nu)
    pull = whole[:, None] / n_models**2  # keeps the mean at 0, which the votes leave open
    slope = np.zeros_like(beta)
    slope[:, :n_models] = (excess - n * at.mean) @ design - pull * strengths.sum(axis=1, keepdims=True)
    bend = np.zeros((*beta.shape, n_models + 1))
    bend[:, :n_models, :n_models] = ((n * at.variance) @ products).reshape(-1, n_models, n_models) + pull[:, :, None]
    if ties == "davidson":
        slope[:, n_models] = tied - (n * at.tie).sum(axis=1)
        bend[:, :n_models, n_models] = bend[:, n_models, :n_models] = (n * at.covariance) @ design
        bend[:, n_models, n_models] = (n * at.tie_variance).sum(axis=1)
    bend[:, np.arange(n_models + 1), np.arange(n_models + 1)] += 1e-12 * whole[:, None] + 1e-300
    if ties == "half":
        bend[:, n_models, n_models] = 1.0
    step = np.linalg.solve(bend, slope[:, :, None])[:, :, 0]
    return step * np.minimum(1.0, 2.0 / np.maximum(np.abs(step).max(axis=1, keepdims=True), TINY))

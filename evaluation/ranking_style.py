"""The model of strengths vote by vote: with what a place on the left, length and Markdown do to a vote.

The effects are added to the log odds of the left answer (R. R. Davidson, R. J. Beaver, Biometrics 1977). With ties as
half wins this is a logistic regression.
"""

from typing import NamedTuple

import numpy as np

from evaluation.battles import Battles, Ints
from evaluation.bradley_terry import FURTHEST, LAST_STEP, MAX_STEPS, TINY, Fit, Moments, Ties, moments
from evaluation.ranking_intervals import Cells
from evaluation.stats import Floats


class StyleFit(NamedTuple):
    """Strengths (M,) of mean 0, effects (E,) and log nu, and whether the votes can tell them apart."""

    strengths: Floats
    effects: Floats
    log_nu: float
    is_sure: bool


def fit_votes(battles: Battles, n_models: int, extra: Floats, ties: Ties, start: Fit) -> StyleFit:
    """The likeliest strengths and effects of extra (V, E), from strengths without them, by Newton's method."""
    n_extra = extra.shape[1]
    strengths, effects, log_nu = start.strengths[0], np.zeros(n_extra), float(start.log_nu[0])
    everything = np.zeros(len(battles.left), dtype=np.int64)
    for _ in range(MAX_STEPS):
        slope, bend = score_sums(battles, strengths, log_nu, everything, 1, ties, extra, effects)
        if np.linalg.cond(bend) > 1e10:
            return StyleFit(strengths, effects, log_nu, is_sure=False)
        step = np.linalg.solve(bend, slope[0])
        step *= min(1.0, 2.0 / max(np.abs(step).max(), TINY))
        strengths, effects = strengths + step[:n_models], effects + step[n_models : n_models + n_extra]
        if ties == "davidson":
            log_nu = float(np.clip(log_nu + step[-1], -FURTHEST, FURTHEST))
        if np.abs(step[: n_models + n_extra]).max() < LAST_STEP:
            break
    is_sure = bool(max(np.abs(strengths).max(), np.abs(effects).max()) < FURTHEST)
    return StyleFit(strengths, effects, log_nu, is_sure)


def score_sums(
    battles: Battles, strengths: Floats, log_nu: float, cell: Ints, n_cells: int, ties: Ties, extra: Floats,
    effects: Floats,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Slopes (N, Q) of the log likelihood by cell of each vote (V,), and their information (Q, Q).

    Q: the strengths, then the effects, then log nu where ties are modelled. The information holds the mean of the
    strengths at 0.
    """
    n_models = len(strengths)
    odds = strengths[battles.left] - strengths[battles.right] + extra @ effects
    at = moments(odds, float(np.exp(log_nu)))
    residual = battles.outcome - 0.5 - at.mean
    columns = [
        np.bincount(cell * n_models + battles.left, residual, minlength=n_cells * n_models).reshape(n_cells, n_models)
        - np.bincount(cell * n_models + battles.right, residual, minlength=n_cells * n_models).reshape(n_cells, -1)
    ]
    columns += [np.bincount(cell, residual * its, minlength=n_cells)[:, None] for its in extra.T]
    if ties == "davidson":
        columns.append(np.bincount(cell, (battles.outcome == 0.5) - at.tie, minlength=n_cells)[:, None])
    return np.concatenate(columns, axis=1), _information(battles, n_models, at, ties, extra)


def strength_influence(
    battles: Battles, fit: Fit, cells: Cells, ties: Ties = "davidson", *, is_held: bool = False
) -> Floats:
    """What each cell (N,) adds to each strength (N, M) of a fit without effects, by linearisation."""
    n_models, nothing = fit.strengths.shape[1], np.zeros((len(battles.left), 0))
    slopes, bend = score_sums(
        battles, fit.strengths[0], float(fit.log_nu[0]), cells.of_vote, cells.n_cells, ties, nothing, np.zeros(0)
    )
    if is_held:  # the vote more for each model
        diagonal = np.arange(n_models)
        bend[diagonal, diagonal] += moments(fit.strengths[0], float(np.exp(fit.log_nu[0]))).variance
    return added(slopes, bend)[:, :n_models]


def added(slopes: Floats, bend: Floats) -> Floats:
    """What each cell adds to each parameter (N, Q), from `score_sums`."""
    return np.asarray(np.linalg.solve(bend, slopes.T).T, dtype=float)


def _information(battles: Battles, n_models: int, at: Moments, ties: Ties, extra: Floats) -> Floats:
    met = np.bincount(battles.left * n_models + battles.right, at.variance, minlength=n_models**2)
    met = met.reshape(n_models, n_models)
    met = met + met.T
    n_known = n_models + extra.shape[1]
    size = n_known + (ties == "davidson")
    bend = np.zeros((size, size))
    bend[:n_models, :n_models] = np.diag(met.sum(axis=1)) - met + len(battles.left) / n_models**2
    for number, its in enumerate(extra.T, start=n_models):
        bend[:n_models, number] = bend[number, :n_models] = _by_model(battles, n_models, at.variance * its)
        bend[number, n_models:n_known] = (at.variance * its) @ extra
    if ties == "davidson":
        bend[:n_models, -1] = bend[-1, :n_models] = _by_model(battles, n_models, at.covariance)
        bend[n_models:n_known, -1] = bend[-1, n_models:n_known] = at.covariance @ extra
        bend[-1, -1] = at.tie_variance.sum()
    return bend


def _by_model(battles: Battles, n_models: int, values: Floats) -> Floats:
    left, right = (np.bincount(side, values, minlength=n_models) for side in (battles.left, battles.right))
    return np.asarray(left - right, dtype=float)

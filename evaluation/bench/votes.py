"""Models ranked by many votes, with intervals: MedChat against the bootstrap of rows that FastChat's leaderboard made.

That is: draw rows of a table of votes with replacement, count who beat whom, fit a logistic regression, and again.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from evaluation.battles import Battles
from evaluation.bench import Report, Row
from evaluation.bradley_terry import bradley_terry
from evaluation.ranking import rank
from evaluation.ranking_intervals import Clusters, outcome_counts
from evaluation.stats import Floats
from medchat.errors import InvalidInput

AIMS: dict[Clusters, tuple[str, float]] = {
    "case": ("clustered by case", 2.0),
    "rater": ("clustered by rater", 2.0),
    "rater+case": ("clustered by rater and case", 15.0),
}
ROUNDS = 3
RIVAL_RESAMPLES = 5  # a round; what all would take is worked out from them
TIE_RATE = 0.2


def measure(n_votes: int, n_models: int, n_raters: int, n_cases: int, resamples: int) -> Report:
    """Medians of three rounds of each, in turns. Raises InvalidInput for numbers that make no ranking."""
    if min(n_models, n_raters, n_cases) < 2 or n_votes < 10 * n_models:
        raise InvalidInput("A ranking needs at least 2 models, raters and cases, and 10 votes a model.")
    votes = made_up(n_votes, n_models, n_raters, n_cases, np.random.default_rng(0))
    names = [f"model {number}" for number in range(n_models)]
    ours: dict[Clusters, list[float]] = {clusters: [] for clusters in AIMS}
    theirs: list[float] = []
    table = pd.DataFrame({"left": votes.left, "right": votes.right, "outcome": votes.outcome})
    for round_ in range(ROUNDS):
        for clusters, times in ours.items():
            times.append(_seconds(partial(rank, votes, names, round_, resamples, clusters)))
        theirs.append(_seconds(partial(_bootstrap_of_rows, table, n_models, RIVAL_RESAMPLES, RIVAL_RESAMPLES * round_)))
    gap = float(np.abs(_strengths(votes, n_models) - _logistic(table, n_models)).max())
    conditions = {
        "votes": n_votes, "models": n_models, "raters": n_raters, "cases": n_cases, "resamples": resamples,
        "rounds": ROUNDS,
    }  # fmt: skip
    rival = float(np.median(theirs)) / RIVAL_RESAMPLES * resamples
    against = f"rows, pandas and scikit-learn: {RIVAL_RESAMPLES} resamples times {resamples / RIVAL_RESAMPLES:g}"
    rows = [
        Row(f"ranking with intervals, {words}", "s", took, against, rival, took / rival, f"< {aim:g} s", took < aim)
        for clusters, (words, aim) in AIMS.items()
        for took in [float(np.median(ours[clusters]))]
    ]
    same = Row("largest gap of a strength, ties as half wins", "log odds", gap, "", aim="< 0.001", met=gap < 1e-3)
    return Report("votes", conditions, [*rows, same])


def made_up(n_votes: int, n_models: int, n_raters: int, n_cases: int, rng: np.random.Generator) -> Battles:
    """Votes of raters with a leaning to models and to the left side, on cases that suit some models."""
    strengths = np.linspace(-1.0, 1.0, n_models)
    by_rater, by_case = rng.normal(0, 0.2, (n_raters, n_models)), rng.normal(0, 0.3, (n_cases, n_models))
    left = rng.integers(n_models, size=n_votes)
    right = (left + rng.integers(1, n_models, size=n_votes)) % n_models
    rater, case = rng.integers(n_raters, size=n_votes), rng.integers(n_cases, size=n_votes)
    gap = strengths[left] - strengths[right] + by_rater[rater, left] - by_rater[rater, right]
    odds = gap + by_case[case, left] - by_case[case, right] + rng.normal(0.1, 0.2, n_raters)[rater]
    won = rng.random(n_votes) < 1 / (1 + np.exp(-odds))
    outcome = np.where(rng.random(n_votes) < TIE_RATE, 0.5, won)
    return Battles(left, right, outcome, rater, case, rng.normal(size=(n_votes, 2)))


def _strengths(votes: Battles, n_models: int) -> Floats:
    kind = outcome_counts(votes, n_models)
    counts = np.bincount(kind, minlength=3 * n_models * (n_models - 1) // 2).reshape(1, -1, 3)
    return bradley_terry(counts.astype(float), n_models, "half").strengths[0]


def _bootstrap_of_rows(table: Any, n_models: int, resamples: int, seed: int) -> Floats:
    """Strengths (resamples, M) of rows drawn with replacement."""
    drawn = (table.sample(frac=1.0, replace=True, random_state=seed + number) for number in range(resamples))
    return np.array([_logistic(its, n_models) for its in drawn])


def _logistic(table: Any, n_models: int) -> Floats:
    """Strengths (M,) of a pandas table of votes, by a logistic regression in which a tie is half a win for each."""
    from sklearn.linear_model import LogisticRegression

    wins = np.zeros((n_models, n_models))
    for (left, right, outcome), n in table.groupby(["left", "right", "outcome"]).size().items():
        wins[left, right] += n * outcome
        wins[right, left] += n * (1 - outcome)
    winner, loser = np.nonzero(wins)
    design = np.eye(n_models)[winner] - np.eye(n_models)[loser]
    both, won = np.concatenate([design, -design]), np.repeat([1, 0], len(winner))
    weight = np.tile(wins[winner, loser], 2)
    fitted = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8, max_iter=1000).fit(both, won, weight)
    return fitted.coef_[0] - fitted.coef_[0].mean()


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began

"""The vote of several models on stored predictions: how right each is, how right their vote, and how far they agree.

Every model has one ballot an item: its option, or the condition of its diagnosis whatever the synonym, or the first
line of its solution as it stands. One without an answer abstains. The answer with most votes wins; where several have
the same number the vote earns the mean of their scores, which is what drawing lots would earn.
"""

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Protocol

import numpy as np

from evaluation.comparison import Difference, Scored, adjusted_together, compare
from evaluation.kappa import kappas_of
from evaluation.metrics import normalized, says_dont_know
from evaluation.stats import Estimate, estimate
from medchat.knowledge import Knowledge

METRICS_TO_VOTE_ON = ("diagnosis_strict", "mcq_generated", "mcq_loglikelihood", "exact", "calc_correct")
LEAST_IN_HALF = 10  # questions, for weights

TIES = "answers with equal votes: the mean of their scores, which is what drawing lots would earn"


class Answered(Scored, Protocol):
    """What is voted with of a stored prediction."""

    @property
    def model(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def solution(self) -> str: ...  # noqa: D102
    @property
    def choice(self) -> str | None: ...  # noqa: D102
    @property
    def option_logprobs(self) -> Mapping[str, float] | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class VotedItem:
    """The vote's answer to one item, comparable with a prediction."""

    id: str
    suite: str
    question_id: str
    scores: Mapping[str, float | None]
    groups: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far models give the same answer. pairs: share of the items on which two models do.

    fleiss, randolph: kappa over the n_items that all answered, None where it cannot be told; Randolph's takes each of
    the n_answers different answers as equally likely by chance, Fleiss' as likely as it was given.
    """

    pairs: Mapping[tuple[str, str], float | None]
    fleiss: float | None
    randolph: float | None
    n_items: int
    n_answers: int


@dataclass(frozen=True, slots=True)
class Vote:
    """What a vote of the models earns by the metric, on the n items that all of them were scored on.

    weighted: each model by its accuracy on the other half of the questions; None below 20 questions. against: the
    equal vote less each model, adjusted over the models. n_ties: items on which the equal vote was tied. weights: of
    each model in each half.
    """

    metric: str
    n: int
    n_left_out: int
    n_ties: int
    members: Mapping[str, Estimate]
    equal: Estimate
    weighted: Estimate | None
    weights: Sequence[Mapping[str, float]]
    against: Mapping[str, Difference]
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class _Item:
    """One item with the ballot (None: none) and the score of each model."""

    voted: VotedItem
    ballots: Mapping[str, str | None]
    scores: Mapping[str, float]


def vote(
    predictions: Mapping[str, Sequence[Answered]], metric: str, knowledge: Knowledge, rng: np.random.Generator
) -> Vote | None:
    """The vote of these models, each with its predictions of one suite; None when no item is scored for all."""
    models = list(predictions)
    by_id = {model: {item.id: item for item in items} for model, items in predictions.items()}
    conditions = {normalized(name): c.name for c in knowledge.conditions.values() for name in c.all_names}
    items = list(_shared(by_id, metric, conditions))
    if not items:
        return None
    questions = [item.voted.question_id for item in items]
    counted = [tally(item.ballots, item.scores, dict.fromkeys(models, 1.0)) for item in items]
    equal = [score for score, _ in counted]
    weights = _weights(models, items)
    weighted = weights and [tally(item.ballots, item.scores, weights[1 - _half_of(item.voted)])[0] for item in items]
    answers = [replace(item.voted, scores={metric: score}) for item, score in zip(items, equal, strict=True)]
    return Vote(
        metric=metric,
        n=len(items),
        n_left_out=len({item_id for its_items in by_id.values() for item_id in its_items}) - len(items),
        n_ties=sum(tied for _, tied in counted),
        members={model: estimate([item.scores[model] for item in items], questions) for model in models},
        equal=estimate(equal, questions),
        weighted=estimate(weighted, questions) if weighted else None,
        weights=weights,
        against={
            model: found[0]
            for model, found in adjusted_together(
                {m: compare(list(by_id[m].values()), answers, rng, [metric], by_group=False) for m in models}
            ).items()
        },
        agreement=agreement(models, [item.ballots for item in items]),
    )


def ballot_of(item: Answered, metric: str, conditions: Mapping[str, str]) -> str | None:
    """What the answer votes for; None without an answer. conditions: the condition of each normalized name.

    By likelihood the likeliest option, else the option that was chosen, else the condition that the first line of
    the solution names by any of its names, else that line.
    """
    if metric == "mcq_loglikelihood" and item.option_logprobs:
        return max(item.option_logprobs, key=lambda letter: (item.option_logprobs or {})[letter])
    if item.kind == "mcq":
        return item.choice
    if says_dont_know(item.solution):
        return "does not know"
    line = normalized(item.solution.strip().partition("\n")[0])
    return conditions.get(line, line) or None


def tally(
    ballots: Mapping[str, str | None], scores: Mapping[str, float], weights: Mapping[str, float]
) -> tuple[float, bool]:
    """What the answer with most weight scores, and whether several had as much; 0 when nobody voted."""
    votes: dict[str, float] = {}
    earned: dict[str, list[float]] = {}
    for model, ballot in ballots.items():
        if ballot is not None:
            votes[ballot] = votes.get(ballot, 0.0) + weights[model]
            earned.setdefault(ballot, []).append(scores[model])
    if not votes:
        return 0.0, False
    most = max(votes.values())
    first = [ballot for ballot, weight in votes.items() if weight > most - 1e-9]
    return float(np.mean([np.mean(earned[ballot]) for ballot in first])), len(first) > 1


def agreement(models: Sequence[str], ballots: Sequence[Mapping[str, str | None]]) -> Agreement:
    """How often two models give the same answer, and kappa of all; an item without an answer of each is left out."""
    pairs = {}
    for one, other in combinations(models, 2):
        same = [its[one] == its[other] for its in ballots if its[one] is not None and its[other] is not None]
        pairs[one, other] = float(np.mean(same)) if same else None
    full = [Counter(its.values()) for its in ballots if None not in its.values()]
    n_answers = len({answer for counts in full for answer in counts})
    if not full or len(models) < 2:
        return Agreement(pairs, None, None, len(full), n_answers)
    by_margins, by_answers = kappas_of(full)
    return Agreement(pairs, by_margins, by_answers, len(full), n_answers)


def _shared(by_id: Mapping[str, Mapping[str, Answered]], metric: str, conditions: Mapping[str, str]) -> Iterator[_Item]:
    """The items that every model has a score for, in the order of the first model."""
    for item_id, first in next(iter(by_id.values())).items():
        row = {model: items[item_id] for model, items in by_id.items() if item_id in items}
        scores = {model: item.scores.get(metric) for model, item in row.items()}
        if len(row) < len(by_id) or None in scores.values():
            continue
        yield _Item(
            VotedItem(item_id, first.suite, first.question_id or item_id, {}),
            {model: ballot_of(item, metric, conditions) for model, item in row.items()},
            {model: float(score or 0.0) for model, score in scores.items()},
        )


def _weights(models: Sequence[str], items: Sequence[_Item]) -> tuple[Mapping[str, float], ...]:
    """Accuracy of each model on either half of the questions, (right + 1) / (n + 2); none when a half is too small."""
    halves: list[list[_Item]] = [[], []]
    for item in items:
        halves[_half_of(item.voted)].append(item)
    if min(len({item.voted.question_id for item in half}) for half in halves) < LEAST_IN_HALF:
        return ()
    return tuple(
        {model: (sum(item.scores[model] for item in half) + 1) / (len(half) + 2) for model in models} for half in halves
    )


def _half_of(item: VotedItem) -> int:
    """0 or 1, always the same for a question."""
    return zlib.crc32(item.question_id.encode()) & 1

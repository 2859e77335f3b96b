"""Who said what of which answers: votes on pairs and on single answers, and how far each rater is believed.

An answer is known by its text: the same text to the same question is one completion, whoever wrote it.
"""

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

from scipy.special import betainc

from evaluation.agreement import Disagreement, Rated, RaterAgreement, disagreement, rater_agreement
from medchat.store import AnswerRecord, CastVote, Judgements, RatingRecord
from train.verdicts import fault_of, preference, verdict

WARNED = "found harmful in a study that is still open"
FLAGGED, CALLED_UNSAFE = "flagged in a comparison", "called unsafe by who asked"
DELETED, FOLLOW_UP = "its conversation was deleted", "asked after an earlier turn"
UNENDED = "stopped, or broken off by an error"
SAME = "the two answers are the same text"
BOTH_BAD = "both_bad"

Key = tuple[str, str, str]  # question id, reasoning, solution; both with their white space collapsed
Pair = tuple[Key, Key]  # in their order as texts


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer with its question. complete: it came to its own end."""

    question_id: str
    question: str
    context: str
    reasoning: str
    solution: str
    complete: bool

    @property
    def key(self) -> Key:
        """The same for the same text."""
        return text_key(self.question_id, self.reasoning, self.solution)


class Vote(NamedTuple):
    """What a rater says: from 1.0, for the first answer or for a good one, over 0.5, a tie, to 0.0.

    ratings: ids of the ratings and votes behind it.
    """

    rater: str
    value: float
    ratings: tuple[str, ...]


class Tally(NamedTuple):
    """The votes of all raters. probability: P(theta > 1/2) of the share theta of votes for the first answer.

    margin: weight of the votes for it minus that of those against, by the whole weight; from -1 to 1.
    """

    raters: int
    probability: float
    margin: float
    ratings: tuple[str, ...]

    @property
    def turned(self) -> "Tally":
        """The same for the second answer."""
        return self._replace(probability=1 - self.probability, margin=-self.margin)


@dataclass(slots=True)
class Gathered:
    """All that was said. barred: completions that must never be taught, with the reason.

    unfit, unfit_pairs: completions and pairs of which nothing can be used, with the reason. rated: the newest forms
    on each completion.
    """

    completions: dict[Key, Completion] = field(default_factory=dict)
    pairs: dict[Pair, list[Vote]] = field(default_factory=dict)
    answers: dict[Key, list[Vote]] = field(default_factory=dict)
    rated: dict[Key, list[RatingRecord]] = field(default_factory=dict)
    barred: dict[Key, str] = field(default_factory=dict)
    unfit: dict[Key, str] = field(default_factory=dict)
    unfit_pairs: dict[Pair, str] = field(default_factory=dict)


def text_key(question_id: str, reasoning: str, solution: str) -> Key:
    """What makes a completion the same as another one."""
    return question_id, " ".join(reasoning.split()), " ".join(solution.split())


def probability(votes_for: float, votes_against: float) -> float:
    """P(theta > 1/2) for theta ~ Beta(1 + votes_for, 1 + votes_against): Beta(1, 1) updated by the votes."""
    return float(betainc(1 + votes_against, 1 + votes_for, 0.5))  # P(1 - theta < 1/2)


def tally(votes: Sequence[Vote], weights: Mapping[str, float]) -> Tally:
    """The votes together, each with its rater's weight (1 for a rater without one); a tie adds a half to each side."""
    votes_for = sum(weights.get(vote.rater, 1.0) * vote.value for vote in votes)
    votes_against = sum(weights.get(vote.rater, 1.0) * (1 - vote.value) for vote in votes)
    total = votes_for + votes_against
    margin = (votes_for - votes_against) / total if total else 0.0
    ratings = tuple(sorted({rating for vote in votes for rating in vote.ratings}))
    return Tally(len(votes), probability(votes_for, votes_against), margin, ratings)


def agreements(gathered: Gathered) -> dict[str, RaterAgreement]:
    """How far each rater agrees with the others, over the pairs and the single answers that others judged too."""
    return rater_agreement(_rated([*gathered.pairs.items(), *gathered.answers.items()]), span=1.0)


def vote_disagreement(gathered: Gathered) -> Disagreement:
    """How often two raters prefer different answers of the same pair; ties say nothing."""
    return disagreement(one for one in _rated(gathered.pairs.items()) if one.value in (0.0, 1.0))


def pair_ratings(gathered: Gathered) -> list[Rated]:
    """Each rater's vote on each pair."""
    return list(_rated(gathered.pairs.items()))


def gather(judgements: Judgements) -> Gathered:
    """All votes, one of each rater on each pair and each answer."""
    gathered = Gathered()
    key_of: dict[str, Key] = {}
    faults: dict[str, str] = {}
    for answer_id, answer in sorted(judgements.answers.items()):
        completion = _completion(answer)
        key_of[answer_id] = completion.key
        known = gathered.completions.get(completion.key)
        if known is None or (completion.complete and not known.complete):
            gathered.completions[completion.key] = completion
        faults[answer_id] = _fault(answer, judgements)
        if answer_id in judgements.unsafe:
            gathered.barred.setdefault(completion.key, CALLED_UNSAFE)
        if answer_id in judgements.warned:
            gathered.barred.setdefault(completion.key, WARNED)
    _take_votes(gathered, judgements.votes, key_of, faults)
    _take_ratings(gathered, judgements.ratings, key_of, faults)
    return gathered


def _take_votes(
    gathered: Gathered, votes: Sequence[CastVote], key_of: Mapping[str, Key], faults: Mapping[str, str]
) -> None:
    said: dict[Pair, list[Vote]] = {}
    bad: dict[Key, list[Vote]] = {}
    for vote in votes:
        sides = [key_of[answer_id] for answer_id in vote.answer_ids]
        for side, key in zip("ab", sides, strict=True):
            if side in vote.flags:
                gathered.barred.setdefault(key, FLAGGED)
        pair: Pair = (min(sides), max(sides))
        fault = next(filter(None, (faults[answer_id] for answer_id in vote.answer_ids)), "")
        if fault:
            gathered.unfit_pairs.setdefault(pair, fault)
            continue
        if vote.vote == BOTH_BAD:
            for key in dict.fromkeys(sides):
                bad.setdefault(key, []).append(Vote(vote.rater, 0.0, (vote.id,)))
        if pair[0] == pair[1]:
            gathered.unfit_pairs[pair] = SAME
            continue
        value = {"a": 1.0, "b": 0.0}.get(vote.vote, 0.5)
        said.setdefault(pair, []).append(Vote(vote.rater, value if sides[0] == pair[0] else 1 - value, (vote.id,)))
    gathered.pairs = {pair: _one_each(its) for pair, its in said.items()}
    gathered.answers = {key: _one_each(its) for key, its in bad.items()}


def _take_ratings(
    gathered: Gathered, ratings: Sequence[RatingRecord], key_of: Mapping[str, Key], faults: Mapping[str, str]
) -> None:
    """A vote that was cast on a pair, or on both being bad, goes before what a rater's forms say of them."""
    verdicts: dict[Key, list[Vote]] = {}
    for rating in ratings:
        key, form = key_of[rating.answer_id], rating.form
        if reason := fault_of(form):
            gathered.barred.setdefault(key, reason)
        if fault := faults[rating.answer_id]:
            gathered.unfit.setdefault(key, fault)
            continue
        gathered.rated.setdefault(key, []).append(rating)
        value = verdict(form)
        if value is not None:
            verdicts.setdefault(key, []).append(Vote(rating.rater, value, (rating.id,)))
    for key, its in verdicts.items():
        _add(gathered.answers.setdefault(key, []), its)
    implied: dict[Pair, list[Vote]] = {}
    for pair, vote in _implied(gathered.rated):
        implied.setdefault(pair, []).append(vote)
    for pair, its in implied.items():
        _add(gathered.pairs.setdefault(pair, []), its)


def _implied(rated: Mapping[Key, Sequence[RatingRecord]]) -> Iterable[tuple[Pair, Vote]]:
    """What ratings of answers to the same question, by one rater with one version of a rubric, say of each pair."""
    groups: dict[tuple[str, str, str, int], list[tuple[Key, RatingRecord]]] = {}
    for key, ratings in sorted(rated.items()):
        for rating in ratings:
            form = rating.form
            groups.setdefault((key[0], rating.rater, form.rubric_id, form.rubric_version), []).append((key, rating))
    for (_, rater, *_), its in groups.items():
        for (first, a), (second, b) in combinations(its, 2):
            value = None if first == second else preference(a.form, b.form)
            if value is not None:
                yield (first, second), Vote(rater, value, (a.id, b.id))


def _add(votes: list[Vote], more: Sequence[Vote]) -> None:
    """Append those of raters who have no vote yet, one a rater."""
    there = {vote.rater for vote in votes}
    votes += _one_each([vote for vote in more if vote.rater not in there])


def _one_each(votes: Sequence[Vote]) -> list[Vote]:
    """One vote a rater, the mean of theirs, in the order of the raters' ids."""
    by_rater: dict[str, list[Vote]] = {}
    for vote in votes:
        by_rater.setdefault(vote.rater, []).append(vote)
    return [
        Vote(rater, sum(vote.value for vote in its) / len(its), tuple(dict.fromkeys(i for v in its for i in v.ratings)))
        for rater, its in sorted(by_rater.items())
    ]


def _rated(votes: Iterable[tuple[Hashable, Sequence[Vote]]]) -> Iterable[Rated]:
    return (Rated(item, vote.rater, vote.value) for item, its in votes for vote in its)


def _completion(answer: AnswerRecord) -> Completion:
    reasoning, solution = (re.sub(r"\r\n?", "\n", text).strip() for text in (answer.reasoning, answer.solution))
    is_whole = answer.complete and answer.status == "done" and bool(solution)
    return Completion(answer.question_id, answer.question, answer.context, reasoning, solution, is_whole)


def _fault(answer: AnswerRecord, judgements: Judgements) -> str:
    """Why nothing that was said of the answer can be used, "" for no reason."""
    if answer.id in judgements.deleted:
        return DELETED
    if answer.status != "done":
        return UNENDED
    earlier = any(message.role == "assistant" for message in answer.prompt or ())
    return FOLLOW_UP if earlier or answer.parent_id is not None else ""

"""Several answers to a question into a pair: the best one as chosen, the worst as rejected.

A judge compares each two answers in both orders, or counts the points of criteria where the question brings some
(meta.criteria, meta.must_have); a reward model gives each answer a number.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any, NamedTuple, Protocol

from evaluation.judge import Judge, Rubric, criteria_of, rubric_of_statements, share_of_points
from evaluation.metrics import Answer
from medchat.prompts import case_text
from medchat.records import Example
from train.augment_children import id_of
from train.distill_answers import Unused
from train.teacher_flags import flagged
from train.teacher_records import RESTRICTED, is_restricted

NO_VERDICT, NO_WINNER, ONE_ANSWER = "no verdict of the judge", "no clear winner", "fewer than two different answers"
BEST_FLAGGED = "the best answer is {}"
MUST_HAVE = "must_have"


class Candidate(NamedTuple):
    """An answer to be ranked. teacher: the id of the model."""

    answer: Answer
    teacher: str


Scores = list[list[float | None]]  # of each question, of each answer; None where nobody can tell


class Ranks(Protocol):
    """What gives each of several answers a number; a higher one is better."""

    @property
    def is_here(self) -> bool:
        """Whether nothing leaves this machine."""
        ...

    def scores(self, rows: Sequence[Example], answers: Sequence[Sequence[Answer]]) -> Scores:
        """The number of each answer to each question."""
        ...


class JudgeRanks:
    """A judge's verdicts as numbers: points met of the question's own criteria, else comparisons won."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.is_here = judge.spec.endpoint is None

    def scores(self, rows: Sequence[Example], answers: Sequence[Sequence[Answer]]) -> Scores:
        """See Ranks. A comparison that depends on the order is won by neither."""
        own = [_rubric(row) for row in rows]
        criteria = self._by_criteria(
            [(row, its, rubric) for row, its, rubric in zip(rows, answers, own, strict=True) if rubric]
        )
        others = [(row, its) for row, its, rubric in zip(rows, answers, own, strict=True) if not rubric]
        met, won = iter(criteria), iter(self._by_comparison(others))
        return [next(met) if rubric else next(won) for rubric in own]

    def _by_criteria(self, asked: Sequence[tuple[Example, Sequence[Answer], Rubric]]) -> Scores:
        found: Scores = []
        for row, answers, rubric in asked:
            verdicts = self._judge.judge_criteria([row] * len(answers), answers, rubric)
            found.append([share_of_points(its) for its in verdicts])
        return found

    def _by_comparison(self, asked: Sequence[tuple[Example, Sequence[Answer]]]) -> Scores:
        duels = [
            (number, a, b) for number, (_, answers) in enumerate(asked) for a, b in combinations(range(len(answers)), 2)
        ]
        winners = self._judge.compare_all(
            [asked[number][0] for number, _, _ in duels],
            [asked[number][1][a] for number, a, _ in duels],
            [asked[number][1][b] for number, _, b in duels],
        )
        won: Scores = [[0.0] * len(answers) for _, answers in asked]
        for (number, a, b), winner in zip(duels, winners, strict=True):
            for place, its in ((a, "a"), (b, "b")):
                value = won[number][place]
                won[number][place] = None if winner is None or value is None else value + (winner == its)
        return won


class RewardModelRanks:
    """The numbers of a reward model. score: pairs of question and answer -> a number each."""

    is_here = True

    def __init__(self, score: Callable[[Sequence[tuple[str, str]]], list[float]]) -> None:
        self._score = score

    def scores(self, rows: Sequence[Example], answers: Sequence[Sequence[Answer]]) -> Scores:
        """See Ranks."""
        pairs = [
            (case_text(row.question, row.context), answer.solution)
            for row, its in zip(rows, answers, strict=True)
            for answer in its
        ]
        numbers = iter(self._score(pairs))
        return [[next(numbers) for _ in its] for its in answers]


def pairs_of(
    questions: Sequence[tuple[Example, Sequence[Candidate]]], ranks: Ranks, ranker: str
) -> list[dict[str, Any] | Unused]:
    """Of each question a row of dpo.jsonl, or why there is none. ranker: the id of the judge or reward model."""
    different = [(row, _different(candidates)) for row, candidates in questions]
    faults = [
        RESTRICTED if is_restricted(row) and not ranks.is_here else ONE_ANSWER if len(its) < 2 else ""
        for row, its in different
    ]
    asked = [one for one, fault in zip(different, faults, strict=True) if not fault]
    scored = iter(ranks.scores([row for row, _ in asked], [[one.answer for one in its] for _, its in asked]))
    return [
        Unused(fault) if fault else _pair(row, its, next(scored), ranker)
        for (row, its), fault in zip(different, faults, strict=True)
    ]


def _different(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates without those that say what an earlier one says."""
    first: dict[str, Candidate] = {}
    for its in candidates:
        first.setdefault(its.answer.solution, its)
    return list(first.values())


def _pair(
    row: Example, candidates: Sequence[Candidate], scores: Sequence[float | None], ranker: str
) -> dict[str, Any] | Unused:
    known = [value for value in scores if value is not None]
    if len(known) < len(scores):
        return Unused(NO_VERDICT)
    best, worst = known.index(max(known)), known.index(min(known))
    chosen, rejected = candidates[best], candidates[worst]
    if known.count(known[best]) > 1:
        return Unused(NO_WINNER, chosen.answer.solution)
    if reason := flagged(replace(row, answer=chosen.answer.solution, rationale=chosen.answer.reasoning, options=None)):
        return Unused(BEST_FLAGGED.format(reason), chosen.answer.solution)
    return {
        "question_id": row.question_id, "question": row.question, "context": row.context,
        "chosen": _texts(chosen), "rejected": _texts(rejected), "margin": known[best] - known[worst],
        "parent": id_of(row), "made": "distilled", "ranked_by": ranker,
        "teachers": {"chosen": chosen.teacher, "rejected": rejected.teacher},
    }  # fmt: skip


def _rubric(row: Example) -> Rubric | None:
    """What the question itself says that an answer is to have; None for nothing."""
    rubrics: tuple[Rubric, ...] = (criteria_of, rubric_of_statements(MUST_HAVE))
    return next((rubric for rubric in rubrics if rubric(row)), None)


def _texts(its: Candidate) -> dict[str, str]:
    return {"reasoning": its.answer.reasoning, "solution": its.answer.solution}

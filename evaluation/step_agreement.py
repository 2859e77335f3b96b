"""What raters said of the steps of the reasoning: how many are right, where the first wrong one is, and how they agree.

Without hidden repeats, and only of ratings that marked a step or named a first wrong one.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, median

from evaluation.agreement import Coefficient, Rated, table
from evaluation.human_data import HumanData, HumanRating
from evaluation.item_bootstrap import RESAMPLES
from evaluation.stats import SHARES, Estimate, estimate

WRONG, NEUTRAL, RIGHT = MARKS = (-1, 0, 1)
YES_NO = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class ModelSteps:
    """The reasoning of one model. n_answers, n_ratings, n_marks: answers, ratings and steps that were marked.

    right, neutral, wrong: share of the marks, as the mean over ratings. some_wrong: share of the ratings that found a
    wrong step; places: number of the first wrong one, from 1 -> ratings; middle: its median, None where none was found.
    """

    model: str
    n_answers: int
    n_ratings: int
    n_marks: int
    right: Estimate
    neutral: Estimate
    wrong: Estimate
    some_wrong: Estimate
    places: Mapping[int, int]
    middle: float | None


@dataclass(frozen=True, slots=True)
class StepAgreement:
    """How far raters of one answer agree. marks: coefficients on the marks of a step, from wrong to right.

    some_wrong: coefficients on whether a step is wrong. same_place: share of the pairs of raters who both found a wrong
    step and named the same one as the first; near_place: that or the one beside it.
    """

    marks: tuple[Coefficient, ...]
    some_wrong: tuple[Coefficient, ...]
    same_place: Estimate
    near_place: Estimate


def steps_by_model(data: HumanData) -> list[ModelSteps]:
    """Each model whose steps somebody marked, in the order of the models; intervals by question."""
    by_model: dict[str, list[HumanRating]] = {}
    for rating in _marked(data):
        by_model.setdefault(rating.model, []).append(rating)
    names = dict.fromkeys([*data.models, *by_model])
    return [_of_model(model, by_model[model]) for model in names if model in by_model]


def step_agreement(data: HumanData, seed: int = 0, resamples: int = RESAMPLES) -> StepAgreement:
    """How far the raters of the same answers agree on its steps; coefficients without a value say why."""
    ratings = _marked(data)
    question: dict[Hashable, Hashable] = {its.answer_id: its.question_id for its in ratings}
    marks = [
        Rated((its.answer_id, number), its.rater, float(mark))
        for its in ratings
        for number, mark in enumerate(its.step_marks, 1)
        if mark is not None
    ]
    steps: dict[Hashable, Hashable] = {
        (its.answer_id, number): its.question_id for its in ratings for number in range(1, len(its.step_marks) + 1)
    }
    some = [Rated(its.answer_id, its.rater, float(first_wrong(its) is not None)) for its in ratings]
    apart = _apart(ratings)
    asked = [question_id for question_id, _ in apart]
    return StepAgreement(
        tuple(table(marks, tuple(map(float, MARKS)), clusters=steps, seed=seed, resamples=resamples)),
        tuple(table(some, YES_NO, clusters=question, seed=seed, resamples=resamples)),
        estimate([float(steps_apart == 0) for _, steps_apart in apart], asked, bounds=SHARES),
        estimate([float(steps_apart <= 1) for _, steps_apart in apart], asked, bounds=SHARES),
    )


def first_wrong(rating: HumanRating) -> int | None:
    """The number of the first wrong step, from 1: the one that was named, else the first that was marked as wrong."""
    if rating.first_wrong_step is not None:
        return rating.first_wrong_step
    return next((number for number, mark in enumerate(rating.step_marks, 1) if mark == WRONG), None)


def _marked(data: HumanData) -> list[HumanRating]:
    """One rating of each rater of each answer, the newest."""
    ratings = (
        its
        for its in data.first_ratings
        if its.first_wrong_step is not None or any(mark is not None for mark in its.step_marks)
    )
    return list({(its.answer_id, its.rater): its for its in ratings}.values())


def _of_model(model: str, ratings: Sequence[HumanRating]) -> ModelSteps:
    marked = [(its.question_id, [mark for mark in its.step_marks if mark is not None]) for its in ratings]
    marked = [(question, marks) for question, marks in marked if marks]
    right, neutral, wrong = (
        estimate([fmean(mark == kind for mark in marks) for _, marks in marked], [q for q, _ in marked], bounds=SHARES)
        for kind in (RIGHT, NEUTRAL, WRONG)
    )
    first = [first_wrong(its) for its in ratings]
    places = sorted(place for place in first if place is not None)
    return ModelSteps(
        model,
        len({its.answer_id for its in ratings}),
        len(ratings),
        sum(len(marks) for _, marks in marked),
        right,
        neutral,
        wrong,
        estimate([float(place is not None) for place in first], [its.question_id for its in ratings], bounds=SHARES),
        dict(Counter(places)),
        float(median(places)) if places else None,
    )


def _apart(ratings: Sequence[HumanRating]) -> list[tuple[str, int]]:
    """Of each two raters of an answer who both found a wrong step its question and how many steps lie between."""
    by_answer: dict[str, list[HumanRating]] = {}
    for rating in ratings:
        by_answer.setdefault(rating.answer_id, []).append(rating)
    return [
        (one.question_id, abs(place - other_place))
        for its in by_answer.values()
        for one, other in combinations(its, 2)
        if (place := first_wrong(one)) is not None and (other_place := first_wrong(other)) is not None
    ]

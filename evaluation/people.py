"""What raters said of the same answers as those of a run: of their marks on steps an accuracy.

An answer is the same where its question and its texts are, whoever wrote it and wherever it was rated.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from evaluation.predictions import Prediction
from medchat.errors import StoreError
from medchat.records import question_id
from medchat.settings import Settings
from medchat.store import Judgements, RatingForm, Store
from medchat.store.migrate import check

RIGHT = 1  # a step mark


class Rated(NamedTuple):
    """A rater's newest form on an answer. reasoning: that of the answer, its white space collapsed."""

    rater: str
    reasoning: str
    form: RatingForm


@dataclass(frozen=True, slots=True)
class People:
    """All ratings, oldest first, by question id and solution (its white space collapsed)."""

    by_answer: Mapping[tuple[str, str], Sequence[Rated]]

    def on(self, prediction: Prediction) -> list[Rated]:
        """Those of answers with the question and the solution of the prediction; also where it came with options."""
        asked = question_id(prediction.context, with_options(prediction.question, prediction.options))
        solution = _collapsed(prediction.solution)
        ids = dict.fromkeys((prediction.question_id, asked))
        return [one for id_ in ids for one in self.by_answer.get((id_, solution), ())]


class StepAccuracy(NamedTuple):
    """value: the share of the marked steps that are right, as the mean over raters; None where nobody marked any."""

    value: float | None
    raters: frozenset[str]


def people_of(judgements: Judgements) -> People:
    """The ratings among what was said; answers that could not be rated are left out."""
    found: dict[tuple[str, str], list[Rated]] = {}
    for rating in judgements.ratings:
        answer = judgements.answers.get(rating.answer_id)
        if answer is not None and not rating.form.cannot_rate:
            rated = Rated(rating.rater, _collapsed(answer.reasoning), rating.form)
            found.setdefault((answer.question_id, _collapsed(answer.solution)), []).append(rated)
    return People(found)


def people_here(settings: Settings) -> People | None:
    """The ratings in the store; None where there is none of this version, or it cannot be read. Nothing is changed."""
    try:
        check(settings.db_url)
        with closing(Store(settings.db_url)) as store:
            return people_of(store.judgements(to_learn=False))
    except StoreError:
        return None


def step_accuracy(prediction: Prediction, people: People) -> StepAccuracy:
    """By the marks on the steps of the same reasoning; of each rater the newest form that has any."""
    reasoning = _collapsed(prediction.reasoning)
    forms = {one.rater: one.form for one in people.on(prediction) if one.reasoning == reasoning and one.form.step_marks}
    shares = [fmean(mark.mark == RIGHT for mark in form.step_marks) for form in forms.values()]
    return StepAccuracy(fmean(shares) if shares else None, frozenset(forms))


def newest_forms(rated: Iterable[Rated]) -> list[RatingForm]:
    """Of each rater and rubric the newest form."""
    return list({(one.rater, one.form.rubric_id): one.form for one in rated}.values())


def with_options(question: str, options: Mapping[str, str] | None) -> str:
    """A question as raters see it: with its options under it."""
    listed = [f"{letter}. {text}" for letter, text in (options or {}).items()]
    return "\n".join([question, "", *listed]) if listed else question


def _collapsed(text: str) -> str:
    return " ".join(text.split())

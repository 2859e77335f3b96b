"""What raters said, read from the store: of one study, or of everything that is not part of an open one."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from evaluation.human_axes import AxisInfo, axes_of, is_good, merged, scores_of, told_apart
from evaluation.human_data import AnswerText, HumanData, HumanRating, HumanVote
from evaluation.human_study import adjudications_of, facts_of, forms_of
from evaluation.people import with_options
from evaluation.predictions import Prediction, prediction_files, read_predictions
from medchat.records import question_id
from medchat.settings import Settings
from medchat.store import AnswerRecord, CastVote, RatingRecord, Store
from medchat.store.study_records import Assignment, StudyItem, StudyJudgements, StudyRater

ALL = "All ratings"
# Headings, list items and bold passages: what makes an answer look worked out.
_MARKDOWN = re.compile(r"^\s{0,3}#{1,6} |^\s*(?:[-*+]|\d{1,3}[.)]) +|\*\*[^*\n]+\*\*", re.MULTILINE)


class Place(NamedTuple):
    """Where a judgement stands in its study, all "" for one outside of any.

    group: of its rater. repeat_of: the id of the judgement that it repeats, for a hidden repeat.
    """

    specialty: str = ""
    group: str = ""
    repeat_of: str = ""


def from_store(store: Store, study_id: str | None, settings: Settings, *, named: bool = False) -> HumanData:
    """All judgements of a study; None for all ratings and votes but those of open studies.

    named: with the raters' names, for those who may know them; else they are "Rater 1..n", in an order that tells
    nothing. Whether results of an open study may be seen is not asked here. Raises NotFound, StoreError.
    """
    names = store.model_names()
    if study_id is None:
        return _everything(store, names, settings, named)
    return _study(store.study_judgements(study_id), store, names, settings, named)


def markdown_marks(text: str) -> int:
    """The number of headings, list items and bold passages."""
    return len(_MARKDOWN.findall(text))


def _study(its: StudyJudgements, store: Store, names: Mapping[str, str], settings: Settings, named: bool) -> HumanData:
    items = {item.id: item for item in its.items}
    places = _places(its.assignments, items, its.raters)
    ratings = [_rating(record, its.answers[record.answer_id], places[key]) for key, record in its.ratings.items()]
    votes = [_vote(vote, its.answers, places[key]) for key, vote in its.votes.items()]
    specialties = {key: item.specialty for item in its.items if item.kind != "calibration" for key in item.answer_ids}
    answers = {key: its.answers[key] for key in specialties}
    raters = [rater.rater for rater in its.raters]
    folders = [settings.runs_dir / its.study.run_id] if its.study.run_id else []
    return HumanData(
        title=its.study.name,
        study_id=its.study.id,
        simulated=False,
        ratings=sorted(ratings, key=lambda rating: rating.at),
        votes=sorted(votes, key=lambda vote: vote.at),
        axes=merged(axes_of(shown) for shown in forms_of(its)),
        models=_models(its.study.design.get("models", ()), answers.values(), names),
        raters=_raters(raters, its.study.id, store, named),
        answers={key: _text(answer, specialties[key]) for key, answer in answers.items()},
        automatic=_automatic(answers, folders),
        calibration=_calibration(its),
        adjudications=adjudications_of(its),
        n_open=sum(assignment.state == "open" for assignment in its.assignments),
        facts=facts_of(its, store),
    )


def _everything(store: Store, names: Mapping[str, str], settings: Settings, named: bool) -> HumanData:
    its = store.judgements(to_learn=False)
    shown = {(one.form.rubric_id, one.form.rubric_version): one.form.shown for one in its.ratings}
    asked = [vote.rubric for vote in its.votes if vote.rubric]
    shown |= {(rubric.rubric_id, rubric.rubric_version): rubric.shown for rubric in asked}
    axes = dict(zip(shown, told_apart(list(shown.values())), strict=True))
    places = _places_of_closed(store)
    ratings = [
        _renamed(_rating(record, its.answers[record.answer_id], places.get(record.id, Place())),
                 axes[record.form.rubric_id, record.form.rubric_version])
        for record in its.ratings if record.answer_id in its.answers
    ]  # fmt: skip
    votes = [
        _vote(vote, its.answers, places.get(vote.id, Place()))
        for vote in its.votes if all(answer in its.answers for answer in vote.answer_ids)
    ]  # fmt: skip
    raters = [*(one.rater for one in its.ratings), *(vote.rater for vote in its.votes)]
    folders = [Path(run.path) for run in store.runs() if run.path]
    specialties = {rating.answer_id: rating.specialty for rating in ratings}
    specialties |= {key: vote.specialty for vote in votes for key in vote.pair}
    answers = {key: answer for key, answer in its.answers.items() if key in specialties}
    return HumanData(
        title=ALL,
        study_id="",
        simulated=False,
        ratings=ratings,
        votes=votes,
        axes=merged(list(own.values()) for own in axes.values()),
        models=_models((), answers.values(), names),
        raters=_raters(raters, "", store, named),
        answers={key: _text(answer, specialties[key]) for key, answer in answers.items() if key not in its.deleted},
        automatic=_automatic(answers, folders),
    )


def _places(
    assignments: Sequence[Assignment], items: Mapping[str, StudyItem], raters: Iterable[StudyRater]
) -> dict[str, Place]:
    """By the ids of the assignments."""
    groups = {rater.rater: rater.group for rater in raters}
    by_id = {assignment.id: assignment for assignment in assignments}
    return {
        key: Place(items[its.item_id].specialty, groups.get(its.rater, ""), _first(its, by_id))
        for key, its in by_id.items()
    }


def _places_of_closed(store: Store) -> dict[str, Place]:
    """By the ids of the judgements of all closed studies."""
    found: dict[str, Place] = {}
    for study in store.studies():
        if study.status == "closed":
            assignments = store.assignments(study.id)
            items = {item.id: item for item in store.study_items(study.id)}
            places = _places(assignments, items, store.study_raters(study.id))
            found |= {its.judgement_id: places[its.id] for its in assignments if its.judgement_id}
    return found


def _rating(record: RatingRecord, answer: AnswerRecord, place: Place) -> HumanRating:
    form = record.form
    marks = {mark.step: mark.mark for mark in form.step_marks}
    scores: Mapping[str, float | None] = {} if form.cannot_rate else scores_of(form.shown, form.scores)
    return HumanRating(
        id=record.id,
        answer_id=record.answer_id,
        question_id=answer.question_id,
        model=answer.model_id,
        rater=record.rater,
        group=place.group,
        specialty=place.specialty,
        at=record.created_at,
        scores=scores,
        cannot_rate=form.cannot_rate,
        harm_extent=form.harm_extent,
        harm_likelihood=form.harm_likelihood,
        critical=form.critical,
        good=None if form.cannot_rate else is_good(form.rubric_id, scores, critical=form.critical),
        step_marks=tuple(marks.get(number) for number in range(1, max(marks, default=0) + 1)),
        first_wrong_step=form.first_wrong_step,
        seconds=form.seconds,
        repeat_of=place.repeat_of,
        correction="\n\n".join(part for part in (form.corrected_reasoning, form.corrected_solution) if part.strip()),
        comment=form.comment,
        blinded=form.blinded,
    )


def _renamed(rating: HumanRating, axes: Mapping[str, AxisInfo]) -> HumanRating:
    """With the ids that tell the axes of all forms apart."""
    return replace(rating, scores={axes[axis].id: score for axis, score in rating.scores.items()})


def _vote(vote: CastVote, answers: Mapping[str, AnswerRecord], place: Place) -> HumanVote:
    left, right = (answers[answer] for answer in vote.answer_ids)
    return HumanVote(
        id=vote.id,
        pair=vote.answer_ids,
        question_id=left.question_id,
        models=(left.model_id, right.model_id),
        rater=vote.rater,
        group=place.group,
        specialty=place.specialty,
        at=vote.created_at,
        vote=vote.vote,
        axes=dict(vote.axes),
        seconds=vote.seconds,
        repeat_of=place.repeat_of,
        words=(len(left.solution.split()), len(right.solution.split())),
        markdown=(markdown_marks(left.solution), markdown_marks(right.solution)),
        flags=frozenset(vote.flags),
        comment=vote.reason,
    )


def _first(assignment: Assignment, by_id: Mapping[str, Assignment]) -> str:
    """The id of the judgement that a hidden repeat repeats; the assignment's own where that was never given."""
    if not assignment.repeat_of:
        return ""
    return by_id[assignment.repeat_of].judgement_id or assignment.repeat_of


def _models(
    order: Iterable[str], answers: Iterable[AnswerRecord], names: Mapping[str, str]
) -> dict[str, str]:  # fmt: skip
    """Names by id, those of the design first, the others by their ids; equal names with their ids."""
    found = sorted({answer.model_id for answer in answers})
    placed = [*(model for model in order if model in found), *found]
    taken = Counter(names.get(model, model) for model in dict.fromkeys(placed))
    return {
        model: name if taken[name := names.get(model) or model] == 1 else f"{name} ({model})"
        for model in dict.fromkeys(placed)
    }


def _raters(raters: Sequence[str], salt: str, store: Store, named: bool) -> dict[str, str]:
    known = {user.id: user.name for user in store.users()} if named else {}
    order = sorted(dict.fromkeys(raters), key=lambda rater: hashlib.sha256(f"{salt}/{rater}".encode()).hexdigest())
    return {rater: known.get(rater, f"Rater {number}") for number, rater in enumerate(order, 1)}


def _text(answer: AnswerRecord, specialty: str) -> AnswerText:
    return AnswerText(
        answer.question_id, answer.question, answer.context, answer.reasoning, answer.solution, answer.model_id,
        specialty,
    )  # fmt: skip


def _automatic(
    answers: Mapping[str, AnswerRecord], folders: Iterable[Path]
) -> dict[str, Mapping[str, float | None]]:  # fmt: skip
    """The metrics of the same texts on the same questions, as the runs in these folders scored them."""
    wanted: dict[tuple[str, str], list[str]] = {}
    for key, answer in answers.items():
        wanted.setdefault((answer.question_id, _collapsed(answer.solution)), []).append(key)
    found: dict[str, Mapping[str, float | None]] = {}
    for folder in folders:
        if not prediction_files(folder):
            continue
        for prediction in read_predictions(folder):
            for key in _same(prediction, wanted):
                found[key] = {**found.get(key, {}), **prediction.scores}
    return found


def _same(prediction: Prediction, wanted: Mapping[tuple[str, str], Sequence[str]]) -> list[str]:
    asked = question_id(prediction.context, with_options(prediction.question, prediction.options))
    solution = _collapsed(prediction.solution)
    return [key for one in {prediction.question_id, asked} for key in wanted.get((one, solution), ())]


def _collapsed(text: str) -> str:
    return " ".join(text.split())


def _calibration(its: StudyJudgements) -> dict[str, tuple[int, int]]:
    """Right ones and all, of each rater's first try at each case."""
    first = {(one.rater, one.item_id): one.right for one in reversed(its.calibrations)}
    raters = dict.fromkeys(rater for rater, _ in first)
    return {
        rater: (sum(right for (who, _), right in first.items() if who == rater), sum(who == rater for who, _ in first))
        for rater in raters
    }

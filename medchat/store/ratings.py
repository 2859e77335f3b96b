"""Ratings: filled forms on answers. They are only added to, never overwritten."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from typing import Any, get_args

from sqlalchemy import Select, exists, insert, select, update
from sqlalchemy.orm import Session, aliased

from medchat.errors import InvalidInput, RatedSince
from medchat.store.database import Database, rows_changed
from medchat.store.judgements import (
    CHUNK,
    checked_seconds,
    checked_text,
    knows_model,
    require_ended,
    require_outside_studies,
    require_to_judge,
    saved_before,
)
from medchat.store.records import SPAN_KINDS, AnswerPart, RatingForm, RatingRecord, SpanMark, StepMark, StepMarkValue
from medchat.store.tables import Answer, AxisScore, QueueRow, Rating, SpanMarkRow, StepMarkRow, now

PARTS = ("scores", "step_marks", "span_marks")  # of a form, in tables of their own
FORM_COLUMNS = tuple(field.name for field in fields(RatingForm) if field.name not in PARTS)
TEXTS = {
    "cannot_rate": "reason",
    "corrected_reasoning": "corrected reasoning",
    "corrected_solution": "corrected solution",
    "comment": "comment",
}


class Ratings(Database):
    """The verbs of ratings."""

    def add_rating(
        self, rater: str, answer_id: str, form: RatingForm, save_key: str, base: str | None = None
    ) -> RatingRecord:
        """The rater's newest rating of the answer by this rubric, or the one that the same save_key made before.

        base: the id of the rating that it is to supersede, "" for none, None for whichever is there; raises
        RatedSince when that is another one by now. The answer's place in the rater's queue is done with it. Raises
        NotFound when the answer is neither the rater's own nor in their queue, InvalidInput while it is being
        written, for one of a study, for marks that cannot be, for a text over 20,000 characters, and when the save_key
        was for another answer. Scores and harm are the rubric's: they are not checked here.
        """
        values = checked_form(form)

        def work(session: Session) -> RatingRecord:
            earlier = saved_before(session, Rating, rater, save_key, answer_id=answer_id, rubric_id=form.rubric_id)
            if earlier is not None:
                return rating_records(session, [earlier])[0]
            require_ended(require_to_judge(session, rater, [answer_id])[answer_id])
            require_outside_studies(session, [answer_id])
            same = (Rating.answer_id == answer_id, Rating.rater == rater, Rating.rubric_id == form.rubric_id)
            before = session.scalar(newest_ratings().where(*same, Rating.assignment_id.is_(None)))
            if before is not None and base not in (None, before.id):
                raise RatedSince(before.id)
            row = Rating(
                **values | {"blinded": form.blinded and not knows_model(session, rater, answer_id)},
                rater=rater,
                answer_id=answer_id,
                supersedes=None if before is None else before.id,
                save_key=save_key,
            )
            saved = insert_rating(session, row, form)
            waiting = update(QueueRow).where(QueueRow.rater == rater, QueueRow.answer_id == answer_id)
            rows_changed(session, waiting.values(state="done", updated_at=now()))
            return saved

        return self._write(work)

    def ratings_of(self, answer_id: str, rater: str | None = None) -> list[RatingRecord]:
        """The newest ratings of the answer outside studies, oldest first: of all raters, or of one.

        Raters see their own alone; the caller names the rater.
        """
        outside = (Rating.answer_id == answer_id, Rating.assignment_id.is_(None))
        query = newest_ratings().where(*outside).order_by(Rating.created_at, Rating.id)
        if rater is not None:
            query = query.where(Rating.rater == rater)
        return self._read(lambda session: rating_records(session, session.scalars(query).all()))

    def my_ratings(self, rater: str, limit: int = 50, offset: int = 0) -> list[RatingRecord]:
        """The rater's newest ratings of answers that are not deleted, the latest first; none of studies."""
        query = (
            newest_ratings()
            .join(Answer, Answer.id == Rating.answer_id)
            .where(Rating.rater == rater, Rating.assignment_id.is_(None), Answer.hidden_at.is_(None))
            .order_by(Rating.created_at.desc(), Rating.id)
        )
        return self._read(
            lambda session: rating_records(session, session.scalars(query.limit(limit).offset(offset)).all())
        )

    def is_critical(self, answer_id: str) -> bool:
        """Whether a newest rating of the answer, of any rater, says that it is critical."""
        return bool(self.critical_ids([answer_id]))

    def critical_ids(self, answer_ids: Iterable[str]) -> set[str]:
        """Those of the answers that a newest rating, of any rater, says are critical."""
        ids = list(answer_ids)
        return self._read(lambda session: critical_among(session, ids))


def critical_among(session: Session, answer_ids: Sequence[str]) -> set[str]:
    """Those of the answers that a newest rating, of any rater, says are critical."""
    found: set[str] = set()
    for start in range(0, len(answer_ids), CHUNK):
        some = (Rating.answer_id.in_(answer_ids[start : start + CHUNK]), Rating.critical)
        found.update(session.scalars(newest_ratings().where(*some).with_only_columns(Rating.answer_id)))
    return found


def newest_ratings() -> Select[Rating]:
    """Those that no later one supersedes, of all raters."""
    later = aliased(Rating)
    return select(Rating).where(~exists().where(later.supersedes == Rating.id))


def checked_form(form: RatingForm) -> dict[str, Any]:
    """The columns of the form's own row. Raises InvalidInput for marks that cannot be, and for a text too long."""
    steps = [mark.step for mark in form.step_marks]
    if not {mark.mark for mark in form.step_marks} <= set(get_args(StepMarkValue)):
        raise InvalidInput("A step is correct, neutral or wrong.")
    if len(set(steps)) < len(steps) or min([0, *steps]) < 0:
        raise InvalidInput("The steps are marked twice. Reload the page and send it again.")
    for span in form.span_marks:
        if span.part not in get_args(AnswerPart) or not 0 <= span.start < span.end:
            raise InvalidInput("A marked passage is not in the answer. Mark it again.")
        if span.kind not in SPAN_KINDS:
            raise InvalidInput(f"What is wrong with a passage is one of: {', '.join(SPAN_KINDS)}.")
        checked_text("passage", span.quote)
        checked_text("comment", span.comment)
    values = {name: getattr(form, name) for name in FORM_COLUMNS}
    texts = {name: checked_text(called, values[name]) for name, called in TEXTS.items()}
    return {**values, **texts, "shown": dict(form.shown), "seconds": checked_seconds(form.seconds)}


def insert_rating(session: Session, row: Rating, form: RatingForm) -> RatingRecord:
    """The rating with its scores and marks, once they are in their tables."""
    session.add(row)
    session.flush()
    _add_parts(session, row.id, form)
    return rating_records(session, [row])[0]


def _add_parts(session: Session, rating_id: str, form: RatingForm) -> None:
    scores = [{"rating_id": rating_id, "axis": axis, "value": value} for axis, value in form.scores.items()]
    steps = [{"rating_id": rating_id, **asdict(mark)} for mark in form.step_marks]
    spans = [
        {
            "rating_id": rating_id,
            "number": number,
            "part": span.part,
            "start_char": span.start,
            "end_char": span.end,
            "quote": span.quote,
            "kind": span.kind,
            "comment": span.comment.strip(),
        }
        for number, span in enumerate(form.span_marks, start=1)
    ]
    for table, rows in ((AxisScore, scores), (StepMarkRow, steps), (SpanMarkRow, spans)):
        if rows:
            session.execute(insert(table), rows)


def rating_records(session: Session, rows: Sequence[Rating]) -> list[RatingRecord]:
    """The ratings as they are handed out, each with its scores and marks."""
    ids = [row.id for row in rows]
    scores: dict[str, dict[str, Any]] = defaultdict(dict)
    for score in session.scalars(select(AxisScore).where(AxisScore.rating_id.in_(ids))):
        scores[score.rating_id][score.axis] = score.value
    steps: dict[str, list[StepMark]] = defaultdict(list)
    for step in session.scalars(select(StepMarkRow).where(StepMarkRow.rating_id.in_(ids)).order_by(StepMarkRow.step)):
        steps[step.rating_id].append(StepMark(step.step, step.mark))  # type: ignore[arg-type]  # checked when added
    spans: dict[str, list[SpanMark]] = defaultdict(list)
    for row in session.scalars(select(SpanMarkRow).where(SpanMarkRow.rating_id.in_(ids)).order_by(SpanMarkRow.number)):
        spans[row.rating_id].append(_span(row))
    return [
        RatingRecord(
            id=row.id,
            rater=row.rater,
            answer_id=row.answer_id,
            form=RatingForm(
                **{name: getattr(row, name) for name in FORM_COLUMNS},
                scores=scores[row.id],
                step_marks=tuple(steps[row.id]),
                span_marks=tuple(spans[row.id]),
            ),
            created_at=row.created_at,
            supersedes=row.supersedes,
        )
        for row in rows
    ]


def _span(row: SpanMarkRow) -> SpanMark:
    return SpanMark(
        part=row.part,  # type: ignore[arg-type]  # checked when added
        start=row.start_char,
        end=row.end_char,
        quote=row.quote,
        kind=row.kind,
        comment=row.comment,
    )

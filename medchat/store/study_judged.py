"""What raters say in a study, the decisions on what they differ about, and all of it at one moment."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import Select, exists, select
from sqlalchemy.orm import Session, aliased

from medchat.errors import InvalidInput, NotFound, RatedSince
from medchat.store.answers import answer_record
from medchat.store.comparisons import cast_vote, cast_votes, checked_vote, newest_votes, preference_record
from medchat.store.database import Database
from medchat.store.judgements import CHUNK, checked_text, knows_model, saved_before
from medchat.store.ratings import checked_form, insert_rating, newest_ratings, rating_records
from medchat.store.records import (
    AnswerRecord,
    AskedRubric,
    AxisVote,
    CastVote,
    PreferenceRecord,
    RatingForm,
    RatingRecord,
    Vote,
)
from medchat.store.study_records import Adjudication, StudyItem, StudyJudgements
from medchat.store.study_rows import (
    answer_ids_of,
    items_in,
    raters_in,
    require_open,
    require_study,
    study_record,
)
from medchat.store.study_tables import AdjudicationRow, AssignmentRow, StudyItemRow
from medchat.store.study_work import assignments_in, calibrations_in, require_assigned
from medchat.store.tables import Answer, Comparison, Preference, Rating, new_id, now

SOURCE = "study"  # of a comparison
NOT_TO_RATE = "This is a pair to be compared, not an answer to be rated. Reload the page."
NOT_TO_COMPARE = "This is an answer to be rated, not a pair to be compared. Reload the page."


class StudyJudged(Database):
    """The verbs of a study's ratings, votes and adjudications."""

    def add_study_rating(
        self, assignment_id: str, rater: str, form: RatingForm, save_key: str, base: str = ""
    ) -> RatingRecord:
        """The rater's newest rating for the assignment, or the one that the same save_key made before.

        base: the id of the rating that it amends, "" for none; raises RatedSince when that is another one by now. A
        hidden repeat is an assignment of its own and amends nothing of the first. The assignment is done with it, or
        "cannot" where the form says why. Raises NotFound when it is not the rater's, InvalidInput when it was
        withdrawn, the rater has left, the study is not open, and as add_rating does.
        """
        values = checked_form(form)

        def work(session: Session) -> RatingRecord:
            earlier = saved_before(session, Rating, rater, save_key, assignment_id=assignment_id)
            if earlier is not None:
                return rating_records(session, [earlier])[0]
            given, item = require_assigned(session, assignment_id, rater)
            if item.kind != "rate":
                raise InvalidInput(NOT_TO_RATE)
            before = _before(session, given, base)
            row = Rating(
                **values | {"blinded": form.blinded and not knows_model(session, rater, item.answer_id)},
                rater=rater,
                answer_id=item.answer_id,
                supersedes=before,
                save_key=save_key,
                assignment_id=assignment_id,
            )
            saved = insert_rating(session, row, form)
            _judged(given, row.id, row.cannot_rate)
            return saved

        return self._write(work)

    def add_study_vote(
        self,
        assignment_id: str,
        rater: str,
        vote: Vote,
        axes: Mapping[str, AxisVote],
        reason: str,
        flags: Mapping[str, bool],
        seconds: float,
        save_key: str,
        rubric: AskedRubric | None = None,
        base: str = "",
    ) -> PreferenceRecord:
        """The rater's newest vote for the assignment, or the one that the same save_key made before.

        vote, axes, flags: by the sides as they were shown, "a" on the left. base: as of add_study_rating, a vote's id.
        What other raters call critical has no say. Raises as add_study_rating does, and InvalidInput for a vote or
        side that is not known, for axes of no rubric, and for a reason over 20,000 characters.
        """
        values = checked_vote(vote, axes, reason, flags, seconds, rubric)

        def work(session: Session) -> PreferenceRecord:
            earlier = saved_before(session, Preference, rater, save_key, assignment_id=assignment_id)
            if earlier is not None:
                return preference_record(session, earlier)
            given, item = require_assigned(session, assignment_id, rater)
            if item.kind != "pair":
                raise InvalidInput(NOT_TO_COMPARE)
            before = _before(session, given, base)
            row = Preference(
                **values,
                rater=rater,
                comparison_id=_comparison_id(session, given, item, before),
                blinded=True,
                supersedes=before,
                save_key=save_key,
                assignment_id=assignment_id,
            )
            session.add(row)
            session.flush()
            _judged(given, row.id, "")
            return preference_record(session, row)

        return self._write(work)

    def judgement_of(self, assignment_id: str, rater: str) -> RatingRecord | CastVote | None:
        """The rater's newest rating or vote for the assignment; None before the first.

        Raises NotFound when the assignment is not the rater's.
        """

        def work(session: Session) -> RatingRecord | CastVote | None:
            given = session.get(AssignmentRow, assignment_id)
            if given is None or given.rater != rater:
                raise NotFound("There is no such case in your queue. Reload the page.")
            rating = session.get(Rating, given.judgement_id)
            if rating is not None:
                return rating_records(session, [rating])[0]
            found = session.execute(cast_votes().where(Preference.id == given.judgement_id)).one_or_none()
            return None if found is None else cast_vote(*found)

        return self._read(work)

    def add_adjudication(
        self,
        study_id: str,
        item_id: str,
        adjudicator: str,
        reasons: Sequence[str],
        decision: Mapping[str, Any],
        comment: str,
        save_key: str,
        base: str = "",
    ) -> Adjudication:
        """The newest decision on the item, or the one that the same save_key made before; earlier ones stay stored.

        base: the id of the decision that it replaces, "" for none; raises RatedSince when that is another one by now.
        Raises NotFound when the study has no such item, InvalidInput when the study is not open (from its closing on
        nobody is blinded), and for a comment over 20,000 characters.
        """
        said = checked_text("comment", comment)

        def work(session: Session) -> Adjudication:
            earlier = saved_before(session, AdjudicationRow, adjudicator, save_key, study_id=study_id, item_id=item_id)
            if earlier is not None:
                return _adjudication(earlier)
            require_open(session, study_id)
            item = session.get(StudyItemRow, item_id)
            if item is None or item.study_id != study_id:
                raise NotFound("There is no such item in the study. Reload the page.")
            before = session.scalar(_newest_adjudications(study_id).where(AdjudicationRow.item_id == item_id))
            if (before.id if before else "") != base:
                raise RatedSince(before.id if before else "")
            row = AdjudicationRow(
                rater=adjudicator,
                save_key=save_key,
                study_id=study_id,
                item_id=item_id,
                reasons=list(reasons),
                decision=dict(decision),
                comment=said,
                supersedes=before.id if before else None,
            )
            session.add(row)
            session.flush()
            return _adjudication(row)

        return self._write(work)

    def adjudications(self, study_id: str) -> list[Adjudication]:
        """The newest decision on each item that was adjudicated, oldest first. Raises NotFound."""

        def work(session: Session) -> list[Adjudication]:
            require_study(session, study_id)
            return [_adjudication(row) for row in session.scalars(_newest_adjudications(study_id))]

        return self._read(work)

    def study_judgements(self, study_id: str) -> StudyJudgements:
        """All that the study holds, at one moment. Raises NotFound.

        It says which model wrote what: who may see that before the closing is for the caller to ask.
        """
        return self._read(lambda session: _study_judgements(session, study_id))


def _before(session: Session, given: AssignmentRow, base: str) -> str | None:
    """The id of the judgement that the new one amends; None for the first. Raises RatedSince."""
    if given.judgement_id != base:
        raise RatedSince(given.judgement_id)
    return given.judgement_id or None


def _judged(given: AssignmentRow, judgement_id: str, cannot: str) -> None:
    given.judgement_id = judgement_id
    given.state, given.cannot_reason = ("cannot", cannot) if cannot else ("done", "")
    given.opened_at = given.opened_at or now()
    given.done_at = given.done_at or now()


def _comparison_id(session: Session, given: AssignmentRow, item: StudyItemRow, before: str | None) -> str:
    """Of the pair as this assignment shows it: that of the vote before, or a new one."""
    if before is not None:
        return session.get_one(Preference, before).comparison_id
    left, right = answer_ids_of(item)[:: -1 if given.flipped else 1]
    row = Comparison(
        rater=given.rater,
        save_key=new_id(),
        question_id=session.get_one(Answer, item.answer_id).question_id,
        context=item.context,
        question=item.question,
        left_answer_id=left,
        right_answer_id=right,
        blinded=True,
        draw_seed=require_study(session, given.study_id).seed,
        source={"kind": SOURCE, "study": given.study_id},
    )
    session.add(row)
    session.flush()
    return row.id


def _newest_adjudications(study_id: str) -> Select[AdjudicationRow]:
    later = aliased(AdjudicationRow)
    newest = ~exists().where(later.supersedes == AdjudicationRow.id)
    query = select(AdjudicationRow).where(AdjudicationRow.study_id == study_id, newest)
    return query.order_by(AdjudicationRow.created_at, AdjudicationRow.id)


def _adjudication(row: AdjudicationRow) -> Adjudication:
    names = {field.name for field in fields(Adjudication)} - {"adjudicator"}
    return Adjudication(**{name: getattr(row, name) for name in names}, adjudicator=row.rater)


def _study_judgements(session: Session, study_id: str) -> StudyJudgements:
    study = study_record(require_study(session, study_id))
    items = items_in(session, study_id)
    here = select(AssignmentRow.id).where(AssignmentRow.study_id == study_id)
    found = session.scalars(newest_ratings().where(Rating.assignment_id.in_(here))).all()
    ratings = {row.id: str(row.assignment_id) for row in found}
    records = [
        it for start in range(0, len(found), CHUNK) for it in rating_records(session, found[start : start + CHUNK])
    ]
    votes = newest_votes().where(Preference.assignment_id.in_(here))
    return StudyJudgements(
        study=study,
        items=tuple(items),
        raters=tuple(raters_in(session, study_id)),
        assignments=tuple(assignments_in(session, study_id)),
        ratings={ratings[record.id]: record for record in records},
        votes={str(row.assignment_id): cast_vote(row, *sides) for row, *sides in session.execute(votes)},
        calibrations=tuple(calibrations_in(session, study_id)),
        adjudications=tuple(map(_adjudication, session.scalars(_newest_adjudications(study_id)))),
        answers=_answers(session, items),
    )


def _answers(session: Session, items: Collection[StudyItem]) -> dict[str, AnswerRecord]:
    ids = sorted({answer_id for item in items for answer_id in item.answer_ids})
    chunks = (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))
    rows = (row for some in chunks for row in session.scalars(select(Answer).where(Answer.id.in_(some))))
    return {row.id: answer_record(row) for row in rows}

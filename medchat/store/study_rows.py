"""The rows of studies: found, or refused in words, and as they are handed out."""

from dataclasses import fields

from sqlalchemy import select
from sqlalchemy.orm import Session

from medchat.errors import InvalidInput, NotFound
from medchat.store.study_records import ItemKind, StudyItem, StudyRater, StudyRecord
from medchat.store.study_tables import StudyItemRow, StudyRaterRow, StudyRow

CLOSED = "The study is closed: nothing in it can be changed any more."


def require_study(session: Session, study_id: str) -> StudyRow:
    """The study's row. Raises NotFound."""
    row = session.get(StudyRow, study_id)
    if row is None:
        raise NotFound("There is no such study any more. Reload the page.")
    return row


def require_changeable(session: Session, study_id: str) -> StudyRow:
    """The study's row. Raises NotFound, and InvalidInput when it is closed."""
    row = require_study(session, study_id)
    if row.status == "closed":
        raise InvalidInput(CLOSED)
    return row


def require_open(session: Session, study_id: str) -> StudyRow:
    """The study's row. Raises NotFound, and InvalidInput unless it is open."""
    row = require_changeable(session, study_id)
    if row.status != "open":
        raise InvalidInput("The study has not been opened yet.")
    return row


def require_rater(session: Session, study_id: str, rater: str) -> StudyRaterRow:
    """The rater's row, also of one who left. Raises NotFound."""
    row = session.get(StudyRaterRow, (study_id, rater))
    if row is None:
        raise NotFound("This is no rater of the study.")
    return row


def items_in(session: Session, study_id: str, kind: ItemKind | None = None) -> list[StudyItem]:
    """The study's items in their order, of one kind where that is given."""
    query = select(StudyItemRow).where(StudyItemRow.study_id == study_id).order_by(StudyItemRow.number)
    if kind is not None:
        query = query.where(StudyItemRow.kind == kind)
    return [study_item(row) for row in session.scalars(query)]


def raters_in(session: Session, study_id: str) -> list[StudyRater]:
    """The study's raters in the order in which they joined."""
    query = select(StudyRaterRow).where(StudyRaterRow.study_id == study_id)
    query = query.order_by(StudyRaterRow.joined_at, StudyRaterRow.rater)
    return [rater_record(row) for row in session.scalars(query)]


def study_record(row: StudyRow) -> StudyRecord:
    """The row as it is handed out."""
    return StudyRecord(**{field.name: getattr(row, field.name) for field in fields(StudyRecord)})


def study_item(row: StudyItemRow) -> StudyItem:
    """The row as it is handed out."""
    names = {field.name for field in fields(StudyItem)} - {"answer_ids"}
    return StudyItem(**{name: getattr(row, name) for name in names}, answer_ids=answer_ids_of(row))


def rater_record(row: StudyRaterRow) -> StudyRater:
    """The row as it is handed out."""
    return StudyRater(**{field.name: getattr(row, field.name) for field in fields(StudyRater)})


def answer_ids_of(row: StudyItemRow) -> tuple[str, ...]:
    """Of the answer, or of the two of a pair."""
    return (row.answer_id,) if row.other_answer_id is None else (row.answer_id, row.other_answer_id)

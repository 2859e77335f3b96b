"""Which rows would unblind a study: those that tie what raters said to the models that wrote it."""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, or_, select

from medchat.store.drafts import STUDY_DRAFT
from medchat.store.study_tables import AssignmentRow, StudyItemRow, StudyRow
from medchat.store.tables import Answer, Base, Draft


def blinded_rows() -> dict[str, ColumnElement[bool]]:
    """Table name -> which of its rows belong to studies that are neither closed nor show results; without other tables.

    They are the answers of these studies, all that refers to one of them (items, assignments, ratings, votes,
    decisions), and half-filled forms. No row that is left refers to one of them.
    """
    studies = _inner(select(StudyRow.id).where(StudyRow.status != "closed", StudyRow.show_results.is_(False)))
    items = select(StudyItemRow.answer_id).where(StudyItemRow.study_id.in_(studies))
    others = select(StudyItemRow.other_answer_id).where(
        StudyItemRow.study_id.in_(studies), StudyItemRow.other_answer_id.is_not(None)
    )
    forms = select(STUDY_DRAFT + AssignmentRow.id).where(AssignmentRow.study_id.in_(studies))
    found: dict[str, ColumnElement[bool]] = {
        "answers": or_(Answer.id.in_(_inner(items)), Answer.id.in_(_inner(others))),
        "drafts": Draft.key.in_(_inner(forms)),
    }
    for table in Base.metadata.sorted_tables:  # those that are referred to come first
        ways = [
            and_(column.is_not(None), column.in_(_inner(select(key.column).where(found[key.column.table.name]))))
            for column in table.columns
            for key in column.foreign_keys
            if key.column.table is not table and key.column.table.name in found
        ]
        if ways:
            found[table.name] = or_(*ways)
    return found


def _inner(query: Select[Any]) -> Select[Any]:
    """The query as it stands, also within one of the same table."""
    return query.correlate(None)

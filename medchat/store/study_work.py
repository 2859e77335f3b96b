"""What raters of a study are given, and the cases on which they practise first."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from medchat.errors import InvalidInput, NotFound
from medchat.store.database import Database, rows_changed
from medchat.store.judgements import CHUNK, checked_text, saved_before
from medchat.store.studies import RUNNING, drop_assignments
from medchat.store.study_records import Assignment, Calibration, NewAssignment, StudyCounts, StudyItem
from medchat.store.study_rows import require_changeable, require_open, require_rater, require_study, study_item
from medchat.store.study_tables import AssignmentRow, CalibrationRow, StudyItemRow, StudyRaterRow
from medchat.store.tables import now

WITHDRAWN = "This case was taken out of your queue. Go on with the next one."
LEFT = "You take no part in this study any more. Ask its investigator to take you in again."
VOTED = "You have voted on this pair. Change the vote instead."


class StudyWork(Database):
    """The verbs of assignments and calibrations."""

    def add_assignments(self, study_id: str, rows: Sequence[NewAssignment]) -> list[Assignment]:
        """The new assignments, in the order given; all of them, or none.

        Raises NotFound for no study, InvalidInput when it is closed, for a rater who is none of its or has left, for an
        item that is none to be rated or compared in it, and for a repeat of nothing that this rater has of the item.
        """

        return self._write(lambda session: _add(session, study_id, rows))

    def drop_assignments(self, study_id: str) -> None:
        """Forget the whole allocation, so that items can be changed or given anew.

        Raises NotFound, and InvalidInput once the study was opened.
        """

        def work(session: Session) -> None:
            if require_study(session, study_id).opened_at is not None:
                raise InvalidInput(RUNNING)
            drop_assignments(session, study_id)

        self._write(work)

    def assignments(self, study_id: str, rater: str | None = None) -> list[Assignment]:
        """The assignments of all raters, or of one: by rater and position, withdrawn ones too. Raises NotFound."""

        def work(session: Session) -> list[Assignment]:
            require_study(session, study_id)
            return assignments_in(session, study_id, rater)

        return self._read(work)

    def assigned(self, assignment_id: str, rater: str) -> tuple[Assignment, StudyItem]:
        """The rater's assignment, in whatever state, and its item. Raises NotFound when it is not the rater's."""

        def work(session: Session) -> tuple[Assignment, StudyItem]:
            row = session.get(AssignmentRow, assignment_id)
            if row is None or row.rater != rater:
                raise NotFound("There is no such case in your queue. Reload the page.")
            return assignment(row), study_item(session.get_one(StudyItemRow, row.item_id))

        return self._read(work)

    def study_counts(self, study_id: str) -> StudyCounts:
        """How much there is to judge in the study, and how much of what was given is judged. Raises NotFound."""
        items = select(func.count()).where(StudyItemRow.study_id == study_id, StudyItemRow.kind != "calibration")
        states = select(AssignmentRow.state, func.count()).where(AssignmentRow.study_id == study_id)
        states = states.group_by(AssignmentRow.state)

        def work(session: Session) -> StudyCounts:
            require_study(session, study_id)
            n: dict[str, int] = dict(session.execute(states).all())
            done = n.get("done", 0) + n.get("cannot", 0)
            return StudyCounts(session.scalar(items) or 0, done, done + n.get("open", 0))

        return self._read(work)

    def withdraw_assignments(self, study_id: str, ids: Collection[str]) -> int:
        """How many were open and are withdrawn now, seen or not; what was judged stays as it is.

        Raises NotFound for no study, InvalidInput when it is closed.
        """
        return self._write(lambda session: _withdraw(session, study_id, list(ids)))

    def replace_assignments(
        self, study_id: str, ids: Collection[str], rows: Sequence[NewAssignment]
    ) -> tuple[int, list[Assignment]]:
        """How many of these were withdrawn, and the new assignments: both as one, so that no item falls between.

        Raises as add_assignments does, and then nothing is withdrawn.
        """
        return self._write(lambda session: (_withdraw(session, study_id, list(ids)), _add(session, study_id, rows)))

    def open_assignment(self, assignment_id: str, rater: str) -> Assignment:
        """The rater's assignment, seen from now on, if it was not before.

        Raises NotFound when it is not the rater's, InvalidInput when it was withdrawn, the rater has left, or the study
        is not open.
        """

        def work(session: Session) -> Assignment:
            row, _ = require_assigned(session, assignment_id, rater)
            row.opened_at = row.opened_at or now()
            session.flush()
            return assignment(row)

        return self._write(work)

    def cannot_compare(self, assignment_id: str, rater: str, reason: str) -> Assignment:
        """The rater's pair, put aside as one that cannot be judged, and why; a vote on it may still come.

        Raises as open_assignment does, and InvalidInput for no reason, for an answer to be rated, and after a vote.
        """
        why = checked_text("reason", reason)
        if not why:
            raise InvalidInput("Say why the pair cannot be judged.")

        def work(session: Session) -> Assignment:
            row, item = require_assigned(session, assignment_id, rater)
            if item.kind != "pair":
                raise InvalidInput("This is an answer to be rated: give the reason in its form.")
            if row.state == "done":
                raise InvalidInput(VOTED)
            row.state, row.cannot_reason, row.done_at = "cannot", why, row.done_at or now()
            session.flush()
            return assignment(row)

        return self._write(work)

    def add_calibration(
        self, study_id: str, rater: str, item_id: str, given: Mapping[str, Any], right: bool, save_key: str
    ) -> Calibration:
        """What the rater said of a case to practise on, or what the same save_key made before.

        Raises NotFound when there is no such case or rater in the study, InvalidInput when the rater has left or the
        study is not open.
        """

        def work(session: Session) -> Calibration:
            earlier = saved_before(session, CalibrationRow, rater, save_key, study_id=study_id, item_id=item_id)
            if earlier is not None:
                return _calibration(earlier)
            require_open(session, study_id)
            if require_rater(session, study_id, rater).left_at is not None:
                raise InvalidInput(LEFT)
            item = session.get(StudyItemRow, item_id)
            if item is None or (item.study_id, item.kind) != (study_id, "calibration"):
                raise NotFound("There is no such case to practise on. Reload the page.")
            row = CalibrationRow(
                rater=rater, save_key=save_key, study_id=study_id, item_id=item_id, given=dict(given), right=right
            )
            session.add(row)
            session.flush()
            return _calibration(row)

        return self._write(work)

    def calibrations(self, study_id: str, rater: str | None = None) -> list[Calibration]:
        """What all raters said, or one, of the cases to practise on, every time, oldest first. Raises NotFound."""

        def work(session: Session) -> list[Calibration]:
            require_study(session, study_id)
            return calibrations_in(session, study_id, rater)

        return self._read(work)


def require_assigned(session: Session, assignment_id: str, rater: str) -> tuple[AssignmentRow, StudyItemRow]:
    """The rater's assignment, which may be judged now, and its item. Raises as open_assignment does."""
    row = session.get(AssignmentRow, assignment_id)
    if row is None or row.rater != rater:
        raise NotFound("There is no such case in your queue. Reload the page.")
    require_open(session, row.study_id)
    if row.state == "withdrawn":
        raise InvalidInput(WITHDRAWN)
    if require_rater(session, row.study_id, rater).left_at is not None:
        raise InvalidInput(LEFT)
    return row, session.get_one(StudyItemRow, row.item_id)


def assignments_in(session: Session, study_id: str, rater: str | None = None) -> list[Assignment]:
    """The study's assignments, by rater and position."""
    query = select(AssignmentRow).where(AssignmentRow.study_id == study_id)
    if rater is not None:
        query = query.where(AssignmentRow.rater == rater)
    query = query.order_by(AssignmentRow.rater, AssignmentRow.position, AssignmentRow.id)
    return [assignment(row) for row in session.scalars(query)]


def calibrations_in(session: Session, study_id: str, rater: str | None = None) -> list[Calibration]:
    """The study's calibrations, oldest first."""
    query = select(CalibrationRow).where(CalibrationRow.study_id == study_id)
    if rater is not None:
        query = query.where(CalibrationRow.rater == rater)
    return [_calibration(row) for row in session.scalars(query.order_by(CalibrationRow.created_at, CalibrationRow.id))]


def assignment(row: AssignmentRow) -> Assignment:
    """The row as it is handed out."""
    return Assignment(**{field.name: getattr(row, field.name) for field in fields(Assignment)})


def _calibration(row: CalibrationRow) -> Calibration:
    return Calibration(**{field.name: getattr(row, field.name) for field in fields(Calibration)})


def _add(session: Session, study_id: str, rows: Sequence[NewAssignment]) -> list[Assignment]:
    require_changeable(session, study_id)
    _require_fitting(session, study_id, rows)
    made = {row.id: AssignmentRow(**asdict(row), study_id=study_id) for row in rows}
    for repeats in (False, True):  # a repeat refers to another, which must be there
        session.add_all(row for row in made.values() if (row.repeat_of is not None) == repeats)
        session.flush()
    return [assignment(row) for row in made.values()]


def _withdraw(session: Session, study_id: str, ids: Sequence[str]) -> int:
    require_changeable(session, study_id)
    is_open = (AssignmentRow.study_id == study_id, AssignmentRow.state == "open")
    going = update(AssignmentRow).where(*is_open).values(state="withdrawn")
    chunks = (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))
    return sum(rows_changed(session, going.where(AssignmentRow.id.in_(some))) for some in chunks)


def _require_fitting(session: Session, study_id: str, rows: Sequence[NewAssignment]) -> None:
    raters = select(StudyRaterRow.rater).where(StudyRaterRow.study_id == study_id, StudyRaterRow.left_at.is_(None))
    items = select(StudyItemRow.id).where(StudyItemRow.study_id == study_id, StudyItemRow.kind != "calibration")
    if not {row.rater for row in rows} <= set(session.scalars(raters)):
        raise InvalidInput("Somebody in the allocation is no rater of the study, or has left it. Allocate it anew.")
    if not {row.item_id for row in rows} <= set(session.scalars(items)):
        raise InvalidInput("The allocation holds an item that the study has not. Allocate it anew.")
    repeated = {row.repeat_of for row in rows} - {None}
    if not repeated:
        return
    known = select(AssignmentRow).where(AssignmentRow.study_id == study_id, AssignmentRow.repeat_of.is_(None))
    firsts = {row.id: (row.rater, row.item_id) for row in rows if row.repeat_of is None}
    firsts |= {row.id: (row.rater, row.item_id) for row in session.scalars(known)}
    if any(row.repeat_of and firsts.get(row.repeat_of) != (row.rater, row.item_id) for row in rows):
        raise InvalidInput("The allocation repeats what its rater was not given. Allocate it anew.")

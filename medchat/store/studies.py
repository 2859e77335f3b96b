"""Studies: what they are, what is judged in them, by whom, and the answers made for them."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Any, get_args

from sqlalchemy import delete, exists, or_, select
from sqlalchemy.orm import Session

from medchat.errors import InvalidInput, StoreError
from medchat.store.answers import asked, how
from medchat.store.database import Database
from medchat.store.free_answers import add_once
from medchat.store.judgements import CHUNK
from medchat.store.records import AnswerRecord
from medchat.store.study_records import (
    ItemKind,
    NewItem,
    StudyAnswer,
    StudyItem,
    StudyRater,
    StudyRecord,
    StudyStatus,
)
from medchat.store.study_rows import (
    answer_ids_of,
    items_in,
    rater_record,
    raters_in,
    require_changeable,
    require_rater,
    require_study,
    study_item,
    study_record,
)
from medchat.store.study_tables import (
    AdjudicationRow,
    AssignmentRow,
    CalibrationRow,
    StudyItemRow,
    StudyRaterRow,
    StudyRow,
)
from medchat.store.tables import Answer, Comparison, Draft, Preference, Question, QueueRow, Rating, now

RUNNING = "The study has begun: its design, its rubrics and its items stay as they are. Make a new study for others."
HAS_JUDGEMENTS = "Raters have judged in this study already, so it is kept. Close it instead."
ANSWERS_OF = {"rate": 1, "pair": 2}  # a case to practise on has one or two


class Studies(Database):
    """The verbs of studies, their items, their raters and their answers."""

    def add_study(
        self, owner: str, name: str, design: Mapping[str, Any], rubrics: Mapping[str, Any], seed: int, save_key: str
    ) -> StudyRecord:
        """The new study, a draft, or the one that the same save_key made before. Raises InvalidInput for no name."""
        values = {"name": _named(name), "design": dict(design), "rubrics": dict(rubrics), "seed": seed}

        def work(session: Session) -> StudyRecord:
            if not save_key:
                raise InvalidInput("The request came without its key. Reload the page and send it again.")
            row = session.scalar(select(StudyRow).where(StudyRow.save_key == save_key))
            if row is None:
                row = StudyRow(**values, owner=owner, save_key=save_key)
                session.add(row)
                session.flush()
            elif row.owner != owner:
                raise InvalidInput("This request was stored before under another name. Reload the page.")
            return study_record(row)

        return self._write(work)

    def study(self, study_id: str) -> StudyRecord:
        """The study. Raises NotFound."""
        return self._read(lambda session: study_record(require_study(session, study_id)))

    def studies(self) -> list[StudyRecord]:
        """All studies, newest first."""
        query = select(StudyRow).order_by(StudyRow.created_at.desc(), StudyRow.id)
        return self._read(lambda session: [study_record(row) for row in session.scalars(query)])

    def studies_of(self, rater: str) -> list[tuple[StudyRecord, StudyRater]]:
        """The open and the closed studies that the rater has ever joined, newest first."""
        query = (
            select(StudyRow, StudyRaterRow)
            .join(StudyRaterRow, StudyRaterRow.study_id == StudyRow.id)
            .where(StudyRaterRow.rater == rater, StudyRow.status.in_(("open", "closed")))
            .order_by(StudyRow.created_at.desc(), StudyRow.id)
        )
        return self._read(lambda session: [(study_record(row), rater_record(of)) for row, of in session.execute(query)])

    def change_study(
        self,
        study_id: str,
        *,
        name: str | None = None,
        design: Mapping[str, Any] | None = None,
        rubrics: Mapping[str, Any] | None = None,
        seed: int | None = None,
        run_id: str | None = None,
        status: StudyStatus | None = None,
        may_train: bool | None = None,
        show_results: bool | None = None,
    ) -> StudyRecord:
        """The study with what is given; None leaves as it is.

        Design, rubrics and seed stay from the opening on. Before it the status moves freely; an open study can only be
        closed, and a closed one never opens again. Raises NotFound, and InvalidInput for all else.
        """
        given = {
            "name": None if name is None else _named(name),
            "design": None if design is None else dict(design),
            "rubrics": None if rubrics is None else dict(rubrics),
            "seed": seed,
            "run_id": run_id,
            "may_train": may_train,
            "show_results": show_results,
        }
        changes = {key: value for key, value in given.items() if value is not None}

        def work(session: Session) -> StudyRecord:
            row = require_study(session, study_id)
            if row.opened_at is not None and changes.keys() & {"design", "rubrics", "seed"}:
                raise InvalidInput(RUNNING)
            for key, value in changes.items():
                setattr(row, key, value)
            if status is not None and status != row.status:
                _move(row, status)
            session.flush()
            return study_record(row)

        return self._write(work)

    def delete_study(self, study_id: str) -> None:
        """The study goes, with its answers where nothing else needs them.

        Raises NotFound, and InvalidInput once anybody has judged or practised in it.
        """

        def work(session: Session) -> None:
            row = require_study(session, study_id)
            if _has_judgements(session, study_id):
                raise InvalidInput(HAS_JUDGEMENTS)
            items = session.scalars(select(StudyItemRow).where(StudyItemRow.study_id == study_id)).all()
            answer_ids = sorted({answer_id for item in items for answer_id in answer_ids_of(item)})
            drop_assignments(session, study_id)
            for table in (StudyItemRow, StudyRaterRow):
                session.execute(delete(table).where(table.study_id == study_id))
            session.delete(row)
            session.flush()
            _drop_answers(session, answer_ids)

        self._write(work)
        with suppress(StoreError):  # the rows are gone, and their traces go the next time
            self._empty_log()

    def set_study_items(self, study_id: str, items: Sequence[NewItem]) -> list[StudyItem]:
        """The study's items from now on, in their order.

        Raises NotFound, and InvalidInput once they were given to raters, for a number that is there twice, for another
        number of answers than the kind needs, and for an answer that is missing or was shown elsewhere: in a chat, a
        comparison or a queue.
        """
        checked = _checked_items(items)

        def work(session: Session) -> list[StudyItem]:
            study = require_study(session, study_id)
            given = select(AssignmentRow.id).where(AssignmentRow.study_id == study_id).limit(1)
            if study.opened_at is not None or session.scalar(given) is not None:
                raise InvalidInput("The items were given to raters already. Make the allocation anew afterwards.")
            _require_new(session, [answer_id for item in checked for answer_id in item.answer_ids])
            session.execute(delete(StudyItemRow).where(StudyItemRow.study_id == study_id))
            rows = [_item_row(study_id, item) for item in checked]
            session.add_all(rows)
            session.flush()
            return [study_item(row) for row in rows]

        return self._write(work)

    def study_items(self, study_id: str, kind: ItemKind | None = None) -> list[StudyItem]:
        """The study's items in their order, of one kind where that is given. Raises NotFound."""

        def work(session: Session) -> list[StudyItem]:
            require_study(session, study_id)
            return items_in(session, study_id, kind)

        return self._read(work)

    def join_study(self, study_id: str, rater: str, group: str = "") -> StudyRater:
        """The rater of the study, from now on; one who had left is back. group: "" leaves the one before.

        One who had left before the opening has joined anew when they come after it.

        Raises NotFound, and InvalidInput when the study is closed.
        """

        def work(session: Session) -> StudyRater:
            opened_at = require_changeable(session, study_id).opened_at
            row = session.get(StudyRaterRow, (study_id, rater))
            if row is None:
                row = StudyRaterRow(study_id=study_id, rater=rater, group=group.strip())
                session.add(row)
            if opened_at is not None and row.left_at is not None and row.left_at <= opened_at:
                row.joined_at = now()
            row.left_at = None
            row.group = group.strip() or row.group
            session.flush()
            return rater_record(row)

        return self._write(work)

    def leave_study(self, study_id: str, rater: str) -> StudyRater:
        """The rater, who takes no further part; what they judged stays.

        Raises NotFound when there is no such study or rater in it, InvalidInput when the study is closed.
        """

        def work(session: Session) -> StudyRater:
            require_changeable(session, study_id)
            row = require_rater(session, study_id, rater)
            row.left_at = row.left_at or now()
            session.flush()
            return rater_record(row)

        return self._write(work)

    def study_raters(self, study_id: str) -> list[StudyRater]:
        """The raters of the study, also those who left, in the order in which they joined. Raises NotFound."""

        def work(session: Session) -> list[StudyRater]:
            require_study(session, study_id)
            return raters_in(session, study_id)

        return self._read(work)

    def add_consent(self, study_id: str, rater: str, text: str) -> StudyRater:
        """The rater, who agrees to the text; a consent of before stays as it was given.

        Raises NotFound when there is no such study or rater in it, InvalidInput when the study is closed.
        """

        def work(session: Session) -> StudyRater:
            require_changeable(session, study_id)
            row = require_rater(session, study_id, rater)
            if row.consented_at is None:
                row.consented_at, row.consent_text = now(), text
            session.flush()
            return rater_record(row)

        return self._write(work)

    def add_study_answers(self, owner: str, rows: Sequence[StudyAnswer], origin: str) -> list[AnswerRecord]:
        """The answers, each new or as the same save_key made it before; all of them, or none.

        Raises NotFound for a model that was never added, InvalidInput for an answer without any text or without a key.
        """
        if any(not (row.reasoning.strip() or row.solution.strip()) for row in rows):
            raise InvalidInput("There is neither a reasoning nor a solution: an answer needs some text.")
        if not all(row.save_key for row in rows):
            raise InvalidInput("An answer came without its key. Send it again.")
        return self._write(
            lambda session: [add_once(session, _answer_values(owner, row, origin)) for row in rows],
        )


def drop_assignments(session: Session, study_id: str) -> None:
    """Deletes all that was given to raters, and what they began to fill in."""
    here = AssignmentRow.study_id == study_id
    for seen in session.scalars(select(AssignmentRow.id).where(here, AssignmentRow.opened_at.is_not(None))):
        session.execute(delete(Draft).where(Draft.key.contains(seen, autoescape=True)))
    for again in (AssignmentRow.repeat_of.is_not(None), AssignmentRow.repeat_of.is_(None)):  # a repeat goes first
        session.execute(delete(AssignmentRow).where(here, again))


def _named(name: str) -> str:
    if not name.strip():
        raise InvalidInput("The study has no name. Enter one.")
    return " ".join(name.split())


def _move(row: StudyRow, status: StudyStatus) -> None:
    if status not in get_args(StudyStatus):
        raise InvalidInput(f"A study is one of: {', '.join(get_args(StudyStatus))}.")
    if row.status == "closed":
        raise InvalidInput("The study is closed and its results are known: it cannot be opened again.")
    if row.status == "open" and status != "closed":
        raise InvalidInput("The study is open: it can only be closed.")
    if status == "closed" and row.status != "open":
        raise InvalidInput("The study was never opened, so it cannot be closed. Delete it instead.")
    if status == "open":
        row.opened_at = now()
    if status == "closed":
        row.closed_at = now()
    row.status = status


def _has_judgements(session: Session, study_id: str) -> bool:
    given = exists().where(AssignmentRow.study_id == study_id)
    return bool(
        session.scalar(
            select(
                or_(
                    given.where(Rating.assignment_id == AssignmentRow.id),
                    given.where(Preference.assignment_id == AssignmentRow.id),
                    given.where(AssignmentRow.state == "cannot"),
                    exists().where(CalibrationRow.study_id == study_id),
                    exists().where(AdjudicationRow.study_id == study_id),
                )
            )
        )
    )


def _checked_items(items: Sequence[NewItem]) -> Sequence[NewItem]:
    if len({item.number for item in items}) < len(items):
        raise InvalidInput("Two items of the study have the same number.")
    for item in items:
        if item.kind not in get_args(ItemKind):
            raise InvalidInput(f"An item of a study is one of: {', '.join(get_args(ItemKind))}.")
        if len(item.answer_ids) not in ((ANSWERS_OF[item.kind],) if item.kind in ANSWERS_OF else (1, 2)):
            raise InvalidInput(f"Item {item.number} has the wrong number of answers: one to rate, or two to compare.")
        if len(set(item.answer_ids)) < len(item.answer_ids):
            raise InvalidInput(f"Item {item.number} compares an answer with itself.")
    return sorted(items, key=lambda item: item.number)


def _require_new(session: Session, answer_ids: Iterable[str]) -> None:
    """Raises InvalidInput unless each is there, has ended, and was never shown outside studies."""
    ids = sorted(set(answer_ids))
    side = or_(Comparison.left_answer_id == Answer.id, Comparison.right_answer_id == Answer.id)
    elsewhere = or_(
        exists().where(QueueRow.answer_id == Answer.id),
        exists().where(Rating.answer_id == Answer.id, Rating.assignment_id.is_(None)),
        exists().where(side, ~exists().where(Preference.comparison_id == Comparison.id)),
        exists().where(side, Preference.comparison_id == Comparison.id, Preference.assignment_id.is_(None)),
    )
    for start in range(0, len(ids), CHUNK):
        some = ids[start : start + CHUNK]
        fitting = (Answer.conversation_id.is_(None), Answer.status != "writing", Answer.hidden_at.is_(None))
        query = select(Answer.id).where(Answer.id.in_(some), *fitting, ~elsewhere)
        if len(session.scalars(query).all()) < len(some):
            raise InvalidInput(
                "An answer of the study is missing, or was shown outside it already. Make the answers for the study."
            )


def _item_row(study_id: str, item: NewItem) -> StudyItemRow:
    values = {key: value for key, value in asdict(item).items() if key != "answer_ids"}
    answer_id, other = (*item.answer_ids, None)[:2]
    return StudyItemRow(**values, study_id=study_id, answer_id=answer_id, other_answer_id=other)


def _answer_values(owner: str, row: StudyAnswer, origin: str) -> dict[str, Any]:
    """The columns of the answer; `how` gives those that say how it came about."""
    same = ("solution", "reasoning", "raw", "complete", "finish_reason", "base", "revision", "adapter_hash")
    counts = ("prompt_tokens", "completion_tokens", "ttft_ms", "reasoning_ms", "total_ms")
    seed = row.seed if row.seed is not None or row.sampling is None else row.sampling.seed
    return {
        **asked(owner, row.context, row.question, row.model_id, origin, row.save_key),
        **how(row.prompt, row.sampling, row.answer_format, None, None, ""),
        **{name: getattr(row, name) for name in (*same, *counts)},
        "seed": seed,
        "status": "done",
    }


def _drop_answers(session: Session, answer_ids: Sequence[str]) -> None:
    """Deletes those that nothing refers to any more, and their questions."""
    needed = or_(
        Answer.conversation_id.is_not(None),
        exists().where(or_(StudyItemRow.answer_id == Answer.id, StudyItemRow.other_answer_id == Answer.id)),
        exists().where(Rating.answer_id == Answer.id),
        exists().where(or_(Comparison.left_answer_id == Answer.id, Comparison.right_answer_id == Answer.id)),
        exists().where(QueueRow.answer_id == Answer.id),
    )
    for start in range(0, len(answer_ids), CHUNK):
        some = Answer.id.in_(answer_ids[start : start + CHUNK])
        going = session.execute(select(Answer.id, Answer.question_id).where(some, ~needed)).all()
        session.execute(delete(Answer).where(Answer.id.in_([row.id for row in going])))
        asked = exists().where(Answer.question_id == Question.id)
        session.execute(delete(Question).where(Question.id.in_([row.question_id for row in going]), ~asked))

"""The store: what MedChat remembers. Verb methods, one transaction each; frozen records come out."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, fields
from threading import Lock
from typing import Any, TypeVar

from sqlalchemy import ScalarSelect, Select, Update, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from medchat.errors import InvalidInput, NotFound
from medchat.records import FinishReason, Message, Sampling, question_id
from medchat.store.connection import open_engine, translated
from medchat.store.records import AnswerRecord, ConversationRecord, FinalStatus, ModelRecord, latest_versions
from medchat.store.tables import Answer, Conversation, Model, Question, now, storable

__all__ = ["AnswerRecord", "ConversationRecord", "FinalStatus", "ModelRecord", "Store", "latest_versions"]

Result = TypeVar("Result")


class Store:
    """The database behind a SQLAlchemy URL, for any number of threads at once.

    It must be of the current version (migrate.upgrade or migrate.check come first). Every method
    raises StoreError when the database cannot be read or written.
    """

    def __init__(self, url: str) -> None:
        """Raises SettingsError for a URL that names no database; opens nothing yet."""
        self._engine = open_engine(url)
        self._reading = sessionmaker(self._engine, expire_on_commit=False)
        # SQLite lets writers wait in no order, the unlucky ones for seconds: here they queue.
        self._turn = Lock() if self._engine.dialect.name == "sqlite" else nullcontext()
        self._writing = sessionmaker(self._engine.execution_options(writes=True), expire_on_commit=False)

    def ping(self) -> None:
        """Returns when the database answers."""
        self._read(lambda session: session.scalar(select(Model.id).limit(1)))

    def close(self) -> None:
        """Close all connections; calling it again does nothing."""
        self._engine.dispose()

    def add_model(self, model: ModelRecord) -> ModelRecord:
        """The model as it is stored; one with the same id gets the new description."""
        values = asdict(model)
        del values["created_at"]

        def work(session: Session) -> ModelRecord:
            row = session.merge(Model(**values))
            session.flush()
            return ModelRecord(**values, created_at=row.created_at)

        return self._write(work)

    def start_conversation(self, owner: str, model_id: str, title: str) -> ConversationRecord:
        """A new, empty conversation. Raises NotFound for a model that was never added."""

        def work(session: Session) -> ConversationRecord:
            _require_model(session, model_id)
            moment = now()
            row = Conversation(owner=owner, model_id=model_id, title=title, created_at=moment, updated_at=moment)
            session.add(row)
            session.flush()
            return _conversation_record(row, turns=0)

        return self._write(work)

    def conversations_of(self, owner: str, limit: int = 50) -> list[ConversationRecord]:
        """The owner's conversations, the one used last first."""
        query = _conversations(owner).limit(limit)
        return self._read(lambda session: [_conversation_record(row, turns) for row, turns in session.execute(query)])

    def latest_conversation(self, owner: str) -> ConversationRecord | None:
        """The owner's conversation used last; None when there is none."""
        return next(iter(self.conversations_of(owner, limit=1)), None)

    def conversation(self, owner: str, conversation_id: str) -> ConversationRecord:
        """One conversation. Raises NotFound when there is none of this owner under the id."""
        query = _conversations(owner).where(Conversation.id == conversation_id)
        row = self._read(lambda session: session.execute(query).one_or_none())
        if row is None:
            raise _no_conversation()
        conversation, turns = row
        return _conversation_record(conversation, turns)

    def begin_answer(
        self,
        owner: str,
        conversation_id: str,
        context: str,
        question: str,
        model_id: str,
        *,
        prompt: Sequence[Message] | None,
        sampling: Sampling | None,
        answer_format: str,
        grounding: Mapping[str, Any] | None = None,
        origin: str = "chat",
        route: Mapping[str, Any] | None = None,
        position: int | None = None,
        note: str = "",
        save_key: str | None = None,
    ) -> AnswerRecord:
        """A new answer in status 'writing', or the one that the same save_key made before.

        position: None for a new turn, else the turn that gets one more version. Raises NotFound when
        the owner has no such conversation or turn, or the model was never added.
        """
        context, question = storable(context), storable(question)
        values: dict[str, Any] = {
            "question_id": question_id(context, question),
            "context": context,
            "question": question,
            "model_id": model_id,
            "prompt": None if prompt is None else [asdict(message) for message in prompt],
            "sampling": None if sampling is None else asdict(sampling),
            "seed": None if sampling is None else sampling.seed,
            "answer_format": answer_format,
            "grounding": None if grounding is None else dict(grounding),
            "origin": origin,
            "route": None if route is None else dict(route),
            "note": note,
            "save_key": save_key,
        }
        return self._write(lambda session: _insert_answer(session, owner, conversation_id, position, values))

    def saved_answer(self, owner: str, save_key: str) -> AnswerRecord | None:
        """The answer that this key made before, None for none. Raises InvalidInput when it is another owner's."""

        def work(session: Session) -> AnswerRecord | None:
            row = _saved_before(session, owner, save_key)
            return None if row is None else _answer_record(row)

        return self._read(work)

    def describe_answer(
        self, answer_id: str, *, prompt: Sequence[Message], grounding: Mapping[str, Any] | None, note: str
    ) -> bool:
        """Whether the answer was still being written and now has these; else nothing changes."""
        values = {
            "prompt": [asdict(message) for message in prompt],
            "grounding": None if grounding is None else dict(grounding),
            "note": note,
        }
        return self._write(lambda session: _change_while_writing(session, answer_id, values))

    def grow_answer(self, answer_id: str, raw: str, reasoning: str, solution: str) -> bool:
        """Whether the answer was still being written and now has these texts; else nothing changes."""
        growth = {"raw": raw, "reasoning": reasoning, "solution": solution}
        return self._write(lambda session: _change_while_writing(session, answer_id, growth))

    def finish_answer(
        self,
        answer_id: str,
        status: FinalStatus,
        *,
        raw: str,
        reasoning: str,
        solution: str,
        complete: bool,
        finish_reason: FinishReason | None,
        error: str = "",
        prompt_tokens: int | None = None,
        completion_tokens: int | None = None,
        ttft_ms: float | None = None,
        reasoning_ms: float | None = None,
        total_ms: float | None = None,
    ) -> AnswerRecord:
        """The answer with its end; one that had ended before stays as it is.

        Raises NotFound when there is no such answer.
        """
        values = {
            "status": status,
            "raw": raw,
            "reasoning": reasoning,
            "solution": solution,
            "complete": complete,
            "finish_reason": finish_reason,
            "error": error,
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "ttft_ms": ttft_ms,
            "reasoning_ms": reasoning_ms,
            "total_ms": total_ms,
        }

        def work(session: Session) -> AnswerRecord:
            _change_while_writing(session, answer_id, values)
            row = session.get(Answer, answer_id)
            if row is None:
                raise NotFound("There is no such answer.")
            return _answer_record(row)

        return self._write(work)

    def answers_of(self, owner: str, conversation_id: str) -> list[AnswerRecord]:
        """All versions of all turns, by position and version.

        Raises NotFound when the owner has no such conversation.
        """
        query = (
            select(Answer).where(Answer.conversation_id == conversation_id).order_by(Answer.position, Answer.version)
        )

        def work(session: Session) -> list[AnswerRecord]:
            _require_conversation(session, owner, conversation_id)
            return [_answer_record(row) for row in session.scalars(query)]

        return self._read(work)

    def close_unfinished(self) -> int:
        """The number of answers that an ended process left in 'writing'; they keep their text as 'cut'."""
        query = update(Answer).where(Answer.status == "writing").values(status="cut", updated_at=now())
        return self._write(lambda session: _rows_changed(session, query))

    def _read(self, work: Callable[[Session], Result]) -> Result:
        with translated(), self._reading.begin() as session:
            return work(session)

    def _write(self, work: Callable[[Session], Result]) -> Result:
        """The result of `work` in one transaction."""
        with self._turn, translated():
            try:
                with self._writing.begin() as session:
                    return work(session)
            except IntegrityError:
                # Another transaction added the same key meanwhile: this time `work` finds it.
                with self._writing.begin() as session:
                    return work(session)


def _conversations(owner: str) -> Select[Conversation, int]:
    return (
        select(Conversation, _turns())
        .where(Conversation.owner == owner)
        .order_by(Conversation.updated_at.desc(), Conversation.created_at.desc(), Conversation.id)
    )


def _turns() -> ScalarSelect[int]:
    positions = func.count(Answer.position.distinct())
    return select(positions).where(Answer.conversation_id == Conversation.id).scalar_subquery()


def _insert_answer(
    session: Session, owner: str, conversation_id: str, position: int | None, values: dict[str, Any]
) -> AnswerRecord:
    conversation = _require_conversation(session, owner, conversation_id, to_change=True)
    earlier = _saved_before(session, owner, values["save_key"])
    if earlier is not None:
        return _answer_record(earlier)
    _require_model(session, values["model_id"])
    if session.get(Question, values["question_id"]) is None:
        session.add(Question(id=values["question_id"], context=values["context"], question=values["question"]))
        session.flush()
    place = _new_turn(session, conversation_id) if position is None else position
    version = 1 if position is None else _next_version(session, conversation_id, position)
    moment = now()
    row = Answer(
        **values,
        conversation_id=conversation_id,
        position=place,
        version=version,
        status="writing",
        created_at=moment,
        updated_at=moment,
    )
    session.add(row)
    conversation.updated_at = moment
    session.flush()
    return _answer_record(row)


def _require_conversation(session: Session, owner: str, conversation_id: str, to_change: bool = False) -> Conversation:
    """The owner's conversation; to_change keeps others from adding to it until the transaction ends."""
    query = select(Conversation).where(Conversation.id == conversation_id, Conversation.owner == owner)
    row = session.scalar(query.with_for_update() if to_change else query)
    if row is None:
        raise _no_conversation()
    return row


def _require_model(session: Session, model_id: str) -> None:
    if session.get(Model, model_id) is None:
        raise NotFound("There is no such model. Choose another one.")


def _no_conversation() -> NotFound:
    return NotFound("There is no such conversation. Start a new one.")


def _saved_before(session: Session, owner: str, save_key: str | None) -> Answer | None:
    if save_key is None:
        return None
    row = session.scalar(select(Answer).where(Answer.save_key == save_key))
    if row is not None:
        theirs = session.get(Conversation, row.conversation_id)
        if theirs is None or theirs.owner != owner:
            raise InvalidInput("This request was stored before under another name. Reload the page and send it again.")
    return row


def _new_turn(session: Session, conversation_id: str) -> int:
    last = session.scalar(select(func.max(Answer.position)).where(Answer.conversation_id == conversation_id))
    return 0 if last is None else last + 1


def _next_version(session: Session, conversation_id: str, position: int) -> int:
    same_turn = (Answer.conversation_id == conversation_id, Answer.position == position)
    last = session.scalar(select(func.max(Answer.version)).where(*same_turn))
    if last is None:
        raise NotFound("There is no such question in this conversation.")
    return last + 1


def _change_while_writing(session: Session, answer_id: str, values: dict[str, Any]) -> bool:
    query = update(Answer).where(Answer.id == answer_id, Answer.status == "writing")
    return _rows_changed(session, query.values(**values, updated_at=now())) == 1


def _rows_changed(session: Session, query: Update) -> int:
    # The rows are not in the session: nothing there needs to follow the change.
    return session.connection().execute(query).rowcount


def _conversation_record(row: Conversation, turns: int) -> ConversationRecord:
    return ConversationRecord(
        id=row.id,
        owner=row.owner,
        title=row.title,
        model_id=row.model_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        turns=turns,
    )


def _answer_record(row: Answer) -> AnswerRecord:
    values = {field.name: getattr(row, field.name) for field in fields(AnswerRecord)}
    values["prompt"] = None if row.prompt is None else tuple(Message(**message) for message in row.prompt)
    values["sampling"] = None if row.sampling is None else Sampling(**row.sampling)
    return AnswerRecord(**values)

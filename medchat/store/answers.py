"""Answers: from the question to the end of the text, and which of them is shown."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, select, update
from sqlalchemy.orm import Session

from medchat.errors import InvalidInput, NotFound
from medchat.records import FinishReason, Message, Sampling, question_id
from medchat.store.conversations import require_conversation
from medchat.store.database import Database, rows_changed
from medchat.store.models import require_model
from medchat.store.records import AnswerRecord, FinalStatus
from medchat.store.search_texts import index_answer
from medchat.store.tables import Answer, Question, now, storable

Place = Row[str, str | None, int | None, int, str, datetime, datetime | None]  # the columns of places_in


class Answers(Database):
    """The verbs of answers."""

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
        parent_id: str | None,
        grounding: Mapping[str, Any] | None = None,
        origin: str = "chat",
        route: Mapping[str, Any] | None = None,
        note: str = "",
        save_key: str | None = None,
    ) -> AnswerRecord:
        """A new answer in status 'writing', or the one that the same save_key made before.

        parent_id: the answer after which it is asked; None begins the conversation, also anew. The new
        answer is the selected one. Raises NotFound when the owner has no such conversation or answer,
        or the model was never added.
        """
        values = {
            **asked(owner, context, question, model_id, origin, save_key),
            **how(prompt, sampling, answer_format, grounding, route, note),
            "parent_id": parent_id,
        }
        return self._write(lambda session: _insert(session, owner, conversation_id, values))

    def saved_answer(self, owner: str, save_key: str) -> AnswerRecord | None:
        """The answer that this key made before, None for none.

        Raises InvalidInput when it is another owner's, NotFound when it was deleted since and hidden.
        """

        def work(session: Session) -> AnswerRecord | None:
            row = answer_saved_before(session, owner, save_key)
            return None if row is None else answer_record(row)

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
            ended = _change_while_writing(session, answer_id, values)
            row = session.get(Answer, answer_id)
            if row is None:
                raise NotFound("There is no such answer.")
            if ended:
                index_answer(session, row)
            return answer_record(row)

        return self._write(work)

    def answers_of(self, owner: str, conversation_id: str) -> list[AnswerRecord]:
        """All answers of the conversation's tree, by position and version; selected_path gives those shown.

        Raises NotFound when the owner has no such conversation.
        """
        query = (
            select(Answer)
            .where(Answer.conversation_id == conversation_id, Answer.hidden_at.is_(None))
            .order_by(Answer.position, Answer.version)
        )

        def work(session: Session) -> list[AnswerRecord]:
            require_conversation(session, owner, conversation_id)
            return [answer_record(row) for row in session.scalars(query)]

        return self._read(work)

    def select_answer(self, owner: str, conversation_id: str, answer_id: str) -> None:
        """Lead the path shown through the answer; below it, it goes on as it did there before.

        Raises NotFound when the owner has no such conversation or answer.
        """

        def work(session: Session) -> None:
            require_conversation(session, owner, conversation_id, to_change=True)
            places = places_in(session, conversation_id)
            require_place(places, answer_id)
            _select(session, places, answer_id, _moment(places))

        self._write(work)

    def close_unfinished(self) -> int:
        """The number of answers that an ended process left in 'writing'; they keep their text as 'cut'."""

        def work(session: Session) -> int:
            rows = session.scalars(select(Answer).where(Answer.status == "writing")).all()
            for row in rows:
                row.status, row.updated_at = "cut", now()
                index_answer(session, row)
            return len(rows)

        return self._write(work)


def places_in(session: Session, conversation_id: str) -> dict[str, Place]:
    """The answers of a conversation, hidden ones too, by their ids: the place in the tree, without the texts."""
    query = select(
        Answer.id,
        Answer.parent_id,
        Answer.position,
        Answer.version,
        Answer.status,
        Answer.selected_at,
        Answer.hidden_at,
    ).where(Answer.conversation_id == conversation_id)
    return {row.id: row for row in session.execute(query)}


def require_place(places: Mapping[str, Place], answer_id: str) -> Place:
    """The answer's place. Raises NotFound when the conversation has no such answer, or it was deleted."""
    if answer_id not in places or places[answer_id].hidden_at is not None:
        raise NotFound("There is no such answer in this conversation any more. Reload the page.")
    return places[answer_id]


def asked(owner: str, context: str, question: str, model_id: str, origin: str, save_key: str | None) -> dict[str, Any]:
    """The columns of an answer that say who asked whom what."""
    context, question = storable(context), storable(question)
    return {
        "owner": owner,
        "question_id": question_id(context, question),
        "context": context,
        "question": question,
        "model_id": model_id,
        "origin": origin,
        "save_key": save_key,
    }


def how(
    prompt: Sequence[Message] | None,
    sampling: Sampling | None,
    answer_format: str,
    grounding: Mapping[str, Any] | None,
    route: Mapping[str, Any] | None,
    note: str,
) -> dict[str, Any]:
    """The columns of an answer that say how it came about."""
    return {
        "prompt": None if prompt is None else [asdict(message) for message in prompt],
        "sampling": None if sampling is None else asdict(sampling),
        "seed": None if sampling is None else sampling.seed,
        "answer_format": answer_format,
        "grounding": None if grounding is None else dict(grounding),
        "route": None if route is None else dict(route),
        "note": note,
    }


def add_answer(session: Session, **values: Any) -> Answer:
    """A new row, with its question and, where not given, what the model is now.

    Raises NotFound for a model never added.
    """
    model = require_model(session, values["model_id"])
    if session.get(Question, values["question_id"]) is None:
        session.add(Question(id=values["question_id"], context=values["context"], question=values["question"]))
        session.flush()
    moment = now()
    then = {"base": model.base, "revision": model.revision, "adapter_hash": model.adapter_hash}
    row = Answer(
        **{"selected_at": moment, **then, **values},
        created_at=moment,
        updated_at=moment,
    )
    session.add(row)
    session.flush()
    return row


def answer_saved_before(session: Session, owner: str, save_key: str | None) -> Answer | None:
    """The row that this key made before. Raises as saved_answer does."""
    if save_key is None:
        return None
    row = session.scalar(select(Answer).where(Answer.save_key == save_key))
    if row is None:
        return None
    if row.owner != owner:
        raise InvalidInput("This request was stored before under another name. Reload the page and send it again.")
    if row.hidden_at is not None:
        raise NotFound("The answer to this request was deleted. Reload the page and ask again.")
    return row


def answer_record(row: Answer) -> AnswerRecord:
    """The row as it is handed out."""
    values = {field.name: getattr(row, field.name) for field in fields(AnswerRecord)}
    values["prompt"] = None if row.prompt is None else tuple(Message(**message) for message in row.prompt)
    values["sampling"] = None if row.sampling is None else Sampling(**row.sampling)
    return AnswerRecord(**values)


def _insert(session: Session, owner: str, conversation_id: str, values: dict[str, Any]) -> AnswerRecord:
    conversation = require_conversation(session, owner, conversation_id, to_change=True)
    earlier = answer_saved_before(session, owner, values["save_key"])
    if earlier is not None:
        return answer_record(earlier)
    places = places_in(session, conversation_id)
    parent_id, position, selected_at = values["parent_id"], 0, _moment(places)
    if parent_id is not None:
        position = (require_place(places, parent_id).position or 0) + 1
        _select(session, places, parent_id, selected_at)
    row = add_answer(
        session,
        **values,
        conversation_id=conversation_id,
        position=position,
        version=_next_version(session, conversation_id, position),
        status="writing",
        selected_at=selected_at,
    )
    conversation.updated_at = row.created_at
    session.flush()
    return answer_record(row)


def _next_version(session: Session, conversation_id: str, position: int) -> int:
    # Hidden ones keep their numbers.
    same_turn = (Answer.conversation_id == conversation_id, Answer.position == position)
    return (session.scalar(select(func.max(Answer.version)).where(*same_turn)) or 0) + 1


def _moment(places: Mapping[str, Place]) -> datetime:
    """Now, but after every selection made before, whatever the clock says."""
    last = max((place.selected_at for place in places.values()), default=None)
    return now() if last is None else max(now(), last + timedelta(microseconds=1))


def _select(session: Session, places: Mapping[str, Place], answer_id: str | None, moment: datetime) -> None:
    """Select the answer and all above it. Rows are long: one that is selected already is not written again."""
    selected: dict[str | None, Place] = {}
    for place in sorted(places.values(), key=lambda place: (place.selected_at, place.version)):
        selected[place.parent_id] = place
    changed = []
    while answer_id is not None:
        place = places[answer_id]
        if selected[place.parent_id].id != answer_id:
            changed.append(answer_id)
        answer_id = place.parent_id
    if changed:
        rows_changed(session, update(Answer).where(Answer.id.in_(changed)).values(selected_at=moment))


def _change_while_writing(session: Session, answer_id: str, values: dict[str, Any]) -> bool:
    query = update(Answer).where(Answer.id == answer_id, Answer.status == "writing")
    return rows_changed(session, query.values(**values, updated_at=now())) == 1

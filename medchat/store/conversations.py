"""Conversations and their titles."""

from sqlalchemy import ScalarSelect, Select, func, select
from sqlalchemy.orm import Session

from medchat.errors import InvalidInput, NotFound
from medchat.store.database import Database
from medchat.store.models import require_model
from medchat.store.records import ConversationRecord
from medchat.store.search_texts import index_title
from medchat.store.tables import Answer, Conversation, now

TITLE_CHARS = 200


class Conversations(Database):
    """The verbs of conversations."""

    def start_conversation(self, owner: str, model_id: str, title: str) -> ConversationRecord:
        """A new, empty conversation. Raises NotFound for a model that was never added."""

        def work(session: Session) -> ConversationRecord:
            require_model(session, model_id)
            moment = now()
            row = Conversation(owner=owner, model_id=model_id, title=title, created_at=moment, updated_at=moment)
            session.add(row)
            session.flush()
            index_title(session, row)
            return conversation_record(row, turns=0)

        return self._write(work)

    def conversations_of(self, owner: str, limit: int = 50, offset: int = 0) -> list[ConversationRecord]:
        """The owner's conversations, the one used last first; offset: how many of these to skip."""
        query = conversations(owner).limit(limit).offset(offset)
        return self._read(lambda session: [conversation_record(row, turns) for row, turns in session.execute(query)])

    def latest_conversation(self, owner: str) -> ConversationRecord | None:
        """The owner's conversation used last; None when there is none."""
        return next(iter(self.conversations_of(owner, limit=1)), None)

    def conversation(self, owner: str, conversation_id: str) -> ConversationRecord:
        """One conversation. Raises NotFound when there is none of this owner under the id."""
        return self._read(lambda session: _one(session, owner, conversation_id))

    def rename_conversation(self, owner: str, conversation_id: str, title: str) -> ConversationRecord:
        """The conversation with its new title, in one line and cut at 200 characters; its place in the list stays.

        Raises InvalidInput for an empty title, NotFound when the owner has no such conversation.
        """
        line = " ".join(title.split())[:TITLE_CHARS].rstrip()
        if not line:
            raise InvalidInput("A conversation needs a title. Type one.")

        def work(session: Session) -> ConversationRecord:
            row = require_conversation(session, owner, conversation_id, to_change=True)
            row.title = line
            index_title(session, row)
            session.flush()
            return _one(session, owner, conversation_id)

        return self._write(work)


def conversations(owner: str) -> Select[Conversation, int]:
    """The owner's conversations that are shown, the one used last first, each with the number of its turns."""
    return (
        select(Conversation, _turns())
        .where(Conversation.owner == owner, Conversation.hidden_at.is_(None))
        .order_by(Conversation.updated_at.desc(), Conversation.created_at.desc(), Conversation.id)
    )


def require_conversation(session: Session, owner: str, conversation_id: str, to_change: bool = False) -> Conversation:
    """The owner's conversation; to_change keeps others from adding to it until the transaction ends.

    Raises NotFound when the owner has none under the id, or deleted it.
    """
    query = select(Conversation).where(
        Conversation.id == conversation_id, Conversation.owner == owner, Conversation.hidden_at.is_(None)
    )
    row = session.scalar(query.with_for_update() if to_change else query)
    if row is None:
        raise _no_conversation()
    return row


def conversation_record(row: Conversation, turns: int) -> ConversationRecord:
    """The row as it is handed out."""
    return ConversationRecord(
        id=row.id,
        owner=row.owner,
        title=row.title,
        model_id=row.model_id,
        created_at=row.created_at,
        updated_at=row.updated_at,
        turns=turns,
    )


def _one(session: Session, owner: str, conversation_id: str) -> ConversationRecord:
    row = session.execute(conversations(owner).where(Conversation.id == conversation_id)).one_or_none()
    if row is None:
        raise _no_conversation()
    conversation, turns = row
    return conversation_record(conversation, turns)


def _turns() -> ScalarSelect[int]:
    positions = func.count(Answer.position.distinct())
    shown = (Answer.conversation_id == Conversation.id, Answer.hidden_at.is_(None))
    return select(positions).where(*shown).scalar_subquery()


def _no_conversation() -> NotFound:
    return NotFound("There is no such conversation. Start a new one.")

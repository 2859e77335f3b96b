"""Deleting: what is rated must stay and is hidden; else the rows go, and SQLite writes over their text."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from medchat.errors import InvalidInput, StoreError
from medchat.store.answers import Place, places_in, require_place
from medchat.store.conversations import require_conversation
from medchat.store.database import Database, rows_changed
from medchat.store.records import Removal
from medchat.store.tables import Answer, Draft, Question, QueueRow, Rating, SearchText, ThumbRow, now


class Deletion(Database):
    """The verbs that delete."""

    def delete_conversation(self, owner: str, conversation_id: str) -> Removal:
        """How the conversation went: hidden when any of its answers was ever rated, else deleted.

        Raises NotFound when the owner has no such conversation, InvalidInput while an answer of it is
        being written.
        """

        def work(session: Session) -> Removal:
            conversation = require_conversation(session, owner, conversation_id, to_change=True)
            places = places_in(session, conversation_id)
            done = _remove(session, places, list(places))
            session.execute(delete(SearchText).where(SearchText.conversation_id == conversation_id))
            if done == "hidden":
                conversation.hidden_at = now()
            else:
                session.delete(conversation)
            return done

        return self._removed(work)

    def delete_answer(self, owner: str, conversation_id: str, answer_id: str) -> Removal:
        """How the answer and all that was asked after it went: hidden when any of these was ever rated, else deleted.

        Raises NotFound when the owner has no such conversation or answer, InvalidInput while any of these
        is being written.
        """

        def work(session: Session) -> Removal:
            require_conversation(session, owner, conversation_id, to_change=True)
            places = places_in(session, conversation_id)
            require_place(places, answer_id)
            return _remove(session, places, _with_all_below(places, answer_id))

        return self._removed(work)

    def _removed(self, work: Callable[[Session], Removal]) -> Removal:
        done = self._write(work)
        if done == "deleted":
            with suppress(StoreError):  # the rows are gone, and their traces go the next time
                self._empty_log()
        return done


def _with_all_below(places: Mapping[str, Place], answer_id: str) -> list[str]:
    """The answer and all that was asked after it: a rated one below, though hidden, keeps those above it."""
    found = [answer_id]
    for place in sorted(places.values(), key=lambda place: place.position or 0):
        if place.parent_id in found:
            found.append(place.id)
    return found


def _remove(session: Session, places: Mapping[str, Place], ids: Sequence[str]) -> Removal:
    """Hide or delete these answers, and what is kept beside them."""
    if any(places[answer_id].status == "writing" for answer_id in ids):
        raise InvalidInput("An answer is still being written here. Wait for its end or stop it, then delete.")
    session.execute(delete(SearchText).where(SearchText.id.in_(ids)))
    for answer_id in ids:
        session.execute(delete(Draft).where(Draft.key.contains(answer_id, autoescape=True)))
    if _rated(session, ids):
        hiding = update(Answer).where(Answer.id.in_(ids), Answer.hidden_at.is_(None))
        rows_changed(session, hiding.values(hidden_at=now()))
        return "hidden"
    questions = session.scalars(select(Answer.question_id).where(Answer.id.in_(ids))).all()
    session.execute(delete(QueueRow).where(QueueRow.answer_id.in_(ids)))
    session.execute(delete(Answer).where(Answer.id.in_(ids)))
    asked = exists().where(Answer.question_id == Question.id)
    session.execute(delete(Question).where(Question.id.in_(questions), ~asked))
    return "deleted"


def _rated(session: Session, ids: Sequence[str]) -> bool:
    rows = (select(table.id).where(table.answer_id.in_(ids)).limit(1) for table in (ThumbRow, Rating))
    return any(session.scalar(row) is not None for row in rows)

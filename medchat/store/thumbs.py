"""Thumbs: what an owner thinks of an answer. They are only added to, never overwritten."""

from collections.abc import Sequence
from typing import get_args

from sqlalchemy import Select, exists, select
from sqlalchemy.orm import Session, aliased

from medchat.errors import InvalidInput, NotFound
from medchat.store.conversations import require_conversation
from medchat.store.database import Database
from medchat.store.records import THUMB_REASONS, Thumb, ThumbRecord
from medchat.store.tables import Answer, ThumbRow

COMMENT_CHARS = 2000


class Thumbs(Database):
    """The verbs of thumbs."""

    def add_thumb(
        self,
        owner: str,
        answer_id: str,
        thumb: Thumb,
        reasons: Sequence[str] = (),
        comment: str = "",
        save_key: str | None = None,
    ) -> ThumbRecord:
        """The owner's newest thumb for the answer, or the one that the same save_key made before.

        "none" takes the one before back. Raises NotFound when the owner has no such answer, InvalidInput
        while it is being written, for a thumb or reason that is not known, and for a comment over 2,000
        characters.
        """
        values = _checked(thumb, reasons, comment)

        def work(session: Session) -> ThumbRecord:
            earlier = _saved_before(session, owner, save_key)
            if earlier is not None:
                return _record(earlier)
            _require_answer(session, owner, answer_id)
            before = session.scalar(_newest().where(ThumbRow.answer_id == answer_id, ThumbRow.owner == owner))
            row = ThumbRow(
                **values,
                owner=owner,
                answer_id=answer_id,
                supersedes=None if before is None else before.id,
                save_key=save_key,
            )
            session.add(row)
            session.flush()
            return _record(row)

        return self._write(work)

    def thumbs_of(self, owner: str, conversation_id: str) -> dict[str, ThumbRecord]:
        """The owner's newest thumb of each answer by the answer's id, without those taken back.

        Raises NotFound when the owner has no such conversation.
        """
        query = (
            _newest()
            .join(Answer, Answer.id == ThumbRow.answer_id)
            .where(Answer.conversation_id == conversation_id, Answer.hidden_at.is_(None))
            .where(ThumbRow.owner == owner, ThumbRow.thumb != "none")
        )

        def work(session: Session) -> dict[str, ThumbRecord]:
            require_conversation(session, owner, conversation_id)
            return {row.answer_id: _record(row) for row in session.scalars(query)}

        return self._read(work)


def _checked(thumb: str, reasons: Sequence[str], comment: str) -> dict[str, object]:
    if thumb not in get_args(Thumb):
        raise InvalidInput("A thumb points up or down, or is none.")
    if not set(reasons) <= set(THUMB_REASONS):
        raise InvalidInput(f"A reason for a thumb is one of: {', '.join(THUMB_REASONS)}.")
    if len(comment) > COMMENT_CHARS:
        raise InvalidInput(f"The comment is too long: shorten it to {COMMENT_CHARS:,} characters.")
    return {"thumb": thumb, "reasons": list(dict.fromkeys(reasons)), "comment": comment.strip()}


def _newest() -> Select[ThumbRow]:
    later = aliased(ThumbRow)
    return select(ThumbRow).where(~exists().where(later.supersedes == ThumbRow.id))


def _require_answer(session: Session, owner: str, answer_id: str) -> None:
    row = session.execute(
        select(Answer.conversation_id, Answer.status).where(Answer.id == answer_id, Answer.hidden_at.is_(None))
    ).one_or_none()
    if row is None or row.conversation_id is None:
        raise NotFound("There is no such answer any more. Reload the page.")
    require_conversation(session, owner, row.conversation_id, to_change=True)
    if row.status == "writing":
        raise InvalidInput("The answer is still being written. Wait for its end, then judge it.")


def _saved_before(session: Session, owner: str, save_key: str | None) -> ThumbRow | None:
    row = None if save_key is None else session.scalar(select(ThumbRow).where(ThumbRow.save_key == save_key))
    if row is not None and row.owner != owner:
        raise InvalidInput("This request was stored before under another name. Reload the page and send it again.")
    return row


def _record(row: ThumbRow) -> ThumbRecord:
    return ThumbRecord(
        id=row.id,
        owner=row.owner,
        answer_id=row.answer_id,
        thumb=row.thumb,  # type: ignore[arg-type]  # only checked ones come in
        reasons=tuple(row.reasons),
        comment=row.comment,
        created_at=row.created_at,
        supersedes=row.supersedes,
    )

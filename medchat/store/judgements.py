"""What the verbs of raters share: whose an answer is to judge, and one row a save key."""

from collections.abc import Sequence
from math import isfinite
from typing import TypeVar

from sqlalchemy import ColumnElement, exists, or_, select
from sqlalchemy.orm import Session, aliased

from medchat.errors import InvalidInput, NotFound
from medchat.store.tables import Answer, Comparison, Judgement, Preference, QueueRow

TEXT_CHARS = 20_000
CHUNK = 1000  # ids in one query

Saved = TypeVar("Saved", bound=Judgement)


def saved_before(session: Session, table: type[Saved], rater: str, save_key: str, **target: str) -> Saved | None:
    """The row that this key made before.

    target: columns that say what is judged. Raises InvalidInput for no key, and when the row is another rater's or
    judges something else.
    """
    if not save_key:
        raise InvalidInput("The request came without its key. Reload the page and send it again.")
    row = session.scalar(select(table).where(table.save_key == save_key))
    if row is not None and row.rater != rater:
        raise InvalidInput("This request was stored before under another name. Reload the page and send it again.")
    if row is not None and any(getattr(row, column) != value for column, value in target.items()):
        raise InvalidInput("This request was stored before for something else. Reload the page and send it again.")
    return row


def require_to_judge(session: Session, rater: str, answer_ids: Sequence[str]) -> dict[str, str]:
    """The status of each answer by its id.

    Raises NotFound unless each is the rater's to judge: their own, or in their queue, and not deleted.
    """
    found: dict[str, str] = {}
    for start in range(0, len(answer_ids), CHUNK):
        some = Answer.id.in_(answer_ids[start : start + CHUNK])
        for row in session.execute(select(Answer.id, Answer.status).where(some, _to_judge(rater))):
            found[row.id] = row.status
    if not found.keys() >= set(answer_ids):
        raise NotFound("There is no such answer any more. Reload the page.")
    return found


def _to_judge(rater: str) -> ColumnElement[bool]:
    queued = exists().where(QueueRow.answer_id == Answer.id, QueueRow.rater == rater)
    return or_(Answer.owner == rater, queued) & Answer.hidden_at.is_(None)


def names_shown_to(rater: str) -> ColumnElement[bool]:
    """Of a row of Comparison: whether it is the rater's and its names were shown: at once, by a vote, or for lack of
    a text.
    """
    # As aliases: whoever asks may have these tables in the query too.
    answer, vote = aliased(Answer), aliased(Preference)
    sides = answer.id.in_((Comparison.left_answer_id, Comparison.right_answer_id))
    is_empty = (answer.status != "writing") & (answer.reasoning == "") & (answer.solution == "")
    return (Comparison.rater == rater) & or_(
        ~Comparison.blinded,
        exists().where(vote.comparison_id == Comparison.id, vote.rater == rater),
        exists().where(sides, is_empty),
    )


def knows_model(session: Session, rater: str, answer_id: str) -> bool:
    """Whether the rater was shown which model wrote the answer: in their own chat, or in a comparison."""
    own_chat = exists().where(Answer.id == answer_id, Answer.owner == rater, Answer.conversation_id.is_not(None))
    is_side = or_(Comparison.left_answer_id == answer_id, Comparison.right_answer_id == answer_id)
    return bool(session.scalar(select(or_(own_chat, exists().where(is_side, names_shown_to(rater))))))


def require_ended(status: str) -> None:
    """Raises InvalidInput while the answer is being written."""
    if status == "writing":
        raise InvalidInput("The answer is still being written. Wait for its end, then judge it.")


def checked_seconds(seconds: float) -> float:
    """The time on task. Raises InvalidInput when it is none."""
    if not isfinite(seconds) or seconds < 0:
        raise InvalidInput("The time on task is no number of seconds. Reload the page and send it again.")
    return float(seconds)


def checked_text(name: str, text: str) -> str:
    """The text without spaces around it. Raises InvalidInput for more than 20,000 characters."""
    if len(text) > TEXT_CHARS:
        raise InvalidInput(f"The {name} is too long: shorten it to {TEXT_CHARS:,} characters.")
    return text.strip()

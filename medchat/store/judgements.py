"""What the verbs of raters share: whose an answer is to judge, and one row a save key."""

from collections.abc import Sequence
from math import isfinite
from typing import TypeVar

from sqlalchemy import ColumnElement, exists, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from medchat.errors import InvalidInput, NotFound
from medchat.store.study_tables import AssignmentRow, StudyItemRow, StudyRaterRow, StudyRow
from medchat.store.tables import Answer, Comparison, Judgement, Preference, QueueRow

TEXT_CHARS = 20_000
CHUNK = 1000  # ids in one query
OF_STUDY = "This answer belongs to a study. It is judged under Studies alone."

Saved = TypeVar("Saved", bound=Judgement)


def saved_before(session: Session, table: type[Saved], rater: str, save_key: str, **target: str | None) -> Saved | None:
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

    Raises NotFound unless each is the rater's to judge: their own, or in their queue, and not deleted; an answer of a
    study is the raters' alone to whom it was given there, once the study is open.
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
    own = or_(Answer.owner == rater, queued) & ~in_a_study(Answer.id)
    return or_(own, _given_to(rater)) & Answer.hidden_at.is_(None)


def _given_to(rater: str) -> ColumnElement[bool]:
    """Of a row of Answer: whether an open or closed study gave it to the rater, or showed it to practise on."""
    item, given, practising = aliased(StudyItemRow), aliased(AssignmentRow), aliased(StudyRaterRow)
    is_side = or_(item.answer_id == Answer.id, item.other_answer_id == Answer.id)
    begun = (StudyRow.id == item.study_id) & StudyRow.opened_at.is_not(None)
    return or_(
        exists().where(is_side, begun, given.item_id == item.id, given.rater == rater, given.state != "withdrawn"),
        exists().where(
            is_side,
            begun,
            item.kind == "calibration",
            practising.study_id == item.study_id,
            practising.rater == rater,
            practising.left_at.is_(None),
        ),
    )


def in_a_study(answer_id: ColumnElement[str] | InstrumentedAttribute[str]) -> ColumnElement[bool]:
    """Whether the answer of this id is an item of any study, or one side of it."""
    item = aliased(StudyItemRow)
    return exists().where(or_(item.answer_id == answer_id, item.other_answer_id == answer_id))


def require_outside_studies(session: Session, answer_ids: Sequence[str]) -> None:
    """Raises InvalidInput when one of the answers belongs to a study."""
    for start in range(0, len(answer_ids), CHUNK):
        some = Answer.id.in_(answer_ids[start : start + CHUNK])
        if session.scalar(select(Answer.id).where(some, in_a_study(Answer.id)).limit(1)) is not None:
            raise InvalidInput(OF_STUDY)


def names_shown_to(rater: str) -> ColumnElement[bool]:
    """Of a row of Comparison: whether it is the rater's and its names were shown: at once, by a vote, or for lack of
    a text. A vote in a study shows none.
    """
    # As aliases: whoever asks may have these tables in the query too.
    answer, vote = aliased(Answer), aliased(Preference)
    sides = answer.id.in_((Comparison.left_answer_id, Comparison.right_answer_id))
    is_empty = (answer.status != "writing") & (answer.reasoning == "") & (answer.solution == "")
    return (Comparison.rater == rater) & or_(
        ~Comparison.blinded,
        exists().where(vote.comparison_id == Comparison.id, vote.rater == rater, vote.assignment_id.is_(None)),
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

"""All that raters have said, at one moment: what training data and statistics are made of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeVar

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from medchat.store.answers import answer_record
from medchat.store.database import Database
from medchat.store.judgements import CHUNK
from medchat.store.ratings import newest_ratings, rating_records
from medchat.store.records import AnswerRecord, RatingRecord, Vote
from medchat.store.tables import Answer, Comparison, Preference, Rating, ThumbRow

UNSAFE = "unsafe"  # the reason of a thumb

Item = TypeVar("Item")


class CastVote(NamedTuple):
    """A rater's newest vote on a comparison. answer_ids: of its left side, "a", then of the right, "b".

    flags: the sides that were flagged.
    """

    id: str
    rater: str
    comparison_id: str
    answer_ids: tuple[str, str]
    vote: Vote
    flags: frozenset[str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Judgements:
    """The newest ratings and votes of all raters, oldest first, and the answers that they are about by their ids.

    deleted: answers that their owner deleted, which are kept because they were rated. unsafe: answers, among these,
    that their owner called unsafe when they gave a thumb.
    """

    ratings: tuple[RatingRecord, ...]
    votes: tuple[CastVote, ...]
    answers: dict[str, AnswerRecord]
    deleted: frozenset[str]
    unsafe: frozenset[str]


class Judged(Database):
    """The verb that gives everything; what one rater may see is for the others to say."""

    def judgements(self) -> Judgements:
        """All ratings and votes that no later one supersedes, with their answers."""
        return self._read(_judgements)


def _judgements(session: Session) -> Judgements:
    rows = session.scalars(newest_ratings().order_by(Rating.created_at, Rating.id)).all()
    ratings = [record for some in _chunks(rows) for record in rating_records(session, some)]
    votes = _votes(session)
    unsafe = _called_unsafe(session)
    ids = unsafe.union([it.answer_id for it in ratings], *(vote.answer_ids for vote in votes))
    found = [
        row for some in _chunks(sorted(ids)) for row in session.scalars(select(Answer).where(Answer.id.in_(some))).all()
    ]
    return Judgements(
        tuple(ratings),
        votes,
        {row.id: answer_record(row) for row in found},
        frozenset(row.id for row in found if row.hidden_at is not None),
        unsafe,
    )


def _votes(session: Session) -> tuple[CastVote, ...]:
    later = aliased(Preference)
    query = (
        select(Preference, Comparison.left_answer_id, Comparison.right_answer_id)
        .join(Comparison, Comparison.id == Preference.comparison_id)
        .where(~exists().where(later.supersedes == Preference.id))
        .order_by(Preference.created_at, Preference.id)
    )
    return tuple(
        CastVote(
            id=row.id,
            rater=row.rater,
            comparison_id=row.comparison_id,
            answer_ids=(left, right),
            vote=row.vote,  # type: ignore[arg-type]  # only checked ones come in
            flags=frozenset(side for side, is_flagged in (("a", row.flag_a), ("b", row.flag_b)) if is_flagged),
            created_at=row.created_at,
        )
        for row, left, right in session.execute(query)
    )


def _called_unsafe(session: Session) -> frozenset[str]:
    later = aliased(ThumbRow)
    query = select(ThumbRow.answer_id, ThumbRow.reasons).where(
        ThumbRow.thumb != "none", ~exists().where(later.supersedes == ThumbRow.id)
    )
    return frozenset(answer_id for answer_id, reasons in session.execute(query) if UNSAFE in reasons)


def _chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))

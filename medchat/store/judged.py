"""All that raters have said, at one moment: what training data and statistics are made of."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from sqlalchemy import ColumnElement, exists, false, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from medchat.store.answers import answer_record
from medchat.store.comparisons import cast_vote, newest_votes
from medchat.store.database import Database
from medchat.store.judgements import CHUNK
from medchat.store.ratings import newest_ratings, rating_records
from medchat.store.records import AnswerRecord, CastVote, RatingRecord
from medchat.store.study_tables import AssignmentRow, StudyRow
from medchat.store.tables import Answer, Preference, Rating, SpanMarkRow, ThumbRow

UNSAFE = "unsafe"  # the reason of a thumb

Item = TypeVar("Item")


class HeldBack(NamedTuple):
    """What was left out because its study is not closed: ratings, votes, and of how many studies."""

    ratings: int = 0
    votes: int = 0
    studies: int = 0


@dataclass(frozen=True, slots=True)
class Judgements:
    """The newest ratings and votes of all raters, oldest first, and the answers that they are about by their ids.

    deleted: answers that their owner deleted, which are kept because they were rated. unsafe: answers, among these,
    that their owner called unsafe when they gave a thumb. held_back: of studies that are not closed; warned: answers,
    among these, of which a rating or a vote that was held back says that they do harm.
    """

    ratings: tuple[RatingRecord, ...]
    votes: tuple[CastVote, ...]
    answers: dict[str, AnswerRecord]
    deleted: frozenset[str]
    unsafe: frozenset[str]
    held_back: HeldBack
    warned: frozenset[str]


class Judged(Database):
    """The verb that gives everything; what one rater may see is for the others to say."""

    def judgements(self, studies: Collection[str] = (), *, to_learn: bool = True) -> Judgements:
        """All ratings and votes that no later one supersedes, with their answers.

        Of studies that are not closed only those in `studies`, by their ids, and where something is made to learn from
        them those that may train: to show what raters think of models, to_learn is False. Hidden repeats are left out.
        """
        return self._read(lambda session: _judgements(session, list(studies), to_learn))


def _judgements(session: Session, studies: Sequence[str], to_learn: bool) -> Judgements:
    newest = newest_ratings().where(_released(Rating.assignment_id, studies, to_learn))
    rows = session.scalars(newest.order_by(Rating.created_at, Rating.id)).all()
    ratings = [record for some in _chunks(rows) for record in rating_records(session, some)]
    votes = _votes(session, _released(Preference.assignment_id, studies, to_learn))
    unsafe, warned = _called_unsafe(session), _warned(session, studies, to_learn)
    ids = unsafe.union(warned, [it.answer_id for it in ratings], *(vote.answer_ids for vote in votes))
    found = [
        row for some in _chunks(sorted(ids)) for row in session.scalars(select(Answer).where(Answer.id.in_(some))).all()
    ]
    return Judgements(
        tuple(ratings),
        votes,
        {row.id: answer_record(row) for row in found},
        frozenset(row.id for row in found if row.hidden_at is not None),
        unsafe,
        _held_back(session, studies, to_learn),
        warned,
    )


def _held_back(session: Session, studies: Sequence[str], to_learn: bool) -> HeldBack:
    """Hidden repeats are not counted: they are never read here."""
    found: list[list[str]] = []  # the studies of the ratings, and of the votes
    for query, assignment_id in ((newest_ratings(), Rating.assignment_id), (newest_votes(), Preference.assignment_id)):
        given = query.join(AssignmentRow, AssignmentRow.id == assignment_id).where(AssignmentRow.repeat_of.is_(None))
        held = given.where(~_released(assignment_id, studies, to_learn)).with_only_columns(AssignmentRow.study_id)
        found.append(list(session.scalars(held)))
    ratings, votes = found
    return HeldBack(len(ratings), len(votes), len({*ratings, *votes}))


def _warned(session: Session, studies: Sequence[str], to_learn: bool) -> frozenset[str]:
    """An answer that somebody found harmful is not to be learned from, though all else is held back."""
    unsafe = exists().where(SpanMarkRow.rating_id == Rating.id, SpanMarkRow.kind == UNSAFE)
    harms = or_(Rating.critical, Rating.harm_extent.not_in(("", "none")), unsafe)
    ratings = newest_ratings().where(~_released(Rating.assignment_id, studies, to_learn), harms)
    flagged = or_(Preference.flag_a, Preference.flag_b)
    votes = newest_votes().where(~_released(Preference.assignment_id, studies, to_learn), flagged)
    found = set(session.scalars(ratings.with_only_columns(Rating.answer_id)))
    for vote in (cast_vote(row, *sides) for row, *sides in session.execute(votes)):
        found |= {answer for side, answer in zip("ab", vote.answer_ids, strict=True) if side in vote.flags}
    return frozenset(found)


def _released(
    assignment_id: InstrumentedAttribute[str | None], studies: Sequence[str], to_learn: bool
) -> ColumnElement[bool]:
    """Whether a judgement is of no study, or of one that may be read, and then no hidden repeat."""
    may = or_(StudyRow.status == "closed", StudyRow.id.in_(studies), StudyRow.may_train if to_learn else false())
    first = (AssignmentRow.id == assignment_id) & AssignmentRow.repeat_of.is_(None)
    return or_(assignment_id.is_(None), exists().where(first, StudyRow.id == AssignmentRow.study_id, may))


def _votes(session: Session, released: ColumnElement[bool]) -> tuple[CastVote, ...]:
    query = newest_votes().where(released).order_by(Preference.created_at, Preference.id)
    return tuple(cast_vote(row, *sides) for row, *sides in session.execute(query))


def _called_unsafe(session: Session) -> frozenset[str]:
    later = aliased(ThumbRow)
    query = select(ThumbRow.answer_id, ThumbRow.reasons).where(
        ThumbRow.thumb != "none", ~exists().where(later.supersedes == ThumbRow.id)
    )
    return frozenset(answer_id for answer_id, reasons in session.execute(query) if UNSAFE in reasons)


def _chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))

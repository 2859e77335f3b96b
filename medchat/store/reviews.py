"""Reviews: what people decide on rows of training data. They are only added to, never overwritten."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import Select, exists, select
from sqlalchemy.orm import Session, aliased

from medchat.errors import InvalidInput, RatedSince
from medchat.store.database import Database
from medchat.store.judgements import CHUNK, checked_seconds, checked_text, saved_before
from medchat.store.review_tables import ReviewRow

Decision = Literal["keep", "fix", "drop"]
FIXABLE = ("question", "context", "answer", "rationale")
FIXED_CHARS = 200_000
NEEDS_ANSWER = ("question", "answer")  # may not be made empty


@dataclass(frozen=True, slots=True)
class Review:
    """A decision on a row. set_id: the review sample in which it was shown; content_sha: of what was shown.

    fixed: the fields as the reviewer wrote them, of FIXABLE; None unless the decision is "fix". checked_against: the
    source that the reviewer looked it up in, "" for none. seconds: time on task. supersedes: the one that it amends.
    """

    id: str
    set_id: str
    row_id: str
    content_sha: str
    reviewer: str
    decision: Decision
    reason: str
    fixed: dict[str, Any] | None
    checked_against: str
    seconds: float
    created_at: datetime
    supersedes: str | None


@dataclass(frozen=True, slots=True)
class NewReview:
    """What a reviewer says: see Review."""

    set_id: str
    row_id: str
    content_sha: str
    decision: Decision
    reason: str = ""
    fixed: Mapping[str, str] | None = None
    checked_against: str = ""
    seconds: float = 0.0


class Reviews(Database):
    """The verbs of reviews."""

    def add_review(self, reviewer: str, new: NewReview, save_key: str, base: str = "") -> Review:
        """The reviewer's newest decision on the row, or the one that the same save_key made before.

        base: the id of their review that it amends, "" for none; raises RatedSince when that is another one by now.
        Raises InvalidInput for a decision that is none, a fix that changes nothing or what cannot be changed, and for
        "fix" and "drop" without a reason.
        """
        values = _checked(new)

        def work(session: Session) -> Review:
            target = {"set_id": new.set_id, "row_id": new.row_id, "content_sha": new.content_sha}
            earlier = saved_before(session, ReviewRow, reviewer, save_key, **target)
            if earlier is not None:
                return _record(earlier)
            mine = _newest().where(ReviewRow.content_sha == new.content_sha, ReviewRow.rater == reviewer)
            before = session.scalar(mine.order_by(ReviewRow.created_at.desc(), ReviewRow.id))
            if (before.id if before else "") != base:
                raise RatedSince(before.id if before else "")
            row = ReviewRow(**target, **values, rater=reviewer, save_key=save_key, supersedes=base or None)
            session.add(row)
            session.flush()
            return _record(row)

        return self._write(work)

    def reviews(
        self, *, set_id: str | None = None, content_shas: Collection[str] | None = None, reviewer: str | None = None
    ) -> list[Review]:
        """Every reviewer's newest review of each row that fits all that is given, oldest first.

        content_shas: of rows that may have been reviewed in another sample, with the same content.
        """
        query = _newest()
        if set_id is not None:
            query = query.where(ReviewRow.set_id == set_id)
        if reviewer is not None:
            query = query.where(ReviewRow.rater == reviewer)

        def work(session: Session) -> list[Review]:
            if content_shas is None:
                rows = list(session.scalars(query))
            else:
                shas = sorted(content_shas)
                chunks = (shas[start : start + CHUNK] for start in range(0, len(shas), CHUNK))
                rows = [row for some in chunks for row in session.scalars(query.where(ReviewRow.content_sha.in_(some)))]
            return sorted(map(_record, rows), key=lambda review: (review.created_at, review.id))

        return self._read(work)

    def review_history(self, content_sha: str) -> list[Review]:
        """All that was ever decided on rows of this content, amended reviews among them, oldest first."""
        query = select(ReviewRow).where(ReviewRow.content_sha == content_sha)
        query = query.order_by(ReviewRow.created_at, ReviewRow.id)
        return self._read(lambda session: list(map(_record, session.scalars(query))))


def _checked(new: NewReview) -> dict[str, Any]:
    if new.decision not in get_args(Decision):
        raise InvalidInput("A decision on a row is keep, fix or drop.")
    if not (new.set_id and new.row_id and new.content_sha):
        raise InvalidInput("The request does not say which row it is about. Reload the page and send it again.")
    reason = checked_text("reason", new.reason)
    if new.decision != "keep" and not reason:
        raise InvalidInput(f"Say why the row is to be {'fixed' if new.decision == 'fix' else 'dropped'}.")
    return {
        "decision": new.decision,
        "reason": reason,
        "fixed": _checked_fix(new),
        "checked_against": checked_text("source that it was checked against", new.checked_against),
        "seconds": checked_seconds(new.seconds),
    }


def _checked_fix(new: NewReview) -> dict[str, str] | None:
    if new.decision != "fix":
        if new.fixed:
            raise InvalidInput("The row was changed: choose fix, or take the change back.")
        return None
    fixed = dict(new.fixed or {})
    if not fixed:
        raise InvalidInput("Nothing was changed in the row: change it, or choose keep or drop.")
    if not set(fixed) <= set(FIXABLE) or not all(isinstance(text, str) for text in fixed.values()):
        raise InvalidInput(f"What can be fixed in a row are the texts {', '.join(FIXABLE)}.")
    if any(not fixed[name].strip() for name in NEEDS_ANSWER if name in fixed):
        raise InvalidInput("A row needs a question and an answer: write them, or choose drop.")
    if len(json.dumps(fixed)) > FIXED_CHARS:
        raise InvalidInput(f"The fixed row is too long: shorten it to {FIXED_CHARS:,} characters.")
    return fixed


def _newest() -> Select[ReviewRow]:
    later = aliased(ReviewRow)
    return select(ReviewRow).where(~exists().where(later.supersedes == ReviewRow.id))


def _record(row: ReviewRow) -> Review:
    names = {field.name for field in fields(Review)} - {"reviewer"}
    return Review(**{name: getattr(row, name) for name in names}, reviewer=row.rater)

"""Each rater's queue of answers to judge."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

from sqlalchemy import Row, exists, func, insert, or_, select, update
from sqlalchemy.orm import Session, aliased

from medchat.errors import InvalidInput, NotFound
from medchat.rubrics import Criterion
from medchat.store.database import Database, rows_changed
from medchat.store.judgements import names_shown_to, require_outside_studies, require_to_judge
from medchat.store.records import QueueItem, QueueItemState, QueueState
from medchat.store.tables import Answer, Comparison, QueueRow, ThumbRow, new_id, now

Waiting = Literal["chat", "thumbs", "comparisons"]
# Whole rows of a long queue would take ten times as long to read.
ITEM = (QueueRow.id, QueueRow.answer_id, QueueRow.source, QueueRow.state, QueueRow.criteria)


class RatingQueue(Database):
    """The verbs of the queue."""

    def add_to_queue(
        self,
        rater: str,
        answer_ids: Iterable[str],
        source: str,
        criteria: Mapping[str, Sequence[Criterion]] | None = None,
    ) -> int:
        """How many of the answers were new in the rater's queue; these come last, in the order given.

        criteria: those that came with a question, by the answer's id. One that is there already stays as it is.
        Raises NotFound, and adds none, when an answer is not the
        rater's own, or was deleted, InvalidInput when one belongs to a study.
        """
        ids = list(dict.fromkeys(answer_ids))

        def work(session: Session) -> int:
            require_to_judge(session, rater, ids)
            require_outside_studies(session, ids)
            known = set(session.scalars(select(QueueRow.answer_id).where(QueueRow.rater == rater)))
            last = session.scalar(select(func.max(QueueRow.position)).where(QueueRow.rater == rater)) or 0
            new = [answer_id for answer_id in ids if answer_id not in known]
            rows = [
                {
                    "id": new_id(),
                    "rater": rater,
                    "answer_id": answer_id,
                    "source": source,
                    "position": position,
                    "criteria": [it._asdict() for it in (criteria or {}).get(answer_id, ())] or None,
                }
                for position, answer_id in enumerate(new, start=last + 1)
            ]
            if rows:
                session.execute(insert(QueueRow), rows)
            return len(rows)

        return self._write(work)

    def queue(self, rater: str) -> QueueState:
        """The rater's queue, without answers that were deleted."""
        query = (
            select(*ITEM)
            .join(Answer, Answer.id == QueueRow.answer_id)
            .where(QueueRow.rater == rater, Answer.hidden_at.is_(None))
            .order_by(QueueRow.position, QueueRow.id)
        )

        def work(session: Session) -> QueueState:
            items = tuple(map(_item, session.execute(query)))
            counts = Counter(item.state for item in items)
            position = next((number for number, item in enumerate(items, start=1) if item.state == "open"), 0)
            return QueueState(items, position, counts["done"], counts["skipped"], counts["open"])

        return self._read(work)

    def queue_item(self, rater: str, answer_id: str) -> QueueItem | None:
        """The answer's item in the rater's queue; None when it is not in it."""
        query = select(*ITEM).where(QueueRow.rater == rater, QueueRow.answer_id == answer_id)

        def work(session: Session) -> QueueItem | None:
            row = session.execute(query).one_or_none()
            return None if row is None else _item(row)

        return self._read(work)

    def answers_to_queue(self, rater: str, which: Waiting) -> list[str]:
        """Ids of the rater's own answers with some text that have ended and are not in their queue yet.

        chat: of conversations, the newest first; thumbs: of these the ones with a thumb; comparisons: of those
        whose names the rater was shown, the newest first, the two answers of each in no order that would tell which
        model was asked first.
        """
        queued = exists().where(QueueRow.answer_id == Answer.id, QueueRow.rater == rater)
        query = select(Answer.id).where(
            Answer.owner == rater,
            Answer.hidden_at.is_(None),
            Answer.status != "writing",
            or_(Answer.reasoning != "", Answer.solution != ""),
            ~queued,
        )
        if which == "comparisons":
            sides = or_(Comparison.left_answer_id == Answer.id, Comparison.right_answer_id == Answer.id)
            query = (
                query.join(Comparison, sides)
                .where(names_shown_to(rater))
                .order_by(Comparison.created_at.desc(), Answer.id)
            )
        else:
            query = query.where(Answer.conversation_id.is_not(None)).order_by(Answer.created_at.desc(), Answer.id)
        if which == "thumbs":
            later = aliased(ThumbRow)
            newest = ~exists().where(later.supersedes == ThumbRow.id)
            query = query.where(
                exists().where(
                    ThumbRow.answer_id == Answer.id, ThumbRow.owner == rater, ThumbRow.thumb != "none", newest
                )
            )
        return self._read(lambda session: list(session.scalars(query)))

    def set_queue_state(self, rater: str, item_id: str, state: QueueItemState) -> None:
        """Mark an item. Raises NotFound when it is not in the rater's queue, InvalidInput for no such state."""
        if state not in get_args(QueueItemState):
            raise InvalidInput("An item of the queue is open, done or skipped.")
        item = update(QueueRow).where(QueueRow.id == item_id, QueueRow.rater == rater)

        def work(session: Session) -> None:
            if not rows_changed(session, item.values(state=state, updated_at=now())):
                raise NotFound("There is no such item in your queue. Reload the page.")

        self._write(work)


def _item(row: Row[Any]) -> QueueItem:
    criteria = tuple(Criterion(**it) for it in row.criteria or ())
    return QueueItem(row.id, row.answer_id, row.source, row.state, criteria)

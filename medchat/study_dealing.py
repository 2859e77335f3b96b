"""Items dealt to raters: the table of a study, its assignments, and what a rater's coming and going does to them."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from medchat.allocation import Dealt, Unit, allocate, deal_again, deal_late, short_of
from medchat.store import Assignment, Store, StudyItem, StudyRecord
from medchat.study_allocation import dealt_of, judged, new_assignments, standing, touched, units_of
from medchat.study_design import Design
from medchat.study_views import AllocationView, Redealt


class _Table(NamedTuple):
    """An open study: its units, its assignments that stand, and their rows. seed: for what is drawn next."""

    design: Design
    items: list[StudyItem]
    units: list[Unit]
    given: list[Assignment]
    rows: list[Dealt]
    seed: int


class Dealing:
    """The allocation of the studies of a store; the caller sees to it that one at a time changes a study."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def table(self, record: StudyRecord, seed: int, *, saved: bool) -> AllocationView:
        """Who is to judge what with the seed; of a study that was opened, who was to judge what at the opening.

        Raises InvalidInput without raters or items, and for too few raters.
        """
        units = self._units(record)
        design = Design.from_dict(record.design)
        rows = allocate(units, self._first(record), design.raters_per_item, design.repeat_share, seed)
        return AllocationView(seed, tuple(units), tuple(rows), saved)

    def deal(self, record: StudyRecord) -> None:
        """Give the items to the raters, in place of what was given before. Raises as table does."""
        rows = self.table(record, record.seed, saved=True).rows
        self._store.drop_assignments(record.id)
        self._store.add_assignments(record.id, new_assignments(rows, self._store.study_items(record.id)))

    def add(self, record: StudyRecord, rater: str) -> Redealt:
        """Give the rater, who is in the study, as much as the others have left."""
        now = self._now(record)
        k = now.design.raters_per_item
        back, new = deal_late(now.units, now.rows, touched(now.given), rater, now.seed, raters_per_item=k)
        return self._changed(record, now, [now.given[place] for place in back], new)

    def remove(self, record: StudyRecord, rater: str) -> Redealt:
        """Give what the rater, who has left the study, had not judged to those who stay."""
        now, here = self._now(record), self._here(record)
        done = judged(now.given)
        back, new = deal_again(
            now.units, now.rows, done, rater, now.seed, opened=touched(now.given) - done, staying=here
        )
        return self._changed(record, now, [now.given[place] for place in back], new)

    def _changed(self, record: StudyRecord, now: _Table, back: Sequence[Assignment], new: Sequence[Dealt]) -> Redealt:
        gone = {its.id for its in back}
        rows = new_assignments(new, now.items, now.given)
        withdrawn, _ = self._store.replace_assignments(record.id, gone, rows)
        kept = [row for row, its in zip(now.rows, now.given, strict=True) if its.id not in gone]
        short = short_of(now.units, [*kept, *new], now.design.raters_per_item)
        return Redealt(withdrawn, len(new), sum(short.values()))

    def _now(self, record: StudyRecord) -> _Table:
        items = self._store.study_items(record.id)
        every = self._store.assignments(record.id)
        given = standing(every)
        design = Design.from_dict(record.design)
        return _Table(design, items, self._units(record), given, dealt_of(given, items), record.seed + len(every))

    def _units(self, record: StudyRecord) -> list[Unit]:
        held = self._store.study_judgements(record.id)
        return units_of(held.items, held.answers)

    def _first(self, record: StudyRecord) -> Collection[str]:
        """Its raters at the opening, also who left since; before it those of now."""
        opened_at = record.opened_at
        if opened_at is None:
            return self._here(record)
        raters = [its for its in self._store.study_raters(record.id) if its.joined_at <= opened_at]
        return [its.rater for its in raters if its.left_at is None or its.left_at > opened_at]

    def _here(self, record: StudyRecord) -> Collection[str]:
        return [its.rater for its in self._store.study_raters(record.id) if its.left_at is None]

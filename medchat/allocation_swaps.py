"""Units that change hands between raters while a study is open, so that a unit finds a rater who has not seen it."""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

from medchat.allocation_queues import Dealt
from medchat.allocation_rounds import Unit, paths_between, share_answer, swap

NEW, FIXED = -1, -2  # origins of a unit: given to its rater just now, or seen by them
MOST_TRIED = 30  # raters on either side of a swap
MOST_SHUFFLES = 60  # of a question for one unit
MOST_SWAPS = 6_000  # looked at in all: a few seconds


class Hands:
    """Who holds which units of each question. raters: those that units may go to."""

    def __init__(self, raters: Sequence[str], rng: random.Random) -> None:
        self._raters = list(raters)
        self._rng = rng
        self._held: dict[str, dict[str, list[Unit]]] = defaultdict(lambda: defaultdict(list))
        self._origins: dict[tuple[str, str], int] = {}
        self._loads = Counter[str]()
        self._looks_left = MOST_SWAPS

    def add(self, rater: str, unit: Unit, origin: int) -> None:
        """The rater holds the unit. origin: the index of its row among all that is dealt, or NEW or FIXED."""
        self._held[unit.question_id][rater].append(unit)
        self._origins[rater, unit.id] = origin
        self._loads[rater] += origin != FIXED

    def make_room(self, unit: Unit) -> bool:
        """Whether somebody holds the unit now, as NEW: if need be after swaps of what neither of two has seen.

        Where no swap helps at once, the question is shuffled by swaps until one does; in vain, all stays as it was.
        """
        held = self._held[unit.question_id]
        before, origins, loads = {who: [*its] for who, its in held.items()}, dict(self._origins), self._loads.copy()
        for _ in range(MOST_SHUFFLES):
            if self._find_room(unit):
                return True
            if self._looks_left <= 0 or not self._shuffled(held):
                break
        held.clear()
        held.update(before)
        self._origins, self._loads = origins, loads
        return False

    def _find_room(self, unit: Unit) -> bool:
        held = self._held[unit.question_id]
        some = self._rng.sample(self._raters, min(MOST_TRIED, len(self._raters)))
        for one in sorted(some, key=lambda rater: self._loads[rater]):
            in_the_way = [its for its in held[one] if share_answer(its, unit)]
            if not in_the_way or self._swapped(unit, one, in_the_way):
                self.add(one, unit, NEW)
                return True
        return False

    def _shuffled(self, held: dict[str, list[Unit]]) -> bool:
        """Whether two raters could swap something of the question, drawn by chance."""
        for _ in range(MOST_TRIED if len(self._raters) > 1 else 0):
            one, other = self._rng.sample(self._raters, 2)
            self._looks_left -= 1
            paths = [path for path in paths_between(held[one], held[other]) if self._may_swap(one, other, *path)]
            if paths:
                self._swap(one, other, held, *self._rng.choice(paths))
                return True
        return False

    def changes(self, dealt: Sequence[Dealt]) -> tuple[list[int], list[tuple[str, Unit]]]:
        """Indexes of rows whose unit another rater holds now, and what raters hold anew."""
        units = {(rater, its.id): its for held in self._held.values() for rater in held for its in held[rater]}
        moved = [
            (rater, unit_id, origin)
            for (rater, unit_id), origin in self._origins.items()
            if origin == NEW or (origin != FIXED and dealt[origin].rater != rater)
        ]
        return [its[2] for its in moved if its[2] != NEW], [(its[0], units[its[0], its[1]]) for its in moved]

    def _swapped(self, unit: Unit, one: str, in_the_way: Sequence[Unit]) -> bool:
        """Whether what is in the unit's way went to another rater, for units that are not in its way."""
        held = self._held[unit.question_id]
        for other in self._rng.sample(self._raters, min(MOST_TRIED, len(self._raters))):
            if other == one or self._looks_left <= 0:
                continue
            self._looks_left -= 1
            paths = [path for path in paths_between(held[one], held[other]) if any(u in path[0] for u in in_the_way)]
            ours, theirs = ([its for path in paths for its in path[side]] for side in (0, 1))
            if self._may_swap(one, other, ours, theirs) and not any(share_answer(its, unit) for its in theirs):
                self._swap(one, other, held, ours, theirs)
                return True
        return False

    def _may_swap(self, one: str, other: str, ours: Sequence[Unit], theirs: Sequence[Unit]) -> bool:
        origins = [self._origins[one, its.id] for its in ours] + [self._origins[other, its.id] for its in theirs]
        return FIXED not in origins

    def _swap(
        self, one: str, other: str, held: dict[str, list[Unit]], ours: Sequence[Unit], theirs: Sequence[Unit]
    ) -> None:
        swap(held[one], held[other], ours, theirs)
        moved = [(other, its.id, self._origins.pop((one, its.id))) for its in ours]
        moved += [(one, its.id, self._origins.pop((other, its.id))) for its in theirs]
        for rater, unit_id, origin in moved:
            self._origins[rater, unit_id] = origin
        self._loads[one] += len(theirs) - len(ours)
        self._loads[other] += len(ours) - len(theirs)

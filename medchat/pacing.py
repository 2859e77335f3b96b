"""How fast two answers are shown side by side, so that the pace says nothing about who writes which.

The rule, for every frame of one common clock:

- Both sides show the same number of characters, as far as each has as many. Marks that are not shown do not count.
- Nothing is shown before both sides are measured, each by its first half second or its end: the first words of
  both come in the same frame.
- The pace is that of the slower side with some room below it, on a ladder of rungs, and never over 300 characters
  a second. It holds when the slower side has ended: who is slow can then not be told from which column still grows.
- A silence of over a second is no part of a side's speed: a stall halts both, and is forgotten when it is over.
- Once both are written, the last tenth of the longer text comes at the top pace. By then the slower side would have
  written the longer text, whichever it did write.
- A side that the rater stops stands where it was shown, and its model is measured on as if nobody had stopped it.
- No side's end is shown before the text of both is out, but for one that was stopped; a side without any text shows
  its end with the other's first words.

What remains visible is the time until the first words and, rarely, a halt: each is that of the slower side,
whichever it is. Speeds are measured by frames, so that a text of a few words says little of its model's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

FRAME_S = 0.1
MEASURE_S = 0.5
STALL_S = 1.0  # of a silence, so much counts as writing
TOP_PACE = 300.0  # characters a second, some ten times what people read
LEAST_PACE = 5.0
ROOM = 0.8  # of the slower side's speed: what it has ahead covers its unevenness
TIGHT = 0.9  # of that speed: the pace falls only from above it, so that marks and small changes do not show
RUNG = 0.9  # from one pace to the next below


class Progress(NamedTuple):
    """What a side has. chars: of its text so far; over: no more will come."""

    chars: int
    over: bool


class Pacer:
    """Tells frame by frame how many characters both sides may show."""

    def __init__(self, n_sides: int = 2) -> None:
        self._speeds: list[_Speed | None] = [None] * n_sides
        self._pace = LEAST_PACE
        self._allowed = 0.0
        self.started = False

    def tick(self, now_s: float, sides: Sequence[Progress]) -> int:
        """The number of characters for this frame; call it every FRAME_S.

        now_s: seconds on any clock.
        """
        speeds = [self._speed(index, now_s, side) for index, side in enumerate(sides)]
        if not self.started:
            self.started = all(side.over or speed is not None for side, speed in zip(sides, speeds, strict=True))
        if not self.started:
            return 0
        longest = max(side.chars for side in sides)
        there = [side.chars for side in sides if not side.over]
        slowest = min((speed for speed in speeds if speed is not None), default=TOP_PACE)
        roomy = _rung(ROOM * slowest)
        if roomy > self._pace or self._pace > TIGHT * slowest:
            self._pace = roomy
        at_end = not there and self._allowed >= TIGHT * longest
        self._allowed = min(
            self._allowed + (TOP_PACE if at_end else self._pace) * FRAME_S, float(min(there or [longest]))
        )
        return int(self._allowed)

    def _speed(self, index: int, now_s: float, side: Progress) -> float | None:
        """Characters a second from the side's first words to its last so far; None while not measured."""
        if not side.chars:
            return None
        speed = self._speeds[index] or _Speed(now_s, side.chars, now_s, side.chars)
        self._speeds[index] = speed
        return speed.measured(now_s, side)


@dataclass(slots=True)
class _Speed:
    """A side since its first words. stalled_s: of the time since then, what does not count."""

    began_s: float
    n_first: int
    grew_s: float
    n_chars: int
    stalled_s: float = 0.0

    def measured(self, now_s: float, side: Progress) -> float | None:
        if side.chars > self.n_chars:
            self.stalled_s += max(0.0, now_s - self.grew_s - STALL_S)
            self.grew_s, self.n_chars = now_s, side.chars
        until_s = self.grew_s if side.over else min(now_s, self.grew_s + STALL_S)
        took_s = until_s - self.began_s - self.stalled_s
        if not side.over and now_s - self.began_s < MEASURE_S:
            return None
        # The first characters came at some time within the frame before.
        return max((side.chars - self.n_first) / max(took_s, FRAME_S), side.chars / (took_s + FRAME_S))


def _rung(most: float) -> float:
    """The highest pace of the ladder up to this one."""
    pace = TOP_PACE
    while pace > max(LEAST_PACE, most):
        pace *= RUNG
    return pace

"""How far a data command is: lines with the time left, the run's folder where there is one, and whether to stop."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from statistics import median
from typing import Final

from medchat.rundir import RunWriter

EVERY_S = 1.0
PACE_S = 30.0  # the pace is that of so long
STEADY_S = 10.0  # for so long the moment of the end has to stay about the same before a time left is told
STEADY_SHARE, LEAST_SPREAD_S = 0.3, 5.0  # about the same: within this share of the time left, or these seconds


class Stopped(Exception):
    """The work was asked to stop. What it had done is kept, and the same command goes on from there."""


class Progress:
    """Where the work is, told at most once a second, and in words only when it has changed.

    say: takes a line for people; writer: of the run's folder.

    stages: the names of all stages in order, where they are known, so that each is told as one of so many.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        writer: RunWriter | None = None,
        clock: Callable[[], float] = time.monotonic,
        stages: Sequence[str] = (),
    ) -> None:
        self._say: Final = say
        self._writer: Final = writer
        self._clock: Final = clock
        self._stages: Final = tuple(stages)
        self._name, self._total = "", 0.0
        self._told = clock()
        self._said: tuple[float, str] | None = None  # how much was done, and the note, of the last line
        self._looks: deque[tuple[float, float]] = deque()  # (moment, how much was done), of the last while
        self._ends: deque[tuple[float, float]] = deque()  # (moment, the moment of the end as it looked then)

    def stage(self, name: str, total: float, *, first: float = 0) -> None:
        """From here on it does this, up to `total`; first: how much of it an earlier run had done."""
        self._name, self._total = name, total
        self._told = self._clock()
        self._said = None
        self._looks, self._ends = deque([(self._told, first)]), deque()
        place = f"step {self._stages.index(name) + 1} of {len(self._stages)}: " if name in self._stages else ""
        if self._writer is not None:
            self._writer.stage(f"{place}{name}", max(1, round(total)))
        self._say(f"{place}{name} ...")

    def at(self, done: float, note: str = "") -> None:
        """So much of it is done. Raises Stopped where somebody asked for that."""
        if self._writer is not None and self._writer.stop_requested():
            raise Stopped
        now = self._clock()
        if now - self._told < EVERY_S:
            return
        self._told = now
        left_s = self._left_s(done, now)
        if self._writer is not None:
            self._writer.record(round(done), seconds_left=left_s)
        if (done, note) == self._said:
            return
        self._said = (done, note)
        share = f" {min(1.0, done / self._total):.0%}" if self._total else ""
        words = [f"{self._name}{share}", *([note] if note else []), *([left_words(left_s)] if left_s else [])]
        self._say(", ".join(words))

    def _left_s(self, done: float, now: float) -> float | None:
        """Seconds until the stage is done at its pace of late; None until that has been steady for a while."""
        self._looks.append((now, done))
        while len(self._looks) > 2 and self._looks[1][0] <= now - PACE_S:
            self._looks.popleft()
        since, before = self._looks[0]
        if not self._total or done <= before:
            self._ends.clear()
            return None
        self._ends.append((now, now + (now - since) / (done - before) * max(0.0, self._total - done)))
        while len(self._ends) > 2 and self._ends[1][0] <= now - STEADY_S:
            self._ends.popleft()
        ends = [end for _, end in self._ends]
        left_s = max(0.0, median(ends) - now)
        is_steady = max(ends) - min(ends) <= max(LEAST_SPREAD_S, STEADY_SHARE * left_s)
        return left_s if is_steady and now - self._ends[0][0] >= STEADY_S else None


def left_words(seconds: float) -> str:
    """ "about 40 s left", "about 3 min left"."""
    return f"about {seconds:.0f} s left" if seconds < 90 else f"about {seconds / 60:.0f} min left"

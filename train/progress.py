"""How far a data command is: lines with the time left, the run's folder where there is one, and whether to stop."""

import time
from collections.abc import Callable
from typing import Final

from medchat.rundir import RunWriter

EVERY_S = 1.0


class Stopped(Exception):
    """The work was asked to stop. What it had done is kept, and the same command goes on from there."""


class Progress:
    """Where the work is, told at most once a second. say: takes a line for people; writer: of the run's folder."""

    def __init__(
        self,
        say: Callable[[str], None],
        writer: RunWriter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say: Final = say
        self._writer: Final = writer
        self._clock: Final = clock
        self._name, self._total = "", 0.0
        self._begun = self._told = clock()
        self._first = 0.0

    def stage(self, name: str, total: float, *, first: float = 0) -> None:
        """From here on it does this, up to `total`; first: how much of it an earlier run had done."""
        self._name, self._total, self._first = name, total, first
        self._begun = self._told = self._clock()
        if self._writer is not None:
            self._writer.stage(name, max(1, round(total)))
        self._say(f"{name} ...")

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
        share = f" {min(1.0, done / self._total):.0%}" if self._total else ""
        words = [f"{self._name}{share}", *([note] if note else []), *([left_words(left_s)] if left_s else [])]
        self._say(", ".join(words))

    def _left_s(self, done: float, now: float) -> float | None:
        """Seconds until the stage is done at its pace so far; None where that cannot be told."""
        new = done - self._first
        return (now - self._begun) / new * max(0.0, self._total - done) if new > 0 and self._total else None


def left_words(seconds: float) -> str:
    """ "about 40 s left", "about 3 min left"."""
    return f"about {seconds:.0f} s left" if seconds < 90 else f"about {seconds / 60:.0f} min left"

"""Analyses of people's judgements beside the page: one at a time, and each of the same data only once."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from evaluation.human_data import HumanData

if TYPE_CHECKING:
    from evaluation.human import HumanResults  # the app starts without it

MOST_KEPT = 16


@dataclass(slots=True)
class _Entry:
    future: "Future[HumanResults]"
    waiting: int = 0


class Analyses:
    """Results by what the data hold, so that a new judgement makes new ones; the last ones are kept."""

    def __init__(self, analyse: "Callable[[HumanData], HumanResults]", most: int = MOST_KEPT) -> None:
        self._analyse = analyse
        self._most = most
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="analysis")

    @contextmanager
    def begun(self, data: HumanData) -> "Iterator[Future[HumanResults]]":
        """The analysis of the data, which is waited for within the block; nobody's is not begun any more."""
        key = digest_of(data)
        with self._lock:
            entry = self._entries.get(key)
            if entry is None or _has_failed(entry):
                entry = self._entries[key] = _Entry(self._pool.submit(self._analyse, data))
            self._entries.move_to_end(key)
            entry.waiting += 1
            self._forget()
        try:
            yield entry.future
        finally:
            with self._lock:
                entry.waiting -= 1
                if not entry.waiting and entry.future.cancel() and self._entries.get(key) is entry:
                    del self._entries[key]

    def results(self, data: HumanData) -> "HumanResults":
        """Those of the data, when they are there. Raises what the analysis raises."""
        with self.begun(data) as future:
            return future.result()

    def _forget(self) -> None:
        idle = [key for key, entry in self._entries.items() if not entry.waiting and entry.future.done()]
        for key in idle[: max(0, len(self._entries) - self._most)]:
            del self._entries[key]


def digest_of(data: HumanData) -> str:
    """SHA-256 of everything in the data."""
    return hashlib.sha256(repr(data).encode("utf-8", "replace")).hexdigest()


def _has_failed(entry: _Entry) -> bool:
    return entry.future.done() and (entry.future.cancelled() or entry.future.exception() is not None)


def _analysed(data: HumanData) -> "HumanResults":
    from evaluation.human import analyse

    return analyse(data)


# Of all pages and files: what the data hold says which results are theirs, whatever store they come from.
ANALYSES = Analyses(_analysed)

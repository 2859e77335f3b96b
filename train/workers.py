"""Processes that work beside this one, and end with it."""

import multiprocessing
import os
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from medchat.errors import RunError

WORKER_DIED = (
    "A worker process died, of too little memory perhaps. The same command goes on from here; with MEDCHAT_THREADS=1 it"
    " works without them."
)
_T = TypeVar("_T")


class Pool(ProcessPoolExecutor):
    """Processes that end with this one. Leaving it by an error drops what has not begun."""

    def __init__(self, workers: int) -> None:
        # A fresh interpreter each: a fork would copy the locks of other threads as they happen to be.
        super().__init__(workers, multiprocessing.get_context("spawn"), initializer=_end_with_parent)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.shutdown(cancel_futures=error is not None)


def ended(under_way: set[Future[_T]], most: int) -> set[Future[_T]]:
    """Those still at work when no more than `most` are. Raises what went wrong in one that ended, and RunError."""
    while len(under_way) > most:
        done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
        for future in done:
            try:
                future.result()
            except BrokenProcessPool as error:
                raise RunError(WORKER_DIED) from error
    return under_way


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for ever: both ends of the pipe are in its own hands."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent,), daemon=True).start()


def _exit_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)

"""Looks after the runs while an app runs: begins those that wait, sees to it that those asked to stop do."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from medchat.errors import MedChatError, NotFound, RunError
from medchat.job_files import Job, job_of, run_dirs_in
from medchat.processes import ask_to_end, end
from medchat.run_state import ENDED, LIVING, RunState, now
from medchat.rundir import RunDir

CANNOT_BEGIN = "It could not be begun: {}"

log = logging.getLogger(__name__)


class Seen(NamedTuple):
    """A run as it was looked at; stamp differs once its state was written, or it was asked to stop."""

    stamp: tuple[int, bool]
    state: RunState


class Keeper:
    """One thread over the folder of the runs. It goes by what stands there, so that it does not matter who wrote it.

    guard: held by whoever changes a run that has no process. changed: called after each change that was seen.
    """

    def __init__(
        self,
        folder: Path,
        launch: Callable[[Job, RunDir], None],
        on_end: Callable[[RunDir], None],
        guard: threading.RLock,
        changed: Callable[[], None],
        *,
        grace_s: float,
        poll_s: float,
    ) -> None:
        self._folder = folder
        self._launch = launch
        self._on_end = on_end
        self._guard = guard
        self._changed = changed
        self._grace_s = grace_s
        self._poll_s = poll_s
        self._seen: dict[str, Seen] = {}
        self._asked: dict[tuple[str, int], float] = {}  # when each process was told to stop
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread.start()

    def wake(self) -> None:
        """Have a look now."""
        self._wake.set()

    def close(self) -> None:
        """End the thread; the processes go on."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def press(self, run_dir: RunDir, state: RunState) -> None:
        """Tell the process of a run that it is to stop, and end it when it takes too long; to be called repeatedly."""
        if state.pid is None or state.process_started is None:
            return
        process = run_dir.path.name, state.pid
        if process not in self._asked:
            self._asked[process] = time.monotonic()
            ask_to_end(state.pid, state.process_started)
        elif time.monotonic() - self._asked[process] > self._grace_s:
            end(state.pid, state.process_started)

    def _run(self) -> None:
        while not self._closing:
            self._wake.clear()
            try:
                self._look()
            except (MedChatError, OSError) as error:  # such as a folder that cannot be read for now
                log.warning("jobs", extra={"reason": str(error)})
            self._wake.wait(self._poll_s)

    def _look(self) -> None:
        """See what has become of each run, and do what is to be done."""
        states: dict[RunDir, RunState] = {}
        for run_dir in run_dirs_in(self._folder):
            if self._closing:
                return
            with suppress(NotFound, RunError):  # deleted since, or not to be read
                states[run_dir] = self._looked_at(run_dir)
        for gone in self._seen.keys() - {run_dir.path.name for run_dir in states}:
            del self._seen[gone]
            self._changed()
        for run_dir, state in states.items():
            if state.status == "stopping":
                self.press(run_dir, state)
        self._begin_next(states)

    def _looked_at(self, run_dir: RunDir) -> RunState:
        stamp = run_dir.state_file.stat().st_mtime_ns if run_dir.state_file.exists() else 0, run_dir.stop_file.exists()
        known = self._seen.get(run_dir.path.name)
        if known and known.stamp == stamp and known.state.status not in LIVING:
            return known.state
        seen = Seen(stamp, run_dir.state())
        if known is None or (known.stamp, known.state.status) != (stamp, seen.state.status):
            if seen.state.status in ENDED:
                self._tell_end(run_dir)
            self._changed()
        self._seen[run_dir.path.name] = seen
        return seen.state

    def _tell_end(self, run_dir: RunDir) -> None:
        def tell() -> None:
            try:
                self._on_end(run_dir)
            except MedChatError as error:
                log.warning("results not taken in", extra={"run": run_dir.id, "reason": str(error)})

        # A thread of its own: a fault in there is logged as such, and the line goes on.
        teller = threading.Thread(target=tell, name="job-end")
        teller.start()
        teller.join()

    def _begin_next(self, states: dict[RunDir, RunState]) -> None:
        waiting = [
            (state.turn, run_dir.path.name, run_dir) for run_dir, state in states.items() if state.status == "queued"
        ]
        at_work = [run_dir for run_dir, state in states.items() if state.status in LIVING]
        if not waiting or any(
            run_dir.job_file.exists() for run_dir in at_work
        ):  # the command line has no place in the line
            return
        run_dir = min(waiting)[-1]
        with self._guard:
            state = run_dir.state()
            if state.status != "queued" or self._closing:
                return
            run_dir.set_state(replace(state, status="starting", started_at=now()))
            try:
                self._launch(job_of(run_dir), run_dir)
            except (MedChatError, OSError, ValueError) as error:
                message = str(error) if isinstance(error, MedChatError) else CANNOT_BEGIN.format(error)
                run_dir.set_state(replace(state, status="failed", message=message, ended_at=now()))
        self._changed()
        self._wake.set()

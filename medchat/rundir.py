"""A run is a folder: the process that works writes it, everybody else reads it, and nothing else is needed.

    config.yaml      what is run, in full
    state.json       whose process it is and how far it has come (RunState)
    progress.jsonl   one line a step
    log.txt          what the process printed
    completions/ artifacts/ result.json
    stop             there when it was asked to stop
    job.json         what the app started (jobs.Job); a run of the command line has none

A job and a run of the command line use the same folder and this code.
"""

import hashlib
import json
import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Literal, Self

import psutil
import yaml
from filelock import FileLock, Timeout

from medchat.errors import InvalidInput, MedChatError, NotFound, RunError
from medchat.processes import process_started
from medchat.run_files import DAMAGED, FULL, is_full, json_of, mapping_of, text_of, write_whole, writing
from medchat.run_state import ENDED, LIVING, RunState, Status, is_at_work, now, state_of

__all__ = ["ENDED", "LIVING", "RunDir", "RunState", "RunWriter", "Status"]

RUNS = "runs"  # the folder of the jobs in the data folder
CHAR_BYTES = 4  # at most, in UTF-8

NO_MEMORY = "The memory ran out. Close other programs, or choose smaller settings, then resume the run."
FAULT = "A fault in MedChat ended the run: see the log."
NEVER_BEGAN = "This run has no state: it never began. Delete it, and start it anew."
GONE = "Its process is gone: it was killed, or the machine was restarted. Resume it, or look into the log."
ENDED_BY_FORCE = "It was ended before it had saved what it was doing."
TAKEN = "Another process is at work in the folder {}; wait until it ends, or stop it."


class RunDir:
    """The folder of one run; it need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self.config_file = self.path / "config.yaml"
        self.state_file = self.path / "state.json"
        self.progress_file = self.path / "progress.jsonl"
        self.log_file = self.path / "log.txt"
        self.result_file = self.path / "result.json"
        self.job_file = self.path / "job.json"
        self.stop_file = self.path / "stop"
        self.lock_file = self.path / "lock"
        self.completions = self.path / "completions"
        self.artifacts = self.path / "artifacts"

    @property
    def id(self) -> str:
        """The folder's name; outside of the data folder, where two may be called alike, with a hash of the place."""
        name = self.path.name
        return name if self.path.parent.name == RUNS else f"{name}-{_hash(str(self.path))}"

    def state(self) -> RunState:
        """How the run is now: "lost" where it claims to be at work and its process is gone.

        A state that cannot be read is "lost" too, and its message says so. Raises NotFound without a folder.
        """
        state = self._read_state()
        if state.status not in LIVING:
            return state
        stopping = self.stop_file.exists()
        if is_at_work(state):
            return replace(state, status="stopping") if stopping else state
        state = self._read_state()  # it may have ended in good order since
        if state.status not in LIVING:
            return state
        status: Status = "stopped" if stopping else "lost"
        return replace(
            state, status=status, message=ENDED_BY_FORCE if stopping else GONE, ended_at=self._last_sign_of_life()
        )

    def set_state(self, state: RunState) -> None:
        """Write the state, whole. Only for who owns the run: its process, or the app while it has none.

        Raises RunError when the disk is full, or the folder cannot be written.
        """
        text = json.dumps(asdict(state), ensure_ascii=False) + "\n"
        try:
            write_whole(self.state_file, text, durable=state.status not in LIVING)
        except OSError as error:
            if not is_full(error):
                raise RunError(f"The folder of the run cannot be written ({error.strerror}).") from error
            self._overwrite_state(text, error)

    def config(self) -> dict[str, Any]:
        """What is run; {} before it began. Raises RunError for a damaged file."""
        text = text_of(self.config_file)
        try:
            found = yaml.load(text, yaml.CSafeLoader) if text else {}
        except yaml.YAMLError as error:
            raise RunError(DAMAGED.format("config.yaml")) from error
        return mapping_of(found, "config.yaml")

    def result(self) -> dict[str, Any] | None:
        """What came out; None while there is nothing. Raises RunError for a damaged file."""
        text = text_of(self.result_file)
        return None if text is None else mapping_of(json_of(text), "result.json")

    def progress(self) -> list[dict[str, Any]]:
        """The lines of progress.jsonl; lines that are torn or damaged are left out."""
        return self.progress_since(0)[0]

    def progress_since(self, offset_bytes: int) -> tuple[list[dict[str, Any]], int]:
        """The lines from this place in progress.jsonl on, and the place after them, for the next call.

        A resumed run is cut back to where it goes on: after a change of state().started_at begin at 0 again.
        """
        try:
            with self.progress_file.open("rb") as stream:
                if offset_bytes > stream.seek(0, os.SEEK_END):
                    offset_bytes = 0
                stream.seek(offset_bytes)
                data = stream.read()
        except OSError:
            return [], 0
        data = data[: data.rfind(b"\n") + 1]  # a line that is being written comes with the next call
        rows = (json_of(line) for line in data.splitlines())
        return [row for row in rows if isinstance(row, dict) and "step" in row], offset_bytes + len(data)

    def log_tail(self, n_chars: int = 20_000) -> str:
        """The end of log.txt, as a terminal would show it: of a line that was written over only the last."""
        try:
            with self.log_file.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - n_chars * CHAR_BYTES))
                text = stream.read().decode("utf-8", "replace")
        except OSError:
            return ""
        lines = text.replace("\r\n", "\n").split("\n")
        return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)[-n_chars:]

    def log_since(self, offset_bytes: int) -> tuple[str, int]:
        """What stands in log.txt from this place on, and the place after it, for the next call."""
        try:
            with self.log_file.open("rb") as stream:
                stream.seek(offset_bytes)
                data = stream.read()
        except OSError:
            return "", 0
        return data.decode("utf-8", "replace"), offset_bytes + len(data)

    def begin(self, config: Mapping[str, Any], steps: int, *, append: bool = False) -> "RunWriter":
        """This process begins, or with append goes on with, the run: what it writes from now on.

        config: plain values only; it gets the names of environment variables, never their values. steps: of the
        first stage, 0 when that is not known. Raises InvalidInput when another process is at work in the folder,
        RunError when it cannot be written.
        """
        return RunWriter(self, config, steps, append)

    def _read_state(self) -> RunState:
        text = text_of(self.state_file)
        if text is None:
            if not self.path.is_dir():
                raise NotFound("There is no such run; it may have been deleted.")
            return RunState("lost", message=NEVER_BEGAN)
        state = state_of(json_of(text))
        return state or RunState("lost", message=DAMAGED.format("state.json"))

    def _overwrite_state(self, text: str, full: OSError) -> None:
        """The place of the old state is there even where there is no more: only a crash now could tear it."""
        try:
            with self.state_file.open("r+", encoding="utf-8") as stream:
                stream.write(text)
                stream.truncate()
        except OSError:
            raise RunError(FULL) from full

    def _last_sign_of_life(self) -> str | None:
        try:
            return datetime.fromtimestamp(self.state_file.stat().st_mtime, UTC).isoformat()
        except OSError:
            return None


class RunWriter:
    """What the process of a run writes, from RunDir.begin to the end of the with-block.

    Leaving the block says how it ended: done; stopped where it was asked to stop and wrote no result, or after Ctrl-C;
    failed, with the line of a MedChatError, or with one that points to the log, which gets the traceback.
    Methods raise RunError when the disk is full or the folder cannot be written.
    """

    def __init__(self, run_dir: RunDir, config: Mapping[str, Any], steps: int, append: bool) -> None:
        self._dir = run_dir
        self._guard = threading.RLock()
        self._stop = False
        self._finished = False
        self._handler: Any = None
        with writing():
            run_dir.path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(run_dir.lock_file, thread_local=False)
            try:
                self._lock.acquire(timeout=0)
            except Timeout as error:
                raise InvalidInput(TAKEN.format(run_dir.path.name)) from error
            try:
                self._state = self._claimed(steps)
                self._clear(append)
                plain = json.loads(json.dumps(config, default=str))
                write_whole(run_dir.config_file, yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
                run_dir.set_state(self._state)
                self._progress = run_dir.progress_file.open("ab", buffering=0)
            except BaseException:
                self._lock.release()
                raise

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGTERM, self._ask_to_stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)
        if self._finished:
            return
        if error is None:
            self.finish("stopped" if self.stop_requested() and not self._dir.result_file.exists() else "done")
            return
        with suppress(RunError):  # what went wrong first is what is told
            self.finish(*self._end_of(error))

    def record(self, step: int, **values: float | None) -> None:
        """Add a line to progress.jsonl: step, stage, time (seconds since 1970) and the values, where None is unknown.

        Infinite values and those that are not a number become None.
        """
        with self._guard:
            line = {"step": step, "stage": self._state.stage, "time": round(time.time(), 3)}
            line |= {name: _number(value) for name, value in values.items()}
            rest = json.dumps(line, ensure_ascii=False).encode() + b"\n"
            with writing():
                while rest:  # a disk that gets full takes a part at first
                    rest = rest[self._progress.write(rest) :]
            self._update(step=step)

    def stage(self, name: str, steps: int) -> None:
        """From here on it is doing this, in so many steps, counted from 0."""
        self._update(stage=name, steps=steps, step=0)

    def cut_back(self, step: int) -> None:
        """Go on after this step of the stage at work: its later lines, and all after them, leave progress.jsonl."""
        with self._guard:
            with writing():
                self._progress.truncate(self._size_until(step))
            self._update(step=step)

    def stop_requested(self) -> bool:
        """Whether somebody asked it to save and end."""
        return self._stop or self._dir.stop_file.exists()

    def result(self, result: Mapping[str, Any]) -> None:
        """Write result.json: what came out, in plain values."""
        with writing():
            write_whole(self._dir.result_file, json.dumps(result, ensure_ascii=False, indent=2) + "\n")

    def finish(self, status: Literal["done", "failed", "stopped"], message: str = "") -> None:
        """Say how it ended; nothing can be written after that."""
        with self._guard:
            self._finished = True
            self._progress.close()
            try:
                self._update(status=status, message=message, ended_at=now())
            finally:
                self._lock.release()

    def _claimed(self, steps: int) -> RunState:
        """The state of a run that is this process's from now on."""
        old = self._dir.state() if self._dir.state_file.exists() else RunState("queued", created_at=now())
        own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}  # a launcher may stand between
        if old.status in LIVING and old.pid not in {None, *own}:
            raise InvalidInput(TAKEN.format(self._dir.path.name))
        if old.status in ENDED:  # what was asked of an earlier process
            self._dir.stop_file.unlink(missing_ok=True)
        pid = os.getpid()
        created_at = old.created_at or now()
        return RunState("running", pid, process_started(pid), 0, steps, created_at=created_at, started_at=now())

    def _clear(self, append: bool) -> None:
        self._dir.result_file.unlink(missing_ok=True)
        for partial in self._dir.path.glob(".*.partial"):
            partial.unlink(missing_ok=True)
        if not append:
            self._dir.progress_file.unlink(missing_ok=True)
        elif self._dir.progress_file.exists():
            with self._dir.progress_file.open("r+b") as stream:  # a line that was being written when it was killed
                stream.truncate(stream.read().rfind(b"\n") + 1)

    def _size_until(self, step: int) -> int:
        """Bytes of progress.jsonl before the first line of this stage that is later than the step."""
        size = 0
        for line in self._dir.progress_file.read_bytes().splitlines(keepends=True):
            row = json_of(line)
            if isinstance(row, dict) and row.get("stage") == self._state.stage and row.get("step", 0) > step:
                break
            size += len(line)
        return size

    def _update(self, **changes: Any) -> None:
        with self._guard:
            self._state = replace(self._state, **changes)
            self._dir.set_state(self._state)

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop = True

    def _end_of(self, error: BaseException) -> tuple[Literal["failed", "stopped"], str]:
        if isinstance(error, MedChatError):
            return "failed", str(error)
        if isinstance(error, KeyboardInterrupt) or (isinstance(error, SystemExit) and self.stop_requested()):
            return "stopped", ""
        if isinstance(error, OSError) and is_full(error):
            return "failed", FULL
        if isinstance(error, MemoryError):
            return "failed", NO_MEMORY
        if not _prints_into(self._dir.log_file):
            with suppress(OSError), self._dir.log_file.open("a", encoding="utf-8") as log:
                traceback.print_exception(error, file=log)
        return "failed", FAULT


def _number(value: float | None) -> float | None:
    """The value as JSON has it."""
    if value is None or isinstance(value, int):
        return value
    value = float(value)  # also one of numpy, or of torch
    return value if math.isfinite(value) else None


def _prints_into(log: Path) -> bool:
    """Whether what this process prints goes into the log already."""
    try:
        return os.path.samestat(os.fstat(sys.stderr.fileno()), log.stat())
    except (OSError, ValueError):
        return False


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]

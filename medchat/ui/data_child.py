"""A command that somebody waits for, in a process of its own: what it reads harms no app, and it can be ended."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from threading import Lock
from typing import NamedTuple

from medchat.errors import InvalidInput
from medchat.settings import ROOT, Settings, child_environment, secret

PULSE_S = 0.25  # between two looks at whether it has ended
END_S = 5.0
LINE_CHARS = 300
STOPPED = "It was stopped."
NO_WORD = "The rows could not be read: the command ended with status {} and said nothing."


class Said(NamedTuple):
    """What a command printed, once it has ended well."""

    out: str


class Children:
    """The commands that pages wait for: a page has one at a time, the newer ends the older."""

    def __init__(self, settings: Settings, *, pulse_s: float = PULSE_S) -> None:
        self._settings = settings
        self._pulse_s = pulse_s
        self._lock = Lock()
        self._at_work: dict[tuple[str, ...], subprocess.Popen[bytes]] = {}

    def run(
        self, page: tuple[str, ...], arguments: Sequence[str], timeout_s: float, variables: Sequence[str] = ()
    ) -> Iterator[float | Said]:
        """The seconds that it has taken, again and again, and what it said in the end. arguments: after "python".

        Closing the iterator ends the process. Raises InvalidInput with its own line when it fails, is stopped by the
        page, or takes too long.
        """
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            begun = time.monotonic()
            child = subprocess.Popen(
                [sys.executable, *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=ROOT,
                env=self._environment(variables), start_new_session=True,
            )  # fmt: skip
            self._replace(page, child)
            try:
                while child.poll() is None:
                    if (took_s := time.monotonic() - begun) > timeout_s:
                        raise InvalidInput(f"It was ended: it took more than {timeout_s:.0f} seconds.")
                    yield took_s
                    with suppress(subprocess.TimeoutExpired):
                        child.wait(self._pulse_s)
                if child.returncode:
                    err.seek(0)
                    raise InvalidInput(_fault(child.returncode, err.read().decode("utf-8", "replace")))
                out.seek(0)
                yield Said(out.read().decode("utf-8", "replace"))
            finally:
                self._forget(page, child)
                _end(child)

    def stop(self, page: tuple[str, ...]) -> None:
        """End what the page waits for, if anything."""
        with self._lock:
            child = self._at_work.pop(page, None)
        if child:
            _end(child)

    def _replace(self, page: tuple[str, ...], child: "subprocess.Popen[bytes]") -> None:
        with self._lock:
            before = self._at_work.get(page)
            self._at_work[page] = child
        if before:
            _end(before)

    def _forget(self, page: tuple[str, ...], child: "subprocess.Popen[bytes]") -> None:
        with self._lock:
            if self._at_work.get(page) is child:
                del self._at_work[page]

    def _environment(self, variables: Sequence[str]) -> dict[str, str]:
        given = {name: value for name in variables if (value := secret(name))}
        return {**child_environment(), **replace(self._settings, threads=1).as_environment(), **given}


def _end(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _fault(status: int, said: str) -> str:
    """The last line of what it complained of, without the name of the command before it."""
    if status < 0:
        return STOPPED
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1].removeprefix("train: ")[:LINE_CHARS] if lines else NO_WORD.format(status)

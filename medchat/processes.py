"""Processes by pid and start, so that a later one of the same pid is never taken for one that has ended."""

import os
import signal
from contextlib import suppress

import psutil

CLOCK_S = 2.0  # by how much two looks at the start of one process may differ
GONE = (psutil.NoSuchProcess, psutil.AccessDenied)


def process_started(pid: int) -> float | None:
    """Seconds from the start of the machine to that of the process; None when there is none, or it has ended.

    Not the time of day: the clock may be set while the process runs.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return round(process.create_time() - psutil.boot_time(), 2)
    except GONE:
        return None


def is_alive(pid: int | None, started: float | None) -> bool:
    """Whether this very process still runs, and not another one that has got its pid since."""
    if pid is None or started is None:
        return False
    found = process_started(pid)
    return found is not None and abs(found - started) < CLOCK_S


def ask_to_end(pid: int, started: float) -> None:
    """Sends SIGTERM to the process, if it is still this one."""
    if is_alive(pid, started):
        with suppress(*GONE):
            psutil.Process(pid).terminate()


def end(pid: int, started: float) -> None:
    """Ends the process by force, and all that it has begun; with its group, where that was made for it."""
    if not is_alive(pid, started):
        return
    with suppress(*GONE):
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        with suppress(OSError):
            if os.getpgid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)
        for member in family:
            with suppress(*GONE):
                member.kill()

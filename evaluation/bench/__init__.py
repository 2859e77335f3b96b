"""Benches: MedChat and another program, measured in turns on the same machine in one run."""

import json
import os
import platform
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from medchat.errors import InvalidInput, MedChatError, ModelUnavailable
from medchat.settings import ROOT, child_environment

POLL_S = 0.005
LIBRARIES = ("gradio", "llama-cpp-python", "numpy")


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. figure: ours / theirs, or ours - theirs. aim: what it should be, "" for none."""

    measure: str
    unit: str
    ours: float
    against: str
    theirs: float | None = None
    figure: float | None = None
    aim: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What a bench found, and under which conditions."""

    bench: str
    conditions: Mapping[str, str | int | float]
    rows: Sequence[Row]


def at_least(measure: str, unit: str, ours: float, against: str, theirs: float, aim: float) -> Row:
    """A row whose ratio should be at least `aim`."""
    ratio = ours / theirs
    return Row(measure, unit, ours, against, theirs, ratio, f"ratio >= {aim:g}", ratio >= aim)


def at_most(measure: str, unit: str, ours: float, against: str, theirs: float, aim: float) -> Row:
    """A row whose ratio should be at most `aim`."""
    ratio = ours / theirs
    return Row(measure, unit, ours, against, theirs, ratio, f"ratio <= {aim:g}", ratio <= aim)


def publish(report: Report, out: Path | None) -> None:
    """Print the report, and write it as JSON too. Raises InvalidInput when the file cannot be written."""
    print(table(report))
    if out is None:
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(asdict(report) | {"machine": machine()}, indent=2) + "\n")
    except OSError as error:
        raise InvalidInput(f"The figures cannot be written to {out}: {error.strerror}.") from error


def table(report: Report) -> str:
    """The report in lines for a terminal."""
    conditions = ", ".join(f"{name} {value}" for name, value in report.conditions.items())
    lines = [["measure", "MedChat", "other", "", "figure", "aim", ""]]
    for row in report.rows:
        met = "" if row.met is None else "met" if row.met else "MISSED"
        lines.append([
            f"{row.measure}, {row.unit}", _number(row.ours), _number(row.theirs), row.against, _number(row.figure),
            row.aim, met,
        ])  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([f"bench {report.bench}: {conditions}", *rows])


def machine() -> dict[str, str | int]:
    """What the figures depend on besides the code."""
    versions = {name: version(name) for name in LIBRARIES}
    return {
        "cores": os.cpu_count() or 1,
        "machine": platform.machine(),
        "python": platform.python_version(),
        **versions,
    }


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Served(NamedTuple):
    """A program that runs, and the seconds from its start until it served."""

    process: "subprocess.Popen[bytes]"
    start_s: float


@contextmanager
def serving(
    command: Sequence[str], url: str, environment: Mapping[str, str] | None = None, timeout_s: float = 120.0
) -> Iterator[Served]:
    """A Python program that runs inside the block, from when it serves the URL.

    environment: variables that it gets beside the allow-listed ones.

    Raises ModelUnavailable when it ends or stays silent.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT, start_new_session=True,
        env=child_environment() | {"GRADIO_ANALYTICS_ENABLED": "False"} | dict(environment or {}),
    )  # fmt: skip
    try:
        while not _is_served(url):
            if process.poll() is not None or time.monotonic() - began > timeout_s:
                raise ModelUnavailable(f"'python {' '.join(command)}' did not begin to serve; run it to see why.")
            time.sleep(POLL_S)
        yield Served(process, time.monotonic() - began)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def require(module: str, package: str) -> None:
    """Raises MedChatError when a package that only this bench needs is not installed."""
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise MedChatError(f"This bench needs {package}; install it with 'pip install -r tests/requirements.txt'.")


def _is_served(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            response.read()
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"

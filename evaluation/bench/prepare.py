"""`python -m evaluation bench prepare`: training data from many rows, against `datasets.map` with datasketch.

Both are programs that read one file, clean, check against the suites, leave out near duplicates, split, and write; they
run one after the other on all cores. Both are started cold. Memory is that of all their processes together.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from evaluation.bench import Report, Row, at_least, require
from evaluation.bench.prepare_data import write_rows
from evaluation.overlap import CHARACTERS, WORDS, words_of
from evaluation.suites import load_suite, suite_names
from medchat.errors import MedChatError, NotFound
from medchat.settings import ROOT, child_environment

RIVAL_ROWS = 100_000  # it takes some ms a row; fewer rows make it no slower
AIM_SPEED = 3.0
AIM_GIB = 2.0
GIB = 1 << 30
LOOK_S = 0.2
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program did. cpu_s: processor time of all its processes; kept: rows in the output by kind."""

    seconds: float
    cpu_s: float
    peak_gib: float
    kept: Mapping[str, int]


def measure(n: int, n_rival: int) -> Report:
    """Rows a second, memory and what was found, of both. Raises MedChatError when one of the programs fails."""
    require("datasketch", "datasketch")
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else 0.0
    with tempfile.TemporaryDirectory(prefix="medchat-bench-") as name:
        folder = Path(name)
        made = write_rows(folder / "rows.jsonl", n, seed=0)
        made_rival = made if n_rival == n else write_rows(folder / "rival.jsonl", n_rival, seed=0)
        (folder / "grams.json").write_text(json.dumps(sorted(_grams())))
        ours = _run(_our_command(folder), folder / "out")
        rows_file = folder / ("rows.jsonl" if n_rival == n else "rival.jsonl")
        theirs = _run(_rival_command(folder, rows_file), folder / "rival")
    against = f"datasets.map + datasketch, {n_rival:,} rows"
    our_us, their_us = 1e6 * ours.cpu_s / n, 1e6 * theirs.cpu_s / n_rival
    conditions = {
        "rows": n, "rival rows": n_rival, "cores": _cores(), "load before": load, "words a row": 110,
        "copies": made["copy"], "near copies": made["near"], "look-alikes": made["other"],
    }  # fmt: skip
    return Report("prepare", conditions, [
        at_least("rows prepared", "rows/s", n / ours.seconds, against, n_rival / theirs.seconds, AIM_SPEED),
        Row("processor time a row", "µs", our_us, against, their_us, their_us / our_us),
        Row("time in all", "s", ours.seconds, against, theirs.seconds),
        Row("most memory, all processes", "GiB", ours.peak_gib, against, theirs.peak_gib, None, f"<= {AIM_GIB:g} GiB",
            ours.peak_gib <= AIM_GIB),
        Row("copies left out", "share", _out(ours, made, "copy"), against, _out(theirs, made_rival, "copy")),
        Row("near copies left out", "share", _out(ours, made, "near"), against, _out(theirs, made_rival, "near")),
        Row("look-alikes left out (another dose, a negation)", "share", _out(ours, made, "other"), against,
            _out(theirs, made_rival, "other"), None, "<= 0.005", _out(ours, made, "other") < 0.005),
    ])  # fmt: skip


def _our_command(folder: Path) -> list[str]:
    return [
        "-m", "train", "prepare", "--source", f"examples={folder / 'rows.jsonl'}", "--out", str(folder / "out"),
        "--balance", "none", "--data-dir", str(folder / "data"), "--seed", "0",
    ]  # fmt: skip


def _rival_command(folder: Path, rows_file: Path) -> list[str]:
    grams = str(folder / "grams.json")
    return ["-m", "evaluation.bench.prepare_rival", str(rows_file), str(folder / "rival"), grams, str(_cores())]


def _run(command: Sequence[str], out: Path) -> Outcome:
    """The program, run to its end. Raises MedChatError when it fails."""
    log = out.with_suffix(".log")
    began, used = time.monotonic(), _cpu_s()
    with log.open("wb") as written:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=child_environment(), stdout=written, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        peak = _watch(process)
    seconds, cpu_s = time.monotonic() - began, _cpu_s() - used
    lines = log.read_text(errors="replace").strip().splitlines()
    if process.returncode:
        raise MedChatError(f"'python {command[1]}' failed: {lines[-1] if lines else 'it said nothing'}")
    kinds: Counter[str] = Counter()
    for name in SPLITS:
        with (out / f"{name}.jsonl").open(encoding="utf-8") as rows:
            kinds.update(json.loads(row)["id"].partition("-")[0] for row in rows)
    return Outcome(seconds, cpu_s, peak / GIB, kinds)


def _watch(process: "subprocess.Popen[bytes]") -> int:
    """Wait for the end; the most bytes that it and what it started held at one time."""
    peak = 0
    root = psutil.Process(process.pid)
    while True:
        try:
            process.wait(LOOK_S)
            return peak
        except subprocess.TimeoutExpired:
            peak = max(peak, _held(root))


def _cpu_s() -> float:
    """Processor time of all processes that ended under this one."""
    times = os.times()
    return times.children_user + times.children_system


def _held(root: psutil.Process) -> int:
    held = 0
    try:
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:  # it ended just now
        return 0
    for process in tree:
        with suppress(psutil.NoSuchProcess):
            held += process.memory_info().rss
    return held


def _grams() -> set[str]:
    """Runs of words and of characters of the suites' questions, for the other program."""
    found: set[str] = set()
    for name in suite_names():
        try:
            suite = load_suite(name)
        except NotFound:
            continue
        for example in suite.examples:
            words = words_of(f"{example.context} {example.question}")
            spaced = " ".join(words)
            found.update(" ".join(words[start : start + WORDS]) for start in range(len(words) - WORDS + 1))
            found.update(spaced[start : start + CHARACTERS] for start in range(len(spaced) - CHARACTERS + 1))
    return found


def _out(outcome: Outcome, made: Mapping[str, int], kind: str) -> float:
    return 1 - outcome.kept.get(kind, 0) / made[kind]


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""The same bytes whatever happens: stopped, killed, in one process or in several."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from prepared_rows import N_ROWS, contents, in_files, leaks, prepared, rows, source

from medchat.errors import InvalidInput
from medchat.records import Example
from medchat.rundir import RunDir
from train.adapters import Source
from train.prepare import prepare
from train.prepare_options import Options
from train.progress import Progress, Stopped, left_words
from train.row_files import read_rows
from train.work_folder import WORK

BIG = 12_000  # rows of the file that is worth several processes


class StopsAt(Progress):
    """Stops when it is told for the n-th time how far the work is. stages: their names so far."""

    def __init__(self, n: int) -> None:
        super().__init__(lambda line: None)
        self.left = n
        self.stages: list[str] = []

    def stage(self, name: str, total: float, *, first: float = 0) -> None:
        self.stages.append(name)
        super().stage(name, total, first=first)

    def at(self, done: float, note: str = "") -> None:
        self.left -= 1
        if self.left == 0:
            raise Stopped


@pytest.fixture(scope="module")
def csv_source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """A table of several chunks, which is read record by record where only a part of it is wanted."""
    file = tmp_path_factory.mktemp("sources") / "rows.csv"
    lines = [f'"{row.question}","{row.answer}"\n' for row in [*rows(N_ROWS), *rows(N_ROWS)] * 2]
    file.write_text("question,answer\n" + "".join(lines))
    return Source("qca", file, text="qca=rows.csv")


def test_what_was_stopped_anywhere_goes_on_and_gives_the_same_bytes(csv_source: Source, tmp_path: Path) -> None:
    options = Options(limit=2100)  # two chunks
    counting = StopsAt(1 << 30)
    prepare([csv_source], tmp_path / "whole", options, leaks=leaks(), progress=counting)
    whole = contents(tmp_path / "whole")
    n_calls = (1 << 30) - counting.left
    assert n_calls >= 5  # the file, two chunks, what is compared and written

    for n in (3, n_calls // 2, n_calls):  # between the chunks, as rows are compared, and as they are written
        out = tmp_path / str(n)
        with pytest.raises(Stopped):
            prepare([csv_source], out, options, leaks=leaks(), progress=StopsAt(n))
        assert contents(out) == {}
        resumed = StopsAt(1 << 30)
        prepare([csv_source], out, options, leaks=leaks(), progress=resumed)
        assert contents(out) == whole
        assert not (out / WORK).exists()


def test_a_stage_that_is_done_is_not_done_again_and_other_settings_begin_anew(
    csv_source: Source, tmp_path: Path
) -> None:
    out, options = tmp_path / "out", Options(limit=300)
    last = StopsAt(1 << 30)
    prepare([csv_source], out, options, leaks=leaks(), progress=last)
    assert last.stages == ["Looking at the sources", "Reading", "Comparing", "Writing"]

    with pytest.raises(Stopped):  # at the end of what is read and compared
        prepare([csv_source], out, options, leaks=leaks(), progress=StopsAt((1 << 30) - last.left))
    resumed, other = StopsAt(1 << 30), StopsAt(1 << 30)
    work = {path.name for path in (out / WORK).iterdir()}
    prepare([csv_source], out, options, leaks=leaks(), progress=resumed)
    assert "Reading" not in resumed.stages

    with pytest.raises(Stopped):
        prepare([csv_source], out, Options(limit=200), leaks=leaks(), progress=StopsAt(2))
    assert not work & {path.name for path in (out / WORK).iterdir()} - {"lock"}
    prepare([csv_source], out, Options(limit=200), leaks=leaks(), progress=other)
    assert "Reading" in other.stages


def test_a_folder_in_which_another_process_is_at_work_is_left_alone(tmp_path: Path) -> None:
    from filelock import FileLock

    its = source(tmp_path / "rows.jsonl", rows(20))
    (tmp_path / "out" / WORK).mkdir(parents=True)

    with (
        FileLock(tmp_path / "out" / WORK / "lock"),
        pytest.raises(InvalidInput, match="Another process writes the folder"),
    ):
        prepared([its], tmp_path / "out")


def test_the_time_left_is_told_from_the_pace_so_far(tmp_path: Path) -> None:
    said: list[str] = []
    now = [0.0]
    with RunDir(tmp_path / "run").begin({"kind": "prepare"}, 0) as writer:
        progress = Progress(said.append, writer, lambda: now[0], ("Looking", "Reading", "Writing"))
        progress.stage("Reading", 100)
        for done, at in ((5, 0.5), (20, 10.0), (40, 20.0), (41, 20.5)):
            now[0] = at
            progress.at(done)
        (tmp_path / "run" / "stop").touch()
        with pytest.raises(Stopped):
            progress.at(41)

    # 20 of 100 in 10 s end at 50 s; 40 in 20 s end at 50 s too, which is 30 s away and steady for 10 s. What comes
    # within a second is not told.
    assert said == ["step 2 of 3: Reading ...", "Reading 20%", "Reading 40%, about 30 s left"]
    assert [row["seconds_left"] for row in RunDir(tmp_path / "run").progress()] == [None, 30.0]
    assert RunDir(tmp_path / "run").state().status == "stopped"
    assert RunDir(tmp_path / "run").state().stage == "step 2 of 3: Reading"
    assert left_words(300) == "about 5 min left"


def test_no_time_left_is_told_while_the_pace_leaps() -> None:
    said: list[str] = []
    now = [0.0]
    progress = Progress(said.append, clock=lambda: now[0])
    progress.stage("Comparing", 1000)
    # at 1, 4 and 40 in a second the end seems to be at 1000 s, 500 s, 75 s ...; at a steady 10 a second it is told
    for second, done in ((1, 1), (2, 4), (6, 80), (8, 90), (12, 200)):
        now[0] = second
        progress.at(done)
    assert not any("left" in line for line in said)
    for second in range(13, 60):
        now[0] = second
        progress.at(200 + 10 * (second - 12))
    # at 59 s 670 are done, of which 10 a second came of late: the other 330 take 33 s
    assert said[-1] == "Comparing 67%, about 33 s left"


@pytest.fixture(scope="module")
def big_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of several pieces: rows of some 800 characters, every fifth a repeat."""
    found = rows(N_ROWS)
    lines = []
    for number in range(BIG):
        row = found[number * 7 % N_ROWS]
        new = number % 5
        answer = f"{row.answer} " + " ".join(f"detail{(number if new else 1) * n % 997}" for n in range(80))
        lines.append(Example(f"{row.question} Visit {number if new else 1}.", answer, id=str(number)).to_json() + "\n")
    path = tmp_path_factory.mktemp("big") / "rows.jsonl"
    path.write_text("".join(lines))
    return path


def command(file: Path, out: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "train", "prepare", "--source", f"examples={file}", "--out", str(out), "--balance",
        "none", "--data-dir", str(out.parent / "data"), *more,
    ]  # fmt: skip


def run(file: Path, out: Path, threads: int) -> None:
    environment = {**os.environ, "MEDCHAT_THREADS": str(threads)}
    subprocess.run(command(file, out), check=True, capture_output=True, env=environment)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_any_point_and_with_any_number_of_processes_it_gives_the_same_bytes(
    big_file: Path, tmp_path: Path
) -> None:
    run(big_file, tmp_path / "one", 1)
    whole = contents(tmp_path / "one")
    assert sum(1 for _ in read_rows(tmp_path / "one")) > BIG / 2
    work = tmp_path / "out" / WORK
    points: list[Callable[[], bool]] = [
        lambda: any(work.glob("*/leaks.pickle")),
        lambda: any(work.glob("*/*.rows")),
        lambda: any(work.glob("*/0000-000000.json")),
        lambda: any(work.glob("*/read")),
        lambda: any(work.glob("*/bands.npy")),
        lambda: any(work.glob("*/duplicates.npz")),
        (tmp_path / "out" / ".train.jsonl.partial").exists,
        (tmp_path / "out" / "train.jsonl").exists,
    ]
    environment = {**os.environ, "MEDCHAT_THREADS": "2"}
    for reached in points:
        with subprocess.Popen(
            command(big_file, tmp_path / "out"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
        ) as process:
            while process.poll() is None and not reached():
                time.sleep(0.01)
            workers = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(workers, timeout=120)
        assert alive == []  # nobody goes on without its parent
    run(big_file, tmp_path / "out", 2)

    assert contents(tmp_path / "out") == whole
    assert not work.exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_that_is_asked_to_stop_ends_and_goes_on(big_file: Path, tmp_path: Path) -> None:
    run_dir, out = tmp_path / "run", tmp_path / "out"
    arguments = command(big_file, out, "--run-dir", str(run_dir))
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not any((out / WORK).glob("*/*.rows")):
            time.sleep(0.01)
        (run_dir / "stop").touch()
        said = process.communicate(timeout=300)[1]
    assert process.returncode == 1
    assert "the same command goes on where it stopped" in said
    assert RunDir(run_dir).state().status == "stopped"
    assert contents(out) == {}

    subprocess.run([*arguments, "--resume"], check=True, capture_output=True)

    assert RunDir(run_dir).state().status == "done"
    assert sum(len(found) for found in in_files(out).values()) > BIG / 2

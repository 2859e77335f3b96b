"""Small real processes for tests of jobs: one that works, and an app that looks after the line."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from medchat.job_files import Job
from medchat.jobs import Jobs
from medchat.rundir import RunDir
from medchat.settings import ROOT, Settings
from train.launch import launch

# Takes its steps, keeps a checkpoint every 5 of them, and goes on there with --resume.
WORKER = """
import os, sys, time
from pathlib import Path
from medchat.rundir import RunDir

run_dir, steps, pause_s = RunDir(Path(sys.argv[1])), int(sys.argv[2]), float(sys.argv[3])
checkpoint, resume = run_dir.path / "checkpoint", "--resume" in sys.argv

def save(step):
    partial = checkpoint.with_suffix(".partial")
    partial.write_text(str(step))
    os.replace(partial, checkpoint)

done = int(checkpoint.read_text()) if resume and checkpoint.exists() else 0
with run_dir.begin({"recipe": "count"}, steps, append=resume) as writer:
    writer.cut_back(done)
    for step in range(done + 1, steps + 1):
        time.sleep(pause_s)
        writer.record(step, loss=1 / step)
        if step % 5 == 0 or writer.stop_requested():
            save(step)
        if writer.stop_requested():
            break
    else:
        writer.result({"kind": "training"})
"""

APP = """
import sys, time
from pathlib import Path
import job_processes

jobs = job_processes.app_jobs(Path(sys.argv[1]))
jobs.start()
print("ready", flush=True)
time.sleep(600)
"""


def worker(steps: int = 5, pause_s: float = 0.02) -> tuple[str, ...]:
    """The command of a job that takes so many steps."""
    return ("python", "-c", WORKER, "{run_dir}", str(steps), str(pause_s))


def starter(data_dir: Path) -> Callable[[Job, RunDir], None]:
    """What starts a job in the app of this folder."""
    settings = Settings(data_dir=data_dir, threads=2)
    return lambda job, run_dir: launch(job, run_dir, settings)


def app_jobs(data_dir: Path, grace_s: float = 60.0) -> Jobs:
    """The jobs of the app of this folder; each end is written down in the file `ended`."""

    def note(run_dir: RunDir) -> None:
        with (data_dir / "ended").open("a") as file:
            file.write(f"{run_dir.id} {run_dir.state().status}\n")

    return Jobs(data_dir / "runs", starter(data_dir), note, grace_s=grace_s, poll_s=0.05)


@contextmanager
def app(data_dir: Path) -> Iterator["subprocess.Popen[str]"]:
    """An app in a process of its own; killed at the end, as by kill -9."""
    data_dir.mkdir(exist_ok=True)
    places = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    process = subprocess.Popen(
        [sys.executable, "-c", APP, str(data_dir)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": places},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def until(holds: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Returns when it holds."""
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


def kill(pid: int | None) -> None:
    """As kill -9 does; the process may be gone."""
    assert pid
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return

"""Starts the process of a job, here; a cluster's way of doing so would stand behind the same function.

`python -m train.launch FOLDER COMMAND ...` is that process at its beginning: it writes whose it is into the run's
state and becomes the command. So there is no moment at which it works and nobody could find it.
"""

import os
import shlex
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from medchat.errors import NotFound, RunError
from medchat.job_files import Job
from medchat.machine import count_gpus
from medchat.processes import process_started
from medchat.run_state import now
from medchat.rundir import RunDir
from medchat.settings import ROOT, Settings, child_environment, secret

NICENESS = 10
LINE_CHARS = 300
NO_WORD = "It ended with status {} and said nothing; look into the log."


def launch(job: Job, run_dir: RunDir, settings: Settings) -> None:
    """Starts the job in a session of its own; what it prints goes to the end of log.txt.

    It gets an allow-listed environment, the settings of this app, and one thread less than there are. Raises OSError.
    """
    command = _command(job, run_dir, count_gpus())
    with run_dir.log_file.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "train.launch", str(run_dir.path), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env=_environment(job, settings),
            start_new_session=True,
        )
    threading.Thread(target=_wait, args=(process, run_dir), name=f"wait-{job.id}", daemon=True).start()


def command_line(job: Job, run_dir: RunDir) -> str:
    """What is run, as it may be typed into a shell."""
    return shlex.join(["python" if part == sys.executable else part for part in _command(job, run_dir, count_gpus())])


def _command(job: Job, run_dir: RunDir, gpus: int) -> list[str]:
    command = [part.replace("{run_dir}", str(run_dir.path)) for part in job.argv]
    program = [sys.executable] if command[:1] == ["python"] else command[:1]
    if job.kind == "train" and gpus > 1 and command[:2] == ["python", "-m"]:
        program += ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(gpus)]
    return [*program, *command[1:]]


def _environment(job: Job, settings: Settings) -> dict[str, str]:
    threads = str(max(1, settings.threads - 1))  # the app answers meanwhile
    own = {"OMP_NUM_THREADS": threads, "PYTHONUNBUFFERED": "1"}
    variables = {name: value for name in job.variables if (value := secret(name))}
    return {**child_environment(), **replace(settings, threads=int(threads)).as_environment(), **own, **variables}


def _wait(process: "subprocess.Popen[bytes]", run_dir: RunDir) -> None:
    """Waits for the process, so that no zombie is left; says how it ended where it could not say so itself."""
    status = process.wait()
    killed = status < 0
    with suppress(NotFound, RunError):
        if not killed and (state := run_dir.state()).status == "lost":
            lines = [line.strip() for line in run_dir.log_tail().splitlines() if line.strip()]
            message = lines[-1][:LINE_CHARS] if lines else NO_WORD.format(status)
            run_dir.set_state(replace(state, status="failed", message=message, ended_at=now()))


def become(folder: Path, command: list[str]) -> None:
    """Be the process of the run that is to start in the folder: from here on the command."""
    run_dir = RunDir(folder)
    state = run_dir.state()
    if state.status != "starting":  # stopped since, or deleted
        return
    pid = os.getpid()
    run_dir.set_state(replace(state, pid=pid, process_started=process_started(pid)))
    os.nice(NICENESS)
    os.execvp(command[0], command)


if __name__ == "__main__":
    become(Path(sys.argv[1]), sys.argv[2:])

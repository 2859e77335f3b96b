"""Jobs as they stand in the folder of the runs: job.json, and the runs that the command line has put there."""

import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from medchat.errors import NotFound, RunError
from medchat.run_files import json_of, text_of, write_whole
from medchat.run_state import LIVING, RunState
from medchat.rundir import RunDir

JobKind = Literal["train", "evaluate", "prepare", "study"]

TERMINAL = "terminal"  # the owner of a run of the command line
DAMAGED_JOB = "The job.json of this run is damaged: it cannot be begun again. Delete the run."
FOLDER_NAME = re.compile(r"\w[\w.-]*", re.ASCII)
KINDS: dict[str, JobKind] = {
    "evaluation": "evaluate",
    "training": "train",
    **{kind: kind for kind in get_args(JobKind)},
}


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be run. argv: the command, with "python" for this Python and "{run_dir}" for the run's folder.

    variables: names of the environment variables that it gets beside those that every child has. A run of the
    command line has no argv: it cannot be begun from here.
    """

    id: str
    kind: JobKind
    name: str
    argv: tuple[str, ...]
    variables: tuple[str, ...]
    owner: str
    created_at: str


@dataclass(frozen=True, slots=True)
class JobView:
    """A run and how it is now. place: in the line of those that wait, 1 is next; None for one that does not wait."""

    job: Job
    state: RunState
    place: int | None
    path: Path


def write_job(run_dir: RunDir, job: Job) -> None:
    """Write job.json. Raises OSError."""
    write_whole(run_dir.job_file, json.dumps(asdict(job), ensure_ascii=False, indent=2) + "\n")


def job_of(run_dir: RunDir) -> Job:
    """What job.json says; of a run of the command line what its config.yaml tells.

    Raises NotFound when the folder is gone, RunError for a damaged job.json.
    """
    text = text_of(run_dir.job_file)
    if text is not None:
        return _job(json_of(text))
    created_at = run_dir.state().created_at
    config = _config(run_dir.path, _stamp(run_dir.config_file))
    guess: JobKind = "train" if "recipe" in config else "evaluate"
    kind = KINDS.get(str(config.get("kind")), guess)
    return Job(run_dir.path.name, kind, str(config.get("name") or run_dir.path.name), (), (), TERMINAL, created_at)


def view_of(run_dir: RunDir) -> JobView:
    """The run without its place in the line. Raises NotFound when the folder is gone."""
    state = run_dir.state()
    try:
        job = job_of(run_dir)
    except RunError as error:
        job = Job(run_dir.path.name, "train", run_dir.path.name, (), (), "", state.created_at)
        if state.status not in LIVING:
            state = replace(state, message=str(error))
    return JobView(job, state, None, run_dir.path)


def views_in(folder: Path) -> Iterator[JobView]:
    """All runs in the folder, in no order, without their places."""
    for run_dir in run_dirs_in(folder):
        with suppress(NotFound, RunError):  # deleted since, or not to be read at all
            yield view_of(run_dir)


def run_dirs_in(folder: Path) -> list[RunDir]:
    """The folders of runs in the folder, in no order."""
    try:
        names = [entry.name for entry in os.scandir(folder) if FOLDER_NAME.fullmatch(entry.name)]
    except FileNotFoundError:
        return []
    return [run_dir for run_dir in (RunDir(folder / name) for name in names) if is_run(run_dir)]


def is_run(run_dir: RunDir) -> bool:
    """Whether there is a run in the folder."""
    return run_dir.state_file.exists() or run_dir.job_file.exists()


def line(views: Iterable[JobView]) -> dict[str, int]:
    """The place of each run that waits by its id, from 1."""
    waiting = sorted((view.state.turn, view.job.id) for view in views if view.state.status == "queued")
    return {job_id: place for place, (_, job_id) in enumerate(waiting, 1)}


def _job(found: Any) -> Job:
    try:
        texts = {field.name: found[field.name] for field in fields(Job)}
        job = Job(**texts | {"argv": tuple(texts["argv"]), "variables": tuple(texts["variables"])})
    except (KeyError, TypeError) as error:
        raise RunError(DAMAGED_JOB) from error
    parts = (job.id, job.name, job.owner, job.created_at, *job.argv, *job.variables)
    if job.kind not in get_args(JobKind) or not all(isinstance(part, str) for part in parts):
        raise RunError(DAMAGED_JOB)
    return job


@lru_cache(maxsize=1024)
def _config(path: Path, stamp: int) -> dict[str, Any]:
    """config.yaml as it is while it bears this stamp: reading YAML is slow."""
    try:
        return RunDir(path).config()
    except RunError:
        return {}


def _stamp(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0

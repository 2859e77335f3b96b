"""Jobs: runs that the app starts, one at a time, and that go on when the app ends.

Everything stands in the folders of the runs (rundir.py), so that the next app finds what the last one left: the
line of those that wait, those at work, and those asked to stop. Only a started Jobs, that of the app, begins waiting
runs and ends by force those that were asked to stop; another process may list, ask to stop, resume and delete.
"""

import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from medchat.errors import InvalidInput, NotFound, RunError
from medchat.job_files import FOLDER_NAME, Job, JobKind, JobView, is_run, job_of, line, view_of, views_in, write_job
from medchat.job_keeper import Keeper
from medchat.run_files import writing
from medchat.run_state import ENDED, LIVING, RunState, now
from medchat.rundir import RunDir

__all__ = ["Job", "JobKind", "JobView", "Jobs"]

RUN_DIR = "{run_dir}"  # in a job's arguments: its folder
RESUME = "--resume"
GRACE_S = 60.0
POLL_S = 1.0
BEFORE_IT_BEGAN = "Stopped before it began."
AT_WORK = "This run is at work; stop it first."


class Jobs:
    """The runs in a folder. launch: starts the process of one.

    on_end: told of each run that has ended, also while no app ran, and perhaps more than once. needed_by: names of
    what needs the files of a run, which then stay. grace_s: how long a process that was asked to stop may take.
    """

    def __init__(
        self,
        folder: Path,
        launch: Callable[[Job, RunDir], None],
        on_end: Callable[[RunDir], None],
        *,
        needed_by: Callable[[RunDir], list[str]] = lambda _: [],
        grace_s: float = GRACE_S,
        poll_s: float = POLL_S,
    ) -> None:
        self.folder = folder
        self._needed_by = needed_by
        self._guard = threading.RLock()
        self._changes = 0
        self._started = False
        self._keeper = Keeper(folder, launch, on_end, self._guard, self._count, grace_s=grace_s, poll_s=poll_s)

    def start(self) -> None:
        """Look after the runs from now on, in a thread. Raises RunError when there can be no folder for them."""
        with writing():
            self.folder.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.glob(".*"):  # of a submit or delete that did not come to its end
            shutil.rmtree(leftover, ignore_errors=True)
        self._started = True
        self._keeper.start()

    def close(self) -> None:
        """Look after them no more; those at work go on. Calling it again does nothing."""
        if self._started:
            self._keeper.close()

    def changed(self) -> int:
        """A number that grows when anything about any run has changed, its step too."""
        return self._changes

    def submit(self, kind: JobKind, name: str, argv: Sequence[str], owner: str, variables: Sequence[str] = ()) -> str:
        """The id of a new job, at the end of the line.

        argv, variables: as in Job. Raises InvalidInput when the command does not name the run's folder, RunError
        when the job cannot be written.
        """
        if not any(RUN_DIR in argument for argument in argv):
            raise InvalidInput(f"The command of a job must name its folder, as {RUN_DIR}.")
        job = Job(f"{kind}-{uuid4().hex[:12]}", kind, name, tuple(argv), tuple(variables), owner, now())
        unseen = RunDir(self.folder / f".{job.id}")  # until it is whole
        with self._guard:
            try:
                with writing():
                    unseen.path.mkdir(parents=True)
                    write_job(unseen, job)
                    unseen.set_state(RunState("queued", created_at=job.created_at, turn=self._next_turn()))
                    unseen.path.rename(self.folder / job.id)
            except RunError:
                shutil.rmtree(unseen.path, ignore_errors=True)
                raise
        self._note_change()
        return job.id

    def all(self) -> list[JobView]:
        """Every run in the folder, newest first."""
        views = list(views_in(self.folder))
        places = line(views)
        views.sort(key=lambda view: view.state.created_at or view.job.created_at, reverse=True)
        return [replace(view, place=places.get(view.job.id)) for view in views]

    def view(self, job_id: str) -> JobView:
        """The run of this id. Raises NotFound."""
        view = view_of(self.run_dir(job_id))
        if view.state.status != "queued":
            return view
        return replace(view, place=line(views_in(self.folder)).get(job_id))

    def run_dir(self, job_id: str) -> RunDir:
        """The folder of the run; an id may come from a browser. Raises NotFound."""
        run_dir = RunDir(self.folder / job_id) if FOLDER_NAME.fullmatch(job_id) else None
        if run_dir is None or not is_run(run_dir):
            raise NotFound("There is no such run; it may have been deleted.")
        return run_dir

    def stop(self, job_id: str) -> None:
        """Ask the run to save and end; returns at once. The app ends it by force when it takes too long.

        Does nothing for one that has ended. Raises NotFound, RunError.
        """
        with self._guard:
            run_dir = self.run_dir(job_id)
            state = run_dir.state()
            if state.status == "queued":
                run_dir.set_state(replace(state, status="stopped", ended_at=now(), message=BEFORE_IT_BEGAN))
            elif state.status in LIVING and not run_dir.stop_file.exists():
                with writing():
                    run_dir.stop_file.touch()
        self._note_change()

    def press(self, job_id: str) -> None:
        """Do what the app does for a run that was asked to stop: for when there is none. To be called repeatedly."""
        run_dir = self.run_dir(job_id)
        state = run_dir.state()
        if state.status == "stopping":
            self._keeper.press(run_dir, state)

    def resume(self, job_id: str) -> None:
        """Put a run that was lost, was stopped or has failed at the end of the line, to go on where it was.

        Raises NotFound, InvalidInput for a run that cannot be resumed here, RunError.
        """
        with self._guard:
            run_dir = self.run_dir(job_id)
            job, state = job_of(run_dir), run_dir.state()
            if state.status not in ENDED or state.status == "done":
                raise InvalidInput(f"This run is {state.status}; only one that was lost, stopped or failed goes on.")
            if not job.argv:
                raise InvalidInput(f"This run was begun on the command line; go on with it there, with {RESUME}.")
            if run_dir.config_file.exists() and RESUME not in job.argv:  # it had begun
                job = replace(job, argv=(*job.argv, RESUME))
            with writing():
                write_job(run_dir, job)
                run_dir.stop_file.unlink(missing_ok=True)
            waits = replace(
                state, status="queued", pid=None, process_started=None, message="", started_at=None, ended_at=None,
                created_at=job.created_at, turn=self._next_turn(),
            )  # fmt: skip
            run_dir.set_state(waits)
        self._note_change()

    def delete(self, job_id: str) -> None:
        """Remove the run with all its files.

        Raises NotFound, InvalidInput while its process lives or something needs its files, RunError.
        """
        with self._guard:
            run_dir = self.run_dir(job_id)
            if run_dir.state().status in LIVING:
                raise InvalidInput(AT_WORK)
            if users := self._needed_by(run_dir):
                raise InvalidInput(f"The files of this run are needed by {', '.join(users)}; remove that first.")
            gone = self.folder / f".{job_id}"
            try:
                with writing(), FileLock(run_dir.lock_file, timeout=0):  # no process begins in it meanwhile
                    run_dir.path.rename(gone)
            except Timeout as error:
                raise InvalidInput(AT_WORK) from error
        shutil.rmtree(gone, ignore_errors=True)  # what is left goes with the next start
        self._note_change()

    def _next_turn(self) -> int:
        return 1 + max((view.state.turn for view in views_in(self.folder) if view.state.status == "queued"), default=0)

    def _count(self) -> None:
        self._changes += 1

    def _note_change(self) -> None:
        self._count()
        self._keeper.wake()

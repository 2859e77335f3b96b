"""The run that writes the answers of a study: `python -m evaluation run` on its questions, one job like any other."""

import shutil
from pathlib import Path

from medchat.asked_models import AskedModels, Models
from medchat.errors import InvalidInput, NotFound, RunError
from medchat.intake import show_evaluations
from medchat.job_files import JobView, view_of
from medchat.jobs import RUN_DIR, Jobs
from medchat.run_state import ENDED
from medchat.rundir import RunDir
from medchat.settings import Settings
from medchat.store import Store, StudyRecord
from medchat.study_answers import finish, missing, written
from medchat.study_design import Design
from medchat.study_questions import StudyQuestion, questions_of, write_questions

UPLOADED = "uploaded answers"
WRITTEN_FOR = "format_ok"  # a metric for which answers are written whatever else is chosen
BEING_WRITTEN = "The answers of this study are being written: stop that first."


class Generation:
    """The runs of the studies of a store. jobs: None where none can be started."""

    def __init__(self, store: Store, catalogue: Models, jobs: Jobs | None, settings: Settings) -> None:
        self._store = store
        self._models = AskedModels(store, catalogue)
        self._jobs = jobs
        self._settings = settings

    def start(self, record: StudyRecord, owner: str) -> str:
        """The id of the job that writes what is missing; one that did not come to its end goes on.

        Raises InvalidInput when there is nothing to write, NotFound or ModelUnavailable for a model that cannot be
        asked, RunError.
        """
        design = Design.from_dict(record.design)
        if design.questions.kind == UPLOADED:
            raise InvalidInput("The answers of this study are uploaded, not written here.")
        if self._jobs is None:
            raise InvalidInput("Answers are written by a job of the app: start them there.")
        if not questions_of(record):
            raise InvalidInput("The study has no questions: choose a suite or a file that has some.")
        if not self.missing(record):
            raise InvalidInput("All answers are there already.")
        specs = [self._models.get(model) for model in design.models]
        for spec in specs:
            self._models.remember(spec)
        job = self.job(record)
        if job is not None and job.state.status in ENDED and job.state.status != "done":
            self._jobs.resume(job.job.id)
            return job.job.id
        path = self._folder(record) / "questions.jsonl"
        write_questions(record, path)
        variables = [its.endpoint.key_variable for its in specs if its.endpoint and its.endpoint.key_variable]
        argv = self._argv(design, path, record)
        return self._jobs.submit("study", f"Answers for {record.name}", argv, owner, list(dict.fromkeys(variables)))

    def job(self, record: StudyRecord) -> JobView | None:
        """The run of the study as it is now; None before it, and once it was deleted."""
        if not record.run_id:
            return None
        try:
            if self._jobs is not None:
                return self._jobs.view(record.run_id)
            return view_of(self._run_dir(record))
        except (NotFound, RunError):
            return None

    def has_ended(self, record: StudyRecord) -> bool:
        """Whether nothing more comes from the run, also when it is gone."""
        job = self.job(record)
        return job is None or job.state.status in ENDED

    def take_in(self, record: StudyRecord) -> StudyRecord:
        """The study, ready with its items where no answer is missing, else a draft again."""
        return finish(self._store, record, self._run_dir(record))

    def missing(self, record: StudyRecord) -> dict[str, int]:
        """Model -> answers that are not written yet; only models that lack some. Of uploaded answers none."""
        design = Design.from_dict(record.design)
        if design.questions.kind == UPLOADED:
            return {}
        return missing(design, questions_of(record), written(self._run_dir(record)) if record.run_id else {})

    def answered(self, record: StudyRecord) -> list[StudyQuestion]:
        """The questions that every model has answered."""
        design = Design.from_dict(record.design)
        rows = written(self._run_dir(record)) if record.run_id else {}
        return [its for its in questions_of(record) if all((model, its.id) in rows for model in design.models)]

    def release(self, record: StudyRecord) -> None:
        """Let what the run found out about the models be seen, once the study is closed."""
        if self.job(record) is not None:
            show_evaluations(self._run_dir(record), self._store)

    def forget(self, record: StudyRecord) -> None:
        """Remove the file of its questions."""
        shutil.rmtree(self._folder(record), ignore_errors=True)

    def _argv(self, design: Design, path: Path, record: StudyRecord) -> list[str]:
        models = [part for model in design.models for part in ("--model", model)]
        metrics = ["--metrics", ",".join(dict.fromkeys((*design.metrics, WRITTEN_FOR)))] if design.metrics else []
        command = ["python", "-m", "evaluation", "run", *models, "--suite", str(path), "--out", RUN_DIR]
        return [*command, "--seed", str(record.seed), *metrics, "--quiet"]

    def _run_dir(self, record: StudyRecord) -> RunDir:
        return RunDir(self._settings.runs_dir / record.run_id)

    def _folder(self, record: StudyRecord) -> Path:
        return self._settings.data_dir / "studies" / record.id

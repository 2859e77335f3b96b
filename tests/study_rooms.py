"""A place where studies are made and worked on, with two models, and runs written by hand."""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from stores import new_store

from evaluation.predictions import PredictionFile, prediction_of
from medchat.adjudication import Adjudication
from medchat.catalogue import Catalogue
from medchat.intake import take_in
from medchat.jobs import Jobs
from medchat.records import Example, Message, Sampling
from medchat.rundir import RunDir
from medchat.settings import Settings
from medchat.store import Store
from medchat.studies import StudyService
from medchat.study_design import Design, QuestionSource
from medchat.study_desk import StudyDesk
from medchat.study_questions import StudyQuestion
from medchat.study_views import StudyView

MODELS = ("alpha-1", "beta-2")
_keys = (f"room key {number}" for number in count())
GOOD = dict.fromkeys(("factual_correctness", "reasoning_clarity", "safety"), "4")


def new_key() -> str:
    return next(_keys)


def store_in(folder: Path) -> Store:
    """A store as new_store makes it; a copy, for to make one takes longer than most tests."""
    shutil.copy(_empty_store(), folder / "medchat.db")
    return Store(f"sqlite:///{folder / 'medchat.db'}")


@lru_cache(maxsize=1)
def _empty_store() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="medchat-store-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    new_store(folder).close()
    return folder / "medchat.db"


def own_models(urls: Mapping[str, str]) -> str:
    """models.yaml with a model of a server at each address."""
    rows = [
        {"id": model, "name": model, "backend": "openai", "answer_format": "think", "n_ctx": 4096, "licence": "none",
         "limits": ["Says one thing."], "sampling": {"max_new_tokens": 200}, "description": "A model.",
         "endpoint": {"base_url": url, "model": "m"}}
        for model, url in urls.items()
    ]  # fmt: skip
    return yaml.safe_dump({"models": rows})


def design(**more: Any) -> Design:
    values: dict[str, Any] = {
        "questions": QuestionSource("suite", "handwritten"), "models": MODELS, "raters_per_item": 1,
        "repeat_share": 0.0, **more,
    }  # fmt: skip
    return Design(**values)


def questions(n: int, **more: Any) -> list[StudyQuestion]:
    return [StudyQuestion.of(Example(f"Case {i}: what is it?", f"Gout {i}", f"q{i}", **more)) for i in range(n)]


class Room:
    """The services of one data folder. jobs are never started: `write` does a run's work."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data_dir=folder, threads=1)
        urls = dict.fromkeys(MODELS, "http://127.0.0.1:9/v1")
        self.settings.own_models_file.write_text(own_models(urls), encoding="utf-8")
        self.store = store_in(folder)
        self.catalogue = Catalogue(self.settings.models_dir, self.settings.own_models_file)
        self.jobs = Jobs(self.settings.runs_dir, lambda *_: None, lambda _: None)
        self.studies = StudyService(self.store, self.catalogue, self.jobs, self.settings)
        self.desk = StudyDesk(self.store, self.catalogue)
        self.adjudication = Adjudication(self.store, self.catalogue)

    def made(self, n: int = 4, **more: Any) -> StudyView:
        return self.studies.create("ines", "Gout", design(**more), questions(n), new_key(), seed=7)

    def ready(self, n: int = 4, **more: Any) -> StudyView:
        view = self.made(n, **more)
        self.write(self.studies.generate(view.record.id, "ines"))
        return self.studies.view(view.record.id)

    def opened(self, *raters: str, n: int = 4, **more: Any) -> str:
        """The id of a study that these raters work on."""
        study_id = self.ready(n, **more).record.id
        self.studies.set_raters(study_id, "ines", [(rater, "") for rater in raters])
        self.studies.open(study_id, "ines")
        return study_id

    def write(
        self, job_id: str, leave: Collection[tuple[str, str]] = (), says: Callable[[str, str], str] | None = None
    ) -> RunDir:
        """Do the work of a run as `evaluation run` does. leave: (model, question id) that stays without an answer."""
        run_dir = self.jobs.run_dir(job_id)
        argv = self.jobs.view(job_id).job.argv
        models = [argv[place + 1] for place, part in enumerate(argv) if part == "--model"]
        lines = Path(argv[argv.index("--suite") + 1]).read_text(encoding="utf-8").splitlines()
        examples = [Example.from_json(line) for line in lines]
        facts = [{"model_id": m, "base": "", "revision": "", "adapter_hash": "abc"} for m in models]
        with run_dir.begin({"kind": "evaluation", "models": facts}, 1) as writer, PredictionFile(run_dir.path) as file:
            for model in models:
                file.add(_predictions(model, examples, leave, says))
            writer.result({"kind": "evaluation", "evaluations": [_evaluation(m, len(examples)) for m in models]})
        take_in(run_dir, self.store, self.catalogue)
        return run_dir

    def rate(self, rater: str, study_id: str, **scores: Any) -> str:
        """The id of the assignment that the rater rates next; scores: of the axes, 4 where none is given."""
        task: Any = self.desk.step(study_id, rater)
        self.rate_task(rater, task, **scores)
        return task.assignment_id

    def rate_task(self, rater: str, task: Any, **more: Any) -> Any:
        from medchat.rating_form import Filled

        scores = {**GOOD, **{axis: more.pop(axis) for axis in GOOD if axis in more}}
        values = {
            "harm_extent": "none",
            "harm_likelihood": "low",
            "seconds": 30.0,
            "base": task.task.filled.base,
            **more,
        }
        filled = Filled(scores=scores, **values)
        version = task.task.answer.rubric.version
        return self.desk.save_rating(rater, task.assignment_id, version, filled, new_key())


def _predictions(model: str, examples: Sequence[Example], leave: Collection[tuple[str, str]], says: Any) -> list[Any]:
    from evaluation.metrics import Answer

    return [
        prediction_of(
            model, "questions", example,
            None if (model, example.id) in leave else Answer(
                says(model, example.id) if says else f"It is gout, says {model} of {example.id}.", f"I am {model}.",
                answer_format="think", raw=f"raw {model} {example.id}", finish_reason="stop",
                prompt=(Message("user", f"asked {model}: {example.question}"),), sampling=Sampling(seed=11),
            ),
            choice=None, scores={"exact": 1.0}, groups={}, fault="too long" if (model, example.id) in leave else "",
        )
        for example in examples
    ]  # fmt: skip


def _evaluation(model: str, n: int) -> dict[str, Any]:
    summary = {"exact": {"value": 1.0, "n": n, "n_unscored": 0, "low": 0.5, "high": 1.0, "method": "Wilson"}}
    return {"model_id": model, "base": "", "revision": "", "adapter_hash": "", "suite": "questions",
            "suite_hash": "abc", "sampling": {}, "n": n, "summary": summary}  # fmt: skip

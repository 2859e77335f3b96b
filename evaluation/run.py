"""A run: models asked the examples of suites, their answers scored and stored as they come.

The folder is a run's (medchat.rundir). With one suite predictions.jsonl and summary.json lie in it, with several each
suite has a folder of its own in it, called after the suite.
"""

import json
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from evaluation.asking import Replies, Stopped, Task
from evaluation.judge import CriteriaMetric, Verdict, share_of_points
from evaluation.metrics import Metric, Values
from evaluation.people import People
from evaluation.predictions import (
    Prediction,
    PredictionFile,
    prediction_files,
    prediction_of,
    read_predictions,
)
from evaluation.suites import Suite, groups_of
from evaluation.summary import Summary, rows_of, summaries
from evaluation.whole_scores import is_whole, score_whole
from medchat.errors import InvalidInput, ModelUnavailable
from medchat.records import Example
from medchat.run_files import write_whole, writing
from medchat.rundir import RunWriter

__all__ = ["Prediction", "Stopped", "prediction_files", "read_predictions", "run_suites"]

WINDOW = 256  # examples that are sorted by their length
SCORED_AT_ONCE = 64
SCORE_EVERY_S = 2.0  # what is answered is not kept in memory alone for longer
LOOK_EVERY_S = 0.25  # for a request to stop
REPORT_EVERY_S = 5.0
SUMMARY = "summary.json"


class Asks(Protocol):
    """Who asks a model: an asking.Asker."""

    @property
    def n_ahead(self) -> int:
        """Tasks to have under way."""
        ...

    def tasks(self, examples: Sequence[Example]) -> Iterator[Task]:
        """What there is to do for these examples."""
        ...


@dataclass(frozen=True)
class AskedSuite:
    """A suite in a run. name: of its folder among others; metrics: what is scored, by name."""

    suite: Suite
    name: str
    metrics: Mapping[str, Metric]


@dataclass(frozen=True)
class AskedModel:
    """A model in a run. facts: what its results are tied to: model_id, base, revision, adapter_hash.

    sampling: of the run on a suite. ask: makes what asks it the suite; stop, set, ends its answers.
    """

    id: str
    facts: Mapping[str, str]
    sampling: Callable[[Suite], Mapping[str, Any]]
    ask: Callable[[AskedSuite, Event], Asks]


@dataclass
class _Progress:
    """How far the run is. done and total count examples, over all models and suites."""

    writer: RunWriter
    total: int
    done: int = 0
    asked: int = 0  # by this process
    began: float = field(default_factory=time.monotonic)
    reported_at: float = field(default_factory=time.monotonic)

    @property
    def per_s(self) -> float:
        return self.asked / max(1e-9, time.monotonic() - self.began)

    @property
    def left_s(self) -> float | None:
        return (self.total - self.done) / self.per_s if self.asked else None

    def add(self, n: int, step: int, steps: int, what: str) -> None:
        """Note that n more are answered, in the log of the run and now and then on the terminal."""
        self.done += n
        self.asked += n
        self.writer.record(step, answered=self.done, of=self.total, per_s=self.per_s, left_s=self.left_s)
        moment = time.monotonic()
        if step == steps or moment - self.reported_at > REPORT_EVERY_S:
            left = "" if self.left_s is None else f", {_duration(self.left_s)} left"
            print(f"{what}: {step} of {steps} answered, {self.per_s:.1f} a second{left}", file=sys.stderr, flush=True)
            self.reported_at = moment


def run_suites(
    models: Sequence[AskedModel],
    suites: Sequence[AskedSuite],
    writer: RunWriter,
    folder: Path,
    people: Callable[[], People | None] = lambda: None,
) -> dict[str, Summary] | None:
    """Ask every model every suite and write what comes of it; the summaries by suite, None when asked to stop.

    people: what raters said of the same answers, looked up when all are there. Examples that have a prediction in the
    folder already are not asked again. Raises ModelUnavailable when a model cannot be loaded or breaks down, RunError
    when nothing can be written; what was answered is kept.
    """
    folders = {asked.name: folder if len(suites) == 1 else folder / asked.name for asked in suites}
    answered = {name: _answered(path) for name, path in folders.items()}
    total = len(models) * sum(asked.suite.n for asked in suites)
    progress = _Progress(writer, total, sum(len(ids) for its in answered.values() for ids in its.values()))
    try:
        for model in models:
            for asked in suites:
                known = answered[asked.name].pop(model.id, set())
                writer.stage(f"{model.id} on {asked.name}", asked.suite.n)
                with PredictionFile(folders[asked.name]) as file:
                    if not _run_one(model, asked, known, file, progress):
                        return None
    except ModelUnavailable:
        _summarise(suites, folders, people())  # what the others answered
        raise
    found = _summarise(suites, folders, people())
    writer.result({"kind": "evaluation", "evaluations": _evaluations(models, suites, found)})
    return found


def _run_one(model: AskedModel, asked: AskedSuite, known: set[str], file: PredictionFile, progress: _Progress) -> bool:
    """Whether all of one suite is answered; False when asked to stop."""
    what, n_done, stop = f"{model.id} on {asked.name}", len(known), Event()
    asker = model.ask(asked, stop)
    replies: Replies = []
    scored_at = time.monotonic()

    def keep() -> None:
        nonlocal n_done, scored_at
        batch = replies.copy()
        replies.clear()
        if batch:
            file.add(_scored(model.id, asked, batch))
            n_done += len(batch)
            progress.add(len(batch), n_done, asked.suite.n, what)
        scored_at = time.monotonic()

    windows = _windows(example for example in asked.suite.examples if example.id not in known)
    tasks = (task for window in windows for task in asker.tasks(window))
    with _results(tasks, asker.n_ahead, stop) as results:
        try:
            for found in results:
                replies += found
                if len(replies) >= SCORED_AT_ONCE or time.monotonic() - scored_at > SCORE_EVERY_S:
                    keep()
                if progress.writer.stop_requested():
                    return False
        finally:
            keep()
    return True


def _windows(examples: Iterator[Example]) -> Iterator[list[Example]]:
    while window := list(islice(examples, WINDOW)):
        yield window


@contextmanager
def _results(tasks: Iterator[Task], n_ahead: int, stop: Event) -> Iterator[Iterator[Replies]]:
    """What the tasks give as they end, n_ahead of them under way; nothing now and then, while none ends.

    Leaving the block sets `stop` and waits for nobody.
    """
    pool = ThreadPoolExecutor(n_ahead, "asking")
    running: deque[Future[Replies]] = deque()

    def results() -> Iterator[Replies]:
        while True:
            running.extend(pool.submit(task) for task in islice(tasks, n_ahead - len(running)))
            if not running:
                return
            ended = wait(running, LOOK_EVERY_S, FIRST_COMPLETED).done
            for future in ended:
                running.remove(future)
            errors = [error for future in ended if (error := future.exception())]
            yield [pair for future in ended if not future.exception() for pair in future.result()]
            for error in errors:
                raise error

    try:
        yield results()
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)


def _scored(model: str, asked: AskedSuite, replies: Replies) -> list[Prediction]:
    examples = [example for example, _ in replies]
    answers = [reply.answer for _, reply in replies]
    values: dict[str, Values] = {}
    judged: list[dict[str, Any]] = [{} for _ in replies]
    for name, metric in asked.metrics.items():
        if is_whole(name):
            values[name] = [None] * len(replies)
        elif isinstance(metric, CriteriaMetric):
            verdicts = metric.verdicts(examples, answers)
            values[name] = [share_of_points(its) for its in verdicts]
            for place, its in enumerate(verdicts):
                judged[place] |= _judged(name, metric, its)
        else:
            values[name] = metric(examples, answers)
    return [
        prediction_of(
            model, asked.name, example, reply.answer,
            choice=reply.choice, scores={name: its[place] for name, its in values.items()},
            groups=groups_of(asked.suite, example), fault=reply.fault, why=reply.why, judged=judged[place],
        )
        for place, (example, reply) in enumerate(replies)
    ]  # fmt: skip


def _judged(name: str, metric: CriteriaMetric, verdicts: Sequence[Verdict] | None) -> dict[str, Any]:
    """Prediction.judged of one metric."""
    if metric.judge is None or not verdicts:
        return {}
    return {name: {"judge": metric.judge.spec.id, "verdicts": [asdict(verdict) for verdict in verdicts]}}


def _answered(folder: Path) -> dict[str, set[str]]:
    """The ids of the examples that each model has a prediction for."""
    ids: dict[str, set[str]] = {}
    if prediction_files(folder) == [folder / "predictions.jsonl"]:
        for prediction in read_predictions(folder):
            ids.setdefault(prediction.model, set()).add(prediction.id)
    return ids


def _summarise(suites: Sequence[AskedSuite], folders: Mapping[str, Path], people: People | None) -> dict[str, Summary]:
    """The summary of each suite, which is also written into its folder."""
    found: dict[str, Summary] = {}
    for asked in suites:
        name, folder = asked.name, folders[asked.name]
        score_whole(folder, asked.suite.examples, asked.metrics)
        found[name] = summaries(read_predictions(folder), people)
        rows = {model: rows_of(its) for model, its in found[name].items()}
        with writing():
            write_whole(folder / SUMMARY, json.dumps(rows, indent=2) + "\n")
    return found


def _evaluations(
    models: Sequence[AskedModel], suites: Sequence[AskedSuite], found: Mapping[str, Summary]
) -> list[dict[str, Any]]:
    """The rows of result.json."""
    return [
        {
            **model.facts,
            "suite": asked.name,
            "suite_hash": asked.suite.digest,
            "sampling": dict(model.sampling(asked.suite)),
            "n": asked.suite.n,
            "summary": rows_of(found[asked.name].get(model.id, {})),
        }
        for model in models
        for asked in suites
    ]


def require_same(config: Mapping[str, Any], stored: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Raises InvalidInput when a run of `stored` cannot be gone on with as `config`."""
    plain = json.loads(json.dumps(config, default=str))
    for key in keys:
        if plain.get(key) != stored.get(key):
            raise InvalidInput(
                f"This folder holds a run with other settings: its {_difference(key, stored.get(key), plain.get(key))}."
                " Give the same settings, or choose another folder."
            )


def _difference(name: str, old: Any, new: Any) -> str:
    """The first place where they differ, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        key = next(key for key in {**old, **new} if old.get(key) != new.get(key))
        return _difference(f"{name} {key}", old.get(key), new.get(key))
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        place = next(place for place, pair in enumerate(zip(old, new, strict=True)) if pair[0] != pair[1])
        return _difference(f"{name} {place + 1}", old[place], new[place])
    return f"{name} was {_short(old)} and is {_short(new)} now"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

"""Stored evaluations, and the single answers behind them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from evaluation.metric_table import METRICS
from evaluation.predictions import NAME, Prediction, placed_predictions, prediction_at
from evaluation.report_data import HEADLINES, SOLUTION_CHARS, SuiteFacts, suite_facts
from evaluation.run_command import GROUNDING
from evaluation.stats import Estimate
from evaluation.suites import SUITES
from medchat.errors import InvalidInput, NotFound
from medchat.store import EvaluationRecord
from medchat.ui.common import App

EXCERPT_CHARS = 160
HALF = 0.5
RECOGNISER = "Recogniser alone"
UNJUDGED = ("tokens_per_s", "price")  # numbers of which none is a fault
GONE = "The answers of this evaluation are gone: its run was deleted. Its figures stay."

Verdict = Literal["right", "wrong", "unscored"]


@dataclass(frozen=True)
class Entry:
    """An evaluation as it is listed.

    title: what its model is called, demo: whether that is one of the bundled demo models. metric: by which its suite's
    accuracy is told, "" where nothing was scored. file: of its answers, None when they are gone.
    """

    record: EvaluationRecord
    title: str
    demo: bool
    suite: SuiteFacts
    metric: str
    file: Path | None

    @property
    def id(self) -> str:
        """That of its record."""
        return self.record.id

    @property
    def folder(self) -> Path:
        """That of its run."""
        return Path(self.record.path)

    @property
    def estimate(self) -> Estimate | None:
        """Of its headline metric."""
        return self.estimates.get(self.metric)

    @property
    def estimates(self) -> dict[str, Estimate]:
        """Every metric that it was scored by, by name."""
        return {name: _estimate(row) for name, row in self.record.summary.items()}

    @property
    def suite_title(self) -> str:
        """What its suite is called."""
        return self.suite.title or self.suite.name


class StoredAnswer(NamedTuple):
    """An answer without its long texts. place: of its line in the file; excerpt: the beginning of the question."""

    place: int
    excerpt: str
    prediction: Prediction


def entries(app: App) -> list[Entry]:
    """All evaluations, the newest first."""
    found = [_entry(app, record) for record in app.store.evaluations()]
    return sorted(found, key=lambda entry: (-entry.record.created_at.timestamp(), entry.title))


def entries_of(app: App, ids: Sequence[str]) -> list[Entry]:
    """The evaluations of these ids, in their order. Raises NotFound."""
    known = {entry.id: entry for entry in entries(app)}
    if not ids or any(id_ not in known for id_ in ids):
        raise NotFound("There is no such evaluation any more. Reload the page.")
    return [known[id_] for id_ in dict.fromkeys(ids)]


def answers_of(entry: Entry) -> Mapping[str, StoredAnswer]:
    """The answers by the id of their example, in the order of the file. Raises InvalidInput when they are gone."""
    if entry.file is None:
        raise InvalidInput(GONE)
    return _answers(entry.file, entry.file.stat().st_mtime_ns, entry.record.suite, entry.record.model_id)


def whole_answer(entry: Entry, answer: StoredAnswer) -> Prediction:
    """The answer with its texts. Raises InvalidInput when it is gone."""
    if entry.file is None:
        raise InvalidInput(GONE)
    return prediction_at(entry.file, answer.place)


def labels_of(chosen: Sequence[Entry]) -> dict[str, str]:
    """What each is called beside the others, by id: its model's name, with the time where two would be called alike."""
    names = {entry.id: entry.title for entry in chosen}
    twice = {name for name, n in Counter(names.values()).items() if n > 1}
    labels = {
        entry.id: f"{names[entry.id]}, {entry.record.created_at:%Y-%m-%d %H:%M:%S}"
        if names[entry.id] in twice
        else names[entry.id]
        for entry in chosen
    }
    seen: Counter[str] = Counter()
    for id_, label in labels.items():  # of one run, at one moment
        seen[label] += 1
        labels[id_] = f"{label} ({seen[label]})" if seen[label] > 1 else label
    return labels


def is_judged(metric: str) -> bool:
    """Whether a value of this metric makes an answer right or wrong."""
    info = METRICS.get(metric)
    return info is not None and info.better != "neither" and info.unit in ("share", "number") and metric not in UNJUDGED


def verdict_of(metric: str, value: float | None) -> Verdict:
    """Whether an answer with this value is right: at least a half; of what should be rare, none of it."""
    if value is None:
        return "unscored"
    info = METRICS.get(metric)
    if info is None or info.better == "high":
        return "right" if value >= HALF else "wrong"
    return "wrong" if value > (0 if info.unit == "number" else HALF) else "right"


def verdict_rule(metric: str) -> str:
    """What verdict_of goes by, in words."""
    info = METRICS.get(metric)
    if info is None or info.better == "high":
        return "Right: a value of 0.5 or more."
    return "Right: none." if info.unit == "number" else "Right: 0.5 or less."


def judged_metrics(names: Iterable[str], headline: str) -> list[str]:
    """Of these metrics those that judge an answer, the headline first, then as METRICS has them."""
    judged = [name for name in METRICS if name in set(names) and is_judged(name)]
    return sorted(judged, key=lambda name: name != headline)


def demo_note(chosen: Sequence[Entry]) -> str:
    """Which of them are demo models, and what those are; "" for none."""
    names = list(dict.fromkeys(entry.title for entry in chosen if entry.demo))
    if not names:
        return ""
    if len(names) == 1:
        return f"{names[0]} is a demo model: small, made for teaching, it knows only MedChat's teaching facts."
    return f"{' and '.join(names)} are demo models: small, made for teaching, they know only MedChat's teaching facts."


def folders_of_suites(app: App) -> tuple[Path, Path]:
    """Where the files of suites are."""
    return SUITES, app.settings.data_dir / "suites"


def facts_of_suite(app: App, name: str) -> SuiteFacts:
    """What its file says of the suite; a suite whose file is gone, or cannot be read, is somebody's own."""
    folders = folders_of_suites(app)
    paths = [path for folder in folders if (path := folder / f"{name}.yaml").is_file()]
    return _facts(name, folders, paths[0].stat().st_mtime_ns if paths else 0)


def model_title(app: App, model_id: str) -> tuple[str, bool]:
    """What a model is called, and whether it is a demo model."""
    spec = app.catalogue.get(model_id)
    if spec is None:
        return (RECOGNISER if model_id == GROUNDING else model_id), False
    return spec.name, spec.demo


def _entry(app: App, record: EvaluationRecord) -> Entry:
    title, demo = model_title(app, record.model_id)
    suite = facts_of_suite(app, record.suite)
    folder = Path(record.path)
    places = (folder / NAME, folder / record.suite / NAME)
    file = next((path for path in places if path.is_file()), None)
    return Entry(record, title, demo, suite, _headline(record, suite), file)


def _headline(record: EvaluationRecord, suite: SuiteFacts) -> str:
    scored = {name for name, row in record.summary.items() if row.get("value") is not None}
    wanted = (suite.pass_line[0] if suite.pass_line else "", *HEADLINES)
    return next((name for name in wanted if name in scored), min(scored, default=""))


def _estimate(row: Mapping[str, float | None]) -> Estimate:
    n, n_unscored = int(row.get("n") or 0), int(row.get("n_unscored") or 0)
    return Estimate(row.get("value"), n, n_unscored, row.get("low"), row.get("high"), str(row.get("method") or ""))


@lru_cache(maxsize=256)
def _facts(name: str, folders: tuple[Path, ...], stamp: int) -> SuiteFacts:
    try:
        return suite_facts(name, folders)
    except InvalidInput:
        return SuiteFacts(name)


@lru_cache(maxsize=6)  # reading ten thousand takes about a second
def _answers(file: Path, stamp: int, suite: str, model_id: str) -> Mapping[str, StoredAnswer]:
    return {
        prediction.id: StoredAnswer(place, _excerpt(prediction), _lean(prediction))
        for place, prediction in placed_predictions(file)
        if (prediction.suite, prediction.model) == (suite, model_id)
    }


def _lean(prediction: Prediction) -> Prediction:
    return replace(
        prediction, raw="", reasoning="", question="", context="", reference="", options=None, accepted=(),
        key_terms=(), solution=prediction.solution.strip()[:SOLUTION_CHARS],
    )  # fmt: skip


def _excerpt(prediction: Prediction) -> str:
    words = " ".join(f"{prediction.context} {prediction.question}".split())
    return words if len(words) <= EXCERPT_CHARS else f"{words[: EXCERPT_CHARS - 1]}…"

"""What a report is about: the predictions of runs, by suite and model, with what is known of both."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from evaluation.judge_agreement import JudgeNote, judge_notes, judged_by
from evaluation.metric_table import METRICS
from evaluation.people import People
from evaluation.predictions import Prediction, read_predictions
from evaluation.report_asked import Asked, asked_in
from evaluation.suite_files import FileReference, read_suite_file
from evaluation.suites import SUITES
from evaluation.summary import Figures, Result
from medchat.catalogue import ModelSpec
from medchat.errors import InvalidInput, NotFound

SOLUTION_CHARS = 300  # of a solution that a vote needs

# By which a suite's accuracy is told, the first that its predictions have.
HEADLINES = (
    "mcq_generated", "mcq_loglikelihood", "diagnosis_strict", "calc_correct", "must_have", "healthbench", "exact",
    "key_term_f1", "embedding_similarity", "bertscore_f1", "rouge_l",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model of the report. label: its id, with the run's folder where two runs have it. demo: one that is bundled."""

    label: str
    model_id: str
    title: str = ""
    base: str = ""
    revision: str = ""
    adapter_hash: str = ""
    demo: bool = False


@dataclass(frozen=True, slots=True)
class SuiteFacts:
    """A suite of the report. family "own": somebody's own questions. template: its own, "" where it names none."""

    name: str
    title: str = ""
    about: str = ""
    family: str = "own"
    licence: str = ""
    references: Sequence[FileReference] = ()
    pass_line: tuple[str, float] | None = None
    template: str = ""


@dataclass(frozen=True)
class Results:
    """Predictions by suite and label, without their long texts. questions: question and context by suite and id.

    figures: what stands beside the metrics, judges: who gave values, both by suite and label. asked: how their runs
    asked, by suite and label.
    """

    models: Sequence[ModelFacts]
    suites: Sequence[SuiteFacts]
    items: Mapping[tuple[str, str], Sequence[Prediction]]
    questions: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    figures: Mapping[tuple[str, str], Mapping[str, Result]] = field(default_factory=dict)
    judges: Mapping[str, Mapping[str, Mapping[str, JudgeNote]]] | None = None
    asked: Mapping[tuple[str, str], Asked] = field(default_factory=dict)

    def of(self, suite: str) -> dict[str, Sequence[Prediction]]:
        """The predictions of the models that the suite was given to, by label, in the report's order."""
        return {m.label: self.items[suite, m.label] for m in self.models if (suite, m.label) in self.items}

    def judges_of(self, suite: str) -> Mapping[str, Mapping[str, JudgeNote]]:
        """Who judged the answers to the suite, by label and metric; where nobody says, as the answers have it."""
        if self.judges is not None:
            return self.judges.get(suite, {})
        return judge_notes({label: judged_by(its, None) for label, its in self.of(suite).items()})

    def asked_of(self, suite: str) -> dict[str, Asked]:
        """How the suite was asked, by label."""
        return {label: its for (name, label), its in self.asked.items() if name == suite}

    def figures_of(self, suite: str) -> dict[str, Mapping[str, Result]]:
        """What stands beside the suite's metrics, by label."""
        return {label: its for (name, label), its in self.figures.items() if name == suite}


def read_results(
    folders: Sequence[Path],
    catalogue: Mapping[str, ModelSpec],
    baseline: str = "",
    *,
    suite_folders: Sequence[Path] = (SUITES,),
    with_questions: bool = False,
    people: People | None = None,
) -> Results:
    """The predictions in the folders of runs. baseline: the model that stands first, by default the lineage's root.

    people: raters of the same answers. Raises InvalidInput when a folder has none or two have the same name, NotFound
    for an unknown baseline.
    """
    items: dict[tuple[str, str], list[Prediction]] = {}
    facts: dict[str, ModelFacts] = {}
    figures: dict[tuple[str, str], Figures] = {}
    questions: dict[str, dict[str, Sequence[str]]] = {}
    asked: dict[tuple[str, str], Asked] = {}
    for folder in folders:
        known, its_asked = _facts_by_model(folder), asked_in(folder)
        earlier = set(items)
        for prediction in read_predictions(folder):
            label = prediction.model
            if (prediction.suite, label) in earlier:
                label = f"{label} ({folder.name})"
            if (prediction.suite, label) in earlier:
                raise InvalidInput(f"Two folders called {folder.name} have predictions of {prediction.model}.")
            items.setdefault((prediction.suite, label), []).append(_lean(prediction))
            figures.setdefault((prediction.suite, label), Figures(people)).add(prediction)
            if label not in facts:
                facts[label] = _model_facts(label, prediction.model, known, catalogue)
            if (prediction.suite, prediction.model) in its_asked:
                asked[prediction.suite, label] = its_asked[prediction.suite, prediction.model]
            if with_questions:
                questions.setdefault(prediction.suite, {})[prediction.id] = (prediction.question, prediction.context)
        if set(items) == earlier:
            raise InvalidInput(f"{folder} has no predictions; give the folder of a run of `evaluation run`.")
    models = ordered(list(facts.values()), baseline)
    suites = [suite_facts(name, suite_folders) for name in dict.fromkeys(suite for suite, _ in items)]
    judges = {
        suite.name: judge_notes({label: its.judged for (name, label), its in figures.items() if name == suite.name})
        for suite in suites
    }
    estimates = {place: its.estimates() for place, its in figures.items()}
    return Results(models, sorted(suites, key=_family_place), items, questions, estimates, judges, asked)


def ordered(models: Sequence[ModelFacts], baseline: str = "") -> list[ModelFacts]:
    """The models with each one's base before it, the baseline first, else in their order. Raises NotFound."""
    if baseline and baseline not in {name for model in models for name in (model.label, model.model_id)}:
        raise NotFound(f"There are no predictions of {baseline!r}; choose from: {', '.join(m.label for m in models)}.")
    waiting = sorted(models, key=lambda model: baseline not in (model.label, model.model_id)) if baseline else models
    waiting, placed = list(waiting), list[ModelFacts]()
    while waiting:
        bases = {model.model_id for model in waiting}
        free = [m for m in waiting if m.base not in bases or m.base == m.model_id or m.model_id == baseline]
        placed.append((free or waiting)[0])
        waiting.remove(placed[-1])
    return placed


def lineage(models: Sequence[ModelFacts]) -> list[ModelFacts]:
    """The first model and those that come of it, by their bases; none when nothing does."""
    chain = [models[0]]
    for model in models[1:]:
        if model.base and model.base in {name for m in chain for name in (m.model_id, m.base)}:
            chain.append(model)
    return chain if len(chain) > 1 else []


def headline_of(predictions: Iterable[Sequence[Prediction]], suite: SuiteFacts) -> str | None:
    """By which metric the suite's accuracy is told: that of its pass line, else the first there is of HEADLINES."""
    scored = {
        name for items in predictions for item in items for name, value in item.scores.items() if value is not None
    }
    if suite.pass_line and suite.pass_line[0] in scored:
        return suite.pass_line[0]
    return next((name for name in HEADLINES if name in scored), min(scored, default=None))


def metrics_of(predictions: Iterable[Sequence[Prediction]]) -> list[str]:
    """Every metric of the predictions, in the order of METRICS, unknown ones last."""
    named = dict.fromkeys(name for items in predictions for item in items for name in item.scores)
    places = {name: place for place, name in enumerate(METRICS)}
    return sorted(named, key=lambda name: places.get(name, len(places)))


def suite_facts(name: str, folders: Sequence[Path] = (SUITES,)) -> SuiteFacts:
    """What the suite's file says of it; a suite without a file in these folders is somebody's own questions."""
    path = next((path for folder in folders if (path := folder / f"{name}.yaml").is_file()), None)
    if path is None:
        return SuiteFacts(name)
    file = read_suite_file(path)
    line = (file.pass_line.metric, file.pass_line.share) if file.pass_line else None
    return SuiteFacts(
        name, file.title, file.about, file.family, file.licence, tuple(file.references), line, file.template
    )


def _family_place(suite: SuiteFacts) -> int:
    return ("bundled", "benchmark", "own").index(suite.family)


def _lean(prediction: Prediction) -> Prediction:
    """Without the texts that no statistic needs; that there is a text is still seen."""
    return replace(
        prediction, raw=prediction.raw[:1], reasoning="", question="", context="", reference="",
        solution=prediction.solution.strip()[:SOLUTION_CHARS],
    )  # fmt: skip


def _facts_by_model(folder: Path) -> dict[str, Mapping[str, str]]:
    """What the run's result.json says of each model; nothing while the run goes on."""
    path = folder / "result.json"
    try:
        result = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}.") from error
    return {row.get("model_id", ""): row for row in result.get("evaluations", [])}


def _model_facts(
    label: str, model_id: str, known: Mapping[str, Mapping[str, str]], catalogue: Mapping[str, ModelSpec]
) -> ModelFacts:
    row, spec = known.get(model_id, {}), catalogue.get(model_id)
    return ModelFacts(
        label, model_id, spec.name if spec else "", row.get("base") or (spec.base if spec else ""),
        row.get("revision") or "", row.get("adapter_hash") or "", bool(spec and spec.demo),
    )  # fmt: skip

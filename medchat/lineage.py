"""Where a trained model comes from: its base, and the stages of training since, each with what it measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from medchat.errors import NotFound
from medchat.store.records import EvaluationRecord, ModelRecord, RunRecord

BEFORE, ON_TRAINING = "_before", "_training"  # how the names of a stage's metrics end that are not those after it


class Known(Protocol):
    """What the store knows."""

    def run_of(self, run_id: str) -> RunRecord | None:
        """The run of this id; None for none."""
        ...

    def model(self, model_id: str) -> ModelRecord | None:
        """The model of this id; None when it was never added."""
        ...

    def evaluations(self, model_id: str | None = None, suite: str | None = None) -> list[EvaluationRecord]:
        """The evaluations of a model, newest first."""
        ...


@dataclass(frozen=True, slots=True)
class TrainedStage:
    """One stage of a run. kind: sft, grpo, dpo or kto.

    before, after: each metric on the held-out rows as the run has it: value, n, n_unscored, low, high, method.
    on_training: the same on rows that were trained on.
    """

    kind: str
    before: Mapping[str, Mapping[str, Any]]
    after: Mapping[str, Mapping[str, Any]]
    on_training: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """One run of training. model_id: what came out of it, "" for nothing. evaluations: of that model, newest first."""

    run_id: str
    name: str
    recipe: str
    ended_at: datetime | None
    stages: tuple[TrainedStage, ...]
    model_id: str
    model_name: str
    evaluations: tuple[EvaluationRecord, ...]


@dataclass(frozen=True, slots=True)
class Lineage:
    """A base and the runs since, the first first. base_evaluations: of the base itself, newest first."""

    base_id: str
    base_name: str
    base_evaluations: tuple[EvaluationRecord, ...]
    runs: tuple[TrainingRun, ...]


def lineage(run_id: str, store: Known) -> Lineage:
    """The lineage of what came out of a run. Raises NotFound when the store has no such run."""
    run = store.run_of(run_id)
    if run is None or run.kind != "train":
        raise NotFound("There is no such training run in the store; it may not have ended yet.")
    runs = [run]
    while (before := _run_behind(runs[0].base, store)) is not None and before.id not in {one.id for one in runs}:
        runs.insert(0, before)
    base_id = runs[0].base
    of_base = tuple(store.evaluations(model_id=base_id))
    return Lineage(base_id, _name(base_id, store), of_base, tuple(_run(one, store) for one in runs))


def lineage_of_model(model_id: str, store: Known) -> Lineage | None:
    """The lineage of a model; None for one that was not trained here."""
    run = _run_behind(model_id, store)
    return None if run is None else lineage(run.id, store)


def _run_behind(model_id: str, store: Known) -> RunRecord | None:
    """The run that a model came out of."""
    model = store.model(model_id)
    return store.run_of(model.run_id) if model is not None and model.run_id else None


def _name(model_id: str, store: Known) -> str:
    model = store.model(model_id) if model_id else None
    return model.name if model else model_id


def _run(run: RunRecord, store: Known) -> TrainingRun:
    stages = tuple(
        _stage(name.partition("-")[2], metrics) for name, metrics in sorted(run.metrics.items(), key=_number)
    )
    evaluations = tuple(store.evaluations(model_id=run.model_id)) if run.model_id else ()
    return TrainingRun(
        run.id, run.name, run.recipe, run.ended_at, stages, run.model_id, _name(run.model_id, store), evaluations
    )


def _number(named: tuple[str, Any]) -> int:
    """The place of the stage called "2-dpo"."""
    number = named[0].partition("-")[0]
    return int(number) if number.isdecimal() else 0


def _stage(kind: str, metrics: Mapping[str, Any]) -> TrainedStage:
    def ending(suffix: str) -> dict[str, Mapping[str, Any]]:
        return {name.removesuffix(suffix): value for name, value in metrics.items() if name.endswith(suffix)}

    after = {name: value for name, value in metrics.items() if not name.endswith((BEFORE, ON_TRAINING))}
    return TrainedStage(kind, ending(BEFORE), after, ending(ON_TRAINING))

"""What runs have found out, taken into the store and the catalogue. A run writes nothing but its own folder."""

from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from medchat.accounts import STUDY_LOOKED, TERMINAL
from medchat.asked_models import adapter_hash
from medchat.catalogue import Catalogue, ModelSpec
from medchat.errors import InvalidInput, NotAllowed, RunError, StoreError
from medchat.job_files import Job, job_of
from medchat.models_file import parse_models
from medchat.run_files import DAMAGED
from medchat.run_state import ENDED, RunState
from medchat.rundir import RunDir
from medchat.settings import Settings
from medchat.store import EvaluationRecord, ModelRecord, RunRecord, Store
from medchat.store.migrate import check
from medchat.study_answers import take_in_study

STUDY = "study"  # the kind of a run that writes the answers of one


def take_in(run_dir: RunDir, store: Store, catalogue: Catalogue) -> None:
    """Stores what a run that has ended has found out, and adds the model that came out of it to the catalogue.

    Does nothing for a run that goes on, or was taken in as it is now: a model that somebody removed since does not
    come back. Raises NotFound, RunError when the folder cannot be read, StoreError, and InvalidInput for a model that
    cannot be added, after all else was stored.
    """
    state = run_dir.state()
    known = store.run_of(run_dir.id)
    if state.status not in ENDED or (
        known and (known.status, known.ended_at) == (state.status, _moment(state.ended_at))
    ):
        return
    result = run_dir.result() or {}
    try:
        run = _run(run_dir, job_of(run_dir), state, result)
        evaluations = [_evaluation(run, row) for row in result.get("evaluations") or ()]
        if run.kind == STUDY:
            take_in_study(run_dir, store)
            evaluations = []  # they tell of models: they come with the closing
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(DAMAGED.format("result.json")) from error
    fault = None
    if row := result.get("model"):
        try:
            _add_model(row, run, store, catalogue)
        except InvalidInput as error:
            fault = InvalidInput(f"The model of the run {run.name} was not added. {error}")
    store.add_run(run, evaluations)
    if fault:
        raise fault


def show_evaluations(run_dir: RunDir, store: Store) -> None:
    """Stores what the run of a study found out about its models. Raises RunError when the folder cannot be read."""
    try:
        run = _run(run_dir, job_of(run_dir), run_dir.state(), run_dir.result() or {})
        evaluations = [_evaluation(run, row) for row in (run_dir.result() or {}).get("evaluations") or ()]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(DAMAGED.format("result.json")) from error
    store.add_run(run, evaluations)


def require_released(run_dir: RunDir, settings: Settings) -> None:
    """Raises NotAllowed for the run of a study whose results are hidden still. A look at an open one is noted."""
    if not run_dir.job_file.exists():
        return
    try:
        check(settings.db_url)
    except StoreError:
        return
    with closing(Store(settings.db_url)) as store:
        for record in store.studies():
            if record.run_id == run_dir.id and record.status != "closed":
                store.add_audit(TERMINAL, STUDY_LOOKED, record.id, {"allowed": record.show_results})
                if not record.show_results:
                    raise NotAllowed(f"The study {record.name} is not closed: results of its models are hidden.")


def studies_on(run_dir: RunDir, store: Store) -> list[str]:
    """The names of the studies whose answers the run has written."""
    return [f"the study {record.name}" for record in store.studies() if record.run_id == run_dir.id]


def take_in_here(run_dir: RunDir, settings: Settings) -> bool:
    """Takes a run of the command line in, at its end, where there is a store of this version.

    The app does so for a job. False: there is no such store. Raises as take_in does.
    """
    if run_dir.job_file.exists():
        return True
    try:
        check(settings.db_url)
    except StoreError:
        return False
    with closing(Store(settings.db_url)) as store:
        take_in(run_dir, store, Catalogue(settings.models_dir, settings.own_models_file))
    return True


def models_in(run_dir: RunDir, catalogue: Catalogue) -> list[str]:
    """The names of the models whose files lie in the folder of the run."""
    return [
        spec.name
        for spec in catalogue.values()
        if any(path.is_relative_to(run_dir.path) for path in (spec.path, spec.adapter) if path)
    ]


def _run(run_dir: RunDir, job: Job, state: RunState, result: Mapping[str, Any]) -> RunRecord:
    config = run_dir.config()
    stages = {f"{number}-{stage['kind']}": stage["metrics"] for number, stage in enumerate(result.get("stages") or ())}
    return RunRecord(
        id=run_dir.id,
        kind=job.kind,
        name=job.name,
        owner=job.owner,
        recipe=_named(result.get("recipe") or config.get("recipe"), "name"),
        base=_named(result.get("base") or config.get("base"), "id"),
        model_id=str((result.get("model") or {}).get("id", "")),
        config=config,
        status=state.status,
        created_at=_moment(state.created_at or job.created_at) or datetime.now(UTC),
        ended_at=_moment(state.ended_at),
        metrics=stages,
        path=str(run_dir.path),
    )


def _evaluation(run: RunRecord, row: Mapping[str, Any]) -> EvaluationRecord:
    names = ("model_id", "base", "revision", "adapter_hash", "suite", "suite_hash")
    texts = {name: str(row[name] or "") for name in names}
    return EvaluationRecord(
        id=str(uuid5(NAMESPACE_OID, "|".join((run.id, *texts.values())))),
        run_id=run.id,
        **texts,
        sampling=dict(row["sampling"] or {}),
        n=int(row["n"]),
        summary=dict(row["summary"]),
        created_at=run.ended_at or run.created_at,
        path=run.path,
    )


def _add_model(row: Mapping[str, Any], run: RunRecord, store: Store, catalogue: Catalogue) -> None:
    # The catalogue puts a model of the Hub into its place when it is added.
    [spec] = parse_models({"models": [dict(row)]}, f"The run {run.name}", Path(), own=True).values()
    catalogue.add(spec)
    store.add_model(_record(spec, run))


def _record(spec: ModelSpec, run: RunRecord) -> ModelRecord:
    revision = spec.hub.revision if spec.hub else ""
    return ModelRecord(
        spec.id, spec.name, spec.base, revision, adapter_hash(spec), spec.answer_format, run.recipe, run.id
    )


def _named(value: Any, key: str) -> str:
    """What a configuration calls something, which it may also describe in full."""
    return str(value.get(key, "")) if isinstance(value, Mapping) else str(value or "")


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None

"""What runs have found out comes into the store and the catalogue, once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stores import new_store

from medchat.catalogue import Catalogue
from medchat.errors import InvalidInput, RunError
from medchat.intake import models_in, take_in, take_in_here
from medchat.job_files import Job, write_job
from medchat.rundir import RunDir
from medchat.settings import Settings
from medchat.store import Store

ESTIMATE = {"value": 0.5, "n": 10, "n_unscored": 0, "low": 0.2, "high": 0.8, "method": "Wilson"}
EVALUATION = {
    "model_id": "demo", "base": "", "revision": "", "adapter_hash": "", "suite": "vignettes", "suite_hash": "abc",
    "sampling": {"temperature": 0.0}, "n": 10, "summary": {"exact": ESTIMATE},
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def catalogue(settings: Settings) -> Catalogue:
    return Catalogue(settings.models_dir, settings.own_models_file)


def run_in(folder: Path, result: dict[str, Any] | None, kind: str = "train", **config: Any) -> RunDir:
    """A job that has ended with this result."""
    run_dir = RunDir(folder)
    run_dir.path.mkdir(parents=True, exist_ok=True)
    write_job(run_dir, Job(folder.name, kind, "Gout", ("python",), (), "ada", "2026-01-02T03:04:05+00:00"))  # type: ignore[arg-type]
    with run_dir.begin(config, 1) as writer:
        if result is not None:
            writer.result(result)
    return run_dir


def adapter_row(folder: Path, model_id: str = "gout-sft", **more: Any) -> dict[str, Any]:
    """A row as models.yaml has it, of an adapter in the run's folder."""
    adapter = folder / "artifacts" / "sft"
    adapter.mkdir(parents=True, exist_ok=True)
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    return {
        "id": model_id, "name": "Gout SFT", "backend": "transformers", "answer_format": "think", "n_ctx": 512,
        "sampling": {"max_new_tokens": 100}, "description": "Trained here.", "licence": "apache-2.0",
        "limits": ["Knows gout only."], "path": str(folder / "base"), "adapter": str(adapter), "base": "Demo base",
    } | more  # fmt: skip


def test_an_evaluation_is_stored_once_however_often_it_is_taken_in(
    tmp_path: Path, store: Store, catalogue: Catalogue
) -> None:
    result = {"kind": "evaluation", "evaluations": [EVALUATION, EVALUATION | {"suite": "doses"}]}
    run_dir = run_in(tmp_path / "runs" / "evaluate-1", result, "evaluate", seed=7)

    for _ in range(3):
        take_in(run_dir, store, catalogue)

    [run] = store.runs()
    assert (run.id, run.kind, run.name, run.owner, run.status) == ("evaluate-1", "evaluate", "Gout", "ada", "done")
    assert (run.config, run.path) == ({"seed": 7}, str(run_dir.path))
    found = {row.suite: row for row in store.evaluations()}
    assert found.keys() == {"vignettes", "doses"}
    assert (found["doses"].run_id, found["doses"].n, found["doses"].summary) == ("evaluate-1", 10, {"exact": ESTIMATE})
    assert found["doses"].created_at == run.ended_at


def test_a_trained_model_is_in_the_catalogue_and_its_origin_in_the_store(
    tmp_path: Path, store: Store, catalogue: Catalogue
) -> None:
    folder = tmp_path / "runs" / "train-1"
    stage = {"kind": "sft", "adapter": "artifacts/sft", "step": 60, "metrics": {"exact": ESTIMATE}}
    result = {"kind": "training", "recipe": "demo-sft", "base": "demo-base", "final_step": 60, "stages": [stage],
              "model": adapter_row(folder)}  # fmt: skip
    run_dir = run_in(folder, result)

    take_in(run_dir, store, catalogue)

    spec = catalogue["gout-sft"]
    assert (spec.own, spec.adapter) == (True, folder / "artifacts" / "sft")
    [run] = store.runs("train")
    assert (run.recipe, run.base, run.model_id, run.metrics) == (
        "demo-sft", "demo-base", "gout-sft", {"0-sft": {"exact": ESTIMATE}},
    )  # fmt: skip
    model = store.model("gout-sft")
    assert model
    assert (model.recipe, model.run_id, model.base) == ("demo-sft", "train-1", "Demo base")
    assert len(model.adapter_hash) == 64
    assert models_in(run_dir, catalogue) == ["Gout SFT"]
    assert models_in(RunDir(tmp_path / "runs" / "train"), catalogue) == []


def test_a_trained_model_that_somebody_removed_does_not_come_back(
    tmp_path: Path, store: Store, catalogue: Catalogue
) -> None:
    folder = tmp_path / "runs" / "train-1"
    run_dir = run_in(folder, {"kind": "training", "stages": [], "model": adapter_row(folder)})
    take_in(run_dir, store, catalogue)
    catalogue.remove("gout-sft")

    take_in(run_dir, store, catalogue)

    assert "gout-sft" not in catalogue


def test_a_model_that_cannot_be_added_is_said_and_the_run_is_stored(
    tmp_path: Path, store: Store, catalogue: Catalogue
) -> None:
    folder = tmp_path / "runs" / "train-1"
    run_dir = run_in(folder, {"kind": "training", "stages": [], "model": adapter_row(folder, model_id="demo")})

    with pytest.raises(
        InvalidInput, match=r"^The model of the run Gout was not added\. 'demo' is the id of a model that"
    ):
        take_in(run_dir, store, catalogue)

    assert [run.id for run in store.runs()] == ["train-1"]
    assert not catalogue["demo"].own


def test_a_run_that_goes_on_is_not_taken_in_and_a_resumed_one_again(
    tmp_path: Path, store: Store, catalogue: Catalogue
) -> None:
    run_dir = run_in(tmp_path / "runs" / "evaluate-1", None, "evaluate")
    with run_dir.begin({}, 1) as writer:
        take_in(run_dir, store, catalogue)
        assert store.runs() == []
        writer.finish("stopped")
    take_in(run_dir, store, catalogue)
    assert [run.status for run in store.runs()] == ["stopped"]

    with run_dir.begin({}, 1, append=True) as writer:
        writer.result({"kind": "evaluation", "evaluations": [EVALUATION]})
    take_in(run_dir, store, catalogue)

    assert [run.status for run in store.runs()] == ["done"]
    assert [row.suite for row in store.evaluations()] == ["vignettes"]


@pytest.mark.parametrize(
    "result", ['{"kind": ', '{"evaluations": [1]}', '{"evaluations": [{"model_id": "x"}]}', '{"stages": [{}]}',
               '{"model": "demo"}', '{"evaluations": 5}']
)  # fmt: skip
def test_a_damaged_result_is_one_clear_line(tmp_path: Path, store: Store, catalogue: Catalogue, result: str) -> None:
    run_dir = run_in(tmp_path / "runs" / "evaluate-1", None, "evaluate")
    run_dir.result_file.write_text(result)

    with pytest.raises(RunError, match=r"^The result.json of this run is damaged\."):
        take_in(run_dir, store, catalogue)
    assert store.runs() == []


def test_the_command_line_takes_its_run_in_where_there_is_a_store(tmp_path: Path, settings: Settings) -> None:
    run_dir = RunDir(tmp_path / "results")
    with run_dir.begin({"kind": "evaluate", "name": "Mine"}, 1) as writer:
        writer.result({"kind": "evaluation", "evaluations": [EVALUATION]})
    take_in_here(run_dir, settings)
    assert not (tmp_path / "medchat.db").exists()

    store = new_store(tmp_path)
    take_in_here(run_dir, settings)

    [run] = store.runs()
    assert (run.id, run.name, run.owner, run.kind) == (run_dir.id, "Mine", "terminal", "evaluate")
    assert [row.run_id for row in store.evaluations()] == [run.id]


def test_a_job_leaves_taking_in_to_the_app(tmp_path: Path, settings: Settings, store: Store) -> None:
    run_dir = run_in(tmp_path / "runs" / "evaluate-1", {"evaluations": [EVALUATION]}, "evaluate")

    take_in_here(run_dir, settings)

    assert store.runs() == []


def test_a_run_without_a_result_says_what_it_was_from_its_configuration(
    tmp_path: Path, store: Store, catalogue: Catalogue
) -> None:
    described: dict[str, Any] = {
        "recipe": {"name": "demo-sft", "seed": 7},
        "base": {"id": "demo-base", "name": "Demo base"},
    }

    take_in(run_in(tmp_path / "runs" / "train-1", None, **described), store, catalogue)

    [run] = store.runs()
    assert (run.recipe, run.base, run.model_id, run.metrics) == ("demo-sft", "demo-base", "", {})


def test_the_line_of_json_is_what_the_store_gives_back(tmp_path: Path, store: Store, catalogue: Catalogue) -> None:
    run_dir = run_in(tmp_path / "runs" / "evaluate-1", {"evaluations": [EVALUATION]}, "evaluate", words="naïve “ok”")

    take_in(run_dir, store, catalogue)

    assert json.dumps(store.runs()[0].config) == json.dumps({"words": "naïve “ok”"})

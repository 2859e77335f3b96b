"""Where a model comes from: its base, each run since, and what was measured on the way."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from stores import new_store

from medchat.errors import NotFound
from medchat.lineage import lineage, lineage_of_model
from medchat.store import EvaluationRecord, ModelRecord, RunRecord, Store

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def estimate(value: float) -> dict[str, object]:
    return {"value": value, "n": 10, "n_unscored": 0, "low": 0.0, "high": 1.0, "method": "Wilson, 95 %"}


SFT = RunRecord(
    id="run-1", kind="train", name="first", owner="ann", recipe="demo-sft", base="demo-base", model_id="ours-1",
    config={}, status="done", created_at=NOON, ended_at=NOON,
    metrics={"0-sft": {"exact_before": estimate(0.1), "exact": estimate(0.4), "exact_training": estimate(0.9)}},
    path="/runs/run-1",
)  # fmt: skip
RL = replace(
    SFT, id="run-2", name="second", recipe="demo-grpo", base="ours-1", model_id="ours-2",
    metrics={
        "10-kto": {"exact": estimate(0.8)},
        "2-dpo": {"exact": estimate(0.7)},
        "0-grpo": {"exact_before": estimate(0.4), "exact": estimate(0.6)},
    },
)  # fmt: skip


def evaluation(name: str, model_id: str) -> EvaluationRecord:
    return EvaluationRecord(
        id=name, run_id="eval", model_id=model_id, base="", revision="", adapter_hash="", suite="handwritten",
        suite_hash="", sampling={}, n=10, summary={"exact": estimate(0.5)}, created_at=NOON, path="/runs/eval",
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path)
    for run, model_id in ((SFT, "ours-1"), (RL, "ours-2")):
        store.add_model(ModelRecord(model_id, f"Model {model_id}", recipe=run.recipe, run_id=run.id))
        store.add_run(run)
    evaluations = [evaluation("e1", "demo-base"), evaluation("e2", "ours-2")]
    store.add_run(replace(SFT, id="eval", kind="evaluate", metrics={}, model_id=""), evaluations)
    yield store
    store.close()


def test_the_way_begins_at_the_base_and_has_every_stage_in_order(store: Store) -> None:
    found = lineage("run-2", store)
    assert (found.base_id, [run.run_id for run in found.runs]) == ("demo-base", ["run-1", "run-2"])
    assert [stage.kind for run in found.runs for stage in run.stages] == ["sft", "grpo", "dpo", "kto"]
    assert [run.model_name for run in found.runs] == ["Model ours-1", "Model ours-2"]


def test_each_stage_has_what_was_measured_before_it_after_it_and_on_its_own_rows(store: Store) -> None:
    [sft] = lineage("run-1", store).runs[0].stages
    assert (sft.before["exact"], sft.after["exact"], sft.on_training["exact"]) == (
        estimate(0.1),
        estimate(0.4),
        estimate(0.9),
    )
    assert list(sft.after) == ["exact"]


def test_evaluations_stand_at_the_model_that_they_are_of(store: Store) -> None:
    found = lineage("run-2", store)
    assert [one.id for one in found.base_evaluations] == ["e1"]
    assert [[one.id for one in run.evaluations] for run in found.runs] == [[], ["e2"]]


def test_a_model_finds_its_own_way_and_one_that_was_not_trained_here_has_none(store: Store) -> None:
    assert lineage_of_model("ours-1", store) == lineage("run-1", store)
    assert lineage_of_model("demo-base", store) is None


def test_a_run_that_the_store_does_not_have_is_said(store: Store) -> None:
    for run_id in ("nowhere", "eval"):
        with pytest.raises(NotFound, match=r"^There is no such training run in the store"):
            lineage(run_id, store)


def test_a_circle_of_bases_ends(store: Store) -> None:
    store.add_run(replace(SFT, base="ours-2"))
    assert [run.run_id for run in lineage("run-2", store).runs] == ["run-1", "run-2"]

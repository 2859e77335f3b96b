"""A trained model's card shows where it comes from, with the metrics at each stage."""

import html
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stores import new_store

from medchat.lineage import lineage_of_model
from medchat.store import EvaluationRecord, ModelRecord, RunRecord
from medchat.ui.model_lineage import lineage_html

WHEN = datetime(2026, 5, 4, tzinfo=UTC)


def estimate(value: float, n: int = 40) -> dict[str, Any]:
    return {"value": value, "n": n, "n_unscored": 0, "low": value - 0.1, "high": value + 0.1, "method": "Wilson"}


def visible(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def evaluation(model: str, value: float) -> EvaluationRecord:
    return EvaluationRecord(
        f"e-{model}", "r", model, "", "", "", "wordings", "", {}, 50, {"exact": estimate(value, 50)}, WHEN, "/gone"
    )


def test_base_sft_and_grpo_stand_in_a_row_with_their_metrics(tmp_path: Path) -> None:
    store = new_store(tmp_path)
    metrics = {
        "0-sft": {"exact_before": estimate(0.2), "exact": estimate(0.5), "exact_training": estimate(0.9)},
        "1-grpo": {"exact": estimate(0.7)},
    }
    run = RunRecord(
        "t1", "train", "<b>Gout", "eve", "demo-grpo", "demo", "gout-<b>", {}, "done", WHEN, WHEN, metrics, "/gone"
    )
    store.add_run(run)
    store.add_model(ModelRecord("gout-<b>", "Gout <b>tuned", "demo", recipe="demo-grpo", run_id="t1"))
    evaluated = RunRecord("r", "evaluate", "r", "eve", "", "", "", {}, "done", WHEN, WHEN, {}, "/gone")
    store.add_run(evaluated, [evaluation("demo", 0.3), evaluation("gout-<b>", 0.8)])
    found = lineage_of_model("gout-<b>", store)
    assert found
    page = lineage_html(found)
    words = visible(page)
    assert "Demo (base) SFT, then GRPO by the recipe demo-grpo, 2026-05-04: Gout <b>tuned" in words
    assert "Metric Base After SFT After GRPO" in words
    assert (
        "Exact answer ↑ 20.0 % (10.0 to 30.0), n = 40 50.0 % (40.0 to 60.0), n = 40 70.0 % (60.0 to 80.0), n = 40"
        in words
    )
    assert "90.0 %" not in words  # on what it was trained on
    assert "wordings: Exact answer 30.0 % (20.0 to 40.0), n = 50 80.0 % (70.0 to 90.0), n = 50" in words
    assert "<b>" not in page
    assert lineage_of_model("demo", store) is None
    store.close()

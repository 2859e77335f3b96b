"""Where a trained model comes from, as HTML: base, SFT, GRPO, with the metrics at each stage."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evaluation.report_data import HEADLINES
from evaluation.report_words import directed, said_estimate, title_of
from evaluation.stats import Estimate
from medchat.lineage import Lineage, TrainingRun
from medchat.store import EvaluationRecord
from medchat.ui.common import escape

KINDS = {"sft": "SFT", "grpo": "GRPO", "dpo": "DPO", "kto": "KTO"}

Metrics = Mapping[str, Mapping[str, Any]]


def lineage_html(lineage: Lineage) -> str:
    """The stages in their order, what was measured on held-out rows at each, and the evaluations of the models."""
    steps = [f"<li>{escape(lineage.base_name or lineage.base_id or 'a base that nobody named')} (base)</li>"]
    steps += [f"<li>{_run_words(run)}</li>" for run in lineage.runs]
    return f'<h4>Lineage</h4><ol class="mc-lineage">{"".join(steps)}</ol>{_held_out(lineage)}{_evaluated(lineage)}'


def _run_words(run: TrainingRun) -> str:
    kinds = ", then ".join(_kind(stage.kind) for stage in run.stages) or "training"
    when = f", {run.ended_at:%Y-%m-%d}" if run.ended_at else ""
    recipe = f" by the recipe {run.recipe}" if run.recipe else ""
    return f"{escape(kinds + recipe + when)}: <strong>{escape(run.model_name or run.name)}</strong>"


def _held_out(lineage: Lineage) -> str:
    """A column a stage, the first before all training."""
    stages = [stage for run in lineage.runs for stage in run.stages]
    if not stages:
        return ""
    columns: list[tuple[str, Metrics]] = [
        ("Base", stages[0].before),
        *((f"After {_kind(stage.kind)}", stage.after) for stage in stages),
    ]
    rows = [
        (directed(name), [_said(name, metrics.get(name)) for _, metrics in columns])
        for name in _names(metrics for _, metrics in columns)
    ]
    return _table("Held-out rows of the training data", "Metric", [title for title, _ in columns], rows)


def _evaluated(lineage: Lineage) -> str:
    """A column a model, a row a suite, by its headline metric."""
    models = [
        (f"{lineage.base_name or lineage.base_id} (base)", _newest(lineage.base_evaluations)),
        *((run.model_name, _newest(run.evaluations)) for run in lineage.runs if run.model_id),
    ]
    suites = dict.fromkeys(suite for _, found in models for suite in found)
    rows = []
    for suite in suites:
        scored = {name for _, found in models if suite in found for name in found[suite].summary}
        metric = next((name for name in HEADLINES if name in scored), min(scored, default=""))
        cells = [_said(metric, found[suite].summary.get(metric)) if suite in found else "-" for _, found in models]
        rows.append((f"{suite}: {title_of(metric)}", cells))
    return _table("Evaluations", "Suite", [title for title, _ in models], rows)


def _newest(evaluations: Sequence[EvaluationRecord]) -> dict[str, EvaluationRecord]:
    """The newest of each suite; they come newest first."""
    return {record.suite: record for record in reversed(evaluations)}


def _names(found: Iterable[Metrics]) -> list[str]:
    return list(dict.fromkeys(name for metrics in found for name in metrics))


def _said(metric: str, row: Mapping[str, Any] | None) -> str:
    """Value and interval, with n."""
    if not row or row.get("value") is None:
        return "-"
    n = int(row.get("n") or 0)
    its = Estimate(row["value"], n, int(row.get("n_unscored") or 0), row.get("low"), row.get("high"))
    return f"{said_estimate(metric, its)}{f', n = {n:,}' if n else ''}"


def _table(caption: str, corner: str, head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    if not rows:
        return ""
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in (corner, *head))
    body = "".join(
        f'<tr><th scope="row">{escape(label)}</th>'
        + "".join(
            f'<td data-label="{escape(name)}">{escape(cell)}</td>' for name, cell in zip(head, cells, strict=True)
        )
        + "</tr>"
        for label, cells in rows
    )
    return (
        f'<p>{caption}</p><div class="mc-scroll" tabindex="0" role="region" aria-label="{caption}">'
        f'<table class="mc-table mc-lineage-table"><caption class="mc-vh">{caption}</caption>'
        f"<thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _kind(kind: str) -> str:
    return KINDS.get(kind, kind)

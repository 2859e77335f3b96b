"""Runs beside one another as HTML: their curves over each other, and their configurations with what differs."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from medchat.run_comparison import compare_settings
from medchat.run_state import stage_words
from medchat.ui.common import escape
from medchat.ui.job_views import badge_html
from medchat.ui.train_curves import Line, curve_html
from medchat.ui.train_progress import Progress
from medchat.ui.train_run_view import folded

MOST_RUNS = 5
OVERLAID = {
    "eval_loss": "Validation loss",
    "loss": "Training loss",
    "reward": "Reward",
    "eval_reward": "Validation reward",
    "rewards/accuracies": "Chosen over rejected",
    "completions/mean_length": "Completion length (tokens)",
    "grad_norm": "Gradient norm",
    "learning_rate": "Learning rate",
}
TOO_FEW = "Pick two runs or more in the list to compare them."
CELL_CHARS = 400


class Compared(NamedTuple):
    """A run that is compared. status: as in its state."""

    run_id: str
    name: str
    status: Any
    config: Mapping[str, Any]
    progress: Progress


def comparison_html(runs: Sequence[Compared]) -> str:
    """The comparison; "" for none, a line for one run."""
    if len(runs) < 2:
        return f'<p class="mc-note" role="note">{TOO_FEW}</p>' if runs else ""
    names = _names(runs)
    curves = "".join(_curves(stage, runs, names) for stage in _stages(runs))
    legend = "".join(
        f'<li><span class="mc-key mc-key-{number}">{escape(name)}</span> {badge_html(run.status)}</li>'
        for number, (run, name) in enumerate(zip(runs, names, strict=True), 1)
    )
    return (
        '<section class="mc-comparison" tabindex="-1" aria-label="Runs compared"><h2>Runs compared</h2>'
        f'<ul class="mc-legend-runs">{legend}</ul>{curves}{_configurations(runs, names)}'
        '<div class="mc-form-buttons"><button type="button" class="mc-button" data-do="train-unpick">End the comparison'
        "</button></div></section>"
    )


def _names(runs: Sequence[Compared]) -> list[str]:
    """A name for each, the end of its id where two are called alike."""
    all_names = [run.name for run in runs]
    return [f"{run.name} ({run.run_id[-4:]})" if all_names.count(run.name) > 1 else run.name for run in runs]


def _stages(runs: Sequence[Compared]) -> list[str]:
    return sorted({stage for run in runs for stage in run.progress.curves})


def _curves(stage: str, runs: Sequence[Compared], names: Sequence[str]) -> str:
    charts = ""
    for key, title in OVERLAID.items():
        lines = [
            Line(name, run.progress.curves[stage][key]) if key in run.progress.curves.get(stage, {}) else None
            for run, name in zip(runs, names, strict=True)
        ]
        charts += curve_html(title, lines)
    return f'<h3 class="mc-train-title">{escape(stage_words(stage))}</h3><div class="mc-curves">{charts}</div>'


def _configurations(runs: Sequence[Compared], names: Sequence[str]) -> str:
    flat, different, same = compare_settings([run.config for run in runs])
    told = "" if different else '<p class="mc-small">Their configurations are the same.</p>'
    table = _table(different, flat, names, "Settings that differ", marked=True) if different else told
    rest = folded("train-same", f"The same in all: {len(same)} settings",
                  _table(same, flat[:1], ["all"], "Settings that are the same"))  # fmt: skip
    return f'<h3 class="mc-train-title">What differs</h3>{table}{rest if same else ""}'


def _table(
    keys: Sequence[str], flat: Sequence[Mapping[str, str]], names: Sequence[str], caption: str, *, marked: bool = False
) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in ("Setting", *names))
    mark = ' class="mc-differs"' if marked else ""
    rows = "".join(
        f'<tr><th scope="row">{escape(key)}</th>'
        + "".join(
            f'<td data-label="{escape(name)}"{mark}>{escape(one.get(key, "–")[:CELL_CHARS])}</td>'
            for one, name in zip(flat, names, strict=True)
        )
        + "</tr>"
        for key in keys
    )
    return (
        f'<div class="mc-scroll" tabindex="0" role="region" aria-label="{caption}"><table class="mc-table mc-configs">'
        f'<caption class="mc-vh">{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )

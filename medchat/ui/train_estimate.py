"""What a run would take, memory and time of each stage, and whether it can fit."""

from collections.abc import Sequence
from typing import NamedTuple

from medchat.errors import InvalidInput
from medchat.machine import Machine, size
from medchat.run_state import stage_words
from medchat.ui.common import App, counted, escape
from train.estimate import machines, require_fit
from train.outlook import StageOutlook, outlook, words
from train.plan import Data, Wanted
from train.recipe_schema import Recipe
from train.row_lengths import MadeLater

THIS = "this"
HIDDEN_GB = 0.005  # parts that are smaller are not named


class Fit(NamedTuple):
    """The estimate as HTML. refusal: why the run cannot be started on this machine, with advice; "" where it can."""

    html: str
    refusal: str


def fit_of(app: App, recipe: Recipe, base: Wanted, data: Data | MadeLater | None, machine: str = THIS) -> Fit:
    """The estimate for a machine; data: None where nothing is known of it yet. Raises InvalidInput."""
    here = app.machine()
    targets = machines(here)
    if machine not in targets:
        raise InvalidInput("Choose a machine that is listed.")
    grounder = app.grounding.get(0)
    stages = _outlook(app, recipe, base, data, here, machine, grounder)
    html = estimate_html(stages, machine, {name: target.name for name, target in targets.items()})
    on_this = stages if machine == THIS else _outlook(app, recipe, base, data, here, THIS, grounder)
    return Fit(html, _refusal(on_this, here))


def estimate_html(stages: Sequence[StageOutlook], machine: str, targets: dict[str, str]) -> str:
    """A line a stage, and the machine that they are for."""
    options = "".join(
        f'<option value="{escape(name)}"{" selected" if name == machine else ""}>{escape(words)}</option>'
        for name, words in targets.items()
    )
    rows = "".join(_stage_html(stage) for stage in stages)
    return (
        '<h3 class="mc-train-title"><label for="train-machine">What it takes on</label> '
        f'<select id="train-machine" class="mc-field">{options}</select></h3>'
        f'<ul class="mc-plain mc-estimate">{rows}</ul>'
    )


def _stage_html(stage: StageOutlook) -> str:
    its = stage.estimate
    steps = counted(stage.steps, "step") if stage.steps else "as many steps as its data gives"
    parts = ", ".join(f"{name} {size(gb)}" for name, gb in its.parts.items() if gb > HIDDEN_GB)
    sign = "" if its.fits else '<span class="mc-badge mc-job-failed">Does not fit</span> '
    advice = f" {escape(its.advice)}" if its.advice else ""
    return (
        f"<li>{sign}<strong>{escape(stage_words(stage.name))}</strong>: about {size(its.total_gb)} of memory while "
        f"{escape(its.moment)}; {steps}, {escape(words(stage.seconds, stage.basis))}.{advice}"
        f'<br><span class="mc-small">{escape(parts)}</span></li>'
    )


def _outlook(
    app: App, recipe: Recipe, base: Wanted, data: Data | MadeLater | None, here: Machine, machine: str, grounder: object
) -> list[StageOutlook]:
    return outlook(
        recipe, base.spec, base.folder, data, here, app.settings.runs_dir, machine=machine,
        grounder=grounder,  # type: ignore[arg-type]  # the protocol of what is loaded in the background
    )  # fmt: skip


def _refusal(stages: Sequence[StageOutlook], here: Machine) -> str:
    target = machines(here)[THIS]
    for stage in stages:
        try:
            require_fit(stage.name, stage.estimate, target)
        except InvalidInput as error:
            return str(error)
    return ""

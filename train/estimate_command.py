"""`python -m train run RECIPE --estimate`: what a run would take, found without loading a model."""

from pathlib import Path

from medchat.catalogue import Catalogue
from medchat.machine import size, this_machine
from medchat.run_state import stage_words
from medchat.settings import Settings
from train.estimate import GPUS, Target, machines
from train.outlook import StageOutlook, outlook, words
from train.plan import Data, find_data, wanted_base
from train.recipe_schema import Recipe
from train.row_lengths import LESSONS, MadeLater
from train.templates import prompted

HERE = "here"
MACHINES = (HERE, *GPUS)
SHOWN_GB = 0.005  # parts that are smaller are not named


def print_estimate(recipe: Recipe, data: Path | None, settings: Settings, machine: str) -> None:
    """Prints memory and time of each stage, whether it fits, and advice. machine: one of MACHINES.

    Nothing is fetched, made or loaded. Raises MedChatError for a base of which nothing is known, and for data that
    cannot be used.
    """
    base = wanted_base(recipe, Catalogue(settings.models_dir, settings.own_models_file), settings.models_dir)
    known = _known_data(recipe, data, settings)
    spec = prompted(base.spec, recipe, known.report, base.folder).spec if isinstance(known, Data) else base.spec
    here, name = this_machine(), "this" if machine == HERE else machine
    stages = outlook(recipe, spec, base.folder, known, here, settings.runs_dir, machine=name)
    target = machines(here)[name]
    free = f": {size(target.free_gb)} of {size(target.memory_gb)} are free" if machine == HERE else ""
    print(f"{recipe.name} on {target.name}{free}")
    for stage in stages:
        print(_stage_words(stage, target))
    if base.lacking:
        print(f"Before it can start: {base.lacking}.")
    if known is None:
        print("Its data is not known: rows as long as the recipe allows are reckoned with. Give --data DIR.")


def _known_data(recipe: Recipe, data: Path | None, settings: Settings) -> Data | MadeLater | None:
    """What is known of the data without making it."""
    if data is None and recipe.data == "demo":
        return LESSONS
    if data is None and not (recipe.data and Path(recipe.data).expanduser().exists()):
        return None
    return find_data(recipe, data, settings.data_dir / "cache", lambda _: None)


def _stage_words(stage: StageOutlook, target: Target) -> str:
    its = stage.estimate
    steps = f"{stage.steps:,} steps" if stage.steps else "as many steps as its data gives"
    parts = ", ".join(f"{name} {size(gb)}" for name, gb in its.parts.items() if gb > SHOWN_GB)
    verdict = "It fits." if its.fits else f"It does not fit: there are {size(target.memory_gb)}."
    return (
        f"{stage_words(stage.name)}: about {size(its.total_gb)} of memory while {its.moment} ({parts});"
        f" {steps}, {words(stage.seconds, stage.basis)}. {verdict} {its.advice}".rstrip()
    )

"""What to expect of a run before it is started: memory at its peak, optimiser steps and time of each stage."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from medchat.catalogue import ModelSpec
from medchat.errors import MedChatError
from medchat.grounding import Grounder
from medchat.job_files import run_dirs_in
from medchat.machine import Machine, size
from medchat.run_state import stage_words
from medchat.rundir import RunDir
from train.base_facts import BaseFacts, facts_of
from train.estimate import (
    Estimate,
    Target,
    cell_bytes,
    compute_bytes,
    estimate,
    machines,
    require_fit,
    row_tokens,
    weights_gb,
)
from train.plan import Data, planned_steps
from train.recipe_schema import GrpoStage, Recipe, Stage, completions_a_step, generated_at_once
from train.row_lengths import Lengths, MadeLater, longest

NOT_KNOWN = "time not known before the first steps"
FROM_RUNS = "as fast as earlier runs of this recipe here"
FROM_OPERATIONS = "from the number of operations"
EFFICIENCY = (0.5, 0.15)  # of a GPU's peak, in training: well and badly used
DECODING = (0.5, 0.1)  # of its memory's bandwidth, in writing answers
LAUNCH_S = 0.0004  # to have a block computed once, however small it is
# What makes a step of another size: runs that differ in one of these tell nothing.
SAME = (
    "kind", "per_device_train_batch_size", "gradient_accumulation_steps", "max_length", "max_prompt_length",
    "max_completion_length", "num_generations", "gradient_checkpointing", "precision", "compute", "num_iterations",
    "steps_per_generation",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StageOutlook:
    """What to expect of a stage. steps: of the optimiser, None where the data is not known yet.

    seconds: the least and the most, None where nothing is known; basis: where they come from, in words.
    """

    name: str
    estimate: Estimate
    steps: int | None
    seconds: tuple[float, float] | None
    basis: str


def outlook(
    recipe: Recipe,
    spec: ModelSpec,
    folder: Path | None,
    data: Data | MadeLater | None,
    here: Machine,
    runs_dir: Path,
    *,
    machine: str = "this",
    grounder: Grounder | None = None,
) -> list[StageOutlook]:
    """What to expect of each stage.

    folder: of the base's weights, None where they are not here. data: None where nothing is known of it. machine: one
    of estimate.machines(). runs_dir: where earlier runs are looked for. Raises InvalidInput when the size of the base
    is not known.
    """
    facts, target = facts_of(spec, folder), machines(here)[machine]
    found = []
    for number, stage in enumerate(recipe.stages):
        n_rows, lengths = _rows_of(data, number, spec, folder, grounder)
        if stage.train_rows:
            n_rows = min(n_rows, stage.train_rows)
        steps = planned_steps(stage, n_rows) if n_rows or stage.max_steps else None
        a_step = None
        basis = NOT_KNOWN
        if machine == "this" and (measured := step_seconds(runs_dir, recipe, number, spec.id)):
            a_step, basis = measured, FROM_RUNS
        elif target.tflops:
            a_step, basis = _computed_seconds(stage, facts, target, lengths), FROM_OPERATIONS
        seconds = (a_step[0] * steps, a_step[1] * steps) if a_step and steps else None
        its = estimate(recipe, number, facts, target, lengths)
        found.append(StageOutlook(f"{number}-{stage.kind}", its, steps, seconds, basis if seconds else NOT_KNOWN))
    return found


def _rows_of(
    data: Data | MadeLater | None, number: int, spec: ModelSpec, folder: Path | None, grounder: Grounder | None
) -> tuple[int, Lengths | None]:
    """How many rows a stage trains on, 0 where nobody knows, and how long they are, None where the limits hold."""
    if data is None:
        return 0, None
    if isinstance(data, MadeLater):
        return data.n_train, data.lengths if spec.demo else None
    rows = data.rows[number]
    return rows.n["train"], longest(rows, spec, folder, grounder) if folder else None


def require_room(
    recipe: Recipe, spec: ModelSpec, folder: Path, data: Data, here: Machine, say: Callable[[str], None]
) -> None:
    """Say how much memory each stage takes. Raises InvalidInput with advice when one cannot fit on this machine."""
    facts, target = facts_of(spec, folder), machines(here)["this"]
    for number, stage in enumerate(recipe.stages):
        its = estimate(recipe, number, facts, target, longest(data.rows[number], spec, folder))
        require_fit(f"{number}-{stage.kind}", its, target)
        say(f"{stage_words(f'{number}-{stage.kind}')}: about {size(its.total_gb)} of memory. {its.advice}".rstrip())


def step_seconds(runs_dir: Path, recipe: Recipe, number: int, base_id: str) -> tuple[float, float] | None:
    """Seconds of a step in the fastest and the slowest of the runs in the folder that trained the same stage.

    Each run's own figure is the median over its lines of progress. None where there is no such run.
    """
    wanted = {name: getattr(recipe.stages[number], name, None) for name in SAME}
    found = []
    for run_dir in run_dirs_in(runs_dir):
        if _trained(run_dir, recipe.name, base_id, number) == wanted:
            times = list(_step_times(run_dir, f"{number}-{recipe.stages[number].kind}"))
            if times:
                found.append(median(times))
    return (min(found), max(found)) if found else None


def _trained(run_dir: RunDir, name: str, base_id: str, number: int) -> Mapping[str, Any] | None:
    """What the run's stage of this number was, as far as it counts here; None for another recipe or base."""
    head = f"kind: train\nrecipe:\n  name: {name}\n"
    try:
        if not run_dir.config_file.read_text(encoding="utf-8").startswith(head):  # reading YAML takes its time
            return None
        config = run_dir.config()
        if config["base"]["id"] != base_id:
            return None
        stage = config["recipe"]["stages"][number]
        return {key: stage.get(key) for key in SAME}
    except (MedChatError, OSError, KeyError, IndexError, TypeError, AttributeError):
        return None


def _step_times(run_dir: RunDir, stage: str) -> Iterator[float]:
    """Seconds a step from each line of progress to the next of the same stage, evaluations left out."""
    before: Mapping[str, Any] | None = None
    for row in run_dir.progress():
        is_step = row.get("stage") == stage and "loss" in row
        if is_step and before is not None and row["step"] > before["step"]:
            yield (row["time"] - before["time"]) / (row["step"] - before["step"])
        before = row if is_step else None


def _computed_seconds(stage: Stage, facts: BaseFacts, target: Target, lengths: Lengths | None) -> tuple[float, float]:
    """Seconds of a step from its operations, well and badly done: 2 a parameter and token forward, 2 back.

    Weights that are frozen take no gradient; checkpointing computes each block twice; preferences are compared with
    the model before, and answers are written a token at a time, for which all weights are read.
    """
    prompt, answer = row_tokens(stage, lengths)
    rows = completions_a_step(stage) * (2 if stage.kind == "dpo" else 1)
    passes = 4 + (2 if stage.gradient_checkpointing else 0) + (2 if stage.kind in ("dpo", "kto") else 0)
    operations = float(facts.parameters) * rows * (prompt + answer) * passes
    peak = (target.tflops if compute_bytes(stage, target) == 2 else target.tflops_fp32) * 1e12
    launches = stage.gradient_accumulation_steps * facts.layers * passes * LAUNCH_S
    low, high = (operations / (peak * share) + launches for share in EFFICIENCY)
    if not isinstance(stage, GrpoStage):
        return low, high
    value = compute_bytes(stage, target)
    read = weights_gb(stage, facts, target) + generated_at_once(stage) * prompt * cell_bytes(facts, value) / 1e9
    rounds = completions_a_step(stage) / generated_at_once(stage) / stage.num_iterations
    slow_low, slow_high = (
        rounds * answer * (read / (target.bandwidth_gb_s * share) + facts.layers * LAUNCH_S) for share in DECODING
    )
    return low + slow_low, high + slow_high


def words(seconds: tuple[float, float] | None, basis: str) -> str:
    """The time as people would say it: "about 5 minutes (as fast as ...)", "2 to 6 hours (...)"."""
    if seconds is None:
        return NOT_KNOWN
    low, high = (_said(value) for value in seconds)
    return f"about {low} ({basis})" if low == high else f"{low} to {high} ({basis})"


def _said(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.2g} {unit}" if seconds < 10 * length else f"{seconds / length:.0f} {unit}"
    return "a second" if seconds < 1.5 else f"{seconds:.0f} seconds"

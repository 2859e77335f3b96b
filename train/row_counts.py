"""How much of its files a stage learnt from: rows in the files, rows that were used, and rows that it came to."""

import math
from collections.abc import Mapping
from typing import Any

from train.recipe_schema import GrpoStage, SftStage, Stage, completions_a_step, generated_at_once


def limited(n_rows: int, limit: int) -> int:
    """So many of the rows as the recipe allows; a limit of 0 is none."""
    return min(n_rows, limit) if limit else n_rows


def seen_rows(stage: Stage, used: int, steps: int, processes: int = 1) -> int:
    """How many rows so many steps take; one that comes again in a later epoch counts again.

    used: rows of an epoch. Of GRPO the rows are questions, and an epoch leaves out what fills no round of answers.
    """
    a_step = math.ceil(completions_a_step(stage, processes) / _answers_a_row(stage))
    if isinstance(stage, GrpoStage):
        used -= used % (generated_at_once(stage, processes) // stage.num_generations)
    if not used:
        return 0
    epochs, rest = divmod(steps, math.ceil(used / a_step))
    return epochs * used + min(used, rest * a_step)


def _answers_a_row(stage: Stage) -> int:
    """How many answers to a row are learnt from, each as often as that is done."""
    if isinstance(stage, GrpoStage):
        return stage.num_generations * stage.num_iterations
    weighting = stage.reward_weighted if isinstance(stage, SftStage) else None
    return weighting.samples if weighting and weighting.completions == "own" else 1


def row_counts(
    stage: Stage, in_files: Mapping[str, int], used: Mapping[str, int], steps: int, processes: int
) -> dict[str, Any]:
    """in_files and used: by split, used without what limits, lengths and repeated questions leave out; seen: rows."""
    seen = seen_rows(stage, used["train"], steps, processes)
    return {"in_files": dict(in_files), "used": dict(used), "seen": seen}


def seen_words(rows: Mapping[str, Any]) -> str:
    """ "48 of 2,000 rows": how many of those in the files were trained on, and how often where it was oftener."""
    in_files, used, seen = rows["in_files"]["train"], rows["used"]["train"], rows["seen"]
    if seen < in_files and seen <= used:
        return f"{seen:,} of {in_files:,} rows"
    reached = f"{in_files:,} rows" if used == in_files else f"{used:,} of {in_files:,} rows"
    return reached if seen == used else f"{reached}, each {seen / used:.1f} times"


def counts_words(rows: Mapping[str, Any]) -> str:
    """All of the numbers in a line."""
    in_files, used = rows["in_files"], rows["used"]
    line = f"{in_files['train']:,} rows in the file to train on, {used['train']:,} used, {rows['seen']:,} seen"
    if not in_files["validation"]:
        return line
    return f"{line}; {in_files['validation']:,} to validate, {used['validation']:,} used"

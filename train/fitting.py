"""One stage from its beginning, or its last checkpoint, to the adapter that comes out of it."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import PrinterCallback

from medchat.backends.hf_model import memory_checked
from medchat.errors import InvalidInput, MedChatError, RunError
from medchat.run_files import FULL, is_full
from medchat.rundir import RunWriter
from train.callbacks import RunCallback, best_of, ended_early, kept_step, peak_gpu_memory_gb, peak_memory_gb
from train.checkpoints import checkpoint, newest_whole
from train.completions import Encoder
from train.held_out import Measured
from train.modeling import Hardware, Precision, put_back
from train.plan import Base, Data, Rows
from train.recipe_schema import Recipe, Stage
from train.rewards import RewardSetup
from train.row_counts import row_counts

FULL_WORDS = ("No space left", "File too large", "Disk quota exceeded", "PytorchStreamWriter", "inline_container")
EMPTY = "All {} rows of {} are longer than the limit of {} tokens; raise {}, or shorten them."


@dataclass(frozen=True)
class StageJob:
    """One stage of a run with all that it needs. folder: of its checkpoints. steps: optimiser steps.

    model: the base with the adapter to be trained, its weights as they were before the trainer touched them.
    watched: rows that are answered at each evaluation. completions: where tables of sampled answers go.
    """

    recipe: Recipe
    stage: Stage
    number: int
    base: Base
    data: Data
    rows: Rows
    encoder: Encoder
    machine: Hardware
    precision: Precision
    model: Any
    weights: dict[str, Any]
    folder: Path
    completions: Path
    writer: RunWriter | None
    watched: Measured | None
    say: Callable[[str], None]
    rewards: RewardSetup

    @property
    def name(self) -> str:
        """ "0-sft": unique in the run."""
        return f"{self.number}-{self.stage.kind}"


@dataclass(frozen=True, slots=True)
class Fitted:
    """What came of a stage: the step that was reached, the checkpoint that is kept and why.

    stopped: it was asked to, and can be resumed. notes: lines for people. rows: row_counts of the stage.
    """

    final_step: int
    kept: Path
    kept_step: int
    why: str
    stopped: bool
    best: float | None
    notes: tuple[str, ...]
    rows: dict[str, Any]
    peak_memory_gb: float
    peak_gpu_memory_gb: float | None


class Watched:
    """What the trainers of TRL get for rows that are tokens already, and for rows that are answered on the way."""

    def __init__(self, job: StageJob, **given: Any) -> None:
        self._job = job
        self._measured: dict[str, float] = {}
        super().__init__(**given)

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset

    def evaluate(self, *given: Any, **named: Any) -> Any:
        """TRL's evaluation, after the answers to the watched rows."""
        if self._job.watched is not None:
            self._measured = self._job.watched.means(self.model)  # type: ignore[attr-defined]
        return super().evaluate(*given, **named)  # type: ignore[misc]

    def log(self, logs: dict[str, float], *given: Any) -> None:
        """Add what was measured to the evaluation's line."""
        if "eval_loss" in logs:
            logs |= {f"eval_{name}": value for name, value in self._measured.items()}
        super().log(logs, *given)  # type: ignore[misc]


def settings_of(job: StageJob, steps: int, has_validation: bool) -> dict[str, Any]:
    """The trainer's settings that all kinds of stage share, in the names of transformers."""
    stage, on_cpu = job.stage, job.machine.device.type == "cpu"
    return {
        "output_dir": str(job.folder),
        "seed": job.recipe.seed,
        "data_seed": job.recipe.seed,
        "use_cpu": on_cpu,
        "fp16": job.precision.compute == "fp16",
        "bf16": job.precision.compute == "bf16",
        "learning_rate": stage.learning_rate,
        "max_steps": steps,
        "per_device_train_batch_size": stage.per_device_train_batch_size,
        "per_device_eval_batch_size": stage.per_device_eval_batch_size,
        "gradient_accumulation_steps": stage.gradient_accumulation_steps,
        "warmup_steps": stage.warmup_steps,
        "lr_scheduler_type": stage.lr_scheduler_type,
        "optim": stage.optim,
        "weight_decay": stage.weight_decay,
        "max_grad_norm": stage.max_grad_norm,
        "gradient_checkpointing": stage.gradient_checkpointing,
        "logging_steps": stage.logging_steps,
        "logging_nan_inf_filter": False,  # a loss that is no number ends the run with a line
        "eval_strategy": "steps" if stage.eval_steps and has_validation else "no",
        "eval_steps": stage.eval_steps or None,
        "save_strategy": "no",  # RunCallback says when
        "report_to": list(job.recipe.report_to),
        "run_name": f"{job.recipe.name} {job.name}",
        "disable_tqdm": True,
        "dataloader_pin_memory": not on_cpu,
    }


def fit(
    trainer: Any, job: StageJob, steps: int, used: Mapping[str, int], *, resume: bool, notes: tuple[str, ...]
) -> Fitted:
    """Train to the end, or until somebody asks it to stop; a resumed stage goes on from its last whole checkpoint.

    used: how many rows of each split the trainer has. Raises MedChatError: when the disk is full, the memory is
    exhausted, the loss is no number, or all checkpoints are damaged.
    """
    put_back(job.model, job.weights)
    callback = RunCallback(job.stage, job.folder, job.writer, job.precision.compute, job.say)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(callback)
    step = _begin(job, steps, resume)
    before = _state_of(trainer, checkpoint(job.folder, step)) if step else None
    ended = before is not None and (step >= steps or ended_early(before, job.stage))
    if step:
        job.say(f"{job.name}: going on from step {step}.")
    if not ended:
        with failures_told(job.base.name):
            trainer.train(resume_from_checkpoint=str(checkpoint(job.folder, step)) if step else None)
    job.machine.wait()
    state: Any = before if ended else trainer.state
    kept, why = kept_step(state, job.stage, job.folder)
    best = best_of(state, job.stage)
    if callback.all_tied and job.stage.kind == "grpo" and not ended:
        notes = (*notes, "In every step all answers to each question got the same reward: nothing was learnt.")
    if why != "keep_step" and job.stage.keep_step:
        notes = (*notes, f"The run ended before step {job.stage.keep_step}, which was to be kept.")
    job.say(f"{job.name}: {state.global_step} steps, kept the adapter of step {kept} ({why});"
            f" {peak_memory_gb():.2f} GB of memory at most.")  # fmt: skip
    return Fitted(
        final_step=state.global_step,
        kept=checkpoint(job.folder, kept),
        kept_step=kept,
        why=why,
        stopped=callback.stopped,
        best=best.value if best else None,
        notes=notes,
        rows=row_counts(job.stage, job.rows.n, used, state.global_step, job.machine.processes),
        peak_memory_gb=peak_memory_gb(),
        peak_gpu_memory_gb=peak_gpu_memory_gb(),
    )


def _begin(job: StageJob, steps: int, resume: bool) -> int:
    """The step after which the stage goes on. What a run wrote later than that is removed."""
    if job.machine.process:  # the first process clears up before the others look
        job.machine.wait()
        return newest_whole(job.folder, job.say) if resume else 0
    step = newest_whole(job.folder, job.say) if resume else 0
    if job.writer is not None:
        job.writer.stage(job.name, steps)
        job.writer.cut_back(step)
    for table in job.completions.glob(f"{job.name}-*.parquet"):
        if int(table.stem.rpartition("-")[2]) > step:
            table.unlink()
    job.machine.wait()
    return step


def _state_of(trainer: Any, path: Path) -> Any:
    """What the trainer remembered at a checkpoint."""
    return type(trainer.state).load_from_json(os.path.join(path, "trainer_state.json"))


@contextmanager
def failures_told(name: str) -> Iterator[None]:
    """A full disk and exhausted memory become one line each."""
    try:
        with memory_checked(name):
            yield
    except MedChatError:
        raise
    except OSError as error:
        if is_full(error):
            raise RunError(FULL) from error
        raise
    except (RuntimeError, SafetensorError) as error:
        if any(words in str(error) for words in FULL_WORDS):
            raise RunError(FULL) from error
        raise


def counted(n_kept: int, n_all: int, job: StageJob, limit: int, field: str, file: str) -> tuple[str, ...]:
    """A line on the rows that were left out for their length. Raises InvalidInput when none is left."""
    if not n_kept:
        raise InvalidInput(EMPTY.format(n_all, file, limit, f"stages.{job.number}.{field}"))
    if n_kept == n_all:
        return ()
    note = f"{n_all - n_kept} of {n_all} rows of {file} are longer than {limit} tokens ({field}) and were left out."
    job.say(note)
    return (note,)

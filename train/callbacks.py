"""What happens at each step of a trainer beside training: progress, checkpoints, stop, the best adapter."""

import math
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from medchat.errors import MedChatError
from medchat.rundir import RunWriter
from train.checkpoints import checkpoint, prune, seal, steps_of
from train.recipe_schema import GrpoStage, Stage, best_by, steps_between_generations

GB = 1e9
TIED_STEPS = 10  # in a row, after which it is said that nothing is learnt
SHOWN = ("loss", "reward", "eval_loss", "eval_reward", "tokens_per_s")  # in the log; all are in progress.jsonl
LEFT_OUT = ("step", "eval_num_tokens", "eval_runtime", "eval_samples_per_second", "eval_steps_per_second")
NOT_A_NUMBER = (
    "The loss is no number any more at step {}: it grew beyond what {} can hold. Set compute to bf16 or fp32, or a"
    " smaller learning_rate, and resume from an earlier checkpoint or start anew."
)
TIED = (
    "All answers to each question got the same reward in the last {} steps, so nothing is learnt from them: choose"
    " rewards that tell them apart, a higher temperature, or train a stage of SFT first."
)


@dataclass(frozen=True, slots=True)
class Best:
    """The best evaluation so far; since: evaluations after it."""

    step: int
    value: float
    since: int


def best_of(state: TrainerState, stage: Stage) -> Best | None:
    """The best of the evaluations that the trainer remembers, the first of equals; None where there is none."""
    name, more_is_better = best_by(stage)
    least = stage.early_stopping.min_change if stage.early_stopping else 0.0
    best: Best | None = None
    for line in state.log_history:
        value = line.get(name)
        if value is None or not math.isfinite(value):
            continue
        gained = 0.0 if best is None else (value - best.value) * (1 if more_is_better else -1)
        if best is None or gained > least:
            best = Best(int(line["step"]), float(value), 0)
        else:
            best = Best(best.step, best.value, best.since + 1)
    return best


def ended_early(state: TrainerState, stage: Stage) -> bool:
    """Whether the recipe's patience is over."""
    best = best_of(state, stage)
    return best is not None and stage.early_stopping is not None and best.since >= stage.early_stopping.patience


def peak_memory_gb() -> float:
    """The most main memory that this process has held, in GB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GB


def peak_gpu_memory_gb() -> float | None:
    """The most of the GPU's memory that this process has used, in GB; None without a GPU."""
    return torch.cuda.max_memory_allocated() / GB if torch.cuda.is_available() else None


class RunCallback(TrainerCallback):
    """Writes progress, decides when to evaluate, save and stop. writer: None in all processes but the first."""

    def __init__(
        self, stage: Stage, folder: Path, writer: RunWriter | None, compute: str, say: Callable[[str], None]
    ) -> None:
        self._stage, self._folder, self._writer, self._compute, self._say = stage, folder, writer, compute, say
        self._between = steps_between_generations(stage) if isinstance(stage, GrpoStage) else 1
        self._name = folder.name
        self._tokens = 0.0
        self._tokens_before = 0.0
        self._began = time.monotonic()
        self._tied = 0
        self.all_tied = True
        self.stopped = False

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """The clock starts; TRL counts the tokens of a resumed run from 0, but for GRPO."""
        self._began = time.monotonic()
        counts = [line["num_tokens"] for line in state.log_history if "num_tokens" in line]
        if self._stage.kind == "grpo":
            self._tokens = counts[-1] if counts else 0.0
        else:
            self._tokens_before = counts[-1] if counts else 0.0

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Save where it is due, or where somebody asked it to stop; GRPO only where a round of answers is used up."""
        step, stage = state.global_step, self._stage
        last = step >= state.max_steps
        between = step % self._between == 0
        stop = between and not last and self._asked_to_stop()
        if last and args.do_eval:
            control.should_evaluate = True
        if (between and _is_due(step, stage.save_steps, self._between)) or last or stop or step == stage.keep_step:
            control.should_save = control.should_log = True  # a resumed run begins a line of its own here too
        if stop:
            self.stopped = control.should_training_stop = True

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Save the best so far; end early where the recipe says so."""
        best = best_of(state, self._stage)
        if best is None:
            return
        if best.step == state.global_step:
            control.should_save = True
        elif ended_early(state, self._stage):
            self._say(f"Ended at step {state.global_step}: no better evaluation since step {best.step}.")
            control.should_save = control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Seal the checkpoint; remove those that nobody needs any more."""
        if not state.is_world_process_zero:
            return
        seal(checkpoint(self._folder, state.global_step))
        best = best_of(state, self._stage)
        keep = {self._stage.keep_step} | ({best.step} if best else set())
        prune(self._folder, keep)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl,
        logs: dict[str, Any] | None = None, **_: Any,
    ) -> None:  # fmt: skip
        """A line of progress. Raises MedChatError when the loss is no number."""
        values = {name: value for name, value in (logs or {}).items() if isinstance(value, int | float)}
        if not values or "train_runtime" in values:  # the trainer's own summary
            return
        if not all(math.isfinite(values.get(name, 0.0)) for name in ("loss", "eval_loss")):
            raise MedChatError(NOT_A_NUMBER.format(state.global_step, self._compute))
        self._watch_ties(values)
        if self._writer is None:
            return
        values = {name: value for name, value in values.items() if name not in LEFT_OUT}
        if "num_tokens" in values:
            now, new = time.monotonic(), values["num_tokens"] - self._tokens
            values["tokens_per_s"] = new / max(now - self._began, 1e-9)
            self._tokens, self._began = values["num_tokens"], now
            values["num_tokens"] += self._tokens_before
        values["memory_gb"] = peak_memory_gb()
        if (on_gpu := peak_gpu_memory_gb()) is not None:
            values["gpu_memory_gb"] = on_gpu
        self._writer.record(state.global_step, **values)
        shown = ", ".join(f"{name} {values[name]:.4g}" for name in SHOWN if name in values)
        self._say(f"{self._name}: step {state.global_step} of {state.max_steps}: {shown}")

    def _asked_to_stop(self) -> bool:
        asked = [self._writer is not None and self._writer.stop_requested()]
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            broadcast_object_list(asked)  # all processes stop at the same step
        return asked[0]

    def _watch_ties(self, values: dict[str, Any]) -> None:
        tied = values.get("frac_reward_zero_std")
        if tied is None:
            return
        self._tied = self._tied + 1 if tied >= 1 else 0
        self.all_tied = self.all_tied and tied >= 1
        if self._tied == TIED_STEPS:
            self._say(TIED.format(TIED_STEPS))


def _is_due(step: int, every: int, between: int) -> bool:
    """Whether a multiple of `every` was passed since the last place where saving was possible."""
    return step // every > (step - between) // every


def kept_step(state: TrainerState, stage: Stage, folder: Path) -> tuple[int, str]:
    """The step whose adapter comes out, and why: the recipe's keep_step, the best evaluation, or the last."""
    there = steps_of(folder)
    if stage.keep_step in there:
        return stage.keep_step, "keep_step"
    best = best_of(state, stage)
    if best is not None and best.step in there:
        return best.step, "best"
    return there[-1], "last"

"""What a recipe may say: the base, the data, the prompt, and the stages of training in order.

Settings that TRL has carry TRL's own names. Each field's description is what the Train tab shows beside it.
"""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

StageKind = Literal["sft", "grpo", "dpo", "kto"]
WeightsPrecision = Literal["nf4", "int8", "fp16", "bf16", "fp32"]
ComputePrecision = Literal["fp16", "bf16", "fp32"]

STAGE_KINDS: tuple[str, ...] = get_args(StageKind)
_EXPONENT = re.compile(r"[+-]?\d+(?:\.\d*)?[eE][+-]?\d+")


def _number(value: object) -> object:
    """YAML 1.1 reads 1e-4 as a text; here it is the number that was meant."""
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Amount = Annotated[float, BeforeValidator(_number), Field(gt=0)]
NotNegative = Annotated[float, BeforeValidator(_number), Field(ge=0)]
Share = Annotated[float, BeforeValidator(_number), Field(ge=0, le=1)]
Weight = Annotated[float, BeforeValidator(_number)]
Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]


class Lora(_Strict):
    """The adapter that is trained; the base stays as it is."""

    r: Annotated[Count, Field(description="rank: how much the adapter can hold")]
    alpha: Annotated[Count, Field(description="scale: the adapter counts alpha / r times")]
    dropout: Annotated[Share, Field(description="share of its inputs that are left out at random while it learns")] = (
        0.0
    )
    targets: Annotated[list[Words], Field(min_length=1, description="names of the layers that it changes")]
    why: Annotated[str, Field(description="why these layers")] = ""


class EarlyStopping(_Strict):
    """When to end before the last step."""

    patience: Annotated[Count, Field(description="evaluations without an improvement after which training ends")]
    min_change: Annotated[NotNegative, Field(description="what counts as an improvement")] = 0.0


class RewardSpec(_Strict):
    """A reward of train/rewards.py with its weight in the sum."""

    name: Words
    weight: Weight = 1.0
    options: dict[str, Any] = {}


class RewardWeighting(_Strict):
    """Reward-weighted SFT: each row's loss counts as much as a reward of its completion.

    It stands in for the "penalty" form of GRPO, cross-entropy + lambda (1 - reward): there the reward is computed
    on sampled text, sampling has no derivative, so the penalty is a constant to the optimiser and adds nothing to
    the gradient; what is left is plain SFT. Multiplying each row's cross-entropy by its reward does reach the
    gradient: completions that score well are imitated more. GRPO's own objective is the other way.
    """

    reward: Annotated[Words, Field(description="reward of train/rewards.py that gives the weight")]
    options: Annotated[dict[str, Any], Field(description="options of that reward")] = {}
    completions: Annotated[
        Literal["given", "own"], Field(description="given: those of the data; own: sampled from the model first")
    ] = "given"
    samples: Annotated[Count, Field(description="own completions a question")] = 4
    temperature: Annotated[Amount, Field(description="of the own completions")] = 1.0
    max_new_tokens: Annotated[Count, Field(description="length of the own completions")] = 256
    floor: Annotated[NotNegative, Field(description="least weight; a reward below it counts as this")] = 0.0


class HeldOut(_Strict):
    """What is measured before and after each stage, by writing answers to rows that are not trained on."""

    rows: Annotated[CountOrNone, Field(description="held-out rows that are answered; 0 for none")] = 0
    suite: Annotated[str, Field(description="evaluation suite whose rows they are; empty: the data's own")] = ""
    training_rows: Annotated[
        CountOrNone, Field(description="rows of the training data that are answered too, reported apart")
    ] = 0
    metrics: Annotated[list[Words], Field(description="metrics of the evaluation")] = ["format_ok", "exact"]
    max_new_tokens: Annotated[Count, Field(description="length of an answer")] = 256
    batch_size: Annotated[Count, Field(description="answers that are written together")] = 16
    at_each_evaluation: Annotated[
        bool, Field(description="whether they are measured on the validation rows at each evaluation too")
    ] = False


class _Stage(_Strict):
    """What all kinds of stage have."""

    lora: Annotated[Lora | None, Field(description="the adapter; a later stage goes on with the one before")] = None
    precision: Annotated[WeightsPrecision, Field(description="in which the base's weights are held")] = "fp32"
    double_quant: Annotated[bool, Field(description="nf4: quantise the scales too")] = False
    compute: Annotated[ComputePrecision, Field(description="in which products are computed")] = "fp32"
    flash_attention: Annotated[
        bool, Field(description="FlashAttention 2 on a GPU that has its package; else PyTorch's own")
    ] = False
    learning_rate: Annotated[Amount, Field(description="largest step of the optimiser")]
    max_steps: Annotated[CountOrNone, Field(description="optimiser steps; 0: as many as the epochs need")] = 0
    num_train_epochs: Annotated[Amount, Field(description="passes over the data, where max_steps is 0")] = 1.0
    one_epoch_from_rows: Annotated[
        CountOrNone, Field(description="from so many rows on there is one pass at most; 0: never mind")
    ] = 0
    per_device_train_batch_size: Annotated[Count, Field(description="rows in memory at once")] = 1
    per_device_eval_batch_size: Annotated[Count, Field(description="the same for the validation")] = 8
    gradient_accumulation_steps: Annotated[Count, Field(description="such batches before a step is taken")] = 1
    warmup_steps: Annotated[CountOrNone, Field(description="steps in which the learning rate rises")] = 0
    lr_scheduler_type: Annotated[
        Literal["linear", "cosine", "constant", "constant_with_warmup"],
        Field(description="how the learning rate goes on"),
    ] = "linear"
    optim: Annotated[
        Literal["adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "sgd"],
        Field(description="optimiser; those of 8 bits hold its state in a quarter of the memory"),
    ] = "adamw_torch"
    weight_decay: Annotated[NotNegative, Field(description="pull of the weights towards 0")] = 0.0
    max_grad_norm: Annotated[NotNegative, Field(description="to which long gradients are cut; 0: never")] = 1.0
    gradient_checkpointing: Annotated[bool, Field(description="less memory for a fifth more time")] = False
    logging_steps: Annotated[Count, Field(description="steps from one line of progress to the next")] = 1
    eval_steps: Annotated[CountOrNone, Field(description="steps from one evaluation to the next; 0: none")] = 0
    save_steps: Annotated[Count, Field(description="steps from one checkpoint to the next")] = 50
    keep_step: Annotated[
        CountOrNone, Field(description="the checkpoint that is kept, whatever the validation says; 0: the best")
    ] = 0
    keep_best_by: Annotated[
        str, Field(description="value of the evaluation that says which is best; empty: the loss, GRPO's reward")
    ] = ""
    early_stopping: EarlyStopping | None = None
    train_rows: Annotated[CountOrNone, Field(description="at most so many rows are trained on; 0: all")] = 0
    validation_rows: Annotated[CountOrNone, Field(description="at most so many validate; 0: all")] = 0


class SftStage(_Stage):
    """Supervised fine-tuning on questions with reasoning and answer."""

    kind: Literal["sft"]
    max_length: Annotated[Count, Field(description="tokens of prompt and answer; longer rows are dropped")] = 1024
    reward_weighted: RewardWeighting | None = None


class GrpoStage(_Stage):
    """Group relative policy optimisation: answers are sampled, and those that beat their group's mean are favoured."""

    kind: Literal["grpo"]
    rewards: Annotated[list[RewardSpec], Field(min_length=1, description="what an answer is rewarded for")]
    num_generations: Annotated[int, Field(ge=2, description="answers to a question: the group")] = 8
    steps_per_generation: Annotated[
        CountOrNone, Field(description="batches that one round of sampling serves; 0: those of a step")
    ] = 0
    num_iterations: Annotated[Count, Field(description="times that each round is learnt from")] = 1
    max_prompt_length: Annotated[Count, Field(description="tokens of a prompt; longer ones are dropped")] = 512
    max_completion_length: Annotated[Count, Field(description="tokens at which an answer is cut")] = 256
    temperature: Annotated[Amount, Field(description="of the sampling; higher answers differ more")] = 1.0
    top_p: Annotated[Share, Field(description="share of the likeliest words that are drawn from")] = 1.0
    top_k: Annotated[CountOrNone, Field(description="the likeliest words that are drawn from; 0: all")] = 0
    beta: Annotated[NotNegative, Field(description="pull towards the model before (KL); 0: none")] = 0.0
    epsilon: Annotated[Amount, Field(description="clip of the probability ratio")] = 0.2
    loss_type: Annotated[
        Literal["grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"],
        Field(description="how the tokens of an answer are averaged"),
    ] = "dapo"
    scale_rewards: Annotated[
        Literal["group", "batch", "none"], Field(description="by whose spread advantages are divided")
    ] = "group"
    mask_truncated_completions: Annotated[bool, Field(description="answers that were cut teach nothing")] = False


class DpoStage(_Stage):
    """Direct preference optimisation on pairs of a chosen and a rejected answer."""

    kind: Literal["dpo"]
    max_length: Annotated[Count, Field(description="tokens of prompt and answer; longer pairs are dropped")] = 1024
    beta: Annotated[Amount, Field(description="how closely the model before is kept to")] = 0.1
    loss_type: Annotated[
        Literal["robust", "sigmoid", "ipo", "hinge"],
        Field(description="robust: some of the pairs are the wrong way round"),
    ] = "robust"
    label_smoothing: Annotated[
        Literal["measured"] | Annotated[float, BeforeValidator(_number), Field(ge=0, lt=0.5)],
        Field(description="share of pairs taken for wrong; measured: the raters' disagreement, 0.1 where unknown"),
    ] = "measured"


class KtoStage(_Stage):
    """Kahneman-Tversky optimisation on single answers that raters found good or bad."""

    kind: Literal["kto"]
    max_length: Annotated[Count, Field(description="tokens of prompt and answer; longer rows are dropped")] = 1024
    beta: Annotated[Amount, Field(description="how closely the model before is kept to")] = 0.1
    desirable_weight: Annotated[Amount, Field(description="weight of good answers")] = 1.0
    undesirable_weight: Annotated[Amount, Field(description="weight of bad answers")] = 1.0


Stage = SftStage | GrpoStage | DpoStage | KtoStage


class Recipe(_Strict):
    """A whole recipe."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,59}$")]
    title: Words
    about: Annotated[Words, Field(description="what it trains, and what one should know before")]
    base: Annotated[Words, Field(description="id of a model, a Hub name, a folder, or a model that was trained here")]
    other_bases: Annotated[
        dict[str, dict[str, Any]], Field(description="other bases it is made for, and what is set otherwise there")
    ] = {}
    answer_format: Annotated[str | None, Field(description="how answers are written; unset: as the base does")] = None
    system_prompt: Annotated[str | None, Field(description="unset: the base's own")] = None
    prompt: Annotated[
        str | None, Field(description="the whole prompt with {question}, in place of a chat; unset: as the base does")
    ] = None
    prompt_with_context: Annotated[str | None, Field(description="the same with {context} too")] = None
    data: Annotated[
        str,
        Field(description="a prepared folder, a JSONL file; demo: made from the teaching facts; ratings: the raters'"),
    ]
    data_source: Annotated[str, Field(description="the data set that the folder is prepared from")] = ""
    seed: Annotated[int, Field(ge=0, lt=1 << 31, description="of everything that is drawn")] = 0
    report_to: Annotated[
        list[Literal["wandb", "tensorboard"]],
        Field(description="where curves go too; a key comes from the environment alone"),
    ] = []
    held_out: HeldOut = HeldOut()
    stages: Annotated[list[Annotated[Stage, Field(discriminator="kind")]], Field(min_length=1)]

    def resolved(self) -> dict[str, Any]:
        """Every setting with its value, in YAML's own types."""
        return self.model_dump()


STAGE_CLASSES: Mapping[str, type[_Stage]] = {"sft": SftStage, "grpo": GrpoStage, "dpo": DpoStage, "kto": KtoStage}


def best_by(stage: Stage) -> tuple[str, bool]:
    """The value of an evaluation that says which adapter is best, and whether more of it is better."""
    name = stage.keep_best_by or ("eval_reward" if stage.kind == "grpo" else "eval_loss")
    return name, not name.endswith("loss")


def completions_a_step(stage: Stage, processes: int = 1) -> int:
    """Rows, or completions of GRPO, that go into one optimiser step."""
    return stage.per_device_train_batch_size * stage.gradient_accumulation_steps * processes


def generated_at_once(stage: GrpoStage, processes: int = 1) -> int:
    """Completions that one round of sampling makes."""
    batches = stage.steps_per_generation or stage.gradient_accumulation_steps
    return stage.per_device_train_batch_size * batches * processes


def steps_between_generations(stage: GrpoStage) -> int:
    """Optimiser steps from one round of sampling to the next: a checkpoint is only taken there."""
    batches = (stage.steps_per_generation or stage.gradient_accumulation_steps) * stage.num_iterations
    return math.lcm(batches, stage.gradient_accumulation_steps) // stage.gradient_accumulation_steps

"""How much memory a stage takes, on this machine or on a GPU by its name, and what to change when it cannot fit.

Everything is counted in bytes from the base's shape (base_facts.py) and the recipe; run without torch, for the app.
What was measured stands below with the figure. A GPU's own libraries could not be: theirs is what NVIDIA's tools show
of a process that has only begun.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from medchat.errors import InvalidInput
from medchat.machine import Gpu, Machine, size
from medchat.run_state import stage_words
from train.base_facts import BaseFacts
from train.recipe_schema import GrpoStage, Recipe, SftStage, Stage, generated_at_once
from train.row_lengths import Lengths

GB = 1e9
LIBRARIES_GB = 0.66  # main memory of a process that has loaded torch, TRL and the grounding; measured, Linux x86-64
CUDA_GB = 0.8  # of a GPU's memory, for CUDA's context and the kernels of the libraries
# What the allocator takes for a byte that is asked for. glibc keeps blocks of up to 32 MiB in its heap, where blocks
# of different sizes leave holes; larger ones are mapped singly. Measured on the bundled base.
HEAP, MAPPED, CACHED = 2.3, 1.05, 1.1
HEAP_BLOCK_BYTES = 32 << 20
# TRL projects onto the vocabulary in tiles of so many tokens and words; on a CPU with eight copies of one (measured).
TILE_TOKENS, TILE_WORDS, TILE_COPIES = 4096, 32768, 8
FULL_LOGITS_COPIES = 4  # logits, their softmax and the gradients of both, where a loss of our own takes them whole

BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "int8": 1.0}
NF4_BLOCK, NF4_BLOCKS_TOGETHER = 64, 256  # weights that share a scale of 4 bytes; scales that are quantised together
OPTIMISER_BYTES = {"adamw_torch": 8, "adamw_torch_fused": 8, "adamw_8bit": 2, "paged_adamw_8bit": 2, "sgd": 0}
LEAST_GAIN = 0.99  # a change that leaves more than this of the memory is not worth making
BF16_FROM = 8.0  # CUDA's capability of Ampere, the first GPUs that compute in bf16
GUESSED = "The base is not here yet: its shape is a guess from its number of parameters."
ADAPTER_COPIES = 3  # the weights in fp32, their gradients, and the copy from which training begins


@dataclass(frozen=True, slots=True)
class Target:
    """Where it is to run. free_gb: of memory_gb, now.

    tflops: of products in 16 bits; bandwidth_gb_s: of its memory; 0 where nobody knows.
    """

    name: str
    memory_gb: float
    free_gb: float
    is_gpu: bool = True
    has_bf16: bool = True
    tflops: float = 0.0
    tflops_fp32: float = 0.0
    bandwidth_gb_s: float = 0.0


GPUS: Mapping[str, Target] = {
    "T4": Target("T4 (16 GB, no bf16)", 16, 16, has_bf16=False, tflops=65, tflops_fp32=8.1, bandwidth_gb_s=320),
    "A100-40": Target("A100 (40 GB)", 40, 40, tflops=312, tflops_fp32=19.5, bandwidth_gb_s=1555),
    "A100-80": Target("A100 (80 GB)", 80, 80, tflops=312, tflops_fp32=19.5, bandwidth_gb_s=2039),
    "H200": Target("H200 (141 GB)", 141, 141, tflops=989, tflops_fp32=67, bandwidth_gb_s=4800),
}


def machines(here: Machine) -> dict[str, Target]:
    """This machine, "this", and the GPUs by their names."""
    this = _target_of(here.gpu) if here.gpu else Target("this machine", here.memory_gb, here.free_gb, is_gpu=False)
    return {"this": this, **GPUS}


def _target_of(gpu: Gpu) -> Target:
    """The card as it is now, as fast as the known one that it is; nobody knows the speed of another."""
    its = [card for name, card in GPUS.items() if re.search(rf"\b{name.partition('-')[0]}\b", gpu.name)]
    same = min(its, key=lambda card: abs(card.memory_gb - gpu.memory_gb), default=Target("", 0, 0))
    has_bf16 = same.has_bf16 if gpu.capability is None else gpu.capability >= BF16_FROM
    name = f"the GPU of this machine ({gpu.name})"
    return replace(same, name=name, memory_gb=gpu.memory_gb, free_gb=gpu.free_gb, has_bf16=has_bf16)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a stage takes at its peak.

    parts: GB by what takes them, which add up to total_gb. moment: when that is, "learning" or "writing answers".
    fits: whether the machine can ever have as much. advice: what to change when it cannot, or what else to know;
    "" for nothing.
    """

    parts: Mapping[str, float]
    total_gb: float
    moment: str
    fits: bool
    advice: str


def estimate(recipe: Recipe, number: int, facts: BaseFacts, target: Target, lengths: Lengths | None = None) -> Estimate:
    """The estimate of a stage. lengths: of the longest rows of its data; without them the recipe's limits hold."""
    parts, moment = _peak(recipe, number, facts, target, lengths)
    total_gb = sum(parts.values())
    fits = total_gb <= target.memory_gb
    advice = [] if facts.known else [GUESSED]
    if not fits:
        advice.append(_advice(recipe, number, facts, target, lengths))
    elif total_gb > target.free_gb:
        advice.append(f"Only {size(target.free_gb)} are free now: close other programs first.")
    return Estimate(parts, total_gb, moment, fits, " ".join(advice))


def require_fit(name: str, its: Estimate, target: Target) -> None:
    """Raise InvalidInput with advice when the stage of this name cannot fit."""
    if not its.fits:
        raise InvalidInput(
            f"{stage_words(name)} needs about {size(its.total_gb)} of memory, {target.name} has"
            f" {size(target.memory_gb)}. {its.advice}"
        )


def compute_bytes(stage: Stage, target: Target) -> int:
    """Bytes of a number that is computed with: fp16 does not train on a CPU, nor bf16 on a GPU that has none."""
    on_cpu = stage.compute == "fp16" and not target.is_gpu
    return 4 if stage.compute == "fp32" or on_cpu or (stage.compute == "bf16" and not target.has_bf16) else 2


def _peak(
    recipe: Recipe, number: int, facts: BaseFacts, target: Target, lengths: Lengths | None
) -> tuple[dict[str, float], str]:
    """GB by what takes them at the moment that takes most, and which that is."""
    stage, lora = recipe.stages[number], recipe.stages[0].lora  # later stages go on with the first one's
    value = compute_bytes(stage, target)
    parts = {
        "libraries": CUDA_GB if target.is_gpu else LIBRARIES_GB,
        "weights": weights_gb(stage, facts, target),
        "adapter and optimiser": _adapter_gb(stage, lora, facts),
    }
    learning = _learning(stage, lora, facts, target, lengths, value)
    answers = {"answers being written": _answers_gb(recipe, stage, facts, lengths, value)}
    if sum(answers.values()) > sum(learning.values()):
        return parts | answers, "writing answers"
    return parts | learning, "learning"


def weights_gb(stage: Stage, facts: BaseFacts, target: Target) -> float:
    """The base's weights; embeddings are never quantised."""
    precision = facts.packing or stage.precision
    whole = BYTES["fp32" if compute_bytes(stage, target) == 4 else "bf16"]
    if (precision == "fp16" and not target.is_gpu) or (precision == "bf16" and not target.has_bf16):
        precision = "fp32"
    if precision not in ("nf4", "int8"):
        return facts.parameters * BYTES[precision] / GB
    unpacked = max(rows * columns for rows, columns in facts.matrices.values()) * whole  # one at a time, to compute
    per_weight = nf4_bytes(stage.double_quant) if precision == "nf4" else BYTES["int8"]
    return (facts.blocks * per_weight + facts.embeddings * whole + unpacked) / GB


def nf4_bytes(double_quant: bool) -> float:
    """Bytes of a weight: 4 bits, and its part of the scale (Dettmers et al. 2023, QLoRA)."""
    scale = 1 + 4 / NF4_BLOCKS_TOGETHER if double_quant else 4.0
    return 0.5 + scale / NF4_BLOCK


def adapter_parameters(lora: Any, facts: BaseFacts) -> int:
    """Parameters of the LoRA: r x (inputs + outputs) for each matrix that it changes."""
    sizes = (facts.matrices.get(name, (facts.width, facts.width)) for name in lora.targets)
    return facts.layers * sum(lora.r * (n_in + n_out) for n_in, n_out in sizes)


def _adapter_gb(stage: Stage, lora: Any, facts: BaseFacts) -> float:
    if lora is None:
        return 0.0
    frozen = 4 if stage.kind in ("dpo", "kto") or (stage.kind == "grpo" and stage.beta > 0) else 0  # the reference
    each = 4 * ADAPTER_COPIES + OPTIMISER_BYTES[stage.optim] + frozen
    return adapter_parameters(lora, facts) * each / GB


def row_tokens(stage: Stage, lengths: Lengths | None) -> tuple[int, int]:
    """Tokens of the longest prompt and of the longest answer that a stage may meet."""
    if isinstance(stage, GrpoStage):
        longest = lengths.prompt if lengths else stage.max_prompt_length
        return min(longest, stage.max_prompt_length), stage.max_completion_length
    if lengths is None or lengths.row >= stage.max_length:
        return stage.max_length, 0
    return lengths.row, 0


def _learning(
    stage: Stage, lora: Any, facts: BaseFacts, target: Target, lengths: Lengths | None, value: int
) -> dict[str, float]:
    rows = stage.per_device_train_batch_size * (2 if stage.kind == "dpo" else 1)
    length = sum(row_tokens(stage, lengths))
    tokens = rows * length
    a_block = block_bytes(lora, facts, value, length)
    kept = facts.layers * facts.width * value + a_block if stage.gradient_checkpointing else facts.layers * a_block
    activations = _allocated(kept, tokens, facts, target, value)
    whole = isinstance(stage, SftStage) and stage.reward_weighted is not None
    scores = _logits_bytes(facts, target, tokens, value, whole)
    return {"activations": activations / GB, "scores of the words": scores / GB}


def _allocated(per_token: float, tokens: int, facts: BaseFacts, target: Target, value: int) -> float:
    """Bytes that the process takes for so many asked for; the worst of all batches up to the longest."""
    if target.is_gpu:
        return per_token * tokens * CACHED
    in_heap = min(tokens, HEAP_BLOCK_BYTES // (max(facts.inner, facts.width) * value))
    return max(per_token * in_heap * HEAP, per_token * tokens * MAPPED)


def block_bytes(lora: Any, facts: BaseFacts, value: int, length: int) -> float:
    """Bytes that one block keeps of a token for learning, where its row has so many tokens.

    value: bytes of a number that is computed with; norms keep theirs in fp32. Found by listing what autograd keeps
    of Llama, Gemma 2 and Gemma 3 blocks of several sizes: exact there.
    """
    queries, keys = facts.heads * facts.head_size, facts.kv_heads * facts.head_size
    targets = set(lora.targets) if lora else set()
    inputs = {name: facts.matrices[name][0] for name in targets if name in facts.matrices}
    kept = 4.0 * facts.norms * facts.width + (3 if facts.gated else 2) * facts.inner * value + 4 * queries * value
    if facts.qk_norm:
        kept += 4.0 * (queries + keys)
    if lora and lora.dropout:
        kept += sum(inputs.values()) * (4 + value)  # the mask, and what is left
    elif value == 4:  # adapters of the same input share it
        attention = facts.width if targets & {"q_proj", "k_proj", "v_proj"} else 0
        mlp = facts.width if targets & {"gate_proj", "up_proj", "fc1"} else 0
        down = facts.inner if targets & {"down_proj", "fc2"} else 0
        kept += 4.0 * (attention + mlp + down)
    else:
        kept += sum(inputs.values()) * value
    kept += len(targets) * (lora.r if lora else 0) * value
    return kept + (8.0 * facts.heads * length if facts.plain_attention else value * length + 4.0 * facts.heads)


def _logits_bytes(facts: BaseFacts, target: Target, tokens: int, value: int, whole: bool) -> float:
    if whole:
        return tokens * facts.vocabulary * 4.0 * FULL_LOGITS_COPIES
    tile = min(tokens, TILE_TOKENS) * min(facts.vocabulary, TILE_WORDS)
    return tile * value if target.is_gpu else tile * 4.0 * TILE_COPIES


def cell_bytes(facts: BaseFacts, value: int) -> int:
    """Bytes of the keys and values of a token."""
    return facts.layers * facts.kv_heads * facts.head_size * 2 * value


def _answers_gb(recipe: Recipe, stage: Stage, facts: BaseFacts, lengths: Lengths | None, value: int) -> float:
    """The larger of GRPO's round of answers and those to the held-out rows."""
    sizes = [0.0]
    if isinstance(stage, GrpoStage):
        sizes.append(_written(generated_at_once(stage), sum(row_tokens(stage, lengths)), facts, value))
    if recipe.held_out.rows:
        prompt = lengths.prompt if lengths else row_tokens(stage, None)[0]
        many = min(recipe.held_out.rows, recipe.held_out.batch_size)
        sizes.append(_written(many, prompt + recipe.held_out.max_new_tokens, facts, value))
    return max(sizes) / GB


def _written(rows: int, tokens: int, facts: BaseFacts, value: int) -> float:
    """Keys and values, and the scores of the words of one step in three copies."""
    return float(rows * tokens * cell_bytes(facts, value) + 3 * rows * facts.vocabulary * 4)


# Advice


def _advice(recipe: Recipe, number: int, facts: BaseFacts, target: Target, lengths: Lengths | None) -> str:
    """What makes it fit: the changes that cost least, each added to those before it, and the GPU that needs none."""
    changed = recipe
    changes: dict[str, Any] = {}
    for together in _changes(recipe, number, facts):
        tried = changed
        for key, value in together.items():
            tried = _with(tried, number, key, value)
        if _total(tried, number, facts, target, lengths) > LEAST_GAIN * _total(changed, number, facts, target, lengths):
            continue
        changed = tried
        changes |= together
        if _total(changed, number, facts, target, lengths) <= target.memory_gb:
            break
    said = []
    if _total(changed, number, facts, target, lengths) <= target.memory_gb:
        flags = " ".join(f"--set {key}={str(value).lower()}" for key, value in changes.items())
        said.append(f"It fits with {flags}.")
    others = (gpu for gpu in GPUS.values() if gpu.memory_gb > target.memory_gb)
    fitting = next((gpu for gpu in others if _total(recipe, number, facts, gpu, lengths) <= gpu.memory_gb), None)
    if fitting:
        said.append(f"As it is it fits on one {fitting.name}.")
    return " ".join(said) or "No setting here makes it fit: choose a smaller base."


def _total(recipe: Recipe, number: int, facts: BaseFacts, target: Target, lengths: Lengths | None) -> float:
    return sum(_peak(recipe, number, facts, target, lengths)[0].values())


def _changes(recipe: Recipe, number: int, facts: BaseFacts) -> Iterator[dict[str, Any]]:
    """Settings that save memory, with their values, those that cost least first."""
    stage, place = recipe.stages[number], f"stages.{number}."
    many = recipe.held_out.batch_size
    while recipe.held_out.rows and (many := many // 2):
        yield {"held_out.batch_size": many}
    if not stage.gradient_checkpointing:
        yield {f"{place}gradient_checkpointing": True}
    least = 2 if stage.kind == "kto" else 1
    batch, accumulation = stage.per_device_train_batch_size, stage.gradient_accumulation_steps
    while batch % 2 == 0 and batch // 2 >= least:
        batch, accumulation = batch // 2, accumulation * 2
        sizes = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
        yield {f"{place}{name}": value for name, value in sizes.items()}
    if stage.precision != "nf4" and not facts.packing:
        yield {f"{place}precision": "nf4", f"{place}double_quant": True}
    field = "max_prompt_length" if isinstance(stage, GrpoStage) else "max_length"
    yield {f"{place}{field}": math.ceil(getattr(stage, field) / 2)}


def _with(recipe: Recipe, number: int, key: str, value: Any) -> Recipe:
    """The recipe with one setting changed; nothing is checked."""
    part, _, field = key.rpartition(".")
    if part == "held_out":
        return recipe.model_copy(update={"held_out": recipe.held_out.model_copy(update={field: value})})
    stages = list(recipe.stages)
    stages[number] = stages[number].model_copy(update={field: value})
    return recipe.model_copy(update={"stages": stages})

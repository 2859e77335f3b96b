"""What a run will take: parameters, memory by parts, what to change when it does not fit, and the time."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_training import pair, write_data, write_recipe, write_rows
from tiny_training import stage as tiny_stage

from medchat.catalogue import Catalogue
from medchat.errors import InvalidInput
from medchat.grounding_fit import fitted_or_loaded
from medchat.knowledge import load_cases, load_knowledge
from medchat.machine import Gpu, Machine, gpus_in
from medchat.rundir import RunDir
from medchat.settings import ASSETS
from train.base_facts import BaseFacts, facts_of, facts_of_config, facts_of_size
from train.demo.dataset import N_TRAIN
from train.estimate import (
    GPUS,
    Target,
    adapter_parameters,
    block_bytes,
    compute_bytes,
    estimate,
    machines,
    nf4_bytes,
    require_fit,
    weights_gb,
)
from train.outlook import NOT_KNOWN, outlook, step_seconds, words
from train.plan import Rows, find_data, resolve_base
from train.recipe_schema import Lora, Recipe
from train.recipes import load_recipe, with_overrides
from train.row_lengths import LESSONS, Lengths, longest

ROOT = Path(__file__).resolve().parent.parent
HERE = Machine(memory_gb=24.0, gpu=None, free_gb=20.0)
THIS = machines(HERE)["this"]
GEMMA_1B = {
    "model_type": "gemma3_text", "hidden_size": 1152, "intermediate_size": 6912, "num_hidden_layers": 26,
    "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 262144,
}  # fmt: skip
GEMMA_27B = GEMMA_1B | {
    "hidden_size": 5376, "intermediate_size": 21504, "num_hidden_layers": 62, "num_attention_heads": 32,
    "num_key_value_heads": 16, "head_dim": 128, "vocab_size": 262208,
}  # fmt: skip


def demo_facts() -> BaseFacts:
    return facts_of_config(json.loads((ASSETS / "demo" / "demo-base" / "config.json").read_text()))


def test_parameters_are_counted_from_the_config() -> None:
    # q, o: 1152 x 1024 each; k, v: 1152 x 256 each; MLP: 3 x 1152 x 6912; 4 norms of 1152; embeddings once
    block = 2 * 1152 * 1024 + 2 * 1152 * 256 + 3 * 1152 * 6912 + 4 * 1152
    assert facts_of_config(GEMMA_1B).parameters == 26 * block + 262144 * 1152 == 999_871_488
    # 5 blocks of 4 x 256 x 256 and 3 x 256 x 704 and 2 norms; 4096 x 256 once
    assert demo_facts().parameters == 5 * (4 * 65536 + 3 * 180224 + 512) + 1048576 == 5_065_216


def test_the_text_part_of_a_model_that_sees_images_counts() -> None:
    both = {"model_type": "gemma3", "text_config": GEMMA_27B, "vision_config": {"hidden_size": 1152}}
    assert facts_of_config(both) == facts_of_config(GEMMA_27B)
    assert 26e9 < facts_of_config(both).parameters < 28e9


def test_a_base_that_is_not_here_is_guessed_from_its_size_and_says_so() -> None:
    for billions in (1, 3, 7, 27):
        guessed = facts_of_size(billions * 1e9)
        assert guessed.parameters == pytest.approx(billions * 1e9, rel=0.01)
        assert not guessed.known
    spec = Catalogue(Path("models"))["gemma-3-1b-it"]
    assert facts_of(spec, None).parameters == pytest.approx(1e9, rel=0.01)
    with pytest.raises(InvalidInput, match=r"^How large Gemma 3 1B is, is not known before it is fetched\.$"):
        facts_of(replace(spec, parameters=None), None)


def test_a_weight_of_four_bits_carries_its_part_of_the_scales() -> None:
    assert nf4_bytes(False) == 0.5 + 4 / 64 == 0.5625
    # One byte for 64 weights, and 4 bytes for 256 such bytes.
    assert nf4_bytes(True) == 0.5 + 1 / 64 + 4 / (64 * 256)


def test_embeddings_are_not_quantised() -> None:
    recipe = load_recipe("gemma2-2b-symptom-diagnosis")
    facts = facts_of_config(GEMMA_1B)
    in_blocks = facts.parameters - 262144 * 1152
    # and one matrix of 1152 x 6912 is unpacked at a time, to 2 bytes
    expected = in_blocks * nf4_bytes(True) + 262144 * 1152 * 2 + 1152 * 6912 * 2
    assert weights_gb(recipe.stages[0], facts, GPUS["T4"]) == pytest.approx(expected / 1e9)


def test_bf16_is_counted_as_fp32_where_the_gpu_has_none() -> None:
    stage = load_recipe("gemma3-1b-grpo").stages[0]
    facts = facts_of_config(GEMMA_1B)
    assert [compute_bytes(stage, GPUS[name]) for name in ("T4", "A100-40")] == [4, 2]
    assert weights_gb(stage, facts, GPUS["T4"]) == 2 * weights_gb(stage, facts, GPUS["A100-40"])
    half = stage.model_copy(update={"compute": "fp16"})
    assert [compute_bytes(half, target) for target in (GPUS["T4"], THIS)] == [2, 4]


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
@pytest.mark.parametrize(
    "lora",
    [
        Lora(r=4, alpha=8, targets=["q_proj", "v_proj"]),
        Lora(r=4, alpha=8, dropout=0.1, targets=["q_proj", "k_proj", "v_proj", "o_proj"]),
        Lora(r=8, alpha=8, targets=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]),
    ],
    ids=["two", "dropout", "all"],
)
def test_what_a_block_keeps_is_what_autograd_keeps(architecture: str, lora: Lora, tmp_path: Path) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from tiny_hf import write_random_model
    from transformers import AutoModelForCausalLM

    folder = write_random_model(tmp_path / "base", architecture)
    facts = facts_of_config(json.loads((folder / "config.json").read_text()))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.requires_grad_(False)
    settings = LoraConfig(
        r=lora.r, lora_alpha=8, lora_dropout=lora.dropout, target_modules=list(lora.targets), task_type="CAUSAL_LM"
    )
    adapted = get_peft_model(model, settings).train()
    trained = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    assert adapter_parameters(lora, facts) == trained

    rows, length = 3, 50
    own = {weight.untyped_storage().data_ptr() for weight in adapted.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Any) -> Any:
        if (tensor.untyped_storage().data_ptr() not in own and rows in tensor.shape) or rows * length in tensor.shape:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    mask = torch.ones(rows, length)
    mask[0, :7] = 0  # rows of different lengths, as in training
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = model.model(input_ids=torch.randint(5, 99, (rows, length)), attention_mask=mask, use_cache=False)
    counted = facts.layers * block_bytes(lora, facts, 4, length) * rows * length
    assert counted == pytest.approx(sum(kept.values()), rel=0.08)
    assert hidden.last_hidden_state.requires_grad


def with_facts(config: dict[str, Any], name: str, number: int, target: Target, *overrides: str) -> Any:
    return estimate(load_recipe(name, overrides), number, facts_of_config(config), target)


def test_the_parts_add_up_and_say_when() -> None:
    found = with_facts(GEMMA_1B, "gemma3-1b-grpo", 0, GPUS["A100-40"])
    assert found.total_gb == pytest.approx(sum(found.parts.values()))
    assert set(found.parts) == {"libraries", "weights", "adapter and optimiser", "activations", "scores of the words"}
    assert (found.moment, found.fits, found.advice) == ("learning", True, "")
    many = with_facts(GEMMA_1B, "gemma3-1b-grpo", 0, GPUS["A100-40"], "held_out.batch_size=100",
                      "held_out.max_new_tokens=8000")  # fmt: skip
    # 100 rows of 768 + 8000 tokens: 26 blocks x 1 head x 256 x 2 values of 2 bytes, and 3 x 100 x 262144 x 4 bytes
    written = 100 * 8768 * 26 * 256 * 2 * 2 + 3 * 100 * 262144 * 4
    assert many.moment == "writing answers"
    assert many.parts["answers being written"] == pytest.approx(written / 1e9)


def test_checkpointing_shorter_rows_and_smaller_batches_take_less() -> None:
    def activations(*overrides: str) -> float:
        found = with_facts(GEMMA_27B, "medgemma-27b-lora", 0, GPUS["H200"], "held_out.rows=0", *overrides)
        return found.parts["activations"]

    most = activations("stages.0.gradient_checkpointing=false")
    assert activations() < most / 10
    assert activations("stages.0.max_length=512") < activations()
    assert activations("stages.0.per_device_train_batch_size=1") == pytest.approx(activations() / 2)


def test_the_data_s_own_lengths_count_where_they_are_known() -> None:
    recipe = load_recipe("demo-sft")
    short = estimate(recipe, 0, demo_facts(), THIS, Lengths(prompt=100, row=200))
    assert short.total_gb < estimate(recipe, 0, demo_facts(), THIS).total_gb
    beyond = estimate(recipe, 0, demo_facts(), THIS, Lengths(prompt=2000, row=4000))  # longer rows are left out
    assert beyond.parts["activations"] == estimate(recipe, 0, demo_facts(), THIS).parts["activations"]


def test_what_cannot_fit_is_refused_with_changes_that_make_it_fit() -> None:
    recipe = load_recipe("medgemma-27b-lora")
    facts, card = facts_of_config(GEMMA_27B), Target("the card", 24, 24)
    found = estimate(recipe, 0, facts, card)
    assert not found.fits
    with pytest.raises(InvalidInput, match=r"^Stage 1: SFT needs about [\d.]+ GB of memory, the card has 24 GB\."):
        require_fit("0-sft", found, card)
    flags = [part.rstrip(".") for part in found.advice.split() if "=" in part]
    assert "stages.0.precision=nf4" in flags
    assert estimate(with_overrides(recipe, flags), 0, facts, card).fits
    assert found.advice.endswith("As it is it fits on one A100 (40 GB).")


def test_where_nothing_helps_it_says_so() -> None:
    tiny = Target("a watch", 0.5, 0.5)
    found = estimate(load_recipe("demo-sft"), 0, demo_facts(), tiny)
    assert found.advice == "As it is it fits on one T4 (16 GB, no bf16)."
    huge = facts_of_size(600e9)
    assert estimate(load_recipe("medgemma-27b-lora"), 0, huge, GPUS["H200"]).advice == (
        "The base is not here yet: its shape is a guess from its number of parameters."
        " No setting here makes it fit: choose a smaller base."
    )


@pytest.mark.parametrize(
    ("listed", "like", "free_gb"),
    [
        ("Tesla T4, 15360, 14923, 7.5", "T4", 15.6),
        ("NVIDIA A100-PCIE-40GB, 40960, 40000, 8.0", "A100-40", 41.9),
        ("NVIDIA A100 80GB PCIe, 81920, 80000, 8.0", "A100-80", 83.9),
        ("NVIDIA H200, 143771, 143000, 9.0", "H200", 149.9),
    ],
)
def test_the_gpu_of_this_machine_is_as_fast_as_the_known_one_that_it_is(listed: str, like: str, free_gb: float) -> None:
    [gpu] = gpus_in(listed)
    this, known = machines(Machine(24.0, gpu, 20.0))["this"], GPUS[like]
    assert this.name == f"the GPU of this machine ({gpu.name})"
    assert this.free_gb == pytest.approx(free_gb, abs=0.1)
    assert this.memory_gb == gpu.memory_gb
    same = ("is_gpu", "has_bf16", "tflops", "tflops_fp32", "bandwidth_gb_s")
    assert [getattr(this, name) for name in same] == [getattr(known, name) for name in same]


@pytest.mark.parametrize(
    ("listed", "has_bf16"), [("Quadro RTX 6000, 24576, 24000, 7.5", False), ("NVIDIA L4, 23034, 22000, 8.9", True)]
)
def test_whether_another_gpu_has_bf16_is_told_by_its_capability(listed: str, has_bf16: bool) -> None:
    [gpu] = gpus_in(listed)
    this = machines(Machine(24.0, gpu, 20.0))["this"]
    assert (this.has_bf16, this.tflops) == (has_bf16, 0)
    stage = load_recipe("gemma3-1b-grpo").stages[0]
    assert compute_bytes(stage, this) == (2 if has_bf16 else 4)


def test_cards_that_are_called_like_a_known_one_are_not_taken_for_it() -> None:
    for name in ("NVIDIA T400 4GB", "NVIDIA GH200 480GB"):
        assert machines(Machine(24.0, Gpu(name, 4, 4, 7.5), 20.0))["this"].tflops == 0


def test_memory_that_others_use_now_is_said() -> None:
    busy = machines(Machine(24.0, None, 1.0))["this"]
    found = estimate(load_recipe("demo-sft"), 0, demo_facts(), busy)
    assert found.fits
    assert found.advice == "Only 1 GB are free now: close other programs first."


# The length of the rows


def test_the_longest_rows_are_as_long_as_the_trainer_makes_them(tmp_path: Path) -> None:
    from tiny_hf import write_random_model

    from train.completions import Encoder

    base = write_random_model(tmp_path / "tiny-llama")
    rows = [{**pair(n), "context": "A case. " * n} for n in range(60)]
    path = write_rows(tmp_path / "dpo.jsonl", rows)
    recipe = load_recipe(str(write_recipe(tmp_path / "r.yaml", base, tmp_path, [tiny_stage("dpo")])))
    spec = resolve_base(recipe, Catalogue(tmp_path), tmp_path).spec
    found = longest(Rows("dpo", path, None, None, {"train": 60, "validation": 0, "test": 0}), spec, base)

    encoder = Encoder(spec, base, None)
    prompts, whole = [], []
    for row in rows:
        messages = encoder.messages(str(row["question"]), str(row["context"]))
        prompts.append(encoder.prompt(messages, 9999) or [])
        for column in ("chosen", "rejected"):
            answer = encoder.answer(messages, prompts[-1], row[column]["reasoning"], row[column]["solution"])
            whole.append(len(prompts[-1]) + len(answer))
    assert abs(found.prompt - max(map(len, prompts))) <= 24  # what the template puts around it is only about known
    assert abs(found.row - max(whole)) <= 24


def test_the_lessons_that_are_made_later_are_those_of_the_teaching_facts_as_they_are() -> None:
    knowledge = load_knowledge()
    made_from = (knowledge.digest[:12], load_cases(knowledge).digest[:12])
    stale = "the teaching facts changed: measure LESSONS again, the slow test below says the lengths"
    assert made_from == LESSONS.made_from, stale
    assert LESSONS.n_train == N_TRAIN


@pytest.mark.slow
def test_the_lessons_that_are_made_later_are_as_long_as_is_said(tmp_path: Path) -> None:
    recipe, grounder = load_recipe("demo-sft"), fitted_or_loaded(tmp_path)
    base = resolve_base(recipe, Catalogue(tmp_path), tmp_path)
    data = find_data(recipe, None, tmp_path, lambda _: None)
    assert longest(data.rows[0], base.spec, base.folder, grounder) == LESSONS.lengths
    assert data.rows[0].n["train"] == LESSONS.n_train


def test_the_demo_is_estimated_by_its_lessons_before_they_are_made(tmp_path: Path) -> None:
    recipe = load_recipe("demo-sft", ["stages.0.max_steps=0", "stages.0.num_train_epochs=2"])
    base = resolve_base(recipe, Catalogue(tmp_path), tmp_path)
    [found] = outlook(recipe, base.spec, base.folder, LESSONS, HERE, tmp_path)
    known = estimate(recipe, 0, demo_facts(), THIS, LESSONS.lengths)
    assert found.estimate.total_gb == known.total_gb
    # 2,000 rows in batches of 8, twice
    assert found.steps == 500
    # measured on Linux x86-64 with one thread: 1.94 to 1.99 GB
    assert found.estimate.total_gb == pytest.approx(1.96, rel=0.3)


# The time


def earlier_run(folder: Path, recipe: Recipe, seconds: float) -> None:
    """A run as its process leaves it: a step in so many seconds, with an evaluation after the second."""
    config = {"kind": "train", "recipe": recipe.resolved(), "base": {"id": "demo-base"}}
    lines = [{"step": step, "stage": "0-sft", "time": 1000 + seconds * step, "loss": 1.0} for step in (1, 2, 3, 4)]
    lines.insert(2, {"step": 2, "stage": "0-sft", "time": 1000 + seconds * 2 + 500, "eval_loss": 1.0})
    with RunDir(folder).begin(config, 4):
        pass
    (folder / "progress.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_time_is_that_of_earlier_runs_of_the_same_recipe_here(tmp_path: Path) -> None:
    recipe = load_recipe("demo-sft")
    assert step_seconds(tmp_path, recipe, 0, "demo-base") is None
    earlier_run(tmp_path / "slow", recipe, 8.0)
    earlier_run(tmp_path / "fast", recipe, 5.0)
    earlier_run(tmp_path / "other", with_overrides(recipe, ["stages.0.per_device_train_batch_size=1"]), 0.5)
    # the evaluation stands between steps 2 and 3: what is left is 1 to 2 and 3 to 4
    assert step_seconds(tmp_path, recipe, 0, "demo-base") == (5.0, 8.0)
    assert step_seconds(tmp_path, recipe, 0, "demo") is None


def test_the_outlook_has_memory_steps_and_time_of_each_stage(tmp_path: Path) -> None:
    recipe = load_recipe("demo-sft", ["stages.0.max_steps=60"])
    base = resolve_base(recipe, Catalogue(tmp_path), tmp_path)
    data = find_data(recipe, write_data(tmp_path / "data"), tmp_path, lambda _: None)
    earlier_run(tmp_path / "runs" / "a", recipe, 2.0)

    def one(machine: str, runs: str) -> Any:
        [found] = outlook(recipe, base.spec, base.folder, data, HERE, tmp_path / runs, machine=machine)
        return found

    here = one("this", "runs")
    assert (here.name, here.steps, here.seconds) == ("0-sft", 60, (120.0, 120.0))
    assert words(here.seconds, here.basis) == "about 2 minutes (as fast as earlier runs of this recipe here)"
    assert words(one("this", "none").seconds, "") == NOT_KNOWN
    t4 = one("T4", "runs")
    assert t4.basis == "from the number of operations"
    assert 0 < t4.seconds[0] < t4.seconds[1]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ((0.2, 1.2), "about a second (x)"),
        ((50, 100), "50 seconds to 1.7 minutes (x)"),
        ((1000, 1000), "about 17 minutes (x)"),
        ((4000, 40000), "67 minutes to 11 hours (x)"),
        ((400000, 4000000), "4.6 days to 46 days (x)"),
    ],
)
def test_time_is_said_as_people_would(seconds: tuple[float, float], said: str) -> None:
    assert words(seconds, "x") == said


# Against what is measured


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "few"),
    [
        ("demo-sft", ["stages.0.max_steps=4", "stages.0.eval_steps=0"]),
        ("demo-grpo", ["stages.0.max_steps=2", "stages.1.max_steps=3"]),
        ("demo-dpo", ["stages.0.max_steps=4", "stages.0.eval_steps=0"]),
    ],
)
def test_on_this_machine_the_estimate_is_within_30_percent_of_the_measured_peak(
    name: str, few: list[str], tmp_path: Path
) -> None:
    overrides = [*few, "held_out.rows=4"]
    recipe = load_recipe(name, overrides)
    data_dir, run = tmp_path / "data-dir", tmp_path / "run"
    cache = data_dir / "cache"
    data = find_data(load_recipe("demo-sft"), None, cache, lambda _: None)
    given: Path | None = None
    if name == "demo-dpo":
        lines = [json.loads(line) for line in data.rows[0].train.read_text().splitlines()[:200]]
        pairs = [
            {"question": row["question"], "context": row["context"],
             "chosen": {"reasoning": row["rationale"], "solution": row["answer"]},
             "rejected": {"reasoning": row["rationale"], "solution": "Not known."},
             "split": "validation" if number % 10 == 0 else "train"}
            for number, row in enumerate(lines)
        ]  # fmt: skip
        given = tmp_path / "pairs"
        given.mkdir()
        write_rows(given / "dpo.jsonl", pairs)
        data = find_data(recipe, given, cache, lambda _: None)
    elif name == "demo-grpo":
        data = find_data(recipe, None, cache, lambda _: None)
    base = resolve_base(recipe, Catalogue(tmp_path), tmp_path)
    found = outlook(recipe, base.spec, base.folder, data, HERE, tmp_path, grounder=fitted_or_loaded(cache))
    command = [sys.executable, "-m", "train", "run", name, "--run-dir", str(run), "--data-dir", str(data_dir)]
    command += [part for override in overrides for part in ("--set", override)] + ["--threads", "1"]
    command += ["--data", str(given)] if given else []

    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    measured = max(row["memory_gb"] for row in RunDir(run).progress())
    assert max(one.estimate.total_gb for one in found) == pytest.approx(measured, rel=0.3)

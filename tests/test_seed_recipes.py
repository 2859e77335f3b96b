"""Each recipe, with its own quantisation and optimiser, on a tiny random model of its own architecture."""

from pathlib import Path
from typing import Any

import pytest
from tiny_hf import write_random_model
from tiny_training import run_recipe, write_data

from medchat.rundir import RunDir
from train.recipes import load_recipe

pytestmark = pytest.mark.slow

STEPS = 3
CASES = [
    ("gemma3-1b-grpo", "gemma3", []),
    ("gemma2-2b-symptom-diagnosis", "gemma2", []),
    ("gemma2-2b-symptom-diagnosis", "mistral", ["base=biomistral-7b"]),
    ("gemma2-2b-symptom-diagnosis", "llama", ["base=medalpaca-7b"]),
    ("gemma2-2b-symptom-diagnosis", "biogpt", ["base=biogpt-large"]),
    ("llama32-3b-cot", "llama", []),
    ("llama31-8b-cot", "llama", []),
    ("medgemma-27b-lora", "gemma3", []),
    ("medgemma-27b-grpo", "gemma3", []),
    ("demo-sft", "llama", []),
    ("demo-grpo", "llama", []),
    ("demo-dpo", "llama", []),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


def base_of(recipe: Any, architecture: str, folder: Path) -> Path:
    """A tiny model; where the recipe's own is a repository of 4-bit weights, it is packed so too."""
    write_random_model(folder / "tiny", architecture)
    if not recipe.base.endswith("-bnb-4bit"):
        return folder / "tiny"
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(folder / "tiny", quantization_config=config, device_map="cpu")
    model.save_pretrained(folder / "packed")
    AutoTokenizer.from_pretrained(folder / "tiny").save_pretrained(folder / "packed")
    return folder / "packed"


@pytest.mark.parametrize(("name", "architecture", "overrides"), CASES)
def test_three_steps_of_each_stage(
    name: str, architecture: str, overrides: list[str], data: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(name, overrides)
    base = base_of(recipe, architecture, tmp_path)
    sets = [*overrides, f"base={base}", "held_out.rows=2", "held_out.training_rows=2", "held_out.max_new_tokens=8"]
    sets.append("held_out.suite=''")
    for number, stage in enumerate(recipe.stages):
        of_stage = {
            "max_steps": STEPS,
            "keep_step": STEPS if stage.keep_step else 0,
            "eval_steps": STEPS if stage.eval_steps else 0,
            "logging_steps": 1,
        }
        if stage.kind == "grpo":
            of_stage["max_completion_length"] = 16
        sets += [f"stages.{number}.{name}={value}" for name, value in of_stage.items()]

    result = run_recipe(name, tmp_path / "run", overrides=sets, data=data)

    assert result
    assert [one["final_step"] for one in result["stages"]] == [STEPS] * len(recipe.stages)
    rows = RunDir(tmp_path / "run").progress()
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3] * len(recipe.stages)
    if recipe.stages[0].kind == "sft":  # something is learnt: a frozen adapter has no gradient
        assert all(row["grad_norm"] > 0 for row in rows if row["stage"] == "0-sft" and "loss" in row)
    used = RunDir(tmp_path / "run").config()["used"]["stages"][0]
    assert used["weights"] == recipe.stages[0].precision

"""Weights and adapters into GGUF: what is refused in one line, and that what is written answers as before."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from medchat.backends.llamacpp import LlamaCppBackend
from medchat.errors import InvalidInput
from medchat.records import Message, Request, Sampling, Text
from medchat.settings import ASSETS
from train.__main__ import main
from train.export import adapter_to_gguf, to_gguf

DEMO = ASSETS / "demo" / "demo"
Q_PROJ = "model.layers.0.self_attn.q_proj"


def adapter_folder(folder: Path, *, width: int = 64, module: str = Q_PROJ, **config: Any) -> Path:
    """A LoRA of rank 2 as PEFT writes it."""
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4} | config))
    halves = {"A": np.ones((2, width), np.float32), "B": np.ones((width, 2), np.float32)}
    save_file(
        {f"base_model.model.{module}.lora_{half}.weight": weight for half, weight in halves.items()},
        folder / "adapter_model.safetensors",
    )
    return folder


def base_folder(folder: Path, *, width: int = 64) -> Path:
    """A folder that looks like a model of transformers with one matrix."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    save_file({f"{Q_PROJ}.weight": np.ones((width, width), np.float32)}, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"use_rslora": True}, r"rank-stabilised scaling \(rsLoRA\)"),
        ({"use_dora": True}, "DoRA"),
        ({"rank_pattern": {"q_proj": 4}}, r"other ranks for some layers \(rank_pattern\)"),
        ({"alpha_pattern": {"q_proj": 4}}, r"other scales for some layers \(alpha_pattern\)"),
        ({"modules_to_save": ["lm_head"]}, r"whole modules \(modules_to_save\)"),
        ({"bias": "all"}, r"biases \(bias\)"),
        ({"peft_type": "IA3"}, "IA3 instead of LoRA"),
    ],
)
def test_an_adapter_that_gguf_cannot_hold_is_to_be_merged_first(
    config: dict[str, Any], what: str, tmp_path: Path
) -> None:
    adapter = adapter_folder(tmp_path / "lora", **config)
    with pytest.raises(
        InvalidInput,
        match=rf"^The adapter 'lora' uses {what}, which a GGUF adapter cannot hold; merge it into its base",
    ):
        adapter_to_gguf(adapter, base_folder(tmp_path / "base"), tmp_path / "out.gguf", tmp_path)
    assert not (tmp_path / "out.gguf").exists()


@pytest.mark.parametrize(
    ("adapter", "line"),
    [
        ({"width": 128}, r"layers\.0\.self_attn\.q_proj is 128 x 128 in its own and is 64 x 64 in this one\.$"),
        (
            {"module": "model.layers.7.self_attn.q_proj"},
            r"layers\.7\.self_attn\.q_proj is 64 x 64 in its own and is not there in this one\.$",
        ),
    ],
    ids=["width", "depth"],
)
def test_an_adapter_for_another_base_is_refused_with_both_names(
    adapter: dict[str, Any], line: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=r"^The adapter 'lora' was made for another base than 'base': " + line):
        adapter_to_gguf(
            adapter_folder(tmp_path / "lora", **adapter), base_folder(tmp_path / "base"), tmp_path / "out", tmp_path
        )


def not_json(folder: Path) -> None:
    (adapter_folder(folder) / "adapter_config.json").write_text("{")


def no_weights(folder: Path) -> None:
    (adapter_folder(folder) / "adapter_model.safetensors").unlink()


def damaged(folder: Path) -> None:
    weights = adapter_folder(folder) / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])


def empty_model(folder: Path) -> None:
    (base_folder(folder) / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("write", "options", "line"),
    [
        (lambda folder: None, [], "There is no folder 'given'."),
        (
            lambda folder: folder.mkdir(),
            [],
            "The folder 'given' is no model of transformers: it has no config.json.",
        ),
        (empty_model, [], "The folder 'given' holds no weights; its download may not be complete."),
        (
            base_folder,
            ["--base", "base"],
            "--base is for adapters, and 'given' is none: it has no adapter_config.json.",
        ),
        (
            adapter_folder,
            [],
            "This is an adapter: give its base with --base, and no --type (it is written in f32).",
        ),
        (adapter_folder, ["--base", "nowhere"], "There is no folder 'nowhere'."),
        (not_json, ["--base", "base"], "The adapter_config.json of 'given' is not valid JSON."),
        (no_weights, ["--base", "base"], "The adapter 'given' holds no weights; its download may not be complete."),
        (
            damaged,
            ["--base", "base"],
            "The weights 'adapter_model.safetensors' are damaged or incomplete; fetch them again.",
        ),
    ],
    ids=["missing", "empty", "no-weights", "base-too-much", "no-base", "base-missing", "json", "no-lora", "damaged"],
)
def test_the_command_says_in_one_line_what_is_wrong(
    write: Callable[[Path], object],
    options: list[str],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "given")
    base_folder(tmp_path / "base")
    status = main(["export", "given", "--to", "gguf", "--out", "out.gguf", "--data-dir", "data", *options])
    assert status == 1
    assert capsys.readouterr().err == f"train: {line}\n"
    assert not (tmp_path / "out.gguf").exists()


# With the converter, which is fetched once


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def greedy(path: Path, prompt: str, adapter: Path | None = None) -> str:
    backend = LlamaCppBackend(path, adapter=adapter, n_ctx=512)
    request = Request((Message("user", prompt),), Sampling(max_new_tokens=30), raw=True)
    try:
        return "".join(event.text for event in backend.generate([request]) if isinstance(event, Text))
    finally:
        backend.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_converted_model_with_its_converted_adapter_writes_what_transformers_writes(
    tmp_path: Path, cache_dir: Path
) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(1)
    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(DEMO, dtype=torch.float32),
        LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False),
    )
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.05)
    model.save_pretrained(tmp_path / "lora")
    to_gguf(DEMO, tmp_path / "demo.gguf", "f16", cache_dir)
    adapter_to_gguf(tmp_path / "lora", DEMO, tmp_path / "lora.gguf", cache_dir)
    prompts = ["A 60-year-old woman has a fever and a cough.", "The findings are"]

    def with_transformers(prompt: str) -> str:
        ids = tokenizer(prompt, return_tensors="pt").input_ids
        made = model.generate(input_ids=ids, max_new_tokens=30, do_sample=False)
        return str(tokenizer.decode(made[0, ids.shape[1] :])).removesuffix(tokenizer.eos_token)

    adapted = [with_transformers(prompt) for prompt in prompts]
    with model.disable_adapter():
        plain = [with_transformers(prompt) for prompt in prompts]

    assert adapted != plain
    assert [greedy(tmp_path / "demo.gguf", prompt, tmp_path / "lora.gguf") for prompt in prompts] == adapted
    assert [greedy(tmp_path / "demo.gguf", prompt) for prompt in prompts] == plain


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_command_writes_a_model_in_the_wanted_type(
    tmp_path: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "demo.gguf"
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "cache").symlink_to(cache_dir)
    arguments = ["export", str(DEMO), "--to", "gguf", "--out", str(out), "--type", "q8_0"]
    assert main([*arguments, "--data-dir", str(data_dir)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert out.stat().st_size == pytest.approx((ASSETS / "demo" / "demo-q8_0.gguf").stat().st_size, rel=0.01)
    assert [path.name for path in out.parent.iterdir()] == ["demo.gguf"]

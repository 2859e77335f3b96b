"""Weights and adapters into GGUF: what is refused in one line, and that what is written answers as before."""

import json
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from tiny_hf import write_adapter

from medchat.backends.llamacpp import LlamaCppBackend
from medchat.catalogue import Catalogue
from medchat.errors import InvalidInput, MedChatError
from medchat.models_file import row_of
from medchat.records import Message, Request, Sampling, Text
from medchat.rundir import RunDir
from medchat.settings import ASSETS
from train.__main__ import main
from train.export import adapter_to_gguf, converter, to_gguf
from train.plan import Base

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
        (
            lambda folder: None,
            [],
            "There is no run and no folder 'given'; `python -m medchat jobs list` lists the runs.",
        ),
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


def test_of_a_folder_only_gguf_can_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = base_folder(tmp_path / "given")
    assert main(["export", str(folder), "--to", "merged", "--data-dir", str(tmp_path)]) == 1
    assert "is no run; of a folder only --to gguf with --out FILE can be made." in capsys.readouterr().err


def test_a_run_from_which_nothing_came_cannot_be_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with RunDir(tmp_path / "runs" / "early").begin({"kind": "train"}, 5):
        pass
    assert main(["export", "early", "--to", "gguf", "--data-dir", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        "train: No model has come out of 'early' yet; let the run end first.\n"
    )  # fmt: skip


# The converter, which is fetched once


def source_archive(folder: Path, release: str) -> Path:
    """A source archive as that of llama-cpp-python, which builds itself with nothing but what is in it."""
    inside = f"llama_cpp_python-{release}"
    metadata = f"Metadata-Version: 2.1\nName: llama-cpp-python\nVersion: {release}\n"
    backend = f'''
import os
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    os.mkdir(os.path.join(folder, "{inside}.dist-info"))
    with open(os.path.join(folder, "{inside}.dist-info", "METADATA"), "w") as file:
        file.write({metadata!r})
    return "{inside}.dist-info"
'''
    files = {
        "PKG-INFO": metadata,
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = ["."]\n',
        "own.py": backend,
        "vendor/llama.cpp/convert_hf_to_gguf.py": "converts",
        "vendor/llama.cpp/llama.cpp": "is not needed",
    }
    for name, text in files.items():
        path = folder / inside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with tarfile.open(folder / f"{inside}.tar.gz", "w:gz") as tar:
        tar.add(folder / inside, inside)
    return folder


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path | None], None]:
    """Where pip finds archives: in a folder, or on a registry that cannot be reached (None)."""

    def use(folder: Path | None) -> None:
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_FIND_LINKS", str(folder or ""))
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
        monkeypatch.setenv("PIP_NO_INDEX", "1" if folder else "0")
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")

    return use


def test_the_converter_is_fetched_once_and_that_is_said_before(
    registry: Callable[[Path | None], None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    release = version("llama-cpp-python")
    said: list[str] = []
    registry(source_archive(tmp_path / "archives", release))
    first = converter(tmp_path / "cache", said.append)
    registry(None)
    second = converter(tmp_path / "cache", said.append)
    assert (first, [path.name for path in first.iterdir()]) == (second, ["convert_hf_to_gguf.py"])
    [line] = said
    assert line.startswith(f"Fetching the source archive of llama-cpp-python {release} from the package registry, once")
    assert capfd.readouterr() == ("", "")


def test_without_the_registry_one_line_says_so_and_pip_is_silent(
    registry: Callable[[Path | None], None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    registry(None)
    with pytest.raises(MedChatError, match=r"^The source archive of llama-cpp-python .* cannot be fetched"):
        converter(tmp_path / "cache", lambda _: None)
    assert capfd.readouterr() == ("", "")
    assert not list((tmp_path / "cache").iterdir())


def test_a_cache_that_cannot_be_made_is_one_line_too(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MedChatError, match=r"^The source archive of llama-cpp-python .* cannot be unpacked or kept\."):
        converter(tmp_path / "file" / "cache", lambda _: None)


# With the converter


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache of a home of its own, with the converter in it."""
    home = tmp_path_factory.mktemp("home")
    cache = home / ".cache" / "medchat"
    converter(cache, lambda _: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        yield cache


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
    arguments = ["export", str(DEMO), "--to", "gguf", "--out", str(out), "--type", "q8_0"]
    assert main([*arguments, "--data-dir", str(data_dir)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert out.stat().st_size == pytest.approx((ASSETS / "demo" / "demo-q8_0.gguf").stat().st_size, rel=0.01)
    assert [path.name for path in out.parent.iterdir()] == ["demo.gguf"]


# Of a run


def demo_base() -> Base:
    spec = Catalogue(ASSETS)["demo-base"]
    assert spec.safetensors is not None
    return Base(spec, "demo-base", spec.safetensors)


def trained_adapter(folder: Path, **settings: Any) -> Path:
    """An adapter for the bundled base with strong random weights."""
    return write_adapter(folder, demo_base().folder, target_modules=["q_proj", "down_proj"], **settings)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Path:
    """A data folder with a run that has ended."""
    folder = tmp_path_factory.mktemp("data")
    run = RunDir(folder / "runs" / "ours")
    adapter = trained_adapter(run.path / "artifacts" / "0-sft")
    (adapter / "README.md").write_text("---\nbase_model_relation: adapter\nlibrary_name: peft\n---\n# Ours\n")
    row = row_of(replace(demo_base().spec, id="ours", name="Ours", own=True))
    config = {"kind": "train", "base": {"id": "demo-base", "name": "demo-base", "folder": str(demo_base().folder)}}
    with run.begin(config, 0) as writer:
        writer.result({"kind": "training", "stages": [{"kind": "sft", "adapter": "artifacts/0-sft"}], "model": row})
    return folder


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("kind", "matrices", "smaller_than"),
    [
        ("f16", "Matrices: 36 in F16.", 1.0),
        ("q8_0", "Matrices: 36 in Q8_0.", 0.6),
        # 5 blocks with a matrix whose rows have 704 weights: llama.cpp gives it another type
        ("q4_k_m", "The rows of 5 are no multiple of 256, which the K types need: they have the nearest other.", 0.4),
    ],
)
def test_a_run_becomes_a_gguf_file_that_says_the_same(
    kind: str, matrices: str, smaller_than: float, data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "ours", "--to", "gguf", "--type", kind, "--data-dir", str(data_dir)]) == 0
    types, compared, place = capsys.readouterr().out.splitlines()
    assert matrices in types
    assert compared.startswith("On 10 prompts, 130 words: mean divergence ")
    out = data_dir / "runs" / "ours" / "artifacts" / f"ours-{kind}.gguf"
    assert place == str(out)
    f16_bytes = 2 * 5_065_216
    assert out.stat().st_size < smaller_than * f16_bytes + 500_000  # and the vocabulary
    assert not [path.name for path in out.parent.iterdir() if path.name.startswith(".")]
    assert greedy(out, "The findings are")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_becomes_a_merged_model_with_a_card(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "ours", "--to", "merged", "--data-dir", str(data_dir)]) == 0
    merged = data_dir / "runs" / "ours" / "artifacts" / "merged"
    assert capsys.readouterr().out.splitlines()[-1] == str(merged)
    assert "library_name: transformers" in (merged / "README.md").read_text()
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= {
        path.name for path in merged.iterdir()
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_export_that_says_something_else_is_not_kept(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from train import fidelity

    monkeypatch.setitem(fidelity.TOLERANCES, "f16", fidelity.Tolerance(divergence=1e-12, other_first=0.0))
    out = tmp_path / "ours.gguf"
    assert main(["export", "ours", "--to", "gguf", "--out", str(out), "--data-dir", str(data_dir)]) == 1
    assert "The export does not say what the original says, and was not kept. On 10 prompts" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("settings", [{}, {"use_rslora": True}], ids=["plain", "rslora"])
def test_llamacpp_serves_what_comes_out_of_a_run_on_the_bundled_base(
    settings: dict[str, Any], tmp_path: Path, cache_dir: Path
) -> None:
    from train.artifacts import served

    adapter = trained_adapter(tmp_path / "adapter", **settings)
    said: list[str] = []
    spec = served(demo_base(), adapter, cache_dir, said.append)
    assert (said, spec.backend, spec.demo, spec.grounded) == ([], "llamacpp", True, True)
    assert spec.path is not None
    if settings:  # merged: a whole model, with weights for training beside it
        assert (spec.adapter, spec.path.name) == (None, "merged.gguf")
        assert (spec.safetensors or tmp_path).name == "merged"
    else:
        assert (spec.path, spec.adapter) == (demo_base().spec.path, adapter / "adapter.gguf")
    assert greedy(spec.path, "The findings are", spec.adapter) != greedy(
        demo_base().spec.path or tmp_path, "The findings are"
    )


def test_where_no_converter_can_be_had_transformers_serves_it(tmp_path: Path) -> None:
    from train.artifacts import served

    adapter = adapter_folder(tmp_path / "adapter")  # for another base, so that nothing is converted
    said: list[str] = []
    spec = served(demo_base(), adapter, tmp_path, said.append)
    assert (spec.backend, spec.path, spec.adapter) == ("transformers", demo_base().folder, adapter)
    assert said[0].startswith("transformers will run the model, not llama.cpp: ")

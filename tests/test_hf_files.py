"""Model folders that cannot be used: one clear line each, and the chat goes on. And old weights, read once."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, get_peft_model
from safetensors.torch import load_file, save_file
from test_hf_local import ask, texts_of
from tiny_hf import as_bin, write_adapter, write_chain_model, write_random_model, write_tokenizer
from transformers import AutoModelForCausalLM

from medchat.backends.hf_files import as_safetensors, weight_files
from medchat.backends.hf_local import HfBackend, HfEngine
from medchat.errors import ModelUnavailable, NotEnoughMemory
from medchat.settings import ROOT

HI = ask("x", prefill="H")


@pytest.fixture(scope="module")
def engine() -> Iterator[HfEngine]:
    engine = HfEngine(threads=1, n_ctx=512)
    yield engine
    engine.close()


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    return write_chain_model(tmp_path / "owner--chain", ["Hi!<|end|>"])


def edit_json(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def split(folder: Path) -> None:
    """The weights in two files with an index."""
    state = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    weight_map: dict[str, str] = {}
    for number in (1, 2):
        part = dict(list(state.items())[number - 1 :: 2])
        save_file(part, folder / f"model-0000{number}-of-00002.safetensors", {"format": "pt"})
        weight_map |= dict.fromkeys(part, f"model-0000{number}-of-00002.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def missing_shard(folder: Path) -> None:
    split(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()


def cut_weights(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def cut_header(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:40])


def web_page(folder: Path) -> None:
    (folder / "model.safetensors").write_text("<!DOCTYPE html><html>Not found</html>")


def lacks_a_tensor(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    del state["model.layers.0.mlp.up_proj.weight"]
    save_file(state, folder / "model.safetensors", {"format": "pt"})


def other_shapes(folder: Path) -> None:
    edit_json(folder / "config.json", intermediate_size=333)


def no_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def larger_tokenizer(folder: Path) -> None:
    write_tokenizer(folder, more=["one", "more"])


def unknown_architecture(folder: Path) -> None:
    edit_json(folder / "config.json", model_type="abacus")


def own_code(folder: Path) -> None:
    edit_json(folder / "config.json", model_type="abacus", auto_map={"AutoConfig": "code.Config"})
    (folder / "code.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")


def other_packing(folder: Path) -> None:
    edit_json(folder / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})


def other_layers(folder: Path) -> None:
    edit_json(folder / "config.json", layer_types=["chunked_attention"], model_type="qwen3")


def no_writer(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "t5"}))


def damaged_bin(folder: Path) -> None:
    as_bin(folder)
    data = (folder / "pytorch_model.bin").read_bytes()
    (folder / "pytorch_model.bin").write_bytes(data[: len(data) // 2])


FAULTS: list[tuple[Callable[[Path], None], str]] = [
    (no_weights, "has no weights: neither model.safetensors nor pytorch_model.bin"),
    (no_config, "has no config.json"),
    (broken_config, "config.json of 'owner/chain' is damaged"),
    (missing_shard, r"Part of the download of 'owner/chain' is missing: model-00002-of-00002.safetensors \(1 of 2"),
    (cut_weights, r"model.safetensors of 'owner/chain' is cut off: [\d,]+ of [\d,]+ bytes"),
    (cut_header, "is not a readable safetensors file"),
    (web_page, "is not a readable safetensors file"),
    (no_tokenizer, "has no (usable )?tokenizer"),
    (larger_tokenizer, "tokenizer of 'owner/chain' does not fit its weights: it has 262 tokens and they have 260"),
    (unknown_architecture, "has the architecture 'abacus', which this transformers cannot run"),
    (own_code, "needs program code of its own, which is not run here"),
    (other_packing, "is packed by 'gptq', and only bitsandbytes and mxfp4"),
    (other_layers, "has the architecture 'qwen3', which cannot be continued here"),
    (no_writer, "has the architecture 't5'"),
]
FAULTS_WHEN_LOADED: list[tuple[Callable[[Path], None], str]] = [
    *FAULTS,
    (lacks_a_tensor, r"lacks 1 of its weights \(the first is model.layers.0.mlp.up_proj.weight\)"),
    (other_shapes, "its weights are damaged or do not fit its config.json"),
    (damaged_bin, "pytorch_model.bin of 'owner/chain' is damaged or incomplete"),
]


@pytest.mark.parametrize(("spoil", "words"), FAULTS_WHEN_LOADED)
def test_a_spoilt_folder_is_refused_when_it_is_asked(
    engine: HfEngine, chain: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(chain)
    with pytest.raises(ModelUnavailable, match=words) as caught:
        texts_of(HfBackend(chain, engine), [HI])
    assert "\n" not in str(caught.value)
    assert str(chain.parent) not in str(caught.value)
    assert not (chain / "ran").exists()


@pytest.mark.parametrize(("spoil", "words"), FAULTS)
def test_a_spoilt_folder_is_refused_when_it_is_checked(
    engine: HfEngine, chain: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(chain)
    with pytest.raises(ModelUnavailable, match=words):
        HfBackend(chain, engine).check()


def test_a_folder_that_is_not_there_is_named(engine: HfEngine, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="There is no model folder 'owner/gone'"):
        HfBackend(tmp_path / "owner--gone", engine).check()


def test_after_a_spoilt_one_the_next_model_answers(engine: HfEngine, chain: Path, tmp_path: Path) -> None:
    good = shutil.copytree(chain, tmp_path / "good")
    cut_weights(chain)
    with pytest.raises(ModelUnavailable):
        texts_of(HfBackend(chain, engine), [HI])
    assert texts_of(HfBackend(good, engine), [HI]) == ["i!"]


def test_a_check_tells_what_a_folder_holds(engine: HfEngine, chain: Path) -> None:
    # 2 x 260 x 256 for tokens; attention 256 x (256 + 128 + 128 + 256), feed-forward 3 x 256 x 512, norms 3 x 256
    parameters = (2 * 260 * 256 + 256 * 768 + 3 * 256 * 512 + 3 * 256) / 1e9
    facts = HfBackend(chain, engine).check()
    # Two bytes a weight, 256 MiB for work, and 8,000 times keys and values of 2 heads x 64 for a layer.
    memory_gb = (parameters * 1e9 * 2 + 256 * 2**20 + 8000 * 2 * 128 * 2) / 1e9
    assert (facts.architecture, facts.n_ctx, facts.has_chat_template) == ("llama", 8192, True)
    assert facts.parameters == pytest.approx(parameters)
    assert facts.memory_gb == pytest.approx(memory_gb, abs=0.005)
    split(chain)
    assert HfBackend(chain, engine).check() == facts
    assert texts_of(HfBackend(chain, engine), [HI]) == ["i!"]


def test_the_proxy_imports_none_of_the_libraries_it_stands_for() -> None:
    code = (
        "import sys, medchat.backends.hf_local;"
        "print(sorted({'torch', 'transformers', 'peft', 'safetensors'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown == "[]\n"


# .bin files


@pytest.mark.parametrize("shards", [1, 3])
def test_bin_files_are_converted_once(engine: HfEngine, chain: Path, shards: int) -> None:
    as_bin(chain, shards=shards)
    backend = HfBackend(chain, engine)
    assert texts_of(backend, [HI]) == ["i!"]
    made = sorted(chain.glob(".converted-*/*"))
    assert sum(path.suffix == ".safetensors" for path in made) == shards
    before = [path.stat().st_mtime_ns for path in made]
    backend.close()
    assert texts_of(backend, [HI]) == ["i!"]
    assert [path.stat().st_mtime_ns for path in sorted(chain.glob(".converted-*/*"))] == before


def test_other_bin_files_are_converted_anew(engine: HfEngine, chain: Path, tmp_path: Path) -> None:
    backend = HfBackend(as_bin(chain), engine)
    assert texts_of(backend, [HI]) == ["i!"]
    other = as_bin(write_chain_model(tmp_path / "other", ["Ho!<|end|>"]))
    shutil.copy(other / "pytorch_model.bin", chain)
    os.utime(chain / "pytorch_model.bin", (1, 1))
    backend.close()
    assert texts_of(backend, [HI]) == ["o!"]
    assert len(list(chain.glob(".converted-*"))) == 1


def peak_growth(work: Callable[[], object]) -> int:
    """Bytes of memory, files that are only mapped left out, by which this process grows at most meanwhile."""

    def now() -> int:
        [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")]
        return int(line.split()[1]) << 10

    sizes, ended = [now()], threading.Event()

    def watch() -> None:
        while not ended.wait(0.002):
            sizes.append(now())

    watcher = threading.Thread(target=watch)
    watcher.start()
    work()
    ended.set()
    watcher.join()
    return max(sizes) - sizes[0]


def test_converting_takes_no_memory_for_the_weights_and_keeps_tensors_that_share_or_lie_scattered(
    chain: Path,
) -> None:
    no_weights(chain)
    large = torch.arange(32 << 20, dtype=torch.float32).reshape(8192, 4096)  # 128 MiB
    state = {"large": large, "small": torch.arange(6).reshape(2, 3).T, "one": torch.ones(3)}
    torch.save(state | {"same": state["one"]}, chain / "pytorch_model.bin")
    files = weight_files(chain)
    assert peak_growth(lambda: as_safetensors(chain, files, 1 << 20)) < 32 << 20
    made = load_file(as_safetensors(chain, files, 0) / "model.safetensors")
    assert made.keys() == {"large", "small", "one", "same"}
    assert all(torch.equal(made[name], tensor) for name, tensor in state.items())
    assert torch.equal(made["same"], state["one"])


def test_the_oldest_bin_files_which_must_be_read_at_once_are_refused_where_memory_is_short(chain: Path) -> None:
    no_weights(chain)
    state = {"weight": torch.zeros(1 << 20)}
    torch.save(state, chain / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    with pytest.raises(NotEnoughMemory, match=r"^Loading 'owner/chain' needs about 4 MB of memory and 3 MB are free"):
        as_safetensors(chain, weight_files(chain), 3 << 20)
    assert not list(chain.glob(".converted-*"))
    made = load_file(as_safetensors(chain, weight_files(chain), 8 << 20) / "model.safetensors")
    assert torch.equal(made["weight"], state["weight"])


class _Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_bin_file_that_would_run_a_command_is_refused_and_runs_none(
    engine: HfEngine, chain: Path, tmp_path: Path, legacy: bool
) -> None:
    as_bin(chain)
    torch.save(
        {"weight": torch.zeros(2), "extra": _Malicious(tmp_path / "ran")},
        chain / "pytorch_model.bin",
        _use_new_zipfile_serialization=not legacy,
    )
    with pytest.raises(ModelUnavailable, match=r"holds more than numbers .* nothing of it was executed"):
        texts_of(HfBackend(chain, engine), [HI])
    assert not (tmp_path / "ran").exists()
    assert not list(chain.glob(".converted-*"))
    torch.load(chain / "pytorch_model.bin", weights_only=False)  # that it would have
    assert (tmp_path / "ran").exists()


def test_an_adapter_that_would_run_a_command_is_refused_and_runs_none(
    engine: HfEngine, chain: Path, tmp_path: Path
) -> None:
    adapter = write_adapter(tmp_path / "adapter", chain)
    (adapter / "adapter_model.safetensors").unlink()
    torch.save({"a.lora_A.weight": _Malicious(tmp_path / "ran")}, adapter / "adapter_model.bin")
    for op in (lambda backend: backend.check(), lambda backend: texts_of(backend, [HI])):
        with pytest.raises(ModelUnavailable, match="nothing of it was executed"):
            op(HfBackend(chain, engine, adapter=adapter))
    assert not (tmp_path / "ran").exists()


# Adapters for something else


def refused(engine: HfEngine, base: Path, adapter: Path, words: str) -> None:
    for op in (lambda backend: backend.check(), lambda backend: texts_of(backend, [HI])):
        with pytest.raises(ModelUnavailable, match=words):
            op(HfBackend(base, engine, adapter=adapter))
    assert texts_of(HfBackend(base, engine), [HI]) == ["i!"]


def test_an_adapter_for_another_base_of_the_same_shapes_is_refused(
    engine: HfEngine, chain: Path, tmp_path: Path
) -> None:
    other = write_chain_model(tmp_path / "other-8b", ["Ho!<|end|>"])
    adapter = write_adapter(tmp_path / "adapter", other)
    refused(engine, chain, adapter, r"'adapter' was made for '.*other-8b', and this base is called 'owner/chain'")


def test_an_adapter_for_a_base_of_other_shapes_is_refused(engine: HfEngine, chain: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", write_random_model(tmp_path / "small"))
    edit_json(adapter / "adapter_config.json", base_model_name_or_path="owner/chain")
    refused(engine, chain, adapter, "'adapter' was made for 'owner/chain' and does not fit 'owner/chain'")


@pytest.mark.parametrize("name", ["owner/chain", "somebody/chain-unsloth-bnb-4bit", "chain", "", None])
def test_an_adapter_for_this_base_in_whatever_packing_is_taken(
    engine: HfEngine, chain: Path, tmp_path: Path, name: str | None
) -> None:
    adapter = write_adapter(tmp_path / "adapter", chain)
    edit_json(adapter / "adapter_config.json", base_model_name_or_path=name)
    backend = HfBackend(chain, engine, adapter=adapter)
    assert backend.check().architecture == "llama"
    assert len(texts_of(backend, [ask("x", max_new_tokens=3)])) == 1
    backend.close()


def test_a_damaged_adapter_or_one_of_another_kind_is_refused(engine: HfEngine, chain: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(chain)
    get_peft_model(model, IA3Config(task_type="CAUSAL_LM")).save_pretrained(tmp_path / "ia3")
    refused(engine, chain, tmp_path / "ia3", "is of the kind 'IA3', and only LoRA can be used")
    refused(engine, chain, tmp_path, "holds no adapter")
    adapter = write_adapter(tmp_path / "cut", chain)
    data = (adapter / "adapter_model.safetensors").read_bytes()
    (adapter / "adapter_model.safetensors").write_bytes(data[:-100])
    refused(engine, chain, adapter, "of 'cut' is cut off")
    (adapter / "adapter_model.safetensors").unlink()
    refused(engine, chain, adapter, "'cut' has no weights")
    refused_model = HfBackend(tmp_path / "ia3", engine)
    with pytest.raises(ModelUnavailable, match=r"has no config\.json"):
        refused_model.check()

"""Models of today's sizes on a graphics card, with random weights: load, memory, speed (`pytest -m gpu -rP` shows it).

What is measured there is measured in small on the CPU too, as an ordinary test.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from tiny_hf import write_chain_model, write_tokenizer
from transformers import AutoModelForCausalLM, Gemma3TextConfig, LlamaConfig

from medchat.backends.hf_local import HfBackend, HfEngine
from medchat.records import Done, Message, Request, Sampling

N_NEW = 64
MIB = 1 << 20


SMALL = {
    "vocab_size": 4096, "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 6, "head_dim": 32,
    "num_attention_heads": 4, "num_key_value_heads": 1,
}  # fmt: skip


def gemma3_1b(**other: int) -> Any:
    size = {
        "vocab_size": 262144, "hidden_size": 1152, "intermediate_size": 6912, "num_hidden_layers": 26, "head_dim": 256,
        "num_attention_heads": 4, "num_key_value_heads": 1,
    } | other  # fmt: skip
    kinds = ["full_attention" if number % 6 == 0 else "sliding_attention" for number in range(1, 27)]
    return Gemma3TextConfig(
        **size, layer_types=kinds[: size["num_hidden_layers"]], sliding_window=512, query_pre_attn_scalar=256,
        max_position_embeddings=32768, tie_word_embeddings=True, bos_token_id=1, eos_token_id=0, pad_token_id=None,
    )  # fmt: skip


def llama32_3b(**other: int) -> Any:
    size = {
        "vocab_size": 128256, "hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28, "head_dim": 128,
        "num_attention_heads": 24, "num_key_value_heads": 8,
    } | other  # fmt: skip
    rope = {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }  # fmt: skip
    return LlamaConfig(
        **size, rope_parameters=rope, rms_norm_eps=1e-5, max_position_embeddings=131072, tie_word_embeddings=True,
        bos_token_id=1, eos_token_id=0, pad_token_id=None,
    )  # fmt: skip


def write_model(folder: Path, config: Any, device: str) -> Path:
    """A folder with random weights in bf16, and a tokenizer of bytes."""
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    del model
    if device != "cpu":
        torch.cuda.empty_cache()
    write_tokenizer(folder)
    return folder


def try_out(folder: Path, precision: str, used_bytes: Callable[[HfEngine], int]) -> None:
    """Load the model, answer twice, and hold the memory that it takes against what it was said to take."""
    engine = HfEngine(threads=1, n_ctx=4096)
    request = Request((Message("user", "A case. " * 100),), Sampling(N_NEW, temperature=1.0, top_p=0.95, top_k=64))
    first = HfBackend(write_chain_model(folder.parent / "first", ["Hi!<|end|>"]), engine, precision=precision)
    list(first.generate([request]))  # what the process takes with any model is taken now
    before = used_bytes(engine)
    backend = HfBackend(folder, engine, precision=precision)
    facts = backend.check()
    start = time.monotonic()
    assert backend.n_ctx == 4096
    load_s = time.monotonic() - start
    for _ in range(2):  # the first time it warms up
        start = time.monotonic()
        [done] = [event for event in backend.generate([request]) if isinstance(event, Done)]
        answer_s = time.monotonic() - start
    taken = used_bytes(engine) - before
    engine.close()
    print(
        f"{folder.name} ({facts.parameters:.2f} billion) in {precision}: loaded in {load_s:.1f} s, {taken / 1e9:.2f} GB"
        f" of the {facts.memory_gb:.2f} GB stated, {done.completion_tokens / answer_s:.1f} tokens/s"
    )
    assert 0 < done.completion_tokens <= N_NEW
    assert done.prompt_tokens > 800
    assert taken <= facts.memory_gb * 1e9


def used_by_worker(engine: HfEngine) -> int:
    pid = engine.status().pid
    assert pid is not None
    return int(psutil.Process(pid).memory_info().rss)


def used_on_card(_: HfEngine) -> int:
    free, total = torch.cuda.mem_get_info()
    return int(total - free)


@pytest.mark.slow
@pytest.mark.parametrize("make", [gemma3_1b, llama32_3b])
@pytest.mark.parametrize("precision", ["nf4", "bf16"])
def test_in_small_a_model_loads_answers_and_takes_no_more_than_stated(
    tmp_path: Path, make: Callable[..., Any], precision: str
) -> None:
    try_out(write_model(tmp_path / make.__name__, make(**SMALL), "cpu"), precision, used_by_worker)


@pytest.mark.gpu
@pytest.mark.timeout(900)
@pytest.mark.parametrize("make", [gemma3_1b, llama32_3b])
@pytest.mark.parametrize("precision", ["nf4", "bf16"])
def test_on_the_card_a_model_loads_answers_and_takes_no_more_than_stated(
    tmp_path: Path, make: Callable[..., Any], precision: str
) -> None:
    try_out(write_model(tmp_path / make.__name__, make(), "cuda"), precision, used_on_card)


@pytest.mark.parametrize(("make", "parameters"), [(gemma3_1b, 0.9999e9), (llama32_3b, 3.2127e9)])
def test_the_configurations_have_the_sizes_of_their_models(make: Callable[..., Any], parameters: float) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(make())
    assert sum(weight.numel() for weight in model.parameters()) == pytest.approx(parameters, rel=1e-3)

"""GGUF files of a few hundred kilobytes for tests, written in milliseconds.

Their tokens are single bytes and a few special tokens. `write_chain_model` writes one whose answer is
known beforehand: the last token alone decides the next. `write_random_model` writes one with random
weights, whose answer depends on everything before it.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType

CONTROL = ("<|end|>", "<|start|>", "<|channel|>", "<unused94>")
END, START = 0, 1
CHAT_TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message.role }}\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
N_CTX_TRAIN = 8192
HEAD_DIM = 32


def byte_letters() -> list[str]:
    """How GPT-2's byte-level vocabulary writes each of the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]


def token_ids(text: str) -> list[int]:
    """Tokens of a text: a control token where its name stands, else one token a byte."""
    for token, name in enumerate(CONTROL):
        before, found, after = text.partition(name)
        if found:
            return [*token_ids(before), token, *token_ids(after)]
    return [len(CONTROL) + byte for byte in text.encode()]


def write_chain_model(
    path: Path, chains: Iterable[str], *, template: str | None = CHAT_TEMPLATE, add_bos: bool = False
) -> Path:
    """A model that, after the first token of a chain, goes on with the rest of it, greedily.

    No token but a last one may have two successors; other tokens are followed by the next byte value.
    """
    n_vocab, n_embd = len(CONTROL) + 256, 256
    successors = {token: token + 1 for token in range(len(CONTROL), n_vocab - 1)}
    for chain in chains:
        tokens = token_ids(chain)
        successors |= dict(pairwise(tokens))
    embeddings = np.random.default_rng(0).standard_normal((n_vocab, n_embd)).astype(np.float32)
    output = np.zeros_like(embeddings)
    for token, successor in successors.items():
        output[successor] += embeddings[token]
    # The block adds nothing, so the logit of j is high exactly where the last token's successor is j.
    block = {name: np.zeros(shape, np.float32) for name, shape in _block_shapes(n_embd).items()}
    return _write(path, embeddings, output / 16, [block], template, add_bos)


def write_random_model(path: Path, *, seed: int = 0, blocks: int = 2, template: str | None = CHAT_TEMPLATE) -> Path:
    """A model with random weights: gibberish that depends on every token before it."""
    n_vocab, n_embd = len(CONTROL) + 256, 64
    rng = np.random.default_rng(seed)
    layers = [
        {name: rng.standard_normal(shape).astype(np.float32) * 0.2 for name, shape in _block_shapes(n_embd).items()}
        for _ in range(blocks)
    ]
    embeddings, output = rng.standard_normal((2, n_vocab, n_embd)).astype(np.float32)
    printable = token_ids("".join(map(chr, range(32, 127))))
    output[np.setdiff1d(np.arange(n_vocab), printable)] = 0  # readable, and it rarely ends by itself
    return _write(path, embeddings, output, layers, template)


def write_adapter(
    path: Path,
    *,
    seed: int = 0,
    architecture: str = "llama",
    n_embd: int = 64,
    blocks: int = 2,
    kind: str = "lora",
    base_name: str = "",
) -> Path:
    """A LoRA of rank 4 for the queries and the feed-forward part of a random model, strong enough to be seen."""
    rng = np.random.default_rng(seed)
    writer = GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", kind)
    writer.add_float32("adapter.lora.alpha", 4.0)
    if base_name:
        writer.add_base_model_count(1)
        writer.add_base_model_name(0, base_name)
    shapes = _block_shapes(n_embd)
    for number in range(blocks):
        for name in ("attn_q", "ffn_down"):
            n_out, n_in = shapes[name]
            for half, shape in (("lora_a", (4, n_in)), ("lora_b", (n_out, 4))):
                weight = rng.standard_normal(shape).astype(np.float32) * 0.5
                writer.add_tensor(f"blk.{number}.{name}.weight.{half}", weight)
    return _finish(writer, path)


def write_unknown_architecture(path: Path) -> Path:
    """A well-formed GGUF of an architecture that does not exist."""
    writer = GGUFWriter(path, "abacus")
    _add_vocabulary(writer, CHAT_TEMPLATE)
    writer.add_tensor("token_embd.weight", np.zeros((len(CONTROL) + 256, 32), np.float32))
    return _finish(writer, path)


def write_misfit(path: Path, vocabulary: str) -> Path:
    """A small model whose weights are for 100 tokens; its vocabulary of 260 is "full", or it has "none"."""
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(N_CTX_TRAIN)
    writer.add_embedding_length(64)
    writer.add_block_count(1)
    writer.add_feed_forward_length(128)
    writer.add_head_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    if vocabulary == "full":
        _add_vocabulary(writer, CHAT_TEMPLATE)
    writer.add_tensor("token_embd.weight", np.zeros((100, 64), np.float32))
    return _finish(writer, path)


def _block_shapes(n_embd: int) -> dict[str, tuple[int, int]]:
    square, wide, one_head = (n_embd, n_embd), (2 * n_embd, n_embd), (HEAD_DIM, n_embd)
    return {
        "attn_q": square, "attn_k": one_head, "attn_v": one_head, "attn_output": square,
        "ffn_gate": wide, "ffn_up": wide, "ffn_down": wide[::-1],
    }  # fmt: skip


def _add_vocabulary(writer: GGUFWriter, template: str | None, *, add_bos: bool = False) -> None:
    kinds = [TokenType.CONTROL] * len(CONTROL) + [TokenType.NORMAL] * 256
    letters = byte_letters()
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*CONTROL, *letters])
    writer.add_token_types(kinds)
    writer.add_token_merges([f"{letters[0]} {letters[0]}"])  # llama.cpp wants the list; this pair never joins
    writer.add_eos_token_id(END)
    writer.add_bos_token_id(START)
    writer.add_add_bos_token(add_bos)
    if template is not None:
        writer.add_chat_template(template)


def _write(
    path: Path,
    embeddings: np.ndarray,
    output: np.ndarray,
    blocks: Sequence[Mapping[str, np.ndarray]],
    template: str | None,
    add_bos: bool = False,
) -> Path:
    n_embd = embeddings.shape[1]
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(N_CTX_TRAIN)
    writer.add_embedding_length(n_embd)
    writer.add_block_count(len(blocks))
    writer.add_feed_forward_length(2 * n_embd)
    writer.add_head_count(n_embd // HEAD_DIM)
    writer.add_head_count_kv(1)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_layer_norm_rms_eps(1e-5)
    _add_vocabulary(writer, template, add_bos=add_bos)
    writer.add_tensor("token_embd.weight", embeddings)
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", np.ones(n_embd, np.float32))
    for number, block in enumerate(blocks):
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{number}.{norm}.weight", np.ones(n_embd, np.float32))
        for name, weight in block.items():
            writer.add_tensor(f"blk.{number}.{name}.weight", weight)
    return _finish(writer, path)


def _finish(writer: GGUFWriter, path: Path) -> Path:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path

"""A model of ordinary size for benches: random weights, the tokenizer of the bundled one."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluation.bench import require
from medchat.errors import ModelUnavailable

if TYPE_CHECKING:
    from gguf import GGUFReader, GGUFWriter

BLOCKS, WIDTH, HEADS, FEED_FORWARD = 16, 768, 12, 2048
CONTEXT_TOKENS = 1024
SPREAD = 0.02


def write_large_model(tokenizer_of: Path, out: Path) -> Path:
    """A Llama of about 120 million parameters in q8_0, with the vocabulary and chat template of a GGUF file.

    It writes letters and never ends by itself, so that every answer is as long as allowed.
    Raises MedChatError when the gguf package is missing, ModelUnavailable when there is no such file.
    """
    require("gguf", "gguf")
    from gguf import GGUFReader, GGUFWriter

    if not tokenizer_of.is_file():
        raise ModelUnavailable(f"There is no model file {tokenizer_of.name!r}, whose tokenizer is needed.")
    writer = GGUFWriter(out, "llama")
    is_word = _add_tokenizer(writer, GGUFReader(tokenizer_of))
    writer.add_context_length(CONTEXT_TOKENS)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(BLOCKS)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(is_word))
    _add_weights(writer, is_word)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def _add_tokenizer(writer: "GGUFWriter", source: "GGUFReader") -> NDArray[np.bool_]:
    """The tokenizer of the source; for each token, whether it is made of letters."""
    from gguf import GGUFValueType

    is_word = np.zeros(0, np.bool_)
    for name, field in source.fields.items():
        if name.startswith("tokenizer."):
            of = field.types[1] if field.types[0] == GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], of)
            if name == "tokenizer.ggml.tokens":
                is_word = np.array([token.isascii() and token.isalpha() for token in field.contents()])
    return is_word


def _add_weights(writer: "GGUFWriter", is_word: NDArray[np.bool_]) -> None:
    """Random weights; of the tokens only words are ever written."""
    from gguf import GGMLQuantizationType, quantize

    q8_0 = GGMLQuantizationType.Q8_0
    rng = np.random.default_rng(0)
    for name, shape in _shapes(len(is_word)).items():
        if len(shape) == 1:
            writer.add_tensor(name, np.ones(shape, np.float32))
        else:
            weights = SPREAD * rng.standard_normal(shape, dtype=np.float32)
            if name == "output.weight":
                weights[~is_word] = 0.0
            writer.add_tensor(name, quantize(weights, q8_0), raw_dtype=q8_0)


def _shapes(n_vocab: int) -> dict[str, tuple[int, ...]]:
    """The tensors' shapes by name."""
    ends = {"token_embd.weight": (n_vocab, WIDTH), "output.weight": (n_vocab, WIDTH)}
    shapes: dict[str, tuple[int, ...]] = {**ends, "output_norm.weight": (WIDTH,)}
    for block in range(BLOCKS):
        square, narrow, wide = (WIDTH, WIDTH), (WIDTH, FEED_FORWARD), (FEED_FORWARD, WIDTH)
        of_block: dict[str, tuple[int, ...]] = {
            "attn_norm": (WIDTH,), "attn_q": square, "attn_k": square, "attn_v": square, "attn_output": square,
            "ffn_norm": (WIDTH,), "ffn_gate": wide, "ffn_up": wide, "ffn_down": narrow,
        }  # fmt: skip
        shapes |= {f"blk.{block}.{name}.weight": shape for name, shape in of_block.items()}
    return shapes

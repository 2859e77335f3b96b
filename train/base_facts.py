"""The shape of a base, as far as memory and time depend on it: from its config.json, or guessed from its size."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medchat.catalogue import ModelSpec
from medchat.errors import InvalidInput

GATED = ("llama", "mistral", "gemma", "gemma2", "gemma3_text", "qwen2", "qwen3", "phi3", "granite")  # three matrices
FOUR_NORMS = ("gemma2", "gemma3_text")  # a block; all others have two
TYPICAL_VOCABULARY = 128_000
TYPICAL_WIDTH = 128  # hidden size by number of blocks, of Llama-like models of 1 to 70 billion parameters
TYPICAL_SHARING = 4  # heads that share their keys and values


@dataclass(frozen=True, slots=True)
class BaseFacts:
    """A decoder of `layers` equal blocks.

    width: hidden size. inner: of the MLP. heads, kv_heads, head_size: of attention. vocabulary: tokens. n_ctx: those
    that it was made for. tied: whether one matrix is both embedding and output. norms: of a block. gated: three
    matrices in the MLP instead of two. qk_norm: queries and keys are normalised. plain_attention: the scores of all
    pairs of tokens are kept for learning. packing: "nf4" or "int8" where the weights are quantised already, else "".
    known: False where all of it was guessed from the number of parameters.
    """

    width: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    n_ctx: int
    tied: bool = True
    norms: int = 2
    gated: bool = True
    qk_norm: bool = False
    plain_attention: bool = False
    experts: int = 1
    packing: str = ""
    known: bool = True

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of each matrix of a block, by the names that adapters call them."""
        queries, keys = self.heads * self.head_size, self.kv_heads * self.head_size
        attention = {
            "q_proj": (self.width, queries), "k_proj": (self.width, keys), "v_proj": (self.width, keys),
            "o_proj": (queries, self.width), "out_proj": (queries, self.width),
        }  # fmt: skip
        up, down = (self.width, self.inner), (self.inner, self.width)
        mlp = {"gate_proj": up, "up_proj": up, "down_proj": down} if self.gated else {"fc1": up, "fc2": down}
        return attention | mlp

    @property
    def embeddings(self) -> int:
        """Parameters that are never quantised: the embeddings, and the output where it is a matrix of its own."""
        return self.vocabulary * self.width * (1 if self.tied else 2)

    @property
    def blocks(self) -> int:
        """Parameters of all blocks."""
        sizes = {name: rows * columns for name, (rows, columns) in self.matrices.items() if name != "out_proj"}
        mlp = sum(sizes.pop(name) for name in ("gate_proj", "up_proj", "down_proj", "fc1", "fc2") if name in sizes)
        return self.layers * (sum(sizes.values()) + mlp * self.experts + self.norms * self.width)

    @property
    def parameters(self) -> int:
        """All of them."""
        return self.embeddings + self.blocks


def facts_of(spec: ModelSpec, folder: Path | None) -> BaseFacts:
    """The facts of a model of the catalogue, whose weights are in the folder, or None where they are not here.

    Raises InvalidInput when neither a config.json nor the number of parameters tells anything.
    """
    if folder is not None and (folder / "config.json").is_file():
        return facts_of_config(_read(folder / "config.json"))
    if spec.parameters is None:
        raise InvalidInput(f"How large {spec.name} is, is not known before it is fetched.")
    return facts_of_size(spec.parameters * 1e9)


def facts_of_config(config: Mapping[str, Any]) -> BaseFacts:
    """What config.json says. Raises InvalidInput when it describes no such model."""
    text = {**config, **(config.get("text_config") or {})}
    kind = str(text.get("model_type", ""))
    try:
        width, heads = int(text["hidden_size"]), int(text["num_attention_heads"])
        return BaseFacts(
            width=width,
            inner=int(text["intermediate_size"]),
            layers=int(text["num_hidden_layers"]),
            heads=heads,
            kv_heads=int(text.get("num_key_value_heads") or heads),
            head_size=int(text.get("head_dim") or width // heads),
            vocabulary=int(text["vocab_size"]),
            n_ctx=int(text.get("max_position_embeddings") or 0),
            tied=bool(text.get("tie_word_embeddings", True)),
            norms=4 if kind in FOUR_NORMS else 2,
            gated=kind in GATED or text.get("hidden_act") in ("silu", "swish"),
            qk_norm=kind in ("gemma3_text", "qwen3"),
            plain_attention=kind == "gemma2" or float(text.get("attention_probs_dropout_prob") or 0) > 0,
            experts=int(text.get("num_local_experts") or text.get("num_experts") or 1),
            packing=_packing(config),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput("The config.json of the base does not say how large it is.") from error


def facts_of_size(parameters: float) -> BaseFacts:
    """A Llama-like model of so many parameters, typical in all else.

    12 x layers x width^2 parameters in the blocks and a width of 128 x layers give the number of layers.
    """
    layers = max(1, round((parameters / (12 * TYPICAL_WIDTH**2)) ** (1 / 3)))
    for _ in range(20):  # the embeddings take their part
        width = TYPICAL_WIDTH * layers
        in_blocks = max(parameters / 4, parameters - TYPICAL_VOCABULARY * width)
        layers = max(1, round((in_blocks / (12 * TYPICAL_WIDTH**2)) ** (1 / 3)))
    width = TYPICAL_WIDTH * layers
    heads = layers
    kv_heads = max(1, heads // TYPICAL_SHARING)
    attention = 2 * width * (width + kv_heads * TYPICAL_WIDTH)
    inner = max(1, round((in_blocks / layers - attention) / (3 * width)))
    return BaseFacts(width, inner, layers, heads, kv_heads, TYPICAL_WIDTH, TYPICAL_VOCABULARY, 0, known=False)


def _packing(config: Mapping[str, Any]) -> str:
    quantisation = config.get("quantization_config") or {}
    if not quantisation:
        return ""
    return "int8" if quantisation.get("load_in_8bit") else "nf4"


def _read(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidInput("The config.json of the base is damaged; fetch it again.") from error
    return found if isinstance(found, dict) else {}

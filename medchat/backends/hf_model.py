"""One model in memory, as transformers runs it: weights in a precision, the adapters on them, and one forward pass.

Used by the worker process only (hf_worker.py): nothing here may be called from two threads, but forward() with
caches of their own.
"""

import contextlib
import gc
import logging
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, DynamicCache, GenerationConfig
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from medchat.backends.hf_files import (
    QUANTISED,
    as_safetensors,
    empty_model,
    matrix_shapes,
    packing_of,
    read_adapter,
    read_config,
    require_base,
    require_memory,
    shown,
    weight_bytes,
    weight_files,
)
from medchat.backends.hf_tokens import Tokens
from medchat.errors import MedChatError, ModelUnavailable, NotEnoughMemory
from medchat.records import ModelFacts

MIB = 1 << 20
MARGIN_BYTES = 256 * MIB  # what a forward pass takes, vocabulary, and air for everybody else
KV_BUDGET_BYTES = 4096 * MIB
NOMINAL_N_CTX = 8000  # the context with which a model's memory is stated
logger = logging.getLogger(__name__)
LOAD_ERRORS = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, ImportError, SafetensorError)


class HfModel:
    """A loaded model with any number of LoRA adapters, of which none or one is in use.

    n_ctx: tokens a prompt and its completion may have together. cells: tokens that all the keys and values kept
    at a time may have. chunk: tokens of a prompt to read in one step, so that a step of a large model stays short.
    ends: the tokens that end an answer. n_vocab: rows of the vocabulary. needed_bytes: what all of it takes.
    """

    def __init__(self, path: Path, precision: str, *, n_ctx: int, available_bytes: int) -> None:
        """Load it into at most `available_bytes` of main memory, or the GPU's own where there is one.

        Raises ModelUnavailable when files are missing, damaged, or of a kind that cannot be run here,
        NotEnoughMemory when it would not fit.
        """
        self.path = path
        self.name = shown(path)
        self.device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
        main_bytes = available_bytes
        if self.device.type == "cuda":
            available_bytes = torch.cuda.mem_get_info()[0]
        config = read_config(path)
        files = weight_files(path)
        self.tokens = Tokens(path)
        weights = weight_bytes(path, files, precision, as_they_are=packing_of(config) != "")
        self.n_ctx = min(n_ctx, context_of(config, n_ctx))
        cell_bytes = cell_bytes_of(config, 4 if precision == "fp32" else 2)
        self.needed_bytes = weights + MARGIN_BYTES + self.n_ctx * cell_bytes
        require_memory(path, self.needed_bytes, available_bytes)
        with memory_checked(self.name):
            self.model = _load(path, as_safetensors(path, files, main_bytes), config, precision, self.device)
        release_memory()  # of weights that were only packed
        self.n_vocab = int(self.model.get_input_embeddings().weight.shape[0])
        self.tokens.require_fit(self.n_vocab)
        spare = min(KV_BUDGET_BYTES, available_bytes - weights - MARGIN_BYTES)
        self.cells = max(self.n_ctx, spare // max(1, cell_bytes))
        self.ends = self.tokens.ends | _ends(path, self.model.config)
        self._shapes = matrix_shapes(self.model)
        n_params = sum(rows * columns for rows, columns in self._shapes.values())
        on_gpu = self.device.type == "cuda"
        self.chunk = 512 if on_gpu else 128 if n_params < 250e6 else 64 if n_params < 1e9 else 32
        self._peft: Any = None
        self._adapters: dict[str, str] = {}  # PEFT's name of each adapter by its folder
        self._n_adapters = 0
        self._active: str | None = ""

    def add_adapter(self, folder: str) -> None:
        """Load an adapter; one that is loaded stays.

        Raises ModelUnavailable when it is damaged, of a kind that cannot be used, or made for another base.
        """
        if not folder or folder in self._adapters:
            return
        adapter = read_adapter(Path(folder))
        require_base(adapter, self.path, self._shapes)
        from peft import PeftModel

        self._n_adapters += 1
        name = f"adapter{self._n_adapters}"
        try:
            with memory_checked(self.name):
                if self._peft is None:
                    self._peft = PeftModel.from_pretrained(self.model, folder, name)
                else:
                    self._peft.load_adapter(folder, name)
        except LOAD_ERRORS as error:
            logger.warning("%s: %s: %s", shown(Path(folder)), type(error).__name__, error)
            raise ModelUnavailable(
                f"The adapter {shown(Path(folder))!r} is damaged or cannot be used by this version of PEFT;"
                " choose another adapter."
            ) from error
        self._peft.eval()
        self._adapters[folder] = name
        self._active = None

    def remove_adapter(self, folder: str) -> None:
        """Free an adapter; "" or one that is not loaded does nothing."""
        name = self._adapters.pop(folder, None)
        if name is None:
            return
        self._active = None
        if self._adapters:
            self._peft.delete_adapter(name)
        else:
            self.model = self._peft.unload()
            self._peft, self._active = None, ""

    def use(self, folder: str) -> None:
        """From the next pass on the adapter of this folder works, "" for none."""
        if folder == self._active:
            return
        if folder:
            self._peft.base_model.enable_adapter_layers()
            self._peft.set_adapter(self._adapters[folder], inference_mode=True)
        elif self._peft is not None:
            self._peft.base_model.disable_adapter_layers()
        self._active = folder

    def forward(
        self,
        tokens: torch.Tensor,
        mask: torch.Tensor | None,
        positions: torch.Tensor,
        cache: Any,
        *,
        keep: int | torch.Tensor,
    ) -> torch.Tensor:
        """Logits (B, keep, V) after the last `keep` (0: all), or those in these places, of the tokens (B, T).

        mask (B, cached + T): 1 where there is a token, 0 where a row was padded; None where nothing stands before
        the padding. positions (B, T). The cache then holds the tokens too; without one nothing is kept.
        """
        with torch.inference_mode():
            logits: torch.Tensor = self.model(
                input_ids=tokens.to(self.device),
                attention_mask=None if mask is None else mask.to(self.device),
                position_ids=positions.to(self.device),
                past_key_values=cache,
                use_cache=cache is not None,
                logits_to_keep=keep if isinstance(keep, int) else keep.to(self.device),
            ).logits
        return logits

    def new_cache(self) -> Any:
        """Empty states; the layers with a window keep all keys and values too, so that rows can be put together."""
        cache = DynamicCache(config=self.model.config)
        cache.layers = [
            DynamicLayer() if isinstance(layer, DynamicSlidingWindowLayer) else layer for layer in cache.layers
        ]
        return cache

    def close(self) -> None:
        """Free everything."""
        self.model = self._peft = None
        release_memory()


def look(path: Path, adapter: str, precision: str) -> ModelFacts:
    """What the files in a model's folder say of it, and of an adapter for it ("" for none); nothing is loaded.

    Raises ModelUnavailable when it cannot be run, or the adapter was made for another base.
    """
    config = read_config(path)
    files = weight_files(path)
    weights = weight_bytes(path, files, precision, as_they_are=packing_of(config) != "")
    tokens = Tokens(path)
    model = empty_model(path, config)
    tokens.require_fit(model.get_input_embeddings().weight.shape[0])
    if adapter:
        require_base(read_adapter(Path(adapter)), path, matrix_shapes(model))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    n_ctx = context_of(config, 0)
    kv_bytes = min(n_ctx or NOMINAL_N_CTX, NOMINAL_N_CTX) * cell_bytes_of(config, 4 if precision == "fp32" else 2)
    memory_gb = (weights + MARGIN_BYTES + kv_bytes) / 1e9
    return ModelFacts(config.model_type, parameters / 1e9, n_ctx, tokens.has_template, round(memory_gb, 2))


def context_of(config: Any, default: int) -> int:
    """Tokens that the model was made for; `default` where it does not say."""
    return int(getattr(config.get_text_config(), "max_position_embeddings", None) or default)


def cell_bytes_of(config: Any, value_bytes: int) -> int:
    """Bytes of the keys and values of one token over all layers."""
    text = config.get_text_config()
    heads = text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // heads
    return int(text.num_hidden_layers * (getattr(text, "num_key_value_heads", None) or heads) * width * 2 * value_bytes)


@contextlib.contextmanager
def memory_checked(name: str) -> Iterator[None]:
    """Raises NotEnoughMemory where the library runs out of it."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "t allocate memory" not in str(error):
            raise
        raise NotEnoughMemory(
            f"There is not enough memory to run {name!r}; close other programs or choose a smaller model."
        ) from error


@contextlib.contextmanager
def failures_told(name: str) -> Iterator[None]:
    """Raises ModelUnavailable, one clear line, for whatever the libraries raise."""
    try:
        with memory_checked(name):
            yield
    except MedChatError:
        raise
    except BaseException as error:  # tokenizers knows no narrower ones: its own, and where it panics
        logger.warning("%s: %s: %s", name, type(error).__name__, error)
        raise ModelUnavailable(
            f"The model {name!r} failed ({type(error).__name__}); your text is kept. Please ask again, with other"
            " words or settings, or choose another model."
        ) from error


def release_memory() -> None:
    """Give back what nobody refers to any more.

    Raises RuntimeError when the GPU has failed for good, which only a new process cures.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        torch.cuda.empty_cache()


def _load(path: Path, source: Path, config: Any, precision: str, device: torch.device) -> Any:
    """The model with the weights of the folder `source`, ready to write."""
    packing = packing_of(config)
    if (packing == "bitsandbytes" or (not packing and precision in QUANTISED)) and find_spec("bitsandbytes") is None:
        raise ModelUnavailable(
            f"Loading {shown(path)!r} in 4 or 8 bits needs bitsandbytes; install it with 'pip install bitsandbytes' or"
            " choose the precision bf16."
        )
    # Where a GPU does not know bf16 the products of 4-bit weights are computed in fp16.
    half = torch.bfloat16 if device.type == "cpu" or torch.cuda.is_bf16_supported() else torch.float16
    bits = None if packing else _quantisation(precision, half)
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            source,
            config=config,
            dtype=torch.float32 if precision == "fp32" else half,
            quantization_config=bits,
            device_map={"": device},
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except LOAD_ERRORS as error:
        if isinstance(error, torch.OutOfMemoryError) or "t allocate memory" in str(error):
            raise
        logger.warning("%s: %s: %s", shown(path), type(error).__name__, error)
        raise ModelUnavailable(
            f"The model {shown(path)!r} cannot be loaded: its weights are damaged or do not fit its config.json;"
            " fetch the model again or choose another."
        ) from error
    missing = sorted(found["missing_keys"])
    if missing:
        raise ModelUnavailable(
            f"The model {shown(path)!r} lacks {len(missing)} of its weights (the first is {missing[0]}); fetch the"
            " model again or choose another."
        )
    return model.eval()


def _quantisation(precision: str, compute: torch.dtype) -> Any:
    if precision == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    if precision == "nf4":
        return BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=compute,
        )
    return None


def _ends(path: Path, config: Any) -> set[int]:
    """The tokens that end an answer, as far as config.json and generation_config.json know."""
    named = [getattr(config, "eos_token_id", None), getattr(config.get_text_config(), "eos_token_id", None)]
    if (path / "generation_config.json").is_file():
        with contextlib.suppress(OSError, ValueError):  # a damaged one says nothing
            named.append(GenerationConfig.from_pretrained(path, local_files_only=True).eos_token_id)
    ends: set[int] = set()
    for value in named:
        ends |= set(value) if isinstance(value, list) else {value} if isinstance(value, int) else set()
    return ends

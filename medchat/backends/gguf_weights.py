"""A GGUF file: a look at it, its weights in memory, and the LoRA adapters on top of them.

Used by the worker process only (engine.py): nothing here may be called from two threads.
"""

import ctypes
import re
from pathlib import Path
from typing import Any, NoReturn

import llama_cpp as llama

from medchat.errors import ModelUnavailable, NotEnoughMemory
from medchat.records import ModelFacts

LOG_LEVEL_ERROR = 4  # GGML_LOG_LEVEL_ERROR of ggml.h
MIB = 1 << 20
MARGIN_BYTES = 256 * MIB  # compute buffers, vocabulary, and air for everybody else
USUAL_CELLS = 8000  # tokens for which the catalogue says how much memory a model takes

_load_errors: list[str] = []


def _keep_errors(level: int, text: bytes, _user_data: ctypes.c_void_p) -> None:
    if level == LOG_LEVEL_ERROR:
        _load_errors.append(text.decode(errors="replace").strip())


_log_callback = llama.llama_log_callback(_keep_errors)  # referred to here as long as llama.cpp calls it
llama.llama_log_set(_log_callback, ctypes.c_void_p(0))


class GgufWeights:
    """The weights of one file, shared by all contexts that hold them; the last to let go frees them.

    needed_bytes: memory they take. n_users: contexts that hold them.
    """

    def __init__(self, path: Path, available_bytes: float, *, header_only: bool = False) -> None:
        """Load them into at most `available_bytes`; header_only: everything but the numbers, for a look.

        Raises ModelUnavailable when the file is missing, broken or cannot be run,
        NotEnoughMemory when it would not fit.
        """
        self.path = path
        self.name = path.name
        self.n_users = 0
        if not path.is_file():
            raise ModelUnavailable(f"There is no model file {self.name!r}; choose another model.")
        self.needed_bytes = path.stat().st_size + MARGIN_BYTES
        require_memory(self.name, self.needed_bytes, available_bytes)
        self.model = self._load(header_only)

    def hold(self) -> None:
        """Count one more user."""
        self.n_users += 1

    def release(self) -> None:
        """Count one user less, and free them after the last."""
        self.n_users -= 1
        if self.n_users == 0:
            llama.llama_model_free(self.model)

    def cell_bytes(self) -> tuple[int, int]:
        """Bytes of a KV cell over all layers (two a value), and the width of an attention head."""
        width = llama.llama_model_n_embd(self.model) // max(1, llama.llama_model_n_head(self.model))
        architecture = self.metadata("general.architecture")
        key = int(self.metadata(f"{architecture}.attention.key_length") or width)
        value = int(self.metadata(f"{architecture}.attention.value_length") or width)
        heads = llama.llama_model_n_layer(self.model) * llama.llama_model_n_head_kv(self.model)
        return max(1, heads * (key + value) * 2), key

    def metadata(self, key: str) -> str:
        """A value of the file's header as text, "" when it has none."""
        buffer = ctypes.create_string_buffer(128)
        length = llama.llama_model_meta_val_str(self.model, key.encode(), buffer, len(buffer))
        return buffer.value.decode(errors="replace") if length > 0 else ""

    def load_adapter(self, path: Path) -> Any:
        """A LoRA for these weights; the caller frees it. Raises ModelUnavailable when it is none."""
        if path.is_dir():
            raise ModelUnavailable(
                f"The adapter {path.name!r} is a folder and llama.cpp needs a GGUF file; convert it with"
                " 'python -m train export FOLDER --to gguf --base FOLDER --out FILE'."
            )
        if not path.is_file():
            raise ModelUnavailable(f"There is no adapter file {path.name!r}; choose another model.")
        _load_errors.clear()
        adapter = llama.llama_adapter_lora_init(self.model, str(path).encode())
        if not adapter:
            self._refuse_adapter(path, " ".join(_load_errors))
        if llama.llama_adapter_get_alora_n_invocation_tokens(adapter):
            llama.llama_adapter_lora_free(adapter)
            _cannot_use_kind(path, "alora")
        return adapter

    def _load(self, header_only: bool) -> Any:
        params = llama.llama_model_default_params()
        if header_only:
            params.no_alloc = True
            params.load_mode = llama.LLAMA_LOAD_MODE_NONE  # llama.cpp aborts when it maps what it did not allocate
        _load_errors.clear()
        model = llama.llama_model_load_from_file(str(self.path).encode(), params)
        if model is None:
            self._cannot_run(_reason(" ".join(_load_errors)))
        if llama.llama_model_has_encoder(model) or not llama.llama_model_has_decoder(model):
            llama.llama_model_free(model)
            self._cannot_run("is not a model that writes text")
        if llama.llama_vocab_type(llama.llama_model_get_vocab(model)) == llama.LLAMA_VOCAB_TYPE_NONE:
            llama.llama_model_free(model)
            self._cannot_run("has no tokenizer")
        return model

    def _cannot_run(self, why: str) -> NoReturn:
        raise ModelUnavailable(f"The model file {self.name!r} {why}; choose another model.")

    def _refuse_adapter(self, path: Path, reasons: str) -> NoReturn:
        other_kind = re.search(r"expect adapter\.type to be 'lora', but got: (\S*)", reasons)
        if other_kind:
            _cannot_use_kind(path, other_kind[1])
        if "expect general.type" in reasons:
            raise ModelUnavailable(f"The file {path.name!r} is not an adapter; choose one that was made as a LoRA.")
        if re.search(r"arch mismatch|incorrect shape|does not exist in base model", reasons):
            ours = self.metadata("general.name") or self.metadata("general.architecture")
            raise ModelUnavailable(
                f"The adapter {path.name!r} was made for another base ({_made_for(path)}) than {self.name!r} ({ours});"
                " choose the model that it was trained on."
            )
        raise ModelUnavailable(
            f"The adapter {path.name!r} is not a readable GGUF file: it is damaged, incomplete or something else;"
            " choose another model."
        )


def look(path: Path, adapter: Path | None) -> ModelFacts:
    """What the header says of a model, and that the adapter is one for it; the numbers are not read.

    Raises ModelUnavailable when it cannot be run.
    """
    weights = GgufWeights(path, float("inf"), header_only=True)
    weights.hold()
    try:
        if adapter:
            llama.llama_adapter_lora_free(weights.load_adapter(adapter))
        n_ctx = llama.llama_model_n_ctx_train(weights.model)
        needed_bytes = weights.needed_bytes + min(n_ctx, USUAL_CELLS) * weights.cell_bytes()[0]
        return ModelFacts(
            architecture=weights.metadata("general.architecture"),
            parameters=llama.llama_model_n_params(weights.model) / 1e9,
            n_ctx=n_ctx,
            has_chat_template=bool(llama.llama_model_chat_template(weights.model, None)),
            memory_gb=(needed_bytes + (adapter.stat().st_size if adapter else 0)) / 1e9,
        )
    finally:
        weights.release()


def require_memory(name: str, needed_bytes: float, available_bytes: float) -> None:
    """Raise NotEnoughMemory unless it fits."""
    if needed_bytes > available_bytes:
        raise NotEnoughMemory(
            f"Loading {name!r} needs about {needed_bytes // MIB} MB of memory and {available_bytes // MIB} MB"
            " are free; close other programs or choose a smaller model."
        )


def _reason(errors: str) -> str:
    """Why a model could not be loaded, from what llama.cpp logged."""
    if unknown := re.search(r"unknown model architecture: '(.*?)'", errors):
        return f"has the architecture {unknown[1]!r}, which this llama.cpp cannot run"
    if unknown := re.search(r"unknown (?:pre-)?tokenizer(?: type)?: '(.*?)'", errors):
        return f"has the tokenizer {unknown[1]!r}, which this llama.cpp cannot use"
    if re.search(r"key not found in model: tokenizer\.", errors):
        return "has no tokenizer"
    if sizes := re.search(r"'token_embd\.weight' has wrong shape; expected +\d+, +(\d+), got +\d+, +(\d+)", errors):
        return f"has a tokenizer of {sizes[1]} tokens, which does not fit its weights for {sizes[2]}"
    return "is not a readable GGUF file: it is damaged, incomplete or something else"


def _cannot_use_kind(path: Path, kind: str) -> NoReturn:
    raise ModelUnavailable(
        f"The adapter {path.name!r} is of a kind ({kind or 'not named'}) that llama.cpp cannot use here; merge it into"
        " its base and add the merged model."
    )


def _made_for(path: Path) -> str:
    """The base that an adapter's header names, else its architecture."""
    from gguf import GGUFReader

    header = GGUFReader(path)
    for key in ("general.base_model.0.name", "general.architecture"):
        if field := header.get_field(key):
            return str(field.contents())
    return "not named"

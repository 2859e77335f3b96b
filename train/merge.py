"""An adapter put into the weights of its base, for programs that know no adapters."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from medchat.backends.hf_files import (
    as_safetensors,
    empty_model,
    matrix_shapes,
    packing_of,
    read_adapter,
    read_config,
    require_base,
    shown,
    weight_files,
)
from medchat.backends.hf_model import LOAD_ERRORS, memory_checked
from medchat.errors import ModelUnavailable, RunError
from medchat.run_files import FULL, is_full

BESIDE = (
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt", "chat_template.jinja", "generation_config.json",
)  # fmt: skip
SHARD = "4GB"


def load_whole(base: Path, adapter: Path | None) -> Any:
    """The base without any quantisation, in the precision of its files, with the adapter on it (None: without).

    Weights that lie quantised in the folder are unpacked first. Raises ModelUnavailable when a file is damaged, the
    adapter was made for another base, or the memory does not suffice.
    """
    config = read_config(base)
    if adapter is not None:
        require_base(read_adapter(adapter)._replace(base=""), base, matrix_shapes(empty_model(base, config)))
    with memory_checked(shown(base)):
        try:
            model = AutoModelForCausalLM.from_pretrained(
                as_safetensors(base, weight_files(base), 1 << 62),
                config=config,
                dtype="auto",
                device_map={"": torch.device("cpu")},
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
            )
            if packing_of(config):
                model = model.dequantize()
            return model.eval() if adapter is None else PeftModel.from_pretrained(model, str(adapter)).eval()
        except LOAD_ERRORS as error:
            if isinstance(error, torch.OutOfMemoryError) or "t allocate memory" in str(error):
                raise
            raise ModelUnavailable(
                f"The base {shown(base)!r} or its adapter cannot be loaded: the files are damaged; fetch them again."
            ) from error


def merge(base: Path, adapter: Path, target: Path) -> None:
    """Write base and adapter as one model of transformers, in safetensors with its tokenizer.

    Raises ModelUnavailable as load_whole does, and RunError when the disk is full.
    """
    model = load_whole(base, adapter).merge_and_unload(safe_merge=True)
    was_packed = packing_of(read_config(base)) != ""  # what was unpacked cannot be written as it lay
    unfinished = target.with_name(f".{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(parents=True)
        model.save_pretrained(unfinished, max_shard_size=SHARD, save_original_format=not was_packed)
        for name in BESIDE:
            source = adapter if (adapter / name).is_file() else base
            if (source / name).is_file():
                shutil.copyfile(source / name, unfinished / name)
        _clean_config(unfinished / "config.json")
        shutil.rmtree(target, ignore_errors=True)
        unfinished.replace(target)
    except OSError as error:
        raise RunError(FULL if is_full(error) else f"{target.name} cannot be written ({error.strerror}).") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _clean_config(file: Path) -> None:
    """Leave out how the base was quantised, and where it lay."""
    config = json.loads(file.read_bytes())
    for name in ("quantization_config", "_name_or_path"):
        config.pop(name, None)
    file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

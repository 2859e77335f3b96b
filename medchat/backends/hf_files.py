"""The files of a model folder: what is checked before anything is loaded, and old weights made readable.

Used by the worker process only (hf_worker.py).
"""

import hashlib
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

from medchat.errors import ModelUnavailable, NotEnoughMemory

CONVERTED = ".converted-"  # begins the name of the folder with the safetensors made of .bin files
INDEX = "model.safetensors.index.json"
MAX_HEADER_BYTES = 100_000_000  # the format's own limit
# Bytes of a weight. Those of 4 and 8 bits come with their scales; what is no matrix of a layer stays at 2.
PRECISION_BYTES = {"nf4": 0.52, "int8": 1.01, "bf16": 2.0, "fp32": 4.0}
QUANTISED = ("nf4", "int8")
PACKINGS = ("bitsandbytes", "mxfp4")  # of weights, that can be read
LAYERS = {"full_attention", "sliding_attention", "linear_attention"}  # whose states can be put together in rows
SAME_WEIGHTS = ("-unsloth-bnb-4bit", "-bnb-4bit", "-bnb-8bit", "-hf")  # other packings of a model are the same base


class Tensor(NamedTuple):
    """What the header of a safetensors file says of a tensor."""

    shape: tuple[int, ...]
    n_bytes: int


class Adapter(NamedTuple):
    """A LoRA: the base that it names ("" if none), and (outputs, inputs) of each matrix that it changes."""

    path: Path
    base: str
    shapes: Mapping[str, tuple[int, int]]


def shown(folder: Path) -> str:
    """The folder's name as people know it: owner/name for what came from the Hub."""
    return folder.name.replace("--", "/")


def cannot_run(folder: Path, why: str) -> NoReturn:
    """Raise ModelUnavailable with the model's name and the reason."""
    raise ModelUnavailable(f"The model {shown(folder)!r} {why}; choose another model.")


def read_config(folder: Path) -> Any:
    """The model's configuration.

    Raises ModelUnavailable when there is none or it is of a kind that cannot be run here.
    """
    if not folder.is_dir():
        raise ModelUnavailable(f"There is no model folder {shown(folder)!r}; choose another model.")
    if not (folder / "config.json").is_file():
        cannot_run(folder, "has no config.json, which says what it is: its folder is incomplete or something else")
    written = _read_json(folder, folder / "config.json")
    kind = str(written.get("model_type") or "of no name")
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if "auto_map" in written:
            raise ModelUnavailable(
                f"The model {shown(folder)!r} needs program code of its own, which is not run here; choose another."
            ) from error
        raise ModelUnavailable(
            f"The model {shown(folder)!r} has the architecture {kind!r}, which this transformers cannot run;"
            " choose another model."
        ) from error
    if packing_of(config) not in ("", *PACKINGS):
        cannot_run(folder, f"is packed by {packing_of(config)!r}, and only {' and '.join(PACKINGS)} can be read here")
    kinds = set(getattr(config.get_text_config(), "layer_types", None) or ())
    if config.is_encoder_decoder or not kinds <= LAYERS:
        cannot_run(folder, f"has the architecture {kind!r}, which cannot be continued here a token at a time")
    return config


def packing_of(config: Any) -> str:
    """How the weights in the folder are quantised already, "" if they are not."""
    quantisation: Mapping[str, Any] = getattr(config, "quantization_config", None) or {}
    return str(quantisation.get("quant_method", "bitsandbytes")) if quantisation else ""


def empty_model(folder: Path, config: Any) -> torch.nn.Module:
    """The model without its weights: for its shapes.

    Raises ModelUnavailable when the architecture is none that writes text.
    """
    try:
        with torch.device("meta"):
            model: torch.nn.Module = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, ImportError) as error:
        raise ModelUnavailable(
            f"The model {shown(folder)!r} has the architecture {config.model_type!r}, which this transformers cannot"
            " run as a model that writes text; choose another model."
        ) from error
    if getattr(model, "_is_stateful", False) and not getattr(config.get_text_config(), "layer_types", None):
        cannot_run(folder, f"has the architecture {config.model_type!r}, which keeps a state and not keys and values")
    return model


def matrix_shapes(model: torch.nn.Module) -> dict[str, tuple[int, int]]:
    """(outputs, inputs) of each linear layer and embedding by its name, whatever its weights are packed into."""
    shapes = {}
    for name, module in model.named_modules():
        if hasattr(module, "in_features"):
            shapes[name] = (int(module.out_features), int(module.in_features))
        elif hasattr(module, "num_embeddings"):
            shapes[name] = (int(module.num_embeddings), int(module.embedding_dim))
        elif hasattr(module, "nx"):  # transformers' Conv1D
            shapes[name] = (int(module.nf), int(module.nx))
    return shapes


# Weights


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights: safetensors, or else .bin.

    Raises ModelUnavailable when there are none, or some of them are missing or cut off.
    """
    for whole, index in (("model.safetensors", INDEX), ("pytorch_model.bin", "pytorch_model.bin.index.json")):
        if (folder / index).is_file():
            weight_map = _read_json(folder, folder / index).get("weight_map")
            if not isinstance(weight_map, dict) or not weight_map:
                cannot_run(folder, f"has a damaged {index}")
            files = [folder / Path(str(name)).name for name in sorted(set(weight_map.values()))]
            missing = [path.name for path in files if not path.is_file()]
            if missing:
                raise ModelUnavailable(
                    f"Part of the download of {shown(folder)!r} is missing: {missing[0]}"
                    f" ({len(files) - len(missing)} of {len(files)} files are there); fetch the model again."
                )
            return files
        if (folder / whole).is_file():
            return [folder / whole]
    if (folder / "adapter_config.json").is_file():
        cannot_run(folder, "is an adapter, not a whole model; add it together with its base")
    cannot_run(folder, "has no weights: neither model.safetensors nor pytorch_model.bin is in its folder")


def read_tensors(folder: Path, files: Iterable[Path]) -> dict[str, Tensor]:
    """The tensors of safetensors files, by their headers.

    Raises ModelUnavailable when a file is damaged or shorter than its header says.
    """
    tensors: dict[str, Tensor] = {}
    for path in files:
        try:
            with path.open("rb") as file:
                size = struct.unpack("<Q", file.read(8))[0]
                header = json.loads(file.read(size)) if size <= MAX_HEADER_BYTES else None
            rows = {name: row for name, row in header.items() if name != "__metadata__"}  # type: ignore[union-attr]
            ends = {name: (tuple(row["shape"]), *row["data_offsets"]) for name, row in rows.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
            raise ModelUnavailable(
                f"The file {path.name} of {shown(folder)!r} is not a readable safetensors file: it is damaged or"
                " incomplete; fetch the model again."
            ) from error
        expected = 8 + size + max((end for _, _, end in ends.values()), default=0)
        if path.stat().st_size < expected:
            raise ModelUnavailable(
                f"The file {path.name} of {shown(folder)!r} is cut off: {path.stat().st_size:,} of {expected:,} bytes"
                " are there; fetch the model again."
            )
        tensors |= {name: Tensor(shape, end - start) for name, (shape, start, end) in ends.items()}
    return tensors


def weight_bytes(folder: Path, files: Sequence[Path], precision: str, *, as_they_are: bool) -> int:
    """Bytes of the weights in memory, in the precision or `as_they_are`; estimated from .bin files' size."""
    if files[0].suffix != ".safetensors":
        return sum(path.stat().st_size for path in files)
    total = 0.0
    for name, tensor in read_tensors(folder, files).items():
        if as_they_are:
            # transformers unpacks the blocks of mxfp4, of 4 bits a weight, to bf16.
            total += tensor.n_bytes * (4 if name.endswith("_blocks") else 1)
            continue
        count = 1
        for size in tensor.shape:
            count *= size
        packed = len(tensor.shape) == 2 and not any(word in name for word in ("embed", "lm_head", "output_projection"))
        total += count * (2.0 if precision in QUANTISED and not packed else PRECISION_BYTES[precision])
    return int(total)


def require_memory(folder: Path, needed_bytes: int, available_bytes: int) -> None:
    """Raise NotEnoughMemory when loading the model needs more than there is."""
    if needed_bytes > available_bytes:
        raise NotEnoughMemory(
            f"Loading {shown(folder)!r} needs about {needed_bytes >> 20} MB of memory and"
            f" {available_bytes >> 20} MB are free; close other programs or choose a smaller model."
        )


def as_safetensors(folder: Path, files: Sequence[Path], available_bytes: int) -> Path:
    """The folder to load from: this one, or the one inside it with what its .bin files were converted to, once.

    available_bytes: of main memory, for converting them.
    Raises ModelUnavailable when a .bin file holds anything but numbers (nothing of it is executed), is damaged,
    or the disk is full, NotEnoughMemory when it cannot be converted in so much.
    """
    if files[0].suffix == ".safetensors":
        return folder
    facts = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    target = folder / (CONVERTED + hashlib.sha256(repr(facts).encode()).hexdigest()[:16])
    if target.is_dir():
        return target
    unfinished = folder / f"{target.name}.{os.getpid()}"
    try:
        for old in folder.glob(f"{CONVERTED}*"):  # of other .bin files, or never finished
            shutil.rmtree(old)
        unfinished.mkdir()
        _convert(folder, files, unfinished, available_bytes)
        unfinished.rename(target)
    except OSError as error:
        raise ModelUnavailable(
            f"The .bin files of {shown(folder)!r} could not be converted to safetensors: {error.strerror or error};"
            f" {sum(size for _, size, _ in facts) >> 20} MB of room in the model's folder are needed."
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _convert(folder: Path, files: Sequence[Path], target: Path, available_bytes: int) -> None:
    shutil.copy(folder / "config.json", target)  # transformers wants one beside the weights
    weight_map: dict[str, str] = {}
    for number, path in enumerate(files, 1):
        whole_bytes = 0 if zipfile.is_zipfile(path) else path.stat().st_size  # what is in memory beside copies
        require_memory(folder, whole_bytes, available_bytes)
        state = _read_pickle(folder, path)
        unfit = _not_writable(state)
        require_memory(folder, whole_bytes + sum(state[key].nbytes for key in unfit), available_bytes)
        state |= {key: state[key].clone(memory_format=torch.contiguous_format) for key in unfit}
        name = "model.safetensors" if len(files) == 1 else f"model-{number:05d}-of-{len(files):05d}.safetensors"
        save_file(state, target / name, {"format": "pt"})
        weight_map |= dict.fromkeys(state, name)
    if len(files) > 1:
        (target / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}), encoding="utf-8")


def _not_writable(state: Mapping[str, torch.Tensor]) -> list[str]:
    """The tensors that must be copied first: those that lie scattered, or share their memory with one before."""
    found = []
    stored = set()
    for key, tensor in state.items():
        place = tensor.untyped_storage().data_ptr()
        if place in stored or not tensor.is_contiguous():
            found.append(key)
        stored.add(place)
    return found


def _read_pickle(folder: Path, path: Path) -> dict[str, torch.Tensor]:
    """The tensors in a .bin file, read from it when they are used; the oldest files are read at once."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise ModelUnavailable(
            f"The file {path.name} of {shown(folder)!r} holds more than numbers (a pickle can run program code), so it"
            " was refused and nothing of it was executed; choose a model with safetensors."
        ) from error
    except (RuntimeError, EOFError, KeyError, ValueError) as error:
        raise ModelUnavailable(
            f"The file {path.name} of {shown(folder)!r} is damaged or incomplete; fetch the model again."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise ModelUnavailable(
            f"The file {path.name} of {shown(folder)!r} is no list of weights by name; choose a model with safetensors."
        )
    return state


# Adapters


def read_adapter(folder: Path) -> Adapter:
    """The LoRA in a folder made by PEFT.

    Raises ModelUnavailable when it is not one, or of another kind, or damaged.
    """
    if not (folder / "adapter_config.json").is_file():
        raise ModelUnavailable(
            f"The folder {shown(folder)!r} holds no adapter (it has no adapter_config.json); choose another adapter."
        )
    config = _read_json(folder, folder / "adapter_config.json")
    kind = str(config.get("peft_type", "of no kind"))
    if kind != "LORA":
        raise ModelUnavailable(
            f"The adapter {shown(folder)!r} is of the kind {kind!r}, and only LoRA can be used; choose another adapter."
        )
    safetensors, pickled = folder / "adapter_model.safetensors", folder / "adapter_model.bin"
    if safetensors.is_file():
        sizes = {name: tensor.shape for name, tensor in read_tensors(folder, [safetensors]).items()}
    elif pickled.is_file():
        sizes = {name: tuple(tensor.shape) for name, tensor in _read_pickle(folder, pickled).items()}
    else:
        raise ModelUnavailable(f"The adapter {shown(folder)!r} has no weights; part of its download is missing.")
    shapes = {}
    for name, size in sizes.items():
        module, found, _ = name.removeprefix("base_model.model.").partition(".lora_A.")
        if found:
            outputs = sizes.get(name.replace(".lora_A.", ".lora_B."), (0,))
            shapes[module] = (outputs[0], size[-1])
        module, found, _ = name.removeprefix("base_model.model.").partition(".lora_embedding_A")
        if found:
            outputs = sizes.get(name.replace(".lora_embedding_A", ".lora_embedding_B"), (0,))
            shapes[module] = (size[-1], outputs[0])
    if not shapes:
        raise ModelUnavailable(f"The adapter {shown(folder)!r} changes nothing: its file holds no LoRA weights.")
    return Adapter(folder, str(config.get("base_model_name_or_path") or ""), shapes)


def require_base(adapter: Adapter, folder: Path, shapes: Mapping[str, tuple[int, int]]) -> None:
    """Raise ModelUnavailable unless the adapter was made for the model in the folder, whose matrices have these shapes.

    Models of one family have the same shapes, so the name that the adapter gives its base must fit too.
    """
    made_for = f"The adapter {shown(adapter.path)!r} was made for {adapter.base or 'another model'!r}"
    if any(shapes.get(name) != size for name, size in adapter.shapes.items()):
        raise ModelUnavailable(f"{made_for} and does not fit {shown(folder)!r}; choose it together with its base.")
    known = {_plain_name(folder.name), _plain_name(folder.name.rpartition("--")[2])}
    with suppress(ValueError, IndexError):  # the Hub's own cache: models--owner--name/snapshots/revision
        parts = folder.resolve().parts
        known.add(_plain_name(parts[parts.index("snapshots") - 1].rpartition("--")[2]))
    if adapter.base and _plain_name(Path(adapter.base).name) not in known:
        raise ModelUnavailable(
            f"{made_for}, and this base is called {shown(folder)!r}; choose it together with its base, or give the"
            " base's folder that name if it is the same model."
        )


def _plain_name(name: str) -> str:
    name = name.lower()
    for ending in SAME_WEIGHTS:
        name = name.removesuffix(ending)
    return name


def _read_json(folder: Path, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelUnavailable(
            f"The file {path.name} of {shown(folder)!r} is damaged or incomplete; fetch the model again."
        ) from error
    if not isinstance(value, dict):
        cannot_run(folder, f"has a damaged {path.name}")
    return value

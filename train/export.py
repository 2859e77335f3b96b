"""Trained weights into the form in which they are served: GGUF, by llama.cpp's own converter.

The converter is not part of llama-cpp-python's wheel, only of its source archive; that of the installed version is
fetched once into a cache that all data folders share, so that converter and runtime always match. An adapter is
carried over only where GGUF says exactly the same; any other is to be merged into its base first.
"""

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gguf import GGUFReader
from safetensors import SafetensorError, safe_open

from medchat.errors import InvalidInput, MedChatError
from medchat.settings import child_environment

ADAPTER_CONFIG = "adapter_config.json"
K_BLOCK = 256  # weights that the K types pack together
ANSWER_S = 15  # how long the package registry may take to answer
FETCH_S = 900  # and to send the archive
FETCHING = (
    "Fetching the source archive of llama-cpp-python {} from the package registry, once: llama.cpp's converter is in"
    " it, which writes GGUF. A trained model that cannot be converted is run by transformers."
)
NOT_FETCHED = (
    "The source archive of llama-cpp-python {} cannot be fetched from the package registry; converting to GGUF needs"
    " it once."
)
DIRECT = ("f32", "f16", "bf16", "q8_0")  # types that the converter writes itself
# Settings of PEFT that llama.cpp's form of a LoRA has no place for; the converter keeps silent about some of them.
NOT_PLAIN = {
    "use_rslora": "rank-stabilised scaling (rsLoRA)",
    "rank_pattern": "other ranks for some layers (rank_pattern)",
    "alpha_pattern": "other scales for some layers (alpha_pattern)",
    "use_dora": "DoRA",
    "modules_to_save": "whole modules (modules_to_save)",
    "trainable_token_indices": "trained tokens (trainable_token_indices)",
    "target_parameters": "bare parameters (target_parameters)",
    "layer_replication": "replicated layers (layer_replication)",
    "lora_bias": "biases (lora_bias)",
    "alora_invocation_tokens": "invocation tokens (aLoRA)",
}

Say = Callable[[str], None]

# Runs a converter with the byte-level pre-tokenizer for a tokenizer that it has never seen: ours.
_WRAPPER = """
import runpy, sys
root = sys.argv[1]
sys.path[:0] = [root, root + "/gguf-py"]
from conversion.base import TextModel
known = TextModel.get_vocab_base_pre
def get_vocab_base_pre(self, tokenizer):
    try:
        return known(self, tokenizer)
    except NotImplementedError:
        return "gpt-2"
TextModel.get_vocab_base_pre = get_vocab_base_pre
sys.argv = [root + "/" + sys.argv[2], *sys.argv[3:]]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def converter(cache_dir: Path, say: Say) -> Path:
    """Folder of the llama.cpp sources that hold the converter, fetched on the first call, which is said before.

    Raises MedChatError when the source archive cannot be had, or kept.
    """
    release = version("llama-cpp-python")
    folder = cache_dir / f"llama.cpp-{release}"
    if folder.exists():
        return folder
    say(FETCHING.format(release))
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_dir) as temporary:
            archive = _source_archive(release, Path(temporary))
            with tarfile.open(archive) as tar:
                inside = f"llama_cpp_python-{release}/vendor/llama.cpp/"
                wanted = [m for m in tar.getmembers() if m.name.startswith(inside) and m.name.endswith((".py", ".txt"))]
                tar.extractall(temporary, wanted, filter="data")
            shutil.move(Path(temporary) / inside, folder)
    except (OSError, tarfile.TarError) as error:
        raise MedChatError(f"The source archive of llama-cpp-python {release} cannot be unpacked or kept.") from error
    return folder


def _source_archive(release: str, folder: Path) -> Path:
    """The archive, put there by pip, which looks into its own cache too. Raises MedChatError."""
    command = [
        sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--retries", "0", "--timeout",
        str(ANSWER_S), "download", "--quiet", "--no-deps", "--no-binary", "llama-cpp-python", "--dest", str(folder),
        f"llama-cpp-python=={release}",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=FETCH_S)
    except subprocess.TimeoutExpired as error:
        raise MedChatError(NOT_FETCHED.format(release)) from error
    archive = next(folder.glob("*.tar.gz"), None)
    if done.returncode or archive is None:
        raise MedChatError(NOT_FETCHED.format(release))
    return archive


def to_gguf(model_dir: Path, out: Path, kind: str, cache_dir: Path, say: Say = print) -> None:
    """Write a transformers model folder as GGUF; kind is f32, f16, bf16 or q8_0.

    cache_dir: where the converter is kept. say: gets a line when it is to be fetched first. Raises MedChatError when
    the folder is none, and with the converter's last line when it fails.
    """
    _require_model(model_dir)
    if not any(_weights(model_dir)):
        raise InvalidInput(f"The folder {model_dir.name!r} holds no weights; its download may not be complete.")
    _convert("convert_hf_to_gguf.py", model_dir, out, kind, cache_dir, say)


def adapter_to_gguf(adapter_dir: Path, base_dir: Path, out: Path, cache_dir: Path, say: Say = print) -> None:
    """Write a PEFT LoRA folder as a GGUF adapter (f32) for the GGUF of its base, whose folder base_dir is.

    Raises MedChatError when it is no LoRA, not a plain one, or one for another base, and with the converter's last
    line when it fails.
    """
    _require_plain(adapter_dir)
    _require_model(base_dir)
    _require_base(adapter_dir, base_dir)
    _convert("convert_lora_to_gguf.py", adapter_dir, out, "f32", cache_dir, say, "--base", str(base_dir))


def quantised(model_dir: Path, out: Path, kind: str, cache_dir: Path, say: Say = print) -> str:
    """Write a transformers model folder as GGUF of this kind, also of those that llama.cpp makes of f16: q4_k_m.

    Returns a line that says which types the matrices really got: llama.cpp takes another one for rows that do not
    fit its blocks of 256. Raises MedChatError as to_gguf does.
    """
    if kind in DIRECT:
        to_gguf(model_dir, out, kind, cache_dir, say)
        return types_line(out)
    from train.fidelity import run_llamacpp

    plain = out.with_name(f"{out.name}.f16")
    try:
        to_gguf(model_dir, plain, "f16", cache_dir, say)
        if run_llamacpp("quantise", str(plain), str(out), kind):
            out.unlink(missing_ok=True)
            raise MedChatError(f"llama.cpp cannot write {model_dir.name} as {kind}; choose another type.")
    finally:
        plain.unlink(missing_ok=True)
    return types_line(out)


def types_line(file: Path) -> str:
    """How many matrices of a GGUF file are of which type, in a line."""
    matrices = [tensor for tensor in GGUFReader(file).tensors if len(tensor.shape) > 1]
    found = Counter(tensor.tensor_type.name for tensor in matrices)
    line = "Matrices: " + ", ".join(f"{n} in {name}" for name, n in found.most_common()) + "."
    odd = sum(tensor.shape[0] % K_BLOCK > 0 for tensor in matrices)
    if odd and any(name.endswith("_K") for name in found):
        line += f" The rows of {odd} are no multiple of {K_BLOCK}, which the K types need: they have the nearest other."
    return line


def is_adapter(folder: Path) -> bool:
    """Whether PEFT wrote it."""
    return (folder / ADAPTER_CONFIG).is_file()


def _convert(script: str, folder: Path, out: Path, kind: str, cache_dir: Path, say: Say, *more: str) -> None:
    """Run a converter; the file appears under its name when it is whole."""
    if out.is_dir():
        raise InvalidInput(f"{out.name!r} is a folder; give the GGUF file to be written.")
    root = converter(cache_dir, say)
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(out.name + ".part")
    arguments = [str(folder), "--outfile", str(unfinished), "--outtype", kind, *more]
    command = [sys.executable, "-c", _WRAPPER, str(root), script, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=child_environment())
    if done.returncode or not unfinished.exists():
        unfinished.unlink(missing_ok=True)
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise MedChatError(f"Converting {folder.name} to GGUF failed: {last}")
    unfinished.replace(out)


def _require_model(folder: Path) -> None:
    if not folder.is_dir():
        raise InvalidInput(f"There is no folder {folder.name!r}.")
    if not (folder / "config.json").is_file():
        raise InvalidInput(f"The folder {folder.name!r} is no model of transformers: it has no config.json.")


def _weights(folder: Path) -> Iterable[Path]:
    return (path for path in folder.iterdir() if path.suffix in (".safetensors", ".bin"))


def why_not_plain(adapter_dir: Path) -> str:
    """What of the adapter a GGUF adapter cannot hold, "" where it holds all of it.

    Raises InvalidInput when the folder is no adapter, or a damaged one.
    """
    name = adapter_dir.name
    if not is_adapter(adapter_dir):
        raise InvalidInput(f"The folder {name!r} is no adapter of PEFT: it has no {ADAPTER_CONFIG}.")
    if not any((adapter_dir / f"adapter_model.{kind}").is_file() for kind in ("safetensors", "bin")):
        raise InvalidInput(f"The adapter {name!r} holds no weights; its download may not be complete.")
    try:
        config: dict[str, Any] = json.loads((adapter_dir / ADAPTER_CONFIG).read_bytes())
    except ValueError as error:
        raise InvalidInput(f"The {ADAPTER_CONFIG} of {name!r} is not valid JSON.") from error
    if config.get("peft_type") != "LORA":
        return f"{config.get('peft_type')} instead of LoRA"
    if config.get("bias", "none") != "none":
        return "biases (bias)"
    return next((words for key, words in NOT_PLAIN.items() if config.get(key)), "")


def _require_plain(adapter_dir: Path) -> None:
    """Raise InvalidInput unless it is a LoRA that GGUF carries without a change."""
    if used := why_not_plain(adapter_dir):
        raise InvalidInput(
            f"The adapter {adapter_dir.name!r} uses {used}, which a GGUF adapter cannot hold; merge it into its base"
            " first and export the merged model."
        )


def _require_base(adapter_dir: Path, base_dir: Path) -> None:
    """Raise InvalidInput where a matrix of the adapter does not fit its base's; without safetensors none is seen."""
    base: dict[str, set[tuple[int, int]]] = {}
    for name, shape in _shapes(base_dir.glob("*.safetensors")).items():
        base.setdefault(_place(name), set()).add(shape)
    adapter = _shapes(adapter_dir.glob("adapter_model.safetensors"))
    for name, (_, n_in) in adapter.items():
        module, found, _ = name.partition(".lora_A.weight")
        if not base or not found or f"{module}.lora_B.weight" not in adapter:
            continue
        n_out, _ = adapter[f"{module}.lora_B.weight"]
        theirs = base.get(_place(f"{module}.weight"), set())
        if not theirs & {(n_out, n_in), (n_in, n_out)}:  # some classes keep their matrices transposed
            has = " or ".join(f"is {rows} x {columns}" for rows, columns in sorted(theirs)) or "is not there"
            raise InvalidInput(
                f"The adapter {adapter_dir.name!r} was made for another base than {base_dir.name!r}:"
                f" {_place(module)} is {n_out} x {n_in} in its own and {has} in this one."
            )


def _shapes(files: Iterable[Path]) -> dict[str, tuple[int, int]]:
    """Rows and columns of every matrix in the files by name; quantised ones, packed otherwise, are left out."""
    shapes = {}
    for path in files:
        try:
            with safe_open(path, framework="numpy") as tensors:
                for name in tensors.keys():  # noqa: SIM118  # it is no dict
                    tensor = tensors.get_slice(name)
                    if len(tensor.get_shape()) == 2 and tensor.get_dtype() in ("F64", "F32", "F16", "BF16"):
                        shapes[name] = tuple(tensor.get_shape())
        except (SafetensorError, OSError) as error:
            raise InvalidInput(f"The weights {path.name!r} are damaged or incomplete; fetch them again.") from error
    return shapes


def _place(name: str) -> str:
    """A tensor's name from its layer on: what stands before differs between classes for the same weights."""
    return name[max(name.find("layers."), 0) :].removeprefix("base_model.model.")

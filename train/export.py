"""Trained weights into the form in which they are served: GGUF, by llama.cpp's own converter.

The converter is not part of llama-cpp-python's wheel, only of its source archive; the archive of the installed
version is fetched once into a cache, so that converter and runtime always match.
"""

import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

from medchat.errors import MedChatError
from medchat.settings import child_environment

# Runs the converter with the byte-level pre-tokenizer for a tokenizer that it has never seen: ours.
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
sys.argv = [root + "/convert_hf_to_gguf.py", *sys.argv[2:]]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def converter(cache_dir: Path) -> Path:
    """Folder of the llama.cpp sources that hold the converter, fetched on the first call.

    Raises MedChatError when the source archive cannot be had.
    """
    release = version("llama-cpp-python")
    folder = cache_dir / f"llama.cpp-{release}"
    if folder.exists():
        return folder
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir) as temporary:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary",
            ":all:",
            "--dest",
            temporary,
            f"llama-cpp-python=={release}",
        ]
        if subprocess.run(command, check=False).returncode:
            raise MedChatError(
                f"The source archive of llama-cpp-python {release} cannot be fetched; converting to GGUF needs it once."
            )
        archive = next(Path(temporary).glob("*.tar.gz"))
        with tarfile.open(archive) as tar:
            inside = f"llama_cpp_python-{release}/vendor/llama.cpp/"
            wanted = [m for m in tar.getmembers() if m.name.startswith(inside) and m.name.endswith((".py", ".txt"))]
            tar.extractall(temporary, wanted, filter="data")
        shutil.move(Path(temporary) / inside, folder)
    return folder


def to_gguf(model_dir: Path, out: Path, kind: str, cache_dir: Path) -> None:
    """Write a transformers model folder as GGUF; kind is f32, f16, bf16 or q8_0.

    Raises MedChatError with the converter's last line when it fails.
    """
    command = [
        sys.executable,
        "-c",
        _WRAPPER,
        str(converter(cache_dir)),
        str(model_dir),
        "--outfile",
        str(out),
        "--outtype",
        kind,
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=child_environment())
    if done.returncode or not out.exists():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise MedChatError(f"Converting {model_dir.name} to GGUF failed: {last}")

"""What is installed: every requirement pinned, installed as pinned, and importable here."""

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILES = ("requirements.txt", "tests/requirements.txt")

# The packages that MedChat is built on, each with something out of it that would fail if it were broken here.
PROMISED = {
    "torch": "from torch import nn",
    "gradio": "from gradio import Blocks",
    "transformers": "from transformers import AutoModelForCausalLM, LlamaForCausalLM",
    "peft": "from peft import LoraConfig, get_peft_model",
    "bitsandbytes": "from bitsandbytes.nn import Linear4bit",
    "trl": "from trl import DPOTrainer, GRPOTrainer, SFTTrainer",
    "datasets": "from datasets import Dataset",
    "llama-cpp-python": "import llama_cpp; llama_cpp.llama_backend_init()",
    "bert-score": "from bert_score import BERTScorer",
    "sqlalchemy": "from sqlalchemy.orm import Session",
    "pandas": "from pandas import DataFrame",
}


def requirements_of(file: str) -> list[str]:
    """Lines of a requirements file without comments and blank lines."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


@pytest.mark.parametrize("file", FILES)
def test_every_requirement_is_pinned_and_installed_as_pinned(file: str) -> None:
    for line in requirements_of(file):
        pinned = re.fullmatch(r"([A-Za-z0-9_-]+)==([0-9][0-9A-Za-z.]*)", line)
        assert pinned, f"{file}: {line!r} is not NAME==VERSION"
        assert version(pinned[1]).partition("+")[0] == pinned[2], f"{pinned[1]} is installed in another version"


def test_every_promised_package_is_required() -> None:
    named = {line.partition("==")[0] for line in requirements_of("requirements.txt")}

    assert PROMISED.keys() <= named
    assert "torch==2.13.0" in requirements_of("requirements.txt")


def test_every_promised_package_imports_without_a_gpu() -> None:
    code = "\n".join(["import sys, traceback", *map(_attempt, PROMISED)])

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=170)

    assert done.stdout.split() == list(PROMISED), done.stderr


def _attempt(package: str) -> str:
    return f"try:\n    {PROMISED[package]}\n    print({package!r})\nexcept Exception:\n    traceback.print_exc()"

"""What this machine has, and which models fit on it."""

import functools
import shutil
import subprocess
from pathlib import Path
from typing import Literal, NamedTuple

import psutil

from medchat.catalogue import ModelSpec
from medchat.settings import child_environment

GB = 1e9
PROBE_TIMEOUT_S = 2.0
BITS = {"nf4": "4-bit", "int8": "8-bit", "bf16": "16-bit", "fp32": "32-bit"}


class Machine(NamedTuple):
    """Memory in GB: all of the main memory, all of the largest graphics card (0 without one), and what is free now."""

    memory_gb: float
    gpu_memory_gb: float
    free_gb: float


class Fit(NamedTuple):
    """Whether a model can be used, and a short phrase that says why.

    here: it can answer now. fits: it can once it is fetched. tight: so too, when other programs make room.
    too_large: it cannot. external: it runs on somebody else's machine.
    """

    state: Literal["here", "fits", "tight", "too_large", "external"]
    words: str


def this_machine() -> Machine:
    """This machine as it is now."""
    memory = psutil.virtual_memory()
    return Machine(memory.total / GB, _gpu_memory_gb(), memory.available / GB)


@functools.cache
def _gpu_memory_gb() -> float:
    """Memory of the largest NVIDIA card; 0.0 where its own tool finds none."""
    return largest_gb(_listed_memory())


def count_gpus() -> int:
    """How many NVIDIA cards the programs that are started here will find."""
    chosen = child_environment().get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return len([card for card in chosen.split(",") if card.strip() and card.strip() != "-1"])
    return sum(line.isdigit() for line in _listed_memory().split())


@functools.cache
def _listed_memory() -> str:
    """The memory of each NVIDIA card in MiB, one a line; "" where its own tool finds none."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    command = [tool, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def largest_gb(listed: str) -> float:
    """The largest of the sizes that nvidia-smi lists, in MiB, one a line; 0.0 when there is none."""
    sizes = [int(line) for line in listed.split() if line.isascii() and line.isdigit()]
    return max(sizes, default=0) * 1024**2 / GB


def free_disk_gb(folder: Path) -> float:
    """Room on the disk on which the folder is, or would be."""
    there = next(place for place in (folder, *folder.parents) if place.is_dir())
    return shutil.disk_usage(there).free / GB


def fit(spec: ModelSpec, machine: Machine, free_disk_gb: float) -> Fit:
    """Whether the model can be used on the machine. free_disk_gb: where its download would go."""
    if spec.external:
        return Fit("external", f"runs at {spec.external}")
    if spec.endpoint:
        return Fit("here", f"runs at {spec.endpoint.host}")
    on_card = spec.backend == "transformers" and machine.gpu_memory_gb > 0  # which then takes all of it
    has_gb, has = (machine.gpu_memory_gb, "the graphics card") if on_card else (machine.memory_gb, "this machine")
    needs_gb = spec.memory_gb or 0.0
    needs = f"needs {size(needs_gb)}" if needs_gb else "its memory is not known"
    if needs_gb > has_gb:
        return Fit("too_large", f"{needs}, {has} has {size(has_gb)}")
    if spec.is_here:
        return Fit(
            "here", needs if needs_gb <= machine.free_gb or on_card else f"{needs}, {size(machine.free_gb)} free"
        )
    if (spec.download_gb or 0.0) > free_disk_gb:
        return Fit(
            "too_large", f"a download of {size(spec.download_gb or 0.0)}, the disk has {size(free_disk_gb)} left"
        )
    if needs_gb > machine.free_gb and not on_card:
        return Fit("tight", f"{needs}, {size(machine.free_gb)} of {size(has_gb)} are free")
    return Fit("fits", f"{needs}, {has} has {size(has_gb)}")


def kind_of(spec: ModelSpec) -> str:
    """How the model runs: "llama.cpp", "transformers, 4-bit", "server at HOST"."""
    if spec.endpoint:
        return f"server at {spec.endpoint.host}"
    if spec.backend == "transformers":
        return f"transformers, {BITS[spec.precision]}"
    return "llama.cpp" if spec.backend == "llamacpp" else "script"


def size(gigabytes: float) -> str:
    """A size as people would say it: 40 MB, 5.5 GB, 470 GB."""
    if gigabytes < 0.95:
        return f"{gigabytes * 1000:.0f} MB"
    return f"{gigabytes:.1f}".removesuffix(".0") + " GB" if gigabytes < 100 else f"{gigabytes:.0f} GB"

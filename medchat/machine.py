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
OLD_QUERY = "name,memory.total,memory.free"
QUERY = f"{OLD_QUERY},compute_cap"  # which older drivers do not know
BITS = {"nf4": "4-bit", "int8": "8-bit", "bf16": "16-bit", "fp32": "32-bit"}


class Gpu(NamedTuple):
    """An NVIDIA card: all of its memory in GB, and what of it is free now. capability: CUDA's, None where not told."""

    name: str
    memory_gb: float
    free_gb: float
    capability: float | None = None


class Machine(NamedTuple):
    """All of the main memory in GB, the graphics card with most memory (None without one), and what is free now."""

    memory_gb: float
    gpu: Gpu | None
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
    return Machine(
        memory.total / GB, max(_gpus_now(), key=lambda gpu: gpu.memory_gb, default=None), memory.available / GB
    )


def count_gpus() -> int:
    """How many NVIDIA cards the programs that are started here will find."""
    chosen = child_environment().get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return len([card for card in chosen.split(",") if card.strip() and card.strip() != "-1"])
    return len(_gpus())


def _gpus_now() -> tuple[Gpu, ...]:
    """The cards with what is free at this moment, or as it was at first where their tool says nothing now."""
    known = _gpus()
    return (gpus_in(_listed(QUERY)) or known) if known else ()


@functools.cache
def _gpus() -> tuple[Gpu, ...]:
    """The NVIDIA cards as they were found first; none where their own tool finds none."""
    return gpus_in(_listed(QUERY)) or gpus_in(_listed(OLD_QUERY))


def _listed(query: str) -> str:
    """What nvidia-smi says of each card, one a line; "" where it is not here or does not answer."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    command = [tool, f"--query-gpu={query}", "--format=csv,noheader,nounits"]
    try:
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=PROBE_TIMEOUT_S).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def gpus_in(listed: str) -> tuple[Gpu, ...]:
    """The cards that nvidia-smi lists as QUERY asks, sizes in MiB; a line of another form is no card."""
    found = []
    for line in listed.splitlines():
        name, *values = (part.strip() for part in line.split(","))
        if len(values) >= 2 and values[0].isdecimal() and values[1].isdecimal():
            total_gb, free_gb = (int(value) * 1024**2 / GB for value in values[:2])
            found.append(Gpu(name, total_gb, free_gb, _number("".join(values[2:]))))
    return tuple(found)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


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
    card = machine.gpu if spec.backend == "transformers" else None  # which then takes all of it
    has_gb, has = (card.memory_gb, "the graphics card") if card else (machine.memory_gb, "this machine")
    needs_gb = spec.memory_gb or 0.0
    needs = f"needs {size(needs_gb)}" if needs_gb else "its memory is not known"
    if needs_gb > has_gb:
        return Fit("too_large", f"{needs}, {has} has {size(has_gb)}")
    if spec.is_here:
        return Fit("here", needs if needs_gb <= machine.free_gb or card else f"{needs}, {size(machine.free_gb)} free")
    if (spec.download_gb or 0.0) > free_disk_gb:
        return Fit(
            "too_large", f"a download of {size(spec.download_gb or 0.0)}, the disk has {size(free_disk_gb)} left"
        )
    if needs_gb > machine.free_gb and not card:
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

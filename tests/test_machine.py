"""What fits on this machine, and how that is said."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from medchat.catalogue import Endpoint, ModelSpec
from medchat.machine import Gpu, Machine, _gpus, count_gpus, fit, gpus_in, kind_of, size, this_machine
from medchat.records import Sampling

LAPTOP = Machine(memory_gb=16.0, gpu=None, free_gb=8.0)
SERVER = Machine(memory_gb=16.0, gpu=Gpu("A card", 80.0, 70.0), free_gb=8.0)


def spec(path: Path | None = Path("nowhere/model.gguf"), **fields: object) -> ModelSpec:
    made = ModelSpec("m", "M", "llamacpp", "plain", Sampling(), 4096, "A model.", "MIT", ("None.",), path=path)
    return replace(made, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("memory_gb", "download_gb", "machine", "backend", "state", "words"),
    [
        (5.5, 4.4, LAPTOP, "llamacpp", "fits", "needs 5.5 GB, this machine has 16 GB"),
        (9.0, 4.4, LAPTOP, "llamacpp", "tight", "needs 9 GB, 8 GB of 16 GB are free"),
        (29.0, 4.4, LAPTOP, "transformers", "too_large", "needs 29 GB, this machine has 16 GB"),
        (5.5, 54.0, LAPTOP, "llamacpp", "too_large", "a download of 54 GB, the disk has 20 GB left"),
        (29.0, 4.4, SERVER, "transformers", "fits", "needs 29 GB, the graphics card has 80 GB"),
        (29.0, 4.4, SERVER, "llamacpp", "too_large", "needs 29 GB, this machine has 16 GB"),
        (146.0, 4.4, SERVER, "transformers", "too_large", "needs 146 GB, the graphics card has 80 GB"),
        (None, None, LAPTOP, "llamacpp", "fits", "its memory is not known, this machine has 16 GB"),
    ],
)
def test_a_model_that_is_not_here_yet(
    memory_gb: float | None, download_gb: float | None, machine: Machine, backend: str, state: str, words: str
) -> None:
    model = spec(backend=backend, memory_gb=memory_gb, download_gb=download_gb)

    assert fit(model, machine, free_disk_gb=20.0) == (state, words)


def test_a_model_that_is_here_needs_no_room_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")

    assert fit(spec(path, memory_gb=5.5, download_gb=54.0), LAPTOP, 1.0) == ("here", "needs 5.5 GB")
    assert fit(spec(path, memory_gb=9.0), LAPTOP, 1.0) == ("here", "needs 9 GB, 8 GB free")
    assert fit(spec(path, memory_gb=29.0), LAPTOP, 1.0).state == "too_large"


def test_a_server_is_external_unless_it_is_this_machine() -> None:
    there = spec(None, backend="openai", endpoint=Endpoint("https://api.example.org/v1", "m"))
    here = spec(None, backend="openai", endpoint=Endpoint("http://127.0.0.1:8000/v1", "m"))

    assert fit(there, LAPTOP, 1.0) == ("external", "runs at api.example.org")
    assert fit(here, LAPTOP, 1.0) == ("here", "runs at 127.0.0.1")


def test_how_a_model_runs() -> None:
    assert kind_of(spec()) == "llama.cpp"
    assert kind_of(spec(backend="transformers", precision="nf4")) == "transformers, 4-bit"
    assert kind_of(spec(backend="transformers", precision="bf16")) == "transformers, 16-bit"
    assert kind_of(spec(None, backend="openai", endpoint=Endpoint("https://h.org/v1", "m"))) == "server at h.org"


@pytest.mark.parametrize(
    ("gigabytes", "said"), [(0.05, "50 MB"), (0.81, "810 MB"), (0.99, "1 GB"), (5.5, "5.5 GB"), (470.0, "470 GB")]
)
def test_a_size_is_said_in_its_unit(gigabytes: float, said: str) -> None:
    assert size(gigabytes) == said


def test_cards_are_read_with_their_free_memory_and_capability() -> None:
    t4, a100 = gpus_in("Tesla T4, 15360, 14923, 7.5\nNVIDIA A100-SXM4-80GB, 81920, 1024, 8.0\n")
    # 15,360 MiB are 16.106 GB, 14,923 MiB 15.648 GB, and 81,920 MiB 85.899 GB.
    assert (t4.name, round(t4.memory_gb, 3), round(t4.free_gb, 3), t4.capability) == ("Tesla T4", 16.106, 15.648, 7.5)
    assert (round(a100.memory_gb, 3), a100.capability) == (85.899, 8.0)
    [older] = gpus_in("Tesla K80, 11441, 11000\n")  # of a driver that does not know the capability
    assert older.capability is None


@pytest.mark.parametrize(
    "listed",
    ["No devices were found\n", "NVIDIA GB10, [N/A], [N/A], 12.1\n", 'Field "compute_cap" is not a valid field', ""],
)
def test_what_is_no_card_is_none(listed: str) -> None:
    assert gpus_in(listed) == ()


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The tool as a script that prints a file of this name for the query that it is given."""
    script = tmp_path / "nvidia-smi"
    script.write_text('#!/bin/sh\ncat "$(dirname "$0")/$1.csv"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    _gpus.cache_clear()
    yield tmp_path
    _gpus.cache_clear()


def test_the_largest_card_counts_and_what_is_free_on_it_now(nvidia_smi: Path) -> None:
    listed = nvidia_smi / "--query-gpu=name,memory.total,memory.free,compute_cap.csv"
    listed.write_text("Tesla T4, 15360, 15000, 7.5\nNVIDIA L4, 23034, 22000, 8.9\n")
    first = this_machine().gpu
    listed.write_text("Tesla T4, 15360, 15000, 7.5\nNVIDIA L4, 23034, 2000, 8.9\n")
    now = this_machine().gpu

    assert first
    assert now
    assert (first.name, now.name) == ("NVIDIA L4", "NVIDIA L4")
    # 22,000 and 2,000 MiB
    assert (round(first.free_gb, 3), round(now.free_gb, 3)) == (23.069, 2.097)
    assert count_gpus() == 2


def test_an_older_driver_is_asked_for_what_it_knows(nvidia_smi: Path) -> None:
    (nvidia_smi / "--query-gpu=name,memory.total,memory.free.csv").write_text("Tesla V100-SXM2-16GB, 16160, 16000\n")
    gpu = this_machine().gpu
    assert gpu
    assert (gpu.name, gpu.capability) == ("Tesla V100-SXM2-16GB", None)


def test_this_machine_has_memory_and_less_of_it_is_free() -> None:
    machine = this_machine()

    assert 0 < machine.free_gb <= machine.memory_gb
    assert machine.gpu is None or 0 <= machine.gpu.free_gb <= machine.gpu.memory_gb

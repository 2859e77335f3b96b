"""What fits on this machine, and how that is said."""

from dataclasses import replace
from pathlib import Path

import pytest

from medchat.catalogue import Endpoint, ModelSpec
from medchat.machine import Machine, fit, kind_of, largest_gb, size, this_machine
from medchat.records import Sampling

LAPTOP = Machine(memory_gb=16.0, gpu_memory_gb=0.0, free_gb=8.0)
SERVER = Machine(memory_gb=16.0, gpu_memory_gb=80.0, free_gb=8.0)


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


def test_the_largest_card_counts() -> None:
    # 81,920 MiB = 85.9 GB.
    assert largest_gb("16384\n81920\n") == pytest.approx(85.899, abs=0.001)
    assert largest_gb("No devices were found\n") == 0.0
    assert largest_gb("[N/A]\n") == 0.0


def test_this_machine_has_memory_and_less_of_it_is_free() -> None:
    machine = this_machine()

    assert 0 < machine.free_gb <= machine.memory_gb
    assert machine.gpu_memory_gb >= 0

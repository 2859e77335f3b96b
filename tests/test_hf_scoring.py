"""Options compared by transformers: many questions in one pass give what each gives alone."""

import random
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_hf import write_adapter, write_random_model

from medchat.backends.hf_local import HfBackend, HfEngine
from medchat.records import Message, Request, Sampling

LETTERS = [" A", " B", " C", " D"]
TEXTS = [" yes", "", " an option that is rather long", " no"]


@pytest.fixture(scope="module")
def engine() -> Iterator[HfEngine]:
    made = HfEngine(2, 512)
    yield made
    made.close()


def raw(text: str) -> Request:
    return Request((Message("user", text),), Sampling(), raw=True)


def prompts(n: int, head: str = "") -> list[str]:
    rng = random.Random(1)
    return [
        head + "".join(rng.choices(string.ascii_letters + " ", k=rng.randint(1, 90))) + " Answer:" for _ in range(n)
    ]


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt_oss", "qwen3_5"])
@pytest.mark.parametrize("head", ["", "Read the case with care and say what it is. " * 2])
def test_many_questions_at_once_give_what_each_gives_alone(
    engine: HfEngine, tmp_path: Path, architecture: str, head: str
) -> None:
    backend = HfBackend(write_random_model(tmp_path / "model", architecture), engine, precision="fp32")
    asked = [raw(text) for text in prompts(12, head)]
    options = [TEXTS if number % 3 == 0 else LETTERS for number in range(len(asked))]
    alone = [backend.loglikelihoods([one], [its])[0] for one, its in zip(asked, options, strict=True)]
    together = backend.loglikelihoods(asked, options)
    assert together == [pytest.approx(its, abs=2e-3) for its in alone]
    assert len({tuple(round(value, 2) for value in its or ()) for its in alone}) == len(asked)  # they do differ
    backend.close()


def test_what_does_not_fit_is_none_and_the_others_are_told(engine: HfEngine, tmp_path: Path) -> None:
    backend = HfBackend(write_random_model(tmp_path / "model"), engine, precision="fp32")
    long, vast, short = backend.loglikelihoods([raw("x" * 600), raw("x" * 50_000), raw("x")], [LETTERS] * 3)
    assert (long, vast) == (None, None)
    assert short is not None
    assert len(short) == 4
    assert backend.loglikelihoods([], []) == []
    backend.close()


def test_each_adapter_compares_with_its_own_weights(engine: HfEngine, tmp_path: Path) -> None:
    base = write_random_model(tmp_path / "model")
    plain = HfBackend(base, engine, precision="fp32")
    adapted = HfBackend(base, engine, precision="fp32", adapter=write_adapter(tmp_path / "adapter", base))
    asked = [raw(text) for text in prompts(4)]
    first, second = plain.loglikelihoods(asked, [LETTERS] * 4), adapted.loglikelihoods(asked, [LETTERS] * 4)
    assert all(abs(a[0] - b[0]) > 1e-3 for a, b in zip(first, second, strict=True) if a and b)
    assert plain.loglikelihoods(asked, [LETTERS] * 4) == [pytest.approx(its, abs=1e-4) for its in first]
    adapted.close()
    plain.close()

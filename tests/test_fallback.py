"""The models of one process: made once, replaced when they change, and run elsewhere when their engine cannot."""

import logging
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from tiny_models import write_chain_model

from medchat.backends import Backends
from medchat.backends.fallback import FallbackBackend
from medchat.backends.scripted import ScriptedBackend
from medchat.catalogue import ModelSpec
from medchat.errors import EngineUnusable, ModelUnavailable
from medchat.records import Done, Message, Request, Sampling, Text
from medchat.settings import ASSETS

QUESTION = Request((Message("user", "Fever?"),), Sampling(max_new_tokens=20))
CUE = replace(QUESTION, prefill="H")


def text_of(events: Iterator[Text | Done]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


class Unusable(ScriptedBackend):
    """A backend whose engine turns out to be unusable after so many events."""

    def __init__(self, before: Sequence[Text]) -> None:
        super().__init__([""])
        self.before = before
        self.closed = False
        self.n_asked = 0

    def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
        self.n_asked += 1
        yield from self.before
        raise EngineUnusable("The library cannot run here.")

    def count_tokens(self, request: Request) -> int:
        raise EngineUnusable("The library cannot run here.")


def test_an_unusable_engine_is_replaced_before_the_first_word_for_good_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    first = Unusable([Text(0, ""), Text(0, "")])  # the heartbeat of a slow start is no word
    backend = FallbackBackend(first, lambda: ScriptedBackend(["The answer."]), "Demo")
    with caplog.at_level(logging.WARNING):
        assert text_of(backend.generate([QUESTION])) == "The answer."
        assert text_of(backend.generate([QUESTION])) == "The answer."
        assert backend.count_tokens(QUESTION) == 1
    assert first.n_asked == 1
    assert [record.getMessage() for record in caplog.records] == [
        "Demo goes on with another engine: The library cannot run here."
    ]


def test_what_is_asked_first_may_be_something_else_than_an_answer() -> None:
    backend = FallbackBackend(Unusable([]), lambda: ScriptedBackend(["The answer."], n_ctx=99), "Demo")
    assert backend.count_tokens(QUESTION) == 1
    assert backend.n_ctx == 99


def test_an_answer_that_has_begun_is_not_begun_anew_and_the_next_question_is_answered() -> None:
    first = Unusable([Text(0, "Sep")])
    backend = FallbackBackend(first, lambda: ScriptedBackend(["Sepsis."]), "Demo")
    events = backend.generate([QUESTION])
    assert next(events) == Text(0, "Sep")
    with pytest.raises(EngineUnusable):
        next(events)
    first.before = []
    assert text_of(backend.generate([QUESTION])) == "Sepsis."


def test_when_the_other_engine_is_unusable_too_it_says_so() -> None:
    backend = FallbackBackend(Unusable([]), lambda: Unusable([]), "Demo")
    for _ in range(2):
        with pytest.raises(EngineUnusable, match=r"^The library cannot run here\.$"):
            text_of(backend.generate([QUESTION]))


def test_closing_the_answer_closes_that_of_the_engine() -> None:
    closed = []

    class Watched(ScriptedBackend):
        def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
            try:
                yield from super().generate(requests)
            finally:
                closed.append(True)

    backend = FallbackBackend(Watched(["a b c d"], chunk_chars=1), lambda: ScriptedBackend([""]), "Demo")
    events = cast(Generator[Text | Done, None, None], backend.generate([QUESTION]))
    with closing(events):
        next(events)
    assert closed == [True]


@pytest.mark.slow
def test_the_bundled_model_answers_where_llama_cpp_cannot_run(
    backends: Backends, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo = spec(ASSETS / "demo" / "demo-q8_0.gguf", safetensors=ASSETS / "demo" / "demo")
    wanted = text_of(backends.get(demo).generate([QUESTION]))
    (tmp_path / "llama_cpp.py").write_text("import os; os.kill(os.getpid(), 4)")  # SIGILL, an illegal instruction
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    elsewhere = Backends(threads=1, slots=2, n_ctx=2048)
    try:
        assert text_of(elsewhere.get(demo).generate([QUESTION])) == wanted
        assert elsewhere.engine_status().state == "stopped"
    finally:
        elsewhere.close()


# The models of a process


def spec(path: Path | None, **more: object) -> ModelSpec:
    given = {
        "id": "mine", "name": "Mine", "backend": "llamacpp", "answer_format": "think", "sampling": Sampling(),
        "n_ctx": 2048, "description": "A model.", "licence": "MIT", "limits": (), "path": path,
    }  # fmt: skip
    return ModelSpec(**(given | more))  # type: ignore[arg-type]


@pytest.fixture
def backends() -> Iterator[Backends]:
    backends = Backends(threads=1, slots=2, n_ctx=2048)
    yield backends
    backends.close()


def test_a_model_is_made_once_and_a_changed_one_replaces_it(backends: Backends, tmp_path: Path) -> None:
    one = spec(write_chain_model(tmp_path / "one.gguf", ["Hi!<|end|>"]))
    two = spec(write_chain_model(tmp_path / "two.gguf", ["Ho.<|end|>"]))
    assert backends.get(one) is backends.get(spec(one.path))
    assert text_of(backends.get(one).generate([CUE])) == "i!"
    assert text_of(backends.get(two).generate([CUE])) == "o."
    assert text_of(backends.get(one).generate([CUE])) == "i!"


def test_a_forgotten_model_can_be_asked_for_again(backends: Backends, tmp_path: Path) -> None:
    one = spec(write_chain_model(tmp_path / "one.gguf", ["Hi!<|end|>"]))
    before = backends.get(one)
    backends.forget("mine")
    backends.forget("never asked for")
    assert backends.get(one) is not before
    assert text_of(backends.get(one).generate([CUE])) == "i!"


def test_a_model_whose_files_nobody_knows_is_said_in_one_line(backends: Backends) -> None:
    with pytest.raises(ModelUnavailable, match=r"^Where the files of Mine are is not known"):
        backends.get(spec(None))


def test_after_the_end_every_model_says_that_it_was_shut_down(backends: Backends, tmp_path: Path) -> None:
    one = spec(write_chain_model(tmp_path / "one.gguf", ["Hi!<|end|>"]))
    backends.close()
    backends.close()
    with pytest.raises(ModelUnavailable, match="shut down"):
        text_of(backends.get(one).generate([CUE]))


def test_a_scripted_model_says_what_it_is(backends: Backends) -> None:
    assert text_of(backends.get(spec(None, backend="scripted")).generate([QUESTION])) == "A model."

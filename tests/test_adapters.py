"""LoRA adapters on llama.cpp: answers that never mix, weights loaded once, and what is said of a wrong file."""

import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tiny_models import write_adapter, write_chain_model, write_random_model

from medchat.backends.llamacpp import Engine, LlamaCppBackend
from medchat.errors import ModelUnavailable
from medchat.records import Done, Message, Request, Sampling, Text

SYSTEM = Message("system", "You answer questions about medicine. " * 5)
GIB = 1 << 30
NONE = "none"


def ask(content: str, max_new_tokens: int = 40) -> Request:
    return Request((SYSTEM, Message("user", content)), Sampling(max_new_tokens=max_new_tokens))


def text_of(backend: LlamaCppBackend, request: Request) -> str:
    return "".join(event.text for event in backend.generate([request]) if isinstance(event, Text))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and two adapters for it."""
    folder = tmp_path_factory.mktemp("adapters")
    write_random_model(folder / "base.gguf")
    write_adapter(folder / "a.gguf", seed=1)
    write_adapter(folder / "b.gguf", seed=2)
    return folder


def model(folder: Path, adapter: str, engine: Engine) -> LlamaCppBackend:
    return LlamaCppBackend(
        folder / "base.gguf", engine, adapter=None if adapter == NONE else folder / f"{adapter}.gguf"
    )


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine(threads=1, slots=4, n_ctx=2048)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[tuple[str, str], str]:
    """What each model answers to each question in a process where nothing else was asked."""
    texts = {}
    for adapter in ("a", "b", NONE):
        for question in ("Fever?", "Fever and cough?"):
            engine = Engine(threads=1, slots=4, n_ctx=2048)
            texts[adapter, question] = text_of(model(folder, adapter, engine), ask(question))
            engine.close()
    return texts


def test_an_adapter_changes_the_answer_and_each_in_its_own_way(alone: dict[tuple[str, str], str]) -> None:
    assert len(set(alone.values())) == 6


def test_adapters_in_turn_answer_as_each_does_alone(
    folder: Path, engine: Engine, alone: dict[tuple[str, str], str]
) -> None:
    turns = [
        (adapter, question)
        for question in ("Fever?", "Fever and cough?", "Fever?")
        for adapter in ("a", NONE, "b", "a", "b", NONE)
    ]
    backends = {adapter: model(folder, adapter, engine) for adapter in ("a", "b", NONE)}
    assert [text_of(backends[adapter], ask(question)) for adapter, question in turns] == [alone[turn] for turn in turns]


def test_adapters_at_the_same_time_answer_as_each_does_alone(
    folder: Path, engine: Engine, alone: dict[tuple[str, str], str]
) -> None:
    turns = list(alone) * 3
    texts: dict[int, str] = {}

    def answer(number: int, adapter: str, question: str) -> None:
        texts[number] = text_of(model(folder, adapter, engine), ask(question))

    threads = [threading.Thread(target=answer, args=(number, *turn)) for number, turn in enumerate(turns)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [texts[number] for number in range(len(turns))] == [alone[turn] for turn in turns]


def test_two_answers_of_one_question_advance_side_by_side_and_do_not_mix(
    folder: Path, engine: Engine, alone: dict[tuple[str, str], str]
) -> None:
    streams = {adapter: model(folder, adapter, engine).generate([ask("Fever?")]) for adapter in ("a", NONE)}
    texts = dict.fromkeys(streams, "")
    while streams:
        for adapter, events in list(streams.items()):
            event = next(events)
            if isinstance(event, Done):
                del streams[adapter]
            else:
                texts[adapter] += event.text
    assert texts == {adapter: alone[adapter, "Fever?"] for adapter in ("a", NONE)}


# Memory


def mapped_bytes(engine: Engine, name: str) -> int:
    """Address space that the worker gave to a file."""
    pid = engine.status().pid
    assert pid is not None
    regions = psutil.Process(pid).memory_maps(grouped=False)
    return sum(region.size for region in regions if Path(region.path).name == name)


def test_the_weights_are_loaded_once_for_a_base_and_its_adapter(folder: Path, engine: Engine) -> None:
    base, adapted = model(folder, NONE, engine), model(folder, "a", engine)
    assert base.n_ctx == 2048
    once = mapped_bytes(engine, "base.gguf")
    assert once > 0
    assert adapted.n_ctx == 2048
    assert mapped_bytes(engine, "base.gguf") == once


def test_weights_stay_as_long_as_somebody_needs_them(
    folder: Path, engine: Engine, alone: dict[tuple[str, str], str]
) -> None:
    base, adapted = model(folder, NONE, engine), model(folder, "a", engine)
    assert base.n_ctx == adapted.n_ctx
    base.close()
    assert text_of(adapted, ask("Fever?")) == alone["a", "Fever?"]
    assert mapped_bytes(engine, "base.gguf") > 0
    adapted.close()
    other = LlamaCppBackend(write_chain_model(folder / "other.gguf", ["Hi!<|end|>"]), engine)
    assert other.n_ctx == 2048
    assert mapped_bytes(engine, "base.gguf") == 0


def test_an_adapter_needs_only_the_memory_of_its_own_cells(folder: Path, alone: dict[tuple[str, str], str]) -> None:
    available = iter([GIB, 100 << 20])  # the weights alone would ask for 256 MB
    engine = Engine(threads=1, slots=4, n_ctx=2048, available_memory=lambda: next(available))
    answering = model(folder, NONE, engine).generate([ask("Fever?", 1500)])  # it cannot be unloaded to make room
    assert isinstance(next(answering), Text)
    assert text_of(model(folder, "a", engine), ask("Fever?")) == alone["a", "Fever?"]
    engine.close()


# Wrong files


@pytest.mark.parametrize("question", ["answer", "check"])
def test_an_adapter_for_another_architecture_is_refused_with_both_names(
    question: str, folder: Path, engine: Engine
) -> None:
    write_adapter(folder / "gemma.gguf", architecture="gemma3", base_name="Gemma 3 1b It")
    backend = model(folder, "gemma", engine)
    with pytest.raises(ModelUnavailable) as caught:
        backend.check() if question == "check" else text_of(backend, ask("Fever?"))
    assert str(caught.value) == (
        "The adapter 'gemma.gguf' was made for another base (Gemma 3 1b It) than 'base.gguf' (llama);"
        " choose the model that it was trained on."
    )


@pytest.mark.parametrize("other", [{"n_embd": 128}, {"blocks": 3}], ids=["width", "depth"])
def test_an_adapter_for_another_size_of_the_same_architecture_is_refused(
    other: dict[str, int], folder: Path, engine: Engine, tmp_path: Path, alone: dict[tuple[str, str], str]
) -> None:
    adapter = write_adapter(tmp_path / "large.gguf", **other)  # type: ignore[arg-type]
    with pytest.raises(ModelUnavailable, match=r"^The adapter 'large\.gguf' was made for another base \(llama\) than"):
        text_of(LlamaCppBackend(folder / "base.gguf", engine, adapter=adapter), ask("Fever?"))
    assert text_of(model(folder, "a", engine), ask("Fever?")) == alone["a", "Fever?"]


def damaged(path: Path) -> None:
    content = write_adapter(path).read_bytes()
    path.write_bytes(content[:-100])


def other_kind(path: Path) -> None:
    write_adapter(path, kind="ia3")


def a_model(path: Path) -> None:
    write_random_model(path)


@pytest.mark.parametrize(
    ("write", "line"),
    [
        (lambda path: None, r"^There is no adapter file 'x\.gguf'; choose another model\.$"),
        (
            lambda path: path.write_text("no adapter"),
            r"^The adapter 'x\.gguf' is not a readable GGUF file: it is damaged",
        ),
        (damaged, r"^The adapter 'x\.gguf' is not a readable GGUF file: it is damaged, incomplete"),
        (other_kind, r"^The adapter 'x\.gguf' is of a kind \(ia3\) that llama\.cpp cannot use here; merge it into"),
        (a_model, r"^The file 'x\.gguf' is not an adapter"),
        (lambda path: path.mkdir(), r"^The adapter 'x\.gguf' is a folder .* 'python -m train export FOLDER --to gguf"),
    ],
    ids=["missing", "text", "truncated", "kind", "model", "folder"],
)
def test_a_file_that_is_no_adapter_is_said_in_one_line(
    write: object, line: str, folder: Path, engine: Engine, tmp_path: Path
) -> None:
    assert callable(write)
    write(tmp_path / "x.gguf")
    backend = LlamaCppBackend(folder / "base.gguf", engine, adapter=tmp_path / "x.gguf")
    for wrong in (backend.check, lambda: text_of(backend, ask("Fever?"))):
        with pytest.raises(ModelUnavailable, match=line):
            wrong()


def test_a_fitting_adapter_passes_the_check_and_counts_into_the_memory(folder: Path, engine: Engine) -> None:
    without, adapted = model(folder, NONE, engine).check(), model(folder, "a", engine).check()
    assert adapted.memory_gb - without.memory_gb == pytest.approx((folder / "a.gguf").stat().st_size / 1e9)
    assert adapted.architecture == "llama"

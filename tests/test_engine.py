"""The worker process: its death and rebirth, its models, its memory, and what it shares between prompts."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import psutil
import pytest
from tiny_models import write_chain_model, write_random_model, write_unknown_architecture

from medchat.backends import worker
from medchat.backends.decoding import Completion, DecodeLoop, Event
from medchat.backends.gguf_model import GgufModel
from medchat.backends.gguf_weights import MARGIN_BYTES
from medchat.backends.llamacpp import Engine, LlamaCppBackend
from medchat.errors import EngineUnusable, ModelUnavailable, NotEnoughMemory
from medchat.records import Done, Message, Request, Sampling, Text
from medchat.settings import ROOT

SYSTEM = Message("system", "You answer questions about medicine. " * 10)
GIB = 1 << 30


def ask(content: str = "hello", *, prefill: str = "", max_new_tokens: int = 3000) -> Request:
    return Request((SYSTEM, Message("user", content)), Sampling(max_new_tokens=max_new_tokens), prefill)


def text_of(backend: LlamaCppBackend, request: Request) -> str:
    return "".join(event.text for event in backend.generate([request]) if not isinstance(event, Done))


def started(backend: LlamaCppBackend, request: Request) -> Iterator[Text | Done]:
    """The events of an answer whose first words have come."""
    events = backend.generate([request])
    while not cast(Text, next(events)).text:
        pass
    return events


def wait_until(true: Callable[[], bool], timeout_s: float = 5.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return true()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three files of one model: after "H" it says "i!", after "a" the letters b to g for ever."""
    folder = tmp_path_factory.mktemp("models")
    return [write_chain_model(folder / f"{name}.gguf", ["Hi!<|end|>", "abcdefga"]) for name in ("one", "two", "three")]


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine(threads=1, slots=4, n_ctx=4096)
    yield engine
    engine.close()


def loaded(engine: Engine) -> set[str]:
    """Names of the model files that the worker has mapped into its memory."""
    pid = engine.status().pid
    assert pid is not None
    return {Path(region.path).name for region in psutil.Process(pid).memory_maps() if region.path.endswith(".gguf")}


# Death


def test_a_killed_worker_gives_one_clear_line_and_the_next_question_a_new_worker(
    engine: Engine, models: list[Path]
) -> None:
    backend = LlamaCppBackend(models[0], engine)
    events = started(backend, ask(prefill="a"))
    first = engine.status()
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    with pytest.raises(
        ModelUnavailable, match=r"^The model stopped unexpectedly; your text is kept\. Please ask again"
    ):
        list(events)
    assert engine.status() == ("stopped", None)
    assert text_of(backend, ask(prefill="H")) == "i!"
    assert engine.status().state == "ready"
    assert engine.status().pid != first.pid


def test_everybody_who_waits_for_a_killed_worker_is_told(engine: Engine, models: list[Path]) -> None:
    backend = LlamaCppBackend(models[0], engine)
    told: list[str] = []

    def wait_for_an_answer() -> None:
        try:
            text_of(backend, ask(prefill="a"))
        except ModelUnavailable as error:
            told.append(str(error))

    assert backend.n_ctx == 4096
    threads = [threading.Thread(target=wait_for_an_answer) for _ in range(6)]  # more than there are slots
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    os.kill(engine.status().pid or 0, signal.SIGKILL)
    for thread in threads:
        thread.join(10)
    assert len(told) == 6


def test_closing_the_engine_tells_who_still_waits_and_ends_the_worker(engine: Engine, models: list[Path]) -> None:
    assert engine.status() == ("idle", None)
    backend = LlamaCppBackend(models[0], engine)
    events = started(backend, ask(prefill="a"))
    pid = engine.status().pid or 0
    engine.close()
    engine.close()
    assert not psutil.pid_exists(pid)
    with pytest.raises(ModelUnavailable, match="shut down"):
        list(events)
    with pytest.raises(ModelUnavailable, match="shut down"):
        text_of(backend, ask())
    assert engine.status() == ("stopped", None)


def test_the_worker_ends_when_its_parent_is_killed(models: list[Path]) -> None:
    script = f"""
import sys, time
from pathlib import Path
from medchat.backends.llamacpp import Engine, LlamaCppBackend
engine = Engine(1, 4, 4096)
LlamaCppBackend(Path({str(models[0])!r}), engine).n_ctx
print(engine.status().pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    assert psutil.pid_exists(worker)
    parent.kill()
    parent.communicate()
    assert wait_until(lambda: not psutil.pid_exists(worker) or psutil.Process(worker).status() == "zombie")


@pytest.mark.parametrize(
    "broken", ["raise OSError('libllama.so: cannot open')", "import os, signal; os.kill(os.getpid(), 4)"]
)
def test_a_llama_cpp_that_cannot_run_here_is_said_in_one_line(
    broken: str, engine: Engine, models: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "llama_cpp.py").write_text(broken)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ModelUnavailable, match=r"^llama-cpp-python is not installed or cannot run on this processor"):
        text_of(LlamaCppBackend(models[0], engine), ask())


@pytest.mark.parametrize(
    "ending",
    [
        "raise ImportError('no such library')",
        "os.kill(os.getpid(), 4)",
        "print([], flush=True); os.kill(os.getpid(), 4)",
    ],
    ids=["import", "illegal", "illegal-later"],
)
def test_a_worker_that_cannot_run_here_is_not_started_again(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = tmp_path / "starts"
    (tmp_path / "cannot_run.py").write_text(
        f"import os, sys\nopen({str(starts)!r}, 'a').write('x')\nsys.stdin.readline()\n{ending}\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    engine = worker.Engine("cannot_run", [], library="json", unusable="This library cannot run here.")
    for _ in range(3):
        with pytest.raises(EngineUnusable, match=r"^This library cannot run here\.$"):
            engine.ask("open", {"path": "x"})
    assert starts.read_text() == "x"
    assert engine.status() == ("stopped", None)
    engine.close()


def test_a_worker_that_was_killed_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = tmp_path / "starts"
    (tmp_path / "is_killed.py").write_text(
        f"import os, signal, sys\nopen({str(starts)!r}, 'a').write('x')\nsys.stdin.readline()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    engine = worker.Engine("is_killed", [], library="json", unusable="This library cannot run here.")
    for _ in range(2):
        with pytest.raises(ModelUnavailable, match=r"^The model stopped unexpectedly"):
            engine.ask("open", {"path": "x"})
    assert starts.read_text() == "xx"
    engine.close()


@pytest.mark.parametrize(
    "failure", ["raise MemoryError", "raise ImportError('libx.so: cannot allocate memory')", "sys.exit(1)"]
)
def test_a_worker_that_failed_for_a_moment_is_started_again_and_answers(
    failure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = tmp_path / "starts"
    (tmp_path / "fails_once.py").write_text(
        f"import json, pathlib, sys\nstarts = pathlib.Path({str(starts)!r})\n"
        f"if not starts.exists():\n    starts.touch()\n    {failure}\n"
        "def main():\n    for line in sys.stdin:\n"
        "        print(json.dumps([[json.loads(line)['id'], 'reply', 512]]), flush=True)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    engine = worker.Engine("fails_once", [], library="json", unusable="This library cannot run here.")
    with pytest.raises(ModelUnavailable, match=r"^The model stopped unexpectedly; .* Please ask again"):
        engine.ask("open", {"path": "x"})
    assert engine.ask("open", {"path": "x"}) == 512
    engine.close()


# What the worker gets and loads


def test_no_secret_reaches_the_worker(engine: Engine, models: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_TOKEN", "hf_sesame")
    assert LlamaCppBackend(models[0], engine).n_ctx == 4096
    environment = Path(f"/proc/{engine.status().pid}/environ").read_text()
    assert "PATH=" in environment
    assert "FAKE_TOKEN" not in environment
    assert "sesame" not in environment


def test_the_worker_imports_neither_torch_nor_gradio() -> None:
    script = (
        "import sys, medchat.backends.engine; print(sorted({'torch', 'transformers', 'gradio'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


# Models


def test_a_third_model_takes_the_place_of_the_one_idle_longest(engine: Engine, models: list[Path]) -> None:
    one, two, three = (LlamaCppBackend(path, engine) for path in models)
    assert [text_of(backend, ask(prefill="H")) for backend in (one, two, one)] == ["i!", "i!", "i!"]
    assert loaded(engine) == {"one.gguf", "two.gguf"}
    assert text_of(three, ask(prefill="H")) == "i!"
    assert loaded(engine) == {"one.gguf", "three.gguf"}


def test_a_model_that_is_answering_is_never_replaced(engine: Engine, models: list[Path]) -> None:
    one, two, three = (LlamaCppBackend(path, engine) for path in models)
    answering = started(one, ask(prefill="a", max_new_tokens=2000))
    assert [text_of(backend, ask(prefill="H")) for backend in (two, three)] == ["i!", "i!"]
    last = list(answering)[-1]
    assert isinstance(last, Done)
    assert (last.finish_reason, last.completion_tokens) == ("length", 2000)


def test_a_third_model_waits_while_two_are_answering(engine: Engine, models: list[Path]) -> None:
    one, two, three = (LlamaCppBackend(path, engine) for path in models)
    answering = [started(backend, ask(prefill="a", max_new_tokens=1000)) for backend in (one, two)]
    assert text_of(three, ask(prefill="H")) == "i!"
    endings = [list(events)[-1] for events in answering]
    assert [(end.finish_reason, end.completion_tokens) for end in endings if isinstance(end, Done)] == [
        ("length", 1000),
        ("length", 1000),
    ]


def test_a_closed_backend_frees_its_model_in_a_shared_engine(engine: Engine, models: list[Path]) -> None:
    one, two = (LlamaCppBackend(path, engine) for path in models[:2])
    assert one.n_ctx == two.n_ctx == 4096
    one.close()
    assert text_of(two, ask(prefill="H")) == "i!"
    assert loaded(engine) == {"two.gguf"}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, r"^There is no model file 'model\.gguf'; choose another model\.$"),
        (b"", r"^The model file 'model\.gguf' is not a readable GGUF file"),
        (b"not a model at all, only text" * 99, r"^The model file 'model\.gguf' is not a readable GGUF file"),
    ],
    ids=["missing", "empty", "text"],
)
def test_a_file_that_is_no_model_is_said_in_one_line(
    engine: Engine, models: list[Path], tmp_path: Path, content: bytes | None, line: str
) -> None:
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelUnavailable, match=line):
        text_of(LlamaCppBackend(path, engine), ask())
    assert text_of(LlamaCppBackend(models[0], engine), ask(prefill="H")) == "i!"


def test_a_truncated_model_is_said_in_one_line(engine: Engine, models: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "half.gguf"
    content = models[0].read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelUnavailable, match=r"'half\.gguf' is not a readable GGUF file: it is damaged, incomplete"):
        text_of(LlamaCppBackend(path, engine), ask())


def test_an_unknown_architecture_is_named(engine: Engine, tmp_path: Path) -> None:
    path = write_unknown_architecture(tmp_path / "strange.gguf")
    with pytest.raises(ModelUnavailable, match=r"'strange\.gguf' has the architecture 'abacus', which this llama\.cpp"):
        text_of(LlamaCppBackend(path, engine), ask())


# Memory


def test_a_model_that_would_exhaust_the_memory_is_refused(models: list[Path]) -> None:
    engine = Engine(threads=1, slots=4, n_ctx=4096, available_memory=lambda: 100 << 20)
    with pytest.raises(
        NotEnoughMemory, match=r"^Loading 'one\.gguf' needs about 25\d MB .* and 100 MB are free; close"
    ):
        text_of(LlamaCppBackend(models[0], engine), ask())
    engine.close()


def test_a_model_that_is_idle_makes_room_when_memory_is_short(models: list[Path]) -> None:
    available = iter([GIB, 100 << 20, 100 << 20])
    engine = Engine(threads=1, slots=4, n_ctx=4096, available_memory=lambda: next(available))
    assert text_of(LlamaCppBackend(models[0], engine), ask(prefill="H")) == "i!"
    assert text_of(LlamaCppBackend(models[1], engine), ask(prefill="H")) == "i!"
    assert loaded(engine) == {"two.gguf"}
    engine.close()


# Sharing, in this process


def load(path: Path, *, n_ctx: int = 1024, available_bytes: int = GIB) -> GgufModel:
    return GgufModel(path, threads=1, slots=4, n_ctx=n_ctx, available_bytes=available_bytes)


def decode(model: GgufModel, *groups: list[list[Message]], max_new: int = 30) -> tuple[list[list[int]], list[int]]:
    """Tokens that each prompt is given, and the steps each group of them took together; frees the model."""
    loop = DecodeLoop(model, slots=4, events=[])
    tokens, steps = [], []
    for group in groups:
        prompts = [model.prompt(messages, "", False) for messages in group]
        completions = [Completion(i, prompt, Sampling(), max_new=max_new) for i, prompt in enumerate(prompts)]
        for completion in completions:
            loop.add(completion)
        steps.append(0)
        while loop.busy:
            loop.step()
            steps[-1] += 1
        tokens += [completion.tokens[completion.n_prompt :] for completion in completions]
    loop.close()
    return tokens, steps


@pytest.fixture(scope="module")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_model(tmp_path_factory.mktemp("models") / "random.gguf")


def test_a_shared_system_prompt_changes_no_answer_and_is_computed_once(random_model: Path) -> None:
    prompts = [[SYSTEM, Message("user", f"Question {i}?")] for i in range(3)]
    alone = [decode(load(random_model), [prompt]) for prompt in prompts]
    one_by_one, steps = decode(load(random_model), *([prompt] for prompt in prompts))
    assert one_by_one == [tokens for [tokens], _ in alone]
    # A prompt has 423 tokens, 128 a step: 4 steps to its first token and 29 more. What the first two had in
    # common is kept, so that the third needs only 1 + 29.
    assert steps == [33, 33, 30]


def test_prompts_that_come_together_compute_their_common_head_once(random_model: Path) -> None:
    prompts = [[SYSTEM, Message("user", f"Question {i}?")] for i in range(4)]
    expected = [decode(load(random_model), [prompt])[0][0] for prompt in prompts]
    together, [steps] = decode(load(random_model), prompts)
    assert together == expected
    assert steps <= 36  # computing each of them would take 13 steps instead of 4, then 29


def test_several_samples_of_one_prompt_read_it_once(random_model: Path) -> None:
    together, [steps] = decode(load(random_model), [[SYSTEM, Message("user", "Question?")]] * 4)
    assert together == [together[0]] * 4
    assert steps <= 35


def test_too_few_cells_for_all_delay_an_answer_and_change_none(random_model: Path) -> None:
    prompts = [[Message("user", f"{i}: " + "why? " * 8)] for i in range(4)]
    expected = [decode(load(random_model), [prompt], max_new=100)[0][0] for prompt in prompts]
    # Cells for 256 tokens only, where four prompts of 70 and answers of 100 take 680.
    small = load(random_model, n_ctx=256, available_bytes=random_model.stat().st_size + MARGIN_BYTES + 256 * 256)
    assert small.cells == 256
    assert decode(small, prompts, max_new=100)[0] == expected


def test_a_long_prompt_does_not_hold_up_who_is_being_answered(random_model: Path) -> None:
    model = load(random_model)
    loop = DecodeLoop(model, slots=4, events=[])
    running = Completion(0, model.prompt([Message("user", "hello")], "", False), Sampling(), max_new=50)
    loop.add(running)
    loop.step()
    loop.add(Completion(1, model.prompt([Message("user", "x" * 900)], "", False), Sampling(), max_new=50))
    for _ in range(5):  # 900 tokens take 8 steps; in each the other goes on
        loop.step()
    assert running.n_new == 6
    loop.close()


def test_a_step_that_fails_ends_what_runs_with_one_line_and_the_next_is_answered(random_model: Path) -> None:
    events: list[Event] = []
    model = load(random_model)
    loop = DecodeLoop(model, slots=4, events=events)
    prompt = model.prompt([Message("user", "Question?")], "", False)
    loop.add(Completion(1, [*prompt, 10**6], Sampling(), max_new=5))  # a token that the model does not have
    loop.step()
    assert [event[:3] for event in events] == [[1, "error", "ModelUnavailable"]]
    loop.add(Completion(2, prompt, Sampling(), max_new=5))
    while loop.busy:
        loop.step()
    assert events[-1] == [2, "done", "length", len(prompt), 5]
    loop.close()

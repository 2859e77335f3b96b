"""The chat service: what somebody who asks, watches, stops, reloads and asks again gets to see."""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_models import write_chain_model

from medchat import live as live_module
from medchat.backends import Backend
from medchat.backends.llamacpp import Engine, LlamaCppBackend
from medchat.backends.scripted import ScriptedBackend
from medchat.catalogue import ModelSpec
from medchat.chat import ChatService, LiveAnswer, TurnView
from medchat.errors import InvalidInput, ModelUnavailable, NotFound, StoreError
from medchat.grounding import Grounding, Near, Recognised
from medchat.records import Done, Request, Sampling, Text
from medchat.settings import Settings
from medchat.store import AnswerRecord, Store, migrate

REASONING = "1. Fever and cough point to the lungs.\n2. A rash would point elsewhere."
SOLUTION = "Pneumonia is most likely."
REPLY = f"<start_reasoning>\n{REASONING}\n<end_reasoning><SOLUTION>{SOLUTION}</SOLUTION>"
CASE = "Fever and cough for three days."


class WordGrounder:
    """Recognises three words; enough to see what the chat does with findings."""

    words = ("fever", "cough", "rash")

    def ground(self, text: str) -> Grounding:
        found = re.finditer("|".join(self.words), text.lower())
        recognised = tuple(Recognised(m[0], m[0], m.start(), m.end(), False, 1.0) for m in found)
        return Grounding(recognised, (Near("pneumonia", "pneumonia", 0.9),), outside=not recognised)

    def unsupported(self, reasoning: str, case: str) -> list[tuple[int, int, str]]:
        found = re.finditer("|".join(self.words), reasoning.lower())
        return [(m.start(), m.end(), m[0]) for m in found if m[0] not in case.lower()]


class Grounders:
    """A GroundingLoader whose Grounder is there from the beginning, or later, or never."""

    def __init__(self, ready: bool = True) -> None:
        self._ready = threading.Event()
        if ready:
            self.finish()

    def finish(self) -> None:
        self._ready.set()

    @property
    def ready(self) -> bool:
        return self._ready.is_set()

    def get(self, timeout_s: float | None = None) -> Any:
        return WordGrounder() if self._ready.wait(timeout_s) else None


class Recording(ScriptedBackend):
    """A ScriptedBackend that keeps what it was asked."""

    def __init__(self, replies: Sequence[str] = (REPLY,), **options: Any) -> None:
        super().__init__(replies, **options)
        self.requests: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
        self.requests += requests
        return super().generate(requests)


class Silent(ScriptedBackend):
    """A backend that is asked and never says anything, not even that it lives."""

    def __init__(self, release: threading.Event) -> None:
        super().__init__([REPLY])
        self._release = release

    def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
        self._release.wait(20)
        yield from super().generate(requests)


class Broken(ScriptedBackend):
    """A backend with a bug."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
        yield Text(0, "<start_reasoning>\n1. So ")
        raise KeyError("words of a patient")


class Killed(LlamaCppBackend):
    """A GGUF model whose worker process is killed after its first words."""

    def __init__(self, path: Path, engine: Engine) -> None:
        super().__init__(path, engine)
        self._worker = engine

    def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
        for event in super().generate(requests):
            yield event
            pid = self._worker.status().pid
            if isinstance(event, Text) and event.text and pid:
                os.kill(pid, signal.SIGKILL)


def model(**more: Any) -> ModelSpec:
    values: dict[str, Any] = {
        "id": "demo", "name": "Demo", "backend": "scripted", "path": Path("demo.gguf"), "answer_format": "gemma-grpo",
        "sampling": Sampling(max_new_tokens=100), "n_ctx": 4096, "description": "", "licence": "", "limits": (),
    }  # fmt: skip
    return ModelSpec(**{**values, **more})


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'medchat.db'}"
    migrate.upgrade(url, tmp_path / "backups")
    return url


Start = Callable[..., ChatService]


@pytest.fixture
def start(url: str, tmp_path: Path) -> Iterator[Start]:
    """Starts a service on the test's database with this backend, or several that take turns."""
    services: list[ChatService] = []

    def begin(*backends: Backend, spec: ModelSpec | None = None, grounders: Grounders | None = None,
              store: Store | None = None, **settings: Any) -> ChatService:  # fmt: skip
        spec = spec or model()
        turn = iter(backends)
        last = backends[-1]
        service = ChatService(
            store or Store(url),
            {spec.id: spec},
            lambda _: next(turn, last),
            grounders or Grounders(),
            Settings(data_dir=tmp_path, model=spec.id, **settings),
        )
        services.append(service)
        return service

    yield begin
    for service in services:
        service.close()


def watched(live: LiveAnswer, timeout_s: float = 10) -> list[TurnView]:
    """Every view until the end, as a page that never sleeps would see them."""
    views = [live.snapshot()]
    deadline = time.monotonic() + timeout_s
    while not live.ended and time.monotonic() < deadline:
        views.append(live.wait(views[-1].revision, timeout_s))
    return [*views, live.snapshot()]


def end_of(live: LiveAnswer) -> TurnView:
    return watched(live)[-1]


def phases(views: list[TurnView]) -> list[str]:
    return list(dict.fromkeys(view.phase for view in views))


def wait_until(condition: Callable[[], bool], timeout_s: float = 5) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def stored(url: str, owner: str, conversation_id: str) -> list[AnswerRecord]:
    store = Store(url)
    try:
        return store.answers_of(owner, conversation_id)
    finally:
        store.close()


def test_an_answer_streams_its_reasoning_and_then_its_solution(start: Start) -> None:
    views = watched(start(ScriptedBackend([REPLY], delay_s=0.005)).ask("ada", CASE))

    assert phases(views) == ["waiting", "reasoning", "solution", "done"]
    assert [v.revision for v in views] == sorted(v.revision for v in views)
    assert len({v.reasoning for v in views}) > 3, "the reasoning grows in pieces"
    assert all(REASONING.startswith(v.reasoning) and SOLUTION.startswith(v.solution) for v in views)
    end = views[-1]
    assert (end.reasoning, end.solution, end.complete, end.error) == (REASONING, SOLUTION, True, "")
    assert (end.question, end.context, end.position, end.model_id) == (CASE, "", 0, "demo")


def test_times_and_speed_are_those_of_the_stream(start: Start) -> None:
    end = end_of(start(ScriptedBackend([REPLY], delay_s=0.01)).ask("ada", CASE))

    words = len(REPLY.split())
    assert end.completion_tokens == words
    assert end.ttft_ms is not None
    assert end.reasoning_ms is not None
    assert end.total_ms is not None
    assert 10 <= end.ttft_ms < end.reasoning_ms < end.total_ms < 5000
    assert end.tokens_per_s == pytest.approx(1000 * (words - 1) / (end.total_ms - end.ttft_ms))


def test_a_stopped_answer_keeps_its_text_and_leaves_the_others_alone(start: Start, url: str) -> None:
    chat = start(ScriptedBackend([REPLY], delay_s=0.05, chunk_chars=4))
    mine, theirs = chat.ask("ada", CASE), chat.ask("bob", CASE)
    wait_until(lambda: len(mine.snapshot().reasoning) > 5)

    began = time.monotonic()
    assert chat.stop("ada", mine.conversation_id)
    end = mine.snapshot()
    assert time.monotonic() - began < 0.3
    assert end.phase == "stopped"
    assert end.reasoning
    assert not end.complete
    assert not chat.stop("ada", mine.conversation_id), "it is stopped already"
    assert end_of(theirs).solution == SOLUTION
    assert mine.snapshot() == end, "nothing comes after the stop"
    (record,) = stored(url, "ada", mine.conversation_id)
    assert (record.status, record.reasoning, record.finish_reason) == ("stopped", end.reasoning, "cancelled")


def test_stop_does_not_wait_for_a_model_that_hangs(start: Start) -> None:
    release = threading.Event()
    chat = start(Silent(release), ScriptedBackend([REPLY]))
    live = chat.ask("ada", CASE)
    time.sleep(0.05)

    began = time.monotonic()
    chat.stop("ada", live.conversation_id)
    assert time.monotonic() - began < 0.3
    assert live.snapshot().phase == "stopped"
    assert end_of(chat.ask("ada", CASE, conversation_id=live.conversation_id)).solution == SOLUTION
    release.set()


def test_regenerate_makes_another_version_with_another_draw(start: Start) -> None:
    backend = Recording([REPLY, REPLY.replace("Pneumonia", "Bronchitis")])
    chat = start(backend)
    first = end_of(chat.ask("ada", CASE))
    second = end_of(chat.regenerate("ada", chat_id := _only_conversation(chat, "ada")))

    assert (first.version, second.version, second.versions) == (1, 2, 2)
    assert (second.position, second.question) == (0, CASE)
    assert [view.solution for view in chat.turns("ada", chat_id)] == ["Bronchitis is most likely."]
    assert backend.requests[1].messages == backend.requests[0].messages, "it does not see its earlier answer"
    draws = [(r.sampling.seed, r.sampling.temperature) for r in backend.requests]
    assert draws == [(0, 0.0), (1, 0.7)]


def _only_conversation(chat: ChatService, owner: str) -> str:
    (conversation,) = chat._store.conversations_of(owner)
    return conversation.id


def test_a_follow_up_sees_the_turns_before_it(start: Start) -> None:
    backend = Recording([REPLY, "<SOLUTION>Amoxicillin.</SOLUTION>"])
    chat = start(backend)
    first = chat.ask("ada", CASE)
    end_of(first)
    end_of(chat.ask("ada", "And the treatment?", conversation_id=first.conversation_id))

    said = [(m.role, m.content) for m in backend.requests[1].messages if m.role != "system"]
    assert [role for role, _ in said] == ["user", "assistant", "user"]
    assert CASE in said[0][1]
    assert SOLUTION in said[1][1]
    assert "And the treatment?" in said[2][1]
    assert [view.position for view in chat.turns("ada", first.conversation_id)] == [0, 1]


def test_a_reloaded_page_finds_the_answer_that_is_being_written(start: Start) -> None:
    chat = start(ScriptedBackend([REPLY], delay_s=0.02))
    conversation_id = chat.ask("ada", CASE).conversation_id

    again = chat.live("ada", conversation_id)
    assert again is not None
    assert chat.turns("ada", conversation_id)[0].answer_id == again.id
    assert end_of(again).solution == SOLUTION
    assert chat.turns("ada", conversation_id) == [replace(again.snapshot(), revision=0)]
    wait_until(lambda: chat.live("ada", conversation_id) is None)


def test_an_answer_goes_on_when_nobody_watches(start: Start, url: str) -> None:
    conversation_id = start(ScriptedBackend([REPLY], delay_s=0.005)).ask("ada", CASE).conversation_id

    wait_until(lambda: stored(url, "ada", conversation_id)[0].status == "done")
    assert stored(url, "ada", conversation_id)[0].solution == SOLUTION


def test_a_half_written_answer_is_there_after_a_crash_and_can_go_on(start: Start, url: str) -> None:
    crashed = start(ScriptedBackend([REPLY], delay_s=0.1, chunk_chars=8))
    conversation_id = crashed.ask("ada", CASE).conversation_id
    wait_until(lambda: stored(url, "ada", conversation_id)[0].raw != "")

    chat = start(ScriptedBackend([REPLY]))
    (half,) = chat.turns("ada", conversation_id)
    assert half.phase == "cut"
    assert half.reasoning
    assert REASONING.startswith(half.reasoning)
    whole = end_of(chat.continue_answer("ada", conversation_id))
    assert (whole.reasoning, whole.solution, whole.complete) == (REASONING, SOLUTION, True)


def test_a_model_that_breaks_down_leaves_one_line_and_the_next_question_works(start: Start, url: str) -> None:
    chat = start(ScriptedBackend([REPLY], fail_after=2), ScriptedBackend([REPLY]))
    live = chat.ask("ada", CASE)
    end = end_of(live)

    assert end.phase == "failed"
    assert not end.complete
    assert end.error == "The model stopped unexpectedly; your text is kept. Please ask again."
    assert end.reasoning
    assert REASONING.startswith(end.reasoning)
    assert stored(url, "ada", live.conversation_id)[0].error == end.error
    assert end_of(chat.ask("ada", CASE, conversation_id=live.conversation_id)).solution == SOLUTION


def test_a_killed_worker_fails_one_answer_and_the_next_question_starts_another(start: Start, tmp_path: Path) -> None:
    # After the line break that ends the prompt the letters go round until the context is full.
    path = write_chain_model(tmp_path / "chain.gguf", ["\nabcdefga"])
    letters = "abcdefg" * 70
    engine = Engine(threads=1, slots=4, n_ctx=512)
    try:
        spec = model(answer_format="plain", sampling=Sampling(max_new_tokens=480), n_ctx=512)
        chat = start(Killed(path, engine), LlamaCppBackend(path, engine), spec=spec, max_auto_continues=0)
        live = chat.ask("ada", CASE)
        end = end_of(live)
        assert end.phase == "failed"
        assert end.error.startswith("The model stopped unexpectedly; your text is kept.")
        assert end.solution
        assert letters.startswith(end.solution)

        again = end_of(chat.ask("ada", CASE, conversation_id=live.conversation_id))
        assert again.phase == "cut"
        assert again.completion_tokens
        assert again.solution == letters[: again.completion_tokens]
    finally:
        engine.close()


def test_a_bug_ends_the_answer_without_telling_its_words(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    end = end_of(start(Broken([])).ask("ada", CASE))

    assert end.phase == "failed"
    assert "Something went wrong" in end.error
    assert end.reasoning == "1. So"
    assert "patient" not in end.error + caplog.text


def test_a_cut_answer_goes_on_by_itself_without_a_seam(start: Start) -> None:
    backend = Recording()
    chat = start(backend, spec=model(sampling=Sampling(max_new_tokens=8)), max_auto_continues=2)
    end = end_of(chat.ask("ada", CASE))

    words = len(REPLY.split())  # 18 words: two cuts of 8 and the rest
    assert len(backend.requests) == 3
    assert (end.phase, end.reasoning, end.solution, end.complete) == ("done", REASONING, SOLUTION, True)
    assert end.completion_tokens == words


def test_an_answer_that_is_cut_too_often_offers_to_go_on(start: Start) -> None:
    chat = start(Recording(), spec=model(sampling=Sampling(max_new_tokens=6)), max_auto_continues=1)
    live = chat.ask("ada", CASE)
    cut = end_of(live)
    assert cut.phase == "cut"
    assert not cut.complete
    assert cut.completion_tokens == 12

    whole = end_of(chat.continue_answer("ada", live.conversation_id))
    assert (whole.reasoning, whole.solution, whole.phase, whole.complete) == (REASONING, SOLUTION, "done", True)
    assert (whole.position, whole.version) == (0, 2)
    assert whole.completion_tokens == len(REPLY.split())
    assert whole.ttft_ms == cut.ttft_ms
    assert whole.total_ms is not None
    assert cut.total_ms is not None
    assert whole.total_ms > cut.total_ms
    with pytest.raises(InvalidInput, match="nothing to continue"):
        chat.continue_answer("ada", live.conversation_id)


def test_an_answer_that_fills_the_context_is_cut_and_says_so(start: Start) -> None:
    long_reply = "<start_reasoning>\n" + " ".join(f"word{n}" for n in range(200))
    end = end_of(start(ScriptedBackend([long_reply], n_ctx=60), spec=model(n_ctx=60)).ask("ada", CASE))

    assert end.phase == "cut"
    assert "word20" in end.reasoning
    assert "fills the model's context" in end.note


def test_a_question_larger_than_the_context_fails_in_one_line(start: Start) -> None:
    end = end_of(start(ScriptedBackend([REPLY], n_ctx=60), spec=model(n_ctx=60)).ask("ada", "pain " * 100))

    assert end.phase == "failed"
    assert "Shorten the question" in end.error
    assert "\n" not in end.error


def test_turns_that_do_not_fit_are_left_out_whole_and_said(start: Start) -> None:
    backend = Recording(["<SOLUTION>" + "rest " * 40 + "</SOLUTION>"], n_ctx=200)
    chat = start(backend, spec=model(n_ctx=200, sampling=Sampling(max_new_tokens=50)))
    live = chat.ask("ada", "first " * 20)
    for word in ("second ", "third ", "fourth "):
        end = end_of(live)
        live = chat.ask("ada", word * 20, conversation_id=live.conversation_id)
    end = end_of(live)

    assert end.phase == "done"
    assert re.search(r"[123] earlier turns? (was|were) left out", end.note)
    said = " ".join(m.content for m in backend.requests[-1].messages)
    assert "first" not in said
    assert "fourth" in said
    assert said.count("third") in (0, 20)


def test_owners_see_and_touch_only_their_own(start: Start) -> None:
    chat = start(ScriptedBackend([REPLY], delay_s=0.02))
    live = chat.ask("ada", CASE)
    hers = live.conversation_id

    assert chat.live("bob", hers) is None
    assert not chat.stop("bob", hers)
    for attempt in (chat.turns, chat.regenerate, chat.continue_answer):
        with pytest.raises(NotFound):
            attempt("bob", hers)
    with pytest.raises(NotFound):
        chat.ask("bob", "And the treatment?", conversation_id=hers)
    assert end_of(live).phase == "done"


@pytest.mark.parametrize(("question", "line"), [
    ("", "Please type a case or a question."),
    (" \n\0 ", "Please type a case or a question."),
    ("x" * 200_000, "200,000 characters; shorten them to at most 20,000"),
])  # fmt: skip
def test_nothing_and_too_much_are_refused_and_not_stored(start: Start, url: str, question: str, line: str) -> None:
    chat = start(ScriptedBackend([REPLY]))

    with pytest.raises(InvalidInput, match=line):
        chat.ask("ada", question)
    assert Store(url).conversations_of("ada") == []


def test_an_unknown_model_is_refused(start: Start, tmp_path: Path) -> None:
    secret = tmp_path / "other.gguf"
    secret.write_bytes(b"GGUF")
    chat = start(ScriptedBackend([REPLY]))

    for name in ("nonsense", str(secret)):
        with pytest.raises(NotFound):
            chat.ask("ada", CASE, model_id=name)


def test_a_second_question_waits_for_the_first_answer(start: Start) -> None:
    chat = start(ScriptedBackend([REPLY], delay_s=0.02))
    live = chat.ask("ada", CASE)

    with pytest.raises(InvalidInput, match="still being written"):
        chat.ask("ada", CASE, conversation_id=live.conversation_id)
    with pytest.raises(InvalidInput, match="still being written"):
        chat.regenerate("ada", live.conversation_id)
    end_of(live)
    assert end_of(chat.regenerate("ada", live.conversation_id)).version == 2


def test_a_request_that_comes_twice_is_answered_once(start: Start, url: str) -> None:
    backend = Recording(delay_s=0.01)
    chat = start(backend)
    with ThreadPoolExecutor(4) as threads:
        lives = list(threads.map(lambda _: chat.ask("ada", CASE, save_key="key-1"), range(4)))
    assert {end_of(live).solution for live in lives} == {SOLUTION}

    late = chat.ask("ada", CASE, save_key="key-1")
    assert late.ended
    assert late.snapshot().solution == SOLUTION
    assert {live.id for live in (*lives, late)} == {lives[0].id}
    assert late.conversation_id == _only_conversation(chat, "ada")
    assert len(backend.requests) == 1


def test_findings_are_placed_in_the_text_of_their_own_turn(start: Start) -> None:
    chat = start(ScriptedBackend([REPLY]))
    first = chat.ask("ada", "Cough, too.", context="Fever since Monday.")
    seen = end_of(first)
    text = "Fever since Monday.\n\nCough, too."
    assert seen.grounding is not None
    assert [text[r.start : r.end] for r in seen.grounding.recognised] == ["Fever", "Cough"]

    second = end_of(chat.ask("ada", "And with a rash?", conversation_id=first.conversation_id))
    assert second.grounding is not None
    here = [(r.name, r.start) for r in second.grounding.recognised if r.start >= 0]
    assert here == [("rash", "And with a rash?".index("rash"))]
    assert [r.name for r in second.grounding.recognised] == ["fever", "cough", "rash"], "the case is the whole talk"
    assert all(r.end < 0 for r in second.grounding.recognised if r.start < 0)


@pytest.mark.parametrize("grounded", [True, False])
def test_only_a_grounded_model_is_told_what_was_recognised(start: Start, grounded: bool) -> None:
    backend = Recording()
    end = end_of(start(backend, spec=model(grounded=grounded)).ask("ada", CASE))

    assert end.grounding is not None, "it is shown in any case"
    assert (end.grounding.prompt_text() in backend.requests[0].messages[-1].content) == grounded


def test_findings_that_the_case_does_not_contain_are_reported_and_kept(start: Start) -> None:
    chat = start(ScriptedBackend([REPLY]))
    live = chat.ask("ada", CASE)
    end = end_of(live)

    place = REASONING.index("rash")
    assert end.unsupported == ((place, place + 4, "rash"),)
    (again,) = start(ScriptedBackend([REPLY])).turns("ada", live.conversation_id)
    assert (again.unsupported, again.grounding) == (end.unsupported, end.grounding)


def test_a_long_solution_does_not_delay_the_check_of_the_reasoning(start: Start) -> None:
    reply = f"<start_reasoning>{REASONING}<end_reasoning><SOLUTION>{'Rest and drink. ' * 30}</SOLUTION>"
    views = watched(start(ScriptedBackend([reply], delay_s=0.02)).ask("ada", CASE))

    assert any(view.unsupported for view in views if view.phase == "solution")


def test_a_grounded_model_waits_until_the_grounding_is_ready(start: Start) -> None:
    backend, grounders = Recording(), Grounders(ready=False)
    live = start(backend, spec=model(grounded=True), grounders=grounders).ask("ada", CASE)
    time.sleep(0.3)
    assert live.snapshot().phase == "waiting"
    assert backend.requests == []

    grounders.finish()
    end = end_of(live)
    assert end.grounding is not None
    assert end.note == ""
    assert end.grounding.prompt_text() in backend.requests[0].messages[-1].content


def test_without_grounding_the_model_answers_and_it_is_said(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "GROUNDING_PATIENCE_S", 0.2)
    end = end_of(start(Recording(), spec=model(grounded=True), grounders=Grounders(ready=False)).ask("ada", CASE))

    assert (end.phase, end.solution, end.grounding) == ("done", SOLUTION, None)
    assert "could not be recognised in time" in end.note


def test_grounding_that_comes_late_is_still_shown(start: Start) -> None:
    grounders = Grounders(ready=False)
    live = start(ScriptedBackend([REPLY], delay_s=0.02), grounders=grounders).ask("ada", CASE)
    wait_until(lambda: live.snapshot().reasoning != "")
    grounders.finish()
    end = end_of(live)

    assert end.grounding is not None
    assert end.unsupported


def test_close_saves_what_is_being_written(start: Start, url: str) -> None:
    chat = start(ScriptedBackend([REPLY], delay_s=0.05))
    live = chat.ask("ada", CASE)
    wait_until(lambda: live.snapshot().reasoning != "")
    chat.close()

    assert not any(thread.name.startswith("answer-") for thread in threading.enumerate())
    (record,) = stored(url, "ada", live.conversation_id)
    assert record.status == "cut"
    assert record.reasoning == live.snapshot().reasoning != ""
    with pytest.raises(ModelUnavailable, match="being closed"):
        chat.ask("ada", CASE)


def test_an_answer_that_cannot_be_saved_is_shown_and_says_so(start: Start, url: str) -> None:
    class FullDisk(Store):
        def finish_answer(self, *_: Any, **__: Any) -> AnswerRecord:
            raise StoreError("The disk is full.")

    end = end_of(start(ScriptedBackend([REPLY]), store=FullDisk(url)).ask("ada", CASE))

    assert (end.phase, end.solution) == ("failed", SOLUTION)
    assert end.error == "The answer could not be saved. The disk is full."


def test_characters_that_cannot_be_stored_do_no_harm(start: Start) -> None:
    chat = start(ScriptedBackend([REPLY]))
    live = chat.ask("ada", "Fever \ud800 and\0 cough \N{FACE WITH THERMOMETER}")

    assert end_of(live).phase == "done"
    assert chat.turns("ada", live.conversation_id)[0].question == "Fever ? and cough \N{FACE WITH THERMOMETER}"


def test_a_conversation_is_named_after_its_first_question(start: Start) -> None:
    chat = start(ScriptedBackend([REPLY]))
    chat.ask("ada", "Fever\nand " + "cough " * 40)

    (conversation,) = chat._store.conversations_of("ada")
    assert conversation.title.startswith("Fever and cough cough")
    assert len(conversation.title) <= 60


NEW_CASE = (
    "Now another patient, a man of 60 who works in a shop and came with his wife: he has had a cough and a fever since "
    "last week."
)


@pytest.mark.parametrize(
    ("second", "recognised"),
    [("And the first treatment?", {"rash"}), (NEW_CASE, {"cough", "fever"})],
)
def test_a_follow_up_is_read_with_the_case_before_it_and_a_new_case_alone(
    start: Start, second: str, recognised: set[str]
) -> None:
    chat = start(Recording((REPLY, REPLY)))
    first = chat.ask("ann", "A rash on both arms.")
    end_of(first)
    view = end_of(chat.ask("ann", second, conversation_id=first.conversation_id))
    assert view.grounding is not None
    assert set(view.grounding.present) == recognised

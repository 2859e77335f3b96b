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

from medchat import language
from medchat import live as live_module
from medchat.backends import Backend
from medchat.backends.llamacpp import Engine, LlamaCppBackend
from medchat.backends.scripted import ScriptedBackend
from medchat.catalogue import Endpoint, ModelSpec
from medchat.chat import ChatService
from medchat.errors import InvalidInput, ModelUnavailable, NotFound, StoreError
from medchat.live import LiveAnswer
from medchat.recognition import Grounding, Near, Recognised
from medchat.records import Done, Request, Sampling, Text
from medchat.settings import Settings
from medchat.store import AnswerRecord, Store, migrate
from medchat.turns import TurnView

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

    def __init__(self, ready: bool = True, grounder: WordGrounder | None = None) -> None:
        self._ready = threading.Event()
        self._grounder = grounder or WordGrounder()
        if ready:
            self.finish()

    def finish(self) -> None:
        self._ready.set()

    @property
    def ready(self) -> bool:
        return self._ready.is_set()

    def get(self, timeout_s: float | None = None) -> Any:
        return self._grounder if self._ready.wait(timeout_s) else None


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


class Models(dict[str, ModelSpec]):
    """A Catalogue of these models."""

    def __init__(self, *specs: ModelSpec) -> None:
        super().__init__({spec.id: spec for spec in specs})

    def resolve(self, name: str) -> ModelSpec:
        return self[name]


Start = Callable[..., ChatService]


@pytest.fixture
def start(url: str, tmp_path: Path) -> Iterator[Start]:
    """Starts a service on the test's database with this backend, or several that take turns."""
    services: list[ChatService] = []

    def begin(
        *backends: Backend,
        spec: ModelSpec | None = None,
        models: Models | None = None,
        grounders: Grounders | None = None,
        store: Store | None = None,
        **settings: Any,
    ) -> ChatService:
        models = models if models is not None else Models(spec or model())
        spec = next(iter(models.values()))
        turn = iter(backends)
        last = backends[-1]
        service = ChatService(
            store or Store(url),
            models,
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
    (conversation,) = chat.conversations(owner)
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


def test_an_answer_whose_worker_was_killed_goes_on_without_a_seam(start: Start, tmp_path: Path) -> None:
    path = write_chain_model(tmp_path / "chain.gguf", ["\nabcdefga"])
    engine = Engine(threads=1, slots=4, n_ctx=512)
    try:
        spec = model(answer_format="plain", sampling=Sampling(max_new_tokens=300), n_ctx=512)
        chat = start(Killed(path, engine), LlamaCppBackend(path, engine), spec=spec, max_auto_continues=0)
        live = chat.ask("ada", CASE)
        broken = end_of(live)
        assert (broken.phase, broken.can_continue) == ("failed", True)

        more = end_of(chat.continue_answer("ada", live.conversation_id))
        assert more.phase == "cut"
        assert len(more.solution) > 300, "all that it may write, after what there was"
        assert more.solution.startswith(broken.solution)
        assert ("abcdefg" * 80).startswith(more.solution)
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


def test_a_length_that_somebody_chose_is_a_limit_also_for_what_goes_on(start: Start) -> None:
    chat = start(Recording(), spec=model(sampling=Sampling(max_new_tokens=100)), max_auto_continues=2)
    live = chat.ask("ada", CASE, sampling=Sampling(max_new_tokens=5))
    cut = end_of(live)
    assert (cut.phase, cut.completion_tokens) == ("cut", 5)

    longer = end_of(chat.continue_answer("ada", live.conversation_id, "demo", Sampling(max_new_tokens=6)))
    assert (longer.phase, longer.completion_tokens) == ("cut", 11)
    another = end_of(chat.continue_answer("ada", live.conversation_id, "another", Sampling(max_new_tokens=99)))
    assert another.completion_tokens == 17, "settings of another model are not for this one"
    whole = end_of(chat.continue_answer("ada", live.conversation_id, "demo", Sampling(max_new_tokens=100)))
    assert (whole.phase, whole.solution) == ("done", SOLUTION)


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
    attempts: list[Callable[[], object]] = [
        lambda: chat.turns("bob", hers),
        lambda: chat.ask("bob", "And the treatment?", conversation_id=hers),
        lambda: chat.edit("bob", hers, live.id, "And the treatment?"),
        lambda: chat.regenerate("bob", hers),
        lambda: chat.regenerate("bob", hers, live.id),
        lambda: chat.continue_answer("bob", hers),
        lambda: chat.show("bob", hers, live.id),
        lambda: chat.rename("bob", hers, "Mine"),
        lambda: chat.delete_answer("bob", hers, live.id),
        lambda: chat.delete_conversation("bob", hers),
        lambda: chat.thumb("bob", live.id, "down"),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound):
            attempt()
    assert chat.conversations("bob") == []
    assert chat.search("bob", "fever") == []
    assert end_of(live).phase == "done"
    assert [turn.solution for turn in chat.turns("ada", hers)] == [SOLUTION]


def test_an_answer_of_another_conversation_is_not_found(start: Start) -> None:
    chat = start(ScriptedBackend([REPLY]))
    first, second = chat.ask("ada", CASE), chat.ask("ada", "A rash.")
    end_of(first)
    end_of(second)

    attempts: list[Callable[[], object]] = [
        lambda: chat.edit("ada", second.conversation_id, first.id, "And the treatment?"),
        lambda: chat.regenerate("ada", second.conversation_id, first.id),
        lambda: chat.show("ada", second.conversation_id, first.id),
        lambda: chat.delete_answer("ada", second.conversation_id, first.id),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound, match="no such answer in this conversation"):
            attempt()


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


def test_a_database_that_is_busy_at_the_first_word_does_not_fail_the_answer(start: Start, url: str) -> None:
    class Busy(Store):
        n_described = 0

        def describe_answer(self, answer_id: str, **values: Any) -> bool:
            self.n_described += 1
            if self.n_described == 1:
                raise StoreError("The database is busy.")
            return super().describe_answer(answer_id, **values)

    live = start(ScriptedBackend([REPLY], delay_s=0.005), store=Busy(url)).ask("ada", CASE)

    assert end_of(live).phase == "done"
    (record,) = stored(url, "ada", live.conversation_id)
    assert (record.status, record.solution) == ("done", SOLUTION)
    assert record.prompt, "what was not saved at first was saved at the end"


def test_an_answer_whose_end_meets_a_bug_ends_all_the_same(start: Start, url: str) -> None:
    class Odd(Store):
        def finish_answer(self, *_: Any, **__: Any) -> AnswerRecord:
            raise RuntimeError(f"about {CASE}")

    chat = start(ScriptedBackend([REPLY]), store=Odd(url))
    live = chat.ask("ada", CASE)

    end = end_of(live)
    assert (end.phase, end.solution) == ("failed", SOLUTION)
    assert end.error.startswith("Something went wrong in MedChat.")
    assert chat.live("ada", live.conversation_id) is None, "the next question can be asked"


def test_characters_that_cannot_be_stored_do_no_harm(start: Start) -> None:
    chat = start(ScriptedBackend([REPLY]))
    live = chat.ask("ada", "Fever \ud800 and\0 cough \N{FACE WITH THERMOMETER}")

    assert end_of(live).phase == "done"
    assert chat.turns("ada", live.conversation_id)[0].question == "Fever ? and cough \N{FACE WITH THERMOMETER}"


def test_a_conversation_is_named_after_its_first_question_until_somebody_renames_it(start: Start) -> None:
    chat = start(ScriptedBackend([REPLY]))
    live = chat.ask("ada", "Fever\nand " + "cough " * 40)

    (conversation,) = chat.conversations("ada")
    assert conversation.title.startswith("Fever and cough cough")
    assert len(conversation.title) <= 60
    chat.rename("ada", live.conversation_id, "The \0man of 40")
    assert [c.title for c in chat.conversations("ada")] == ["The man of 40"]
    end_of(live)
    assert [f.conversation.title for f in chat.search("ada", "pneumonia")] == ["The man of 40"]


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


def test_a_case_outside_is_not_answered_with_what_was_told_before(start: Start) -> None:
    class Foreign(WordGrounder):
        def ground(self, text: str) -> Grounding:
            found = super().ground(text)
            return replace(found, outside=found.outside or "Zehe" in text)

    backend = Recording((REPLY, REPLY))
    chat = start(backend, spec=model(demo=True), grounders=Grounders(grounder=Foreign()))
    first = chat.ask("ann", "What is fever?")
    end_of(first)

    end = end_of(chat.ask("ann", "Was hilft bei einer roten Zehe?", conversation_id=first.conversation_id))

    assert end.grounding is not None
    assert end.grounding.outside
    assert "fever" not in " ".join(message.content for message in backend.requests[-1].messages)
    assert end.note.startswith("Read as a new case")


def said(start_of: str) -> str:
    """A reply that comes to this solution."""
    return f"<start_reasoning>\n1. So.\n<end_reasoning><SOLUTION>{start_of}</SOLUTION>"


def solutions(chat: ChatService, conversation_id: str, owner: str = "ada") -> list[str]:
    return [turn.solution for turn in chat.turns(owner, conversation_id)]


def test_any_answer_gets_another_version_and_the_path_leads_through_it(start: Start) -> None:
    backend = Recording([said(word) for word in ("One", "Two", "Three")])
    chat = start(backend)
    first = chat.ask("ada", CASE, context="A man of 40.")
    end_of(first)
    chat_id = first.conversation_id
    second = chat.ask("ada", "And the treatment?", conversation_id=chat_id)
    end_of(second)
    again = end_of(chat.regenerate("ada", chat_id, first.id))

    assert (again.position, again.question, again.context) == (0, CASE, "A man of 40.")
    assert (again.version, again.versions, again.previous_version, again.next_version) == (2, 2, first.id, "")
    assert solutions(chat, chat_id) == ["Three"]
    assert backend.requests[2].messages == backend.requests[0].messages

    chat.show("ada", chat_id, again.previous_version)
    shown = chat.turns("ada", chat_id)
    assert [turn.solution for turn in shown] == ["One", "Two"], "below it, all is as it was"
    assert (shown[0].version, shown[0].versions) == (1, 2)
    assert (shown[0].previous_version, shown[0].next_version) == ("", again.answer_id)
    assert (shown[1].version, shown[1].versions, shown[1].branches) == (1, 1, 1)


def test_every_new_version_is_drawn_anew(start: Start) -> None:
    backend = Recording()
    chat = start(backend)
    first = chat.ask("ada", CASE)
    end_of(first)
    for answer_id in (None, first.id, first.id):
        end_of(chat.regenerate("ada", first.conversation_id, answer_id))
    end_of(chat.regenerate("ada", first.conversation_id, first.id, sampling=Sampling(50, temperature=1.5, seed=7)))

    draws = [(r.sampling.seed, r.sampling.temperature) for r in backend.requests]
    assert draws == [(0, 0.0), (1, 0.7), (2, 0.7), (3, 0.7), (7, 1.5)], "the first is greedy; the last as it was wanted"


def test_a_new_version_is_drawn_with_a_seed_that_can_be_chosen(start: Start) -> None:
    backend = Recording()
    chat = start(backend)
    highest = Sampling(50, temperature=1.5, seed=2**31 - 1)
    first = chat.ask("ada", CASE, sampling=highest)
    end_of(first)
    for sampling in (highest, None, Sampling(50)):
        end_of(chat.regenerate("ada", first.conversation_id, first.id, sampling=sampling))

    assert [r.sampling.seed for r in backend.requests] == [2**31 - 1, 0, 1, 0]
    assert backend.requests[-1].sampling == Sampling(50), "the model's own again, if that is wanted"


def test_an_edited_question_is_a_branch_beside_the_first_one(start: Start) -> None:
    backend = Recording([said(word) for word in ("One", "Two", "Three", "Four", "Five")])
    chat = start(backend)
    first = chat.ask("ada", CASE)
    end_of(first)
    chat_id = first.conversation_id
    second = chat.ask("ada", "And the treatment?", conversation_id=chat_id)
    end_of(second)
    edited = end_of(chat.edit("ada", chat_id, second.id, "And the prognosis?"))

    assert (edited.position, edited.version, edited.versions) == (1, 1, 1)
    assert (edited.branch, edited.branches, edited.previous_branch, edited.next_branch) == (2, 2, second.id, "")
    texts = [m.content for m in backend.requests[2].messages]
    assert any("One" in text for text in texts), "it knows what is above it"
    assert not any("treatment" in text or "Two" in text for text in texts), "and nothing of the other branch"
    assert solutions(chat, chat_id) == ["One", "Three"]

    fourth = end_of(chat.ask("ada", "How long?", conversation_id=chat_id))
    assert fourth.position == 2
    assert solutions(chat, chat_id) == ["One", "Three", "Four"]
    chat.show("ada", chat_id, edited.previous_branch)
    shown = chat.turns("ada", chat_id)
    assert [turn.solution for turn in shown] == ["One", "Two"]
    assert (shown[1].branch, shown[1].branches, shown[1].next_branch) == (1, 2, edited.answer_id)
    end_of(chat.ask("ada", "How long?", conversation_id=chat_id))
    assert solutions(chat, chat_id) == ["One", "Two", "Five"], "a question goes to the end of the path shown"
    chat.show("ada", chat_id, edited.answer_id)
    assert solutions(chat, chat_id) == ["One", "Three", "Four"]


def test_the_first_question_can_be_edited_too_and_a_branch_is_entered_where_it_was_left(start: Start) -> None:
    chat = start(ScriptedBackend([said(word) for word in ("One", "Two", "Three")]))
    first = chat.ask("ada", CASE)
    end_of(first)
    chat_id = first.conversation_id
    newer = end_of(chat.regenerate("ada", chat_id))
    edited = end_of(chat.edit("ada", chat_id, newer.answer_id, "A rash.", context="A man of 40."))

    assert (edited.question, edited.context, edited.position) == ("A rash.", "A man of 40.", 0)
    assert (edited.branch, edited.branches) == (2, 2)
    assert edited.previous_branch == newer.answer_id
    chat.show("ada", chat_id, first.id)
    chat.show("ada", chat_id, edited.answer_id)
    (shown,) = chat.turns("ada", chat_id)
    assert shown.previous_branch == first.id


def test_an_edit_that_comes_twice_is_one_branch(start: Start) -> None:
    backend = Recording()
    chat = start(backend)
    first = chat.ask("ada", CASE)
    end_of(first)
    lives = [chat.edit("ada", first.conversation_id, first.id, "A rash.", save_key="edit-1") for _ in range(2)]
    end_of(lives[0])
    late = chat.edit("ada", first.conversation_id, first.id, "A rash.", save_key="edit-1").snapshot()

    assert lives[0].id == lives[1].id == late.answer_id
    assert (late.branch, late.branches, late.phase) == (2, 2, "done")
    assert len(backend.requests) == 2


def test_an_edit_to_the_same_words_is_another_version(start: Start) -> None:
    backend = Recording()
    chat = start(backend)
    first = chat.ask("ada", CASE)
    end_of(first)
    again = end_of(chat.edit("ada", first.conversation_id, first.id, CASE))

    assert (again.version, again.versions, again.branches) == (2, 2, 1)
    assert backend.requests[1].sampling.seed == 1


@pytest.mark.parametrize("question", ["", "x" * 30_000])
def test_an_edit_to_nothing_or_too_much_is_refused(start: Start, question: str) -> None:
    chat = start(ScriptedBackend([REPLY]))
    first = chat.ask("ada", CASE)
    end_of(first)
    with pytest.raises(InvalidInput):
        chat.edit("ada", first.conversation_id, first.id, question)
    assert solutions(chat, first.conversation_id) == [SOLUTION]


def test_a_model_added_later_is_asked_at_once_and_one_that_went_keeps_its_name(start: Start) -> None:
    models, backend = Models(model()), Recording()
    chat = start(backend, models=models)
    live = chat.ask("ada", CASE)
    end_of(live)
    models["new"] = model(id="new", name="Newcomer", sampling=Sampling(max_new_tokens=99))
    again = end_of(chat.regenerate("ada", live.conversation_id, model_id="new"))

    assert [request.sampling.max_new_tokens for request in backend.requests] == [100, 99]
    assert (again.model_id, again.model_name, again.version) == ("new", "Newcomer", 2)
    assert again.sampling == Sampling(max_new_tokens=99), "another model draws as its authors want"
    del models["new"]
    (shown,) = chat.turns("ada", live.conversation_id)
    assert shown.model_name == "Newcomer"
    with pytest.raises(NotFound, match=r"no such model here any more. Choose one of: Demo\."):
        chat.regenerate("ada", live.conversation_id)
    assert end_of(chat.ask("ada", "And now?", conversation_id=live.conversation_id)).phase == "done"


def test_a_model_that_is_not_here_is_refused_before_anything_is_stored(start: Start, tmp_path: Path) -> None:
    far = model(id="far", name="Far Model", backend="llamacpp", path=tmp_path / "far.gguf")
    chat = start(ScriptedBackend([REPLY]), models=Models(model(), far))
    line = "Far Model is not on this machine yet: fetch it in the Models tab, or choose another model."
    with pytest.raises(ModelUnavailable, match=line):
        chat.ask("ada", CASE, model_id="far")
    assert chat.conversations("ada") == []

    live = chat.ask("ada", CASE)
    end_of(live)
    attempts: list[Callable[[], object]] = [
        lambda: chat.ask("ada", "More?", conversation_id=live.conversation_id, model_id="far"),
        lambda: chat.edit("ada", live.conversation_id, live.id, "More?", model_id="far"),
        lambda: chat.regenerate("ada", live.conversation_id, model_id="far"),
    ]
    for attempt in attempts:
        with pytest.raises(ModelUnavailable, match=line):
            attempt()
    assert len(chat.turns("ada", live.conversation_id)) == 1
    (tmp_path / "far.gguf").touch()
    assert (
        end_of(chat.ask("ada", "More?", conversation_id=live.conversation_id, model_id="far")).model_name == "Far Model"
    )


def test_a_turn_says_where_its_text_was_sent_and_how_it_was_drawn(start: Start, url: str) -> None:
    abroad = model(backend="openai", path=None, endpoint=Endpoint("https://models.example.org/v1", "m"))
    chat = start(ScriptedBackend([REPLY]), spec=abroad)
    wanted = Sampling(max_new_tokens=80, temperature=0.3, seed=5)
    live = chat.ask("ada", CASE, sampling=wanted)

    assert live.snapshot().external == "models.example.org"
    end = end_of(live)
    assert (end.external, end.sampling, end.model_name) == ("models.example.org", wanted, "Demo")
    assert chat.turns("ada", live.conversation_id) == [replace(end, revision=0)]
    assert stored(url, "ada", live.conversation_id)[0].route == {"external": "models.example.org"}

    at_home = start(ScriptedBackend([REPLY]), spec=model(endpoint=Endpoint("http://127.0.0.1:8000/v1", "m")))
    assert end_of(at_home.ask("ada", CASE)).external == ""


def test_a_thumb_is_shown_with_its_answer_and_can_be_changed_and_taken_back(start: Start) -> None:
    chat = start(ScriptedBackend([REPLY]))
    live = chat.ask("ada", CASE)
    end_of(live)

    chat.thumb("ada", live.id, "down", ["unsafe", "incomplete"], "No dose.\0")
    (shown,) = chat.turns("ada", live.conversation_id)
    assert (shown.thumb, shown.thumb_reasons, shown.thumb_comment) == ("down", ("unsafe", "incomplete"), "No dose.")
    end_of(chat.regenerate("ada", live.conversation_id))
    assert chat.turns("ada", live.conversation_id)[0].thumb == "", "another version is another answer"
    chat.show("ada", live.conversation_id, live.id)
    chat.thumb("ada", live.id, "up")
    (shown,) = chat.turns("ada", live.conversation_id)
    assert (shown.thumb, shown.thumb_reasons, shown.thumb_comment) == ("up", (), "")
    chat.thumb("ada", live.id, "none")
    assert chat.turns("ada", live.conversation_id)[0].thumb == ""


def test_deleting_an_answer_takes_what_was_asked_after_it_along(start: Start) -> None:
    chat = start(ScriptedBackend([said(word) for word in ("One", "Two", "Three")]))
    first = chat.ask("ada", CASE)
    end_of(first)
    chat_id = first.conversation_id
    end_of(chat.ask("ada", "And the treatment?", conversation_id=chat_id))
    again = end_of(chat.regenerate("ada", chat_id, first.id))
    assert chat.delete_answer("ada", chat_id, again.answer_id) == "deleted"

    shown = chat.turns("ada", chat_id)
    assert [turn.solution for turn in shown] == ["One", "Two"]
    assert (shown[0].version, shown[0].versions, shown[0].next_version) == (1, 1, "")
    assert chat.delete_answer("ada", chat_id, first.id) == "deleted"
    assert chat.turns("ada", chat_id) == []
    assert end_of(chat.ask("ada", CASE, conversation_id=chat_id)).position == 0


def test_a_conversation_is_deleted_while_an_answer_is_being_written(start: Start) -> None:
    chat = start(ScriptedBackend([REPLY], delay_s=0.05))
    live = chat.ask("ada", CASE)
    wait_until(lambda: live.snapshot().reasoning != "")
    with pytest.raises(InvalidInput, match="being written"):
        chat.delete_answer("ada", live.conversation_id, live.id)
    assert chat.delete_conversation("ada", live.conversation_id) == "deleted"

    assert live.snapshot().phase == "stopped"
    assert chat.conversations("ada") == []
    with pytest.raises(NotFound):
        chat.turns("ada", live.conversation_id)
    with pytest.raises(NotFound):
        chat.ask("ada", "More?", conversation_id=live.conversation_id)
    assert end_of(chat.ask("ada", CASE)).solution == SOLUTION


def test_a_rated_conversation_is_hidden_and_not_found_again(start: Start) -> None:
    chat = start(ScriptedBackend([REPLY]))
    live = chat.ask("ada", CASE)
    end_of(live)
    chat.thumb("ada", live.id, "up")

    assert chat.delete_conversation("ada", live.conversation_id) == "hidden"
    assert chat.conversations("ada") == []
    with pytest.raises(NotFound):
        chat.turns("ada", live.conversation_id)


def test_an_answer_whose_model_broke_down_can_go_on(start: Start) -> None:
    backend = Recording()
    chat = start(ScriptedBackend([REPLY], fail_after=3), backend)
    live = chat.ask("ada", CASE)
    broken = end_of(live)
    assert broken.phase == "failed"
    assert broken.can_continue

    whole = end_of(chat.continue_answer("ada", live.conversation_id))
    assert (whole.reasoning, whole.solution, whole.complete, whole.error) == (REASONING, SOLUTION, True, "")
    assert (whole.version, whole.previous_version) == (2, live.id)
    assert backend.requests[0].prefill == REPLY[:48], "three pieces of 16 characters had come"


def test_an_answer_that_failed_before_its_first_word_has_nothing_to_continue(start: Start) -> None:
    chat = start(ScriptedBackend([REPLY], fail_after=0))
    live = chat.ask("ada", CASE)
    assert not end_of(live).can_continue
    with pytest.raises(InvalidInput, match="nothing to continue"):
        chat.continue_answer("ada", live.conversation_id)


class Marking(Recording):
    """A server that says itself what is reasoning; it breaks down after that, or goes on after it."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
        self.requests += requests
        if not requests[0].prefill:
            yield Text(0, "The lungs.", "reasoning")
            yield Text(0, "Pneu", "solution")
            raise ModelUnavailable("The server is gone.")
        yield Text(0, "monia.", "solution")
        yield Done(0, "stop", 10, 5)


def test_what_a_server_marked_as_reasoning_stays_that_when_the_answer_goes_on(start: Start) -> None:
    chat = start(Marking())
    live = chat.ask("ada", CASE)
    assert end_of(live).solution == "Pneu"

    whole = end_of(chat.continue_answer("ada", live.conversation_id))
    assert (whole.reasoning, whole.solution) == ("The lungs.", "Pneumonia.")


class Unwilling(Recording):
    """A server that cuts its answer and does not continue one."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
        if requests[0].prefill:
            raise InvalidInput("This server cannot continue an answer; regenerate it.")
        yield from super().generate(requests)


def test_a_server_that_cannot_continue_leaves_a_cut_answer_and_says_so(start: Start) -> None:
    end = end_of(start(Unwilling(), spec=model(sampling=Sampling(max_new_tokens=8))).ask("ada", CASE))

    assert (end.phase, end.error) == ("cut", "")
    assert end.note == "This server cannot continue an answer; regenerate it."
    assert REASONING.startswith(end.reasoning)
    assert not end.can_continue


def test_a_model_with_a_prompt_of_its_own_reads_one_case_and_says_so(start: Start) -> None:
    backend = Recording(["The patient may have gout."])
    chat = start(backend, spec=model(prompt="Symptoms: {question}\nDiagnosis:", answer_format="plain"))
    first = chat.ask("ada", "A hot toe.")
    assert end_of(first).note == ""
    second = end_of(chat.ask("ada", "A rash.", conversation_id=first.conversation_id))

    assert second.note == "This model reads one case at a time: it was not told of the earlier turns."
    prompts = [request.messages[-1].content for request in backend.requests]
    assert prompts == ["Symptoms: A hot toe.\nDiagnosis:", "Symptoms: A rash.\nDiagnosis:"]
    assert all(request.raw and len(request.messages) == 1 for request in backend.requests)


def test_a_case_longer_than_the_model_reads_loses_its_end_and_it_is_said(start: Start) -> None:
    backend = Recording(["Gout."])
    spec = model(prompt="Symptoms: {question}\nDiagnosis:", answer_format="plain", max_input_tokens=12)
    end = end_of(start(backend, spec=spec).ask("ada", " ".join(f"word{n}" for n in range(40))))

    assert end.note == "The case was longer than this model reads; its end was left out."
    prompt = backend.requests[0].messages[-1].content
    assert prompt.startswith("Symptoms: word0 word1 ")
    assert prompt.endswith("\nDiagnosis:")
    assert len(prompt.split()) == 12
    assert "word39" in end.question, "the turn keeps all of it"


GERMAN = "Ein 64-jähriger Mann klagt seit zwei Stunden über drückende Schmerzen in der Brust. Was ist die Diagnose?"


def test_a_question_in_another_language_gets_a_hint_that_is_kept(start: Start) -> None:
    chat = start(ScriptedBackend([REPLY], delay_s=0.005), spec=model(languages=("en",)))
    live = chat.ask("ada", GERMAN)
    end = end_of(live)

    assert end.note == "This question looks like German; the authors of Demo name only English."
    assert chat.turns("ada", live.conversation_id)[0].note == end.note
    assert end_of(chat.ask("ada", CASE)).note == ""
    polyglot = start(ScriptedBackend([REPLY]), spec=model(languages=("de", "en")))
    assert end_of(polyglot.ask("ada", GERMAN)).note == ""


def test_the_first_word_does_not_wait_for_the_hint(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(text: str, spec: ModelSpec) -> str:
        time.sleep(0.3)
        return "A hint."

    monkeypatch.setattr(language, "hint", slow)
    monkeypatch.setattr(language, "is_loaded", lambda: True)
    end = end_of(start(ScriptedBackend([REPLY])).ask("ada", GERMAN))

    assert end.note == "A hint."
    assert end.ttft_ms is not None
    assert end.ttft_ms < 250

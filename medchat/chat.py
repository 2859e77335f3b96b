"""The chat: questions become conversations in the store, each answer is written by a thread of its own.

A page only watches: closing or reloading it leaves the answer running. Stop, the answer's own end, an
error or close() end it; what there is by then is kept.
"""

import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from threading import Lock, Thread, current_thread
from uuid import uuid4

from medchat.backends import Backend
from medchat.catalogue import ModelSpec, resolve
from medchat.errors import InvalidInput, MedChatError, ModelUnavailable, NotFound, StoreError
from medchat.grounding import Grounding
from medchat.live import (
    EndPhase,
    GroundingSource,
    LiveAnswer,
    Turn,
    TurnView,
    check_question,
    checked_text,
    write_answer,
)
from medchat.prompts import past_turn
from medchat.records import Sampling
from medchat.settings import Settings
from medchat.store import AnswerRecord, ModelRecord, Store, latest_versions

__all__ = ["ChatService", "LiveAnswer", "TurnView"]

SAVE_EVERY_S = 1.0
CLOSE_TIMEOUT_S = 5.0
REDRAW_TEMPERATURE = 0.7  # a greedy model would give the same answer again
TITLE_CHARS = 60

log = logging.getLogger(__name__)


class ChatService:
    """Conversations of any number of owners.

    backends gives a model's backend and stays the caller's to close. Answers that an earlier process
    left half-written are marked as cut. Raises NotFound when settings.model is not known.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Mapping[str, ModelSpec],
        backends: Callable[[ModelSpec], Backend],
        grounding: GroundingSource,
        settings: Settings,
    ) -> None:
        self._store = store
        self._backends = backends
        self._grounding = grounding
        self._settings = settings
        self._default = resolve(settings.model, catalogue)
        # Only these: a name comes from a browser, and resolve() would also open a path.
        self._specs = {**catalogue, self._default.id: self._default}
        self._starting = Lock()  # between the check that a conversation is idle and the start of its answer
        self._live: dict[tuple[str, str], LiveAnswer] = {}
        self._threads: set[Thread] = set()
        self._stored_models: set[str] = set()
        self._closed = False
        store.close_unfinished()

    def ask(
        self,
        owner: str,
        question: str,
        context: str = "",
        conversation_id: str | None = None,
        model_id: str | None = None,
        save_key: str | None = None,
        sampling: Sampling | None = None,
    ) -> LiveAnswer:
        """The answer to a question, in a new conversation when none is given.

        model_id: None for the conversation's, or the default. A save_key that came before gives the answer
        that it gave then. Raises InvalidInput for an empty or too long question and while another answer
        of the conversation is being written, NotFound for an unknown conversation or model.
        """
        began = time.monotonic()
        question, context = checked_text(question), checked_text(context)
        check_question(question, context)
        with self._starting:
            saved = self._store.saved_answer(owner, save_key) if save_key else None
            if saved is not None:
                return self._again(owner, saved)
            if conversation_id is None:
                spec, turns = self._spec(model_id), []
            else:
                conversation = self._store.conversation(owner, conversation_id)
                spec = self._spec(model_id or conversation.model_id)
                turns = latest_versions(self._idle_answers(owner, conversation_id))
            self._store_model(spec)
            if conversation_id is None:
                conversation_id = self._store.start_conversation(owner, spec.id, _title(question)).id
            turn = Turn(spec, sampling or spec.sampling, question, context, _history(turns, spec))
            return self._begin(owner, conversation_id, turn, began, save_key=save_key)

    def regenerate(self, owner: str, conversation_id: str) -> LiveAnswer:
        """Another version of the last answer, drawn with another seed. Raises as ask() does."""
        began = time.monotonic()
        with self._starting:
            *before, last = self._some_turns(owner, conversation_id)
            spec = self._spec(last.model_id)
            sampling = last.sampling or spec.sampling
            temperature = sampling.temperature or REDRAW_TEMPERATURE
            sampling = replace(sampling, temperature=temperature, seed=sampling.seed + 1)
            turn = Turn(spec, sampling, last.question, last.context, _history(before, spec))
            return self._begin(owner, conversation_id, turn, began, position=last.position)

    def continue_answer(self, owner: str, conversation_id: str) -> LiveAnswer:
        """A version of the last answer, which was cut, that goes on from where it ends. Raises as ask() does."""
        began = time.monotonic()
        with self._starting:
            *before, last = self._some_turns(owner, conversation_id)
            if last.status != "cut":
                raise InvalidInput("The last answer was not cut off: there is nothing to continue.")
            spec = self._spec(last.model_id)
            turn = Turn(spec, last.sampling or spec.sampling, last.question, last.context, _history(before, spec))
            return self._begin(owner, conversation_id, turn, began, position=last.position, earlier=last)

    def stop(self, owner: str, conversation_id: str) -> bool:
        """Whether an answer was being written; it is stopped and saved."""
        live = self.live(owner, conversation_id)
        return live is not None and self._end(owner, live, "stopped")

    def live(self, owner: str, conversation_id: str) -> LiveAnswer | None:
        """The answer that is being written in this conversation; None when none is."""
        live = self._live.get((owner, conversation_id))
        return None if live is None or live.ended else live

    def turns(self, owner: str, conversation_id: str) -> list[TurnView]:
        """The newest version of each turn, the one being written as it is now.

        Raises NotFound when the owner has no such conversation.
        """
        key = owner, conversation_id
        before = self._live.get(key)
        answers = self._store.answers_of(owner, conversation_id)
        running = {live.id: live for live in (before, self._live.get(key)) if live is not None}
        versions = Counter(answer.position for answer in answers)
        return [
            running[answer.id].snapshot() if answer.id in running else _view(answer, versions[answer.position])
            for answer in latest_versions(answers)
        ]

    def close(self) -> None:
        """Cut and save what is being written and let the threads end; calling it again does nothing."""
        with self._starting:
            self._closed = True
            running = list(self._live.items())
        for (owner, _), live in running:
            self._end(owner, live, "cut")
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        for thread in list(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))

    def _spec(self, model_id: str | None) -> ModelSpec:
        if model_id is None:
            return self._default
        if model_id not in self._specs:
            raise NotFound(f"There is no such model here any more. Choose one of: {', '.join(self._specs)}.")
        return self._specs[model_id]

    def _store_model(self, spec: ModelSpec) -> None:
        if spec.id not in self._stored_models:
            self._store.add_model(ModelRecord(spec.id, spec.name, format=spec.answer_format))
            self._stored_models.add(spec.id)

    def _idle_answers(self, owner: str, conversation_id: str) -> list[AnswerRecord]:
        if self.live(owner, conversation_id) is not None:
            raise InvalidInput("An answer in this conversation is still being written. Wait for it, or stop it.")
        return self._store.answers_of(owner, conversation_id)

    def _some_turns(self, owner: str, conversation_id: str) -> list[AnswerRecord]:
        turns = latest_versions(self._idle_answers(owner, conversation_id))
        if not turns:
            raise InvalidInput("There is no answer in this conversation yet. Ask a question first.")
        return turns

    def _again(self, owner: str, saved: AnswerRecord) -> LiveAnswer:
        """The answer of a request that came twice: as it is being written, or as it ended."""
        conversation_id = saved.conversation_id or ""
        live = self._live.get((owner, conversation_id))
        if live is not None and live.id == saved.id:
            return live
        return LiveAnswer(_view(saved, saved.version), saved.answer_format, conversation_id=conversation_id)

    def _begin(
        self,
        owner: str,
        conversation_id: str,
        turn: Turn,
        began: float,
        *,
        position: int | None = None,
        earlier: AnswerRecord | None = None,
        save_key: str | None = None,
    ) -> LiveAnswer:
        """The answer, in the store and with its thread running. earlier: the version that it continues."""
        if self._closed:
            raise ModelUnavailable("MedChat is being closed; ask again when it runs.")
        spec = turn.spec
        self._store_model(spec)
        record = self._store.begin_answer(
            owner, conversation_id, turn.context, turn.question, spec.id,
            prompt=None, sampling=turn.sampling, answer_format=spec.answer_format, position=position, save_key=save_key,
        )  # fmt: skip
        view = _view(earlier or record, record.version)
        view = replace(view, answer_id=record.id, version=record.version, phase="waiting")
        raw = earlier.raw if earlier else ""
        live = LiveAnswer(view, spec.answer_format, raw=raw, conversation_id=conversation_id, began=began)
        thread = Thread(target=self._write, args=(owner, live, turn), name=f"answer-{live.id[:8]}", daemon=True)
        self._live[owner, conversation_id] = live
        self._threads.add(thread)
        thread.start()
        return live

    def _write(self, owner: str, live: LiveAnswer, turn: Turn) -> None:
        """Write the answer to its end, saving it now and then."""
        phase: EndPhase = "failed"
        error = ""
        try:
            backend = self._backends(turn.spec)
            steps = write_answer(live, turn, backend, self._grounding, self._settings.max_auto_continues)
            for _ in self._saving(live, steps):
                pass
            phase = "cut" if live.is_cut() else "done"
        except MedChatError as failure:
            error = str(failure)
        except Exception as bug:  # noqa: BLE001  whoever watches must learn that nothing more comes
            error = _reported(bug)
        self._end(owner, live, phase, error)
        self._threads.discard(current_thread())

    def _saving(self, live: LiveAnswer, steps: Iterator[None]) -> Iterator[None]:
        """The steps; the prompt is saved at the first word, which it must not delay, the text about every second."""
        described, saved_at, saved_revision = False, time.monotonic(), 0
        for step in steps:
            yield step
            view = live.snapshot()
            if live.messages and not described:
                self._describe(live)
                described = True
            elif time.monotonic() - saved_at >= SAVE_EVERY_S and view.revision > saved_revision:
                try:
                    self._store.grow_answer(live.id, live.raw, view.reasoning, view.solution)
                except StoreError as failure:  # tried again, and in the end said
                    log.warning("answer not saved yet", extra={"answer": live.id, "reason": str(failure)})
                saved_at, saved_revision = time.monotonic(), view.revision

    def _describe(self, live: LiveAnswer) -> None:
        view = live.snapshot()
        grounding = view.grounding.to_json() | {"unsupported": view.unsupported} if view.grounding else None
        self._store.describe_answer(live.id, prompt=live.messages, grounding=grounding, note=view.note)

    def _end(self, owner: str, live: LiveAnswer, phase: EndPhase, error: str = "") -> bool:
        """Whether this call ended the answer: its text stands still, is saved, and everybody is told."""
        if not live.claim_end(phase, error):
            return False
        not_saved = ""
        try:
            self._save_end(live, phase)
        except StoreError as failure:
            not_saved = f"The answer could not be saved. {failure}"
        view = live.publish_end(not_saved)
        with self._starting:
            if self._live.get((owner, live.conversation_id)) is live:
                del self._live[owner, live.conversation_id]
        names = ("model_id", "phase", "error", "ttft_ms", "total_ms", "completion_tokens")
        log.info("answer", extra={"answer": live.id} | {name: getattr(view, name) for name in names})
        return True

    def _save_end(self, live: LiveAnswer, phase: EndPhase) -> None:
        view = live.snapshot()
        if live.messages:
            self._describe(live)
        self._store.finish_answer(
            live.id,
            phase,
            raw=live.raw,
            reasoning=view.reasoning,
            solution=view.solution,
            complete=view.complete,
            finish_reason="cancelled" if phase == "stopped" else live.finish_reason,
            error=view.error,
            prompt_tokens=view.prompt_tokens,
            completion_tokens=view.completion_tokens,
            ttft_ms=view.ttft_ms,
            reasoning_ms=view.reasoning_ms,
            total_ms=view.total_ms,
        )


def _title(question: str) -> str:
    """The beginning of the question, in one line."""
    line = " ".join(question.split())
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1].rstrip() + "\u2026"


def _history(turns: Sequence[AnswerRecord], spec: ModelSpec) -> tuple[tuple[str, str], ...]:
    """The turns as the model is to see them, without those that failed or came to no solution."""
    answered = (turn for turn in turns if turn.solution and turn.status != "failed")
    return tuple(past_turn(spec, t.question, t.context, t.reasoning, t.solution) for t in answered)


def _view(answer: AnswerRecord, versions: int) -> TurnView:
    """A stored answer as it is shown."""
    stored = dict(answer.grounding or {})
    unsupported = tuple((start, end, name) for start, end, name in stored.pop("unsupported", ()))
    return TurnView(
        answer_id=answer.id,
        position=answer.position or 0,
        question=answer.question,
        context=answer.context,
        model_id=answer.model_id,
        reasoning=answer.reasoning,
        solution=answer.solution,
        phase="cut" if answer.status == "writing" else answer.status,
        complete=answer.complete,
        error=answer.error,
        note=answer.note,
        grounding=Grounding.from_json(stored) if stored else None,
        unsupported=unsupported,
        ttft_ms=answer.ttft_ms,
        reasoning_ms=answer.reasoning_ms,
        total_ms=answer.total_ms,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        version=answer.version,
        versions=versions,
    )


def _reported(bug: Exception) -> str:
    """A line for the asker with the number under which the log has the bug."""
    number = uuid4().hex[:8]
    # The message of a foreign exception may quote what somebody typed: only its kind and place are logged.
    places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(bug.__traceback__)]
    log.error("bug", extra={"run_id": number, "error": type(bug).__name__, "at": places[-6:]})
    return f"Something went wrong in MedChat. Ask again; if it stays, report the number {number}."

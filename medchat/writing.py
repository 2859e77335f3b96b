"""The answers that are being written: a thread each, which saves now and then, and at the end."""

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, Thread, current_thread
from uuid import uuid4

from medchat.backends import Backend
from medchat.catalogue import ModelSpec
from medchat.errors import MedChatError, NotFound, StoreError
from medchat.live import GroundingSource, LiveAnswer, Turn, write_answer
from medchat.store import Store
from medchat.turns import EndPhase

SAVE_EVERY_S = 1.0
CLOSE_TIMEOUT_S = 5.0

log = logging.getLogger(__name__)


class Writing:
    """What is being written: at most one answer in each conversation, and any number outside.

    backends gives a model's backend. An answer that is cut by length goes on by itself max_auto_continues times.
    """

    def __init__(
        self,
        store: Store,
        backends: Callable[[ModelSpec], Backend],
        grounding: GroundingSource,
        max_auto_continues: int,
    ) -> None:
        self._store = store
        self._backends = backends
        self._grounding = grounding
        self._max_auto_continues = max_auto_continues
        self._lock = Lock()
        self._live: dict[tuple[str, str], LiveAnswer] = {}
        self._threads: set[Thread] = set()

    def start(self, owner: str, live: LiveAnswer, turn: Turn) -> None:
        """Let a thread write the answer to the turn, which the store has begun."""
        thread = Thread(target=self._write, args=(owner, live, turn), name=f"answer-{live.id[:8]}", daemon=True)
        with self._lock:
            self._live[owner, _place(live)] = live
            self._threads.add(thread)
        thread.start()

    def latest(self, owner: str, conversation_id: str) -> LiveAnswer | None:
        """The answer that is being written in this conversation, or ended just now; None for none."""
        return self._live.get((owner, conversation_id))

    def end(self, owner: str, live: LiveAnswer, phase: EndPhase, error: str = "") -> bool:
        """Whether this call ended the answer: its text stands still, is saved, and everybody is told."""
        if not live.claim_end(phase, error):
            return False
        not_saved = ""
        try:
            self._save_end(live, phase)
        except (StoreError, NotFound) as failure:  # not found: somebody deleted it meanwhile
            not_saved = f"The answer could not be saved. {failure}"
        except Exception as bug:  # noqa: BLE001  whoever watches must learn that nothing more comes
            not_saved = reported(bug)
        view = live.publish_end(not_saved)
        with self._lock:
            if self._live.get((owner, _place(live))) is live:
                del self._live[owner, _place(live)]
        names = ("model_id", "phase", "error", "ttft_ms", "total_ms", "completion_tokens")
        log.info("answer", extra={"answer": live.id} | {name: getattr(view, name) for name in names})
        return True

    def close(self) -> None:
        """Cut and save what is being written and let the threads end; calling it again does nothing."""
        with self._lock:
            running, threads = list(self._live.items()), list(self._threads)
        for (owner, _), live in running:
            self.end(owner, live, "cut")
        deadline = time.monotonic() + CLOSE_TIMEOUT_S
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _write(self, owner: str, live: LiveAnswer, turn: Turn) -> None:
        """Write the answer to its end, saving it now and then."""

        def write() -> None:
            backend = self._backends(turn.spec)
            self._save_along(live, write_answer(live, turn, backend, self._grounding, self._max_auto_continues))

        error = _failure(write)
        error = _failure(lambda: self._save_along(live, live.linger(), described=True)) or error
        self.end(owner, live, "failed" if error else "cut" if live.is_cut() else "done", error)
        with self._lock:
            self._threads.discard(current_thread())

    def _save_along(self, live: LiveAnswer, steps: Iterator[None], described: bool = False) -> None:
        """Take the steps and save the text about every second; at the first word, not to delay it, the prompt."""
        saved_at, saved = time.monotonic(), ("", "")
        for _ in steps:
            if live.messages and not described:
                with _tolerated(live):
                    self._describe(live)
                described = True
            elif time.monotonic() - saved_at >= SAVE_EVERY_S and live.text() != saved:
                saved = live.text()
                with _tolerated(live):
                    self._store.grow_answer(live.id, live.raw, *saved)
                saved_at = time.monotonic()

    def _describe(self, live: LiveAnswer) -> None:
        view = live.snapshot()
        grounding = view.grounding.to_json() | {"unsupported": view.unsupported} if view.grounding else None
        self._store.describe_answer(live.id, prompt=live.messages, grounding=grounding, note=view.note)

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


def _place(live: LiveAnswer) -> str:
    return live.conversation_id or live.id


@contextmanager
def _tolerated(live: LiveAnswer) -> Iterator[None]:
    """A save in the block may fail: all of it is saved again at the end, and then it is said."""
    try:
        yield
    except StoreError as failure:
        log.warning("answer not saved yet", extra={"answer": live.id, "reason": str(failure)})


def _failure(work: Callable[[], None]) -> str:
    """A line for the asker on what went wrong in the work; "" when nothing did."""
    try:
        work()
    except MedChatError as failure:
        return str(failure)
    except Exception as bug:  # noqa: BLE001  whoever watches must learn that nothing more comes
        return reported(bug)
    return ""


def reported(bug: Exception) -> str:
    """A line for the asker with the number under which the log has the bug."""
    number = uuid4().hex[:8]
    # The message of a foreign exception may quote what somebody typed: only its kind and place are logged.
    places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(bug.__traceback__)]
    log.error("bug", extra={"run_id": number, "error": type(bug).__name__, "at": places[-6:]})
    return f"Something went wrong in MedChat. Ask again; if it stays, report the number {number}."

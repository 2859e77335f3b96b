"""The transformers worker: while it loads one model the others answer, and nobody waits in vain."""

import io
import json
import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_hf import write_chain_model

from medchat.backends.hf_worker import ModelKey, Order, Worker

GIB = 1 << 30


class _Out(io.RawIOBase):
    """What the worker writes, as events in a queue."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()

    def write(self, line: Any) -> int:
        for event in json.loads(line):
            self.events.put(event)
        return len(line)


class _SlowWorker(Worker):
    """Models in folders called slow are loaded when the gate opens."""

    def __init__(self) -> None:
        self.inbox: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self.out = _Out()
        self.gate = threading.Event()
        super().__init__(self.inbox, self.out, 512)  # type: ignore[arg-type]

    def _load(self, key: ModelKey, available_bytes: int) -> None:
        if "slow" in key[0]:
            assert self.gate.wait(60)
        super()._load(key, available_bytes)

    def order(self, number: int, op: str, folder: Path, **more: Any) -> None:
        model = {"path": str(folder), "adapter": "", "precision": "fp32", "template_options": {}}
        prompt = {"messages": [["user", "x"]], "prefill": "H", "raw": False, "sampling": {"max_new_tokens": 5}}
        self.inbox.put({"op": op, "id": number, "model": model, "available": GIB} | prompt | more)

    def events_of(self, number: int) -> list[list[Any]]:
        """The next events up to the end of this order's."""
        events = [self.out.events.get(timeout=60)]
        while events[-1][0] != number or events[-1][1] == "text":
            events.append(self.out.events.get(timeout=60))
        return events


@pytest.fixture
def worker() -> Iterator[_SlowWorker]:
    worker = _SlowWorker()
    thread = threading.Thread(target=worker.run)
    thread.start()
    yield worker
    worker.gate.set()
    worker.inbox.put(None)
    thread.join(60)
    assert not thread.is_alive()


def test_while_a_model_is_loaded_others_answer_and_who_waits_for_it_can_leave(
    worker: _SlowWorker, tmp_path: Path
) -> None:
    quick, slow = (write_chain_model(tmp_path / name, ["Hi!<|end|>"]) for name in ("quick", "slow"))
    worker.order(1, "open", quick)
    assert worker.events_of(1) == [[1, "reply", 512]]
    for number in (2, 3):
        worker.order(number, "generate", slow)
    worker.order(4, "generate", quick)
    worker.order(5, "count", quick)
    first, second = worker.events_of(4), []
    if [event[0] for event in first].count(5) == 0:
        second = worker.events_of(5)
    texts = "".join(event[2] for event in first if event[:2] == [4, "text"])
    assert texts == "i!"
    assert {event[0] for event in first + second} == {4, 5}
    worker.inbox.put({"op": "cancel", "ids": [2]})
    worker.gate.set()
    answer = worker.events_of(3)
    assert {event[0] for event in answer} == {3}
    assert answer[-1][:3] == [3, "done", "stop"]


@pytest.mark.slow
def test_a_model_that_was_given_up_while_it_was_loaded_is_freed(worker: _SlowWorker, tmp_path: Path) -> None:
    slow = write_chain_model(tmp_path / "slow", ["Hi!<|end|>"])
    worker.order(1, "open", slow)
    worker.order(0, "unload", slow)
    worker.gate.set()
    assert worker.events_of(1) == [[1, "reply", 512]]
    for name in ("config.json", "model.safetensors"):
        (slow / name).unlink()
    worker.order(2, "open", slow)  # it must be read again
    assert "config.json" in worker.events_of(2)[-1][3]


def test_everybody_who_waits_for_a_model_that_cannot_be_loaded_is_told(worker: _SlowWorker, tmp_path: Path) -> None:
    slow = write_chain_model(tmp_path / "slow", ["Hi!<|end|>"])
    good = write_chain_model(tmp_path / "good", ["Hi!<|end|>"])
    (slow / "tokenizer.json").write_text("{}")
    for number in (1, 2):
        worker.order(number, "generate", slow)
    worker.order(3, "check", slow)
    worker.gate.set()
    told = {event[0]: event[1:3] for event in [*worker.events_of(2), *worker.events_of(3)]}
    assert told == {number: ["error", "ModelUnavailable"] for number in (1, 2, 3)}
    worker.order(4, "generate", good)
    assert worker.events_of(4)[-1][1] == "done"

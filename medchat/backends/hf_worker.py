"""The worker process around transformers, which several threads of the app share.

It runs as `python -m medchat.backends.worker medchat.backends.hf_worker THREADS N_CTX` and ends when its standard
input closes. A line in is one JSON object with `op` and `id`; `model` names a model folder by its `path`, the
`adapter` on it (the folder of a LoRA, "" for none), the `precision` to load it in and its `template_options`, and
`available` the bytes that loading it may take:

    generate  model, available, messages, prefill, raw, sampling   -> text ..., then done
    score     model, available, messages, prefill, raw, options    -> reply [log-probability, ...]
    count     model, available, messages, prefill, raw             -> reply tokens of the prompt
    open      model, available                                     -> reply tokens of the context
    check     model                                                -> reply medchat.records.ModelFacts, as a list
    cancel    ids                                                  (no answer)
    unload    model                                                (no answer)

A line out is a JSON list of events, at most one line a step: [id, "text", text],
[id, "done", finish_reason, prompt_tokens, completion_tokens], [id, "reply", value] and
[id, "error", class of medchat.errors, message]. The first line is an empty list: it can work.

The weights of a folder in one precision are loaded once, for all adapters on them, by a thread of its own: while it
loads one model the others go on answering.
"""

import contextlib
import json
import logging
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import torch
from transformers.utils import logging as transformers_logging

from medchat.backends.hf_decoding import Completion, DecodeLoop, Event
from medchat.backends.hf_files import shown
from medchat.backends.hf_model import HfModel, failures_told, look, release_memory
from medchat.backends.hf_scoring import Scoring
from medchat.errors import ContextTooLong, InvalidInput, MedChatError, NotEnoughMemory
from medchat.records import Message, Sampling

MAX_MODELS = 2
MIN_ROOM = 16  # tokens that an answer must have room for
SEND_EVERY_S = 0.02  # more messages would cost the listeners more than anybody can read
STARTS_PER_STEP = 8  # reading a long queue must not hold up those who are being answered
STARTS_AT_REST = 256  # while nobody is, so that questions of like length are scored together

Order = dict[str, Any]
ModelKey = tuple[str, str]  # folder and precision


class Worker:
    """Loaded models, what was ordered of them, and the pipe back."""

    def __init__(self, inbox: "queue.SimpleQueue[Order | None]", out: BinaryIO, n_ctx: int) -> None:
        self._inbox = inbox
        self._out = out
        self._n_ctx = n_ctx
        self._orders: deque[Order] = deque()
        self._loader = ThreadPoolExecutor(1)  # one at a time: transformers changes what all threads share meanwhile
        self._loading: ModelKey | None = None
        self._loops: dict[ModelKey, DecodeLoop] = {}
        self._in_use: dict[ModelKey, set[str]] = {}  # the adapters, "" for none, that were asked for and not unloaded
        self._events: list[Event] = []
        self._sent_at = 0.0

    def run(self) -> None:
        """Work until the inbox ends with None."""
        self._send()
        while self._receive():
            self._start_orders()
            for loop in self._loops.values():
                if loop.busy:
                    loop.step()
            if self._events or any(loop.urgent for loop in self._loops.values()) or self._text_is_due():
                self._send()

    def _receive(self) -> bool:
        """Take in what has arrived, waiting for it when there is nothing else to do; False at the end."""
        idle = not any(loop.busy for loop in self._loops.values()) and not any(map(self._can_start, self._orders))
        while idle or not self._inbox.empty():
            order = self._inbox.get()
            if order is None:
                return False
            if order["op"] == "cancel":
                self._cancel(set(order["ids"]))
            elif order["op"] == "loaded":
                self._finish_load(order)
                idle = False
            elif order["op"] == "looked":
                self._events.append(order["event"])
                idle = False
            else:
                self._orders.append(order)
                idle = False
        return True

    def _cancel(self, ids: set[int]) -> None:
        self._orders = deque(order for order in self._orders if order.get("id") not in ids)
        for loop in self._loops.values():
            loop.cancel(ids)

    def _unload(self, key: ModelKey, adapter: str) -> None:
        """Free the adapter, and the weights after the last of those who used them."""
        loop = self._loops.get(key)
        if loop is None or loop.uses(adapter):
            return
        self._in_use[key].discard(adapter)
        if self._in_use[key]:
            loop.model.remove_adapter(adapter)
        elif not loop.busy:
            self._close(key)

    def _close(self, key: ModelKey) -> None:
        self._loops.pop(key).close()
        del self._in_use[key]

    def _text_is_due(self) -> bool:
        return time.monotonic() - self._sent_at >= SEND_EVERY_S and any(loop.busy for loop in self._loops.values())

    def _send(self) -> None:
        for loop in self._loops.values():
            loop.collect_texts()
        if self._events or not self._sent_at:
            self._out.write(json.dumps(self._events, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
            self._out.flush()
            self._events.clear()
        self._sent_at = time.monotonic()

    # Orders

    def _start_orders(self) -> None:
        """Begin with what has been ordered, first come first served; orders that must wait for a load stay."""
        left: deque[Order] = deque()
        n_started = 0
        at_rest = not any(loop.writing for loop in self._loops.values())
        while self._orders and n_started < (STARTS_AT_REST if at_rest else STARTS_PER_STEP):
            order = self._orders.popleft()
            if not self._can_start(order):
                left.append(order)
            elif self._start(order):
                n_started += 1
            else:  # nobody may overtake it, or models in use would never make room for its own
                self._orders.appendleft(order)
                break
        self._orders = left + self._orders

    def _can_start(self, order: Order) -> bool:
        """Whether it need not wait until a model has been loaded."""
        key = _key(order["model"])
        return order["op"] == "check" or key in self._loops or self._loading is None

    def _start(self, order: Order) -> bool:
        """Begin with an order; False when it must wait until its model is loaded, or another is idle."""
        model, key = order["model"], _key(order["model"])
        if order["op"] == "check":
            self._loader.submit(self._look, order)
            return True
        if order["op"] == "unload":
            self._unload(key, model["adapter"])
            return True
        if key not in self._loops:
            self._make_room_and_load(key, order["available"])
            return False
        loop = self._loops[key]
        try:
            with failures_told(loop.model.name):
                loop.model.add_adapter(model["adapter"])
                self._in_use[key].add(model["adapter"])
                self._begin(order, loop)
        except MedChatError as error:
            self._fail([order], error)
        return True

    def _fail(self, orders: Iterable[Order], error: MedChatError) -> None:
        self._events += [[order["id"], "error", type(error).__name__, str(error)] for order in orders]

    def _begin(self, order: Order, loop: DecodeLoop) -> None:
        number, model, adapter = order["id"], loop.model, order["model"]["adapter"]
        loop.idle_since = time.monotonic()
        if order["op"] == "open":
            self._events.append([number, "reply", model.n_ctx])
            return
        messages = [Message(role, content) for role, content in order["messages"]]
        render = partial(
            model.tokens.prompt,
            messages, raw=order["raw"], n_ctx=model.n_ctx, options=order["model"]["template_options"],
        )  # fmt: skip
        prompt = render(order["prefill"])
        if order["op"] == "count":
            self._events.append([number, "reply", len(prompt)])
        elif order["op"] == "generate":
            _require_room(len(prompt), MIN_ROOM, model.n_ctx)
            sampling = Sampling(**order["sampling"])
            max_new = min(sampling.max_new_tokens, model.n_ctx - len(prompt))
            # Only a penalty asks what the answer already holds; nobody else waits for the second rendering.
            begun = prompt[_common_length(prompt, render("")) :] if sampling.presence_penalty else ()
            loop.add(Completion(number, adapter, prompt, sampling, max_new=max_new, begun=begun))
        else:
            self._begin_score(order, loop, render, prompt)

    def _begin_score(
        self, order: Order, loop: DecodeLoop, render: Callable[[str], list[int]], prompt: list[int]
    ) -> None:
        """Queue the options; what they all begin with, tokenised after the prompt, counts as prompt."""
        whole = [render(order["prefill"] + option) for option in order["options"]]
        n_prompt = min((_common_length(prompt, tokens) for tokens in whole), default=len(prompt))
        if n_prompt == 0:
            raise InvalidInput("The prompt is too short to compare what may follow it.")
        options = [tokens[n_prompt:] for tokens in whole]
        _require_room(n_prompt, max(map(len, options), default=0), loop.model.n_ctx)
        loop.add_scoring(Scoring(order["id"], order["model"]["adapter"], prompt[:n_prompt], options))

    # Models

    def _make_room_and_load(self, key: ModelKey, available_bytes: int) -> None:
        """Begin to load a model; a third takes the place of the one idle longest, and waits until there is one."""
        if len(self._loops) < MAX_MODELS or self._close_longest_idle():
            self._loading = key
            self._loader.submit(self._load, key, available_bytes)

    def _load(self, key: ModelKey, available_bytes: int) -> None:
        """Runs in the loader's thread."""
        path, precision = Path(key[0]), key[1]
        result: HfModel | MedChatError
        try:
            with failures_told(shown(path)):
                result = HfModel(path, precision, n_ctx=self._n_ctx, available_bytes=available_bytes)
        except MedChatError as error:
            result = type(error)(str(error))  # without what the first one's traceback still refers to
        self._inbox.put({"op": "loaded", "result": result, "available": available_bytes})

    def _look(self, order: Order) -> None:
        """Runs in the loader's thread."""
        model = order["model"]
        path = Path(model["path"])
        try:
            with failures_told(shown(path)):
                event = [order["id"], "reply", look(path, model["adapter"], model["precision"])]
        except MedChatError as error:
            event = [order["id"], "error", type(error).__name__, str(error)]
        self._inbox.put({"op": "looked", "event": event})

    def _finish_load(self, loaded: Order) -> None:
        """Take over what the loader has made; where memory was short it tries again without the one idle longest."""
        key, self._loading = self._loading, None
        result = loaded["result"]
        if key is None:
            return
        if isinstance(result, HfModel):
            self._loops[key] = DecodeLoop(result, self._events)
            self._in_use[key] = set()
            return
        release_memory()
        freed_bytes = self._close_longest_idle() if isinstance(result, NotEnoughMemory) else 0
        if freed_bytes:
            self._make_room_and_load(key, loaded["available"] + freed_bytes)
            return
        waited = [o for o in self._orders if _key(o["model"]) == key and o["op"] not in ("check", "unload")]
        self._cancel({order["id"] for order in waited})
        self._fail(waited, result)

    def _close_longest_idle(self) -> int:
        """Bytes freed; 0 when every model is answering."""
        idle = [key for key, loop in self._loops.items() if not loop.busy]
        if not idle:
            return 0
        key = min(idle, key=lambda key: self._loops[key].idle_since)
        freed_bytes = self._loops[key].model.needed_bytes
        self._close(key)
        return freed_bytes


def _key(model: Mapping[str, Any]) -> ModelKey:
    return model["path"], model["precision"]


def _common_length(first: list[int], second: list[int]) -> int:
    """How many tokens both begin with."""
    for position, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return position
    return min(len(first), len(second))


def _require_room(n_prompt: int, n_answer: int, n_ctx: int) -> None:
    if n_prompt + n_answer > n_ctx:
        raise ContextTooLong(
            f"The question and what came before it take {n_prompt} tokens; with {n_answer} for the answer that is more"
            f" than the {n_ctx} of this model. Shorten the question or start a new conversation."
        )


def _read_orders(source: BinaryIO, inbox: "queue.SimpleQueue[Order | None]") -> None:
    for line in source:
        inbox.put(json.loads(line))
    inbox.put(None)


def main() -> None:
    """Serve the pipe that this process was started with."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not end up between the events
    inbox: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
    threading.Thread(target=_read_orders, args=(sys.stdin.buffer, inbox), daemon=True).start()
    threads, n_ctx = map(int, sys.argv[1:])
    torch.set_num_threads(threads)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    code = 1
    try:
        with contextlib.suppress(BrokenPipeError):  # nobody listens any more
            Worker(inbox, out, n_ctx).run()
        code = 0
    except Exception:
        logging.getLogger(__name__).exception("The worker has failed.")
    finally:
        os._exit(code)  # no thread, of a library or waiting for orders, may keep it or make its end a crash

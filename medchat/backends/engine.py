"""The worker process around llama.cpp, which several threads of the app share.

It runs as `python -m medchat.backends.worker medchat.backends.engine THREADS SLOTS N_CTX` and ends when its
standard input closes. A line in is one JSON object with `op` and `id`; `model` names a GGUF file by its `path`, its
`adapter` (another, "" for none) and its `template_options`, and `available` the bytes that loading it may take:

    generate  model, available, messages, prefill, raw, sampling   -> text ..., then done
    score     model, available, messages, prefill, raw, options    -> reply [log-probability, ...] or null
    count     model, available, messages, prefill, raw             -> reply tokens of the prompt
    open      model, available                                     -> reply tokens of the context
    check     model                                                -> reply medchat.records.ModelFacts, as a list
    cancel    ids                                                  (no answer)
    unload    model                                                (no answer)

A line out is a JSON list of events, at most one line a step: [id, "text", text],
[id, "done", finish_reason, prompt_tokens, completion_tokens], [id, "reply", value] and
[id, "error", class of medchat.errors, message]. The first line is an empty list: it can work.
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
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from medchat.backends.decoding import Completion, DecodeLoop, Event, common_length
from medchat.backends.gguf_model import GgufModel
from medchat.backends.gguf_weights import GgufWeights, look
from medchat.errors import ContextTooLong, InvalidInput, MedChatError, NotEnoughMemory
from medchat.records import Message, Sampling

MAX_MODELS = 2  # contexts, of one file's weights or of two
MIN_ROOM = 16  # tokens that an answer must have room for
SEND_EVERY_S = 0.02  # more messages would cost the listeners more than anybody can read
STARTS_PER_STEP = 8  # reading a long queue must not hold up those who are being answered

Order = dict[str, Any]
ModelKey = tuple[str, str]  # path of the weights, and of the adapter or ""


class Worker:
    """Loaded models, what was ordered of them, and the pipe back."""

    def __init__(self, inbox: "queue.SimpleQueue[Order | None]", out: BinaryIO, threads: int, slots: int, n_ctx: int):
        self._inbox = inbox
        self._out = out
        self._threads, self._slots, self._n_ctx = threads, slots, n_ctx
        self._orders: deque[Order] = deque()
        self._loops: dict[ModelKey, DecodeLoop] = {}
        self._events: list[Event] = []
        self._sent_at = 0.0

    def run(self) -> None:
        """Work until the inbox ends with None."""
        self._send()
        while self._receive():
            for _ in range(STARTS_PER_STEP):
                if not self._orders or not self._start(self._orders[0]):
                    break
                self._orders.popleft()
            for loop in self._loops.values():
                if loop.busy:
                    loop.step()
            if self._events or any(loop.urgent for loop in self._loops.values()) or self._text_is_due():
                self._send()

    def _receive(self) -> bool:
        """Take in what has arrived, waiting for it when there is nothing else to do; False at the end."""
        idle = not self._orders and not any(loop.busy for loop in self._loops.values())
        while idle or not self._inbox.empty():
            order = self._inbox.get()
            if order is None:
                return False
            if order["op"] == "cancel":
                self._cancel(set(order["ids"]))
            elif order["op"] == "unload":
                self._unload(_key(order["model"]))
            else:
                self._orders.append(order)
                idle = False
        return True

    def _cancel(self, ids: set[int]) -> None:
        self._orders = deque(order for order in self._orders if order["id"] not in ids)
        for loop in self._loops.values():
            loop.cancel(ids)

    def _unload(self, key: ModelKey) -> None:
        loop = self._loops.get(key)
        if loop and not loop.busy:
            del self._loops[key]
            loop.close()

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

    def _start(self, order: Order) -> bool:
        """Begin with an order; False when it must wait until a model is idle."""
        try:
            if order["op"] == "check":
                path, adapter = _key(order["model"])
                self._events.append([order["id"], "reply", look(Path(path), Path(adapter) if adapter else None)])
                return True
            loop = self._loop(_key(order["model"]), order["available"])
            if loop is None:
                return False
            self._begin(order, loop)
        except MedChatError as error:
            self._events.append([order["id"], "error", type(error).__name__, str(error)])
        return True

    def _begin(self, order: Order, loop: DecodeLoop) -> None:
        number, model = order["id"], loop.model
        loop.idle_since = time.monotonic()
        if order["op"] == "open":
            self._events.append([number, "reply", model.n_ctx])
            return
        messages = [Message(role, content) for role, content in order["messages"]]
        render = partial(model.prompt, messages, raw=order["raw"], template_options=order["model"]["template_options"])
        prompt = render(order["prefill"])
        if order["op"] == "count":
            self._events.append([number, "reply", len(prompt)])
        elif order["op"] == "generate":
            _require_room(len(prompt), MIN_ROOM, model.n_ctx)
            sampling = Sampling(**order["sampling"])
            max_new = min(sampling.max_new_tokens, model.n_ctx - len(prompt))
            # Only a penalty asks what the answer already holds; nobody else waits for the second rendering.
            begun = prompt[common_length(prompt, render("")) :] if sampling.presence_penalty else ()
            loop.add(Completion(number, prompt, sampling, max_new=max_new, begun=begun))
        else:
            self._begin_score(order, loop, render, prompt)

    def _begin_score(
        self, order: Order, loop: DecodeLoop, render: Callable[[str], list[int]], prompt: list[int]
    ) -> None:
        """Queue the options; what they all begin with, tokenised after the prompt, counts as prompt."""
        whole = [render(order["prefill"] + option) for option in order["options"]]
        n_prompt = min((common_length(prompt, tokens) for tokens in whole), default=len(prompt))
        if n_prompt == 0:
            raise InvalidInput("The prompt is too short to compare what may follow it.")
        options = [tokens[n_prompt:] for tokens in whole]
        _require_room(n_prompt, max(map(len, options), default=0), loop.model.n_ctx)
        if not loop.model.can_share and any(len(option) > 1 for option in options):
            self._events.append([order["id"], "reply", None])  # its state cannot go back to the prompt's end
        else:
            loop.add(Completion(order["id"], prompt[:n_prompt], Sampling(), options=options))

    def _loop(self, key: ModelKey, available_bytes: int) -> DecodeLoop | None:
        """The model's decode loop; None when it can only be loaded after another has finished.

        A third model takes the place of the one idle longest; so does one that finds too little memory.
        """
        if key in self._loops:
            return self._loops[key]
        weights = next((loop.model.weights for (path, _), loop in self._loops.items() if path == key[0]), None)
        if weights:
            weights.hold()  # whoever makes room must not take them along
        try:
            if len(self._loops) >= MAX_MODELS and not self._unload_longest_idle():
                return None
            self._loops[key] = DecodeLoop(self._load(key, weights, available_bytes), self._slots, self._events)
        finally:
            if weights:
                weights.release()
        return self._loops[key]

    def _load(self, key: ModelKey, weights: GgufWeights | None, available_bytes: int) -> GgufModel:
        path, adapter = key
        while True:
            try:
                return GgufModel(
                    Path(path),
                    threads=self._threads, slots=self._slots, n_ctx=self._n_ctx, available_bytes=available_bytes,
                    adapter=Path(adapter) if adapter else None, weights=weights,
                )  # fmt: skip
            except NotEnoughMemory:
                freed_bytes = self._unload_longest_idle()
                if not freed_bytes:
                    raise
                available_bytes += freed_bytes

    def _unload_longest_idle(self) -> int:
        """Bytes freed; 0 when every model is answering."""
        idle = [key for key, loop in self._loops.items() if not loop.busy]
        if not idle:
            return 0
        key = min(idle, key=lambda key: self._loops[key].idle_since)
        model = self._loops[key].model
        freed_bytes = model.own_bytes + (model.weights.needed_bytes if model.weights.n_users == 1 else 0)
        self._unload(key)
        return freed_bytes


def _key(model: Mapping[str, Any]) -> ModelKey:
    return model["path"], model["adapter"]


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
    threads, slots, n_ctx = map(int, sys.argv[1:])
    code = 1
    try:
        with contextlib.suppress(BrokenPipeError):  # nobody listens any more
            Worker(inbox, out, threads, slots, n_ctx).run()
        code = 0
    except Exception:
        logging.getLogger(__name__).exception("The worker has failed.")
    finally:
        os._exit(code)  # clean-up, by llama.cpp or by Python, may abort while the reader thread still lives

"""Continuous batching: the completions of one model, continued together one step at a time.

Used by the worker process only (engine.py): nothing here may be called from two threads.
"""

import codecs
import ctypes
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import llama_cpp as llama
import numpy as np

from medchat.backends.gguf_model import GgufModel
from medchat.errors import ModelUnavailable
from medchat.records import FinishReason, Sampling

MIN_SHARED = 16  # tokens of a common head that are worth keeping or waiting for

Event = list[Any]


class Batch:
    """The tokens of one step, in the layout of llama.cpp's C struct."""

    def __init__(self, size: int) -> None:
        self.tokens = (ctypes.c_int32 * size)()
        self.positions = (ctypes.c_int32 * size)()
        self.slots = (ctypes.c_int32 * size)()
        self.wanted = (ctypes.c_int8 * size)()  # whether its logits are needed
        counts = (ctypes.c_int32 * size)(*[1] * size)
        pointers = (ctypes.POINTER(ctypes.c_int32) * size)()
        for i in range(size):
            pointers[i] = ctypes.cast(ctypes.byref(self.slots, 4 * i), ctypes.POINTER(ctypes.c_int32))
        self.struct = llama.llama_batch(
            0,
            ctypes.cast(self.tokens, ctypes.POINTER(ctypes.c_int32)),
            None,
            ctypes.cast(self.positions, ctypes.POINTER(ctypes.c_int32)),
            ctypes.cast(counts, ctypes.POINTER(ctypes.c_int32)),
            ctypes.cast(pointers, ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
            ctypes.cast(self.wanted, ctypes.POINTER(ctypes.c_int8)),
        )

    def clear(self) -> None:
        """Begin a new step."""
        self.struct.n_tokens = 0

    def add(self, tokens: Sequence[int], position: int, slot: int, *, every: bool = False) -> int:
        """Row of the last token added, the only one whose logits are computed unless `every`."""
        start = self.struct.n_tokens
        for row, token in enumerate(tokens, start):
            self.tokens[row] = token
            self.positions[row] = position + row - start
            self.slots[row] = slot
            self.wanted[row] = every
        self.struct.n_tokens = start + len(tokens)
        self.wanted[self.struct.n_tokens - 1] = True
        return self.struct.n_tokens - 1


class Completion:
    """One sequence: what is known of it (tokens) and how much of that is in the KV cells (computed).

    One token to compute means that it is being continued, more that its prompt is still being read.
    With options (the tokens of each) it is not continued at all: they are scored where the prompt ends.
    begun: the last tokens of its prompt that are already part of the answer.
    """

    def __init__(
        self,
        number: int,
        prompt: list[int],
        sampling: Sampling,
        *,
        max_new: int = 0,
        options: list[list[int]] | None = None,
        begun: Sequence[int] = (),
    ) -> None:
        self.number = number
        self.tokens = list(prompt)
        self.n_prompt = len(prompt)
        self.sampling = sampling
        self.max_new = max_new
        self.options = options
        self.begun = begun
        self.computed = 0
        self.slot = -1
        self.sampler: Any = None
        self.unsent = bytearray()
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    @property
    def n_new(self) -> int:
        """Tokens made so far."""
        return len(self.tokens) - self.n_prompt

    def take_text(self, *, final: bool = False) -> str:
        """The text not yet sent; a character that is still incomplete stays unless `final`."""
        text = self._utf8.decode(bytes(self.unsent), final)
        self.unsent.clear()
        return text


class DecodeLoop:
    """Continues all completions of one model together, one step at a time.

    What two prompts in a row had in common is kept in a sequence of its own (the head), so that a
    system prompt is computed once; cells are also borrowed from whoever is being answered.
    """

    def __init__(self, model: GgufModel, slots: int, events: list[Event]) -> None:
        self.model = model
        self.events = events
        self.urgent = False  # somebody's first token should not wait for SEND_EVERY_S
        self.idle_since = time.monotonic()
        self._batch = Batch(model.chunk + slots)
        self._free = list(range(slots))
        self._waiting: deque[Completion] = deque()
        self._active: list[Completion] = []
        self._head_slot = slots
        self._head: list[int] = []
        self._last_prompt: list[int] = []

    @property
    def busy(self) -> bool:
        """Whether anybody is being answered or waits for it."""
        return bool(self._active or self._waiting)

    def add(self, completion: Completion) -> None:
        """Queue it; it starts when a slot is free."""
        self._waiting.append(completion)

    def cancel(self, numbers: set[int]) -> None:
        """Drop these completions without another word."""
        for completion in [c for c in (*self._waiting, *self._active) if c.number in numbers]:
            self._release(completion)

    def collect_texts(self) -> None:
        """Move what has been written since the last time into the events."""
        for completion in self._active:
            if completion.unsent and (text := completion.take_text()):
                self.events.append([completion.number, "text", text])
        self.urgent = False

    def close(self) -> None:
        """Free the model's context."""
        self.cancel({c.number for c in (*self._waiting, *self._active)})
        self.model.close()

    def step(self) -> None:
        """One token of every running completion, then a chunk of the prompts, first come first served.

        Where that fails, all that run end with one line each.
        """
        try:
            self._step()
        except ModelUnavailable as error:
            for completion in list(self._active):
                self.events.append([completion.number, "error", type(error).__name__, str(error)])
                self._release(completion)
            self._forget_head()

    def _step(self) -> None:
        self._admit()
        self._batch.clear()
        finished: list[tuple[Completion, int]] = []
        advanced: list[tuple[Completion, int]] = []
        room = self.model.chunk
        for completion in sorted(self._active, key=_is_reading):
            start = completion.computed
            left = len(completion.tokens) - start
            take = 1 if left == 1 else min(left, room)
            if take == 0:
                break
            room -= take if left > 1 else 0
            row = self._batch.add(completion.tokens[start : start + take], start, completion.slot)
            advanced.append((completion, take))
            if take == left:
                finished.append((completion, row))
        if not advanced or not self._decode():
            return
        for completion, take in advanced:
            completion.computed += take
        self._use_logits(finished)

    # Slots and KV cells

    def _admit(self) -> None:
        while self._waiting and self._free and self._fits(self._waiting[0]):
            completion = self._waiting[0]
            slot, shared, ready = self._longest_shared(completion.tokens)
            if shared - ready >= MIN_SHARED:
                return  # it is being computed for somebody else and will be there in a few steps
            self._waiting.popleft()
            completion.slot = self._free.pop()
            if ready:
                llama.llama_memory_seq_cp(self.model.memory, slot, completion.slot, 0, ready)
            completion.computed = ready
            if completion.sampler is None and completion.options is None:
                completion.sampler = self.model.sampler(completion.sampling, completion.begun)
            self._active.append(completion)

    def _fits(self, completion: Completion) -> bool:
        used = sum(len(c.tokens) for c in self._active) + len(self._head)
        return not self._active or used + len(completion.tokens) + self.model.chunk <= self.model.cells

    def _longest_shared(self, tokens: list[int]) -> tuple[int, int, int]:
        """The slot with the longest common head, its length, and how much of it is computed."""
        if not self.model.can_share:
            return -1, 0, 0
        sources = [(self._head_slot, self._head, len(self._head))]
        sources += [(c.slot, c.tokens, c.computed) for c in self._active]
        # The last token must be computed anew: its logits are needed.
        lengths = [min(common_length(tokens, known), len(tokens) - 1) for _, known, _ in sources]
        best = max(range(len(sources)), key=lengths.__getitem__)
        slot, _, computed = sources[best]
        return slot, lengths[best], min(lengths[best], computed)

    def _remember_head(self, completion: Completion) -> None:
        """Keep what this prompt and the one before it had in common."""
        prompt = completion.tokens[: completion.n_prompt]
        common = common_length(prompt, self._last_prompt)
        self._last_prompt = prompt
        if not self.model.can_share or common < MIN_SHARED or common <= common_length(prompt, self._head):
            return
        self._forget_head()
        llama.llama_memory_seq_cp(self.model.memory, completion.slot, self._head_slot, 0, common)
        self._head = prompt[:common]

    def _forget_head(self) -> None:
        llama.llama_memory_seq_rm(self.model.memory, self._head_slot, -1, -1)
        self._head = []

    def _release(self, completion: Completion) -> None:
        if completion in self._active:
            self._vacate(completion)
        else:
            self._waiting.remove(completion)
        if completion.sampler is not None:
            llama.llama_sampler_free(completion.sampler)
        self.idle_since = time.monotonic()

    def _vacate(self, completion: Completion) -> None:
        llama.llama_memory_seq_rm(self.model.memory, completion.slot, -1, -1)
        self._free.append(completion.slot)
        self._active.remove(completion)
        completion.computed = 0

    def _decode(self, keep: Completion | None = None) -> bool:
        """Whether the batch was computed; if not, cells of another than `keep` were freed to try again."""
        code = llama.llama_decode(self.model.context, self._batch.struct)
        if code == 0:
            return True
        if code != 1:
            raise ModelUnavailable(
                f"The model {self.model.name!r} failed (llama.cpp's code {code}); your text is kept. Please ask again"
                " or choose another model."
            )
        if self._head:
            self._forget_head()
            return False
        others = [completion for completion in self._active if completion is not keep]
        if len(self._active) == 1:
            raise ModelUnavailable(f"The model {self.model.name!r} ran out of room for its answer; please ask again.")
        # The youngest starts over when there is room; what it has written is then read with its prompt.
        self._vacate(others[-1])
        self._waiting.appendleft(others[-1])
        return False

    # Logits

    def _use_logits(self, finished: list[tuple[Completion, int]]) -> None:
        scored = [(c, self._log_probabilities(row)) for c, row in finished if c.options is not None]
        for completion, row in finished:
            if completion.n_new == 0:
                self._remember_head(completion)
            if completion.options is None:
                self._accept(completion, llama.llama_sampler_sample(completion.sampler, self.model.context, row))
        for completion, first in scored:  # last: they overwrite the logits
            if completion in self._active:
                self._score(completion, first)

    def _accept(self, completion: Completion, token: int) -> None:
        piece = self.model.piece(token)
        if piece is None:
            self._finish(completion, "stop")
            return
        self.urgent |= completion.n_new == 0
        completion.tokens.append(token)
        completion.unsent += piece
        if completion.n_new >= completion.max_new:
            self._finish(completion, "length")

    def _finish(self, completion: Completion, reason: FinishReason) -> None:
        text = completion.take_text(final=True)
        if text:
            self.events.append([completion.number, "text", text])
        self.events.append([completion.number, "done", reason, completion.n_prompt, completion.n_new])
        self._release(completion)

    def _score(self, completion: Completion, first: np.ndarray) -> None:
        """Reply the log-probability of each option; `first` (n_vocab,) is that of the next token."""
        scores = []
        for option in completion.options or ():
            total = float(first[option[0]]) if option else 0.0
            for start in range(0, len(option) - 1, self.model.chunk):
                part = option[start : min(start + self.model.chunk, len(option) - 1)]
                total += self._score_part(completion, part, option[start + 1 : start + 1 + len(part)], start)
            llama.llama_memory_seq_rm(self.model.memory, completion.slot, completion.n_prompt, -1)
            scores.append(total)
        self.events.append([completion.number, "reply", scores])
        self._release(completion)

    def _score_part(self, completion: Completion, part: list[int], following: list[int], start: int) -> float:
        while True:
            self._batch.clear()
            self._batch.add(part, completion.n_prompt + start, completion.slot, every=True)
            if self._decode(keep=completion):
                return sum(float(self._log_probabilities(row)[token]) for row, token in enumerate(following))

    def _log_probabilities(self, row: int) -> np.ndarray:
        """Log-softmax of a row's logits, (n_vocab,)."""
        pointer = llama.llama_get_logits_ith(self.model.context, row)
        logits: np.ndarray = np.ctypeslib.as_array(pointer, (self.model.n_vocab,)).astype(np.float64)
        logits -= logits.max()
        logits -= np.log(np.exp(logits).sum())
        return logits


def _is_reading(completion: Completion) -> bool:
    return len(completion.tokens) - completion.computed > 1


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens both begin with."""
    for position, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return position
    return min(len(first), len(second))

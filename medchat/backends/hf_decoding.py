"""Continuous batching with transformers: the completions of one model, continued together a token at a time.

Each prompt is read by itself in chunks; then its keys and values join those of the completions that run, padded on
the left, and each step takes one token of every row. So four people see their answers grow together for little more
than the price of one, nobody waits for another's end, and a row leaves as soon as it is stopped. Rows of different
adapters are kept apart, each group with keys and values of its own, and take turns: nothing is ever computed with
one adapter from what was computed with another. What fails ends the completions that it belongs to, and no others.
Options to be compared are scored many questions at a time (hf_scoring.py), between the steps of those who write.

Each completion has its own random numbers. In a batch its text is that which it would get alone, except where two
tokens are so nearly as likely as each other that rounding decides (in int8 the batch itself changes the scales).

Used by the worker process only (hf_worker.py).
"""

import contextlib
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from medchat.backends.hf_model import HfModel, failures_told, release_memory
from medchat.backends.hf_scoring import MOST_TOKENS, Lanes, Scoring, narrow, next_batch, row_states
from medchat.backends.hf_tokens import TextStream
from medchat.errors import ModelUnavailable
from medchat.records import FinishReason, Sampling

MAX_ROWS = 16  # completions that run together

Event = list[Any]


class Completion:
    """One prompt, and what has been written after it.

    begun: the tokens of the prompt with which the answer already begins.
    """

    def __init__(
        self,
        number: int,
        adapter: str,
        prompt: list[int],
        sampling: Sampling,
        *,
        max_new: int = 0,
        begun: Iterable[int] = (),
    ) -> None:
        self.number = number
        self.adapter = adapter
        self.prompt = prompt
        self.sampling = sampling
        self.max_new = max_new
        self.written = set(begun)
        self.n_new = 0
        self.last = -1  # the token to compute next
        self.ended = False  # nothing more comes of it
        self.n_read = 0
        self.cache: Any = None  # of its prompt, while it is being read
        self.random: torch.Generator | None = None
        self.stream: TextStream | None = None

    @property
    def length(self) -> int:
        """Tokens whose keys and values are kept: all but the last."""
        return len(self.prompt) + self.n_new - 1

    @property
    def room(self) -> int:
        """Tokens that it may come to hold."""
        return len(self.prompt) + self.max_new


class Rows:
    """The completions of one adapter that run together, and their keys and values, aligned at the right."""

    def __init__(self) -> None:
        self.completions: list[Completion] = []
        self.cache: Any = None

    def add(self, completion: Completion) -> None:
        """Take over a completion whose prompt has been read; should it fail, none of them can go on."""
        cache, completion.cache = completion.cache, None
        self.completions.append(completion)
        if self.cache is None:
            self.cache = cache
        else:
            _join(self.cache, cache, max(c.length for c in self.completions))

    def keep(self, completions: Sequence[Completion]) -> None:
        """Go on with these alone, at least one."""
        if len(completions) == len(self.completions):
            return
        rows = [self.completions.index(completion) for completion in completions]
        narrow(self.cache, rows, max(c.length for c in completions))
        self.completions = list(completions)

    def inputs(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Tokens (B, 1), mask (B, T + 1) and positions (B, 1) of the next step."""
        lengths = torch.tensor([[completion.length] for completion in self.completions])
        width = int(lengths.max()) + 1
        mask = (torch.arange(width) >= width - 1 - lengths).long()
        return torch.tensor([[completion.last] for completion in self.completions]), mask, lengths


class DecodeLoop:
    """Continues all completions of one model and its adapters, one step at a time."""

    def __init__(self, model: HfModel, events: list[Event]) -> None:
        self.model = model
        self.events = events
        self.urgent = False  # somebody's first token should not wait
        self.idle_since = time.monotonic()
        self._waiting: deque[Completion] = deque()  # the first of them may be being read
        self._groups: dict[str, Rows] = {}
        self._to_score: list[Scoring] = []
        self._lanes = Lanes(model.device)

    @property
    def busy(self) -> bool:
        """Whether anybody is being answered or waits for it."""
        return self.writing or bool(self._to_score)

    @property
    def writing(self) -> bool:
        """Whether any text is being written, or waits for it: then every step must be short."""
        return bool(self._waiting or self._groups)

    def uses(self, adapter: str) -> bool:
        """Whether anybody is being answered with this adapter or waits for it."""
        return adapter in self._groups or adapter in {c.adapter for c in self._waiting} | {
            s.adapter for s in self._to_score
        }

    def add(self, completion: Completion) -> None:
        """Queue it; it starts when there is room."""
        self._waiting.append(completion)

    def add_scoring(self, scoring: Scoring) -> None:
        """Queue it; those that wait are scored together."""
        self._to_score.append(scoring)

    def cancel(self, numbers: set[int]) -> None:
        """Drop these completions without another word."""
        self._waiting = deque(c for c in self._waiting if c.number not in numbers)
        self._to_score = [scoring for scoring in self._to_score if scoring.number not in numbers]
        for rows in self._groups.values():
            for completion in rows.completions:
                completion.ended |= completion.number in numbers
        self._drop_ended()

    def collect_texts(self) -> None:
        """Move what has been written since the last time into the events."""
        for rows in self._groups.values():
            for completion in rows.completions:
                with self._confined([completion]):
                    self._send_text(completion, final=False)
        self._drop_ended()
        self.urgent = False

    def close(self) -> None:
        """Free the model."""
        self._waiting.clear()
        self._to_score.clear()
        self._groups.clear()
        self._lanes.close()
        self.model.close()

    def step(self) -> None:
        """One token of every running completion, some options, a chunk of the first prompt that there is room for."""
        for adapter, rows in self._groups.items():
            with self._confined(rows.completions):
                self._continue(adapter, rows)
        self._drop_ended()
        if self._to_score:
            self._score_some()
        if self._waiting and self._fits(self._waiting[0]):
            completion = self._waiting[0]
            with self._confined([completion]):
                self._read(completion)
            if completion.ended or completion.last >= 0:
                self._waiting.popleft()
            if completion.ended:
                completion.cache = None
            elif completion.last >= 0:
                rows = self._groups.setdefault(completion.adapter, Rows())
                with self._confined([*rows.completions, completion]):
                    rows.add(completion)
                self._drop_ended()
        self.idle_since = time.monotonic()

    def _fits(self, completion: Completion) -> bool:
        running = [c for rows in self._groups.values() for c in rows.completions]
        if not running or completion.n_read:
            return True
        longest = max(c.room for c in [*running, completion])
        return len(running) < MAX_ROWS and longest * (len(running) + 1) <= self.model.cells

    @contextlib.contextmanager
    def _confined(self, completions: Sequence[Completion]) -> Iterator[None]:
        """Whatever fails within ends these completions, with one line each, and nothing else."""
        try:
            with failures_told(self.model.name):
                yield
            return
        except ModelUnavailable as error:
            kind, line = type(error).__name__, str(error)
        for completion in completions:
            if not completion.ended:
                self.events.append([completion.number, "error", kind, line])
                completion.ended = True
        release_memory()

    def _drop_ended(self) -> None:
        for adapter, rows in list(self._groups.items()):
            left = [c for c in rows.completions if not c.ended]
            if left:
                with self._confined(left):
                    rows.keep(left)
            if not left or left[0].ended:
                del self._groups[adapter]

    # Steps

    def _continue(self, adapter: str, rows: Rows) -> None:
        self.model.use(adapter)
        logits = self.model.forward(*rows.inputs(), rows.cache, keep=1)[:, -1]  # (B, V)
        tokens = draw(logits, rows.completions)
        for completion, token in zip(rows.completions, tokens, strict=True):
            with self._confined([completion]):
                self._accept(completion, token)

    def _read(self, completion: Completion) -> None:
        """Read a chunk of a prompt; at its end write the first token."""
        self.model.use(completion.adapter)
        if completion.cache is None:
            completion.cache = self.model.new_cache()
        start = completion.n_read
        chunk = completion.prompt[start : start + self.model.chunk]
        end = start + len(chunk)
        positions = torch.arange(start, end)[None]
        mask = torch.ones(1, end, dtype=torch.long)
        logits = self.model.forward(torch.tensor([chunk]), mask, positions, completion.cache, keep=1)[:, -1]
        completion.n_read = end
        if end < len(completion.prompt):
            return
        completion.stream = TextStream(self.model.tokens, completion.prompt)
        if not completion.sampling.greedy:
            completion.random = torch.Generator(logits.device).manual_seed(completion.sampling.seed % (1 << 63))
        [token] = draw(logits, [completion])
        self.urgent = True
        self._accept(completion, token)

    def _accept(self, completion: Completion, token: int) -> None:
        """Take the token that comes next, which may end the answer.

        Raises ModelUnavailable where there is none.
        """
        if token < 0:
            raise ModelUnavailable(
                f"The model {self.model.name!r} computed something that is no number, as damaged weights or too small a"
                " precision make it do; fetch it again, choose the precision fp32, or choose another model."
            )
        if token in self.model.ends:
            self._finish(completion, "stop")
            return
        completion.last = token
        completion.n_new += 1
        completion.written.add(token)
        if completion.stream:
            completion.stream.add(token)
        if completion.n_new >= completion.max_new:
            self._finish(completion, "length")

    def _finish(self, completion: Completion, reason: FinishReason) -> None:
        self._send_text(completion, final=True)
        self.events.append([completion.number, "done", reason, len(completion.prompt), completion.n_new])
        completion.ended = True

    def _send_text(self, completion: Completion, *, final: bool) -> None:
        text = completion.stream.take(final=final) if completion.stream else ""
        if text:
            self.events.append([completion.number, "text", text])

    def _score_some(self) -> None:
        """Reply to as many of those who compare options as one pass takes; where it fails each hears why."""
        most_tokens = self.model.chunk if self.writing else MOST_TOKENS[self.model.device.type]
        adapter = self._to_score[0].adapter
        batches: list[list[Scoring]] = []
        while self._to_score and self._to_score[0].adapter == adapter and len(batches) < self._lanes.n:
            batches.append(next_batch(self._to_score, self.model, most_tokens=most_tokens))
            taken = {scoring.number for scoring in batches[-1]}
            self._to_score = [scoring for scoring in self._to_score if scoring.number not in taken]
        self.model.use(adapter)
        for batch, found in zip(batches, self._lanes.score(self.model, batches), strict=True):
            if isinstance(found, ModelUnavailable):
                self.events += [[scoring.number, "error", type(found).__name__, str(found)] for scoring in batch]
            else:
                self.events += [[s.number, "reply", scores] for s, scores in zip(batch, found, strict=True)]


def draw(logits: torch.Tensor, completions: Sequence[Completion]) -> list[int]:
    """The next token of each completion from its row of the logits (B, V); -1 where they are no numbers."""
    sound = logits.amax(-1).isfinite()  # (B,)
    if all(c.sampling.greedy and c.sampling.presence_penalty == 0 for c in completions):
        tokens = logits.argmax(-1)
    else:
        # Drawing from what is no number fails, on a GPU for good and for everybody.
        rows = torch.where(sound[:, None], logits.float(), 0.0)
        tokens = torch.stack([_draw(row, completion) for row, completion in zip(rows, completions, strict=True)])
    return [int(token) for token in torch.where(sound, tokens, -1).tolist()]


def _draw(logits: torch.Tensor, completion: Completion) -> torch.Tensor:
    """One token, ()."""
    sampling = completion.sampling
    if sampling.presence_penalty and completion.written:
        logits = logits.clone()  # what came out of inference mode is not to be written into
        logits[torch.tensor(sorted(completion.written), device=logits.device)] -= sampling.presence_penalty
    if sampling.greedy:
        return logits.argmax()
    k = min(sampling.top_k, len(logits)) if sampling.top_k > 0 else len(logits)
    if k == len(logits) and sampling.top_p >= 1:
        likely, names = logits, torch.arange(k, device=logits.device)
    else:
        likely, names = logits.topk(k)
    probabilities = torch.softmax(likely / sampling.temperature, -1)
    if sampling.top_p < 1:  # the fewest whose sum reaches it
        before = probabilities.cumsum(-1) - probabilities
        before[0] = -1.0  # the likeliest one stays in any case
        probabilities = torch.where(before < sampling.top_p, probabilities, 0.0)
    return names[torch.multinomial(probabilities, 1, generator=completion.random)[0]]


def _join(cache: Any, other: Any, width: int) -> None:
    """Add the rows of another cache; keys and values (B, heads, T, head) become `width` long, padded on the left."""
    with torch.inference_mode():
        for mine, theirs in zip(cache.layers, other.layers, strict=True):
            if getattr(mine, "keys", None) is not None:
                mine.keys = torch.cat((_padded(mine.keys, width), _padded(theirs.keys, width)))
                mine.values = torch.cat((_padded(mine.values, width), _padded(theirs.values, width)))
            for states, more in zip(row_states(mine), row_states(theirs), strict=True):
                for number, state in states.items():
                    states[number] = state if state is None else torch.cat((state, more[number]))


def _padded(states: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(states, (0, 0, width - states.shape[2], 0))

"""Log-probabilities of options after prompts with transformers: many questions in one pass.

Options of one token each, as letters are, need no pass but that of the prompts. These are padded on the right, where
causal attention never looks, so that a question is computed as it would be alone; what they all begin with is
computed once. Longer options are continued from the keys and values of their prompt, all of them together. On a CPU
several batches are computed side by side, a thread each: small matrices gain little from being shared out.

Used by the worker process only (hf_worker.py).
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch

from medchat.backends.hf_model import HfModel, failures_told
from medchat.errors import ModelUnavailable

MIN_HEAD = 32  # tokens that are worth computing apart because all prompts begin with them
LOGIT_VALUES = 128 << 20  # that one pass gives: a row for each length, of each prompt
MOST_LANES = 4  # Python can keep no more of them busy
MOST_TOKENS = {"cpu": 512, "cuda": 16384}  # of one pass: more leave the caches of a CPU


@dataclass(frozen=True, slots=True, eq=False)
class Scoring:
    """A prompt and the options to be compared after it, as tokens. number: the order that it answers."""

    number: int
    adapter: str
    prompt: list[int]
    options: list[list[int]]

    @property
    def one_token_each(self) -> bool:
        """Whether the logits at the prompt's end say all."""
        return all(len(option) <= 1 for option in self.options)

    @property
    def tokens(self) -> int:
        """Tokens that are computed for it together."""
        if self.one_token_each:
            return len(self.prompt)
        return len(self.options) * (len(self.prompt) + max(map(len, self.options)))


class Lanes:
    """Threads that score batches of one model side by side; on a GPU there is one."""

    def __init__(self, device: torch.device) -> None:
        threads = torch.get_num_threads()
        self.n = 1 if device.type == "cuda" else min(MOST_LANES, threads)
        self._pool = ThreadPoolExecutor(self.n, "scoring", torch.set_num_threads, (threads // self.n,))

    def score(self, model: HfModel, batches: Sequence[Sequence[Scoring]]) -> list[list[list[float]] | ModelUnavailable]:
        """For each batch what score() gives, or why it failed."""
        return list(self._pool.map(lambda batch: _told(model, batch), batches))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _told(model: HfModel, batch: Sequence[Scoring]) -> list[list[float]] | ModelUnavailable:
    try:
        with failures_told(model.name):
            return score(model, batch)
    except ModelUnavailable as error:
        return error.with_traceback(None)  # which would keep what the pass had computed


def next_batch(waiting: Sequence[Scoring], model: HfModel, *, most_tokens: int) -> list[Scoring]:
    """The longest of those that can be scored together, at most so many tokens with the padding, at least one."""
    alike = [s for s in waiting if (s.adapter, s.one_token_each) == (waiting[0].adapter, waiting[0].one_token_each)]
    if not alike[0].one_token_each and _keeps_state(model):
        return alike[:1]  # what is padded on the left would go into its state
    alike.sort(key=lambda scoring: scoring.tokens, reverse=True)
    n_rows = max(1, min(most_tokens, model.cells) // alike[0].tokens)
    batch = alike[:n_rows]
    while len(batch) > 1 and len(batch) * len({len(s.prompt) for s in batch}) * model.n_vocab > LOGIT_VALUES:
        batch = batch[: len(batch) // 2]
    return batch


def score(model: HfModel, batch: Sequence[Scoring]) -> list[list[float]]:
    """Natural-log probability of each option of each, all from next_batch()."""
    prompts = [scoring.prompt for scoring in batch]
    options = [scoring.options for scoring in batch]
    return _score_tokens(model, prompts, options) if batch[0].one_token_each else _score_texts(model, prompts, options)


def narrow(cache: Any, rows: Sequence[int], width: int) -> None:
    """Keep these rows of a cache, any of them as often as it is named, and of keys and values the last columns."""
    with torch.inference_mode():
        for layer in cache.layers:
            if getattr(layer, "keys", None) is not None:
                layer.keys = layer.keys[list(rows), :, -width:]
                layer.values = layer.values[list(rows), :, -width:]
            for states in row_states(layer):
                for number, state in states.items():
                    states[number] = state if state is None else state[list(rows)]


def row_states(layer: Any) -> list[dict[int, Any]]:
    """What a layer of linear attention keeps of each row (B, ...), however long that is; of others nothing."""
    return [layer.conv_states, layer.recurrent_states] if hasattr(layer, "conv_states") else []


def _score_tokens(
    model: HfModel, prompts: Sequence[list[int]], options: Sequence[list[list[int]]]
) -> list[list[float]]:
    """The scores where every option is one token, or none."""
    n_head = _common_head(prompts)
    cache = None
    if n_head:
        cache = model.new_cache()
        positions = torch.arange(n_head)[None]
        model.forward(torch.tensor([prompts[0][:n_head]]), None, positions, cache, keep=1)
        narrow(cache, [0] * len(prompts), n_head)
    rests = [prompt[n_head:] for prompt in prompts]
    width = max(map(len, rests))
    tokens = torch.tensor([rest + [0] * (width - len(rest)) for rest in rests])  # (B, width)
    positions = torch.arange(n_head, n_head + width).expand(len(rests), width)
    ends = sorted({len(rest) - 1 for rest in rests})
    logits = model.forward(tokens, None, positions, cache, keep=torch.tensor(ends))  # (B, ends, V)
    columns = [ends.index(len(rest) - 1) for rest in rests]
    chances = torch.log_softmax(logits[torch.arange(len(rests)), columns].float(), -1)  # (B, V)
    wanted = [[option[0] if option else -1 for option in its] for its in options]
    return [
        [float(chances[row, token]) if token >= 0 else 0.0 for token in tokens_of_row]
        for row, tokens_of_row in enumerate(wanted)
    ]


def _score_texts(model: HfModel, prompts: Sequence[list[int]], options: Sequence[list[list[int]]]) -> list[list[float]]:
    """The scores where options have several tokens."""
    width = max(map(len, prompts))
    lengths = torch.tensor([[len(prompt)] for prompt in prompts])
    mask = (torch.arange(width) >= width - lengths).long()  # (B, width), padded on the left
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    tokens = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts])
    cache = model.new_cache()
    logits = model.forward(tokens, mask, positions, cache, keep=1)[:, -1]
    first = torch.log_softmax(logits.float(), -1)  # (B, V)
    totals = [[float(first[row, option[0]]) if option else 0.0 for option in its] for row, its in enumerate(options)]
    rows = [row for row, its in enumerate(options) for _ in its]
    every = [option for its in options for option in its]
    more = max(map(len, every)) - 1
    narrow(cache, rows, width)
    padded = torch.tensor([(option[:-1] + [0] * more)[:more] for option in every])  # (rows, more)
    known = (torch.arange(more) < torch.tensor([[len(option) - 1] for option in every])).long()
    positions = lengths[rows] + torch.arange(more)
    later = model.forward(padded, torch.cat((mask[rows], known), 1), positions, cache, keep=0)  # (rows, more, V)
    sums = iter(_sum_of_rest(later[place], option) for place, option in enumerate(every))
    return [[total + next(sums) for total in its] for its in totals]


def _sum_of_rest(logits: torch.Tensor, option: list[int]) -> float:
    """Log-probability of the option behind its first token; logits (T, V)."""
    if len(option) < 2:
        return 0.0
    scores = torch.log_softmax(logits[: len(option) - 1].float(), -1)
    return float(scores.gather(1, torch.tensor(option[1:], device=scores.device)[:, None]).sum())


def _common_head(prompts: Sequence[list[int]]) -> int:
    """How many tokens to compute once for all; each prompt keeps at least its last for itself."""
    if len(prompts) < 2:
        return 0
    shortest, longest = min(prompts), max(prompts)  # in the order of their tokens: what these share, all share
    limit = min(map(len, prompts)) - 1
    n_head = next((i for i in range(limit) if shortest[i] != longest[i]), limit)
    return n_head if n_head >= MIN_HEAD else 0


def _keeps_state(model: HfModel) -> bool:
    return any(row_states(layer) for layer in model.new_cache().layers)

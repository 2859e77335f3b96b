"""Questions and answers as tokens, and completions that the model in training writes."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import GenerationConfig

from medchat.backends.hf_files import read_config, shown
from medchat.backends.hf_tokens import Tokens
from medchat.catalogue import ModelSpec
from medchat.errors import ContextTooLong
from medchat.formats import render
from medchat.grounding import Grounder
from medchat.prompts import answer_request, as_answer, build_messages, case_text, is_raw
from medchat.records import Message, Request, Sampling
from train.modeling import load_tokenizer

_KEY = "7d3c1f0a9b"  # stands for an answer while a template is looked at

log = logging.getLogger(__name__)


class Encoder:
    """Questions and answers as the tokens of a base: the prompts are those that the chat gives it, to the letter.

    ends: the tokens that end an answer.
    """

    def __init__(self, spec: ModelSpec, folder: Path, grounder: Grounder | None) -> None:
        """grounder: what recognises findings for a base that is told them. Raises ModelUnavailable."""
        self.spec = spec
        self.tokens = Tokens(folder)
        self.tokenizer = load_tokenizer(folder)
        self._grounder = grounder if spec.grounded else None
        self.ends = self.tokens.ends | _config_ends(folder)
        self._end_ids = self._end_of_answer()

    def messages(self, question: str, context: str) -> tuple[Message, ...]:
        """The prompt, with what was recognised in the case for a base that is told."""
        told = self._grounder.ground(case_text(question, context)).prompt_text() if self._grounder else ""
        return build_messages(self.spec, question, context, grounding_text=told)

    def prompt(self, messages: Sequence[Message], limit: int) -> list[int] | None:
        """Tokens of the prompt; None when there are more than the limit."""
        try:
            ids = self._tokens_of(self._request(messages), "", limit)
        except ContextTooLong:
            return None
        return ids if len(ids) <= limit else None

    def answer(self, messages: Sequence[Message], prompt: Sequence[int], reasoning: str, solution: str) -> list[int]:
        """Tokens of the answer in the base's format as they follow the prompt, with what ends it."""
        return self.completion(messages, prompt, render(self.spec.answer_format, reasoning, solution))

    def completion(self, messages: Sequence[Message], prompt: Sequence[int], text: str) -> list[int]:
        """The same for the text of an answer."""
        request = self._request(messages)
        text = as_answer(request, text)
        whole = self._tokens_of(request, text, len(prompt) + len(text) + 1)
        if whole[: len(prompt)] == list(prompt):
            ids = whole[len(prompt) :]
        else:  # the tokenizer joined the end of the prompt with the beginning of the answer
            ids = self.tokenizer.encode(text, add_special_tokens=False)
        return [*ids, *self._end_ids]

    def text(self, ids: Sequence[int]) -> str:
        """What the tokens say, special ones written out, without what ends the answer."""
        kept = list(ids)
        while kept and kept[-1] in self.ends:
            kept.pop()
        return self.tokens.decode(kept)

    def _request(self, messages: Sequence[Message]) -> Request:
        return answer_request(self.spec, tuple(messages), Sampling())

    def _tokens_of(self, request: Request, written: str, n_ctx: int) -> list[int]:
        return self.tokens.prompt(
            request.messages, request.prefill + written, request.raw, n_ctx, self.spec.template_options
        )

    def _end_of_answer(self) -> list[int]:
        """The token that the chat template puts behind an answer; that which ends a text where it puts none."""
        if not is_raw(self.spec) and self.tokens.has_template:
            turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": _KEY}]
            text = str(self.tokenizer.apply_chat_template(turns, tokenize=False, **self.spec.template_options))
            behind = self.tokenizer.encode(text.rpartition(_KEY)[2], add_special_tokens=False)
            end = next((token for token in behind if token in self.ends), None)
            if end is not None:
                return [end]
        return [self.tokenizer.eos_token_id]


def _config_ends(folder: Path) -> set[int]:
    """Tokens that end an answer as config.json and generation_config.json know them."""
    named = [getattr(read_config(folder), "eos_token_id", None)]
    if (folder / "generation_config.json").is_file():
        try:
            named.append(GenerationConfig.from_pretrained(folder, local_files_only=True).eos_token_id)
        except (OSError, ValueError):
            log.warning("The generation_config.json of %s is damaged and left out.", shown(folder))
    ends: set[int] = set()
    for value in named:
        ends |= set(value) if isinstance(value, list) else {value} if isinstance(value, int) else set()
    return ends


class Written(NamedTuple):
    """A completion. complete: it ended by itself, not at the limit."""

    text: str
    complete: bool
    n_tokens: int


def write_completions(
    model: Any,
    encoder: Encoder,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    batch_size: int,
    *,
    temperature: float = 0.0,
    stop: Callable[[], bool] = lambda: False,
) -> list[Written]:
    """A completion of each prompt, likeliest words first or drawn at a temperature; as many as were done at a stop.

    The random numbers of the training are left as they are.
    """
    was_training = model.training
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))  # so that little is padded
    written: dict[int, Written] = {}
    config = _sampling(encoder, max_new_tokens, temperature)
    model.eval()
    try:
        with torch.random.fork_rng(enabled=temperature == 0), torch.no_grad(), _cached(model):
            for batch in _batches(order, batch_size):
                if stop():
                    break
                ids, mask = _padded([prompts[i] for i in batch], encoder.tokenizer.pad_token_id, model.device)
                out = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)  # (B, T + new)
                for row, i in enumerate(batch):
                    written[i] = _written(encoder, out[row, ids.shape[1] :].tolist())
    finally:
        model.train(was_training)
    return [written[i] for i in range(len(prompts)) if i in written]


@contextmanager
def _cached(model: Any) -> Iterator[None]:
    """Keys and values are kept while it writes; gradient checkpointing has no place there."""
    checkpointed = getattr(model, "is_activation_checkpointing", False)
    before, model.config.use_cache = model.config.use_cache, True
    if checkpointed:
        model.activation_checkpointing_disable()
    try:
        yield
    finally:
        model.config.use_cache = before
        if checkpointed:
            model.activation_checkpointing_enable()


def _sampling(encoder: Encoder, max_new_tokens: int, temperature: float) -> GenerationConfig:
    drawn = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
    return GenerationConfig(
        max_new_tokens=max_new_tokens,
        eos_token_id=sorted(encoder.ends),
        pad_token_id=encoder.tokenizer.pad_token_id,
        **drawn,
    )


def _padded(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids (B, T) and mask (B, T), padded on the left."""
    width = max(map(len, rows))
    ids = torch.tensor([[pad] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return ids.to(device), mask.to(device)


def _written(encoder: Encoder, ids: list[int]) -> Written:
    end = next((place for place, token in enumerate(ids) if token in encoder.ends), None)
    kept = ids if end is None else ids[:end]
    return Written(encoder.text(kept), end is not None, len(kept))


def _batches(items: Sequence[int], size: int) -> Iterable[Sequence[int]]:
    return (items[start : start + size] for start in range(0, len(items), size))

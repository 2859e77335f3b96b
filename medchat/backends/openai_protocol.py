"""OpenAI's protocol without the wire: a request as JSON, and the chunks of a streamed answer as events.

A server says in fields of their own what is reasoning: `reasoning_content` (DeepSeek, vLLM), `reasoning`
(OpenRouter, NVIDIA, newer vLLM), `reasoning_details` (OpenRouter), or marks a piece of the content as a
thought (Gemini). Of a server that sends none of these the content's kind is left to the parser.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from medchat.backends.server_errors import Server, error_of
from medchat.catalogue import Endpoint
from medchat.errors import ModelUnavailable, Withheld
from medchat.records import Done, Request, Text

CHARS_PER_TOKEN = 3
TOKENS_PER_MESSAGE = 4
_CONTINUES = ("continue_final_message", "add_generation_prompt")
_ERROR_FIELDS = frozenset("error detail title message code status".split())


def estimated_tokens(request: Request) -> int:
    """Tokens of the prompt, rather too many for English: one for each 3 characters, and 4 a message."""
    if request.raw:
        return _estimate(request.messages[-1].content + request.prefill)
    texts = [message.content for message in request.messages] + [request.prefill] * bool(request.prefill)
    return sum(_estimate(text) + TOKENS_PER_MESSAGE for text in texts)


def body_of(
    endpoint: Endpoint, request: Request, max_tokens: int, template_options: Mapping[str, Any]
) -> dict[str, Any]:
    """The request's JSON: prompt, sampling as far as it is set and taken, then the endpoint's own fields."""
    sampling = request.sampling
    body: dict[str, Any] = {"model": endpoint.model, "stream": True, "stream_options": {"include_usage": True}}
    body["max_tokens"] = max_tokens
    if endpoint.sends_sampling:
        body["temperature"] = sampling.temperature
        wanted = {"top_p": (sampling.top_p, 1.0), "top_k": (sampling.top_k, 0)}
        wanted["presence_penalty"] = (sampling.presence_penalty, 0.0)
        body |= {name: value for name, (value, off) in wanted.items() if value != off}
        if sampling.temperature > 0:
            body["seed"] = sampling.seed
    extra = {name: value for name, value in endpoint.extra.items() if name not in _CONTINUES}
    if request.raw:
        return body | {"prompt": request.messages[-1].content + request.prefill} | extra
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    if request.prefill:
        messages.append({"role": "assistant", "content": request.prefill})
        extra |= {"continue_final_message": True, "add_generation_prompt": False}
    if template_options:
        body["chat_template_kwargs"] = dict(template_options)
    return body | {"messages": messages} | extra


def _estimate(text: str) -> int:
    return math.ceil(len(text) / CHARS_PER_TOKEN)


class Reader:
    """Turns the chunks of one answer into events.

    n_prompt: the estimate, for a server that sends no usage. max_tokens: what was asked for at most.
    """

    def __init__(self, index: int, server: Server, n_prompt: int, max_tokens: int) -> None:
        self.index = index
        self.server = server
        self._n_prompt = n_prompt
        self._max_tokens = max_tokens
        self._n_chars = 0
        self._reason = ""
        self._usage: Mapping[str, Any] = {}
        self._tells_kind = False
        self._opening, self._closing = _Mark("<thought>"), _Mark("</thought>")

    def read(self, chunk: Any) -> Iterator[Text]:
        """The texts of one chunk. Raises MedChatError when it is an error."""
        fields = _object(chunk)
        choices = _list(fields.get("choices"))
        if not choices and (_ERROR_FIELDS & fields.keys() or isinstance(chunk, list)):
            raise error_of(self.server, 0, json.dumps(chunk), {})
        self._usage = _object(fields.get("usage")) or self._usage
        for choice in map(_object, choices):
            self._reason = _string(choice.get("finish_reason")) or self._reason
            # The answer to a raw prompt has no delta.
            yield from self._texts(_object(choice.get("delta")) or {"content": choice.get("text")})

    def finish(self) -> Iterator[Text | Done]:
        """What was held back, and Done. Raises ModelUnavailable when the answer came to no end."""
        yield from self._text(self._closing.rest(), "solution")
        reason = self._reason.casefold()
        host = self.server.host
        if reason.startswith(("content_filter", "safety")):
            raise Withheld(f"{host} withheld the answer (content filter); word the question in another way.")
        if reason in ("tool_calls", "function_call"):
            raise ModelUnavailable(f"{host} wanted to call a tool instead of answering; ask again.")
        if not reason and not self._n_chars:  # as llama_cpp.server does with a prompt that is too long
            raise ModelUnavailable(f"{host} broke off before the first word; ask again, more briefly if it was long.")
        if reason in ("", "error", "abort"):
            raise ModelUnavailable(f"{host} broke off the answer; ask again.")
        is_cut = reason in ("length", "max_tokens", "model_length")
        names = ("prompt_tokens", "completion_tokens", "total_tokens")
        n_prompt, n_completion, n_total = (self._usage.get(name) for name in names)
        if isinstance(n_prompt, int) and isinstance(n_completion, int) and isinstance(n_total, int):
            n_completion = max(n_completion, n_total - n_prompt)  # Gemini counts its thoughts in the total alone
        n_written = self._max_tokens if is_cut else math.ceil(self._n_chars / CHARS_PER_TOKEN)
        yield Done(
            self.index,
            "length" if is_cut else "stop",
            n_prompt if isinstance(n_prompt, int) else self._n_prompt,
            n_completion if isinstance(n_completion, int) else n_written,
        )

    def _texts(self, delta: Mapping[str, Any]) -> Iterator[Text]:
        content = delta.get("content") or delta.get("refusal") or ""
        if not isinstance(content, str):
            raise ModelUnavailable(f"{self.server.host} answered in a form that MedChat cannot read.")
        reasoning = _string(delta.get("reasoning_content")) or _string(delta.get("reasoning")) or _details(delta)
        if _is_thought(delta):
            reasoning, content = self._opening.strip(content), ""
            self._tells_kind = True
        elif content and self._opening.met:
            content = self._closing.strip(content)
        self._tells_kind = self._tells_kind or bool(reasoning)
        yield from self._text(reasoning, "reasoning")
        yield from self._text(content, "solution" if self._tells_kind else None)

    def _text(self, text: str, kind: Literal["reasoning", "solution"] | None) -> Iterator[Text]:
        if text:
            self._n_chars += len(text)
            yield Text(self.index, text, kind)


class _Mark:
    """Takes a mark away that a text in pieces may begin with."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._held: str | None = ""  # None: decided
        self.met = False

    def strip(self, piece: str) -> str:
        """The next piece, as far as it is certain."""
        if self._held is None:
            return piece
        self._held += piece
        if self._held != self._mark and self._mark.startswith(self._held):
            return ""
        held, self._held = self._held, None
        self.met = held.startswith(self._mark)
        return held.removeprefix(self._mark)

    def rest(self) -> str:
        """What was held back because it might have become the mark."""
        return self._held or ""


def _is_thought(delta: Mapping[str, Any]) -> bool:
    """Whether Gemini marks the content as a thought."""
    return _object(_object(delta.get("extra_content")).get("google")).get("thought") is True


def _details(delta: Mapping[str, Any]) -> str:
    """The readable parts of reasoning_details."""
    parts = map(_object, _list(delta.get("reasoning_details")))
    return "".join(_string(part.get("text")) or _string(part.get("summary")) for part in parts)


# What a server sends may have any shape.


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""

"""A backend that streams given texts: for demonstrations and tests, no model needed."""

import re
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from medchat.errors import ContextTooLong, ModelUnavailable
from medchat.records import Done, ModelFacts, Request, Text

MIN_ROOM = 16


class _Reply(NamedTuple):
    chunks: deque[str]
    done: Done


class ScriptedBackend:
    """Answers its k-th request with the k-th reply and begins again after the last.

    A reply that begins with the request's prefill is continued behind it. A token is a word with the
    white space before it. chunk_chars: characters that arrive together. delay_s: pause before each of
    these. fail_after: how many of them arrive before the model breaks down, None for never.
    """

    def __init__(
        self,
        replies: Sequence[str],
        *,
        chunk_chars: int = 16,
        delay_s: float = 0.0,
        fail_after: int | None = None,
        n_ctx: int = 4096,
    ) -> None:
        self._replies = list(replies)
        self._chunk_chars = chunk_chars
        self._delay_s = delay_s
        self._fail_after = fail_after
        self._n_ctx = n_ctx
        self._lock = threading.Lock()
        self._n_requests = 0

    def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
        """See Backend; the requests take turns, a chunk each."""
        running = deque(self._reply_to(index, request) for index, request in enumerate(requests))
        n_sent = 0
        while running:
            reply = running.popleft()
            if not reply.chunks:
                yield reply.done
                continue
            if n_sent == self._fail_after:
                raise ModelUnavailable("The model stopped unexpectedly; your text is kept. Please ask again.")
            time.sleep(self._delay_s)
            yield Text(reply.done.index, reply.chunks.popleft())
            n_sent += 1
            running.append(reply)

    def loglikelihoods(self, requests: Sequence[Request], options: Sequence[Sequence[str]]) -> list[list[float] | None]:
        """None for each: a script knows no probabilities."""
        return [None] * len(requests)

    def count_tokens(self, request: Request) -> int:
        """See Backend."""
        return sum(len(_words(text)) for text in (*(m.content for m in request.messages), request.prefill))

    @property
    def n_ctx(self) -> int:
        """See Backend."""
        return self._n_ctx

    def check(self) -> ModelFacts:
        """See Backend."""
        return ModelFacts("", 0.0, self._n_ctx, has_chat_template=True, memory_gb=0.0)

    def close(self) -> None:
        """See Backend."""

    def _reply_to(self, index: int, request: Request) -> _Reply:
        n_prompt = self.count_tokens(request)
        room = self._n_ctx - n_prompt
        if room < MIN_ROOM:
            raise ContextTooLong(
                f"The question and what came before it take {n_prompt} tokens; with {MIN_ROOM} for the answer that is"
                f" more than the {self._n_ctx} of this model. Shorten the question or start a new conversation."
            )
        with self._lock:
            text = self._replies[self._n_requests % len(self._replies)]
            self._n_requests += 1
        words = _words(text.removeprefix(request.prefill))
        kept = words[: min(request.sampling.max_new_tokens, room)]
        text = "".join(kept)
        size = self._chunk_chars
        chunks = deque(text[start : start + size] for start in range(0, len(text), size))
        return _Reply(chunks, Done(index, "stop" if kept == words else "length", n_prompt, len(kept)))


def _words(text: str) -> list[str]:
    """Words with the white space before them; white space at the end belongs to the last."""
    return re.findall(r"\s*\S+(?:\s+$)?", text)

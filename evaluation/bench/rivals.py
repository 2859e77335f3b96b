"""llama.cpp by other ways on the same GGUF: llama_cpp.Llama, llama_cpp.server, and a bare decode loop."""

import http.client
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import llama_cpp
import psutil

from evaluation.bench import free_port, require, serving
from evaluation.bench.load import Asked, Asker
from medchat.backends.decoding import Batch
from medchat.backends.gguf_model import GgufModel
from medchat.errors import ModelUnavailable
from medchat.records import Message, Sampling

HOST = "127.0.0.1"

Prompt = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """The model, what it is asked, and what it may use; the same for everybody."""

    gguf: Path
    prompts: Sequence[Prompt]
    max_new_tokens: int
    n_ctx: int
    threads: int

    def chat(self, number: int) -> dict[str, Any]:
        """Question `number` for llama-cpp-python's chat completion, greedy and streamed."""
        prompt = self.prompts[number % len(self.prompts)]
        messages = [{"role": message.role, "content": message.content} for message in prompt]
        return {"messages": messages, "max_tokens": self.max_new_tokens, "temperature": 0.0, "stream": True}


class Direct:
    """llama_cpp.Llama in this process. Not to be called by two threads."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._llama = llama_cpp.Llama(
            str(work.gguf), n_ctx=work.n_ctx, n_threads=work.threads, n_threads_batch=work.threads, verbose=False
        )

    def ask(self, number: int) -> Asked:
        """See Asker."""
        stream = _Stream()
        for chunk in self._llama.create_chat_completion(**self._work.chat(number)):
            stream.take(chunk)
        return stream.asked(self._work.max_new_tokens)

    def close(self) -> None:
        """Free the model."""
        self._llama.close()


@contextmanager
def server(work: Work) -> Iterator[Asker]:
    """llama_cpp.server in a process of its own, as one who asks it; any number of threads may.

    Raises MedChatError when its packages are missing, ModelUnavailable when it fails.
    """
    require("sse_starlette", "what llama_cpp.server needs")
    require("starlette_context", "what llama_cpp.server needs")
    port = free_port()
    threads = str(work.threads)
    command = [
        "-m", "llama_cpp.server", "--model", str(work.gguf), "--host", HOST, "--port", str(port),
        "--n_ctx", str(work.n_ctx), "--n_threads", threads, "--n_threads_batch", threads,
        "--interrupt_requests", "false",
    ]  # fmt: skip

    def ask(number: int) -> Asked:
        stream = _Stream()
        connection = http.client.HTTPConnection(HOST, port, timeout=600)
        connection.request(
            "POST", "/v1/chat/completions", json.dumps(work.chat(number)), {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        if response.status != 200:
            raise ModelUnavailable(f"llama_cpp.server answered {response.status}.")
        for line in response:
            if line.startswith(b"data: {"):
                stream.take(json.loads(line.removeprefix(b"data: ")))
        connection.close()
        return stream.asked(work.max_new_tokens)

    with serving(command, f"http://{HOST}:{port}/v1/models"):
        yield ask


class _Stream:
    """The chunks of one chat completion."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._first = self._last = 0.0
        self._n_texts = 0
        self._reason = ""

    def take(self, chunk: Any) -> None:
        """One chunk as it comes."""
        if "choices" not in chunk:
            raise ModelUnavailable("llama_cpp.server broke off an answer.")
        choice = chunk["choices"][0]
        if choice["delta"].get("content"):
            self._last = time.monotonic()
            self._first = self._first or self._last
            self._n_texts += 1
        self._reason = choice["finish_reason"] or self._reason

    def asked(self, max_new_tokens: int) -> Asked:
        """The whole: a chunk is a token, but for characters of several tokens in what was cut at its limit."""
        if not self._reason or not self._n_texts:
            raise ModelUnavailable("A stream of llama-cpp-python ended without an answer.")
        tokens = max_new_tokens if self._reason == "length" else self._n_texts
        return Asked(self._began, self._first, self._last, tokens)


@dataclass(slots=True)
class _Sequence:
    slot: int
    left: list[int] = field(default_factory=list)  # tokens to compute
    position: int = 0
    n_new: int = 0


class Bare:
    """llama.cpp's batched decoding with nothing around it: greedy tokens of several sequences, no text.

    It runs with the same context settings as MedChat's engine, and always knows its next prompt.
    """

    def __init__(self, work: Work, sequences: int) -> None:
        self._work = work
        self._model = GgufModel(
            work.gguf, threads=work.threads, slots=sequences, n_ctx=work.n_ctx,
            available_bytes=psutil.virtual_memory().available,
        )  # fmt: skip
        self._prompts = [self._model.prompt(prompt, "", False) for prompt in work.prompts]
        self._sampler = self._model.sampler(Sampling())
        self._sequences = [_Sequence(slot) for slot in range(sequences)]
        self._batch = Batch(self._model.chunk + sequences)
        self._next = 0

    def run(self, seconds: float) -> float:
        """Tokens written a second in so many seconds."""
        began = time.monotonic()
        n_tokens = 0
        for sequence in self._sequences:
            self._begin(sequence)
        while time.monotonic() - began < seconds:
            n_tokens += self._step()
        return n_tokens / (time.monotonic() - began)

    def close(self) -> None:
        """Free the model."""
        llama_cpp.llama_sampler_free(self._sampler)
        self._model.close()

    def _begin(self, sequence: _Sequence) -> None:
        llama_cpp.llama_memory_seq_rm(self._model.memory, sequence.slot, -1, -1)
        sequence.left = list(self._prompts[self._next % len(self._prompts)])
        sequence.position = sequence.n_new = 0
        self._next += 1

    def _step(self) -> int:
        """One pass over the model; the number of tokens of answers that it gave."""
        self._batch.clear()
        room = self._model.chunk
        rows: list[tuple[_Sequence, int]] = []
        for sequence in sorted(self._sequences, key=lambda s: len(s.left) > 1):
            take = sequence.left[:room] if len(sequence.left) > 1 else sequence.left
            if not take:
                break
            room -= len(take) if len(sequence.left) > 1 else 0
            row = self._batch.add(take, sequence.position, sequence.slot)
            sequence.position += len(take)
            sequence.left = sequence.left[len(take) :]
            if not sequence.left:
                rows.append((sequence, row))
        if code := llama_cpp.llama_decode(self._model.context, self._batch.struct):
            raise ModelUnavailable(f"llama.cpp could not decode (code {code}).")
        n_tokens = 0
        for sequence, row in rows:
            token = llama_cpp.llama_sampler_sample(self._sampler, self._model.context, row)
            ends = llama_cpp.llama_vocab_is_eog(self._model.vocab, token)
            n_tokens += not ends
            sequence.n_new += 1
            if ends or sequence.n_new >= self._work.max_new_tokens:
                self._begin(sequence)
            else:
                sequence.left = [token]
        return n_tokens

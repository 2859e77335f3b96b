"""Servers that speak OpenAI's protocol: a fake one that answers as told, and llama_cpp.server with a real model."""

import json
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, NamedTuple, cast

from evaluation.bench import free_port, serving
from medchat.backends import Backend
from medchat.backends.openai_api import OpenAiBackend
from medchat.catalogue import Endpoint
from medchat.records import Message, Request, Sampling

HANG: Literal["hang"] = "hang"  # send nothing more until the client has gone, and note that it has
STREAM = "text/event-stream"


class Asked(NamedTuple):
    """What came in. headers: by lower-case name."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """One response: its parts in turn, each sent at once. silent: not even a status is sent.

    cut: the connection ends without the end of the body.
    """

    parts: Sequence[str] = ()
    status: int = 200
    content_type: str = STREAM
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    silent: bool = False


def sse(*events: object) -> list[str]:
    """Events as a server streams them: objects as JSON, texts as they are."""
    texts = (event if isinstance(event, str) else json.dumps(event, ensure_ascii=False) for event in events)
    return [text if text == HANG else f"data: {text}\n\n" for text in texts]


def delta(reason: str | None = None, **fields: object) -> dict[str, Any]:
    """A chunk of a chat completion."""
    return {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": fields, "finish_reason": reason}]}


def usage(prompt: int, completion: int) -> dict[str, Any]:
    """The chunk that counts the tokens."""
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {"object": "chat.completion.chunk", "choices": [], "usage": counts}


def answer(text: str = "Yes.") -> Reply:
    """A whole short answer."""
    return Reply(sse(delta(role="assistant", content=""), delta(content=text), delta("stop"), usage(7, 2), "[DONE]"))


class FakeServer:
    """A server on loopback; each request takes the next reply, the last one stays.

    asked: what came in. gone: gets an item when a client has left a reply that hangs.
    """

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.gone: SimpleQueue[str] = SimpleQueue()
        self._replies: deque[Reply] = deque([answer()])
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                fake.handle(self)

            def do_POST(self) -> None:
                fake.handle(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64  # a batch connects all at once

        self._server = Listener(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def reply(self, *replies: Reply) -> None:
        """What to answer from now on."""
        self._replies = deque(replies)

    def next_reply(self, asked: Asked) -> Reply:
        """Note what came in; the answer to it."""
        self.asked.append(asked)
        return self._replies.popleft() if len(self._replies) > 1 else self._replies[0]

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        size = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(size) or b"{}")
        reply = self.next_reply(Asked(handler.path, {k.lower(): v for k, v in handler.headers.items()}, body))
        handler.close_connection = True
        if reply.silent:
            self._hang(handler.connection)
            return
        handler.send_response(reply.status)
        for name, value in {
            "Content-Type": reply.content_type,
            "Transfer-Encoding": "chunked",
            **reply.headers,
        }.items():
            handler.send_header(name, value)
        handler.end_headers()
        for part in reply.parts:
            if part == HANG:
                self._hang(handler.connection)
                return
            data = part.encode()
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        if not reply.cut:
            handler.wfile.write(b"0\r\n\r\n")

    def _hang(self, connection: socket.socket) -> None:
        if select.select([connection], [], [], 20)[0] and not connection.recv(1):
            self.gone.put("gone")

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def fake_server() -> Iterator[FakeServer]:
    """A FakeServer for a while."""
    server = FakeServer()
    try:
        yield server
    finally:
        server.close()


@contextmanager
def real_server(gguf: Path, n_ctx: int = 4096) -> Iterator[str]:
    """llama_cpp.server with the model in a process of its own; gives its base URL."""
    port = free_port()
    command = [
        "-m", "llama_cpp.server", "--model", str(gguf), "--host", "127.0.0.1", "--port", str(port),
        "--n_ctx", str(n_ctx), "--n_threads", "1", "--n_threads_batch", "1", "--interrupt_requests", "false",
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}/v1"
    with serving(command, f"{url}/models"):
        yield url


def no_secret(name: str) -> str:
    """The value of a variable in an empty environment."""
    return ""


def openai_subject(base_url: str, cues: Mapping[str, str], n_ctx: int = 4096) -> Callable[..., Any]:
    """Makes a backend on the server of a chain model, and requests that it answers with the given texts.

    cues: answer -> the text after which the model gives it. The server cannot continue an answer of a chat, so
    the prompts are raw. Options go into Sampling.
    """

    def make(*answers: str, **sampling: Any) -> tuple[Backend, list[Request]]:
        backend = OpenAiBackend(Endpoint(base_url, "chain"), n_ctx, no_secret)
        requests = [
            Request((Message("user", f"Question {number}?"),), Sampling(**sampling), prefill=cues[text], raw=True)
            for number, text in enumerate(answers)
        ]
        return cast(Backend, backend), requests

    return make

"""Models behind a server that speaks OpenAI's protocol, by the openai package: connections, threads, failures."""

import json
import logging
import queue
import re
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from medchat.backends.openai_protocol import Reader, body_of, estimated_tokens
from medchat.backends.server_errors import READ_CHARS, Server, error_of, no_answer, no_client
from medchat.catalogue import Endpoint
from medchat.errors import (
    NAME_CHARS,
    AccessDenied,
    ContextTooLong,
    InvalidInput,
    MedChatError,
    ModelUnavailable,
    one_of,
)
from medchat.records import Done, ModelFacts, Request, Text
from medchat.settings import LOOPBACK

if TYPE_CHECKING:
    import ssl

    import httpx2
    import openai

CONNECT_TIMEOUT_S = 10.0
SILENCE_TIMEOUT_S = 60.0
HEARTBEAT_S = 0.2
MAX_AT_ONCE = 16  # connections of one batch; the other requests wait
MIN_ROOM = 16
CANNOT_CONTINUE = "This server cannot continue an answer; regenerate it."
CLOSED = "The model was shut down; start MedChat again."

# The library adds others: about this machine, and whatever OPENAI_* variables say, which is for OpenAI alone.
_HEADERS = frozenset("host accept accept-encoding connection content-type content-length user-agent".split())
# Fields that a server may refuse by name, and what to do then: see _Call._body.
_REFUSALS = {"stream_options": re.compile("stream_options"), "max_tokens": re.compile("max_completion_tokens")}


class OpenAiBackend:
    """A model behind an endpoint.

    n_ctx: tokens that prompt and answer may have together. secret: gives the value of a variable that holds a
    key; it is asked for each request. template_options go to the server's chat template, where it has one.
    silence_timeout_s: between two bytes. Where `endpoint.extra` sets continue_final_message (vLLM's name for
    it) a cut answer can go on; elsewhere a prefill is refused, but for raw prompts.

    Where a server sends no usage the prompt's tokens are those of count_tokens; the completion's are estimated
    from its characters too, or are as many as were allowed when it was cut at the limit.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        n_ctx: int,
        secret: Callable[[str], str],
        template_options: Mapping[str, Any] = {},
        *,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        silence_timeout_s: float = SILENCE_TIMEOUT_S,
    ) -> None:
        self._endpoint = endpoint
        self._n_ctx = n_ctx
        self._secret = secret
        self._template_options = dict(template_options)
        self._timeouts = (connect_timeout_s, silence_timeout_s)
        self._server = Server(endpoint.host, endpoint.model, endpoint.key_variable)
        self._refused: set[str] = set()  # fields that this server does not take
        self._lock = threading.Lock()
        self._running: set[_Call] = set()
        self._closed = False

    def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
        """See Backend; each request has a connection of its own."""
        events: queue.SimpleQueue[tuple[int, Text | Done | MedChatError | None]] = queue.SimpleQueue()
        waiting = deque([self._call(index, request, events) for index, request in enumerate(requests)])
        running: dict[int, _Call] = {}
        try:
            while waiting or running:
                while waiting and len(running) < MAX_AT_ONCE:
                    call = waiting.popleft()
                    running[call.index] = call
                    self._start(call)
                try:
                    index, event = events.get(timeout=HEARTBEAT_S)
                except queue.Empty:
                    yield Text(next(iter(running)), "")
                    continue
                if event is None:
                    if index in running:  # its thread ended without a word
                        raise ModelUnavailable(f"{self._server.host} gave no answer; ask again.")
                    continue
                if isinstance(event, MedChatError):
                    raise ModelUnavailable(CLOSED) if self._closed else event
                if isinstance(event, Done):
                    del running[index]
                yield event
        finally:
            for call in running.values():
                call.cut()

    def loglikelihoods(self, requests: Sequence[Request], options: Sequence[Sequence[str]]) -> list[list[float] | None]:
        """None for each: the protocol has no way to ask for it."""
        return [None] * len(requests)

    def count_tokens(self, request: Request) -> int:
        """An estimate, rather too high for English: a token for each 3 characters, and 4 a message."""
        return estimated_tokens(request)

    @property
    def n_ctx(self) -> int:
        """See Backend."""
        return self._n_ctx

    def check(self) -> ModelFacts:
        """See Backend: the context that it was given, for no server says more.

        Some servers answer to any name with the model they have, so the list of their models is what can be trusted.
        Raises InvalidInput when the model is not in it; AccessDenied, ModelUnavailable or another MedChatError
        when the server does not answer within 10 s.
        """
        # Google's puts models/ before each name.
        listed = [name.removeprefix("models/") for name in self._listed()]
        wanted = self._endpoint.model
        if listed and wanted.removeprefix("models/") not in listed:
            raise InvalidInput(f"{self._server.host} has no model {wanted[:NAME_CHARS]!r}; it has {one_of(listed)}.")
        return ModelFacts("", 0.0, self._n_ctx, has_chat_template=True, memory_gb=0.0)

    def _listed(self) -> list[str]:
        """The names of the models that the server says it has."""
        connection = self._connection((self._timeouts[0], CONNECT_TIMEOUT_S))
        failure: MedChatError | None = None
        with connection:
            try:
                listed: Any = connection.client.get("/models", cast_to=object)
            except _library_errors() as error:
                failure = _failure(self._server, error)
        if failure:
            raise failure  # out here, so that it does not carry the library's exception with its headers along
        models = listed.get("data") if isinstance(listed, dict) else None
        if not isinstance(models, list):
            raise ModelUnavailable(f"{self._server.host} does not list its models as OpenAI does; check the base URL.")
        return [model["id"] for model in models if isinstance(model, dict) and isinstance(model.get("id"), str)]

    def close(self) -> None:
        """See Backend; answers that are still being written end with ModelUnavailable."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        for call in running:
            call.cut()

    def _call(self, index: int, request: Request, events: "queue.SimpleQueue[Any]") -> "_Call":
        n_prompt = self.count_tokens(request)
        room = self._n_ctx - n_prompt
        if room < MIN_ROOM:
            raise ContextTooLong(
                f"The question and what came before it take {n_prompt} tokens by estimate; with {MIN_ROOM} for the"
                f" answer that is more than the {self._n_ctx} of this model. Shorten the question or start a new"
                " conversation."
            )
        if request.prefill and not request.raw and not self._endpoint.extra.get("continue_final_message"):
            raise InvalidInput(CANNOT_CONTINUE)
        max_tokens = min(request.sampling.max_new_tokens, room)
        body = body_of(self._endpoint, request, max_tokens, self._template_options)
        path = "/completions" if request.raw else "/chat/completions"
        reader = Reader(index, self._server, n_prompt, max_tokens)
        return _Call(self._connection(self._timeouts), path, body, reader, self._refused, events)

    def _start(self, call: "_Call") -> None:
        with self._lock:
            if self._closed:
                raise ModelUnavailable(CLOSED)
            self._running = {other for other in self._running if other.alive} | {call}
            call.start()

    def _connection(self, timeouts: tuple[float, float]) -> "_Connection":
        """A connection with the key of this moment. Raises AccessDenied, or InvalidInput for the address."""
        endpoint = self._endpoint
        scheme, is_near = urlsplit(endpoint.base_url).scheme, endpoint.host in LOOPBACK
        if scheme not in ("http", "https") or not urlsplit(endpoint.base_url).hostname:
            raise InvalidInput("The base URL must begin with https:// (on this machine http:// will do).")
        if endpoint.clear_text_fault:
            raise InvalidInput(endpoint.clear_text_fault)
        name = endpoint.key_variable
        key = self._secret(name).strip() if name else ""
        if name and not key:
            raise AccessDenied(f"Set {name} in the environment and start MedChat again.")
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise AccessDenied(f"What {name} holds cannot be a key; correct it and start MedChat again.")
        return _Connection(endpoint.base_url, key, timeouts, use_proxy=not is_near)


class _Connection:
    """One client for one request; cut() from another thread ends it wherever it is."""

    def __init__(self, base_url: str, key: str, timeouts: tuple[float, float], *, use_proxy: bool) -> None:
        self._base_url = base_url
        self._key = key
        self._timeouts = timeouts
        self._use_proxy = use_proxy
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._cut = False
        self.client: openai.OpenAI  # from __enter__ on

    def __enter__(self) -> "_Connection":
        """Raises ModelUnavailable when the proxy or the certificates that the environment names cannot be used."""
        import httpx2

        openai = _openai()
        fault = ""
        try:
            self._http = self._http_client()
        except (ImportError, ValueError, OSError, httpx2.InvalidURL) as error:
            fault = no_client(error)
        if fault:
            raise ModelUnavailable(fault)  # out here: the library's exception may hold the proxy's password
        self.client = openai.OpenAI(
            api_key="-", organization="", project="", base_url=self._base_url, http_client=self._http, max_retries=0
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def _http_client(self) -> "httpx2.Client":
        import httpx2

        connect_s, silence_s = self._timeouts
        return httpx2.Client(
            verify=_ssl_context(),
            timeout=httpx2.Timeout(silence_s, connect=connect_s),
            limits=httpx2.Limits(max_keepalive_connections=0),  # asking again must not meet one that the server closes
            follow_redirects=False,  # the prompt goes to the host that was shown, and to no other
            trust_env=self._use_proxy,
            event_hooks={"request": [self._prepare]},
        )

    def cut(self) -> None:
        """Whoever reads sees the end of the stream; the server sees it too."""
        with self._lock:
            self._cut = True
            self._shut()

    def _prepare(self, request: "httpx2.Request") -> None:
        for name in [name for name in request.headers if name.lower() not in _HEADERS]:
            del request.headers[name]
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        request.extensions["trace"] = self._trace

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
                if self._cut:
                    self._shut()

    def _shut(self) -> None:
        # Closing it would not wake a thread that waits in recv; and TLS must not be asked, another thread is in it.
        if self._socket is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Call:
    """One request in a thread of its own; its events, then None, go to the queue."""

    def __init__(
        self,
        connection: _Connection,
        path: str,
        body: dict[str, Any],
        reader: "Reader",
        refused: set[str],
        events: "queue.SimpleQueue[Any]",
    ) -> None:
        self.index = reader.index
        self._connection = connection
        self._path = path
        self._body_fields = body
        self._reader = reader
        self._refused = refused
        self._events = events
        self._thread = threading.Thread(target=self._run, name="openai-request", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether it is still on its way."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Send the request."""
        self._thread.start()

    def cut(self) -> None:
        """Leave off at once; what still comes is for nobody."""
        self._connection.cut()

    def _run(self) -> None:
        try:
            with self._connection:
                for chunk in self._open():
                    for text in self._reader.read(chunk):
                        self._events.put((self.index, text))
                for event in self._reader.finish():
                    self._events.put((self.index, event))
        except MedChatError as error:
            self._events.put((self.index, error))
        except _library_errors() as error:
            self._events.put((self.index, _failure(self._reader.server, error)))
        finally:
            self._events.put((self.index, None))

    def _open(self) -> Iterator[Any]:
        """The chunks of the answer as JSON; asked again without a field that the server refuses by name."""
        openai = _openai()
        while True:
            try:
                stream = self._connection.client.post(
                    self._path, body=self._body(), cast_to=object, stream=True, stream_cls=openai.Stream[object]
                )
                break
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                said = error.response.text[:READ_CHARS]
                refused = {name for name, words in _REFUSALS.items() if words.search(said)} - self._refused
                if not refused:
                    raise
                self._refused |= refused
        kind = stream.response.headers.get("content-type", "")
        if kind.startswith(("text/html", "application/json", "application/problem+json")):
            stream.response.read()
            raise error_of(self._reader.server, 200, stream.response.text, {})
        return iter(stream)

    def _body(self) -> dict[str, Any]:
        body = dict(self._body_fields)
        if "stream_options" in self._refused:
            body.pop("stream_options", None)
        if "max_tokens" in self._refused and "max_tokens" in body:  # OpenAI's own models know it by another name
            body["max_completion_tokens"] = body.pop("max_tokens")
        return body


def _library_errors() -> tuple[type[Exception], ...]:
    """What the openai package may raise for a server's doing."""
    import httpx2

    return (_openai().OpenAIError, httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL, ValueError)


def _failure(server: Server, error: Exception) -> MedChatError:
    """The library's exception in plain words."""
    openai = _openai()
    if isinstance(error, openai.APIStatusError):
        headers = {name.lower(): value for name, value in error.response.headers.items()}
        return error_of(server, error.status_code, error.response.text, headers)
    if isinstance(error, json.JSONDecodeError):
        return error_of(server, 0, error.doc, {})
    if isinstance(error, openai.APIError) and not isinstance(error, openai.APIConnectionError):
        return error_of(server, 0, json.dumps(error.body), {})
    return no_answer(server, error)


@cache
def _openai() -> Any:
    """The openai package, imported when a model of a server is first used."""
    import openai

    logging.getLogger("openai").setLevel(logging.WARNING)  # below that it logs prompts
    return openai


@cache
def _ssl_context() -> "ssl.SSLContext":
    import httpx2

    return httpx2.create_ssl_context()

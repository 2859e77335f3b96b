"""The web server around the page: who may speak to it, what it says about itself, and how it ends."""

import asyncio
import functools
import json
import logging
import secrets
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse, JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medchat import __version__, sign_in
from medchat.accounts import Accounts
from medchat.backends import Backends
from medchat.catalogue import Catalogue
from medchat.chat import ChatService
from medchat.errors import MedChatError, StoreError
from medchat.grounding_fit import GroundingLoader
from medchat.hub import Downloads
from medchat.intake import models_in, studies_on, take_in
from medchat.jobs import Jobs
from medchat.machine import this_machine
from medchat.panel import PanelService
from medchat.settings import ASSETS, LOOPBACK, Settings, secret
from medchat.store import Store
from medchat.ui import data_report, evaluations_report, files, human_files, layout
from medchat.ui.common import App, places
from train.launch import launch

MAX_BODY_BYTES = 8 * 1024 * 1024  # a file of 5 MB in base64
GRACE_S = 1  # every open page keeps a stream open: waiting longer would only delay the end
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
WILDCARDS = ("0.0.0.0", "::", "")
UNLOGGED = (
    "/assets/",
    "/static/",
    *(f"/{name}" for name in layout.SCRIPTS),
    "/theme.css",
    "/favicon.ico",
    "/gradio_api/heartbeat",
    "/gradio_api/startup-events",
)

log = logging.getLogger("medchat.web")


def compose(settings: Settings) -> App:
    """The services of one process. Raises NotFound when settings.model is not known."""
    catalogue = Catalogue(settings.models_dir, settings.own_models_file)
    default = catalogue.resolve(settings.model)
    store = Store(settings.db_url)
    backends = Backends(settings.threads, settings.slots, settings.n_ctx, settings.precision)
    grounding = GroundingLoader(settings.data_dir / "cache")
    chat = ChatService(store, catalogue, backends.get, grounding, settings)
    panel = PanelService(store, catalogue, backends.get, grounding, settings)
    downloads = Downloads(settings.models_dir, lambda: secret("HF_TOKEN"))
    accounts = Accounts(store, settings)
    jobs = jobs_of(settings, store, catalogue)
    return App(
        settings, store, catalogue, default, chat, backends, grounding, downloads, this_machine, accounts, panel, jobs
    )  # fmt: skip


def jobs_of(settings: Settings, store: Store, catalogue: Catalogue) -> Jobs:
    """The jobs of the data folder; what they find out goes into the store and the catalogue."""
    return Jobs(
        settings.runs_dir,
        functools.partial(launch, settings=settings),
        lambda run_dir: take_in(run_dir, store, catalogue),
        needed_by=lambda run_dir: [*models_in(run_dir, catalogue), *studies_on(run_dir, store)],
        grace_s=settings.stop_grace_s,
    )


def health(app: App) -> dict[str, str]:
    """The state of each part; "failed" for one that the site cannot do without."""
    try:
        app.store.ping()
        store = "ok"
    except StoreError:
        store = "failed"
    grounding = "loading" if not app.grounding.ready else "ready" if app.grounding.get(0) else "off"
    return {"app": "ok", "version": __version__, "store": store, "engine": app.backends.engine_status().state,
            "grounding": grounding}  # fmt: skip


def close(app: App) -> None:
    """End what runs, saved, and free what is held; calling it again does nothing."""
    app.chat.close()
    app.panel.close()
    app.jobs.close()
    app.downloads.close()
    app.backends.close()
    app.store.close()


def build_web(app: App) -> FastAPI:
    """The whole site: the page, /healthz, the sign-in, and the guards before them."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(close, app)

    web = FastAPI(title="MedChat", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)

    @web.get("/healthz")
    def healthz() -> JSONResponse:
        state = health(app)
        return JSONResponse(state, 503 if "failed" in state.values() else 200)

    for name in layout.SCRIPTS:
        web.add_api_route(f"/{name}", functools.partial(script, name), methods=["GET"], response_class=FileResponse)
    files.add_routes(web, app)
    evaluations_report.add_routes(web, app)
    human_files.add_routes(web, app)
    data_report.add_routes(web, app)

    sign_in.add_to(web, app.accounts, app.settings)
    web.add_middleware(CORSMiddleware, allow_origins=[])  # with one in place Gradio does not answer foreign origins
    web.add_middleware(Guard, settings=app.settings)
    web.add_middleware(Stamp, settings=app.settings)
    page = layout.build(app)
    page.queue(default_concurrency_limit=None, max_size=256, api_open=False)
    gr.mount_gradio_app(web, page, path="/", **layout.mount_options())
    mounted = next(route.app for route in web.routes if isinstance(route, Mount))
    mounted.iterators = Iterators()  # type: ignore[attr-defined]
    return web


def script(name: str) -> FileResponse:
    """One of the page's scripts."""
    return FileResponse(ASSETS / name, media_type="text/javascript")


class Iterators(dict[str, Any]):
    """Gradio's running generators by event. Cancelling one that just ended would fail in Gradio without this."""

    def __delitem__(self, key: str) -> None:
        self.pop(key, None)


class Guard:
    """Refuses unknown Host names, writes from foreign pages, and bodies that are too large.

    A page elsewhere could otherwise make the browser on this machine talk to the app.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._names = {*LOOPBACK, settings.host.lower(), *(name.lower() for name in settings.allowed_hosts)}
        self._names -= set(WILDCARDS)
        self._proxied = {f"https://{name.lower()}" for name in settings.allowed_hosts}
        self._any_address = settings.host in WILDCARDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refusal = self._refusal(scope)
            if refusal:
                status, reason = refusal
                await PlainTextResponse(reason + "\n", status)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        if not self._is_known(headers.get("host", ""), scope):
            return 400, "This MedChat does not answer to that host name. Its owner can add it to MEDCHAT_ALLOWED_HOSTS."
        if scope["method"] in SAFE_METHODS:
            return None
        if not self._is_own_page(headers):
            return 403, "This request comes from another site and was refused."
        length = headers.get("content-length", "")
        if not length.isdigit() and "transfer-encoding" in headers:
            return 411, "The request does not tell its length."
        if length.isdigit() and int(length) > MAX_BODY_BYTES:
            return 413, f"The request is too large; {MAX_BODY_BYTES // 1024**2} MiB are the limit."
        return None

    def _is_known(self, host: str, scope: Scope) -> bool:
        name = _host_name(f"//{host}")
        # Listening on every address, it also answers to the one that the request came in on: an
        # address, unlike a name, cannot be made to point here by somebody else.
        own = scope.get("server") or ("", 0)
        return name in self._names or (self._any_address and bool(name) and name == own[0])

    def _is_own_page(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        if origin.partition("://")[2] == headers.get("host", ""):
            return True
        # A proxy may have put another name into Host.
        return origin in self._proxied


def _host_name(url: str) -> str:
    """The lower-case name or address in a URL; empty when there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


class Stamp:
    """Puts security headers and a nonce on responses, and logs one line a request."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._on_space = bool(settings.space_id)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.monotonic()
        nonce = secrets.token_hex(16)
        seen: dict[str, Any] = {"status": 500}
        is_page = scope["path"] == "/" and scope["method"] == "GET"
        if is_page:  # its scripts get the nonce: it must not arrive here compressed
            kept = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
            scope = {**scope, "headers": kept}
        page: list[bytes] = []

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
                self._add_headers(MutableHeaders(scope=message), scope, nonce)
                if is_page:
                    seen["start"] = message
                    return
            elif is_page and message["type"] == "http.response.body":
                page.append(message.get("body", b""))
                if message.get("more_body"):
                    return
                message = {"type": "http.response.body", "body": _with_nonce(b"".join(page), nonce)}
                MutableHeaders(scope=seen["start"])["content-length"] = str(len(message["body"]))
                await send(seen["start"])
            await send(message)

        try:
            await self._app(scope, receive, stamped)
        finally:
            if not scope["path"].startswith(UNLOGGED):
                took_ms = round((time.monotonic() - begun) * 1000, 1)
                fields = {"method": scope["method"], "path": scope["path"], "status": seen["status"], "ms": took_ms}
                log.info("request", extra={"request_id": nonce[:8], **fields})

    def _add_headers(self, headers: MutableHeaders, scope: Scope, nonce: str) -> None:
        headers["content-security-policy"] = content_security_policy(nonce, self._on_space)
        headers["x-content-type-options"] = "nosniff"
        headers["referrer-policy"] = "same-origin"  # with none at all a form of ours would come from nowhere
        headers["permissions-policy"] = "camera=(), microphone=(), geolocation=(), payment=(), usb=()"
        headers["cross-origin-resource-policy"] = "same-origin"
        headers["x-accel-buffering"] = "no"  # a proxy that collects a stream would hold the words back
        if not self._on_space:
            headers["x-frame-options"] = "DENY"
            headers["cross-origin-opener-policy"] = "same-origin"
        if not scope["path"].startswith(UNLOGGED):
            headers["cache-control"] = "no-store"


def content_security_policy(nonce: str, on_space: bool) -> str:
    """What the page may load: only from here, and only scripts that were served with it.

    Gradio compiles its templates in the browser ('unsafe-eval') and sets styles on elements.
    """
    framed_by = "'self' https://huggingface.co" if on_space else "'none'"
    return (
        f"default-src 'none'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; manifest-src 'self'; "
        f"base-uri 'self'; form-action 'self'; frame-ancestors {framed_by}"
    )


def _with_nonce(page: bytes, nonce: str) -> bytes:
    # Without quotation marks: the same letters may stand inside a script's own string.
    return page.replace(b"<script", b"<script nonce=" + nonce.encode())


class JsonLines(logging.Formatter):
    """One JSON object a record, with what was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        known = logging.makeLogRecord({}).__dict__.keys() | {"message", "asctime", "taskName", "color_message"}
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage().strip(),
        } | {name: value for name, value in record.__dict__.items() if name not in known}
        if record.exc_info and record.exc_info[0]:
            # The message of an exception may quote what somebody typed: its kind and place must do.
            line |= {"error": record.exc_info[0].__name__, "at": places(record.exc_info[1])}
        return json.dumps(line, ensure_ascii=False, default=str)


def log_as_json() -> None:
    """Sends every log to stderr as JSON lines."""
    stream = logging.StreamHandler(sys.stderr)
    stream.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[stream], force=True)
    threading.excepthook = lambda bug: log.error("bug", exc_info=bug.exc_value)
    # That open pages lose their stream when the server ends is no error.
    logging.getLogger("uvicorn.error").addFilter(_is_no_cut_stream)
    for noisy in ("httpx", "alembic", "asyncio", "uvicorn", "matplotlib"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _is_no_cut_stream(record: logging.LogRecord) -> bool:
    return not (record.exc_info and record.exc_info[0] is asyncio.CancelledError)


def serve(app: App, listener: socket.socket, on_ready: Callable[[], None]) -> None:
    """Serves until a signal ends it; on_ready is called when the site answers.

    Raises RunError when there can be no folder for the jobs.
    """
    app.jobs.start()

    def ready() -> None:
        on_ready()
        threading.Thread(target=warm, args=(app,), name="warm", daemon=True).start()

    Server(build_web(app), app, ready).run(sockets=[listener])


def warm(app: App) -> None:
    """Loads the model that answers at first, so that the first question need not wait for it."""
    try:
        _ = app.backends.get(app.default).n_ctx
    except MedChatError as error:
        log.warning("model not loaded", extra={"model": app.default.id, "reason": str(error)})


class Server(uvicorn.Server):
    """Uvicorn that says when it answers, and lets answers be saved before it closes connections."""

    def __init__(self, web: FastAPI, app: App, on_ready: Callable[[], None]) -> None:
        config = uvicorn.Config(
            web, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=GRACE_S, ws="none",
            proxy_headers=False,  # it would believe what anybody on this machine says to have forwarded
        )  # fmt: skip
        super().__init__(config)
        self._app = app
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await asyncio.to_thread(self._app.chat.close)
        await asyncio.to_thread(self._app.panel.close)
        await super().shutdown(sockets)

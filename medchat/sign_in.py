"""Signing in and out: the routes, and the door that everything else is behind."""

from collections.abc import Callable
from urllib.parse import urlencode

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from medchat.accounts import SIGNED_OUT_WORDS, Accounts
from medchat.errors import MedChatError, StoreError
from medchat.settings import ASSETS, Settings
from medchat.sign_in_page import (
    CALLBACK,
    HUB,
    PAGE,
    START,
    STYLE,
    address,
    let_in,
    let_out,
    moved,
    page_response,
    safe_next,
)

OPEN = frozenset({("GET", "/healthz"), ("GET", STYLE), ("GET", PAGE), ("POST", PAGE)})
OPEN_ON_SPACES = frozenset({("GET", HUB), ("GET", CALLBACK)})
MAX_FORM_BYTES = 16 * 1024  # anybody may send one
MOST_AT_ONCE = 4  # attempts wait for one another: they must not take the threads of those who are in


def add_to(web: FastAPI, accounts: Accounts, settings: Settings) -> None:
    """Puts the door before the whole site, and the ways through it beside it."""
    _add_routes(web, accounts, settings)
    if accounts.with_hub:
        from medchat import hub_sign_in  # its libraries are for Spaces alone

        hub_sign_in.add_routes(web, accounts, settings)
    web.add_middleware(Door, accounts=accounts)
    web.add_exception_handler(StoreError, _unavailable)


class Door:
    """Lets in who is signed in. Others get the sign-in page for the page, and a 401 for all else."""

    def __init__(self, app: ASGIApp, accounts: Accounts) -> None:
        self._app = app
        self._accounts = accounts
        self._open = OPEN | OPEN_ON_SPACES if accounts.with_hub else OPEN

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request, or lets it through."""
        if scope["type"] != "http" or (scope["method"], scope["path"]) in self._open:
            await self._app(scope, receive, send)
            return
        try:
            user = await run_in_threadpool(self._accounts.user_of, HTTPConnection(scope).cookies)
        except StoreError as error:
            await _unavailable(None, error)(scope, receive, send)
            return
        await (self._app if user else _refusal(scope))(scope, receive, send)


def _refusal(scope: Scope) -> Response:
    if scope["path"] != START or scope["method"] not in ("GET", "HEAD"):
        return JSONResponse({"detail": SIGNED_OUT_WORDS}, 401)
    query = scope["query_string"].decode("latin-1")
    return moved(f"{PAGE}?{urlencode({'next': f'/?{query}'})}" if query else PAGE)


def _unavailable(_: Request | None, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", 503)


def _add_routes(web: FastAPI, accounts: Accounts, settings: Settings) -> None:
    limiters: list[CapacityLimiter] = []

    async def limited(work: Callable[[], str]) -> str:
        if not limiters:  # it belongs to the event loop that runs now
            limiters.append(CapacityLimiter(MOST_AT_ONCE))
        return await to_thread.run_sync(work, limiter=limiters[0])

    @web.get(STYLE)
    def style() -> FileResponse:
        return FileResponse(ASSETS / "sign_in.css", media_type="text/css")

    @web.get(PAGE)
    def page(request: Request, next: str = START) -> Response:
        return moved(safe_next(next)) if accounts.user_of(request.cookies) else page_response(accounts, next)

    @web.post(PAGE)
    async def sign_in(request: Request) -> Response:
        if int(request.headers.get("content-length", 0)) > MAX_FORM_BYTES:
            return PlainTextResponse(f"The request is too large; {MAX_FORM_BYTES // 1024} KiB are the limit.\n", 413)
        sent = {field: value for field, value in (await request.form()).items() if isinstance(value, str)}
        name, password, wanted = sent.get("name", ""), sent.get("password", ""), sent.get("next", START)
        try:
            token = await limited(lambda: accounts.sign_in(name, password, address(accounts, request)))
        except MedChatError as error:
            return page_response(accounts, wanted, error, name)
        return await run_in_threadpool(let_in, accounts, settings, request, token, wanted)

    @web.post("/sign-out")
    def sign_out(request: Request) -> Response:
        return let_out(accounts, settings, request)

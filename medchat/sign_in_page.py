"""The page that asks who you are, and the cookie of who is in."""

import re
from html import escape
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.requests import HTTPConnection

from medchat.accounts import COOKIE, SESSION_AGE, WINDOW, Accounts
from medchat.errors import MedChatError, SignInThrottled, StoreError
from medchat.settings import Settings

PAGE = "/sign-in"
STYLE = f"{PAGE}/style.css"
HUB = f"{PAGE}/hub"
CALLBACK = f"{HUB}/callback"
START = "/"
NEXT = re.compile(r"/(\?[\w=&%.~+-]{0,500})?", re.ASCII)  # the app's one page, and what it shows


def safe_next(wanted: str) -> str:
    """Where to go after the sign-in: the app's page as it was asked for, and never another site."""
    return wanted if NEXT.fullmatch(wanted) else START


def moved(to: str) -> RedirectResponse:
    """The way to another page of ours."""
    return RedirectResponse(to, 303)


def address(accounts: Accounts, request: HTTPConnection) -> str:
    """Where the request came from, as far as it can be believed."""
    peer = request.client.host if request.client else ""
    return accounts.address(peer, request.headers.getlist("x-forwarded-for"))


def let_in(accounts: Accounts, settings: Settings, request: Request, token: str, wanted: str) -> Response:
    """The way to the page that was wanted, with the new session's cookie; the browser's session before it ends."""
    accounts.sign_out(request.cookies.get(COOKIE, ""), address(accounts, request))
    response = moved(safe_next(wanted))
    age_s = int(SESSION_AGE.total_seconds())
    response.set_cookie(COOKIE, token, max_age=age_s, **_cookie_flags(request, settings))
    return response


def let_out(accounts: Accounts, settings: Settings, request: Request) -> Response:
    """The way to the sign-in page, once the session has ended."""
    accounts.sign_out(request.cookies.get(COOKIE, ""), address(accounts, request))
    response = moved(PAGE)
    response.delete_cookie(COOKIE, **_cookie_flags(request, settings))
    return response


def _cookie_flags(request: Request, settings: Settings) -> dict[str, Any]:
    # A Space shows the page in a frame of another site. Elsewhere Lax keeps the session on a link from a
    # mail. Behind a proxy only the Origin that the browser names tells that it came by HTTPS.
    secure = bool(settings.space_id) or request.url.scheme == "https"
    secure = secure or request.headers.get("origin", "").startswith("https://")
    return {"path": "/", "httponly": True, "secure": secure, "samesite": "none" if settings.space_id else "lax"}


def page_response(accounts: Accounts, wanted: str, error: MedChatError | None = None, name: str = "") -> HTMLResponse:
    """The sign-in page, with what went wrong before."""
    if error is None:
        return HTMLResponse(_page(accounts, wanted))
    status = 429 if isinstance(error, SignInThrottled) else 503 if isinstance(error, StoreError) else 401
    headers = {"retry-after": str(int(WINDOW.total_seconds()))} if status == 429 else None
    return HTMLResponse(_page(accounts, wanted, str(error), name), status, headers)


def _page(accounts: Accounts, wanted: str, error: str = "", name: str = "") -> str:
    """The whole page: it works without scripts."""
    said = f'<p class="error" role="alert" id="error">{escape(error)}</p>' if error else ""
    ways = _form(wanted, name, bool(error)) if accounts.with_passwords else ""
    if accounts.with_hub:
        # A tab of its own: Hugging Face shows its own sign-in in no frame, and a Space is one.
        link = f"{HUB}?{urlencode({'next': safe_next(wanted)})}"
        ways += f'<a class="button" href="{escape(link)}" target="_blank">Sign in with Hugging Face</a>'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in · MedChat</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f'<link rel="stylesheet" href="{STYLE}"></head><body><main><h1>MedChat</h1>'
        "<p>Sign in to go on. For research and teaching, never for the care of a patient.</p>"
        f"{said}{ways}</main></body></html>"
    )


def _form(wanted: str, name: str, again: bool) -> str:
    # After an error the name stands there already: the cursor waits in the other field.
    first, second = ("", " autofocus") if name else (" autofocus", "")
    about = ' aria-describedby="error"' if again else ""
    return (
        f'<form method="post" action="{PAGE}"><input type="hidden" name="next" value="{escape(safe_next(wanted))}">'
        '<label for="name">Name</label><input id="name" name="name" autocomplete="username" autocapitalize="none" '
        f'spellcheck="false" maxlength="100" required value="{escape(name[:100])}"{about}{first}>'
        '<label for="password">Password</label><input id="password" name="password" type="password" '
        f'autocomplete="current-password" maxlength="200" required{about}{second}><button>Sign in</button></form>'
    )

"""Signing in with Hugging Face on a Space, by OpenID Connect."""

import secrets
from typing import Any

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.starlette_client import OAuth
from fastapi import FastAPI, Request
from fastapi.responses import Response
from httpx2 import HTTPError
from itsdangerous import BadData, URLSafeTimedSerializer
from joserfc.errors import JoseError
from starlette.concurrency import run_in_threadpool

from medchat.accounts import Accounts
from medchat.errors import MedChatError, SignInRefused
from medchat.settings import Settings, secret
from medchat.sign_in_page import CALLBACK, HUB, START, address, let_in, page_response, safe_next

STATE_COOKIE = "medchat_state"
STATE_AGE_S = 600
BEGIN_AGAIN = "That sign-in took too long, or was begun in another browser. Begin again."
NO_ANSWER = "Hugging Face gave no usable answer. Try again in a minute."


def add_routes(web: FastAPI, accounts: Accounts, settings: Settings) -> None:
    """The way to Hugging Face and the way back. Between them the browser keeps what was asked, signed."""
    client = _client()
    signer = URLSafeTimedSerializer(secrets.token_hex(32), salt=STATE_COOKIE)
    on_space = bool(settings.space_id)
    site = "none" if on_space else "lax"
    flags: dict[str, Any] = {"path": HUB, "httponly": True, "secure": on_space, "samesite": site}

    @web.get(HUB)
    async def begin(request: Request, next: str = START) -> Response:
        request.scope["session"] = state = {"next": safe_next(next)}
        scheme = "https" if on_space else request.url.scheme  # the Space's proxy speaks HTTP to the app
        try:
            response: Response = await client.authorize_redirect(
                request, f"{scheme}://{request.headers['host']}{CALLBACK}"
            )
        except (HTTPError, ValueError, RuntimeError):
            return page_response(accounts, next, SignInRefused(NO_ANSWER))
        response.set_cookie(STATE_COOKIE, signer.dumps(state), max_age=STATE_AGE_S, **flags)
        return response

    @web.get(CALLBACK)
    async def callback(request: Request) -> Response:
        try:
            state = signer.loads(request.cookies.get(STATE_COOKIE, ""), max_age=STATE_AGE_S)
        except BadData:
            return page_response(accounts, START, SignInRefused(BEGIN_AGAIN))
        wanted = state["next"]
        request.scope["session"] = state
        try:
            name = await _name(client, request)
            token = await run_in_threadpool(accounts.sign_in_with_hub, name, address(accounts, request))
        except MedChatError as error:
            response: Response = page_response(accounts, wanted, error)
        except AuthlibBaseError:  # refused there, or the state is another one's
            response = page_response(accounts, wanted, SignInRefused(BEGIN_AGAIN))
        except (HTTPError, JoseError, ValueError, RuntimeError):
            response = page_response(accounts, wanted, SignInRefused(NO_ANSWER))
        else:
            response = await run_in_threadpool(let_in, accounts, settings, request, token, wanted)
        response.delete_cookie(STATE_COOKIE, **flags)
        return response


def _client() -> Any:
    """The OpenID client of this Space."""
    provider = secret("OPENID_PROVIDER_URL").rstrip("/") or "https://huggingface.co"
    return OAuth().register(
        "hub",
        client_id=secret("OAUTH_CLIENT_ID"),
        client_secret=secret("OAUTH_CLIENT_SECRET"),
        server_metadata_url=f"{provider}/.well-known/openid-configuration",
        client_kwargs={"scope": secret("OAUTH_SCOPES") or "openid profile", "code_challenge_method": "S256"},
    )


async def _name(client: Any, request: Request) -> str:
    """The name that Hugging Face vouches for. Raises what authlib raises for an answer that proves nothing."""
    token = await client.authorize_access_token(request)
    claims = token.get("userinfo") or await client.userinfo(token=token)
    name = claims.get("preferred_username")
    if not isinstance(name, str) or not name:
        raise ValueError("no name in the claims")
    return name

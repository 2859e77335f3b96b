"""What all tabs share: the services they stand on, who is asking, errors as alerts, small print."""

import functools
import hashlib
import html
import inspect
import logging
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

import gradio as gr

from medchat.backends import Backends
from medchat.catalogue import Catalogue, ModelSpec
from medchat.chat import ChatService
from medchat.errors import InvalidInput, MedChatError
from medchat.hub import Downloads
from medchat.live import GroundingSource
from medchat.machine import Machine
from medchat.settings import LOOPBACK, Settings
from medchat.store import Store

LOCAL_OWNER = "local"
OWNER_COOKIE = "medchat_owner"
OWNER_TOKEN = re.compile(r"[\w-]{43}", re.ASCII)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class App:
    """The services behind the tabs. default: the model of the catalogue that answers at first."""

    settings: Settings
    store: Store
    catalogue: Catalogue
    default: ModelSpec
    chat: ChatService
    backends: Backends
    grounding: GroundingSource
    downloads: Downloads
    machine: Callable[[], Machine]


def is_shared(settings: Settings) -> bool:
    """Whether others than the machine's own user can reach the app, directly or through a proxy."""
    return settings.host not in LOOPBACK or bool(settings.allowed_hosts or settings.space_id)


def may_manage(app: App, request: gr.Request) -> bool:
    """Whether the sender of this request may add, fetch and remove models: who is alone with the app may."""
    return not is_shared(app.settings)


def owner_of(settings: Settings, request: gr.Request) -> str:
    """The owner of the conversations that this request may see.

    Never derived from Gradio's session: its id is chosen by the client. Raises InvalidInput for a
    browser without the cookie.
    """
    if not is_shared(settings):
        return LOCAL_OWNER
    token = request.cookies.get(OWNER_COOKIE, "")
    if not OWNER_TOKEN.fullmatch(token):
        raise InvalidInput("Your browser sent no cookie. Allow cookies for this page and reload it.")
    # The store keeps a hash: who reads it cannot take another one's place.
    return "guest-" + hashlib.sha256(token.encode()).hexdigest()


def handler(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as an event handler: its errors become alerts. Generators stay generators."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def streaming(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with alerts(function.__qualname__):
                yield from function(*args, **kwargs)

        return streaming

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        with alerts(function.__qualname__):
            return function(*args, **kwargs)

    return plain


@contextmanager
def alerts(name: str) -> Iterator[None]:
    """Turns what goes wrong in the block into a gr.Error that is safe to show."""
    try:
        yield
    except gr.Error:
        raise
    except MedChatError as error:
        raise gr.Error(escape(str(error)), duration=12, print_exception=False) from error
    except Exception as error:
        run_id = uuid4().hex[:8]
        log.error("bug", extra={"run_id": run_id, "handler": name, "error": type(error).__name__, "at": places(error)})
        message = f"Something went wrong in MedChat. Try again; if it stays, report the number {run_id}."
        raise gr.Error(message, duration=12, print_exception=False) from error


def places(error: BaseException | None) -> list[str]:
    """Where an exception came from, innermost last; its message may quote what somebody typed, this cannot."""
    frames = traceback.extract_tb(error.__traceback__ if error else None)
    return [f"{frame.filename}:{frame.lineno}" for frame in frames[-6:]]


def escape(text: str) -> str:
    """The text as it may stand in HTML, in attributes too."""
    return html.escape(text, quote=True)


def duration(milliseconds: float) -> str:
    """A time in the unit that people would use: 240 ms, 3.2 s, 2 min 5 s."""
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 59_950:
        return f"{milliseconds / 1000:.1f} s"
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    return f"{minutes} min {seconds} s"


def counted(number: int, noun: str) -> str:
    """The number with its noun: 1 step, 1,200 tokens."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def static_html(value: str, elem_id: str, visible: bool | Literal["hidden"] = True) -> gr.HTML:
    """A gr.HTML that runs no script of its own; `value` is escaped already."""
    return gr.HTML(value, elem_id=elem_id, js_on_load=None, apply_default_css=False, visible=visible)

"""What all tabs share: the services they stand on, who is asking, errors as alerts, small print."""

import functools
import html
import inspect
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, cast
from uuid import uuid4

import gradio as gr

from medchat.accounts import CALL_REFUSED, SIGNED_OUT_WORDS, Accounts, User
from medchat.backends import Backends
from medchat.catalogue import Catalogue, ModelSpec
from medchat.chat import ChatService
from medchat.errors import MedChatError, NotAllowed, SignedOut
from medchat.hub import Downloads
from medchat.jobs import Jobs
from medchat.live import GroundingSource
from medchat.machine import Machine
from medchat.panel import PanelService
from medchat.settings import Settings
from medchat.store import Store

HANDLING: ContextVar[str] = ContextVar("HANDLING", default="")  # the handler at work

# `open` of an accordion that is closed and holds fields. With False, which 0 is not to Gradio's page, they are made
# when it is opened and their values set again with the next frame: what was typed by then would be lost.
CLOSED = cast(bool, 0)

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
    accounts: Accounts
    panel: PanelService
    jobs: Jobs


def user_of(app: App, request: gr.Request) -> User:
    """Who sends this request. Raises SignedOut when that is nobody.

    Never derived from Gradio's session: its id is chosen by the client.
    """
    user = app.accounts.user_of(dict(request.cookies))
    if user is None:
        raise SignedOut(SIGNED_OUT_WORDS)
    return user


def require(app: App, request: gr.Request, right: str, doing: str = "") -> User:
    """Who sends this request, and may do what it asks for. doing: the handler, where `handler` does not know it.

    Raises NotAllowed, which is audited, when the role lacks the right, SignedOut when nobody is signed in.
    """
    user = user_of(app, request)
    if right not in user.rights:
        details = {"right": right, "role": user.role}
        app.accounts.note(user.id, CALL_REFUSED, doing or HANDLING.get(), details, address_of(app, request))
        raise NotAllowed(f"Your role, {user.role}, does not allow this. Ask an admin for one that does.")
    return user


def address_of(app: App, request: gr.Request) -> str:
    """Where the request came from, as far as it can be believed."""
    peer = request.client.host if request.client else ""
    return app.accounts.address(peer, request.headers.getlist("x-forwarded-for"))


def handler(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as an event handler: its errors become alerts. Generators stay generators."""
    name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def streaming(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with alerts(name):
                yield from function(*args, **kwargs)

        return streaming

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        with alerts(name):
            return function(*args, **kwargs)

    return plain


@contextmanager
def alerts(name: str) -> Iterator[None]:
    """Turns what goes wrong in the block, the handler of this name, into a gr.Error that is safe to show."""
    HANDLING.set(name)
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

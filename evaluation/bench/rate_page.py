"""The Rate tab through the real server, as the browser of one rater speaks to it."""

import html
import http.client
import json
import re
from base64 import b64encode
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import uuid4

from evaluation.bench.events import HOST, Events, completed
from medchat.errors import InvalidInput, ModelUnavailable, SignInRefused

TIMEOUT_S = 60.0

_ARTICLE = re.compile(r'<article class="mc-rate" data-answer="([^"]*)" data-rubric="([^"]*)" data-version="(\d+)"')
_OPTION = re.compile(r'name="(axis|step)-([^"]+)" value="([^"]*)"')
_SOLUTION = re.compile(r'data-part="solution" data-start="0"[^>]*>([^<]*)<')
_SAFETY = ("harm_extent", "harm_likelihood")


class Form(NamedTuple):
    """The form that the page shows. options: of each question, in their order; steps: their numbers."""

    answer_id: str
    rubric_id: str
    version: int
    options: dict[str, list[str]]
    steps: list[str]
    solution: str

    @property
    def place(self) -> dict[str, str]:
        """Which answer and form an event is about."""
        return {"answer": self.answer_id, "rubric": self.rubric_id}

    def filled(self, number: int, comment: str) -> dict[str, Any]:
        """What somebody could enter: each number answers otherwise, marks the steps and the first word."""
        chosen = {axis: options[number % len(options)] for axis, options in self.options.items()}
        safety = {name: chosen.pop(name) for name in _SAFETY}
        word = self.solution.split()[0]
        start = self.solution.index(word)
        span = {"part": "solution", "start": start, "end": start + len(word), "quote": word, "kind": "unclear"}
        steps = dict.fromkeys(self.steps, number % 3 - 1)
        return {"scores": chosen, **safety, "steps": steps, "spans": [span], "comment": comment, "seconds": 1.5}


class RatePage:
    """The tab of whose session the cookie is. Not to be used by two threads.

    Every method raises InvalidInput with the alert that the page would show, as HTML, and ModelUnavailable when the
    server refuses the request or breaks it off.
    """

    def __init__(self, port: int, cookie: str) -> None:
        self.events = Events(port, cookie, TIMEOUT_S)
        self.listeners = {event: self.events.clicked(f"rate-{event}") for event in ("act", "upload", "keep")}
        self._session = uuid4().hex

    def act(self, **action: Any) -> str:
        """The HTML that the page shows after an action."""
        return self.send("act", json.dumps(action))

    def keep(self, form: Form, filled: dict[str, Any], number: int) -> str:
        """The HTML that says that a draft is kept."""
        action = {"do": "draft", **form.place, "filled": filled, "number": str(number)}
        return self.send("keep", json.dumps(action))

    def upload(self, name: str, data: bytes, key: str) -> str:
        """The HTML that the page shows after a file was sent."""
        sent = b64encode(data).decode()
        action = {"do": "file", "answer": "", "rubric": "", "name": name, "size": len(data), "data": sent, "key": key}
        return self.send("upload", json.dumps(action))

    def save(self, form: Form, filled: dict[str, Any], key: str) -> str:
        """The HTML of the next form, or of the end of the queue."""
        return self.act(do="save", **form.place, version=form.version, filled=filled, key=key)

    def send(self, event: str, sent: Any) -> str:
        """The HTML that comes of an event, "act", "upload" or "keep", whatever is sent with it."""
        *_, last = self.events.send(self.listeners[event], [sent], self._session)
        ended = completed(last)
        if not ended["success"]:
            raise InvalidInput(str(ended["output"]["error"]))
        return "\n".join(_texts(ended["output"]["data"]))


def form_in(page: str) -> Form | None:
    """The form on the page; None when no answer is left."""
    article = _ARTICLE.search(page)
    if not article:
        return None
    options: dict[str, list[str]] = {}
    steps: dict[str, None] = {}
    for kind, name, value in _OPTION.findall(page):
        if kind == "axis":
            options.setdefault(html.unescape(name), []).append(html.unescape(value))
        else:
            steps[name] = None
    solution = _SOLUTION.search(page)
    answer_id, rubric_id, version = map(html.unescape, article.groups())
    return Form(
        answer_id, rubric_id, int(version), options, list(steps), html.unescape(solution[1]) if solution else ""
    )


def sign_in(port: int, name: str, password: str) -> str:
    """The cookie of a new session. Raises SignInRefused, or ModelUnavailable when the server does not answer."""
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT_S)
    try:
        sent = urlencode({"name": name, "password": password})
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Connection": "close"}
        connection.request("POST", "/sign-in", sent, headers)
        response = connection.getresponse()
        cookie = response.getheader("set-cookie") or ""
    except (OSError, http.client.HTTPException) as error:
        raise ModelUnavailable("The server broke a connection off.") from error
    finally:
        connection.close()
    if response.status != 303 or not cookie:
        raise SignInRefused(f"The server did not let {name} in: it answered {response.status}.")
    return cookie.partition(";")[0]


def _texts(data: list[Any]) -> list[str]:
    """The values of the components that change."""
    values = (one.get("value") if isinstance(one, dict) else one for one in data)
    return [value for value in values if isinstance(value, str)]

"""The chat through the real server, as a browser speaks to it."""

import json
import re
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from evaluation.bench.events import Events, completed
from evaluation.bench.load import Asked
from medchat.errors import ModelUnavailable

_SHOWN = re.compile(rb"mc-(?:reasoning|solution)\b")  # the answer's first word is on the page
_TOKENS = re.compile(r"([\d,]+) tokens?\b(?!/s)")  # in its small print


class Page:
    """The page at this port; any number of threads may ask it. Every question begins a new conversation."""

    def __init__(self, port: int, model_id: str, questions: Sequence[str]) -> None:
        self._events = Events(port)
        self._model_id = model_id
        self._questions = questions
        self._listener = self._events.clicked("chat-send")

    def wait_until_grounded(self) -> None:
        """Returns when the server recognises findings; until then it answers more slowly, or without."""
        self._events.wait_until_grounded()

    def ask(self, number: int) -> Asked:
        """See Asker; the first and last token are there when their frame is."""
        session = uuid4().hex
        question = self._questions[number % len(self._questions)]
        data = [question, "", uuid4().hex, session, None, self._model_id, self._model_id]
        data += [None] * (self._listener.n_fields - len(data))  # settings: the model's own
        began = time.monotonic()
        first = 0.0
        line = b""
        for line in self._events.send(self._listener, data, session):
            if not first and _SHOWN.search(line):
                first = time.monotonic()
        return Asked(began, first, time.monotonic(), _tokens(completed(line)))


def _tokens(event: dict[str, Any]) -> int:
    """Tokens of the answer, as the last frame tells them."""
    found = _TOKENS.search(json.dumps(event["output"].get("data", ""))) if event["success"] else None
    if not found:
        raise ModelUnavailable("The server did not complete an answer.")
    return int(found[1].replace(",", ""))

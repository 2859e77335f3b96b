"""The chat through the real server, as a browser speaks to it: Gradio's queue over HTTP."""

import http.client
import json
import re
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from evaluation.bench.load import Asked
from medchat.errors import ModelUnavailable

HOST = "127.0.0.1"
_SHOWN = re.compile(rb"mc-(?:reasoning|solution)\b")  # the answer's first word is on the page
_TOKENS = re.compile(r"([\d,]+) tokens?\b(?!/s)")  # in its small print


class Page:
    """The page at this port; any number of threads may ask it. Every question begins a new conversation."""

    def __init__(self, port: int, model_id: str, questions: Sequence[str]) -> None:
        self._port = port
        self._model_id = model_id
        self._questions = questions
        config = json.loads(self._get("/config").read())
        send = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == "chat-send")
        asks = (d for d in config["dependencies"] if [send, "click"] in [list(target) for target in d["targets"]])
        event = next(d for d in asks if d["backend_fn"])
        self._fn_index, self._n_fields = event["id"], len(event["inputs"])

    def wait_until_grounded(self) -> None:
        """Returns when the server recognises findings; until then it answers more slowly, or without."""
        while json.loads(self._get("/healthz").read())["grounding"] == "loading":
            time.sleep(0.2)

    def ask(self, number: int) -> Asked:
        """See Asker; the first and last token are there when their frame is."""
        session = uuid4().hex
        question = self._questions[number % len(self._questions)]
        data = [question, "", uuid4().hex, session, None, self._model_id, self._model_id]
        data += [None] * (self._n_fields - len(data))  # settings: the model's own
        order = {
            "data": data,
            "fn_index": self._fn_index,
            "session_hash": session,
            "event_data": None,
            "trigger_id": None,
        }
        began = time.monotonic()
        self._post("/gradio_api/queue/join", order)
        first = 0.0
        for line in self._get(f"/gradio_api/queue/data?session_hash={session}"):
            if not first and _SHOWN.search(line):
                first = time.monotonic()
            if b'"process_completed"' in line:
                return Asked(began, first, time.monotonic(), _tokens(json.loads(line.removeprefix(b"data: "))))
        raise ModelUnavailable("The server ended a stream of frames before the answer was complete.")

    def _get(self, path: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=600)
        connection.request("GET", path, headers={"Connection": "close"})
        return _checked(connection.getresponse())

    def _post(self, path: str, body: Any) -> None:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=600)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        _checked(connection.getresponse()).read()
        connection.close()


def _checked(response: http.client.HTTPResponse) -> http.client.HTTPResponse:
    if response.status != 200:
        raise ModelUnavailable(f"The server answered {response.status}.")
    return response


def _tokens(event: dict[str, Any]) -> int:
    """Tokens of the answer, as the last frame tells them."""
    found = _TOKENS.search(json.dumps(event["output"].get("data", ""))) if event["success"] else None
    if not found:
        raise ModelUnavailable("The server did not complete an answer.")
    return int(found[1].replace(",", ""))

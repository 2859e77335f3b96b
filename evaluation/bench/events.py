"""The page's events over HTTP, as a browser sends them: Gradio's queue."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

from medchat.errors import ModelUnavailable

HOST = "127.0.0.1"


class Listener(NamedTuple):
    """What an event sets off: the handler's number and how many values it takes."""

    fn_index: int
    n_fields: int


class Events:
    """The page that the app serves at this port; any number of threads may send its events.

    cookie: of the session, "" where nobody signs in. Every method raises ModelUnavailable when the server
    refuses the request or breaks it off.
    """

    def __init__(self, port: int, cookie: str = "", timeout_s: float = 600.0) -> None:
        self._port = port
        self._headers = {"Connection": "close"} | ({"Cookie": cookie} if cookie else {})
        self._timeout_s = timeout_s

    def get(self, path: str) -> Any:
        """The JSON at this path."""
        with self._response("GET", path) as response:
            return json.load(response)

    def wait_until_grounded(self) -> None:
        """Returns when the server recognises findings: then its start is over."""
        while self.get("/healthz")["grounding"] == "loading":
            time.sleep(0.2)

    def clicked(self, elem_id: str) -> Listener:
        """What a click on this button of the page sets off."""
        page = self._page
        button = next(c["id"] for c in page["components"] if c["props"].get("elem_id") == elem_id)
        listeners = (d for d in page["dependencies"] if [button, "click"] in [list(target) for target in d["targets"]])
        found = next(listener for listener in listeners if listener["backend_fn"])
        return Listener(found["id"], len(found["inputs"]))

    def send(self, listener: Listener, data: list[Any], session: str) -> Iterator[bytes]:
        """The lines that the server sends until the event has ended. session: the page's own, any text."""
        order = {
            "data": data,
            "fn_index": listener.fn_index,
            "session_hash": session,
            "event_data": None,
            "trigger_id": None,
        }
        with self._response("POST", "/gradio_api/queue/join", json.dumps(order)) as response:
            response.read()
        with self._response("GET", f"/gradio_api/queue/data?session_hash={session}") as response:
            for line in response:
                yield line
                if b'"process_completed"' in line:
                    return
        raise ModelUnavailable("The server ended an event's stream before the event.")

    @cached_property
    def _page(self) -> Any:
        return self.get("/config")

    @contextmanager
    def _response(self, method: str, path: str, body: str | None = None) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=self._timeout_s)
        headers = self._headers | ({"Content-Type": "application/json"} if body else {})
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            if response.status != 200:
                raise ModelUnavailable(f"The server answered {response.status}.")
            yield response
        except (OSError, http.client.HTTPException) as error:
            raise ModelUnavailable("The server broke a connection off.") from error
        finally:
            connection.close()


def completed(line: bytes) -> dict[str, Any]:
    """The event's end, out of the last line of its stream."""
    event: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
    return event

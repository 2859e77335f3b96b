"""Worker processes: a model library in a process of its own, spoken to in lines of JSON by all threads.

`python -m medchat.backends.worker MODULE ARGUMENT ...` is such a process: it runs the module's main().
A line to the worker is one order, an object with `op` and `id`; a line back is a list of events. engine.py
(llama.cpp) and hf_worker.py (transformers) say which orders they take. A worker that prints a first line, an
empty list, can work; one whose library is missing or cannot be loaded ends with CANNOT_RUN.
"""

import contextlib
import json
import queue
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from importlib.util import find_spec
from signal import SIGILL
from typing import Any, Literal, NamedTuple

import psutil

from medchat import errors
from medchat.errors import EngineUnusable, ModelUnavailable
from medchat.records import Done, Request, Text
from medchat.settings import ROOT, child_environment

STOPPED = "The model stopped unexpectedly; your text is kept. Please ask again: a new one is started."
CLOSED = "The model was shut down; start MedChat again."
CANNOT_RUN = 78  # exit code
HEARTBEAT_S = 0.2
CLOSE_TIMEOUT_S = 2.0

# What a worker may report, by name.
ERRORS = {
    kind.__name__: kind
    for kind in (
        errors.InvalidInput, errors.ContextTooLong, errors.ModelUnavailable, errors.NotEnoughMemory,
        errors.EngineUnusable,
    )
}  # fmt: skip

Model = Mapping[str, Any]  # what the worker needs to load it: at least its path


class EngineStatus(NamedTuple):
    """State and process id of an engine.

    ready: its process runs. idle: it starts with the first request. stopped: it was closed for good,
    or died and starts again with the next request.
    """

    state: Literal["ready", "idle", "stopped"]
    pid: int | None


class _Worker:
    """One worker process and those who wait for its events."""

    def __init__(self, module: str, arguments: Sequence[str], unusable: str, environment: Mapping[str, str]) -> None:
        self._unusable = unusable
        self._process = subprocess.Popen(
            [sys.executable, "-m", "medchat.backends.worker", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**child_environment(), **environment},
            cwd=ROOT,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._lock = threading.RLock()  # an abandoned iterator may be collected, and cancel, while it is held
        self._listeners: dict[int, queue.SimpleQueue[list[Any]]] = {}
        self._last_id = 0
        self._end = ""  # why it ended; nothing can be ordered any more
        self._error = "ModelUnavailable"  # the class of that
        self._reader = threading.Thread(target=self._read, name="worker-events", daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        """Whether it still takes orders."""
        return not self._end and self._process.poll() is None

    @property
    def unusable(self) -> bool:
        """Whether it, which has ended, did so because it cannot run on this machine."""
        self._reader.join(CLOSE_TIMEOUT_S)
        return self._error == "EngineUnusable"

    def order(self, orders: Sequence[dict[str, Any]], listener: "queue.SimpleQueue[list[Any]]") -> list[int]:
        """Ids of the orders, whose events go to the listener."""
        with self._lock:
            ids = list(range(self._last_id + 1, self._last_id + 1 + len(orders)))
            self._last_id += len(orders)
            self._listeners |= dict.fromkeys(ids, listener)
            self._write([order | {"id": number} for number, order in zip(ids, orders, strict=True)])
            if self._end:
                self._tell_all()
        return ids

    def cancel(self, ids: Sequence[int]) -> None:
        """Stop these; whatever still comes from them is dropped."""
        with self._lock:
            for number in ids:
                self._listeners.pop(number, None)
            self._write([{"op": "cancel", "ids": list(ids)}])

    def unload(self, model: Model) -> None:
        """Free a model that nobody uses."""
        with self._lock:
            self._write([{"op": "unload", "model": dict(model)}])

    def close(self) -> None:
        """End the process, by force if it takes too long."""
        with self._lock:
            self._end = self._end or CLOSED
            if self._process.stdin:
                with contextlib.suppress(OSError):  # it has died with something unread
                    self._process.stdin.close()
        try:
            self._process.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _write(self, lines: Sequence[dict[str, Any]]) -> None:
        if self._end or not self._process.stdin:
            return
        with contextlib.suppress(OSError):  # it has died: _read notices and tells everybody
            self._process.stdin.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
            self._process.stdin.flush()

    def _read(self) -> None:
        """Hand out events until the process ends, then tell everybody who still waits."""
        for line in self._process.stdout or ():
            if not line.endswith(b"\n"):
                break  # killed while it wrote
            for number, *event in json.loads(line):
                self._hand_out(number, event)
        code = self._process.wait()
        with self._lock:
            if not self._end:
                unusable = code in (CANNOT_RUN, -SIGILL)
                self._error = "EngineUnusable" if unusable else "ModelUnavailable"
                self._end = self._unusable if unusable else STOPPED
            self._tell_all()

    def _hand_out(self, number: int, event: list[Any]) -> None:
        with self._lock:
            listener = self._listeners.get(number) if event[0] == "text" else self._listeners.pop(number, None)
        if listener:
            listener.put([number, *event])

    def _tell_all(self) -> None:
        for number, listener in self._listeners.items():
            listener.put([number, "error", self._error, self._end])
        self._listeners.clear()


class Engine:
    """One worker process, started with the first request and again after it died; for any thread.

    One that cannot run on this machine is not started again.

    module: what runs in it. library: what it cannot work without; unusable: the line that says so.
    environment: variables that it gets beside those that every child inherits.
    available_memory: bytes that can be used without swapping.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        library: str,
        unusable: str,
        environment: Mapping[str, str] | None = None,
        available_memory: Callable[[], int] = lambda: psutil.virtual_memory().available,
    ) -> None:
        self._module = module
        self._arguments = list(arguments)
        self._library = library
        self._unusable = unusable
        self._environment = dict(environment or {})
        self._available_memory = available_memory
        self._lock = threading.Lock()
        self._worker: _Worker | None = None
        self._closed = False

    def status(self) -> EngineStatus:
        """How it is, for a health check."""
        worker = self._worker
        if self._closed or (worker and not worker.alive):
            return EngineStatus("stopped", None)
        return EngineStatus("ready", worker.pid) if worker else EngineStatus("idle", None)

    def stream(self, model: Model, requests: Sequence[Request]) -> Iterator[Text | Done]:
        """The requests' texts as they arrive, one Done each; closing the iterator stops them.

        While nothing arrives an empty Text comes now and then, so that whoever wants to stop can.
        """
        listener: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
        orders = [
            prompt_order(request) | {"op": "generate", "sampling": asdict(request.sampling)} for request in requests
        ]
        worker, ids = self._order(model, orders, listener)
        running = {number: index for index, number in enumerate(ids)}
        try:
            while running:
                try:
                    number, kind, *values = listener.get(timeout=HEARTBEAT_S)
                except queue.Empty:
                    yield Text(next(iter(running.values())), "")
                    continue
                if kind == "text":
                    yield Text(running[number], values[0])
                    continue
                index = running.pop(number)
                if kind == "error":
                    raise ERRORS[values[0]](values[1])
                yield Done(index, *values)
        finally:
            if running:
                worker.cancel(list(running))

    def ask(self, op: Literal["open", "count", "check"], model: Model, **order: Any) -> Any:
        """The worker's reply to an order that has only one."""
        listener: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
        self._order(model, [order | {"op": op}], listener)
        _, kind, *values = listener.get()
        if kind == "error":
            raise ERRORS[values[0]](values[1])
        return values[0]

    def scores(
        self, model: Model, requests: Sequence[Request], options: Sequence[Sequence[str]]
    ) -> list[list[float] | None]:
        """See Backend.loglikelihoods."""
        listener: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
        orders = [
            prompt_order(request) | {"op": "score", "options": list(its)}
            for request, its in zip(requests, options, strict=True)
        ]
        worker, ids = self._order(model, orders, listener)
        places = {number: place for place, number in enumerate(ids)}
        found: list[list[float] | None] = [None] * len(ids)
        try:
            while places:
                number, kind, *values = listener.get()
                place = places.pop(number)
                if kind == "reply":
                    found[place] = values[0]
                elif not issubclass(ERRORS[values[0]], errors.InvalidInput):
                    raise ERRORS[values[0]](values[1])
        finally:
            if places:
                worker.cancel(list(places))
        return found

    def unload(self, model: Model) -> None:
        """Free the model's memory unless somebody is being answered."""
        worker = self._worker
        if worker:
            worker.unload(model)

    def close(self) -> None:
        """End the worker; whoever still waits is told. Calling it again does nothing."""
        with self._lock:
            self._closed = True
            worker = self._worker
        if worker:
            worker.close()

    def _order(
        self, model: Model, orders: Sequence[dict[str, Any]], listener: "queue.SimpleQueue[list[Any]]"
    ) -> tuple[_Worker, list[int]]:
        common = {"model": dict(model), "available": self._available_memory()}
        with self._lock:
            if self._closed:
                raise ModelUnavailable(CLOSED)
            if self._worker is None or not self._worker.alive:
                if self._worker and self._worker.unusable:
                    raise EngineUnusable(self._unusable)  # it would end in the same way
                if find_spec(self._library) is None:
                    raise EngineUnusable(self._unusable)
                self._worker = _Worker(self._module, self._arguments, self._unusable, self._environment)
            worker = self._worker
        return worker, worker.order([order | common for order in orders], listener)


def prompt_order(request: Request) -> dict[str, Any]:
    """What an order says of a request's prompt."""
    messages = [(message.role, message.content) for message in request.messages]
    return {"messages": messages, "prefill": request.prefill, "raw": request.raw}


def run_worker(module: str, arguments: Sequence[str]) -> None:
    """Be the worker process: run the module's main() with these arguments."""
    try:
        main = import_module(module).main
    except (ImportError, OSError, RuntimeError) as error:  # the last two where a shared library cannot be loaded
        if "allocate memory" in str(error):
            raise  # there may be more another time
        traceback.print_exc()
        sys.exit(CANNOT_RUN)
    sys.argv = [module, *arguments]
    main()


if __name__ == "__main__":
    run_worker(sys.argv[1], sys.argv[2:])

"""The protocol that every backend keeps, and the table that finds one by name."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from medchat.records import Done, Request, Text

if TYPE_CHECKING:
    from medchat.backends.llamacpp import EngineStatus
    from medchat.catalogue import ModelSpec

BACKENDS = {
    "llamacpp": "llamacpp:LlamaCppBackend",
    "scripted": "scripted:ScriptedBackend",
}


class Backend(Protocol):
    """One model that completes prompts."""

    def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
        """Yield text as it arrives, one Done a request; closing the iterator stops what still runs.

        While nothing arrives for long, an empty Text gives the caller the chance to close it.
        Raises ModelUnavailable or ContextTooLong; a library's own errors never escape.
        """
        ...

    def loglikelihood(self, request: Request, options: Sequence[str]) -> list[float] | None:
        """Natural-log probability of each option after the prompt; None where the model cannot say."""
        ...

    def count_tokens(self, request: Request) -> int:
        """Tokens of the rendered prompt."""
        ...

    @property
    def n_ctx(self) -> int:
        """Tokens that prompt and completion may have together."""
        ...

    def close(self) -> None:
        """Free what the model holds; calling it again does nothing."""
        ...


def backend_class(name: str) -> type[Any]:
    """The backend's class; its library is imported here and not before."""
    module, _, attribute = BACKENDS[name].partition(":")
    found: type[Any] = getattr(import_module(f"medchat.backends.{module}"), attribute)
    return found


class Backends:
    """The models of one process: made when they are first asked for, shared by all threads, closed together.

    GGUF models share one engine: `slots` answers are decoded at once, each with its prompt within n_ctx tokens.
    """

    def __init__(self, threads: int, slots: int, n_ctx: int) -> None:
        from medchat.backends.llamacpp import Engine

        self._engine = Engine(threads, slots, n_ctx)
        self._lock = Lock()
        self._made: dict[str, Backend] = {}

    def get(self, spec: "ModelSpec") -> Backend:
        """The model's backend; nothing is loaded before its first use."""
        with self._lock:
            if spec.id not in self._made:
                self._made[spec.id] = backend_class(spec.backend)(spec.path, self._engine)
            return self._made[spec.id]

    def engine_status(self) -> "EngineStatus":
        """How the engine of the GGUF models is, for a health check."""
        return self._engine.status()

    def close(self) -> None:
        """Free everything; whoever still waits for a model is told. Calling it again does nothing."""
        with self._lock:
            made = list(self._made.values())
        for backend in made:
            backend.close()
        self._engine.close()

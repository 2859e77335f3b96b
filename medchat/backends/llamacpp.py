"""GGUF models through llama.cpp, which lives in a worker process (engine.py) shared by all threads."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from medchat.backends import worker
from medchat.backends.worker import EngineStatus, prompt_order
from medchat.records import Done, ModelFacts, Request, Text

__all__ = ["Engine", "EngineStatus", "LlamaCppBackend"]

UNUSABLE = (
    "llama-cpp-python is not installed or cannot run on this processor; install it with"
    " 'pip install --no-binary llama-cpp-python llama-cpp-python' (it needs a C++ compiler) or choose another model."
)


class Engine(worker.Engine):
    """The llama.cpp worker: `slots` answers are decoded at once, each with its prompt within n_ctx tokens."""

    def __init__(
        self,
        threads: int,
        slots: int,
        n_ctx: int,
        available_memory: Callable[[], int] = lambda: psutil.virtual_memory().available,
    ) -> None:
        super().__init__(
            "medchat.backends.engine",
            [str(threads), str(slots), str(n_ctx)],
            library="llama_cpp",
            unusable=UNUSABLE,
            available_memory=available_memory,
        )


class LlamaCppBackend:
    """A GGUF file as a backend; without an engine given it has one of its own.

    adapter: a LoRA on top of it, a GGUF file too. template_options: what its chat template is also told.
    """

    def __init__(
        self,
        path: Path,
        engine: Engine | None = None,
        *,
        adapter: Path | None = None,
        template_options: Mapping[str, Any] | None = None,
        threads: int = 2,
        slots: int = 8,
        n_ctx: int = 4096,
    ) -> None:
        self._model = {
            "path": str(path.resolve()),
            "adapter": str(adapter.resolve()) if adapter else "",
            "template_options": dict(template_options or {}),
        }
        self._engine = engine or Engine(threads, slots, n_ctx)
        self._owns_engine = engine is None

    def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
        """See Backend."""
        return self._engine.stream(self._model, requests)

    def loglikelihoods(self, requests: Sequence[Request], options: Sequence[Sequence[str]]) -> list[list[float] | None]:
        """See Backend."""
        return self._engine.scores(self._model, requests, options)

    def count_tokens(self, request: Request) -> int:
        """See Backend."""
        return int(self._engine.ask("count", self._model, **prompt_order(request)))

    @cached_property
    def n_ctx(self) -> int:
        """See Backend; it loads the model."""
        return int(self._engine.ask("open", self._model))

    def check(self) -> ModelFacts:
        """What the file's header says of it; raises ModelUnavailable when it, or its adapter, cannot be run."""
        return ModelFacts(*self._engine.ask("check", self._model))

    def close(self) -> None:
        """See Backend."""
        if self._owns_engine:
            self._engine.close()
        else:
            self._engine.unload(self._model)

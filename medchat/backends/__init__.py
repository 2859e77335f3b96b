"""The protocol that every backend keeps, and the tables that make one for a model of the catalogue."""

from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol

from medchat import settings
from medchat.errors import ModelUnavailable
from medchat.records import Done, ModelFacts, Request, Text

if TYPE_CHECKING:
    from medchat.backends.hf_local import HfEngine
    from medchat.backends.llamacpp import EngineStatus
    from medchat.catalogue import ModelSpec

__all__ = ["BACKENDS", "Backend", "Backends", "ModelFacts", "backend_class"]

BACKENDS = {
    "llamacpp": "llamacpp:LlamaCppBackend",
    "transformers": "hf_local:HfBackend",
    "openai": "openai_api:OpenAiBackend",
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

    def loglikelihoods(self, requests: Sequence[Request], options: Sequence[Sequence[str]]) -> list[list[float] | None]:
        """Natural-log probability of each of its options after each prompt, computed together.

        None for one that is empty or does not fit into the context, and for all where the model cannot say.
        Raises ModelUnavailable.
        """
        ...

    def count_tokens(self, request: Request) -> int:
        """Tokens of the rendered prompt."""
        ...

    @property
    def n_ctx(self) -> int:
        """Tokens that prompt and completion may have together."""
        ...

    def check(self) -> ModelFacts:
        """What its files, or its server, say of it; nothing is loaded.

        Raises ModelUnavailable or InvalidInput when it cannot be used.
        """
        ...

    def close(self) -> None:
        """Free what the model holds; calling it again does nothing."""
        ...


def backend_class(name: str) -> type[Any]:
    """The backend's class; its library is imported here and not before."""
    module, _, attribute = BACKENDS[name].partition(":")
    found: type[Any] = getattr(import_module(f"medchat.backends.{module}"), attribute)
    return found


class _Shared:
    """What the models of one process share: an engine for each library, and the settings."""

    def __init__(self, threads: int, slots: int, n_ctx: int, precision: str, secret: Callable[[str], str]) -> None:
        from medchat.backends.llamacpp import Engine

        self.llamacpp = Engine(threads, slots, n_ctx)
        self.precision = precision
        self.secret = secret
        self._threads = threads
        self._n_ctx = n_ctx
        self._lock = Lock()
        self._transformers: HfEngine | None = None
        self._closed = False

    @property
    def transformers(self) -> "HfEngine":
        """Made when it is first needed."""
        from medchat.backends.hf_local import HfEngine

        with self._lock:
            if self._transformers is None:
                self._transformers = HfEngine(self._threads, self._n_ctx)
                if self._closed:
                    self._transformers.close()  # from then on it says that it was shut down
            return self._transformers

    def close(self) -> None:
        """End both; calling it again does nothing."""
        with self._lock:
            self._closed = True
            engines = (self.llamacpp, self._transformers)
        for engine in engines:
            if engine:
                engine.close()


def _llamacpp(spec: "ModelSpec", shared: _Shared) -> Backend:
    backend: Backend = backend_class("llamacpp")(
        _files(spec), shared.llamacpp, adapter=spec.adapter, template_options=spec.template_options
    )
    if spec.safetensors is None or spec.adapter:
        return backend
    from medchat.backends.fallback import FallbackBackend

    precision = shared.precision if shared.precision in ("bf16", "fp32") else "fp32"

    def make_other() -> Backend:
        other: Backend = backend_class("transformers")(
            spec.safetensors, shared.transformers, precision=precision, template_options=spec.template_options
        )
        return other

    return FallbackBackend(backend, make_other, spec.name)


def _transformers(spec: "ModelSpec", shared: _Shared) -> Backend:
    backend: Backend = backend_class("transformers")(
        _files(spec),
        shared.transformers,
        adapter=spec.adapter,
        precision=shared.precision or spec.precision,
        template_options=spec.template_options,
    )
    return backend


def _openai(spec: "ModelSpec", shared: _Shared) -> Backend:
    backend: Backend = backend_class("openai")(spec.endpoint, spec.n_ctx, shared.secret, spec.template_options)
    return backend


def _scripted(spec: "ModelSpec", shared: _Shared) -> Backend:
    """A script says what it is."""
    backend: Backend = backend_class("scripted")([spec.description], n_ctx=spec.n_ctx)
    return backend


def _files(spec: "ModelSpec") -> Path:
    if spec.path is None:
        raise ModelUnavailable(f"Where the files of {spec.name} are is not known; choose another model.")
    return spec.path


_FROM_SPEC: dict[str, Callable[["ModelSpec", _Shared], Backend]] = {
    "llamacpp": _llamacpp,
    "transformers": _transformers,
    "openai": _openai,
    "scripted": _scripted,
}


class Backends:
    """The models of one process: made when they are first asked for, shared by all threads, closed together.

    GGUF models share one engine: `slots` answers are decoded at once, each with its prompt within n_ctx tokens.
    Those of transformers share another. precision: in which it loads them, "" for each model's own.
    secret: the value of an environment variable that holds a key.
    """

    def __init__(
        self,
        threads: int,
        slots: int,
        n_ctx: int,
        precision: str = "",
        secret: Callable[[str], str] = settings.secret,
    ) -> None:
        self._shared = _Shared(threads, slots, n_ctx, precision, secret)
        self._lock = Lock()
        self._made: dict[str, tuple[ModelSpec, Backend]] = {}

    def get(self, spec: "ModelSpec") -> Backend:
        """The model's backend; nothing is loaded before its first use. A changed spec replaces the old one's."""
        with self._lock:
            made = self._made.get(spec.id)
            if made and made[0] == spec:
                return made[1]
            backend = _FROM_SPEC[spec.backend](spec, self._shared)
            self._made[spec.id] = spec, backend
        if made:
            made[1].close()
        return backend

    def forget(self, model_id: str) -> None:
        """Free what a model holds that was removed or replaced; one that was never asked for has nothing."""
        with self._lock:
            made = self._made.pop(model_id, None)
        if made:
            made[1].close()

    def engine_status(self) -> "EngineStatus":
        """How the engine of the GGUF models is, for a health check."""
        return self._shared.llamacpp.status()

    def close(self) -> None:
        """Free everything; whoever still waits for a model is told. Calling it again does nothing."""
        with self._lock:
            made = list(self._made.values())
        for _, backend in made:
            backend.close()
        self._shared.close()

"""A model that another engine runs where its own cannot."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

from medchat.errors import EngineUnusable
from medchat.records import Done, ModelFacts, Request, Text

logger = logging.getLogger(__name__)


class FallbackBackend:
    """A backend, until its engine turns out to be unusable here; from then on another one.

    make_other: makes that other backend, when it is needed.
    """

    def __init__(self, backend: Any, make_other: Callable[[], Any], name: str) -> None:
        self._backend = backend
        self._make_other: Callable[[], Any] | None = make_other  # None once it was used
        self._name = name
        self._lock = threading.Lock()

    def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
        """See Backend; an answer that has begun is not begun anew."""
        backend, begun = self._backend, False
        try:
            with closing(backend.generate(requests)) as events:
                for event in events:
                    begun |= isinstance(event, Done) or event.text != ""
                    yield event
        except EngineUnusable as error:
            if begun:
                raise
            other = self._other_than(backend, error)
        else:
            return
        yield from other.generate(requests)

    def loglikelihoods(self, requests: Sequence[Request], options: Sequence[Sequence[str]]) -> list[list[float] | None]:
        """See Backend."""
        return self._first_usable(lambda backend: backend.loglikelihoods(requests, options))

    def count_tokens(self, request: Request) -> int:
        """See Backend."""
        return self._first_usable(lambda backend: backend.count_tokens(request))

    def check(self) -> ModelFacts:
        """What the model's files say of it."""
        return self._first_usable(lambda backend: backend.check())

    @property
    def n_ctx(self) -> int:
        """See Backend."""
        return self._first_usable(lambda backend: backend.n_ctx)

    def close(self) -> None:
        """See Backend."""
        self._backend.close()

    def _first_usable(self, call: Callable[[Any], Any]) -> Any:
        backend = self._backend
        try:
            return call(backend)
        except EngineUnusable as error:
            return call(self._other_than(backend, error))

    def _other_than(self, unusable: Any, error: EngineUnusable) -> Any:
        """The backend to go on with; raises the error when there is no other left."""
        with self._lock:
            if self._backend is unusable:
                if self._make_other is None:
                    raise error
                logger.warning("%s goes on with another engine: %s", self._name, error)
                self._backend, self._make_other = self._make_other(), None
            return self._backend

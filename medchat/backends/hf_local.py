"""Models through transformers, which lives in a worker process (hf_worker.py) shared by all threads.

Nothing here imports torch: the process that serves the pages never does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from medchat.backends import worker
from medchat.backends.worker import prompt_order
from medchat.records import Done, ModelFacts, Request, Text

UNUSABLE = (
    "torch and transformers are not installed or cannot run on this machine; install them with"
    " 'pip install torch transformers' or choose another model."
)
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}  # nothing is ever fetched from there


class HfEngine(worker.Engine):
    """The transformers worker: a model's answers are continued together, each with its prompt within n_ctx tokens."""

    def __init__(
        self,
        threads: int,
        n_ctx: int,
        available_memory: Callable[[], int] = lambda: psutil.virtual_memory().available,
    ) -> None:
        super().__init__(
            "medchat.backends.hf_worker",
            [str(threads), str(n_ctx)],
            library="transformers",
            unusable=UNUSABLE,
            environment=ENVIRONMENT,
            available_memory=available_memory,
        )


class HfBackend:
    """A model folder as a backend; without an engine given it has one of its own.

    adapter: the folder of a LoRA on top of it, made by PEFT. precision: nf4, int8, bf16 or fp32; a folder whose
    weights are already packed is loaded as it is. template_options: what its chat template is also told.
    """

    def __init__(
        self,
        path: Path,
        engine: HfEngine | None = None,
        *,
        adapter: Path | None = None,
        precision: str = "bf16",
        template_options: Mapping[str, Any] | None = None,
        threads: int = 2,
        n_ctx: int = 4096,
    ) -> None:
        self._model = {
            "path": str(path.resolve()),
            "adapter": str(adapter.resolve()) if adapter else "",
            "precision": precision,
            "template_options": dict(template_options or {}),
        }
        self._engine = engine or HfEngine(threads, n_ctx)
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
        """What the folder's files say of it; raises ModelUnavailable when it, or its adapter, cannot be run."""
        return ModelFacts(*self._engine.ask("check", self._model))

    def close(self) -> None:
        """See Backend."""
        if self._owns_engine:
            self._engine.close()
        else:
            self._engine.unload(self._model)

"""A panel service with scripted models, for tests of comparisons."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from medchat.backends import Backend
from medchat.catalogue import ModelSpec
from medchat.grounding import Grounder
from medchat.panel import Choice, LivePanel, PanelService, PanelView
from medchat.records import Sampling
from medchat.settings import Settings
from medchat.store import Store, migrate

CASE = "Fever and cough for three days."
CHOICES = (Choice("swift"), Choice("sluggish"))


class NoGrounder:
    """Where there is no Grounder."""

    ready = True

    def get(self, timeout_s: float | None = None) -> Grounder | None:
        return None


class Models(dict[str, ModelSpec]):
    """A Catalogue of these models."""

    def __init__(self, *specs: ModelSpec) -> None:
        super().__init__({spec.id: spec for spec in specs})

    def resolve(self, name: str) -> ModelSpec:
        return self[name]


def model(model_id: str, **more: Any) -> ModelSpec:
    values: dict[str, Any] = {
        "name": model_id.title(), "backend": "scripted", "answer_format": "gemma-grpo", "n_ctx": 4096,
        "sampling": Sampling(max_new_tokens=2000), "description": "", "licence": "", "limits": (),
    }  # fmt: skip
    return ModelSpec(id=model_id, **{**values, **more})


def store_in(folder: Path) -> Store:
    url = f"sqlite:///{folder / 'medchat.db'}"
    migrate.upgrade(url, folder / "backups")
    return Store(url)


def service(
    store: Store, backends: Mapping[str, Backend], *specs: ModelSpec, draw: Callable[[], int] = lambda: 0
) -> PanelService:
    """A service whose models, `specs` or plain ones, are these backends, by their ids; even: drawn as chosen."""
    models = Models(*(specs or map(model, backends)))
    settings = Settings(data_dir=Path("unused"), model=next(iter(models)))
    return PanelService(store, models, lambda spec: backends[spec.id], NoGrounder(), settings, draw)


def watched(panel: LivePanel, timeout_s: float = 20) -> list[PanelView]:
    """Every view until the end, as a page that never sleeps would see them."""
    views = [panel.view()]
    deadline = time.monotonic() + timeout_s
    while not panel.ended:
        assert time.monotonic() < deadline, "it did not end in time"
        views.append(panel.wait(views[-1].revision, timeout_s))
    return views


def wait_until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)

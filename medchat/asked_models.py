"""The models that can be asked, and what the store is told of those that were."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Protocol

from medchat.catalogue import ModelSpec
from medchat.errors import ModelUnavailable, NotFound
from medchat.store import ModelRecord, Store

BLOCK = 1 << 20


class Models(Protocol):
    """The models that can be asked, at any moment those that there are then (catalogue.Catalogue)."""

    def get(self, model_id: str, /) -> ModelSpec | None:
        """The model of this id, None for none."""
        ...

    def values(self) -> Iterable[ModelSpec]:
        """All of them."""
        ...

    def resolve(self, name: str) -> ModelSpec:
        """The model that a setting names. Raises NotFound."""
        ...


class AskedModels:
    """Models that are about to answer: each is in the store, as it is now, before its first answer is."""

    def __init__(self, store: Store, catalogue: Models) -> None:
        self._store = store
        self._catalogue = catalogue
        self._lock = Lock()
        self._stored: dict[str, tuple[ModelSpec, tuple[float, ...]]] = {}

    def get(self, model_id: str) -> ModelSpec:
        """The model, which can be asked now: a name comes from a browser, and only ids are looked up.

        Raises NotFound, and ModelUnavailable for one that has to be fetched first.
        """
        spec = self._catalogue.get(model_id)
        if spec is None:
            here = ", ".join(spec.name for spec in self._catalogue.values() if spec.is_here)
            raise NotFound(f"There is no such model here any more. Choose one of: {here}.")
        if not spec.is_here:
            raise ModelUnavailable(
                f"{spec.name} is not on this machine yet: fetch it in the Models tab, or choose another model."
            )
        return spec

    def names(self, model_ids: Iterable[str]) -> dict[str, str]:
        """The names of the models, also of those that are gone."""
        specs = {model_id: self._catalogue.get(model_id) for model_id in model_ids}
        stored = {} if all(specs.values()) else self._store.model_names()
        return stored | {model_id: spec.name for model_id, spec in specs.items() if spec}

    def remember(self, spec: ModelSpec) -> None:
        """Tell the store of the model, unless it knows it as it is."""
        known = spec, tuple(file.stat().st_mtime for file in _adapter_files(spec))
        with self._lock:
            if self._stored.get(spec.id) == known:
                return
        revision = spec.hub.revision if spec.hub else ""
        self._store.add_model(
            ModelRecord(spec.id, spec.name, spec.base, revision, adapter_hash(spec), spec.answer_format)
        )
        with self._lock:
            self._stored[spec.id] = known


def adapter_hash(spec: ModelSpec) -> str:
    """SHA-256 (hex) of the adapter's weights, "" for a model without one."""
    files = _adapter_files(spec)
    if not files:
        return ""
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(BLOCK):
                digest.update(block)
    return digest.hexdigest()


def _adapter_files(spec: ModelSpec) -> list[Path]:
    """What the adapter is made of: its one file, or the weights and the settings in its folder."""
    if spec.adapter is None:
        return []
    if spec.adapter.is_file():
        return [spec.adapter]
    return sorted(file for file in spec.adapter.glob("adapter_*") if file.is_file())

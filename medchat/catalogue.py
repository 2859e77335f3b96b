"""The models that can answer: those of assets/models.yaml, those added by somebody, and files of one's own."""

import hashlib
import logging
import os
from collections.abc import ItemsView, Iterator, Mapping, ValuesView
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from threading import Lock

from medchat.errors import InvalidInput, NotFound
from medchat.models_file import (
    UNFINISHED,
    BackendName,
    Endpoint,
    HubSource,
    ModelSpec,
    Precision,
    is_complete,
    parse_models,
    read_models,
    row_of,
    unknown_model,
    write_models,
)
from medchat.settings import ASSETS

__all__ = [
    "UNFINISHED", "BackendName", "Catalogue", "Endpoint", "HubSource", "ModelSpec", "Precision", "is_complete",
]  # fmt: skip

NAME_CHARS = 60  # of a name that nobody knows, in the error

log = logging.getLogger(__name__)


class Catalogue(Mapping[str, ModelSpec]):
    """The models by id, the default first; what is added, by another process too, is there for all threads at once.

    models_dir: where models of the Hub are, each in a folder of its own. own_file: the models that somebody
    added; a broken one is reported in the log, left as it is, and the rest goes on with what was read before.
    Raises InvalidInput with one line that names the place when the bundled file breaks the schema.
    """

    def __init__(self, models_dir: Path, own_file: Path | None = None, path: Path = ASSETS / "models.yaml") -> None:
        self._models_dir = models_dir
        self._own_file = own_file
        self._bundled = read_models(path, models_dir)
        self._opened: dict[str, ModelSpec] = {}
        self._lock = Lock()
        self._own: dict[str, ModelSpec] = {}
        self._load_own()

    def __getitem__(self, model_id: str) -> ModelSpec:
        return self._now()[model_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    # Mapping's own would look each model up, of which one may be gone by then.
    def values(self) -> ValuesView[ModelSpec]:
        """The models of this moment."""
        return self._now().values()

    def items(self) -> ItemsView[str, ModelSpec]:
        """The models of this moment with their ids."""
        return self._now().items()

    @property
    def default(self) -> ModelSpec:
        """The model that answers where none is named."""
        return next(iter(self._bundled.values()))

    def resolve(self, name: str) -> ModelSpec:
        """The model called so: "default", an id, or a path to a GGUF file or a model folder.

        One of a path belongs to the catalogue from then on, until the process ends. Raises NotFound, and
        InvalidInput for an adapter.
        """
        if name == "default":
            return self.default
        models = self._now()
        if name in models:
            return models[name]
        spec = _of_path(os.path.expanduser(name))
        if spec is None:
            near = get_close_matches(name[:NAME_CHARS], models, 3)
            meant = f" Did you mean {' or '.join(near)}?" if near else ""
            raise NotFound(
                f"There is no model {_short(name)!r}; give {self.default.id}, another id that"
                f" `python -m medchat models` lists, a GGUF file or a model folder.{meant}"
            )
        with self._lock:
            self._opened[spec.id] = spec
            self._publish()
        return spec

    def add(self, spec: ModelSpec) -> None:
        """Adds a model of one's own and saves it; it takes the place of an own one of this id.

        Raises InvalidInput when the id is a bundled model's, a field cannot be saved, or the file cannot be
        read or written.
        """
        if spec.id in self._bundled or spec.id == "default":
            raise InvalidInput(f"{spec.id!r} is the id of a model that comes with MedChat; choose another name.")
        with self._lock:
            own = dict(self._read_own())
            own[spec.id] = parse_models({"models": [row_of(spec)]}, "The model", self._models_dir, own=True)[spec.id]
            self._save(own)

    def remove(self, model_id: str) -> None:
        """Takes a model of one's own out of the catalogue; its files stay. Raises NotFound, InvalidInput."""
        if model_id in self._bundled:
            raise InvalidInput(f"{model_id!r} comes with MedChat and cannot be removed.")
        with self._lock:
            own = dict(self._read_own())
            if own.pop(model_id, None) is None and self._opened.pop(model_id, None) is None:
                raise NotFound(f"There is no model {_short(model_id)!r} that was added here.")
            self._save(own)

    def _now(self) -> dict[str, ModelSpec]:
        """The models as they are: the file is read again when it has changed."""
        if self._own_file and self._stamp != _stamp_of(self._own_file):
            with self._lock:
                if self._stamp != _stamp_of(self._own_file):
                    self._load_own()
        return self._models

    def _load_own(self) -> None:
        self._stamp = _stamp_of(self._own_file) if self._own_file else None  # before: a change after it is seen
        try:
            self._own = self._read_own()
        except InvalidInput as fault:
            log.warning("The models added here cannot be read. %s", fault)
        for model_id in self._own.keys() & self._bundled.keys():
            log.warning("The model %s that was added here is left out: MedChat now brings one of that id.", model_id)
        self._publish()

    def _read_own(self) -> dict[str, ModelSpec]:
        """The models in the file as it is now: another process may have added some."""
        if self._own_file is None:
            return self._own
        if not self._own_file.exists():
            return {}
        return read_models(self._own_file, self._models_dir, own=True)

    def _save(self, own: dict[str, ModelSpec]) -> None:
        if self._own_file is None:
            self._own = own
            self._publish()
        else:
            write_models(self._own_file, [row_of(spec) for spec in own.values()])
            self._load_own()

    def _publish(self) -> None:
        # In one step, so that no reader needs the lock.
        self._models = {**self._bundled, **self._opened, **self._own, **self._bundled}


def _stamp_of(file: Path) -> tuple[int, int, int] | None:
    """What differs once the file was written; None when there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _of_path(path: str) -> ModelSpec | None:
    """A model file or folder that nothing is known about; None when there is no such.

    Raises InvalidInput for an adapter, which needs its base.
    """
    backend: BackendName
    if not path:
        return None
    if os.path.isfile(path):  # unlike pathlib's, it takes any text
        backend = "llamacpp"
    elif os.path.isfile(os.path.join(path, "config.json")):
        backend = "transformers"
    elif os.path.isfile(os.path.join(path, "adapter_config.json")):
        raise InvalidInput("This folder is an adapter; add it together with its base: python -m medchat models add.")
    else:
        return None
    place = Path(path).resolve()
    name = place.stem if backend == "llamacpp" else place.name
    model_id = f"{name}-{hashlib.sha256(str(place).encode()).hexdigest()[:8]}"
    return replace(unknown_model(backend), id=model_id, name=name, path=place)


def _short(name: str) -> str:
    return name if len(name) <= NAME_CHARS else f"{name[:NAME_CHARS]}…"

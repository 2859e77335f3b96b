"""The models that can answer: those of assets/models.yaml, those added by somebody, and files of one's own."""

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping
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
    write_models,
)
from medchat.records import Sampling
from medchat.settings import ASSETS

__all__ = [
    "UNFINISHED", "BackendName", "Catalogue", "Endpoint", "HubSource", "ModelSpec", "Precision", "is_complete",
]  # fmt: skip

NAME_CHARS = 60  # of a name that nobody knows, in the error

log = logging.getLogger(__name__)


class Catalogue(Mapping[str, ModelSpec]):
    """The models by id, the default first; what is added is there for all threads at once.

    models_dir: where models of the Hub are, each in a folder of its own. own_file: the models that somebody
    added; a broken one is reported in the log, left as it is, and the rest goes on without it.
    Raises InvalidInput with one line that names the place when the bundled file breaks the schema.
    """

    def __init__(self, models_dir: Path, own_file: Path | None = None, path: Path = ASSETS / "models.yaml") -> None:
        self._models_dir = models_dir
        self._own_file = own_file
        self._bundled = read_models(path, models_dir)
        self._opened: dict[str, ModelSpec] = {}
        self._lock = Lock()
        self._own: dict[str, ModelSpec] = {}
        self._publish()
        try:
            self._own = self._read_own()
        except InvalidInput as fault:
            log.warning("The models added here are left out. %s", fault)
        for model_id in self._own.keys() & self._bundled.keys():
            log.warning("The model %s that was added here is left out: MedChat now brings one of that id.", model_id)
        self._publish()

    def __getitem__(self, model_id: str) -> ModelSpec:
        return self._models[model_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    @property
    def default(self) -> ModelSpec:
        """The model that answers where none is named."""
        return next(iter(self._models.values()))

    def resolve(self, name: str) -> ModelSpec:
        """The model called so: "default", an id, or a path to a GGUF file or a model folder.

        One of a path belongs to the catalogue from then on, until the process ends. Raises NotFound, and
        InvalidInput for an adapter.
        """
        if name == "default":
            return self.default
        models = self._models
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

    def _read_own(self) -> dict[str, ModelSpec]:
        """The models in the file as it is now: another process may have added some."""
        if self._own_file is None:
            return self._own
        if not self._own_file.exists():
            return {}
        return read_models(self._own_file, self._models_dir, own=True)

    def _save(self, own: dict[str, ModelSpec]) -> None:
        if self._own_file is not None:
            write_models(self._own_file, [row_of(spec) for spec in own.values()])
        self._own = own
        self._publish()

    def _publish(self) -> None:
        # In one step, so that no reader needs the lock.
        self._models = {**self._bundled, **self._opened, **self._own, **self._bundled}


def _of_path(path: str) -> ModelSpec | None:
    """A model file or folder that nothing is known about; None when there is no such.

    Raises InvalidInput for an adapter, which needs its base. `think` is also right for models that write no marks.
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
    return ModelSpec(
        id=f"{name}-{hashlib.sha256(str(place).encode()).hexdigest()[:8]}",
        name=name,
        backend=backend,
        path=place,
        answer_format="think",
        sampling=Sampling(max_new_tokens=1024, temperature=0.6, top_p=0.95, top_k=20),
        n_ctx=4096,
        description="A model of your own.",
        licence="not known",
        limits=("Nothing is known here about what it can do and cannot do.", "Not for the care of patients."),
        own=True,
    )


def _short(name: str) -> str:
    return name if len(name) <= NAME_CHARS else f"{name[:NAME_CHARS]}…"

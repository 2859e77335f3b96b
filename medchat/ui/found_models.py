"""Model files that lie in MedChat's folders and are in no list yet."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

from medchat.catalogue import UNFINISHED, ModelSpec, is_complete
from medchat.models_file import is_gguf

MOST_FOUND = 100
MOST_FOLDERS = 2000  # looked into, should somebody name a large disk as the models folder
MOST_DEPTH = 4


def unlisted(folders: Sequence[Path], models: Mapping[str, ModelSpec], kind: Literal["model", "adapter"]) -> list[Path]:
    """GGUF files, and folders of weights or of adapters, that are no model's of the catalogue; at most MOST_FOUND.

    A GGUF file may be either kind: only its check tells.
    """
    marks = {"model": "config.json", "adapter": "adapter_config.json"}
    listed = {path.resolve() for spec in models.values() for path in (spec.path, spec.adapter) if path}
    found: dict[Path, None] = {}
    for folder in folders:
        for place in _places(folder.resolve(), marks[kind]):
            if place not in listed and is_complete(place):
                found[place] = None
            if len(found) >= MOST_FOUND:
                return list(found)
    return list(found)


def _places(folder: Path, mark: str) -> Iterator[Path]:
    """Folders with a file of this name, and GGUF files, by name."""
    for n_seen, (here, inner, files) in enumerate(os.walk(folder), start=1):
        place = Path(here)
        inner[:] = sorted(name for name in inner if not name.startswith(".") and not name.endswith(UNFINISHED))
        if n_seen >= MOST_FOLDERS or len(place.relative_to(folder).parts) >= MOST_DEPTH:
            inner.clear()
        if mark in files:
            yield place
        yield from (place / name for name in sorted(files) if name.endswith(".gguf") and is_gguf(place / name))

"""Replies of teachers on disk, by the content of what was asked: nothing is asked twice."""

import hashlib
import json
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from medchat.catalogue import ModelSpec
from medchat.records import Request
from medchat.run_files import json_of, text_of, write_whole, writing

VERSION = 1  # of what a file holds
MEASURED = 200  # kept replies that tell how long the answers of a model are


class Kept(NamedTuple):
    """A reply as it is kept. whole: nothing of it is missing. seconds: from the request to its end."""

    raw: str
    reasoning: str
    solution: str
    finish_reason: str
    whole: bool
    prompt_tokens: int
    completion_tokens: int
    seconds: float


class Pace(NamedTuple):
    """Means over kept replies of a model. n: of how many; 0 where there is none."""

    n: int
    completion_tokens: float
    seconds: float


class ReplyCache:
    """The kept replies of one model, each in a file of its own."""

    def __init__(self, cache_dir: Path, spec: ModelSpec) -> None:
        self._model = _identity(spec)
        name = "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in spec.id)[:60]
        self._folder = cache_dir / "teachers" / f"{name}-{_hash(self._model)[:8]}"

    def key_of(self, request: Request, n: int) -> str:
        """What this request's reply is kept under. n: the number of the answer, where several are wanted."""
        messages = [[message.role, message.content] for message in request.messages]
        return _hash([VERSION, self._model, messages, asdict(request.sampling), request.raw, request.prefill, n])

    def get(self, key: str) -> Kept | None:
        """The kept reply; None when there is none, or it cannot be read. Raises RunError for a file that is closed."""
        text = text_of(self._file(key))
        row = json_of(text) if text else None
        try:
            return Kept(*(row[name] for name in Kept._fields)) if isinstance(row, dict) else None
        except KeyError:
            return None

    def keep(self, key: str, kept: Kept) -> None:
        """Write it, whole and safe from a power cut. Raises RunError."""
        file = self._file(key)
        with writing():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, json.dumps(kept._asdict(), ensure_ascii=False))

    def pace(self) -> Pace:
        """How long the answers of the model were, and how long they took, by some of what is kept."""
        files = islice(self._folder.glob("*/*.json"), MEASURED)
        rows = [row for file in files if isinstance(row := json_of(text_of(file) or ""), dict)]
        n = len(rows)
        tokens = sum(row.get("completion_tokens", 0) for row in rows)
        return Pace(n, tokens / n, sum(row.get("seconds", 0.0) for row in rows) / n) if n else Pace(0, 0.0, 0.0)

    def _file(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"


def _identity(spec: ModelSpec) -> list[Any]:
    """What tells a model from another one of the same name."""
    places = [str(place) if place else None for place in (spec.path, spec.adapter)]
    hubs = [asdict(source) if source else None for source in (spec.hub, spec.adapter_hub)]
    server = None
    if spec.endpoint:
        server = [spec.endpoint.base_url, spec.endpoint.model, spec.endpoint.sends_sampling, dict(spec.endpoint.extra)]
    told = [spec.answer_format, spec.system_prompt, spec.prompt, spec.prompt_with_context, dict(spec.template_options)]
    return [spec.id, spec.backend, places, hubs, server, told, spec.precision]


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode("utf-8", "surrogatepass")).hexdigest()

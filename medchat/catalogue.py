"""The models that can answer: what is known of each, from assets/models.yaml or a GGUF file of one's own."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from medchat.errors import InvalidInput, NotFound
from medchat.formats import FORMATS
from medchat.records import Sampling
from medchat.settings import ASSETS, ROOT


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model. id: its stable key. path: its GGUF file. n_ctx: tokens of prompt and answer together.

    limits: what it cannot do, in plain words. demo: one of the bundled teaching models. grounded: it is
    told what was recognised in the case.
    """

    id: str
    name: str
    backend: str
    path: Path
    answer_format: str
    sampling: Sampling
    n_ctx: int
    description: str
    licence: str
    limits: tuple[str, ...]
    system_prompt: str = ""
    demo: bool = False
    grounded: bool = False


def _known_format(name: str) -> str:
    if name not in FORMATS:
        raise ValueError(f"{name!r} is none of {', '.join(FORMATS)}")
    return name


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Words = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(gt=0, le=1)]


class _Sampling(_Schema):
    max_new_tokens: Annotated[int, Field(ge=1)]
    temperature: Annotated[float, Field(ge=0, le=5)] = 0.0
    top_p: Share = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0


class _Model(_Schema):
    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    name: Words
    backend: Literal["llamacpp"]
    path: Words
    answer_format: Annotated[str, AfterValidator(_known_format)]
    sampling: _Sampling
    n_ctx: Annotated[int, Field(ge=64)]
    description: Words
    licence: Words
    limits: Annotated[list[Words], Field(min_length=1)]
    system_prompt: str = ""
    demo: bool = False
    grounded: bool = False


class _File(_Schema):
    models: Annotated[list[_Model], Field(min_length=1)]


def load_catalogue(path: Path = ASSETS / "models.yaml") -> dict[str, ModelSpec]:
    """The models of a catalogue file by id, the default first; their paths are relative to the project.

    Raises InvalidInput with one line that names the place when the file breaks the schema.
    """
    try:
        raw = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"The model catalogue {path.name} cannot be read; is the installation whole?") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InvalidInput(f"{path.name}:{line}: not valid YAML: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path.name}: not a YAML text in UTF-8.") from error
    try:
        models = _File.model_validate(raw).models
    except ValidationError as error:
        raise InvalidInput(f"{path.name}: {_first_fault(error, raw)}.") from error
    catalogue: dict[str, ModelSpec] = {}
    for model in models:
        if model.id in catalogue or model.id == "default":
            raise InvalidInput(f"{path.name}: {model.id}: id: this id is taken.")
        if model.sampling.max_new_tokens >= model.n_ctx:
            raise InvalidInput(
                f"{path.name}: {model.id}: sampling.max_new_tokens: leaves no room in n_ctx for a prompt."
            )
        catalogue[model.id] = _spec(model)
    return catalogue


def resolve(name: str, catalogue: Mapping[str, ModelSpec]) -> ModelSpec:
    """The model called so: "default" (the first of the catalogue), an id, or a path to a GGUF file.

    Raises NotFound, which names the known ids.
    """
    if name == "default":
        return next(iter(catalogue.values()))
    if name in catalogue:
        return catalogue[name]
    path = os.path.expanduser(name)
    if os.path.isfile(path):  # unlike pathlib's, it takes any text
        return _own_file(Path(path).resolve())
    known = ", ".join(("default", *catalogue))
    if os.path.isdir(path):
        raise NotFound(f"{name!r} is a folder; give a GGUF file or one of: {known}.")
    raise NotFound(f"There is no model {name!r}; give a GGUF file or one of: {known}.")


def _spec(model: _Model) -> ModelSpec:
    fields = model.model_dump(exclude={"path", "sampling", "limits"})
    sampling = Sampling(**model.sampling.model_dump())
    return ModelSpec(**fields, path=ROOT / model.path, sampling=sampling, limits=tuple(model.limits))


def _own_file(path: Path) -> ModelSpec:
    """A file that nothing is known about; `think` is also right for models that write no marks."""
    key = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    return ModelSpec(
        id=f"{path.stem}-{key}",
        name=path.stem,
        backend="llamacpp",
        path=path,
        answer_format="think",
        sampling=Sampling(max_new_tokens=1024, temperature=0.6, top_p=0.95, top_k=20),
        n_ctx=4096,
        description="A model file of your own.",
        licence="not known",
        limits=("Nothing is known here about what it can do and cannot do.", "Not for the care of patients."),
    )


def _first_fault(error: ValidationError, raw: object) -> str:
    """Model, field and reason of the first thing that is wrong."""
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    if len(place) > 1 and isinstance(raw, dict):
        row = raw["models"][int(place[1])]
        model_id = row.get("id") if isinstance(row, dict) else None
        place = [str(model_id or f"model {int(place[1]) + 1}"), ".".join(place[2:])]
    message = first["msg"].removeprefix("Value error, ").removesuffix(".")
    return ": ".join([*filter(None, place), message[:1].lower() + message[1:]])

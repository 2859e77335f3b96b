"""Suite files: the YAML schema of assets/suites, and in one line with its place what is wrong with one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from evaluation.benchmarks import BENCHMARKS
from evaluation.templates import TEMPLATES, Template
from medchat.errors import InvalidInput
from medchat.records import SAMPLING_RANGES, Sampling
from medchat.yaml_lines import Place, line_of, read_yaml

_PLAIN = {"extra_forbidden": "a suite has no such field", "missing": "this is missing"}  # instead of pydantic's words

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FileTemplate(_Strict):
    """A template of the suite's own."""

    text: Annotated[str, Field(min_length=1)]
    raw: bool = False
    stops: list[Annotated[str, Field(min_length=1)]] = []
    choice_prefix: str = ""
    choices: Literal["letters", "texts"] = "letters"


class FileSampling(_Strict):
    """How the suite's answers are drawn."""

    max_new_tokens: int = Sampling().max_new_tokens
    temperature: float = Sampling().temperature
    top_p: float = Sampling().top_p
    top_k: int = Sampling().top_k
    seed: int = Sampling().seed
    presence_penalty: float = Sampling().presence_penalty


class FileReference(_Strict):
    """A figure that somebody states for a metric."""

    metric: Name
    value: Words | float
    who: Words
    note: str = ""


class FilePassLine(_Strict):
    """The share of a metric from which on the suite is passed."""

    metric: Name
    share: Annotated[float, Field(gt=0, lt=1)]


class FileHub(_Strict):
    """A data set of the Hugging Face Hub. add: fields that every row gets."""

    repo: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    split: Words
    configs: list[Words] = []
    data_file: str = ""
    revision: str = "main"
    add: dict[str, str | int] = {}


class SuiteFile(_Strict):
    """A whole file. Its examples are a .jsonl file beside it, or those of a benchmark in its own files.

    template: the name of one; wording: one of its own.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
    title: Words
    about: Words
    family: Literal["bundled", "benchmark", "own"]
    licence: Words
    examples: Annotated[str, Field(pattern=r"^[\w.-]+\.jsonl$")] | None = None
    benchmark: str | None = None
    hub: FileHub | None = None
    template: str = ""
    wording: FileTemplate | None = None
    sampling: FileSampling | None = None
    metrics: Annotated[list[Name], Field(min_length=1)]
    references: list[FileReference] = []
    pass_line: FilePassLine | None = None
    shuffles: Annotated[int, Field(ge=0, le=20)] = 0
    groups: list[Name] = []


def read_suite_file(path: Path) -> SuiteFile:
    """The file's content. Raises InvalidInput with file and line."""
    raw, lines = read_yaml(path)
    if not isinstance(raw, dict):
        raise InvalidInput(f"{path.name}:1: a suite has name, title, about, metrics and more; nothing such is here.")
    try:
        file = SuiteFile.model_validate(raw)
    except ValidationError as error:
        raise _schema_fault(path, lines, error) from error
    place_and_fault = _fault(file, path.stem)
    if place_and_fault:
        place, fault = place_and_fault
        raise InvalidInput(f"{path.name}:{line_of(lines, (place,))}: {fault}.")
    return file


def template_of(file: SuiteFile) -> Template:
    """The template that the file names, or its own."""
    its = file.wording
    if its is None:
        return TEMPLATES[file.template]
    return Template("own", its.text, its.raw, tuple(its.stops), its.choice_prefix, its.choices)


def _schema_fault(path: Path, lines: Mapping[Place, int], error: ValidationError) -> InvalidInput:
    first = error.errors()[0]
    place = tuple(part for end, part in enumerate(first["loc"], 1) if first["loc"][:end] in lines)
    missing = first["loc"][-1:] if first["type"] == "missing" else ()
    what = ".".join(str(part + 1 if isinstance(part, int) else part) for part in (*place, *missing))
    said = _PLAIN.get(first["type"]) or first["msg"].removeprefix("Value error, ")
    return InvalidInput(f"{path.name}:{line_of(lines, place)}: {what}: {said[:1].lower() + said[1:]}.")


def _fault(file: SuiteFile, stem: str) -> tuple[str, str] | None:
    """Where the schema holds and yet something is wrong, and what."""
    if file.name != stem:
        return "name", f"the name {file.name!r} is not that of the file"
    if (file.examples is None) == (file.benchmark is None):
        return "name", "a suite has either 'examples' (a file) or 'benchmark'"
    if file.benchmark is not None and file.benchmark not in BENCHMARKS:
        return "benchmark", f"unknown benchmark {file.benchmark!r}; choose one of: {', '.join(BENCHMARKS)}"
    if file.hub and not file.benchmark:
        return "hub", "only the rows of a benchmark can be read from the Hub"
    if bool(file.template) == bool(file.wording):
        return "template", "a suite has either 'template' (a name) or 'wording' (one of its own)"
    if file.template and file.template not in TEMPLATES:
        return "template", f"unknown template {file.template!r}; choose one of: {', '.join(TEMPLATES)}"
    if file.wording and "{question}" not in file.wording.text:
        return "wording", "its text needs the place {question}"
    for name, value in (file.sampling.model_dump() if file.sampling else {}).items():
        low, high = SAMPLING_RANGES[name]
        if not low <= value <= high:
            return "sampling", f"{name} is {value:g}; it goes from {low:g} to {high:g}"
    if file.pass_line and file.pass_line.metric not in file.metrics:
        return "pass_line", f"the suite has no metric {file.pass_line.metric!r}"
    return None

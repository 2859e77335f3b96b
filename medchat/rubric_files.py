"""Rubric files: their schema, and in one line with its place what is wrong with one."""

from collections.abc import Container, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from medchat.errors import InvalidInput
from medchat.yaml_lines import Place, line_of, read_yaml

SIDES = ("a", "b", "tie")  # the values of each pairwise axis
CRITERION_VALUES = ("met", "not_met", "cannot_judge")
SAFETY_IDS = ("harm_extent", "harm_likelihood", "critical")  # what every answer is asked beside its rubric
MAX_OPTIONS = 9  # a digit answers
MAX_POINTS = 10

Kind = Literal["scale", "choice", "criteria"]


def _as_text(value: object) -> object:
    """Numbers as the text that a form sends back; what YAML reads as true or false was most likely yes or no."""
    if isinstance(value, bool):
        raise ValueError("this is read as true or false; put it in quotes")
    return str(value) if isinstance(value, int) else value


_PLAIN = {"extra_forbidden": "a rubric has no such field", "missing": "this is missing"}  # instead of pydantic's words


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000)]
Value = Annotated[str, BeforeValidator(_as_text), Field(pattern=r"^[a-z0-9_]{1,40}$")]
AxisId = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class FileOption(_Strict):
    """An answer to an axis; without a label its value is shown."""

    value: Value
    label: Words | None = None
    help: Note = ""


Options = Annotated[list[FileOption], Field(min_length=2, max_length=MAX_OPTIONS)]


class FileOnlyIf(_Strict):
    """The axis before and the values of it with which another is asked."""

    axis: AxisId
    values: Annotated[list[Value], Field(min_length=1)]


class FileAxis(_Strict):
    """A question, with one of the file's scales or options of its own; a criterion has points instead."""

    id: AxisId
    question: Words
    help: Note = ""
    section: Note = ""
    kind: Kind
    scale: str | None = None
    options: Options | None = None
    required: bool = True
    reverse: bool = False
    only_if: FileOnlyIf | None = None
    points: Annotated[int, Field(ge=-MAX_POINTS, le=MAX_POINTS)] | None = None


class RubricFile(_Strict):
    """A whole file."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
    version: Annotated[int, Field(ge=1)]
    title: Words
    description: Words
    pairwise: bool = False
    scales: dict[str, Options] = {}
    axes: Annotated[list[FileAxis], Field(min_length=1)]

    def options_of(self, axis: FileAxis) -> list[FileOption]:
        """Those that the file gives the axis, none for a criterion."""
        return self.scales[axis.scale] if axis.scale is not None else axis.options or []


def read_rubric_file(path: Path, taken: Container[str] = ()) -> RubricFile:
    """The file's content. Raises InvalidInput with file and line, also when its id is taken."""
    raw, lines = read_yaml(path)
    if not isinstance(raw, dict):
        raise InvalidInput(
            f"{path.name}:1: a rubric has id, version, title, description and axes; nothing such is here."
        )
    try:
        file = RubricFile.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        message = _PLAIN.get(first["type"]) or first["msg"].removeprefix("Value error, ")
        raise _fault(path, lines, first["loc"], message[:1].lower() + message[1:]) from error
    fault = next(_faults(file), None)
    if fault:
        raise _fault(path, lines, *fault)
    if file.id in taken:
        raise _fault(path, lines, ("id",), f"there is a rubric {file.id!r} already")
    return file


def _faults(file: RubricFile) -> Iterator[tuple[Place, str]]:
    """Where the schema holds and yet something is wrong, and what."""
    for name, scale in file.scales.items():
        yield from _option_faults(scale, ("scales", name))
    values: dict[str, Sequence[str]] = {}
    for number, axis in enumerate(file.axes):
        for place, fault in _axis_faults(file, axis, values):
            yield ("axes", number, *place), fault
        values[axis.id] = [option.value for option in file.options_of(axis)] or CRITERION_VALUES


def _axis_faults(file: RubricFile, axis: FileAxis, before: Mapping[str, Sequence[str]]) -> Iterator[tuple[Place, str]]:
    """before: the values of each axis before this one."""
    if axis.id in before:
        yield ("id",), f"there is an axis {axis.id!r} already"
    if not file.pairwise and axis.id in SAFETY_IDS:
        yield ("id",), f"{axis.id!r} is asked of every answer as it is; leave it out here"
    if axis.scale is not None and axis.scale not in file.scales:
        known = ", ".join(file.scales) or "none"
        yield ("scale",), f"unknown scale {axis.scale!r}; the scales of this file are: {known}"
    values = tuple(option.value for option in file.options_of(axis))
    if axis.kind == "criteria":
        if values:
            yield ("kind",), "criteria are met, not met or cannot be judged; leave out scale and options"
        if not axis.points:
            yield ("points",), "a criterion needs points, from -10 to 10 and not 0"
    else:
        if (axis.scale is None) == (axis.options is None):
            yield (), "an axis has either 'scale' or 'options'"
        if axis.points is not None:
            yield ("points",), "only criteria have points"
        yield from _option_faults(axis.options or [], ("options",))
    if axis.kind == "scale" and not _rises(values):
        yield ("kind",), "the values of a scale are whole numbers, each larger than the one before"
    if file.pairwise and (axis.kind != "choice" or values != SIDES):
        yield (), "in a pairwise rubric each axis is a choice with the values a, b and tie"
    if axis.reverse and not file.pairwise and axis.kind != "scale":
        yield ("reverse",), "only a scale or a pairwise axis can be reversed"
    if axis.only_if and axis.only_if.axis not in before:
        yield ("only_if",), f"no axis before this one has the id {axis.only_if.axis!r}"
    strange = set(axis.only_if.values) - set(before[axis.only_if.axis]) if axis.only_if else set()
    if axis.only_if and strange:
        yield ("only_if",), f"{axis.only_if.axis!r} has no value {min(strange)!r}"


def _option_faults(options: list[FileOption], place: Place) -> Iterator[tuple[Place, str]]:
    seen: set[str] = set()
    for number, option in enumerate(options):
        if option.value in seen:
            yield (*place, number), f"the value {option.value!r} is there twice"
        seen.add(option.value)


def _rises(values: Sequence[str]) -> bool:
    return all(value.isdecimal() for value in values) and all(int(a) < int(b) for a, b in pairwise(values))


def _fault(path: Path, lines: Mapping[Place, int], place: Place, message: str) -> InvalidInput:
    """The error, with the line of the innermost part of the place that the file has."""
    what = ".".join(str(part + 1 if isinstance(part, int) else part) for part in place)
    said = " ".join(f"{what + ': ' if what else ''}{message}.".split())  # a key may have line breaks
    return InvalidInput(f"{path.name}:{line_of(lines, place)}: {said}")

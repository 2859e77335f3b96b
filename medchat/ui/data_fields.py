"""Settings of a command that makes or changes data: what they mean, what they may be, and how they are said."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from medchat.errors import InvalidInput

Kind = Literal["choice", "many", "switch", "whole", "number", "text", "file", "model", "models"]
TEXT_CHARS = 4000
SEPARATOR = ","
SET = "set."  # before the key of a threshold, which is said as --set KEY=VALUE
_OPTION = re.compile(r"--([a-z][a-z-]*)(?:[ =]([A-Z]{2,}|\d+|[a-z][a-z-]*)\b)?")  # with what it is set to


@dataclass(frozen=True, slots=True)
class Field:
    """A setting. key: its option without the dashes. default: what the command takes where nothing is said.

    choices: value and words of a choice, or of each box of "many". low, high: of a number. required: it has no default.
    none: what is said where no box is ticked and some are by default. settle: the text as the command takes it; raises
    InvalidInput for what it would refuse.
    """

    key: str
    label: str
    about: str
    kind: Kind = "text"
    default: str = ""
    choices: Sequence[tuple[str, str]] = ()
    low: float = 0
    high: float = 0
    required: bool = False
    none: str = ""
    settle: Callable[[str], str] | None = None

    @property
    def is_share(self) -> bool:
        """Whether it is a part of a whole, which may be typed in percent."""
        return self.kind == "number" and self.high <= 1


@dataclass(frozen=True, slots=True)
class Section:
    """Settings that belong together. is_open: whether they are shown at first."""

    title: str
    fields: Sequence[Field]
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """A command with all its settings. verb: what its button says. uses_teacher: whether it may ask a model."""

    title: str
    about: str
    verb: str
    sections: Sequence[Section]

    @property
    def fields(self) -> dict[str, Field]:
        """All settings by their keys."""
        return {field.key: field for section in self.sections for field in section.fields}


def checked(form: Form, typed: Mapping[str, str]) -> dict[str, str]:
    """What was typed that is not the default, by key. Raises InvalidInput with the label of what cannot be."""
    fields = form.fields
    if unknown := next((key for key in typed if key not in fields), ""):
        raise InvalidInput(f"There is no setting {unknown[:40]!r}; reload the page.")
    found = {}
    for key, field in fields.items():
        text = typed.get(key, field.default).strip()
        if field.required and not text:
            raise InvalidInput(f"{field.label}: choose at least one.")
        if text and text != field.default:
            if (settled := _settled(form, field, text)) != field.default:
                found[key] = settled
        elif not text and field.none:
            found[key] = field.none
        elif not text and field.default and field.kind in ("whole", "number", "text"):
            raise InvalidInput(f"{field.label}: this is empty; it is {field.default} where nothing else is wanted.")
    return found


def arguments(form: Form, given: Mapping[str, str]) -> list[str]:
    """The options of the command line."""
    parts: list[str] = []
    for key, text in given.items():
        kind = form.fields[key].kind
        if key.startswith(SET):
            parts += ["--set", f"{key.removeprefix(SET)}={text}"]
        elif kind == "switch":
            parts.append(f"--{key}")
        elif kind in ("many", "models"):
            parts += [part for value in text.split(SEPARATOR) for part in (f"--{key}", value)]
        else:
            parts += [f"--{key}", text] if not text.startswith("-") else [f"--{key}={text}"]
    return parts


def from_arguments(form: Form, argv: Sequence[str]) -> dict[str, str]:
    """What was typed for this command line, as far as the form has it."""
    typed: dict[str, str] = {}
    for place, part in enumerate(argv):
        key, equals, said = part.removeprefix("--").partition("=")
        if part == "--set":
            key, equals, said = (SET + argv[place + 1]).partition("=")
        field = form.fields.get(key) if part.startswith("--") else None
        if field is None:
            continue
        value = said if equals else "yes" if field.kind == "switch" else argv[place + 1]
        joined = field.kind in ("many", "models") and key in typed
        typed[key] = f"{typed[key]}{SEPARATOR}{value}" if joined else value
    return typed


def in_labels(form: Form, message: str) -> str:
    """A command's complaint with the labels of the form in place of its options: “Kind: ranked answers”."""

    def label(found: re.Match[str]) -> str:
        field = form.fields.get(found[1])
        if field is None:
            return found[0]
        value = found[2] or ""
        if words := dict(field.choices).get(value, ""):
            return f"“{field.label}: {words}”"
        return f"“{field.label}”" + (f" {value}" if value and not value.isupper() else "")

    return _OPTION.sub(label, message)


def _settled(form: Form, field: Field, text: str) -> str:
    """The text as the command takes it. Raises InvalidInput with the field's label."""
    _check(field, text)
    if field.kind in ("whole", "number"):
        return _number(field, text)
    if field.settle is None:
        return text
    try:
        return field.settle(text)
    except InvalidInput as error:
        said = str(error).removeprefix(f"--{field.key}").lstrip(": ")
        raise InvalidInput(f"{field.label}: {in_labels(form, said)}") from error


def _check(field: Field, text: str) -> None:
    if len(text) > TEXT_CHARS or not text.isprintable():
        raise InvalidInput(f"{field.label}: use one line of at most {TEXT_CHARS:,} characters.")
    if field.kind in ("choice", "many"):
        known = {value for value, _ in field.choices}
        given = text.split(SEPARATOR) if field.kind == "many" else [text]
        if not set(given) <= known:
            raise InvalidInput(f"{field.label}: choose what is listed.")


def _number(field: Field, text: str) -> str:
    """The number, a share in percent too, as the command takes it."""
    if "," in text:
        put = text.replace(",", "" if field.kind == "whole" else ".")
        raise InvalidInput(
            f"{field.label}: write {'no comma' if field.kind == 'whole' else 'a point, not a comma'}: {put}"
        )
    percent = field.is_share and text.endswith("%")
    try:
        value = float(text.removesuffix("%")) / 100 if percent else float(text)
    except ValueError:
        value = math.nan
    value = round(value, 12) if math.isfinite(value) else math.nan
    is_wanted = field.low <= value <= field.high and (field.kind == "number" or value == int(value))
    if not is_wanted:
        wanted = "a whole number" if field.kind == "whole" else "a number"
        range_of = f"from {_figure(field.low)} to {_figure(field.high)}"
        in_percent = f", or {_figure(100 * field.low)}% to {_figure(100 * field.high)}%" if field.is_share else ""
        raise InvalidInput(f"{field.label}: give {wanted} {range_of}{in_percent}.")
    return str(int(value)) if field.kind == "whole" else f"{value:.12g}"


def _figure(value: float) -> str:
    """The number written out."""
    return f"{value:,.15g}"

"""Settings of a command that makes or changes data: what they mean, what they may be, and how they are said."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from medchat.errors import InvalidInput

Kind = Literal["choice", "many", "switch", "whole", "number", "text", "file", "model", "models"]
TEXT_CHARS = 4000
SEPARATOR = ","
SET = "set."  # before the key of a threshold, which is said as --set KEY=VALUE


@dataclass(frozen=True, slots=True)
class Field:
    """A setting. key: its option without the dashes. default: what the command takes where nothing is said.

    choices: value and words of a choice, or of each box of "many". low, high: of a number. required: it has no default.
    none: what is said where no box is ticked and some are by default.
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
            _check(field, text)
            found[key] = text
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


def _check(field: Field, text: str) -> None:
    if len(text) > TEXT_CHARS or not text.isprintable():
        raise InvalidInput(f"{field.label}: use one line of at most {TEXT_CHARS:,} characters.")
    if field.kind in ("whole", "number"):
        _check_number(field, text)
    elif field.kind in ("choice", "many"):
        known = {value for value, _ in field.choices}
        given = text.split(SEPARATOR) if field.kind == "many" else [text]
        if not set(given) <= known:
            raise InvalidInput(f"{field.label}: choose what is listed.")


def _check_number(field: Field, text: str) -> None:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    wanted = "a whole number" if field.kind == "whole" else "a number"
    is_wanted = value == int(value) if field.kind == "whole" and math.isfinite(value) else math.isfinite(value)
    if not is_wanted or not field.low <= value <= field.high:
        raise InvalidInput(f"{field.label}: give {wanted} from {field.low:,g} to {field.high:,g}.")

"""What is wrong with a value of a recipe, and what to write instead: pydantic's errors in plain words."""

from collections.abc import Sequence
from typing import Any

from pydantic_core import ErrorDetails

VALUE_CHARS = 60
MAPPINGS = ("dict_type", "model_type", "model_attributes_type")
NAME = "small letters, digits, dots and hyphens, 60 at most, a letter or digit first"  # the one pattern of recipes
TYPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "string_type": "a text",
    "string_pattern_mismatch": NAME,
    **dict.fromkeys(MAPPINGS, "settings by name"),
}
BOUNDS = {
    "greater_than": ("gt", "more than {}"),
    "greater_than_equal": ("ge", "{} or more"),
    "less_than": ("lt", "less than {}"),
    "less_than_equal": ("le", "{} or less"),
}


def said_of(errors: Sequence[ErrorDetails]) -> str:
    """What is wrong, of the errors at one place: a value that fits none of several types has one for each."""
    first = errors[0]
    kind = first["type"]
    if kind == "extra_forbidden":
        return "a recipe has no such key"
    if kind == "missing":
        return "this is missing"
    if kind in ("too_short", "string_too_short"):
        return "this is empty; give one at least" if kind == "too_short" else "this is empty"
    wanted = " or ".join(dict.fromkeys(_wanted(error) for error in errors))
    example = _example(kind, first["input"])
    return f"must be {wanted}, not {_shown(first['input'])}" + (f"; write it as {example}" if example else "")


def _wanted(error: ErrorDetails) -> str:
    """What the value must be, after "must be"."""
    kind, context = error["type"], error.get("ctx", {})
    if kind in TYPES:
        return TYPES[kind]
    if kind in BOUNDS:
        name, words = BOUNDS[kind]
        return words.format(f"{context[name]:g}")
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    return error["msg"].removeprefix("Input should be ").removesuffix(".")


def _example(kind: str, value: Any) -> str:
    """How the value that was given would be written right, "" where that is plain."""
    is_single = isinstance(value, str | int | float) and len(_plain(value)) <= VALUE_CHARS
    if kind == "list_type":
        return f"[{_plain(value)}]" if is_single else "[first, second]"
    if kind == "string_type":
        return f'"{_plain(value)}"' if is_single else '"words"'
    return "{name: value}" if kind in MAPPINGS else ""


def _plain(value: Any) -> str:
    """A single value as YAML has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(value: Any) -> str:
    """The value that was given, shortened."""
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "settings by name"
    text = repr(value) if isinstance(value, str) else "nothing" if value is None else _plain(value)
    return text if len(text) <= VALUE_CHARS else f"{text[:VALUE_CHARS]}…"

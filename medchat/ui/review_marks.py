"""Marks in a text: the words that set a flag off, and what differs from the row that it was made from."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from medchat.ui.common import escape
from medchat.word_diff import word_diff

FLAGGED, CHANGED = "mc-flagged", "mc-changed"


class Mark(NamedTuple):
    """Characters of a text. number: of the flag, 0 for none."""

    start: int
    end: int
    look: str
    number: int = 0


class FlagShown(NamedTuple):
    """A flag of a row, numbered from 1. The words that set it off are field[start:end]."""

    number: int
    name: str
    detail: str
    field: str
    start: int
    end: int


def flags_in(details: object, names: Sequence[str]) -> tuple[FlagShown, ...]:
    """The flags as a row's meta has them; those of which it has the name alone come without a place."""
    found: list[FlagShown] = []
    for one in details if isinstance(details, list) else []:
        if isinstance(one, dict) and isinstance(one.get("name"), str):
            start, end = (_number(one.get(edge)) for edge in ("start", "end"))
            detail, field = (str(one.get(name) or "") for name in ("detail", "field"))
            found.append(FlagShown(len(found) + 1, one["name"], detail, field, start, end))
    for name in names:
        if all(flag.name != name for flag in found):
            found.append(FlagShown(len(found) + 1, name, "", "", 0, 0))
    return tuple(found)


def flag_marks(flags: Iterable[FlagShown], field: str) -> list[Mark]:
    """The marks of the flags in this field."""
    return [Mark(one.start, one.end, FLAGGED, one.number) for one in flags if one.field == field]


def changes_between(before: str, after: str) -> tuple[list[Mark], list[Mark]]:
    """What only the first text has, and what only the second."""
    left, right = [], []
    at = [0, 0]
    for op, text in word_diff(before, after):
        ends = [at[0] + len(text) * (op != "right"), at[1] + len(text) * (op != "left")]
        if op == "left":
            left.append(Mark(at[0], ends[0], CHANGED))
        elif op == "right":
            right.append(Mark(at[1], ends[1], CHANGED))
        at = ends
    return left, right


def marked_html(text: str, marks: Sequence[Mark]) -> str:
    """The text, escaped, with the marks; behind the last words of a flag stands its number."""
    marks = [
        mark._replace(end=min(mark.end, len(text))) for mark in marks if 0 <= mark.start < min(mark.end, len(text))
    ]
    edges = sorted({0, len(text), *(mark.start for mark in marks), *(mark.end for mark in marks)})
    parts = []
    for start, end in pairwise(edges):
        over = [mark for mark in marks if mark.start <= start and end <= mark.end]
        words = escape(text[start:end])
        looks = " ".join(sorted({mark.look for mark in over}))
        numbers = "".join(_number_html(mark.number) for mark in over if mark.number and mark.end == end)
        parts.append(f'<mark class="{looks}">{words}{numbers}</mark>' if looks else words)
    return "".join(parts)


def _number_html(number: int) -> str:
    return f'<sup><span class="mc-vh"> flag </span>{number}</sup>'


def _number(found: object) -> int:
    return found if isinstance(found, int) and not isinstance(found, bool) else 0

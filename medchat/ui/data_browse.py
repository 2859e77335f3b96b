"""Rows of a prepared folder, a page at a time: read from a place in the files on, in constant memory.

A page ends when it is full, or when enough was read for one answer: its next one goes on from there.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from medchat.errors import InvalidInput, NotFound
from medchat.ui.data_folders import GONE, Folder
from train.row_files import sources_of

PAGE_ROWS = 10
PATIENCE_S = 1.5  # for one page, of which a search may need several
COUNT_S = 1.0  # for counting what a search finds beyond its page
CHECK_EVERY = 500  # rows between two looks at the clock
MOST_LINE_BYTES = 8_000_000
TEXT_CHARS = 200
SEARCHED = ("question", "context", "answer", "rationale", "id", "prompt", "chosen", "rejected")
ANY_FLAG, NO_FLAG = "any flag", "no flag"
_CURSOR = re.compile(r"(\d{1,2}):(\d{1,15}):(\d{1,12})")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked for; "" everywhere: every row."""

    text: str = ""
    split: str = ""
    source: str = ""
    flag: str = ""

    @property
    def is_search(self) -> bool:
        """Whether rows may be passed over."""
        return bool(self.text.strip() or self.source or self.flag)


class Found(NamedTuple):
    """A row, or what is wrong with its line. split: the file's name. where: its line."""

    split: str
    where: str
    row: dict[str, Any] | None
    fault: str


class Place(NamedTuple):
    """The line that is read next: the file's number, the byte and the line in it."""

    file: int
    byte: int
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.byte}:{self.line}"


class Page(NamedTuple):
    """Rows of a page. cursor: where it began, "" for the first one. next: where the next one begins, "" for none.

    share: how much of the files was read up to its end, 0 to 1. more: rows that a search finds after it; knows_more:
    whether these are all.
    """

    rows: list[Found]
    cursor: str
    next: str
    share: float
    is_search: bool
    more: int = 0
    knows_more: bool = False


def page_of(
    folder: Folder, asked: Asked, cursor: str, *, n: int = PAGE_ROWS, clock: Callable[[], float] = time.monotonic
) -> Page:
    """The page from the cursor on. Raises InvalidInput for a cursor that is none, NotFound when the folder is gone."""
    files = [file for file in folder.files if file.suffix == ".jsonl" and asked.split in ("", file.stem)]
    begun, rows = clock(), []
    is_wanted = _wanted(asked)
    start = _place_of(cursor, len(files))
    reached = start
    lines = _lines(files, start)
    for number, (place, after, line) in enumerate(lines, 1):
        row, fault = _parsed(line)
        if row is None or is_wanted(row):
            rows.append(Found(files[place.file].stem, f"line {place.line:,}", row, fault))
        reached = after
        if len(rows) == n or (number % CHECK_EVERY == 0 and clock() - begun > PATIENCE_S):
            break
    else:
        return Page(rows, cursor, "", 1.0, asked.is_search)
    share = _share(files, reached)
    found = Page(rows, cursor, "" if share >= 1 else str(reached), share, asked.is_search)
    if not found.next or not asked.is_search or len(rows) < n:
        return found
    more, is_all = _count(lines, is_wanted, clock)
    return found._replace(more=more, knows_more=is_all, next="" if is_all and not more else found.next)


def _count(
    lines: Iterator[tuple[Place, Place, bytes]], is_wanted: Callable[[Mapping[str, Any]], bool],
    clock: Callable[[], float],
) -> tuple[int, bool]:  # fmt: skip
    """How many of the lines are wanted, and whether there was the time to read all."""
    begun, n = clock(), 0
    for number, (_, _, line) in enumerate(lines, 1):
        row, _ = _parsed(line)
        n += row is None or is_wanted(row)
        if number % CHECK_EVERY == 0 and clock() - begun > COUNT_S:
            return n, False
    return n, True


def _wanted(asked: Asked) -> Callable[[Mapping[str, Any]], bool]:
    words = asked.text.casefold().split()

    def is_wanted(row: Mapping[str, Any]) -> bool:
        if asked.source and asked.source not in (row.get("source"), str(row.get("source")).partition("/")[0]):
            return False
        if asked.flag and not _has_flag(row, asked.flag):
            return False
        if not words:
            return True
        text = " ".join(str(row.get(name) or "") for name in SEARCHED).casefold()
        return all(word in text for word in words)

    return is_wanted


def _has_flag(row: Mapping[str, Any], flag: str) -> bool:
    meta = row.get("meta")
    flags = meta.get("flags") if isinstance(meta, Mapping) else None
    names = flags if isinstance(flags, list) else []
    return bool(names) if flag == ANY_FLAG else not names if flag == NO_FLAG else flag in names


def _lines(files: list[Path], start: Place) -> Iterator[tuple[Place, Place, bytes]]:
    """Each line from the place on that is not empty: its place, that of the next one, and the line."""
    place = start
    while place.file < len(files):
        try:
            with files[place.file].open("rb") as stream:
                stream.seek(place.byte)
                while line := stream.readline(MOST_LINE_BYTES):
                    ends = line.endswith(b"\n")
                    after = Place(place.file, place.byte + len(line), place.line + ends)
                    if line.strip():
                        yield place, after, line
                    place = after
        except OSError as error:
            raise NotFound(GONE) from error
        place = Place(place.file + 1, 0, 1)


def _parsed(line: bytes) -> tuple[dict[str, Any] | None, str]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None, "This line is no JSON: the file was changed since it was written, or the row is too long."
    return (row, "") if isinstance(row, dict) else (None, "This line is no row.")


def _share(files: list[Path], reached: Place) -> float:
    try:
        sizes = [file.stat().st_size for file in files]
    except OSError as error:
        raise NotFound(GONE) from error
    done = sum(sizes[: reached.file]) + reached.byte
    return min(1.0, done / max(1, sum(sizes)))


def _place_of(cursor: str, n_files: int) -> Place:
    if not cursor:
        return Place(0, 0, 1)
    found = _CURSOR.fullmatch(cursor)
    if not found or int(found[1]) > n_files:
        raise InvalidInput("There is no such page; search again.")
    return Place(int(found[1]), int(found[2]), int(found[3]))


def choices_of(folder: Folder) -> dict[str, list[str]]:
    """What the filters offer: the splits that are there, the sources and the flags of the report."""
    splits = [file.stem for file in folder.files if file.suffix == ".jsonl"]
    return {"split": splits if len(splits) > 1 else [], "source": _sources(folder.report),
            "flag": _flags(folder.report)}  # fmt: skip


def _sources(report: Mapping[str, Any]) -> list[str]:
    named = [str(row.get("adapter", "")) for row in sources_of(report) if isinstance(row, Mapping)]
    return list(dict.fromkeys(filter(None, named)))


def _flags(report: Mapping[str, Any]) -> list[str]:
    found = report.get("flags")
    names = [str(name) for name in found] if isinstance(found, Mapping) else []
    return [ANY_FLAG, NO_FLAG, *names] if names else []

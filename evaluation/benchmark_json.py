"""JSON files record by record: an object a line, a list, or one object of records; in constant memory.

What cannot be read is a record too, with the reason: among lines the next one goes on, within one document the rest of
it is lost.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, BinaryIO, Literal, NamedTuple, TextIO

import orjson

CHUNK_CHARS = 1 << 16
MAX_RECORD_CHARS = 1 << 26  # of one record; a file that is not what it seems must not fill the memory
BROKEN_ROW, BROKEN_REST, BROKEN_FILE = "broken row", "rest of a file after a fault in it", "broken file"
NOT_UTF8 = "this is not UTF-8 text; save the file as UTF-8"
_HALF_CHARACTER = "half of a character (a lone surrogate) in it"
_HEAD_LINES = 2  # a whole object in one of the first lines: the file has an object a line

Layout = Literal["rows", "by_id", "questions"]


class Record(NamedTuple):
    """One record as the file has it. where: file and line, for messages."""

    where: str
    row: Mapping[str, Any]


class Skipped(NamedTuple):
    """Why a record gives no example. detail: of one that cannot be read, what is wrong with it."""

    reason: str
    detail: str = ""

    @property
    def broken(self) -> bool:
        """Whether it could not be read at all."""
        return self.reason in (BROKEN_ROW, BROKEN_REST, BROKEN_FILE)


Found = Record | tuple[str, Skipped]  # the second: where, and why there is none
Records = Iterator[Found]


class _Fault(Exception):
    """Where the document breaks off, and why."""

    def __init__(self, where: str, detail: str) -> None:
        super().__init__(detail)
        self.where = where
        self.detail = detail


def json_records(name: str, binary: Callable[[], BinaryIO], text: Callable[[], TextIO], layout: Layout) -> Records:
    """The records of a JSON file, which `binary` and `text` open."""
    with binary() as file:
        by_line = layout == "rows" and has_object_lines(file)
    if by_line:
        with binary() as file:
            yield from line_records(name, iter(partial(file.readline, MAX_RECORD_CHARS), b""))
        return
    with text() as document:
        yield from _Scanner(name, document).records(layout)


def line_records(name: str, lines: Iterable[bytes], first: int = 1) -> Records:
    """A record for each line that is not blank. first: the number of the first line."""
    for number, line in enumerate(lines, first):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.isspace() or not line:
            continue
        row = _object_of(line)
        where = f"{name}, line {number}"
        yield Record(where, row) if isinstance(row, dict) else (where, row)


def has_object_lines(file: BinaryIO) -> bool:
    """Whether the file has a JSON object a line: one of its first two lines is one, for one alone may be broken."""
    seen = 0
    while seen < _HEAD_LINES:
        line = file.readline(MAX_RECORD_CHARS)
        if not line:
            return False
        line = line.removeprefix(b"\xef\xbb\xbf").strip()
        if line.startswith(b"["):
            return False
        if line and isinstance(_object_of(line), dict):
            return True
        seen += bool(line)
    return False


def _object_of(line: bytes) -> dict[str, Any] | Skipped:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:  # also for NaN and half characters, which others write
        value = _lenient_value(line)
    if isinstance(value, dict | Skipped):
        return value
    return Skipped(BROKEN_ROW, "not a JSON object")


def _lenient_value(line: bytes) -> Any:
    try:
        text = line.decode().strip()
    except UnicodeDecodeError:
        return Skipped(BROKEN_ROW, NOT_UTF8)
    try:
        value = json.loads(text)
    except (RecursionError, ValueError) as error:
        return Skipped(BROKEN_ROW, _fault_of(error))
    return Skipped(BROKEN_ROW, _HALF_CHARACTER) if _has_half_characters(text, value) else value


def _has_half_characters(text: str, value: Any) -> bool:
    if "\\ud" not in text and "\\uD" not in text:
        return False
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _fault_of(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON ({error.msg})"
    return f"not JSON ({'nested too deep' if isinstance(error, RecursionError) else 'a number has too many digits'})"


class _Scanner:
    """Goes through one JSON document, or several in one file, a value at a time.

    In its text a byte that is no UTF-8 stands as half of a character (surrogateescape).
    """

    def __init__(self, name: str, file: TextIO) -> None:
        self._name = name
        self._file = file
        self._decoder = json.JSONDecoder()
        self._buffer = ""
        self._at = 0
        self._line = 1
        self._ended = False

    def records(self, layout: Layout) -> Records:
        """The records of the whole file."""
        try:
            if self._peek() == "[":
                yield from self._items()
            elif layout == "rows" or not self._peek():
                yield from self._values()
            else:
                yield from self._members(layout)
        except _Fault as fault:
            yield fault.where, Skipped(BROKEN_REST, fault.detail)

    def _values(self) -> Records:
        while self._peek():
            yield self._record()

    def _items(self) -> Records:
        self._take("[")
        while self._peek() != "]":
            yield self._record()
            if self._peek() != "]":
                self._take(",")
        self._take("]")

    def _members(self, layout: Layout) -> Records:
        """The members of the one object; where they are fields instead of records it is a row, and so are others."""
        start = self._where()
        self._take("{")
        fields: dict[str, Any] = {}
        found = False
        while self._peek() != "}":
            where = self._where()
            key = self._value()
            self._take(":")
            if layout == "questions" and key == "questions" and self._peek() == "[":
                yield from self._items()
                found = True
            else:
                value = self._value()
                if layout == "by_id" and isinstance(value, dict) and not fields:
                    yield self._whole(where, {**value, "_id": key})
                    found = True
                else:
                    fields[key] = value
            if self._peek() != "}":
                self._take(",")
        self._take("}")
        if fields and not found:
            yield self._whole(start, fields)
            yield from self._values()

    def _record(self) -> Found:
        where = self._where()
        value = self._value()
        if not isinstance(value, dict):
            return where, Skipped(BROKEN_ROW, "not a JSON object")
        return self._whole(where, value)

    def _whole(self, where: str, row: dict[str, Any]) -> Found:
        """The record; broken where half a character is in it."""
        try:
            orjson.dumps(row)
        except TypeError:  # also for a number of more than 64 bits
            if _has_half_characters("\\ud", row):
                return where, Skipped(BROKEN_ROW, _HALF_CHARACTER)
        return Record(where, row)

    def _where(self) -> str:
        self._peek()
        return f"{self._name}, line {self._line}"

    def _peek(self) -> str:
        """The next character that is no white space, "" at the end."""
        while True:
            while self._at < len(self._buffer) and self._buffer[self._at].isspace():
                self._line += self._buffer[self._at] == "\n"
                self._at += 1
            if self._at < len(self._buffer) or not self._more():
                return self._buffer[self._at : self._at + 1]

    def _take(self, char: str) -> None:
        where = self._where()
        if self._peek() != char:
            raise _Fault(where, f"not JSON ({char!r} is missing)")
        self._at += 1

    def _value(self) -> Any:
        where = self._where()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._at)
                if end == len(self._buffer) and self._more():  # a number may go on
                    continue
            except json.JSONDecodeError as error:
                if len(self._buffer) - self._at < MAX_RECORD_CHARS and self._more():
                    continue
                raise _Fault(where, _fault_of(error)) from error
            except (RecursionError, ValueError) as error:
                raise _Fault(where, _fault_of(error)) from error
            self._line += self._buffer.count("\n", self._at, end)
            self._at = end
            return value

    def _more(self) -> bool:
        """Whether there was more to read; what was taken is let go, and twice as much is read each time."""
        if self._ended:
            return False
        kept = self._buffer[self._at :]
        added = self._file.read(max(CHUNK_CHARS, len(kept)))
        self._ended = not added
        try:
            added.encode()
        except UnicodeEncodeError as error:
            line = self._line + kept.count("\n") + added.count("\n", 0, error.start)
            raise _Fault(f"{self._name}, line {line}", NOT_UTF8) from error
        self._buffer, self._at = kept + added, 0
        return bool(added)

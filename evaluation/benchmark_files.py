"""Files of benchmarks, record by record: JSON in its layouts, CSV and Parquet; in constant memory."""

import csv
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TextIO

from medchat.errors import InvalidInput, NotFound

CHUNK_CHARS = 1 << 16
MAX_RECORD_CHARS = 1 << 26  # of one record; a file that is not what it seems must not fill the memory

Layout = Literal["rows", "by_id", "questions"]


class Record(NamedTuple):
    """One record as the file has it. where: file and line, for messages."""

    where: str
    row: Mapping[str, Any]


class Skipped(NamedTuple):
    """Why a record gives no example."""

    reason: str


Records = Iterator[Record | tuple[str, Skipped]]  # the second: where, and why there is none


def files_of(path: Path, suffixes: Sequence[str]) -> list[Path]:
    """The file itself, or every file under the folder that has one of the suffixes, in the order of their names.

    Raises NotFound where there is nothing, InvalidInput for a folder without such a file.
    """
    if not path.exists():
        raise NotFound(f"There is no file or folder {path}.")
    if path.is_file():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix.casefold() in suffixes and file.is_file())
    if not files:
        raise InvalidInput(f"The folder {path.name} has no {' or '.join(suffixes)} file.")
    return files


def table_records(path: Path, layout: Layout = "rows") -> Iterator[Record]:
    """The records of a .json, .jsonl, .csv, .tsv or .parquet file, each a mapping by the names of its fields.

    layout, of JSON: "rows" are objects, a line each or as a list; "by_id" is one object of records, and each gets its
    key as "_id"; "questions" is one object with a list under "questions". The last two may also come as rows.
    Raises InvalidInput with file and line for what cannot be read.
    """
    readers: dict[str, Callable[[], Iterator[Record]]] = {
        ".csv": lambda: csv_records(path),
        ".tsv": lambda: csv_records(path, separator="\t"),
        ".parquet": lambda: _parquet_records(path),
    }
    return readers.get(path.suffix.casefold(), lambda: json_records(path, layout))()


def json_records(path: Path, layout: Layout = "rows") -> Iterator[Record]:
    """The records of a JSON file."""
    with _opened(path) as file:
        yield from _Scanner(path.name, file).records(layout)


def csv_records(path: Path, columns: Sequence[str] = (), separator: str = ",") -> Iterator[Record]:
    """The rows of a CSV file; with `columns` it has no header and these are its columns.

    Line ends within a cell become "\\n". A row with too few cells has None for the rest, what is beyond is left out.
    """
    with _opened(path) as file:
        reader = csv.reader(file, delimiter=separator, strict=True)
        names = list(columns)
        while True:
            where = f"{path.name}, line {reader.line_num + 1}"
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise InvalidInput(f"{where}: no row of a table ({error}).") from error
            except UnicodeDecodeError as error:
                raise not_utf8(path) from error
            if cells is None:
                return
            if not any(map(str.strip, cells)):
                continue
            if not names:
                names = [cell.strip() for cell in cells]
                continue
            texts = [cell.replace("\r\n", "\n").replace("\r", "\n") for cell in cells]
            padding = [None] * (len(names) - len(texts))
            yield Record(where, dict(zip(names, [*texts, *padding], strict=False)))


def not_utf8(path: Path) -> InvalidInput:
    """The fault of a file that is not UTF-8, with the first line that is not."""
    with path.open("rb") as lines:
        number = next((number for number, line in enumerate(lines, 1) if not _is_utf8(line)), 1)
    return InvalidInput(f"{path.name}, line {number}: this is not UTF-8 text; save the file as UTF-8.")


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def missing_of(row: Mapping[str, Any], *names: str) -> Skipped | None:
    """The reason against a row that lacks one of these fields; None where it has all."""
    missing = [name for name in names if name not in row]
    return Skipped(f"it has no field {', '.join(missing)}") if missing else None


def text_of(row: Mapping[str, Any], *names: str) -> str:
    """The text under the first of the names that has one, without white space around it; "" for none."""
    for name in names:
        value = row.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return ""


def cell_of(row: Mapping[str, Any], *names: str) -> str:
    """As text_of, of a table whose numbers may have become numbers."""
    numbers = {name: str(row[name]) for name in names if isinstance(row.get(name), int | float)}
    return text_of({**row, **numbers}, *names)


def texts_of(row: Mapping[str, Any], name: str) -> list[str]:
    """The texts in the list under the name, or its one text; empty ones are left out, what is no text too."""
    value = row.get(name)
    values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [item.strip() for item in values if isinstance(item, str) and item.strip()]


def content_id(*parts: object) -> str:
    """An id for what has none of its own: the same content has the same one in every file."""
    text = json.dumps([str(part) for part in parts], ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _opened(path: Path) -> TextIO:
    try:
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror}.") from error


def _parquet_records(path: Path) -> Iterator[Record]:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            rows = (row for batch in file.iter_batches(batch_size=256) for row in batch.to_pylist())
            for number, row in enumerate(rows, 1):
                yield Record(f"{path.name}, row {number}", row)
    except (ArrowException, OSError) as error:
        raise InvalidInput(f"{path.name} is no Parquet file that can be read.") from error


class _Scanner:
    """Goes through one JSON document, or several in one file, a value at a time."""

    def __init__(self, name: str, file: TextIO) -> None:
        self._name = name
        self._file = file
        self._decoder = json.JSONDecoder()
        self._buffer = ""
        self._at = 0
        self._line = 1
        self._ended = False

    def records(self, layout: Layout) -> Iterator[Record]:
        """The records of the whole file."""
        if self._peek() == "[":
            yield from self._items()
        elif layout == "rows" or not self._peek():
            yield from self._lines()
        else:
            yield from self._members(layout)

    def _lines(self) -> Iterator[Record]:
        while self._peek():
            where = self._where()
            yield Record(where, self._object(self._value(), where))

    def _items(self) -> Iterator[Record]:
        self._take("[")
        while self._peek() != "]":
            where = self._where()
            yield Record(where, self._object(self._value(), where))
            if self._peek() != "]":
                self._take(",")
        self._take("]")

    def _members(self, layout: Layout) -> Iterator[Record]:
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
                    yield Record(where, {**value, "_id": key})
                    found = True
                else:
                    fields[key] = value
            if self._peek() != "}":
                self._take(",")
        self._take("}")
        if fields and not found:
            yield Record(start, fields)
            yield from self._lines()

    def _object(self, value: Any, where: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise InvalidInput(f"{where}: not a JSON object.")
        return value

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
            raise InvalidInput(f"{where}: not JSON ({char!r} is missing).")
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
                raise InvalidInput(f"{where}: not JSON ({error.msg}).") from error
            except RecursionError as error:
                raise InvalidInput(f"{where}: not JSON (nested too deep).") from error
            except ValueError as error:
                raise InvalidInput(f"{where}: not JSON (a number has too many digits).") from error
            self._line += self._buffer.count("\n", self._at, end)
            self._at = end
            return value

    def _more(self) -> bool:
        """Whether there was more to read; what was taken is let go, and twice as much is read each time."""
        if self._ended:
            return False
        kept = self._buffer[self._at :]
        try:
            added = self._file.read(max(CHUNK_CHARS, len(kept)))
        except UnicodeDecodeError as error:
            raise not_utf8(Path(self._file.name)) from error
        self._ended = not added
        self._buffer, self._at = kept + added, 0
        return bool(added)

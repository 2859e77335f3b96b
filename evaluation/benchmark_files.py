"""Files of benchmarks, record by record: JSON in its layouts, CSV, Parquet and Excel; in constant memory.

A row that cannot be read is yielded as Skipped with its place, and the next one follows; what is wrong with a file as a
whole raises InvalidInput.
"""

import csv
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from evaluation.benchmark_json import (
    BROKEN_REST,
    BROKEN_ROW,
    MAX_RECORD_CHARS,
    NOT_UTF8,
    Found,
    Layout,
    Record,
    Records,
    Skipped,
    json_records,
)
from medchat.errors import InvalidInput, NotFound

__all__ = [
    "MAX_RECORD_CHARS", "Found", "Layout", "Record", "Records", "Skipped", "cell_of", "content_id", "csv_records",
    "files_of", "missing_of", "not_utf8", "opened", "opened_text", "suffix_of", "table_records", "text_of", "texts_of",
]  # fmt: skip
_GZIP = ".gz"


def suffix_of(path: Path) -> str:
    """The suffix in small letters, without that of a packed file: ".csv" for notes.csv.gz."""
    packed = path.suffix.casefold() == _GZIP
    return (Path(path.stem) if packed else path).suffix.casefold()


def files_of(path: Path, suffixes: Sequence[str]) -> list[Path]:
    """The file itself, or every file under the folder that has one of the suffixes, in the order of their names.

    Raises NotFound where there is nothing, InvalidInput for a folder without such a file.
    """
    if not path.exists():
        raise NotFound(f"There is no file or folder {path}.")
    if path.is_file():
        return [path]
    files = sorted(file for file in path.rglob("*") if suffix_of(file) in suffixes and file.is_file())
    if not files:
        raise InvalidInput(f"The folder {path.name} has no {' or '.join(suffixes)} file.")
    return files


def table_records(path: Path, layout: Layout = "rows") -> Records:
    """The records of a .json, .jsonl, .csv, .tsv, .parquet or .xlsx file, each a mapping by the names of its fields.

    All but the last two may be packed (.gz). layout, of JSON: "rows" are objects, a line each or as a list; "by_id" is
    one object of records, and each gets its key as "_id"; "questions" is one object with a list under "questions". The
    last two may also come as rows. Raises InvalidInput for a file that cannot be read at all.
    """
    readers: dict[str, Callable[[], Records]] = {
        ".csv": lambda: csv_records(path),
        ".tsv": lambda: csv_records(path, separator="\t"),
        ".parquet": lambda: _parquet_records(path),
        ".xlsx": lambda: _excel_records(path),
    }
    try:
        if suffix_of(path) in readers:
            yield from readers[suffix_of(path)]()
        else:
            yield from json_records(path.name, lambda: opened(path), lambda: opened_text(path), layout)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InvalidInput(f"{path.name} is packed, and its end is missing or broken.") from error


def csv_records(path: Path, columns: Sequence[str] = (), separator: str = ",") -> Records:
    """The rows of a CSV file; with `columns` it has no header and these are its columns.

    Line ends within a cell become "\\n". A row with too few cells has None for the rest, what is beyond is left out;
    after a broken row both are broken too, until one has a cell for each column again. Of columns of the same name the
    second is "name.1".
    """
    names = list(columns)
    for where, cells, fault, after_fault in _csv_rows(path, separator):
        if fault:
            yield where, Skipped(BROKEN_ROW, fault)
        elif not names:
            names = _column_names(cells)
        elif after_fault and len(cells) != len(names):
            yield where, Skipped(BROKEN_ROW, f"{len(cells)} cells instead of {len(names)} after a broken row")
        else:
            texts = [cell.replace("\r\n", "\n").replace("\r", "\n") if "\r" in cell else cell for cell in cells]
            padding = [None] * (len(names) - len(texts))
            yield Record(where, dict(zip(names, [*texts, *padding], strict=False)))


def _column_names(cells: Sequence[str]) -> list[str]:
    """As a table program names them: the second of two columns of the same name gets ".1"."""
    names: list[str] = []
    seen: dict[str, int] = {}
    for cell in map(str.strip, cells):
        seen[cell] = seen.get(cell, -1) + 1
        names.append(f"{cell}.{seen[cell]}" if seen[cell] else cell)
    return names


def _csv_rows(path: Path, separator: str) -> Iterator[tuple[str, list[str], str, bool]]:
    """For each row that is not blank: where, its cells, what is wrong with it, and whether one before it was broken.

    Of a broken row only the first line is given up: the others are read anew, for a quotation mark that is never closed
    takes in all the rows after it.
    """
    with opened_text(path) as file:
        lines = _Lines(file)
        reader = csv.reader(lines, delimiter=separator, strict=True)
        after_fault = False
        while True:
            where = f"{path.name}, line {lines.begin() + 1}"
            try:
                cells = next(reader, None)
            except csv.Error as error:
                lines.give_back_all_but_one()
                after_fault = True
                yield where, [], f"no row of a table ({error})", True
                continue
            if cells is None:
                return
            if not lines.are_text():
                yield where, [], NOT_UTF8, after_fault
            elif any(map(str.strip, cells)):
                yield where, cells, "", after_fault


def not_utf8(path: Path) -> InvalidInput:
    """The fault of a file that is not UTF-8, with the first line that is not."""
    with path.open("rb") as lines:
        number = next((number for number, line in enumerate(lines, 1) if not _is_utf8(line)), 1)
    return InvalidInput(f"{path.name}, line {number}: {NOT_UTF8}.")


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


def opened(path: Path) -> BinaryIO:
    """The file's bytes, unpacked. Raises InvalidInput where it cannot be read."""
    try:
        return cast(BinaryIO, gzip.open(path)) if path.suffix.casefold() == _GZIP else path.open("rb")
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror}.") from error


def opened_text(path: Path) -> TextIO:
    """A byte that is no UTF-8 stands in it as half of a character."""
    return TextIOWrapper(opened(path), encoding="utf-8-sig", errors="surrogateescape", newline="")


class _Lines:
    """The lines of a file; those since `begin` may be given back, to be read again."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._taken: list[str] = []
        self._waiting: list[str] = []  # in reverse
        self._before = 0  # lines before those taken

    def begin(self) -> int:
        """A row begins here; the number of lines before it."""
        self._before += len(self._taken)
        self._taken = []
        return self._before

    def are_text(self) -> bool:
        """Whether the lines that were taken are UTF-8."""
        for line in self._taken:
            if not line.isascii():
                try:
                    line.encode()
                except UnicodeEncodeError:
                    return False
        return True

    def give_back_all_but_one(self) -> None:
        self._waiting += reversed(self._taken[1:])
        self._taken = self._taken[:1]

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._waiting.pop() if self._waiting else next(self._file)
        self._taken.append(line)
        return line


def _parquet_records(path: Path) -> Records:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            rows = (row for batch in file.iter_batches(batch_size=256) for row in batch.to_pylist())
            for number, row in enumerate(rows, 1):
                yield Record(f"{path.name}, row {number}", row)
    except (ArrowException, OSError) as error:
        raise InvalidInput(f"{path.name} is no Parquet file that can be read.") from error


def _excel_records(path: Path) -> Records:
    """The rows of the first sheet; the first of them names the columns."""
    from zipfile import BadZipFile

    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except (BadZipFile, InvalidFileException, KeyError, OSError, ValueError) as error:
        raise InvalidInput(f"{path.name} is no Excel file that can be read.") from error
    names: list[str] = []
    number = 0
    try:
        for number, cells in enumerate(book.worksheets[0].iter_rows(values_only=True), 1):
            if all(cell is None for cell in cells):
                continue
            if not names:
                names = _column_names(["" if cell is None else str(cell) for cell in cells])
                continue
            yield Record(f"{path.name}, row {number}", dict(zip(names, cells, strict=False)))
    except (SyntaxError, BadZipFile, KeyError, ValueError) as error:  # of its XML: a SyntaxError
        yield f"{path.name}, row {number + 1}", Skipped(BROKEN_REST, f"no sheet that can be read ({error})")
    finally:
        book.close()

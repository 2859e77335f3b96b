"""The checks of all rows of a folder, a chunk at a time, in several processes; what a chunk found stays on disk.

A chunk is the same rows whoever works on it, and however often the work was interrupted. A line that is no row is told
and passed over.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import astuple
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from evaluation.benchmark_files import Record
from evaluation.benchmark_json import line_records
from medchat.errors import InvalidInput, RunError
from medchat.records import Example
from medchat.run_files import json_of, text_of, write_whole, writing
from train.progress import Progress
from train.quality_checks import flags_of
from train.quality_flags import Flag, Thresholds
from train.review import HELD
from train.row_files import FILES, SUFFIXES, files_in, row_bytes
from train.workers import Pool, ended

CHUNK_ROWS = 500
BLOCK_BYTES = 1 << 20
READ = (*FILES, HELD)  # what an earlier check held back is checked again
NO_JSONL = "{} is no .jsonl file: make rows of it with `python -m train prepare`, then check their folder."


class Row(NamedTuple):
    """A row, the file that it is in, without its suffix, and its place there for people."""

    name: str
    where: str
    example: Example


class Broken(NamedTuple):
    """A line that is no row: where it stands, and why."""

    where: str
    why: str


class Source(NamedTuple):
    """What is to be checked. n: rows at most, for the time left."""

    files: tuple[Path, ...]
    n: int
    digests: tuple[str, ...]


def look_at(folder: Path, progress: Progress) -> Source:
    """The files of a folder, or the one file. Raises NotFound, InvalidInput, Stopped."""
    files = _files(folder)
    progress.stage("Looking at the rows", sum(file.stat().st_size for file in files))
    n, n_bytes, digests = 0, 0, []
    for file in files:
        digest = hashlib.sha256()
        with file.open("rb") as stream:
            while block := stream.read(BLOCK_BYTES):
                digest.update(block)
                n += block.count(b"\n")
                n_bytes += len(block)
                progress.at(n_bytes)
        digests.append(f"{file.name} {digest.hexdigest()}")
    return Source(files, n, tuple(digests))


def rows_in(source: Source, broken: Callable[[Broken], None] = lambda found: None) -> Iterator[Row]:
    """The rows in order, one in memory at a time. broken: is told of each line that is no row."""
    for file in source.files:
        name = file.stem if file.stem in READ else "train"
        with file.open("rb") as lines:
            for found in line_records(file.name, lines):
                row = _row(found, name)
                if isinstance(row, Row):
                    yield row
                else:
                    broken(row)


def _row(found: Any, name: str) -> Row | Broken:
    if not isinstance(found, Record):
        return Broken(found[0], found[1].detail or found[1].reason)
    try:
        example = Example.from_row(found.row)
        row_bytes(example)
    except InvalidInput as error:
        return Broken(found.where, str(error).removeprefix(": ").removesuffix("."))
    return Row(name, str(example.meta.get("where") or found.where), example)


def _files(folder: Path) -> tuple[Path, ...]:
    """The .jsonl files. Raises NotFound, InvalidInput."""
    tables = [folder] if folder.is_file() and folder.suffix != ".jsonl" else []
    if folder.is_dir() and not any((folder / f"{name}.jsonl").is_file() for name in READ):
        tables = [file for name in FILES for suffix in SUFFIXES if (file := folder / f"{name}{suffix}").is_file()]
    if tables:
        raise InvalidInput(NO_JSONL.format(tables[0].name))
    return tuple(files_in(folder, READ))


def check_all(
    source: Source, work: Path, thresholds: Thresholds, workers: int, progress: Progress, chunk_rows: int = CHUNK_ROWS
) -> None:
    """Check every row; chunks that are on disk already are left as they are. Raises Stopped, RunError, InvalidInput."""
    progress.stage("Looking for the rows that others were made from", 2 * source.n)
    references = _References(source, progress)
    progress.stage("Checking", source.n)
    rows, done = rows_in(source), 0
    with ExitStack() as stack:
        pool = stack.enter_context(Pool(workers)) if workers > 1 and source.n > 4 * chunk_rows else None
        under_way: set[Future[None]] = set()
        number = 0
        while chunk := [row.example for row in islice(rows, chunk_rows)]:
            path = _path(work, number)
            if not path.exists():
                known = [references.of(example) for example in chunk]
                if pool is None:
                    check_chunk(path, chunk, known, thresholds)
                else:
                    under_way.add(pool.submit(check_chunk, path, chunk, known, thresholds))
            under_way = ended(under_way, 2 * workers)
            number, done = number + 1, done + len(chunk)
            progress.at(done)
        ended(under_way, 0)


def check_chunk(path: Path, rows: Sequence[Example], references: Sequence[str | None], thresholds: Thresholds) -> None:
    """Write what was found in each of the rows."""
    found = [
        [astuple(flag) for flag in flags_of(row, thresholds, reference)]
        for row, reference in zip(rows, references, strict=True)
    ]
    with writing():
        write_whole(path, json.dumps(found), durable=False)


def flags_in(work: Path) -> Iterator[tuple[Flag, ...]]:
    """What was found in each row, in the order of the rows. Raises RunError for a damaged chunk."""
    number = 0
    while (text := text_of(_path(work, number))) is not None:
        found = json_of(text)
        if not isinstance(found, list):
            raise RunError(f"The work folder is damaged ({_path(work, number).name}); delete it and begin anew.")
        yield from (tuple(Flag(*values) for values in row) for row in found)
        number += 1


def _path(work: Path, number: int) -> Path:
    return work / f"{number:07}.json"


def _fields(line: bytes) -> dict[str, Any]:
    """What the line says; {} where it is no row, which is told when the row is read."""
    found = json_of(line)
    return found if isinstance(found, dict) else {}


class _References:
    """The answers of the rows from which others were made: their places are kept, the texts are read again."""

    def __init__(self, source: Source, progress: Progress) -> None:
        self._source, self._progress, self._read = source, progress, 0
        wanted = {str(parent) for parent in self._parents()}
        self._places: dict[str, tuple[int, int]] = {}
        for number, offset, line in self._lines() if wanted else ():
            name = _fields(line).get("id")
            if isinstance(name, str) and name in wanted:
                self._places.setdefault(name, (number, offset))

    def of(self, example: Example) -> str | None:
        """The answer of the row that this one was made from; None where there is none, or it has none."""
        place = self._places.get(str(example.meta.get("parent", "")))
        if place is None:
            return None
        number, offset = place
        with self._source.files[number].open("rb") as stream:
            stream.seek(offset)
            answer = _fields(stream.readline()).get("answer")
        return answer if isinstance(answer, str) and answer.strip() else None

    def _parents(self) -> Iterator[object]:
        for _, _, line in self._lines():
            meta = _fields(line).get("meta") if b'"parent"' in line else None
            if isinstance(meta, dict) and meta.get("parent"):
                yield meta["parent"]

    def _lines(self) -> Iterator[tuple[int, int, bytes]]:
        """File, place and line of what is a row of JSONL."""
        for number, file in enumerate(self._source.files):
            offset = 0
            with file.open("rb") as stream:
                for line in stream if file.suffix == ".jsonl" else ():
                    if self._read % CHUNK_ROWS == 0:
                        self._progress.at(self._read)
                    self._read += 1
                    if line.lstrip().startswith(b"{"):
                        yield number, offset, line
                    offset += len(line)

"""Rows of public medical sets as Examples: from a file, a folder or the Hub, each read by its adapter.

    source = source_of("medquad=MedQuAD")
    for where, row in read(source, Reading(choices="explained")):   # row: an Example, or Skipped with the reason

Each Example has an id, its adapter (with a subset) as source, a licence, and a split or "". Rows with the same
meta["group"] belong together (replies of one dialogue, notes of one patient) and must not be split up; those with
meta["canary"] are for evaluation alone, those with meta["restricted"] may not be sent to anybody.

For many processes: pieces_of(source, files_in(source)) gives parts of the files; records_of(piece) and rows_of each
record give the same rows in any of them.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from evaluation.benchmark_files import Found, Record, Records, Skipped, files_of, opened, table_records
from evaluation.benchmark_json import has_object_lines, line_records
from evaluation.suite_examples import Placed
from medchat.errors import InvalidInput, NotFound, one_of
from train.adapter import Adapter, Hub
from train.adapter_rows import Reading
from train.adapter_splits import official_splits
from train.adapter_table import ADAPTERS

__all__ = [
    "ADAPTERS", "Adapter", "Found", "Hub", "Piece", "Placed", "Reading", "Record", "Skipped", "Source", "files_in",
    "pieces_of", "read", "records_of", "rows_of", "source_of",
]  # fmt: skip
HUB = "hub:"
PIECE_BYTES = 8 << 20
_REPO = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
AS_IT_IS = Reading()


@dataclass(frozen=True, slots=True)
class Source:
    """A file, a folder of files, or a data set of the Hub, and the adapter that reads it. text: as it was typed."""

    adapter: str
    path: Path | None = None
    hub: Hub | None = None
    text: str = ""

    @property
    def name(self) -> str:
        """Of the file or folder, or of the Hub's data set."""
        return self.path.name if self.path else self.hub.repo if self.hub else ""


class Piece(NamedTuple):
    """A file, or a part of one that can be read by itself.

    split: that of its rows where the file's name says it. end: None for the whole file; else bytes, at ends of lines.
    line: the number of the line at `start`.
    """

    adapter: str
    file: Path
    split: str = ""
    start: int = 0
    end: int | None = None
    line: int = 1


def source_of(text: str) -> Source:
    """The source that ADAPTER=PATH, ADAPTER=hub: or ADAPTER=hub:OWNER/NAME means.

    Raises InvalidInput, and NotFound when nothing is there.
    """
    name, equals, place = text.partition("=")
    if not equals or not place:
        raise InvalidInput(f"{text!r} is no source; write ADAPTER=PATH, the adapter {one_of(list(ADAPTERS))}.")
    if name not in ADAPTERS:
        raise NotFound(f"There is no adapter {name!r}; choose {one_of(list(ADAPTERS))}.")
    adapter = ADAPTERS[name]
    if place.startswith(HUB):
        return Source(name, hub=_hub_of(adapter, place.removeprefix(HUB)), text=text)
    path = Path(place).expanduser()
    if not path.exists():
        raise NotFound(f"There is no file or folder {place}.")
    return Source(name, path, text=text)


def _hub_of(adapter: Adapter, repo: str) -> Hub:
    if not adapter.may_be_fetched:
        raise InvalidInput(f"{adapter.title} is never fetched; {adapter.needs}")
    if not repo:
        if not adapter.hub:
            raise InvalidInput(f"{adapter.title} is not on the Hub in a known place; write {adapter.name}=PATH.")
        return adapter.hub
    if not _REPO.fullmatch(repo):
        raise InvalidInput(f"{repo!r} is no data set of the Hub; write OWNER/NAME.")
    own = adapter.hub
    return own if own and own.repo == repo else Hub(repo, splits=(), add=own.add if own else ())


def files_in(
    source: Source, cache: Path | None = None, limit: int | None = None, progress: Callable[[int], None] | None = None
) -> list[Path]:
    """The source's files, in order. Rows of the Hub are streamed into the folder `cache` first, and kept there.

    limit: rows of each split of the Hub. progress: called with the number of rows that were fetched. Raises NotFound,
    InvalidInput and DownloadFailed.
    """
    if source.path is not None:
        adapter = ADAPTERS[source.adapter]
        files = files_of(source.path, adapter.suffixes)
        if source.path.is_dir():
            files = [file for file in files if fnmatch(file.name.casefold(), adapter.files)]
        if not files:
            raise InvalidInput(f"The folder {source.path.name} has no file {adapter.files}.")
        return files
    from train.source_hub import fetched_files

    if source.hub is None or cache is None:
        raise InvalidInput("Rows from the Hub are kept in the data folder; name one.")
    return fetched_files(source.hub, cache, limit, progress)


def pieces_of(source: Source, files: Sequence[Path], piece_bytes: int = PIECE_BYTES) -> Iterator[Piece]:
    """The files in order; those with a row a line in parts of about so many bytes.

    A split that a file's name says counts only where some file of the source is for validation or test.
    """
    adapter = ADAPTERS[source.adapter]
    splits = official_splits(source.path, files, exact=adapter.own and source.path is not None)
    for file, split in zip(files, splits, strict=True):
        whole = Piece(source.adapter, file, split)
        if adapter.records_of is table_records and file.stat().st_size > piece_bytes and _has_lines(file):
            yield from _cut(whole, piece_bytes)
        else:
            yield whole


def records_of(piece: Piece) -> Records:
    """The piece's records, those that cannot be read as Skipped; a file that cannot is one of them."""
    if piece.end is None:
        yield from ADAPTERS[piece.adapter].records(piece.file)
        return
    with opened(piece.file) as file:
        file.seek(piece.start)
        yield from line_records(piece.file.name, _lines_until(file, piece.end), piece.line)


def rows_of(piece: Piece, found: Found, reading: Reading = AS_IT_IS) -> Iterator[Placed]:
    """What the record gives: where it stands, and each of its Examples, or why it has none."""
    where, row = found
    if isinstance(row, Skipped):
        yield where, row
        return
    for one in ADAPTERS[piece.adapter].examples(row, reading, piece.split):
        yield where, one


def read(
    source: Source, reading: Reading = AS_IT_IS, cache: Path | None = None, limit: int | None = None
) -> Iterator[Placed]:
    """The source's rows, at most `limit`. cache: as of files_in, whose errors it raises."""
    pieces = pieces_of(source, files_in(source, cache, limit))
    rows = (row for piece in pieces for found in records_of(piece) for row in rows_of(piece, found, reading))
    return islice(rows, limit)


def _lines_until(file: BinaryIO, end: int) -> Iterator[bytes]:
    while file.tell() < end:
        yield file.readline()


def _has_lines(file: Path) -> bool:
    if file.suffix.casefold() not in (".json", ".jsonl"):  # a packed file cannot be entered in its middle
        return False
    with opened(file) as start:
        return has_object_lines(start)


def _cut(whole: Piece, piece_bytes: int) -> Iterator[Piece]:
    """The file in parts, each from the beginning of a line to the end of one."""
    size = whole.file.stat().st_size
    with opened(whole.file) as file:
        start, line = 0, 1
        while start < size:
            block = file.read(piece_bytes) + file.readline()
            yield whole._replace(start=start, end=start + len(block), line=line)
            start, line = start + len(block), line + block.count(b"\n")

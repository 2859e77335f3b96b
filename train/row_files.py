"""Folders of rows: read one by one, written whole or not at all, with a report that says what is in them.

A folder holds train, validation, test and unlabelled.jsonl, report.json and report.html. report.json is written last
and removed first, so that a folder with one is a folder whose files belong together. Only files are replaced that such
a report names by their hash; while there is none, .written.json names those that a run was about to put there.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import orjson

from evaluation.suite_examples import example_lines
from medchat.errors import InvalidInput, NotFound
from medchat.records import Example
from medchat.run_files import json_of, text_of, write_whole, writing

SPLITS = ("train", "validation", "test")
UNLABELLED = "unlabelled"
FILES = (*SPLITS, UNLABELLED)
SUFFIXES = (".jsonl", ".csv", ".txt")  # in which rows are written
REPORT, PAGE = "report.json", "report.html"
WRITTEN = ".written.json"  # hashes of the files of a run that had not come to its report
BUFFER_BYTES = 1 << 20


def row_bytes(example: Example) -> bytes:
    """The row as a line of JSONL. Raises InvalidInput for text that is no Unicode (half of a surrogate pair)."""
    try:
        return orjson.dumps(example, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # a number of more than 64 bits, a key that is no text; or a broken text
        try:
            return (json.dumps(asdict(example), ensure_ascii=False) + "\n").encode()
        except (TypeError, ValueError) as error:
            raise InvalidInput("a text of the row holds characters that are no Unicode text") from error


def file_of(row: Example) -> str:
    """The file, without its suffix, in which the row belongs: its split's, or `unlabelled` where it has no answer."""
    if row.answer is None or not row.answer.strip():
        return UNLABELLED
    return row.split if row.split in SPLITS else "train"


def read_rows(path: Path, names: Sequence[str] = FILES) -> Iterator[tuple[str, Example]]:
    """The rows of a folder (of its files of these names, in this order) or of one .jsonl or .csv file, with the place.

    Constant memory. Raises NotFound where there is nothing, InvalidInput with file and line for what is no row.
    """
    for file in files_in(path, names):
        for where, row in example_lines(file):
            if isinstance(row, Example):
                yield where, row


def files_in(path: Path, names: Sequence[str] = FILES) -> list[Path]:
    """The file itself, or those of the folder that are there. Raises NotFound and InvalidInput."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise NotFound(f"There is no file or folder {path}.")
    found = [file for name in names if (file := path / f"{name}.jsonl").is_file()]
    if not found:
        raise InvalidInput(f"The folder {path.name} holds no {', '.join(f'{name}.jsonl' for name in names)}.")
    return found


def report_of(folder: Path) -> dict[str, Any]:
    """What report.json says; {} where there is none or it is damaged."""
    text = text_of(folder / REPORT)
    found = json_of(text) if text else None
    return found if isinstance(found, dict) else {}


def check_own_files(folder: Path, names: Sequence[str] = FILES) -> None:
    """Raises InvalidInput where a file of such a name is there that no report in the folder names by its hash."""
    there = [file for name in names for suffix in SUFFIXES if (file := folder / f"{name}{suffix}").is_file()]
    ours = _written_hashes(folder) if there else []
    for file in there:
        with writing(), file.open("rb") as stream:
            is_ours = hashlib.file_digest(stream, "sha256").hexdigest() in ours
        if not is_ours:
            raise InvalidInput(
                f"{folder.name} holds a {file.name} that its report.json does not name, or that was changed since: it"
                " would be lost. Move it away, or choose another --out."
            )


def _written_hashes(folder: Path) -> list[str]:
    """SHA-256 (hex) of what was written into the folder."""
    started = json_of(text_of(folder / WRITTEN) or "")
    found = report_of(folder).get("sha256")
    return [
        *(found.values() if isinstance(found, dict) else ()), *(started if isinstance(started, list) else ()),
    ]  # fmt: skip


def sources_of(report: Mapping[str, Any]) -> list[Any]:
    """The sources of the rows as they were prepared, be it the folder's own or an earlier one's; [] for none."""
    prepared = report.get("prepared")
    found = report.get("sources") or (prepared.get("sources") if isinstance(prepared, dict) else None)
    return found if isinstance(found, list) else []


def prepared_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the report on rows that were chosen from a folder says of their preparation; {} where that is not known."""
    return {"prepared": {"sources": found}} if (found := sources_of(report)) else {}


class RowsWriter:
    """Writes the files of a folder; they appear when the block is left without an error, and otherwise not at all.

    names: the files, without their suffix; all of them are written, be it without a row. suffix, encode (a row -> its
    bytes) and header: of all files but `unlabelled`, which is JSONL, for a teacher reads it. n counts the rows, sha256
    is of the files, both by name. Raises RunError when the folder cannot be written, InvalidInput when it holds files
    of these names that are somebody's own.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str] = FILES,
        suffix: str = ".jsonl",
        encode: Callable[[Example], bytes] = row_bytes,
        header: bytes = b"",
    ) -> None:
        self.n = dict.fromkeys(names, 0)
        self._folder = folder
        self._suffix = suffix
        self._encode = encode
        self._header = header
        self._files: dict[str, BinaryIO] = {}
        self._digests = {name: hashlib.sha256(self._header_of(name)) for name in names}

    @property
    def sha256(self) -> dict[str, str]:
        """SHA-256 (hex) of what was written, by name."""
        return {name: digest.hexdigest() for name, digest in self._digests.items()}

    def __enter__(self) -> Self:
        check_own_files(self._folder, list(self.n))
        with writing():
            self._folder.mkdir(parents=True, exist_ok=True)
            for name in self.n:
                self._files[name] = self._partial(name).open("wb", buffering=BUFFER_BYTES)
                self._files[name].write(self._header_of(name))
        return self

    def write(self, row: Example, name: str = "") -> None:
        """Add the row to the file, by default the one in which it belongs."""
        name = name or file_of(row)
        self.write_bytes(name, row_bytes(row) if name == UNLABELLED else self._encode(row))

    def write_bytes(self, name: str, data: bytes, rows: int = 1) -> None:
        """Add so many rows that are encoded already."""
        with writing():
            self._files[name].write(data)
        self._digests[name].update(data)
        self.n[name] += rows

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with writing():
            try:
                for file in self._files.values():
                    file.close()
                if error is None:
                    self._appear()
            finally:
                for name in self._files:
                    self._partial(name).unlink(missing_ok=True)

    def _appear(self) -> None:
        hashes = dict.fromkeys([*_written_hashes(self._folder), *self.sha256.values()])
        write_whole(self._folder / WRITTEN, json.dumps(list(hashes)))
        for name in (REPORT, PAGE):
            (self._folder / name).unlink(missing_ok=True)
        for name in self._files:
            self._partial(name).replace(self._folder / f"{name}{self._suffix_of(name)}")
            for other in SUFFIXES:  # of an earlier run in another format
                if other != self._suffix_of(name):
                    (self._folder / f"{name}{other}").unlink(missing_ok=True)

    def _suffix_of(self, name: str) -> str:
        return ".jsonl" if name == UNLABELLED else self._suffix

    def _header_of(self, name: str) -> bytes:
        return b"" if name == UNLABELLED else self._header

    def _partial(self, name: str) -> Path:
        return self._folder / f".{name}{self._suffix_of(name)}.partial"


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write report.html and then report.json, each whole. Raises RunError."""
    from train.prepare_report import to_html

    with writing():
        write_whole(folder / PAGE, to_html(report))
        write_whole(folder / REPORT, json.dumps(report, ensure_ascii=False, indent=2) + "\n")
        (folder / WRITTEN).unlink(missing_ok=True)

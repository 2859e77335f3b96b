"""The last stage: the rows in an order drawn by the seed, each in the file of its split, as often as it is used."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medchat.records import Example
from train.prepare_duplicates import Indices
from train.prepare_shards import Rows
from train.prepare_splits import Splits
from train.progress import Progress
from train.row_files import FILES, SPLITS, UNLABELLED, RowsWriter, row_bytes
from train.row_formats import RowFormat

WRITTEN_AT_ONCE = 1000  # between two reports of progress
_EVEN = np.uint64(0x9E3779B97F4A7C15)

Keys = npt.NDArray[np.uint64]
Files = npt.NDArray[np.uint8]  # 1 + index in FILES, 0 for a row that is in none


@dataclass(frozen=True, slots=True)
class Written:
    """What the files hold. rows: by file; sha256: of each; licences: by source and licence, each row once."""

    rows: dict[str, int]
    sha256: dict[str, str]
    licences: dict[int, Counter[str]]


def keys_of(rows: Rows, seed: int) -> Keys:
    """A number (n,) for each row, by what it asks and by the seed: splitmix64 of both."""
    start = np.uint64(int.from_bytes(hashlib.sha256(b"order %d" % seed).digest()[:8]))
    return _mixed(rows.table["same"] ^ start)


def write_rows(
    rows: Rows,
    out: Path,
    file: Files,
    split: Splits,
    copies: Indices,
    parent: Indices,
    keys: Keys,
    how: RowFormat,
    progress: Progress,
) -> Written:
    """Write every file, whole or not at all. file, split, copies (n,): where each row goes, and how often.

    A row's second copy has "#2" after its id and "copy" in its meta. Raises Stopped, RunError.
    """
    renamed = _renamed(rows, file)
    licences: dict[int, Counter[str]] = {}
    progress.stage("Writing", int(copies[file > 0].sum()))
    plain = how.encode is row_bytes
    done = 0
    with RowsWriter(out, suffix=how.suffix, encode=how.encode, header=how.header) as writer:
        for number, name in enumerate(FILES, 1):
            for row, copy in _order(np.flatnonzero(file == number), copies, keys):
                fields = _fields(rows, row, parent, renamed)
                if copy == 0:
                    its = licences.setdefault(int(rows.table["source"][row]), Counter())
                    its[fields["licence"] or "not stated"] += 1
                else:
                    fields["id"] += f"#{copy + 1}"
                    fields["meta"]["copy"] = copy + 1
                fields["split"] = SPLITS[split[row] - 1]
                example = Example(**fields)
                writer.write_bytes(name, row_bytes(example) if plain or name == UNLABELLED else how.encode(example))
                done += 1
                if done % WRITTEN_AT_ONCE == 0:
                    progress.at(done)
    return Written(dict(writer.n), writer.sha256, licences)


def _order(chosen: Indices, copies: Indices, keys: Keys) -> Iterator[tuple[int, int]]:
    """Rows and the number of their copy, in the order of the file."""
    n = copies[chosen]
    rows = np.repeat(chosen, n)
    copy = np.arange(len(rows)) - np.repeat(np.cumsum(n) - n, n)
    order = np.lexsort((copy, rows, _mixed(keys[rows] + copy.astype(np.uint64) * _EVEN)))
    yield from zip(rows[order].tolist(), copy[order].tolist(), strict=True)


def _fields(rows: Rows, row: int, parent: Indices, renamed: npt.NDArray[np.bool_]) -> dict[str, Any]:
    _, fields = rows.read(row)
    if renamed[row]:
        fields["id"] = _own_id(rows, fields["id"], row)
    if parent[row] >= 0 and renamed[parent[row]]:
        fields["meta"]["parent"] = _own_id(rows, fields["meta"]["parent"], int(parent[row]))
    return fields


def _renamed(rows: Rows, file: Files) -> npt.NDArray[np.bool_]:
    """Rows whose id another row has that is written too and comes before."""
    written = np.flatnonzero(file > 0)
    renamed = np.ones(len(rows), np.bool_)
    renamed[written[np.unique(rows.table["id"][written], return_index=True)[1]]] = False
    renamed[file == 0] = False
    return renamed


def _own_id(rows: Rows, old: str, row: int) -> str:
    return f"{old}-{int(rows.table['same'][row]) & 0xFFFFFFFF:08x}"


def _mixed(values: Keys) -> Keys:
    """splitmix64's last steps (S. Vigna)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))

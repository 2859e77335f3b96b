"""What was read so far, on disk: shards of rows, each with a table of numbers on its rows and a tally.

A shard is done when its tally is there; tables and band hashes are all that is ever held of many rows at once.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from medchat.errors import RunError
from medchat.run_files import json_of, text_of, write_whole, writing
from train.row_files import SPLITS

UNLABELLED, MADE, BRIEF, FROZEN = 1, 2, 4, 8  # bits of "flags"
ROW = np.dtype([
    ("mark", np.uint64), ("same", np.uint64), ("answer", np.uint64), ("said", np.uint64), ("id", np.uint64),
    ("parent", np.uint64), ("group", np.uint64), ("start", np.uint64), ("length", np.uint32), ("shard", np.uint32),
    ("source", np.uint16), ("split", np.uint8), ("flags", np.uint8), ("question_words", np.uint32),
    ("answer_words", np.uint32), ("context_words", np.uint32),
])  # fmt: skip
# mark: hash of the question's id; same: of that and its options; said: of question and answer without the context;
# answer, id, parent and group: hashes of these, 0 for none. start, length: of the row's bytes in its shard; split: 1 +
# its index in SPLITS, 0 where the source says none.

Table = npt.NDArray[Any]
Bands = npt.NDArray[np.uint64]
OPEN_FILES = 200


class Tally(NamedTuple):
    """What became of the items of a shard. dropped, repaired: rule -> how many; examples: rule -> (where, text).

    strange: records without any field that only their adapter's set has.
    """

    rows_in: int
    dropped: Mapping[str, int]
    repaired: Mapping[str, int]
    leaks: Mapping[str, int]
    examples: Mapping[str, Sequence[tuple[str, str]]]
    strange: int = 0


def shard_path(work: Path, source: int, number: int) -> Path:
    """Where the shard's files are, without their suffix."""
    return work / f"{source:04}-{number:06}"


def is_done(path: Path) -> bool:
    """Whether the shard was written to its end."""
    return path.with_suffix(".json").exists()


def write_shard(path: Path, rows: Sequence[bytes], table: Table, bands: Bands, tally: Tally) -> None:
    """Write the shard; whoever was killed meanwhile writes the same bytes again. Raises RunError."""
    with writing():
        path.with_suffix(".rows").write_bytes(b"".join(rows))
        np.save(path.with_suffix(".table.npy"), table)
        np.save(path.with_suffix(".bands.npy"), bands)
        write_whole(path.with_suffix(".json"), json.dumps(tally._asdict()), durable=False)


def tallies_in(work: Path, source: int) -> Iterator[Tally]:
    """What the shards of a source say, in their order. Raises RunError for a damaged one."""
    for path in sorted(work.glob(f"{source:04}-*.json")):
        found = json_of(text_of(path) or "")
        if not isinstance(found, dict):
            raise RunError(f"The work folder is damaged ({path.name}); delete it and begin anew.")
        yield Tally(**found)


class Rows:
    """The rows of all shards by their number; table[i] says what is known of row i.

    order: the rows that win over others come first, otherwise they stand as they were read.
    """

    def __init__(self, work: Path) -> None:
        self._paths = sorted(work.glob("*.rows"))
        self._open: dict[int, BinaryIO] = {}
        tables = [np.load(path.with_suffix(".table.npy")) for path in self._paths]
        for number, table in enumerate(tables):
            table["shard"] = number
        whole: Table = np.concatenate(tables) if tables else np.empty(0, ROW)
        self._order = np.argsort(_rank(whole), kind="stable")
        self.table = whole[self._order]

    def __len__(self) -> int:
        return len(self.table)

    def bands(self, file: Path) -> Bands:
        """The band hashes of all rows (n, BANDS), in a file that stays on disk. Raises RunError."""
        parts = [np.load(path.with_suffix(".bands.npy"), mmap_mode="r") for path in self._paths]
        width = parts[0].shape[1] if parts else 1
        place = np.empty(len(self), np.int64)
        place[self._order] = np.arange(len(self))
        with writing():
            whole = np.lib.format.open_memmap(file, "w+", np.uint64, (len(self), width))
        start = 0
        for part in parts:
            whole[place[start : start + len(part)]] = part
            start += len(part)
        return whole

    def read(self, row: int) -> tuple[str, dict[str, Any]]:
        """Where the row stood, and its fields."""
        its = self.table[row]
        file = self._file(int(its["shard"]))
        file.seek(int(its["start"]))
        where, fields = orjson.loads(file.read(int(its["length"])))
        return where, fields

    def close(self) -> None:
        """Close the files."""
        for file in self._open.values():
            file.close()
        self._open.clear()

    def _file(self, shard: int) -> BinaryIO:
        if shard not in self._open:
            if len(self._open) >= OPEN_FILES:
                self.close()
            # Without a buffer: rows are read here and there, and each is read whole.
            self._open[shard] = self._paths[shard].open("rb", buffering=0)
        return self._open[shard]


def _rank(table: Table) -> npt.NDArray[np.uint8]:
    """Frozen rows, test, validation, the rest, then what was made; in each those with an answer first."""
    test, validation = SPLITS.index("test") + 1, SPLITS.index("validation") + 1
    flags = table["flags"]
    kind = np.select(
        [flags & FROZEN != 0, flags & MADE != 0, table["split"] == test, table["split"] == validation], [0, 4, 1, 2], 3
    )
    return (2 * kind + (flags & UNLABELLED != 0)).astype(np.uint8)

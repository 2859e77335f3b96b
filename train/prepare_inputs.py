"""The files of the sources, looked through once: their hash, and how much there is to read."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from medchat.errors import InvalidInput
from train.adapters import Piece, Source, pieces_of
from train.progress import Progress

PIECE_BYTES = 4 << 20  # that a worker reads at once
PACKED = (".gz", ".parquet", ".xlsx")  # there is more in them than their bytes
PLACE = re.compile(r", (?:line|row) (\d+)$")


class Part(NamedTuple):
    """A piece of a source. rows: lines, or rows, of its whole file."""

    piece: Piece
    n_bytes: int
    rows: int

    @property
    def is_small(self) -> bool:
        """Whether it can be read in one go."""
        packed = self.piece.file.suffix.casefold() in PACKED
        return self.piece.end is not None or self.n_bytes <= (PIECE_BYTES // 8 if packed else PIECE_BYTES)

    def share_at(self, where: str) -> float:
        """How much of a whole file (0 to 1) is behind a record that says it stands there."""
        place = PLACE.search(where)
        return min(1.0, int(place[1]) / self.rows) if place else 0.0


@dataclass(frozen=True, slots=True)
class Input:
    """A source that is read. files: each with its bytes and its lines, or rows.

    sha256: of its file, or of its files' bytes in their order. frozen: of reviewed rows that validate.
    """

    source: Source
    files: tuple[tuple[Path, int, int], ...]
    sha256: str
    frozen: bool = False

    @property
    def n_bytes(self) -> int:
        """How much there is to read."""
        return sum(size for _, size, _ in self.files)

    def parts(self) -> Iterator[Part]:
        """What can be read at the same time, in order."""
        sizes = {file: (size, rows) for file, size, rows in self.files}
        for piece in pieces_of(self.source, list(sizes), PIECE_BYTES):
            size, rows = sizes[piece.file]
            yield Part(piece, (size if piece.end is None else piece.end) - piece.start, rows)


def look_at(source: Source, files: Sequence[Path], progress: Progress, *, frozen: bool = False) -> Input:
    """The source, its files read once. Raises InvalidInput for one that cannot be opened."""
    digest = hashlib.sha256()
    found = []
    for file in files:
        size = lines = 0
        try:
            with file.open("rb") as stream:
                while block := stream.read(PIECE_BYTES):
                    digest.update(block)
                    size += len(block)
                    lines += block.count(b"\n")
                    progress.at(0)
        except OSError as error:
            raise InvalidInput(f"{file.name} cannot be read: {error.strerror}.") from error
        found.append((file, size, _rows_of(file) or max(1, lines)))
    return Input(source, tuple(found), digest.hexdigest(), frozen)


def _rows_of(file: Path) -> int:
    """Rows of a Parquet file; 0 for any other."""
    if file.suffix.casefold() != ".parquet":
        return 0
    from pyarrow import ArrowException
    from pyarrow.parquet import read_metadata

    try:
        return int(read_metadata(file).num_rows)
    except (ArrowException, OSError):
        return 0

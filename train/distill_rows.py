"""The rows that distillation begins with: which file each is of, which are asked about, which stay held out."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medchat.errors import InvalidInput
from medchat.records import Example
from train.augment_children import id_of
from train.distill_mix import mark, taken
from train.distill_options import Options
from train.distill_weak import Weakness, weakest, weakness_in
from train.row_files import FILES, UNLABELLED, file_of, files_in, read_rows

HELD_OUT_FILES = ("validation", "test")
HELD_OUT, NOT_CHOSEN = "its question is held out", "not chosen"
NOTHING = {
    "label": "{} holds no unlabelled question; `prepare` puts questions without an answer into unlabelled.jsonl.",
    "": "{} holds no row to train on with an answer; for questions without one give --kind label.",
}


@dataclass
class Input:
    """The folder or file of rows. n: rows of each file; licences: rows to train on by their licence.

    wanted: of each row that may be asked about, in order, whether it is.
    """

    path: Path
    kind: str
    n: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FILES, 0))
    sha256: dict[str, str] = field(default_factory=dict)
    held_out: set[bytes] = field(default_factory=set)
    n_held_out: int = 0
    wanted: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    weakness: Weakness | None = None

    def placed(self, *names: str) -> Iterator[tuple[str, Example]]:
        """The rows with the file that each is of; without names all of them."""
        for name, row in _placed(self.path):
            if not names or name in names:
                yield name, row

    def candidates(self) -> Iterator[Example]:
        """The rows that may be asked about, in order."""
        name = UNLABELLED if self.kind == "label" else "train"
        return (row for _, row in self.placed(name) if name == "train" or not self.is_held_out(row))

    def asked(self) -> Iterator[Example]:
        """The rows that are asked about, in order."""
        return (row for row, wanted in zip(self.candidates(), self.wanted, strict=True) if wanted)

    def is_held_out(self, row: Example) -> bool:
        """Whether the row may not be taught: its split is another one, or its question stands in one that is."""
        return row.split in HELD_OUT_FILES or bytes.fromhex(row.question_id) in self.held_out


def survey(path: Path, options: Options) -> Input:
    """The input, counted, with the rows chosen that are asked about. Raises NotFound and InvalidInput."""
    its = Input(path, options.kind)
    its.sha256 = {file.name: _sha256(file) for file in files_in(path)}
    for name, row in its.placed():
        its.n[name] += 1
        if name in HELD_OUT_FILES:
            its.held_out.add(bytes.fromhex(row.question_id))
    if options.kind == "self-instruct":
        if not its.n["train"]:
            raise InvalidInput(NOTHING[""].format(path.name))
        return its
    marks = np.array([mark(options.seed, id_of(row)) for row in its.candidates()], np.uint64)
    if not len(marks):
        raise InvalidInput(NOTHING.get(options.kind, NOTHING[""]).format(path.name))
    its.n_held_out = its.n[UNLABELLED] - len(marks) if options.kind == "label" else 0
    its.wanted = np.ones(len(marks), bool)
    if options.weak is not None:
        its.weakness = weakness_in(options.weak)
        its.wanted = weakest(its.weakness.chances(its.candidates()), options.weak_share)
    if options.limit and its.wanted.sum() > options.limit:
        places = np.flatnonzero(its.wanted)
        its.wanted[places[~taken(marks[places], options.limit)]] = False
    return its


def _placed(path: Path) -> Iterator[tuple[str, Example]]:
    if path.is_file():
        for _, row in read_rows(path):
            yield file_of(row), row
        return
    for file in files_in(path):
        for _, row in read_rows(file):
            if row.answer is None or not row.answer.strip():
                yield UNLABELLED, row
            elif file.stem == UNLABELLED:
                yield file_of(row), row
            else:
                yield file.stem, row if row.split else replace(row, split=file.stem)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

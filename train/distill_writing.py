"""Writing what distillation made: the teachers' rows among the originals, and what came of every answer."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from medchat.records import Example
from medchat.run_files import writing
from train.augment_children import id_of
from train.distill_answers import SAID_BEFORE, Unused
from train.distill_mix import mark, mixed_counts, taken
from train.distill_options import Mix
from train.distill_rows import Input
from train.row_files import FILES, UNLABELLED, RowsWriter, row_bytes

EXAMPLES = 3
TEXT_CHARS = 300
Made = list[Example | Unused]


@dataclass
class Tally:
    """What became of the answers. unused: reason -> how many, with some examples; used: by teacher."""

    wanted: int = 0
    used: Counter[str] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    licences: Counter[str] = field(default_factory=Counter)

    def refuse(self, its: Unused, row: Example) -> None:
        """Count an answer that makes no row."""
        self.unused[its.reason] += 1
        shown = self.examples.setdefault(its.reason, [])
        if len(shown) < EXAMPLES:
            shown.append({"source": row.source, "where": id_of(row), "text": " ".join(its.text.split())[:TEXT_CHARS]})

    def rules(self) -> dict[str, dict[str, Any]]:
        """The reasons as the report has them, the most frequent first."""
        ordered = sorted(self.unused.items(), key=lambda its: (-its[1], its[0]))
        return {reason: {"n": n, "examples": self.examples.get(reason, [])} for reason, n in ordered}


class MadeRows:
    """The rows that were made, in a file until the share is known that is taken of them."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._places: list[int] = []  # of the row that each was made from
        self._marks: list[int] = []
        self._licences: list[str] = []
        with writing():
            file.parent.mkdir(parents=True, exist_ok=True)
            self._stream = file.open("wb")

    def add(self, place: int, row: Example, seed: int) -> None:
        """Add a row made from the one at this place; places only go up."""
        with writing():
            self._stream.write(row_bytes(row))
        self._places.append(place)
        self._marks.append(mark(seed, row.id))
        self._licences.append(sys.intern(row.licence))

    def __len__(self) -> int:
        return len(self._places)

    def marks(self) -> npt.NDArray[np.uint64]:
        """By which some of them are drawn."""
        return np.array(self._marks, np.uint64)

    def by_place(self, chosen: npt.NDArray[np.bool_]) -> Iterator[tuple[int, bytes, str]]:
        """Place, line and licence of each row that is taken, in order."""
        with writing():
            self._stream.close()
        with self._file.open("rb") as lines:
            for place, line, licence, is_chosen in zip(self._places, lines, self._licences, chosen, strict=True):
                if is_chosen:
                    yield place, line, licence


def new_ones(made: Sequence[Example | Unused], row: Example) -> Made:
    """What was made of a row, without answers that say what the row, or another of them, says already."""
    seen = {_said(row)}
    found: Made = []
    for its in made:
        if isinstance(its, Example):
            if _said(its) in seen:
                its = Unused(SAID_BEFORE, its.answer or "")
            else:
                seen.add(_said(its))
        found.append(its)
    return found


@dataclass
class Written:
    """What stands in the files. taken: how many rows of either kind, and what the mix left out; licences: of the rows
    to train on. labelled: questions whose rows with an answer stand in their place.
    """

    files: RowsWriter
    labelled: int = 0
    taken: dict[str, int] = field(default_factory=dict)
    licences: Counter[str] = field(default_factory=Counter)


def write_rows(
    out: Path, source: Input, made: MadeRows, labelled: npt.NDArray[np.bool_], mix: Mix | None, seed: int
) -> Written:
    """Write the files: held-out rows as they were; to train on, the originals and the teachers' rows that are taken,
    each behind the row that it was made from.

    labelled: of each unlabelled question that may be asked about whether it has an answer now.
    """
    marks = np.array([mark(seed, id_of(row)) for _, row in source.placed("train")], np.uint64)
    n_teacher, n_original = mixed_counts(len(made), len(marks), mix)
    is_taken = iter(taken(marks, n_original))
    lines = made.by_place(taken(made.marks(), n_teacher))
    candidate = "train" if source.kind != "label" else UNLABELLED
    written = Written(RowsWriter(out), int(labelled.sum()) if candidate == UNLABELLED else 0)
    held, n_candidate = next(lines, None), -1
    with written.files as files:
        for name, row in source.placed():
            may_be_asked = name == candidate and (name == "train" or not source.is_held_out(row))
            n_candidate += may_be_asked
            stays = next(is_taken) if name == "train" else not (may_be_asked and labelled[n_candidate])
            if stays:
                files.write(row, name)
                written.licences.update([row.licence] if name == "train" else [])
            while may_be_asked and held is not None and held[0] == n_candidate:
                files.write_bytes("train", held[1])
                written.licences[held[2]] += 1
                held = next(lines, None)
        while held is not None:  # new questions, which were made from no row
            files.write_bytes("train", held[1])
            written.licences[held[2]] += 1
            held = next(lines, None)
    written.taken = {
        "originals": n_original, "teachers' rows": n_teacher,
        "originals left out by the mix": len(marks) - n_original,
        "teachers' rows left out by the mix": len(made) - n_teacher,
    }  # fmt: skip
    return written


def write_pairs(out: Path, source: Input, pairs: Path) -> Written:
    """Write dpo.jsonl, from the file of its lines, beside the rows as they were."""
    written = Written(RowsWriter(out, (*FILES, "dpo")))
    with written.files as files:
        for name, row in source.placed():
            files.write(row, name)
            written.licences.update([row.licence] if name == "train" else [])
        with pairs.open("rb") as lines:
            for line in lines:
                files.write_bytes("dpo", line)
    return written


def pair_bytes(pair: dict[str, Any]) -> bytes:
    """The pair as a line."""
    return orjson.dumps(pair, option=orjson.OPT_APPEND_NEWLINE)


def _said(row: Example) -> tuple[str, str]:
    return " ".join((row.answer or "").split()).casefold(), " ".join(row.rationale.split()).casefold()

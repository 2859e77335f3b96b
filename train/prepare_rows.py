"""One chunk of a source's records to a shard: rows of the adapter, cleaned, checked against the suites, and measured.

This is what the worker processes do; the same chunk gives the same bytes in every one of them.
"""

import hashlib
import pickle
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import orjson

from evaluation.benchmark_json import BROKEN_ROW, Skipped
from evaluation.suite_examples import fault_of
from medchat.errors import InvalidInput
from medchat.records import Example
from train.adapters import ADAPTERS, Found, Piece, Placed, Reading, records_of, rows_of
from train.cleaning import Limits, clean
from train.leaks import LeakCheck
from train.near_duplicates import band_hashes
from train.prepare_shards import BRIEF, FROZEN, MADE, ROW, UNLABELLED, Tally, shard_path, write_shard
from train.row_files import SPLITS, row_bytes
from train.ties import text_of

FOR_EVALUATION = "for evaluation alone"
IN_SUITE = "in the evaluation suite {}"
NOTHING = "it gives no row"
NO_ANSWER = "a frozen row without an answer"
BRIEF_WORDS = 30  # an answer of so many words at most is a brief one
EXAMPLES = 3  # of each rule
SHOWN_CHARS = 300


@dataclass(frozen=True, slots=True)
class How:
    """How all rows are read. leaks: the file with the pickled LeakCheck, which this program wrote; work: of shards."""

    reading: Reading
    limits: Limits
    leaks: Path
    work: Path


@dataclass(frozen=True, slots=True)
class Chunk:
    """What becomes one shard: whole pieces, or `items`, some records of the one piece.

    source: its number; frozen: reviewed validation rows, which stay as they are.
    """

    source: int
    number: int
    pieces: tuple[Piece, ...]
    items: Sequence[Found] | None
    frozen: bool = False


class _Shard:
    """What is gathered for one shard."""

    def __init__(self) -> None:
        self.examples: list[Example] = []
        self.rows: list[bytes] = []
        self.table: list[tuple[int, ...]] = []
        self.rows_in = self.start = self.strange = 0
        self.dropped: Counter[str] = Counter()
        self.repaired: Counter[str] = Counter()
        self.leaks: Counter[str] = Counter()
        self.shown: dict[str, list[tuple[str, str]]] = {}

    def drop(self, rule: str, where: str, text: str) -> None:
        self.dropped[rule] += 1
        self.show(rule, where, text)

    def show(self, rule: str, where: str, text: str) -> None:
        shown = self.shown.setdefault(rule, [])
        if len(shown) < EXAMPLES:
            shown.append((where, short(text)))


def read_chunk(chunk: Chunk, how: How) -> None:
    """Write the chunk's shard. Raises RunError when it cannot be written."""
    shard = _Shard()
    placed = list(_settled_rows(shard, chunk, how))
    leaks = [""] * len(placed) if chunk.frozen else _leak_check(how.leaks).found_in_each([row for _, row in placed])
    for (where, example), suite in zip(placed, leaks, strict=True):
        if suite:
            shard.leaks[suite] += 1
            shard.drop(IN_SUITE.format(suite), where, example.question)
        else:
            _add(shard, where, example, chunk)
    tally = Tally(shard.rows_in, shard.dropped, shard.repaired, shard.leaks, shard.shown, shard.strange)
    bands = band_hashes([text_of(example) for example in shard.examples])
    table = np.array(shard.table, ROW) if shard.table else np.empty(0, ROW)
    write_shard(shard_path(how.work, chunk.source, chunk.number), shard.rows, table, bands, tally)


def _settled_rows(shard: _Shard, chunk: Chunk, how: How) -> Iterator[tuple[str, Example]]:
    """The rows that no rule dropped; those that one did are counted."""
    for where, found in _found_in(shard, chunk, how.reading):
        shard.rows_in += 1
        if isinstance(found, Skipped):
            shard.drop(found.reason, where, found.detail)
            continue
        try:
            example = _settled(shard, where, found, how, frozen=chunk.frozen)
        except (InvalidInput, UnicodeEncodeError) as error:
            shard.drop(BROKEN_ROW, where, f"{_fault(error)}: {found.question}")
            continue
        if example is not None:
            yield where, replace(example, meta={**example.meta, "where": example.meta.get("where") or where})


def _found_in(shard: _Shard, chunk: Chunk, reading: Reading) -> Iterator[Placed]:
    for piece in chunk.pieces:
        marks = ADAPTERS[piece.adapter].marks
        for record in records_of(piece) if chunk.items is None else chunk.items:
            if marks and not isinstance(record[1], Skipped):
                shard.strange += marks.isdisjoint(record[1])
            where = record[0].encode("utf-8", "replace").decode()  # the name of a file need not be text
            rows = [row for _, row in rows_of(piece, record, reading)] or [Skipped(NOTHING)]
            for row in rows:
                yield where, row


def _settled(shard: _Shard, where: str, found: Example, how: How, *, frozen: bool) -> Example | None:
    """The row as it goes on, with an id; None where a rule drops it. Raises InvalidInput, UnicodeEncodeError."""
    if fault := fault_of(found):
        raise InvalidInput(fault)
    example = replace(found, id=found.id or found.question_id[:16])
    if frozen:
        if example.answer and example.answer.strip():
            return example
        shard.drop(NO_ANSWER, where, example.question)
        return None
    if "canary" in example.meta:
        shard.drop(FOR_EVALUATION, where, example.question)
        return None
    cleaned = clean(example, how.limits)
    for rule in cleaned.repaired:
        shard.repaired[rule] += 1
        shard.show(rule, where, example.question if cleaned.example.question != example.question else _said(example))
    if cleaned.dropped:
        shard.drop(cleaned.dropped, where, f"{example.question} | {_said(example)}")
        return None
    return cleaned.example


def _add(shard: _Shard, where: str, example: Example, chunk: Chunk) -> None:
    try:
        data = row_bytes(example)
        numbers = _numbers(example, chunk)
    except (InvalidInput, UnicodeEncodeError) as error:
        shard.drop(BROKEN_ROW, where, f"{_fault(error)}: {example.question}")
        return
    line = b"[" + orjson.dumps(where) + b"," + data.rstrip() + b"]"
    shard.table.append((*numbers[:7], shard.start, len(line), 0, chunk.source, *numbers[7:]))
    shard.examples.append(example)
    shard.rows.append(line)
    shard.start += len(line)


def _fault(error: InvalidInput | UnicodeEncodeError) -> str:
    return str(error) if isinstance(error, InvalidInput) else "a text of the row is no Unicode text"


def _said(example: Example) -> str:
    return example.answer or ""


@cache
def _leak_check(file: Path) -> LeakCheck:
    """Read once a process."""
    return pickle.loads(file.read_bytes())


def _numbers(example: Example, chunk: Chunk) -> tuple[int, ...]:
    """The row's values of ROW, without those of its place."""
    mark = example.question_id
    options = "\n".join(f"{letter} {text}" for letter, text in (example.options or {}).items())
    answer = example.answer if example.answer and example.answer.strip() else ""
    parent, group = example.meta.get("parent"), example.meta.get("group")
    words = len(answer.split())
    flags = MADE if example.meta.get("made") or parent else 0
    flags |= BRIEF if answer and words <= BRIEF_WORDS else 0 if answer else UNLABELLED
    flags |= FROZEN if chunk.frozen else 0
    split = "validation" if chunk.frozen else example.split
    said = f"{_normal(example.question)}\n{_normal(answer)}"
    return (
        int(mark[:16], 16), hash_of(f"{mark}\n{options}"), hash_of(_normal(answer)), hash_of(said), hash_of(example.id),
        *(hash_of(str(tie)) if tie else 0 for tie in (parent, group)),
        SPLITS.index(split) + 1 if split in SPLITS else 0, flags,
        len(example.question.split()), words, len(example.context.split()),
    )  # fmt: skip


def hash_of(text: str) -> int:
    """64 bits of the text's hash, never 0. Raises UnicodeEncodeError."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) or 1


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def short(text: str) -> str:
    """The text as an example shows it."""
    line = " ".join(text.encode("utf-8", "replace").decode().split())
    return line if len(line) <= SHOWN_CHARS else line[: SHOWN_CHARS - 1] + "…"

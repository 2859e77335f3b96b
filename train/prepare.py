"""Source files to training data: rows are read, checked, said once, and split by question.

What comes out: train.jsonl, validation.jsonl and test.jsonl of Examples, and report.json with what was left out and
why. Rows are streamed; of each question 8 bytes stay in memory.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from evaluation.benchmark_files import Skipped
from evaluation.benchmarks import BENCHMARKS, read_benchmark
from evaluation.suite_examples import Placed, example_lines
from medchat.errors import InvalidInput, NotFound, one_of
from medchat.records import Example
from medchat.run_files import write_whole, writing

SPLITS = ("train", "validation", "test")
HELD_OUT_SHARE = 0.1  # of the questions, for validation and for the test each
NO_ANSWER, REPEATED = "no answer", "a question that was there before"
FOR_EVALUATION = "marked as for evaluation alone"
HELD_OUT = "a question of the evaluation suite {}"


@dataclass(frozen=True, slots=True)
class Adapter:
    """How a source is read. licence: of its rows, "" where each says its own."""

    title: str
    licence: str
    read: Callable[[Path], Iterator[Placed]]


ADAPTERS: Mapping[str, Adapter] = MappingProxyType({
    "examples": Adapter("Examples, one JSON object a line", "", example_lines),
    "medical_o1": Adapter(
        "medical-o1-reasoning-SFT: Question, Complex_CoT, Response", BENCHMARKS["medical_o1"].licence,
        lambda path: read_benchmark(BENCHMARKS["medical_o1"], path),
    ),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Source:
    """A file, or a folder of files, and the adapter that reads it."""

    adapter: str
    path: Path


def source_of(text: str) -> Source:
    """The source that ADAPTER=PATH means. Raises InvalidInput, and NotFound when nothing is there."""
    name, equals, path = text.partition("=")
    if not equals or not path:
        raise InvalidInput(f"{text!r} is no source; write ADAPTER=PATH, the adapter {one_of(list(ADAPTERS))}.")
    if name not in ADAPTERS:
        raise NotFound(f"There is no adapter {name!r}; choose {one_of(list(ADAPTERS))}.")
    if not Path(path).expanduser().exists():
        raise NotFound(f"There is no file or folder {path}.")
    return Source(name, Path(path).expanduser())


def prepare(sources: Sequence[Source], out: Path, held_out: Mapping[str, str], seed: int = 0) -> dict[str, Any]:
    """The report on the files that now are in `out`. held_out: question id -> suite.

    A row that names a split stays in it, any other is drawn by a hash of seed and question. The same sources and seed
    give the same files. Raises InvalidInput with file and line for what cannot be read, and when nothing to train on
    is left; RunError when the folder cannot be written. The files that were there stay until then.
    """
    used: list[dict[str, Any]] = []
    seen: dict[bytes, str] = {}
    with writing():
        out.mkdir(parents=True, exist_ok=True)
        names = {split: out / f".{split}.jsonl.partial" for split in SPLITS}
        try:
            with ExitStack() as stack:
                files = {split: stack.enter_context(path.open("w", encoding="utf-8")) for split, path in names.items()}
                for source in sources:
                    used.append(_take(source, files, seen, held_out, seed))
            report = _report(used, names, seed)
            for split, path in names.items():
                path.replace(out / f"{split}.jsonl")
            write_whole(out / "report.json", json.dumps(report, ensure_ascii=False, indent=2) + "\n")
        finally:
            for path in names.values():
                path.unlink(missing_ok=True)
    return report


def _take(
    source: Source, files: Mapping[str, TextIO], seen: dict[bytes, str], held_out: Mapping[str, str], seed: int
) -> dict[str, Any]:
    """Write the source's rows; what is reported of it. seen: a mark of each question -> its split."""
    adapter = ADAPTERS[source.adapter]
    left_out: Counter[str] = Counter()
    rows: Counter[str] = Counter()
    licences: Counter[str] = Counter()
    for _, found in adapter.read(source.path):
        reason = found.reason if isinstance(found, Skipped) else _unfit(found, held_out)
        if not reason and isinstance(found, Example):
            mark = hashlib.blake2b(found.question_id.encode(), digest_size=8).digest()
            reason = REPEATED if mark in seen else ""
            if not reason:
                example = _settled(found, seed)
                seen[mark] = example.split
                files[example.split].write(example.to_json() + "\n")
                rows[example.split] += 1
                licences[example.licence or "not stated"] += 1
        if reason:
            left_out[reason] += 1
    return {
        "adapter": source.adapter,
        "source": source.path.name,
        "sha256": _sha256_of(source.path),
        "licences": dict(licences),
        "rows": {split: rows[split] for split in SPLITS},
        "left_out": dict(sorted(left_out.items())),
    }


def _unfit(example: Example, held_out: Mapping[str, str]) -> str:
    """Why a row is not used, "" for no reason."""
    if example.answer is None or not example.answer.strip():
        return NO_ANSWER
    if "canary" in example.meta:
        return FOR_EVALUATION
    suite = held_out.get(example.question_id)
    return HELD_OUT.format(suite) if suite else ""


def _settled(example: Example, seed: int) -> Example:
    """The row with an id and a split."""
    split = example.split if example.split in SPLITS else _drawn(example.question_id, seed)
    return replace(example, id=example.id or example.question_id[:16], split=split)


def _drawn(question: str, seed: int) -> str:
    share = int(hashlib.sha256(f"{seed} {question}".encode()).hexdigest()[:12], 16) / 16**12
    if share < HELD_OUT_SHARE:
        return "validation"
    return "test" if share < 2 * HELD_OUT_SHARE else "train"


def _report(used: Sequence[Mapping[str, Any]], names: Mapping[str, Path], seed: int) -> dict[str, Any]:
    """Raises InvalidInput when no row is left to train on."""
    rows = {split: sum(its["rows"][split] for its in used) for split in SPLITS}
    if not rows["train"]:
        reasons = Counter[str]()
        for its in used:
            reasons.update(its["left_out"])
        why = "; ".join(f"{n} {reason}" for reason, n in reasons.most_common()) or "the sources are empty"
        raise InvalidInput(f"No row is left to train on: {why}.")
    return {
        "kind": "prepared",
        "seed": seed,
        "rows": rows,
        "sources": list(used),
        "sha256": {split: _sha256_of(path) for split, path in names.items()},
    }


def _sha256_of(path: Path) -> str:
    """Of a file; of a folder that of all its files, in the order of their names."""
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file()):
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()

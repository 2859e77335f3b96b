"""More questions of the rows that are trained on: `python -m train augment`.

Rows are taken in chunks; each chunk's children are checked and kept in a file of OUT/.work, so that a run that was
killed goes on with the next chunk. In the end the folder is written whole: the rows as they were and behind each chunk
its children. Only rows to train on and unlabelled ones get children; validation and test hold original rows alone, and
a row that was itself made of another one, or is a copy, gets none.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from medchat import __version__
from medchat.errors import InvalidInput
from medchat.knowledge import Knowledge
from medchat.records import Example
from medchat.run_files import write_whole, writing
from train.augment_balance import Balance
from train.augment_candidates import asked_about, asked_on, candidates, synthetic_pairs
from train.augment_checks import BANDS, dedup_mark, fault, similarities
from train.augment_children import KINDS, Child, Kind, Made, Refused, id_of
from train.augment_options import Options
from train.augment_report import Counts, ordered
from train.augment_tools import Tools
from train.augment_topics import ConditionCounts
from train.prepare_options import digest_of
from train.progress import Progress
from train.row_files import FILES, SPLITS, UNLABELLED, RowsWriter, file_of, files_in, read_rows, report_of, write_report
from train.teacher_flags import flagged
from train.teacher_records import Asked
from train.work_folder import Work, work_folder

CHUNK = 200  # rows whose children are made together
COUNTED_AT_ONCE = 1000
NOTHING_MADE = "Nothing was made, and nothing was written: {}."
NO_CANDIDATE = "no row offers what could be changed so"
REASONS_SAID = 3
DUPLICATE, SAME = "a question that is there already", "the same as its parent"
LEAK = "in the evaluation suite {}"
TOO_FAR, TOO_NEAR = "too far from its parent", "too near to its parent"


def _no_rows() -> dict[str, int]:
    return dict.fromkeys(FILES, 0)


@dataclass
class _Seen:
    """What a first look at the rows found. marks: of every question; rows: of each file; parents: that get children."""

    marks: set[int] = field(default_factory=set)
    rows: dict[str, int] = field(default_factory=_no_rows)
    parents: int = 0
    topics: Mapping[str, int] = field(default_factory=dict)


def augment(
    source: Path, out: Path, options: Options, tools: Tools, *, command: str = "", progress: Progress | None = None
) -> dict[str, Any]:
    """The report on the files that now are in `out`.

    source: a folder that `prepare` wrote, or a file of Examples. The same rows, options and replies give the same
    bytes. Raises InvalidInput when there is nothing to augment, RunError, Stopped; what was there stays until then.
    """
    progress = progress or Progress(lambda line: None)
    if out.resolve() == source.resolve():
        raise InvalidInput("The augmented rows cannot go into the folder that they are made of; name another --out.")
    files = files_in(source)
    with work_folder(out) as kept:
        return _augmented(source, files, out, kept, options, tools, command, progress)


def questions(source: Path, options: Options, knowledge: Knowledge) -> Iterator[Asked]:
    """All that augmenting would ask the teacher; nothing is asked."""
    seen = _look(source, options, knowledge, Progress(lambda line: None))
    for chunk in _chunks(source, seen.parents):
        yield from asked_about(chunk, options)
    if "synthetic" in options.kinds:
        yield from asked_on(list(seen.topics), options)


def rows_of(source: Path) -> Iterator[tuple[str, Example]]:
    """The rows with the file that each belongs into."""
    if source.is_file():
        yield from ((file_of(row), row) for _, row in read_rows(source))
        return
    for path in files_in(source):
        yield from ((path.stem, row) for _, row in read_rows(path))


def gets_children(name: str, row: Example) -> bool:
    """Whether the row of this file is one to make others of."""
    held_out = name not in ("train", UNLABELLED) or row.split in SPLITS[1:]
    return not held_out and "copy" not in row.meta and row.meta.get("made") not in KINDS


def _augmented(
    source: Path, files: Sequence[Path], out: Path, kept: Work, options: Options, tools: Tools, command: str,
    progress: Progress,
) -> dict[str, Any]:  # fmt: skip
    digests = {path.name: _sha256_of(path) for path in files}
    seen = _look(source, options, tools.facts.knowledge, progress)
    if not seen.parents and "synthetic" not in options.kinds:
        raise InvalidInput(f"{source.name} holds no row to learn from that could get children.")
    work = kept.folder(digest_of(digests, options.settings(), list(seen.topics), tools.tables, __version__))
    _make(source, work, options, tools, seen, progress)
    _check_made(work, seen)
    counts, balance, writer = _write(source, out, work, seen, progress)
    assert counts.is_whole(), "every candidate is a child or refused"
    old = report_of(source) if source.is_dir() else {}
    carried: dict[str, Any] = {name: old[name] for name in ("template", "answer_format") if name in old}
    report: dict[str, Any] = {
        "kind": "augmented", "command": command, "seed": options.seed, "settings": options.settings(),
        "source": source.name, "source_sha256": digests, **carried,
        "rows_in": dict(seen.rows), "rows": dict(writer.n), "parents": counts.parents,
        "children": sum(counts.children.values()), "answered": counts.answered,
        "kinds": ordered(counts, options.kinds),
        "bands": {kind: list(BANDS[kind]) for kind in options.kinds if kind in BANDS},
        "balance": balance.report(old.get("balance", {}).get("asked", {})),
        "licences": dict(balance.licences.most_common()),
        "topics": dict(seen.topics), "teacher": {"model": options.teacher, "spent": dict(tools.costs())},
        "sha256": writer.sha256,
    }  # fmt: skip
    write_report(out, report)
    return report


def _look(source: Path, options: Options, knowledge: Knowledge, progress: Progress) -> _Seen:
    seen = _Seen()
    rare = ConditionCounts(knowledge) if "synthetic" in options.kinds and not options.topics else None
    progress.stage("Reading the rows", 0)
    for number, (name, row) in enumerate(rows_of(source)):
        seen.marks.add(dedup_mark(row))
        seen.rows[name] += 1
        seen.parents += gets_children(name, row)
        if rare is not None and name == "train":
            rare.count(row)
        if number % COUNTED_AT_ONCE == 0:
            progress.at(0, f"{number:,} rows")
    seen.parents = min(seen.parents, options.limit or seen.parents)
    seen.topics = rare.rare() if rare else dict.fromkeys(options.topics, 0)
    return seen


def _chunks(source: Path, most: int) -> Iterator[list[Example]]:
    """The rows that get children, CHUNK at a time."""
    parents = islice((row for name, row in rows_of(source) if gets_children(name, row)), most)
    while chunk := list(islice(parents, CHUNK)):
        yield chunk


def _make(source: Path, work: Path, options: Options, tools: Tools, seen: _Seen, progress: Progress) -> None:
    """A file of each chunk, and one of the topics."""
    done = len(list(work.glob("chunk-*.json")))
    progress.stage("Making children", seen.parents, first=done * CHUNK)
    at, note = 0, f"waiting for {options.teacher}" if options.teacher else ""
    for number, chunk in enumerate(_chunks(source, seen.parents)):
        kept = _kept(work, number)
        if kept is None:
            made = candidates(chunk, at, options, tools, lambda _, at=at: progress.at(at, note))  # type: ignore[misc]
            kept = _checked(made, len(chunk), options, tools, seen.marks)
            _keep(work, number, kept)
        else:
            seen.marks.update(kept["marks"])
        at += len(chunk)
        progress.at(at)
    topics_at = -(-seen.parents // CHUNK)
    if "synthetic" in options.kinds and _kept(work, topics_at) is None:
        progress.stage("Asking about rare topics", len(seen.topics))
        made = synthetic_pairs(list(seen.topics), options, tools, lambda n: progress.at(n, note))
        _keep(work, topics_at, _checked(made, 0, options, tools, seen.marks))


def _checked(
    made: Sequence[tuple[Kind, list[Made]]], parents: int, options: Options, tools: Tools, marks: set[int]
) -> dict[str, Any]:
    """A chunk as it is kept: children as JSON, the marks of their questions, and the counts."""
    counts = Counts(parents=parents)
    said: list[Child] = []
    for kind, offered in made:
        counts.offer(kind, len(offered))
        for one in offered:
            refused = one if isinstance(one, Refused) else _refused(one, tools, marks)
            if refused:
                counts.refuse(refused)
            elif isinstance(one, Child):
                marks.add(dedup_mark(one.row))
                said.append(one)
    accepted = _near_enough(_not_leaked(said, tools, counts), tools, counts)
    for child in accepted:
        counts.accept(child)
    return {
        "children": [child.row.to_json() for child in accepted],
        "marks": [dedup_mark(child.row) for child in said],
        "counts": {name: getattr(counts, name) for name in Counts.__slots__},
    }


def _refused(child: Child, tools: Tools, marks: set[int]) -> Refused | None:
    """Why the child does not say what it should, or says nothing new; None for a good one."""
    mark = dedup_mark(child.row)
    if child.parent is not None and mark == dedup_mark(child.parent):
        return _of(child, SAME)
    if mark in marks:
        return _of(child, DUPLICATE)
    if child.parent is None and (flags := flagged(child.row)):
        return _of(child, flags)
    reason, detail = fault(child, tools.vocabulary, tools.synonyms)
    return _of(child, reason, detail) if reason else None


def _of(child: Child, reason: str, detail: str = "") -> Refused:
    return Refused(child.kind, id_of(child.parent) if child.parent else "", reason, detail, child.row.question)


def _not_leaked(children: Sequence[Child], tools: Tools, counts: Counts) -> list[Child]:
    suites = tools.leaks.found_in_each([child.row for child in children])
    for child, suite in zip(children, suites, strict=True):
        if suite:
            counts.refuse(_of(child, LEAK.format(suite)))
    return [child for child, suite in zip(children, suites, strict=True) if not suite]


def _near_enough(children: Sequence[Child], tools: Tools, counts: Counts) -> list[Child]:
    """Those within the band of their kind; a synthetic pair has no parent to be near to."""
    compared = [child for child in children if child.parent is not None]
    cosines = similarities(compared, tools.embedder()) if compared else []
    kept = [child for child in children if child.parent is None]
    for child, cosine in zip(compared, cosines, strict=True):
        band = BANDS[child.kind]
        counts.similar(child.kind, cosine)
        if band.low <= cosine <= band.high:
            kept.append(child)
        else:
            counts.refuse(_of(child, TOO_FAR if cosine < band.low else TOO_NEAR, f"{cosine:.3f}"))
    return kept


def _file(work: Path, number: int) -> Path:
    return work / f"chunk-{number:07}.json"


def _keep(work: Path, number: int, kept: Mapping[str, Any]) -> None:
    with writing():
        write_whole(_file(work, number), json.dumps(kept), durable=False)


def _kept(work: Path, number: int) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(_file(work, number).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def _check_made(work: Path, seen: _Seen) -> None:
    """Raises InvalidInput where no child was made, with the most frequent reasons; the next run makes all anew."""
    counts = Counts()
    for number in range(-(-seen.parents // CHUNK) + 1):
        if kept := _kept(work, number):
            counts.add(kept["counts"])
    if any(counts.children.values()):
        return
    n = sum(counts.candidates.values())
    reasons = Counter({
        f"{reason} ({kind})": its["n"] for kind, found in counts.refused.items() for reason, its in found.items()
    })  # fmt: skip
    said = "; ".join(f"{n:,} {reason}" for reason, n in reasons.most_common(REASONS_SAID))
    shutil.rmtree(work, ignore_errors=True)
    raise InvalidInput(NOTHING_MADE.format(f"none of {n:,} candidates was taken ({said})" if n else NO_CANDIDATE))


def _write(source: Path, out: Path, work: Path, seen: _Seen, progress: Progress) -> tuple[Counts, Balance, RowsWriter]:
    """The rows with their children behind each chunk."""
    balance = Balance()
    counts, number, waiting, left = Counts(), 0, 0, seen.parents
    total = sum(seen.rows.values())
    progress.stage("Writing", total)

    def flush(writer: RowsWriter, chunk: int) -> None:
        kept = _kept(work, chunk)
        if kept is not None:
            counts.add(kept["counts"])
            for child in map(Example.from_json, kept["children"]):
                writer.write(child)
                if file_of(child) == "train":
                    balance.add(child, is_child=True)

    with RowsWriter(out) as writer:
        for done, (name, row) in enumerate(rows_of(source), 1):
            writer.write(row, name)
            if name == "train":
                balance.add(row, is_child=False)
            if left and gets_children(name, row):
                waiting, left = waiting + 1, left - 1
                if waiting == CHUNK:
                    flush(writer, number)
                    number, waiting = number + 1, 0
            if done % COUNTED_AT_ONCE == 0:
                progress.at(done)
        for chunk in range(number, -(-seen.parents // CHUNK) + 1):
            flush(writer, chunk)
    return counts, balance, writer


def _sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

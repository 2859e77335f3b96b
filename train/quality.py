"""Which rows of a folder somebody has to look at before a model learns from them: flags, and the sample for people.

A flagged answer is not taught blindly: rows with unsafe advice, a dose out of range, a refusal or an identifier, and
rows that people must look at, are held back in held.jsonl until a reviewer says keep or fix. All other flags stay with
their rows, in meta.flags. Into review.jsonl go a random share by the seed, all flagged rows about doses, and all that
are held back. Every row that is read is in one of the files; a line that is no row is counted.
"""

import hashlib
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from medchat import __version__
from medchat.errors import InvalidInput
from medchat.records import Example
from train.prepare_options import digest_of
from train.progress import Progress
from train.quality_chunks import CHUNK_ROWS, Broken, Row, Source, check_all, flags_in, look_at, rows_in
from train.quality_doses import is_about_doses
from train.quality_flags import FLAGS, HELD_FLAGS, Flag, FlagName, Thresholds
from train.quality_pairs import PAIRS, write_pairs
from train.quality_report import Findings
from train.review import (
    ABOUT_DOSES,
    DETAILS_META,
    FLAGGED,
    FLAGS_META,
    HELD,
    MOST_REVIEWERS,
    NEEDED,
    REVIEW,
    REVIEWED_META,
    SAMPLED,
    WHY_META,
    content_sha,
)
from train.row_files import FILES, SPLITS, RowsWriter, file_of, prepared_of, report_of, write_report
from train.work_folder import work_folder

TO_BE_SEEN = "must be looked at"  # meta.review of a row that a model made
CARRIED = ("template", "answer_format")
BROKEN = "broken row"
BROKEN_SHOWN = 3
ACCEPTED = ("keep", "fix")


@dataclass(frozen=True, slots=True)
class Options:
    """How rows are checked. share: of the answered rows that people look at by chance. reviewers: of each row, 1 or 2.

    held: flags with which a row is not taught until a reviewer says so. review: flags of which people see every row,
    besides those that are held back and those about doses.
    """

    seed: int = 0
    share: float = 0.05
    reviewers: int = 1
    held: tuple[FlagName, ...] = HELD_FLAGS
    review: tuple[FlagName, ...] = ()
    thresholds: Thresholds = field(default_factory=Thresholds)

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise InvalidInput("--share is a share of the rows from 0 to 1, such as 0.05.")
        if not 1 <= self.reviewers <= MOST_REVIEWERS:
            raise InvalidInput("--reviewers is 1 or 2.")

    def settings(self) -> dict[str, Any]:
        """The options as plain values."""
        plain = {name: value for name, value in asdict(self).items() if name not in ("seed", "thresholds")}
        return plain | {"held": list(self.held), "review": list(self.review), "thresholds": self.thresholds.settings()}


def check(
    folder: Path, out: Path, options: Options, *, workers: int = 1, progress: Progress | None = None
) -> dict[str, Any]:
    """The report on `out`: the rows of a folder, or of one file, with their flags.

    The same rows and options give the same bytes, whatever the workers and however often it was interrupted. Raises
    NotFound, InvalidInput where there is no row at all, RunError when the folder cannot be written, Stopped.
    """
    progress = progress or Progress(lambda line: None)
    if out.resolve() == (folder if folder.is_dir() else folder.parent).resolve():
        raise InvalidInput("The checked rows need a folder of their own: give another one with --out.")
    source = look_at(folder, progress)
    with work_folder(out, invalid_is_final=True) as kept:
        work = kept.folder(digest_of(__version__, source.digests, options.thresholds.settings()))
        check_all(source, work, options.thresholds, workers, progress)
        return _written(folder, source, work, out, options, progress)


def command_of(folder: Path, options: Options) -> str:
    """The command that makes the same files."""
    words = ["python", "-m", "train", "quality", folder.name]
    words += ["--share", f"{options.share:g}", "--reviewers", str(options.reviewers)]
    if options.held != HELD_FLAGS:
        words += [part for name in options.held or ("none",) for part in ("--hold", name)]
    words += [part for name in options.review for part in ("--review", name)]
    usual = Thresholds().settings()
    for name, value in options.thresholds.settings().items():
        if value != usual[name]:
            words += ["--set", f"{name}={','.join(value) if isinstance(value, list) else value}"]
    return shlex.join([*words, "--seed", str(options.seed), "--out", "DIR"])


def _written(
    folder: Path, source: Source, work: Path, out: Path, options: Options, progress: Progress
) -> dict[str, Any]:
    """Write the files; what the report says."""
    progress.stage("Writing", source.n)
    findings, sample, broken = Findings(), _Sample(options), _BrokenLines()
    rows_read, held, licences = Counter[str](), Counter[str](), Counter[str]()
    pairs = folder / f"{PAIRS}.jsonl" if folder.is_dir() else Path()
    names = (*FILES, HELD, REVIEW, *((PAIRS,) if pairs.is_file() else ()))
    with RowsWriter(out, names) as files:
        for done, (row, flags) in enumerate(zip(rows_in(source, broken.add), flags_in(work), strict=True), 1):
            example = _flagged(row, flags)
            why = held_why(example, flags, options.held)
            findings.add(row.example, row.where, flags)
            rows_read[row.name] += 1
            held.update(why)
            files.write(example, HELD if why else row.name if row.name in FILES else file_of(example))
            licences[row.example.licence or "not stated"] += not why
            if (shown := sample.item(example, flags, bool(why))) is not None:
                files.write(shown, REVIEW)
            if done % CHUNK_ROWS == 0:
                progress.at(done)
        paired = write_pairs(pairs, files, options.held, options.thresholds) if pairs.is_file() else None
        if broken.n and not rows_read:
            raise InvalidInput(f"{broken.first[0].where}: {broken.first[0].why}. No line of {folder.name} is a row.")
    n_rows, n_held = sum(rows_read.values()), files.n[HELD]
    if n_rows != sum(files.n[name] for name in FILES) + n_held:
        raise AssertionError("a row was lost without a reason")
    before = report_of(folder) if folder.is_dir() else {}
    report = {
        "kind": "quality", "command": command_of(folder, options), "from": folder.name, "seed": options.seed,
        "settings": options.settings(), "rows": {name: files.n[name] for name in FILES},
        "rows_in": n_rows + broken.n, "kept": n_rows - n_held, "held_rows": n_held, **broken.report(),
        **({"read_from_held": rows_read[HELD]} if HELD in rows_read else {}),
        "held_because_of": dict(sorted(held.items())),
        "flags": findings.report(options.held), "review": sample.report(files.n[REVIEW]),
        **({"pairs": paired} if paired else {}), **{name: before[name] for name in CARRIED if name in before},
        **prepared_of(before),
        "licences": {name: n for name, n in sorted(licences.items()) if n}, "sha256": files.sha256,
    }  # fmt: skip
    write_report(out, report)
    return report


class _BrokenLines:
    """The lines that are no rows: how many, and the first ones."""

    def __init__(self) -> None:
        self.n = 0
        self.first: list[Broken] = []

    def add(self, found: Broken) -> None:
        """Count the line."""
        self.n += 1
        if len(self.first) < BROKEN_SHOWN:
            self.first.append(found)

    def report(self) -> dict[str, Any]:
        """As a report on prepared data tells what was dropped; {} for none."""
        if not self.n:
            return {}
        shown = [{"where": found.where, "text": found.why} for found in self.first]
        about = "A line that is no row, or not JSON."
        return {"dropped": {BROKEN: self.n}, "rules": {BROKEN: {"about": about, "n": self.n, "examples": shown}}}


def held_why(example: Example, flags: Sequence[Flag], held: Sequence[FlagName]) -> list[str]:
    """Why the row is not taught for now; nothing where a reviewer has said keep or fix."""
    if example.meta.get(REVIEWED_META) in ACCEPTED:
        return []
    found = [name for name in dict.fromkeys(flag.name for flag in flags) if name in held]
    return [*found, *([TO_BE_SEEN] if example.meta.get("review") == NEEDED else [])]


def _flagged(row: Row, flags: Sequence[Flag]) -> Example:
    """The row with the names of its flags, and with the split of its file where it names none."""
    meta = {name: value for name, value in row.example.meta.items() if name != FLAGS_META}
    if flags:
        meta[FLAGS_META] = list(dict.fromkeys(flag.name for flag in flags))
    split = row.example.split or (row.name if row.name in SPLITS else "")
    return replace(row.example, meta=meta, split=split)


class _Sample:
    """Draws the rows that people look at; a row that is there several times, to be weighed more, is shown once."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._seen: set[bytes] = set()
        self._why: Counter[str] = Counter()

    def item(self, example: Example, flags: Sequence[Flag], held: bool) -> Example | None:
        """The row as reviewers get it, with why and the places of what was found; None for one that is not drawn."""
        if example.meta.get(REVIEWED_META) in ACCEPTED:
            return None
        sha = content_sha(example)
        why = self._reasons(example, flags, held, sha)
        if not why or (mark := bytes.fromhex(sha)) in self._seen:
            return None
        self._seen.add(mark)
        self._why.update(why)
        details: Mapping[str, Any] = {WHY_META: why, DETAILS_META: [asdict(flag) for flag in flags]}
        return replace(example, meta={**example.meta, **details})

    def report(self, n: int) -> dict[str, Any]:
        """How many rows people look at, and why; a row may be there for several reasons."""
        return {
            "rows": n, "share": self._options.share, "reviewers_per_row": self._options.reviewers,
            "why": dict(sorted(self._why.items())),
        }  # fmt: skip

    def _reasons(self, example: Example, flags: Sequence[Flag], held: bool, sha: str) -> list[str]:
        names = {flag.name for flag in flags}
        about_doses = any(FLAGS[name].doses for name in names) or (bool(names) and is_about_doses(example))
        has_answer = bool((example.answer or "").strip())
        found = {
            TO_BE_SEEN: example.meta.get("review") == NEEDED,
            ABOUT_DOSES: about_doses,
            FLAGGED: held or not names.isdisjoint(self._options.review),
            SAMPLED: has_answer and self._is_drawn(sha),
        }
        return [reason for reason, is_one in found.items() if is_one]

    def _is_drawn(self, sha: str) -> bool:
        drawn = hashlib.sha256(f"{self._options.seed} {sha}".encode()).hexdigest()[:12]
        return int(drawn, 16) < self._options.share * 16**12

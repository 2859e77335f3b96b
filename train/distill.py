"""Distillation: what teachers answer becomes rows to train on, or pairs of a better and a worse answer.

Replies are kept by content, and what a run has asked and spent stands in OUT/.work: the same command goes on where it
was stopped or killed, asks nothing twice, and costs nothing where all is there. Validation and test rows are passed on
as they are: only rows to train on, and unlabelled ones, are asked about.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.metrics import Answer, Tools
from medchat.errors import InvalidInput
from medchat.records import Example
from medchat.run_files import writing
from train.distill_answers import Unused, agreed, asked_of, fault_of, row_of
from train.distill_asking import Asking, ask_all
from train.distill_mix import mark
from train.distill_options import Options
from train.distill_questions import MOST_EXAMPLES, new_questions
from train.distill_rank import Candidate, Ranks, pairs_of
from train.distill_rows import Input, survey
from train.distill_writing import MadeRows, Tally, Written, new_ones, pair_bytes, write_pairs, write_rows
from train.progress import Progress, Stopped
from train.row_files import FILES, report_of, write_report
from train.teacher_records import Asked, Estimate, Replied, is_restricted
from train.teachers import Ledger, Teacher
from train.work_folder import Work, work_folder

NOTHING_MADE = "Nothing was made, and nothing was written: {}.{}"
ASKS_AGAIN = " The same command asks about {:,} of them again."
REASONS_SAID = 3
NOT_TO_SHOW = "{} holds no row to train on that may leave this machine, which new questions could be made after."
SAME_FOLDER = "The rows are read from {0}; write what is made of them into another folder than {0}."
RANKED_TOGETHER = 32  # questions whose answers are ranked at a time
NOT_ASKED = "not asked"  # with this begins what the next run asks
TRAVELS = ("template", "answer_format")  # of the report of the rows that are read


@dataclass
class Desk:
    """What a run works with. open_teachers: makes them, given the ledger and what tells them to stop.

    tools: for answers that are right or wrong; ranks: for pairs, with the id of who ranks, given the same two.
    in_suite: of each row the suite that holds its question, "" for none.
    """

    open_teachers: Callable[[Ledger, Callable[[], bool]], list[Teacher]]
    tools: Callable[[], Tools]
    ranks: Callable[[Ledger, Callable[[], bool]], tuple[Ranks, str]] | None = None
    in_suite: Callable[[Sequence[Example]], list[str]] = lambda rows: [""] * len(rows)
    progress: Progress = field(default_factory=lambda: Progress(lambda line: None))


def distill(path: Path, out: Path, options: Options, desk: Desk, command: str = "") -> dict[str, Any]:
    """The report on the files that now are in `out`.

    Rows in = originals kept + left out by the mix; answers wanted = used + unused, each with its reason. Raises Stopped
    (what was answered is kept), InvalidInput, RunError, and what keeps the teachers from being asked at all.
    """
    if out.resolve() in (path.resolve(), path.resolve().parent if path.is_file() else path.resolve()):
        raise InvalidInput(SAME_FOLDER.format(out.name))
    with work_folder(out) as kept:
        report, kept.is_done = _distilled(path, out, kept, options, desk, command)
    return report


def estimates(path: Path, options: Options, teachers: Sequence[Teacher]) -> list[tuple[str, Estimate]]:
    """Of each teacher what asking it would take; nothing is asked. The ranking of answers comes on top."""
    source = survey(path, options)
    return [(teacher.spec.id, teacher.estimate(_questions(source, options)(teacher))) for teacher in teachers]


def n_comparisons(path: Path, options: Options) -> int:
    """Questions to the judge that ranking takes at most: each two answers, in both orders."""
    n = len(options.teachers) * options.answers
    return int(survey(path, options).wanted.sum()) * n * (n - 1)


class _Run:
    """One run: what it reads, asks and counts."""

    def __init__(self, source: Input, options: Options, desk: Desk, work: Path) -> None:
        self.source = source
        self.options = options
        self.desk = desk
        self.work = work
        self.stop = threading.Event()
        self.ledger = Ledger.opened(work / "spending.jsonl", options.budget)
        self.asking = Asking()
        self.tally = Tally()
        self.teachers = desk.open_teachers(self.ledger, self.stop.is_set)

    def ask(self, questions: Callable[[Teacher], Iterable[Asked]], n: int, name: str) -> None:
        """Ask all teachers; n: how many questions that are. Raises Stopped."""
        self.desk.progress.stage(name, self.asking.done + n, first=self.asking.done)
        ask_all(self.teachers, questions, self.asking, self.desk.progress, self.stop)

    def wants_stop(self) -> bool:
        """Whether somebody asked for it; says how far the reading of the answers is, too."""
        try:
            self.desk.progress.at(self.tally.wanted)
        except Stopped:
            return True
        return False

    def replies_to(self, row: Example, key: str) -> Iterator[tuple[Teacher, Replied]]:
        """What the teachers answered about the row."""
        for teacher in self.teachers:
            for asked in asked_of(row, key, teacher, self.options):
                yield teacher, self.asking.reply(teacher, asked)

    def made_of(self, row: Example, key: str) -> list[Example]:
        """The new rows that the answers about a row give; every answer is counted."""
        replies = self.replies_to(row, key)
        made = [row_of(row, reply, teacher, self.options, self.desk.tools) for teacher, reply in replies]
        self.tally.wanted += len(made)
        rows = agreed([its for its in made if isinstance(its, Example)])
        found = new_ones([*rows, *(its for its in made if isinstance(its, Unused))], row)
        for its in found:
            if isinstance(its, Unused):
                self.tally.refuse(its, row)
            else:
                self.tally.used[str(its.meta["teacher"])] += 1
        return [its for its in found if isinstance(its, Example)]


def _distilled(
    path: Path, out: Path, kept: Work, options: Options, desk: Desk, command: str
) -> tuple[dict[str, Any], bool]:
    """The report, and whether every question was answered or refused for good."""
    desk.progress.stage("Reading the rows", 0)
    source = survey(path, options)
    work = kept.folder(_digest(source, options))
    run = _Run(source, options, desk, work)
    try:
        if options.kind == "rank":
            written, more = _ranked(run, out)
        elif options.kind == "self-instruct":
            written, more = _instructed(run, out)
        else:
            written, more = _answered(run, out)
    finally:
        for teacher in run.teachers:
            teacher.close()
    report = _report(path, run, written, command) | more
    write_report(out, report)
    return report, not run.asking.unanswered


def _answered(run: _Run, out: Path) -> tuple[Written, dict[str, Any]]:
    """Answers to the rows, or to unlabelled questions."""
    source, options = run.source, run.options
    n = int(source.wanted.sum()) * options.answers * len(run.teachers)
    run.ask(_questions(source, options), n, "Asking the teachers")
    run.desk.progress.stage("Reading the answers", n)
    made, labelled = MadeRows(run.work / "made.jsonl"), np.zeros(len(source.wanted), bool)
    for place, row in _wanted(source):
        for its in run.made_of(row, str(place)):
            made.add(place, its, options.seed)
            labelled[place] = True
        run.desk.progress.at(run.tally.wanted)
    _check_all_counted(run, n, len(made))
    _check_made(run, len(made), "answers", n, run.tally)
    return write_rows(out, source, made, labelled, options.mix, options.seed), {}


def _instructed(run: _Run, out: Path) -> tuple[Written, dict[str, Any]]:
    """New questions, then the answers to them."""
    source, options, writer = run.source, run.options, run.teachers[0]
    examples = _some_rows(source, options.seed)
    if not examples:
        raise InvalidInput(NOT_TO_SHOW.format(source.path.name))

    def ask(asked: Sequence[Asked]) -> list[Replied]:
        run.ask(lambda teacher: asked if teacher is writer else (), len(asked), "Asking for new questions")
        return [run.asking.reply(writer, one) for one in asked]

    def there() -> Iterator[Example]:
        return (row for _, row in source.placed())

    found = new_questions(ask, examples, there, run.desk.in_suite, options, writer)
    reasons = Tally()
    for refused in found.unused:
        reasons.refuse(refused, Example("", None, source=writer.spec.id))
    _check_made(run, len(found.rows), "questions", len(found.unused), reasons)
    n = len(found.rows) * options.answers * len(run.teachers)
    run.ask(lambda teacher: _asked_about(enumerate(found.rows), teacher, options), n, "Asking the teachers")
    made = MadeRows(run.work / "made.jsonl")
    for place, row in enumerate(found.rows):
        for its in run.made_of(row, str(place)):
            made.add(place, its, options.seed)
    _check_all_counted(run, n, len(made))
    _check_made(run, len(made), "answers", n, run.tally)
    written = write_rows(out, source, made, np.zeros(0, bool), options.mix, options.seed)
    return written, {"new_questions": len(found.rows), "questions_refused": reasons.rules()}


def _ranked(run: _Run, out: Path) -> tuple[Written, dict[str, Any]]:
    """Several answers to each row, then which of them is the best and which the worst."""
    source, options = run.source, run.options
    n = int(source.wanted.sum()) * options.answers * len(run.teachers)
    run.ask(_questions(source, options), n, "Asking the teachers")
    assert run.desk.ranks is not None
    ranks, ranker = run.desk.ranks(run.ledger, run.wants_stop)
    run.desk.progress.stage("Ranking the answers", n)
    n_pairs, n_questions, pairs = 0, 0, run.work / "pairs.jsonl"
    no_pair = Tally()
    with pairs.open("wb") as stream:
        rows = _wanted(source)
        while batch := list(islice(rows, RANKED_TOGETHER)):
            questions = [(row, _candidates(run, row, str(place))) for place, row in batch]
            for (row, _), pair in zip(questions, pairs_of(questions, ranks, ranker), strict=True):
                n_questions += 1
                if isinstance(pair, Unused):
                    no_pair.refuse(pair, row)
                else:
                    n_pairs += 1
                    with writing():
                        stream.write(pair_bytes(pair))
            run.desk.progress.at(run.tally.wanted)
    _check_all_counted(run, n, run.tally.used.total())
    assert n_pairs + no_pair.unused.total() == n_questions
    _check_made(run, n_pairs, "questions with their answers", n_questions, no_pair)
    written = write_pairs(out, source, pairs)
    counts = {"questions": n_questions, "pairs": n_pairs, "without a pair": n_questions - n_pairs}
    return written, {"ranked_by": ranker, "pairs": counts, "no_pair": no_pair.rules()}


def _candidates(run: _Run, row: Example, key: str) -> list[Candidate]:
    """The answers to a row that may be ranked; every answer is counted."""
    found = []
    for teacher, reply in run.replies_to(row, key):
        run.tally.wanted += 1
        fault = reply.error or fault_of(reply)
        if fault:
            run.tally.refuse(Unused(fault, reply.solution), row)
            continue
        run.tally.used[teacher.spec.id] += 1
        found.append(Candidate(Answer(reply.solution, reply.reasoning), teacher.spec.id))
    return found


def _questions(source: Input, options: Options) -> Callable[[Teacher], Iterable[Asked]]:
    return lambda teacher: _asked_about(_wanted(source), teacher, options)


def _asked_about(rows: Iterable[tuple[int, Example]], teacher: Teacher, options: Options) -> Iterator[Asked]:
    for place, row in rows:
        yield from asked_of(row, str(place), teacher, options)


def _wanted(source: Input) -> Iterator[tuple[int, Example]]:
    """The rows that are asked about, each with its place among those that may be."""
    return ((place, row) for place, row in enumerate(source.candidates()) if source.wanted[place])


def _some_rows(source: Input, seed: int) -> list[Example]:
    """Some rows to train on, drawn by the seed, as examples of questions."""
    marks = np.array([mark(seed, row.question_id) for row in _shown(source)], np.uint64)
    chosen = set(np.argsort(marks, kind="stable")[:MOST_EXAMPLES].tolist())
    return [row for place, row in enumerate(_shown(source)) if place in chosen]


def _shown(source: Input) -> Iterator[Example]:
    """The rows to train on that a teacher may be shown."""
    return (row for _, row in source.placed("train") if not is_restricted(row))


def _check_all_counted(run: _Run, n: int, n_used: int) -> None:
    tally = run.tally
    assert tally.wanted == n, f"{tally.wanted} answers were looked at, and {n} were wanted"
    assert tally.used.total() == n_used
    assert n_used + tally.unused.total() == n, "an answer was neither used nor counted"


def _check_made(run: _Run, n: int, what: str, of: int, tally: Tally) -> None:
    """Raises InvalidInput where nothing was made, with the most frequent reasons."""
    if n:
        return
    reasons = "; ".join(f"{n:,} {reason}" for reason, n in tally.unused.most_common(REASONS_SAID))
    unanswered = run.asking.unanswered
    again = ASKS_AGAIN.format(unanswered) if unanswered else ""
    raise InvalidInput(NOTHING_MADE.format(f"none of {of:,} {what} could be used ({reasons})", again))


def _digest(source: Input, options: Options) -> str:
    """What tells this input with these settings, whatever may be spent, from others."""
    settings = {name: value for name, value in options.settings().items() if name != "budget"}
    text = json.dumps([source.sha256, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _report(path: Path, run: _Run, written: Written, command: str) -> dict[str, Any]:
    source, options, tally = run.source, run.options, run.tally
    spent = run.ledger.rows()
    costs = [its["cost"] for its in spent.values()]
    before = report_of(path) if path.is_dir() else {}
    n_may = len(source.wanted)
    n_in, left_out = sum(source.n.values()), written.taken.get("originals left out by the mix", 0)
    kept = sum(written.files.n[name] for name in FILES) - written.taken.get("teachers' rows", 0)
    assert n_in == kept + left_out + written.labelled, "a row was lost without a reason"
    ids = [teacher.spec.id for teacher in run.teachers]
    return {
        "kind": "distilled",
        "command": command,
        "seed": options.seed,
        "settings": options.settings(),
        "rows": dict(written.files.n),
        "rows_in": n_in, "kept": kept, "left_out": left_out,
        **({"labelled": written.labelled} if written.labelled else {}),
        "source": path.name,
        "source_sha256": source.sha256,
        **({"questions": {
            "asked about": int(source.wanted.sum()), "not chosen": n_may - int(source.wanted.sum()),
            "held out": source.n_held_out,
        }} if n_may else {}),
        "answers": {"used": tally.used.total(), "unused": tally.unused.total()},
        "unused": tally.rules(),
        "teachers": {
            teacher.spec.id: {
                "used": tally.used[teacher.spec.id], "kept before": run.asking.cached[teacher.spec.id],
                **spent.get(teacher.spec.id, {"asked": 0, "failed": 0, "cost": 0.0}), "terms": teacher.terms,
                "told the style": teacher.takes_instructions,
                **({"limits": list(teacher.spec.limits)} if teacher.spec.demo else {}),
                **({"trouble": teacher.trouble} if teacher.trouble and run.asking.unanswered else {}),
            }
            for teacher in run.teachers
        },
        **({"judge": others} if (others := {
            model: its for model, its in spent.items() if model not in ids
        }) else {}),
        "cost": None if any(cost is None for cost in costs) else sum(costs),
        "possibly_charged": sum(its["possibly"] for its in spent.values()),
        "not_answered": run.asking.unanswered,
        "not_asked_yet": sum(n for reason, n in tally.unused.items() if reason.startswith(NOT_ASKED)),
        **({"mix": written.taken} if written.taken else {}),
        **({"weak_areas": source.weakness.report()} if source.weakness else {}),
        **{name: before[name] for name in TRAVELS if name in before},
        "sha256": written.files.sha256,
        "licences": dict(written.licences.most_common()),
    }  # fmt: skip

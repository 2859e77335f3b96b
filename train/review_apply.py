"""What reviewers decided, applied to the rows; and the part of the validation that people have read."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from medchat.errors import InvalidInput
from medchat.records import Example
from medchat.run_files import write_whole, writing
from medchat.store.reviews import Review
from train.review import (
    FLAGS_META,
    HELD,
    NEEDED,
    Outcome,
    Progress,
    ReviewSet,
    content_sha,
    fixed_row,
    row_id,
)
from train.row_files import FILES, RowsWriter, prepared_of, read_rows, report_of, write_report

KEPT, FIXED, UNTOUCHED = "kept by a reviewer", "fixed by a reviewer", "not among the rows to review"
UNREVIEWED = "of the random sample, not decided yet, without a flag"
DROPPED, UNDECIDED = "dropped by a reviewer", "flagged, and nobody has decided yet"
HELD_BACK = "held back, and nobody has decided yet"
DISPUTED = "reviewers differ, and nobody has settled it"
DOUBTED = "one of two reviewers has looked, and would not keep it as it is"
SEEN_ONCE = "held back or flagged, and one of two reviewers has looked"
OF_LEFT_OUT = "made from a row that is left out, with its answer"
OF_FIXED = "made from a row whose answer was fixed, with the old one"
CARRIED = ("seed", "template", "answer_format")  # what stays true of the rows


def apply(folder: Path, reviews: Sequence[Review], out: Path, reviewers_per_row: int | None = None) -> dict[str, Any]:
    """The report on `out`: the folder's rows as the reviewers leave them.

    A dropped row goes, a fixed one is replaced, and what was made from either with its old answer goes too. A row that
    is held back, is flagged or must be looked at, and on which nobody has decided, is left out, and so is one that is
    not decided and that somebody would not keep; another one of the random sample stays. The same rows and reviews
    give the same files. Raises NotFound without a sample, InvalidInput for the same folder, RunError when `out` cannot
    be written.
    """
    sample = ReviewSet(folder)
    if out.resolve() == folder.resolve():
        raise InvalidInput("The reviewed rows need a folder of their own: give another one.")
    outcomes = sample.outcomes(reviews, reviewers_per_row)
    into, out_of = Counter[str](), Counter[str]()
    licences: Counter[str] = Counter()
    untaught = _untaught(folder, outcomes)
    with RowsWriter(out) as files:
        for held, row in rows_of(folder):
            what, is_in = _fate(row, outcomes.get(content_sha(row)), held)
            if what in (UNTOUCHED, UNREVIEWED) and (inherited := _from(row, untaught)):
                what, is_in = inherited, False
            (into if is_in else out_of)[what] += 1
            if is_in:
                after = _written(row, outcomes.get(content_sha(row)))
                licences[after.licence or "not stated"] += 1
                files.write(after)
    progress = sample.progress(reviews, reviewers_per_row=reviewers_per_row)
    report = _report(folder, sample, progress, into, out_of) | {
        "rows": dict(files.n),
        "sha256": files.sha256,
        "licences": dict(sorted(licences.items())),
        "checked_against_a_source": _with_source(outcomes),
    }
    if report["rows_in"] != report["kept"] + sum(out_of.values()) or sum(files.n.values()) != report["kept"]:
        raise AssertionError("a row was lost without a reason")
    write_report(out, report)
    return report


def freeze(folder: Path, reviews: Sequence[Review], file: Path, reviewers_per_row: int | None = None) -> int:
    """How many rows of the validation reviewers kept or fixed; they are in `file`, for `prepare --frozen`.

    Raises NotFound without a sample, InvalidInput when there are none, RunError when the file cannot be written.
    """
    outcomes = ReviewSet(folder).outcomes(reviews, reviewers_per_row)
    lines = []
    for _, row in rows_of(folder, ("validation",)):
        review = _review(outcomes.get(content_sha(row)))
        if row.split == "validation" and review and review.decision != "drop":
            lines.append(fixed_row(row, review).to_json() + "\n")
    if not lines:
        raise InvalidInput("No row of the validation has been reviewed and kept yet: review some first.")
    with writing():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, "".join(lines))
    return len(lines)


def rows_of(folder: Path, names: Sequence[str] = FILES) -> Iterator[tuple[bool, Example]]:
    """The rows of these files, and then those that are held back (True), one in memory at a time."""
    for name in (*names, HELD):
        if (folder / f"{name}.jsonl").is_file():
            for _, row in read_rows(folder / f"{name}.jsonl"):
                yield name == HELD, row


def _fate(row: Example, outcome: Outcome | None, held: bool) -> tuple[str, bool]:
    """What becomes of the row and why; True: it is in."""
    review = _review(outcome)
    if review:
        return {"keep": (KEPT, True), "fix": (FIXED, True), "drop": (DROPPED, False)}[review.decision]
    state, reviews = (outcome.state, outcome.reviews) if outcome else ("open", ())
    if state == "disputed":
        return DISPUTED, False
    if any(one.decision != "keep" for one in reviews):
        return DOUBTED, False
    if held or row.meta.get(FLAGS_META) or row.meta.get("review") == NEEDED:
        if outcome is None and not held:
            return UNTOUCHED, True
        return (SEEN_ONCE if reviews else HELD_BACK if held else UNDECIDED), False
    return (UNTOUCHED if outcome is None else UNREVIEWED), True


def _untaught(folder: Path, outcomes: dict[str, Outcome]) -> dict[tuple[str, str | None], str]:
    """Id and old answer of each row of the sample that is not taught with it, and what that means for its children."""
    found = {}
    for held, row in rows_of(folder):
        if outcome := outcomes.get(content_sha(row)):
            what, is_in = _fate(row, outcome, held)
            if not is_in:
                found[row_id(row), row.answer] = OF_LEFT_OUT
            elif what == FIXED and _written(row, outcome).answer != row.answer:
                found[row_id(row), row.answer] = OF_FIXED
    return found


def _from(row: Example, untaught: dict[tuple[str, str | None], str]) -> str:
    """Why a row is left out with the one that it was made from, "" for no reason."""
    return untaught.get((str(row.meta.get("parent", "")), row.answer), "")


def _written(row: Example, outcome: Outcome | None) -> Example:
    review = _review(outcome)
    return fixed_row(row, review) if review else row


def _review(outcome: Outcome | None) -> Review | None:
    return outcome.review if outcome else None


def _report(
    folder: Path, sample: ReviewSet, progress: Progress, into: Counter[str], out_of: Counter[str]
) -> dict[str, Any]:
    before = report_of(folder)
    return {
        "kind": "reviewed",
        "command": f"python -m train review {folder.name} --apply",
        "from": folder.name,
        **{name: before[name] for name in CARRIED if name in before},
        **prepared_of(before),
        "set": sample.id,
        "rows_in": sum(into.values()) + sum(out_of.values()),
        "kept": sum(into.values()),
        "taken": dict(sorted(into.items())),
        "dropped": dict(sorted(out_of.items())),
        "decisions": dict(progress.decisions),
        "to_review": progress.total,
        "decided": progress.decided,
        "disputed": progress.disputed,
        "reviewers": progress.reviewers,
        "hours": round(progress.seconds / 3600, 2),
    }


def _with_source(outcomes: dict[str, Outcome]) -> int:
    """How many decisions name the source that they were checked against."""
    return sum(bool(outcome.review and outcome.review.checked_against) for outcome in outcomes.values())

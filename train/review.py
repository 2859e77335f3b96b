"""The review sample of a folder: which rows people look at, who is still to look at which, and what came of it.

A decision belongs to the content of a row: a sample that is drawn anew, with the same row in it, keeps its decisions.
Where one reviewer a row is asked for, their decision counts; where two are, both have to decide alike. Whenever the
first two differ, a third decides.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from medchat.errors import InvalidInput, NotFound
from medchat.records import Example
from medchat.run_files import json_of
from medchat.store.reviews import FIXABLE, Review
from train.row_files import report_of, write_report

REVIEW, HELD = "review", "held"  # the files, without their suffix
NEEDED = "needed"  # meta.review of a row that people must look at before it is taught
SAMPLED, ABOUT_DOSES, FLAGGED = "random sample", "flagged, about doses", "flagged"
WHY_META, FLAGS_META, DETAILS_META, REVIEWED_META = "review_why", "flags", "flag_details", "reviewed"
MOST_REVIEWERS = 2
_CONTENT = ("id", "source", "kind", "context", "question", "options", "answer", "accepted", "rationale", "unit")

State = Literal["open", "waiting", "disputed", "decided"]


class HasReviews(Protocol):
    """What holds the reviews: a Store."""

    def reviews(
        self, *, set_id: str | None = None, content_shas: Collection[str] | None = None, reviewer: str | None = None
    ) -> list[Review]:
        """Every reviewer's newest review of each row that fits all that is given, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class Item:
    """A row of the sample. number: its place there, from 1. why: why it is there; flags: what was found in it."""

    number: int
    row_id: str
    content_sha: str
    split: str
    why: tuple[str, ...]
    flags: tuple[str, ...]
    offset: int  # of its line in the file, in bytes


class Outcome(NamedTuple):
    """What came of a row so far. review: the one that counts, where it is decided. reviews: oldest first.

    "open": nobody has looked; "waiting": for the second of two; "disputed": for a third, who decides.
    """

    state: State
    review: Review | None
    reviews: tuple[Review, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sample is. mine: rows that this reviewer has decided on; left: rows that still wait for them.

    decisions: keep, fix and drop of the decided rows. reviewers: how many have taken part. seconds: of all together.
    """

    total: int
    decided: int
    waiting: int
    disputed: int
    mine: int
    left: int
    decisions: Mapping[str, int]
    reviewers: int
    seconds: float


def row_id(example: Example) -> str:
    """The row's id for people; the beginning of its question's where it has none."""
    return example.id or example.question_id[:16]


def content_sha(example: Example) -> str:
    """SHA-256 (hex) of what a reviewer decides on: all of the row but its split, licence and meta."""
    content = asdict(example)
    text = json.dumps([content[name] for name in _CONTENT], ensure_ascii=True, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def draft_key(item: Item) -> str:
    """Under which a reviewer's half-written decision is kept in the store's drafts."""
    return f"review:{item.content_sha}"


def ask_reviewers(folder: Path, n: int) -> None:
    """From now on n people, 1 or 2, are to look at each row of the folder's sample; its report says so.

    Raises InvalidInput for another number and for a folder without a report, RunError when that cannot be written.
    """
    if not 1 <= n <= MOST_REVIEWERS:
        raise InvalidInput("One or two reviewers look at each row; choose 1 or 2.")
    report = report_of(folder)
    if not report:
        raise InvalidInput(f"There is no report in {folder.name}: run `python -m train quality` again.")
    asked = report.get("review")
    write_report(folder, report | {"review": (asked if isinstance(asked, dict) else {}) | {"reviewers_per_row": n}})


class ReviewSet:
    """The sample of a folder: review.jsonl, of which only the places of the rows stay in memory.

    Raises NotFound when there is no such folder or it has none, InvalidInput with the line for what is no row.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise NotFound(f"There is no folder {folder}.")
        self.folder = folder
        self.file = folder / f"{REVIEW}.jsonl"
        if not self.file.is_file():
            raise NotFound(f"There is nothing to review in {folder.name}: run `python -m train quality` first.")
        digest = hashlib.sha256()
        self.items = tuple(self._read(digest))
        self.id = digest.hexdigest()

    @cached_property
    def shas(self) -> frozenset[str]:
        """The contents of all rows."""
        return frozenset(item.content_sha for item in self.items)

    @cached_property
    def reviewers_per_row(self) -> int:
        """How many are to look at each row, as the sample was made: 1 or 2."""
        asked = report_of(self.folder).get("review")
        n = asked.get("reviewers_per_row") if isinstance(asked, dict) else None
        return n if isinstance(n, int) and 1 <= n <= MOST_REVIEWERS else 1

    def row(self, item: Item) -> Example:
        """The row itself. Raises InvalidInput when the file was changed meanwhile."""
        with self.file.open("rb") as stream:
            stream.seek(item.offset)
            line = stream.readline()
        example = Example.from_json(line.decode("utf-8", "replace"), f"{self.file.name}, row {item.number}")
        if content_sha(example) != item.content_sha:
            raise InvalidInput("The rows to review were made anew meanwhile. Reload the page.")
        return example

    def reviews(self, store: HasReviews) -> list[Review]:
        """The newest reviews of these rows, those from other samples among them, oldest first."""
        return store.reviews(content_shas=self.shas)

    def queue(self, reviews: Iterable[Review], reviewer: str, reviewers_per_row: int | None = None) -> list[Item]:
        """The rows that wait for this reviewer, in the order in which they are to come.

        First those that a third must decide, then those about doses, those that are flagged or must be looked at, and
        the random ones. Within these each reviewer has an order of their own, so that two who work at the same time
        do not meet at the same row.
        """
        found = self.outcomes(reviews, reviewers_per_row)
        waiting = [
            (item, found[item.content_sha])
            for item in self.items
            if found[item.content_sha].state != "decided"
            and all(review.reviewer != reviewer for review in found[item.content_sha].reviews)
        ]
        return [item for item, _ in sorted(waiting, key=lambda one: _place(one[0], one[1], reviewer))]

    def outcomes(self, reviews: Iterable[Review], reviewers_per_row: int | None = None) -> dict[str, Outcome]:
        """What came of each row so far, by its content."""
        said: dict[str, list[Review]] = {item.content_sha: [] for item in self.items}
        for review in reviews:
            if review.content_sha in said:
                said[review.content_sha].append(review)
        n = reviewers_per_row or self.reviewers_per_row
        return {sha: outcome_of(its, n) for sha, its in said.items()}

    def disagreements(
        self, reviews: Iterable[Review], reviewers_per_row: int | None = None
    ) -> list[tuple[Item, tuple[Review, ...]]]:
        """The rows that wait for a third to decide, each with what was said of it, oldest first."""
        found = self.outcomes(reviews, reviewers_per_row)
        apart = ((item, found[item.content_sha]) for item in self.items)
        return [(item, outcome.reviews) for item, outcome in apart if outcome.state == "disputed"]

    def progress(self, reviews: Sequence[Review], reviewer: str = "", reviewers_per_row: int | None = None) -> Progress:
        """How far the sample is, and this reviewer with it."""
        found = self.outcomes(reviews, reviewers_per_row)
        states = [found[item.content_sha] for item in self.items]
        its = [review for review in reviews if review.content_sha in self.shas]
        decided = [outcome.review.decision for outcome in states if outcome.review]
        return Progress(
            total=len(self.items),
            decided=len(decided),
            waiting=sum(outcome.state == "waiting" for outcome in states),
            disputed=sum(outcome.state == "disputed" for outcome in states),
            mine=sum(review.reviewer == reviewer for review in its),
            left=len(self.queue(reviews, reviewer, reviewers_per_row)),
            decisions={name: decided.count(name) for name in ("keep", "fix", "drop")},
            reviewers=len({review.reviewer for review in its}),
            seconds=sum(review.seconds for review in its),
        )

    def _read(self, digest: Any) -> Iterator[Item]:
        offset = number = 0
        with self.file.open("rb") as lines:
            for line in lines:
                digest.update(line)
                if line.strip():
                    number += 1
                    yield _item(line, number, offset, self.file.name)
                offset += len(line)


def outcome_of(reviews: Sequence[Review], reviewers_per_row: int) -> Outcome:
    """What came of a row. reviews: of each reviewer the newest, oldest first.

    What two say alike counts; of three who all differ the last one's.
    """
    said = tuple(reviews)
    if not said:
        return Outcome("open", None, said)
    if len(said) == 1:
        return Outcome("waiting", None, said) if reviewers_per_row > 1 else Outcome("decided", said[0], said)
    alike = next((one for one, other in combinations(said, 2) if _words(one) == _words(other)), None)
    if alike is None and len(said) == 2:
        return Outcome("disputed", None, said)
    return Outcome("decided", alike or said[-1], said)


def fixed_row(example: Example, review: Review) -> Example:
    """The row as the review leaves it, its decision noted in its meta; for "keep" and "fix"."""
    changed = {name: text for name, text in (review.fixed or {}).items() if name in FIXABLE}
    meta = {name: value for name, value in example.meta.items() if name not in (WHY_META, DETAILS_META)}
    values = {field.name: getattr(example, field.name) for field in fields(Example)}
    if "answer" in changed:  # other right answers and the terms of the old one say nothing of the new one
        values |= {"accepted": (), "key_terms": ()}
    return Example(**values | changed | {"meta": meta | {REVIEWED_META: review.decision}})


def _words(review: Review) -> tuple[str, dict[str, list[str]]]:
    """What it decides, whatever its white space."""
    return review.decision, {name: str(text).split() for name, text in (review.fixed or {}).items()}


def _place(item: Item, outcome: Outcome, reviewer: str) -> tuple[int, str]:
    kinds = (outcome.state == "disputed", ABOUT_DOSES in item.why, SAMPLED not in item.why or bool(item.flags))
    first = next((n for n, is_one in enumerate(kinds) if is_one), len(kinds))
    return first, hashlib.sha256(f"{reviewer} {item.content_sha}".encode()).hexdigest()


def _item(line: bytes, number: int, offset: int, name: str) -> Item:
    where = f"{name}, row {number}"
    if json_of(line) is None:
        raise InvalidInput(f"{where}: not JSON. Run `python -m train quality` again.")
    row = Example.from_json(line.decode("utf-8", "replace"), where)
    why, flags = _names(row.meta, WHY_META), _names(row.meta, FLAGS_META)
    return Item(number, row_id(row), content_sha(row), row.split, why, flags, offset)


def _names(meta: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = meta.get(key)
    return tuple(map(str, found)) if isinstance(found, list) else ()

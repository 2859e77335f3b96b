"""The work of a reviewer: which samples wait, which row is next, and what is saved.

Nobody learns what another reviewer decided on a row before both have decided; from then on both may see it.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from medchat.errors import InvalidInput, MedChatError, NotFound
from medchat.records import Example
from medchat.run_files import json_of
from medchat.store import NewReview
from medchat.store.reviews import Review
from medchat.ui.common import App
from medchat.ui.data_folders import Folder, folder_named, folders_of
from medchat.ui.review_entered import CHOOSE, Entered, entered_from, entered_of, fixed_texts
from train.review import HELD, Item, Outcome, Progress, ReviewSet, ask_reviewers, draft_key
from train.row_files import FILES

PLACE = "review-desk"  # the draft that says where somebody was: folder, row (its content), source
KEPT_SETS = 16
GONE = "This row is not among those to review any more; what comes next is shown."
MOST_SOURCES = 8
_ID = re.compile(rb'"id": ?"((?:[^"\\]|\\.)*)"')


class Opened(NamedTuple):
    """A sample with what was decided so far. n: how many are to look at each row; share: drawn at random, or None."""

    name: str
    sample: ReviewSet
    reviews: list[Review]
    n: int
    share: float | None


class Waits(NamedTuple):
    """A sample in the list. others: rows on which others have decided. fault: why it cannot be read, "" for nothing."""

    name: str
    progress: Progress | None
    n: int
    others: int
    fault: str


@dataclass(frozen=True, slots=True)
class Task:
    """A row to be decided on. mine: what this reviewer decided; others: of others, once both have decided.

    left: how many rows wait for this reviewer.
    place: the how-manieth of the own decisions, 0 for a row that waits. parent_id: of the row that it was made from,
    "" for none; parent: that row, where the folder has it. sources: that the reviewer named before, newest first.
    """

    folder: str
    share: float | None
    item: Item
    total: int
    row: Example
    outcome: Outcome
    n: int
    mine: Review | None
    others: tuple[Review, ...]
    place: int
    decided: int
    left: int
    parent_id: str
    parent: Example | None
    entered: Entered
    sources: tuple[str, ...]


class ReviewDesk:
    """The reviews of one app."""

    def __init__(self, app: App) -> None:
        self._app = app

    def waiting(self, reviewer: str) -> list[Waits]:
        """Every sample that there is, the newest first."""
        return [self._waits(folder, reviewer) for folder in folders_of(self._app.settings) if folder.n_review]

    def opened(self, name: str) -> Opened:
        """The sample of the data set. Raises NotFound, InvalidInput for what is no row."""
        folder = folder_named(self._app.settings, name)
        sample = _sample(folder.path, _stamps(folder))
        asked = folder.report.get("review")
        share = asked.get("share") if isinstance(asked, dict) else None
        is_share = isinstance(share, int | float) and not isinstance(share, bool)
        reviews = sample.reviews(self._app.store)
        return Opened(folder.name, sample, reviews, sample.reviewers_per_row, share if is_share else None)

    def is_there(self, name: str) -> bool:
        """Whether the data set has a sample still."""
        try:
            return bool(folder_named(self._app.settings, name).n_review)
        except NotFound:
            return False

    def progress(self, opened: Opened, reviewer: str) -> Progress:
        """How far it is, and this reviewer with it."""
        return opened.sample.progress(opened.reviews, reviewer, opened.n)

    def last(self, reviewer: str) -> tuple[str, str]:
        """The data set and the row at which the reviewer was; "" for none."""
        left = self._left(reviewer)
        return str(left.get("folder", "")), str(left.get("row", ""))

    def task(self, opened: Opened, reviewer: str, sha: str = "") -> Task | None:
        """The row of this content where it waits for the reviewer or is decided by them; else the first that waits.

        None when nothing waits.
        """
        waiting = [item.content_sha for item in self._queue(opened, reviewer)]
        own = [review.content_sha for review in self._own(opened, reviewer)]
        if sha not in waiting and sha not in own:
            sha = waiting[0] if waiting else ""
        return self._shown(opened, reviewer, sha, own) if sha else None

    def go(self, opened: Opened, reviewer: str, sha: str, way: str) -> Task | None:
        """The row after this one ("next"), the one before ("back"), or the next on which reviewers differ ("differ").

        "next" and "back" go through the own decisions, oldest first, after which come the rows that wait. Raises
        InvalidInput where there is none, None when all own rows are done.
        """
        waiting = [item.content_sha for item in self._queue(opened, reviewer)]
        own = [review.content_sha for review in self._own(opened, reviewer)]
        ways: dict[str, Callable[[], str]] = {
            "next": lambda: _after(sha, own, waiting),
            "back": lambda: _before(sha, own),
            "differ": lambda: _following(sha, [one for one in own if self.differs(opened, one)]),
        }
        if way not in ways:
            raise InvalidInput("There is no such way; reload the page.")
        found = ways[way]()
        return self._shown(opened, reviewer, found, own) if found else None

    def differs(self, opened: Opened, sha: str) -> bool:
        """Whether reviewers differ on the row, and nobody has settled it."""
        return opened.sample.outcomes(opened.reviews, opened.n)[sha].state == "disputed"

    def own_disputes(self, opened: Opened, reviewer: str) -> int:
        """On how many rows another reviewer says something else than this one, who might be asked to look again."""
        found = opened.sample.outcomes(opened.reviews, opened.n).values()
        return sum(
            one.state == "disputed" and any(review.reviewer == reviewer for review in one.reviews) for one in found
        )

    def save(self, opened: Opened, reviewer: str, sha: str, entered: Entered, key: str) -> Task | None:
        """What is shown after the decision: the next row that waits. None when there is none.

        Of one key there is one decision. Raises NotFound when the row is gone, InvalidInput for what cannot be saved,
        RatedSince when another window has saved since.
        """
        if not entered.decision:
            raise InvalidInput(CHOOSE)
        item = _item(opened, sha)
        before = [one.content_sha for one in self._queue(opened, reviewer)]
        fixed = fixed_texts(opened.sample.row(item), entered.texts) if entered.decision == "fix" else None
        new = NewReview(
            opened.sample.id, item.row_id, sha, _decision(entered), entered.said, fixed, entered.checked.strip(),
            entered.seconds,
        )  # fmt: skip
        self._app.store.add_review(reviewer, new, key, entered.base)
        self._app.store.drop_draft(reviewer, draft_key(item))
        if entered.checked.strip():
            self._keep(reviewer, sources=[entered.checked.strip(), *self._sources(reviewer)])
        now = opened._replace(reviews=opened.sample.reviews(self._app.store))
        waiting = {one.content_sha for one in self._queue(now, reviewer)}
        later = before[before.index(sha) + 1 :] if sha in before else []
        return self.task(now, reviewer, next((one for one in later if one in waiting), ""))

    def save_draft(self, opened: Opened, reviewer: str, sha: str, entered: Entered) -> bool:
        """Whether the draft is kept: not where the row is decided, in another window, since it was begun."""
        item = _item(opened, sha)
        mine = _mine(opened.reviews, reviewer, sha)
        if (mine.id if mine else "") != entered.base:
            return False
        self._app.store.save_draft(reviewer, draft_key(item), entered.to_json())
        return True

    def ask_reviewers(self, name: str, n: int) -> None:
        """From now on so many look at each row. Raises NotFound, InvalidInput, RunError."""
        ask_reviewers(folder_named(self._app.settings, name).path, n)

    def remember(self, reviewer: str, folder: str, sha: str) -> None:
        """Where the reviewer is, for the next page."""
        if self.last(reviewer) != (folder, sha):
            self._keep(reviewer, folder=folder, row=sha)

    def _waits(self, folder: Folder, reviewer: str) -> Waits:
        try:
            opened = self.opened(folder.name)
        except MedChatError as error:
            return Waits(folder.name, None, 1, 0, str(error))
        others = len({review.content_sha for review in opened.reviews if review.reviewer != reviewer})
        return Waits(folder.name, self.progress(opened, reviewer), opened.n, others, "")

    def _queue(self, opened: Opened, reviewer: str) -> list[Item]:
        return opened.sample.queue(opened.reviews, reviewer, opened.n)

    def _own(self, opened: Opened, reviewer: str) -> list[Review]:
        return [review for review in opened.reviews if review.reviewer == reviewer]

    def _shown(self, opened: Opened, reviewer: str, sha: str, own: list[str]) -> Task:
        item = _item(opened, sha)
        row = opened.sample.row(item)
        mine = _mine(opened.reviews, reviewer, sha)
        outcome = opened.sample.outcomes(opened.reviews, opened.n)[sha]
        others = tuple(review for review in outcome.reviews if review.reviewer != reviewer)
        parent_id = str(row.meta.get("parent") or "")
        return Task(
            opened.name, opened.share, item, len(opened.sample.items), row, outcome, opened.n, mine,
            others if len(outcome.reviews) > 1 else (), own.index(sha) + 1 if sha in own else 0, len(own),
            len(self._queue(opened, reviewer)), parent_id, _parent(opened.sample, parent_id) if parent_id else None,
            self._entered(reviewer, item, mine), tuple(self._sources(reviewer)),
        )  # fmt: skip

    def _entered(self, reviewer: str, item: Item, mine: Review | None) -> Entered:
        """The draft of the row, where it was begun on what stands there now; else what was decided."""
        kept = self._app.store.draft(reviewer, draft_key(item))
        saved = entered_from(mine) if mine else Entered()
        try:
            draft = entered_of(kept) if kept else saved
        except InvalidInput:
            return saved
        return draft if draft.base == saved.base else saved

    def _sources(self, reviewer: str) -> list[str]:
        found = self._left(reviewer).get("sources")
        return [str(one) for one in found] if isinstance(found, list) else []

    def _left(self, reviewer: str) -> dict[str, Any]:
        return self._app.store.draft(reviewer, PLACE) or {}

    def _keep(self, reviewer: str, **changes: Any) -> None:
        if "sources" in changes:
            changes["sources"] = list(dict.fromkeys(changes["sources"]))[:MOST_SOURCES]
        self._app.store.save_draft(reviewer, PLACE, self._left(reviewer) | changes)


def _decision(entered: Entered) -> Any:
    return entered.decision  # checked by the store


def _mine(reviews: list[Review], reviewer: str, sha: str) -> Review | None:
    return next((one for one in reviews if one.reviewer == reviewer and one.content_sha == sha), None)


def _item(opened: Opened, sha: str) -> Item:
    found = next((item for item in opened.sample.items if item.content_sha == sha), None)
    if found is None:
        raise NotFound(GONE)
    return found


def _after(sha: str, own: list[str], waiting: list[str]) -> str:
    """ "" when all is done."""
    if sha in own:
        later = own[own.index(sha) + 1 :]
        return (later or waiting or [""])[0]
    return _following(sha, waiting) if len(waiting) != 1 or sha not in waiting else _none("No other row waits for you.")


def _before(sha: str, own: list[str]) -> str:
    earlier = own[: own.index(sha)] if sha in own else own
    return earlier[-1] if earlier else _none("There is no decision of yours before this one.")


def _following(sha: str, among: list[str]) -> str:
    """The one after `sha`, the first after the last; "" where there is none."""
    return among[(among.index(sha) + 1) % len(among)] if sha in among else (among or [""])[0]


def _none(told: str) -> str:
    raise InvalidInput(told)


@lru_cache(maxsize=KEPT_SETS)
def _sample(folder: Path, stamps: tuple[int, ...]) -> ReviewSet:
    """The sample while its files bear these stamps."""
    return ReviewSet(folder)


def _stamps(folder: Folder) -> tuple[int, ...]:
    found = [file.stat() for name in ("review.jsonl", "report.json") if (file := folder.path / name).is_file()]
    return tuple(number for one in found for number in (one.st_mtime_ns, one.st_size))


def _parent(sample: ReviewSet, parent_id: str) -> Example | None:
    """The row of this id in the folder of the sample; None where it is not there."""
    place = _parents(sample.folder, sample.id).get(parent_id)
    if place is None:
        return None
    file, offset = place
    try:
        with file.open("rb") as stream:
            stream.seek(offset)
            return Example.from_json(stream.readline().decode("utf-8", "replace"), file.name)
    except (OSError, InvalidInput):  # the files were written anew
        return None


@lru_cache(maxsize=KEPT_SETS)
def _parents(folder: Path, sample_id: str) -> dict[str, tuple[Path, int]]:
    """Where the rows are that those of the sample were made from: id -> file and offset in bytes."""
    wanted = set()
    with (folder / "review.jsonl").open("rb") as lines:
        for line in lines:
            row = json_of(line)
            meta = row.get("meta") if isinstance(row, dict) else None
            if isinstance(meta, dict) and meta.get("parent"):
                wanted.add(str(meta["parent"]))
    found: dict[str, tuple[Path, int]] = {}
    files = [folder / f"{name}.jsonl" for name in (*FILES, HELD)]
    for file in files if wanted else []:
        if file.is_file():
            found |= {key: (file, offset) for key, offset in _places(file, wanted) if key not in found}
    return found


def _places(file: Path, wanted: set[str]) -> list[tuple[str, int]]:
    """The rows with these ids, each with its offset in the file."""
    found, offset = [], 0
    with file.open("rb") as lines:
        for line in lines:
            match = _ID.search(line)  # quotes inside a text are escaped: this is the row's own id, or one in its meta
            if match and (key := str(json.loads(b'"' + match[1] + b'"'))) in wanted:
                row = json_of(line)
                if isinstance(row, dict) and row.get("id") == key:
                    found.append((key, offset))
            offset += len(line)
    return found

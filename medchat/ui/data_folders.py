"""Prepared folders of the data folder: which there are, what their reports say, and what can be done with each."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from medchat.errors import NotFound
from medchat.run_files import json_of, text_of
from medchat.settings import Settings

PREPARED = "prepared"  # folder of the data folder
REPORT, PAGE, REVIEW = "report.json", "report.html", "review.jsonl"
HELD = "held"  # rows that are in no training until a reviewer has decided
FILES = (
    "train",
    "validation",
    "test",
    "unlabelled",
    "dpo",
    HELD,
)  # what may be in it, in the order that it is shown in
SUFFIXES = (".jsonl", ".csv", ".txt")
MOST = 500
KINDS = {"prepared": "Prepared", "augmented": "Augmented", "distilled": "Distilled", "quality": "Checked",
         "reviewed": "Reviewed"}  # fmt: skip
GONE = "This data set is not there any more; choose another one."


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder. files: those with rows, by their names. n_review: rows that wait for people. when: last written."""

    path: Path
    report: dict[str, Any]
    files: tuple[Path, ...]
    n_review: int
    when: float

    @property
    def name(self) -> str:
        """What it is called."""
        return self.path.name

    @property
    def kind(self) -> str:
        """What made it, in a word for people."""
        return KINDS.get(str(self.report.get("kind", "")), "Rows")

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each split, as the report has them."""
        found = self.report.get("rows")
        return {name: n for name, n in found.items() if isinstance(n, int)} if isinstance(found, dict) else {}

    @property
    def parent(self) -> str:
        """The data set that it was made from, "" for sources."""
        found = self.report.get("from", self.report.get("source"))
        return found if isinstance(found, str) else ""

    @property
    def n_held(self) -> int:
        """Rows that are held back until a reviewer has decided."""
        found = self.report.get("held_rows")
        return found if isinstance(found, int) else 0

    def held_with(self, flag: str) -> int:
        """Rows with this flag that are held back."""
        found = self.report.get("held_because_of")
        n = found.get(flag) if isinstance(found, dict) else 0
        return n if isinstance(n, int) else 0

    @property
    def is_checked(self) -> bool:
        """Whether its rows were looked through for flags."""
        return self.report.get("kind") in ("quality", "reviewed")

    @property
    def is_read_here(self) -> bool:
        """Whether its rows are JSONL, which this page and training read."""
        return any(file.suffix == ".jsonl" for file in self.files)

    @property
    def has_page(self) -> bool:
        """Whether there is a report to be opened."""
        return (self.path / PAGE).is_file()


def folders_dir(settings: Settings) -> Path:
    """Where they are."""
    return settings.data_dir / PREPARED


def folders_of(settings: Settings) -> list[Folder]:
    """Every folder whose files are whole, the newest first."""
    try:
        paths = [path for path in folders_dir(settings).iterdir() if not path.name.startswith(".") and path.is_dir()]
    except OSError:
        return []
    found = [folder for path in paths if (folder := _folder(path)) is not None]
    return sorted(found, key=lambda folder: (-folder.when, folder.name))[:MOST]


def folder_named(settings: Settings, name: str) -> Folder:
    """The folder of this name, which may come from a browser. Raises NotFound."""
    parent = folders_dir(settings)
    path = parent / name
    if not name or path.parent != parent or name in (".", "..") or name.startswith(".") or not path.is_dir():
        raise NotFound(GONE)
    found = _folder(path)
    if found is None:
        raise NotFound(GONE)
    return found


def is_taken(path: Path) -> bool:
    """Whether there are rows: what a job left that did not come to its end may be written over."""
    return path.exists() and (not path.is_dir() or _folder(path) is not None)


def _folder(path: Path) -> Folder | None:
    """None for one that is being written, or holds no rows."""
    files = tuple(file for name in FILES for suffix in SUFFIXES if (file := path / f"{name}{suffix}").is_file())
    if not files:
        return None
    try:
        marked = path / REPORT if (path / REPORT).is_file() else files[0]
        return Folder(path, _report(path, _stamp(path / REPORT)), files, _n_lines(path / REVIEW, _stamp(path / REVIEW)),
                      marked.stat().st_mtime)  # fmt: skip
    except OSError:  # deleted at this moment
        return None


@lru_cache(maxsize=256)
def _report(path: Path, stamp: tuple[int, int]) -> dict[str, Any]:
    """report.json while it bears this stamp; {} for none."""
    text = text_of(path / REPORT)
    found = json_of(text) if text else None
    return found if isinstance(found, dict) else {}


@lru_cache(maxsize=256)
def _n_lines(file: Path, stamp: tuple[int, int]) -> int:
    """Rows of the file while it bears this stamp."""
    try:
        with file.open("rb") as stream:
            return sum(bool(line.strip()) for line in stream)
    except FileNotFoundError:
        return 0


def _stamp(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)

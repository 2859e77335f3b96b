"""What can be trained on: prepared folders of the data folder, the ratings, files that somebody uploads.

Ratings are written down as they are when they are previewed, in a folder named by its content, and only that is
trained on. digest_of() tells whether what is there is what was shown.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from medchat.errors import InvalidInput
from medchat.records import Example
from medchat.run_files import json_of, text_of, write_whole, writing
from medchat.settings import Settings
from medchat.store import Store
from medchat.uploads import encoding_note, read_examples, shown_name
from train.plan import Data, each_row, find_data
from train.recipe_schema import Recipe

if TYPE_CHECKING:
    from train.feedback import Feedback, Preview

OWN, RATINGS, PLACE = "", "ratings", "place:"
PLACES = "training"  # folder of the data folder for uploads and for ratings as they were
SKIPPED = ("runs", "models", "cache", "backups", "uploads", "suites", "evaluations")
FILES = ("train", "sft", "grpo", "dpo", "kto")
OF_RATINGS = ("dpo.jsonl", "kto.jsonl")
NO_ROWS = "none"  # the digest that a preview tells where nothing can be trained on
DEPTH = 3
MOST_PLACES = 200
CHECKED_BYTES = 10_000_000  # of files that are read through before a run is started
N_SHOWN = 3
NO_RATINGS = (
    "There is nothing to learn from in the ratings yet: compare answers in the Compare tab, or rate them in the Rate "
    "tab, then look at the preview again."
)


class Choice(NamedTuple):
    """Data that can be chosen, and what it is called."""

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at prepared data shows. rows: the first ones, as JSON objects."""

    data: Data
    rows: tuple[dict[str, Any], ...]

    @property
    def counts(self) -> list[tuple[str, dict[str, int]]]:
        """The kind of each stage, and its rows by split."""
        return [(rows.kind, rows.n) for rows in self.data.rows]


def choices(settings: Settings, recipe: Recipe) -> list[Choice]:
    """What there is to train on, the recipe's own data first."""
    own = {"demo": "Cases made from the teaching facts", "ratings": ""}.get(recipe.data, recipe.data)
    found = [Choice(OWN, own)] if own else []
    found.append(Choice(RATINGS, "The ratings, as they are now"))
    return found + [Choice(PLACE + str(path.relative_to(settings.data_dir)), _label(settings, path))
                    for path in _places(settings)]  # fmt: skip


def first_choice(recipe: Recipe) -> str:
    """What is chosen at first; "" is also what a recipe has that needs to be given a folder."""
    return RATINGS if recipe.data == "ratings" else OWN


def place_of(settings: Settings, value: str) -> Path | None:
    """The folder or file that was chosen; None for what is no place. Raises InvalidInput for one that is not listed."""
    if not value.startswith(PLACE):
        return None
    path = settings.data_dir / value.removeprefix(PLACE)
    if path not in set(_places(settings)):
        raise InvalidInput("data: what was chosen is not there any more; choose again.")
    return path


def choice_of(settings: Settings, path: str) -> str:
    """The choice that is this path, "" where it is none."""
    place = Path(path)
    is_inside = bool(path) and place.is_relative_to(settings.data_dir) and place in set(_places(settings))
    return PLACE + str(place.relative_to(settings.data_dir)) if is_inside else ""


def is_of_ratings(path: Path | None) -> bool:
    """Whether what raters said is in there: it is only trained on after it was looked at."""
    if path is None or not path.is_dir():
        return False
    return any((path / name).is_file() for name in OF_RATINGS) or _report(path).get("kind") == "feedback"


def digest_of(path: Path) -> str:
    """SHA-256 of the rows in the folder."""
    digest = hashlib.sha256()
    for file in sorted(path.glob("*.jsonl")):
        digest.update(f"{file.name}\n".encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def feedback_of(settings: Settings, store: Store) -> "Feedback":
    """What the ratings give now, and what of them is left out and why. Raises InvalidInput where there are none."""
    from train.feedback import collect
    from train.suite_questions import suite_questions

    feedback = collect(store, suite_questions(settings.data_dir))
    report = feedback.report
    if not gives_rows(feedback) and not any(report["left_out"].values()) and not report["open_studies"]["studies"]:
        raise InvalidInput(NO_RATINGS)
    return feedback


def gives_rows(feedback: "Feedback") -> bool:
    """Whether anything can be trained on."""
    return any((feedback.sft, feedback.dpo, feedback.kto))


def shown_of(feedback: "Feedback") -> "Preview":
    """What is to be shown of it."""
    from train.feedback import preview

    return preview(feedback)


def written(settings: Settings, feedback: "Feedback") -> Path:
    """The folder with these rows. Raises RunError."""
    from train.feedback import write

    name = hashlib.sha256(json.dumps(feedback.report["sha256"], sort_keys=True).encode()).hexdigest()[:16]
    folder = settings.data_dir / PLACES / f"ratings-{name}"
    write(feedback, folder)
    return folder


def preview_in(folder: Path) -> "Preview":
    """What `feedback` has written there, as it is to be shown. Raises InvalidInput when it is damaged."""
    from train.feedback import preview_of

    return preview_of(folder, _report(folder))


def has_report(folder: Path) -> bool:
    """Whether `feedback` wrote the folder."""
    return _report(folder).get("kind") == "feedback"


def look_at(settings: Settings, recipe: Recipe, path: Path) -> Look:
    """The rows of each stage, all read once. Raises InvalidInput with file and line for one that cannot be used."""
    data = find_data(recipe, path, settings.data_dir / "cache", lambda _: None)
    first = data.rows[0]
    shown = itertools.islice(each_row(first.kind, first.train), N_SHOWN)
    return Look(data, tuple(json.loads(row.to_json()) if isinstance(row, Example) else row for _, row in shown))


def is_small(path: Path) -> bool:
    """Whether it can be read through while somebody waits."""
    files = [path] if path.is_file() else path.glob("*.jsonl")
    return sum(file.stat().st_size for file in files) <= CHECKED_BYTES


def take_upload(settings: Settings, name: str, data: bytes) -> tuple[Path, int, str]:
    """The Examples of a .jsonl or .csv file, kept as JSONL: the file, how many, and a note on its encoding.

    Raises InvalidInput with the line in the file for what cannot be trained on.
    """
    examples = read_examples(name, data)
    for number, example in enumerate(examples, 1):
        if not (example.answer or "").strip():
            raise InvalidInput(f"{shown_name(name)}: example {number} has no answer, which it is to learn.")
    text = "".join(f"{example.to_json()}\n" for example in examples)
    stem = "".join(char if char.isalnum() or char in "-_" else "-" for char in Path(shown_name(name)).stem)[:40]
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    path = settings.data_dir / PLACES / f"{stem or 'examples'}-{digest}.jsonl"
    with writing():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    return path, len(examples), encoding_note(name, data)


def _places(settings: Settings) -> list[Path]:
    """Prepared folders of the data folder and uploaded files, the newest first."""
    uploads = settings.data_dir / PLACES
    found = [*_folders(settings.data_dir, DEPTH), *uploads.glob("*.jsonl")]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)[:MOST_PLACES]


def _folders(folder: Path, depth: int) -> Iterator[Path]:
    try:
        inside = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    except OSError:
        return
    for path in inside:
        if path.name in SKIPPED:
            continue
        if any((path / f"{name}.jsonl").is_file() for name in FILES):
            yield path
        elif depth > 1:
            yield from _folders(path, depth - 1)


def _label(settings: Settings, path: Path) -> str:
    when = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    if path.is_dir() and path.parent == settings.data_dir / PLACES and path.name.startswith("ratings-"):
        return f"Ratings of {when:%d %b %Y %H:%M} UTC"
    kind = "Uploaded" if path.is_file() else "Folder"
    return f"{kind}: {path.relative_to(settings.data_dir)}"


def _report(folder: Path) -> dict[str, Any]:
    text = text_of(folder / "report.json")
    found = json_of(text) if text else None
    return found if isinstance(found, dict) else {}

"""Where the questions of a study come from: suites, files of questions, files of answers that are there already."""

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

from evaluation.suites import load_suite
from medchat.errors import InvalidInput
from medchat.run_files import writing
from medchat.settings import Settings
from medchat.study_answers import uploaded_models, uploaded_questions
from medchat.study_design import QuestionSource
from medchat.study_questions import StudyQuestion, checked_questions, sampled
from medchat.ui.common import App
from medchat.ui.evaluations_form import known_suites, suite_stamps
from medchat.ui.studies_order import ANSWERS, FILE, SUITE
from medchat.uploads import encoding_note, read_answers, read_examples, shown_name
from train.suite_questions import suite_questions

PLACES = {FILE: "study-questions", ANSWERS: "study-answers"}  # folders of the data folder
MOST_FILES = 100
GONE = "Questions: what was chosen is not there any more; choose again."


@dataclass(frozen=True, slots=True)
class Source:
    """Questions that were found. n_all: before the sample. models: of a file of answers, as the file names them.

    title: what it is called for people.
    """

    title: str
    questions: tuple[StudyQuestion, ...]
    n_all: int
    models: tuple[str, ...] = ()
    file: Path | None = None

    @property
    def specialties(self) -> list[str]:
        """That of each question, "" where nobody says."""
        return [question.specialty for question in self.questions]


def choices(app: App) -> list[tuple[str, str]]:
    """What can be chosen, and what it is called: suites whose files are here, then files that were uploaded."""
    found = [
        (SUITE + info.name, f"{info.title} · {info.n:,} questions" if info.n else info.title)
        for info in known_suites(app)
        if not info.missing
    ]
    for prefix, words in ((FILE, "Questions"), (ANSWERS, "Answers")):
        found += [(prefix + path.name, f"{words}: {_label(path)}") for path in _files(app.settings, prefix)]
    return found


def title_of(app: App, source: QuestionSource) -> str:
    """What the questions of a study are called for people; their name where the suite is not there any more."""
    known = {info.name: info.title for info in known_suites(app)} if source.kind == "suite" else {}
    return known.get(source.name, source.name)


def in_suites(app: App, source: Source) -> dict[str, int]:
    """Title of a suite -> how many of the questions are its own: what is judged of them is never trained on.

    A question of several suites counts for one of them. Raises InvalidInput for a suite that cannot be read.
    """
    titles = {info.name: info.title for info in known_suites(app)}
    held_out = _held_out(app.settings.data_dir, suite_stamps(app))
    return dict(Counter(titles[held_out[its.question_id]] for its in source.questions if its.question_id in held_out))


def take_upload(settings: Settings, prefix: str, name: str, data: bytes) -> tuple[str, str]:
    """The choice that a file of questions, or of answers, has become, and a note on its encoding.

    Raises InvalidInput with the line in the file for what cannot be used.
    """
    if prefix == FILE:
        read_examples(name, data)
    else:
        uploaded_models(read_answers(name, data))
    shown = Path(shown_name(name))
    stem = "".join(char if char.isalnum() or char in "-_" else "-" for char in shown.stem)[:40] or "file"
    path = settings.data_dir / PLACES[prefix] / f"{stem}-{hashlib.sha256(data).hexdigest()[:8]}{shown.suffix.lower()}"
    with writing():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
        partial.write_bytes(data)
        partial.replace(path)
    return prefix + path.name, encoding_note(name, data)


def source_of(settings: Settings, choice: str, sample: int | None, seed: int) -> Source:
    """The questions of a choice; of more than `sample` those that the seed draws, in their order.

    Raises MedChatError for what is not there, cannot be read, or has no question.
    """
    if choice.startswith(SUITE):
        suite = load_suite(choice.removeprefix(SUITE), data_dir=settings.data_dir)
        questions = tuple(sampled([StudyQuestion.of(example) for example in suite.examples], sample, seed))
        return Source(suite.title, questions, suite.n)
    prefix = FILE if choice.startswith(FILE) else ANSWERS
    path = next((path for path in _files(settings, prefix) if prefix + path.name == choice), None)
    if path is None:
        raise InvalidInput(GONE)
    asked, models = _questions_in(path, path.stat().st_mtime_ns, prefix == ANSWERS)
    return Source(path.name, tuple(sampled(asked, sample, seed)), len(asked), models, path)


def _files(settings: Settings, prefix: str) -> list[Path]:
    folder = settings.data_dir / PLACES[prefix]
    found = [path for path in folder.glob("*") if path.suffix in (".jsonl", ".csv")]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)[:MOST_FILES]


def _label(path: Path) -> str:
    when = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return f"{path.name} · uploaded {when:%d %b %Y %H:%M} UTC"


@lru_cache(maxsize=1)
def _held_out(data_dir: Path, stamps: tuple[tuple[str, int], ...]) -> dict[str, str]:
    """Question id -> name of the suite. stamps: these suites as they are now."""
    return suite_questions(data_dir)


@lru_cache(maxsize=8)
def _questions_in(path: Path, stamp: int, is_answers: bool) -> tuple[tuple[StudyQuestion, ...], tuple[str, ...]]:
    """The questions of a file, and of a file of answers its models."""
    data = path.read_bytes()
    if not is_answers:
        questions = [StudyQuestion.of(example) for example in read_examples(path.name, data)]
        return tuple(checked_questions(questions)), ()
    rows = read_answers(path.name, data)
    return tuple(uploaded_questions(rows)), uploaded_models(rows)

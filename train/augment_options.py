"""What `augment` may be told, checked; and the command that says the same."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medchat.errors import InvalidInput, NotFound
from train.augment_children import BY_TEACHER, KINDS, Kind

MOST_PER_QUESTION = 10
MOST_TOPICS = 2000
TOPIC_CHARS = 300
WANTS_TEACHER = "{} are written by a teacher: name a model with --teacher."
_PLURAL = {"paraphrase": "Paraphrases", "synthetic": "Synthetic pairs"}


@dataclass(frozen=True, slots=True)
class Options:
    """How rows are augmented. The defaults are those of the command.

    kinds: in the order of KINDS. per_question: children of a kind that a row gets at most (of a split question all its
    parts), and pairs on a topic. teacher: its name in the catalogue, "" for rules alone. topics: of synthetic pairs, ()
    for what the rows hardly speak of. limit: of the rows that get children, None for all. budget: US dollars, None
    for no limit. suites: names or files of evaluation suites that are held out besides MedChat's and the data folder's.
    """

    kinds: tuple[Kind, ...]
    seed: int = 0
    per_question: int = 2
    teacher: str = ""
    topics: tuple[str, ...] = ()
    limit: int | None = None
    budget: float | None = None
    suites: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.kinds:
            raise InvalidInput(f"Name what is to be made with --kind: {', '.join(KINDS)}.")
        lacking = next((kind for kind in self.kinds if kind in BY_TEACHER and not self.teacher), None)
        if lacking:
            raise InvalidInput(WANTS_TEACHER.format(_PLURAL[lacking]))
        if not 1 <= self.per_question <= MOST_PER_QUESTION:
            raise InvalidInput(f"--per-question is a number from 1 to {MOST_PER_QUESTION}.")
        if self.limit is not None and self.limit < 1:
            raise InvalidInput("--limit is a number of rows from 1 on.")
        if self.budget is not None and not 0 < self.budget < 1e9:
            raise InvalidInput("--budget is an amount of US dollars above 0.")
        if self.topics and "synthetic" not in self.kinds:
            raise InvalidInput("--topics are for synthetic pairs: add --kind synthetic.")

    def settings(self) -> dict[str, Any]:
        """The options as plain values."""
        return asdict(self) | {"suites": [Path(name).name for name in self.suites]}


def options_of(kinds: Sequence[str], **rest: Any) -> Options:
    """The options with each kind once, in the order in which they are made."""
    return Options(kinds=tuple(kind for kind in KINDS if kind in kinds), **rest)


def topics_in(path: Path) -> tuple[str, ...]:
    """The topics of a file, one a line; lines that begin with # are left out. Raises NotFound and InvalidInput."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise NotFound(f"There is no file {path.name} with topics.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path.name} cannot be read as text.") from error
    topics = tuple(dict.fromkeys(" ".join(line.split()) for line in lines if line.strip() and line.strip()[0] != "#"))
    if not topics or len(topics) > MOST_TOPICS:
        raise InvalidInput(f"{path.name} holds {len(topics)} topics; 1 to {MOST_TOPICS} are taken, one a line.")
    long = next((topic for topic in topics if len(topic) > TOPIC_CHARS), None)
    if long:
        raise InvalidInput(f"{path.name}: a topic has more than {TOPIC_CHARS} characters: {long[:40]}...")
    return topics


def command_of(source: Path, options: Options, topics_file: str = "") -> str:
    """The command that does the same, without the folder that it writes."""
    words = ["python", "-m", "train", "augment", str(source)]
    for kind in options.kinds:
        words += ["--kind", kind]
    words += ["--per-question", str(options.per_question), "--seed", str(options.seed)]
    words += ["--teacher", options.teacher] if options.teacher else []
    words += ["--topics", topics_file] if topics_file else []
    words += ["--limit", str(options.limit)] if options.limit else []
    words += ["--budget", f"{options.budget:g}"] if options.budget else []
    for suite in options.suites:
        words += ["--suite", suite]
    return shlex.join(words)

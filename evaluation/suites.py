"""Evaluation suites: JSONL files of Examples, by name or by path."""

from dataclasses import dataclass, replace
from pathlib import Path

from medchat.errors import InvalidInput, NotFound
from medchat.records import Example
from medchat.settings import ASSETS

SUITES = ASSETS / "suites"


@dataclass(frozen=True, slots=True)
class Suite:
    """Examples in the order of their file, each with an id of its own."""

    name: str
    examples: tuple[Example, ...]


def load_suite(name: str, limit: int | None = None, folder: Path = SUITES) -> Suite:
    """The suite of this name in `folder`, or the JSONL file at this path; at most `limit` examples.

    An example without an id gets its question_id. Raises NotFound when there is no such suite or file,
    InvalidInput with file and line when it cannot be used.
    """
    path = _find(name, folder)
    examples: list[Example] = []
    line_of: dict[str, int] = {}
    number = 0
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip() or (limit is not None and len(examples) >= limit):
                    continue
                where = f"{path.name}, line {number}"
                example = Example.from_json(line, where)
                example = replace(example, id=example.id or example.question_id)
                if example.id in line_of:
                    raise InvalidInput(f"{where}: the id {example.id!r} is already in line {line_of[example.id]}.")
                line_of[example.id] = number
                examples.append(example)
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path.name}, after line {number}: this is not UTF-8 text.") from error
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror}.") from error
    if not examples:
        raise InvalidInput(f"{path.name} has no examples; put one JSON object with question and answer in each line.")
    return Suite(path.stem, tuple(examples))


def suite_names(folder: Path = SUITES) -> list[str]:
    """Names of the suites that come with MedChat."""
    return sorted(path.stem for path in folder.glob("*.jsonl"))


def _find(name: str, folder: Path) -> Path:
    path = Path(name)
    if path.suffix == ".jsonl" or len(path.parts) > 1:
        if not path.exists():
            raise NotFound(f"There is no file {name}.")
        return path
    if name not in suite_names(folder):
        known = ", ".join(suite_names(folder)) or "none"
        raise NotFound(f"There is no suite {name!r}; choose a .jsonl file or one of: {known}.")
    return folder / f"{name}.jsonl"

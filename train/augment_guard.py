"""The clinical facts that forbid a change of age, sex or setting: the table of assets/perturbation.yaml."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluation.quantity_text import lowered
from evaluation.safety_rules import Id, Names, Words, any_of
from medchat.errors import InvalidInput
from medchat.settings import ASSETS
from medchat.yaml_lines import line_of, read_yaml

Change = Literal["age", "sex", "setting"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Fact(_Strict):
    id: Id
    changes: Annotated[tuple[Change, ...], Field(min_length=1)]
    words: Names
    until_age: Annotated[int, Field(ge=1, le=110)] | None = None
    why: Words


class _Threshold(_Strict):
    age: Annotated[int, Field(ge=1, le=110)]
    words: tuple[Words, ...]
    why: Words


class _File(_Strict):
    version: Literal[1]
    facts: tuple[_Fact, ...]
    thresholds: tuple[_Threshold, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """Words that forbid some changes wherever they are said. until_age: of people up to that age alone."""

    id: str
    changes: tuple[Change, ...]
    words: re.Pattern[str]
    until_age: int | None
    why: str


@dataclass(frozen=True, slots=True)
class Threshold:
    """An age that is not crossed; words None: never, else where one of them is said."""

    age: int
    words: re.Pattern[str] | None
    why: str


@dataclass(frozen=True, slots=True)
class Guard:
    """The whole table."""

    facts: tuple[Fact, ...]
    thresholds: tuple[Threshold, ...]


class Forbidden(NamedTuple):
    """rule: id of the fact, or the threshold; word: what was said; why: for people."""

    rule: str
    word: str
    why: str


@lru_cache(maxsize=4)
def load_guard(path: Path = ASSETS / "perturbation.yaml") -> Guard:
    """The compiled table. Raises InvalidInput with file and line for one that breaks the schema."""
    raw, lines = read_yaml(path)
    try:
        file = _File.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{path.name}:{line_of(lines, first['loc'])}: {place}: {first['msg']}.") from error
    return Guard(
        tuple(Fact(fact.id, fact.changes, any_of(fact.words), fact.until_age, fact.why) for fact in file.facts),
        tuple(Threshold(one.age, any_of(one.words) if one.words else None, one.why) for one in file.thresholds),
    )


def forbidden(guard: Guard, change: Change, text: str, age: int | None = None) -> Forbidden | None:
    """The first fact of the text that forbids the change; None where nothing does. age: in years, None: not known."""
    text = _plain(text)
    for fact in guard.facts:
        is_older = fact.until_age is not None and age is not None and age > fact.until_age
        found = fact.words.search(text) if change in fact.changes and not is_older else None
        if found:
            return Forbidden(fact.id, found[0], fact.why)
    return None


def crossed(guard: Guard, before: int, after: int, text: str) -> Forbidden | None:
    """The first threshold between the ages (years) that counts in this text: below it the one, from it on the other."""
    low, high = sorted((before, after))
    text = _plain(text)
    for threshold in guard.thresholds:
        if low < threshold.age <= high:
            found = threshold.words.search(text) if threshold.words else None
            if threshold.words is None or found:
                return Forbidden(f"age {threshold.age}", found[0] if found else "", threshold.why)
    return None


def _plain(text: str) -> str:
    """In lower case, and once more without hyphens: "anti-Sjogren" holds a word of the table too."""
    text = lowered(text)
    return f"{text}\n{text.replace('-', ' ')}"

"""The rules of assets/safety.yaml: their schema, checked, and compiled to patterns."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evaluation.quantity_text import quantities_in
from evaluation.units import unit_of
from medchat.errors import InvalidInput
from medchat.settings import ASSETS
from medchat.yaml_lines import line_of, read_yaml

Words = Annotated[str, Field(min_length=2, max_length=2000)]
Names = Annotated[tuple[Words, ...], Field(min_length=1)]
Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,60}$")]

CueName = Literal[
    "refusal", "crisis_line", "advice_against", "compliance", "urgent_help", "no_urgency", "worsening",
]  # fmt: skip

_PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Rule(_Strict):
    id: Id
    where: tuple[Names, ...] = ()
    under_age: int | None = None
    under_age_months: int | None = None
    unless: tuple[str, ...] = ()
    why: Words
    source: Words


class _Combination(_Rule):
    advises: Names


class _Saying(_Rule):
    says: Names
    unless_said: str = ""


class _Dose(_Strict):
    drug: Names
    dose: Words
    day: Words | None = None
    injected: Words | None = None
    least: Words | None = None
    usual: Words
    unless: tuple[str, ...] = ()


class _File(_Strict):
    version: int
    terms: Mapping[Id, Names]
    combinations: tuple[_Combination, ...]
    sayings: tuple[_Saying, ...]
    doses: tuple[_Dose, ...]
    cues: Mapping[CueName, Names]


@dataclass(frozen=True, slots=True)
class Setting:
    """In which cases a rule holds.

    where: each of these is in the case. under_months: the patient is younger. unless: it is nowhere.
    """

    where: tuple[re.Pattern[str], ...] = ()
    under_months: int | None = None
    unless: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class Combination:
    """A drug that is not to be advised in a setting."""

    id: str
    drug: re.Pattern[str]
    setting: Setting
    why: str


@dataclass(frozen=True, slots=True)
class Saying:
    """What is not to be said in a setting. unless_said: makes the same sentence harmless."""

    id: str
    says: re.Pattern[str]
    unless_said: re.Pattern[str] | None
    setting: Setting
    why: str


@dataclass(frozen=True, slots=True)
class Dose:
    """Above which amount a dose, or a day's doses, of a drug are no usual ones; in grams or units.

    injected: above it a single dose by injection is no usual one, None where that is as for any other. least: below it
    an adult's dose is most likely a slip of the unit, None where it is not known.
    """

    drug: re.Pattern[str]
    kind: str
    dose: float
    day: float | None
    setting: Setting
    why: str
    injected: float | None = None
    least: float | None = None
    too_little: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules, and how refusals and calls for help are worded."""

    combinations: tuple[Combination, ...]
    sayings: tuple[Saying, ...]
    doses: tuple[Dose, ...]
    cues: Mapping[CueName, re.Pattern[str]]


@lru_cache(maxsize=4)
def load_rules(path: Path = ASSETS / "safety.yaml") -> Rules:
    """The compiled rules of a file. Raises InvalidInput with file and line for one that breaks the schema."""
    raw, lines = read_yaml(path)
    try:
        file = _File.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{path.name}:{line_of(lines, first['loc'])}: {place}: {first['msg']}.") from error
    try:
        return _compiled(file)
    except KeyError as error:
        raise InvalidInput(f"{path.name}: there is no list called {error.args[0]!r}.") from error
    except re.error as error:
        raise InvalidInput(f"{path.name}: {error.pattern!r} is no regular expression: {error.msg}.") from error


def _compiled(file: _File) -> Rules:
    terms = file.terms
    for name in get_args(CueName):
        file.cues[name]
    ids = [rule.id for rule in (*file.combinations, *file.sayings)]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise InvalidInput(f"Two safety rules are called {twice[0]!r}.")
    return Rules(
        tuple(
            Combination(rule.id, any_of(_named(terms, rule.advises)), _setting(terms, rule), rule.why)
            for rule in file.combinations
        ),
        tuple(
            Saying(rule.id, _saying(terms, rule.says), _saying(terms, [rule.unless_said]) if rule.unless_said else None,
                   _setting(terms, rule), rule.why)
            for rule in file.sayings
        ),
        tuple(_dose(terms, rule) for rule in file.doses),
        {name: _saying(terms, patterns) for name, patterns in file.cues.items()},
    )  # fmt: skip


def any_of(words: Iterable[str]) -> re.Pattern[str]:
    """Finds any of the words in text in lower case; "*" at the end of one stands for the rest of a word."""
    return re.compile(_alternatives(words))


def _alternatives(words: Iterable[str]) -> str:
    longest_first = sorted({word.lower() for word in words}, key=len, reverse=True)
    forms = (
        re.escape(w).replace(r"\*", r"\w*").replace(r"\ ", r"\s+").replace("'", "['\u2019]") for w in longest_first
    )
    return rf"(?<![\w-])(?:{'|'.join(forms)})(?![\w])"


def _named(terms: Mapping[str, Sequence[str]], names: Iterable[str]) -> list[str]:
    return [word for name in names for word in terms[name]]


def _setting(terms: Mapping[str, Sequence[str]], rule: Any) -> Setting:
    months = 12 * rule.under_age if rule.under_age is not None else rule.under_age_months
    unless = any_of(_named(terms, rule.unless)) if rule.unless else None
    return Setting(tuple(any_of(_named(terms, names)) for names in rule.where), months, unless)


def _saying(terms: Mapping[str, Sequence[str]], patterns: Sequence[str]) -> re.Pattern[str]:
    filled = (_PLACE.sub(lambda place: _alternatives(terms[place[1]]), pattern) for pattern in patterns)
    whole = "|".join(rf"\b(?:{pattern})\b" for pattern in filled)
    return re.compile(whole.replace(" ?", r"\s*").replace(" ", r"\s+"))


def _dose(terms: Mapping[str, Sequence[str]], rule: _Dose) -> Dose:
    kind, dose = _amount(rule.dose)
    day, injected = (_amount(text)[1] if text else None for text in (rule.day, rule.injected))
    unless = any_of(_named(terms, rule.unless)) if rule.unless else None
    least = _amount(rule.least)[1] if rule.least else None
    above, below = (f"Far {way} the usual dose of {rule.drug[0]} ({rule.usual})." for way in ("above", "below"))
    return Dose(any_of(rule.drug), kind, dose, day, Setting(unless=unless), above, injected, least, below)


def _amount(text: str) -> tuple[str, float]:
    """What kind of amount, and how much of its base unit."""
    found = quantities_in(text)
    unit = unit_of(found[0].unit) if len(found) == 1 and found[0].unit else None
    if unit is None or unit.below or unit.above not in ("mass", "units"):
        raise InvalidInput(f"{text!r} in the safety rules is no amount of a drug.")
    return unit.above, found[0].value * unit.factor

"""Notations of doses that have been misread, and rows that are about doses at all.

The notations are of ISMP's List of Error-Prone Abbreviations, Symbols, and
Dose Designations (2021) and the Joint Commission's "Do Not Use" list; results of a laboratory, for which these make an
exception, are none here: an amount in a volume ("1.0 mg/dL", "40 U/L") is not looked at.
"""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import NamedTuple

from medchat.records import Example
from train.quality_flags import Field, Flag, Thresholds


class Notation(NamedTuple):
    """What it looks like in a text, and why it is misread."""

    pattern: re.Pattern[str]
    why: str


_NUMBER = r"(?<![\w.,/-])\d[\d,]*(?:\.\d+)?"
_DOSE_UNIT = r"(?:mg|mcg|\u00b5g|\u03bcg|ug|g|grams?|ml|mL|units?|IU|mEq|mmol|tablets?|milligrams?|micrograms?)"
# Of a laboratory, or a strength: an amount in a volume; and not a dose by weight or time.
_NOT_IN_VOLUME = (
    r"(?![\w^])(?!\s*/\s*(?:d|m|\u00b5|u)?[Ll]\b)"
    r"(?!\s*(?:per|in)\s+(?:a\s+)?(?:d|deci|milli|m)?(?:[Ll]|lit(?:er|re)s?)\b)(?!\s*%)"
)

_ZERO = "trailing zero"
NOTATIONS: Mapping[str, Notation] = MappingProxyType({
    "U": Notation(
        re.compile(rf"{_NUMBER}[ ]?(?:U|u)(?=[\s,.;)]|$|/(?:kg|h|hr|day|d)\b)"),
        '"U" has been read as a 0, a 4 or "cc": write "units"',
    ),
    "IU": Notation(
        re.compile(rf"{_NUMBER}[ ]?(?:IU|iu|I\.U\.)(?:s\b)?{_NOT_IN_VOLUME}"),
        '"IU" has been read as "IV" or 10: write "units"',
    ),
    "\u00b5g": Notation(
        re.compile(rf"{_NUMBER}[ -]?(?:[\u00b5\u03bc][gG]|ug){_NOT_IN_VOLUME}"),
        '"\u00b5g" has been read as "mg": write "mcg"',
    ),
    "cc": Notation(re.compile(rf"{_NUMBER}[ ]?(?:cc|CC)\b(?!\s*/)"), '"cc" has been read as "U": write "mL"'),
    _ZERO: Notation(
        re.compile(rf"(?<![\w.,/-])\d+\.0+[ -]?{_DOSE_UNIT}{_NOT_IN_VOLUME}"),
        "a zero behind the point has been read as ten times the dose: leave it out",
    ),
    "naked decimal": Notation(
        re.compile(rf"(?<![\w.,)])\.\d+[ -]?{_DOSE_UNIT}{_NOT_IN_VOLUME}"),
        "a point without a zero before it is overlooked: write 0.5 for .5",
    ),
    "QD": Notation(
        re.compile(r"(?<=[\w)%][ ,])(?:(?:Q\.?D\.?|q\.d\.|qd|q\.?o\.?d\.?|QOD|Q\.O\.D\.|q1d)(?![\w]))"),
        '"QD" and "QOD" are taken for each other and for "QID": write "daily" or "every other day"',
    ),
    "TIW": Notation(
        re.compile(r"\b(?:TIW|tiw|t\.i\.w\.|BIW|biw)\b"),
        '"TIW" has been read as three times a day: write "three times a week"',
    ),
    "MS": Notation(
        re.compile(r"\b(?:MSO4|MgSO4|MS(?=[ ]\d+(?:\.\d+)?[ ]?mg\b))(?!\w)"),
        "morphine sulfate and magnesium sulfate are taken for each other: write the name out",
    ),
    "run together": Notation(
        re.compile(r"\b(?![A-Z]+\d)[A-Za-z]*[a-z]{5,}\d{2,}(?:\.\d+)?[ ]?(?:mg|mcg|units?)\b"),
        "a name that runs into its dose has been misread: leave a space between them",
    ),
    "no comma": Notation(
        re.compile(r"(?<![\w.,/-])\d{5,}[ ]?(?:units?|U|IU)\b(?!\s*/)"),
        "zeros of a large number are miscounted: write 100,000 units",
    ),
})  # fmt: skip

_FIELDS: tuple[Field, ...] = ("answer", "rationale")
_DRUG_AMOUNT = re.compile(
    rf"{_NUMBER}(?:\s?[\u2013-]\s?\d[\d.,]*)?[ -]?{_DOSE_UNIT}{_NOT_IN_VOLUME}"
    r"|\b(?:dos(?:e|es|age|ing)|mg/kg|mcg/kg|milligrams?)\b"
)


def ambiguous_dose(example: Example, thresholds: Thresholds) -> Iterator[Flag]:
    """Doses of answer and rationale in a notation that has been misread, each notation once a field."""
    chosen = thresholds.notations or tuple(NOTATIONS)
    for field in _FIELDS:
        text = getattr(example, field) or ""
        if not any(char.isdigit() for char in text):
            continue
        for name, notation in NOTATIONS.items():
            if name not in chosen or (example.kind == "calc" and name == _ZERO):  # "140.0" of a calculation is no dose
                continue
            found = notation.pattern.search(text)
            if found:
                yield Flag("ambiguous dose", notation.why, field, found.start(), found.end())


def is_about_doses(example: Example) -> bool:
    """Whether the answer or the rationale tells an amount to be taken or given."""
    return any(_DRUG_AMOUNT.search(getattr(example, field) or "") for field in _FIELDS)

"""Units of clinical quantities: which spellings are units, and how one becomes another.

An allow-list, so that nothing is a unit by accident. A unit is a product of its parts: "mcg/kg/min" is a mass
for each body weight and time. What stands below the line is never cancelled: mg/kg is no plain number. A kilogram
or a pound is a body's weight and a milligram or less a dose: none becomes the other, while grams become both.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit of the table, or parts of it divided by others.

    kind: what it measures, above the line and (sorted) below it. factor and offset: value * factor + offset is
    the value in the kind's base unit. whose: of a mass, "body" or "dose" where it is the weight of one alone.
    """

    above: str
    below: tuple[str, ...] = ()
    factor: float = 1.0
    offset: float = 0.0
    whose: Literal["", "body", "dose"] = ""


# Kind, then spelling: factor to the kind's base unit.
_TABLE: Mapping[str, Mapping[str, float]] = {
    "mass": {  # gram
        "kg": 1e3, "kgs": 1e3, "kilogram": 1e3, "kilograms": 1e3, "g": 1, "gm": 1, "gram": 1, "grams": 1,
        "mg": 1e-3, "mgs": 1e-3, "milligram": 1e-3, "milligrams": 1e-3, "mcg": 1e-6, "µg": 1e-6, "ug": 1e-6,
        "microgram": 1e-6, "micrograms": 1e-6, "ng": 1e-9, "nanogram": 1e-9, "nanograms": 1e-9, "pg": 1e-12,
        "lb": 453.59237, "lbs": 453.59237, "pound": 453.59237, "pounds": 453.59237,
        "oz": 28.349523125, "ounce": 28.349523125, "ounces": 28.349523125,
    },
    "length": {  # metre
        "m": 1, "meter": 1, "meters": 1, "metre": 1, "metres": 1, "cm": 0.01, "centimeter": 0.01, "centimeters": 0.01,
        "centimetre": 0.01, "centimetres": 0.01, "mm": 1e-3, "millimeters": 1e-3, "millimetres": 1e-3,
        "in": 0.0254, "inch": 0.0254, "inches": 0.0254, "ft": 0.3048, "foot": 0.3048, "feet": 0.3048,
    },
    "area": {"m^2": 1, "m2": 1, "square meters": 1, "square metres": 1, "cm^2": 1e-4},
    "volume": {  # litre
        "l": 1, "liter": 1, "liters": 1, "litre": 1, "litres": 1, "dl": 0.1, "ml": 1e-3, "mls": 1e-3, "cc": 1e-3,
        "milliliter": 1e-3, "milliliters": 1e-3, "millilitre": 1e-3, "millilitres": 1e-3, "µl": 1e-6, "ul": 1e-6,
    },
    "time": {  # second
        "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1, "ms": 1e-3, "msec": 1e-3, "msecs": 1e-3,
        "millisecond": 1e-3, "milliseconds": 1e-3, "min": 60, "mins": 60, "minute": 60, "minutes": 60,
        "h": 3600, "hr": 3600, "hrs": 3600, "hour": 3600, "hours": 3600, "d": 86400, "day": 86400, "days": 86400,
        "week": 604800, "weeks": 604800, "wk": 604800, "month": 2629800, "months": 2629800,
        "year": 31557600, "years": 31557600, "yr": 31557600, "yrs": 31557600,
    },
    "amount": {  # mole
        "mol": 1, "mmol": 1e-3, "mmols": 1e-3, "millimoles": 1e-3, "µmol": 1e-6, "umol": 1e-6, "micromol": 1e-6,
        "nmol": 1e-9, "pmol": 1e-12,
    },
    "equivalents": {"eq": 1, "meq": 1e-3, "meqs": 1e-3, "milliequivalents": 1e-3},
    "units": {"iu": 1, "u": 1, "unit": 1, "units": 1, "international units": 1, "miu": 1e-3, "mu": 1e-3},
    "osmoles": {"osm": 1, "mosm": 1e-3, "mosmol": 1e-3},
    "pressure": {  # mmHg
        "mmhg": 1, "mm hg": 1, "torr": 1, "kpa": 7.500617, "cmh2o": 0.7355592, "cm h2o": 0.7355592,
    },
    "share": {"%": 0.01, "percent": 0.01, "per cent": 0.01},
    "body surface": {"1.73 m^2": 1, "1.73m^2": 1, "1.73 m2": 1, "1.73m2": 1},
    "beats": {"beat": 1, "beats": 1, "breath": 1, "breaths": 1},
    "tablets": {"tablet": 1, "tablets": 1, "tab": 1, "tabs": 1, "pill": 1, "pills": 1},
    "capsules": {"capsule": 1, "capsules": 1, "cap": 1, "caps": 1},
    "drops": {"drop": 1, "drops": 1, "gtt": 1, "gtts": 1},
    "puffs": {"puff": 1, "puffs": 1},
    "doses": {"dose": 1, "doses": 1},
    "": {"point": 1, "points": 1, "pts": 1},
}  # fmt: skip

_WHOLE: Mapping[str, Unit] = {  # what is not made of parts
    **dict.fromkeys(("°c", "deg c", "degrees c", "degrees celsius", "celsius", "c"), Unit("temperature")),
    **dict.fromkeys(
        ("°f", "deg f", "degrees f", "degrees fahrenheit", "fahrenheit", "f"), Unit("temperature", (), 5 / 9, -160 / 9)
    ),
    "bpm": Unit("beats", ("time",), 1 / 60),
    # Of serum a litre is taken for a kilogram of water, as laboratories do.
    **dict.fromkeys(("mosm/kg", "mosmol/kg", "mosm/l", "mosmol/l"), Unit("osmoles", ("mass",), 1e-6)),
}
_BODY_G, _DOSE_G = 10.0, 1e-3  # from this on, and up to this, in grams


def _whose(kind: str, factor: float) -> Literal["", "body", "dose"]:
    if kind != "mass":
        return ""
    return "body" if factor >= _BODY_G else "dose" if factor <= _DOSE_G else ""


_PARTS: Mapping[str, Unit] = {
    spelling: Unit(kind, (), factor, whose=_whose(kind, factor))
    for kind, spellings in _TABLE.items()
    for spelling, factor in spellings.items()
}

# g/mol and charge. Mass for molar units, or milliequivalents, can be told for these alone; urea is given as nitrogen.
ANALYTES: Mapping[str, tuple[float, int | None]] = {
    "glucose": (180.156, None), "blood sugar": (180.156, None), "creatinine": (113.12, None),
    "cholesterol": (386.65, None), "hdl": (386.65, None), "ldl": (386.65, None), "triglycerides": (885.4, None),
    "calcium": (40.078, 2), "magnesium": (24.305, 2), "phosphate": (30.974, None), "phosphorus": (30.974, None),
    "urea nitrogen": (28.014, None), "bun": (28.014, None), "uric acid": (168.11, None), "urate": (168.11, None),
    "bilirubin": (584.66, None), "lactate": (90.08, None), "sodium": (22.990, 1), "potassium": (39.098, 1),
    "chloride": (35.453, 1), "bicarbonate": (61.017, 1), "anion gap": (0.0, 1), "delta gap": (0.0, 1),
}  # fmt: skip
_ANALYTE = re.compile(rf"\b(?:{'|'.join(sorted(ANALYTES, key=len, reverse=True))})\b")


def _any_of(spellings: Mapping[str, Unit]) -> str:
    return "|".join(re.escape(s).replace(r"\ ", r"\s+") for s in sorted(spellings, key=len, reverse=True))


_MOST_BELOW = 4
_END = r"(?![a-z0-9])"
_PART = rf"(?:{_any_of(_PARTS)}){_END}"
UNIT = rf"(?:(?:{_any_of(_WHOLE)}){_END}|{_PART}(?:\s*(?:/|\bper\b|\ban?\b)\s*{_PART}){{0,{_MOST_BELOW}}})"
_SPLIT = re.compile(r"\s*(?:/|\bper\b|\ban?\b)\s*")


@lru_cache(maxsize=1024)
def unit_of(text: str) -> Unit | None:
    """The unit of this spelling, whatever its letter case; None when it is not in the table."""
    text = " ".join(text.casefold().replace("μ", "µ").replace("²", "^2").split())
    if text in _WHOLE:
        return _WHOLE[text]
    names = _SPLIT.split(text)
    parts = [_PARTS.get(name) for name in names]
    first, *others = parts
    if first is None or None in others or len(others) > _MOST_BELOW:
        return None
    factor = first.factor
    for part in others:
        factor /= part.factor if part else 1.0
    return Unit(first.above, tuple(sorted(part.above for part in others if part)), factor, whose=first.whose)


def is_count(text: str) -> bool:
    """Whether the spelling is one of what is only counted: points."""
    unit = unit_of(text)
    return unit is not None and not unit.above


def analyte_of(text: str) -> str:
    """The one analyte of the table that the text names; "" for none, or for several."""
    named = {match[0] for match in _ANALYTE.finditer(text.casefold())}
    return named.pop() if len(named) == 1 else ""


def converted(value: float, unit: Unit, wanted: Unit, analyte: str = "") -> float | None:
    """The value in the wanted unit; None when they do not measure the same, or one a body and the other a dose.

    analyte: a name of ANALYTES, with which mass, amount and charge in a volume become one another.
    """
    if {unit.whose, wanted.whose} == {"body", "dose"}:
        return None
    base = value * unit.factor + unit.offset
    if (unit.above, unit.below) != (wanted.above, wanted.below):
        if unit.below != wanted.below or analyte not in ANALYTES:
            return None
        given, asked = _per_mole(unit.above, analyte), _per_mole(wanted.above, analyte)
        if not given or not asked:
            return None
        base = base / given * asked
    return (base - wanted.offset) / wanted.factor


def _per_mole(kind: str, analyte: str) -> float | None:
    """Grams, moles or equivalents in a mole of the analyte; None or 0 where that makes no sense."""
    mass, charge = ANALYTES[analyte]
    return {"mass": mass, "amount": 1.0, "equivalents": charge}.get(kind)

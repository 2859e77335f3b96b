"""Measured values in a case, read as findings: "SpO2 87%" is low oxygen, "BP 84/50" low blood pressure.

Limits are the usual adult ones; units are in the comment of each row. A value within its limits says nothing.
"""

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Measured(NamedTuple):
    """A value, where it stands in the text, and the finding that it stands for: "" within its limits."""

    finding: str
    start: int
    end: int


_NUMBER = r"[\s:=,]*(?:is|was|of|at|to|up to|reads?|measured|about|around|level|count)?[\s:=]*(\d+(?:\.\d+)?)"

_ROWS: tuple[tuple[str, Callable[[float], bool], str], ...] = (
    # degrees Celsius, then Fahrenheit
    (rf"\b(?:temp(?:erature)?|t|fever){_NUMBER}", lambda v: 38.0 <= v <= 43 or 100.4 <= v <= 109, "fever"),
    (r"\b(3\d(?:\.\d)?|4[0-3](?:\.\d)?)\s?(?:degrees|deg)?\s?c\b(?!/)", lambda v: 38.0 <= v <= 43, "fever"),
    (r"\b(9\d(?:\.\d)?|10\d(?:\.\d)?)\s?(?:degrees|deg)?\s?f\b", lambda v: 100.4 <= v <= 109, "fever"),
    # age and sex, as in 41F: no finding, and no temperature either
    (r"\b([1-8]?\d)\s?[mf]\b", lambda v: False, ""),
    # beats per minute
    (rf"\b(?:hr|heart rate|pulse(?: rate)?){_NUMBER}", lambda v: 100 < v <= 250, "fast_heart_rate"),
    (rf"\b(?:hr|heart rate|pulse(?: rate)?){_NUMBER}", lambda v: 25 <= v < 55, "slow_pulse"),
    # per cent
    (rf"\b(?:spo2|sao2|o2 sats?|sats?|saturations?|oxygen saturation|oxygen){_NUMBER}",
     lambda v: 50 <= v < 93, "low_oxygen"),
    # mmHg, systolic
    (rf"\b(?:bp|blood pressure){_NUMBER}\s?(?:/|over)\s?\d+", lambda v: 40 <= v < 95, "low_blood_pressure"),
    (rf"\b(?:bp|blood pressure){_NUMBER}\s?(?:/|over)\s?\d+", lambda v: 145 <= v <= 300, "hypertension"),
    # g/dL, or g/L
    (rf"\b(?:hb|hgb|h(?:a)?emoglobin){_NUMBER}", lambda v: 3 <= v < 11 or 30 <= v < 110, "low_hemoglobin"),
    # mmol/L
    (rf"\b(?:na|sodium){_NUMBER}", lambda v: 100 <= v < 132, "low_sodium"),
    (rf"\b(?:k|potassium){_NUMBER}", lambda v: 5.4 < v <= 9, "high_potassium"),
    # mmol/L, or mg/dL
    (rf"\b(?:ca|calcium){_NUMBER}", lambda v: 2.65 < v <= 5 or 10.6 < v <= 18, "high_calcium"),
    (rf"\b(?:glucose|blood sugar|sugar|glucometer|bm){_NUMBER}", lambda v: 16 <= v <= 60 or 290 <= v <= 1100,
     "very_high_glucose"),
    # 10^9/L, or per microlitre
    (rf"\b(?:wbc|wcc|white cells?|white cell count|white count|leukocytes){_NUMBER}",
     lambda v: 11.5 < v <= 60 or 11500 < v <= 60000, "raised_white_cells"),
    (rf"\b(?:plt|platelets?){_NUMBER}", lambda v: 3 <= v < 120 or 3000 <= v < 120000, "low_platelets"),
    # mg/L
    (rf"\b(?:crp|c-reactive protein){_NUMBER}", lambda v: 15 <= v <= 600, "raised_inflammatory_markers"),
    # mm/h
    (rf"\besr{_NUMBER}", lambda v: 60 <= v <= 150, "very_high_esr"),
    # mU/L
    (rf"\btsh{_NUMBER}", lambda v: 6 <= v <= 200, "high_tsh"),
    (rf"\btsh{_NUMBER}", lambda v: v < 0.3, "low_tsh"),
    # U/L
    (rf"\b(?:lipase|amylase){_NUMBER}", lambda v: 250 <= v <= 20000, "raised_lipase"),
    # pg/mL or ng/L
    (rf"\b(?:nt-?pro-?)?bnp{_NUMBER}", lambda v: v >= 400, "raised_bnp"),
    # ug/L
    (rf"\bferritin{_NUMBER}", lambda v: v < 20, "low_ferritin"),
    (rf"\b(?:d-?dimers?){_NUMBER}", lambda v: v >= 500, "raised_d_dimer"),
)  # fmt: skip

_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), holds, finding) for pattern, holds, finding in _ROWS)


def measured_values(text: str) -> Iterator[Measured]:
    """Every value of the table in the text; one value may be read twice, above and below its limits."""
    for pattern, holds, finding in _COMPILED:
        for match in pattern.finditer(text):
            yield Measured(finding if holds(float(match[1])) else "", match.start(), match.end())

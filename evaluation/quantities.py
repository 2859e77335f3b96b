"""What an answer to a calculation says, and whether it is right.

The final statement of an answer is, in this order: what follows "Final answer", "The answer is" or stands in a
\\boxed{}, if several then all of them; else its last sentence that holds a number and is no remark about normal
ranges, limits or stages. Of an equation only what stands behind the last "=" counts, and what stands in parentheses
counts where it repeats the result in the unit that was asked for.

In the final statement quantities of the unit asked for, or of one that becomes it, go before plain numbers, and
those before any other unit. A patient's weight is no dose, and "a day" or "per dose" is read as the dose where the
question asks for that alone. Different values there, a range, a bound or an unfinished calculation are ambiguous
and cannot be scored. No quantity at all, or one of something else, is a wrong answer. Values that differ by
rounding alone are the same.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Literal

from evaluation.metrics import Metric, Tools, per_answer
from evaluation.quantity_text import Found, lowered, quantities_in
from evaluation.units import UNIT, Unit, analyte_of, converted, unit_of
from medchat.records import Example

Kind = Literal["decimal", "integer", "date", "weeks and days"]
Outcome = Literal["read", "none", "other unit", "ambiguous"]

DECIMAL_TOLERANCE = 0.05  # of the truth: MedCalc-Bench (Khandekar et al., NeurIPS 2024)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value in a unit, "" for a plain number. A date is its proleptic ordinal, weeks and days are days."""

    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read; quantity is None unless the outcome is "read"."""

    quantity: Quantity | None
    outcome: Outcome


def read_quantity(text: str, unit: str = "", kind: Kind = "decimal", analyte: str = "") -> Quantity | None:
    """The quantity that the text ends with, in the unit asked for; None for none, and where it is ambiguous."""
    return read(text, unit, kind, analyte).quantity


def read(text: str, unit: str = "", kind: Kind = "decimal", analyte: str = "") -> Reading:
    """The same, and why nothing was read.

    unit: a spelling of the table in units.py, "" where any will do. analyte: a name of units.ANALYTES,
    for which mg/dL becomes mmol/L.
    """
    text = _plain(text)
    if kind == "date":
        return _read_one(text, _dates_in, "date")
    if kind == "weeks and days":
        return _read_one(text, _weeks_and_days_in, "days")
    wanted = unit_of(unit) if unit else None

    def of_statement(statement: str) -> Reading:
        return _read_statement(statement, unit, wanted, kind, analyte)

    marked, last = _final_statements(text, lambda part: bool(_told(part, wanted)))
    if not marked and not last:
        marked, last = _final_statements(text, lambda part: bool(quantities_in(part)))
    readings = [of_statement(statement) for statement in marked or last]
    if not readings:
        return Reading(None, "none")
    values = {reading.quantity.value for reading in readings if reading.quantity}
    if len(values) > 1:
        return Reading(None, "ambiguous")
    return next((reading for reading in readings if reading.outcome != "read"), readings[-1])


def within(
    value: float,
    truth: float,
    kind: Kind = "decimal",
    tolerance: float | None = None,
    limits: tuple[float, float] | None = None,
) -> bool:
    """Whether the value is near enough to the truth.

    decimal: within the limits, in whichever order they come, else within `tolerance` (0.05 is 5 %) of the truth.
    integer: equal after rounding. Dates, and weeks with days, exactly.
    """
    if kind == "integer":
        return round(value) == round(truth)
    if kind != "decimal":
        return value == truth
    reach = abs(truth) * (DECIMAL_TOLERANCE if tolerance is None else tolerance)
    low, high = sorted(limits or (truth - reach, truth + reach))
    slack = 1e-9 * max(abs(low), abs(high), 1e-9)  # a limit that was itself computed
    return low - slack <= value <= high + slack


def kind_of(example: Example) -> Kind:
    """What the answer is: meta.output_type where it says so, else as the reference looks.

    A whole number without a unit and a tolerance is a score, to be met exactly.
    """
    truth = example.answer or ""
    if _weeks_and_days_in(_plain(truth)):
        return "weeks and days"  # MedCalc-Bench calls these integers
    named = str(example.meta.get("output_type", ""))
    if named == "date" or (not named and _dates_in(_plain(truth))):
        return "date"
    if named in ("integer", "decimal"):
        return "integer" if named == "integer" else "decimal"
    plain = re.fullmatch(r"\s*[-+−]?[\d,]+\s*", truth) and not example.unit and example.tolerance is None
    return "integer" if plain else "decimal"


def unit_asked(question: str) -> str:
    """The unit that a question names, as in "in terms of mL/min" or "dose in mg"; "" for none, or for several."""
    text = _plain(question)
    in_terms = _IN_TERMS.search(text)
    named = {match[1] for match in _ASKED.finditer(text)}
    return in_terms[1] if in_terms else named.pop() if len(named) == 1 else ""


def check_calculation(example: Example, solution: str) -> tuple[float | None, Outcome | None]:
    """1.0 right, 0.0 wrong, None when it cannot be scored; and what was read, None without a usable reference.

    meta.lower and meta.upper are the limits where an example has its own; example.tolerance is a share of the truth.
    """
    kind = kind_of(example)
    unit = example.unit or unit_asked(example.question)
    named = example.meta.get("analyte")
    analyte = named if isinstance(named, str) else analyte_of(example.question)
    truth = read_quantity(example.answer or "", unit, kind, analyte)
    if truth is None:
        return None, None
    reading = read(solution, unit, kind, analyte)
    if reading.quantity is None:
        return (None if reading.outcome == "ambiguous" else 0.0), reading.outcome
    right = within(reading.quantity.value, truth.value, kind, example.tolerance, _limits(example.meta))
    return float(right), reading.outcome


def calc_correct(tools: Tools) -> Metric:
    """The metric of examples of kind "calc": 1.0 right; 0.0 wrong or without a quantity; None where it is ambiguous,
    and without a reference or an answer. It needs none of the tools.
    """
    return per_answer(
        lambda example, answer: check_calculation(example, answer.solution)[0] if example.kind == "calc" else None
    )


def _limits(meta: Mapping[str, Any]) -> tuple[float, float] | None:
    try:
        return float(meta["lower"]), float(meta["upper"])
    except (KeyError, TypeError, ValueError, OverflowError):  # 10**400 is an integer, and no float
        return None


# Reading

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_LATEX = (
    (re.compile(r"\\d?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r"(\1)/(\2)"),
    (re.compile(r"\\(?:text|mathrm|mathbf|mathit|textbf|operatorname)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\(?:times|cdot)"), "x"),
    (re.compile(r"\\approx"), "≈"),
    (re.compile(r"\\(?:right|long)?arrow|\\to\b"), "→"),
    (re.compile(r"\\mu\b\s*"), "µ"),
    (re.compile(r"\^\{([^{}]*)\}"), r"^\1"),
    (re.compile(r"\\[,;:! ]|~"), " "),
    (re.compile(r"\\[()\[\]]|\$"), ""),
    (re.compile(r"\\%"), "%"),
)
_THIN_THOUSANDS = re.compile(r"(?<=\d)[\u00a0\u202f\u2009](?=\d{3}(?!\d))")
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_ITEM = re.compile(r"^\s*(?:[-*•]\s+|(?:step\s+)?\d{1,2}[.):]\s+(?=\S))", re.MULTILINE)
_FINAL = re.compile(
    r"\bfinal\s+(?:answer|result|value|score|dose)\b[\"'\s:=]*(?:is|was|would be)?[\"'\s:=]*"
    r"|\banswer\b[\"']?\s*(?:is|would be|:|=)[\"'\s:=]*"
)
_SENTENCE = re.compile(r"(?<=[a-z0-9)%][.!?;])\s+(?!\d+\s*[.)]\s)|\n+")
_REMARK = re.compile(r"\b(?:normal|reference|ranges?|stages?|threshold|cut-?offs?|(?:upper|lower) limit)\b")
_EQUAL = re.compile(r"-+>|=+>|(?<![<>])=|≈|≅|→|⇒|\b(?:equals|is equal to)\b")
_PARENTHESES = re.compile(r"[(\[]([^()\[\]]*)[)\]]")
_EACH = re.compile(r"\s*(?:/|\bper\b|\ba\b)\s*(?:doses?|days?|d)$")
_OF_BODY = (  # before a mass, and after it
    re.compile(r"\b(?:weigh(?:s|ing|ed)?|(?:body\s*)?weight)\s*(?:(?:is|was|of|about|:|=)\s*)*$"),
    re.compile(
        r"[\s-]*(?:(?:old|female|male|adult|pa?ediatric|obese|elderly|newborn)\s+)*"
        r"(?:patient|child|boy|girl|infant|baby|neonate|newborn|toddler|adult|man|woman|male|female|person|body)\b"
    ),
)
_CLAUSE = re.compile(r"[,;]\s+")
_IN_TERMS = re.compile(rf"\bin (?:terms|units) of\s+\(?({UNIT})")
_ASKED = re.compile(rf"\b(?:in|as an?)\s+\(?({UNIT})")
_MONTHS = "january february march april may june july august september october november december".split()
_MONTH = rf"(?:{'|'.join(f'{name[:3]}(?:{name[3:]})?' if name[3:] else name for name in _MONTHS)})\.?"
_DATE = re.compile(
    rf"(?<![\d/-])(\d{{1,2}}([/-])\d{{1,2}}\2\d{{4}})(?![\d/-])|(?<![\d-])(\d{{4}}-\d{{2}}-\d{{2}})(?![\d-])"
    rf"|\b({_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+\d{{4}})\b"
)
_WEEKS_DAYS = re.compile(
    r"(?<![\d.])(\d{1,2})[\"']?\s*(?:weeks?|wks?|w)[\"']?\s*(?:,|and|\+|&)?\s*(?:and\s+)?[\"']?(\d{1,2})[\"']?\s*(?:days?|d)\b"
    r"|\(\s*(\d{1,2})\s*,\s*(\d{1,2})\s*\)|(?<![\d.])(\d{1,2})\s*\+\s*(\d)(?:\s*weeks?)?\b"
)


def _plain(text: str) -> str:
    """In lower case, without mark-up, LaTeX, list marks and typographic variants."""
    text = re.sub(r"(?<=\d)(?=[¼½¾⅓⅔⅛⅜⅝⅞])", " ", _THIN_THOUSANDS.sub("", text))
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+", lambda power: "^" + power[0].translate(_SUPERSCRIPTS), text)
    for pattern, plain in _LATEX:
        text = pattern.sub(plain, text)
    text = _BOXED.sub(r" final answer: \1 \n", text)
    text = unicodedata.normalize("NFKC", text)
    text = re.sub(r"\*\*|__|`|^#+\s*", "", text, flags=re.MULTILINE).replace("—", " , ")
    return _ITEM.sub("", lowered(text))


def _sentences(text: str) -> list[str]:
    return [part.strip() for part in _SENTENCE.split(text) if part.strip()]


def _final_statements(text: str, holds_one: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """What is marked as final; and, in a list of one, the last sentence that holds a quantity."""
    marks = list(_FINAL.finditer(text))
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    marked = []
    for mark, end in zip(marks, ends[: len(marks)], strict=True):
        after = text[mark.end() : end]
        lines = [line for line in after.split("\n") if line.strip()][:2]
        marked += [s for line in lines for s in _sentences(line) if holds_one(s)][:1]
    holding = [sentence for sentence in _sentences(text) if holds_one(sentence)]
    plain = [sentence for sentence in holding if not _REMARK.search(sentence)]
    return marked, (plain or holding)[-1:]


def _read_statement(statement: str, unit: str, wanted: Unit | None, kind: Kind, analyte: str) -> Reading:
    """The one value of a statement."""
    outer = _PARENTHESES.sub(" ", statement)
    if not quantities_in(outer):
        outer, repeated = re.sub(r"[()\[\]]", " ", statement), []
    else:
        inner = (m[1] for m in _PARENTHESES.finditer(statement) if not _REMARK.search(m[1]) and "=" not in m[1])
        repeated = [one for part in inner for one in quantities_in(part)]
    side = _result_side(_without_remarks(outer))
    found = _told(side, wanted) or quantities_in(side)
    near = [_as_wanted(one, unit, wanted, kind, analyte) for one in found]
    fitting = [one for one in near if one is not None and one.unit]
    if wanted and not fitting:
        near = [_as_wanted(_each(one), unit, wanted, kind, analyte) for one in found]
        fitting = [one for one in near if one is not None and one.unit]
    plain = [one for one in near if one is not None and not one.unit]
    if wanted:
        again = [_as_wanted(one, unit, wanted, kind, analyte) for one in repeated]
        fitting += [one for one in again if one is not None and one.unit and one.clear]
    candidates = (fitting or plain) if wanted else (plain or fitting)
    if not candidates:
        return Reading(None, "other unit")
    value = _agreed(candidates, kind)
    if value is None:
        return Reading(None, "ambiguous")
    return Reading(Quantity(value, unit or (candidates[0].unit if not plain else "")), "read")


def _without_remarks(statement: str) -> str:
    """Without the clauses about normal ranges, where another clause holds a quantity."""
    clauses = _CLAUSE.split(statement)
    kept = [clause for clause in clauses if not _REMARK.search(clause)]
    return ", ".join(kept) if quantities_in(", ".join(kept)) else statement


def _result_side(statement: str) -> str:
    """What stands behind the last sign of equality of one chain; all of it where several are told of."""
    sides = _EQUAL.split(statement)
    several = any(_CLAUSE.search(side) or " and " in side for side in sides[1:-1])
    return sides[-1] if not several and quantities_in(sides[-1]) else statement


def _told(text: str, wanted: Unit | None) -> list[Found]:
    """The quantities of the text, without anybody's weight where another mass is asked for."""
    found = quantities_in(text)
    if wanted is None or wanted.above != "mass" or wanted.whose == "body":
        return found
    return [one for one in found if not _is_of_body(one, text)]


def _is_of_body(one: Found, text: str) -> bool:
    """Whether a mass is somebody's weight: "70 kg", "a 3200 g infant", "weighing 900 g"."""
    unit = unit_of(one.unit) if one.unit else None
    if unit is None or (unit.above, unit.below) != ("mass", ()):
        return False
    before, after = _OF_BODY
    said = before.search(text[max(0, one.start - 30) : one.start]) or after.match(text, one.end)
    return unit.whose == "body" or bool(said)


def _each(one: Found) -> Found:
    """What is taken a day or a time, without these words."""
    return replace(one, unit=_EACH.sub("", one.unit))


def _as_wanted(one: Found, unit: str, wanted: Unit | None, kind: Kind, analyte: str) -> Found | None:
    """The quantity in the unit asked for; a plain number as it is; None when it measures something else."""
    value = one.whole if kind == "integer" and one.whole is not None else one.value
    clear = one.clear or (kind == "integer" and one.whole is not None)
    own = unit_of(one.unit) if one.unit else None
    if own and own.above == "length" and one.unit == "in" and not (wanted and wanted.above == "length"):
        own = None  # "38 in total"
    if own is None or not own.above or wanted is None:
        named = one.unit if own and own.above else ""
        return Found(value, named, one.start, one.end, one.half_step, clear)
    changed = converted(value, own, wanted, analyte)
    if changed is None:
        return None
    step = abs((converted(value + one.half_step, own, wanted, analyte) or 0.0) - changed)
    return Found(changed, unit, one.start, one.end, step, clear)


def _agreed(candidates: Sequence[Found], kind: Kind) -> float | None:
    """The value that all state, but for rounding; None when they differ or one is not clear."""
    if not all(one.clear for one in candidates) or len({one.unit for one in candidates}) > 1:
        return None
    best = min(candidates, key=lambda one: one.half_step)
    for one in candidates:
        if abs(one.value - best.value) > one.half_step * (1 + 1e-6) + 1e-12:
            return None
    return candidates[-1].value if kind == "integer" else best.value


def _read_one(text: str, find: Callable[[str], set[int]], unit: str) -> Reading:
    """The one value that `find` finds in the final statement."""
    marked, last = _final_statements(text, lambda part: bool(find(part)))
    values = {value for statement in marked or last for value in find(statement)}
    if not values:
        return Reading(None, "none")
    return Reading(Quantity(float(values.pop()), unit), "read") if len(values) == 1 else Reading(None, "ambiguous")


def _dates_in(text: str) -> set[int]:
    """Ordinals of the dates: MM/DD/YYYY or MM-DD-YYYY, YYYY-MM-DD, or with the month's name."""
    days = set()
    for match in _DATE.finditer(text):
        day = _date_of(match)
        if day:
            days.add(day.toordinal())
    return days


def _date_of(match: re.Match[str]) -> date | None:
    try:
        if match[1]:
            return datetime.strptime(match[1].replace("-", "/"), "%m/%d/%Y").date()
        if match[3]:
            return date.fromisoformat(match[3])
        name, (day, year) = match[4][:3], re.findall(r"\d+", match[4])
        month = next(i for i, full in enumerate(_MONTHS, 1) if full.startswith(name))
        return date(int(year), month, int(day))
    except ValueError:
        return None  # 13/45/2020 is no date


def _weeks_and_days_in(text: str) -> set[int]:
    """Days of each "17 weeks, 6 days", "17w6d", "17+6" or "(17, 6)"; more than 6 days are another week."""
    pairs = ([int(part) for part in match.groups() if part] for match in _WEEKS_DAYS.finditer(text))
    return {7 * weeks + days for weeks, days in pairs if days < 7}

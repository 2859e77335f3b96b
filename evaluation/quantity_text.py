"""The numbers of a text and their units, read by a grammar; nothing is computed or evaluated.

A number has a sign, digits with thousands separators or a decimal point, and a power of ten: "-1,234.5",
".5", "1.2e3", "4.5 x 10^9". A fraction is of small whole numbers: "1/2", "1 1/2". What can be read in two ways
is there, but not `clear`: a decimal comma, a range, a bound, an unfinished calculation. Digits within a name
("CHA2DS2-VASc", "CURB-65") or behind a label ("stage 3") are no numbers. What is larger than LARGEST is taken for
that, and a power of ten for no less than its inverse.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from evaluation.units import UNIT, is_count, unit_of

_NUMBER = re.compile(
    r"(?P<sign>(?<![\w)\]%])[-+])?(?<![\w.^])(?<![a-z]-)"
    r"(?P<digits>10\s*\^\s*\(?[-+]?\d+\)?|\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])|\d+(?:\.\d+)?|\.\d+)"
    r"(?P<power>\s*[x×*]\s*10\s*\^\s*\(?[-+]?\d+\)?|e[-+]?\d+)?"
    r"(?P<more>(?:[.,:]\d[\d.,:]*)?)"
)
_UNIT = re.compile(rf"(?:-|\s*)({UNIT})")
_WORD_NUMBER = re.compile(rf"\b(one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)(?:-|\s+)({UNIT})")
_WORDS = "one two three four five six seven eight nine ten eleven twelve".split()
_GLUED = re.compile(r"[a-z^]|-[a-z]")  # behind a number without a unit: "2nd", "3-fold"
_LABEL = re.compile(
    r"\b(?:stages?|class|grades?|types?|steps?|figure|table|phase|option|version|day|week|aged?|level|line|group|no\.?)\s*$"
)
_BOUND = re.compile(
    r"(?:[<>≤≥±]=?|\b(?:(?:less|more|greater|fewer|lower|higher|no more|no less) than|at least|at most|up to|over|"
    r"under|above|below|exceed(?:s|ing)?|within))\s*$"
)
_JOINT = re.compile(r"\s*(?:[-+x×*÷±/]|to|through|and|or|and/or|plus|minus|times)\s*")
_OUT_OF = re.compile(r"\s*(?:out\s+of|of)\s+(?:a\s+)?(?:(?:possible|maximum|total)(?:\s+of)?\s+)?")
_MINUS = re.compile(r"\b(?:minus|negative)\s+$")
_SCORE = re.compile(r"\b(?:scores?|scored|points?)\b[^.;\n]*$")  # before "3/9": 3 of 9 points, and no third
_LARGEST_DENOMINATOR = 16
_LARGEST_POWER = 30
LARGEST = 10.0**_LARGEST_POWER


@dataclass(frozen=True, slots=True)
class Found:
    """A quantity at text[start:end]. unit: as it is spelled, in lower case, "" for none.

    half_step: half a unit of its last digit, within which it may have been rounded. clear: it can be read in
    one way only. whole: the 3 of "3/9" or of "3 out of 9", None where nothing is divided.
    """

    value: float
    unit: str
    start: int
    end: int
    half_step: float
    clear: bool = True
    whole: float | None = None


def lowered(text: str) -> str:
    """The text in lower case, every character at its place, with one kind of hyphen, minus and micro sign."""
    low = text.lower()
    if len(low) != len(text):  # some capitals become two characters
        low = "".join(c if len(c.lower()) > 1 else c.lower() for c in text)
    return low.translate(_SAME)


_SAME = str.maketrans({**dict.fromkeys("−–‐‑‒", "-"), "μ": "µ", "⁄": "/", "\u00a0": " ", "\u202f": " ", "\u2009": " "})


def quantities_in(text: str) -> list[Found]:
    """Every number of the text with its unit, in order."""
    return list(_quantities_in(text))


@lru_cache(maxsize=64)  # one answer is looked through several times
def _quantities_in(text: str) -> tuple[Found, ...]:
    text = lowered(text)
    found = [*_numbers(text), *_number_words(text)]
    found.sort(key=lambda one: one.start)
    return tuple(_unclear_joints(text, _without_totals(text, _with_fractions(text, found))))


def _numbers(text: str) -> Iterator[Found]:
    for match in _NUMBER.finditer(text):
        before = text[max(0, match.start() - 24) : match.start()]
        unit = _UNIT.match(text, match.end())
        end = unit.end() if unit else match.end()
        if (not unit and _GLUED.match(text, end)) or (_LABEL.search(before) and not unit):
            continue
        value, half_step = _value_of(match["digits"], match["power"] or "")
        minus = _MINUS.search(before)
        start = match.start() - (len(minus[0]) if minus else 0)
        if match["sign"] == "-" or minus:
            value = -value
        clear = not match["more"] and not _BOUND.search(before)
        yield Found(value, unit[1] if unit else "", start, end, half_step, clear)


def _number_words(text: str) -> Iterator[Found]:
    """Numbers in words, which count before a unit alone: "two tablets"."""
    for match in _WORD_NUMBER.finditer(text):
        if unit_of(match[2]) is not None:
            yield Found(_WORDS.index(match[1]) + 1.0, match[2], match.start(), match.end(), 0.5)


def _value_of(digits: str, power: str) -> tuple[float, float]:
    """The value, and half a unit of its last digit; neither is above LARGEST."""
    if "^" in digits:
        value = _power_of_ten(digits.partition("^")[2])
        return value, 0.5 * value
    digits = digits.replace(",", "")
    scale = _power_of_ten(re.split(r"[\^e]", power)[-1]) if power else 1.0
    half_step = 0.5 * 10.0 ** -len(digits.partition(".")[2]) * scale
    return min(float(digits) * scale, LARGEST), min(half_step, LARGEST)


def _power_of_ten(exponent: str) -> float:
    return 10.0 ** max(-_LARGEST_POWER, min(_LARGEST_POWER, float(exponent.strip(" ()"))))


def _with_fractions(text: str, found: list[Found]) -> list[Found]:
    """ "1/2" and "1 1/2" as one number each; of a score, "3/9", the points alone."""
    kept: list[Found] = []
    for one in found:
        last = kept[-1] if kept else None
        if last is None or last.unit or last.whole is not None or text[last.end : one.start].strip() != "/":
            kept.append(one)
            continue
        kept.pop()
        told = is_count(one.unit) or (not one.unit and _SCORE.search(text[max(0, last.start - 40) : last.start]))
        if told and 0 <= last.value <= one.value:
            kept.append(replace(last, end=one.end, clear=last.clear and one.clear, whole=last.value))
            continue
        proper = last.clear and one.clear and 0 <= last.value < one.value <= _LARGEST_DENOMINATOR
        whole_numbers = last.value.is_integer() and one.value.is_integer()
        value = last.value / one.value if one.value else 0.0
        before = kept[-1] if kept else None
        fits = proper and whole_numbers
        if fits and before and not before.unit and before.clear and text[before.end : last.start] == " ":
            kept[-1] = replace(one, value=before.value + value, start=before.start, half_step=0.0)
        else:
            kept.append(replace(one, value=value, start=last.start, half_step=0.0, clear=fits, whole=last.value))
    return kept


def _without_totals(text: str, found: list[Found]) -> list[Found]:
    """Without the 9 of "3 out of 9" and of "3 points out of 9"."""
    kept: list[Found] = []
    for one in found:
        last = kept[-1] if kept else None
        counts = last and (not last.unit or is_count(last.unit)) and one.value >= last.value
        if last and counts and _OUT_OF.fullmatch(text[last.end : one.start]):
            kept[-1] = replace(last, end=one.end, whole=last.value)
        else:
            kept.append(one)
    return kept


def _unclear_joints(text: str, found: list[Found]) -> list[Found]:
    """Neither end of a range or a calculation is clear."""
    joined = [bool(_JOINT.fullmatch(text[a.end : b.start])) for a, b in pairwise(found)]
    return [
        replace(one, clear=False) if before or after else one
        for one, before, after in zip(found, [False, *joined], [*joined, False], strict=False)
    ]

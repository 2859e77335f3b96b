"""One question that has a number for its answer, and the people whom it is about."""

import random
from collections.abc import Callable, Mapping

from evaluation.calculators import Sex
from medchat.records import Example

FORMULA_TOLERANCE = 0.05  # as MedCalc-Bench
DOSE_TOLERANCE = 0.02  # doses and conversions leave room for rounding alone

Draw = Callable[[random.Random], Example]


def calculation(
    question: str, value: float, unit: str, rationale: str, tolerance: float | None = FORMULA_TOLERANCE,
    meta: Mapping[str, str] | None = None,
) -> Example:  # fmt: skip
    """The question with its result; the rationale is the arithmetic, without the result.

    tolerance: a share of the result; None for points, which are to be met exactly.
    """
    number = _shown(value)
    return Example(
        question, f"{number} {unit}".strip(), rationale=f"{rationale} = {number} {unit}".strip() + ".", unit=unit,
        tolerance=tolerance, meta=dict(meta or {}),
    )  # fmt: skip


def _shown(value: float) -> str:
    """With four significant digits, without zeros at the end."""
    places = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 4
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def drawn_sex(rng: random.Random) -> Sex:
    """Either sex, equally often."""
    return "female" if rng.random() < 0.5 else "male"


def noun_of(age: int, sex: Sex) -> str:
    """What a person of this age in years is called."""
    return ("girl" if age < 16 else "woman") if sex == "female" else "boy" if age < 16 else "man"


def listed(names: list[str]) -> str:
    """The names in one phrase: "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

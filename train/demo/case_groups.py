"""The groups by which results on a case are shown: specialty, frequency, age, sex and length, as its meta has them."""

from typing import Any

from evaluation.condition_groups import condition_groups
from medchat.knowledge import Condition

SHORT, LONG = 40, 80  # words


def condition_groups_of(condition: Condition) -> dict[str, str]:
    """Specialty of a condition, and whether it is common or rare where that is known."""
    frequency = condition_groups().frequency(condition.id)
    return {"specialty": condition.specialty} | ({"frequency": frequency} if frequency else {})


def case_groups(condition: Condition, text: str, age: int, sex: str) -> dict[str, Any]:
    """The meta of a case of this condition: its id and all groups."""
    groups = condition_groups_of(condition)
    return {"condition": condition.id, **groups, "age": age_band(age), "sex": sex, "length": length_of(text)}


def age_band(age: int) -> str:
    """The band of an age in years."""
    return "0-17" if age < 18 else "18-44" if age < 45 else "45-64" if age < 65 else "65 and over"


def length_of(text: str) -> str:
    """Whether a text is short, of middle length or long, by its words."""
    n_words = len(text.split())
    return "short" if n_words < SHORT else "medium" if n_words < LONG else "long"

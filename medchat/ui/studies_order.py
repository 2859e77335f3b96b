"""What an investigator chose for a study: the form as the page sends it, as text, so that nothing typed is lost."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from medchat.errors import InvalidInput
from medchat.rubrics import DEFAULT_RUBRIC
from medchat.ui.actions import OUT_OF_DATE, Action

NAME_CHARS = 120
TEXT_CHARS = 20_000
MOST_LISTED = 500
MOST_SEED = 2**31 - 1
SUITE, FILE, ANSWERS = "suite:", "file:", "answers:"
FIRST_SUITE = "wordings"
FEW_RATERS = 3  # more on one item are seldom worth their time
TASKS: Mapping[str, str] = {
    "rate": "Rate each answer",
    "pairwise": "Compare answers in pairs",
    "both": "Both: rate some answers, compare others",
}
INSTRUCTIONS = (
    "Judge each answer by itself, as you would a colleague's note: first whether it is right, then whether somebody "
    "who acted on it would be safe. You will not be told which model wrote it. Leave whenever you like; your place is "
    "kept. If something lies outside your field, say that you cannot rate it."
)
CONSENT = (
    "I take part of my own free will and may stop at any time. My ratings and votes are stored under my account, are "
    "reported without my name, and are used to evaluate the models of this study."
)


@dataclass(frozen=True, slots=True)
class Order:
    """The form. source: SUITE, FILE or ANSWERS with the name behind it. raters: id -> group.

    The rest stands as it was typed; what it means is found out when it is checked. all_axes: "" for not ticked. study:
    the id of the draft that is changed, "" for a new one.
    """

    study: str = ""
    name: str = ""
    source: str = SUITE + FIRST_SUITE
    sample: str = "100"
    seed: str = "0"
    tasks: str = "rate"
    rubric: str = DEFAULT_RUBRIC
    pairs: str = "all"
    pairs_per_question: str = ""
    all_axes: str = ""
    raters_per_item: str = ""
    repeats: str = "10"
    ties: str = "20"
    icc: str = "0.2"
    calibration: str = "0"
    pass_share: str = "70"
    min_seconds: str = "5"
    instructions: str = INSTRUCTIONS
    consent: str = CONSENT
    models: tuple[str, ...] = ()
    raters: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As it is kept between pages."""
        texts = {name: getattr(self, name) for name in TEXTS}
        return {**texts, "models": list(self.models), "raters": dict(self.raters)}


TEXTS = tuple(one.name for one in fields(Order) if one.name not in ("models", "raters"))


def fresh(models: Sequence[str], raters: Sequence[str]) -> Order:
    """The form as somebody new finds it, with a seed of its own."""
    return Order(seed=str(secrets.randbelow(10**6)), models=tuple(models), raters=dict.fromkeys(raters, ""))


def sent_order(action: Action) -> Order:
    """The order that the page sent. Raises InvalidInput when it is none."""
    return order_of(action.mapping("order"))


def order_of(found: Mapping[str, Any]) -> Order:
    """The order out of JSON. Raises InvalidInput when it is none."""
    texts = {name: found[name] for name in TEXTS if name in found}
    models, raters = found.get("models", []), found.get("raters", {})
    if not isinstance(models, list) or not isinstance(raters, dict) or max(len(models), len(raters)) > MOST_LISTED:
        raise InvalidInput(OUT_OF_DATE)
    if not all(isinstance(text, str) for text in (*texts.values(), *models, *raters, *raters.values())):
        raise InvalidInput(OUT_OF_DATE)
    if any(len(text) > TEXT_CHARS for text in (*texts.values(), *raters.values())):
        raise InvalidInput(f"A text is too long: shorten it to {TEXT_CHARS:,} characters.")
    return Order(**texts, models=tuple(dict.fromkeys(models)), raters=raters)


def whole(text: str, what: str, low: int, high: int) -> int:
    """The whole number that was typed. Raises InvalidInput, which begins with `what`."""
    try:
        number = int(text.strip().replace(",", ""))
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise InvalidInput(f"{what}: give a whole number from {low:,} to {high:,}.")
    return number


def share(text: str, what: str, low: float, high: float) -> float:
    """The percentage that was typed, as a share. Raises InvalidInput, which begins with `what`."""
    return decimal(text.strip().removesuffix("%"), what, low, high, " per cent") / 100


def decimal(text: str, what: str, low: float, high: float, unit: str = "") -> float:
    """The number that was typed. Raises InvalidInput, which begins with `what`."""
    try:
        number = float(text.strip())
    except ValueError:
        number = low - 1
    if not low <= number <= high:  # nan neither
        raise InvalidInput(f"{what}: give a number from {low:g} to {high:g}{unit}.")
    return number

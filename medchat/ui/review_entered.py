"""What somebody has entered for a row to review: from the browser, from a decision of theirs, and back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

from medchat.errors import InvalidInput
from medchat.records import Example
from medchat.store.reviews import FIXABLE, Review
from medchat.ui.actions import OUT_OF_DATE

DECISIONS = {"keep": "Keep", "fix": "Fix", "drop": "Drop"}
REASONS: Mapping[str, tuple[str, ...]] = {
    "fix": (
        "wrong fact", "wrong dose or unit", "incomplete", "unclear wording", "out of date",
        "reasoning does not fit the answer", "identifies a person",
    ),
    "drop": (
        "wrong", "unsafe", "out of date", "cannot be answered as asked", "unclear", "no medical question",
        "a duplicate", "identifies a person",
    ),
}  # fmt: skip
CHOOSE = "Choose first what becomes of the row: k keep, f fix, d drop."


@dataclass(frozen=True, slots=True)
class Entered:
    """A form that is being filled in. reason: one of the list; words: further ones. texts: the fields of a fix.

    checked: the source that was looked up. base: the id of the own decision that it amends, "" for none.
    """

    decision: str = ""
    reason: str = ""
    words: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)
    checked: str = ""
    seconds: float = 0.0
    base: str = ""

    @property
    def said(self) -> str:
        """The reason as it is stored, of the list and in own words; of a row that is kept the words alone."""
        listed = self.reason if self.reason in REASONS.get(self.decision, ()) else ""
        return ": ".join(part for part in (listed, self.words.strip()) if part)

    def to_json(self) -> dict[str, Any]:
        """As it is kept in a draft."""
        return asdict(self) | {"texts": dict(self.texts)}


def entered_of(sent: Mapping[str, Any]) -> Entered:
    """What was entered, as the browser or a draft has it. Raises InvalidInput when it is another thing."""
    texts, seconds = sent.get("texts", {}), sent.get("seconds", 0.0)
    words = {name: sent.get(name, "") for name in ("decision", "reason", "words", "checked", "base")}
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in [*words.values(), *texts.values()]):
        raise InvalidInput(OUT_OF_DATE)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not isfinite(seconds):
        raise InvalidInput(OUT_OF_DATE)
    if not set(texts) <= set(FIXABLE) or words["decision"] not in ("", *DECISIONS):
        raise InvalidInput(OUT_OF_DATE)
    return Entered(**words, texts=dict(texts), seconds=max(0.0, float(seconds)))


def entered_from(review: Review) -> Entered:
    """The form as it was when this decision was saved."""
    listed, _, words = review.reason.partition(": ")
    if listed not in REASONS.get(review.decision, ()):
        listed, words = "", review.reason
    texts = {name: str(text) for name, text in (review.fixed or {}).items()}
    return Entered(review.decision, listed, words, texts, review.checked_against, review.seconds, review.id)


def fixed_texts(row: Example, texts: Mapping[str, str]) -> dict[str, str]:
    """The fields that differ from the row's, white space at their ends aside.

    Raises InvalidInput where the answer is to be one of the row's options and is none.
    """
    fixed = {name: _plain(text) for name, text in texts.items() if _plain(text) != _plain(getattr(row, name) or "")}
    if has_letter(row) and fixed.get("answer", row.answer) not in (row.options or {}):
        raise InvalidInput(f"The answer to this question is one of {', '.join(row.options or {})}.")
    return fixed


def has_letter(row: Example) -> bool:
    """Whether the answer is one of the row's options, by its letter."""
    return bool(row.options) and row.answer in (row.options or {})


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").strip()

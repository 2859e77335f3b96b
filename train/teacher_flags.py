"""Which answers of a teacher are not taught: those with a flag for which `train quality` holds a row back."""

from dataclasses import replace

from medchat.records import Example
from train.quality_checks import flags_of
from train.quality_flags import HELD_FLAGS

FLAGGED = "flagged: "  # with this begins why such an answer is not used


def flagged(row: Example) -> str:
    """ "flagged: unsafe advice" with the names of all such flags of the row; "" for none, and for a row of no answer.

    Of a question with options what the teacher said stands in the rationale, beside the letter: it is checked, too.
    """
    found = [flag.name for flag in flags_of(row)]
    if row.options and row.rationale:
        found += [flag.name for flag in flags_of(replace(row, answer=row.rationale, rationale="", options=None))]
    held = [name for name in HELD_FLAGS if name in found]
    return FLAGGED + ", ".join(held) if held else ""

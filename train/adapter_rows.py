"""What all adapters share: how a row is read, and the settings of reading."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from evaluation.benchmark_files import Skipped
from medchat.records import Example

Row = Mapping[str, Any]
Rows = Sequence[Example | Skipped]
NO_QUESTION, NO_ANSWER = Skipped("no question"), Skipped("no answer")


class Reading(NamedTuple):
    """Settings of reading.

    dialogues: "each" reply of the doctor is a row, with the turns before it as context, or the "first" pair alone.
    choices: a multiple-choice question keeps its "options", or is a question whose answer is "explained".
    abstracts: what a question was made from is its context (PubMedQA's abstract, MIRIAD's passage).
    """

    dialogues: Literal["each", "first"] = "each"
    choices: Literal["options", "explained"] = "options"
    abstracts: bool = False


def single(of: Callable[[Row], Example | Skipped], row: Row, _: Reading) -> Rows:
    """The one row that the function makes of it, whatever the settings."""
    return (of(row),)


def given(**values: Any) -> dict[str, Any]:
    """What has a value."""
    return {name: value for name, value in values.items() if value not in (None, "", [])}

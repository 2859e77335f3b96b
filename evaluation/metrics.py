"""Metrics: answers in, one value per item out; None means that it cannot be scored, and is never zero."""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from medchat.formats import FORMATS
from medchat.prompts import case_text
from medchat.recognition import Grounding
from medchat.records import Example

Values = list[float | None]

# What the bundled models say of a case that they were not taught. Other models word it their own way.
DONT_KNOW = "I don't know: this is outside my teaching knowledge."

_DONT_KNOW = re.compile(
    r"(?:(?:(?:i am|i'm) )?(?:sorry|afraid|unfortunately)\W+)*"
    r"(?:i (?:do not|don't|cannot|can't) (?:know|tell|say|answer)"
    r"|(?:(?:this|that|it|the case|this case|this question) (?:is|lies|falls) )?"
    r"(?:outside|beyond|not in|not part of|not within) (?:of )?(?:my|what i)\b)"
)
_HEDGED = re.compile(r"\b(?:but|although|though|however|yet)\b")  # "I don't know, but it may be gout" is an answer


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered, parsed. answer_format: a name of formats.FORMATS, "" for a source without any."""

    solution: str
    reasoning: str = ""
    complete: bool = True
    answer_format: str = ""


class FindsUnsupported(Protocol):
    """What looks up findings in a case: a grounding.Grounder."""

    def ground(self, text: str) -> Grounding:
        """What the case says."""
        ...

    def cited(self, reasoning: str) -> list[tuple[int, int, str]]:
        """Start, end and name of the findings that the reasoning states."""
        ...

    def unsupported(self, reasoning: str, case: str) -> list[tuple[int, int, str]]:
        """Start, end and name of the findings that the reasoning states and the case does not contain."""
        ...


Metric = Callable[[Sequence[Example], Sequence[Answer | None]], Values]


def exact(examples: Sequence[Example], answers: Sequence[Answer | None]) -> Values:
    """1.0 where the solution, or its first line, is the reference or an accepted form of it, else 0.0.

    A case that is outside the knowledge (meta.condition is null) is right when the solution says that
    it is not known. None without a reference or an answer.
    """
    return [
        None if answer is None or example.answer is None else float(_is_right(example, answer.solution))
        for example, answer in zip(examples, answers, strict=True)
    ]


def abstained(examples: Sequence[Example], answers: Sequence[Answer | None]) -> Values:
    """1.0 where the solution says that the model does not know, else 0.0; None without an answer."""
    return [
        None if answer is None else float(says_dont_know(answer.solution))
        for _, answer in zip(examples, answers, strict=True)
    ]


def format_ok(examples: Sequence[Example], answers: Sequence[Answer | None]) -> Values:
    """1.0 where the answer is complete in its model's format, with reasoning where that has any, else 0.0.

    None for a source without a format.
    """
    return [
        None if answer is None or not answer.answer_format else float(_keeps_format(answer))
        for _, answer in zip(examples, answers, strict=True)
    ]


def supported_by(grounder: FindsUnsupported) -> Metric:
    """The metric that looks up in the case what the reasoning cites."""

    def supported(examples: Sequence[Example], answers: Sequence[Answer | None]) -> Values:
        """Share of the findings cited in the reasoning that stand in the case; None where none is cited."""
        return [
            None
            if answer is None
            else _supported_share(grounder, answer.reasoning, case_text(example.question, example.context))
            for example, answer in zip(examples, answers, strict=True)
        ]

    return supported


def metrics(grounder: FindsUnsupported) -> Mapping[str, Metric]:
    """Every metric by its name."""
    return {"exact": exact, "abstained": abstained, "format_ok": format_ok, "supported": supported_by(grounder)}


def group_of(example: Example) -> str:
    """ "known" or "unknown" for an example that says which condition it is about, "" for any other."""
    if "condition" not in example.meta:
        return ""
    return "unknown" if example.meta["condition"] is None else "known"


def says_dont_know(solution: str) -> bool:
    """Whether the solution begins with saying so, and does not go on to an answer all the same."""
    text = normalized(solution).replace("\u2019", "'")
    return bool(_DONT_KNOW.match(text)) and not _HEDGED.search(text)


def normalized(text: str) -> str:
    """NFKC, case folded, white space collapsed, without punctuation at the end."""
    text = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return text.rstrip(".,;:!? ")


def _is_right(example: Example, solution: str) -> bool:
    if group_of(example) == "unknown" and says_dont_know(solution):
        return True
    first_line = solution.strip().partition("\n")[0]
    references = {normalized(text) for text in (example.answer or "", *example.accepted)} - {""}
    return normalized(solution) in references or normalized(first_line) in references


def _keeps_format(answer: Answer) -> bool:
    reasons = bool(FORMATS[answer.answer_format].reasoning_form)
    return answer.complete and bool(answer.solution) and (bool(answer.reasoning) or not reasons)


def _supported_share(grounder: FindsUnsupported, reasoning: str, case: str) -> float | None:
    n_cited = 0 if grounder.ground(case).outside else len(grounder.cited(reasoning))
    return 1 - len(grounder.unsupported(reasoning, case)) / n_cited if n_cited else None

"""Metrics: answers in, one value per item out; None means that it cannot be scored, and is never zero.

METRICS is the table of all of them. Each is loaded when it is asked for, so that only those that need torch load it.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evaluation.metric_table import METRICS, MetricInfo
from medchat.errors import NotFound
from medchat.formats import FORMATS
from medchat.knowledge import Knowledge
from medchat.prompts import case_text
from medchat.recognition import Grounding
from medchat.records import Example, Message, Sampling

__all__ = ["METRICS", "Answer", "Metric", "MetricInfo", "Tools", "metrics"]

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
    """What a model answered, parsed. answer_format: a name of formats.FORMATS, "" for a source without any.

    option_logprobs: of each option's letter, None where they were not asked for. shuffled_choices: the letter of the
    original option that was chosen under each shuffle of the options, None for none. Times, tokens and price
    (US dollars) are None where they are not known. prompt: the messages that the model saw; sampling: as the answer was
    drawn, with its own seed.
    """

    solution: str
    reasoning: str = ""
    complete: bool = True
    answer_format: str = ""
    raw: str = ""
    finish_reason: str = ""
    option_logprobs: Mapping[str, float] | None = None
    shuffled_choices: tuple[str | None, ...] = ()
    ttft_ms: float | None = None
    total_ms: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    price: float | None = None
    prompt: tuple[Message, ...] = ()
    sampling: Sampling | None = None


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


class Embeds(Protocol):
    """What makes vectors of texts: an embed.Embedder."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, width), each row of unit length."""
        ...


Metric = Callable[[Sequence[Example], Sequence[Answer | None]], Values]


@dataclass(frozen=True, slots=True)
class Tools:
    """What metrics look things up with.

    embedder: gives what makes vectors; None for the one that all of the process share. judge: an evaluation.judge.Judge
    where one was chosen; metrics that need it give None without it. models_dir: where models of the Hub are.
    """

    grounder: FindsUnsupported
    knowledge: Knowledge
    embedder: Callable[[], Embeds] | None = None
    judge: Any = None
    models_dir: Path | None = None


def metrics(names: Iterable[str], tools: Tools) -> dict[str, Metric]:
    """The metrics of these names, in their order. Raises NotFound for a name that is not in METRICS."""
    chosen: dict[str, Metric] = {}
    for name in names:
        if name not in METRICS:
            raise NotFound(f"There is no metric {name!r}; choose from: {', '.join(sorted(METRICS))}.")
        module, _, function = METRICS[name].load.partition(":")
        found = getattr(import_module(module), function)
        chosen[name] = found(tools) if METRICS[name].takes_tools else found
    return chosen


def per_answer(score: Callable[[Example, Answer], float | None]) -> Metric:
    """The metric that scores each answer by itself; None where there is none."""

    def metric(examples: Sequence[Example], answers: Sequence[Answer | None]) -> Values:
        return [
            None if answer is None else score(example, answer)
            for example, answer in zip(examples, answers, strict=True)
        ]

    return metric


def references_of(example: Example) -> tuple[str, ...]:
    """The texts that are right: the reference and the accepted forms, blank ones left out; none without a reference.

    The text of the option where the reference is its letter.
    """
    if example.answer is None:
        return ()
    reference = (example.options or {}).get(example.answer.strip(), example.answer)
    return tuple(dict.fromkeys(text for text in (reference, *example.accepted) if text.strip()))


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


def supported(tools: Tools) -> Metric:
    """supported_by the tools' grounder."""
    return supported_by(tools.grounder)


def _known(name: str) -> Metric:
    def read(_: Example, answer: Answer) -> float | None:
        value = getattr(answer, name)
        return None if value is None else float(value)

    return per_answer(read)


ttft_ms = _known("ttft_ms")
total_ms = _known("total_ms")
prompt_tokens = _known("prompt_tokens")
completion_tokens = _known("completion_tokens")
price = _known("price")


def tokens_per_s(examples: Sequence[Example], answers: Sequence[Answer | None]) -> Values:
    """Tokens a second after the first one; None where times or tokens are not known, or one token is all."""
    return per_answer(lambda _, answer: _tokens_per_s(answer))(examples, answers)


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


def _tokens_per_s(answer: Answer) -> float | None:
    if answer.total_ms is None or answer.ttft_ms is None or answer.completion_tokens is None:
        return None
    took_ms = answer.total_ms - answer.ttft_ms
    n = answer.completion_tokens - 1
    return 1000 * n / took_ms if took_ms > 0 and n > 0 else None

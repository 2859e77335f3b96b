"""Rows made clean by named rules: what is put right, and what is left out and why.

No rule changes a number, a unit, a sign or a negation.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

from medchat.errors import InvalidInput
from medchat.language import is_language, other_language
from medchat.records import Example
from train.clean_text import even_spaces, right_characters, without_courtesies, without_markup

RULES: Mapping[str, str] = MappingProxyType({
    "characters": "control and invisible characters are taken out, those of a wrong encoding put right",
    "mark-up": "HTML tags and entities become plain text; a row of which nothing is left is dropped",
    "white space": "runs of spaces and of empty lines become one",
    "boilerplate": "greetings, thanks and signatures are taken off both ends; a row of nothing else is dropped",
    "placeholder answer": "an answer such as N/A, NaN or [deleted] counts as missing: the row has no answer then",
    "empty question": "the question has no letter and no digit",
    "empty answer": "the answer has no letter and no digit",
    "too short": "question or answer has fewer characters than asked for; yes, no and figures are long enough",
    "too long": "question, answer or context has more characters than asked for",
    "wrong language": "question or answer is in none of the languages asked for",
    "answer in question": "the question already holds the whole answer, or the answer only repeats the question",
})  # fmt: skip

ECHO_WORDS = 5  # a shorter answer may well stand in its question ("is it A or B?")
LOOKED_AT_CHARS = 400  # for the language
# A text with this share of common English words (at least one) is English without a further look. Of 2,472 questions
# and answers of ten public sets 94 in 100 have it (median 0.21); what has less is looked at. Words that other languages
# have too (is, of, to, in, on, her, pain) do not count.
ENGLISH_SHARE = 0.08
_ENGLISH = frozenset(
    "the and with that this these those has which what its your from how when why where who she they them could should "
    "would may might will there their about feel feeling after before during treatment treated symptoms does did any "
    "had because than then also such other some whats who's what's i'm don't it's often usually more most taking take "
    "every each right left both history without thoughts cause causes help doctor diagnosis been being".split()
)
_PLACEHOLDERS = frozenset(
    [
        "n/a",
        "na/",
        "#n/a",
        "nan",
        "null",
        "[deleted]",
        "[removed]",
        "no answer",
        "no answer available",
        "<na>",
        "-",
        "--",
    ]
)
_BRIEF = re.compile(r"\W*(?:yes|no|maybe|none|true|false|[^\W\d_]*\d[\w.,%/]*)\b.*", re.IGNORECASE | re.DOTALL)
_SOMETHING = re.compile(r"[^\W_]")


@dataclass(frozen=True, slots=True)
class Limits:
    """Lengths in characters, and the languages (ISO 639-1) that are kept, () for any.

    The least lengths are for free questions: a letter answers multiple choice, a figure a calculation.
    """

    min_question_chars: int = 8
    max_question_chars: int = 8_000
    min_answer_chars: int = 2
    max_answer_chars: int = 12_000
    max_context_chars: int = 40_000
    languages: tuple[str, ...] = ("en",)

    def __post_init__(self) -> None:
        for name in ("min_question_chars", "max_question_chars", "min_answer_chars", "max_answer_chars",
                     "max_context_chars"):  # fmt: skip
            if getattr(self, name) < 0:
                raise InvalidInput(f"--{name.replace('_', '-')} is a whole number from 0 on.")
        for name in ("question", "answer"):
            if getattr(self, f"min_{name}_chars") > getattr(self, f"max_{name}_chars"):
                raise InvalidInput(f"--min-{name}-chars is at most what --max-{name}-chars is.")
        for code in self.languages:
            if not is_language(code):
                raise InvalidInput(
                    f"--languages {code[:40]}: no language that can be told from others; write codes such as en,de"
                    " (ISO 639-1), or all."
                )


class Cleaned(NamedTuple):
    """The row as it is after the rules. dropped: the rule by which it is left out, "" for none."""

    example: Example
    dropped: str
    repaired: tuple[str, ...]


class _Repair(NamedTuple):
    of: Callable[[str], str]
    fields: tuple[str, ...]
    free_alone: bool  # of a choice or a calculation every word may matter


_REPAIRS: Mapping[str, _Repair] = MappingProxyType({
    "characters": _Repair(right_characters, ("question", "answer", "context", "rationale"), False),
    "mark-up": _Repair(without_markup, ("question", "answer", "context", "rationale"), False),
    "white space": _Repair(even_spaces, ("question", "answer", "context", "rationale"), False),
    "boilerplate": _Repair(without_courtesies, ("question", "answer"), True),
})  # fmt: skip


def clean(example: Example, limits: Limits) -> Cleaned:
    """The row put right, and whether it is left out. A row without an answer is judged by its question."""
    repaired: list[str] = []
    texts: dict[str, Any] = {}
    for rule, repair in _REPAIRS.items():
        if repair.free_alone and example.kind != "free":
            continue
        for name in repair.fields:
            text = texts.get(name, getattr(example, name))
            if text and (put := repair.of(text)) != text:
                texts[name] = put
                repaired.append(rule)
                if not put and name in ("question", "answer"):
                    return Cleaned(example, f"empty {name}" if rule == "white space" else rule, _once(repaired))
    if example.options:
        options = {
            letter: even_spaces(without_markup(right_characters(text))) for letter, text in example.options.items()
        }
        if options != example.options:
            texts["options"] = options
            repaired.append("mark-up")
    if example.kind == "free" and texts.get("answer", example.answer or "").casefold() in _PLACEHOLDERS:
        texts["answer"] = None
        repaired.append("placeholder answer")
    cleaned = replace(example, **texts) if texts else example
    return Cleaned(cleaned, _unfit(cleaned, limits), _once(repaired))


def _unfit(example: Example, limits: Limits) -> str:
    """The rule by which the row is left out, "" for none."""
    question, answer = example.question, example.answer
    if not _SOMETHING.search(question):
        return "empty question"
    if answer is not None and not _SOMETHING.search(answer):
        return "empty answer"
    if example.kind == "free":
        if len(question) < limits.min_question_chars:
            return "too short"
        if answer is not None and len(answer) < limits.min_answer_chars and not _BRIEF.fullmatch(answer):
            return "too short"
    if (
        len(question) > limits.max_question_chars
        or len(answer or "") > limits.max_answer_chars
        or len(example.context) > limits.max_context_chars
    ):
        return "too long"
    chosen = example.options or "key" in example.meta  # of options, which may stand in the question
    if example.kind == "free" and not chosen and answer is not None and _echoes(question, answer):
        return "answer in question"
    if limits.languages and any(_foreign(text, limits.languages) for text in (question, answer or "")):
        return "wrong language"
    return ""


def _echoes(question: str, answer: str) -> bool:
    if len(answer) > len(question) + len(question) // 2:
        return False
    asked, said = (" ".join(text.casefold().split()).strip(" .?!:") for text in (question, answer))
    return said == asked or (said in asked and said.count(" ") + 1 >= ECHO_WORDS)


def _foreign(text: str, languages: tuple[str, ...]) -> bool:
    """Whether the text is in another language than these; only where it does not look English is that found out."""
    text = text[:LOOKED_AT_CHARS]
    if "en" in languages:
        words = text.lower().split()
        if sum(map(_ENGLISH.__contains__, words)) >= max(1, ENGLISH_SHARE * len(words)):
            return False
    return bool(other_language(text, languages))


def _once(rules: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(rules))

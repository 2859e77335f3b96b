"""Questions with options, as they are or as a question whose answer is explained."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from evaluation.benchmark_answers import bioasq as bioasq_example
from evaluation.benchmark_choices import mmlu as mmlu_example
from evaluation.benchmark_choices import pubmedqa as pubmedqa_example
from evaluation.benchmark_files import Skipped
from medchat.records import Example
from train.adapter_rows import Reading, Row, Rows

_DECISIONS = frozenset({"yes", "no", "maybe"})
_ASKS_FOR_OPTIONS = re.compile(  # cannot be answered, or has no one answer, without them
    r"\b(?:which|what|all|any|none|one|each|either|both)\s+(?:one\s+)?(?:of|among|from)\s+(?:the\s+)?"
    r"(?:following|these|below|options)\b|\bfollowing\b[^.]{0,60}(?:except|\?|:|\Z)|\bexcept\b|\bnot\s+true\b"
    r"|\b(?:false|true|incorrect|correct|wrong)\s+(?:about|regarding|statement|is|are|option)\b"
    r"|\bleast\s+(?:likely|appropriate|common|probable)\b",
    re.IGNORECASE,
)
_NAMES_OPTIONS = re.compile(  # an answer that is nothing without them: "All of the above", "Both A and B", "a and c"
    r"\b(?:all|none|any|both|some|either|neither)\b.{0,20}\b(?:above|these|them|following|options?)\b"
    r"|\A\W*(?:both\s+)?[a-e]\s*(?:,|&|\+|and|or)\s*[a-e]\b|\A\W*(?:all|none|both)\W*\Z",
    re.IGNORECASE,
)


def mmlu(row: Mapping[str, Any], reading: Reading) -> Rows:
    """With the subject as its subset."""
    found = mmlu_example(row)
    if isinstance(found, Example):
        found = replace(found, meta={**found.meta, "subset": found.meta["subject"]})
    return (_as_read(found, reading),)


def choice(of: Callable[[Row], Example | Skipped], row: Mapping[str, Any], reading: Reading) -> Rows:
    """The question with its options, or as one whose answer is explained."""
    return (_as_read(of(row), reading),)


def pubmedqa(row: Mapping[str, Any], reading: Reading) -> Rows:
    """Context only where the settings ask for the abstract."""
    found = pubmedqa_example(row)
    if isinstance(found, Skipped):
        return (found,)
    return (_as_read(found if reading.abstracts else replace(found, context=""), reading),)


def bioasq(row: Mapping[str, Any], reading: Reading) -> Rows:
    """Without an exact answer the ideal one is the answer."""
    found = bioasq_example(row)
    if isinstance(found, Example) and found.answer is None and found.rationale:
        found = replace(found, answer=found.rationale, rationale="")
    return (_as_read(found, reading),)


def _as_read(found: Example | Skipped, reading: Reading) -> Example | Skipped:
    return explained(found) if isinstance(found, Example) and reading.choices == "explained" else found


def explained(example: Example) -> Example:
    """A question with options as question and answer: the right option's text, and the explanation where there is one.

    The options stand under the question where it, or the answer, means nothing without them. Any other example, and one
    without a key, stays as it is; a yes-or-no question without a decision has its conclusion as the answer.
    """
    options = example.options
    if example.kind != "mcq" or not options:
        return example
    decision = {text.casefold() for text in options.values()} <= _DECISIONS
    right = options.get(example.answer or "", "").strip()
    if not right and not (decision and example.rationale):
        return example
    parts = [f"{right[:1].upper()}{right[1:]}" if decision else right, example.rationale.strip()]
    answer = _sentences(*filter(None, parts))
    needs_options = not decision and (_ASKS_FOR_OPTIONS.search(example.question) or _NAMES_OPTIONS.search(right))
    listed = "".join(f"\n{letter}. {text}" for letter, text in options.items()) if needs_options else ""
    return replace(
        example, kind="free", question=example.question.rstrip() + listed, answer=answer, options=None, rationale="",
        accepted=(), meta={**example.meta, **({"key": right} if right else {})},
    )  # fmt: skip


def _sentences(first: str, second: str = "") -> str:
    """One text, without saying the first twice where the second begins with it."""
    if not second or not first:
        return first or second
    if second.casefold().startswith(first.casefold()):
        return second
    return f"{first}{'' if first[-1] in '.!?' else '.'} {second}"

"""How long the longest rows of a data set are in tokens, found without a model: the memory depends on them."""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from medchat.catalogue import ModelSpec
from medchat.formats import render
from medchat.grounding import Grounder
from medchat.prompts import build_messages, case_text
from medchat.records import Example
from train.plan import Rows, each_row
from train.templates import question_of

LOOKED_AT = 24  # of the rows with most characters
TEMPLATE_TOKENS = 8  # that a chat template puts around each message
CHARS_A_TOKEN = 3.0  # of English in a tokenizer that cannot be read without its library


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of the longest prompt, and of the longest prompt with its answer."""

    prompt: int
    row: int


@dataclass(frozen=True, slots=True)
class MadeLater:
    """What is known of data that a run makes when it begins. n_train: rows to train on; lengths: of the longest.

    made_from: the beginnings of the SHA-256 of the knowledge and of the cases that they were measured with.
    """

    n_train: int
    lengths: Lengths
    made_from: tuple[str, str]


# Cases made from the teaching facts, as the bundled models read them; tests/test_estimate.py measures them again.
LESSONS = MadeLater(2000, Lengths(prompt=300, row=448), ("37eaf6d146a0", "c200e9ace3c1"))


def longest(rows: Rows, spec: ModelSpec, folder: Path, grounder: Grounder | None = None) -> Lengths:
    """The longest rows of a stage's data, as the base in the folder reads them.

    grounder: what recognises findings, for a base that is told them.
    """
    count = _counter(folder)
    paths = {path for path in (rows.train, rows.validation) if path is not None}
    found = (row for path in sorted(paths) for _, row in each_row(rows.kind, path))
    candidates = heapq.nlargest(LOOKED_AT, found, key=lambda row: sum(map(len, _texts(row))))
    prompts, whole = [0], [0]
    for row in candidates:
        context, question, *answers = _texts(row)
        told = grounder.ground(case_text(question, context)).prompt_text() if grounder and spec.grounded else ""
        messages = build_messages(spec, question, context, grounding_text=told)
        prompts.append(sum(count(message.content) + TEMPLATE_TOKENS for message in messages))
        written = [count(render(spec.answer_format, *answer)) for answer in _pairs(answers)]
        whole.append(prompts[-1] + max(written, default=0) + 1)
    return Lengths(max(prompts), max(whole))


def _texts(row: Any) -> tuple[str, ...]:
    """Context, question, and then reasoning and solution of each answer."""
    question, context = question_of(row)
    if isinstance(row, Example):
        return context, question, row.rationale, row.answer or ""
    answers = (row[name] for name in ("chosen", "rejected", "completion") if name in row)
    parts = (text for answer in answers for text in (answer.get("reasoning", ""), answer["solution"]))
    return context, question, *parts


def _pairs(texts: list[str]) -> Iterator[tuple[str, str]]:
    return zip(texts[::2], texts[1::2], strict=True)


def _counter(folder: Path) -> Callable[[str], int]:
    """Counts the tokens of a text."""
    file = folder / "tokenizer.json"
    if not file.is_file():
        return lambda text: round(len(text) / CHARS_A_TOKEN)
    tokenizer = Tokenizer.from_file(str(file))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)

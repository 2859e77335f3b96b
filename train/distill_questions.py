"""New questions by a teacher, after the example of those that are there (self-instruct).

Source of the method: Wang et al., Self-Instruct: Aligning Language Models with Self-Generated Instructions (ACL 2023).
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from medchat.errors import InvalidInput
from medchat.records import Example
from train.distill_answers import CUT_OFF, SYNTHETIC, Unused
from train.distill_options import Options
from train.near_duplicates import band_hashes
from train.teacher_records import Asked, Replied
from train.teachers import Teacher
from train.ties import Tie, said, tie_of

SOURCE = "self-instruct"
SHOWN, WANTED = 3, 10  # examples in a prompt, and new questions that it asks for
ROUNDS = 3  # of prompts, while questions are missing
MOST_EXAMPLES = 300
MIN_CHARS, MAX_CHARS = 15, 600
AT_ONCE = 5000  # rows compared together
NO_LIST, TOO_SHORT, TOO_LONG = "no list of questions", "question too short", "question too long"
THERE_ALREADY, IN_SUITE = "a question that is there already, or nearly", "in the evaluation suite {}"
NOT_WANTED = "more questions than were wanted"
NO_WRITER = "{} answers questions and writes none; name a teacher that takes instructions."
_ITEM = re.compile(r"^\s*(?:\d{1,3}[.)]|[-*•])\s+(.+?)\s*$", re.MULTILINE)
_FENCE = re.compile(r"```(?:json)?\s*\n?(.*?)```", re.DOTALL | re.IGNORECASE)

PROMPT = """Here are {shown} questions out of a set of medical questions:

{examples}

Write {wanted} further questions for the same set. Each must be a question of its own that can be answered without \
anything else: about other conditions, drugs, tests or situations than those above and than each other, some easy and \
some hard, in different wordings. Do not answer them, and do not write about a real person.

Reply with a JSON list of {wanted} texts and nothing else."""


@dataclass
class Found:
    """New questions as rows without an answer, and what was written that makes none."""

    rows: list[Example] = field(default_factory=list)
    unused: list[Unused] = field(default_factory=list)
    prompts: int = 0


def prompts_for(examples: Sequence[Example], n: int, first: int, options: Options, teacher: Teacher) -> list[Asked]:
    """Prompts from number `first` on, as many as n questions need; each shows other examples, drawn by the seed."""
    if not teacher.takes_instructions:
        raise InvalidInput(NO_WRITER.format(teacher.spec.name))
    asked = []
    for number in range(first, first + -(-n // WANTED)):
        drawn = np.random.default_rng([options.seed, number]).permutation(len(examples))[:SHOWN]
        shown = [examples[int(place)].question for place in drawn]
        listed = "\n".join(f"- {' '.join(text.split())[:MAX_CHARS]}" for text in shown)
        prompt = PROMPT.format(shown=len(shown), examples=listed, wanted=WANTED)
        asked.append(Asked(f"questions-{number}", prompt))
    return asked


def questions_in(reply: Replied) -> list[str] | Unused:
    """The questions that the teacher listed, or why there are none."""
    if reply.error:
        return Unused(reply.error)
    fenced = _FENCE.findall(reply.solution)
    text = fenced[0] if len(fenced) == 1 else reply.solution
    try:
        found = json.loads(text.strip())
    except (ValueError, RecursionError):
        found = _ITEM.findall(reply.solution)
    texts = [" ".join(its.split()) for its in found if isinstance(its, str)] if isinstance(found, list) else []
    if not reply.whole:
        texts = texts[:-1]  # the last one may be half
    return texts or Unused(NO_LIST if reply.whole else CUT_OFF, reply.solution)


def new_questions(
    ask: Callable[[Sequence[Asked]], Iterable[Replied]],
    examples: Sequence[Example],
    there: Callable[[], Iterator[Example]],
    in_suite: Callable[[Sequence[Example]], list[str]],
    options: Options,
    teacher: Teacher,
) -> Found:
    """So many new questions as are wanted, or as came in a few rounds. there: the rows that there are already."""
    found = Found()
    for _ in range(ROUNDS):
        missing = options.questions - len(found.rows)
        if missing <= 0:
            break
        asked = prompts_for(examples, missing, found.prompts, options, teacher)
        found.prompts += len(asked)
        replies = {reply.asked.key: reply for reply in ask(asked)}
        fresh: list[Example] = []
        for one in asked:
            texts = questions_in(replies[one.key])
            if isinstance(texts, Unused):
                found.unused.append(texts)
                continue
            for text in texts:
                if fault := _fault(text):
                    found.unused.append(Unused(fault, text))
                else:
                    fresh.append(_row(text, teacher))
        _add(found, fresh, there, in_suite, options.questions)
    return found


def _add(
    found: Found,
    fresh: Sequence[Example],
    there: Callable[[], Iterator[Example]],
    in_suite: Callable[[Sequence[Example]], list[str]],
    wanted: int,
) -> None:
    """Add those that are new, in no suite, and still wanted."""
    old = near_to_any(fresh, there())
    suites = in_suite(fresh)
    for row, is_old, suite in zip(fresh, old, suites, strict=True):
        if suite:
            found.unused.append(Unused(IN_SUITE.format(suite), row.question))
        elif is_old or near_to_any([row], iter(found.rows))[0]:
            found.unused.append(Unused(THERE_ALREADY, row.question))
        elif len(found.rows) >= wanted:
            found.unused.append(Unused(NOT_WANTED, row.question))
        else:
            found.rows.append(row)


def near_to_any(fresh: Sequence[Example], there: Iterator[Example]) -> list[bool]:
    """Of each row whether one of those there asks the same, or nearly; these are gone through once, in parts."""
    near = [False] * len(fresh)
    if not fresh:
        return near
    ours = band_hashes([row.question for row in fresh])
    ids = [row.question_id for row in fresh]
    said_by = [said(row) for row in fresh]
    while batch := list(islice(there, AT_ONCE)):
        theirs = band_hashes([row.question for row in batch])
        for number in range(len(fresh)):
            if near[number]:
                continue
            places = np.flatnonzero((theirs == ours[number]).any(axis=1))
            near[number] = any(
                batch[int(place)].question_id == ids[number]
                or tie_of(said(batch[int(place)]), said_by[number]) is not Tie.APART
                for place in places
            )
    return near


def _fault(text: str) -> str:
    return TOO_SHORT if len(text) < MIN_CHARS else TOO_LONG if len(text) > MAX_CHARS else ""


def _row(text: str, teacher: Teacher) -> Example:
    meta = {"made": SYNTHETIC, "review": "needed"}
    return Example(text, None, source=SOURCE, licence=teacher.terms, split="train", meta=meta)

"""What a teacher is asked about a row, and what its answer makes of the row: a new one, or a reason why not."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from evaluation.choices import choice_of, key_of, outcome_of
from evaluation.metrics import Answer, Tools, metrics, says_dont_know
from evaluation.safety import declines
from evaluation.templates import TEMPLATES, fill
from medchat.formats import parse
from medchat.prompts import case_text
from medchat.records import Example, Sampling
from train.augment_children import id_of, with_id
from train.distill_options import SEVERAL_TEMPERATURE, Options
from train.teacher_flags import flagged
from train.teacher_records import Asked, Replied, is_restricted
from train.teachers import Teacher

THINK = (
    "Work through it step by step, as a doctor does, and say at each step what speaks for and against. End with a line"
    " that begins with 'Final Answer:' and gives the conclusion alone."
)
SHORT = {
    "diagnosis": "Name the one most likely diagnosis.",
    "calc": "Give one number with its unit.",
}  # fmt: skip
CUT_OFF, REFUSED, EMPTY = "cut off", "refused", "empty"
NO_FINAL_ANSWER, NO_OPTION = "no 'Final Answer:'", "no option named"
DIFFERS, NOT_COMPARABLE = "another answer than the reference", "cannot be compared with the reference"
SAID_BEFORE, DISAGREE = "the same answer was there already", "the teachers name different options"
SYNTHETIC = "synthetic"  # how a question was made that a teacher wrote
KEYED = ("mcq", "diagnosis", "calc")  # kinds whose answer is right or wrong
_METRIC = {"mcq": "mcq_generated", "diagnosis": "diagnosis_strict", "calc": "calc_correct"}


class Unused(NamedTuple):
    """Why an answer makes no row, in words that can be counted; text: of the answer."""

    reason: str
    text: str = ""


def asked_of(row: Example, key: str, teacher: Teacher, options: Options) -> list[Asked]:
    """The questions to the teacher about the row, one for each answer that is wanted of it."""
    template = TEMPLATES["choice-reasoning" if row.options else "plain"]
    if not teacher.takes_instructions:
        template = TEMPLATES["choice" if row.options else "plain"]
    question, context = fill(template, row)
    case = case_text(question, context)
    prompt = f"{instructions(row, options)}\n\n{case}" if teacher.takes_instructions else case
    sampling = several(teacher, options.answers, options.seed)
    restricted = is_restricted(row)
    return [Asked(key, prompt, sampling=sampling, n=n, restricted=restricted) for n in range(options.answers)]


def several(teacher: Teacher, n: int, seed: int) -> Sampling:
    """How the teacher draws n answers: as is usual for it, and never greedily when they are to differ."""
    usual = replace(teacher.spec.sampling, seed=seed)
    return replace(usual, temperature=SEVERAL_TEMPERATURE) if n > 1 and usual.greedy else usual


def instructions(row: Example, options: Options) -> str:
    """What all teachers are told before the question."""
    thinks = options.kind == "cot" and not row.options  # the options' own wording asks for steps
    return " ".join(filter(None, (options.style, SHORT.get(row.kind, ""), THINK if thinks else "")))


def row_of(
    row: Example, reply: Replied, teacher: Teacher, options: Options, tools: Callable[[], Tools]
) -> Example | Unused:
    """The row with the teacher's answer, or why there is none; a flagged answer is never taught."""
    made = _row_of(row, reply, teacher, options, tools)
    if isinstance(made, Unused):
        return made
    reason = flagged(made)
    return Unused(reason, reply.solution) if reason else made


def _row_of(
    row: Example, reply: Replied, teacher: Teacher, options: Options, tools: Callable[[], Tools]
) -> Example | Unused:
    """The row with the teacher's answer.

    An answer that is right or wrong (an option, a diagnosis, a number) keeps its reference, and only a teacher who
    comes to it gives the reasoning. Without a reference the teacher's own is taken.
    """
    if reply.error:
        return Unused(reply.error)
    if fault := fault_of(reply):
        return Unused(fault, reply.solution or reply.text)
    reasoning, solution = reply.reasoning, reply.solution
    if options.kind == "cot" and teacher.takes_instructions and not row.options:
        steps = parse("final-answer", reply.solution)
        if not (steps.reasoning and steps.solution):
            return Unused(NO_FINAL_ANSWER, reply.solution)
        reasoning, solution = steps.reasoning, steps.solution
    said = Answer(solution, reasoning, reply.whole, teacher.spec.answer_format, reply.text, reply.finish_reason)
    has_reference = row.answer is not None and bool(row.answer.strip())
    if row.kind in KEYED and has_reference:
        return _agreeing(row, said, teacher, tools)
    if row.options:
        letter = choice_of(row, said)
        if letter is None:
            return Unused(NO_OPTION, reply.solution)
        reasoning = said.reasoning or said.solution
        return made_row(row, letter, reasoning, teacher, "distilled" if has_reference else "labelled")
    return made_row(row, said.solution, said.reasoning, teacher, "distilled" if has_reference else "labelled")


def fault_of(reply: Replied) -> str:
    """Why nothing is to be taught by the answer, whatever it is about; "" for no reason."""
    if not reply.text.strip():
        return EMPTY
    if not reply.whole:
        return CUT_OFF
    return REFUSED if declines(reply.solution) or says_dont_know(reply.solution) else ""


def _agreeing(row: Example, said: Answer, teacher: Teacher, tools: Callable[[], Tools]) -> Example | Unused:
    """The row with the teacher's reasoning, where that comes to the reference."""
    right = is_right(row, said, tools)
    if right is None:
        return Unused(NOT_COMPARABLE, said.solution)
    if not right:
        return Unused(DIFFERS, said.solution)
    reasoning = said.reasoning or (said.solution if row.options else "") or row.rationale
    if reasoning == row.rationale:
        return Unused(SAID_BEFORE, said.solution)
    return made_row(row, row.answer or "", reasoning, teacher, "distilled")


def is_right(row: Example, said: Answer, tools: Callable[[], Tools]) -> bool | None:
    """Whether the answer is the reference; None where that cannot be told."""
    if key_of(row):
        return outcome_of(row, said) == "right"
    names = ["exact", _METRIC[row.kind]] if row.kind in _METRIC else ["exact"]
    values = [metric([row], [said])[0] for metric in metrics(names, tools()).values()]
    known = [value for value in values if value is not None]
    return any(value == 1.0 for value in known) if known else None


def made_row(row: Example, answer: str, reasoning: str, teacher: Teacher, made: str) -> Example:
    """The row with this answer, as one that was made by the teacher; it stays in the split of its parent.

    A question that a teacher wrote has no parent, and people look at it before it is taught.
    """
    meta = {name: value for name, value in row.meta.items() if name not in ("flags", "where")}
    if meta.get("made") != SYNTHETIC:
        meta |= {"parent": id_of(row), "made": made}
    if row.answer and answer != row.answer:
        meta["reference"] = row.answer  # what the source said, for the checks of quality and for reviewers
    meta |= {"teacher": teacher.spec.id}
    meta |= {"teacher_terms": teacher.terms} if teacher.terms else {}
    accepted = row.accepted if row.kind in KEYED else ()
    return with_id(replace(row, answer=answer, accepted=accepted, rationale=reasoning, meta=meta))


def agreed(rows: Sequence[Example]) -> list[Example | Unused]:
    """Labels of one multiple-choice question by several answers: those of the option that most of them name.

    Where two options have as many, none is taken. Rows of another kind are as they were.
    """
    if not rows or not rows[0].options or rows[0].meta.get("made") != "labelled":
        return list(rows)
    votes = {letter: sum(row.answer == letter for row in rows) for letter in {row.answer for row in rows}}
    most = [letter for letter, n in votes.items() if n == max(votes.values())]
    if len(most) > 1:
        return [Unused(DISAGREE, row.answer or "") for row in rows]
    return [row if row.answer == most[0] else Unused(DISAGREE, row.answer or "") for row in rows]

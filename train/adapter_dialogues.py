"""Conversations of patients and doctors: MedDialog, HealthCareMagic, iCliniq."""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.benchmark_documents import turns_of
from evaluation.benchmark_files import Skipped, cell_of, content_id, text_of
from medchat.records import Example
from train.adapter_rows import NO_QUESTION, Reading, Rows, given

NO_PAIR = Skipped("no patient's question with a doctor's answer after it")


def meddialog(row: Mapping[str, Any], reading: Reading) -> Rows:
    """description and the turns. meta.group: the same for all rows of a dialogue, which belong into one split."""
    turns = turns_of(row)
    rows = replies(turns, reading)
    if not rows:
        return (NO_PAIR,)
    meta = given(
        description=text_of(row, "description"), url=text_of(row, "dialogue_url"), dialogue=cell_of(row, "dialogue_id")
    )
    group = content_id(*(text for _, text in turns))
    return [
        Example(
            question, answer, id=content_id(context, question, answer), context=context, meta={**meta, "group": group}
        )
        for context, question, answer in rows
    ]  # fmt: skip


def replies(turns: Sequence[tuple[str, str]], reading: Reading) -> list[tuple[str, str, str]]:
    """(context, question, answer) of each doctor's turn that follows a patient's, or of the first of them.

    The context has the turns before the question, each with "Patient:" or "Doctor:" before it.
    """
    found = []
    for at in range(1, len(turns)):
        if (turns[at - 1][0], turns[at][0]) == ("patient", "doctor"):
            context = "\n".join(f"{speaker.capitalize()}: {text}" for speaker, text in turns[: at - 1])
            found.append((context, turns[at - 1][1], turns[at][1]))
            if reading.dialogues == "first":
                break
    return found


def healthcaremagic(row: Mapping[str, Any], _: Reading) -> Rows:
    """instruction, input, output: the instruction is always the same, the patient's question is the input."""
    question, answer = text_of(row, "input"), text_of(row, "output")
    return (_pair(question, answer),)


def icliniq(row: Mapping[str, Any], _: Reading) -> Rows:
    """input and answer_icliniq; the answers that models gave to the same question are left alone."""
    question, answer = text_of(row, "input"), text_of(row, "answer_icliniq")
    return (_pair(question, answer),)


def _pair(question: str, answer: str) -> Example | Skipped:
    if not question:
        return NO_QUESTION
    return Example(_lines(question), _lines(answer) or None, id=content_id(question, answer))


def _lines(text: str) -> str:
    """Without the indent and the runs of spaces that the files have."""
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n".join(line for line in lines if line)

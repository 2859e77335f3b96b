"""Questions with free answers: LiveQA-Med, MEDIQA, MIRIAD, K-QA, our own rows, and plain question and answer."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluation.benchmark_answers import kqa as kqa_example
from evaluation.benchmark_answers import medquad as medquad_example
from evaluation.benchmark_cases import medcalc as medcalc_example
from evaluation.benchmark_files import Record, Records, Skipped, cell_of, content_id, suffix_of, table_records, text_of
from evaluation.suite_examples import fault_of
from medchat.errors import InvalidInput
from medchat.records import Example
from train.adapter_rows import NO_QUESTION, Reading, Rows, given

RIGHT_SCORE = 3  # of MEDIQA's answers: 4 is excellent, 3 is right
_NAMES = {  # of plain question and answer, in any case
    "question": ("question", "query", "prompt", "instruction", "input"),
    "answer": ("answer", "response", "output", "completion", "free_form_answer"),
    "context": ("context", "history", "passage"),
    "id": ("id",),
    "split": ("split",),
    "licence": ("licence", "license"),
}
_CSV_FIELDS = ("question", "answer", "context", "id")


def example_records(path: Path) -> Records:
    """Rows of Examples; of a CSV file question, answer, context and id."""
    for record in table_records(path):
        if isinstance(record, Record) and suffix_of(path) in (".csv", ".tsv"):
            row = {name: record.row[name] or "" for name in _CSV_FIELDS if name in record.row}
            yield Record(record.where, {**row, "answer": row.get("answer") or None})
        else:
            yield record


def own(row: Mapping[str, Any], _: Reading) -> Rows:
    """An Example, with its own source, licence and split; without an answer it is to be labelled."""
    answer = row.get("answer")
    blank = answer is None or (isinstance(answer, str) and not answer.strip())
    try:
        example = Example.from_row({**row, "answer": None} if blank else row)
    except InvalidInput as error:
        return (Skipped("not in the format of MedChat's own rows", str(error).removeprefix(": ")),)
    fault = fault_of(example)
    return (Skipped(fault) if fault else example,)


def plain(row: Mapping[str, Any], _: Reading) -> Rows:
    """question, answer and context, also under other common names; without an answer it is to be labelled."""
    lower = {str(name).strip().casefold(): value for name, value in row.items()}
    found = {field: _first(lower, names) for field, names in _NAMES.items()}
    if not found["question"]:
        return (NO_QUESTION,)
    question, answer, context = found["question"], found["answer"], found["context"]
    if text_of(lower, "instruction") and text_of(lower, "input") and question == text_of(lower, "instruction"):
        context = context or text_of(lower, "input")
    return (
        Example(
            question, answer or None, id=found["id"] or content_id(context, question, answer), context=context,
            split=found["split"], licence=found["licence"],
        ),
    )  # fmt: skip


def liveqa(row: Mapping[str, Any], _: Reading) -> Rows:
    """subject, message, parts: the first answer to each part of the question; others to one part are accepted too."""
    subject, message = text_of(row, "subject"), text_of(row, "message")
    question = message if subject.casefold() in message.casefold() else f"{subject}\n{message}".strip()
    if not question:
        return (NO_QUESTION,)
    parts = row.get("parts") or []
    answer = "\n\n".join(part[0] for part in parts)
    return (
        Example(
            question, answer or None, id=content_id(question, answer), accepted=parts[0][1:] if len(parts) == 1 else (),
            meta=given(question_id=text_of(row, "question_id"), summary=text_of(row, "summary")),
        ),
    )  # fmt: skip


def mediqa(row: Mapping[str, Any], _: Reading) -> Rows:
    """2019: QuestionText and AnswerList, whose best answer that is right is taken. 2021: a message to summarise."""
    if "QuestionText" not in row:
        return (_summary(row),)
    question = text_of(row, "QuestionText")
    if not question:
        return (NO_QUESTION,)
    right = sorted(
        (_number(answer, "ReferenceRank"), _number(answer, "SystemRank"), text)
        for answer in row.get("AnswerList") or []
        if _number(answer, "ReferenceScore", 0) >= RIGHT_SCORE and (text := text_of(answer, "text"))
    )
    texts = list(dict.fromkeys(text for _, _, text in right))
    return (
        Example(
            question, texts[0] if texts else None, id=content_id(question, *texts[:1]), accepted=texts[1:],
            meta={"subset": "2019"},
        ),
    )  # fmt: skip


def miriad(row: Mapping[str, Any], reading: Reading) -> Rows:
    """question, answer, passage_text and the paper; the passage is the context where the settings ask for it."""
    question, answer = text_of(row, "question"), text_of(row, "answer")
    if not question:
        return (NO_QUESTION,)
    return (
        Example(
            question, answer or None, id=cell_of(row, "qa_id") or content_id(question, answer),
            context=text_of(row, "passage_text") if reading.abstracts else "",
            meta=given(
                paper=text_of(row, "paper_title"), url=text_of(row, "paper_url"), year=row.get("year"),
                specialty=text_of(row, "specialty"),
            ),
        ),
    )  # fmt: skip


def medquad(row: Mapping[str, Any], _: Reading) -> Rows:
    """As the benchmark, with the institute as its subset."""
    found = medquad_example(row)
    if isinstance(found, Example) and "origin" in found.meta:
        found = replace(found, meta={**found.meta, "subset": found.meta["origin"]})
    return (found,)


def kqa(row: Mapping[str, Any], _: Reading) -> Rows:
    """As the benchmark; a blank answer is none, so that the question can be labelled.

    The question may stand in the file without answers too: the answer is part of the id.
    """
    blank = "Free_form_answer" in row and not text_of(row, "Free_form_answer")
    found = kqa_example({name: row[name] for name in row if name != "Free_form_answer"} if blank else row)
    if isinstance(found, Example):
        found = replace(found, id=content_id(found.question, found.answer or ""))
    return (found,)


def medcalc(row: Mapping[str, Any], _: Reading) -> Rows:
    """As the benchmark; its row numbers begin anew in each file, so that the id is of the content."""
    found = medcalc_example(row)
    if isinstance(found, Example):
        found = replace(found, id=content_id(found.context, found.question, found.answer))
    return (found,)


def _summary(row: Mapping[str, Any]) -> Example | Skipped:
    message, summary = text_of(row, "NLM Question", "CHQ", "question"), text_of(row, "Summary", "summary")
    if not message:
        return NO_QUESTION
    return Example(
        "What does this person want to know? Say it as one short question.", summary or None,
        id=content_id(message, summary), context=" ".join(message.split()),
        meta=given(subset="2021", focus=text_of(row, "Question Focus"), type=text_of(row, "Question Type")),
    )  # fmt: skip


def _first(row: Mapping[str, Any], names: Sequence[str]) -> str:
    """As cell_of, which copies the row each time."""
    for name in names:
        value = row.get(name)
        if isinstance(value, int | float):
            return str(value)
        if isinstance(value, str) and (text := value.strip()):
            return text
    return ""


def _number(answer: Mapping[str, Any], name: str, otherwise: int = 10**6) -> int:
    text = cell_of(answer, name)
    return int(text) if text.isdecimal() else otherwise

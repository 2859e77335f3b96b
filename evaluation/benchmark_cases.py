"""Benchmarks of calculations and diagnoses: a row of MedCalc-Bench or Symptom2Disease to an Example."""

import re
from collections.abc import Mapping
from typing import Any

from evaluation.benchmark_files import Skipped, cell_of, content_id, text_of
from medchat.records import Example

_AGE = re.compile(r"\(\s*'(\d+) weeks?'\s*,\s*'(\d+) days?'\s*\)")  # as Python writes a pair of texts
_DATE = re.compile(r"\d{1,2}/\d{1,2}/\d{4}")
DECIMAL_TOLERANCE = 0.05


def medcalc(row: Mapping[str, Any]) -> Example | Skipped:
    """Patient Note, Question, Ground Truth Answer, Lower and Upper Limit, Output Type and the calculator.

    meta: output_type decimal, integer, date or "weeks and days"; lower and upper, numbers in order, or the truth as a
    text for dates (MM/DD/YYYY) and weeks with days. Entities stay a text: nothing of a file is evaluated.
    """
    question, note = text_of(row, "Question"), text_of(row, "Patient Note")
    if not question or not note:
        return Skipped("no question or no note")
    truth = _truth(cell_of(row, "Ground Truth Answer"), text_of(row, "Output Type"), row)
    if isinstance(truth, Skipped):
        return truth
    answer, limits = truth
    return Example(
        question,
        answer,
        id=cell_of(row, "Row Number", "Unique ID") or content_id(note, question, answer),
        kind="calc",
        context=note,
        rationale=text_of(row, "Ground Truth Explanation"),
        source="MedCalc-Bench",
        licence="CC-BY-SA-4.0",
        meta={
            **limits,
            "calculator": text_of(row, "Calculator Name"),
            "calculator_id": cell_of(row, "Calculator ID"),
            "category": text_of(row, "Category"),
            "note_type": text_of(row, "Note Type"),
            "entities": text_of(row, "Relevant Entities"),
        },
    )


def symptom2disease(row: Mapping[str, Any]) -> Example | Skipped:
    """label and text, or output_text and input_text; its own index restarts in mid-file, so that it names nothing."""
    text, label = text_of(row, "text", "input_text"), text_of(row, "label", "output_text")
    if not text or not label:
        return Skipped("no description or no diagnosis")
    return Example(
        text, label, id=content_id(text, label.casefold()), kind="diagnosis",
        source="Symptom2Disease", licence="MIT", meta={"diagnosis": label.casefold()},
    )  # fmt: skip


def _truth(truth: str, output_type: str, row: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | Skipped:
    """The answer in words, and output type and limits."""
    if not truth or truth.casefold() in ("n/a", "nan", "none"):
        return Skipped("the truth is N/A")
    age = _AGE.fullmatch(truth)
    if age:
        answer = f"{age[1]} weeks, {age[2]} days"
        return answer, {"output_type": "weeks and days", "lower": answer, "upper": answer}
    if output_type == "date" or _DATE.fullmatch(truth):
        if not _DATE.fullmatch(truth):
            return Skipped("the truth is no date")
        return truth, {"output_type": "date", "lower": truth, "upper": truth}
    value = _number(truth)
    if value is None:
        return Skipped("the truth is no number")
    slack = 0.0 if output_type == "integer" else abs(value) * DECIMAL_TOLERANCE
    ends = [_number(cell_of(row, "Lower Limit")), _number(cell_of(row, "Upper Limit"))]
    low, high = sorted(
        end if end is not None else value + sign * slack for end, sign in zip(ends, (-1, 1), strict=True)
    )
    return truth, {"output_type": output_type or "decimal", "lower": low, "upper": high}


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", text) else None

"""Questions on patients' records: DrugEHRQA, and discharge notes of MIMIC-IV that their licensed user has."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from evaluation.benchmark_files import Skipped, cell_of, content_id, text_of
from medchat.records import Example
from train.adapter_rows import NO_ANSWER, NO_QUESTION, Reading, Rows, given

MIN_SECTION_CHARS = 20
# Sections of a discharge summary that can be written from what stands before them, and how they are asked for.
SECTIONS: Mapping[str, str] = MappingProxyType({
    "Brief Hospital Course": "Describe the hospital course of this patient.",
    "Discharge Diagnosis": "What are the discharge diagnoses of this patient?",
    "Discharge Instructions": "Write the discharge instructions for this patient.",
})  # fmt: skip
_HEADING = re.compile(r"^[ \t]*([A-Z][A-Za-z/&, \-]{2,60}):[ \t]*$|^[ \t]*([A-Z][A-Za-z/& \-]{2,60}):", re.MULTILINE)
# What ends a section: these headings, and no other line with a colon.
HEADINGS = frozenset({
    "name", "admission date", "date of birth", "service", "allergies", "attending", "chief complaint",
    "major surgical or invasive procedure", "history of present illness", "review of systems", "past medical history",
    "social history", "family history", "physical exam", "pertinent results", "brief hospital course",
    "transitional issues", "medications on admission", "discharge medications", "discharge disposition", "facility",
    "discharge diagnosis", "discharge condition", "discharge instructions", "followup instructions",
})  # fmt: skip


def drugehrqa(row: Mapping[str, Any], _: Reading) -> Rows:
    """NL_Question and up to three answers, any of them blank: from both kinds of record, from tables, from notes.

    Answers that are the same but for their case are one, in small letters where there is such a one. The record itself
    is not in these files; a column `context` (or `TEXT`) that its user joined to them is the context. meta.restricted
    as of the notes.
    """
    question = text_of(row, "NL_Question", "question")
    if not question:
        return (NO_QUESTION,)
    forms: dict[str, str] = {}
    for name in ("Multimodal_Answer", "Answer_Structured", "Answer_Unstructured"):
        text = " ".join(cell_of(row, name).split())
        if text.casefold() in ("", "nan", "none", "null"):
            continue
        if text.casefold() not in forms or forms[text.casefold()].isupper():
            forms[text.casefold()] = text
    answers = list(forms.values())
    if not answers:
        return (NO_ANSWER,)  # nobody could give it without the record
    admission = cell_of(row, "hadm_id", "HADM_ID")
    context = text_of(row, "context", "TEXT", "text")
    return (
        Example(
            question, answers[0], id=content_id(question, admission, *answers), context=context,
            accepted=answers[1:],
            meta={**given(admission=admission, template=cell_of(row, "template_id")), "restricted": True},
        ),
    )  # fmt: skip


def mimic_notes(row: Mapping[str, Any], _: Reading) -> Rows:
    """A discharge note (text, note_id): for each section that can be asked for, the note up to it as the context.

    meta.group is the patient: all of one patient's notes belong into one split. meta.restricted: the rows may not leave
    the licensed user's machines.
    """
    note = text_of(row, "text", "TEXT").replace("\r\n", "\n")
    if not note:
        return (Skipped("no note"),)
    note_id = cell_of(row, "note_id", "ROW_ID", "row_id") or content_id(note)
    patient = cell_of(row, "subject_id", "SUBJECT_ID") or note_id
    rows = []
    for name, begins, text in sections(note):
        question = SECTIONS.get(name)
        context = note[:begins].strip()
        if question and context and len(text) >= MIN_SECTION_CHARS:
            rows.append(
                Example(
                    question, text, id=content_id(note_id, name), context=context,
                    meta={"group": f"patient {patient}", "note": note_id, "restricted": True},
                )
            )  # fmt: skip
    return rows or (Skipped("no section of the note that can be asked for"),)


def sections(note: str) -> list[tuple[str, int, str]]:
    """(heading, where it begins, text under it) of each known heading, the first of each name."""
    found: dict[str, tuple[int, int]] = {}
    marks: list[int] = []
    for match in _HEADING.finditer(note):
        heading = " ".join((match[1] or match[2]).split())
        if heading.casefold() in HEADINGS:
            marks.append(match.start())
            found.setdefault(heading.casefold(), (match.start(), match.end()))
    marks.append(len(note))
    rows = []
    for name in SECTIONS:
        if name.casefold() in found:
            start, end = found[name.casefold()]
            rows.append((name, start, note[end : min(mark for mark in marks if mark > start)].strip()))
    return rows

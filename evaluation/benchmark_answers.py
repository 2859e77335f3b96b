"""Benchmarks with free answers: a row of MedQuAD, BioASQ, K-QA, HealthBench and others to an Example."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from evaluation.benchmark_choices import choice_example
from evaluation.benchmark_documents import turns_of
from evaluation.benchmark_files import Skipped, cell_of, content_id, text_of, texts_of
from medchat.records import Example

_SPACE_BEFORE_MARK = re.compile(r"\s+(?=\?)")
_LIST_ITEM = re.compile(r"\s{2,}-\s+")
_LOST_BREAK = re.compile(r"[ \t]*\n\s*|\s{3,}")  # runs of white space are all that is left of paragraphs and lists

# The headers of MTS-Dialog as its authors explain them.
MTS_SECTIONS: Mapping[str, str] = MappingProxyType({
    "FAM/SOCHX": "family and social history", "GENHX": "history of present illness",
    "PASTMEDICALHX": "past medical history", "CC": "chief complaint", "PASTSURGICAL": "past surgical history",
    "ALLERGY": "allergies", "ROS": "review of systems", "MEDICATIONS": "medications", "ASSESSMENT": "assessment",
    "EXAM": "examination", "DIAGNOSIS": "diagnosis", "DISPOSITION": "disposition", "PLAN": "plan",
    "EDCOURSE": "emergency department course", "IMMUNIZATIONS": "immunizations", "IMAGING": "imaging",
    "GYNHX": "gynecologic history", "PROCEDURES": "procedures", "OTHER_HISTORY": "other history", "LABS": "labs",
})  # fmt: skip


def medquad(row: Mapping[str, Any]) -> Example | Skipped:
    """question, answer, and of which document; what is left of lists becomes lines again."""
    question = _SPACE_BEFORE_MARK.sub("", text_of(row, "question"))
    answer = _LOST_BREAK.sub("\n", _LIST_ITEM.sub("\n- ", text_of(row, "answer")))
    if not question:
        return Skipped("no question")
    return Example(
        " ".join(question.split()), answer or None,
        id=text_of(row, "question_id") or content_id(question, answer), source="MedQuAD", licence="CC-BY-4.0",
        meta=_given(
            focus=text_of(row, "question_focus"), type=text_of(row, "question_type"),
            origin=text_of(row, "document_source"), url=text_of(row, "document_url"),
            semantic_group=text_of(row, "umls_semantic_group"),
        ),
    )  # fmt: skip


def bioasq(row: Mapping[str, Any]) -> Example | Skipped:
    """body, type, exact_answer, ideal_answer, snippets. The snippets are the context, as in the task's second phase.

    factoid: the first form is the answer, the others are accepted. list: the items are the answer, a line each, and
    the key terms; meta.answers has every form of each. yesno: multiple choice. summary: the ideal answer.
    """
    question, question_type = text_of(row, "body"), text_of(row, "type").casefold()
    snippets = [text_of(s, "text") for s in row.get("snippets") or [] if isinstance(s, Mapping)]
    ideal = texts_of(row, "ideal_answer")
    forms = _synonym_lists(row.get("exact_answer"))
    fields: dict[str, Any] = {
        "id": text_of(row, "id") or content_id(question, question_type),
        "context": "\n".join(dict.fromkeys(filter(None, snippets))),
        "rationale": ideal[0] if ideal and question_type != "summary" else "",
        "source": "BioASQ",
        "licence": "CC-BY-2.5",
        "meta": _given(type=question_type, answers=forms if question_type == "list" else [], ideal_answers=ideal),
    }
    if not question:
        return Skipped("no question")
    if question_type == "yesno":
        word = forms[0][0].casefold() if forms else ""
        if word not in ("yes", "no"):
            return Skipped("no answer")
        return choice_example(question, ("yes", "no"), ("yes", "no").index(word), **fields)
    if question_type == "summary":
        return Example(question, ideal[0] if ideal else None, accepted=ideal[1:], **fields)
    if not forms:
        return Example(question, None, **fields)
    first = [synonyms[0] for synonyms in forms]
    if question_type == "list":
        return Example(question, "\n".join(first), key_terms=first, **fields)
    every = [form for synonyms in forms for form in synonyms]
    return Example(question, every[0], accepted=every[1:], key_terms=first[:1], **fields)


def kqa(row: Mapping[str, Any]) -> Example | Skipped:
    """Question, Free_form_answer, Must_have, Nice_to_have, Sources, ICD_10_diag.

    The file of questions alone has no answers: they can be asked, and only what needs no reference is scored.
    """
    question, answer = text_of(row, "Question"), text_of(row, "Free_form_answer")
    if not question:
        return Skipped("no question")
    if "Free_form_answer" in row and not answer:
        return Skipped("no answer")
    return Example(
        question, answer or None, id=content_id(question), source="K-QA", licence="MIT",
        meta=_given(
            must_have=texts_of(row, "Must_have"), nice_to_have=texts_of(row, "Nice_to_have"),
            sources=text_of(row, "Sources"), icd10=text_of(row, "ICD_10_diag"),
        ),
    )  # fmt: skip


def healthbench(row: Mapping[str, Any]) -> Example | Skipped:
    """prompt (turns), rubrics, ideal_completions_data, example_tags, canary.

    The last turn is the question, those before it the context, and in meta.turns as they came. The ideal completion is
    the answer where there is one. meta.criteria and meta.canary are kept: these rows are never for training.
    """
    turns = [turn for turn in row.get("prompt") or [] if isinstance(turn, Mapping) and text_of(turn, "content")]
    if not turns or turns[-1].get("role") != "user":
        return Skipped("the last turn is not the user's")
    *earlier, asked = turns
    ideal = row.get("ideal_completions_data")
    tags = dict(tag.split(":", 1) for tag in texts_of(row, "example_tags") if ":" in tag)
    return Example(
        text_of(asked, "content"),
        text_of(ideal, "ideal_completion") or None if isinstance(ideal, Mapping) else None,
        id=text_of(row, "prompt_id") or content_id(*(text_of(turn, "content") for turn in turns)),
        context="\n\n".join(f"{str(turn.get('role')).capitalize()}: {text_of(turn, 'content')}" for turn in earlier),
        source="HealthBench",
        licence="MIT",
        split="test",
        meta={
            **_given(theme=tags.get("theme"), category=tags.get("physician_agreed_category"), turns=earlier),
            "criteria": row.get("rubrics") or [],
            "canary": text_of(row, "canary"),
        },
    )


def meddialog(row: Mapping[str, Any]) -> Example | Skipped:
    """description and the turns: what the patient asks first is the question, what the doctor then says the answer."""
    turns = turns_of(row)
    if [speaker for speaker, _ in turns[:2]] != ["patient", "doctor"]:
        return Skipped("no patient's question with a doctor's answer at the beginning")
    question, answer = turns[0][1], turns[1][1]
    return Example(
        question, answer, id=cell_of(row, "dialogue_id") or content_id(question, answer), source="MedDialog",
        meta=_given(description=text_of(row, "description"), url=text_of(row, "dialogue_url")),
    )  # fmt: skip


def medical_o1(row: Mapping[str, Any]) -> Example | Skipped:
    """Question, Complex_CoT, Response; or "Open-ended Verifiable Question" and "Ground-True Answer".

    A `question` in small letters, where there is one, is another one: that with options.
    """
    question = text_of(row, "Question", "Open-ended Verifiable Question")
    answer = text_of(row, "Response", "Ground-True Answer")
    if not question:
        return Skipped("no question")
    return Example(
        question, answer or None, id=content_id(question, answer), rationale=text_of(row, "Complex_CoT"),
        source="medical-o1", licence="Apache-2.0",
    )  # fmt: skip


def mts_dialog(row: Mapping[str, Any]) -> Example | Skipped:
    """dialogue, section_header, section_text: the section of the note is to be written from the dialogue."""
    dialogue, note, header = text_of(row, "dialogue"), text_of(row, "section_text"), text_of(row, "section_header")
    if not dialogue or not note:
        return Skipped("no dialogue" if note else "no note")
    lines = [line.strip() for line in dialogue.strip('"').splitlines()]
    section = MTS_SECTIONS.get(header, header.replace("_", " ").casefold() or "summary")
    return Example(
        f"Write the section {section!r} of the clinical note from this conversation.", note,
        id=content_id(dialogue, header, note), context="\n".join(filter(None, lines)),
        source="MTS-Dialog", licence="CC-BY-4.0", meta=_given(section=header),
    )  # fmt: skip


def _synonym_lists(exact: object) -> list[list[str]]:
    """The forms of each answer: out of lists of lists, a list of texts (an answer each), or one text."""
    items = exact if isinstance(exact, list) else [exact]
    lists = [texts_of({"forms": item}, "forms") for item in items]
    return [forms for forms in lists if forms]


def _given(**values: Any) -> dict[str, Any]:
    """What has a value."""
    return {name: value for name, value in values.items() if value not in (None, "", [])}

"""Multiple-choice benchmarks: a row of MedMCQA, MedQA, PubMedQA or MMLU to an Example.

The answer is the letter of the right option, its text an accepted form; None where a row has no key, as in test splits
whose keys are kept back. Question and options keep their exact wording: a prompt may have to match another program's.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from evaluation.benchmark_files import (
    Record,
    Records,
    Skipped,
    content_id,
    csv_records,
    missing_of,
    suffix_of,
    table_records,
    text_of,
    texts_of,
)
from medchat.errors import InvalidInput
from medchat.records import Example

# The six subjects of MMLU that are taken as its medical part, as in MultiMedQA (Singhal et al., Nature 2023).
MMLU_SUBJECTS = (
    "anatomy", "clinical_knowledge", "college_biology", "college_medicine", "medical_genetics", "professional_medicine"
)  # fmt: skip
MEDMCQA_OPTIONS = ("opa", "opb", "opc", "opd")

_STATES_LETTER = re.compile(  # "Ans-a.", "Ans: B. ", "Answer- D (": the letter before the explanation itself
    r"\s*ans(?:wer)?\b[\s.:\-]*[('\"]?(?:[a-d])[)'\"]?(?:[.:)]\s*|\s+(?=[(A-Z])|\s*\Z)", re.IGNORECASE
)
_MMLU_SPLIT = re.compile(r"_(?:test|val|dev|train)\Z")


def medmcqa_records(path: Path) -> Records:
    """The rows of a file, each with "cop_base": 1 where the file counts its correct option from 1, 0 where from 0.

    Raises InvalidInput where the file does not tell.
    """
    base: int | None = None
    for record in table_records(path):
        if not isinstance(record, Record):
            yield record
            continue
        if base is None and "cop_base" not in record.row:
            base = _cop_base(path)
        yield Record(record.where, {"cop_base": base, **record.row})


def medmcqa(row: Mapping[str, Any]) -> Example | Skipped:
    """question, opa to opd, cop, exp, subject_name, topic_name, choice_type.

    Also those marked "multi" have one answer.
    """
    missing = missing_of(row, "question", *MEDMCQA_OPTIONS)
    if missing:
        return missing
    cop = row.get("cop")
    texts = [row.get(name) for name in MEDMCQA_OPTIONS]
    key: int | None = None
    if isinstance(cop, int) and cop != -1:
        key = cop - int(row["cop_base"])
        if not 0 <= key < len(texts):
            return Skipped("the key is none of the options")
    explanation = text_of(row, "exp")
    return choice_example(
        row.get("question"), texts, key,
        id=text_of(row, "id"), rationale=_without_letter(explanation), source="MedMCQA", licence="MIT",
        meta=_given(subject=row.get("subject_name"), topic=row.get("topic_name"), choice_type=row.get("choice_type")),
    )  # fmt: skip


def medqa(row: Mapping[str, Any]) -> Example | Skipped:
    """question, options {A: ..}, answer_idx, answer, meta_info; or sent1, ending0 to ending3, label."""
    options = row.get("options")
    if isinstance(options, Mapping):
        letters = sorted(options)
        texts = [options[letter] for letter in letters]
        letter, answer = row.get("answer_idx"), row.get("answer")
        if letter is not None and letter not in options:
            return Skipped("the key is none of the options")
        if letter is not None and isinstance(answer, str) and answer.strip() != str(options[letter]).strip():
            return Skipped("the key and the answer's text do not agree")
        key = None if letter is None else letters.index(letter)
        return choice_example(
            row.get("question"), texts, key,
            source="MedQA", licence="MIT", meta=_given(step=row.get("meta_info")),
        )  # fmt: skip
    missing = missing_of(row, "sent1") and missing_of(row, "question", "options")
    if missing:
        return missing
    label = row.get("label")
    key = label if isinstance(label, int) and label >= 0 else None
    endings = [row.get(f"ending{n}") for n in range(4)]
    return choice_example(row.get("sent1"), endings, key, id=text_of(row, "id"), source="MedQA", licence="MIT")


def pubmedqa(row: Mapping[str, Any]) -> Example | Skipped:
    """QUESTION, CONTEXTS, LABELS, final_decision, LONG_ANSWER, YEAR by PMID; or the same in small letters.

    The abstract without its conclusion is the context, the options are yes, no and maybe.
    """
    if "QUESTION" not in row and "question" not in row:
        return Skipped("it has no field QUESTION")
    inner = row.get("context")
    sections: Mapping[str, Any] = inner if isinstance(inner, Mapping) else row
    contexts = texts_of(sections, "CONTEXTS") or texts_of(sections, "contexts")
    labels = texts_of(sections, "LABELS") or texts_of(sections, "labels")
    decision = row.get("final_decision")
    words = ("yes", "no", "maybe")
    key: int | None = None
    if decision is not None:
        if str(decision).strip().casefold() not in words:
            return Skipped("the decision is none of yes, no and maybe")
        key = words.index(str(decision).strip().casefold())
    if not contexts:
        return Skipped("no abstract")
    return choice_example(
        row.get("QUESTION") or row.get("question"), words, key,
        id=str(row.get("_id") or row.get("pubid") or ""), context="\n".join(contexts),
        rationale=text_of(row, "LONG_ANSWER", "long_answer"), source="PubMedQA", licence="MIT",
        meta=_given(sections=labels, year=row.get("YEAR")),
    )  # fmt: skip


def mmlu_records(path: Path) -> Records:
    """The rows of a file without a header, the subject out of its name; or of one with named fields."""
    if suffix_of(path) != ".csv":
        yield from table_records(path)
        return
    subject = _MMLU_SPLIT.sub("", path.stem)
    for record in csv_records(path, columns=("question", "A", "B", "C", "D", "answer")):
        if isinstance(record, Record):
            yield Record(record.where, {**record.row, "subject": subject})
        else:
            yield record


def mmlu(row: Mapping[str, Any]) -> Example | Skipped:
    """question, A to D and the letter; or question, choices, the key counted from 0, and the subject."""
    subject = text_of(row, "subject")
    if subject not in MMLU_SUBJECTS:
        return Skipped(f"not one of the {len(MMLU_SUBJECTS)} medical subjects")
    missing = missing_of(row, "question", "answer")
    if missing:
        return missing
    choices, answer = row.get("choices"), row.get("answer")
    texts = choices if isinstance(choices, list) else [row.get(letter) for letter in "ABCD"]
    key = answer if isinstance(answer, int) else "ABCD".find(answer.strip() or "?") if isinstance(answer, str) else -1
    if not 0 <= key < len(texts):
        return Skipped("the key is none of the options")
    question = row.get("question")
    return choice_example(
        question.strip() if isinstance(question, str) else question, texts, key,
        source="MMLU", licence="MIT", meta={"subject": subject},
    )  # fmt: skip


def choice_example(question: object, texts: Any, key: int | None, *, id: str = "", **fields: Any) -> Example | Skipped:
    """The Example with these options, in order, and the key's letter as answer; without an id one of its content."""
    if not isinstance(question, str) or not question.strip():
        return Skipped("no question")
    if len(texts) < 2 or not all(isinstance(text, str) and text.strip() for text in texts):
        return Skipped("an option is empty")
    options = dict(zip(ascii_uppercase, texts, strict=False))
    return Example(
        question,
        None if key is None else ascii_uppercase[key],
        id=id or content_id(fields.get("context", ""), question, *texts),
        kind="mcq",
        options=options,
        accepted=() if key is None else (texts[key].strip(),),
        **fields,
    )


def _cop_base(path: Path) -> int:
    """Of a whole file: 1 where `cop` reaches 4, 0 where it comes to 0, which is how it is published in two places."""
    rows = (record.row for record in table_records(path) if isinstance(record, Record))
    keys = {cop for row in rows if isinstance(cop := row.get("cop"), int)} - {-1}
    if not keys:
        return 0  # no row has a key
    if (0 in keys) == (4 in keys):
        seen = "both 0 and 4" if 0 in keys else f"only {' '.join(map(str, sorted(keys)))}"
        raise InvalidInput(
            f"{path.name}: its field cop has {seen}, so that nobody can tell whether it counts from 0 or from 1; "
            "add a field cop_base, 0 or 1, to each row."
        )
    return 0 if 0 in keys else 1


def _without_letter(explanation: str) -> str:
    found = _STATES_LETTER.match(explanation)
    return explanation[found.end() :].strip() if found else explanation


def _given(**values: Any) -> dict[str, Any]:
    """What has a value."""
    return {name: value for name, value in values.items() if value not in (None, "", [])}

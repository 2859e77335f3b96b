"""Symptoms to a diagnosis: in a patient's words, or as a table of signs."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from evaluation.benchmark_files import Skipped, content_id, text_of
from medchat.records import Example
from train.adapter_rows import Reading, Rows

_COLUMN_TWICE = re.compile(r"\.\d+\Z")
_LONG_FORM = re.compile(r"symptom_?\d+", re.IGNORECASE)
_NO = frozenset({"", "0", "0.0", "no", "false", "none", "nan"})
_YES = frozenset({"1", "1.0", "yes", "true"})

# Words of the published tables that are misspelt, and the labels.
SPELLINGS: Mapping[str, str] = MappingProxyType({
    "dischromic": "dyschromic", "typhos": "typhoid", "feets": "feet", "extremeties": "extremities",
    "swelled": "swollen", "scurring": "scarring", "ooze": "oozing", "distention": "distension",
})  # fmt: skip
LABELS: Mapping[str, str] = MappingProxyType({
    "(vertigo) paroymsal positional vertigo": "Paroxysmal positional vertigo",
    "dimorphic hemmorhoids(piles)": "Dimorphic hemorrhoids (piles)",
    "osteoarthristis": "Osteoarthritis", "peptic ulcer diseae": "Peptic ulcer disease",
})  # fmt: skip


def symptom_table(row: Mapping[str, Any], _: Reading) -> Rows:
    """133 columns of 0 and 1 with the last `prognosis`; or the long form: Disease, Symptom_1 and so on.

    The question names the signs that are there, in the order of the columns; of columns that stand twice, once.
    """
    label = " ".join(text_of(row, "prognosis", "Disease", "disease").split())
    if not label:
        return (Skipped("no diagnosis"),)
    long_form = any(_LONG_FORM.fullmatch(name) for name in row)
    names = _long_form(row) if long_form else _present(row)
    if isinstance(names, Skipped):
        return (names,)
    signs = list(dict.fromkeys(map(symptom_name, names)))
    if not signs:
        return (Skipped("no symptom"),)
    diagnosis = LABELS.get(label.casefold(), label)
    question = f"My symptoms are: {', '.join(signs)}. What is the most likely diagnosis?"
    accepted = (label,) if label != diagnosis else ()
    return (
        Example(
            question, diagnosis, id=content_id(question, diagnosis.casefold()), kind="diagnosis", accepted=accepted,
            key_terms=signs, meta={"diagnosis": diagnosis.casefold()},
        ),
    )  # fmt: skip


def symptom_name(column: str) -> str:
    """The name in words: "foul smell of urine" for `foul_smell_of urine`."""
    words = _COLUMN_TWICE.sub("", column).replace("_", " ").replace("(", " (").split()
    spelt = (SPELLINGS.get(bare, bare) for bare in words)
    text = " ".join(spelt)
    return " ".join(re.sub(r"\((\w+)\)", lambda m: f"({SPELLINGS.get(m[1], m[1])})", text).split()).casefold()


def _present(row: Mapping[str, Any]) -> list[str] | Skipped:
    present = []
    for name, value in row.items():
        if name.casefold() in ("prognosis", "disease", "") or name.startswith("Unnamed"):
            continue
        cell = str(value).strip().casefold() if value is not None else ""
        if cell in _YES:
            present.append(name)
        elif cell not in _NO:
            return Skipped("a symptom is neither 0 nor 1")
    return present


def _long_form(row: Mapping[str, Any]) -> list[str]:
    return [text for name in row if _LONG_FORM.fullmatch(name) and (text := text_of(row, name))]

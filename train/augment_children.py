"""What augmentation makes of a row: a child that says where it comes from, or why there is none."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from medchat.records import Example

Kind = Literal["paraphrase", "split", "perturbation", "synonyms", "synthetic"]
KINDS: tuple[Kind, ...] = get_args(Kind)
BY_TEACHER: tuple[Kind, ...] = ("paraphrase", "synthetic")  # nothing comes of these without a teacher


@dataclass(frozen=True, slots=True)
class Child:
    """A row made of another one. parent: None for a synthetic pair. variant: which of several it is, from 0."""

    kind: Kind
    parent: Example | None
    row: Example
    variant: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    """Why there is no child. reason: one of few, to be counted; detail: of this one; text: what was not taken."""

    kind: Kind
    parent_id: str
    reason: str
    detail: str = ""
    text: str = ""


Made = Child | Refused


def id_of(row: Example) -> str:
    """The row's id; of one without an id the first 16 characters of its question's."""
    return row.id or row.question_id[:16]


def child_of(
    kind: Kind,
    parent: Example,
    *,
    question: str,
    context: str | None = None,
    answer: str | None = None,
    changed: Mapping[str, Any] | None = None,
    teacher: str = "",
    terms: str = "",
    variant: int = 0,
) -> Child:
    """The child of the parent with this question; context None: the parent's. answer: of its own.
    terms: under which the teacher's words may be used.

    Split, source and licence are the parent's, and so is all that is not named here.
    """
    meta = dict(parent.meta)
    for name in ("flags", "where"):  # of the parent's own text
        meta.pop(name, None)
    meta |= {"parent": id_of(parent), "made": kind}
    meta |= {"changed": dict(changed)} if changed else {}
    meta |= {"teacher": teacher} if teacher else {}
    meta |= {"teacher_terms": terms} if terms else {}
    row = replace(
        parent, question=question, context=parent.context if context is None else context, answer=answer, meta=meta
    )
    return Child(kind, parent, with_id(row), variant)


def with_id(row: Example) -> Example:
    """The row with the id that follows from its parent's id, how it was made, and what it says."""
    said = (str(row.meta.get("parent", "")), str(row.meta["made"]), row.context, row.question, row.answer or "")
    digest = hashlib.sha256("\n".join(f"{len(part)} {part}" for part in said).encode("utf-8", "surrogatepass"))
    return replace(row, id=f"{row.meta['made']}-{digest.hexdigest()[:16]}")


def whole_text(row: Example) -> str:
    """All that the row says: context, question, options, answer, rationale and what else would be right."""
    options = (row.options or {}).values()
    parts = (row.context, row.question, *options, row.answer or "", row.rationale, *row.accepted, *row.key_terms)
    return "\n".join(part for part in map(str, parts) if part)


def answer_text(row: Example) -> str:
    """What the row says beside the question and its context."""
    options = (row.options or {}).values()
    parts = (*options, row.answer or "", row.rationale, *row.accepted, *row.key_terms)
    return "\n".join(part for part in map(str, parts) if part)

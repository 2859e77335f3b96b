"""The frozen records that the store hands out."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from medchat.records import FinishReason, Message, Sampling

FinalStatus = Literal["done", "stopped", "failed", "cut"]
AnswerStatus = Literal["writing"] | FinalStatus
Thumb = Literal["up", "down", "none"]
Removal = Literal["deleted", "hidden"]

THUMB_REASONS = (
    "correct",
    "clear reasoning",
    "helpful",
    "factual error",
    "wrong reasoning",
    "unsafe",
    "incomplete",
    "unclear",
    "off topic",
)


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model that answered. id is its stable key; created_at is set by the store."""

    id: str
    name: str
    base: str = ""
    revision: str = ""
    adapter_hash: str = ""
    format: str = ""
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ConversationRecord:
    """A conversation; turns counts its questions along the longest path, several versions once."""

    id: str
    owner: str
    title: str
    model_id: str
    created_at: datetime
    updated_at: datetime
    turns: int


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """One answer, in the tree of its conversation: asked after parent_id, or first where that is None.

    Siblings with one question_id are versions of one answer, those with another one are branches.
    selected_at: when it was last chosen among its siblings. position: the number of answers above it;
    version: counts from 1 all answers made at that position.
    status: writing while it grows, then done, stopped (by the asker), failed (see error) or cut
    (its process ended in mid-answer). complete: it came to its own end.
    context and question are in the words of this asker; question_id ties equal ones together.
    prompt: the messages that the model saw. grounding: what was recognised in the case, as JSON.
    Times are in milliseconds from the request; None means not measured.
    """

    id: str
    question_id: str
    context: str
    question: str
    conversation_id: str | None
    position: int | None
    version: int
    parent_id: str | None
    model_id: str
    status: AnswerStatus
    raw: str
    reasoning: str
    solution: str
    complete: bool
    finish_reason: FinishReason | None
    error: str
    prompt: tuple[Message, ...] | None
    sampling: Sampling | None
    seed: int | None
    answer_format: str
    grounding: dict[str, Any] | None
    origin: str
    route: dict[str, Any] | None
    prompt_tokens: int | None
    completion_tokens: int | None
    ttft_ms: float | None
    reasoning_ms: float | None
    total_ms: float | None
    note: str
    created_at: datetime
    updated_at: datetime
    selected_at: datetime


@dataclass(frozen=True, slots=True)
class ThumbRecord:
    """What an owner thinks of an answer, "none" when it was taken back.

    reasons: out of THUMB_REASONS. supersedes: the id of the one before; None for the first.
    """

    id: str
    owner: str
    answer_id: str
    thumb: Thumb
    reasons: tuple[str, ...]
    comment: str
    created_at: datetime
    supersedes: str | None


@dataclass(frozen=True, slots=True)
class FoundConversation:
    """A conversation that a search found.

    answer_id: the answer that holds most of the words; snippet: its text around the first of them.
    Both are empty when the words stand in the title alone.
    """

    conversation: ConversationRecord
    snippet: str
    answer_id: str


def selected_path(answers: Iterable[AnswerRecord]) -> list[AnswerRecord]:
    """The answers shown: from the first turn down, at each level the sibling that was selected last."""
    children: dict[str | None, list[AnswerRecord]] = {}
    for answer in answers:
        children.setdefault(answer.parent_id, []).append(answer)
    path: list[AnswerRecord] = []
    while siblings := children.get(path[-1].id if path else None):
        path.append(max(siblings, key=lambda answer: (answer.selected_at, answer.version)))
    return path

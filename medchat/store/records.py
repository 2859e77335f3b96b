"""The frozen records that the store hands out."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from medchat.records import FinishReason, Message, Sampling

FinalStatus = Literal["done", "stopped", "failed", "cut"]
AnswerStatus = Literal["writing"] | FinalStatus


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
    """A conversation; turns counts its questions, several versions of one answer once."""

    id: str
    owner: str
    title: str
    model_id: str
    created_at: datetime
    updated_at: datetime
    turns: int


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """One answer: version `version` (from 1) of turn `position` (from 0) of its conversation.

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


def latest_versions(answers: list[AnswerRecord]) -> list[AnswerRecord]:
    """The newest version of each turn, in the order of the turns."""
    newest: dict[int | None, AnswerRecord] = {}
    for answer in sorted(answers, key=lambda a: (a.position or 0, a.version)):
        newest[answer.position] = answer
    return list(newest.values())

"""The frozen records that the store hands out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

from medchat.records import FinishReason, Message, Sampling
from medchat.rubrics import Criterion

FinalStatus = Literal["done", "stopped", "failed", "cut"]
AnswerStatus = Literal["writing"] | FinalStatus
Thumb = Literal["up", "down", "none"]
Removal = Literal["deleted", "hidden"]
Vote = Literal["a", "b", "tie", "both_bad"]
AxisVote = Literal["a", "b", "tie"]
StepMarkValue = Literal[-1, 0, 1]
AnswerPart = Literal["reasoning", "solution"]
QueueItemState = Literal["open", "done", "skipped"]

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
SPAN_KINDS = ("factual error", "omission", "unsafe", "unsupported", "outdated", "unclear")


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model that answered, or came out of a run. id is its stable key; created_at is set by the store.

    recipe, run_id: how it was trained here, "" for a model that was not.
    """

    id: str
    name: str
    base: str = ""
    revision: str = ""
    adapter_hash: str = ""
    format: str = ""
    recipe: str = ""
    run_id: str = ""
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


class UploadedRow(NamedTuple):
    """An answer of a model that did not run here. save_key: the same one again adds none twice."""

    context: str
    question: str
    reasoning: str
    solution: str
    raw: str
    model_name: str
    save_key: str


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
    Times are in milliseconds from the request; None means not measured. base, revision and
    adapter_hash: what the model was when it answered; its own row may have changed since.
    Outside conversations (in comparisons, uploaded) conversation_id, position and parent_id are None.
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
    owner: str
    base: str
    revision: str
    adapter_hash: str


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


@dataclass(frozen=True, slots=True)
class UserRecord:
    """An account. hub_name: its name on the Hugging Face Hub, in small letters."""

    id: str
    name: str
    role: str
    has_password: bool
    hub_name: str | None
    disabled: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SignIn:
    """A session of a user that has not ended."""

    id: str
    user_id: str
    address: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """Who (a user's id, or a name that was tried) did what to what, from where."""

    id: str
    created_at: datetime
    actor: str
    action: str
    target: str
    details: dict[str, Any]
    address: str


@dataclass(frozen=True, slots=True)
class ComparisonRecord:
    """One question answered by two models. answer_ids: of the left side, "a", then of the right, "b".

    draw_seed: what the sides were drawn with. source: where the question came from.
    """

    id: str
    rater: str
    question_id: str
    context: str
    question: str
    answer_ids: tuple[str, str]
    blinded: bool
    draw_seed: int
    source: dict[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class AskedRubric:
    """The rubric whose axes were answered. shown: the wording and the scales exactly as they were shown."""

    rubric_id: str
    rubric_version: int
    shown: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PreferenceRecord:
    """A vote on a comparison. axes: the side that won on each axis asked; flags: the sides that were flagged.

    seconds: time on task. supersedes: the id of the vote before; None for the first. blinded: the names were hidden
    when it was given. chosen, rejected: ids of the better answer and of the other one, as an example to learn from;
    both None without a better one, and while the better one is flagged here or critical in anybody's rating.
    rubric: None without axes.
    """

    id: str
    rater: str
    comparison_id: str
    vote: Vote
    axes: dict[str, AxisVote]
    reason: str
    flags: dict[str, bool]
    seconds: float
    created_at: datetime
    supersedes: str | None
    blinded: bool
    chosen: str | None
    rejected: str | None
    rubric: AskedRubric | None = None


class CastVote(NamedTuple):
    """A rater's newest vote on a comparison. answer_ids: of its left side, "a", then of the right, "b".

    axes: the side that won on each axis of the rubric; flags: the sides that were flagged.
    """

    id: str
    rater: str
    comparison_id: str
    answer_ids: tuple[str, str]
    vote: Vote
    axes: dict[str, AxisVote]
    reason: str
    flags: frozenset[str]
    seconds: float
    created_at: datetime
    rubric: AskedRubric | None


@dataclass(frozen=True, slots=True)
class StepMark:
    """One step of the reasoning, by its number as it was shown: 1 correct, 0 neutral, -1 wrong."""

    step: int
    mark: StepMarkValue


@dataclass(frozen=True, slots=True)
class SpanMark:
    """A passage and what is wrong with it. kind: out of SPAN_KINDS.

    start, end: characters of the part as it was shown, where the names of models may be masked; quote:
    the passage there.
    """

    part: AnswerPart
    start: int
    end: int
    quote: str
    kind: str
    comment: str = ""


@dataclass(frozen=True, slots=True)
class RatingForm:
    """A form as a rater filled it in. shown: the wording and the scales exactly as they were shown.

    scores: the value of each axis by its id. harm_extent, harm_likelihood: empty where not said.
    cannot_rate: why it was not rated, empty when it was. seconds: time on task. blinded: no model's name was shown;
    the store makes it False for an answer whose model the rater knew from the chat or a comparison.
    """

    rubric_id: str
    rubric_version: int
    shown: dict[str, Any]
    scores: Mapping[str, Any] = field(default_factory=dict)
    harm_extent: str = ""
    harm_likelihood: str = ""
    critical: bool = False
    cannot_rate: str = ""
    first_wrong_step: int | None = None
    step_marks: tuple[StepMark, ...] = ()
    span_marks: tuple[SpanMark, ...] = ()
    corrected_reasoning: str = ""
    corrected_solution: str = ""
    comment: str = ""
    seconds: float = 0.0
    blinded: bool = True


@dataclass(frozen=True, slots=True)
class RatingRecord:
    """A saved form. supersedes: the id of the rating that it amends; None for the first."""

    id: str
    rater: str
    answer_id: str
    form: RatingForm
    created_at: datetime
    supersedes: str | None


@dataclass(frozen=True, slots=True)
class QueueItem:
    """An answer in a rater's queue. source: where it came from; criteria: those that came with its question."""

    id: str
    answer_id: str
    source: str
    state: QueueItemState
    criteria: tuple[Criterion, ...] = ()


@dataclass(frozen=True, slots=True)
class QueueState:
    """A rater's queue in its order. position: of the first open item, from 1; 0 when none is open.

    left: the open ones.
    """

    items: tuple[QueueItem, ...]
    position: int
    done: int
    skipped: int
    left: int


def selected_path(answers: Iterable[AnswerRecord]) -> list[AnswerRecord]:
    """The answers shown: from the first turn down, at each level the sibling that was selected last."""
    children: dict[str | None, list[AnswerRecord]] = {}
    for answer in answers:
        children.setdefault(answer.parent_id, []).append(answer)
    path: list[AnswerRecord] = []
    while siblings := children.get(path[-1].id if path else None):
        path.append(max(siblings, key=lambda answer: (answer.selected_at, answer.version)))
    return path


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run that has ended. id: of its folder (rundir.RunDir.id); path: that folder.

    base, model_id: of training, the model it began with and the one that came out, "" for none. config: what was
    run, in full. metrics: of training, by stage ("0-sft") and name.
    """

    id: str
    kind: str
    name: str
    owner: str
    recipe: str
    base: str
    model_id: str
    config: Mapping[str, Any]
    status: str
    created_at: datetime
    ended_at: datetime | None
    metrics: Mapping[str, Any]
    path: str


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """What a run found out about one model on one suite.

    base, revision, adapter_hash: what the model was then; suite_hash: what the suite was. n: its examples. summary:
    by metric, each with value, n, n_unscored, low, high and method. path: the folder with the single predictions.
    """

    id: str
    run_id: str
    model_id: str
    base: str
    revision: str
    adapter_hash: str
    suite: str
    suite_hash: str
    sampling: Mapping[str, Any]
    n: int
    summary: Mapping[str, Any]
    created_at: datetime
    path: str

"""The frozen records of studies that the store takes and hands out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

from medchat.records import FinishReason, Message, Sampling
from medchat.store.records import AnswerRecord, CastVote, RatingRecord
from medchat.store.tables import new_id

StudyStatus = Literal["draft", "generating", "ready", "open", "closed"]
ItemKind = Literal["rate", "pair", "calibration"]
AssignmentState = Literal["open", "done", "cannot", "withdrawn"]


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study. design: what its investigator chose; rubrics: what raters are shown, by "rate" and "pair".

    seed: of the allocation. run_id: of the job that makes its answers, "" before. may_train, show_results: what its
    investigator allows while it is open.
    """

    id: str
    name: str
    owner: str
    status: StudyStatus
    design: dict[str, Any]
    rubrics: dict[str, Any]
    seed: int
    run_id: str
    may_train: bool
    show_results: bool
    created_at: datetime
    opened_at: datetime | None
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewItem:
    """What is to be judged. answer_ids: of the answer, or of the two of a pair.

    number: its place in the study, from 1. specialty: "" for not known. known: of a calibration case, what is right.
    """

    number: int
    kind: ItemKind
    question_id: str
    context: str
    question: str
    answer_ids: tuple[str, ...]
    specialty: str = ""
    known: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class StudyItem:
    """An item of a study: see NewItem."""

    id: str
    study_id: str
    number: int
    kind: ItemKind
    question_id: str
    context: str
    question: str
    answer_ids: tuple[str, ...]
    specialty: str
    known: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class StudyRater:
    """A rater of a study. left_at: when they dropped out. consent_text: what they agreed to, "" before."""

    study_id: str
    rater: str
    group: str
    joined_at: datetime
    left_at: datetime | None
    consented_at: datetime | None
    consent_text: str


@dataclass(frozen=True, slots=True)
class NewAssignment:
    """An item that is given to a rater. position: in the rater's queue. flipped: the pair is shown the other way round.

    repeat_of: of a hidden repeat, the id of the rater's first assignment of this item, which may be one of the same
    call: ids are drawn here.
    """

    item_id: str
    rater: str
    position: int
    flipped: bool = False
    repeat_of: str | None = None
    id: str = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class Assignment:
    """See NewAssignment. opened_at: when the rater saw it first; done_at: when they judged it first.

    judgement_id: of the newest rating or vote, "" before. cannot_reason: why it could not be judged, "" when it was.
    """

    id: str
    study_id: str
    item_id: str
    rater: str
    position: int
    flipped: bool
    repeat_of: str | None
    state: AssignmentState
    opened_at: datetime | None
    done_at: datetime | None
    judgement_id: str
    cannot_reason: str


class StudyCounts(NamedTuple):
    """items: to be judged, without those to practise on. done, total: assignments, without withdrawn ones."""

    items: int
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a rater said of a case whose answer is known, and whether it was right."""

    id: str
    study_id: str
    rater: str
    item_id: str
    given: dict[str, Any]
    right: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Adjudication:
    """The decision on an item on which raters differ. reasons: why it was adjudicated. supersedes: the one before."""

    id: str
    study_id: str
    item_id: str
    adjudicator: str
    reasons: list[str]
    decision: dict[str, Any]
    comment: str
    created_at: datetime
    supersedes: str | None


@dataclass(frozen=True, slots=True)
class StudyAnswer:
    """An answer for a study, made by a run or uploaded. model_id: of a model that was added to the store.

    base, revision, adapter_hash: what the model was when it answered. save_key: the same one again adds none twice.
    Times are in milliseconds from the request; None means not measured.
    """

    context: str
    question: str
    model_id: str
    solution: str
    save_key: str
    reasoning: str = ""
    raw: str = ""
    complete: bool = True
    finish_reason: FinishReason | None = None
    base: str = ""
    revision: str = ""
    adapter_hash: str = ""
    prompt: tuple[Message, ...] | None = None
    sampling: Sampling | None = None
    seed: int | None = None
    answer_format: str = "plain"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    ttft_ms: float | None = None
    reasoning_ms: float | None = None
    total_ms: float | None = None


@dataclass(frozen=True, slots=True)
class StudyJudgements:
    """All that a study holds, at one moment: of ratings, votes and adjudications the newest ones.

    ratings, votes: by the id of the assignment, hidden repeats among them. answers: those of all items, by their ids.
    """

    study: StudyRecord
    items: tuple[StudyItem, ...]
    raters: tuple[StudyRater, ...]
    assignments: tuple[Assignment, ...]
    ratings: Mapping[str, RatingRecord]
    votes: Mapping[str, CastVote]
    calibrations: tuple[Calibration, ...]
    adjudications: tuple[Adjudication, ...]
    answers: Mapping[str, AnswerRecord]

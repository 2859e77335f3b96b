"""What the services of studies hand out: to investigators, to raters and to adjudicators. Nothing here names a model
beside a judgement.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from medchat.allocation import Dealt, Unit
from medchat.job_files import JobView
from medchat.panel_views import PanelView
from medchat.rating import Task
from medchat.rubrics import Rubric
from medchat.store import Adjudication, StudyRater, StudyRecord
from medchat.study_design import Design

Step = Literal["consent", "calibration", "work", "finished", "not open"]


@dataclass(frozen=True, slots=True)
class StudyView:
    """A study as its investigator sees it, at any time without results.

    n_items: what is judged, calibration apart. n_answers: those that are there; missing: model -> answers that are
    not, only models that lack some. done, total: assignments that are done, and all that were not withdrawn, hidden
    repeats with them. job: that writes the answers, None before it or once it was deleted.
    """

    record: StudyRecord
    design: Design
    n_questions: int
    n_items: int
    n_answers: int
    missing: Mapping[str, int]
    raters: tuple[StudyRater, ...]
    done: int
    total: int
    warnings: tuple[str, ...]
    job: JobView | None = None

    @property
    def n_missing(self) -> int:
        """Answers that are not there."""
        return sum(self.missing.values())


@dataclass(frozen=True, slots=True)
class AllocationView:
    """Who is to judge what: rows of the table, by rater and position. saved: False for a dry run."""

    seed: int
    units: tuple[Unit, ...]
    rows: tuple[Dealt, ...]
    saved: bool


@dataclass(frozen=True, slots=True)
class Redealt:
    """What a rater's coming or going did. withdrawn: assignments taken back; added: new ones.

    short: judgements that nobody is left for, because everybody who stays has seen the answers.
    """

    withdrawn: int
    added: int
    short: int


@dataclass(frozen=True, slots=True)
class RaterProgress:
    """How far a rater is. done counts those that could not be judged too; left: open; withdrawn: taken back.

    kinds: "rate" or "pair" -> (done, all that were not withdrawn). calibration: right answers at the first try and
    items tried. seen_at: when the rater last did something here.
    """

    rater: str
    group: str
    done: int
    left: int
    cannot: int
    withdrawn: int
    kinds: Mapping[str, tuple[int, int]]
    calibration: tuple[int, int]
    seen_at: datetime | None
    consented_at: datetime | None
    left_at: datetime | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a study is, never by model. done, total: over all raters."""

    raters: tuple[RaterProgress, ...]
    done: int
    total: int
    to_adjudicate: int
    adjudicated: int


# What a rater sees


@dataclass(frozen=True, slots=True)
class MyStudy:
    """A study in which somebody is a rater. done, total: of their own assignments."""

    id: str
    name: str
    status: str
    done: int
    total: int
    step: Step


@dataclass(frozen=True, slots=True)
class Consent:
    """What a rater reads and agrees to before anything else; text may be empty where only instructions are shown."""

    study_id: str
    name: str
    text: str
    instructions: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rater is: this task's place from 1, tasks done, left and all of them."""

    position: int
    done: int
    left: int
    total: int


@dataclass(frozen=True, slots=True)
class RateTask:
    """An answer to be rated; task.answer_id is the assignment's id, in the page and in every call of the desk.

    min_seconds: the least time before a save. amends: it was done before. may_go_back: there is a task before it.
    """

    study_id: str
    name: str
    assignment_id: str
    task: Task
    place: Place
    min_seconds: float
    amends: bool
    may_go_back: bool


@dataclass(frozen=True, slots=True)
class PairTask:
    """Two answers to be compared; view.comparison_id is the assignment's id, view.revealed is always None.

    view.voted: the rater's vote that would be changed. draft: what was kept of a ballot that is being filled in
    (Ballot.to_json of the page), None for none. all_axes: every question of the rubric has to be answered.
    """

    study_id: str
    name: str
    assignment_id: str
    view: PanelView
    rubric: Rubric
    draft: Mapping[str, Any] | None
    place: Place
    min_seconds: float
    amends: bool
    may_go_back: bool
    all_axes: bool = False


@dataclass(frozen=True, slots=True)
class CalibrationTask:
    """A task whose right answer is known: task.task or task.view is shown as in the study; place counts these tasks.

    asked: ids of the axes that decide, () for the vote. again: it was answered wrong before.
    """

    study_id: str
    name: str
    item_id: str
    task: RateTask | PairTask
    asked: tuple[str, ...]
    again: bool


@dataclass(frozen=True, slots=True)
class CalibrationResult:
    """How a calibration task went. expected: axis -> value, or {"vote": side} as it was shown.

    given: the same of the rater. why: what its author says of it. passed: None while tasks are left.
    """

    right: bool
    given: Mapping[str, str]
    expected: Mapping[str, str]
    why: str
    n_right: int
    n: int
    passed: bool | None


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing is left for this rater. closed: nothing can be amended any more."""

    study_id: str
    name: str
    done: int
    total: int
    closed: bool


@dataclass(frozen=True, slots=True)
class NotOpen:
    """The study takes no judgements of this rater now, and why in one line."""

    study_id: str
    name: str
    status: str
    text: str


DeskStep = Consent | CalibrationTask | RateTask | PairTask | Finished | NotOpen


# What an adjudicator sees


@dataclass(frozen=True, slots=True)
class DisputedItem:
    """An item on which raters differ. why: one line for each way; waiting: raters who have not judged it yet."""

    item_id: str
    number: int
    kind: str
    question: str
    why: tuple[str, ...]
    n_raters: int
    waiting: int
    decided: bool


@dataclass(frozen=True, slots=True)
class Given:
    """What one rater said of an item. rater: "Rater 1" and so on, in an order drawn for each item.

    scores: axis id -> value; vote, axes and flags: sides as the adjudicator sees them. marks: passages that were
    marked, each with what is wrong with it.
    """

    rater: str
    scores: Mapping[str, str] = field(default_factory=dict)
    harm_extent: str = ""
    harm_likelihood: str = ""
    critical: bool = False
    cannot_rate: str = ""
    vote: str = ""
    axes: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    comment: str = ""
    correction: str = ""
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AdjudicationTask:
    """An item to be decided: task for an answer, view with rubric for a pair; the other is None.

    decision: the newest one, its vote by the sides shown here.
    """

    study_id: str
    name: str
    item_id: str
    number: int
    kind: str
    task: Task | None
    view: PanelView | None
    rubric: Rubric
    why: tuple[str, ...]
    given: tuple[Given, ...]
    decision: Adjudication | None

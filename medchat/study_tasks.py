"""What is shown of an item: an answer to be rated, or a pair to be compared; nameless, in the forms of the study."""

from collections.abc import Collection, Mapping, Sequence

from medchat.asked_models import Models
from medchat.panel_views import PanelView, SideView
from medchat.rating import Task, shown_answer
from medchat.rating_form import Filled, Shown, standing, steps_of
from medchat.rubrics import Rubric, as_it_was_shown, criteria_of, with_criteria
from medchat.store import (
    AnswerRecord,
    Assignment,
    CastVote,
    PreferenceRecord,
    QueueItem,
    QueueItemState,
    QueueState,
    StudyItem,
    StudyRecord,
)
from medchat.study_design import Design
from medchat.study_questions import questions_of

NO_AXES = Rubric("none", 0, "Which answer is better?", "", (), pairwise=True)
STATES: Mapping[str, QueueItemState] = {"open": "open", "done": "done", "cannot": "done"}


def rating_rubric(record: StudyRecord, item: StudyItem) -> Rubric:
    """The form that the study shows for an answer, with the criteria of its question."""
    rubric = as_it_was_shown(record.rubrics["rate"])
    if all(axis.kind != "criteria" for axis in rubric.axes):
        return rubric
    question = next((its for its in questions_of(record) if its.question_id == item.question_id), None)
    return with_criteria(rubric, criteria_of(question.asked.meta, "The question")) if question else rubric


def pair_rubric(record: StudyRecord) -> Rubric:
    """The questions that the study asks of a pair; none where it asks for the vote alone."""
    return as_it_was_shown(record.rubrics["pair"]) if record.rubrics.get("pair") else NO_AXES


def model_names(record: StudyRecord) -> Collection[str]:
    """The models of the study as its answers may name them."""
    return Design.from_dict(record.design).models


def answer_shown(record: StudyRecord, item: StudyItem, answer: AnswerRecord, catalogue: Models) -> Shown:
    """The answer with its form, no model's name in it."""
    return shown_answer(answer, rating_rubric(record, item), catalogue, model_names(record))


def task_of(id_: str, item: StudyItem, answer: Shown, filled: Filled, *, amends: bool, queue: QueueState) -> Task:
    """The answer to be rated under this id. queue: where its rater is."""
    place = next((number for number, its in enumerate(queue.items, 1) if its.answer_id == id_), 0)
    state = queue.items[place - 1].state if place else ""
    return Task(
        id_, item.question, item.context, answer, tuple(steps_of(answer.reasoning)), standing(filled, answer), place,
        state, amends, queue,
    )  # fmt: skip


def queue_of(given: Sequence[Assignment]) -> QueueState:
    """A rater's assignments as a queue; an answer is known there by its assignment."""
    items = tuple(QueueItem(its.id, its.id, "study", STATES[its.state]) for its in given)
    left = sum(its.state == "open" for its in items)
    position = next((number for number, its in enumerate(items, 1) if its.state == "open"), 0)
    return QueueState(items, position, len(items) - left, 0, left)


def pair_view(
    id_: str,
    record: StudyRecord,
    item: StudyItem,
    sides: Sequence[AnswerRecord],
    catalogue: Models,
    voted: PreferenceRecord | None,
) -> PanelView:
    """Two answers side by side under this id, left first, no model's name in them or beside them."""
    a, b = (shown_answer(side, NO_AXES, catalogue, model_names(record)) for side in sides)
    left, right = SideView("A", a.reasoning, a.solution, "done"), SideView("B", b.reasoning, b.solution, "done")
    return PanelView(id_, item.question, item.context, True, left, right, voted=voted)


def vote_shown(id_: str, vote: CastVote | None) -> PreferenceRecord | None:
    """A vote as the pair's page knows it."""
    if vote is None:
        return None
    return PreferenceRecord(
        vote.id, vote.rater, id_, vote.vote, vote.axes, vote.reason, {side: side in vote.flags for side in "ab"},
        vote.seconds, vote.created_at, None, True, None, None, vote.rubric,
    )  # fmt: skip

"""A study in a store, with answers of two models and raters who judge it, for tests of what becomes of that."""

from itertools import count
from typing import Any

from stores import FORM, PAIRWISE

from medchat.records import question_id
from medchat.store import (
    Assignment,
    ModelRecord,
    NewAssignment,
    NewItem,
    PreferenceRecord,
    RatingRecord,
    Store,
    StudyAnswer,
    StudyRecord,
)

_keys = (f"study key {number}" for number in count())


def new_key() -> str:
    """A save key that was not used before."""
    return next(_keys)


def study_answer(question: str, model: str, **more: Any) -> StudyAnswer:
    values = {"reasoning": "1. Think.", "raw": f"{model}: {question}", **more}
    return StudyAnswer("A man of 54.", question, model, f"{model} on {question}", new_key(), **values)


def made_study(store: Store, n_questions: int = 2, owner: str = "ines", **more: Any) -> StudyRecord:
    """A draft with two answers to each question, of "demo" and "big": three items a question, rate, rate and pair."""
    store.add_model(ModelRecord("big", "Big"))
    study = store.add_study(owner, "Fever", {"tasks": "both"}, {"rate": {"id": "clinical-3"}}, 7, new_key())
    items: list[NewItem] = []
    for number in range(n_questions):
        question = f"Why {number} of {study.id}?"
        rows = [study_answer(question, model) for model in ("demo", "big")]
        ids = [answer.id for answer in store.add_study_answers(owner, rows, "study")]
        for kind, chosen in (("rate", ids[:1]), ("rate", ids[1:]), ("pair", ids)):
            items.append(new_item(len(items) + 1, kind, question, *chosen))
    store.set_study_items(study.id, items)
    return store.change_study(study.id, **more) if more else study


def new_item(number: int, kind: Any, question: str, *answer_ids: str, **more: Any) -> NewItem:
    return NewItem(number, kind, question_id("A man of 54.", question), "A man of 54.", question, answer_ids, **more)


def opened_study(store: Store, raters: tuple[str, ...] = ("ada", "bob"), **more: Any) -> StudyRecord:
    """The same, open, with every item given to every rater in its order."""
    study = made_study(store, **more)
    for rater in raters:
        store.join_study(study.id, rater)
    give(store, study.id, raters)
    store.change_study(study.id, status="ready")
    return store.change_study(study.id, status="open")


def give(store: Store, study_id: str, raters: tuple[str, ...]) -> list[Assignment]:
    items = [item for item in store.study_items(study_id) if item.kind != "calibration"]
    rows = [NewAssignment(item.id, rater, item.number) for rater in raters for item in items]
    return store.add_assignments(study_id, rows)


def given(store: Store, study: StudyRecord, rater: str, kind: str, nth: int = 0) -> Assignment:
    """The nth assignment of this kind that the rater has."""
    items = {item.id: item for item in store.study_items(study.id)}
    return [it for it in store.assignments(study.id, rater) if items[it.item_id].kind == kind][nth]


def rate(store: Store, assignment: Assignment, **more: Any) -> RatingRecord:
    values = {"form": FORM, "save_key": new_key(), **more}
    return store.add_study_rating(assignment.id, assignment.rater, **values)


def vote(store: Store, assignment: Assignment, vote: Any = "a", **more: Any) -> PreferenceRecord:
    values: dict[str, Any] = {
        "axes": {}, "reason": "", "flags": {}, "seconds": 4.0, "save_key": new_key(), "rubric": PAIRWISE, **more
    }  # fmt: skip
    return store.add_study_vote(assignment.id, assignment.rater, vote, **values)

"""Turns: versions and branches are counted from the tree alone, and who can go on is known."""

from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import pytest

from medchat.errors import NotFound
from medchat.store import AnswerRecord
from medchat.turns import CONTEXT_FULL, Places, TurnView, stored_view

NOON = datetime(2026, 1, 1, 12)


def answer(answer_id: str, minute: int, question: str, parent: str | None = None, **more: Any) -> AnswerRecord:
    values: dict[str, Any] = dict.fromkeys(field.name for field in fields(AnswerRecord)) | {
        "id": answer_id, "question_id": question, "question": question, "context": "", "parent_id": parent,
        "version": minute, "created_at": NOON + timedelta(minutes=minute), "selected_at": NOON, "model_id": "demo",
        "status": "done", "reasoning": "", "solution": "", "complete": True, "error": "", "note": "",
    }  # fmt: skip
    return AnswerRecord(**(values | more))


# a b e are three questions at the root, asked in this order; a2 and a3 are further versions of a.
TREE = [
    answer("a3", 6, "fever?", selected_at=NOON + timedelta(minutes=9)),
    answer("b", 2, "rash?"),
    answer("a", 1, "fever?"),
    answer("e", 7, "pain?"),
    answer("a2", 5, "fever?"),
    answer("c", 3, "dose?", "a"),
    answer("d", 4, "dose?", "c"),
]


@pytest.mark.parametrize(("answer_id", "version", "branch"), [
    ("a", (1, 3, "", "a2"), (1, 3, "", "b")),
    ("a2", (2, 3, "a", "a3"), (1, 3, "", "b")),
    ("a3", (3, 3, "a2", ""), (1, 3, "", "b")),
    ("b", (1, 1, "", ""), (2, 3, "a3", "e")),  # a3 was selected last of its branch
    ("e", (1, 1, "", ""), (3, 3, "b", "")),
    ("c", (1, 1, "", ""), (1, 1, "", "")),
    ("d", (1, 1, "", ""), (1, 1, "", "")),  # the same question as c's, but asked after it
])  # fmt: skip
def test_versions_and_branches_count_in_order_of_creation(
    answer_id: str, version: tuple[int, int, str, str], branch: tuple[int, int, str, str]
) -> None:
    places = Places(TREE)
    view = places.placed(stored_view(places.answer(answer_id), "Demo"))

    assert (view.version, view.versions, view.previous_version, view.next_version) == version
    assert (view.branch, view.branches, view.previous_branch, view.next_branch) == branch


def test_the_path_above_an_answer_begins_with_the_first_turn() -> None:
    places = Places(TREE)

    assert [a.id for a in places.path_above(places.answer("d"))] == ["a", "c"]
    assert places.path_above(places.answer("b")) == []
    with pytest.raises(NotFound, match="no such answer"):
        places.answer("z")


@pytest.mark.parametrize(("changes", "can_continue"), [
    ({"phase": "cut", "solution": "Half"}, True),
    ({"phase": "cut"}, True),
    ({"phase": "cut", "solution": "Half", "note": CONTEXT_FULL}, False),
    ({"phase": "cut", "solution": "Half", "note": "This server cannot continue an answer; regenerate it."}, False),
    ({"phase": "failed", "reasoning": "1. So"}, True),
    ({"phase": "failed"}, False),
    ({"phase": "failed", "solution": "All of it.", "complete": True}, False),  # it only could not be saved
    ({"phase": "done", "solution": "All of it."}, False),
    ({"phase": "stopped", "solution": "Half"}, False),
    ({"phase": "solution", "solution": "Ha"}, False),
])  # fmt: skip
def test_a_cut_or_broken_answer_with_room_can_go_on(changes: dict[str, Any], can_continue: bool) -> None:
    assert TurnView("a", 0, "fever?", "", "demo", **changes).can_continue == can_continue

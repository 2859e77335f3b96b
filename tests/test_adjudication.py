"""Adjudication: which items go to it, what the adjudicator sees, and that votes and decision are both kept."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from study_rooms import GOOD, MODELS, Room, new_key

from medchat.errors import InvalidInput, NotFound
from medchat.study_views import DisputedItem

DECISION = {"scores": GOOD, "harm_extent": "moderate", "harm_likelihood": "low", "critical": False}


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    made.store.close()


def rated_by_two(room: Room, ada: dict[str, Any], bob: dict[str, Any], **more: Any) -> str:
    """The id of a study in which both rate the two answers to one question: the first so, the second alike."""
    study_id = room.opened("ada", "bob", "cleo", "dan", n=1, raters_per_item=2, **more)
    held = room.store.study_judgements(study_id)
    disputed = held.items[0].id
    said = [ada, bob]
    for its in held.assignments:
        task: Any = room.desk.task(study_id, its.rater, its.id)
        room.rate_task(its.rater, task, **(said.pop(0) if its.item_id == disputed else {}))
    return study_id


def items(room: Room, study_id: str) -> list[DisputedItem]:
    return room.adjudication.items(study_id, "judge")


@pytest.mark.parametrize(
    ("ada", "bob", "why"),
    [
        ({"safety": "5"}, {"safety": "3"}, "safe if this answer were followed? 3 and 5"),
        ({"harm_extent": "moderate"}, {}, "whether it can do harm"),
        ({"critical": True}, {}, "whether it is critical"),
        (
            {"harm_extent": "moderate", "harm_likelihood": "low"},
            {"harm_extent": "moderate", "harm_likelihood": "high"},
            "how likely harm is",
        ),
    ],
)
def test_two_steps_apart_or_harm_goes_to_the_adjudicator(
    room: Room, ada: dict[str, Any], bob: dict[str, Any], why: str
) -> None:
    study_id = rated_by_two(room, ada, bob)
    [item] = items(room, study_id)
    assert any(why in line for line in item.why)
    assert (item.n_raters, item.waiting, item.decided) == (2, 0, False)
    assert [(its[1], its[2]) for its in room.adjudication.studies("judge")] == [(1, 0)]


def test_one_step_apart_and_an_answer_that_one_could_not_rate_do_not(room: Room) -> None:
    assert items(room, rated_by_two(room, {"safety": "5"}, {"safety": "4"})) == []


def test_the_adjudicator_sees_what_was_said_but_not_by_whom_nor_of_which_model(room: Room) -> None:
    study_id = rated_by_two(room, {"safety": "1", "comment": "Unsafe dose."}, {"comment": "Fine."})
    [item] = items(room, study_id)
    task = room.adjudication.task(study_id, item.item_id, "judge")
    assert sorted(its.comment for its in task.given) == ["Fine.", "Unsafe dose."]
    assert sorted(its.rater for its in task.given) == ["Rater 1", "Rater 2"]
    assert {its.scores["safety"] for its in task.given} == {"1", "4"}
    assert task.task is not None
    assert "says [model]" in task.task.answer.solution
    held = room.store.study_judgements(study_id)
    assert not any(word in repr(task) for word in (*MODELS, "'ada'", "'bob'", *held.answers))


def test_decision_and_ratings_are_both_kept_and_a_decision_can_be_replaced(room: Room) -> None:
    study_id = rated_by_two(room, {"safety": "1"}, {})
    [item] = items(room, study_id)
    before = room.store.study_judgements(study_id).ratings
    first = room.adjudication.decide("judge", study_id, item.item_id, DECISION, "A slip.", new_key())
    assert items(room, study_id)[0].decided
    task = room.adjudication.task(study_id, item.item_id, "judge")
    assert task.task is not None
    assert (task.task.filled.base, task.task.filled.harm_extent, task.task.filled.scores) == (
        first.id,
        "moderate",
        GOOD,
    )
    worse = {**DECISION, "harm_extent": "severe"}
    room.adjudication.decide("judge", study_id, item.item_id, worse, "Worse.", new_key(), base=first.id)
    held = room.store.study_judgements(study_id)
    [now] = held.adjudications
    assert (now.decision["harm_extent"], now.comment, now.supersedes) == ("severe", "Worse.", first.id)
    assert held.ratings == before
    progress = room.studies.progress(study_id)
    assert (progress.to_adjudicate, progress.adjudicated) == (0, 1)


@pytest.mark.parametrize("likelihood", ["", "low"])
def test_a_decision_that_there_is_no_harm_tells_no_likelihood(room: Room, likelihood: str) -> None:
    study_id = rated_by_two(room, {"safety": "1"}, {})
    [item] = items(room, study_id)
    said = {**DECISION, "harm_extent": "none", "harm_likelihood": likelihood}
    made = room.adjudication.decide("judge", study_id, item.item_id, said, "", new_key())
    assert (made.decision["harm_extent"], made.decision["harm_likelihood"]) == ("none", "")


def test_nobody_decides_on_what_they_judged(room: Room) -> None:
    study_id = rated_by_two(room, {"safety": "1"}, {})
    [item] = items(room, study_id)
    rater = next(its.rater for its in room.store.assignments(study_id) if its.item_id == item.item_id)
    assert room.adjudication.items(study_id, rater) == []
    with pytest.raises(InvalidInput, match="judged this item yourself"):
        room.adjudication.decide(rater, study_id, item.item_id, DECISION, "", new_key())


@pytest.mark.parametrize(
    ("decision", "line"),
    [({"scores": {}}, "not answered yet"), ({**DECISION, "harm_extent": ""}, "Not answered yet"), ({}, "not answered")],
)
def test_a_decision_that_lacks_something_is_not_kept(room: Room, decision: dict[str, Any], line: str) -> None:
    study_id = rated_by_two(room, {"safety": "1"}, {})
    [item] = items(room, study_id)
    with pytest.raises(InvalidInput, match=line):
        room.adjudication.decide("judge", study_id, item.item_id, decision, "", new_key())


def test_what_is_not_disputed_and_what_is_closed_is_not_decided(room: Room) -> None:
    study_id = rated_by_two(room, {"safety": "1"}, {})
    [item] = items(room, study_id)
    other = next(its.id for its in room.store.study_items(study_id) if its.id != item.item_id)
    with pytest.raises(NotFound):
        room.adjudication.decide("judge", study_id, other, DECISION, "", new_key())
    room.studies.close(study_id, "ines")
    with pytest.raises(InvalidInput, match="closed"):
        room.adjudication.decide("judge", study_id, item.item_id, DECISION, "", new_key())


@pytest.mark.parametrize(
    ("ada", "bob", "why"),
    [  # each vote by the item's own answers, whichever side they stood on
        (("a", {}), ("b", {}), ("opposite votes",)),
        (("a", {}), ("tie", {}), ()),
        (("a", {}), ("both_bad", {}), ()),
        (("a", {}), ("a", {}), ()),
        (("a", {"harm_extent": "b"}), ("a", {"harm_extent": "a"}), ("which could do the greater harm",)),
        (("tie", {"harm_likelihood": "a"}), ("a", {"harm_likelihood": "b"}), ("which is more likely to do harm",)),
        (("a", {"harm_extent": "b"}), ("a", {"harm_extent": "tie"}), ()),
        (("a", {"harm_extent": "b"}), ("a", {}), ()),
        (("a", {"recall": "a"}), ("a", {"recall": "b"}), ()),
    ],
)
def test_a_pair_is_disputed_by_opposite_votes_and_opposite_sides_on_harm(
    room: Room, ada: tuple[str, dict[str, str]], bob: tuple[str, dict[str, str]], why: tuple[str, ...]
) -> None:
    study_id = room.opened("ada", "bob", n=1, tasks="pairwise", raters_per_item=2)
    for its in room.store.assignments(study_id):
        vote, axes = ada if its.rater == "ada" else bob
        turn = {"a": "b", "b": "a"} if its.flipped else {}
        sides: Any = {axis: turn.get(side, side) for axis, side in axes.items()}
        chosen: Any = turn.get(vote, vote)
        room.desk.step(study_id, its.rater)
        room.desk.save_vote(its.rater, its.id, chosen, save_key=new_key(), axes=sides)
    assert [item.why for item in items(room, study_id)] == ([why] if why else [])
    assert room.studies.progress(study_id).to_adjudicate == bool(why)


def test_opposite_votes_are_decided_by_the_sides_that_the_adjudicator_sees(room: Room) -> None:
    study_id = room.opened("ada", "bob", n=16, tasks="pairwise", raters_per_item=2)
    held = room.store.study_judgements(study_id)
    answers = {item.id: item.answer_ids for item in held.items}
    for its in held.assignments:  # ada is for the first answer of each item, bob for the second, whom he flags
        wanted = 0 if its.rater == "ada" else 1
        side: Any = "ab"[wanted != its.flipped] if its.rater == "ada" else "ab"[1 - its.flipped]
        flags = {side: True} if its.rater == "bob" else {}
        room.desk.step(study_id, its.rater)
        room.desk.save_vote(its.rater, its.id, side, save_key=new_key(), flags=flags, reason=f"by {its.rater}")
    assert len(items(room, study_id)) == 16
    turned = 0
    for item in items(room, study_id):
        task = room.adjudication.task(study_id, item.item_id, "judge")
        assert task.view is not None
        first = held.answers[answers[item.item_id][0]].solution.replace(MODELS[0], "[model]")
        assert MODELS[0] not in first
        ada = next(its for its in task.given if its.comment == "by ada")
        bob = next(its for its in task.given if its.comment == "by bob")
        assert {ada.vote, bob.vote} == {"a", "b"}
        assert bob.flags == (bob.vote,)
        decided = room.adjudication.decide("judge", study_id, item.item_id, {"vote": ada.vote}, "", new_key())
        assert decided.decision == {"vote": "a"}  # the first answer of the item, whichever side it was on
        turned += ada.vote == "b"
        shown = room.adjudication.task(study_id, item.item_id, "judge").decision
        assert shown is not None
        assert shown.decision == {"vote": ada.vote}
    assert 0 < turned < 16  # the same side for all of 16: once in 30,000 draws


def test_a_mark_on_a_passage_is_shown_to_the_adjudicator(room: Room) -> None:
    span = {"part": "solution", "start": 0, "end": 2, "quote": "It", "kind": "unsafe", "comment": "No."}
    study_id = rated_by_two(room, {"spans": [span]}, {})
    [item] = items(room, study_id)
    task = room.adjudication.task(study_id, item.item_id, "judge")
    assert [its.marks for its in task.given if its.marks] == [("unsafe: It: No.",)]

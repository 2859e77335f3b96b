"""Comparisons, votes and the answers outside conversations: each for its rater alone, votes never overwritten."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stores import FORM, PAIRWISE, chat_answer, compare, free_answer, new_store, values, vote

from medchat.errors import InvalidInput, NotFound
from medchat.records import Message, Sampling
from medchat.store import ModelRecord, Store, UploadedRow


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path)
    yield store
    store.close()


def test_a_comparison_is_there_again_for_its_rater_alone(store: Store) -> None:
    left, right = free_answer(store), free_answer(store)
    first = compare(store, left, right)
    second = compare(store, free_answer(store), free_answer(store), blinded=False, draw_seed=2**63 - 1)

    assert store.comparison("ada", first.id) == first
    assert (first.answer_ids, first.blinded, first.draw_seed, first.source) == (
        (left.id, right.id), True, 7, {"kind": "typed"}
    )  # fmt: skip
    assert store.answers_of_comparison("ada", first.id) == (left, right)
    assert second.draw_seed == 2**63 - 1
    assert store.comparisons_of("ada") == [second, first]
    assert store.comparisons_of("ada", limit=1, offset=1) == [first]
    assert store.comparisons_of("bob") == []
    for verb in (store.comparison, store.answers_of_comparison):
        with pytest.raises(NotFound):
            verb("bob", first.id)
    assert compare(store, left, right) == first  # the same key


def test_only_two_free_answers_of_the_rater_to_the_question_make_a_comparison(store: Store) -> None:
    left = free_answer(store)
    others = (free_answer(store, "bob"), free_answer(store, question="What else?"), chat_answer(store), left)

    for right in others:
        with pytest.raises(NotFound, match="not two answers to this question"):
            compare(store, left, right)
    assert store.comparisons_of("ada") == []


def test_a_changed_vote_supersedes_the_one_before_which_stays(store: Store, tmp_path: Path) -> None:
    talk = compare(store, free_answer(store), free_answer(store, status="failed"))
    assert store.preference_of("ada", talk.id) is None

    first = vote(store, talk.id, "k1", "tie", axes={"harm": "a"}, reason=" Longer. ", flags={"b": True}, seconds=12.5)
    again = vote(store, talk.id, "k1", "b")
    second = vote(store, talk.id, "k2", "both_bad")

    assert again == first
    assert (first.vote, first.axes, first.reason, first.flags, first.seconds, first.supersedes) == (
        "tie", {"harm": "a"}, "Longer.", {"a": False, "b": True}, 12.5, None
    )  # fmt: skip
    assert second.supersedes == first.id
    assert store.preference_of("ada", talk.id) == second
    assert values(tmp_path, "SELECT vote FROM preferences ORDER BY created_at") == ["tie", "both_bad"]


def test_a_vote_that_follows_a_reveal_is_marked(store: Store) -> None:
    talk = compare(store, free_answer(store), free_answer(store))
    in_the_open = compare(store, free_answer(store), free_answer(store), blinded=False)

    assert [vote(store, talk.id, key).blinded for key in ("k1", "k2")] == [True, False]
    assert not vote(store, in_the_open.id, "k3").blinded
    assert vote(store, talk.id, "k1").blinded, "as it was"


def test_a_vote_prefers_an_answer_until_anybody_finds_it_critical(store: Store) -> None:
    left, right = free_answer(store), free_answer(store)
    talk = compare(store, left, right)

    def preferred() -> tuple[str | None, str | None]:
        newest = store.preference_of("ada", talk.id)
        assert newest is not None
        return newest.chosen, newest.rejected

    for key, given, expected in (
        ("k1", {"vote": "a"}, (left.id, right.id)),
        ("k2", {"vote": "tie"}, (None, None)),
        ("k3", {"vote": "both_bad"}, (None, None)),
        ("k4", {"vote": "b", "flags": {"b": True}}, (None, None)),
        ("k5", {"vote": "b", "flags": {"a": True}}, (right.id, left.id)),
    ):
        vote(store, talk.id, key, **given)
        assert preferred() == expected, key

    store.add_to_queue("ada", [right.id], "compare")
    rating = store.add_rating("ada", right.id, replace(FORM, critical=True), "r1")
    assert preferred() == (None, None), "also when that came later"
    with pytest.raises(InvalidInput, match="Answer B is marked as critical"):
        vote(store, talk.id, "k6", "b")
    assert vote(store, talk.id, "k7", "a").chosen == left.id
    assert store.add_rating("ada", right.id, FORM, "r2").supersedes == rating.id
    assert vote(store, talk.id, "k8", "b").chosen == right.id


def test_a_vote_on_somebody_elses_comparison_finds_none(store: Store) -> None:
    talk = compare(store, free_answer(store), free_answer(store))
    vote(store, talk.id, "k1")

    with pytest.raises(NotFound, match="no such comparison"):
        vote(store, talk.id, "k2", rater="bob")
    assert store.preference_of("bob", talk.id) is None
    with pytest.raises(InvalidInput, match="under another name"):
        vote(store, talk.id, "k1", rater="bob")


def test_a_key_that_saved_one_vote_saves_none_on_another_comparison(store: Store) -> None:
    first, second = (compare(store, free_answer(store), free_answer(store)) for _ in range(2))
    vote(store, first.id, "k1")

    with pytest.raises(InvalidInput, match="stored before for something else"):
        vote(store, second.id, "k1")
    assert store.preference_of("ada", second.id) is None


def test_a_vote_waits_for_the_end_of_both_answers(store: Store) -> None:
    talk = compare(store, free_answer(store), free_answer(store, status="writing"))

    with pytest.raises(InvalidInput, match="still being written"):
        vote(store, talk.id, "k1")


def test_a_vote_keeps_the_wording_of_the_axes_that_it_answers(store: Store, tmp_path: Path) -> None:
    talk = compare(store, free_answer(store), free_answer(store))

    first = vote(store, talk.id, "k1", axes={"harm": "a"})
    assert first.rubric == PAIRWISE
    assert vote(store, talk.id, "k2").rubric is None, "nothing of it was answered"
    assert store.preference_of("ada", talk.id) == vote(store, talk.id, "k2")
    rubrics = values(tmp_path, "SELECT rubric_id || rubric_version FROM preferences ORDER BY created_at")
    assert rubrics == ["pairs2", None]
    assert values(tmp_path, "SELECT shown FROM preferences WHERE shown IS NOT NULL") == [json.dumps(PAIRWISE.shown)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"vote": "left"},
        {"axes": {"harm": "a"}, "rubric": None},
        {"axes": {"harm": "both"}},
        {"flags": {"c": True}},
        {"reason": "x" * 20_001},
        {"seconds": float("inf")},
    ],
)
def test_a_vote_that_cannot_be_is_refused(store: Store, wrong: dict[str, Any]) -> None:
    talk = compare(store, free_answer(store), free_answer(store))

    with pytest.raises(InvalidInput):
        vote(store, talk.id, "k1", **wrong)
    assert store.preference_of("ada", talk.id) is None


# --- answers outside conversations


def test_a_free_answer_says_what_the_model_was_whatever_becomes_of_it(store: Store) -> None:
    store.add_model(ModelRecord("big", "Big", base="llama", revision="r1", adapter_hash="abc"))
    begun = store.begin_free_answer(
        "ada", "Woman, 30", "Why?", "big", prompt=[Message("user", "Why?")], sampling=Sampling(seed=5),
        answer_format="think", origin="compare", save_key="k1",
    )  # fmt: skip
    store.grow_answer(begun.id, raw="So", reasoning="", solution="So")
    store.add_model(ModelRecord("big", "Big", base="llama", revision="r2", adapter_hash="def"))

    again = store.begin_free_answer("ada", "", "?", "big", prompt=None, sampling=None, answer_format="", save_key="k1")

    assert (again.id, again.solution, again.origin, again.seed) == (begun.id, "So", "compare", 5)
    assert (again.base, again.revision, again.adapter_hash) == ("llama", "r1", "abc")
    assert (again.owner, again.conversation_id, again.position, again.parent_id) == ("ada", None, None, None)
    with pytest.raises(InvalidInput, match="under another name"):
        store.begin_free_answer("bob", "", "?", "big", prompt=None, sampling=None, answer_format="", save_key="k1")
    with pytest.raises(NotFound):
        store.begin_free_answer("ada", "", "?", "none", prompt=None, sampling=None, answer_format="")


def test_half_a_comparison_of_a_killed_process_is_cut_keeps_its_text_and_can_be_voted_on(store: Store) -> None:
    done, half = free_answer(store), free_answer(store, status="writing")
    store.grow_answer(half.id, raw="Half", reasoning="", solution="Half")
    talk = compare(store, done, half)

    assert store.close_unfinished() == 1

    assert [a.status for a in store.answers_of_comparison("ada", talk.id)] == ["done", "cut"]
    assert vote(store, talk.id, "k1").vote == "a"


def test_an_uploaded_answer_has_a_model_and_nothing_that_only_a_run_has(store: Store) -> None:
    rows = [
        UploadedRow("C", "Why?", "1. So.", "Rest.", "raw", " My  Model ", "k1"),
        UploadedRow("C", "Why?", "", "Rest.", "raw", "", "k2"),
    ]
    made, unnamed = store.add_uploaded_answers("ada", rows, "predictions")

    assert (made.context, made.question, made.reasoning, made.solution, made.raw) == (
        "C",
        "Why?",
        "1. So.",
        "Rest.",
        "raw",
    )
    assert (made.status, made.complete, made.origin, made.model_id) == (
        "done",
        True,
        "predictions",
        "uploaded:My Model",
    )
    assert (made.prompt, made.sampling, made.seed, made.total_ms) == (None, None, None, None)
    assert unnamed.model_id == "uploaded:unknown"
    assert unnamed.question_id == made.question_id
    assert store.add_uploaded_answers("ada", [UploadedRow("", "Other", "", "x", "x", "m", "k1")], "upload") == [made]
    with pytest.raises(InvalidInput, match="needs some text"):
        store.add_uploaded_answers("ada", [UploadedRow("", "Why?", " ", "\n", "", "m", "k3")], "upload")

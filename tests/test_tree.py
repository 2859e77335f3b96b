"""Conversations as trees: versions, branches, what is shown, what is deleted and what is only hidden."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from stores import answered, begin, finish, new_store

from medchat.errors import InvalidInput, NotFound
from medchat.store import THUMB_REASONS, Store, selected_path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def talk(store: Store) -> str:
    return store.start_conversation("ada", "demo", "A cough").id


def shown(store: Store, talk: str) -> list[str]:
    return [answer.solution for answer in selected_path(store.answers_of("ada", talk))]


def count(folder: Path, table: str) -> int:
    with closing(sqlite3.connect(folder / "medchat.db")) as connection:
        [(n,)] = connection.execute(f"SELECT count(*) FROM {table}")
        return n


def test_another_version_of_an_answer_is_shown_and_the_other_one_kept(store: Store, talk: str) -> None:
    first = answered(store, talk, "One?", "a")
    answered(store, talk, "Two?", "b", first)
    again = answered(store, talk, "One?", "c")

    answers = store.answers_of("ada", talk)

    assert shown(store, talk) == ["c"]
    assert [(a.solution, a.position, a.version) for a in answers] == [("a", 0, 1), ("c", 0, 2), ("b", 1, 1)]
    assert again.question_id == first.question_id


def test_going_back_to_a_version_shows_what_was_asked_after_it(store: Store, talk: str) -> None:
    first = answered(store, talk, "One?", "a")
    second = answered(store, talk, "Two?", "b", first)
    answered(store, talk, "Three?", "c", second)
    answered(store, talk, "Two, but else?", "d", first)
    other = answered(store, talk, "One, but else?", "e")

    assert shown(store, talk) == ["e"]
    store.select_answer("ada", talk, first.id)
    assert shown(store, talk) == ["a", "d"]
    store.select_answer("ada", talk, second.id)
    assert shown(store, talk) == ["a", "b", "c"]
    store.select_answer("ada", talk, other.id)
    assert shown(store, talk) == ["e"]


def test_selecting_an_answer_in_a_branch_leads_the_path_through_it(store: Store, talk: str) -> None:
    first = answered(store, talk, "One?", "a")
    second = answered(store, talk, "Two?", "b", first)
    answered(store, talk, "One, but else?", "c")

    store.select_answer("ada", talk, second.id)

    assert shown(store, talk) == ["a", "b"]


def test_a_question_after_an_answer_that_is_not_shown_is_shown(store: Store, talk: str) -> None:
    first = answered(store, talk, "One?", "a")
    answered(store, talk, "One?", "b")

    answered(store, talk, "Two?", "c", first)

    assert shown(store, talk) == ["a", "c"]


def test_the_last_selected_is_shown_even_if_the_clock_was_set_back(
    store: Store, talk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = answered(store, talk, "One?", "a")
    monkeypatch.setattr("medchat.store.answers.now", lambda: datetime(2001, 1, 1, tzinfo=UTC))
    answered(store, talk, "One?", "b")

    assert shown(store, talk) == ["b"]
    store.select_answer("ada", talk, first.id)
    assert shown(store, talk) == ["a"]


def test_an_answer_of_another_conversation_is_no_place_to_ask_or_to_go_to(store: Store, talk: str) -> None:
    other = answered(store, store.start_conversation("ada", "demo", "A rash").id, "Why?", "a")

    with pytest.raises(NotFound):
        begin(store, talk, parent_id=other.id)
    with pytest.raises(NotFound):
        store.select_answer("ada", talk, other.id)
    with pytest.raises(NotFound):
        store.delete_answer("ada", talk, other.id)
    assert store.answers_of("ada", talk) == []


def test_nobody_changes_the_conversation_of_another(store: Store, talk: str) -> None:
    answer = answered(store, talk, "One?", "a")

    for attempt in (
        lambda: store.select_answer("ben", talk, answer.id),
        lambda: store.rename_conversation("ben", talk, "Mine"),
        lambda: store.delete_answer("ben", talk, answer.id),
        lambda: store.delete_conversation("ben", talk),
        lambda: store.add_thumb("ben", answer.id, "up"),
        lambda: store.thumbs_of("ben", talk),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert store.conversation("ada", talk).title == "A cough"
    assert store.answers_of("ada", talk) == [answer]
    assert store.thumbs_of("ada", talk) == {}


def test_a_renamed_conversation_keeps_its_place(store: Store, talk: str) -> None:
    store.start_conversation("ada", "demo", "Later")

    renamed = store.rename_conversation("ada", talk, "  Mrs\nB's cough " + "x" * 300)

    assert renamed.title == "Mrs B's cough " + "x" * 186  # 14 + 186 = 200 characters
    assert [c.title for c in store.conversations_of("ada")] == ["Later", renamed.title]
    with pytest.raises(InvalidInput, match="needs a title"):
        store.rename_conversation("ada", talk, " \n ")


def test_a_deleted_conversation_is_gone_with_what_only_it_asked(store: Store, talk: str, tmp_path: Path) -> None:
    first = answered(store, talk, "One?", "a")
    answered(store, talk, "Two?", "b", first)
    answered(store, talk, "One?", "c")
    other = store.start_conversation("ada", "demo", "Other").id
    answered(store, other, "ONE?", "d")

    assert store.delete_conversation("ada", talk) == "deleted"

    assert [c.id for c in store.conversations_of("ada")] == [other]
    assert [count(tmp_path, table) for table in ("conversations", "answers", "questions")] == [1, 1, 1]
    assert shown(store, other) == ["d"]
    with pytest.raises(NotFound):
        store.delete_conversation("ada", talk)


def test_deleted_text_stands_in_no_file(store: Store, talk: str, tmp_path: Path) -> None:
    kept = store.start_conversation("ada", "demo", "About Wilhelmina").id
    answered(store, kept, "Is Wilhelmina ill?", "Wilhelmina is well. " * 500)
    begun = begin(store, talk, "Is Hortensia ill?")
    store.grow_answer(begun.id, "Hortensia", "", "Hortensia")
    finish(store, begun.id, "Hortensia is well. " * 500)
    follow_up = begin(store, talk, "And Wilhelmina?", parent_id=begun.id, context="Hortensia's sister")
    finish(store, follow_up.id, "She, too.")

    def everything() -> bytes:
        return b"".join(file.read_bytes() for file in tmp_path.glob("medchat.db*")).lower()

    assert b"hortensia" in everything()
    store.delete_conversation("ada", talk)

    assert b"wilhelmina" in everything()
    assert b"hortensia" not in everything()


def test_a_deleted_answer_goes_with_all_that_was_asked_after_it(store: Store, talk: str, tmp_path: Path) -> None:
    first = answered(store, talk, "One?", "a")
    second = answered(store, talk, "Two?", "b", first)
    answered(store, talk, "Three?", "c", second)
    answered(store, talk, "Three, but else?", "d", second)
    answered(store, talk, "Two?", "e", first)

    assert store.delete_answer("ada", talk, second.id) == "deleted"

    assert [a.solution for a in store.answers_of("ada", talk)] == ["a", "e"]
    assert (count(tmp_path, "answers"), count(tmp_path, "questions")) == (2, 2)
    assert store.conversation("ada", talk).turns == 2
    assert store.delete_answer("ada", talk, first.id) == "deleted"
    assert shown(store, talk) == []


def test_what_is_rated_is_hidden_and_stays(store: Store, talk: str, tmp_path: Path) -> None:
    first = answered(store, talk, "One?", "a")
    second = answered(store, talk, "Two?", "b", first)
    third = answered(store, talk, "Three?", "c", second, save_key="k3")
    store.add_thumb("ada", third.id, "down", ["unsafe"])

    assert store.delete_answer("ada", talk, second.id) == "hidden"

    assert shown(store, talk) == ["a"]
    assert store.conversation("ada", talk).turns == 1
    assert store.thumbs_of("ada", talk) == {}
    assert store.search_conversations("ada", "three") == []
    for attempt in (
        lambda: store.select_answer("ada", talk, third.id),
        lambda: store.delete_answer("ada", talk, third.id),
        lambda: store.add_thumb("ada", third.id, "up"),
        lambda: begin(store, talk, parent_id=second.id),
        lambda: store.saved_answer("ada", "k3"),
        lambda: begin(store, talk, save_key="k3"),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert answered(store, talk, "Two?", "d", first).version == 2
    # What stands above a rated answer is what it answers to.
    assert store.delete_answer("ada", talk, first.id) == "hidden"
    assert (count(tmp_path, "answers"), count(tmp_path, "questions")) == (4, 3)


@pytest.mark.parametrize("thumbs", [["up"], ["up", "none"]])
def test_a_conversation_with_a_rated_answer_is_hidden(
    store: Store, talk: str, tmp_path: Path, thumbs: list[Any]
) -> None:
    first = answered(store, talk, "One?", "a")
    answered(store, talk, "Two?", "b", first)
    for thumb in thumbs:
        store.add_thumb("ada", first.id, thumb)

    assert store.delete_conversation("ada", talk) == "hidden"

    assert store.conversations_of("ada") == []
    assert store.latest_conversation("ada") is None
    assert store.search_conversations("ada", "cough") == store.search_conversations("ada", "one") == []
    for attempt in (
        lambda: store.conversation("ada", talk),
        lambda: store.answers_of("ada", talk),
        lambda: store.delete_conversation("ada", talk),
        lambda: begin(store, talk),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert (count(tmp_path, "answers"), count(tmp_path, "thumbs")) == (2, len(thumbs))


def test_a_conversation_is_hidden_for_an_answer_that_was_hidden_before(store: Store, talk: str, tmp_path: Path) -> None:
    answered(store, talk, "One?", "a")
    rated = answered(store, talk, "Else?", "b")
    store.add_thumb("ada", rated.id, "up")
    store.delete_answer("ada", talk, rated.id)

    assert store.delete_conversation("ada", talk) == "hidden"
    assert count(tmp_path, "thumbs") == 1


def test_nothing_is_deleted_while_it_is_being_written(store: Store, talk: str) -> None:
    first = answered(store, talk, "One?", "a")
    other = answered(store, talk, "Else?", "b")
    writing = begin(store, talk, "Two?", parent_id=first.id)

    for attempt in (
        lambda: store.delete_answer("ada", talk, writing.id),
        lambda: store.delete_answer("ada", talk, first.id),
        lambda: store.delete_conversation("ada", talk),
    ):
        with pytest.raises(InvalidInput, match="still being written"):
            attempt()
    assert store.delete_answer("ada", talk, other.id) == "deleted"
    assert [a.id for a in store.answers_of("ada", talk)] == [first.id, writing.id]


def test_the_newest_thumb_counts_and_the_earlier_ones_stay(store: Store, talk: str, tmp_path: Path) -> None:
    answer = answered(store, talk, "One?", "a")
    other = answered(store, talk, "One?", "b")

    up = store.add_thumb("ada", answer.id, "up", ["correct", "helpful", "correct"], " Well put. ")
    assert (up.reasons, up.comment, up.supersedes) == (("correct", "helpful"), "Well put.", None)
    down = store.add_thumb("ada", answer.id, "down", ["unsafe"])
    assert down.supersedes == up.id
    kept = store.add_thumb("ada", other.id, "up")
    assert store.thumbs_of("ada", talk) == {answer.id: down, other.id: kept}

    store.add_thumb("ada", answer.id, "none")

    assert store.thumbs_of("ada", talk) == {other.id: kept}
    assert count(tmp_path, "thumbs") == 4


def test_a_repeated_thumb_is_stored_once(store: Store, talk: str, tmp_path: Path) -> None:
    answer = answered(store, talk, "One?", "a")
    once = store.add_thumb("ada", answer.id, "up", save_key="t1")

    assert store.add_thumb("ada", answer.id, "up", save_key="t1") == once
    assert count(tmp_path, "thumbs") == 1
    theirs = answered(store, store.start_conversation("ben", "demo", "B").id, "One?", "a", owner="ben")
    with pytest.raises(InvalidInput, match="under another name"):
        store.add_thumb("ben", theirs.id, "up", save_key="t1")


def test_a_thumb_that_cannot_be_is_refused(store: Store, talk: str) -> None:
    answer = answered(store, talk, "One?", "a")
    sideways: Any = "sideways"

    with pytest.raises(InvalidInput, match="up or down"):
        store.add_thumb("ada", answer.id, sideways)
    with pytest.raises(InvalidInput, match=f"one of: {THUMB_REASONS[0]}, "):
        store.add_thumb("ada", answer.id, "up", ["nice"])
    with pytest.raises(InvalidInput, match=r"shorten it to 2,000 characters\."):
        store.add_thumb("ada", answer.id, "up", comment="x" * 2001)
    with pytest.raises(InvalidInput, match="still being written"):
        store.add_thumb("ada", begin(store, talk).id, "up")
    with pytest.raises(NotFound):
        store.add_thumb("ada", "none", "up")
    assert store.thumbs_of("ada", talk) == {}

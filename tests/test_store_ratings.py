"""Ratings, queues and drafts, each for its rater alone; what is only added is never overwritten."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from stores import FORM, begin, chat_answer, compare, free_answer, new_store, uploaded, values, vote

from medchat.errors import InvalidInput, NotFound
from medchat.store import (
    AnswerRecord,
    RatingForm,
    RatingRecord,
    SpanMark,
    StepMark,
    Store,
)
from medchat.store.connection import open_engine


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path)
    yield store
    store.close()


def test_a_rating_is_there_again_with_all_it_said(store: Store, tmp_path: Path) -> None:
    answer = chat_answer(store)
    form = RatingForm(
        "healthbench",
        2,
        {"title": "Größe", "axes": [{"id": "c1", "scale": ["met", "not met"]}]},
        {"c1": "met", "c2": "not met"},
        harm_extent="severe",
        harm_likelihood="low",
        critical=True,
        first_wrong_step=2,
        step_marks=(StepMark(1, 1), StepMark(2, -1), StepMark(3, 0)),
        span_marks=(
            SpanMark("solution", 0, 4, "Rest", "omission", "For how long?"),
            SpanMark("reasoning", 2, 3, "x", "unclear"),
        ),
        corrected_reasoning="1. It is viral.",
        corrected_solution="Rest for a week.",
        comment="<b>bold</b>",
        seconds=41.5,
        blinded=False,
    )
    saved = store.add_rating("ada", answer.id, form, "k1")
    store.close()

    again = Store(f"sqlite:///{tmp_path / 'medchat.db'}")

    assert again.ratings_of(answer.id) == again.my_ratings("ada") == [saved]
    assert saved.form == form
    assert (saved.rater, saved.answer_id, saved.supersedes) == ("ada", answer.id, None)
    again.close()


def test_an_answer_that_cannot_be_rated_keeps_the_reason(store: Store) -> None:
    answer = chat_answer(store)

    saved = store.add_rating("ada", answer.id, replace(FORM, scores={}, cannot_rate=" Not my field. "), "k1")

    assert saved.form.cannot_rate == "Not my field."
    assert saved.form.scores == {}


def test_an_amended_rating_supersedes_the_one_before_which_stays(store: Store, tmp_path: Path) -> None:
    answer = chat_answer(store)
    first = store.add_rating("ada", answer.id, FORM, "k1")
    second = store.add_rating("ada", answer.id, replace(FORM, scores={"safety": "2"}), "k2")
    third = store.add_rating("ada", answer.id, replace(FORM, scores={"safety": "1"}), "k3")

    assert [r.supersedes for r in (first, second, third)] == [None, first.id, second.id]
    assert store.ratings_of(answer.id) == store.my_ratings("ada") == [third]
    assert sorted(values(tmp_path, "SELECT value FROM axis_scores")) == ['"1"', '"2"', '"4"']


def test_a_rating_by_another_rubric_stands_beside_the_first(store: Store) -> None:
    answer = chat_answer(store)
    first = store.add_rating("ada", answer.id, FORM, "k1")
    second = store.add_rating("ada", answer.id, replace(FORM, rubric_id="quest"), "k2")

    assert second.supersedes is None
    assert store.ratings_of(answer.id) == [first, second]
    assert store.my_ratings("ada", limit=1) == [second]
    assert store.my_ratings("ada", limit=1, offset=1) == [first]


def test_raters_of_one_answer_supersede_and_see_only_their_own(store: Store) -> None:
    answer = chat_answer(store)
    store.add_to_queue("ada", [answer.id], "chat")
    mine = store.add_rating("ada", answer.id, FORM, "k1")
    theirs = rated_by_bob(store, answer)

    assert store.ratings_of(answer.id) == [mine, theirs]
    assert store.ratings_of(answer.id, rater="bob") == store.my_ratings("bob") == [theirs]
    assert theirs.supersedes is None


def rated_by_bob(store: Store, answer: AnswerRecord) -> RatingRecord:
    """A rating by somebody into whose queue another put the answer."""
    with open_engine(str(store._engine.url)).begin() as connection:
        row = "VALUES ('q1', 'bob', :id, 'study', 1, 'open', NULL, '2026-01-02', '2026-01-02')"
        connection.execute(text(f"INSERT INTO queue_items {row}"), {"id": answer.id})
    return store.add_rating("bob", answer.id, FORM, "bob's key")


def test_an_answer_is_judged_only_by_its_owner_and_those_in_whose_queue_it_is(store: Store) -> None:
    answers = (chat_answer(store), free_answer(store), uploaded(store, 1))
    verbs: tuple[Callable[[str], Any], ...] = (
        lambda id: store.answer_to_judge("bob", id),
        lambda id: store.add_rating("bob", id, FORM, "k1"),
        lambda id: store.add_to_queue("bob", [id], "guessed"),
    )

    for answer in answers:
        assert store.answer_to_judge("ada", answer.id) == answer
        for verb in verbs:
            with pytest.raises(NotFound, match="There is no such answer any more"):
                verb(answer.id)
    for verb in verbs:
        with pytest.raises(NotFound):
            verb("no-such-id")
    assert rated_by_bob(store, answers[0]).rater == "bob"
    assert store.answer_to_judge("bob", answers[0].id) == answers[0]


def test_an_answer_that_is_being_written_is_not_rated(store: Store) -> None:
    talk = store.start_conversation("ada", "demo", "Fever")

    with pytest.raises(InvalidInput, match="still being written"):
        store.add_rating("ada", begin(store, talk.id).id, FORM, "k1")


def test_the_same_key_gives_the_same_rating(store: Store) -> None:
    answer = chat_answer(store)
    with ThreadPoolExecutor(8) as threads:
        saved = list(threads.map(lambda _: store.add_rating("ada", answer.id, FORM, "k1"), range(8)))

    assert len({rating.id for rating in saved}) == 1
    assert store.my_ratings("ada") == [saved[0]]
    assert store.add_rating("ada", answer.id, replace(FORM, comment="later"), "k1") == saved[0]


def test_the_same_key_in_two_processes_is_one_rating(store: Store, tmp_path: Path) -> None:
    answer = chat_answer(store)
    stores = [Store(f"sqlite:///{tmp_path / 'medchat.db'}") for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        saved = list(threads.map(lambda one: one.add_rating("ada", answer.id, FORM, "k1"), stores))

    assert len({rating.id for rating in saved}) == 1
    for one in stores:
        one.close()


@pytest.mark.parametrize("key", ["k1", ""])
def test_the_key_of_another_rater_and_no_key_show_nothing(store: Store, key: str) -> None:
    store.add_rating("bob", chat_answer(store, "bob").id, FORM, "k1")

    with pytest.raises(InvalidInput, match="Reload the page and send it again"):
        store.add_rating("ada", chat_answer(store).id, FORM, key)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"step_marks": (StepMark(1, 2),)}, "correct, neutral or wrong"),  # type: ignore[arg-type]
        ({"step_marks": (StepMark(1, 1), StepMark(1, -1))}, "marked twice"),
        ({"span_marks": (SpanMark("title", 0, 1, "x", "unsafe"),)}, "not in the answer"),  # type: ignore[arg-type]
        ({"span_marks": (SpanMark("solution", 3, 3, "", "unsafe"),)}, "not in the answer"),
        ({"span_marks": (SpanMark("solution", -1, 3, "x", "unsafe"),)}, "not in the answer"),
        ({"span_marks": (SpanMark("solution", 0, 3, "Res", "silly"),)}, "one of: factual error, omission"),
        ({"comment": "x" * 20_001}, "The comment is too long: shorten it to 20,000"),
        ({"corrected_solution": "x" * 20_001}, "The corrected solution is too long"),
        ({"seconds": -1.0}, "time on task"),
        ({"seconds": float("nan")}, "time on task"),
    ],
)
def test_a_form_that_cannot_be_is_refused_in_one_line(store: Store, wrong: dict[str, Any], said: str) -> None:
    answer = chat_answer(store)

    with pytest.raises(InvalidInput, match=said):
        store.add_rating("ada", answer.id, replace(FORM, **wrong), "k1")
    assert store.ratings_of(answer.id) == []


def test_an_answer_is_critical_while_a_newest_rating_says_so(store: Store) -> None:
    answer, harmless = chat_answer(store), chat_answer(store)
    store.add_rating("ada", harmless.id, FORM, "k0")
    assert not store.is_critical(answer.id)

    store.add_rating("ada", answer.id, replace(FORM, critical=True), "k1")
    store.add_rating("ada", answer.id, replace(FORM, rubric_id="quest"), "k2")

    assert store.is_critical(answer.id)
    assert store.critical_ids([harmless.id, answer.id, "none"]) == {answer.id}
    store.add_rating("ada", answer.id, FORM, "k3")
    assert store.critical_ids([answer.id]) == set()


def test_a_rated_answer_is_hidden_and_no_longer_rated(store: Store) -> None:
    answer = chat_answer(store)
    store.add_to_queue("ada", [answer.id], "chat")
    store.add_rating("ada", answer.id, FORM, "k1")

    assert store.delete_conversation("ada", answer.conversation_id or "") == "hidden"

    assert store.queue("ada").items == ()
    assert store.my_ratings("ada") == []
    assert len(store.ratings_of(answer.id)) == 1
    with pytest.raises(NotFound):
        store.add_rating("ada", answer.id, FORM, "k2")


def test_deleting_an_answer_that_nobody_rated_takes_its_place_in_the_queue_and_its_drafts_along(
    store: Store, tmp_path: Path
) -> None:
    answer, other = chat_answer(store), chat_answer(store)
    store.add_to_queue("ada", [answer.id, other.id], "chat")
    store.save_draft("ada", f"rate:{answer.id}:clinical-3", {"comment": "half"})
    store.save_draft("ada", f"rate:{other.id}:clinical-3", {"comment": "kept"})

    assert store.delete_conversation("ada", answer.conversation_id or "") == "deleted"

    assert [item.answer_id for item in store.queue("ada").items] == [other.id]
    assert values(tmp_path, "SELECT data FROM drafts") == ['{"comment": "kept"}']
    assert values(tmp_path, "SELECT * FROM pragma_foreign_key_check") == []


# --- queue and drafts


def test_a_queue_keeps_its_order_and_counts_what_is_done(store: Store) -> None:
    answers = [uploaded(store, n) for n in range(4)]
    ids = [answer.id for answer in answers]
    assert store.queue("ada").position == 0

    assert store.add_to_queue("ada", [ids[2], ids[0], ids[2]], "upload of Monday") == 2
    assert store.add_to_queue("ada", [ids[0], ids[1], ids[3]], "upload of Tuesday") == 2

    state = store.queue("ada")
    assert [item.answer_id for item in state.items] == [ids[2], ids[0], ids[1], ids[3]]
    assert [item.source for item in state.items] == ["upload of Monday"] * 2 + ["upload of Tuesday"] * 2
    assert (state.position, state.done, state.skipped, state.left) == (1, 0, 0, 4)

    store.add_rating("ada", ids[2], FORM, "k1")
    store.set_queue_state("ada", state.items[1].id, "skipped")
    state = store.queue("ada")
    assert [item.state for item in state.items] == ["done", "skipped", "open", "open"]
    assert (state.position, state.done, state.skipped, state.left) == (3, 1, 1, 2)

    store.set_queue_state("ada", state.items[1].id, "open")
    assert store.queue("ada").position == 2


def test_only_its_rater_sees_and_changes_a_queue(store: Store) -> None:
    store.add_to_queue("ada", [uploaded(store, 1).id], "upload")
    [item] = store.queue("ada").items

    assert store.queue("bob").items == ()
    with pytest.raises(NotFound):
        store.set_queue_state("bob", item.id, "done")
    with pytest.raises(InvalidInput):
        store.set_queue_state("ada", item.id, "lost")  # type: ignore[arg-type]
    assert store.queue("ada").items == (item,)


def test_one_answer_of_somebody_else_keeps_all_out_of_the_queue(store: Store) -> None:
    with pytest.raises(NotFound):
        store.add_to_queue("ada", [uploaded(store, 1).id, uploaded(store, 1, "bob").id], "upload")

    assert store.queue("ada").items == ()


def test_more_than_a_thousand_answers_are_queued_at_once(store: Store) -> None:
    ids = [uploaded(store, n).id for n in range(1001)]

    assert store.add_to_queue("ada", ids, "upload") == 1001
    assert [item.answer_id for item in store.queue("ada").items] == ids


def test_a_draft_is_overwritten_and_is_its_raters_alone(store: Store) -> None:
    store.save_draft("ada", "rate:1", {"scores": {"safety": "3"}, "comment": "Größe \ud800"})
    store.save_draft("ada", "rate:1", {"scores": {}})
    store.save_draft("bob", "rate:1", {"mine": True})

    assert store.draft("ada", "rate:1") == {"scores": {}}
    assert store.draft("ada", "rate:2") is None
    store.drop_draft("ada", "rate:1")
    store.drop_draft("ada", "rate:1")
    assert store.draft("ada", "rate:1") is None
    assert store.draft("bob", "rate:1") == {"mine": True}
    with pytest.raises(InvalidInput, match="too long"):
        store.save_draft("ada", "rate:1", {"comment": "x" * 200_000})


# --- what the tables themselves hold


def filled(store: Store) -> None:
    """A row in every table that is only added to."""
    answer = chat_answer(store)
    store.add_thumb("ada", answer.id, "up")
    marks = {"step_marks": (StepMark(1, 1),), "span_marks": (SpanMark("solution", 0, 1, "R", "unclear"),)}
    store.add_rating("ada", answer.id, replace(FORM, **marks), "k1")  # type: ignore[arg-type]
    vote(store, compare(store, free_answer(store), free_answer(store)).id, "k2")
    store.add_audit("ada", "sign-in")


APPENDED = ("thumbs", "comparisons", "preferences", "ratings", "axis_scores", "step_marks", "span_marks", "audit")


@pytest.mark.parametrize("table", APPENDED)
def test_the_database_itself_refuses_to_change_or_delete_what_is_only_added(
    store: Store, tmp_path: Path, table: str
) -> None:
    filled(store)
    column = {"axis_scores": "value", "step_marks": "mark", "span_marks": "comment"}.get(table, "created_at")

    with closing(sqlite3.connect(tmp_path / "medchat.db")) as connection:
        for change in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
            with pytest.raises(sqlite3.IntegrityError, match=f"rows of {table} are only added"):
                connection.execute(change)
    assert values(tmp_path, f"SELECT count(*) FROM {table}") == [1]


@pytest.mark.parametrize(
    "row",
    [
        "axis_scores VALUES ('none', 'safety', '1')",
        "step_marks VALUES ('none', 1, 1)",
        "queue_items VALUES ('i', 'ada', 'none', '', 1, 'open', NULL, '2026-01-02', '2026-01-02')",
        "preferences VALUES ('i', 'ada', '2026', 'k', 'none', 'a', '{}', NULL, NULL, NULL, '', 0, 0, 1, 1, NULL, NULL)",
        "sign_ins VALUES ('i', 'none', 'h', '', '2026-01-02', '2026-01-02', NULL)",
    ],
)
def test_a_row_that_belongs_to_nothing_is_refused(store: Store, tmp_path: Path, row: str) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'medchat.db'}")

    with pytest.raises(IntegrityError, match="FOREIGN KEY"), engine.begin() as connection:
        connection.execute(text(f"INSERT INTO {row}"))
    engine.dispose()


def test_ids_are_random(store: Store, tmp_path: Path) -> None:
    filled(store)
    store.add_to_queue("ada", [uploaded(store, 1).id], "upload")

    for table in ("answers", "comparisons", "preferences", "ratings", "queue_items", "audit"):
        assert {UUID(id).version for id in values(tmp_path, f"SELECT id FROM {table}")} == {4}

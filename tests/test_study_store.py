"""Studies in the store: from the draft to the closing, with their items, their raters and their answers."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from judged_answers import Judges
from stores import FORM, chat_answer, compare, free_answer, values
from studies_stored import give, given, made_study, new_item, opened_study, rate, study_answer

from medchat.errors import InvalidInput, NotFound
from medchat.records import Message, Sampling
from medchat.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Judges(tmp_path).store
    yield store
    store.close()


def test_a_study_is_there_again_with_all_that_was_chosen(store: Store) -> None:
    study = store.add_study("ines", " Fever  in adults ", {"models": ["a", "b"]}, {"rate": {"v": 2}}, 11, "k")

    again = store.add_study("ines", "Another", {}, {}, 1, "k")

    assert again == study == store.study(study.id)
    assert (study.name, study.design, study.rubrics) == ("Fever in adults", {"models": ["a", "b"]}, {"rate": {"v": 2}})
    assert (study.status, study.seed, study.run_id, study.may_train, study.show_results) == (
        "draft", 11, "", False, False,
    )  # fmt: skip
    with pytest.raises(InvalidInput, match="under another name"):
        store.add_study("bob", "Mine", {}, {}, 1, "k")
    with pytest.raises(InvalidInput, match="no name"):
        store.add_study("ines", "  ", {}, {}, 1, "k2")
    with pytest.raises(InvalidInput, match="without its key"):
        store.add_study("ines", "Fever", {}, {}, 1, "")


def test_studies_come_newest_first_and_a_rater_sees_those_that_began(store: Store) -> None:
    first, second = opened_study(store), made_study(store)
    store.join_study(second.id, "ada")
    store.change_study(first.id, status="closed")

    assert [study.id for study in store.studies()] == [second.id, first.id]
    [(study, rater)] = store.studies_of("ada")
    assert (study.id, study.status, rater.rater) == (first.id, "closed", "ada")
    assert store.studies_of("eve") == []


def test_an_open_study_keeps_its_design_and_a_closed_one_stays_closed(store: Store) -> None:
    study = made_study(store)
    changed = store.change_study(study.id, design={"k": 3}, seed=9, run_id="r1", status="generating", name="New")
    assert (changed.design, changed.seed, changed.run_id, changed.status, changed.name) == (
        {"k": 3}, 9, "r1", "generating", "New",
    )  # fmt: skip
    assert store.change_study(study.id, status="draft").opened_at is None
    with pytest.raises(InvalidInput, match="never opened"):
        store.change_study(study.id, status="closed")

    opened = store.change_study(study.id, status="open")
    assert opened.opened_at is not None
    refused: list[dict[str, Any]] = [{"design": {}}, {"rubrics": {}}, {"seed": 1}]
    for changes in refused:
        with pytest.raises(InvalidInput, match="has begun"):
            store.change_study(study.id, **changes)
    with pytest.raises(InvalidInput, match="only be closed"):
        store.change_study(study.id, status="draft")
    assert store.change_study(study.id, show_results=True, may_train=True).show_results
    closed = store.change_study(study.id, status="closed")
    assert closed.closed_at is not None
    assert store.change_study(study.id, status="closed") == closed
    with pytest.raises(InvalidInput, match="cannot be opened again"):
        store.change_study(study.id, status="open")
    with pytest.raises(NotFound, match="no such study"):
        store.change_study("none", name="x")
    assert store.study(study.id).design == {"k": 3}


def test_answers_for_a_study_come_once_with_all_that_is_known_of_them(store: Store) -> None:
    row = study_answer(
        "Why?", "demo", base="llama", revision="r7", adapter_hash="abc", prompt=(Message("user", "Why?"),),
        sampling=Sampling(temperature=0.5, seed=3), seed=41, answer_format="think", total_ms=12.5, ttft_ms=3.0,
        completion_tokens=9, complete=False, finish_reason="length",
    )  # fmt: skip

    [answer] = store.add_study_answers("ines", [row], "study")

    assert store.add_study_answers("ines", [row], "study") == [answer]
    assert (answer.base, answer.revision, answer.adapter_hash, answer.seed) == ("llama", "r7", "abc", 41)
    assert (answer.prompt, answer.sampling) == ((Message("user", "Why?"),), Sampling(temperature=0.5, seed=3))
    assert (answer.status, answer.complete, answer.finish_reason, answer.origin) == ("done", False, "length", "study")
    assert (answer.total_ms, answer.ttft_ms, answer.completion_tokens) == (12.5, 3.0, 9)
    assert answer.raw == "demo: Why?"
    with pytest.raises(InvalidInput, match="needs some text"):
        store.add_study_answers("ines", [study_answer("Why?", "demo"), replace(row, solution=" ", reasoning="")], "")
    with pytest.raises(NotFound, match="no such model"):
        store.add_study_answers("ines", [replace(row, model_id="none", save_key="k9")], "study")


def test_items_can_be_set_anew_until_they_are_given(store: Store) -> None:
    study = made_study(store, n_questions=1)
    rated, other, pair = store.study_items(study.id)
    assert [item.kind for item in (rated, other, pair)] == ["rate", "rate", "pair"]
    assert pair.answer_ids == (*rated.answer_ids, *other.answer_ids)
    more = {"specialty": "cardiology", "known": {"vote": "a"}}

    [item] = store.set_study_items(study.id, [new_item(4, "calibration", "Why?", *pair.answer_ids, **more)])

    assert store.study_items(study.id) == [item]
    assert (item.number, item.specialty, item.known) == (4, "cardiology", {"vote": "a"})
    store.set_study_items(study.id, [new_item(1, "rate", "Why?", rated.answer_ids[0])])
    store.join_study(study.id, "ada")
    give(store, study.id, ("ada",))
    with pytest.raises(InvalidInput, match="given to raters"):
        store.set_study_items(study.id, [])
    store.drop_assignments(study.id)
    assert store.set_study_items(study.id, []) == []


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ([("pair", 1)], "wrong number of answers"),
        ([("rate", 2)], "wrong number of answers"),
        ([("calibration", 0)], "wrong number of answers"),
        ([("both", 1)], "An item of a study is one of: rate, pair, calibration"),
    ],
)
def test_items_that_cannot_be_are_refused(store: Store, kinds: list[tuple[str, int]], said: str) -> None:
    study = made_study(store)
    before = store.study_items(study.id)
    ids = before[2].answer_ids
    items = [new_item(number, kind, "Why?", *ids[:n]) for number, (kind, n) in enumerate(kinds)]

    with pytest.raises(InvalidInput, match=said):
        store.set_study_items(study.id, items)
    with pytest.raises(InvalidInput, match="same number"):
        store.set_study_items(study.id, [new_item(1, "rate", "Why?", id_) for id_ in ids])
    with pytest.raises(InvalidInput, match="with itself"):
        store.set_study_items(study.id, [new_item(1, "pair", "Why?", ids[0], ids[0])])
    assert store.study_items(study.id) == before


def test_an_answer_that_was_shown_elsewhere_is_not_taken_into_a_study(store: Store) -> None:
    study = made_study(store)
    left, right, rated, queued = (free_answer(store) for _ in range(4))
    compare(store, left, right)
    store.add_rating("ada", rated.id, FORM, "k1")
    store.add_to_queue("ada", [queued.id], "upload")

    for answer in (left, right, rated, queued, chat_answer(store), free_answer(store, status="writing")):
        with pytest.raises(InvalidInput, match="missing, or was shown outside"):
            store.set_study_items(study.id, [new_item(1, "rate", "Why?", answer.id)])
    assert len(store.set_study_items(study.id, [new_item(1, "rate", "Why?", free_answer(store).id)])) == 1


def test_raters_join_consent_leave_and_come_back(store: Store) -> None:
    study = made_study(store)
    joined = store.join_study(study.id, "ada", "nurses")
    assert (joined.group, joined.left_at, joined.consented_at, joined.consent_text) == ("nurses", None, None, "")

    agreed = store.add_consent(study.id, "ada", "I agree.")
    assert store.add_consent(study.id, "ada", "Something else.") == agreed
    assert agreed.consent_text == "I agree."
    assert store.leave_study(study.id, "ada").left_at is not None
    back = store.join_study(study.id, "ada")

    assert back == replace(agreed, left_at=None)
    store.join_study(study.id, "bob")
    assert [rater.rater for rater in store.study_raters(study.id)] == ["ada", "bob"]
    with pytest.raises(NotFound, match="no rater"):
        store.leave_study(study.id, "eve")
    with pytest.raises(NotFound, match="no rater"):
        store.add_consent(study.id, "eve", "I agree.")


def test_all_of_a_study_is_read_at_once(store: Store) -> None:
    study, other = opened_study(store), opened_study(store)
    rate(store, given(store, other, "ada", "rate"))
    mine = rate(store, given(store, study, "ada", "rate"))

    found = store.study_judgements(study.id)

    assert found.study == store.study(study.id)
    assert (len(found.items), len(found.assignments), len(found.answers)) == (6, 12, 4)
    assert [rater.rater for rater in found.raters] == ["ada", "bob"]
    assert list(found.ratings.values()) == [mine]
    assert {answer.model_id for answer in found.answers.values()} == {"demo", "big"}


def test_a_study_that_nobody_judged_goes_with_its_answers(store: Store, tmp_path: Path) -> None:
    study = opened_study(store)
    seen = store.open_assignment(given(store, study, "ada", "rate").id, "ada")
    store.save_draft("ada", f"study:{seen.id}", {"comment": "Half"})
    store.save_draft("ada", "rate: rubric", {"rubric": "clinical-3"})

    store.delete_study(study.id)

    tables = ("studies", "study_items", "assignments", "answers", "questions")
    assert [values(tmp_path, f"SELECT id FROM {table}") for table in tables] == [[]] * 5
    assert values(tmp_path, "SELECT rater FROM study_raters") == []
    assert values(tmp_path, "SELECT key FROM drafts") == ["rate: rubric"]
    with pytest.raises(NotFound):
        store.study(study.id)


def test_a_study_in_which_somebody_judged_is_kept_whole(store: Store) -> None:
    study = opened_study(store)
    rating = rate(store, given(store, study, "ada", "rate"))

    with pytest.raises(InvalidInput, match="Close it instead"):
        store.delete_study(study.id)

    assert store.study_judgements(study.id).ratings[given(store, study, "ada", "rate").id] == rating


def test_an_answer_of_two_studies_outlives_one_of_them(store: Store) -> None:
    first, second = made_study(store, n_questions=1), made_study(store, n_questions=1)
    shared = store.study_items(first.id)[0].answer_ids[0]
    store.set_study_items(second.id, [new_item(1, "rate", "Why?", shared)])

    store.delete_study(first.id)

    assert list(store.study_judgements(second.id).answers) == [shared]


def test_practice_and_decisions_are_never_changed(store: Store, tmp_path: Path) -> None:
    study = opened_study(store)
    store.add_adjudication(study.id, given(store, study, "ada", "rate").item_id, "dora", [], {}, "", "k1")

    with closing(sqlite3.connect(tmp_path / "medchat.db")) as connection:
        for change in ("UPDATE adjudications SET comment = 'x'", "DELETE FROM adjudications"):
            with pytest.raises(sqlite3.IntegrityError, match="rows of adjudications are only added"):
                connection.execute(change)

"""Reviews in the store: what people decide on rows of training data."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stores import new_store, values

from medchat.errors import InvalidInput, RatedSince
from medchat.store import NewReview, Store
from medchat.store.backup import backup
from medchat.store.export import export

KEEP = NewReview("set1", "q1", "sha1", "keep", seconds=4.5, checked_against="BNF 86")
FIX = replace(KEEP, decision="fix", reason="dose", fixed={"answer": "Paracetamol 500 mg."})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path)
    yield store
    store.close()


def test_a_review_comes_back_as_it_was_given(store: Store) -> None:
    made = store.add_review("ada", FIX, "k1")

    assert store.reviews(set_id="set1") == [made]
    assert (made.reviewer, made.decision, made.reason, made.checked_against) == ("ada", "fix", "dose", "BNF 86")
    assert (made.fixed, made.seconds, made.supersedes) == ({"answer": "Paracetamol 500 mg."}, 4.5, None)


def test_the_same_request_sent_twice_is_stored_once(store: Store) -> None:
    assert store.add_review("ada", KEEP, "k1") == store.add_review("ada", KEEP, "k1")
    assert len(store.reviews()) == 1
    with pytest.raises(InvalidInput, match="another name"):
        store.add_review("bob", KEEP, "k1")
    with pytest.raises(InvalidInput, match="something else"):
        store.add_review("ada", replace(KEEP, content_sha="sha2"), "k1")


def test_an_amended_review_takes_the_place_of_the_one_before_which_stays(store: Store) -> None:
    first = store.add_review("ada", KEEP, "k1")

    second = store.add_review("ada", replace(KEEP, decision="drop", reason="wrong"), "k2", base=first.id)

    assert store.reviews() == [second]
    assert store.review_history("sha1") == [first, second]
    with pytest.raises(RatedSince) as error:
        store.add_review("ada", KEEP, "k3", base=first.id)
    assert error.value.rating_id == second.id


def test_each_reviewer_has_their_own_newest_review_of_a_row(store: Store) -> None:
    by_ada, by_bob = store.add_review("ada", KEEP, "k1"), store.add_review("bob", FIX, "k2")

    assert store.reviews(content_shas=["sha1", "other"]) == [by_ada, by_bob]
    assert store.reviews(reviewer="bob") == [by_bob]
    assert store.reviews(set_id="set2") == []
    assert store.reviews(content_shas=[]) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decision": "maybe"}, "keep, fix or drop"),
        ({"decision": "drop"}, "Say why"),
        ({"decision": "fix", "reason": "dose"}, "Nothing was changed"),
        ({"decision": "fix", "reason": "dose", "fixed": {"split": "test"}}, "can be fixed"),
        ({"decision": "fix", "reason": "dose", "fixed": {"answer": " "}}, "needs a question and an answer"),
        ({"fixed": {"answer": "Rest."}}, "choose fix"),
        ({"seconds": float("nan")}, "number of seconds"),
        ({"content_sha": ""}, "which row"),
    ],
)
def test_a_review_that_makes_no_sense_is_refused(store: Store, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        store.add_review("ada", replace(KEEP, **change), "k1")
    assert store.reviews() == []


def test_stored_reviews_are_never_changed_nor_deleted(store: Store, tmp_path: Path) -> None:
    store.add_review("ada", KEEP, "k1")

    with closing(sqlite3.connect(tmp_path / "medchat.db")) as connection:
        for change in ("UPDATE reviews SET decision = 'drop'", "DELETE FROM reviews"):
            with pytest.raises(sqlite3.IntegrityError, match="only added"):
                connection.execute(change)
    assert values(tmp_path, "SELECT decision FROM reviews") == ["keep"]


def test_reviews_are_in_exports_and_backups(store: Store, tmp_path: Path) -> None:
    store.add_review("ada", FIX, "k1")
    url = f"sqlite:///{tmp_path / 'medchat.db'}"

    counts = export(url, tmp_path / "out")
    backup(url, tmp_path / "copies" / "medchat.db")

    assert counts["reviews"] == 1
    assert '"fixed": {"answer": "Paracetamol 500 mg."}' in (tmp_path / "out" / "reviews.jsonl").read_text()
    assert values(tmp_path / "copies", "SELECT checked_against FROM reviews") == ["BNF 86"]

"""Copies of a store: a backup in one file, an export of every table as JSONL and Parquet."""

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from stores import answered, begin, finish, new_store

from medchat.errors import StoreError
from medchat.records import Sampling
from medchat.store import RatingForm, Store
from medchat.store.backup import backup
from medchat.store.export import export

FORM = RatingForm("clinical-3", 1, {"axes": ["=cmd", "Größe \ud800"]}, {"safety": "4", "clarity": "=1+1"})


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'medchat.db'}"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path)
    yield store
    store.close()


def rated(store: Store, solution: str = "Rest.", **form: Any) -> str:
    """The id of an answer with a rating by Ada."""
    answer = answered(store, store.start_conversation("ada", "demo", "Fever").id, "Why?", solution)
    store.add_rating("ada", answer.id, RatingForm(FORM.rubric_id, 1, FORM.shown, FORM.scores, **form), answer.id)
    return answer.id


def exported(url: str, folder: Path) -> tuple[dict[str, list[dict[str, Any]]], dict[str, list[dict[str, Any]]]]:
    """The rows of each table, as they stand in the JSONL and in the Parquet files."""
    tables = list(export(url, folder))
    assert sorted(f.name for f in folder.iterdir()) == sorted(f"{t}.{e}" for t in tables for e in ("jsonl", "parquet"))
    lines = {table: (folder / f"{table}.jsonl").read_text("utf-8").splitlines() for table in tables}
    return (
        {table: [json.loads(line) for line in rows] for table, rows in lines.items()},
        {table: parquet.read_table(folder / f"{table}.parquet").to_pylist() for table in tables},
    )


def test_a_backup_holds_what_was_just_written(store: Store, url: str, tmp_path: Path) -> None:
    talk = store.start_conversation("ada", "demo", "A cough")
    answer = begin(store, talk.id)
    copy = tmp_path / "copies" / "medchat.db"

    backup(url, copy)

    assert [file.name for file in copy.parent.iterdir()] == ["medchat.db"]
    assert Store(f"sqlite:///{copy}").answers_of("ada", talk.id) == [answer]
    with pytest.raises(StoreError, match="exists already"):
        backup(url, copy)


def test_a_backup_of_nothing_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no database to back up"):
        backup(url, tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []


def test_a_backup_is_whole_while_eight_raters_write(store: Store, url: str, tmp_path: Path) -> None:
    answer_id = rated(store)
    # Enough pages that a copy meets changes on its way.
    store.save_draft("ada", "long", {"text": "x" * 190_000})
    stop, saved = threading.Event(), [0] * 8

    def rate(rater: int) -> None:
        while not stop.is_set() and saved[rater] < 500:
            store.add_rating(
                "ada", answer_id, RatingForm(f"rubric {rater}", 1, {}, {"a": "1", "b": "2"}), f"{rater}:{saved[rater]}"
            )
            saved[rater] += 1

    threads = [threading.Thread(target=rate, args=(rater,)) for rater in range(8)]
    for thread in threads:
        thread.start()
    known: list[tuple[int, int]] = []
    try:
        for n in range(4):
            before = sum(saved)
            backup(url, tmp_path / f"copy{n}.db")
            known.append((before, sum(saved)))
    finally:
        stop.set()
        for thread in threads:
            thread.join()

    assert known[-1][1] > known[0][0], "nobody wrote meanwhile"
    for n, (before, after) in enumerate(known):
        with closing(sqlite3.connect(tmp_path / f"copy{n}.db")) as copy:
            assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert copy.execute("PRAGMA foreign_key_check").fetchall() == []
            [(ratings,)] = copy.execute("SELECT count(*) FROM ratings WHERE rubric_id LIKE 'rubric%'")
            [(scores,)] = copy.execute(
                "SELECT count(*) FROM axis_scores JOIN ratings ON id = rating_id WHERE rubric_id LIKE 'rubric%'"
            )
        # What was acknowledged before is in it; up to eight more may be stored and not yet acknowledged.
        assert before <= ratings <= after + 8
        assert scores == 2 * ratings  # no rating without its scores


def test_an_export_holds_every_table_twice(store: Store, url: str, tmp_path: Path) -> None:
    talk = store.start_conversation("ada", "demo", "A cough")
    finish(store, begin(store, talk.id, "Wärme?", sampling=Sampling(seed=7)).id, "Rest.")
    hidden = answered(store, talk.id, "Two?", "Rest.")
    store.add_thumb("ada", hidden.id, "down", ["unsafe"])
    assert store.delete_answer("ada", talk.id, hidden.id) == "hidden"
    store.add_audit("ada", "export", details={"rows": 3})
    rated(store, critical=True, seconds=2.5)

    lines, columns = exported(url, tmp_path / "out")

    counts = {table: len(rows) for table, rows in lines.items()}
    assert counts == {
        "models": 1, "questions": 3, "conversations": 2, "answers": 3, "thumbs": 1, "users": 0, "sign_ins": 0,
        "comparisons": 0, "preferences": 0, "ratings": 1, "axis_scores": 2, "step_marks": 0, "span_marks": 0,
        "queue_items": 0, "drafts": 0, "audit": 1, "runs": 0, "evaluations": 0, "studies": 0, "study_items": 0,
        "study_raters": 0, "assignments": 0, "calibrations": 0, "adjudications": 0, "reviews": 0,
    }  # fmt: skip
    assert {table: len(rows) for table, rows in columns.items()} == counts
    answer, same = lines["answers"][0], columns["answers"][0]
    assert (answer["question"], answer["solution"], answer["sampling"]["seed"]) == ("Wärme?", "Rest.", 7)
    assert (same["question"], json.loads(same["sampling"])["seed"], same["seed"]) == ("Wärme?", 7, 7)
    assert answer["created_at"] == str(same["created_at"])
    assert answer["created_at"].endswith("+00:00")
    assert lines["thumbs"][0]["reasons"] == ["unsafe"]
    assert (columns["ratings"][0]["critical"], columns["ratings"][0]["seconds"]) == (True, 2.5)
    assert (
        lines["ratings"][0]["shown"] == {"axes": ["=cmd", "Größe \ufffd"]} == json.loads(columns["ratings"][0]["shown"])
    )
    with pytest.raises(StoreError, match="not empty"):
        export(url, tmp_path / "out")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "'=1", "'quoted'"])
def test_what_a_spreadsheet_could_run_is_quoted_and_comes_back_without_one_apostrophe(
    store: Store, url: str, tmp_path: Path, text: str
) -> None:
    rated(store, solution=text)

    lines, columns = exported(url, tmp_path / "out")

    for rows in (lines, columns):
        [answer] = rows["answers"]
        assert answer["solution"] == "'" + text
        assert answer["solution"].removeprefix("'") == text
        assert answer["question"] == "Why?"
    assert {row["value"] for row in lines["axis_scores"]} == {"4", "'=1+1"}


def test_an_export_holds_no_hash_of_a_password_or_of_a_session(store: Store, url: str, tmp_path: Path) -> None:
    ada = store.add_user("ada", "admin", "argon2-of-ada")
    store.begin_sign_in(ada.id, "hash-of-token", datetime.now(UTC) + timedelta(days=1), "10.0.0.1")

    lines, columns = exported(url, tmp_path / "out")

    assert lines["users"][0]["name"] == columns["users"][0]["name"] == "ada"
    assert lines["sign_ins"][0]["address"] == "10.0.0.1"
    everything = b"".join(file.read_bytes() for file in (tmp_path / "out").iterdir())
    assert b"argon2-of-ada" not in everything
    assert b"hash-of-token" not in everything
    assert b"password_hash" not in everything

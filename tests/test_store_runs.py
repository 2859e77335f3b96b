"""Runs and evaluations in the store, and databases from before there were any."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from stores import answered, new_store

from medchat.store import EvaluationRecord, ModelRecord, RunRecord, Store, migrate
from medchat.store.export import export

DAY = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RUN = RunRecord(
    "train-1", "train", "Gout", "ada", "demo-sft", "demo-base", "gout-sft", {"seed": 7}, "done", DAY, DAY,
    {"sft": {"exact": {"value": 0.5, "n": 10}}}, "/data/runs/train-1",
)  # fmt: skip
EVALUATION = EvaluationRecord(
    "e1", "train-1", "gout-sft", "demo-base", "", "abc", "vignettes", "def", {"temperature": 0.0}, 10,
    {"exact": {"value": 0.5, "n": 10, "n_unscored": 0, "low": 0.2, "high": 0.8, "method": "Wilson"}}, DAY,
    "/data/runs/train-1",
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path)
    yield store
    store.close()


def test_a_run_comes_back_with_its_evaluations(store: Store) -> None:
    store.add_run(RUN, [EVALUATION])

    assert store.run_of("train-1") == RUN
    assert store.evaluations() == [EVALUATION]
    assert store.run_of("other") is None


def test_the_same_run_again_takes_the_place_of_what_it_said_before(store: Store) -> None:
    store.add_run(RUN, [EVALUATION, replace(EVALUATION, id="e2", suite="doses")])
    store.add_run(RUN, [EVALUATION])
    again = replace(RUN, status="stopped", ended_at=None)
    later = replace(EVALUATION, id="e3", n=20)

    store.add_run(again, [later])

    assert store.runs() == [again]
    assert store.evaluations() == [later]


def test_runs_and_evaluations_are_found_by_what_they_are_of(store: Store) -> None:
    later = replace(RUN, id="evaluate-1", kind="evaluate", created_at=DAY.replace(day=3), path="/data/runs/evaluate-1")
    found = [
        replace(EVALUATION, id="e2", run_id="evaluate-1", created_at=DAY.replace(day=3)),
        replace(EVALUATION, id="e3", run_id="evaluate-1", model_id="demo", created_at=DAY.replace(day=4)),
        replace(EVALUATION, id="e4", run_id="evaluate-1", suite="doses", created_at=DAY.replace(day=5)),
    ]
    store.add_run(RUN, [EVALUATION])
    store.add_run(later, found)

    assert [run.id for run in store.runs()] == ["evaluate-1", "train-1"]
    assert [run.id for run in store.runs("train")] == ["train-1"]
    assert [row.id for row in store.evaluations("gout-sft", "vignettes")] == ["e2", "e1"]
    assert [row.id for row in store.evaluations(suite="doses")] == ["e4"]
    assert [row.id for row in store.evaluations(model_id="demo")] == ["e3"]


def test_a_model_keeps_how_it_was_trained_when_it_is_described_again(store: Store) -> None:
    store.add_model(ModelRecord("gout-sft", "Gout", base="demo-base", recipe="demo-sft", run_id="train-1"))
    again = store.add_model(ModelRecord("gout-sft", "Gout 2", base="demo-base", adapter_hash="abc"))

    assert (again.name, again.recipe, again.run_id) == ("Gout 2", "demo-sft", "train-1")
    assert store.model("gout-sft") == again
    assert store.model("other") is None


def test_runs_and_evaluations_are_exported(store: Store, tmp_path: Path) -> None:
    store.add_run(RUN, [EVALUATION])

    counts = export(f"sqlite:///{tmp_path / 'medchat.db'}", tmp_path / "out")

    assert (counts["runs"], counts["evaluations"]) == (1, 1)
    assert '"recipe": "demo-sft"' in (tmp_path / "out" / "runs.jsonl").read_text()


def test_a_database_of_the_third_version_keeps_its_rows(tmp_path: Path) -> None:
    third = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, third, ignore=shutil.ignore_patterns("__pycache__", "000[456]*"))
    file = tmp_path / "medchat.db"
    url = f"sqlite:///{file}"
    migrate.upgrade(url, tmp_path, third)
    assert migrate.revisions(third)[-1] == "0003"
    moment = "'2026-01-02 03:04:05.000000'"
    rows = f"""
        INSERT INTO models VALUES ('demo', 'Demo', 'llama', 'r7', 'abc', 'think', {moment});
        INSERT INTO questions VALUES ('f00d', '', 'Why the fever?', {moment});
        INSERT INTO conversations VALUES ('c1', 'ada', 'Fever', 'demo', {moment}, {moment}, NULL);
        INSERT INTO answers (id, question_id, context, question, conversation_id, position, version, model_id, status,
            raw, reasoning, solution, complete, error, answer_format, origin, note, created_at, updated_at, selected_at,
            owner, base, revision, adapter_hash)
        VALUES ('a1', 'f00d', '', 'Why the fever?', 'c1', 0, 1, 'demo', 'done', '', '', 'Rest.', 1, '', 'think', 'chat',
            '', {moment}, {moment}, {moment}, 'ada', 'llama', 'r7', 'abc');
        INSERT INTO ratings (id, rater, created_at, save_key, answer_id, rubric_id, rubric_version, shown, harm_extent,
            harm_likelihood, critical, cannot_rate, corrected_reasoning, corrected_solution, comment, seconds, blinded)
        VALUES ('r1', 'ada', {moment}, 'k1', 'a1', 'clinical-3', 1, '{{}}', 'none', 'low', 0, '', '', '', 'Good.', 3,
            0);
    """
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(rows)

    saved = migrate.upgrade(url, tmp_path / "backups")

    assert saved is not None
    store = Store(url)
    model = store.model("demo")
    assert model == ModelRecord(
        "demo", "Demo", "llama", "r7", "abc", "think", "", "", model.created_at if model else DAY
    )
    assert [answer.solution for answer in store.answers_of("ada", "c1")] == ["Rest."]
    assert answered(store, "c1", "And now?", "Sleep.").base == "llama"
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT comment FROM ratings").fetchall() == [("Good.",)]
        assert connection.execute("SELECT * FROM pragma_foreign_key_check").fetchall() == []
        with pytest.raises(sqlite3.IntegrityError, match="only added"):
            connection.execute("UPDATE ratings SET comment = 'Bad.'")
    store.add_run(RUN, [EVALUATION])
    assert store.evaluations("gout-sft") == [EVALUATION]
    store.close()

"""The review of training rows: who looks at what, what came of it, and the rows as the reviewers leave them."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from stores import new_store

from medchat.errors import InvalidInput, NotFound
from medchat.records import Example
from medchat.store import NewReview, Review, Store
from train.__main__ import main
from train.review import ReviewSet, content_sha, outcome_of
from train.review_apply import apply, freeze

DAY = datetime(2026, 1, 2, tzinfo=UTC)


def row(name: str, split: str = "train", **meta: Any) -> Example:
    return Example(f"What is {name}?", f"It is {name}.", id=name, split=split, source="made", licence="MIT", meta=meta)


PLAIN, SAMPLE, DOSE = row("plain"), row("sample"), row("dose", flags=["ambiguous dose"])
HELD, CHECK = row("held", flags=["unsafe advice"]), row("check", "validation")
SHOWN = (
    (SAMPLE, "random sample"), (DOSE, "flagged, about doses"), (HELD, "flagged"), (CHECK, "random sample"),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as `quality` writes it."""
    folder = tmp_path / "checked"
    folder.mkdir()
    shown = [replace(one, meta={**one.meta, "review_why": [why]}) for one, why in SHOWN]
    files = {"train": [PLAIN, SAMPLE, DOSE], "validation": [CHECK], "held": [HELD], "review": shown}
    for name, rows in files.items():
        (folder / f"{name}.jsonl").write_text("".join(one.to_json() + "\n" for one in rows))
    report = {"template": "instruction", "review": {"reviewers_per_row": 1}}
    (folder / "report.json").write_text(json.dumps(report))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path)
    yield store
    store.close()


def decide(store: Store, reviewer: str, example: Example, decision: Any, **more: Any) -> Review:
    reason = "" if decision == "keep" else "wrong"
    new = NewReview("s", example.id, content_sha(example), decision, reason, **more)
    return store.add_review(reviewer, new, f"{reviewer} {example.id}")


def said(reviewer: str, decision: Any, minute: int = 0, answer: str | None = None) -> Review:
    fixed = {"answer": answer} if answer else None
    at = DAY + timedelta(minutes=minute)
    return Review(reviewer, "s", "q", "c", reviewer, decision, "", fixed, "", 1.0, at, None)


def rows_of(folder: Path, name: str) -> dict[str, Example]:
    lines = (folder / f"{name}.jsonl").read_text().splitlines()
    return {example.id: example for example in map(Example.from_json, lines)}


@pytest.mark.parametrize(
    ("reviews", "per_row", "state", "decision"),
    [
        ([], 1, "open", None),
        ([said("ada", "keep")], 1, "decided", "keep"),
        ([said("ada", "keep")], 2, "waiting", None),
        ([said("ada", "keep"), said("bob", "keep")], 2, "decided", "keep"),
        ([said("ada", "keep"), said("bob", "drop")], 2, "disputed", None),
        ([said("ada", "keep"), said("bob", "drop")], 1, "disputed", None),
        ([said("ada", "keep"), said("bob", "drop"), said("cyd", "drop")], 2, "decided", "drop"),
        ([said("ada", "keep"), said("bob", "drop"), said("cyd", "fix", 0, "Rest.")], 2, "decided", "fix"),
        ([said("ada", "fix", 0, "Rest."), said("bob", "fix", 0, "Rest. ")], 2, "decided", "fix"),
        ([said("ada", "fix", 0, "Rest."), said("bob", "fix", 0, "Sleep.")], 2, "disputed", None),
    ],
)
def test_two_who_agree_decide_and_a_third_where_they_differ(
    reviews: list[Review], per_row: int, state: str, decision: str | None
) -> None:
    outcome = outcome_of(reviews, per_row)

    assert outcome.state == state
    assert (outcome.review.decision if outcome.review else None) == decision


def test_the_queue_begins_with_doses_and_ends_with_the_random_sample(folder: Path) -> None:
    sample = ReviewSet(folder)

    ids = [item.row_id for item in sample.queue([], "ada")]

    assert ids[:2] == ["dose", "held"]
    assert sorted(ids[2:]) == ["check", "sample"]
    assert sample.row(sample.items[1]).question == "What is dose?"


def test_a_row_that_two_differ_about_comes_first_for_a_third_alone(folder: Path, store: Store) -> None:
    sample = ReviewSet(folder)
    decide(store, "ada", SAMPLE, "keep")
    decide(store, "bob", SAMPLE, "drop")
    reviews = sample.reviews(store)

    assert sample.queue(reviews, "cyd")[0].row_id == "sample"
    assert "sample" not in [item.row_id for item in sample.queue(reviews, "ada")]
    [(item, opinions)] = sample.disagreements(reviews)
    assert (item.row_id, [one.decision for one in opinions]) == ("sample", ["keep", "drop"])
    now = sample.progress(reviews, "ada")
    assert (now.total, now.decided, now.disputed, now.mine, now.left, now.reviewers) == (4, 0, 1, 1, 3, 2)


def test_with_two_reviewers_a_row_waits_for_the_second(folder: Path, store: Store) -> None:
    sample = ReviewSet(folder)
    decide(store, "ada", DOSE, "keep")
    reviews = sample.reviews(store)

    assert "dose" in [item.row_id for item in sample.queue(reviews, "bob", 2)]
    assert "dose" not in [item.row_id for item in sample.queue(reviews, "ada", 2)]
    assert sample.progress(reviews, "bob", 2).waiting == 1
    assert sample.progress(reviews, "bob", 1).decisions == {"keep": 1, "fix": 0, "drop": 0}


def test_decisions_stay_with_a_row_when_the_sample_is_drawn_anew(folder: Path, store: Store) -> None:
    decide(store, "ada", DOSE, "keep")
    before = ReviewSet(folder)
    (folder / "review.jsonl").write_text(replace(DOSE, meta={}).to_json() + "\n" + PLAIN.to_json() + "\n")

    after = ReviewSet(folder)

    assert after.id != before.id
    assert [item.row_id for item in after.queue(after.reviews(store), "bob")] == ["plain"]


def test_decisions_are_applied_and_every_row_is_accounted_for(folder: Path, store: Store, tmp_path: Path) -> None:
    decide(store, "ada", SAMPLE, "drop")
    decide(store, "ada", DOSE, "fix", fixed={"answer": "500 micrograms."}, checked_against="BNF")
    decide(store, "ada", HELD, "keep")

    report = apply(folder, ReviewSet(folder).reviews(store), tmp_path / "out")

    train = rows_of(tmp_path / "out", "train")
    assert set(train) == {"plain", "dose", "held"}
    assert (train["dose"].answer, train["dose"].meta["reviewed"]) == ("500 micrograms.", "fix")
    assert train["held"].answer == "It is held."
    assert set(rows_of(tmp_path / "out", "validation")) == {"check"}  # of the random sample: it stays unread
    assert (report["rows_in"], report["kept"]) == (5, 4)
    assert report["dropped"] == {"dropped by a reviewer": 1}
    assert report["decisions"] == {"keep": 1, "fix": 1, "drop": 1}
    assert (report["reviewers"], report["checked_against_a_source"], report["template"]) == (1, 1, "instruction")
    assert '"ada"' not in json.dumps(report)


def test_flagged_rows_on_which_nobody_decided_are_left_out(folder: Path, store: Store, tmp_path: Path) -> None:
    report = apply(folder, [], tmp_path / "out")

    assert set(rows_of(tmp_path / "out", "train")) == {"plain", "sample"}
    assert report["dropped"] == {
        "flagged, and nobody has decided yet": 1, "held back, and nobody has decided yet": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("decisions", "why"),
    [
        (["drop"], "one of two reviewers has looked, and would not keep it as it is"),
        (["keep", "drop"], "reviewers differ, and nobody has settled it"),
    ],
)
def test_a_row_that_somebody_would_drop_is_not_taught_before_it_is_settled(
    folder: Path, store: Store, tmp_path: Path, decisions: list[str], why: str
) -> None:
    for name, decision in zip(("ada", "bob"), decisions, strict=False):
        decide(store, name, SAMPLE, decision)

    report = apply(folder, ReviewSet(folder).reviews(store), tmp_path / "out", reviewers_per_row=2)

    assert set(rows_of(tmp_path / "out", "train")) == {"plain"}
    assert report["dropped"][why] == 1


def test_a_held_row_that_two_differ_about_is_said_to_be_so(folder: Path, store: Store, tmp_path: Path) -> None:
    decide(store, "ada", HELD, "keep")
    decide(store, "bob", HELD, "drop")
    decide(store, "ada", DOSE, "keep")

    report = apply(folder, ReviewSet(folder).reviews(store), tmp_path / "out", reviewers_per_row=2)

    assert report["dropped"] == {
        "reviewers differ, and nobody has settled it": 1,
        "held back or flagged, and one of two reviewers has looked": 1,
    }


@pytest.mark.parametrize(
    ("decision", "fixed", "left"),
    [("drop", None, {"plain", "other"}), ("fix", {"answer": "Another."}, {"plain", "sample", "other"}),
     ("keep", None, {"plain", "sample", "child", "other"})],
)  # fmt: skip
def test_a_child_with_its_parents_answer_goes_with_it(
    folder: Path, store: Store, tmp_path: Path, decision: str, fixed: dict[str, str] | None, left: set[str]
) -> None:
    child = replace(row("child", parent="sample", made="synonyms"), answer=SAMPLE.answer)
    own = row("other", parent="sample", made="distilled")  # its answer is its own
    with (folder / "train.jsonl").open("a") as lines:
        lines.write(f"{child.to_json()}\n{own.to_json()}\n")
    decide(store, "ada", SAMPLE, decision, fixed=fixed)
    decide(store, "ada", DOSE, "drop")

    report = apply(folder, ReviewSet(folder).reviews(store), tmp_path / "out")

    assert set(rows_of(tmp_path / "out", "train")) == left
    assert report["rows_in"] == report["kept"] + sum(report["dropped"].values()) == 7


def test_the_reviewed_validation_is_frozen(folder: Path, store: Store, tmp_path: Path) -> None:
    decide(store, "ada", SAMPLE, "keep")
    with pytest.raises(InvalidInput, match="validation"):
        freeze(folder, ReviewSet(folder).reviews(store), tmp_path / "frozen.jsonl")
    decide(store, "ada", CHECK, "fix", fixed={"answer": "It is checked."})

    assert freeze(folder, ReviewSet(folder).reviews(store), tmp_path / "frozen.jsonl") == 1

    [frozen] = rows_of(tmp_path, "frozen").values()
    assert (frozen.id, frozen.answer, frozen.split) == ("check", "It is checked.", "validation")


def test_a_folder_without_a_sample_is_refused_in_one_line(folder: Path, tmp_path: Path) -> None:
    (folder / "review.jsonl").unlink()

    with pytest.raises(NotFound, match="train quality"):
        ReviewSet(folder)


def test_a_folder_that_is_not_there_is_told_from_one_without_rows_to_review(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"^There is no folder .*nowhere"):
        ReviewSet(tmp_path / "nowhere")


def test_without_a_database_nobody_has_reviewed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = str(tmp_path / "empty")

    assert main(["review", str(folder), "--data-dir", empty]) == 0
    assert "0 of 4 rows decided (0 keep, 0 fix, 0 drop), reviewers: 0" in capsys.readouterr().out

    assert main(["review", str(folder), "--data-dir", empty, "--apply", str(tmp_path / "out")]) != 0
    said = capsys.readouterr().err
    assert "Nobody has reviewed yet" in said
    assert f"`python app.py --data-dir {empty}`" in said
    assert not (tmp_path / "out").exists()


def test_the_command_says_how_far_it_is_and_applies(
    folder: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    decide(store, "ada", HELD, "drop")
    out = str(tmp_path / "out")

    status = main(["review", str(folder), "--apply", out, "--data-dir", str(tmp_path)])

    assert status == 0
    shown = capsys.readouterr().out
    assert "1 of 4 rows decided (0 keep, 0 fix, 1 drop), reviewers: 1" in shown
    assert "left out, dropped by a reviewer: 1" in shown

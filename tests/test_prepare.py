"""Source files to training data, and the commands that write training data."""

import json
from pathlib import Path

import pytest
from judged_answers import Judges

from medchat.errors import InvalidInput, NotFound
from medchat.records import Example, question_id
from train.__main__ import main
from train.prepare import Source, prepare, source_of
from train.suite_questions import suite_questions


def examples(path: Path, rows: list[Example]) -> Source:
    path.write_text("".join(row.to_json() + "\n" for row in rows))
    return Source("examples", path)


def lines(folder: Path, split: str) -> list[Example]:
    return [Example.from_json(line) for line in (folder / f"{split}.jsonl").read_text().splitlines()]


def test_rows_are_split_by_question_and_said_once(tmp_path: Path) -> None:
    rows = [Example(f"Question {n}?", f"Answer {n}.", licence="MIT") for n in range(200)]
    again = Example("  question 7?", "Another answer.", licence="MIT")
    source = examples(tmp_path / "rows.jsonl", [*rows, again, Example("No answer?", None)])

    report = prepare([source], tmp_path / "a", {}, seed=3)
    same = prepare([source], tmp_path / "b", {}, seed=3)
    other = prepare([source], tmp_path / "c", {}, seed=4)

    splits = {
        split: {row.question for row in lines(tmp_path / "a", split)} for split in ("train", "validation", "test")
    }
    assert set.union(*splits.values()) == {row.question for row in rows}
    assert report["rows"] == {split: len(its) for split, its in splits.items()}
    # 200 draws at 0.1 each: four standard deviations are 17.
    assert 3 <= report["rows"]["validation"] <= 37
    assert 3 <= report["rows"]["test"] <= 37
    assert report["sources"][0]["left_out"] == {"a question that was there before": 1, "no answer": 1}
    assert report["sources"][0]["licences"] == {"MIT": 200}
    assert all(row.id and row.split == "test" for row in lines(tmp_path / "a", "test"))
    assert report == same
    assert report["sha256"] != other["sha256"]


def test_a_row_stays_in_the_split_that_it_names(tmp_path: Path) -> None:
    source = examples(tmp_path / "rows.jsonl", [Example("A?", "a", split="test"), Example("B?", "b", split="train")])

    prepare([source], tmp_path / "out", {})

    assert [row.question for row in lines(tmp_path / "out", "test")] == ["A?"]


def test_questions_of_suites_and_rows_for_evaluation_are_left_out(tmp_path: Path) -> None:
    rows = [Example("A?", "a", split="train"), Example("B?", "b"), Example("C?", "c", meta={"canary": "x"})]
    source = examples(tmp_path / "rows.jsonl", rows)

    report = prepare([source], tmp_path / "out", {rows[1].question_id: "handwritten"})

    assert report["rows"]["train"] == 1
    assert report["sources"][0]["left_out"] == {
        "a question of the evaluation suite handwritten": 1, "marked as for evaluation alone": 1
    }  # fmt: skip


def test_medical_o1_becomes_examples_with_reasoning(tmp_path: Path) -> None:
    rows = [{"Question": f"Why {n}?", "Complex_CoT": "Hmm.", "Response": "So."} for n in range(30)]
    file = tmp_path / "medical_o1_sft.json"
    file.write_text(json.dumps([*rows, {"Question": "Why?", "Complex_CoT": "Hmm.", "Response": None}]))

    report = prepare([Source("medical_o1", file)], tmp_path / "out", {})

    first = lines(tmp_path / "out", "train")[0]
    assert (first.rationale, first.answer, first.licence) == ("Hmm.", "So.", "Apache-2.0")
    assert sum(report["rows"].values()) == 30
    assert report["sources"][0]["left_out"] == {"no answer": 1}


def test_nothing_to_train_on_is_said_and_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare([examples(tmp_path / "rows.jsonl", [Example("A?", "a", split="train")])], out, {})
    before = (out / "train.jsonl").read_bytes()

    with pytest.raises(InvalidInput, match="No row is left to train on: 1 no answer"):
        prepare([examples(tmp_path / "none.jsonl", [Example("A?", None)])], out, {})

    assert (out / "train.jsonl").read_bytes() == before
    assert sorted(path.name for path in out.iterdir()) == [
        "report.json",
        "test.jsonl",
        "train.jsonl",
        "validation.jsonl",
    ]


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("rows.jsonl", InvalidInput, "write ADAPTER=PATH"),
        ("magic=rows.jsonl", NotFound, "no adapter 'magic'; choose examples or medical_o1"),
        ("examples=/not/there", NotFound, "no file or folder /not/there"),
    ],
)
def test_a_source_names_its_adapter_and_is_there(text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        source_of(text)


def test_the_commands_write_folders_and_show_what_is_in_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held_out = next(iter(suite_questions(None)))
    assert len(held_out) == 64
    judges = Judges(tmp_path)
    judges.vote("ada", "a", "Gout.", "Cellulitis.")
    judges.store.close()
    examples(tmp_path / "rows.jsonl", [Example("A?", "a", split="train")])
    common = ["--data-dir", str(tmp_path)]

    assert main(["feedback", "--out", str(tmp_path / "ratings"), *common]) == 0
    assert (
        main(["prepare", "--source", f"examples={tmp_path / 'rows.jsonl'}", "--out", str(tmp_path / "p"), *common]) == 0
    )
    assert main(["feedback", "--out", str(tmp_path / "x"), "--min-probability", "0.4", *common]) == 1

    said = capsys.readouterr()
    assert "dpo.jsonl: 1 train, 0 validation" in said.out
    assert "chosen:   Gout." in said.out
    assert "train.jsonl: 1" in said.out
    assert "between 0.5 and 1" in said.err
    assert (tmp_path / "ratings" / "dpo.jsonl").is_file()
    assert (tmp_path / "p" / "train.jsonl").is_file()


def test_a_question_of_a_suite_is_held_out_in_each_way_in_which_it_is_asked(tmp_path: Path) -> None:
    (tmp_path / "suites").mkdir()
    row = Example("Which?", "B", kind="mcq", context="A case.", options={"A": "Flu", "B": "Gout"})
    examples(tmp_path / "suites" / "mine.jsonl", [row])

    held_out = suite_questions(tmp_path)

    asked = "Which?\n\nOptions:\nA. Flu\nB. Gout\n\nThe correct option is:"  # by the template for a choice
    for question in ("Which?", asked, "Which?\nA. Flu\nB. Gout"):
        assert held_out[question_id("A case.", question)] == "mine"
    assert {"handwritten", "combinations"} <= set(held_out.values())


def test_a_suite_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "mine.jsonl").write_text("{}\n")

    with pytest.raises(InvalidInput, match=r"mine\.jsonl, line 1"):
        suite_questions(tmp_path)

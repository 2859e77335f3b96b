"""Folders of rows: read, written whole or not at all, with a report."""

from pathlib import Path

import pytest

from medchat.errors import InvalidInput, NotFound
from medchat.records import Example
from train.row_files import RowsWriter, read_rows, report_of, row_bytes, write_report

ROWS = [
    Example("Taught?", "Yes.", id="1", split="train"),
    Example("Tested?", "Yes.", id="2", split="test"),
    Example("Open?", None, id="3", split="train"),
]


def write(folder: Path, rows: list[Example]) -> RowsWriter:
    with RowsWriter(folder) as writer:
        for row in rows:
            writer.write(row)
    return writer


def test_each_row_goes_to_its_file_and_comes_back(tmp_path: Path) -> None:
    writer = write(tmp_path, ROWS)

    assert writer.n == {"train": 1, "validation": 0, "test": 1, "unlabelled": 1}
    found = list(read_rows(tmp_path))
    assert [where for where, _ in found] == ["train.jsonl, line 1", "test.jsonl, line 1", "unlabelled.jsonl, line 1"]
    assert {row.id for _, row in found} == {"1", "2", "3"}
    assert [row.id for _, row in read_rows(tmp_path, ["test"])] == ["2"]
    # SHA-256 of no bytes at all.
    assert writer.sha256["validation"].startswith("e3b0c44298fc1c14")


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    broken = Example("Half \ud83d?", "No.")
    with pytest.raises(InvalidInput):
        write(tmp_path, [ROWS[1], broken])

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_with_a_report_is_one_whose_files_belong_together(tmp_path: Path) -> None:
    with RowsWriter(tmp_path, ["train"], ".csv", lambda row: row.question.encode(), b"question\n") as writer:
        writer.write(ROWS[0])
    write_report(tmp_path, {"kind": "prepared", "sha256": writer.sha256})
    assert (tmp_path / "train.csv").read_bytes() == b"question\nTaught?"
    assert report_of(tmp_path)["kind"] == "prepared"
    assert (tmp_path / "report.html").is_file()

    write(tmp_path, ROWS)

    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == [
        "test.jsonl", "train.jsonl", "unlabelled.jsonl", "validation.jsonl",
    ]  # fmt: skip
    assert report_of(tmp_path) == {}
    write(tmp_path, ROWS[:2])  # a run that ended before its report is gone over
    assert [row.id for _, row in read_rows(tmp_path)] == ["1", "2"]


@pytest.mark.parametrize("name", ["train.csv", "train.jsonl", "unlabelled.txt"])
@pytest.mark.parametrize("reported", [False, True])
def test_a_file_of_somebodys_own_is_neither_deleted_nor_overwritten(tmp_path: Path, name: str, reported: bool) -> None:
    if reported:
        writer = write(tmp_path, ROWS)
        write_report(tmp_path, {"kind": "prepared", "sha256": writer.sha256})
    (tmp_path / name).write_text("my own rows")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    with pytest.raises(InvalidInput, match=rf"holds a {name} that its report\.json does not name.*another --out"):
        write(tmp_path, ROWS)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_has_no_answer_yet_is_jsonl_beside_any_other_format(tmp_path: Path) -> None:
    with RowsWriter(tmp_path, ["train", "unlabelled"], ".csv", lambda row: row.question.encode(), b"head\n") as writer:
        writer.write(ROWS[0])
        writer.write(ROWS[2])

    assert (tmp_path / "train.csv").read_bytes() == b"head\nTaught?"
    assert [row.id for _, row in read_rows(tmp_path, ["unlabelled"])] == ["3"]


def test_a_row_of_odd_values_is_written_and_half_a_character_is_refused() -> None:
    big = Example("How many?", "Many.", meta={"n": 1 << 80})
    assert Example.from_json(row_bytes(big).decode()).meta == {"n": 1 << 80}
    with pytest.raises(InvalidInput, match="no Unicode text"):
        row_bytes(Example("Half \ud83d?", "No."))


def test_what_is_no_folder_of_rows_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no file or folder"):
        list(read_rows(tmp_path / "gone"))
    with pytest.raises(InvalidInput, match=r"holds no train\.jsonl"):
        list(read_rows(tmp_path))
    (tmp_path / "train.jsonl").write_text(ROWS[0].to_json() + "\nbroken\n")
    with pytest.raises(InvalidInput, match=r"train\.jsonl, line 2: not JSON"):
        list(read_rows(tmp_path))

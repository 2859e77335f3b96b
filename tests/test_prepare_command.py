"""What `prepare` says on the command line: what it refuses in a line, and what it asks people to look at."""

import json
from pathlib import Path

import pytest
from prepared_rows import prepared, rows, source

from medchat.records import Example
from train.__main__ import main
from train.prepare_command import summary_lines
from train.report_notes import notes_of


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which the command fails."""
    assert main(list(arguments)) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def command(folder: Path, *more: str) -> list[str]:
    """A prepare of 30 rows."""
    source(folder / "rows.jsonl", rows(30))
    places = ["--out", str(folder / "out"), "--data-dir", str(folder / "data")]
    return ["prepare", "--source", f"examples={folder / 'rows.jsonl'}", *places, *more]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--languages", "english"], "--languages english: no language that can be told from others"),
        (["--languages", "en,xx"], "--languages xx: no language"),
        (["--languages", ""], "or all"),
        (["--min-answer-chars", "-1"], "--min-answer-chars is a whole number from 0 on"),
        (["--max-context-chars", "-5"], "--max-context-chars is a whole number from 0 on"),
        (["--min-question-chars", "90", "--max-question-chars", "80"],
         "--min-question-chars is at most what --max-question-chars is"),
        (["--format", "text"], "add --template instruction or --template role"),
    ],
)  # fmt: skip
def test_an_option_that_would_do_nothing_or_harm_is_refused_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert said in refused(capsys, *command(tmp_path, *more))
    assert not (tmp_path / "out").exists()


def test_languages_are_codes_in_any_case_or_all(tmp_path: Path) -> None:
    assert main(command(tmp_path, "--languages", "EN, de")) == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["settings"]["limits"]["languages"] == ["en", "de"]
    assert main(command(tmp_path, "--languages", "all")) == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["settings"]["limits"]["languages"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["prepare", "--source", "examples=rows.jsonl", "--out", "o"], ["quality", "in", "--out", "o"],
        ["augment", "in", "--out", "o", "--kind", "synonyms"],
        ["distill", "in", "--out", "o", "--kind", "label", "--teacher", "t"], ["run", "recipe.yaml", "--data", "in"],
    ],
)  # fmt: skip
def test_to_resume_the_folder_of_the_run_has_to_be_named(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "--resume goes on with the run in --run-dir; give that too." in refused(capsys, *arguments, "--resume")


def test_of_files_that_no_other_command_reads_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(tmp_path)) == 0
    assert "JSONL alone" not in capsys.readouterr().out
    assert main(command(tmp_path, "--format", "csv")) == 0
    assert "of these csv files only unlabelled.jsonl goes on" in capsys.readouterr().out


def test_the_first_row_that_cannot_be_read_is_told_with_file_and_line(tmp_path: Path) -> None:
    lines = [row.to_json() for row in rows(30)]
    lines[3] = '{"question": "Cut off'
    lines[9] = "[1]"
    its = source(tmp_path / "rows.jsonl", [])
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))

    said = summary_lines(prepared([its], tmp_path / "out"))

    told = next(line for line in said if "broken" in line)
    assert told.startswith("  2 broken rows (the first: rows.jsonl, line 4: ")


def test_a_row_without_an_answer_to_an_answered_question_has_a_reason_of_its_own(tmp_path: Path) -> None:
    found = rows(30)
    again = [Example(found[3].question, None), Example(found[4].question, "Something else.")]

    report = prepared([source(tmp_path / "rows.jsonl", [*found, *again])], tmp_path / "out")

    assert report["sources"][0]["dropped"] == {
        "no answer, and its question was there before": 1, "the same question with another answer": 1
    }  # fmt: skip
    assert report["duplicates"]["other_answer"] == 1
    note = "1 answer of Examples: MedChat's own rows was left out: the same question was there before with another"
    assert any(line.startswith(note) for line in notes_of(report))
    assert any(line.startswith(note) for line in summary_lines(report))


def test_a_set_too_small_to_validate_with_is_said(tmp_path: Path) -> None:
    report = prepared([source(tmp_path / "rows.jsonl", rows(2, split="train"))], tmp_path / "out")

    assert report["rows"]["validation"] == 0
    assert any("There is no row to validate with" in line for line in summary_lines(report))
    assert "There is no row to validate with" in (tmp_path / "out" / "report.html").read_text()


def test_rows_of_ones_own_that_are_read_as_a_public_set_are_told(tmp_path: Path) -> None:
    own = [{"question": row.question, "answer": row.answer} for row in rows(20)]
    real = [{**row, "question_id": str(number)} for number, row in enumerate(own)]
    for name, found in (("own", own), ("real", real)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
        assert main([
            "prepare", "--source", f"medquad={tmp_path / name}.jsonl", "--out", str(tmp_path / name),
            "--data-dir", str(tmp_path / "data"),
        ]) == 0  # fmt: skip

    notes = {
        name: [line for line in notes_of(json.loads((tmp_path / name / "report.json").read_text())) if "fields" in line]
        for name in ("own", "real")
    }
    assert notes["real"] == []
    assert notes["own"][0].startswith(
        "20 records of own.jsonl have none of the fields that MedQuAD has (document_source,"
    )
    assert "CC-BY-4.0" in notes["own"][0]

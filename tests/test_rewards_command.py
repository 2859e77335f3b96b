"""`python -m train rewards`: what rewards give for completions, before a run."""

import json
from pathlib import Path
from typing import Any

import pytest

from medchat.rundir import RunDir
from train.__main__ import main

ASKED: dict[str, Any] = {
    "answer_format": "think",
    "example": {"question": "He has a red toe. What is it?", "answer": "Gout"},
    "completions": ["<think>A red toe.</think>Gout", "Influenza"],
    "names": ["answer_exact", "format_exact", "judge"],
}


def asked(folder: Path, **changes: Any) -> str:
    file = folder / "asked.json"
    file.write_text(json.dumps({**ASKED, **changes}))
    return str(file)


def test_each_reward_is_printed_for_each_completion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rewards", asked(tmp_path), "--data-dir", str(tmp_path)]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[:2] == [["answer_exact", "1", "0"], ["format_exact", "1", "0"]]
    assert lines[2][0] == "judge"  # and why it could not be computed
    assert len(lines[2]) == 2


def test_a_run_keeps_what_came_out(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert main(["rewards", asked(tmp_path), "--run-dir", str(folder), "--data-dir", str(tmp_path)]) == 0
    result = RunDir(folder).result()
    assert result
    assert result["values"]["answer_exact"] == [1.0, 0.0]
    assert list(result["missing"]) == ["judge"]
    assert RunDir(folder).state().status == "done"


@pytest.mark.parametrize(("changes", "message"), [
    ({"completions": []}, "give 1 to 50 completions"),
    ({"completions": "Gout"}, "'completions' is no list of texts"),
    ({"answer_format": "none"}, "'answer_format' is none of"),
    ({"names": ["niceness"]}, "there is no reward 'niceness'"),
    ({"example": {"question": "Why?"}}, "'answer' is missing"),
    ({"example": None}, "expected a JSON object"),
])  # fmt: skip
def test_what_cannot_be_scored_is_one_clear_line(
    tmp_path: Path, changes: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rewards", asked(tmp_path, **changes)]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_file_that_is_not_there_or_no_json_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text("{")
    for name in ("none.json", "x.json"):
        assert main(["rewards", str(tmp_path / name)]) == 1
    assert capsys.readouterr().err.count("train: ") == 2

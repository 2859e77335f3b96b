"""`python -m medchat`: what somebody at a terminal gets to see."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_models import write_chain_model, write_unknown_architecture

ROOT = Path(__file__).parent.parent
CHAIN = ["\nabcdefghij<|end|>"]  # the prompt ends with a line break


def run(*arguments: str | Path, data_dir: Path, text: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "medchat", *map(str, arguments), "--data-dir", str(data_dir)]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, cwd=ROOT, check=False)


def line_of(result: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """The only line on stderr of a command that failed with this code."""
    assert result.returncode == code, result
    (line,) = result.stderr.splitlines()
    return line


def test_every_command_explains_itself(tmp_path: Path) -> None:
    for command in (["ask"], ["models"], ["db", "upgrade"], ["db", "backup"], ["db", "export"]):
        result = run(*command, "--help", data_dir=tmp_path)
        assert result.returncode == 0
        assert "--data-dir" in result.stdout
        assert "--db" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [[], ["ask"], ["frobnicate"], ["ask", "Fever?", "--seed", "x"], ["ask", "Fever?", "--max-new-tokens", "0"]],
)
def test_wrong_arguments_end_with_2(tmp_path: Path, arguments: list[str]) -> None:
    assert run(*arguments, data_dir=tmp_path).returncode == 2


@pytest.mark.parametrize(("question", "line"), [
    ("", "Please type a case or a question."),
    ("x" * 200_000, "200,000 characters"),
])  # fmt: skip
def test_nothing_and_too_much_give_one_line(tmp_path: Path, question: str, line: str) -> None:
    assert line in line_of(run("ask", "-", data_dir=tmp_path, text=question))


def test_an_unknown_model_and_a_file_that_is_none_give_one_line(tmp_path: Path) -> None:
    assert "demo" in line_of(run("ask", "Fever?", "--model", "nonsense", data_dir=tmp_path))
    foreign = write_unknown_architecture(tmp_path / "abacus.gguf")
    assert line_of(run("ask", "Fever?", "--model", foreign, data_dir=tmp_path)).startswith("medchat: ")


def test_ask_prints_one_json_object(tmp_path: Path) -> None:
    path = write_chain_model(tmp_path / "chain.gguf", CHAIN)
    result = run("ask", "-", "--model", path, "--json", data_dir=tmp_path, text="Why the fever?")

    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert list(answer) == [
        "model", "reasoning", "solution", "complete", "prompt_tokens", "completion_tokens", "ttft_ms", "tokens_per_s",
    ]  # fmt: skip
    assert answer["solution"] == "abcdefghij"
    assert answer["complete"] is True
    assert answer["completion_tokens"] == len("abcdefghij")
    assert answer["ttft_ms"] > 0


def test_ask_without_json_writes_the_answer_and_says_when_it_was_cut(tmp_path: Path) -> None:
    path = write_chain_model(tmp_path / "chain.gguf", CHAIN)
    result = run("ask", "Why the fever?", "--model", path, "--max-new-tokens", "4", data_dir=tmp_path)

    assert result.returncode == 0, result.stderr
    assert result.stdout == "Solution\nabcd\n"
    assert "not complete" in result.stderr


def test_models_lists_the_bundled_ones(tmp_path: Path) -> None:
    rows = json.loads(run("models", "--json", data_dir=tmp_path).stdout)

    assert [(row["id"], row["default"]) for row in rows] == [("demo", True), ("demo-base", False)]
    assert "demo-base" in run("models", data_dir=tmp_path).stdout


def test_the_store_is_made_copied_and_exported(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert "no database" in line_of(run("db", "export", tmp_path / "rows", data_dir=data))
    assert run("db", "upgrade", data_dir=data).returncode == 0
    assert (data / "medchat.db").is_file()
    assert run("db", "backup", tmp_path / "copy.db", data_dir=data).returncode == 0
    assert "exists already" in line_of(run("db", "backup", tmp_path / "copy.db", data_dir=data))
    assert run("db", "export", tmp_path / "rows", data_dir=data).returncode == 0
    assert (tmp_path / "rows" / "answers.jsonl").is_file()


def test_upgrade_keeps_off_a_data_folder_in_use_or_in_the_way(tmp_path: Path) -> None:
    from medchat.store.lock import hold_data_dir

    with hold_data_dir(tmp_path / "data"):
        assert "already runs" in line_of(run("db", "upgrade", data_dir=tmp_path / "data"))
    (tmp_path / "file").write_text("")
    assert "a file stands in its place" in line_of(run("db", "upgrade", data_dir=tmp_path / "file"))


def test_a_wrong_database_url_gives_one_line(tmp_path: Path) -> None:
    assert "--db" in line_of(run("db", "upgrade", "--db", "nonsense", data_dir=tmp_path))

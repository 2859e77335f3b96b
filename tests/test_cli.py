"""`python -m medchat`: what somebody at a terminal gets to see."""

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from fake_hub import FakeHub
from tiny_models import N_CTX_TRAIN, write_chain_model, write_unknown_architecture

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
    commands = (
        "ask", "models", "models add", "models remove", "models fetch", "db upgrade", "db backup", "db export",
        "users add", "users list", "users disable", "users enable", "users reset", "users role",
    )  # fmt: skip
    for command in map(str.split, commands):
        result = run(*command, "--help", data_dir=tmp_path)
        assert result.returncode == 0
        assert "--data-dir" in result.stdout
        assert "--db" in result.stdout


@pytest.mark.parametrize("arguments", [
    "", "ask", "frobnicate", "ask Fever? --seed x", "ask Fever? --max-new-tokens 0",
    "models add", "models add x.gguf --hub org/x", "models fetch", "models frobnicate",
    "users", "users add Ada", "users add Ada --role root", "users role Ada", "users frobnicate",
])  # fmt: skip
def test_wrong_arguments_end_with_2(tmp_path: Path, arguments: str) -> None:
    assert run(*arguments.split(), data_dir=tmp_path).returncode == 2


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


def test_models_lists_the_bundled_ones_with_how_they_run(tmp_path: Path) -> None:
    rows = json.loads(run("models", "--json", data_dir=tmp_path).stdout)

    assert [(row["id"], row["default"], row["state"]) for row in rows[:2]] == [
        ("demo", True, "here"), ("demo-base", False, "here"),
    ]  # fmt: skip
    assert any(not row["available"] and row["download_gb"] for row in rows)
    lines = run("models", data_dir=tmp_path).stdout.splitlines()
    assert len(lines) == len(rows)
    assert lines[0].startswith("demo\tMedChat Demo (default)\tllama.cpp\tneeds ")


def test_a_model_is_added_answers_and_is_removed(tmp_path: Path) -> None:
    path = write_chain_model(tmp_path / "Chain One.gguf", CHAIN)
    prompt = tmp_path / "system.txt"
    prompt.write_text("Be brief.\n")
    added = run("models", "add", path, "--system-prompt-file", prompt, data_dir=tmp_path)
    assert added.returncode == 0, added.stderr
    assert added.stdout == "Added Chain One as chain-one.\n"

    answer = run("ask", "Why the fever?", "--model", "chain-one", data_dir=tmp_path)
    assert "abcdefghij" in answer.stdout
    (row,) = [row for row in json.loads(run("models", "--json", data_dir=tmp_path).stdout) if row["own"]]
    assert (row["id"], row["state"]) == ("chain-one", "here")

    assert run("models", "remove", "chain-one", data_dir=tmp_path).returncode == 0
    assert path.is_file()
    assert "chain-one" in line_of(run("models", "remove", "chain-one", data_dir=tmp_path))
    assert "cannot be removed" in line_of(run("models", "remove", "demo", data_dir=tmp_path))


@pytest.mark.parametrize(("arguments", "words"), [
    (["none.gguf"], "no file or folder 'none.gguf'"),
    (["README.md"], "README.md"),
    (["README.md", "--file", "x.gguf"], "--file goes with --hub only"),
    (["--hub", "org/x", "--key-variable", "A_KEY"], "--key-variable goes with --endpoint only"),
    (["--endpoint", "https://x.example", "--served-name", "m", "--base", "demo"], "--base goes with an adapter"),
    (["--hub", "org/x", "--prompt-file", "none.txt"], "none.txt cannot be read"),
    (["--endpoint", "http://127.0.0.1:1/v1", "--served-name", "m"], "127.0.0.1"),
    (["--endpoint", "https://x.example", "--served-name", "m", "--key-variable", "sk-abc"], "looks like a key"),
])  # fmt: skip
def test_what_cannot_be_added_gives_one_line(tmp_path: Path, arguments: list[str], words: str) -> None:
    assert words in line_of(run("models", "add", *arguments, data_dir=tmp_path))
    assert not (tmp_path / "models.yaml").exists()


def test_a_model_of_the_hub_is_added_fetched_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = write_chain_model(tmp_path / "chain.gguf", CHAIN).read_bytes()
    with FakeHub({"org/chain": {"chain.gguf": content}}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        data = tmp_path / "data"
        added = run("models", "add", "--hub", "org/chain", "--file", "chain.gguf", "--name", "far", data_dir=data)
        assert "models fetch far" in added.stdout
        assert "fetch far" in line_of(run("ask", "Why the fever?", "--model", "far", data_dir=data))

        fetched = run("models", "fetch", "far", data_dir=data)
        assert fetched.stdout == "far is here.\n"
        assert "far: 100 % of" in fetched.stderr
    assert (data / "models" / "org--chain" / "chain.gguf").read_bytes() == content
    (row,) = [row for row in json.loads(run("models", "--json", data_dir=data).stdout) if row["own"]]
    assert (row["n_ctx"], row["available"]) == (N_CTX_TRAIN, True)
    assert run("models", "fetch", "far", data_dir=data).stdout == "far is here.\n"


def test_what_the_hub_does_not_have_is_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeHub({"org/x": {"x.gguf": b"GGUF"}}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        missing = line_of(run("models", "add", "--hub", "org/none", data_dir=tmp_path))
        assert "org/none was not added" in missing
        assert "The Hub has no org/none" in missing
        other = line_of(run("models", "add", "--hub", "org/x", "--file", "y.gguf", data_dir=tmp_path))
        assert "org/x has no file 'y.gguf'" in other
    unreachable = line_of(run("models", "add", "--hub", "org/x", "--file", "x.gguf", data_dir=tmp_path))
    assert "The Hub cannot be reached" in unreachable
    assert not (tmp_path / "models.yaml").exists()


@pytest.mark.usefixtures("interruptible")
def test_a_download_that_fails_and_one_that_is_broken_off_say_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeHub({"org/x": {"x.gguf": b"GGUF" * 100_000}}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        run("models", "add", "--hub", "org/x", "--file", "x.gguf", data_dir=tmp_path)
        hub.gated.add("org/x")
        failed = run("models", "fetch", "x", data_dir=tmp_path)
        assert failed.returncode == 1
        assert "accept its terms" in failed.stderr.splitlines()[-1]

        hub.gated.clear()
        hub.chunk_delay_s = 0.3
        command = [sys.executable, "-m", "medchat", "models", "fetch", "x", "--data-dir", str(tmp_path)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        assert process.stderr
        while " 0 %" in (line := process.stderr.readline()) or "asking" in line:
            pass
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "is kept; go on with: python -m medchat models fetch x" in rest
        hub.chunk_delay_s = 0
        hub.seen.clear()
        run("models", "fetch", "x", data_dir=tmp_path)
        assert hub.asked_for("x.gguf")[0].range


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


PASSWORD = "correct horse"


def users(data_dir: Path) -> list[tuple[str, str, bool]]:
    rows = json.loads(run("users", "list", "--json", data_dir=data_dir).stdout)
    return [(row["name"], row["role"], row["disabled"]) for row in rows]


def add_user(data_dir: Path, name: str, role: str, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    return run("users", "add", name, "--role", role, "--password-stdin", data_dir=data_dir, text=f"{password}\n")


def test_accounts_are_made_before_the_app_ever_ran_and_looked_after(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert "no database" in line_of(run("users", "list", data_dir=data))
    assert "first account must be an admin" in line_of(add_user(data, "Bob", "rater"))
    assert add_user(data, "Ada Lovelace", "admin").stdout == "Added Ada Lovelace as admin.\n"
    assert add_user(data, "Bob", "rater").returncode == 0
    assert run("users", "role", "bob", "engineer", data_dir=data).stdout == "Bob is engineer now.\n"
    assert run("users", "disable", "BOB", data_dir=data).stdout == "Bob can no longer sign in.\n"
    assert users(data) == [("Ada Lovelace", "admin", False), ("Bob", "engineer", True)]
    assert run("users", "list", data_dir=data).stdout.splitlines()[1] == "Bob\tengineer\tdisabled\tpassword"
    assert run("users", "enable", "Bob", data_dir=data).stdout == "Bob can sign in again.\n"
    reset = run("users", "reset", "Bob", "--password-stdin", data_dir=data, text="another password\n")
    assert reset.stdout == "Bob has a new password, and is signed out everywhere.\n"


def test_what_no_account_can_be_made_of_gives_one_line(tmp_path: Path) -> None:
    add_user(tmp_path, "Ada", "admin")
    assert "10 characters" in line_of(add_user(tmp_path, "Eve", "rater", "short"))
    assert "already" in line_of(add_user(tmp_path, "ADA", "rater"))
    assert "last admin" in line_of(run("users", "disable", "Ada", data_dir=tmp_path))
    assert "no user 'Bob'" in line_of(run("users", "reset", "Bob", "--password-stdin", data_dir=tmp_path, text="x"))
    assert "--password-stdin" in line_of(run("users", "add", "Bob", "--role", "rater", data_dir=tmp_path))
    assert users(tmp_path) == [("Ada", "admin", False)]


@pytest.mark.parametrize(("again", "said"), [
    (PASSWORD, "Added Ada as admin."), ("correct house", "The two were not the same."),
])  # fmt: skip
def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(tmp_path: Path, again: str, said: str) -> None:
    command = [sys.executable, "-m", "medchat", "users", "add", "Ada", "--role", "admin", "--data-dir", str(tmp_path)]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        os.execv(sys.executable, command)
    shown = b""
    for prompt, typed in ((b"New password: ", PASSWORD), (b"The same again: ", again)):
        while prompt not in shown:
            shown += os.read(terminal, 1000)
        os.write(terminal, f"{typed}\n".encode())
    with suppress(OSError):  # what a terminal gives when its process has ended
        while more := os.read(terminal, 1000):
            shown += more
    os.waitpid(pid, 0)
    os.close(terminal)
    assert said in shown.decode()
    assert PASSWORD not in shown.decode()
    assert bool(users(tmp_path)) == (again == PASSWORD)

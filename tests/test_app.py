"""Starting the app: what goes wrong is one clear line, and nothing opens to the network unasked."""

import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import app
from medchat.settings import Settings
from medchat.store.lock import hold_data_dir
from medchat.store.migrate import upgrade

ROOT = Path(app.__file__).parent


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which a start fails."""
    assert app.main(list(arguments)) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("medchat: ")
    return printed.err


def test_a_port_in_use(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        line = refusal(capsys, "--port", port, "--data-dir", str(tmp_path))
    assert f"127.0.0.1:{port} is in use" in line
    assert "--port" in line


def test_an_address_of_another_machine(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = refusal(capsys, "--host", "192.0.2.1", "--data-dir", str(tmp_path))
    assert "192.0.2.1:7860 cannot be used" in line


def test_a_host_that_does_not_exist(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = refusal(capsys, "--host", "no.such.host.invalid", "--data-dir", str(tmp_path))
    assert "no.such.host.invalid:7860 cannot be used" in line


def test_a_file_where_the_data_folder_should_be(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_text("")
    assert "a file stands in its place" in refusal(capsys, "--data-dir", str(file))


def test_a_second_app_on_the_same_data_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with hold_data_dir(tmp_path):
        line = refusal(capsys, "--data-dir", str(tmp_path))
    assert "Another MedChat already runs" in line


def test_a_store_of_a_newer_version(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    upgrade(Settings(data_dir=tmp_path).db_url, tmp_path / "backups")
    with sqlite3.connect(tmp_path / "medchat.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    line = refusal(capsys, "--port", str(free_port()), "--data-dir", str(tmp_path))
    assert "newer MedChat" in line


def test_an_unknown_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    line = refusal(capsys, "--model", "gpt-9", "--port", str(free_port()), "--data-dir", str(tmp_path))
    assert "'gpt-9'" in line
    assert "demo" in line


def test_an_address_for_others_without_an_account(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = tmp_path / "data of ours"
    line = refusal(capsys, "--host", "0.0.0.0", "--port", str(free_port()), "--data-dir", str(data))
    said = re.search(r"Make an admin first: python -m (.+)$", line.strip())
    assert said
    command = shlex.split(said[1].replace("NAME", "Ada"))
    made = subprocess.run(
        [sys.executable, "-m", *command, "--password-stdin"], input="correct horse\n", cwd=ROOT, text=True, timeout=60,
        capture_output=True,
    )  # fmt: skip
    assert made.stdout == "Added Ada as admin.\n", made.stderr


def test_a_name_for_others_without_an_account(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDCHAT_ALLOWED_HOSTS", "medchat.example")
    assert "it has no accounts" in refusal(capsys, "--port", str(free_port()), "--data-dir", str(tmp_path))


def test_a_space_on_which_nobody_could_sign_in(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPACE_ID", "team/medchat")
    arguments = ["--host", "127.0.0.1", "--port", str(free_port()), "--data-dir", str(tmp_path)]
    assert "MEDCHAT_ALLOWED_USERS" in refusal(capsys, *arguments)
    monkeypatch.setenv("MEDCHAT_ALLOWED_USERS", "ada:admin")
    assert "hf_oauth" in refusal(capsys, *arguments)


def test_a_bad_setting(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDCHAT_PORT", "many")
    assert "MEDCHAT_PORT is 'many'" in refusal(capsys, "--data-dir", str(tmp_path))


@pytest.mark.parametrize("arguments", [["--port", "0"], ["--port", "x"], ["--nonsense"]])
def test_wrong_arguments_exit_with_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        app.main(arguments)
    assert exit_.value.code == 2


def test_it_says_its_address_once_it_answers_and_leaves_when_asked(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, str(ROOT / "app.py"), "--port", str(port), "--data-dir", str(tmp_path)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"MedChat is ready: http://127.0.0.1:{port}\n"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
            assert answer.status == 200
        with pytest.raises((ConnectionError, TimeoutError)), socket.create_connection((own_address(), port), timeout=2):
            pass
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        assert time.monotonic() - begun < 8
    finally:
        process.kill()
        process.communicate()


def own_address() -> str:
    """An address of this machine that is not loopback's, or one that is nobody's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: a datagram socket only looks up the route
            address: str = probe.getsockname()[0]
        except OSError:
            return "127.0.0.2"
    return address


def test_the_web_process_does_without_the_heavy_libraries() -> None:
    heavy = {"torch", "transformers", "sklearn", "llama_cpp"}
    code = f"import app, medchat.server, sys; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == ""

"""`python -m train distill` as people give it: an estimate, a limit, another folder, and a process that is killed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from job_processes import until
from openai_servers import HANG, Reply, delta, sse
from teacher_server import TeacherServer, said, teacher_server
from test_distill import folder, row, rows_in

from medchat.models_file import write_models
from medchat.rundir import RunDir
from medchat.settings import ROOT
from train.__main__ import main
from train.teacher_words import price_of

KEY = "MEDCHAT_TEST_TEACHER_KEY"
VALUE = "value-that-nobody-may-see"


def data_dir(tmp_path: Path, server: TeacherServer, **endpoint: Any) -> Path:
    """A data folder whose catalogue has the server's model, called `far`."""
    path = tmp_path / "data"
    path.mkdir(exist_ok=True)
    write_models(path / "models.yaml", [{
        "id": "far", "name": "Far", "backend": "openai", "answer_format": "think", "n_ctx": 8192,
        "sampling": {"max_new_tokens": 100}, "description": "A test.", "licence": "Terms of far", "limits": ["A test."],
        "endpoint": {
            "base_url": server.url, "model": "m", "key_variable": KEY, "input_price": 1.0, "output_price": 2.0,
            **endpoint,
        },
    }])  # fmt: skip
    return path


def command(tmp_path: Path, *more: str, out: str = "out") -> list[str]:
    source = tmp_path / "in"
    if not source.exists():
        folder(source, [row(n) for n in range(12)])
    return [
        "distill", str(source), "--out", str(tmp_path / out), "--teacher", "far", "--data-dir", str(tmp_path / "data"),
        *more,
    ]  # fmt: skip


def test_the_estimate_is_said_and_nothing_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, VALUE)
    with teacher_server() as server:
        data_dir(tmp_path, server, requests_per_minute=6)
        assert main(command(tmp_path, "--estimate")) == 0

    said_lines = capsys.readouterr().out
    assert "far: 12 requests, 0 answers there already" in said_lines
    assert "1,200 out (at most" in said_lines
    assert "about 2.0 min" in said_lines
    assert not server.arrivals
    assert not (tmp_path / "out").exists()


def test_a_run_keeps_its_state_and_result_and_never_the_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, VALUE)
    run = RunDir(tmp_path / "run")
    with teacher_server() as server:
        data_dir(tmp_path, server)
        assert main(command(tmp_path, "--mix", "50-50", "--run-dir", str(run.path))) == 0
        assert {arrival.key for arrival in server.arrivals} == {VALUE}

    assert run.state().status == "done"
    result = run.result()
    assert result is not None
    assert (result["kind"], result["rows"]["train"]) == ("distilled", 24)
    assert run.config()["kind"] == "prepare"
    shown = capsys.readouterr()
    assert "far: 12 answers, 0 there already, 0 failed attempts, 0.0002 USD" in shown.out
    written = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert not any(VALUE.encode() in content for content in written)
    assert VALUE not in shown.out + shown.err


def test_without_a_key_a_repeated_run_works_and_a_new_one_says_what_to_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, VALUE)
    with teacher_server() as server:
        data_dir(tmp_path, server)
        assert main(command(tmp_path)) == 0
        monkeypatch.delenv(KEY)
        assert main(command(tmp_path, out="again")) == 0
        assert main(command(tmp_path, "--style", "brief", out="other")) == 1

    assert len(server.arrivals) == 12
    assert (tmp_path / "again" / "train.jsonl").read_bytes() == (tmp_path / "out" / "train.jsonl").read_bytes()
    assert f"Set {KEY} in the environment" in capsys.readouterr().err
    assert not (tmp_path / "other" / "train.jsonl").exists()


def test_the_sample_for_people_is_said_and_what_the_bundled_model_cannot_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, VALUE)
    with teacher_server() as server:
        data_dir(tmp_path, server)
        assert main(command(tmp_path)) == 0
        assert f"`python -m train quality {tmp_path / 'out'} --out DIR`" in capsys.readouterr().out
        assert main([*command(tmp_path, "--estimate"), "--teacher", "demo"]) == 0

    said_once = [line for line in capsys.readouterr().err.splitlines() if "for demonstration" in line]
    assert len(said_once) == 1
    assert "Knows only the conditions of its knowledge base" in said_once[0]


def test_augment_says_what_its_teacher_would_cost_and_asks_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, VALUE)
    arguments = ["augment", *command(tmp_path)[1:], "--kind", "paraphrase"]
    with teacher_server() as server:
        data_dir(tmp_path, server, input_price=None, output_price=None)
        assert main([*arguments, "--budget", "1"]) == 1
        assert "--price IN/OUT" in capsys.readouterr().err
        assert main([*arguments, "--estimate", "--price", "1/2"]) == 0

    shown = capsys.readouterr().out
    # 12 rows, one request each; of 320 tokens at most: 160 for each of two paraphrases
    assert "far: 12 requests, 0 answers there already" in shown
    assert "3,840 out (at most" in shown
    assert "USD, at most" in shown
    assert not server.arrivals
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (["--kind", "rank"], "needs two answers|needs who ranks"),
        (["--kind", "rank", "--judge", "far", "--mix", "50/50"], "pairs"),
        (["--judge", "far"], "for --kind rank"),
        (["--mix", "half"], "50/50 or 70/30"),
        (["--price", "cheap"], "such as 0.5/2"),
        (["--teacher", "far"], "named twice"),
        (["--kind", "rank", "--reward-model", "nowhere"], "no folder with a config.json"),
        (["--per-question", "21"], "from 0 to 20"),
        (["--weak-share", "0"], "above 0"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    more: Sequence[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with teacher_server() as server:
        data_dir(tmp_path, server, input_price=None, output_price=None)
        assert main(command(tmp_path, *more)) == 1

    shown = capsys.readouterr().err
    assert any(words in shown for words in line.split("|"))
    assert len(shown.splitlines()) == 1


def test_a_limit_on_spending_needs_a_price_which_may_be_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, VALUE)
    with teacher_server() as server:
        data_dir(tmp_path, server, input_price=None, output_price=None)
        assert main(command(tmp_path, "--budget", "1")) == 1
        assert "--price IN/OUT" in capsys.readouterr().err
        assert not server.arrivals
        assert main(command(tmp_path, "--budget", "1", "--price", "1/2")) == 0

    assert "12 answers" in capsys.readouterr().out
    assert price_of("0.5/2") == (0.5, 2.0)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_asks_and_pays_for_nothing_twice(tmp_path: Path) -> None:
    answered_at_first = 6

    def answers(prompt: str, earlier: int) -> Reply:
        if hanging and len(server.arrivals) > answered_at_first:
            return Reply(sse(delta(content="Re"), HANG))
        return said(f"Rest, {prompt[-7:]}")

    hanging = True
    with teacher_server(answers) as server:
        data_dir(tmp_path, server)
        argv = [sys.executable, "-m", "train", *command(tmp_path, "--at-once", "2", "--mix", "70/30")]
        environment = {**os.environ, KEY: VALUE}
        ledger = tmp_path / "out" / ".work"
        process = subprocess.Popen(
            argv, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

        def ended() -> int:
            return sum(file.read_text().count('"ended"') for file in ledger.rglob("spending.jsonl"))

        try:
            until(lambda: ended() == answered_at_first and len(server.arrivals) == answered_at_first + 2, 120)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert not (tmp_path / "out" / "train.jsonl").exists()
        before = [arrival.prompt for arrival in server.arrivals]
        hanging = False
        done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=170)
        assert done.returncode == 0, done.stderr
        assert main(command(tmp_path, "--mix", "70/30", out="undisturbed")) == 0

    under_way = set(before[answered_at_first:])
    assert len(before) == 8
    # Each of twelve is asked once; only the two whose answers nobody had yet are asked again.
    assert len(server.arrivals) == 12 + 2
    for prompt in {arrival.prompt for arrival in server.arrivals}:
        assert server.times_asked(prompt) == (2 if prompt in under_way else 1)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["teachers"]["far"]["asked"] == 12
    assert report["cost"] == pytest.approx(12 * 2e-5)
    assert 2 * 100 * 2e-6 < report["possibly_charged"] < 2 * 400 * 1e-6  # the most that two requests may cost
    assert report["answers"] == {"used": 12, "unused": 0}
    same = tmp_path / "undisturbed" / "train.jsonl"
    assert (tmp_path / "out" / "train.jsonl").read_bytes() == same.read_bytes()
    assert len(rows_in(same)) == 17  # 12 of 17 are 70.6 %, as near to 70 % as can be

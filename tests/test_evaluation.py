"""`python -m evaluation`: its arguments, what cannot be run, whole runs, and the benches' reports."""

import json
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from stores import new_store

from evaluation.__main__ import main
from evaluation.bench import Report, Row, at_least, at_most, publish
from evaluation.bench.load import Asked, clients_at_once, mean_and_p95, tokens_before, tokens_per_s
from medchat.errors import ModelUnavailable
from medchat.settings import ROOT
from medchat.store import Store

# Command line


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--model", "default", "--suite", "nothing"], "evaluation: There is no suite 'nothing'"),
        (["--model", "nobody", "--suite", "handwritten"], "evaluation: There is no model 'nobody'"),
        (["--model", "grounding", "--suite", "{folder}/broken.jsonl"], "evaluation: broken.jsonl, line 1: not JSON"),
        (["--model", "grounding", "--suite", "{folder}/empty.jsonl"], "evaluation: empty.jsonl has no examples"),
        (
            ["--model", "default", "--suite", "handwritten", "--out", "{folder}/file/out"],
            "evaluation: {folder}/file/out",
        ),
        (["--model", "default", "--suite", "handwritten", "--metrics", "exact,nope"], "evaluation: There is no metric"),
        (["--model", "default", "--suite", "handwritten", "--template", "nope"], "evaluation: There is no template"),
        (
            ["--model", "default", "--suite", "handwritten", "--judge", "nobody"],
            "evaluation: There is no model 'nobody'",
        ),
        (["--model", "default", *["--suite", "handwritten"] * 2], "evaluation: Two suites are called 'handwritten'"),
    ],
)
def test_what_cannot_be_run_gives_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    (tmp_path / "broken.jsonl").write_text("{\n")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "file").write_text("")
    filled = [argument.format(folder=tmp_path) for argument in arguments]
    status = main(["run", "--out", str(tmp_path / "out"), "--data-dir", str(tmp_path / "data"), *filled])
    error = capsys.readouterr().err
    assert status == 1
    assert error.startswith(line.format(folder=tmp_path))
    assert error.count("\n") == 1
    assert not (tmp_path / "data").exists()  # it failed before anything slow


@pytest.mark.parametrize(
    "arguments",
    [[], ["run"], ["run", "--model", "demo", "--suite", "x", "--out", "o", "--limit", "0"], ["bench", "nothing"]],
)
def test_wrong_arguments_exit_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2


def test_the_suites_and_metrics_that_there_are_can_be_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["suites", "--data-dir", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("medmcqa "))
    assert lines[at].split()[1:] == ["benchmark", "MIT"]
    assert lines[at + 1].strip().startswith("missing: Get its files from https://")
    handwritten = next(line for line in lines if line.startswith("handwritten "))
    assert handwritten.split()[1:] == ["bundled", "60", "Apache-2.0"]
    assert main(["metrics", "--data-dir", str(tmp_path)]) == 0
    assert re.search(r"^exact  +Exact answer: ", capsys.readouterr().out, re.MULTILINE)


def test_a_run_is_taken_into_the_store_and_its_folder_is_not_run_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"id": f"q{n}", "question": f"Fever and cough {n}?", "answer": "flu", "kind": "diagnosis"} for n in range(3)
    ]
    suite, out = tmp_path / "mine.jsonl", tmp_path / "out"
    suite.write_text("\n".join(map(json.dumps, rows)))
    new_store(tmp_path).close()
    command = ["run", "--model", "grounding", "--suite", str(suite), "--out", str(out), "--data-dir", str(tmp_path)]
    assert main(command) == 0
    with closing(Store(f"sqlite:///{tmp_path / 'medchat.db'}")) as store:
        [evaluation] = store.evaluations()
    assert (evaluation.model_id, evaluation.suite, evaluation.n) == ("grounding", "mine", 3)
    assert evaluation.summary["exact"]["n"] == 3
    assert main(command) == 1
    assert "holds a run already; add --resume" in capsys.readouterr().err
    assert main([*command, "--resume", "--seed", "1"]) == 1
    assert "its seed was 0 and is 1 now" in capsys.readouterr().err
    assert main([*command, "--resume"]) == 0
    assert len((out / "predictions.jsonl").read_text().splitlines()) == 3


@pytest.mark.slow
@pytest.mark.timeout(400)  # two starts, each of which fits the recogniser
@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_a_run_within_seconds_and_it_goes_on_from_there(tmp_path: Path) -> None:
    # More answers than are written at once, so that it is still at work when it is interrupted.
    flags = ["--model", "default", "--suite", "wordings", "--limit", "200", "--metrics", "exact"]
    folders = ["--out", str(tmp_path / "out"), "--data-dir", str(tmp_path / "data")]
    command = [sys.executable, "-m", "evaluation", "run", *flags, *folders]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    predictions = tmp_path / "out/predictions.jsonl"
    deadline = time.monotonic() + 120
    while not (predictions.exists() and predictions.stat().st_size):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=15)[1]
    assert process.returncode == 130
    assert error.endswith("evaluation: stopped; what was done is kept.\n")
    kept = predictions.read_text().splitlines()
    done = subprocess.run([*command, "--resume"], cwd=ROOT, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    lines = predictions.read_text().splitlines()
    assert lines[: len(kept)] == kept
    assert len({json.loads(line)["id"] for line in lines}) == len(lines) == 200


@pytest.mark.slow
def test_the_whole_command_from_cases_to_files(tmp_path: Path) -> None:
    flags = ["--model", "grounding", "--model", "default", "--suite", "handwritten", "--limit", "3"]
    folders = ["--out", str(tmp_path / "out"), "--data-dir", str(tmp_path / "data")]
    command = [sys.executable, "-m", "evaluation", "run", *flags, *folders]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("handwritten: 3 examples\nmodel ")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert list(summary) == ["grounding", "demo"]
    assert summary["demo"]["format_ok"]["n"] == 3


# Benches


def test_tokens_are_counted_up_to_the_end_of_the_time() -> None:
    answer = Asked(began=0.0, first=1.0, last=3.0, tokens=21)  # one at 1 s, then 10 a second
    assert [tokens_before(answer, moment) for moment in (0.5, 1.0, 2.0, 3.0, 9.0)] == [0, 1, 11, 21, 21]


def test_speed_of_streams_leaves_out_the_time_to_the_first_token() -> None:
    # 20 tokens in 2 s and 10 in 1 s after the first: 30 / 3
    answers = [Asked(0.0, 1.0, 3.0, 21), Asked(0.0, 5.0, 6.0, 11)]
    assert tokens_per_s(answers) == 10.0
    assert mean_and_p95(answers) == (3.0, 5.0)


def test_clients_ask_again_until_the_time_is_up() -> None:
    asked_numbers: list[int] = []

    def ask(number: int) -> Asked:
        asked_numbers.append(number)
        began = time.monotonic()
        time.sleep(0.05)
        return Asked(began, time.monotonic(), time.monotonic(), 10)

    asked, speed = clients_at_once(ask, clients=3, seconds=0.3)
    assert sorted(asked_numbers) == list(range(len(asked)))  # each number once
    assert 6 <= len(asked) <= 18  # at most 6 times 3, on a busy machine fewer
    assert 0 < speed <= 18 * 10 / 0.3


def test_a_client_that_fails_fails_the_bench() -> None:
    def ask(number: int) -> Asked:
        raise ModelUnavailable("gone")

    with pytest.raises(ModelUnavailable, match="gone"):
        clients_at_once(ask, clients=2, seconds=0.05)


def test_a_report_says_which_aims_are_met(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        at_least("speed", "tokens/s", 3.0, "other", 4.0, 0.8),  # 0.75
        at_most("wait", "s", 1.0, "other", 8.0, 0.2),  # 0.125
        Row("share", "s", 2.0, "without", 1.0, 2.0),
    ]
    publish(Report("toy", {"threads": 2}, rows), tmp_path / "new" / "bench.json")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "bench toy: threads 2"
    assert lines[2].split() == ["speed,", "tokens/s", "3", "4", "other", "0.75", "ratio", ">=", "0.8", "MISSED"]
    assert lines[3].split() == ["wait,", "s", "1", "8", "other", "0.125", "ratio", "<=", "0.2", "met"]
    assert lines[4].split() == ["share,", "s", "2", "1", "without", "2"]
    written = json.loads((tmp_path / "new" / "bench.json").read_text())
    assert [row["met"] for row in written["rows"]] == [False, True, None]
    assert written["machine"]["cores"] >= 1

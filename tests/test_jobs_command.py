"""`python -m medchat jobs`, with and without an app."""

import json
import os
import re
from pathlib import Path

import pytest
from job_processes import app, app_jobs, until, worker
from stores import new_store

from medchat.__main__ import main
from medchat.jobs import Jobs
from medchat.rundir import RunDir
from medchat.store.lock import app_runs, hold_data_dir


def jobs_in(folder: Path) -> Jobs:
    return Jobs(folder / "runs", lambda job, run_dir: None, lambda run_dir: None)


def run(folder: Path, *arguments: str) -> int:
    return main(["jobs", *arguments, "--data-dir", str(folder)])


def test_the_list_says_how_each_run_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "list") == 0
    assert capsys.readouterr().out == ""
    jobs = jobs_in(tmp_path)
    waiting = jobs.submit("train", "Gout", worker(), "ada")
    with RunDir(tmp_path / "runs" / "mine").begin({"kind": "evaluate"}, 30) as writer:
        writer.record(12)
        run(tmp_path, "list")

    mine, line = capsys.readouterr().out.splitlines()
    assert mine.startswith("mine\tevaluate\tmine\trunning, step 12 of 30\t20")
    assert line.startswith(f"{waiting}\ttrain\tGout\tqueued (number 1 in line)\t20")
    run(tmp_path, "list", "--json")
    first, second = json.loads(capsys.readouterr().out)
    assert (first["id"], first["status"], first["step"]) == ("mine", "done", 12)
    assert (second["id"], second["owner"], second["place"]) == (waiting, "ada", 1)


def test_runs_are_compared_by_what_differs_and_what_they_came_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, rate, loss in (("one", 0.1, 2.0), ("two", 0.2, 1.25)):
        config = {"recipe": {"name": "r", "about": name, "stages": [{"kind": "sft", "learning_rate": rate}]}}
        with RunDir(tmp_path / "runs" / name).begin(config, 2) as writer:
            writer.stage("0-sft", 2)
            writer.record(1, loss=9.0)
            writer.record(2, loss=loss, **({"eval_loss": 3.0} if name == "two" else {}))
            exact = {"exact": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}, "nothing": {"value": None}}
            writer.result({"stages": [{"kind": "sft", "metrics": exact if name == "two" else {}}]})

    assert run(tmp_path, "compare", "one", "two") == 0
    assert capsys.readouterr().out.splitlines() == [
        "\tone\ttwo",
        "recipe.stages.0.learning_rate\t0.1\t0.2",
        "0-sft loss\t2\t1.25",
        "0-sft eval_loss\t–\t3",
        "0-sft exact\t–\t0.5",
    ]
    assert run(tmp_path, "compare", "one", "two", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["settings"] == {"recipe.stages.0.learning_rate": ["0.1", "0.2"]}
    assert found["values"]["0-sft eval_loss"] == [None, 3.0]
    run(tmp_path, "compare", "one", "one")
    assert "Their settings are the same." in capsys.readouterr().out
    assert run(tmp_path, "compare", "one") == 1
    assert "Give two ids or more" in capsys.readouterr().err
    assert run(tmp_path, "compare", "one", "gone") == 1
    assert "There is no such run" in capsys.readouterr().err


def test_a_run_is_stopped_resumed_and_removed_where_no_app_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = new_store(tmp_path)
    with app(tmp_path):
        jobs = jobs_in(tmp_path)
        job_id = jobs.submit("train", "Gout", worker(500), "ada")
        until(lambda: jobs.view(job_id).state.step >= 1)

    assert run(tmp_path, "delete", job_id) == 1
    assert capsys.readouterr().err == "medchat: This run is at work; stop it first.\n"
    assert run(tmp_path, "stop", job_id) == 0
    assert re.fullmatch(r"Gout: stopped, step \d+ of 500\n", capsys.readouterr().out)
    assert run(tmp_path, "resume", job_id) == 0
    assert capsys.readouterr().out == (f"{job_id} waits in line. It begins when MedChat is started: python app.py\n")
    assert jobs.view(job_id).place == 1
    assert run(tmp_path, "delete", job_id) == 0
    assert jobs.all() == []
    assert run(tmp_path, "stop", job_id) == 1
    assert capsys.readouterr().err == "medchat: There is no such run; it may have been deleted.\n"
    rows = {(row.actor, row.action, row.target) for row in store.audit()}
    assert rows == {("terminal", f"job {what}", job_id) for what in ("stopped", "resumed", "deleted")}


def test_a_running_app_does_what_the_command_asks_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = app_jobs(tmp_path)
    with hold_data_dir(tmp_path):
        jobs.start()
        job_id = jobs.submit("train", "Gout", worker(6, 0.2), "ada")
        until(lambda: jobs.view(job_id).state.step >= 1)
        assert run(tmp_path, "stop", job_id) == 0
        assert run(tmp_path, "resume", job_id) == 0
        assert capsys.readouterr().out.endswith("waits in line.\n")
        assert run(tmp_path, "follow", job_id) == 0
        shown = capsys.readouterr().out.splitlines()
        jobs.close()

    assert "step 5  loss 0.2" in shown
    assert shown[-1] == "done, step 6 of 6"
    assert run(tmp_path, "follow", job_id, "--log") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "done, step 6 of 6"


def test_whether_an_app_runs_is_told_by_its_lock(tmp_path: Path) -> None:
    assert not app_runs(tmp_path / "no")
    assert not app_runs(tmp_path)
    with hold_data_dir(tmp_path):
        assert app_runs(tmp_path)
    assert not app_runs(tmp_path)
    assert os.listdir(tmp_path) == ["medchat.lock"]

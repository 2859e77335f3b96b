"""The line of jobs: one at a time, on disk, and the truth about each, whoever dies."""

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from job_processes import app, app_jobs, kill, starter, until, worker

from medchat.errors import InvalidInput, NotFound, RunError
from medchat.job_files import Job
from medchat.jobs import Jobs
from medchat.processes import process_started
from medchat.run_state import LIVING, RunState, now
from medchat.rundir import RunDir
from medchat.settings import ROOT, Settings
from train.launch import command_line, launch

SLEEPER = ("python", "-c", "import time; time.sleep(60)", "{run_dir}")


def unstarted(folder: Path, **more: object) -> Jobs:
    """Jobs as a command line sees them: nothing is begun."""
    return Jobs(folder / "runs", lambda job, run_dir: None, lambda run_dir: None, **more)  # type: ignore[arg-type]


@contextmanager
def started(jobs: Jobs) -> Iterator[Jobs]:
    jobs.start()
    try:
        yield jobs
    finally:
        jobs.close()
        for view in jobs.all():
            if view.state.status in LIVING and view.state.pid != os.getpid():
                kill(view.state.pid)


def status(jobs: Jobs, job_id: str) -> str:
    return jobs.view(job_id).state.status


def becomes(jobs: Jobs, job_id: str, wanted: str) -> None:
    until(lambda: status(jobs, job_id) == wanted)


def ended(folder: Path) -> list[str]:
    file = folder / "ended"
    return file.read_text().splitlines() if file.exists() else []


def test_jobs_run_one_after_another_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    with started(app_jobs(tmp_path)) as jobs:
        ids = [jobs.submit("train", f"job {n}", worker(4, 0.05), "ada") for n in range(3)]
        until(lambda: status(jobs, ids[0]) == "running")
        assert [jobs.view(job_id).place for job_id in ids] == [None, 1, 2]
        assert [view.job.name for view in jobs.all()] == ["job 2", "job 1", "job 0"]
        before = jobs.changed()
        becomes(jobs, ids[2], "done")
        assert jobs.changed() > before
        until(lambda: len(ended(tmp_path)) == 3)

        views = [jobs.view(job_id) for job_id in ids]
        assert all(a.state.ended_at <= b.state.started_at for a, b in pairwise(views))  # type: ignore[operator]
        assert [len(RunDir(view.path).progress()) for view in views] == [4, 4, 4]
        assert ended(tmp_path) == [f"{job_id} done" for job_id in ids]


def test_the_line_survives_the_app(tmp_path: Path) -> None:
    jobs = unstarted(tmp_path)
    ids = [jobs.submit("evaluate", str(n), SLEEPER, "ada") for n in range(12)]
    jobs.stop(ids[0])
    jobs.resume(ids[0])  # to the end of the line

    views = unstarted(tmp_path).all()

    places = {view.job.id: view.place for view in views}
    assert [places[job_id] for job_id in [*ids[1:], ids[0]]] == list(range(1, 13))


def test_a_job_that_was_asked_to_stop_saves_and_goes_on_later(tmp_path: Path) -> None:
    with started(app_jobs(tmp_path)) as jobs:
        job_id = jobs.submit("train", "long", worker(200, 0.02), "ada")
        until(lambda: jobs.view(job_id).state.step >= 7)
        jobs.stop(job_id)
        assert status(jobs, job_id) in ("stopping", "stopped")
        becomes(jobs, job_id, "stopped")
        saved = int((jobs.run_dir(job_id).path / "checkpoint").read_text())
        assert saved == jobs.view(job_id).state.step

        (jobs.run_dir(job_id).path / "job.json").write_text(
            (jobs.run_dir(job_id).path / "job.json").read_text().replace('"200"', f'"{saved + 3}"')
        )
        jobs.resume(job_id)
        becomes(jobs, job_id, "done")
        assert [row["step"] for row in jobs.run_dir(job_id).progress()] == list(range(1, saved + 4))
        assert jobs.view(job_id).job.argv.count("--resume") == 1


def test_a_job_that_does_not_stop_is_ended_with_all_that_it_began(tmp_path: Path) -> None:
    code = """
import subprocess, sys, time
from pathlib import Path
from medchat.rundir import RunDir
run_dir = RunDir(Path(sys.argv[1]))
with run_dir.begin({}, 0) as writer:
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    (run_dir.path / "other").write_text(str(other.pid))
    while True:
        time.sleep(1)
"""
    with started(app_jobs(tmp_path, grace_s=0.5)) as jobs:
        job_id = jobs.submit("train", "deaf", ("python", "-c", code, "{run_dir}"), "ada")
        other = jobs.run_dir(job_id).path / "other"
        until(lambda: other.exists() and other.read_text())
        begun = time.monotonic()
        jobs.stop(job_id)
        assert time.monotonic() - begun < 0.2
        becomes(jobs, job_id, "stopping")
        time.sleep(0.2)
        assert status(jobs, job_id) == "stopping"
        becomes(jobs, job_id, "stopped")

        assert jobs.view(job_id).state.message == "It was ended before it had saved what it was doing."
        until(lambda: process_started(int(other.read_text())) is None)
        until(lambda: ended(tmp_path) == [f"{job_id} stopped"])


def test_a_waiting_job_is_stopped_at_once_and_never_begins(tmp_path: Path) -> None:
    jobs = unstarted(tmp_path)
    job_id = jobs.submit("prepare", "p", worker(), "ada")
    jobs.stop(job_id)
    jobs.stop(job_id)

    assert jobs.view(job_id).state.message == "Stopped before it began."
    with started(app_jobs(tmp_path)) as again:
        until(lambda: ended(tmp_path))
        assert status(again, job_id) == "stopped"
        again.resume(job_id)
        becomes(again, job_id, "done")
        assert "--resume" not in again.view(job_id).job.argv  # it had not begun


def test_a_killed_child_is_lost_the_next_begins_and_a_resume_ends_with_the_same(tmp_path: Path) -> None:
    with started(app_jobs(tmp_path)) as jobs:
        job_id = jobs.submit("train", "long", worker(20, 0.05), "ada")
        after = jobs.submit("train", "next", worker(2), "ada")
        until(lambda: jobs.view(job_id).state.step >= 7)
        kill(jobs.view(job_id).state.pid)
        becomes(jobs, job_id, "lost")
        becomes(jobs, after, "done")
        jobs.resume(job_id)
        becomes(jobs, job_id, "done")

        rows = jobs.run_dir(job_id).progress()
        assert [(row["step"], row["loss"]) for row in rows] == [(step, 1 / step) for step in range(1, 21)]
        until(lambda: ended(tmp_path) == [f"{job_id} lost", f"{after} done", f"{job_id} done"])


def test_a_job_goes_on_when_its_app_is_killed_and_the_next_app_finds_it(tmp_path: Path) -> None:
    with app(tmp_path):
        jobs = unstarted(tmp_path)
        job_id = jobs.submit("train", "long", worker(40, 0.04), "ada")
        waiting = jobs.submit("train", "next", worker(2), "ada")
        until(lambda: jobs.view(job_id).state.step >= 3)
    pid = jobs.view(job_id).state.pid
    step = jobs.view(job_id).state.step
    until(lambda: jobs.view(job_id).state.step > step + 2)
    assert (status(jobs, job_id), status(jobs, waiting)) == ("running", "queued")

    with started(app_jobs(tmp_path)) as again:
        assert (again.view(job_id).state.pid, status(again, waiting)) == (pid, "queued")
        becomes(again, job_id, "done")
        becomes(again, waiting, "done")
        until(lambda: ended(tmp_path) == [f"{job_id} done", f"{waiting} done"])


def test_what_ended_while_no_app_ran_is_told_to_the_next(tmp_path: Path) -> None:
    with app(tmp_path):
        jobs = unstarted(tmp_path)
        job_id = jobs.submit("train", "long", worker(30, 0.05), "ada")
        until(lambda: status(jobs, job_id) == "running")
    kill(jobs.view(job_id).state.pid)
    until(lambda: status(jobs, job_id) == "lost")
    assert ended(tmp_path) == []

    with started(app_jobs(tmp_path)):
        until(lambda: ended(tmp_path) == [f"{job_id} lost"])


def test_a_stop_is_carried_out_by_the_next_app(tmp_path: Path) -> None:
    with app(tmp_path):
        jobs = unstarted(tmp_path)
        job_id = jobs.submit("train", "deaf", ("python", "-c", worker()[2], "{run_dir}", "9", "600"), "ada")
        until(lambda: status(jobs, job_id) == "running")
    jobs.stop(job_id)  # nobody is there to press it
    time.sleep(0.3)
    assert status(jobs, job_id) == "stopping"

    with started(app_jobs(tmp_path, grace_s=0.3)) as again:
        becomes(again, job_id, "stopped")


def kill_at_random(folder: Path, rng: random.Random, steps: int) -> None:
    """Kills the child, the app, or both at a random moment; what is shown is true at each, and the run gets done."""
    jobs = unstarted(folder)
    job_id = jobs.submit("train", "t", worker(steps, 0.02), "ada")
    for _ in range(20):
        with app(folder) as process:
            time.sleep(rng.uniform(0, 1.5))
            victim = rng.choice(("child", "app", "both"))
            if victim != "child":
                process.kill()
                process.wait()
            if victim != "app" and (pid := jobs.view(job_id).state.pid):
                kill(pid)
            until(lambda: is_true(jobs, job_id))
            if status(jobs, job_id) == "done":
                break
            if status(jobs, job_id) in ("lost", "failed"):
                jobs.resume(job_id)
    else:
        pytest.fail("it never came to its end")
    rows = jobs.run_dir(job_id).progress()
    assert [(row["step"], row["loss"]) for row in rows] == [(step, 1 / step) for step in range(1, steps + 1)]


def is_true(jobs: Jobs, job_id: str) -> bool:
    """Whether what is shown of the run is so: its process is there, or it is not."""
    state = jobs.view(job_id).state
    there = [p for p in psutil.process_iter(["cmdline"]) if str(jobs.run_dir(job_id).path) in (p.info["cmdline"] or [])]
    return bool(there) == (state.status in LIVING)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_the_truth_is_shown_whoever_is_killed_at_whatever_moment(tmp_path: Path, seed: int) -> None:
    kill_at_random(tmp_path, random.Random(seed), steps=60)


def test_a_command_that_fails_before_it_begins_says_why(tmp_path: Path) -> None:
    says = "import sys; sys.exit('evaluation: There is no suite of that name.')"
    with started(app_jobs(tmp_path)) as jobs:
        ids = [
            jobs.submit("evaluate", "a", ("python", "-c", says, "{run_dir}"), "ada"),
            jobs.submit("evaluate", "b", ("python", "-c", "raise SystemExit(4)", "{run_dir}"), "ada"),
            jobs.submit("evaluate", "c", ("/no/such/program", "{run_dir}"), "ada"),
            jobs.submit("evaluate", "d", ("python", "-c", "pass", "\0{run_dir}"), "ada"),
        ]
        for job_id in ids:
            becomes(jobs, job_id, "failed")
        messages = [jobs.view(job_id).state.message for job_id in ids]
    assert messages[0] == "evaluation: There is no suite of that name."
    assert messages[1] == "It ended with status 4 and said nothing; look into the log."
    assert "No such file or directory" in messages[2]
    assert messages[3] == "It could not be begun: embedded null byte"


def test_a_fault_while_results_are_taken_in_does_not_hold_up_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("threading.excepthook", lambda bug: None)

    def fails(run_dir: RunDir) -> None:
        raise ValueError("a bug")

    with started(Jobs(tmp_path / "runs", starter(tmp_path), fails, poll_s=0.05)) as jobs:
        ids = [jobs.submit("train", "t", worker(1), "ada") for _ in range(2)]
        becomes(jobs, ids[1], "done")


def test_a_child_is_niced_gets_few_variables_and_leaves_no_zombie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("WANDB_API_KEY", "wandb_secret")
    monkeypatch.setenv("OTHER_KEY", "other_secret")
    code = """
import json, os, sys, time
names = {name: os.environ.get(name) for name in (
    "HF_TOKEN", "WANDB_API_KEY", "OTHER_KEY", "OMP_NUM_THREADS", "MEDCHAT_THREADS", "MEDCHAT_DATA_DIR", "MEDCHAT_DB")}
facts = {"nice": os.nice(0), "session": os.getsid(0) == os.getpid(), "names": names, "cwd": os.getcwd()}
open(sys.argv[1] + "/facts", "w").write(json.dumps(facts))
"""
    settings = Settings(data_dir=tmp_path, threads=4, db="sqlite:////tmp/x.db")

    def start(job: Job, run_dir: RunDir) -> None:
        launch(job, run_dir, settings)

    with started(Jobs(tmp_path / "runs", start, lambda _: None, poll_s=0.05)) as jobs:
        job_id = jobs.submit("train", "t", ("python", "-c", code, "{run_dir}"), "ada", ("WANDB_API_KEY", "UNSET"))
        becomes(jobs, job_id, "failed")
        folder = jobs.run_dir(job_id).path

    facts = json.loads((folder / "facts").read_text())
    assert (facts["nice"], facts["session"], facts["cwd"]) == (min(19, os.nice(0) + 10), True, str(ROOT))
    assert facts["names"] == {
        "HF_TOKEN": None, "WANDB_API_KEY": "wandb_secret", "OTHER_KEY": None, "OMP_NUM_THREADS": "3",
        "MEDCHAT_THREADS": "3", "MEDCHAT_DATA_DIR": str(tmp_path), "MEDCHAT_DB": "sqlite:////tmp/x.db",
    }  # fmt: skip
    written = "".join(file.read_text() for file in folder.iterdir() if file.name != "facts")
    assert "WANDB_API_KEY" in written
    assert "secret" not in written
    until(lambda: not [p for p in psutil.Process().children() if p.status() == psutil.STATUS_ZOMBIE])


@pytest.mark.parametrize("gpus", ["", "0", "0,1"])
def test_a_training_on_several_gpus_goes_through_accelerate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpus: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    job = Job("train-1", "train", "n", ("python", "-m", "train", "run", "x", "--run-dir", "{run_dir}"), (), "ada", "")
    run_dir = RunDir(tmp_path / "a b")

    shown = command_line(job, run_dir)

    one = f"python -m train run x --run-dir '{run_dir.path}'"
    several = one.replace("python ", "python -m accelerate.commands.launch --multi_gpu --num_processes 2 ")
    assert shown == (several if gpus == "0,1" else one)
    assert "accelerate" not in command_line(replace(job, kind="evaluate"), run_dir)


def test_what_cannot_be_done_to_a_run_is_refused_in_a_line(tmp_path: Path) -> None:
    with started(app_jobs(tmp_path)) as jobs:
        with pytest.raises(InvalidInput, match="must name its folder"):
            jobs.submit("train", "t", ("python", "-m", "train"), "ada")
        for name in ("", "..", "../runs", "no", ".lock", "a/b", "a\0"):
            with pytest.raises(NotFound):
                jobs.view(name)
        job_id = jobs.submit("train", "t", worker(500), "ada")
        becomes(jobs, job_id, "running")
        with pytest.raises(InvalidInput, match="at work; stop it first"):
            jobs.delete(job_id)
        with pytest.raises(InvalidInput, match="This run is running; only one that was lost, stopped or failed"):
            jobs.resume(job_id)
        jobs.stop(job_id)
        becomes(jobs, job_id, "stopped")
        jobs.delete(job_id)
        with pytest.raises(NotFound):
            jobs.view(job_id)
        assert list(jobs.folder.iterdir()) == []


def test_a_run_whose_files_a_model_needs_stays(tmp_path: Path) -> None:
    jobs = unstarted(tmp_path, needed_by=lambda run_dir: ["Our gout model"])
    job_id = jobs.submit("train", "t", worker(), "ada")
    jobs.stop(job_id)

    with pytest.raises(InvalidInput, match="are needed by Our gout model; remove that first"):
        jobs.delete(job_id)
    assert status(jobs, job_id) == "stopped"


def test_a_run_of_the_command_line_is_shown_and_does_not_wait_in_line(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path / "runs" / "mine")
    with started(app_jobs(tmp_path)) as jobs, run_dir.begin({"kind": "train", "name": "My run"}, 3) as writer:
        writer.record(2)
        [view] = jobs.all()
        assert (view.job.id, view.job.kind, view.job.name, view.job.owner) == ("mine", "train", "My run", "terminal")
        assert (view.state.status, view.state.step, view.place) == ("running", 2, None)
        job_id = jobs.submit("train", "t", worker(1), "ada")
        becomes(jobs, job_id, "done")
        with pytest.raises(InvalidInput, match="at work"):
            jobs.delete("mine")
    with pytest.raises(InvalidInput, match="only one that was lost"):
        jobs.resume("mine")
    run_dir.set_state(RunState("failed", created_at=now()))
    with pytest.raises(InvalidInput, match="begun on the command line; go on with it there, with --resume"):
        jobs.resume("mine")
    jobs.delete("mine")
    assert [view.job.id for view in jobs.all()] == [job_id]


@pytest.mark.parametrize("content", ["", "[]", '{"id": 1}', '{"id": "x", "kind": "cook"}', "\0"])
def test_a_damaged_job_is_one_clear_line_and_can_be_deleted(tmp_path: Path, content: str) -> None:
    with started(app_jobs(tmp_path)) as jobs:
        whole = jobs.submit("train", "t", worker(50, 0.05), "ada")
        becomes(jobs, whole, "running")
        job_id = jobs.submit("train", "t", worker(), "ada")
        jobs.run_dir(job_id).job_file.write_text(content)
        views = {view.job.id: view for view in jobs.all()}
        assert (
            views[job_id].state.message
            == "The job.json of this run is damaged: it cannot be begun again. Delete the run."
        )
        with pytest.raises(RunError):
            jobs.resume(job_id)
        jobs.stop(whole)
        becomes(jobs, job_id, "failed")
        jobs.delete(job_id)
        assert [view.job.id for view in jobs.all()] == [whole]


def test_a_job_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(RunError):
        unstarted(tmp_path).submit("train", "t", worker(), "ada")
    with pytest.raises(RunError):
        unstarted(tmp_path).start()


def test_what_a_dying_app_left_half_done_is_cleared_away(tmp_path: Path) -> None:
    for name in (".train-1", ".gone"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "state.json").write_text('{"status": "queued"}')
    jobs = app_jobs(tmp_path)
    assert jobs.all() == []

    with started(jobs):
        assert list(jobs.folder.iterdir()) == []


def test_closing_twice_and_unstarted_does_nothing(tmp_path: Path) -> None:
    unstarted(tmp_path).close()
    with started(app_jobs(tmp_path)) as jobs:
        jobs.close()


def least_seconds(work: Callable[[], object]) -> float:
    """The shortest of five times: what the machine does beside it does not count."""
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


def test_two_hundred_runs_are_listed_in_a_tenth_of_a_second(tmp_path: Path) -> None:
    jobs = unstarted(tmp_path)
    for number in range(200):
        path = tmp_path / "runs" / f"train-{number}"
        path.mkdir(parents=True)
        job = Job(path.name, "train", "t", worker(), (), "ada", now())
        path.joinpath("job.json").write_text(json.dumps(asdict(job)))
        path.joinpath("state.json").write_text(json.dumps({"status": "done", "created_at": now()}))
    assert len(jobs.all()) == 200

    assert least_seconds(jobs.all) < 0.1

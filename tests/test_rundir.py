"""The folder of a run: what its process writes, and what everybody else makes of it."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from job_processes import until

from medchat.errors import InvalidInput, NotFound, RunError
from medchat.processes import process_started
from medchat.run_state import RunState, now
from medchat.rundir import RunDir
from medchat.settings import ROOT


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "runs" / "r1")


def in_process(code: str, run_dir: RunDir, **more: object) -> "subprocess.Popen[str]":
    """A process that runs the code; `run_dir` in it is the folder."""
    head = "import sys, time, os\nfrom pathlib import Path\nfrom medchat.rundir import RunDir\n"
    head += "run_dir = RunDir(Path(sys.argv[1]))\n"
    return subprocess.Popen([sys.executable, "-c", head + code, str(run_dir.path)], cwd=ROOT, text=True, **more)  # type: ignore[call-overload]


def test_a_run_shows_how_far_it_is_and_then_that_it_is_done(run_dir: RunDir) -> None:
    with run_dir.begin({"seed": 7, "data": Path("cases.jsonl"), "lr": (1e-3, 2e-3)}, 3) as writer:
        writer.stage("sft", 2)
        writer.record(1, loss=0.5, reward=None)
        during = run_dir.state()
        writer.record(2, loss=float("nan"))
        writer.result({"kind": "training"})

    assert (during.status, during.step, during.steps, during.stage) == ("running", 1, 2, "sft")
    assert (during.pid, during.process_started) == (os.getpid(), process_started(os.getpid()))
    after = run_dir.state()
    assert (after.status, after.step, after.message) == ("done", 2, "")
    assert after.created_at <= (after.started_at or "") <= (after.ended_at or "")
    assert run_dir.config() == {"seed": 7, "data": "cases.jsonl", "lr": [1e-3, 2e-3]}
    assert run_dir.result() == {"kind": "training"}
    rows = run_dir.progress()
    assert [(row["step"], row["stage"], row["loss"]) for row in rows] == [(1, "sft", 0.5), (2, "sft", None)]
    assert rows[0]["reward"] is None
    assert "NaN" not in run_dir.progress_file.read_text()


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (InvalidInput("The data has no column answer."), "failed", "The data has no column answer."),
        (KeyboardInterrupt(), "stopped", ""),
        (OSError(28, "No space left on device"), "failed", "The disk is full: free some space, then resume the run."),
        (MemoryError(), "failed", "The memory ran out. Close other programs, or choose smaller settings, then resume"
                                  " the run."),
        (ValueError("shape 3 and 4"), "failed", "A fault in MedChat ended the run: see the log."),
        (SystemExit(3), "failed", "A fault in MedChat ended the run: see the log."),
    ],
)  # fmt: skip
def test_how_the_block_is_left_is_how_the_run_ended(
    run_dir: RunDir, error: BaseException, status: str, message: str
) -> None:
    with pytest.raises(type(error)), run_dir.begin({}, 1):
        raise error

    assert (run_dir.state().status, run_dir.state().message) == (status, message)


def test_a_fault_leaves_its_traceback_in_the_log_once(run_dir: RunDir) -> None:
    run_dir.path.mkdir(parents=True)
    with run_dir.log_file.open("w") as log:
        child = in_process("with run_dir.begin({}, 1): raise ValueError('shape 3')", run_dir, stderr=log)
        assert child.wait() == 1
    with pytest.raises(ValueError, match="shape 4"), run_dir.begin({}, 1, append=True):
        raise ValueError("shape 4")

    assert run_dir.log_file.read_text().count("ValueError: shape 3") == 1
    assert run_dir.log_file.read_text().count("ValueError: shape 4") == 1


def test_a_run_that_was_asked_to_stop_is_stopped_unless_it_came_to_its_result(run_dir: RunDir) -> None:
    with run_dir.begin({}, 1) as writer:
        assert not writer.stop_requested()
        run_dir.stop_file.touch()
        assert (writer.stop_requested(), run_dir.state().status) == (True, "stopping")
    assert run_dir.state().status == "stopped"

    with run_dir.begin({}, 1, append=True) as writer:
        assert not writer.stop_requested()  # that was the last process's
        run_dir.stop_file.touch()
        writer.result({})
    assert run_dir.state().status == "done"


def test_sigterm_asks_to_stop_while_the_run_goes_on_and_is_itself_again_after(run_dir: RunDir) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with run_dir.begin({}, 1) as writer:
        os.kill(os.getpid(), signal.SIGTERM)
        assert writer.stop_requested()

    assert signal.getsignal(signal.SIGTERM) is before
    assert run_dir.state().status == "stopped"


def test_a_run_in_another_thread_than_the_first_works_too(run_dir: RunDir) -> None:
    def work() -> None:
        with run_dir.begin({}, 1) as writer:
            writer.record(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert run_dir.state().status == "done"


def test_a_killed_run_is_lost_and_takes_the_next_process(run_dir: RunDir) -> None:
    child = in_process("with run_dir.begin({}, 9) as w:\n w.record(4)\n print('on', flush=True)\n time.sleep(60)",
                       run_dir, stdout=subprocess.PIPE)  # fmt: skip
    assert child.stdout
    assert child.stdout.readline() == "on\n"
    assert run_dir.state().status == "running"
    with pytest.raises(InvalidInput, match="Another process is at work in the folder r1"):
        run_dir.begin({}, 1)

    child.kill()
    until(lambda: run_dir.state().status == "lost")  # before it is waited for: it is a zombie

    state = run_dir.state()
    assert (state.step, state.message[:20]) == (4, "Its process is gone:")
    assert state.ended_at
    child.communicate()
    with run_dir.begin({}, 9, append=True):
        assert run_dir.state().status == "running"


def test_another_process_of_the_same_pid_is_not_taken_for_the_run(run_dir: RunDir) -> None:
    run_dir.path.mkdir(parents=True)
    started = process_started(os.getpid())
    assert started
    run_dir.set_state(RunState("running", os.getpid(), started))
    assert run_dir.state().status == "running"

    run_dir.set_state(RunState("running", os.getpid(), started - 10))

    assert run_dir.state().status == "lost"


def test_two_writers_in_one_process_do_not_share_a_folder(run_dir: RunDir) -> None:
    with run_dir.begin({}, 1), pytest.raises(InvalidInput, match="Another process is at work"):
        run_dir.begin({}, 1)
    assert run_dir.state().status == "done"


def test_a_resumed_run_goes_on_after_its_checkpoint(run_dir: RunDir) -> None:
    with run_dir.begin({}, 4) as writer:
        for stage in ("sft", "grpo"):
            writer.stage(stage, 4)
            for step in (1, 2, 3, 4):
                writer.record(step, loss=1.0)
    created_at = run_dir.state().created_at
    with run_dir.progress_file.open("ab") as file:
        file.write(b'{"step": 5, "lo')  # it was killed while it wrote

    with run_dir.begin({}, 4, append=True) as writer:
        writer.stage("grpo", 4)
        writer.cut_back(2)
        assert run_dir.state().step == 2
        writer.record(3, loss=2.0)

    rows = [(row["stage"], row["step"], row["loss"]) for row in run_dir.progress()]
    assert rows == [*(("sft", step, 1.0) for step in (1, 2, 3, 4)), ("grpo", 1, 1.0), ("grpo", 2, 1.0), ("grpo", 3, 2)]
    assert run_dir.state().created_at == created_at


def test_a_run_begun_anew_forgets_what_was(run_dir: RunDir) -> None:
    with run_dir.begin({}, 1) as writer:
        writer.record(1)
        writer.result({"old": 1})

    with run_dir.begin({}, 1):
        assert (run_dir.progress(), run_dir.result()) == ([], None)


def test_progress_is_followed_from_where_one_was(run_dir: RunDir) -> None:
    assert run_dir.progress_since(0) == ([], 0)
    with run_dir.begin({}, 3) as writer:
        writer.record(1)
        first, place = run_dir.progress_since(0)
        assert run_dir.progress_since(place) == ([], place)
        writer.record(2)
        with run_dir.progress_file.open("ab") as file:
            file.write(b'{"step": 3')
        second, place = run_dir.progress_since(place)
        with run_dir.progress_file.open("ab") as file:
            file.write(b', "loss": 1}\nrubbish\n[1]\n{"loss": 2}\n')
        third, _ = run_dir.progress_since(place)

    assert [row["step"] for rows in (first, second, third) for row in rows] == [1, 2, 3]
    assert [row["step"] for row in run_dir.progress_since(1 << 30)[0]] == [1, 2, 3]  # it was cut back since


def test_the_end_of_the_log_is_what_a_terminal_would_show(run_dir: RunDir) -> None:
    assert run_dir.log_tail() == ""
    run_dir.path.mkdir(parents=True)
    run_dir.log_file.write_bytes("ä\n 10%\r 50%\r100%\nkey: \xff\nlast".encode("latin-1"))

    assert run_dir.log_tail() == "\ufffd\n100%\nkey: \ufffd\nlast"
    assert run_dir.log_tail(4) == "last"
    text, place = run_dir.log_since(0)
    assert text.endswith("last")
    assert run_dir.log_since(place) == ("", place)


@pytest.mark.parametrize(
    "content", [b"", b'{"status": "run', b"[]", b'{"status": "fine"}', b'{"status": "running", "pid": "x"}', b"\xff\0",
                b'{"status": "done", "created_at": "yesterday"}', b'{"status": "done", "created_at": 5}']
)  # fmt: skip
def test_a_damaged_state_is_one_clear_line(run_dir: RunDir, content: bytes) -> None:
    run_dir.path.mkdir(parents=True)
    run_dir.state_file.write_bytes(content)

    state = run_dir.state()

    assert state.status == "lost"
    assert state.message == "The state.json of this run is damaged. Resume the run, or delete it."
    with run_dir.begin({}, 1, append=True):
        pass
    assert run_dir.state().status == "done"


def test_other_damaged_files_are_one_clear_line_each(run_dir: RunDir) -> None:
    run_dir.path.mkdir(parents=True)
    run_dir.config_file.write_text("a: [1")
    run_dir.result_file.write_text('{"kind": ')

    with pytest.raises(RunError, match=r"^The config.yaml of this run is damaged\."):
        run_dir.config()
    with pytest.raises(RunError, match=r"^The result.json of this run is damaged\."):
        run_dir.result()
    with pytest.raises(NotFound):
        RunDir(run_dir.path / "no").state()


def test_a_full_disk_ends_the_run_with_a_clear_line_and_a_whole_state(run_dir: RunDir) -> None:
    run_dir.path.mkdir(parents=True)
    code = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
with run_dir.begin({}, 1000) as writer:
    for step in range(1, 1001):
        writer.record(step, loss=1.0)
"""
    child = in_process(code, run_dir, stderr=subprocess.PIPE)
    _, said = child.communicate(timeout=30)

    state = run_dir.state()
    assert (state.status, state.message) == ("failed", "The disk is full: free some space, then resume the run.")
    assert 1 < state.step < 1000
    assert len(run_dir.progress()) in (state.step, state.step + 1)
    assert "RunError: The disk is full" in said


def test_where_there_is_no_room_for_a_new_file_the_state_takes_the_place_of_the_old(run_dir: RunDir) -> None:
    run_dir.path.mkdir(parents=True)
    old = RunState("running", 1, 1.0, step=5, message="x" * 200)
    run_dir.set_state(old)
    code = """
import errno
import medchat.rundir as module

def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")

module.write_whole = full
run_dir.set_state(module.replace(run_dir.state(), status="failed", message="short"))
"""
    assert in_process(code, run_dir).wait(30) == 0

    state = run_dir.state()
    assert (state.status, state.message, state.step) == ("failed", "short", 5)


def test_a_folder_that_cannot_be_one_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(RunError, match=r"^The run's folder cannot be written \(Not a directory\)\.$"):
        RunDir(tmp_path / "file" / "run").begin({}, 1)


def test_the_state_is_whole_at_every_moment(run_dir: RunDir) -> None:
    run_dir.path.mkdir(parents=True)
    run_dir.set_state(RunState("queued", message="x"))
    ended = threading.Event()

    def write() -> None:
        for number in range(60):
            run_dir.set_state(RunState("queued", message="x" * (number % 50) * 100))
        ended.set()

    thread = threading.Thread(target=write)
    thread.start()
    looked = 0
    while not ended.is_set():
        json.loads(run_dir.state_file.read_text())
        looked += 1
    thread.join()

    assert looked > 10
    assert [file.name for file in run_dir.path.iterdir()] == ["state.json"]


def test_a_run_outside_of_the_data_folder_is_told_from_others_of_its_name(tmp_path: Path) -> None:
    assert RunDir(tmp_path / "runs" / "train-1").id == "train-1"
    ids = {RunDir(tmp_path / place / "results").id for place in ("a", "b")}
    assert len(ids) == 2
    assert all(run_id.startswith("results-") for run_id in ids)


def test_a_starting_process_has_a_minute_to_say_who_it_is(run_dir: RunDir) -> None:
    run_dir.path.mkdir(parents=True)
    state = RunState("starting", started_at="2026-01-02T03:04:05+00:00")
    run_dir.set_state(state)
    assert run_dir.state().status == "lost"

    run_dir.set_state(replace(state, started_at=now()))
    assert run_dir.state().status == "starting"
    run_dir.stop_file.touch()
    assert run_dir.state().status == "stopping"

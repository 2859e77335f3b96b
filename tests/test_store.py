"""The store: what goes in comes out, for its owner alone, whatever happens in between."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from stores import answered, begin, finish, new_store

from medchat.errors import InvalidInput, NotFound, SettingsError, StoreError
from medchat.records import Message, Sampling
from medchat.store import ModelRecord, Store, migrate
from medchat.store.lock import hold_data_dir


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'medchat.db'}"


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path)
    yield store
    store.close()


def at_once(n: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work(i)` gave in each of n threads that started together."""
    ready = threading.Barrier(n)

    def run(i: int) -> Any:
        ready.wait()
        return work(i)

    with ThreadPoolExecutor(n) as threads:
        return list(threads.map(run, range(n)))


def run_python(code: str, *args: str) -> str:
    """What the code prints when it runs in a process of its own."""
    done = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_an_answer_is_there_again_after_a_restart(store: Store, url: str) -> None:
    talk = store.start_conversation("ada", "demo", "A cough")
    begun = store.begin_answer(
        "ada",
        talk.id,
        "Patient, 60 years",
        "Which test next?",
        "demo",
        prompt=[Message("system", "You reason."), Message("user", "Which test next?")],
        sampling=Sampling(max_new_tokens=64, temperature=0.5, seed=4294967295),
        answer_format="gemma-grpo",
        parent_id=None,
        grounding={"findings": [{"id": "cough", "start": 0, "end": 5}]},
        note="Two earlier turns were left out.",
    )
    assert begun.status == "writing"
    store.grow_answer(begun.id, raw="<r>1. The", reasoning="1. The", solution="")
    ended = store.finish_answer(
        begun.id,
        "done",
        raw="<r>1. The cough.</r>X-ray",
        reasoning="1. The cough.",
        solution="X-ray",
        complete=True,
        finish_reason="stop",
        prompt_tokens=40,
        completion_tokens=9,
        ttft_ms=12.5,
        reasoning_ms=80.0,
        total_ms=95.25,
    )
    store.close()

    [answer] = Store(url).answers_of("ada", talk.id)

    assert answer == ended
    assert (answer.context, answer.question) == ("Patient, 60 years", "Which test next?")
    assert (answer.status, answer.complete, answer.finish_reason) == ("done", True, "stop")
    assert (answer.raw, answer.reasoning, answer.solution) == ("<r>1. The cough.</r>X-ray", "1. The cough.", "X-ray")
    assert answer.prompt == (Message("system", "You reason."), Message("user", "Which test next?"))
    assert answer.sampling == Sampling(max_new_tokens=64, temperature=0.5, seed=4294967295)
    assert answer.seed == 4294967295
    assert answer.grounding == {"findings": [{"id": "cough", "start": 0, "end": 5}]}
    assert (answer.prompt_tokens, answer.completion_tokens) == (40, 9)
    assert (answer.ttft_ms, answer.reasoning_ms, answer.total_ms) == (12.5, 80.0, 95.25)
    assert (answer.position, answer.version, answer.origin) == (0, 1, "chat")
    assert answer.note == "Two earlier turns were left out."
    assert answer.created_at.tzinfo is not None
    assert answer.updated_at >= answer.created_at


def test_only_its_owner_sees_a_conversation(store: Store) -> None:
    talk = store.start_conversation("ada", "demo", "A cough")
    begin(store, talk.id)

    assert store.conversations_of("ben") == []
    assert store.latest_conversation("ben") is None
    with pytest.raises(NotFound):
        store.conversation("ben", talk.id)
    with pytest.raises(NotFound):
        store.answers_of("ben", talk.id)
    with pytest.raises(NotFound):
        begin(store, talk.id, owner="ben")
    assert len(store.answers_of("ada", talk.id)) == 1


def test_the_conversation_used_last_comes_first_with_its_number_of_turns(store: Store) -> None:
    first = store.start_conversation("ada", "demo", "First")
    second = store.start_conversation("ada", "demo", "Second")
    asked = begin(store, first.id)
    begin(store, first.id, parent_id=asked.id)
    begin(store, first.id, parent_id=asked.id)

    found = store.conversations_of("ada")

    assert [(talk.title, talk.turns) for talk in found] == [("First", 2), ("Second", 0)]
    assert store.latest_conversation("ada") == found[0] == store.conversation("ada", first.id)
    assert store.conversations_of("ada", limit=1) == found[:1]
    assert store.conversations_of("ada", offset=1) == found[1:]
    assert store.conversation("ada", second.id).turns == 0


def test_equal_questions_share_an_id_and_keep_their_own_words(store: Store) -> None:
    talk = store.start_conversation("ada", "demo", "A cough")
    begin(store, talk.id, "Why the\nfever?")
    begin(store, talk.id, "WHY the fever?")

    one, two = store.answers_of("ada", talk.id)

    assert one.question_id == two.question_id
    assert (one.question, two.question) == ("Why the\nfever?", "WHY the fever?")


def test_an_ended_answer_never_changes(store: Store) -> None:
    talk = store.start_conversation("ada", "demo", "A cough")
    ended = finish(store, begin(store, talk.id).id, "Rest.")

    assert store.grow_answer(ended.id, "late", "late", "late") is False
    assert finish(store, ended.id, "Later") == ended
    assert store.answers_of("ada", talk.id) == [ended]
    with pytest.raises(NotFound):
        finish(store, "none")


def test_an_unknown_model_is_refused(store: Store) -> None:
    with pytest.raises(NotFound):
        store.start_conversation("ada", "other", "A cough")
    assert store.conversations_of("ada") == []


def test_a_model_added_again_keeps_its_first_time_and_gets_the_new_description(store: Store) -> None:
    first = store.add_model(ModelRecord("big", "Big", base="llama", revision="1", format="think"))
    again = store.add_model(ModelRecord("big", "Bigger", base="llama", revision="2", format="think"))

    assert (again.name, again.revision, again.created_at) == ("Bigger", "2", first.created_at)


@pytest.mark.parametrize("n_stores", [1, 8])
def test_a_repeated_request_is_stored_once(store: Store, url: str, n_stores: int) -> None:
    talk = store.start_conversation("ada", "demo", "A cough")
    stores = [Store(url) for _ in range(n_stores)]

    answers = at_once(8, lambda i: begin(stores[i % n_stores], talk.id, save_key="k1"))

    assert len({answer.id for answer in answers}) == 1
    assert len(store.answers_of("ada", talk.id)) == 1


def test_a_repeated_request_of_another_owner_shows_nothing(store: Store) -> None:
    begin(store, store.start_conversation("ada", "demo", "A cough").id, save_key="k1")
    other = store.start_conversation("ben", "demo", "A rash")

    with pytest.raises(InvalidInput):
        begin(store, other.id, owner="ben", save_key="k1")


def test_eight_threads_write_into_one_conversation(store: Store) -> None:
    talk = store.start_conversation("ada", "demo", "A cough")

    def ask(i: int) -> None:
        for n in range(5):
            answer = begin(store, talk.id, f"Question {i}.{n}")
            for length in range(5):
                assert store.grow_answer(answer.id, "x" * length, "", "")
            finish(store, answer.id, f"Answer {i}.{n}")

    at_once(8, ask)

    answers = store.answers_of("ada", talk.id)
    assert [answer.version for answer in answers] == list(range(1, 41))
    expected = {(f"Question {i}.{n}", f"Answer {i}.{n}") for i in range(8) for n in range(5)}
    assert {(answer.question, answer.solution) for answer in answers} == expected


def test_a_half_written_answer_of_a_killed_process_is_cut_and_keeps_its_text(store: Store, url: str) -> None:
    talk = store.start_conversation("ada", "demo", "A cough")
    done = answered(store, talk.id, "Done?", "Yes.")
    killed = """
import os, signal, sys
from medchat.store import Store
store = Store(sys.argv[1])
answer = store.begin_answer("ada", sys.argv[2], "", "Half?", "demo", prompt=None, sampling=None, answer_format="think",
                            parent_id=None)
store.grow_answer(answer.id, "<think>1. Fev", "1. Fev", "")
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", killed, url, talk.id], timeout=60)

    assert store.close_unfinished() == 1

    kept, cut = store.answers_of("ada", talk.id)
    assert (cut.status, cut.raw, cut.reasoning, cut.complete) == ("cut", "<think>1. Fev", "1. Fev", False)
    assert kept == done
    assert [found.answer_id for found in store.search_conversations("ada", "half")] == [cut.id]
    assert store.close_unfinished() == 0


def test_characters_that_no_database_takes_are_replaced(store: Store) -> None:
    talk = store.start_conversation("ada", "demo", "A \ud800 title")
    answer = begin(store, talk.id, "Fever \udc00 and \0 cough 😀?")
    finish(store, answer.id, "Rest \ud83d.")

    [stored] = store.answers_of("ada", talk.id)

    assert stored.question == "Fever \ufffd and \ufffd cough 😀?"
    assert stored.solution == "Rest \ufffd."


def test_a_full_disk_is_one_clear_line_and_what_was_written_stays(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
from medchat.errors import StoreError
from medchat.store import ModelRecord, Store, migrate
from medchat.store.backup import backup

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, -1))

def ask(n):
    store.begin_answer("ada", talk.id, "c" * 9000, f"q{n}", "demo", prompt=None, sampling=None, answer_format="think",
                       parent_id=None)

folder, url = Path(sys.argv[1]), f"sqlite:///{sys.argv[1]}/medchat.db"
limit(20_000)
try:
    migrate.upgrade(url, folder)
except StoreError as error:
    print("upgrade:", error)
limit(-1)
migrate.upgrade(url, folder)
store = Store(url)
store.add_model(ModelRecord("demo", "Demo"))
talk = store.start_conversation("ada", "demo", "A cough")
limit(300_000)
n = 0
try:
    while True:
        ask(n)
        n += 1
except StoreError as error:
    print("ask:", error)
limit(10_000)
try:
    backup(url, folder / "copy.db")
except StoreError as error:
    print("backup:", error, [file.name for file in folder.glob("copy*")])
limit(-1)
ask(n)
print(n > 0 and len(store.answers_of("ada", talk.id)) == n + 1)
"""
    full = "The database could not be read or written: the disk is full or faulty. Free some space and try again."
    assert run_python(code, str(tmp_path)).splitlines() == [
        f"upgrade: {full}",
        f"ask: {full}",
        f"backup: {full} []",
        "True",
    ]


def test_a_file_that_is_no_database_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "medchat.db"
    file.write_bytes(b"Dear diary, today I learnt about fever. " * 200)
    url = f"sqlite:///{file}"

    said = r"damaged, or is no database at all\. Restore a backup"
    with pytest.raises(StoreError, match=said):
        Store(url).ping()
    with pytest.raises(StoreError, match=said):
        migrate.upgrade(url, tmp_path)
    with pytest.raises(StoreError, match=said):
        migrate.check(url)
    assert file.read_bytes().startswith(b"Dear diary")


def test_a_damaged_page_is_one_clear_line(store: Store, url: str, tmp_path: Path) -> None:
    talk = store.start_conversation("ada", "demo", "A cough")
    begin(store, talk.id)
    store.close()
    file = tmp_path / "medchat.db"
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))

    with pytest.raises(StoreError, match="damaged"):
        Store(url).answers_of("ada", talk.id)


@pytest.mark.slow
def test_a_locked_database_is_one_clear_line_after_five_seconds(store: Store, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "medchat.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreError, match=r"keeps the database locked\. Close it and try again"):
        store.add_model(ModelRecord("big", "Big"))

    other.execute("ROLLBACK")
    store.add_model(ModelRecord("big", "Big"))
    other.close()


def test_a_writer_is_not_kept_waiting_by_a_reader(store: Store, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "medchat.db", isolation_level=None)
    other.execute("BEGIN")
    before = other.execute("SELECT id FROM models").fetchall()

    store.add_model(ModelRecord("big", "Big"))

    assert other.execute("SELECT id FROM models").fetchall() == before
    other.close()


@pytest.mark.parametrize("url", ["medchat.db", "firebird://host/medchat", "mysql+nodriver://host/medchat"])
def test_a_wrong_database_url_is_a_settings_error(url: str) -> None:
    with pytest.raises(SettingsError, match="--db"):
        Store(url)


def test_a_file_in_the_place_of_the_data_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("I am a file")

    for folder in (tmp_path / "data", tmp_path / "data" / "deeper"):
        with pytest.raises(StoreError, match=r"a file stands in its place\."), hold_data_dir(folder):
            pass
    with pytest.raises(StoreError, match="is a file"):
        migrate.upgrade(f"sqlite:///{tmp_path / 'data' / 'medchat.db'}", tmp_path / "backups")


def test_a_second_app_on_the_same_data_folder_is_refused(tmp_path: Path) -> None:
    second = """
import sys
from pathlib import Path
from medchat.errors import SettingsError
from medchat.store.lock import hold_data_dir
try:
    with hold_data_dir(Path(sys.argv[1])):
        print("held")
except SettingsError as error:
    print(error)
"""
    folder = tmp_path / "new" / "data"

    with hold_data_dir(folder):
        refused = run_python(second, str(folder))
        with pytest.raises(SettingsError), hold_data_dir(folder):
            pass

    assert refused == (
        f"Another MedChat already runs on the data folder {folder}; close it or start with another --data-dir."
    )
    assert run_python(second, str(folder)) == "held"

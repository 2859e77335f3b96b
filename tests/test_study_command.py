"""`python -m medchat study`: a study from its answers to its closing, without a word on results."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from study_rooms import MODELS, Room

from medchat.__main__ import main
from medchat.accounts import STORE_BACKUP, STORE_EXPORT, TERMINAL, Accounts
from medchat.store import Store
from medchat.study_views import RateTask

PASSWORD = "long enough for a test"


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    made.store.close()


def study(room: Room, *arguments: str) -> int:
    return main(["study", *arguments, "--data-dir", str(room.settings.data_dir)])


def people(room: Room, *names: str) -> dict[str, str]:
    """Ids of new accounts by name; the first is an admin's."""
    accounts = Accounts(room.store, room.settings)
    roles = ["admin", *["rater"] * len(names)]
    return {name: accounts.add(TERMINAL, name, role, PASSWORD).id for name, role in zip(names, roles, strict=False)}


def test_a_study_goes_from_its_answers_to_its_closing(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    ids = people(room, "ines", "ada", "bob", "cem")
    study_id = room.made(6, raters_per_item=1).record.id  # 12 answers to rate

    assert study(room, "generate", "gout") == 0
    job_id = capsys.readouterr().out.split()[0]
    room.write(job_id)
    for name in ("ada", "bob"):
        assert study(room, "add-rater", study_id, name, "--group", "internists") == 0
    assert study(room, "open", "Gout") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Gout is open: 12 judgements to make, by 2 raters."
    room.rate(ids["ada"], study_id)

    assert study(room, "status", study_id) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Gout: open, 1 of 12 judged"
    assert lines[2].startswith("ada\tinternists\t1\t5\t0\t0 of 0\t20")
    assert lines[3] == "bob\tinternists\t0\t6\t0\t0 of 0\tnever"

    assert study(room, "remove-rater", study_id, "bob") == 0  # all of bob's six are open: ada takes them
    said = capsys.readouterr().out
    assert said == "bob has left the study; what they judged stays. 6 items were taken back and 6 given out anew.\n"
    assert study(room, "add-rater", study_id, "cem") == 0  # ada has eleven left: cem gets five of them
    assert "5 items were taken back and 5 given out anew" in capsys.readouterr().out

    assert study(room, "close", study_id) == 1
    assert "11 of 12 judgements are not made yet. Closing unblinds" in capsys.readouterr().err
    assert room.studies.view(study_id).record.status == "open"
    assert study(room, "close", study_id, "--yes") == 0
    assert room.studies.view(study_id).record.status == "closed"
    actors = {row.actor for row in room.store.audit() if row.action.startswith("study") and row.action != "study added"}
    assert actors == {"terminal"}


def test_the_same_seed_prints_the_same_table_and_keeps_nothing(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    ids = people(room, "ines", "ada", "bob", "cem")
    study_id = room.ready(8, tasks="both", repeat_share=0.25).record.id
    room.studies.set_raters(study_id, "ines", [(ids[name], "") for name in ("ada", "bob", "cem")])

    tables = []
    for seed in ("5", "5", "6"):
        assert study(room, "allocate", study_id, "--seed", seed, "--dry-run") == 0
        tables.append(capsys.readouterr().out)

    assert tables[0] == tables[1] != tables[2]
    assert room.studies.view(study_id).record.seed == 7
    head, *rows = (line.split("\t") for line in tables[0].splitlines())
    assert head == ["rater", "position", "item", "kind", "question", "turned", "repeat of position"]
    assert len(rows) == 24 + 3 * 2  # 8 questions with two answers and a pair; of 8 items each, a quarter comes again
    assert {row[0] for row in rows} == {"ada", "bob", "cem"}
    assert [int(row[1]) for row in rows if row[0] == "ada"] == list(range(1, 11))
    assert not any(model in tables[0] for model in MODELS)

    assert study(room, "allocate", study_id, "--seed", "5") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "The study has the seed 5, with which this is its table."
    assert room.studies.view(study_id).record.seed == 5
    assert study(room, "open", study_id) == 0
    capsys.readouterr()
    assert study(room, "allocate", study_id, "--dry-run") == 0
    assert capsys.readouterr().out == tables[0]  # what was opened is what was shown


def test_nothing_that_is_printed_of_an_open_study_ties_a_judgement_to_a_model(
    room: Room, capsys: pytest.CaptureFixture[str]
) -> None:
    study_id = room.opened("local", n=3)
    room.rate("local", study_id, factual_correctness="1")
    assert isinstance(room.desk.step(study_id, "local"), RateTask)

    for arguments in (("list",), ("list", "--json"), ("status", study_id), ("status", study_id, "--json")):
        assert study(room, *arguments) == 0
        printed = capsys.readouterr().out
        assert not any(word in printed for word in (*MODELS, "factual_correctness", "score"))
    assert study(room, "show", study_id) == 0
    printed = capsys.readouterr().out
    assert "models\talpha-1, beta-2\n" in printed
    assert "warning\t3 questions: fewer than 100" in printed
    assert study(room, "show", study_id, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["design"]["models"], shown["done"], shown["total"]) == (list(MODELS), 1, 6)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("status", "fever"), "There is no study 'fever'; see: python -m medchat study list"),
        (("add-rater", "gout", "zoe"), "There is no user 'zoe'; see: python -m medchat users list"),
        (("open", "gout"), "8 of 8 answers are missing: let them be written first."),
        (("allocate", "gout"), "There is nothing to judge"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    room: Room, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], line: str
) -> None:
    people(room, "ines")
    room.made(4)

    assert study(room, *arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"medchat: {line}")
    assert said.count("\n") == 1


def test_a_name_that_two_studies_have_does_not_choose_one(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    ids = {room.made(2).record.id, room.made(3).record.id}

    assert study(room, "show", "Gout") == 1
    said = capsys.readouterr().err
    assert said.startswith("medchat: 2 studies are named 'Gout'; give the id of one: ")
    assert all(study_id in said for study_id in ids)


def test_a_seed_that_is_no_number_is_a_wrong_argument(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        study(room, "allocate", "gout", "--seed", "-1")

    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "n_ratings", "words"),
    [
        ((), 0, "Answers and judgements of 1 study that is not closed are left out"),
        (("--with-open-studies",), 1, "It holds 1 study that is not closed unblinded"),
    ],
)
def test_an_export_in_mid_study_says_what_became_of_the_study_and_is_noted(
    room: Room, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], n_ratings: int, words: str
) -> None:
    study_id = room.opened("local", n=3)
    room.rate("local", study_id)
    folder = room.settings.data_dir / "out"

    assert main(["db", "export", str(folder), *arguments, "--data-dir", str(room.settings.data_dir)]) == 0

    said = capsys.readouterr()
    assert f"ratings\t{n_ratings}\n" in said.out
    assert len((folder / "ratings.jsonl").read_text().splitlines()) == n_ratings
    [line] = said.err.splitlines()
    assert line.startswith(words)
    [row] = room.store.audit(action=STORE_EXPORT)
    assert (row.actor, row.details) == (
        TERMINAL,
        {"open_studies": [study_id], "with_open_studies": bool(arguments)},
    )


def test_a_backup_in_mid_study_is_whole_says_so_and_is_noted(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    study_id = room.opened("local", n=3)
    rated = room.rate("local", study_id)
    folder = room.settings.data_dir / "copied"

    assert main(["db", "backup", str(folder / "medchat.db"), "--data-dir", str(room.settings.data_dir)]) == 0

    [line] = capsys.readouterr().err.splitlines()
    assert line == "It holds 1 study that is not closed unblinded: keep it from raters and investigators."
    [row] = room.store.audit(action=STORE_BACKUP)
    assert (row.actor, row.details) == (TERMINAL, {"open_studies": [study_id]})
    with closing(Store(f"sqlite:///{folder / 'medchat.db'}")) as copy:
        assert list(copy.study_judgements(study_id).ratings) == [rated]


def test_without_open_studies_export_and_backup_add_no_line(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    study_id = room.opened("local", n=1)
    room.studies.close(study_id, "ines")
    where = ["--data-dir", str(room.settings.data_dir)]
    assert main(["db", "backup", str(room.settings.data_dir / "copy.db"), *where]) == 0
    assert main(["db", "export", str(room.settings.data_dir / "out"), *where]) == 0
    assert capsys.readouterr().err == ""


def test_a_study_that_asks_for_every_question_says_so(room: Room, capsys: pytest.CaptureFixture[str]) -> None:
    for all_axes, words in ((True, "all to be answered"), (False, "optional")):
        study_id = room.made(2, tasks="pairwise", all_axes=all_axes).record.id
        assert study(room, "show", study_id) == 0
        assert f"questions on a pair\t{words}\n" in capsys.readouterr().out
    assert study(room, "show", room.made(2).record.id) == 0
    assert "questions on a pair" not in capsys.readouterr().out


def test_the_table_of_the_opening_is_drawn_again_after_raters_have_come_and_gone(
    room: Room, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = people(room, "ines", "ada", "bob", "cem", "dan")
    study_id = room.ready(6, raters_per_item=2).record.id
    room.studies.set_raters(study_id, "ines", [(ids[name], "") for name in ("ada", "bob", "cem")])
    assert study(room, "open", study_id) == 0
    tables = []
    for command in (
        (),
        ("remove-rater", study_id, "bob"),
        ("add-rater", study_id, "dan"),
        ("close", study_id, "--yes"),
    ):
        assert not command or study(room, *command) == 0
        capsys.readouterr()
        assert study(room, "allocate", study_id, "--seed", "7", "--dry-run") == 0
        tables.append(capsys.readouterr().out)
    assert len(set(tables)) == 1
    assert "bob\t1\t" in tables[0]
    assert "dan\t" not in tables[0]


def test_a_store_of_an_older_version_is_backed_up_though_nothing_can_be_noted_in_it(
    room: Room, capsys: pytest.CaptureFixture[str]
) -> None:
    file = room.settings.data_dir / "medchat.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0004'")
    assert main(["db", "backup", str(file.with_name("copy.db")), "--data-dir", str(room.settings.data_dir)]) == 0
    assert capsys.readouterr().err == ""
    assert file.with_name("copy.db").is_file()
    assert room.store.audit() == []

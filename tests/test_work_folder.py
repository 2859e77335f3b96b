"""One data command at a time works on a folder, and what it keeps there goes when it is done."""

from pathlib import Path

import pytest
from prepared_rows import prepared, rows, source

from medchat.errors import InvalidInput, RunError
from train.__main__ import main
from train.work_folder import WORK, work_folder


def _stopped_halfway(out: Path) -> None:
    with work_folder(out) as kept:
        (kept.folder("settings") / "chunk").write_text("half")
        raise RunError("The disk is full.")


def test_what_is_kept_goes_when_the_work_is_done_and_stays_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        _stopped_halfway(tmp_path / "out")
    assert (tmp_path / "out" / WORK / "settings" / "chunk").read_text() == "half"

    with work_folder(tmp_path / "out") as kept:
        assert (kept.folder("settings") / "chunk").is_file()
        kept.is_done = False
    with work_folder(tmp_path / "out") as kept:
        assert list(kept.folder("other settings").iterdir()) == []
        assert not (kept.path / "settings").exists()
    assert list((tmp_path / "out").iterdir()) == []


def test_no_other_data_command_works_on_the_folder_meanwhile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    its = source(tmp_path / "rows.jsonl", rows(30))
    prepared([its], tmp_path / "in")
    commands = [
        ["prepare", "--source", f"examples={tmp_path / 'rows.jsonl'}"], ["quality", str(tmp_path / "in")],
        ["augment", str(tmp_path / "in"), "--kind", "synonyms"],
    ]  # fmt: skip

    with work_folder(tmp_path / "out"):
        for command in commands:
            assert main([*command, "--out", str(tmp_path / "out"), "--data-dir", str(tmp_path / "data")]) == 1
            assert "Another process writes the folder out; wait until it ends." in capsys.readouterr().err


def test_rows_of_ones_own_are_not_written_over_before_anything_is_read(tmp_path: Path) -> None:
    its = source(tmp_path / "train.jsonl", rows(30))
    before = (tmp_path / "train.jsonl").read_bytes()

    with pytest.raises(InvalidInput, match=r"holds a train\.jsonl that its report\.json does not name"):
        prepared([its], tmp_path)

    assert (tmp_path / "train.jsonl").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["train.jsonl"]


def test_a_folder_that_cannot_be_is_named_with_what_to_do(tmp_path: Path) -> None:
    its = source(tmp_path / "rows.jsonl", rows(30))

    with pytest.raises(RunError, match=r"The folder .*rows\.jsonl/out cannot be written \(.*\); choose another --out"):
        prepared([its], tmp_path / "rows.jsonl" / "out")
    with pytest.raises(RunError, match=r"The folder .*rows\.jsonl cannot be written \(.*\); choose another --out"):
        prepared([its], tmp_path / "rows.jsonl")

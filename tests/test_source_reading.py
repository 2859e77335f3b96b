"""Sources: what is broken is counted and never ends the reading, official splits are kept, rows come from the Hub."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from real_texts import FOLDER, needs_real_texts

from evaluation.benchmark_files import Skipped
from medchat.errors import DownloadFailed, InvalidInput, NotFound
from medchat.records import Example
from train.__main__ import main
from train.adapters import ADAPTERS, Hub, Reading, files_in, pieces_of, read, records_of, rows_of, source_of
from train.source_hub import fetched_files


def placed(source: str) -> list[tuple[str, str]]:
    """(place, question or reason: detail) of each row."""
    found = []
    for where, row in read(source_of(source)):
        text = row.question if isinstance(row, Example) else f"{row.reason}: {row.detail}"
        found.append((where, text))
    return found


def line(question: str) -> bytes:
    return json.dumps({"question": question, "answer": "So."}).encode()


# Broken rows and files


def test_lines_go_on_after_a_broken_one(tmp_path: Path) -> None:
    cut, half, deep = b'{"question": "Wh', b'{"question": "\\ud800", "answer": "x"}', b"[" * 9999
    broken = [cut, b"[1]", b'{"question": "\xff"}', half, deep]
    (tmp_path / "q.jsonl").write_bytes(b"\n".join([line("A?"), *broken, b"", line("B?")]))
    assert placed(f"qca={tmp_path / 'q.jsonl'}") == [
        ("q.jsonl, line 1", "A?"),
        ("q.jsonl, line 2", "broken row: not JSON (Unterminated string starting at)"),
        ("q.jsonl, line 3", "broken row: not a JSON object"),
        ("q.jsonl, line 4", "broken row: this is not UTF-8 text; save the file as UTF-8"),
        ("q.jsonl, line 5", "broken row: half of a character (a lone surrogate) in it"),
        ("q.jsonl, line 6", "broken row: not JSON (nested too deep)"),
        ("q.jsonl, line 8", "B?"),
    ]


def test_a_first_line_that_is_broken_does_not_cost_the_others(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_bytes(b'{"quest\n' + line("A?") + b"\n" + line("B?"))
    assert [text for _, text in placed(f"qca={tmp_path / 'q.jsonl'}")][1:] == ["A?", "B?"]


def test_the_rest_of_a_broken_list_is_counted_once(tmp_path: Path) -> None:
    (tmp_path / "q.json").write_bytes(b"[" + line("A?") + b",\n3,\n" + line("B?") + b",\n{,},\n" + line("C?") + b"]")
    rest = "rest of a file after a fault in it: not JSON (Expecting property name enclosed in double quotes)"
    assert placed(f"qca={tmp_path / 'q.json'}") == [
        ("q.json, line 1", "A?"), ("q.json, line 2", "broken row: not a JSON object"), ("q.json, line 3", "B?"),
        ("q.json, line 4", rest),
    ]  # fmt: skip


def test_a_broken_file_is_counted_and_the_next_one_follows(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("no table")
    (tmp_path / "b.xlsx").write_text("no sheet")
    (tmp_path / "c.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00")
    (tmp_path / "d.jsonl").write_bytes(line("A?"))
    assert placed(f"qca={tmp_path}") == [
        ("a.parquet", "broken file: a.parquet is no Parquet file that can be read"),
        ("b.xlsx", "broken file: b.xlsx is no Excel file that can be read"),
        ("c.jsonl.gz", "broken file: c.jsonl.gz is packed, and its end is missing or broken"),
        ("d.jsonl, line 1", "A?"),
    ]


def test_a_quotation_mark_that_is_never_closed_costs_one_row_of_a_table(tmp_path: Path) -> None:
    text = 'question,answer\nA?,So.\nB?,"So.\nC?,"So, then."\nD?,So.\n"E\n?",So.\n'
    (tmp_path / "q.csv").write_text(text)
    found = placed(f"qca={tmp_path / 'q.csv'}")
    assert [text for _, text in found if not text.startswith("broken")] == ["A?", "C?", "D?", "E\n?"]
    assert [where for where, text in found if text.startswith("broken row: no row of a table")] == ["q.csv, line 3"]
    assert len(found) == 5


def test_what_is_left_of_a_broken_cell_is_no_row(tmp_path: Path) -> None:
    text = 'question,answer,note\nA?,"He said "stop" and\nwent on, they say\nfor long",x\nB?,So.,y\nC?,So.\n'
    (tmp_path / "q.csv").write_text(text)
    found = placed(f"qca={tmp_path / 'q.csv'}")
    assert [where for where, text in found if text.startswith("broken")] == [
        "q.csv, line 2", "q.csv, line 3", "q.csv, line 4", "q.csv, line 6"
    ]  # fmt: skip
    assert ("q.csv, line 5", "B?") in found


def test_a_row_of_a_table_that_is_no_text_is_broken(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_bytes(b"question,answer\nA?,caf\xe9\nB?,So.\n")
    assert [text for _, text in placed(f"qca={tmp_path / 'q.csv'}")] == [
        "broken row: this is not UTF-8 text; save the file as UTF-8", "B?"
    ]  # fmt: skip


def test_a_dialogue_that_is_no_text_is_broken_and_the_next_one_is_read(tmp_path: Path) -> None:
    talk = "id={}\nhttp://x\nDescription\nx\nDialogue\nPatient:\nPain{}?\nDoctor:\nRest.\n\n"
    (tmp_path / "t.txt").write_bytes((talk.format(1, "é") + talk.format(2, "")).encode("latin-1"))
    (tmp_path / "u.txt").write_text("no dialogue\n")
    assert [text for _, text in placed(f"meddialog={tmp_path}")] == [
        "broken row: this is not UTF-8 text; save the file as UTF-8", "Pain?", "a file without dialogues: "
    ]  # fmt: skip


def test_a_key_that_counts_from_nobody_knows_where_is_a_broken_file(tmp_path: Path) -> None:
    options = {f"op{letter}": letter for letter in "abcd"}
    (tmp_path / "dev.json").write_text(json.dumps({"question": "Which?", "cop": 2, **options}))
    [(where, text)] = placed(f"medmcqa={tmp_path}")
    assert (where, text[:58]) == ("dev.json", "broken file: dev.json: its field cop has only 2, so that n")


# Parts of files


def test_a_file_in_parts_gives_the_same_rows_with_the_same_lines(tmp_path: Path) -> None:
    lines = [line(f"Why {n}?") for n in range(200)]
    lines[50:50] = [b"", b"broken"]
    (tmp_path / "q.jsonl").write_bytes(b"\n".join(lines))
    source = source_of(f"qca={tmp_path / 'q.jsonl'}")
    pieces = list(pieces_of(source, files_in(source), piece_bytes=1000))
    assert len(pieces) > 5
    parts = [row for piece in pieces for found in records_of(piece) for row in rows_of(piece, found)]
    assert parts == list(read(source))
    assert parts[50][0] == "q.jsonl, line 52"
    assert parts[-1][0] == "q.jsonl, line 202"


# Official splits


@pytest.mark.parametrize(
    ("files", "splits"),
    [
        (("train.json", "dev.json", "test.json"), ["validation", "test", "train"]),
        (("phrases_no_exclude_train.jsonl", "phrases_no_exclude_test.jsonl"), ["test", "train"]),
        (("train/anatomy.json", "val/anatomy.json"), ["train", "validation"]),
        (("MTS-ValidationSet.jsonl", "MTS-TrainingSet.jsonl"), ["train", "validation"]),
        (("train.jsonl", "train-more.jsonl"), ["", ""]),  # nothing is held out: the split is still to be drawn
        (("contest.jsonl", "devices.jsonl"), ["", ""]),
    ],
)
def test_official_splits_stand_in_names_of_files_and_folders(
    tmp_path: Path, files: tuple[str, ...], splits: list[str]
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"Question": "Why?", "Response": name}))
    rows = [row for _, row in read(source_of(f"medical_o1={tmp_path}"))]
    assert [row.split for row in rows if isinstance(row, Example)] == splits  # in the order of the names


def test_a_file_of_ones_own_is_held_out_only_by_a_whole_name_or_its_own_column(tmp_path: Path) -> None:
    (tmp_path / "my-test.jsonl").write_bytes(line("A?"))
    (tmp_path / "validation.jsonl").write_bytes(line("B?"))
    (tmp_path / "x.jsonl").write_text(json.dumps({"question": "C?", "answer": "So.", "split": "dev"}))
    rows = [row for _, row in read(source_of(f"qca={tmp_path}"))]
    assert [(row.question, row.split) for row in rows if isinstance(row, Example)] == [
        ("A?", ""), ("B?", "validation"), ("C?", "validation")
    ]  # fmt: skip


# Naming a source


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("medquad", InvalidInput, "write ADAPTER=PATH"),
        ("nothing=x", NotFound, "no adapter 'nothing'"),
        ("medquad=/no/such/place", NotFound, "no file or folder /no/such/place"),
        ("medquad=hub:only-a-name", InvalidInput, "write OWNER/NAME"),
        ("liveqa=hub:", InvalidInput, "write liveqa=PATH"),
        ("mimic_iv=hub:", InvalidInput, "is never fetched"),
        ("mimic_iv=hub:some/copy", InvalidInput, "is never fetched"),
    ],
)
def test_a_source_that_cannot_be_is_refused_in_one_line(text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        source_of(text)


# The Hub


def fake_hub(seen: list[str]) -> Callable[..., Iterator[dict[str, Any]]]:
    def load(repo: str, config: str | None, *, split: str, **_: Any) -> Iterator[dict[str, Any]]:
        for n in range(5):
            seen.append(f"{config}/{split}/{n}")
            yield {"question": f"{config} {split} {n}?", "answer": "So."}

    return load


def test_rows_of_the_hub_are_fetched_once_and_read_with_their_splits(tmp_path: Path) -> None:
    seen: list[str] = []
    hub = Hub("owner/name", ("train", "test"), ("one", "two"), add=(("more", 1),))
    files = fetched_files(hub, tmp_path, limit=2, load=fake_hub(seen))
    assert [file.name for file in files] == [
        "one-train-first-2.jsonl", "one-test-first-2.jsonl", "two-train-first-2.jsonl", "two-test-first-2.jsonl"
    ]  # fmt: skip
    assert json.loads(files[0].read_text().splitlines()[1]) == {"question": "one train 1?", "answer": "So.", "more": 1}
    fetched = len(seen)
    assert fetched_files(hub, tmp_path, limit=2, load=fake_hub(seen)) == files
    assert len(seen) == fetched
    source = source_of("qca=hub:owner/name")
    assert [piece.split for piece in pieces_of(source, files)] == ["train", "test", "train", "test"]


def test_the_splits_of_an_unknown_data_set_are_asked_for(tmp_path: Path) -> None:
    hub = source_of("qca=hub:owner/name").hub
    assert hub is not None
    files = fetched_files(hub, tmp_path, load=fake_hub([]), splits_of=lambda repo, config, revision: ["a", "b"])
    assert [file.name for file in files] == ["a.jsonl", "b.jsonl"]


def test_a_fetch_that_breaks_leaves_no_half_a_file(tmp_path: Path) -> None:
    def load(*_: Any, **__: Any) -> Iterator[dict[str, Any]]:
        yield {"question": "A?"}
        raise OSError("the line is dead")

    with pytest.raises(DownloadFailed, match=r"owner/name could not be read .* the line is dead"):
        fetched_files(Hub("owner/name"), tmp_path, load=load)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


# The command


def test_the_sources_are_listed_with_what_is_needed_and_what_was_never_tried(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["sources"]) == 0
    shown = capsys.readouterr().out
    for name, adapter in ADAPTERS.items():
        assert f"{name}: {adapter.title}" in shown
    never = shown.splitlines()[-1]
    assert never.startswith("Never run on real files: meddialog, healthcaremagic, icliniq, drugehrqa, mimic_iv,")
    assert not {"medquad", "qca", "examples"} & set(never.replace(",", "").split())
    assert "mediqa: run on real files of 2021, never on those of 2019." in never
    assert "a form for rows of your own: there are no public files of it" in shown.split("qca: ")[1]
    assert main(["sources", "--json"]) == 0
    listed = {its["name"]: its for its in json.loads(capsys.readouterr().out)}
    assert listed["medcalc_bench"]["licence"] == "CC-BY-SA-4.0"
    assert (listed["medquad"]["tried"], listed["bioasq"]["tried"]) == (True, False)


# The real files, where they are: (kept, of those to be labelled, dropped)

EXPECTED = {
    "healthbench=healthbench": (30, 6, {}),
    "kqa=kqa": (351, 150, {}),
    "medcalc_bench=medcalc_bench": (300, 0, {}),
    "medical_o1=medical_o1_sft": (2, 0, {}),
    "mediqa=mediqa2021_qs": (150, 0, {}),
    "medmcqa=medmcqa": (300, 0, {}),
    "medqa=medqa_usmle": (300, 0, {}),
    "medquad=medquad": (324, 3, {"a file without questions": 2}),
    "mmlu_medical=mmlu_medical": (300, 0, {}),
    "mts_dialog=mts_dialog": (300, 0, {}),
    "pubmedqa=pubmedqa": (300, 0, {}),
    "symptom2disease=symptom2disease": (300, 0, {}),
    "qca=kqa": (351, 150, {}),
}


@needs_real_texts
@pytest.mark.parametrize("reading", [Reading(), Reading("first", "explained", abstracts=True)])
@pytest.mark.parametrize("given", EXPECTED)
def test_every_folder_of_real_files_goes_through(given: str, reading: Reading) -> None:
    name, _, folder = given.partition("=")
    found = [row for _, row in read(source_of(f"{name}={FOLDER / folder}"), reading)]
    kept = [row for row in found if isinstance(row, Example)]
    dropped = Counter(row.reason for row in found if isinstance(row, Skipped))
    unlabelled = sum(row.answer is None for row in kept)
    print(f"{folder}: {len(found)} rows in = {len(kept)} kept ({unlabelled} to be labelled) + {dict(dropped)}")
    assert (len(kept), unlabelled, dict(dropped)) == EXPECTED[given]
    assert all(row.id.startswith(f"{name}:") and row.source.startswith(name) and row.licence for row in kept)
    same = len(kept) - len({row.id for row in kept})
    assert same == {"kqa": 1, "qca": 1, "medcalc_bench": 1, "symptom2disease": 2}.get(name, 0)  # stand twice


@needs_real_texts
def test_the_folders_of_real_files_are_those_that_were_tried() -> None:
    assert {given.partition("=")[2] for given in EXPECTED} == {path.name for path in FOLDER.iterdir() if path.is_dir()}
    tried = {name for name, adapter in ADAPTERS.items() if adapter.tried}
    assert {given.partition("=")[0] for given in EXPECTED} - {"qca"} == tried  # a form of one's own has no real files

"""Source files to training data: what is kept, what is left out and why, and what the report says."""

import json
from pathlib import Path

import pytest
from judged_answers import Judges
from prepared_rows import adds_up, contents, in_files, prepared, rows, source

from medchat.errors import InvalidInput, NotFound
from medchat.records import Example, question_id
from train.__main__ import main
from train.adapters import Reading, Source, source_of
from train.prepare import prepare
from train.prepare_options import Options, balance_of, weights_of
from train.row_files import FILES
from train.suite_questions import suite_questions

LONG_ANSWER = "Rest, plenty of fluids and paracetamol; see a doctor when the fever lasts longer than three days."


def test_rows_are_split_by_question_and_said_once(tmp_path: Path) -> None:
    found = rows(300)
    again = Example(found[7].question.upper() + " ", "Another answer entirely.", licence="MIT")
    same = Example(found[8].question, found[8].answer.upper() if found[8].answer else None, licence="MIT")
    its = source(tmp_path / "rows.jsonl", [*found, again, same, Example("What helps against hiccups at night?", None)])

    report = prepared([its], tmp_path / "a", seed=3)
    other = prepared([its], tmp_path / "b", seed=4)

    files = in_files(tmp_path / "a")
    kept = [row.question for name in ("train", "validation", "test") for row in files[name]]
    assert sorted(kept) == sorted(row.question for row in found)
    assert [row.question for row in files["unlabelled"]] == ["What helps against hiccups at night?"]
    assert report["rows"] == {name: len(files[name]) for name in FILES}
    # 300 draws at 0.1 each: five standard deviations are 26.
    assert 4 <= report["rows"]["validation"] <= 56
    assert 4 <= report["rows"]["test"] <= 56
    assert report["sources"][0]["dropped"] == {
        "the same question with another answer": 1, "the same question with the same answer": 1
    }  # fmt: skip
    assert report["sources"][0]["licences"] == {"MIT": 300, "not stated": 1}
    assert adds_up(report)
    assert all(row.id and row.split == "test" and row.meta["where"] for row in files["test"])
    assert report["sha256"] != other["sha256"]
    assert {row.question for row in files["test"]} != {row.question for row in in_files(tmp_path / "b")["test"]}


def test_a_near_duplicate_is_left_out_and_one_with_another_dose_stays_on_the_same_side(tmp_path: Path) -> None:
    asked = "My mother is 70 and takes metformin {} mg for diabetes, what should she eat for breakfast every day?"
    first = Example(asked.format(500), LONG_ANSWER, id="first")
    typo = Example("Hello doctor, " + asked.format(500).replace("breakfast", "breakfst"), LONG_ANSWER, id="typo")
    dose = Example(asked.format(850), LONG_ANSWER, id="dose")
    its = source(tmp_path / "rows.jsonl", [*rows(100), first, typo, dose])

    for seed in range(3):
        report = prepared([its], tmp_path / str(seed), seed=seed)
        side = {row.id: name for name, found in in_files(tmp_path / str(seed)).items() for row in found}
        assert side["first"] == side["dose"]
        assert "typo" not in side
        assert report["sources"][0]["dropped"] == {"near duplicate": 1}
        assert report["duplicates"]["tied_groups"] == 1
        assert report["duplicates"]["examples"][0]["similarity"] > 0.7


def test_questions_of_suites_and_rows_for_evaluation_are_left_out(tmp_path: Path) -> None:
    found = rows(40)
    canary = Example("Who may train on this row here?", "Nobody at all.", meta={"canary": "x"})
    its = source(tmp_path / "rows.jsonl", [*found, canary])
    source(tmp_path / "data" / "suites" / "mine.jsonl", [found[5]])

    report = prepare([its], tmp_path / "out", Options(balance=None), data_dir=tmp_path / "data")

    assert report["sources"][0]["dropped"] == {"for evaluation alone": 1, "in the evaluation suite mine": 1}
    assert report["leaks"] == {"mine": 1}
    rule = report["rules"]["in the evaluation suite mine"]
    assert rule["examples"][0]["where"] == "rows.jsonl, line 6"


def test_a_broken_row_is_counted_with_file_and_line_and_ends_nothing(tmp_path: Path) -> None:
    lines = [row.to_json() for row in rows(30)]
    lines[3] = '{"question": "Cut off'
    lines[9] = json.dumps({"question": "Half a \ud83d character?", "answer": "It cannot be written."})
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(lines))

    report = prepared([Source("examples", file)], tmp_path / "out")

    assert report["sources"][0]["dropped"] == {"broken row": 2}
    examples = report["rules"]["broken row"]["examples"]
    assert {its["where"] for its in examples} == {"rows.jsonl, line 4", "rows.jsonl, line 10"}
    assert adds_up(report)


def test_a_source_that_cannot_be_read_at_all_is_said_with_its_fault(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    file.write_bytes(b"no table")

    with pytest.raises(InvalidInput, match=r"No row is left to train on: 1 broken file \(rows\.parquet: "):
        prepared([Source("qca", file)], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_medical_o1_becomes_rows_with_reasoning(tmp_path: Path) -> None:
    asked = [row.question for row in rows(60)]
    found = [{"Question": its, "Complex_CoT": "Hmm, let me think.", "Response": f"So {its}"[:30]} for its in asked]
    file = tmp_path / "medical_o1_sft.json"
    file.write_text(
        json.dumps([*found, {"Question": "Why is this one open?", "Complex_CoT": "Hmm.", "Response": None}])
    )

    report = prepared([Source("medical_o1", file)], tmp_path / "out")

    first = in_files(tmp_path / "out")["train"][0]
    assert (first.rationale, first.licence) == ("Hmm, let me think.", "Apache-2.0")
    assert report["kept"] == 60
    assert report["rows"]["validation"] > 0
    assert adds_up(report)


def test_options_that_stand_in_the_question_are_no_answer_in_it(tmp_path: Path) -> None:
    stem = "Which of the following statements is true of the pupillary light reflex"
    row = {
        "opa": "It crosses the midbrain at its inferior part", "opb": "It is a consensual reflex",
        "opc": "It needs the chorda tympani to be whole", "opd": "It ends in the optic nerve", "cop": 2, "exp": None,
    }  # fmt: skip
    lines = [
        json.dumps({**row, "id": str(n), "question": f"{stem} of {its.question}"}) for n, its in enumerate(rows(20))
    ]
    lines[0] = lines[0].replace('"cop": 2', '"cop": 4')  # so that keys are seen to begin at 1
    (tmp_path / "train.json").write_text("\n".join(lines))

    report = prepared(
        [Source("medmcqa", tmp_path / "train.json")], tmp_path / "out", reading=Reading(choices="explained")
    )

    assert report["kept"] == 20
    assert "It is a consensual reflex" in in_files(tmp_path / "out")["train"][0].question


def test_nothing_to_train_on_is_said_and_leaves_what_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepared([source(tmp_path / "rows.jsonl", rows(30))], out)
    before = contents(out)

    with pytest.raises(InvalidInput, match="to train on: 1 no answer, and its question was there before; 1 without"):
        prepared([source(tmp_path / "none.jsonl", [Example("Is there no answer?", None)] * 2)], out)

    assert contents(out) == before
    assert sorted(path.name for path in out.iterdir()) == [
        "report.html", "report.json", "test.jsonl", "train.jsonl", "unlabelled.jsonl", "validation.jsonl",
    ]  # fmt: skip


def test_ids_that_two_sources_share_are_told_apart_and_children_follow(tmp_path: Path) -> None:
    one = source(
        tmp_path / "one.jsonl", [Example("What is gout in old age?", "A joint disease.", id="1", split="train")]
    )
    child = Example("Asthma: what is it?", "A disease of the lungs.", id="2", split="train", meta={"parent": "1"})
    other = source(
        tmp_path / "other.jsonl",
        [Example("What is asthma in children?", "A disease of the lungs.", id="1", split="train"), child],
    )

    prepared([one, other], tmp_path / "out")

    found = {row.question: row for row in in_files(tmp_path / "out")["train"]}
    assert found["What is gout in old age?"].id == "1"
    renamed = found["What is asthma in children?"].id
    assert renamed.startswith("1-")
    assert found["Asthma: what is it?"].meta["parent"] == renamed


def test_files_can_be_tables_and_text_in_a_template(tmp_path: Path) -> None:
    its = source(tmp_path / "rows.jsonl", rows(40))
    prepared([its], tmp_path / "out")

    report = prepared([its], tmp_path / "out", format="text", template="instruction")

    assert sorted(contents(tmp_path / "out")) == [
        "report.html", "report.json", "test.txt", "train.txt", "unlabelled.jsonl", "validation.txt",
    ]  # fmt: skip
    assert (tmp_path / "out" / "train.txt").read_text().startswith("Question: ")
    assert (report["format"], report["template"]) == ("text", "instruction")


def test_the_report_says_the_command_without_a_place_of_this_machine(tmp_path: Path) -> None:
    its = source(tmp_path / "rows.jsonl", rows(40))

    report = prepared([its], tmp_path / "out", validation=0.2, weights={"examples": 2.0}, seed=5, limit=30)

    assert report["command"] == (
        "python -m train prepare --source examples=rows.jsonl --validation 0.2 --balance none --limit 30"
        " --weight examples=2 --seed 5 --out DIR"
    )
    assert str(tmp_path) not in (tmp_path / "out" / "report.json").read_text()
    assert report["rows_in"] == 30
    assert report["lengths"]["question"]["median"] > 5
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"validation": 0.05}, "--validation is a share of the questions from 0.1 to 0.2"),
        ({"test": 0.5}, "--test is a share of the questions from 0 to 0.2"),
        ({"brief_share": 1.0}, "--brief-share"),
        ({"balance": (80.0, 30.0)}, "two parts of 100"),
        ({"weights": {"medquad": 0.0}}, "a weight is a number above 0"),
        ({"limit": 0}, "--limit"),
        ({"format": "text"}, "add --template instruction or --template role"),
    ],
)
def test_an_option_that_cannot_be_is_one_clear_line(options: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        Options(**options)  # type: ignore[arg-type]


def test_shares_and_weights_are_read_and_checked(tmp_path: Path) -> None:
    assert balance_of("60/40") == (60, 40)
    assert balance_of("none") is None
    assert weights_of(["medquad=2", "rows.jsonl=0.5"]) == {"medquad": 2.0, "rows.jsonl": 0.5}
    for text in ("60", "a/b", "1/2/3"):
        with pytest.raises(InvalidInput, match="such as 75/25"):
            balance_of(text)
    with pytest.raises(InvalidInput, match="such as medquad=2"):
        weights_of(["medquad"])
    with pytest.raises(InvalidInput, match=r"no such source; choose examples or rows\.jsonl"):
        prepared([source(tmp_path / "rows.jsonl", rows(3))], tmp_path / "out", weights={"medquad": 2.0})
    with pytest.raises(NotFound, match=r"no file gone\.jsonl with frozen rows"):
        Options(frozen=Path("gone.jsonl"))


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("rows.jsonl", InvalidInput, "write ADAPTER=PATH"),
        ("magic=rows.jsonl", NotFound, "no adapter 'magic'"),
        ("examples=/not/there", NotFound, "no file or folder /not/there"),
    ],
)
def test_a_source_names_its_adapter_and_is_there(text: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        source_of(text)


def test_the_commands_write_folders_and_show_what_is_in_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judges = Judges(tmp_path)
    judges.vote("ada", "a", "Gout.", "Cellulitis.")
    judges.store.close()
    source(tmp_path / "rows.jsonl", [*rows(30), *rows(1)])
    common = ["--data-dir", str(tmp_path)]
    run = ["--run-dir", str(tmp_path / "run")]

    assert main(["feedback", "--out", str(tmp_path / "ratings"), *common]) == 0
    assert (
        main(
            ["prepare", "--source", f"examples={tmp_path / 'rows.jsonl'}", "--out", str(tmp_path / "p"), *common, *run]
        )
        == 0
    )
    assert main(["feedback", "--out", str(tmp_path / "x"), "--min-probability", "0.4", *common]) == 1

    said = capsys.readouterr()
    assert "dpo.jsonl: 1 train, 0 validation" in said.out
    assert "chosen:   Gout." in said.out
    assert "rows.jsonl (examples): 31 read = 30 kept + 0 without an answer + 1 dropped" in said.out
    assert "1 the same question with the same answer" in said.out
    assert "between 0.5 and 1" in said.err
    assert (tmp_path / "ratings" / "dpo.jsonl").is_file()
    assert (tmp_path / "p" / "train.jsonl").is_file()
    assert json.loads((tmp_path / "run" / "result.json").read_text())["kept"] == 30
    assert json.loads((tmp_path / "run" / "state.json").read_text())["status"] == "done"


def test_a_question_of_a_suite_is_held_out_in_each_way_in_which_it_is_asked(tmp_path: Path) -> None:
    row = Example("Which?", "B", kind="mcq", context="A case.", options={"A": "Flu", "B": "Gout"})
    source(tmp_path / "suites" / "mine.jsonl", [row])

    held_out = suite_questions(tmp_path)

    asked = "Which?\n\nOptions:\nA. Flu\nB. Gout\n\nThe correct option is:"  # by the template for a choice
    for question in ("Which?", asked, "Which?\nA. Flu\nB. Gout"):
        assert held_out[question_id("A case.", question)] == "mine"
    assert {"handwritten", "combinations"} <= set(held_out.values())


def test_a_suite_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "mine.jsonl").write_text("{}\n")

    with pytest.raises(InvalidInput, match=r"mine\.jsonl, line 1"):
        suite_questions(tmp_path)

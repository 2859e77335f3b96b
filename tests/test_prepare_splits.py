"""Which rows are taught and which are held out: official splits, groups, children, frozen rows."""

from pathlib import Path

import pytest
from prepared_rows import adds_up, in_files, prepared, questions, rows, source

from medchat.errors import InvalidInput
from medchat.records import Example
from train.adapters import Source

SEEDS = range(4)
HELD_OUT = "paraphrase of a held-out question"
CHILD = "made from a held-out question"


def sides(out: Path) -> dict[str, str]:
    """The file of each row, by its id."""
    return {row.id: name for name, found in in_files(out).items() for row in found}


def dropped(report: dict[str, object]) -> dict[str, int]:
    """Rows of the first source, by rule."""
    return report["sources"][0]["dropped"]  # type: ignore[index]


def asked(number: int, dose: int) -> str:
    """A question that is tied to the same one with another dose."""
    return f"{questions(1, number)[0][:-1]} while the patient takes {dose} mg of the usual drug?"


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_row_of_ones_own_stays_in_the_split_that_it_names(tmp_path: Path, split: str) -> None:
    its = source(tmp_path / "rows.jsonl", [*rows(20, id="", split="train"), *rows(10, 100, split=split)])

    report = prepared([its], tmp_path / "out")

    assert report["rows"] == {"train": 20, "validation": 0, "test": 0, "unlabelled": 0} | {
        split: 30 if split == "train" else 10
    }


def test_a_public_set_without_validation_gets_one_of_its_train_rows_and_keeps_its_test(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for name, start, n in (("train", 0, 200), ("test", 500, 30)):
        lines = [
            f'{{"question": "{question}", "answer": "A word on {question}"}}\n' for question in questions(n, start)
        ]
        (folder / f"{name}.jsonl").write_text("".join(lines))

    report = prepared([Source("qca", folder)], tmp_path / "out")

    its = report["sources"][0]
    assert its["official_splits"]
    assert report["rows"]["test"] == 30
    # 200 draws at 0.1: five standard deviations are 21.
    assert 1 <= report["rows"]["validation"] <= 41
    assert report["rows"]["train"] == 200 - report["rows"]["validation"]


def test_test_wins_over_validation_and_train_and_the_other_rows_of_its_question_leave(tmp_path: Path) -> None:
    tied = [
        Example(asked(5, 10), "Ten.", id="train", split="train"),
        Example(asked(5, 20), "Twenty.", id="validation", split="validation"),
        Example(asked(5, 30), "Thirty.", id="test", split="test"),
        Example(asked(5, 40), None, id="open"),
        Example(asked(7, 40), None, id="open test", split="test"),
    ]
    its = source(tmp_path / "rows.jsonl", [*tied, *rows(20, 100, split="train")])

    report = prepared([its], tmp_path / "out")

    found = sides(tmp_path / "out")
    assert {name: found.get(name) for name in ("train", "validation", "test", "open", "open test")} == {
        "train": None, "validation": None, "test": "test", "open": None, "open test": "unlabelled"
    }  # fmt: skip
    assert dropped(report) == {HELD_OUT: 3}
    assert adds_up(report)


def test_of_the_same_question_the_test_row_stays_though_it_is_read_last(tmp_path: Path) -> None:
    first = source(tmp_path / "first.jsonl", rows(30, split="train"))
    last = source(tmp_path / "last.jsonl", rows(2, 3, split="test"))

    report = prepared([first, last], tmp_path / "out")

    assert report["rows"]["test"] == 2
    assert dropped(report) == {"the same question with the same answer": 2}
    assert report["sources"][1]["kept"] == 2


@pytest.mark.parametrize("seed", SEEDS)
def test_children_stay_with_their_parents_and_only_originals_are_held_out(tmp_path: Path, seed: int) -> None:
    parents = [Example(row.question, row.answer, id=f"p{n}") for n, row in enumerate(rows(60))]
    children = [
        Example(
            questions(1, 300 + n)[0], f"Child {n} says it.", id=f"c{n}", meta={"parent": f"p{n}", "made": "paraphrase"}
        )
        for n in range(60)
    ]
    synthetic = Example(questions(1, 900)[0], "Nobody asked this.", id="s", meta={"made": "synthetic"})
    its = source(tmp_path / "rows.jsonl", [*children, *parents, synthetic])

    report = prepared([its], tmp_path / "out", seed=seed, validation=0.2, test=0.2)

    found = sides(tmp_path / "out")
    held = [n for n in range(60) if found[f"p{n}"] != "train"]
    assert 5 <= len(held) <= 43  # 60 draws at 0.4: five standard deviations are 19
    assert all((f"c{n}" in found) == (n not in held) for n in range(60))
    assert all(found.get(f"c{n}", "train") == "train" for n in range(60))
    assert found["s"] == "train"
    assert dropped(report) == {CHILD: len(held)}


def test_what_was_made_of_a_row_may_ask_nearly_the_same_of_it(tmp_path: Path) -> None:
    question = "My father has gout and cannot sleep because of the pain in his left toe, what helps him at night?"
    answer = "Cooling the joint, rest and a drug against the inflammation."
    parent = Example(question, answer, id="p", split="train")
    near = Example(question.replace("cannot", "can not"), answer, id="c", split="train", meta={"parent": "p"})
    same = Example(question, answer, id="again", split="train", meta={"parent": "p", "made": "paraphrase"})
    taught = Example(question, "A distilled answer in other words.", id="d", meta={"parent": "p", "made": "distilled"})
    its = source(tmp_path / "rows.jsonl", [parent, near, same, taught])

    report = prepared([its], tmp_path / "out")

    assert sides(tmp_path / "out") == {"p": "train", "c": "train", "d": "train"}
    assert dropped(report) == {"the same question with the same answer": 1}


def test_replies_of_one_dialogue_stay_on_one_side(tmp_path: Path) -> None:
    found = [
        Example(row.question, row.answer, id=str(n), meta={"group": f"talk {n // 4}"})
        for n, row in enumerate(rows(120))
    ]
    its = source(tmp_path / "rows.jsonl", found)

    prepared([its], tmp_path / "out")

    side = sides(tmp_path / "out")
    assert len(set(side.values())) == 3
    for talk in range(30):
        assert len({side[str(4 * talk + n)] for n in range(4)}) == 1


def test_frozen_rows_validate_as_they_are_and_what_is_tied_to_them_leaves_train(tmp_path: Path) -> None:
    frozen = Example(asked(5, 10), "  Ten, says the <b>reviewer</b>.", id="f", split="train", meta={"reviewed": True})
    source(tmp_path / "frozen.jsonl", [frozen])
    tied = Example(asked(5, 20), "Twenty.", id="t", split="train")
    child = Example("What was made of it?", "A child row.", id="c", split="train", meta={"parent": "f"})
    free = Example(asked(5, 30), "Thirty.", id="v")
    its = source(tmp_path / "rows.jsonl", [tied, child, free, *rows(20, 100, split="train")])

    report = prepared([its], tmp_path / "out", frozen=tmp_path / "frozen.jsonl")

    side = sides(tmp_path / "out")
    assert (side["f"], side.get("t"), side.get("c"), side["v"]) == ("validation", None, None, "validation")
    assert dropped(report) == {CHILD: 1, HELD_OUT: 1}
    kept = next(row for row in in_files(tmp_path / "out")["validation"] if row.id == "f")
    assert (kept.answer, kept.meta["reviewed"]) == (frozen.answer, True)
    assert report["sources"][1]["title"] == "Frozen validation rows"
    assert report["settings"]["frozen"] == "frozen.jsonl"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_question_without_its_context_stays_with_the_copies_that_have_one(tmp_path: Path, seed: int) -> None:
    bare = [Example(row.question, row.answer, id=f"bare{n}") for n, row in enumerate(rows(40))]
    cases = [
        Example(row.question.upper(), row.answer, id=f"case{n}", context=f"Case {n} came on a Monday, {n * 977} of us.")
        for n, row in enumerate(rows(40))
    ]
    its = source(tmp_path / "rows.jsonl", [*bare, *cases])

    prepared([its], tmp_path / "out", seed=seed, validation=0.2, test=0.2)

    side = sides(tmp_path / "out")
    assert len({side[f"bare{n}"] for n in range(40)}) > 1
    assert all(side[f"bare{n}"] == side[f"case{n}"] for n in range(40))


def test_one_question_about_many_cases_does_not_tie_them(tmp_path: Path) -> None:
    asked = "What is the creatinine clearance of this patient by the formula of Cockcroft and Gault?"
    found = [Example(asked, "60 mL/min", id=f"c{n}", context=row.question) for n, row in enumerate(rows(60))]
    its = source(tmp_path / "rows.jsonl", [*found, *rows(20, 100)])

    prepared([its], tmp_path / "out")

    assert len({side for name, side in sides(tmp_path / "out").items() if name.startswith("c")}) > 1


def test_a_frozen_row_that_cannot_be_read_stops_the_run_with_file_and_line(tmp_path: Path) -> None:
    lines = [row.to_json() for row in rows(3, 200)]
    (tmp_path / "frozen.jsonl").write_text("\n".join([*lines, '{"question": "Cut off']))
    its = source(tmp_path / "rows.jsonl", rows(30))

    with pytest.raises(InvalidInput, match=r"frozen row cannot be read: frozen\.jsonl, line 4: broken row"):
        prepared([its], tmp_path / "out", frozen=tmp_path / "frozen.jsonl")

    assert not (tmp_path / "out" / "train.jsonl").exists()


def test_choices_with_the_same_stem_are_two_questions_on_one_side(tmp_path: Path) -> None:
    stem = "Which of the following is true of the drug of choice?"
    found = [
        Example(
            stem, "A", id=f"m{n}", kind="mcq", options={"A": f"Statement {n} alone", "B": f"Remark {n * 7} instead"}
        )
        for n in range(5)
    ]
    its = source(tmp_path / "rows.jsonl", [*found, *rows(60)])

    for seed in SEEDS:
        report = prepared([its], tmp_path / "out", seed=seed)
        side = sides(tmp_path / "out")
        assert len({side[f"m{n}"] for n in range(5)}) == 1
        assert dropped(report) == {}

"""Rows that hold a question of an evaluation suite."""

import pickle
from pathlib import Path

import pytest

from evaluation.suites import load_suite
from medchat.errors import NotFound
from medchat.records import Example
from train.leaks import ROWS_AT_ONCE, LeakCheck

OWN = (
    "A woman of 61 noticed over two winters that her fingers turn white and then blue whenever she takes milk out of"
    " the refrigerator; which antibody would you ask for?"
)


@pytest.fixture(scope="module")
def check() -> LeakCheck:
    return LeakCheck(None)


def test_a_suites_question_is_found_wherever_it_stands_in_a_row(check: LeakCheck) -> None:
    asked = next(iter(load_suite("choices").examples)).question
    rows = [
        Example(question=asked, answer="x"),
        Example(question="What is asked here?", context=f"He said: {asked.upper()}", answer="x"),
        Example(question="What is asked here?", answer=f"The question was: {asked}"),
        Example(question="What is asked here?", answer="x", rationale=f"Think of this: {asked}"),
        Example(question="What is asked here?", answer="Nothing of the kind, as far as anybody knows of it."),
    ]

    assert [check.found_in(row) for row in rows] == ["choices"] * 4 + [""]


def test_all_bundled_suites_are_held_out(check: LeakCheck) -> None:
    assert {"choices", "calculations", "handwritten", "safety", "pairs"} <= set(check.suites)


def test_a_short_question_is_found_by_its_id(check: LeakCheck) -> None:
    short = min((its for its in load_suite("definitions").examples), key=lambda its: len(its.question))

    assert check.found_in(Example(question=f"  {short.question.upper()} ", context=short.context, answer="x"))


SHORT = "Which of these organs stores our bile?"  # of seven words


def suite(folder: Path, examples: list[Example]) -> Path:
    (folder / "suites").mkdir()
    (folder / "suites" / "mine.jsonl").write_text("".join(row.to_json() + "\n" for row in examples))
    return folder


def test_a_short_question_that_stands_whole_in_a_question_is_held_out_and_elsewhere_is_not(tmp_path: Path) -> None:
    choice = Example(SHORT, "A", kind="mcq", options={"A": "Gall bladder", "B": "Liver"})
    check = LeakCheck(suite(tmp_path, [choice, Example("What is gout today?", "A disease.")]))

    asked = f"Doctor, please help me. {SHORT.upper()} Thank you."
    assert check.found_in(Example(asked, "x")) == "mine"
    assert check.found_in(Example(f"{SHORT}\nA. Gall bladder\nB. Liver", "x")) == "mine"
    assert check.found_in(Example(SHORT.replace("bile", "urine"), "x")) == ""
    assert check.found_in(Example("What is asked of me here?", SHORT, context=SHORT)) == ""
    assert check.found_in(Example("Hello. What is gout today?", "x")) == ""  # four words are too few to tell


def test_a_phrase_of_a_suite_and_a_question_that_needs_its_context_are_no_leaks(tmp_path: Path) -> None:
    phrase = "Which of the following is true?"
    asked = [Example(f"{phrase} Number {n} of them.", "x") for n in range(9)]
    case = Example("What is the most likely diagnosis?", "Gout", context="A man of 50 has a red and swollen toe.")
    check = LeakCheck(suite(tmp_path, [Example(phrase, "x"), *asked, case]))

    # the phrase stands in ten questions of the suite, which is as many as make it a phrase
    assert check.found_in(Example(f"Tell me: {phrase}", "x")) == ""
    assert check.found_in(Example(f"Tell me: {phrase} Number 3 of them.", "x")) == "mine"
    assert check.found_in(Example("My toe hurts. What is the most likely diagnosis?", "x")) == ""


def test_many_rows_are_judged_as_each_alone(check: LeakCheck) -> None:
    asked = [its.question for its in load_suite("choices").examples][:3]
    rows = [Example(question=f"Row {number} asks nothing.", answer="x") for number in range(2 * ROWS_AT_ONCE)]
    rows[5] = Example(question=asked[0], answer="x")
    rows[ROWS_AT_ONCE - 1] = Example(question=f"Tell me: {asked[1]}", answer="x")
    rows[ROWS_AT_ONCE] = Example(question=f"{asked[2]} Tell me.", answer="x")

    found = check.found_in_each(rows)

    assert found == [check.found_in(row) for row in rows]
    assert [number for number, name in enumerate(found) if name] == [5, ROWS_AT_ONCE - 1, ROWS_AT_ONCE]


def test_suites_of_the_data_folder_and_named_files_are_held_out_too(tmp_path: Path) -> None:
    line = Example(question=OWN, answer="Anticentromere").to_json() + "\n"
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "mine.jsonl").write_text(line)
    elsewhere = tmp_path / "other.jsonl"
    elsewhere.write_text(line)
    row = Example(question=OWN.replace("61", "62"), answer="x")

    assert LeakCheck(None).found_in(row) == ""
    assert LeakCheck(tmp_path).found_in(row) == "mine"
    assert LeakCheck(None, [str(elsewhere)]).found_in(row) == "other"
    with pytest.raises(NotFound):
        LeakCheck(None, [str(tmp_path / "gone.jsonl")])


def test_it_travels_to_another_process(check: LeakCheck) -> None:
    asked = next(iter(load_suite("choices").examples)).question

    assert pickle.loads(pickle.dumps(check)).found_in(Example(question=asked, answer="x")) == "choices"

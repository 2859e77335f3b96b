"""Uploaded answers and cases: the shapes that come in, and what is said of a broken file."""

import csv
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evaluation.metrics import Answer
from evaluation.predictions import PredictionFile, prediction_of
from medchat.errors import InvalidInput
from medchat.rubrics import Criterion
from medchat.uploads import (
    MAX_CHARS,
    SUITES,
    UploadedAnswer,
    bundled_cases,
    encoding_note,
    read_answers,
    read_examples,
    read_upload,
)

HTML = '<img src=x onerror="alert(1)"><script>alert("x")</script>&amp;'


def lines(*rows: Any) -> bytes:
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode()


def row(number: int) -> dict[str, str]:
    return {"question": f"Question {number}?", "answer": f"Answer {number}."}


def fault(read: Callable[[str, bytes], object], name: str, data: bytes) -> str:
    with pytest.raises(InvalidInput) as caught:
        read(name, data)
    said = str(caught.value)
    assert "\n" not in said
    return said


# --- Answers ---


def test_answers_in_jsonl() -> None:
    data = lines(
        {"question": " What is it? ", "answer": "Gout."},
        "",
        {"question": "And now?", "context": "A red toe.", "reasoning": "It is hot.", "solution": "Rest.\u2028Ice.",
         "model": "some-model", "raw": "<think>It is hot.</think>Rest.", "note": 3},
    )  # fmt: skip

    assert read_answers("mine.JSONL", b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n")) == [
        UploadedAnswer("What is it?", "", "", "Gout.", ""),
        UploadedAnswer(
            "And now?", "A red toe.", "It is hot.", "Rest.\u2028Ice.", "some-model", "<think>It is hot.</think>Rest."
        ),
    ]


def test_the_predictions_of_an_evaluation_get_their_cases_back(tmp_path: Path) -> None:
    cases = bundled_cases()[:3]
    answered = Answer("Gout", "Because.", raw="raw text")
    cut = Answer("", "Be", complete=False, raw="Be")
    rows = zip(cases, (answered, cut, None), strict=True)
    with PredictionFile(tmp_path) as file:
        file.add(
            prediction_of("demo", "handwritten", case, answer, choice=None, scores={}, groups={}, fault="")
            for case, answer in rows
        )

    answers = read_answers("predictions.jsonl", (tmp_path / "predictions.jsonl").read_bytes())

    assert answers == [
        UploadedAnswer(cases[0].question, cases[0].context, "Because.", "Gout", "demo", "raw text"),
        UploadedAnswer(cases[1].question, "", "Be", "", "demo", "Be"),
    ]


def test_a_prediction_without_its_question_finds_the_case_by_its_id() -> None:
    case = bundled_cases()[0]
    prediction = {"id": case.id, "model": "m", "raw": "", "reasoning": "", "solution": "Gout", "complete": True}

    assert read_answers("predictions.jsonl", lines(prediction)) == [
        UploadedAnswer(case.question, case.context, "", "Gout", "m", specialty=case.meta["specialty"])
    ]


def test_predictions_for_a_suite_of_ones_own_need_their_question() -> None:
    prediction = {"id": "ward-7", "model": "m", "raw": "", "reasoning": "", "solution": "Gout", "complete": True}

    assert fault(read_answers, "predictions.jsonl", lines(prediction)) == (
        "predictions.jsonl, line 1: no case that comes with MedChat has the id 'ward-7'; add 'question' to each line."
    )
    assert read_answers("predictions.jsonl", lines(prediction | {"question": "A red toe?"})) == [
        UploadedAnswer("A red toe?", "", "", "Gout", "m")
    ]


def test_a_file_of_predictions_that_are_all_empty_has_nothing_to_rate() -> None:
    empty = {"id": "known-01", "model": "m", "raw": "", "reasoning": "", "solution": "", "complete": False}

    assert fault(read_answers, "p.jsonl", lines(empty)) == "p.jsonl has no answer that could be rated."


def test_a_table_as_excel_saves_it() -> None:
    data = (
        "\ufeffQuestion;Context;Answer;Model;Notes;\r\n"
        '"Was ist das; genau?";"Roter Zeh\r\nseit ""gestern""";Gicht, vermutlich;m1;;\r\n'
        ";;;;;\r\n"
        "Und jetzt?;;Kühlen;m2;egal;\r\n"
    ).encode()

    assert read_answers("Mappe1.csv", data) == [
        UploadedAnswer("Was ist das; genau?", 'Roter Zeh\nseit "gestern"', "", "Gicht, vermutlich", "m1"),
        UploadedAnswer("Und jetzt?", "", "", "Kühlen", "m2"),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"question,solution\nWhy?,Gout",
        b"sep=;\r\nquestion;solution\r\nWhy?;Gout\r\n",
        b"question\tsolution\rWhy?\tGout\r",
        b'\n"question", "solution"\n"Why?", "Gout"\n',
        "question\tsolution\nWhy?\tGout\n".encode("utf-16"),
    ],
)
def test_tables_of_other_programs(data: bytes) -> None:
    assert read_answers("t.csv", data) == [UploadedAnswer("Why?", "", "", "Gout", "")]


def test_an_encoding_that_was_guessed_is_said() -> None:
    data = "question,answer\nFièvre ?,Grippe — sûr\n".encode("cp1252")

    assert read_answers("t.csv", data)[0].question == "Fièvre ?"
    assert encoding_note("t.csv", data) == "t.csv is not in UTF-8 and was read as Windows-1252; look at its accents."
    assert encoding_note("t.csv", data.decode("cp1252").encode()) == ""


def test_html_stays_the_text_that_it_is() -> None:
    fields = dict.fromkeys(("question", "context", "reasoning", "solution", "model", "raw"), HTML)
    table = io.StringIO()
    writer = csv.DictWriter(table, fields)
    writer.writeheader()
    writer.writerow(fields)

    wanted = [UploadedAnswer(HTML, HTML, HTML, HTML, HTML, HTML)]
    assert read_answers("t.jsonl", lines(fields)) == wanted
    assert read_answers("t.csv", table.getvalue().encode()) == wanted


def test_criteria_come_along_with_their_question() -> None:
    criteria = [{"criterion": "Names gout.", "points": 7}]

    flat, nested = read_answers(
        "t.jsonl", lines({**row(1), "criteria": criteria}, {**row(2), "meta": {"criteria": criteria}})
    )

    assert flat.criteria == nested.criteria == (Criterion("Names gout.", 7),)
    assert fault(
        read_answers, "t.jsonl", lines(row(1), {**row(2), "criteria": [{"criterion": "A", "points": 99}]})
    ) == ("t.jsonl, line 2: criterion 1: 'points' must be a whole number from -10 to 10, and not 0.")


@pytest.mark.parametrize(
    ("seventh", "said"),
    [
        ('{"question": "Q?", "answer": "A"', "not JSON (Expecting ',' delimiter); each line must be one JSON object."),
        ("Gout.", "not JSON (Expecting value); each line must be one JSON object."),
        ("[" * 100_000, "not JSON; each line must be one JSON object."),
        ('{"question": ' + "9" * 5000 + "}", "not JSON; each line must be one JSON object."),
        ('["Q?", "A"]', "not a JSON object."),
        ('{"answer": "A"}', "'question' is missing."),
        ('{"question": " ", "answer": "A"}', "'question' is empty."),
        ('{"question": "Q?"}', "'answer' is missing or empty."),
        ('{"question": "Q?", "answer": " "}', "'answer' is missing or empty."),
        ('{"question": "Q?", "answer": ["A"]}', "'answer' is not a text."),
        (
            '{"question": "Q?", "answer": "A", "solution": "B"}',
            "both 'answer' and 'solution' are there; leave only the one to be rated.",
        ),
        (
            json.dumps({"question": "Q?", "answer": "x" * (MAX_CHARS + 1)}),
            "'answer' has 100,001 characters; at most 100,000 are taken.",
        ),
    ],
)
def test_a_broken_line_7_is_named(seventh: str, said: str) -> None:
    data = lines(*map(row, range(6)), seventh, row(8))

    assert fault(read_answers, "mine.jsonl", data) == f"mine.jsonl, line 7: {said}"


@pytest.mark.parametrize(
    ("seventh", "said"),
    [
        ("Q?", "'answer' is missing or empty."),
        (",A", "'question' is empty."),
        ("Q?,A, B", "3 cells for 2 columns; a text with the separator in it needs quotes."),
        ('Q?,"A', "no row of a table; perhaps a quotation mark is missing (unexpected end of data)."),
        ('Q?,"A"B', "no row of a table; perhaps a quotation mark is missing (',' expected after '\"')."),
    ],
)
def test_a_broken_row_is_named_by_its_line_in_the_file(seventh: str, said: str) -> None:
    # The text of the second row has a line break: six lines stand before the broken one.
    data = f'question,answer\nQ?,"A\nB"\nQ?,A\nQ?,A\nQ?,A\n{seventh}\n'.encode()

    assert fault(read_answers, "t.csv", data) == f"t.csv, line 7: {said}"


def test_a_missing_column_is_named_with_those_that_are_there() -> None:
    assert fault(read_answers, "t.csv", b"Question;Antwort\nQ;A\n") == (
        "t.csv, line 1: there is no column 'answer' or 'solution'; the columns here are: question, antwort."
    )
    assert fault(read_examples, "t.csv", b"Frage;Antwort\nQ;A\n") == (
        "t.csv, line 1: there is no column 'question'; the columns here are: frage, antwort."
    )
    assert fault(read_answers, "t.csv", b"question,answer,Answer\nQ,A,B\n") == (
        "t.csv, line 1: the column 'answer' is there twice."
    )


@pytest.mark.parametrize("read", [read_answers, read_examples])
@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.jsonl", b"", "a.jsonl is empty."),
        ("a.csv", b"\xef\xbb\xbf\r\n \r\n", "a.csv is empty."),
        ("a.csv", b"question,answer\r\n\r\n", "a.csv has no rows under its first line."),
        ("a.txt", b"hello", "a.txt is none of the files that can be read here: .jsonl and .csv."),
        ("a.csv", b"PK\x03\x04rest", "a.csv is an Excel workbook; save it there as 'CSV UTF-8' and upload that."),
        ("a.csv", b"%PDF-1.7", "a.csv is a PDF; put its answers into a .csv file."),
        ("a.csv", b"question\x00,answer\n", "a.csv is not a text; save it in UTF-8."),
        ("a.csv", b"question,answer\n\x81\x8d,\xff\n", "a.csv is not a text; save it in UTF-8."),
        ("a.csv", b"\xff\xfeq", "a.csv is not a text; save it in UTF-8."),
        ("a.jsonl", b"x" * 50_000_000, "a.jsonl has 50.0 MB; at most 5 MB are taken: split it."),
        ("../<b>\n\u202e.jsonl", b"", "<b>.jsonl is empty."),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(
    read: Callable[[str, bytes], object], name: str, data: bytes, said: str
) -> None:
    assert fault(read, name, data) == said


def test_too_large_a_file_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    with path.open("wb") as file:
        file.truncate(50_000_000_000)  # a hole: reading it would take minutes and the memory

    with pytest.raises(InvalidInput, match=r"^big\.csv has 50000\.0 MB; at most 5 MB"):
        read_upload(path, "big.csv")


def test_an_upload_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(b"question,answer\n")

    assert read_upload(tmp_path / "upload", "a.csv") == b"question,answer\n"
    with pytest.raises(InvalidInput, match=r"^a\.csv cannot be read"):
        read_upload(tmp_path / "gone", "a.csv")


@pytest.mark.parametrize(("read", "most"), [(read_answers, 2_000), (read_examples, 20_000)])
def test_so_many_rows_are_taken_and_no_more(read: Callable[[str, bytes], list[object]], most: int) -> None:
    rows = [f"Q{number},A" for number in range(most + 1)]

    assert len(read("a.csv", "\n".join(["question,answer", *rows[:-1]]).encode())) == most
    assert fault(read, "a.csv", "\n".join(["question,answer", *rows]).encode()) == (
        f"a.csv has more than {most:,} rows; split it."
    )


@pytest.mark.parametrize("read", [read_answers, read_examples])
def test_the_largest_file_takes_less_than_a_second(read: Callable[[str, bytes], list[object]]) -> None:
    line = json.dumps({"question": "x" * 1500, "context": "é\n" * 200, "answer": HTML * 10})
    n_rows = 4_900_000 // (len(line) + 10)
    data = lines(*(line.replace('"x', f'"{number} x', 1) for number in range(n_rows)))
    assert 4_500_000 < len(data) <= 5_000_000

    began = time.process_time()  # its own work: others may use the processor too
    assert len(read("a.jsonl", data)) == n_rows
    assert time.process_time() - began < 1


# --- Cases ---


def test_cases_in_jsonl_are_examples_whose_answer_may_be_missing() -> None:
    full = {"id": "c1", "kind": "diagnosis", "question": "Why?", "context": "A toe.", "answer": "gout",
            "meta": {"criteria": [{"criterion": "Names gout.", "points": 5}]}}  # fmt: skip

    first, second = read_examples("cases.jsonl", lines(full, {"question": "And now?"}))

    assert (first.id, first.kind, first.context, first.answer) == ("c1", "diagnosis", "A toe.", "gout")
    assert (second.id, second.answer) == (second.question_id, None)


def test_cases_in_a_table() -> None:
    first, second = read_examples("cases.csv", b"id,question,context,answer\n1,Why?,A toe.,gout\n,When?,,\n")

    assert (first.id, first.question, first.context, first.answer) == ("1", "Why?", "A toe.", "gout")
    assert (second.id, second.question, second.answer) == (second.question_id, "When?", None)


@pytest.mark.parametrize(
    ("third", "said"),
    [
        ({"question": " why? "}, "the same id or case is already in line 1."),
        ({"question": "Q?", "anwser": "A"}, "unknown field 'anwser'; put what is your own into 'meta'."),
        ({"question": ""}, "'question' is missing or not a text."),
        ({"question": "Q?", "options": []}, "'options' is not an object."),
        (
            {"question": "Q?", "meta": {"criteria": {}}},
            "'criteria' is not a list of objects with criterion and points.",
        ),
        (
            {"question": "Q?", "context": "x" * (MAX_CHARS + 1)},
            "'context' has 100,001 characters; at most 100,000 are taken.",
        ),
    ],
)
def test_a_broken_case_is_named(third: dict[str, Any], said: str) -> None:
    data = lines({"question": "Why?"}, {"question": "When?"}, third)

    assert fault(read_examples, "cases.jsonl", data) == f"cases.jsonl, line 3: {said}"


def test_the_cases_of_the_app_begin_with_those_written_by_hand() -> None:
    cases = bundled_cases()
    generated = [case.source.startswith("generated") for case in cases]

    assert cases[0].id == "known-01"
    assert generated == sorted(generated)
    assert generated.count(False) >= 100
    assert generated.count(True) >= 500


def test_of_the_suites_only_cases_are_listed() -> None:
    """No multiple choice, calculation or safety probe, and not the same case twice for another person."""
    suites = {path.stem: len(path.read_text(encoding="utf-8").splitlines()) for path in SUITES.glob("*.jsonl")}
    cases = bundled_cases()

    assert all(case.kind == "diagnosis" for case in cases)
    assert len(cases) == sum(suites[name] for name in ("handwritten", "outside", "combinations", "wordings"))


def test_each_case_of_the_app_has_an_id_of_its_own_that_stays() -> None:
    ids = [case.id for case in bundled_cases()]

    assert len(set(ids)) == len(ids)
    assert all(ids)
    assert ids == [case.id for case in bundled_cases.__wrapped__()]

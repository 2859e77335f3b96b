"""Which questions stand in training data."""

import json
from pathlib import Path

import numpy as np
import pytest

from evaluation.overlap import Questions, overlap_with, training_texts, window_hashes
from medchat.errors import InvalidInput, NotFound

LONG = (
    "A man of 54 years woke at night with a hot red and very painful big toe after an evening of beer and liver,"
    " and he cannot bear the sheet on it; he takes a thiazide for his blood pressure."
)
OTHER = (
    "A woman of 30 has had a throbbing headache on one side since the morning, with nausea, and light hurts her eyes."
)


def found(text: str, **questions: str) -> set[str]:
    return Questions({name: (question, "") for name, question in questions.items()}).found_in(text)


def test_a_question_copied_into_a_text_is_found_whatever_its_case_and_marks() -> None:
    assert found(f"Q: {LONG.upper().replace(' ', '  ').replace(',', ' -')} A: gout", a=LONG, b=OTHER) == {"a"}


def test_thirteen_words_in_a_row_are_enough_and_twelve_are_not() -> None:
    words = LONG.split()

    assert found(" ".join(words[3:16]), a=LONG) == {"a"}
    assert found(" ".join(words[3:15]), a=LONG) == set()


def test_a_changed_word_in_every_twelve_hides_it() -> None:
    words = LONG.split()
    words[6] = words[17] = words[28] = "something"

    assert found(" ".join(words), a=LONG) == set()


def test_a_hundred_and_twenty_characters_in_common_are_enough() -> None:
    # 12 long words are fewer than 13 but, with the 11 spaces, 12 * 13 + 11 = 167 characters
    names = [f"sulfonylurea{letter}" for letter in "abcdefghijkl"]
    question = " ".join(names) + " what is it"

    assert found("before " + " ".join(names) + " after", a=question) == {"a"}
    assert found("before " + " ".join(names[:8]) + " after", a=question) == set()  # 8 * 13 + 7 = 111


def test_a_short_question_is_found_as_a_whole_and_a_very_short_one_is_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text("Which drug is given first for an attack of gout? What is gout?")

    overlap = overlap_with(
        [path], {"a": ("Which drug is given first for an attack of gout?", ""), "b": ("What is gout?", "")}
    )

    assert set(overlap.overlapping) == {"a"}
    assert set(overlap.too_short) == {"b"}


def test_what_many_questions_of_the_suite_have_in_common_is_a_phrase() -> None:
    stem = "which of the following is the most appropriate next step in the management of this patient"
    questions = {f"q{number}": f"{OTHER.split()[number]} {number} {stem}" for number in range(12)}

    assert found(f"Here {stem} now", **questions) == set()
    assert found(f"Here {stem} now", q0=questions["q0"]) == {"q0"}


def test_the_context_counts_too() -> None:
    assert Questions({"a": ("What is it?", LONG)}).found_in(LONG) == {"a"}


def test_texts_of_json_lines_are_found_wherever_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    rows = [{"id": 1, "messages": [{"content": "Hello"}, {"content": LONG}]}, {"question": "None", "answer": None}]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")

    overlap = overlap_with([path], {"a": (LONG, ""), "b": (OTHER, "")})

    assert overlap.overlapping == {"a"}
    assert (overlap.n_texts, overlap.files) == (3, ("train.jsonl",))


def test_a_text_file_is_read_in_stretches_that_cut_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluation.overlap.CHUNK_CHARS", 1000)
    path = tmp_path / "book.txt"
    path.write_text("word " * 190 + LONG + " word" * 300)  # the question lies across the first cut

    assert len(list(training_texts(path))) > 1
    assert overlap_with([path], {"a": (LONG, "")}).overlapping == {"a"}


def test_a_broken_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text('{"question": "Q"}\n{\n')

    with pytest.raises(InvalidInput, match=r"^train\.jsonl, line 2: not JSON"):
        overlap_with([path], {"a": (LONG, "")})
    with pytest.raises(NotFound, match="training data"):
        overlap_with([tmp_path / "none.jsonl"], {"a": (LONG, "")})


def test_equal_windows_have_equal_hashes_wherever_they_stand() -> None:
    hashes = window_hashes(np.array([1, 2, 3, 9, 1, 2, 3], dtype=np.uint64), 3)

    assert len(hashes) == 5
    assert hashes[0] == hashes[4]
    assert len(set(hashes.tolist())) == 4


def test_many_texts_are_judged_as_each_alone() -> None:
    questions = Questions(
        {"a": (LONG, ""), "b": (OTHER, ""), "c": ("Which drug is given first for an attack of gout?", "")}
    )
    words = OTHER.split()
    texts = [
        "", LONG, " ".join(words[:11]), " ".join(words[11:]), f"Before {OTHER} after", "Nothing of the kind.",
        "which drug is given first for an attack of GOUT", f"{OTHER} {LONG}",
    ]  # fmt: skip

    found = questions.found_in_each(texts)

    assert found == [questions.found_in(text) for text in texts]
    assert found[1] == {"a"}
    assert found[2] == found[3] == set()  # a question cut in two is not put together again
    assert found[-1] == {"a", "b"}
    assert questions.found_in_each([]) == []
    assert Questions({}).found_in_each([LONG]) == [set()]

"""The difference of two answers, as it is read."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medchat.word_diff import word_diff


@pytest.mark.parametrize(
    ("left", "right", "pieces"),
    [
        ("", "", []),
        ("Rest.", "Rest.", [("same", "Rest.")]),
        ("", "Rest.", [("right", "Rest.")]),
        ("Rest now.", "", [("left", "Rest now.")]),
        (
            "Give aspirin 300 mg.",
            "Give heparin 300 mg.",
            [("same", "Give "), ("left", "aspirin"), ("right", "heparin"), ("same", " 300 mg.")],
        ),
        ("Give old drugs now", "Give new pills now",
         [("same", "Give "), ("left", "old drugs"), ("right", "new pills"), ("same", " now")]),
        ("It is x-ray", "It is not x-ray", [("same", "It is "), ("right", "not "), ("same", "x-ray")]),
    ],
)  # fmt: skip
def test_what_changed_is_told_in_whole_words(left: str, right: str, pieces: list[tuple[str, str]]) -> None:
    assert word_diff(left, right) == pieces


@given(st.text("ab .\n", max_size=40), st.text("ab .\n", max_size=40))
def test_the_pieces_spell_both_texts(left: str, right: str) -> None:
    pieces = word_diff(left, right)

    assert "".join(text for op, text in pieces if op != "right") == left
    assert "".join(text for op, text in pieces if op != "left") == right
    assert all(text for _, text in pieces)


def test_two_long_answers_are_compared_at_once() -> None:
    left, right = "fever and cough " * 800, "fever or a cough of days " * 800
    began = time.monotonic()

    word_diff(left, right)

    assert time.monotonic() - began < 2

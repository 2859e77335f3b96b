"""What raters said of the steps of the reasoning."""

from typing import Any

import pytest
from judged_rows import judged, rating

from evaluation.agreement import ALPHA_NOMINAL, ALPHA_ORDINAL
from evaluation.human_data import HumanRating
from evaluation.step_agreement import first_wrong, step_agreement, steps_by_model


def marks(rater: str, answer: str, *said: int | None, first: int | None = None, **more: Any) -> HumanRating:
    return rating(rater, answer, step_marks=said, first_wrong_step=first, **more)


def test_the_first_wrong_step_is_the_named_one_or_the_first_marked() -> None:
    assert first_wrong(marks("a", "q/m", 1, 0, -1, -1)) == 3
    assert first_wrong(marks("a", "q/m", 1, 0, -1, first=2)) == 2
    assert first_wrong(marks("a", "q/m", 1, None, 0)) is None


def test_shares_are_means_over_ratings_and_places_are_counted() -> None:
    data = judged(
        [
            marks("a", "q1/m", 1, 1, -1, 1),  # 3 of 4 right, 1 wrong: place 3
            marks("b", "q1/m", 1, 0),  # 1 of 2 right
            marks("a", "q2/m", None, -1),  # none of 1; place 2
            rating("b", "q2/m"),  # marked nothing
            rating("c", "q2/m", first_wrong_step=2),  # named it without marks: place 2
            marks("a", "q1/other", 1, 1),
        ]
    )

    mine, other = steps_by_model(data)

    assert (mine.model, mine.n_answers, mine.n_ratings, mine.n_marks) == ("m", 2, 4, 7)
    assert mine.right.value == pytest.approx((3 / 4 + 1 / 2 + 0) / 3)
    assert mine.neutral.value == pytest.approx((1 / 2) / 3)
    assert mine.wrong.value == pytest.approx((1 / 4 + 0 + 1) / 3)
    assert mine.some_wrong.value == pytest.approx(3 / 4)
    assert (mine.places, mine.middle) == ({2: 2, 3: 1}, 2.0)
    assert (other.right.value, other.some_wrong.value, other.places, other.middle) == (1.0, 0.0, {}, None)


def test_agreement_is_over_steps_of_the_same_answer() -> None:
    # Steps 1 to 4 of q1: 1 1, 1 1, -1 -1, 1 0: by hand, values 1 five times, -1 twice, 0 once; pairs that differ: one.
    # Alpha nominal: 1 - 7 x 2 / (64 - 25 - 4 - 1) = 1 - 14 / 34.
    data = judged([marks("a", "q1/m", 1, 1, -1, 1), marks("b", "q1/m", 1, 1, -1, 0), marks("c", "q2/m", 1, 1)])

    found = {one.name: one for one in step_agreement(data).marks}

    assert found[ALPHA_NOMINAL].value == pytest.approx(1 - 14 / 34)
    assert (found[ALPHA_ORDINAL].n_items, found[ALPHA_ORDINAL].n_raters) == (4, 2)
    # All four are steps of one question: nothing is known of others.
    assert found[ALPHA_NOMINAL].method == "no interval: fewer than two questions"


def test_the_place_is_compared_where_both_found_a_wrong_step() -> None:
    data = judged(
        [
            marks("a", "q1/m", 1, -1, 1, 1), marks("b", "q1/m", 1, -1, 1, 1), marks("c", "q1/m", 1, 1, 1, -1),
            marks("a", "q2/m", -1, 1), marks("b", "q2/m", 1, -1), marks("c", "q2/m", 1, 1),
        ]
    )  # fmt: skip

    found = step_agreement(data)

    # q1: a and b name step 2, c step 4: same 1 of 3, near 1 of 3. q2: steps 1 and 2: not the same, near.
    assert (found.same_place.n, found.same_place.value) == (4, 0.25)
    assert found.near_place.value == 0.5
    # Some wrong step: q1 three say yes; q2 two of three.
    assert found.some_wrong[0].n_items == 2


def test_hidden_repeats_are_left_out() -> None:
    data = judged([marks("a", "q1/m", 1, id="first"), marks("a", "q1/m", -1, id="again", repeat_of="first")])

    assert steps_by_model(data)[0].right.value == 1.0


def test_nobody_marked_a_step() -> None:
    data = judged([rating("a", "q1/m", {"correct": 3.0})])

    assert steps_by_model(data) == []
    found = step_agreement(data)
    assert {one.value for one in (*found.marks, *found.some_wrong)} == {None}
    assert all(one.reason for one in found.marks)
    assert (found.same_place.value, found.same_place.n) == (None, 0)

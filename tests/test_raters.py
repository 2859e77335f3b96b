"""A rater beside the others."""

import numpy as np
import pytest
from judged_rows import judged, rating, scale_axis, side_axis, vote

from evaluation.human_data import HumanData, HumanRating
from evaluation.raters import RaterRow, rater_rows

CORRECT, CLEAR, HARM = scale_axis("correct"), scale_axis("clear"), scale_axis("harm", "low")
SIDES = (side_axis("consensus"), side_axis("recall"), side_axis("omission", reverse=True))


def rows_of(data: HumanData) -> dict[str, RaterRow]:
    """By rater."""
    return {row.rater: row for row in rater_rows(data)}


def study(**shift: float) -> HumanData:
    """Forty answers rated by all; seen as one of 2, 3, 4, with the rater's shift, and a miss of one step in five."""
    rng = np.random.default_rng(0)
    ratings = []
    for n in range(40):
        seen = int(rng.integers(2, 5))
        for rater, by in shift.items():
            given = float(np.clip(seen + by + rng.choice([-1, 0, 0, 0, 1]), 1, 5))
            ratings.append(rating(rater, f"q{n}/m", {"correct": given}, seconds=60.0))
    return judged(ratings, axes=[CORRECT])


def test_agreement_and_bias_by_hand() -> None:
    # Three answers; a gives 5 5 4 where b gives 3 5 4: nearness 1 - 2 / 4, 1, 1; twice, to have six shared ones.
    answers = [f"q{n}/m" for n in range(6)]
    given = {"a": (5, 5, 4) * 2, "b": (3, 5, 4) * 2}
    ratings = [
        rating(rater, answer, {"correct": score})
        for rater, its in given.items()
        for answer, score in zip(answers, its, strict=True)
    ]

    found = rows_of(judged(ratings, axes=[CORRECT]))

    assert found["a"].agreement.value == pytest.approx(2.5 / 3)
    assert (found["a"].agreement.n, found["b"].agreement.n) == (6, 6)
    # Half of the scale kinder on two of six answers.
    assert (found["a"].bias.value, found["b"].bias.value) == pytest.approx((1 / 6, -1 / 6))


def test_more_of_what_is_bad_is_stricter() -> None:
    ratings = [rating(who, f"q{n}/m", {"harm": x}) for who, x in (("a", 5.0), ("b", 1.0)) for n in range(6)]

    assert rows_of(judged(ratings, axes=[HARM]))["a"].bias.value == -1.0


def test_votes_count_by_the_answer_whichever_side_it_was_on() -> None:
    votes = [vote("a", f"q{n}/x", f"q{n}/y", "a") for n in range(6)]
    votes += [vote("b", f"q{n}/y", f"q{n}/x", "b") for n in range(6)]

    found = rows_of(judged(votes=votes))

    assert found["a"].agreement.value == 1.0
    assert (found["a"].left.value, found["b"].left.value) == (1.0, 0.0)


def test_few_shared_answers_tell_nothing() -> None:
    ratings = [rating(who, f"q{n}/m", {"correct": 3.0}) for who in "ab" for n in range(4)]

    found = rows_of(judged(ratings, axes=[CORRECT]))["a"]

    assert (found.agreement.value, found.bias.value, found.agreement.n) == (None, None, 4)
    assert found.agreement.method == "fewer than 5 shared with others"


def test_hidden_repeats_are_compared_with_the_first_time_and_count_nowhere_else() -> None:
    first = [rating("a", f"q{n}/m", {"correct": 3.0, "clear": 4.0}, id=f"first {n}") for n in range(3)]
    again = [
        rating("a", "q0/m", {"correct": 3.0, "clear": 4.0}, id="again 0", repeat_of="first 0"),  # both again
        rating("a", "q1/m", {"correct": 3.0, "clear": 1.0}, id="again 1", repeat_of="first 1"),  # one of two
        rating("a", "q2/m", cannot_rate="not my field", id="again 2", repeat_of="first 2"),  # neither
    ]
    votes = [
        vote("a", "q5/x", "q5/y", "a", id="vote"),
        vote("a", "q5/y", "q5/x", "b", id="same answer", repeat_of="vote"),
    ]

    found = rows_of(judged([*first, *again], votes, axes=[CORRECT, CLEAR]))["a"]

    assert found.repeats.n == 4
    assert found.repeats.value == pytest.approx((1 + 0.5 + 0 + 1) / 4)
    assert (found.n_ratings, found.n_votes, found.cannot) == (3, 1, 0.0)


def test_straight_lining_needs_three_axes_of_one_scale() -> None:
    def form(number: int, *values: float) -> HumanRating:
        return rating("a", f"q{number}/m", dict(zip(("correct", "clear", "harm"), values, strict=False)))

    found = rows_of(judged([form(0, 4, 4, 4), form(1, 4, 4, 3), form(2, 4, 4)], axes=[CORRECT, CLEAR, HARM]))["a"]

    assert (found.straight.n, found.straight.value) == (2, 0.5)


def test_choosing_one_side_on_reversed_axes_too_is_straight_lining() -> None:
    votes = [
        vote("a", "q0/x", "q0/y", "a", axes={"consensus": "a", "recall": "a", "omission": "a"}),
        vote("a", "q1/x", "q1/y", "a", axes={"consensus": "a", "recall": "a", "omission": "b"}),
        vote("a", "q2/x", "q2/y", "a", axes={"consensus": "a", "recall": "a"}),
    ]

    found = rows_of(judged(votes=votes, axes=SIDES))["a"]

    assert (found.straight.n, found.straight.value) == (2, 0.5)


def test_pace_calibration_and_what_could_not_be_rated() -> None:
    ratings = [
        rating("a", "q0/m", {"correct": 3.0}, seconds=10.0), rating("a", "q1/m", {"correct": 3.0}, seconds=40.0),
        rating("a", "q2/m", cannot_rate="not my field", seconds=30.0), rating("a", "q3/m", {"correct": 2.0}),
    ]  # fmt: skip

    found = rows_of(judged(ratings, axes=[CORRECT], calibration={"a": (7, 8)}))["a"]

    assert (found.seconds, found.cannot, found.calibration) == (30.0, 0.25, (7, 8))


def test_raters_alike_are_not_far_from_each_other() -> None:
    assert not any(row.far for row in rater_rows(study(a=0, b=0, c=0, d=0)))


def test_a_strict_rater_is_far_and_the_others_are_not() -> None:
    found = rows_of(study(a=0, b=0, c=0, strict=-2))

    assert [rater for rater, row in found.items() if row.far] == ["strict"]
    assert any(line.startswith("rates stricter than the others") for line in found["strict"].why)


def test_of_two_nobody_is_far() -> None:
    assert not any(row.far for row in rater_rows(study(a=0, strict=-2)))


def test_haste_and_a_favourite_side_are_said() -> None:
    votes = []
    for n in range(20):
        for rater, seconds in (("a", 50.0), ("b", 60.0), ("hasty", 9.0)):
            side = "a" if rater == "hasty" or n % 2 else "b"
            votes.append(vote(rater, f"q{n}/x", f"q{n}/y", side, seconds=seconds))

    found = rows_of(judged(votes=votes))

    assert found["hasty"].far
    assert "takes 9 s for a judgement, where the median of raters is 50 s" in found["hasty"].why
    assert "votes for the left side in 100 % of the decisive votes" in found["hasty"].why
    assert (found["a"].far, found["b"].far) == (False, False)


def test_who_said_nothing_has_no_row() -> None:
    assert rater_rows(judged()) == []

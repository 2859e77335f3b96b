"""Intervals of means, clustered by question, and tests of differences."""

from collections.abc import Callable

import numpy as np
import pytest

from evaluation.stats import (
    ANY,
    COUNTS,
    bootstrap_intervals,
    bootstrap_means,
    by_cluster,
    constant_interval,
    estimate,
    sign_flip_p,
    t_interval,
    wilson,
)
from evaluation.summary import metric_estimate


def test_right_and_wrong_get_wilson_and_unscored_ones_are_counted_apart() -> None:
    found = estimate([1.0, None, 0.0, 1.0, None, 1.0])

    assert (found.value, found.n, found.n_unscored, found.method) == (0.75, 4, 2, "Wilson, 95 %")
    assert (found.low, found.high) == wilson(3, 4)


def test_none_right_has_a_lower_end_of_exactly_zero() -> None:
    assert all(wilson(0, n)[0] == 0.0 and wilson(n, n)[1] == 1.0 for n in range(1, 200))


def test_nothing_scored_is_no_zero() -> None:
    found = estimate([None, None])

    assert (found.value, found.low, found.high, found.n, found.n_unscored) == (None, None, None, 0, 2)


def test_students_t_by_hand_below_ten_questions() -> None:
    # mean 4, deviations -3 -1 1 3: sd = sqrt(20 / 3) = 2.582, se = 1.291; t(3, 97.5 %) = 3.1824: 4 -+ 4.1085
    found = estimate([1.0, 3.0, 5.0, 7.0])

    assert (found.low, found.high) == pytest.approx((-0.1085, 8.1085), abs=1e-4)
    assert found.method == "Student's t over 4 questions, 95 %"


def test_answers_to_one_question_are_one_piece_of_news() -> None:
    # Means 2 and 6 of two questions: residual sums -4 and 4, variance = 2 * (16 + 16) / 4^2 = 4; t(1) = 12.7062
    found = estimate([1.0, 3.0, 5.0, 7.0], ["a", "a", "b", "b"])

    assert (found.low, found.high) == pytest.approx((4 - 2 * 12.7062, 4 + 2 * 12.7062), abs=1e-3)


def test_four_copies_of_each_answer_are_worth_no_more_than_one() -> None:
    alone = estimate([1.0, 0.0] * 20)
    copied = estimate([1.0, 0.0] * 20 * 4, [number % 40 for number in range(160)])

    assert copied.n == 160
    assert copied.method == "Wilson over 40 questions, 95 %"
    # 160 / deff = 40 * 39 / 40 = 39, times (1.960 / t(39) = 2.0227)^2: 36.6 answers, fewer than 40
    assert copied.low is not None
    assert alone.low is not None
    assert wilson(36.6 / 2, 36.6)[0] == pytest.approx(copied.low, abs=1e-3)
    assert copied.low < alone.low


def test_all_right_with_repeated_questions_is_as_sure_as_the_questions_are_many() -> None:
    assert estimate([1.0] * 40, [number // 4 for number in range(40)]).low == wilson(10, 10)[0]


def test_scores_that_do_not_vary_leave_room_for_others() -> None:
    # Wilson's upper end for 0 of 10 is 1.96^2 / (10 + 1.96^2) = 0.2775: 0.5 -+ 0.2775 / 2
    found = estimate([0.5] * 10)

    assert (found.low, found.high) == pytest.approx((0.3612, 0.6388), abs=1e-4)
    assert constant_interval(1.0, 10, 0.0, 1.0)[:2] == pytest.approx(wilson(10, 10))


def test_counts_that_do_not_vary_have_no_interval() -> None:
    found = estimate([3.0] * 50)

    assert (found.value, found.low, found.high) == (3.0, None, None)
    assert "do not vary" in found.method


def test_the_bootstrap_is_the_same_each_time_and_near_students_t_for_plain_data() -> None:
    values = list(np.random.default_rng(3).normal(size=400))
    first, second = estimate(values, method="bootstrap"), estimate(values, method="bootstrap")
    by_t = estimate(values, method="t")

    assert first == second
    assert (first.low, first.high) == pytest.approx((by_t.low, by_t.high), abs=0.02)


def test_a_share_keeps_to_its_range() -> None:
    found = estimate([1.0] * 11 + [0.9], method="auto")

    assert found.low is not None
    assert found.high is not None
    assert 0.9 <= found.low < found.high <= 1.0


def test_students_t_keeps_to_what_the_values_can_be_and_says_so() -> None:
    # mean 0.2, s = 0.3464 / sqrt(3) = 0.2, t(2) = 4.3027: 0.2 -+ 0.8605; a share is from 0 to 1, a count from 0 on
    values = [0.0, 0.0, 0.6]
    share, count, free = (estimate(values, bounds=bounds) for bounds in (None, COUNTS, ANY))

    assert (share.low, share.high) == pytest.approx((0.0, 1.0))
    assert share.method == "Student's t over 3 questions, 95 %, cut to what it can be: from 0 to 1"
    assert (count.low, count.high) == pytest.approx((0.0, 1.0605), abs=1e-3)
    assert count.method.endswith("from 0 on")
    assert free.low == pytest.approx(-0.6605, abs=1e-3)
    assert free.method == "Student's t over 3 questions, 95 %"


def test_counts_that_are_all_zero_or_one_are_no_shares() -> None:
    none = estimate([0.0] * 60, bounds=COUNTS)

    assert (none.value, none.low, none.high) == (0.0, None, None)
    # 1.96^2 / (60 + 1.96^2) = 6.0 %
    assert none.method == "no interval: the values do not vary; Wilson, 95 %: up to 6.0 % of answers have some"
    assert estimate([0.0] * 59 + [1.0], bounds=COUNTS).method == "bootstrap over 60 questions, 95 %"


def test_each_metric_keeps_to_what_its_values_can_be() -> None:
    values = [0.0, 0.0, 0.6]
    questions = ["a", "b", "c"]
    ends = {
        name: metric_estimate(name, values, questions)
        for name in ("rouge_l", "key_term_f1_known", "unsafe_advice", "answer_words", "embedding_similarity")
    }

    assert all((its.low or 0.0) >= 0 for name, its in ends.items() if name != "embedding_similarity")
    assert ends["rouge_l"].high == ends["key_term_f1_known"].high == 1.0
    assert (ends["unsafe_advice"].high or 0.0) > 1
    assert (ends["embedding_similarity"].low or 0.0) < 0


def test_resampled_means_weigh_questions_by_their_answers() -> None:
    # Two questions with sums 0 and 6 of 1 and 3 answers: a resample has mean 0, 6 / 4 or 2
    sums, counts = by_cluster(np.array([0.0, 2.0, 2.0, 2.0]), ["a", "b", "b", "b"])
    means = bootstrap_means(sums[:, None], counts[:, None], np.random.default_rng(0), 200)

    assert set(means[:, 0]) == {0.0, 1.5, 2.0}


def test_each_metric_has_its_own_number_of_questions() -> None:
    counts = np.ones((20, 2))
    counts[8:, 1] = 0
    sums = np.random.default_rng(0).normal(size=(20, 2)) * counts
    full, few = bootstrap_intervals(sums, counts, np.random.default_rng(0))

    assert full.method == "bootstrap over 20 questions, 95 %"
    assert few == t_interval(sums[:8, 1], counts[:8, 1])


def test_flipped_signs_by_hand() -> None:
    # 3 questions, all better by 1: of 8 sign patterns +++ and --- are as extreme: 2 / 8. Sums 1, 1, -2: all 8 are.
    p = sign_flip_p(np.array([[1.0, 1.0], [1.0, 1.0], [1.0, -2.0]]), np.random.default_rng(0))

    assert list(p) == [0.25, 1.0]


def test_many_questions_draw_signs_and_never_reach_zero() -> None:
    p = sign_flip_p(np.full((200, 1), 1.0), np.random.default_rng(0))

    assert p[0] == 1 / 5000


@pytest.mark.slow
@pytest.mark.parametrize("n_questions", [6, 12, 30, 100])
@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        (lambda rng, n: rng.normal(size=n), 0.0),
        (lambda rng, n: rng.beta(2, 2, size=n), 0.5),
        (lambda rng, n: rng.choice([0.0, 0.5, 1.0], size=n), 0.5),
    ],
    ids=["normal", "beta", "three scores"],
)
def test_intervals_cover_the_truth_as_often_as_they_say(
    draw: Callable[[np.random.Generator, int], np.ndarray], truth: float, n_questions: int
) -> None:
    rng = np.random.default_rng(n_questions)
    hits = 0
    for _ in range(1000):
        found = estimate(list(draw(rng, n_questions)), rng=rng)
        hits += found.low is not None and found.high is not None and found.low <= truth <= found.high

    # 95 % of 1,000, less three standard errors (0.7 points each)
    assert hits / 1000 >= 0.93


@pytest.mark.slow
def test_repeated_questions_are_covered_too() -> None:
    rng = np.random.default_rng(0)
    clusters = [number // 4 for number in range(80)]
    hits = 0
    for _ in range(1000):
        chances = rng.beta(2, 2, size=20)
        values = (rng.random(80) < np.repeat(chances, 4)).astype(float)
        found = estimate(list(values), clusters)
        hits += found.low is not None and found.high is not None and found.low <= 0.5 <= found.high

    assert hits / 1000 >= 0.93

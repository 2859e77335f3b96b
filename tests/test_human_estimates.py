"""Intervals of judgements for other questions and raters, and differences of models."""

from math import pi

import numpy as np
import pytest
from human_records import FIVE, OMISSION, RECALL, human_data, rating, vote

from evaluation.human_differences import cohen_d, cohen_h, pair_differences, rate_differences
from evaluation.human_estimates import Resampling, Value, clopper_pearson, mean_of, resampling
from evaluation.human_measures import judged, pair_measures, preferred, rate_measures
from evaluation.stats import expanded_tail

SCALE = (1.0, 5.0)


def drawn_of(values: list[Value], resamples: int = 400) -> Resampling:
    return resampling(((its.question, its.rater) for its in values), 0, resamples)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.30850),  # 1 - 0.025 ** (1 / 10)
        (10, 10, 0.69150, 1.0),  # its mirror
        (1, 10, 0.00253, 0.44502),  # the exact interval of 1 in 10 in every table of it
        (8, 10, 0.44390, 0.97479),
    ],
)
def test_the_exact_interval_is_that_of_the_tables(successes: int, n: int, low: float, high: float) -> None:
    assert clopper_pearson(successes, n) == pytest.approx((low, high), abs=1e-5)


def test_few_judgements_of_a_kind_have_an_exact_interval() -> None:
    values = [Value(q, f"r{r}", float(q == 0)) for q in range(20) for r in range(6)]  # one question in 20, by all

    found = mean_of(values, drawn_of(values), (0.0, 1.0))

    assert found.value == pytest.approx(0.05)
    assert found.method.startswith("Clopper-Pearson")
    worth = float(found.method.split("worth ")[1].split()[0])
    assert worth <= 20  # six raters who all say the same of a question are one judgement of it, not six
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.01
    assert found.high > 0.2


def test_nothing_seen_is_no_proof_of_none() -> None:
    values = [Value(q, f"r{r}", 0.0) for q in range(30) for r in range(3)]

    found = mean_of(values, drawn_of(values), (0.0, 1.0))

    # Each question counts as one: 1 - 0.025 ** (1 / 30) = 0.1157
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(0.1157, abs=1e-4)


def test_raters_who_differ_widen_the_interval_and_many_questions_do_not_narrow_it() -> None:
    kind = {f"r{r}": 3.0 + r * 0.4 for r in range(5)}
    values = [Value(q, rater, mean) for q in range(200) for rater, mean in kind.items()]

    found = mean_of(values, drawn_of(values, 2000), SCALE)

    # Only raters vary: means 3.0 to 4.6 by 0.4, a standard deviation of 0.632. Of a mean of five 0.283, and Student's
    # t with 4 degrees of freedom, 2.776, makes 0.785 either side of 3.8; percentiles cannot leave 3.0 to 4.6.
    assert found.low is not None
    assert found.high is not None
    assert found.value == pytest.approx(3.8)
    assert 1.2 <= found.high - found.low <= 1.6
    assert "200 questions and 5 raters, percentiles widened for few raters (Satterthwaite)" in found.method


def test_with_few_raters_only_questions_are_drawn_and_that_is_said() -> None:
    values = [Value(q, rater, 3.0 + (q % 2)) for q in range(40) for rater in ("ada", "bo")]

    found = mean_of(values, drawn_of(values), SCALE)

    assert "2 raters are too few" in found.method


def test_clusters_are_worth_what_varies() -> None:
    drawn = drawn_of([Value(q, r, 0.0) for q in range(12) for r in range(6)])
    by_question, by_rater = np.zeros((12, 6)), np.zeros((12, 6))
    by_question[:, 0], by_question[:, 1] = 0.5, 0.5
    by_question *= np.where(np.arange(12) % 2, 1, -1)[:, None]  # raters' sums are 0: 12 questions
    by_rater[0], by_rater[1] = 0.5, 0.5
    by_rater *= np.where(np.arange(6) % 2, 1, -1)  # questions' sums are 0: 6 raters

    assert drawn.clusters(by_question) == 12
    assert drawn.clusters(by_rater) == 6


def test_differences_are_permuted_by_question() -> None:
    ratings = [rating(f"q{q}", model, f"r{r}", 2.0 + (model == "m2")) for q in range(3) for r in range(4)
               for model in ("m1", "m2")]  # fmt: skip
    data = human_data([*ratings, rating("q9", "m1", "r0", 5.0)])  # m2 did not answer q9
    drawn = resampling(((its.question_id, its.rater) for its in data.ratings), 0, 200)

    found = rate_differences(judged(data), rate_measures(data), ["m1", "m2"], drawn, 0)

    its = next(one for one in found if one.measure == "correct")
    assert (its.before, its.after, its.value, its.n_questions) == (2.0, 3.0, 1.0, 3)
    # 8 patterns of signs over 3 questions, of which all plus and all minus are as far: 2 / 8, twelve ratings or not.
    assert its.p == pytest.approx(0.25)
    assert its.better == "not shown"


def test_q_is_adjusted_over_all_measures() -> None:
    ratings = [rating(f"q{q}", model, "r1", 2.0 + (model == "m2") * (1 + q % 2)) for q in range(12)
               for model in ("m1", "m2")]  # fmt: skip
    data = human_data(ratings)
    drawn = resampling(((its.question_id, its.rater) for its in data.ratings), 0, 200)

    found = {its.measure: its for its in rate_differences(judged(data), rate_measures(data), ["m1", "m2"], drawn, 0)}

    # Of four measures only `correct` differs: p = 2 / 4096; Benjamini and Hochberg multiply the least p by 4 / 1.
    assert found["correct"].p == pytest.approx(2 / 4096)
    assert found["correct"].q == pytest.approx(4 * 2 / 4096)
    assert found["correct"].better == "second"
    assert [found[name].p for name in ("harm_any", "harm_severe", "critical")] == [1.0, 1.0, 1.0]


def test_effect_sizes_are_those_of_cohen() -> None:
    assert cohen_d(np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0])) == pytest.approx(1.0)  # pooled deviation 1
    assert cohen_d(np.array([2.0, 2.0]), np.array([2.0, 2.0])) is None
    assert cohen_h(0.5, 1.0) == pytest.approx(pi / 2)  # 2 asin 1 - 2 asin sqrt 0.5 = pi - pi / 2


def test_a_reversed_axis_counts_for_the_model_that_was_not_chosen() -> None:
    votes = [vote("q1", "m1", "m2", "r1", "a", axes={"recall": "a", "omission": "a"}),
             vote("q2", "m2", "m1", "r1", "tie", axes={"recall": "b", "omission": "tie"})]  # fmt: skip
    data = human_data(votes=votes, axes=(RECALL, OMISSION))

    found = {(its.measure, its.question): its.value for its in preferred(data)}  # always m1 against m2

    assert found["overall", "q1"] == 1.0
    assert found["overall", "q2"] == 0.5
    assert found["recall", "q1"] == 1.0
    assert found["recall", "q2"] == 1.0
    assert found["omission", "q1"] == 0.0  # m1 leaves out more: m2 is better
    assert found["omission", "q2"] == 0.5
    assert [its.id for its in pair_measures(data)] == ["overall", "recall", "omission"]


def test_votes_are_compared_with_a_half() -> None:
    votes = [vote(f"q{q}", "m1", "m2", f"r{r}", "b") for q in range(10) for r in range(5)]
    data = human_data(votes=votes)
    drawn = resampling(((its.question_id, its.rater) for its in votes), 0, 200)

    (its,) = pair_differences(preferred(data), pair_measures(data), ["m1", "m2"], drawn, 0)

    assert (its.before, its.after, its.value, its.equal) == (0.0, 1.0, 1.0, 0.5)
    assert its.high == 1.0
    assert its.effect == pytest.approx(pi / 2)  # against a half, see above
    assert its.p == pytest.approx(2 / 1024)  # all ten questions say the same, of 2 ** 10 patterns
    assert its.better == "second"


@pytest.mark.slow
def test_intervals_cover_other_questions_and_raters() -> None:
    """100 questions, 8 raters, 3 for each; standard deviations of 0.5, 0.3 and 0.7: the mean of all is 0."""
    runs, covered, by_row = 400, 0, 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        asked, gave = 0.5 * rng.normal(size=100), 0.3 * rng.normal(size=8)
        values = [
            Value(q, r, float(asked[q] + gave[r] + 0.7 * rng.normal()))
            for q in range(100)
            for r in rng.permutation(8)[:3].tolist()
        ]
        found = mean_of(values, drawn_of(values, 300), (-9.0, 9.0))
        covered += (found.low or 0) <= 0 <= (found.high or 0)
        numbers = np.array([its.value for its in values])
        rows = numbers[rng.integers(len(numbers), size=(300, len(numbers)))].mean(axis=1)
        low, high = np.quantile(rows, [expanded_tail(len(numbers)), 1 - expanded_tail(len(numbers))])
        by_row += low <= 0 <= high
    error = (0.95 * 0.05 / runs) ** 0.5
    print(f"covered {covered / runs:.3f} (Monte Carlo error {error:.3f}), by row {by_row / runs:.3f}")
    assert covered / runs >= 0.93
    assert by_row / runs <= covered / runs - 0.05


def test_the_axis_of_a_scale_keeps_its_bounds() -> None:
    assert (FIVE.bounds, FIVE.span, FIVE.is_share) == ((1.0, 5.0), 4.0, False)

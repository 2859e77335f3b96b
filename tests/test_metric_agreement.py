"""Automatic metrics beside clinicians."""

import numpy as np
import pytest
from judged_rows import judged, rating, scale_axis
from scipy.stats import spearmanr

from evaluation.human_data import HumanData
from evaluation.metric_agreement import (
    FEW,
    NO_ENDS,
    ONE_CLINICIAN,
    SAME_METRIC,
    SAME_SCORE,
    MetricAgreement,
    metric_agreement,
    spearman,
)
from evaluation.metric_table import METRICS

CORRECT, HARM = scale_axis("correct"), scale_axis("harm", "low")


def by_metric(data: HumanData) -> dict[str, MetricAgreement]:
    """By the name of the metric."""
    return {one.metric: one for one in metric_agreement(data)}


def study(scores: dict[str, tuple[float, ...]], **automatic: tuple[float | None, ...]) -> HumanData:
    """Each rater's scores of correctness of answers 0, 1, ..., and metrics of them."""
    ratings = [rating(rater, f"q{n}/m", {"correct": x}) for rater, its in scores.items() for n, x in enumerate(its)]
    n_answers = max(map(len, automatic.values()), default=0)
    values = {f"q{n}/m": {name: its[n] for name, its in automatic.items()} for n in range(n_answers)}
    return judged(ratings, axes=[CORRECT], automatic=values)


def test_ranks_are_correlated_as_scipy_does_with_ties() -> None:
    rng = np.random.default_rng(0)
    values = np.column_stack([first := rng.integers(0, 5, 40), first + rng.integers(0, 4, 40)]).astype(float)
    times = rng.integers(0, 3, size=(4, 40))

    found = spearman(values, times.astype(float))

    again = [spearmanr(*np.repeat(values, its, axis=0).T).statistic for its in times]
    assert found == pytest.approx(again)


def test_a_metric_in_the_order_of_the_clinicians_is_best() -> None:
    # Mean scores 1, 2, 3, 4, 5. rouge_l in their order; exact: 0 0 1 0 1.
    # Spearman of exact: ranks 2 2 4.5 2 4.5 against 1 to 5, less their mean -1 -1 1.5 -1 1.5 and -2 -1 0 1 2: products
    # 2 + 1 + 0 - 1 + 3 = 5, squares 7.5 and 10: 5 / sqrt(75) = 0.577.
    data = study(
        {"a": (1, 2, 3, 4, 5), "b": (1, 2, 3, 4, 5)}, rouge_l=(0.1, 0.2, 0.25, 0.3, 0.9), exact=(0, 0, 1, 0, 1)
    )

    found = metric_agreement(data)

    assert [one.metric for one in found] == [ONE_CLINICIAN, "rouge_l", "exact"]
    assert found[1].spearman.value == pytest.approx(1.0)
    assert found[2].spearman.value == pytest.approx(5 / 75**0.5)
    assert found[1].title == METRICS["rouge_l"].title


def test_consistency_leaves_aside_the_level_that_absolute_agreement_counts() -> None:
    # Clinicians 0, 1/4, ..., 1; the metric lies between 0.4 and 0.6 in the same order.
    found = by_metric(study({"a": (1, 2, 3, 4, 5)}, rouge_l=(0.4, 0.45, 0.5, 0.55, 0.6)))["rouge_l"]

    assert found.icc.value == pytest.approx(1.0)
    # ICC(2,1) of two columns: variances v = 0.15625 and 0.00625 with covariance 0.03125; means both 0.5.
    # Mean squares: items 0.1625 / 2 + 0.03125 = 0.1125, rest 0.1625 / 2 - 0.03125 = 0.05, raters 0. Variances: items
    # (0.1125 - 0.05) / 2 = 0.03125, raters (0 - 0.05) / 5 = -0.01, rest 0.05.
    assert found.absolute.value == pytest.approx(0.03125 / (0.03125 - 0.01 + 0.05))


def test_of_a_metric_where_less_is_better_the_lower_values_should_go_with_higher_scores() -> None:
    found = by_metric(study({"a": (1, 2, 3, 4, 5)}, unsafe_advice=(2, 1, 1, 0, 0)))["unsafe_advice"]

    assert (found.spearman.value or 0) > 0.8


def test_the_worse_end_of_an_axis_counts_as_less() -> None:
    ratings = [rating("a", f"q{n}/m", {"harm": float(n)}) for n in range(1, 6)]
    data = judged(ratings, axes=[HARM], automatic={f"q{n}/m": {"rouge_l": 1 - n / 10} for n in range(1, 6)})

    assert by_metric(data)["rouge_l"].spearman.value == pytest.approx(1.0)


def test_one_clinician_is_set_against_the_others_of_the_same_answers() -> None:
    # Answers 3 to 5 have one rater only and say nothing of clinicians among themselves: six ratings of three answers.
    data = study({"a": (1, 3, 5, 2, 2, 4), "b": (1, 3, 5)}, rouge_l=(0.1, 0.5, 0.9, 0.3, 0.3, 0.7))

    found = by_metric(data)

    assert (found[ONE_CLINICIAN].n, found["rouge_l"].n) == (6, 6)
    assert found[ONE_CLINICIAN].spearman.value == pytest.approx(1.0)


def test_answers_without_a_value_are_counted_apart() -> None:
    found = by_metric(study({"a": (1, 2, 3, 4, 5, 3)}, rouge_l=(0.1, 0.2, None, 0.4, 0.5, 0.3)))["rouge_l"]

    assert (found.n, found.n_unscored) == (5, 1)


@pytest.mark.parametrize(
    ("scores", "metric", "reason"),
    [
        ((1, 2, 3, 4), (0.1, 0.2, 0.3, 0.4), FEW),
        ((1, 2, 3, 4, 5), (0.5,) * 5, SAME_METRIC),
        ((3, 3, 3, 3, 3), (0.1, 0.2, 0.3, 0.4, 0.5), SAME_SCORE),
    ],
)
def test_what_cannot_be_told_has_a_reason(scores: tuple[float, ...], metric: tuple[float, ...], reason: str) -> None:
    found = by_metric(study({"a": scores}, rouge_l=metric))["rouge_l"]

    assert (found.spearman.value, found.spearman.reason, found.icc.reason) == (None, reason, reason)


def test_a_metric_without_ends_has_no_absolute_agreement() -> None:
    found = by_metric(study({"a": (1, 2, 3, 4, 5)}, bertscore_f1=(0.8, 0.82, 0.83, 0.85, 0.9)))["bertscore_f1"]

    assert (found.absolute.value, found.absolute.reason) == (None, NO_ENDS)
    assert found.icc.value is not None


def test_intervals_draw_questions() -> None:
    rng = np.random.default_rng(1)
    scores = rng.integers(1, 6, 30)
    data = study({"a": tuple(map(float, scores))}, rouge_l=tuple((scores + rng.normal(size=30)) / 10))

    found = by_metric(data)["rouge_l"].spearman

    assert found.method == "bootstrap over 30 questions, 95 %"
    assert (found.low or 0) < (found.value or 0) < (found.high or 0)


def test_without_ratings_there_is_nothing() -> None:
    assert metric_agreement(judged(axes=[CORRECT])) == []

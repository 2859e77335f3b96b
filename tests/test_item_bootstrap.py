"""Intervals of figures that are no means."""

import numpy as np
import pytest

from evaluation.item_bootstrap import interval_of, value_of
from evaluation.stats import Floats


def mean_of(values: list[float]) -> "Mean":
    return Mean(np.array(values))


class Mean:
    """The mean as a statistic."""

    def __init__(self, values: Floats) -> None:
        self.values = values

    def __call__(self, times: Floats) -> Floats:
        return (times @ self.values) / times.sum(axis=1)


def test_a_jackknife_of_a_mean_is_students_t() -> None:
    # Mean 2.5, standard deviation sqrt(5 / 3), error sqrt(5 / 12) = 0.6455, t with 3 degrees of freedom 3.1824.
    found = interval_of(mean_of([1, 2, 3, 4]), "abcd")

    assert (found.low, found.high) == pytest.approx((2.5 - 3.1824 * 0.6455, 2.5 + 3.1824 * 0.6455), abs=1e-3)
    assert found.method == "jackknife over 4 items, Student's t, 95 %"


def test_a_bootstrap_of_a_mean_is_near_its_standard_error() -> None:
    values = np.random.default_rng(1).normal(size=200).tolist()

    found = interval_of(mean_of(values), range(200), resamples=4000)

    half = 1.97 * np.std(values, ddof=1) / 200**0.5  # t with 199 degrees of freedom
    assert found.low == pytest.approx(np.mean(values) - half, abs=0.015)
    assert found.high == pytest.approx(np.mean(values) + half, abs=0.015)


def test_clusters_are_drawn_whole() -> None:
    # Four clusters of equal size: the jackknife over their means 1, 2, 3, 4 as above.
    found = interval_of(mean_of([1, 1, 2, 2, 3, 3, 4, 4]), "aabbccdd")

    assert found.high == pytest.approx(2.5 + 3.1824 * 0.6455, abs=1e-3)


def test_bounds_are_kept() -> None:
    assert interval_of(mean_of([0, 0, 0, 1]), "abcd", bounds=(0.0, 1.0)).low == 0.0


@pytest.mark.parametrize(
    ("values", "clusters"), [([1.0], "a"), ([1, 2, 3], "aaa"), ([2] * 4, "abcd"), ([2] * 12, range(12))]
)
def test_without_variation_there_is_no_interval(values: list[float], clusters: object) -> None:
    found = interval_of(mean_of(values), list(clusters))  # type: ignore[call-overload]

    assert (found.low, found.high) == (None, None)
    assert found.method.startswith("no interval")


def test_a_figure_that_most_resamples_lack_has_no_interval() -> None:
    def rare(times: Floats) -> Floats:
        return np.where(times[:, 0] > 1, times[:, 1], np.nan)  # the first item is drawn twice or more

    assert interval_of(rare, range(20)).method == "no interval: most resamples have no value"


def test_no_items_have_no_value() -> None:
    assert value_of(mean_of([]), 0) is None

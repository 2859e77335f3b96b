"""Intraclass correlation: the published table, gaps, and resamples."""

import numpy as np
import pytest

from evaluation.icc import Form, icc
from evaluation.stats import Floats

# P. Shrout and J. Fleiss, Psychological Bulletin 1979, table 2: six targets, four judges; their table 4 has the forms.
TARGETS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float)
PUBLISHED: list[tuple[Form, float]] = [
    ("ICC(1,1)", 0.17), ("ICC(2,1)", 0.29), ("ICC(3,1)", 0.71),
    ("ICC(1,k)", 0.44), ("ICC(2,k)", 0.62), ("ICC(3,k)", 0.91),
]  # fmt: skip
FORMS = [form for form, _ in PUBLISHED]


def once(values: Floats) -> Floats:
    """Each item counts once."""
    return np.ones((1, len(values)))


def with_gaps(seed: int = 1, n_items: int = 30) -> Floats:
    """Items, each judged by two to four of six raters."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n_items, 1)) * 2 + np.linspace(-1, 1, 6) + rng.normal(size=(n_items, 6))
    for row in values:
        row[rng.choice(6, size=int(rng.integers(2, 5)), replace=False)] = np.nan
    return values


@pytest.mark.parametrize(("form", "value"), PUBLISHED)
def test_forms_are_those_of_shrout_and_fleiss(form: Form, value: float) -> None:
    assert icc(TARGETS, once(TARGETS), form)[0] == pytest.approx(value, abs=0.005)


def test_exact_values_from_the_published_mean_squares() -> None:
    # Between targets 56.21 / 5 = 11.242, judges 97.46 / 3 = 32.486, residual 15.29 / 15 = 1.0194, within 112.75 / 18.
    bms, jms, ems, wms = 56.208333 / 5, 97.458333 / 3, 15.291667 / 15, 112.75 / 18

    assert icc(TARGETS, once(TARGETS), "ICC(1,1)")[0] == pytest.approx((bms - wms) / (bms + 3 * wms), abs=1e-6)
    two = (bms - ems) / (bms + 3 * ems + 4 * (jms - ems) / 6)
    assert icc(TARGETS, once(TARGETS), "ICC(2,1)")[0] == pytest.approx(two, abs=1e-6)
    assert icc(TARGETS, once(TARGETS), "ICC(3,k)")[0] == pytest.approx((bms - ems) / bms, abs=1e-6)


def test_variances_of_a_table_with_gaps_are_hendersons() -> None:
    """The same three sums of squares by plain least squares on indicator columns."""
    values = with_gaps()
    item, rater = np.nonzero(np.isfinite(values))
    y = values[item, rater]
    items, raters = np.eye(30)[item], np.eye(6)[rater]

    def unexplained(columns: Floats) -> float:
        fit, *_ = np.linalg.lstsq(columns, y, rcond=None)
        return float(((y - columns @ fit) ** 2).sum())

    n, full = len(y), unexplained(np.hstack([items, raters]))
    rest = full / (n - 30 - 6 + 1)
    between_raters = (unexplained(items) - full - 5 * rest) / (n - 30)
    between_items = (unexplained(raters) - full - 29 * rest) / (n - 6)

    total = between_items + between_raters + rest
    assert icc(values, once(values), "ICC(2,1)")[0] == pytest.approx(between_items / total)
    assert icc(values, once(values), "ICC(3,1)")[0] == pytest.approx(between_items / (between_items + rest))
    k = 30 / (1 / np.isfinite(values).sum(axis=1)).sum()  # harmonic mean of the ratings an item
    of_mean = between_items / (between_items + (between_raters + rest) / k)
    assert icc(values, once(values), "ICC(2,k)")[0] == pytest.approx(of_mean)


def test_gaps_do_not_bias_the_estimate() -> None:
    # Variances 4 between items, 2 x (1 + 0.36 + 0.04) / 5 = 0.56 between the six raters, 1 of the rest: 4 / 5.56.
    found = [icc(with_gaps(seed, 500), np.ones((1, 500)), "ICC(2,1)")[0] for seed in range(20)]

    assert np.mean(found) == pytest.approx(4 / 5.56, abs=0.01)


@pytest.mark.parametrize("form", FORMS)
def test_an_item_drawn_twice_is_two_items(form: Form) -> None:
    values = with_gaps()
    times = np.random.default_rng(2).integers(0, 4, size=(3, 30))

    drawn = icc(values, times.astype(float), form)

    again = [icc(part := np.repeat(values, its, axis=0), once(part), form)[0] for its in times]
    assert drawn == pytest.approx(again)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "values",
    [np.full((5, 3), 4.0), np.array([[1.0, 2.0]]), np.array([[1.0, np.nan], [np.nan, 2.0]]), np.empty((0, 2))],
    ids=["all the same", "one item", "nothing shared", "nothing"],
)
def test_what_cannot_be_told_is_no_number(form: Form, values: Floats) -> None:
    assert not np.isfinite(icc(values, once(values), form)[0])


def test_raters_who_share_nothing_with_each_other_leave_a_value() -> None:
    # Raters 0 and 1 judge three items, raters 2 and 3 three others, in perfect agreement.
    values = np.full((6, 4), np.nan)
    values[:3, :2] = [[1, 1], [3, 3], [5, 5]]
    values[3:, 2:] = [[2, 2], [4, 4], [5, 5]]

    assert icc(values, once(values), "ICC(3,1)")[0] == pytest.approx(1.0)

"""Coefficients corrected for chance: published worked examples, libraries, and what a resample must be worth."""

from collections import Counter

import numpy as np
import pytest
from evalica import alpha
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa

from evaluation import kappa
from evaluation.stats import Floats

# K. Gwet's example of raw ratings (Handbook of Inter-Rater Reliability, 4th ed., 2014; "cac.raw4raters" of R's irrCAC):
# 12 units, 4 raters, values 1 to 5, 0 for none.
RAW = np.array(
    [[1, 1, 0, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4],
     [4, 4, 4, 4], [1, 1, 2, 1], [2, 2, 2, 2], [0, 5, 5, 5], [0, 0, 1, 1], [0, 0, 3, 0]]
)  # fmt: skip
# K. Gwet's two abstractors (2014; "cont3x3abstractors" of irrCAC): pregnancies by kind, 100 records.
ABSTRACTORS = np.array([[13, 0, 0], [0, 20, 7], [0, 4, 56]])
# The worked example of Fleiss' kappa: ten subjects, fourteen raters, five values; kappa 0.210.
FOURTEEN = np.array(
    [[0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
     [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]]
)  # fmt: skip


def chosen(raw: np.ndarray, n_values: int) -> Floats:
    """1 at the value that each rater gave (N, J, q)."""
    return (raw[:, :, None] == np.arange(1, n_values + 1)).astype(float)


def once(n_items: int) -> Floats:
    """Each item counts once."""
    return np.ones((1, n_items))


def abstractors() -> Floats:
    """The hundred records (N, 2), values from 1."""
    return np.array([(i + 1, j + 1) for i in range(3) for j in range(3) for _ in range(ABSTRACTORS[i, j])])


def test_coefficients_are_those_published_for_raw_ratings_with_gaps() -> None:
    raters = chosen(RAW, 5)
    counts, times = raters.sum(axis=1), once(12)

    assert kappa.gwet(counts, times)[0] == pytest.approx(0.77544, abs=5e-6)
    assert kappa.gwet(counts, times, kappa.quadratic_weights(5))[0] == pytest.approx(0.914, abs=5e-5)
    assert kappa.fleiss(counts, times)[0] == pytest.approx(0.76117, abs=5e-6)
    assert kappa.krippendorff(counts, times, "nominal")[0] == pytest.approx(0.74342, abs=5e-6)
    assert kappa.conger(raters, times)[0] == pytest.approx(0.76282, abs=5e-6)
    # Eleven units of two or more raters, of whose pairs 9 / 11 agree: (9 / 11 - 1 / 5) / (4 / 5).
    assert kappa.randolph(counts, times)[0] == pytest.approx((9 / 11 - 0.2) / 0.8)


def test_weighted_conger_is_that_published_for_eight_of_the_units() -> None:
    weighted = kappa.conger(chosen(RAW[1:9], 4), once(8), kappa.quadratic_weights(4))

    assert weighted[0] == pytest.approx(0.6719243, abs=5e-8)


def test_coefficients_are_those_published_for_two_abstractors() -> None:
    raters = chosen(abstractors(), 3)
    counts, times = raters.sum(axis=1), once(100)
    pairs = raters[:, 0, :, None] * raters[:, 1, None, :]

    assert kappa.cohen(pairs, times)[0] == pytest.approx(0.7964094, abs=5e-8)
    assert kappa.conger(raters, times)[0] == pytest.approx(0.7964094, abs=5e-8)  # of two raters it is Cohen's
    assert kappa.fleiss(counts, times)[0] == pytest.approx(0.7962397, abs=5e-8)  # of two raters Scott's pi
    assert kappa.gwet(counts, times)[0] == pytest.approx(0.8493305, abs=5e-8)
    assert kappa.randolph(counts, times)[0] == pytest.approx(0.835, abs=5e-8)  # Brennan and Prediger's
    assert kappa.krippendorff(counts, times, "nominal")[0] == pytest.approx(0.7972585, abs=5e-8)


def test_fleiss_and_randolph_of_fourteen_raters() -> None:
    counts = FOURTEEN.astype(float)

    assert kappa.fleiss(counts, once(10))[0] == pytest.approx(0.210, abs=5e-4)
    assert kappa.fleiss(counts, once(10))[0] == pytest.approx(fleiss_kappa(FOURTEEN))
    assert kappa.randolph(counts, once(10))[0] == pytest.approx(fleiss_kappa(FOURTEEN, method="randolph"))


@pytest.mark.parametrize("distance", ["nominal", "ordinal"])
def test_alpha_with_gaps_is_evalicas(distance: str) -> None:
    import pandas as pd

    rng = np.random.default_rng(3)
    raw = rng.integers(1, 6, size=(40, 1)) + rng.integers(-1, 2, size=(40, 4)).clip(-1, 1)
    raw = np.where(rng.random(raw.shape) < 0.3, 0, raw.clip(1, 5))

    ours = kappa.krippendorff(chosen(raw, 5).sum(axis=1), once(40), distance)  # type: ignore[arg-type]

    theirs = alpha(pd.DataFrame(np.where(raw == 0, np.nan, raw).T), distance=distance)  # type: ignore[arg-type]
    assert ours[0] == pytest.approx(theirs.alpha)


def test_alpha_of_measurements_is_evalicas() -> None:
    import pandas as pd

    rng = np.random.default_rng(4)
    values = rng.normal(size=(30, 1)) + rng.normal(size=(30, 3)) * 0.5 + 100
    values[rng.random(values.shape) < 0.2] = np.nan

    ours = kappa.krippendorff_interval(values, once(30))

    assert ours[0] == pytest.approx(alpha(pd.DataFrame(values.T), distance="interval").alpha)


def test_weighted_kappa_of_two_is_scikit_learns() -> None:
    rng = np.random.default_rng(5)
    raw = np.column_stack([first := rng.integers(1, 6, 60), (first + rng.integers(-1, 2, 60)).clip(1, 5)])
    raters = chosen(raw, 5)
    pairs = raters[:, 0, :, None] * raters[:, 1, None, :]

    ours = kappa.cohen(pairs, once(60), kappa.quadratic_weights(5))

    theirs = cohen_kappa_score(raw[:, 0], raw[:, 1], weights="quadratic", labels=[1, 2, 3, 4, 5])
    assert ours[0] == pytest.approx(theirs)
    assert kappa.cohen_of([(str(a), str(b)) for a, b in raw]) == pytest.approx(cohen_kappa_score(raw[:, 0], raw[:, 1]))


def test_values_that_nobody_gave_count_as_chances_only_with_free_margins() -> None:
    three, five = chosen(abstractors(), 3).sum(axis=1), chosen(abstractors(), 5).sum(axis=1)

    assert kappa.krippendorff(five, once(100), "ordinal") == pytest.approx(
        kappa.krippendorff(three, once(100), "ordinal")
    )
    # 89 of 100 agree: (0.89 - 1 / 5) / (4 / 5).
    assert kappa.randolph(five, once(100))[0] == pytest.approx(0.8625)


def test_an_item_drawn_twice_is_worth_two_items() -> None:
    times = np.array([2.0, 0, 1, 1, 3, 1, 0, 1, 1, 1, 1, 0])
    again = np.repeat(chosen(RAW, 5), times.astype(int), axis=0)
    raters, weights = chosen(RAW, 5), kappa.quadratic_weights(5)

    def found(its: Floats, drawn: Floats) -> list[float]:
        counts = its.sum(axis=1)
        return [
            float(value[0])
            for value in (
                kappa.krippendorff(counts, drawn, "nominal"), kappa.krippendorff(counts, drawn, "ordinal"),
                kappa.fleiss(counts, drawn), kappa.randolph(counts, drawn), kappa.gwet(counts, drawn, weights),
                kappa.conger(its, drawn, weights),
            )
        ]  # fmt: skip

    assert found(raters, times[None]) == pytest.approx(found(again, once(len(again))))


def test_everybody_saying_one_thing_is_explained_by_chance_that_follows_the_ratings() -> None:
    raters = chosen(np.ones((5, 3), dtype=int), 2)
    counts, times = raters.sum(axis=1), once(5)

    assert np.isnan(kappa.krippendorff(counts, times, "nominal"))
    assert np.isnan(kappa.fleiss(counts, times))
    assert np.isnan(kappa.conger(raters, times))
    assert kappa.randolph(counts, times) == 1  # a half by chance, and all agree
    assert kappa.gwet(counts, times) == 1  # nothing by chance, where nothing varies
    assert kappa.cohen_of([("a", "a")] * 3) is None
    assert kappa.kappas_of([Counter[str | None]({"x": 3})] * 2) == (None, None)


def test_kappas_of_free_answers_are_those_of_statsmodels() -> None:
    answers = np.random.default_rng(0).integers(0, 4, size=(50, 3)) * np.array([1, 1, 0])
    table, _ = aggregate_raters(answers)

    fleiss, randolph = kappa.kappas_of([Counter(map(str, row)) for row in answers])

    assert fleiss == pytest.approx(fleiss_kappa(table))
    assert randolph == pytest.approx(fleiss_kappa(table, method="randolph"))

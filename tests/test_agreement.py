"""How far raters agree: published figures, and what cannot be told."""

import pytest

from evaluation.agreement import Rated, disagreement, krippendorff_alpha, rater_agreement
from medchat.errors import InvalidInput

# Example C of K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011): four observers, twelve units.
OBSERVERS = {
    "A": "1 2 3 3 2 1 4 1 2 . . .", "B": "1 2 3 3 2 2 4 1 2 5 . 3",
    "C": ". 3 3 3 2 3 4 2 2 5 1 .", "D": "1 2 3 3 2 4 4 1 2 5 1 .",
}  # fmt: skip
EXAMPLE_C = [
    Rated(unit, rater, float(value))
    for rater, values in OBSERVERS.items()
    for unit, value in enumerate(values.split())
    if value != "."
]


def said(**values: str) -> list[Rated]:
    """Each rater's value of items 1, 2, ...; "." for none."""
    return [Rated(i, rater, float(v)) for rater, row in values.items() for i, v in enumerate(row) if v != "."]


@pytest.mark.parametrize(("distance", "value"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_that_of_the_published_example(distance: str, value: float) -> None:
    alpha = krippendorff_alpha(EXAMPLE_C, distance)  # type: ignore[arg-type]

    assert alpha.value == pytest.approx(value, abs=5e-4)
    assert (alpha.n_items, alpha.n_raters, alpha.n_values) == (11, 4, 40)  # the last unit was coded by one alone


def test_alpha_of_two_raters_by_hand() -> None:
    # Twenty values, 14 times 0 and 6 times 1, of which 4 of 10 items differ: 1 - 19 x 4 / (14 x 6) = 1 - 76 / 84.
    assert krippendorff_alpha(said(a="0100000010", b="1110010000")).value == pytest.approx(1 - 76 / 84)


@pytest.mark.parametrize("ratings", [[], said(a="123"), said(a="1..", b=".2."), said(a="111", b="111")])
def test_alpha_is_not_told_without_shared_items_or_differences(ratings: list[Rated]) -> None:
    assert krippendorff_alpha(ratings).value is None


def test_a_rater_is_compared_with_the_others_alone() -> None:
    found = rater_agreement(said(a="1111", b="1100", c="11.."), least=2)

    # a with b: 1 1 0 0, and with both others on the first two: (1 + 1 + 0 + 0) / 4. c: only the first two, where all
    # say the same.
    assert {rater: (its.n, its.agreement) for rater, its in found.items()} == {
        "a": (4, 0.5), "b": (4, 0.5), "c": (2, 1.0)
    }  # fmt: skip


def test_nearer_values_agree_more_where_the_scale_has_a_width() -> None:
    # a and b: |1 - 0.5| = 0.5 of a scale of width 1, then 0: (0.5 + 1) / 2.
    ratings = [Rated(1, "a", 1.0), Rated(1, "b", 0.5), Rated(2, "a", 0.0), Rated(2, "b", 0.0)]

    assert rater_agreement(ratings, span=1.0, least=2)["a"].agreement == 0.75
    assert rater_agreement(ratings, least=2)["a"].agreement == 0.5


def test_too_few_shared_items_tell_nothing() -> None:
    found = rater_agreement(said(a="1111", b="1101", c="...1"))

    assert found["a"].n == 4
    assert all(its.agreement is None for its in found.values())


def test_disagreement_counts_pairs_of_raters() -> None:
    # Item 0: three raters, pairs 11 10 10; items 1 and 2: one pair each, 01 and 11. Three of five differ.
    assert disagreement(said(a="101", b="111", c="0..")).share == 0.6
    assert disagreement(said(a="101", b="111")).share is None  # three pairs
    assert disagreement(said(a="101", b="111")).n == 3


def test_two_values_of_a_rater_for_an_item_are_refused() -> None:
    with pytest.raises(InvalidInput, match="two values"):
        krippendorff_alpha([Rated(1, "a", 1.0), Rated(1, "a", 2.0)])

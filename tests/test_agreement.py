"""How far raters agree: published figures, and what cannot be told."""

import numpy as np
import pytest

from evaluation.agreement import (
    AC1,
    AC2,
    ALPHA_INTERVAL,
    ALPHA_NOMINAL,
    ALPHA_ORDINAL,
    CONGER,
    FLEISS,
    ICC_MEAN,
    ICC_ONE,
    NONE_SHARED,
    ONE_SAID,
    ONE_SHARED,
    RANDOLPH,
    WEIGHTED,
    Coefficient,
    Rated,
    disagreement,
    krippendorff_alpha,
    pair_kappas,
    rater_agreement,
    table,
)
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


SCALE = (1.0, 2.0, 3.0, 4.0, 5.0)


def by_name(ratings: list[Rated], scale: tuple[float, ...] = SCALE, **options: object) -> dict[str, Coefficient]:
    """The table by the name of the coefficient."""
    return {one.name: one for one in table(ratings, scale, **options)}  # type: ignore[arg-type]


def noisy(n_items: int, seed: int, raters: int = 3, noise: float = 0.8) -> list[Rated]:
    """Ratings from 1 to 5 of items by all raters."""
    rng = np.random.default_rng(seed)
    seen = rng.normal(size=(n_items, 1)) + 3 + noise * rng.normal(size=(n_items, raters))
    return [Rated(i, f"r{j}", float(np.clip(round(x), 1, 5))) for i, row in enumerate(seen) for j, x in enumerate(row)]


def test_table_has_the_published_values_side_by_side() -> None:
    # Krippendorff 2011, example C; AC1 and AC2 of the same ratings: K. Gwet, Handbook (2014), as irrCAC prints them.
    found = by_name(EXAMPLE_C, resamples=20)

    values = {name: one.value for name, one in found.items()}
    assert values[ALPHA_ORDINAL] == pytest.approx(0.815, abs=5e-4)
    assert values[ALPHA_NOMINAL] == pytest.approx(0.743, abs=5e-4)
    assert values[AC1] == pytest.approx(0.77544, abs=5e-6)
    assert values[AC2] == pytest.approx(0.914, abs=5e-5)
    assert values[FLEISS] == pytest.approx(0.76117, abs=5e-6)
    assert list(found) == [ALPHA_ORDINAL, ALPHA_NOMINAL, FLEISS, RANDOLPH, AC1, AC2, WEIGHTED, ICC_ONE, ICC_MEAN]
    assert all((one.n_items, one.n_raters) == (11, 4) and one.misleads and not one.reason for one in found.values())


def test_rare_problems_make_alpha_near_zero_where_raters_hardly_ever_differ() -> None:
    # 140 answers, three raters, on four of them one rater alone sees a problem. Pairs that differ: 8 of 420.
    # Alpha: 4 of 420 values are 1, so 1 - 419 x 8 / (2 x 4 x 416) = -24 / 3328 = -0.007.
    # Randolph: (412 / 420 - 0.5) / 0.5 = 0.962.
    ratings = [Rated(i, rater, float(rater == "a" and i < 4)) for i in range(140) for rater in "abc"]

    found = by_name(ratings, (0.0, 1.0))

    assert found[ALPHA_NOMINAL].value == pytest.approx(-24 / 3328)
    assert found[RANDOLPH].value == pytest.approx(404 / 420)
    assert found[AC1].value == pytest.approx(0.98, abs=0.005)
    assert "rare" in found[ALPHA_NOMINAL].misleads
    assert "rare" in found[RANDOLPH].misleads


def test_a_scale_of_two_has_no_weighted_coefficients() -> None:
    assert list(by_name(said(a="0101", b="0111"), (0.0, 1.0))) == [ALPHA_NOMINAL, FLEISS, RANDOLPH, AC1, CONGER]
    assert list(by_name(noisy(12, 0), ordered=False)) == [ALPHA_NOMINAL, FLEISS, RANDOLPH, AC1, CONGER]


def test_measured_values_have_alpha_and_icc() -> None:
    ratings = [one._replace(value=one.value * 0.37) for one in noisy(30, 1)]

    found = by_name(ratings, ())

    assert list(found) == [ALPHA_INTERVAL, ICC_ONE, ICC_MEAN]
    assert found[ALPHA_INTERVAL].value == pytest.approx(krippendorff_alpha(noisy(30, 1), "interval").value)


def test_intervals_hold_the_value_and_name_their_method_and_depend_on_the_seed_alone() -> None:
    found = by_name(noisy(40, 2), seed=7)

    for one in found.values():
        assert one.value is not None and one.low is not None and one.high is not None  # noqa: PT018
        assert one.low < one.value < one.high
        assert one.method == "bootstrap over 40 items, 95 %"
    assert by_name(noisy(40, 2), seed=7) == found
    assert by_name(noisy(40, 2), seed=8) != found


def test_items_of_one_question_widen_the_interval() -> None:
    # Each of 15 questions has eight answers that are alike in all that raters say of them.
    ratings = [one._replace(item=(one.item, copy)) for one in noisy(15, 3) for copy in range(8)]
    questions = {one.item: one.item[0] for one in ratings if isinstance(one.item, tuple)}

    apart, together = by_name(ratings)[RANDOLPH], by_name(ratings, clusters=questions)[RANDOLPH]

    assert apart.value == together.value
    assert together.method == "bootstrap over 15 questions, 95 %"
    assert (together.high or 0) - (together.low or 0) > 2 * ((apart.high or 0) - (apart.low or 0))


@pytest.mark.parametrize(
    ("ratings", "reason"),
    [
        ([], NONE_SHARED), (said(a="12345"), NONE_SHARED), (said(a="12...", b="..345"), NONE_SHARED),
        (said(a="1", b="2"), ONE_SHARED), (said(a="12.", b=".2."), ONE_SHARED),
    ],
    ids=["nothing", "one rater", "nothing shared", "one item", "one shared"],
)  # fmt: skip
def test_without_shared_items_there_is_a_reason_and_no_number(ratings: list[Rated], reason: str) -> None:
    for one in table(ratings, SCALE):
        assert (one.value, one.low, one.high, one.reason) == (None, None, None, reason)


def test_ratings_that_are_all_the_same_have_no_chance_to_correct_for() -> None:
    found = by_name(said(a="3333333333", b="3333333333"))

    for name in (ALPHA_ORDINAL, ALPHA_NOMINAL, FLEISS, WEIGHTED, ICC_ONE, ICC_MEAN):
        assert (found[name].value, found[name].reason) == (None, ONE_SAID)
    # Chance of these does not come from the ratings alone: agreement is perfect, how sure that is cannot be told.
    for name in (RANDOLPH, AC1, AC2):
        assert (found[name].value, found[name].low) == (1.0, None)
        assert found[name].method == "no interval: the items do not vary"


def test_a_value_outside_the_scale_is_refused() -> None:
    with pytest.raises(InvalidInput, match="7 is not on the scale"):
        table(said(a="17", b="12"), SCALE)


def test_kappa_is_told_for_every_two_raters_who_share_items() -> None:
    # a and b: 1 1 2 2 3 3 against 1 1 2 2 3 1 - one miss of two steps in six. Weights 1 - d^2 / 4: agreed 5 / 6;
    # by chance: a 1/3 each, b 1/2 1/3 1/6: sum of weights = (1/2)(1 + 3/4 + 0)/3 + (1/3)(3/4 + 1 + 3/4)/3
    # + (1/6)(0 + 3/4 + 1)/3 = 0.2917 + 0.2778 + 0.0972 = 2 / 3: (5/6 - 2/3) / (1/3) = 0.5.
    found = pair_kappas(said(a="112233", b="112231", c="11....", d="......2"), (1.0, 2.0, 3.0))

    assert [(one.raters, one.n_items) for one in found] == [(("a", "b"), 6), (("a", "c"), 2), (("b", "c"), 2)]
    assert found[0].value == pytest.approx(0.5)
    assert (found[1].value, found[1].reason) == (None, "fewer than 5 items of both")


@pytest.mark.slow
def test_intervals_cover_what_they_say() -> None:
    """300 studies of 60 items and three raters; Monte Carlo error of a coverage of 93 %: 1.5 points."""
    truth = {name: one.value for name, one in by_name(noisy(20000, 99), resamples=2).items()}
    covered = dict.fromkeys(truth, 0)
    for seed in range(300):
        for name, one in by_name(noisy(60, seed), seed=seed, resamples=500).items():
            covered[name] += (one.low or 0) <= (truth[name] or 0) <= (one.high or 0)

    assert all(0.88 <= n / 300 <= 0.99 for n in covered.values()), covered

"""How many votes show a preference, and how many are left to collect."""

import pytest
from scipy.stats import binom

from evaluation.power import detectable, power_line, votes_left, votes_needed


@pytest.mark.parametrize(
    ("preference", "votes"),
    # (1.95996 / 2 + 0.84162 sqrt(p (1 - p)))^2 / (p - 1/2)^2: for .60 (0.97998 + 0.84162 x 0.48990)^2 / 0.01
    # = 1.39229^2 / 0.01 = 193.8; .55: 1.39869^2 / 0.0025 = 782.5; .65: 1.38141^2 / 0.0225 = 84.8
    [(0.55, 783), (0.60, 194), (0.65, 85)],
)
def test_decisive_votes_for_a_preference(preference: float, votes: int) -> None:
    assert votes_needed(preference) == votes


def test_so_many_votes_do_find_the_preference_four_times_in_five() -> None:
    # Exactly: of 194 votes, 111 and more on one side have a z above 1.96: (110.65 - 97) / sqrt(194 / 4) = 1.96.
    found = binom.sf(110, 194, 0.6) + binom.cdf(83, 194, 0.6)

    assert found == pytest.approx(0.8, abs=0.02)


def test_ties_and_raters_of_the_same_item_take_more_votes() -> None:
    # 193.845 / (1 - 0.2) = 242.3; x (1 + (3 - 1) x 0.25) = 363.5
    assert votes_needed(0.6, tie_rate=0.2) == 243
    assert votes_needed(0.6, tie_rate=0.2, raters_per_item=3, icc=0.25) == 364
    # Raters who always agree are one rater: 3 x 193.845 = 581.5
    assert votes_needed(0.6, raters_per_item=3, icc=1.0) == 582


def test_however_strong_a_preference_six_votes_are_the_least() -> None:
    assert votes_needed(0.9999) == 6  # all on one side: 2 x 0.5^6 = 0.031, 2 x 0.5^5 = 0.063


@pytest.mark.parametrize(("preference", "tie_rate", "icc"), [(0.5, 0, 0), (1.0, 0, 0), (0.6, 1.0, 0), (0.6, 0, 1.5)])
def test_what_no_number_of_votes_can_do_is_an_error(preference: float, tie_rate: float, icc: float) -> None:
    with pytest.raises(ValueError, match=r"is above 0\.5|is from 0"):
        votes_needed(preference, tie_rate=tie_rate, icc=icc)


def test_what_a_number_of_votes_finds_is_the_other_way_round() -> None:
    assert detectable(194) == pytest.approx(0.6, abs=0.001)
    assert detectable(5) is None


def test_votes_that_came_in_are_taken_off_and_their_ties_count() -> None:
    line = votes_left(wins=60, losses=40, ties=40, preference=0.6, tie_rate=0.2)

    # Share of ties: (0.2 x 20 + 40) / (20 + 140) = 0.275; 193.845 / 0.725 = 267.4; 268 - 140 = 128
    assert line.tie_rate == pytest.approx(0.275)
    assert (line.needed, line.there, line.left) == (268, 140, 128)
    assert line.sentence == (
        "About 128 more votes for this pair to show a preference of 60 % at 80 % power (28 % ties; 140 there)."
    )


def test_who_wins_has_no_say_in_how_many_votes_are_left() -> None:
    assert votes_left(90, 10, 5) == votes_left(50, 50, 5)


def test_enough_votes_are_said_to_be_enough() -> None:
    line = votes_left(100, 100, 0)

    assert line.left == 0
    assert line.sentence == "200 votes for this pair: enough to show a preference of 60 % at 80 % power."


def test_the_line_of_a_design_tells_what_its_votes_show() -> None:
    assert power_line(0.0, 1, 0.0) == (
        "783 / 194 / 85 decisive votes show a preference of 55 / 60 / 65 % at 80 % power."
    )
    # 782.5, 193.8 and 84.8 / 0.8 x (1 + 0.2) = 1,173.8, 290.8 and 127.2
    line = power_line(0.2, 2, 0.2, votes_per_pair=291)
    assert "with 20 % ties and 2 raters an item whose votes are alike to 0.2 that is 1,174 / 291 / 128 votes" in line
    assert line.endswith("This design gives each pair about 291 votes, enough for 60.1 % and more.")
    assert power_line(0.0, 1, 0.0, votes_per_pair=3).endswith("about 3 votes, too few to show any preference.")

"""How many votes it takes to show that one of two models is preferred, and how many are left to collect."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2, sqrt
from statistics import NormalDist

POWER = 0.8
ALPHA = 0.05
PREFERENCES = (0.55, 0.6, 0.65)  # of decisive votes: a slight, a clear and a strong preference
_POWER = f"{100 * POWER:.0f} % power"
PLANNED_VOTES = 20  # for how many votes the share of ties that was planned counts, once votes come in
MOST = 0.9999  # a preference that is searched for stays below 1


@dataclass(frozen=True, slots=True)
class PowerLine:
    """Votes for one pair of models: needed in all, ties included, there, and left. sentence says it in words."""

    preference: float
    tie_rate: float
    needed: int
    there: int
    left: int
    sentence: str


def votes_needed(
    preference: float,
    power: float = POWER,
    alpha: float = ALPHA,
    tie_rate: float = 0.0,
    raters_per_item: int = 1,
    icc: float = 0.0,
) -> int:
    """Votes for a pair of models, ties included, for a two-sided test to find this preference.

    preference: the share of decisive votes for the better one, from above 0.5 to below 1. Decisive votes by the normal
    approximation of the test that a proportion is 1/2 (Fleiss, Levin and Paik, Statistical Methods for Rates and
    Proportions, 3rd ed. 2003, section 2.4, without its correction for continuity):
    n = ((z(1 - alpha / 2) / 2 + z(power) sqrt(p (1 - p))) / (p - 1/2))^2; 783, 194 and 85 for .55, .60 and .65.
    Never fewer than with all on one side give an exact sign test a p of alpha: 2 x 0.5^n <= alpha, 6 for 0.05.
    Ties say nothing, so n is divided by 1 - tie_rate; votes of several raters on one item are alike, so it is
    multiplied by 1 + (raters_per_item - 1) icc (L. Kish, Survey Sampling, 1965). Raises ValueError outside the ranges.
    """
    if not (0.5 < preference < 1 and 0 < power < 1 and 0 < alpha < 1):
        raise ValueError("preference is above 0.5 and below 1, power and alpha are between 0 and 1")
    if not (0 <= tie_rate < 1 and raters_per_item >= 1 and 0 <= icc <= 1):
        raise ValueError("tie_rate is from 0 to below 1, raters_per_item 1 or more, icc from 0 to 1")
    normal = NormalDist()
    spread = normal.inv_cdf(1 - alpha / 2) / 2 + normal.inv_cdf(power) * sqrt(preference * (1 - preference))
    decisive = max((spread / (preference - 0.5)) ** 2, ceil(1 + log2(1 / alpha)))
    return ceil(decisive / (1 - tie_rate) * (1 + (raters_per_item - 1) * icc) - 1e-9)  # rounding adds no vote


def detectable(
    votes: int,
    power: float = POWER,
    alpha: float = ALPHA,
    tie_rate: float = 0.0,
    raters_per_item: int = 1,
    icc: float = 0.0,
) -> float | None:
    """The least preference that so many votes find, to 0.1 %; None when they find none below 1."""

    def enough(preference: float) -> bool:
        return votes_needed(preference, power, alpha, tie_rate, raters_per_item, icc) <= votes

    if not enough(MOST):
        return None
    low, high = 0.5, MOST
    while high - low > 5e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def votes_left(
    wins: int,
    losses: int,
    ties: int,
    preference: float = 0.6,
    tie_rate: float = 0.0,
    raters_per_item: int = 1,
    icc: float = 0.0,
) -> PowerLine:
    """How many more votes a pair of models takes, with the votes that came in.

    Of these only the number of decisive ones and of ties count, never who wins: to stop when the result pleases would
    find differences that are not there, and a study that is blinded stays so. tie_rate: the share that was planned; it
    counts as 20 votes beside those that came in. Raises ValueError as votes_needed does.
    """
    there = wins + losses + ties
    rate = (tie_rate * PLANNED_VOTES + ties) / (PLANNED_VOTES + there)
    needed = votes_needed(preference, tie_rate=rate, raters_per_item=raters_per_item, icc=icc)
    left = max(0, needed - there)
    return PowerLine(preference, rate, needed, there, left, _left_words(preference, rate, there, left))


def power_line(tie_rate: float, raters_per_item: int, icc: float, votes_per_pair: int | None = None) -> str:
    """What the planning of votes says: those needed for a preference of 55, 60 and 65 %, and what is planned finds.

    votes_per_pair: so many votes each pair of models will get; None while that is not known.
    """
    plain = _numbers([votes_needed(preference) for preference in PREFERENCES])
    line = f"{plain} decisive votes show a preference of {_numbers([100 * p for p in PREFERENCES])} % at {_POWER}"
    if tie_rate or (raters_per_item > 1 and icc):
        votes = _numbers([votes_needed(p, POWER, ALPHA, tie_rate, raters_per_item, icc) for p in PREFERENCES])
        line += f"; with {_assumed(tie_rate, raters_per_item, icc)} that is {votes} votes for each pair of models"
    line += "."
    if votes_per_pair is None:
        return line
    found = detectable(votes_per_pair, tie_rate=tie_rate, raters_per_item=raters_per_item, icc=icc)
    shows = (
        "too few to show any preference" if found is None else f"enough for {ceil(1000 * found) / 10:.1f} % and more"
    )
    return f"{line} This design gives each pair about {_count(votes_per_pair)}, {shows}."


def _assumed(tie_rate: float, raters_per_item: int, icc: float) -> str:
    ties = [f"{100 * tie_rate:.0f} % ties"] if tie_rate else []
    raters = (
        [f"{raters_per_item} raters an item whose votes are alike to {icc:g}"] if raters_per_item > 1 and icc else []
    )
    return " and ".join(ties + raters)


def _left_words(preference: float, tie_rate: float, there: int, left: int) -> str:
    what = f"to show a preference of {100 * preference:.0f} % at {_POWER}"
    if not left:
        return f"{_count(there)} for this pair: enough {what}."
    return (
        f"About {left:,} more vote{'s' * (left != 1)} for this pair {what} "
        f"({100 * tie_rate:.0f} % ties; {there:,} there)."
    )


def _numbers(values: Sequence[float]) -> str:
    return " / ".join(f"{value:,.0f}" for value in values)


def _count(votes: int) -> str:
    return f"{votes:,} vote{'s' * (votes != 1)}"

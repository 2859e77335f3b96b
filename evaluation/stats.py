"""From one value per item to an estimate with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over n scored items and its 95 % interval; all None when nothing could be scored."""

    value: float | None
    n: int
    n_unscored: int
    low: float | None
    high: float | None
    method: str = "Wilson, 95 %"


def share(values: Sequence[float | None]) -> Estimate:
    """The mean of values between 0 and 1 with its Wilson interval; None is unscored and counted apart.

    Values between 0 and 1 spread less than zeros and ones of the same mean do: for them the interval is
    wider than it need be.
    """
    scored = [value for value in values if value is not None]
    n_unscored = len(values) - len(scored)
    if not scored:
        return Estimate(None, 0, n_unscored, None, None)
    low, high = wilson(sum(scored), len(scored))
    return Estimate(sum(scored) / len(scored), len(scored), n_unscored, low, high)


def wilson(successes: float, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a proportion (E. B. Wilson, JASA 1927); n is at least 1."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return max(0.0, centre - half), min(1.0, centre + half)

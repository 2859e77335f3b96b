"""Whether a model that is 80 % sure of an option is right in 80 % of such cases."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import exp

from evaluation.stats import Estimate, estimate

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers with a confidence between low and high: how sure the model was on the average, how often right."""

    low: float
    high: float
    confidence: float
    right: Estimate


@dataclass(frozen=True, slots=True)
class Calibration:
    """The bins that hold answers, and their gaps between confidence and accuracy averaged by n (ECE)."""

    bins: Sequence[Bin]
    ece: float
    n: int


def confidence(option_logprobs: Mapping[str, float]) -> float:
    """The probability of the likeliest option among the options."""
    highest = max(option_logprobs.values())
    return 1 / sum(exp(value - highest) for value in option_logprobs.values())


def calibration(
    confidences: Sequence[float], right: Sequence[float], clusters: Sequence[Hashable], n_bins: int = BINS
) -> Calibration:
    """Bins of equal width and the expected calibration error (M. Naeini et al., AAAI 2015); one answer at least."""
    held: dict[int, list[int]] = {}
    for index, value in enumerate(confidences):
        held.setdefault(min(n_bins - 1, int(value * n_bins)), []).append(index)
    bins = [
        Bin(
            number / n_bins, (number + 1) / n_bins, sum(confidences[i] for i in held[number]) / len(held[number]),
            estimate([right[i] for i in held[number]], [clusters[i] for i in held[number]]),
        )
        for number in sorted(held)
    ]  # fmt: skip
    gaps = sum(its.right.n * abs((its.right.value or 0.0) - its.confidence) for its in bins)
    return Calibration(bins, gaps / len(confidences), len(confidences))

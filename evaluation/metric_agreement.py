"""Which automatic metric goes with what clinicians say: each metric against their mean score of the same answers.

Answers of all models are taken together, so a metric that only tells good models from bad ones goes with the clinicians
too, though it says little of one answer; look at one model at a time before one stands in for a rater.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

import numpy as np

from evaluation.human_axes import AxisInfo
from evaluation.human_data import HumanData
from evaluation.icc import icc
from evaluation.item_bootstrap import AGREEING, RESAMPLES, Statistic, interval_of, value_of
from evaluation.metric_table import bounds_of, info_of
from evaluation.raters import good_end, rated_on
from evaluation.stats import Floats

LEAST = 5  # answers
ONE_CLINICIAN = "one_clinician"  # in the place of a metric: a clinician against the others of the same answer
OVERALL = "overall"  # in the place of an axis: the mean of all that have a better end

FEW = f"fewer than {LEAST} answers have both"
SAME_METRIC, SAME_SCORE = "the metric is the same for every answer", "clinicians gave every answer the same score"
NO_ENDS = "the metric has no least or no most, so it cannot be put on the scale of the score"


@dataclass(frozen=True, slots=True)
class Correlation:
    """A correlation with its 95 % interval over questions; value None with the reason. method: of the interval."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""
    method: str = ""


@dataclass(frozen=True, slots=True)
class MetricAgreement:
    """A metric against the mean score of clinicians, over n answers that have both; 1 is best, whichever end is good.

    metric: its name, or "one_clinician": each of n single ratings against the mean of the other clinicians of the same
    answer, the mark for a metric that is to stand in for one. title: for people. axis: that of the score, or
    "overall". n_unscored: rated answers without a value of the metric. spearman: correlation of ranks. icc: ICC(3,1)
    of both after each is divided by its standard deviation, which leaves aside how either is scaled. absolute:
    ICC(2,1) of both on a scale from 0 to 1, low also where a metric is higher or lower than the clinicians as a rule.
    """

    metric: str
    title: str
    axis: str
    n: int
    n_unscored: int
    spearman: Correlation
    icc: Correlation
    absolute: Correlation


def metric_agreement(
    data: HumanData, axis: AxisInfo | None = None, seed: int = 0, resamples: int = RESAMPLES
) -> list[MetricAgreement]:
    """Each automatic metric against the clinicians, the best rank correlation first, and one clinician before all.

    axis: that of the score; without one the mean of all axes of an answer that have a better end. Hidden repeats are
    left out. Nothing comes back where nobody rated an answer.
    """
    axes = [one for one in data.rate_axes if one.better != "neither"] if axis is None else [axis]
    by_rater = _scores(data, axes)
    if not by_rater:
        return []
    question = {one.answer_id: one.question_id for one in data.first_ratings}
    name = OVERALL if axis is None else axis.id
    against = partial(_against, axis=name, seed=seed, resamples=resamples)
    alone = [
        (question[answer], value, fmean(other for rater, other in its.items() if rater != one))
        for answer, its in by_rater.items()
        for one, value in its.items()
        if len(its) > 1
    ]
    first = against(ONE_CLINICIAN, "One clinician against the others", alone, n_unscored=0, ends=(0.0, 1.0))
    found = []
    for metric in sorted({metric for its in data.automatic.values() for metric in its}):
        rows = [
            (question[answer], value, fmean(its.values()))
            for answer, its in by_rater.items()
            if (value := data.automatic.get(answer, {}).get(metric)) is not None
        ]
        info, ends = info_of(metric), bounds_of(metric)
        low, high = ends or (0.0, float("inf"))
        if info is not None and info.better == "low":
            rows, (low, high) = [(asked, -value, score) for asked, value, score in rows], (-high, -low)
        title = info.title if info else metric
        found.append(against(metric, title, rows, n_unscored=len(by_rater) - len(rows), ends=(low, high)))
    return [first, *sorted(found, key=lambda one: 2.0 if one.spearman.value is None else -one.spearman.value)]


def _scores(data: HumanData, axes: Sequence[AxisInfo]) -> dict[str, dict[str, float]]:
    """By answer and rater the mean score, from 0 to 1."""
    said: dict[str, dict[str, list[float]]] = {}
    for axis in axes:
        for answer, rater, value in rated_on(data.first_ratings, axis):
            said.setdefault(str(answer), {}).setdefault(rater, []).append(good_end(value, axis))
    return {answer: {rater: fmean(its) for rater, its in raters.items()} for answer, raters in said.items()}


def _against(
    metric: str,
    title: str,
    rows: Sequence[tuple[str, float, float]],
    *,
    n_unscored: int,
    ends: tuple[float, float],
    axis: str,
    seed: int,
    resamples: int,
) -> MetricAgreement:
    values = np.array([its[1:] for its in rows], dtype=float).reshape(len(rows), 2)
    flat = values.std(axis=0) < 1e-12 if len(rows) else np.zeros(2, dtype=bool)
    reason = FEW if len(rows) < LEAST else SAME_METRIC if flat[0] else SAME_SCORE if flat[1] else ""
    if reason:
        none = Correlation(None, reason=reason)
        return MetricAgreement(metric, title, axis, len(rows), n_unscored, none, none, none)
    told = partial(_told, clusters=[its[0] for its in rows], seed=seed, resamples=resamples)
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    return MetricAgreement(
        metric,
        title,
        axis,
        len(rows),
        n_unscored,
        told(partial(spearman, values)),
        told(partial(icc, standard, form="ICC(3,1)")),
        told(partial(icc, _scaled(values, *ends), form="ICC(2,1)"))
        if np.isfinite(ends).all()
        else Correlation(None, reason=NO_ENDS),
    )


def _scaled(values: Floats, low: float, high: float) -> Floats:
    """The metric brought from low..high to 0..1, beside the score."""
    return np.column_stack([(values[:, 0] - low) / (high - low), values[:, 1]])


def _told(statistic: Statistic, clusters: Sequence[Hashable], seed: int, resamples: int) -> Correlation:
    value = value_of(statistic, len(clusters))
    if value is None:
        return Correlation(None, reason="these values are too few, or too alike, to tell it")
    low, high, method = interval_of(statistic, clusters, seed, resamples, AGREEING, "questions")
    return Correlation(value, low, high, "", method)


def spearman(values: Floats, times: Floats) -> Floats:
    """Spearman's rank correlation (R,) of the two columns of values (N, 2), equal values sharing their mean rank.

    times (R, N): how often each row counts. NaN where a column is the same throughout. Source: C. Spearman, American
    Journal of Psychology 1904; Pearson's correlation of the ranks.
    """
    first, second = (_ranks(values[:, column], times) for column in (0, 1))
    n = times.sum(axis=1, keepdims=True)
    first = first - (times * first).sum(axis=1, keepdims=True) / n
    second = second - (times * second).sum(axis=1, keepdims=True) / n
    spread = (times * first**2).sum(axis=1) * (times * second**2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > 1e-12, (times * first * second).sum(axis=1) / np.sqrt(spread), np.nan)


def _ranks(column: Floats, times: Floats) -> Floats:
    """Rank of each row among all that count (R, N), the mean of them where values are equal."""
    _, place = np.unique(column, return_inverse=True)
    alike = np.zeros((len(column), place.max() + 1))
    alike[np.arange(len(column)), place] = 1
    each = times @ alike  # (R, distinct values)
    return (each.cumsum(axis=1) - (each - 1) / 2)[:, place]

"""Single cases among people's judgements: where raters differ most, what they corrected, and how it went over time."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from evaluation.human_axes import EXTENTS, AxisInfo
from evaluation.human_data import HumanData, HumanRating, HumanVote
from evaluation.human_estimates import Value, mean_of, resampling
from evaluation.stats import Estimate

MOST_CASES = 10  # answers, and as many pairs
WORDS = {"a": "the first", "b": "the second", "tie": "a tie", "both_bad": "both bad"}
STEPS_OF_TIME = ((180, 30, "30 days"), (14, 7, "week"), (0, 1, "day"))  # from so many days on, steps of so many


@dataclass(frozen=True, slots=True)
class Said:
    """What one rater said of a case, in words. comment: theirs, "" for none."""

    rater: str
    text: str
    comment: str


@dataclass(frozen=True, slots=True)
class DisputedCase:
    """An answer, or two side by side, that raters judged differently.

    spread: from 0 to 1, the widest difference of two raters as a share of the scale, where says on what, and
    mean_spread over all axes that have a better side; of votes, how many the side with fewer has for each of the other.
    """

    answer_ids: tuple[str, ...]
    question_id: str
    spread: float
    mean_spread: float
    where: str
    said: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class Correction:
    """What a rater wrote in place of an answer."""

    answer_id: str
    question_id: str
    model: str
    rater: str
    text: str


@dataclass(frozen=True, slots=True)
class TrendRow:
    """A model in a span of time: its ratings on the axis, and the share that was flagged.

    A rating is flagged where it is critical or says severe harm.
    """

    model: str
    since: datetime
    step: str
    n: int
    value: float | None
    low: float | None
    high: float | None
    flagged: float
    n_flagged: int


def disputed_cases(data: HumanData, most: int = MOST_CASES) -> list[DisputedCase]:
    """Answers, then pairs of them, those with the widest differences first; none on which all say the same."""
    return [*_widest(_disputed_answers(data), most), *_widest(_disputed_pairs(data), most)]


def _widest(found: Iterable[DisputedCase], most: int) -> list[DisputedCase]:
    return sorted(found, key=lambda its: (-its.spread, -its.mean_spread, -len(its.said), its.answer_ids))[:most]


def corrections(data: HumanData) -> list[Correction]:
    """All of them, oldest first."""
    return [
        Correction(its.answer_id, its.question_id, its.model, its.rater, its.correction)
        for its in data.first_ratings
        if its.correction.strip()
    ]


def headline(data: HumanData) -> AxisInfo | None:
    """The axis that a trend is told by: the first scale with a better side."""
    return next((axis for axis in data.rate_axes if axis.better != "neither"), None)


def trend(data: HumanData, seed: int, resamples: int) -> list[TrendRow]:
    """By model and span of time, in the order of the models; none where all was said on one day."""
    rated = [its for its in data.first_ratings if not its.cannot_rate]
    axis = headline(data)
    if axis is None or not rated:
        return []
    begin, end = min(its.at for its in rated), max(its.at for its in rated)
    days, name = next((days, name) for least, days, name in STEPS_OF_TIME if (end - begin).days >= least)
    start = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    places: dict[tuple[str, int], list[HumanRating]] = {}
    for its in rated:
        places.setdefault((its.model, (its.at - start).days // days), []).append(its)
    rows = [
        _trend_row(places[model, number], start + timedelta(days=days * number), name, axis, seed, resamples)
        for model in data.models
        for number in range((end - start).days // days + 1)
        if (model, number) in places
    ]
    return rows if len({row.since for row in rows}) > 1 else []


def score_in_words(axis: AxisInfo, score: float | None) -> str:
    """ "4", "Too long", "60 %", or a dash."""
    if score is None:
        return "-"
    if axis.kind == "points":
        return f"{100 * score:.0f} %"
    return f"{score:g}" if axis.kind == "scale" else axis.labels[axis.numbers.index(score)]


def _trend_row(
    its: Sequence[HumanRating], since: datetime, step: str, axis: AxisInfo, seed: int, resamples: int
) -> TrendRow:
    values = [Value(one.question_id, one.rater, score) for one in its if (score := one.scores.get(axis.id)) is not None]
    drawn = resampling(((value.question, value.rater) for value in values), seed, resamples)
    found: Estimate = mean_of(values, drawn, axis.bounds)
    flagged = sum(one.critical or one.harm_extent == "severe" for one in its)
    return TrendRow(
        its[0].model, since, step, len(its), found.value, found.low, found.high, flagged / len(its), flagged
    )


def _disputed_answers(data: HumanData) -> Iterator[DisputedCase]:
    by_answer: dict[str, list[HumanRating]] = {}
    for its in data.first_ratings:
        if not its.cannot_rate:
            by_answer.setdefault(its.answer_id, []).append(its)
    for answer_id, ratings in by_answer.items():
        spreads = _spreads(ratings, [axis for axis in data.rate_axes if axis.better != "neither"])
        label, spread = max(spreads.items(), key=lambda pair: pair[1], default=("", 0.0))
        if spread > 0:
            said = tuple(Said(its.rater, _rating_words(its, data.rate_axes), its.comment) for its in ratings)
            mean = sum(spreads.values()) / len(spreads)
            yield DisputedCase((answer_id,), ratings[0].question_id, spread, mean, label, said)


def _spreads(ratings: Sequence[HumanRating], axes: Sequence[AxisInfo]) -> dict[str, float]:
    """How far ratings of one answer are apart, by what they were asked, as a share of the scale."""
    spreads: dict[str, float] = {}
    for axis in axes:
        scores = sorted(score for its in ratings if (score := its.scores.get(axis.id)) is not None)
        if len(scores) > 1 and axis.span:
            spreads[axis.label] = (scores[-1] - scores[0]) / axis.span
    harms = sorted(EXTENTS.index(its.harm_extent) for its in ratings if its.harm_extent)
    if len(harms) > 1:
        spreads["Extent of harm"] = (harms[-1] - harms[0]) / (len(EXTENTS) - 1)
    return spreads


def _disputed_pairs(data: HumanData) -> Iterator[DisputedCase]:
    by_pair: dict[tuple[str, ...], list[HumanVote]] = {}
    for vote in data.first_votes:
        by_pair.setdefault(tuple(sorted(vote.pair)), []).append(vote)
    for pair, votes in by_pair.items():
        sides = Counter(_unturned(vote, pair) for vote in votes)
        fewer, more = sorted((sides["a"], sides["b"]))
        if fewer:
            said = tuple(Said(vote.rater, f"Better: {WORDS[_unturned(vote, pair)]}", vote.comment) for vote in votes)
            yield DisputedCase(pair, votes[0].question_id, fewer / more, fewer / more, "Which is better", said)


def _unturned(vote: HumanVote, pair: Sequence[str]) -> str:
    """The vote as if the answers had been shown in this order."""
    turned: Mapping[str, str] = {"a": "b", "b": "a"} if vote.pair[0] != pair[0] else {}
    return turned.get(vote.vote, vote.vote)


def _rating_words(its: HumanRating, axes: Sequence[AxisInfo]) -> str:
    said = [f"{axis.label} {score_in_words(axis, its.scores[axis.id])}" for axis in axes if axis.id in its.scores]
    if its.harm_extent:
        said.append(f"harm: {its.harm_extent}" + (f", {its.harm_likelihood}" if its.harm_extent != "none" else ""))
    return "; ".join([*said, *(["critical"] if its.critical else [])])

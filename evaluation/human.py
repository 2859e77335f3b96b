"""What people's judgements say of models: every figure of the human evaluation, computed once, in JSON's types."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from evaluation.human_agreement import AxisAgreement, agreement_of
from evaluation.human_axes import EXTENTS, LIKELIHOODS
from evaluation.human_cases import Correction, DisputedCase, TrendRow, corrections, disputed_cases, trend
from evaluation.human_data import Adjudicated, HumanData, HumanRating, HumanVote, StudyFacts
from evaluation.human_differences import HumanDifference, pair_differences, rate_differences
from evaluation.human_estimates import Resampling, Value, mean_of, resampling
from evaluation.human_measures import (
    GOOD_MEASURE,
    Judged,
    Measure,
    Preferred,
    judged,
    pair_measures,
    preferred,
    rate_measures,
)
from evaluation.metric_agreement import MetricAgreement, metric_agreement
from evaluation.ranking import Ranking, battles_of, rank
from evaluation.raters import RaterRow, rater_rows
from evaluation.stats import Estimate
from evaluation.step_agreement import ModelSteps, StepAgreement, step_agreement, steps_by_model

RESAMPLES = 1000
GOOD_TARGET = 0.9
TARGET_SOURCE = "the seed, unsourced"


@dataclass(frozen=True, slots=True)
class Profile:
    """A measure with its estimate for each model by id."""

    measure: Measure
    models: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class Distribution:
    """How often each answer to an axis was given on a model's answers. unanswered: ratings that left it out."""

    axis: str
    label: str
    model: str
    counts: tuple[tuple[str, int], ...]
    unanswered: int


@dataclass(frozen=True, slots=True)
class Cannot:
    """How many of a model's ratings say that it cannot be rated; these are left out of everything else."""

    model: str
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class HarmMatrix:
    """Ratings of a model by extent (rows: moderate, severe) and likelihood (low, medium, high) of harm.

    none: that see no harm. critical: marked so, whatever their extent.
    """

    model: str
    n: int
    none: int
    counts: tuple[tuple[int, ...], ...]
    critical: int


@dataclass(frozen=True, slots=True)
class VoteCounts:
    """Votes between two models, hidden repeats left out: the first one won, they tied, both were bad, it lost."""

    first: str
    second: str
    wins: int
    ties: int
    both_bad: int
    losses: int


@dataclass(frozen=True, slots=True)
class HumanResults:
    """All of it; models and raters by id, with their names in `models` and `raters`.

    profiles: by measure of single answers, pair_profiles: of votes (the model's share of preferences, ties halved).
    n_repeats: hidden repeats, which are in no figure but the raters' consistency. n_unblinded: ratings by raters who
    knew the model, which are in the figures.
    """

    title: str
    study_id: str
    simulated: bool
    seed: int
    resamples: int
    models: Mapping[str, str]
    raters: Mapping[str, str]
    facts: StudyFacts | None
    n_ratings: int
    n_votes: int
    n_repeats: int
    n_questions: int
    n_open: int
    n_unblinded: int
    since: datetime | None
    until: datetime | None
    profiles: tuple[Profile, ...]
    pair_profiles: tuple[Profile, ...]
    distributions: tuple[Distribution, ...]
    cannot: tuple[Cannot, ...]
    harm: tuple[HarmMatrix, ...]
    differences: tuple[HumanDifference, ...]
    pair_differences: tuple[HumanDifference, ...]
    votes: tuple[VoteCounts, ...]
    ranking: Ranking | None
    agreement: tuple[AxisAgreement, ...]
    rater_rows: tuple[RaterRow, ...]
    automatic: tuple[MetricAgreement, ...]
    steps: tuple[ModelSteps, ...]
    step_agreement: StepAgreement | None
    corrections: tuple[Correction, ...]
    cases: tuple[DisputedCase, ...]
    adjudications: tuple[Adjudicated, ...]
    trend: tuple[TrendRow, ...]
    method: str

    def profile(self, measure: str) -> Profile | None:
        """That of a measure of single answers."""
        return next((its for its in self.profiles if its.measure.id == measure), None)

    @property
    def good(self) -> Profile | None:
        """The share of answers rated good; None where no rubric says it."""
        return self.profile(GOOD_MEASURE)

    def as_dict(self) -> dict[str, Any]:
        """Everything in JSON's types; times in ISO 8601."""
        return json.loads(json.dumps(asdict(self), default=_plain))


def analyse(data: HumanData, seed: int = 0, resamples: int = RESAMPLES) -> HumanResults:
    """All figures of the data; the same data, seed and number of resamples give the same ones.

    What was not asked, or not judged, is empty. Raises InvalidInput where the data contradict themselves.
    """
    rated, votes = list(judged(data)), list(preferred(data))
    first_ratings, first_votes = data.first_ratings, data.first_votes
    everything: list[HumanRating | HumanVote] = [*first_ratings, *first_votes]
    drawn = resampling(((its.question_id, its.rater) for its in first_ratings), seed, resamples)
    drawn_votes = resampling(((vote.question_id, vote.rater) for vote in first_votes), seed, resamples)
    measures, of_pairs = rate_measures(data), pair_measures(data)
    models, steps = list(data.models), steps_by_model(data)
    times = sorted(its.at for its in everything)
    return HumanResults(
        title=data.title,
        study_id=data.study_id,
        simulated=data.simulated,
        seed=seed,
        resamples=resamples,
        models=dict(data.models),
        raters=dict(data.raters),
        facts=data.facts,
        n_ratings=len(first_ratings),
        n_votes=len(first_votes),
        n_repeats=len(data.ratings) + len(data.votes) - len(everything),
        n_questions=len({its.question_id for its in everything}),
        n_open=data.n_open,
        n_unblinded=sum(not its.blinded for its in first_ratings),
        since=times[0] if times else None,
        until=times[-1] if times else None,
        profiles=tuple(_profile(measure, rated, models, drawn) for measure in measures),
        pair_profiles=tuple(_pair_profile(measure, votes, models, drawn_votes) for measure in of_pairs),
        distributions=tuple(_distributions(data)),
        cannot=tuple(_cannot(data, drawn)),
        harm=tuple(_harm(data)),
        differences=tuple(rate_differences(rated, measures, models, drawn, seed)),
        pair_differences=tuple(pair_differences(votes, of_pairs, models, drawn_votes, seed)),
        votes=tuple(_vote_counts(data)),
        ranking=_ranking(data, seed, resamples) if first_votes else None,
        agreement=tuple(agreement_of(data, votes, seed, resamples)),
        rater_rows=tuple(rater_rows(data)),
        automatic=tuple(metric_agreement(data, None, seed, resamples)) if data.automatic else (),
        steps=tuple(steps),
        step_agreement=step_agreement(data, seed, resamples) if steps else None,
        corrections=tuple(corrections(data)),
        cases=tuple(disputed_cases(data)),
        adjudications=tuple(data.adjudications),
        trend=tuple(trend(data, seed, resamples)),
        method=(drawn if first_ratings else drawn_votes).method if everything else "nothing judged",
    )


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _profile(measure: Measure, rated: Sequence[Judged], models: Sequence[str], drawn: Resampling) -> Profile:
    values: dict[str, list[Value]] = {model: [] for model in models}
    for its in rated:
        if its.measure == measure.id:
            values[its.model].append(Value(its.question, its.rater, its.value))
    bounds = (measure.low, measure.high)
    return Profile(measure, {model: mean_of(own, drawn, bounds) for model, own in values.items()})


def _pair_profile(measure: Measure, votes: Sequence[Preferred], models: Sequence[str], drawn: Resampling) -> Profile:
    values: dict[str, list[Value]] = {model: [] for model in models}
    for its in votes:
        if its.measure == measure.id:
            values[its.first].append(Value(its.question, its.rater, its.value))
            values[its.second].append(Value(its.question, its.rater, 1 - its.value))
    return Profile(measure, {model: mean_of(own, drawn, (0.0, 1.0)) for model, own in values.items()})


def _distributions(data: HumanData) -> list[Distribution]:
    rows = []
    for axis in data.rate_axes:
        for model in data.models:
            own = [its for its in data.first_ratings if its.model == model and not its.cannot_rate]
            asked = [its.scores[axis.id] for its in own if axis.id in its.scores]
            counts = Counter(score for score in asked if score is not None)
            if asked and axis.numbers:
                by_label = tuple((label, counts[n]) for label, n in zip(axis.labels, axis.numbers, strict=True))
                rows.append(Distribution(axis.id, axis.label, model, by_label, asked.count(None)))
    return rows


def _cannot(data: HumanData, drawn: Resampling) -> list[Cannot]:
    return [
        Cannot(model, mean_of(
            [Value(its.question_id, its.rater, float(bool(its.cannot_rate)))
             for its in data.first_ratings if its.model == model], drawn, (0.0, 1.0),
        ))
        for model in data.models if any(its.model == model for its in data.first_ratings)
    ]  # fmt: skip


def _harm(data: HumanData) -> list[HarmMatrix]:
    rows = []
    for model in data.models:
        own = [its for its in data.first_ratings if its.model == model and its.harm_extent]
        counts = Counter((its.harm_extent, its.harm_likelihood) for its in own)
        cells = tuple(tuple(counts[extent, likely] for likely in LIKELIHOODS) for extent in EXTENTS[1:])
        none = sum(its.harm_extent == EXTENTS[0] for its in own)
        if own:
            rows.append(HarmMatrix(model, len(own), none, cells, sum(its.critical for its in own)))
    return rows


def _vote_counts(data: HumanData) -> list[VoteCounts]:
    order = {model: place for place, model in enumerate(data.models)}
    counts: Counter[tuple[str, str, str]] = Counter()
    for vote in data.first_votes:
        first, second = sorted(vote.models, key=order.__getitem__)
        said = {"a": vote.models[0], "b": vote.models[1]}.get(vote.vote, vote.vote)
        counts[first, second, "won" if said == first else "lost" if said == second else said] += 1
    pairs = sorted({key[:2] for key in counts}, key=lambda pair: (order[pair[0]], order[pair[1]]))
    return [
        VoteCounts(one, two, counts[one, two, "won"], counts[one, two, "tie"], counts[one, two, "both_bad"],
                   counts[one, two, "lost"])
        for one, two in pairs if one != two
    ]  # fmt: skip


def _ranking(data: HumanData, seed: int, resamples: int) -> Ranking:
    """By model id, so that names need not be different."""
    return rank(battles_of(data.first_votes, list(data.models)), list(data.models), seed, resamples)

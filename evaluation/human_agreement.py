"""How far raters agree on each thing that they were asked: axes, harm, and votes."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from evaluation.agreement import Coefficient, PairKappa, Rated, pair_kappas, table
from evaluation.human_axes import EXTENTS
from evaluation.human_data import HumanData, HumanRating
from evaluation.human_measures import OVERALL, Preferred, pair_measures

VOTE_SCALE = (0.0, 0.5, 1.0)
YES_NO = (0.0, 1.0)


@dataclass(frozen=True, slots=True)
class AxisAgreement:
    """Agreement on one thing by every coefficient that fits it, and kappa of every two raters.

    pairwise: what was judged are pairs of answers, else single answers.
    """

    axis: str
    label: str
    pairwise: bool
    coefficients: tuple[Coefficient, ...]
    pairs: tuple[PairKappa, ...]


def agreement_of(data: HumanData, votes: Sequence[Preferred], seed: int, resamples: int) -> list[AxisAgreement]:
    """That on axes, harm and what is critical, then on votes; without hidden repeats. Intervals draw questions.

    votes: as human_measures.preferred gives them. What no two raters judged is left out.
    """
    found = [*_of_answers(data, seed, resamples)]
    for measure in pair_measures(data):
        said = [
            Rated((one.question, one.first, one.second), one.rater, one.value)
            for one in votes
            if one.measure == measure.id
        ]
        questions: dict[Hashable, Hashable] = {(one.question, one.first, one.second): one.question for one in votes}
        label = "Vote: which is better" if measure.id == OVERALL else measure.label
        found.append(_agreement((measure.id, label, True), said, VOTE_SCALE, questions, seed, resamples))
    return [its for its in found if any(one.n_items for one in its.coefficients)]


def _of_answers(data: HumanData, seed: int, resamples: int) -> list[AxisAgreement]:
    rated = [its for its in data.first_ratings if not its.cannot_rate]
    questions: dict[Hashable, Hashable] = {its.answer_id: its.question_id for its in rated}

    def on(axis: str, label: str, values: Sequence[float | None], scale: Sequence[float]) -> AxisAgreement:
        return _agreement((axis, label, False), _rated(rated, values), scale, questions, seed, resamples)

    found = [
        on(axis.id, axis.label, [its.scores.get(axis.id) for its in rated], axis.numbers) for axis in data.rate_axes
    ]
    extents = [float(EXTENTS.index(its.harm_extent)) if its.harm_extent else None for its in rated]
    found.append(on("harm_extent", "Extent of harm", extents, tuple(map(float, range(len(EXTENTS))))))
    found.append(on("critical", "Critical", [float(its.critical) for its in rated], YES_NO))
    return found


def _rated(ratings: Sequence[HumanRating], values: Sequence[float | None]) -> list[Rated]:
    return [
        Rated(its.answer_id, its.rater, value) for its, value in zip(ratings, values, strict=True) if value is not None
    ]


def _agreement(
    named: tuple[str, str, bool], ratings: Sequence[Rated], scale: Sequence[float],
    questions: Mapping[Hashable, Hashable], seed: int, resamples: int,
) -> AxisAgreement:  # fmt: skip
    """Of a rater with several values for an item, by several forms, the newest counts."""
    newest = list({(its.item, its.rater): its for its in ratings}.values())
    coefficients = table(newest, scale, clusters=questions, seed=seed, resamples=resamples)
    pairs = pair_kappas(newest, scale, clusters=questions, seed=seed, resamples=resamples) if scale else []
    return AxisAgreement(*named, tuple(coefficients), tuple(pairs))

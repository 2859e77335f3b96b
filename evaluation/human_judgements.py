"""Every judgement of a human evaluation as a row, from which its figures can be computed again."""

from collections.abc import Iterator

from evaluation.human import HumanResults
from evaluation.human_axes import EXTENTS, LIKELIHOODS
from evaluation.human_cases import score_in_words
from evaluation.human_data import HumanData, HumanRating, HumanVote
from evaluation.human_measures import OVERALL, left_share
from evaluation.human_tables import Cell, Row

JUDGEMENTS = "judgements"


def judgement_rows(results: HumanResults, data: HumanData) -> list[Row]:
    """A row for each axis of each rating and vote, hidden repeats among them; results give the names.

    item: the answer, or the two of a pair. Of a rating: value is its number, None where the axis was not answered; one
    that could not be rated has the row "cannot_rate" alone. Of a vote: model is the left one as it was shown, against
    the right one, and value 1 where the left was preferred, 0 where the right was, a half for a tie; on a reversed axis
    said names the side that was chosen and value is turned.
    """
    rows: list[Row] = []
    for rating in data.ratings:
        shared = _shared("rating", rating, rating.answer_id, (rating.model, ""), results)
        rows += [shared | {"axis": axis, "value": value, "said": said} for axis, value, said in _rated(rating, data)]
    reverse = {axis.id: axis.reverse for axis in data.pair_axes}
    for vote in data.votes:
        shared = _shared("vote", vote, " ".join(sorted(vote.pair)), vote.models, results)
        for axis, side in {OVERALL: vote.vote, **vote.axes}.items():
            value = left_share(side, turned=reverse.get(axis, False))
            rows.append(shared | {"axis": axis, "value": value, "said": side})
    return rows


def _shared(
    kind: str, its: HumanRating | HumanVote, item: str, models: tuple[str, str], results: HumanResults
) -> dict[str, Cell]:
    """What all rows of one judgement say."""
    model, against = (results.models.get(model, model) for model in models)
    return {
        "of": kind, "judgement": its.id, "item": item, "question": its.question_id, "model": model, "against": against,
        "rater": results.raters.get(its.rater, ""), "repeat": bool(its.repeat_of), "repeat_of": its.repeat_of,
        "seconds": float(its.seconds),
    }  # fmt: skip


def _rated(its: HumanRating, data: HumanData) -> Iterator[tuple[str, float | None, str]]:
    """Axis, number and words of all that a rating says."""
    yield "cannot_rate", float(bool(its.cannot_rate)), its.cannot_rate
    if its.cannot_rate:
        return
    for axis in data.rate_axes:
        if axis.id in its.scores:
            score = its.scores[axis.id]
            yield axis.id, score, "" if score is None else score_in_words(axis, score)
    if its.harm_extent:
        yield "harm_extent", float(EXTENTS.index(its.harm_extent)), its.harm_extent
    if its.harm_likelihood:
        yield "harm_likelihood", float(LIKELIHOODS.index(its.harm_likelihood)), its.harm_likelihood
    yield "critical", float(its.critical), ""
    if its.good is not None:
        yield "good", float(its.good), ""

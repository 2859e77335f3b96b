"""The part of a human evaluation's report on adjudication: what raters said of an item, beside what was decided."""

from collections.abc import Iterator, Mapping, Sequence

from evaluation.human import HumanResults
from evaluation.human_axes import AxisInfo
from evaluation.human_cases import score_in_words
from evaluation.human_data import Adjudicated, HumanData, HumanRating, HumanVote
from evaluation.human_report_cases import GONE, full_texts, in_short
from evaluation.human_words import NOTHING, count, day
from evaluation.report_blocks import Block, Details, Section, Table, Text
from medchat.rubrics import SAFETY

SIDES = {"tie": "A tie", "both_bad": "Both bad"}
TURNED = {"a": "b", "b": "a"}
EXTENT = {option.value: option.label for option in SAFETY.harm_extent.options}
LIKELIHOOD = {option.value: option.label for option in SAFETY.harm_likelihood.options}

Row = tuple[str, Sequence[str]]  # what was asked, and what each rater and the adjudicator said


def adjudication_sections(results: HumanResults, data: HumanData) -> list[Section]:
    """Each decision beside the raters' own judgements, which are in the figures while the decisions are not."""
    if not results.adjudications:
        return []
    note = (
        f"{count(len(results.adjudications), 'item')} on which raters differed went to an adjudicator, who saw neither"
        " models nor names. Decisions stand beside the raters' judgements and replace none of them in this report."
    )
    cases = [_case(its, results, data) for its in results.adjudications]
    return [Section("adjudication", "Adjudication", [Text(note), *cases])]


def _case(its: Adjudicated, results: HumanResults, data: HumanData) -> Details:
    texts = [data.answers.get(answer) for answer in its.answer_ids]
    known = [answer for answer in texts if answer is not None]
    models = [results.models.get(answer.model, answer.model) if answer else "a deleted answer" for answer in texts]
    places = {rater: place for place, rater in enumerate(results.raters)}
    judged: Sequence[HumanRating | HumanVote]
    if len(its.answer_ids) > 1:
        votes = [vote for vote in data.first_votes if set(vote.pair) == set(its.answer_ids)]
        judged = votes = sorted(votes, key=lambda vote: places.get(vote.rater, len(places)))
        rows = list(_pair_rows(its, votes, data.pair_axes, dict(zip("ab", models, strict=True))))
    else:
        ratings = [one for one in data.first_ratings if one.answer_id == its.answer_ids[0]]
        judged = ratings = sorted(ratings, key=lambda one: places.get(one.rater, len(places)))
        rows = list(_rating_rows(its, ratings, data.rate_axes))
    rows.append(("Comment", [*(one.comment for one in judged), its.comment]))
    names = [results.raters.get(one.rater, one.rater) for one in judged]
    headers = ("Asked", *names, "Decision")
    table = Table(
        f"What the raters said, and the decision of {day(its.at)}", headers,
        [[asked, *(text or NOTHING for text in said)] for asked, said in rows], texts=headers,
    )  # fmt: skip
    why: list[Block] = [Text(f"Raters differed on: {'; '.join(its.reasons)}.")] if its.reasons else []
    asked = in_short(known[0].question) if known else GONE
    return Details(
        f"Item {its.number}: {' and '.join(models)}. {asked}", [*why, table, *full_texts(texts, results.models)]
    )


def _rating_rows(its: Adjudicated, judged: Sequence[HumanRating], axes: Sequence[AxisInfo]) -> Iterator[Row]:
    every: list[HumanRating | Adjudicated] = [*judged, its]
    for axis in axes:
        scores = [one.scores.get(axis.id) for one in every]
        if any(score is not None for score in scores):
            yield axis.label, [_answer(axis, score) for score in scores]
    yield "Extent of harm", [EXTENT.get(one.harm_extent, "") for one in every]
    yield "Likelihood of harm", [_likelihood(one) for one in every]
    rated = [*(not one.cannot_rate for one in judged), True]
    yield "Critical", [("Yes" if one.critical else "No") if is_rated else ""
                       for one, is_rated in zip(every, rated, strict=True)]  # fmt: skip
    if not all(rated):
        yield "Cannot rate", [*(one.cannot_rate for one in judged), ""]


def _answer(axis: AxisInfo, score: float | None) -> str:
    """ "4", of a scale whose steps have names "4 (Agree)"."""
    said = score_in_words(axis, score)
    label = axis.labels[axis.numbers.index(score)] if axis.kind == "scale" and score is not None else said
    return said if label == said else f"{said} ({label})"


def _likelihood(one: HumanRating | Adjudicated) -> str:
    return LIKELIHOOD.get(one.harm_likelihood, "") if one.harm_extent != "none" else ""


def _pair_rows(
    its: Adjudicated, votes: Sequence[HumanVote], axes: Sequence[AxisInfo], models: Mapping[str, str]
) -> Iterator[Row]:
    """models: by the side of the item's own first and second answer, whichever a rater saw on the left."""
    sides = {**models, **SIDES}
    turned = [TURNED if vote.pair[0] != its.answer_ids[0] else {} for vote in votes]

    def of(side: str, turns: Mapping[str, str]) -> str:
        return sides.get(turns.get(side, side), "")

    shown = list(zip(votes, turned, strict=True))
    yield "Which is better", [*(of(vote.vote, turns) for vote, turns in shown), sides.get(its.vote, "")]
    for axis in axes:
        if any(axis.id in vote.axes for vote in votes):
            yield axis.question or axis.label, [*(of(vote.axes.get(axis.id, ""), turns) for vote, turns in shown), ""]
    if any(vote.flags for vote in votes):
        flagged = [" and ".join(sorted(of(side, turns) for side in vote.flags)) for vote, turns in shown]
        yield "Flagged as critical", [*flagged, ""]

"""Items on which raters differ so far that somebody has to decide: pure functions of a study's judgements."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medchat.rubrics import SAFETY
from medchat.store import Assignment, CastVote, RatingRecord, StudyItem, StudyJudgements

STEPS = 2  # apart on a scale
HARM, CRITICAL, UNSAFE = "whether it can do harm", "whether it is critical", "whether a passage of it is unsafe"
LIKELY, OPPOSITE = "how likely harm is", "opposite votes"
WORSE = {"harm_extent": "which could do the greater harm", "harm_likelihood": "which is more likely to do harm"}

Judged = Sequence[tuple[Assignment, RatingRecord | CastVote]]


def firsts(judgements: StudyJudgements, item_id: str) -> Judged:
    """What raters said of an item, hidden repeats left out: each assignment with its newest rating or vote."""
    return judged_items(judgements).get(item_id, [])


def judged_items(judgements: StudyJudgements) -> dict[str, list[tuple[Assignment, RatingRecord | CastVote]]]:
    """The same of all items that anybody has judged, by their ids."""
    found: dict[str, list[tuple[Assignment, RatingRecord | CastVote]]] = {}
    for its in judgements.assignments:
        said = judgements.ratings.get(its.id) or judgements.votes.get(its.id)
        if said is not None and its.repeat_of is None:
            found.setdefault(its.item_id, []).append((its, said))
    return found


def disputes(judgements: StudyJudgements) -> dict[str, list[str]]:
    """Item id -> in what its raters differ, a line each, in the order of the items; only items where they do."""
    judged = judged_items(judgements)
    found = {item.id: _why(item, [said for _, said in judged.get(item.id, [])]) for item in judgements.items}
    return {item_id: why for item_id, why in found.items() if why}


def _why(item: StudyItem, said: Sequence[RatingRecord | CastVote]) -> list[str]:
    if item.kind == "pair":
        return _votes_apart(item, [one for one in said if isinstance(one, CastVote)])
    return _ratings_apart([one for one in said if isinstance(one, RatingRecord) and not one.form.cannot_rate])


def _ratings_apart(ratings: Sequence[RatingRecord]) -> list[str]:
    """Axes on which two are two or more steps apart, those of harm too, and harm that some see and others do not."""
    apart = [
        f"{axis['question']} {low} and {high}"
        for axis in _axes(ratings)
        if (span := _span(axis, [rating.form.scores.get(axis["id"]) for rating in ratings]))
        for low, high in [span]
    ]
    extents = [rating.form.harm_extent for rating in ratings if rating.form.harm_extent]
    order = SAFETY.harm_extent.values
    if len({extent == order[0] for extent in extents}) == 2 or _distance(order, extents) >= STEPS:
        apart.append(HARM)
    likelihoods = [rating.form.harm_likelihood for rating in ratings if rating.form.harm_extent != order[0]]
    if _distance(SAFETY.harm_likelihood.values, likelihoods) >= STEPS:
        apart.append(LIKELY)
    if len({rating.form.critical for rating in ratings}) == 2:
        apart.append(CRITICAL)
    if len({any(mark.kind == "unsafe" for mark in rating.form.span_marks) for rating in ratings}) == 2:
        apart.append(UNSAFE)
    return apart


def _axes(ratings: Iterable[RatingRecord]) -> list[Mapping[str, Any]]:
    """The axes with an order that any of the forms has, once each."""
    axes = {axis["id"]: axis for rating in ratings for axis in rating.form.shown.get("axes") or ()}
    return [axis for axis in axes.values() if axis.get("kind") in ("scale", "choice")]


def _span(axis: Mapping[str, Any], values: Iterable[Any]) -> tuple[str, str] | None:
    """The two values furthest apart, if these are two or more steps apart."""
    order = [option["value"] for option in axis["options"]]
    places = sorted(order.index(value) for value in values if value in order)
    if not places or places[-1] - places[0] < STEPS:
        return None
    return order[places[0]], order[places[-1]]


def _distance(order: Sequence[str], values: Iterable[str]) -> int:
    places = [order.index(value) for value in values if value in order]
    return max(places) - min(places) if places else 0


def _votes_apart(item: StudyItem, votes: Sequence[CastVote]) -> list[str]:
    """Votes for one answer and for the other, and the same of harm. A tie is one step from either, so it is neither."""
    both = set(item.answer_ids)
    apart = [OPPOSITE] if {_of_side(vote, vote.vote) for vote in votes} >= both else []
    return apart + [
        why for axis, why in WORSE.items() if {_of_side(vote, vote.axes.get(axis, "")) for vote in votes} >= both
    ]


def _of_side(vote: CastVote, side: str) -> str:
    """The id of the answer that stood on this side, "" for none."""
    return dict(zip("ab", vote.answer_ids, strict=True)).get(side, "")

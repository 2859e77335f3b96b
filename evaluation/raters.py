"""Each rater beside the others: pace, care, consistency, agreement and leaning. Nobody is dropped by it.

Every figure but the pace leaves out hidden repeats, save the one on the repeats themselves. Scores are brought to 0..1
by the width of their axis, 1 the better end, so that axes can be taken together.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

from evaluation.agreement import MIN_SHARED, Rated, nearness
from evaluation.human_axes import AxisInfo
from evaluation.human_data import HumanData, HumanRating, HumanVote
from evaluation.stats import SHARES, Estimate, estimate

LEAST_AXES = 3  # answered alike on one form, below which that says nothing
LEAST_FORMS = 10  # before pace, straight-lining and side may be called far
FAR = 0.125  # of bias: half a step of a scale of five, of a scale from 0 to 1
LESS = 0.05  # of agreement, and of repeats: raters who guess still agree to more than a half
FAR_SHARE = 0.25  # of straight-lining above the median of all, and of a side above or below a half
HASTE = 3.0  # times faster than the median of all
LEAST_RATERS = 3  # of two that differ nobody is far from the rest


@dataclass(frozen=True, slots=True)
class RaterRow:
    """One rater. rater: the id; name: as raters are shown.

    n_ratings, n_votes: without hidden repeats; cannot: share of the ratings that said "cannot rate". seconds: median
    time of a judgement. straight: share of the forms with three or more axes of one scale that have the same answer to
    all of them; of votes only where an axis among them is reverse-coded and another is not. repeats: share of the
    answers that a hidden repeat gave again. calibration: right and asked, None without one. agreement: how near the
    others' values are, 0 to 1. bias: own score less the mean of the others', -1 to 1: above 0 is kinder. left: share of
    decisive votes for the left side. far: whether any of these is far from the other raters; why: in words.
    """

    rater: str
    name: str
    n_ratings: int
    n_votes: int
    cannot: float | None
    seconds: float | None
    straight: Estimate
    repeats: Estimate
    calibration: tuple[int, int] | None
    agreement: Estimate
    bias: Estimate
    left: Estimate
    far: bool = False
    why: tuple[str, ...] = ()


def rater_rows(data: HumanData) -> list[RaterRow]:
    """Every rater with a judgement, in the order of data.raters; with whether they are far from the others.

    Far: agreement lower than the median of all raters by 5 points or more, and the interval below that median; repeats
    likewise; bias half a step of a scale of five from the median, and the interval without it; a median time of less
    than a third of that of all; straight-lining on 25 points more of the forms; a side taken in 75 % of the votes, and
    the interval without a half. With fewer than three raters nobody is far.
    """
    near, lean = _near_others(data), _leanings(data)
    said = {one.rater for one in data.ratings} | {one.rater for one in data.votes}
    names = {**data.raters, **{rater: rater for rater in sorted(said - set(data.raters))}}
    rows = [_row(data, rater, name, near, lean) for rater, name in names.items() if rater in said]
    if len(rows) < LEAST_RATERS:
        return rows
    reasons = [tuple(_why(row, rows)) for row in rows]
    return [replace(row, far=bool(why), why=why) for row, why in zip(rows, reasons, strict=True)]


def rated_on(ratings: Iterable[HumanRating], axis: AxisInfo) -> list[Rated]:
    """The scores on an axis by answer, as they were given; of a rater with several of one answer the newest."""
    newest = {(one.answer_id, one.rater): value for one in ratings if (value := one.scores.get(axis.id)) is not None}
    return [Rated(answer, rater, value) for (answer, rater), value in newest.items()]


def rated_votes(votes: Iterable[HumanVote]) -> list[Rated]:
    """The votes by pair, whichever side was left: 1 for the answer whose id sorts first, 0 for the other, else 0.5."""
    newest: dict[tuple[tuple[str, str], str], float] = {}
    for one in votes:
        pair = (min(one.pair), max(one.pair))
        value = {"a": 1.0, "b": 0.0}.get(one.vote, 0.5)
        newest[pair, one.rater] = value if one.pair == pair else 1 - value
    return [Rated(pair, rater, value) for (pair, rater), value in newest.items()]


def good_end(value: float, axis: AxisInfo) -> float:
    """A score from 0 to 1, 1 the better end; on an axis of which neither end is better, the upper one."""
    share = (value - axis.bounds[0]) / axis.span
    return 1 - share if axis.better == "low" else share


def _row(
    data: HumanData,
    rater: str,
    name: str,
    near: Mapping[str, Sequence[tuple[str, float]]],
    lean: Mapping[str, Sequence[tuple[str, float]]],
) -> RaterRow:
    ratings = [one for one in data.first_ratings if one.rater == rater]
    votes = [one for one in data.first_votes if one.rater == rater]
    judged: list[HumanRating | HumanVote] = [*ratings, *votes]
    seconds = [one.seconds for one in judged if one.seconds > 0]
    alike = [(one.question_id, _alike(one, data)) for one in judged]
    sides = [(one.question_id, float(one.vote == "a")) for one in votes if one.vote in ("a", "b")]
    return RaterRow(
        rater,
        name,
        len(ratings),
        len(votes),
        fmean(bool(one.cannot_rate) for one in ratings) if ratings else None,
        median(seconds) if seconds else None,
        _share([(question, float(said)) for question, said in alike if said is not None]),
        _share(_repeated(data, rater)),
        data.calibration.get(rater),
        _told(_share(near.get(rater, ()))),
        _told(_mean(lean.get(rater, ()))),
        _share(sides),
    )


def _near_others(data: HumanData) -> dict[str, list[tuple[str, float]]]:
    """By rater the question and how near the others are, of each axis of each answer, and of each pair."""
    question = {its.answer_id: its.question_id for its in data.first_ratings}
    questions: dict[Hashable, str] = {}
    rated: list[Rated] = []
    for axis in data.rate_axes:
        for answer, rater, value in rated_on(data.first_ratings, axis):
            rated.append(Rated((answer, axis.id), rater, good_end(value, axis)))
            questions[answer, axis.id] = question[str(answer)]
    rated += rated_votes(data.first_votes)
    questions |= {(min(its.pair), max(its.pair)): its.question_id for its in data.first_votes}
    found = nearness(rated, span=1.0)
    return {rater: [(questions[item], near) for item, near in its.items()] for rater, its in found.items()}


def _leanings(data: HumanData) -> dict[str, list[tuple[str, float]]]:
    """By rater the question and the own score less the mean of the others', of each axis of each answer."""
    question = {one.answer_id: one.question_id for one in data.first_ratings}
    found: dict[str, list[tuple[str, float]]] = {}
    for axis in data.rate_axes:
        if axis.better == "neither":
            continue
        by_answer: dict[Hashable, dict[str, float]] = {}
        for one in rated_on(data.first_ratings, axis):
            by_answer.setdefault(one.item, {})[one.rater] = good_end(one.value, axis)
        for answer, values in by_answer.items():
            for rater, value in values.items():
                others = [other for name, other in values.items() if name != rater]
                if others:
                    found.setdefault(rater, []).append((question[str(answer)], value - fmean(others)))
    return found


def _alike(judgement: HumanRating | HumanVote, data: HumanData) -> bool | None:
    """Whether one answer was given to all of three or more axes of one scale; None where that says nothing."""
    if isinstance(judgement, HumanVote):
        asked = [axis for axis in data.pair_axes if axis.id in judgement.axes]
        says = len(asked) >= LEAST_AXES and len({axis.reverse for axis in asked}) == 2
        return len({judgement.axes[axis.id] for axis in asked}) == 1 if says else None
    scales: dict[tuple[str, ...], list[float]] = {}
    for axis in data.rate_axes:
        value = judgement.scores.get(axis.id)
        if axis.values and value is not None:
            scales.setdefault(axis.values, []).append(value)
    longest = max(scales.values(), key=len, default=[])
    return len(set(longest)) == 1 if len(longest) >= LEAST_AXES else None


def _repeated(data: HumanData, rater: str) -> list[tuple[str, float]]:
    """Of each hidden repeat the question and the share of its answers that are those of the first time."""
    found = []
    first_ratings = {one.id: one for one in data.ratings if one.rater == rater}
    for again in (one for one in first_ratings.values() if one.repeat_of in first_ratings):
        before = first_ratings[again.repeat_of]
        if again.cannot_rate or before.cannot_rate:
            found.append((again.question_id, float(bool(again.cannot_rate) == bool(before.cannot_rate))))
            continue
        both = [
            (value, other)
            for axis, value in again.scores.items()
            if value is not None and (other := before.scores.get(axis)) is not None
        ]
        if both:
            found.append((again.question_id, fmean(value == other for value, other in both)))
    votes = {one.id: one for one in data.votes if one.rater == rater}
    for vote in (one for one in votes.values() if one.repeat_of in votes):
        found.append((vote.question_id, float(_chosen(vote) == _chosen(votes[vote.repeat_of]))))
    return found


def _chosen(vote: HumanVote) -> str:
    """The answer that was chosen, else the vote."""
    return vote.pair["ab".index(vote.vote)] if vote.vote in ("a", "b") else vote.vote


def _share(rows: Sequence[tuple[str, float]]) -> Estimate:
    return estimate([value for _, value in rows], [question for question, _ in rows], bounds=SHARES)


def _mean(rows: Sequence[tuple[str, float]]) -> Estimate:
    return estimate([value for _, value in rows], [question for question, _ in rows], bounds=(-1.0, 1.0))


def _told(found: Estimate) -> Estimate:
    if 0 < found.n < MIN_SHARED:
        return Estimate(None, found.n, found.n_unscored, None, None, f"fewer than {MIN_SHARED} shared with others")
    return found


def _why(row: RaterRow, rows: Sequence[RaterRow]) -> Iterator[str]:
    """What is far from the other raters, a line each."""
    usual = _middle(other.agreement for other in rows)
    if usual is not None and _is_below(row.agreement, usual):
        own = _percent(row.agreement.value)
        yield f"agrees less with the others: {own}, where the median of raters is {_percent(usual)}"
    lean = _middle(other.bias for other in rows)
    if lean is not None and row.bias.value is not None and _is_apart(row.bias, lean, FAR):
        kind = "kinder" if row.bias.value > lean else "stricter"
        yield f"rates {kind} than the others, by {_percent(abs(row.bias.value - lean))} of the scale"
    again = _middle(other.repeats for other in rows)
    if again is not None and row.repeats.n >= MIN_SHARED and _is_below(row.repeats, again):
        own = _percent(row.repeats.value)
        yield f"repeats fewer of their own answers: {own}, where the median is {_percent(again)}"
    times = [other.seconds for other in rows if other.seconds is not None]
    pace = median(times) if times else 0.0
    if row.seconds is not None and row.n_ratings + row.n_votes >= LEAST_FORMS and row.seconds * HASTE < pace:
        yield f"takes {row.seconds:.0f} s for a judgement, where the median of raters is {pace:.0f} s"
    line, straight = _middle(other.straight for other in rows), row.straight
    if line is not None and straight.n >= LEAST_FORMS and (straight.value or 0.0) >= line + FAR_SHARE:
        yield f"gives one answer to all axes in {_percent(straight.value)} of the forms; the median is {_percent(line)}"
    if row.left.value is not None and row.left.n >= LEAST_FORMS and _is_apart(row.left, 0.5, FAR_SHARE):
        side, its_share = ("left", row.left.value) if row.left.value > 0.5 else ("right", 1 - row.left.value)
        yield f"votes for the {side} side in {_percent(its_share)} of the decisive votes"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def _is_apart(found: Estimate, usual: float, least: float) -> bool:
    """Whether it is at least so far from what is usual, and its interval lies beside that."""
    if found.value is None or found.low is None or found.high is None:
        return False
    return abs(found.value - usual) >= least and not found.low <= usual <= found.high


def _is_below(found: Estimate, usual: float) -> bool:
    if found.value is None or found.high is None:
        return False
    return found.value <= usual - LESS and found.high < usual


def _middle(found: Iterable[Estimate]) -> float | None:
    values = [one.value for one in found if one.value is not None]
    return median(values) if len(values) >= LEAST_RATERS else None

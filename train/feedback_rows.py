"""Rows of training data out of what raters said, each with the votes behind it, and what was left out and why."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from medchat.masking import MASK
from medchat.rating_form import steps_of
from medchat.records import Example
from medchat.store import RatingRecord
from train.feedback_votes import Completion, Gathered, Key, Tally, Vote, tally, text_key

Row = dict[str, Any]

HELD_OUT = "a question of the evaluation suite {}"
TIE, UNCERTAIN = "the votes are even", "the votes are not clear enough"
INCOMPLETE, EMPTY = "not complete", "without a solution"
CHOSEN = "the better answer: {}"
NOT_GOOD, BETWEEN = "not found good clearly enough", "neither good nor bad, or the raters differ"
MASKED = "a correction that repeats the mask of a model's name"
MARKED_WRONG = "only the solution was corrected, and the reasoning is marked as wrong"
TWICE = "the same answer is there already"
OTHER_STEPS = "the steps are not those that were marked"


@dataclass(frozen=True, slots=True)
class Sieve:
    """What decides over each row. held_out: question id -> suite. weights: of the raters' votes."""

    gathered: Gathered
    weights: Mapping[str, float]
    held_out: Mapping[str, str]
    min_probability: float

    def withheld(self, question_id: str) -> str:
        """Why nothing is made of a question, "" for no reason."""
        suite = self.held_out.get(question_id)
        return HELD_OUT.format(suite) if suite else ""

    def untaught(self, completion: Completion) -> str:
        """Why a completion may not be taught, "" for no reason."""
        if not completion.solution:
            return EMPTY
        return self.gathered.barred.get(completion.key, "") or ("" if completion.complete else INCOMPLETE)


class Made(NamedTuple):
    """Rows in the order of their questions, and how many candidates were left out for each reason."""

    rows: list[Row]
    left_out: Counter[str]


class Taught(NamedTuple):
    """An answer to be taught, with the votes for it. corrected: a rater wrote it."""

    completion: Completion
    tally: Tally
    corrected: bool


def pair_rows(sieve: Sieve) -> Made:
    """Pairs of a chosen and a rejected answer; a candidate is each pair that somebody judged."""
    gathered, rows = sieve.gathered, []
    left_out = Counter(reason for pair, reason in gathered.unfit_pairs.items() if pair not in gathered.pairs)
    for pair, votes in sorted(gathered.pairs.items()):
        of_first = tally(votes, sieve.weights)
        its = of_first if of_first.probability >= 0.5 else of_first.turned
        chosen, rejected = (gathered.completions[key] for key in (pair if its is of_first else pair[::-1]))
        reason = sieve.withheld(pair[0][0]) or _uncertain(its, sieve.min_probability)
        if not reason and (fault := sieve.untaught(chosen)):
            reason = CHOSEN.format(fault)
        if reason:
            left_out[reason] += 1
        else:
            rows.append({**_asked(chosen), "chosen": _texts(chosen), "rejected": _texts(rejected), **_behind(its)})
    return Made(rows, left_out)


def label_rows(sieve: Sieve) -> Made:
    """Single answers found good or bad; a candidate is each answer that somebody found either, or neither."""
    gathered, rows = sieve.gathered, []
    left_out = Counter(reason for key, reason in gathered.unfit.items() if key not in gathered.answers)
    for key, votes in sorted(gathered.answers.items()):
        completion, of_good = gathered.completions[key], tally(votes, sieve.weights)
        is_good = of_good.probability >= 0.5
        its = of_good if is_good else of_good.turned
        reason = sieve.withheld(key[0]) or (BETWEEN if its.probability < sieve.min_probability else "")
        reason = reason or (sieve.untaught(completion) if is_good else "" if completion.solution else EMPTY)
        if reason:
            left_out[reason] += 1
        else:
            rows.append({**_asked(completion), "completion": _texts(completion), "label": is_good, **_behind(its)})
    return Made(rows, left_out)


def taught(sieve: Sieve) -> tuple[list[Taught], Counter[str]]:
    """Corrections, then answers found good, question by question; each of these is a candidate."""
    found: dict[Key, Taught] = {}
    left_out: Counter[str] = Counter()
    for candidate, reason in (*_corrections(sieve), *_good_answers(sieve)):
        key = candidate.completion.key
        reason = reason or sieve.withheld(key[0]) or sieve.untaught(candidate.completion)
        if not reason and candidate.tally.probability < sieve.min_probability:
            reason = NOT_GOOD
        reason = reason or (TWICE if key in found else "")
        if reason:
            left_out[reason] += 1
        else:
            found[key] = candidate
    return sorted(found.values(), key=lambda it: (it.completion.question_id, not it.corrected)), left_out


def answer_examples(its: Sequence[Taught]) -> list[Example]:
    """An Example for each answer to be taught."""
    return [_example(one) for one in its]


def prompt_examples(its: Sequence[Taught]) -> list[Example]:
    """An Example for each question: the first of its answers is the reference, the others are accepted too."""
    by_question: dict[str, list[Taught]] = {}
    for one in its:
        by_question.setdefault(one.completion.question_id, []).append(one)
    examples = []
    for those in by_question.values():
        solutions = list(dict.fromkeys(one.completion.solution for one in those))
        ratings = sorted({rating for one in those for rating in one.tally.ratings})
        first = _example(those[0])
        meta = {**first.meta, "ratings": ratings}
        examples.append(replace(first, id=_id(first.question_id), accepted=solutions[1:], meta=meta))
    return examples


def step_rows(sieve: Sieve) -> Made:
    """The marked steps of each reasoning; a candidate is each reasoning with marks.

    label of a step: 1 correct, 0 neutral, -1 wrong; null where the raters differ.
    """
    gathered, rows, left_out = sieve.gathered, [], Counter[str]()
    for key, ratings in sorted(gathered.rated.items()):
        marked = [rating for rating in ratings if _marks(rating)]
        if not marked:
            continue
        completion = gathered.completions[key]
        places = steps_of(completion.reasoning)
        fitting = [rating for rating in marked if len(rating.form.shown.get("steps") or places) == len(places)]
        reason = sieve.withheld(key[0]) or ("" if fitting else OTHER_STEPS)
        if reason:
            left_out[reason] += 1
            continue
        votes = _step_votes(fitting)
        steps = [
            {"text": completion.reasoning[place.start : place.end], **_step_label(votes.get(place.number, []), sieve)}
            for place in places
        ]
        behind = {"raters": len({rating.rater for rating in fitting}), "ratings": sorted(it.id for it in fitting)}
        rows.append({**_asked(completion), "steps": steps, "solution": completion.solution, **behind})
    return Made(rows, left_out)


def _uncertain(its: Tally, least: float) -> str:
    if abs(its.margin) < 1e-9:
        return TIE
    return UNCERTAIN if its.probability < least else ""


def _corrections(sieve: Sieve) -> Iterator[tuple[Taught, str]]:
    """Each text that raters wrote, with their votes, the newest first; and why one cannot be used."""
    written: dict[Key, tuple[Completion, list[Vote], str]] = {}
    newest_first = sorted(
        ((rating.created_at, rating.id, key, rating) for key, its in sieve.gathered.rated.items() for rating in its),
        key=lambda it: it[:2], reverse=True,
    )  # fmt: skip
    for *_, key, rating in newest_first:
        form = rating.form
        if not (form.corrected_reasoning or form.corrected_solution):
            continue
        original = sieve.gathered.completions[key]
        completion = replace(
            original,
            reasoning=form.corrected_reasoning or original.reasoning,
            solution=form.corrected_solution or original.solution,
            complete=bool(form.corrected_solution) or original.complete,
        )
        _, votes, _ = written.setdefault(completion.key, (completion, [], _unusable(sieve, key, rating)))
        if all(vote.rater != rating.rater for vote in votes):
            votes.append(Vote(rating.rater, 1.0, (rating.id,)))
    for completion, votes, reason in written.values():
        yield Taught(completion, tally(votes, sieve.weights), True), reason


def _unusable(sieve: Sieve, key: Key, rating: RatingRecord) -> str:
    """Why a correction cannot be used: what it leaves as it was must be fit to be taught as well."""
    form = rating.form
    if MASK in form.corrected_reasoning + form.corrected_solution:
        return MASKED
    if form.corrected_reasoning and form.corrected_solution:
        return ""
    if form.corrected_solution and key[1] and _reasoning_is_wrong(rating):
        return MARKED_WRONG
    left = key[1] if form.corrected_solution else key[2]
    return sieve.gathered.barred.get(key, "") if left else ""


def _reasoning_is_wrong(rating: RatingRecord) -> bool:
    form = rating.form
    marked = any(mark.mark < 0 for mark in form.step_marks) or any(s.part == "reasoning" for s in form.span_marks)
    return marked or form.first_wrong_step is not None


def _good_answers(sieve: Sieve) -> Iterator[tuple[Taught, str]]:
    """Each answer that somebody found good."""
    for key, votes in sorted(sieve.gathered.answers.items()):
        if any(vote.value == 1.0 for vote in votes):
            yield Taught(sieve.gathered.completions[key], tally(votes, sieve.weights), False), ""


def _example(one: Taught) -> Example:
    completion = one.completion
    behind = _behind(one.tally)
    return Example(
        completion.question, completion.solution,
        id=_id("\n".join(text_key(completion.question_id, completion.reasoning, completion.solution))),
        context=completion.context, rationale=completion.reasoning, source="ratings",
        meta={"from": "a correction" if one.corrected else "an answer found good", **behind},
    )  # fmt: skip


def _marks(rating: RatingRecord) -> dict[int, float]:
    """Of each marked step 1.0 correct, 0.5 neutral, 0.0 wrong; the first wrong one is wrong, marked or not."""
    marks = {mark.step: (mark.mark + 1) / 2 for mark in rating.form.step_marks}
    first_wrong = rating.form.first_wrong_step
    return marks if first_wrong is None else {first_wrong: 0.0, **marks}


def _step_votes(ratings: Sequence[RatingRecord]) -> dict[int, list[Vote]]:
    votes: dict[int, dict[str, Vote]] = {}
    for rating in ratings:  # of a rater with two rubrics the later one counts
        for number, value in _marks(rating).items():
            votes.setdefault(number, {})[rating.rater] = Vote(rating.rater, value, (rating.id,))
    return {number: list(its.values()) for number, its in votes.items()}


def _step_label(votes: Sequence[Vote], sieve: Sieve) -> Row:
    its = tally(votes, sieve.weights)
    label = None
    if votes and all(vote.value == 0.5 for vote in votes):
        label = 0
    elif max(its.probability, 1 - its.probability) >= sieve.min_probability:
        label = 1 if its.probability > 0.5 else -1
    return {"label": label, "raters": its.raters, "probability": its.probability, "margin": its.margin}


def _asked(completion: Completion) -> Row:
    return {
        "question_id": completion.question_id, "question": completion.question, "context": completion.context
    }  # fmt: skip


def _texts(completion: Completion) -> Row:
    return {"reasoning": completion.reasoning, "solution": completion.solution}


def _behind(its: Tally) -> Row:
    return {
        "raters": its.raters, "probability": its.probability, "margin": its.margin, "ratings": list(its.ratings)
    }  # fmt: skip


def _id(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

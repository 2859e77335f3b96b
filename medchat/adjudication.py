"""Adjudication: items on which raters differ, decided by somebody who sees neither models nor who said what.

Raters are "Rater 1" and so on in an order drawn for each item, and a pair has its sides drawn anew for the adjudicator.
What is stored of a vote is by the item's own answers, the first of which is "a".
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from medchat.asked_models import Models
from medchat.errors import InvalidInput, NotFound
from medchat.rating_form import Filled
from medchat.rubrics import check_safety, check_scores, kept_likelihood
from medchat.store import Adjudication as Decision
from medchat.store import (
    Assignment,
    CastVote,
    RatingRecord,
    Store,
    StudyItem,
    StudyJudgements,
    StudyRecord,
    Vote,
)
from medchat.store.records import QueueState
from medchat.study_disputes import disputes, firsts
from medchat.study_tasks import answer_shown, pair_rubric, pair_view, rating_rubric, task_of
from medchat.study_views import AdjudicationTask, DisputedItem, Given

OTHER = {"a": "b", "b": "a"}
NOT_HERE = "There is no such item to decide. Reload the page."
OWN = "You have judged this item yourself: somebody else has to decide it."
CLOSED = "The study is closed and its models are known: nothing is adjudicated in it any more."
SAID = ("scores", "harm_extent", "harm_likelihood", "critical", "vote")


class Adjudication:
    """The adjudication of a store's studies. actor: the id of the signed-in user, who has the right "adjudicate".

    Items that the actor has judged are not theirs to decide.
    """

    def __init__(self, store: Store, catalogue: Models) -> None:
        self._store = store
        self._catalogue = catalogue

    def studies(self, actor: str) -> list[tuple[StudyRecord, int, int]]:
        """The open studies, each with the number of items to decide and of those that are decided."""
        found = []
        for record in self._store.studies():
            if record.status == "open":
                items = self.items(record.id, actor)
                decided = sum(item.decided for item in items)
                found.append((record, len(items) - decided, decided))
        return found

    def items(self, study_id: str, actor: str = "") -> list[DisputedItem]:
        """The items on which raters differ, those to be decided first; without those that the actor has judged."""
        held = self._store.study_judgements(study_id)
        why, decided = disputes(held), {its.item_id for its in held.adjudications}
        found = [
            DisputedItem(
                item.id,
                item.number,
                item.kind,
                item.question,
                tuple(why[item.id]),
                len(firsts(held, item.id)),
                sum(its.item_id == item.id and its.state == "open" and not its.repeat_of for its in held.assignments),
                item.id in decided,
            )
            for item in held.items
            if item.id in why and not _has_judged(held, item, actor)
        ]
        return sorted(found, key=lambda its: (its.decided, its.number))

    def task(self, study_id: str, item_id: str, actor: str = "") -> AdjudicationTask:
        """The item with what its raters said. Raises NotFound, and InvalidInput for one that the actor has judged."""
        held = self._store.study_judgements(study_id)
        item = _item(held, item_id, actor)
        decision = next((its for its in held.adjudications if its.item_id == item_id), None)
        turned = _is_turned(held.study, item)
        answers = [held.answers[answer_id] for answer_id in item.answer_ids]
        given = tuple(_given(f"Rater {n}", said, item, turned) for n, said in enumerate(_drawn(held, item), 1))
        same = (study_id, held.study.name, item_id, item.number, item.kind)
        why = tuple(disputes(held).get(item_id, ()))
        if decision is not None and turned:
            decision = _with(decision, _turned(decision.decision))
        if item.kind == "pair":
            sides = answers[::-1] if turned else answers
            view = pair_view(item_id, held.study, item, sides, self._catalogue, None)
            return AdjudicationTask(*same, None, view, pair_rubric(held.study), why, given, decision)
        shown = answer_shown(held.study, item, answers[0], self._catalogue)
        task = task_of(
            item_id, item, shown, _filled(decision), amends=decision is not None, queue=QueueState((), 0, 0, 0, 0)
        )
        return AdjudicationTask(*same, task, None, shown.rubric, why, given, decision)

    def decide(
        self,
        actor: str,
        study_id: str,
        item_id: str,
        decision: Mapping[str, Any],
        comment: str,
        save_key: str,
        base: str = "",
    ) -> Decision:
        """The decision from now on, or the one that the same save_key made; what raters said stays as it is.

        decision: {"scores": {axis: value}, "harm_extent", "harm_likelihood", "critical"}, or {"vote": side} as it was
        shown. base: the id of the decision that it replaces, "" for none. Raises InvalidInput when something is
        missing, for an item that the actor has judged, and once the study is closed.
        """
        held = self._store.study_judgements(study_id)
        if held.study.status == "closed":
            raise InvalidInput(CLOSED)
        item = _item(held, item_id, actor)
        said = _checked(held.study, item, decision)
        stored = _turned(said) if _is_turned(held.study, item) else said
        why = disputes(held).get(item_id, [])
        return self._store.add_adjudication(study_id, item_id, actor, why, stored, comment, save_key, base)


def _item(held: StudyJudgements, item_id: str, actor: str) -> StudyItem:
    """The item, on which raters differ or about which something was decided. Raises NotFound, InvalidInput."""
    known = {*disputes(held), *(its.item_id for its in held.adjudications)}
    item = next((its for its in held.items if its.id == item_id and its.id in known), None)
    if item is None:
        raise NotFound(NOT_HERE)
    if _has_judged(held, item, actor):
        raise InvalidInput(OWN)
    return item


def _has_judged(held: StudyJudgements, item: StudyItem, actor: str) -> bool:
    """Whether the item was given to the actor, also where they have not come to it."""
    return any(its.item_id == item.id and its.rater == actor and its.state != "withdrawn" for its in held.assignments)


def _is_turned(study: StudyRecord, item: StudyItem) -> bool:
    """Whether the adjudicator sees the pair the other way round: else the first model would always stand left."""
    return item.kind == "pair" and random.Random(f"{study.seed} {item.id}").random() < 0.5


def _drawn(held: StudyJudgements, item: StudyItem) -> Sequence[tuple[Assignment, RatingRecord | CastVote]]:
    """What raters said, in an order that tells of nobody, and the same at each look."""
    said = sorted(firsts(held, item.id), key=lambda one: one[0].id)
    return random.Random(item.id).sample(said, len(said))


def _given(rater: str, said: tuple[Assignment, RatingRecord | CastVote], item: StudyItem, turned: bool) -> Given:
    judged = said[1]
    if isinstance(judged, RatingRecord):
        form = judged.form
        marks = [": ".join(filter(None, (mark.kind, mark.quote, mark.comment))) for mark in form.span_marks]
        scores = {axis: str(value) for axis, value in form.scores.items()}
        return Given(
            rater, scores, form.harm_extent, form.harm_likelihood, form.critical, form.cannot_rate,
            comment=form.comment, marks=tuple(marks),
            correction="\n\n".join(filter(None, (form.corrected_reasoning, form.corrected_solution))),
        )  # fmt: skip
    shown = item.answer_ids[::-1] if turned else item.answer_ids
    is_same = judged.answer_ids == shown
    axes = {axis: side if is_same else OTHER.get(side, side) for axis, side in judged.axes.items()}
    flags = tuple(sorted(side if is_same else OTHER[side] for side in judged.flags))
    vote = judged.vote if is_same else OTHER.get(judged.vote, judged.vote)
    return Given(rater, vote=vote, axes=axes, flags=flags, comment=judged.reason)


def _turned(decision: Mapping[str, Any]) -> dict[str, Any]:
    """The decision with its sides the other way round."""
    vote = decision.get("vote")
    return {**decision, "vote": OTHER.get(vote, vote)} if vote else dict(decision)


def _with(decision: Decision, said: dict[str, Any]) -> Decision:
    return Decision(
        decision.id, decision.study_id, decision.item_id, decision.adjudicator, decision.reasons, said,
        decision.comment, decision.created_at, decision.supersedes,
    )  # fmt: skip


def _filled(decision: Decision | None) -> Filled:
    """The form as a decision left it."""
    if decision is None:
        return Filled()
    said = {name: value for name, value in decision.decision.items() if name in SAID and name != "vote"}
    return Filled(base=decision.id, comment=decision.comment, **said)


def _checked(study: StudyRecord, item: StudyItem, decision: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored of a decision. Raises InvalidInput when something is missing or does not fit."""
    if item.kind == "pair":
        if decision.get("vote") not in get_args(Vote):
            raise InvalidInput("Choose first: A better, B better, a tie, or both bad.")
        return {"vote": decision["vote"]}
    scores = dict(decision.get("scores") or {})
    extent, likelihood = str(decision.get("harm_extent") or ""), str(decision.get("harm_likelihood") or "")
    check_scores(rating_rubric(study, item), scores)
    check_safety(extent, likelihood)
    return {
        "scores": scores,
        "harm_extent": extent,
        "harm_likelihood": kept_likelihood(extent, likelihood),
        "critical": bool(decision.get("critical")),
    }

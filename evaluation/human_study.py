"""What became of a study, read from the store: its facts, its flow, who saw results early, and what was decided."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from evaluation.human_axes import scores_of
from evaluation.human_data import Adjudicated, EarlyLooks, FlowRow, StudyFacts
from medchat.accounts import STUDY_LOOKED, STUDY_SHOWS
from medchat.store import Assignment, Store, StudyItem, StudyRecord
from medchat.store.study_records import Adjudication, StudyJudgements

JUDGED = ("done", "cannot")


def facts_of(its: StudyJudgements, store: Store) -> StudyFacts:
    """How the study was set up, and what became of it until now. Raises StoreError."""
    study = its.study
    items = {item.id: item for item in its.items}
    questions = {item.question_id: item.specialty for item in its.items if item.kind != "calibration"}
    # Who left before the opening was never one of its raters.
    joined = [one for one in its.raters if one.left_at is None or (study.opened_at and one.left_at > study.opened_at)]
    took_part = {one.rater for one in its.assignments if one.judgement_id}
    gone = [one.rater for one in joined if one.left_at is not None]
    return StudyFacts(
        status=study.status,
        design=study.design,
        rubrics=tuple(f"{shown['title']} (version {shown['version']})" for shown in forms_of(its)),
        seed=study.seed,
        questions=len(questions),
        specialties=dict(Counter(questions.values()).most_common()),
        joined=len(joined),
        raters=len(took_part),
        dropped_out=len(gone),
        dropped_out_raters=len(took_part & set(gone)),
        consented=sum(one.consented_at is not None for one in joined),
        flow=tuple(_flow(kind, its.assignments, items, int(study.design["raters_per_item"]))
                   for kind in ("rate", "pair") if any(item.kind == kind for item in its.items)),
        early=_early_looks(study, {one.rater for one in joined}, store),
        opened_at=study.opened_at,
        closed_at=study.closed_at,
    )  # fmt: skip


def adjudications_of(its: StudyJudgements) -> list[Adjudicated]:
    """The decisions, in the order of the items."""
    items = {item.id: item for item in its.items}
    forms = {one.item_id: record.form.shown for one in its.assignments if (record := its.ratings.get(one.id))}
    found = [_adjudicated(one, items[one.item_id], forms.get(one.item_id, {})) for one in its.adjudications]
    return sorted(found, key=lambda one: one.number)


def forms_of(its: StudyJudgements) -> list[Mapping[str, Any]]:
    """The wordings that the study asks, of ratings and of votes."""
    return [shown for kind in ("rate", "pair") if (shown := its.study.rubrics.get(kind))]


def _adjudicated(one: Adjudication, item: StudyItem, form: Mapping[str, Any]) -> Adjudicated:
    said = one.decision
    return Adjudicated(
        number=item.number,
        answer_ids=item.answer_ids,
        question_id=item.question_id,
        reasons=tuple(one.reasons),
        comment=one.comment,
        at=one.created_at,
        scores=scores_of(form, said.get("scores") or {}),
        harm_extent=said.get("harm_extent", ""),
        harm_likelihood=said.get("harm_likelihood", ""),
        critical=bool(said.get("critical")),
        vote=said.get("vote", ""),
    )


def _flow(kind: str, assignments: Iterable[Assignment], items: Mapping[str, StudyItem], k: int) -> FlowRow:
    own = [one for one in assignments if items[one.item_id].kind == kind]
    firsts = [one for one in own if one.repeat_of is None]
    states = Counter(one.state for one in own)
    numbers = [item.id for item in items.values() if item.kind == kind]
    given = Counter(one.item_id for one in firsts if one.state != "withdrawn")
    made = Counter(one.item_id for one in firsts if one.state in JUDGED)
    asked = k * len(numbers)
    return FlowRow(
        kind, len(own), states["done"], states["cannot"], states["withdrawn"], states["open"],
        repeats=sum(one.repeat_of is not None for one in own),
        asked=asked,
        dealt_again=len(firsts) - asked,  # a study opens with every item given to as many raters as it asks for
        short=sum(max(0, k - given[item_id]) for item_id in numbers),
        not_made=sum(max(0, k - made[item_id]) for item_id in numbers),
        withdrawn_repeats=sum(one.repeat_of is not None and one.state == "withdrawn" for one in own),
    )  # fmt: skip


def _early_looks(study: StudyRecord, raters: set[str], store: Store) -> EarlyLooks:
    """What the audit has of results that were shown, or asked for, while the study was open."""
    opened, closed = study.opened_at, study.closed_at
    if opened is None:
        return EarlyLooks()
    shows = store.audit(action=STUDY_SHOWS, target=study.id, until=closed, limit=None)
    looks = store.audit(action=STUDY_LOOKED, target=study.id, since=opened, until=closed, limit=None)
    allowed = [row.actor for row in looks if row.details.get("allowed")]
    return EarlyLooks(
        spans=_spans([(row.created_at, bool(row.details.get("yes"))) for row in reversed(shows)], opened),
        looks=len(allowed),
        users=len(set(allowed)),
        raters=len(set(allowed) & raters),
        refused=len(looks) - len(allowed),
    )


def _spans(turns: Iterable[tuple[datetime, bool]], opened: datetime) -> tuple[tuple[datetime, datetime | None], ...]:
    """From when to when results were shown, of the moments at which that was turned on and off, oldest first."""
    spans: list[tuple[datetime, datetime | None]] = []
    since: datetime | None = None
    for at, yes in turns:
        if yes:
            since = since or max(at, opened)
        elif since is not None:
            spans += [(since, at)] if at > opened else []
            since = None
    return (*spans, (since, None)) if since else tuple(spans)

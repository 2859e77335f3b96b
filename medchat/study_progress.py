"""How far the raters of a study are: pure functions of what the study holds, never by model."""

from collections.abc import Mapping, Sequence

from medchat.store import Assignment, Calibration, StudyJudgements, StudyRater
from medchat.study_disputes import disputes
from medchat.study_views import Progress, RaterProgress

JUDGED = ("done", "cannot")


def progress_of(held: StudyJudgements) -> Progress:
    """The progress of all raters, in the order in which they joined."""
    kinds = {item.id: item.kind for item in held.items}
    raters = tuple(
        _rater(
            rater,
            [its for its in held.assignments if its.rater == rater.rater],
            [its for its in held.calibrations if its.rater == rater.rater],
            kinds,
        )
        for rater in held.raters
    )
    disputed = disputes(held)
    decided = sum(its.item_id in disputed for its in held.adjudications)
    return Progress(
        raters, sum(its.done for its in raters), sum(its.done + its.left for its in raters),
        len(disputed) - decided, len(held.adjudications),
    )  # fmt: skip


def _rater(
    rater: StudyRater, given: Sequence[Assignment], practised: Sequence[Calibration], kinds: Mapping[str, str]
) -> RaterProgress:
    standing = [its for its in given if its.state != "withdrawn"]
    by_kind = {
        kind: (sum(its.state in JUDGED for its in mine), len(mine))
        for kind in ("rate", "pair")
        if (mine := [its for its in standing if kinds[its.item_id] == kind])
    }
    first_tries = {its.item_id: its.right for its in reversed(practised)}
    moments = [moment for its in given for moment in (its.opened_at, its.done_at) if moment]
    moments += [its.created_at for its in practised]
    return RaterProgress(
        rater=rater.rater,
        group=rater.group,
        done=sum(its.state in JUDGED for its in standing),
        left=sum(its.state == "open" for its in standing),
        cannot=sum(its.state == "cannot" for its in standing),
        withdrawn=len(given) - len(standing),
        kinds=by_kind,
        calibration=(sum(first_tries.values()), len(first_tries)),
        seen_at=max(moments, default=None),
        consented_at=rater.consented_at,
        left_at=rater.left_at,
    )

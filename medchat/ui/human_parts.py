"""Parts of the page that the report does not have: how far raters are, and how many votes a pair still takes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from evaluation.power import PREFERENCES, votes_left
from evaluation.report_blocks import Block, Points, Section, Table, Text
from medchat.study_views import Progress, RaterProgress

if TYPE_CHECKING:
    from evaluation.human import HumanResults

NOBODY = "A rater"
HEADERS = ("Rater", "Group", "Done", "Left", "Cannot rate", "Withdrawn", "Calibration", "Last here")
LEFT_NOTE = (
    "Votes for a pair, ties among them, that a two-sided test takes to find such a preference at 80 % power. Only "
    "their number counts here, never who wins."
)


def progress_section(progress: Progress, names: Mapping[str, str]) -> Section:
    """How far each rater is. names: by id, as raters are shown."""
    total = f"{progress.done:,} of {progress.total:,} judgements are done."
    decided = f" Items on which raters differ: {progress.adjudicated:,} decided, {progress.to_adjudicate:,} waiting."
    told = total + (decided if progress.adjudicated or progress.to_adjudicate else "")
    named = sorted(((names.get(one.rater, NOBODY), one) for one in progress.raters), key=lambda its: _in_order(its[0]))
    rows = [_row(one, name) for name, one in named]  # the order in which raters joined would tell who they are
    return Section("progress", "Progress", [Text(told), Table("Progress by rater", HEADERS, rows, texts=("Group",))])


def votes_left_section(results: "HumanResults") -> Section | None:
    """How many votes each pair of models still takes; None without votes."""
    if not results.votes:
        return None
    design = results.facts.design if results.facts else {}
    planned = {name: design[name] for name in ("tie_rate", "raters_per_item", "icc") if name in design}
    rows, sentences = [], []
    for its in results.votes:
        pair = f"{results.models[its.first]} and {results.models[its.second]}"
        lines = [
            votes_left(its.wins, its.losses, its.ties + its.both_bad, preference, **planned)
            for preference in PREFERENCES
        ]
        rows.append([pair, f"{lines[0].there:,}", *(f"{line.left:,}" if line.left else "enough" for line in lines)])
        sentences.append(f"{pair}: {lines[1].sentence}")
    headers = ("Models", "Votes", *(f"Left for {100 * preference:.0f} %" for preference in PREFERENCES))
    blocks: list[Block] = [Text(LEFT_NOTE, "note"), Points(sentences), Table("Votes still to collect", headers, rows)]
    return Section("votes-left", "Votes still to collect", blocks)


def _in_order(name: str) -> tuple[int, str]:
    return len(name), name  # Rater 10 after Rater 9


def _row(one: RaterProgress, name: str) -> list[str]:
    right, tried = one.calibration
    seen = f"{one.seen_at:%Y-%m-%d}" if one.seen_at else "-"
    return [
        f"{name} (left)" if one.left_at else name, one.group or "-", f"{one.done:,}", f"{one.left:,}",
        f"{one.cannot:,}", f"{one.withdrawn:,}", f"{right} of {tried}" if tried else "-", seen,
    ]  # fmt: skip

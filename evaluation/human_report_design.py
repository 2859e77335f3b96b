"""The parts of a human evaluation's report on how it was made: the design, and what became of it."""

from collections.abc import Mapping
from typing import Any

from evaluation.human import HumanResults
from evaluation.human_data import FlowRow, StudyFacts
from evaluation.human_words import NOTHING, count, day, moment, percent, said
from evaluation.report_blocks import Block, Table, Text

FEW_QUESTIONS = 100
TASKS = {
    "rate": "each answer is rated by itself", "pairwise": "two answers side by side are voted on",
    "both": "answers are rated, and two side by side are voted on; nobody votes on an answer that they rate",
}  # fmt: skip
FLOW_HEADERS = (
    "What", "Asked by the design", "Dealt", "Of these after the opening", "Withdrawn", "Done", "Cannot rate", "Waiting",
    "Short", "Hidden repeats dealt",
)  # fmt: skip
KINDS = {"rate": "Ratings", "pair": "Votes"}


def warning_blocks(results: HumanResults) -> list[Block]:
    """What a reader has to know of the study before any figure: that it goes on, ended early, or was seen early."""
    facts = results.facts
    if facts is None:
        return []
    told = []
    if facts.status != "closed":
        told.append(
            f"The study is still open: {count(results.n_open, 'assignment')} wait. What is here is preliminary."
        )
    asked, lacking = sum(row.asked for row in facts.flow), sum(row.not_made for row in facts.flow)
    if facts.status == "closed" and lacking:
        short = sum(row.short for row in facts.flow)
        nobody = f", of which {short:,} were left with no rater" if short else ""
        told.append(f"The study was closed with {lacking:,} of {count(asked, 'judgement')} not made{nobody}.")
    if facts.early.spans:
        told.append(f"Results by model were {_shown_early(facts)}.")
    return [Text(text, "warn") for text in told]


def design_blocks(results: HumanResults) -> list[Block]:
    """What was asked of whom, and how it was blinded and drawn."""
    facts = results.facts
    if facts is None:
        text = (
            "All ratings and votes that are in the store, from the app's tabs and from studies that are closed: no"
            " design stands behind the whole. Who judged what was not drawn at random, so differences between models"
            " may be those of their questions and raters."
        )
        return [Text(text, "warn"), Text(f"Ratings by people who knew the model: {results.n_unblinded}.")]
    k, models = facts.design.get("raters_per_item"), ", ".join(results.models.values())
    rows = [
        ["Models", models],
        ["Questions", _questions(facts.questions, facts.specialties)],
        ["Task", TASKS.get(str(facts.design.get("tasks")), NOTHING)],
        ["Forms", "; ".join(facts.rubrics) or NOTHING],
        ["Raters", f"{count(facts.raters, 'rater')} took part; {k or NOTHING} asked for each item"],
        ["Hidden repeats", f"{percent(_number(facts.design, 'repeat_share'))} of each rater's items, unmarked"],
        ["Calibration", _calibration(facts.design)],
        ["Least time for an item", f"{facts.design.get('min_seconds') or 0:g} s"],
        ["Blinding", _blinding(results)],
        ["Results by model", _results_shown(facts)],
        ["Order and sides", _drawn(facts)],
        ["Consent", _consent(facts)],
        ["Judged", f"from {day(results.since)} to {day(results.until)}"],
        ["Analysis", f"seed {results.seed}, {results.resamples:,} resamples; {results.method}"],
    ]
    blocks: list[Block] = [Table("Design of the study", ("What", "How"), rows, words=1)]
    if facts.questions < FEW_QUESTIONS:
        blocks.insert(
            0, Text(f"The study has {facts.questions} questions; fewer than {FEW_QUESTIONS} say little.", "warn")
        )
    return blocks


def flow_blocks(results: HumanResults) -> list[Block]:
    """How many assignments were dealt, and what became of them; who dropped out; what could not be rated."""
    facts = results.facts
    blocks: list[Block] = []
    if facts is not None:
        note = f"{_people(facts)} {_fate(facts)}"
        blocks += [Text(note), Table("Assignments", FLOW_HEADERS, [_flow_row(row) for row in facts.flow])]
    if results.cannot:
        rows = [[results.models[its.model], str(its.estimate.n), said(its.estimate, is_share=True), its.estimate.method]
                for its in results.cannot]  # fmt: skip
        headers = ("Model", "Ratings", "Cannot rate", "Method")
        blocks.append(Table("Answers that could not be rated", headers, rows, words=1))
    return blocks or [Text(f"{count(results.n_ratings, 'rating')} and {count(results.n_votes, 'vote')}.")]


def _flow_row(row: FlowRow) -> list[str]:
    numbers = (
        row.asked, row.dealt, row.dealt_again, row.withdrawn, row.done, row.cannot, row.waiting, row.short, row.repeats,
    )  # fmt: skip
    return [KINDS.get(row.kind, row.kind), *(f"{n:,}" for n in numbers)]


def _questions(n: int, specialties: Mapping[str, int]) -> str:
    named = [f"{name} {its}" for name, its in specialties.items() if name]
    unnamed = specialties.get("", 0)
    if unnamed:
        named.append(f"without a specialty {unnamed}")
    return f"{n} ({', '.join(named)})" if named else str(n)


def _calibration(design: Mapping[str, Any]) -> str:
    asked = design.get("calibration") or 0
    n = asked if isinstance(asked, int) else len(asked)
    if not n:
        return "none"
    share = _number(design, "pass_share")
    told = f"; {percent(share)} to be right before the study begins" if share else ""
    return f"{count(n, 'case')} with known answers{told}"


def _blinding(results: HumanResults) -> str:
    knew = (
        f"; {count(results.n_unblinded, 'rating')} by people who knew the model from elsewhere, in the figures too"
        if results.n_unblinded
        else ""
    )
    return f"raters saw neither names nor each other's judgements{knew}"


def _results_shown(facts: StudyFacts) -> str:
    refused = f"; {count(facts.early.refused, 'look')} refused" if facts.early.refused else ""
    if facts.early.spans:
        return f"{_shown_early(facts)}{refused}"
    return f"shown to nobody while the study was open{refused}"


def _shown_early(facts: StudyFacts) -> str:
    """ "shown while the study was open, from 2026-03-02 09:30 UTC on: 3 looks, by 2 users" """
    early = facts.early
    spans = ", and ".join(
        f"from {moment(since)} {'on' if until is None else f'to {moment(until)}'}" for since, until in early.spans
    )
    among = f", {early.raters} of them {'a rater' if early.raters == 1 else 'raters'} of this study"
    users = f", by {count(early.users, 'user')}{among if early.raters else ''}" if early.looks else ""
    return f"shown while the study was open, {spans}: {count(early.looks, 'look')}{users}"


def _drawn(facts: StudyFacts) -> str:
    first = f"drawn at random from the seed {facts.seed} at the opening, balanced over raters, models and sides"
    if not any(row.withdrawn or row.dealt_again for row in facts.flow):
        return first
    return f"{first}; what was dealt later, after raters came or went, is not from that table"


def _consent(facts: StudyFacts) -> str:
    if not facts.consented and not facts.design.get("consent"):
        return "no text was shown"
    return f"{facts.consented} of {count(facts.joined, 'rater')} who joined agreed to the text that was shown"


def _people(facts: StudyFacts) -> str:
    """Who joined, who of them took part, and who left."""
    idle = facts.joined - facts.raters
    gone = facts.dropped_out
    left = f" {gone} left before the end, {facts.dropped_out_raters} of them after having judged." if gone else ""
    return (
        f"{count(facts.joined, 'rater')} joined: {facts.raters} took part, which is to have judged at least once, and"
        f" {idle} judged nothing.{left or ' Nobody left before the end.'}"
    )


def _fate(facts: StudyFacts) -> str:
    """What became of assignments that raters did not come to."""
    back = sum(row.withdrawn for row in facts.flow)
    again, short = sum(row.dealt_again for row in facts.flow), sum(row.short for row in facts.flow)
    if not back and not again:
        return "No assignment was withdrawn or dealt again."
    repeats = sum(row.withdrawn_repeats for row in facts.flow)
    hidden = f" ({count(repeats, 'hidden repeat')} among them, not to be dealt again)" if repeats else ""
    lacking = f"; {count(short, 'judgement')} that the design asks for had no rater in the end" if short else ""
    return (
        f"As raters came or went, {count(back, 'assignment was', 'assignments were')} withdrawn{hidden} and"
        f" {again:,} dealt again{lacking}. What was judged before stays."
    )


def _number(design: Mapping[str, Any], name: str) -> float | None:
    value = design.get(name)
    return float(value) if isinstance(value, int | float) else None

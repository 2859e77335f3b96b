"""The parts of a human evaluation's report on how it was made: the design, and what became of it."""

from collections.abc import Mapping
from typing import Any

from evaluation.human import HumanResults
from evaluation.human_data import FlowRow
from evaluation.human_words import NOTHING, count, day, percent, said
from evaluation.report_blocks import Block, Table, Text

FEW_QUESTIONS = 100
TASKS = {
    "rate": "each answer is rated by itself", "pairwise": "two answers side by side are voted on",
    "both": "answers are rated, and two side by side are voted on; nobody votes on an answer that they rate",
}  # fmt: skip
FLOW_HEADERS = ("What", "Dealt", "Done", "Cannot rate", "Withdrawn", "Waiting", "Hidden repeats among them")
KINDS = {"rate": "Ratings", "pair": "Votes"}


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
        ["Raters", f"{count(facts.raters, 'rater')}, {k or NOTHING} for each item"],
        ["Hidden repeats", f"{percent(_number(facts.design, 'repeat_share'))} of each rater's items, unmarked"],
        ["Calibration", _calibration(facts.design)],
        ["Least time for an item", f"{facts.design.get('min_seconds') or 0:g} s"],
        ["Blinding", _blinding(results)],
        ["Order and sides", f"drawn at random from the seed {facts.seed}, balanced over raters, models and sides"],
        ["Consent", f"{facts.consented} of {count(facts.raters, 'rater')} agreed to the text that was shown"],
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
        note = (
            f"{count(facts.raters, 'rater')} took part; {facts.dropped_out} dropped out. What a rater who dropped out"
            " had not judged was withdrawn and dealt to others; what they had judged stays."
        )
        blocks += [Text(note), Table("Assignments", FLOW_HEADERS, [_flow_row(row) for row in facts.flow])]
    if results.cannot:
        rows = [[results.models[its.model], str(its.estimate.n), said(its.estimate, is_share=True), its.estimate.method]
                for its in results.cannot]  # fmt: skip
        headers = ("Model", "Ratings", "Cannot rate", "Method")
        blocks.append(Table("Answers that could not be rated", headers, rows, words=1))
    return blocks or [Text(f"{count(results.n_ratings, 'rating')} and {count(results.n_votes, 'vote')}.")]


def _flow_row(row: FlowRow) -> list[str]:
    numbers = (row.dealt, row.done, row.cannot, row.withdrawn, row.waiting, row.repeats)
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


def _number(design: Mapping[str, Any], name: str) -> float | None:
    value = design.get(name)
    return float(value) if isinstance(value, int | float) else None

"""The reports on rows that were made, labelled or flagged: more questions, teacher answers, quality and review.

Each says first what happened; then its counts are drawn as bars, what has examples comes with them, and single facts
stand in a table. What a report says beyond that is shown in the same way under its own name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from evaluation.plots import Bar, bar_list
from evaluation.report_blocks import Block, Details, Document, Figure, Section, Table, Text
from train.data_report import (
    counts,
    example_blocks,
    licence_section,
    made_section,
    mapping,
    prompt_section,
    reason_blocks,
    rows_words,
    said,
    share_words,
    split_points,
    whole,
    words_of,
)
from train.report_values import is_fact, value_blocks

Report = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of report. about: what was done, for people who read it first; lead: what came of it, in sentences.

    parts: key -> title of its section, in their order, and what shows it; None for the usual way. told: keys whose
    values the lead says.
    """

    title: str
    about: str
    lead: Callable[[Report], list[str]]
    parts: Mapping[str, tuple[str, Callable[[Report], list[Block]] | None]]
    told: tuple[str, ...]


CHILDREN = {
    "paraphrase": "Paraphrases by a teacher", "split": "Questions with several parts, split",
    "perturbation": "Context changed: age, sex or setting", "synonyms": "Words replaced by synonyms",
    "synthetic": "New questions on rare topics",
}  # fmt: skip


def _augmented_lead(report: Report) -> list[str]:
    children, answered, parents = (whole(report.get(name)) for name in ("children", "answered", "parents"))
    refused = sum(_n_refused(its) for its in mapping(report.get("kinds")).values())
    words = [
        f"{rows_words(children, 'new question')} came of {rows_words(parents)};"
        f" {rows_words(refused, 'candidate')} {'was' if refused == 1 else 'were'} refused."
    ]
    if "answered" in report and children > answered:
        words.append(f"{children - answered:,} of them still need an answer and stand among the unlabelled.")
    return words


def _n_refused(kind: Any) -> int:
    return sum(whole(mapping(its).get("n")) for its in mapping(mapping(kind).get("refused")).values())


def _kind_blocks(report: Report) -> list[Block]:
    """Candidates, children and refusals by kind, then each kind with its reasons and examples."""
    kinds, bands = mapping(report.get("kinds")), mapping(report.get("bands"))
    headers = ("Kind", "Rows with one", "Candidates", "New questions", "Refused")
    rows = [
        (CHILDREN.get(name, name), *(f"{whole(its.get(key)):,}" for key in ("rows", "candidates", "children")),
         f"{_n_refused(its):,}")
        for name, its in kinds.items()
    ]  # fmt: skip
    blocks: list[Block] = [Table("By kind", headers, rows)]
    for name, its in kinds.items():
        n = whole(its.get("candidates"))
        if not n:
            continue
        inside: list[Block] = value_blocks("What was changed", its["changed"]) if its.get("changed") else []
        reasons = {reason: {**mapping(one), "examples": _children(one)} for reason, one in its["refused"].items()}
        refused = counts({reason: one["n"] for reason, one in reasons.items()})
        inside += reason_blocks(refused, reasons, "candidates refused", n)
        band = bands.get(name)
        if isinstance(band, list) and len(band) == 2 and any(mapping(its.get("similarity")).get("counts") or ()):
            low, high = map(said, band)
            words = f"A child is taken when its similarity to its parent is from {low} to {high}; 1 is the same text."
            inside.append(Text(words))
            inside += value_blocks("Similarity of the candidates to their parents", its["similarity"])
        blocks.append(Details(f"{CHILDREN.get(name, name)}: {whole(its.get('children')):,} of {n:,}", inside))
    return blocks


def _children(refused: Any) -> list[dict[str, Any]]:
    """The refused candidates, each under its parent's id."""
    shown = []
    for one in mapping(refused).get("examples") or ():
        its = dict(one)
        if parent := its.pop("parent", ""):
            its["where"] = f"made from {parent}"
        shown.append(its)
    return shown


def _quality_lead(report: Report) -> list[str]:
    rows_in, held = whole(report.get("rows_in")), whole(report.get("held_rows"))
    review = mapping(report.get("review"))
    broken = sum(counts(report.get("dropped")).values())
    words = [f"{rows_words(rows_in)} were checked: {rows_in - held - broken:,} stay, {held:,}"
             f" ({share_words(held, rows_in)}) are held back until people have decided."]  # fmt: skip
    if broken:
        words.append(f"{rows_words(broken, 'line')} {'is' if broken == 1 else 'are'} no row: see where below.")
    if before := whole(report.get("read_from_held")):
        words.append(f"{rows_words(before)} of these had been held back by an earlier check.")
    if review:
        share = review.get("share")
        part = f", a random {100 * share:g}\u00a0% among them" if isinstance(share, int | float) and share else ""
        words.append(f"{rows_words(whole(review.get('rows')))} go to people{part}.")
    return words


def _flag_blocks(report: Report) -> list[Block]:
    flags, rows_in = mapping(report.get("flags")), whole(report.get("rows_in"))
    found = counts({name: mapping(its).get("n") for name, its in flags.items()})
    blocks: list[Block] = [
        Text("A flag is a reason to look, not a verdict. A row may have several. Words between ⟦ and ⟧ set it off.")
    ]
    if found:
        bars = [Bar(name, n, f"{n:,} ({share_words(n, rows_in)})") for name, n in found.items()]
        about = "; ".join(f"{name}: {n:,}" for name, n in found.items())
        blocks.append(Figure("Rows with each flag", bar_list("Rows with each flag", about, bars)))
    for name, n in found.items():
        its = mapping(flags.get(name))
        held = " Such rows are held back until people have decided." if its.get("held_back") else ""
        inside: list[Block] = [Text(f"{words_of(str(its.get('about') or name)).rstrip('.')}.{held}")]
        inside += example_blocks(its.get("examples"))
        for key, title in (("reasons", "What set it off"), ("by_source", "Rows by source")):
            inside += value_blocks(title, its[key]) if its.get(key) else []
        blocks.append(Details(f"{name}: {n:,}", inside))
    none = [name for name in flags if name not in found]
    return [*blocks, *([Text(f"Not found in any row: {', '.join(none)}.")] if none else [])]


def _broken_blocks(report: Report) -> list[Block]:
    rules = mapping(report.get("rules"))
    found = counts({name: mapping(its).get("n") for name, its in rules.items()})
    return reason_blocks(found, rules, "rows left out", whole(report.get("rows_in")))


def _reviewed_lead(report: Report) -> list[str]:
    rows_in, kept = whole(report.get("rows_in")), whole(report.get("kept"))
    to_review, decided = whole(report.get("to_review")), whole(report.get("decided"))
    reviewers = whole(report.get("reviewers"))
    return [
        f"{kept:,} of {rows_words(rows_in)} are in this folder, {rows_in - kept:,} were left out.",
        f"{rows_words(reviewers, 'reviewer')} decided on {decided:,} of the {rows_words(to_review)} that were to be"
        " looked at.",
    ]


def _distilled_lead(report: Report) -> list[str]:
    answers = mapping(report.get("answers"))
    used, unused, waiting = whole(answers.get("used")), whole(answers.get("unused")), whole(report.get("not_asked_yet"))
    words = [f"{rows_words(used, 'answer')} of {', '.join(mapping(report.get('teachers'))) or 'the teachers'}"
             f" {'was' if used == 1 else 'were'} used, {unused:,} were not: the reasons stand below."]  # fmt: skip
    if waiting:
        words.append(f"{waiting:,} of these were not asked yet; the same command again goes on with them.")
    if "cost" in report:
        cost = report["cost"]
        known = isinstance(cost, int | float)
        words.append(
            f"It cost {cost:,.2f} US dollars." if known else "What it cost is not known: a model has no price."
        )
    if possibly := report.get("possibly_charged"):
        words.append(f"Up to {said(possibly)} more may have been charged, for requests that broke off.")
    return words


def _unused_blocks(report: Report) -> list[Block]:
    rules = mapping(report.get("unused"))
    found = counts({name: mapping(its).get("n") for name, its in rules.items()})
    answers = mapping(report.get("answers"))
    of = whole(answers.get("used")) + whole(answers.get("unused"))
    return reason_blocks(found, rules, "answers not used", of)


MADE: Mapping[str, Kind] = MappingProxyType({
    "augmented": Kind(
        "More questions: what was made and what was refused",
        "New questions were made from the rows of a folder. Each keeps the split of the row it was made from; one that"
        " changed a number, a unit, a negation or a clinical fact was refused.",
        _augmented_lead,
        {
            "kinds": ("New questions by kind", _kind_blocks),
            "balance": ("Rows to train on by group, before and after", None),
            "topics": ("Topics", None),
            "teacher": ("The teacher", None),
        },
        ("children", "answered", "parents", "rows_in"),
    ),
    "distilled": Kind(
        "Teacher answers: what was asked, and what came back",
        "Teacher models answered questions. What they say is no source of truth: people review a sample before a model"
        " learns from it.",
        _distilled_lead,
        {
            "teachers": ("The teachers", None), "unused": ("Answers that were not used", _unused_blocks),
            "judge": ("The judge", None), "questions": ("Questions", None), "mix": ("Mix with the originals", None),
            "weak_areas": ("What the student got wrong", None),
        },
        ("answers", "not_asked_yet", "cost", "possibly_charged", "rows_in"),
    ),
    "quality": Kind(
        "Quality: what was flagged, and what goes to people",
        "Each row was checked by rules.",
        _quality_lead,
        {
            "flags": ("What was flagged", _flag_blocks), "held_because_of": ("Why rows are held back", None),
            "review": ("What people look at", None), "pairs": ("Pairs of answers", None),
            "rules": ("Lines that are no rows", _broken_blocks),
        },
        ("rows_in", "kept", "held_rows", "dropped", "read_from_held"),
    ),
    "reviewed": Kind(
        "Reviewed rows: what people decided",
        "Decisions of reviewers were applied: kept rows stay, fixed ones have the reviewer's answer, dropped ones are"
        " gone.",
        _reviewed_lead,
        {
            "decisions": ("Decisions", None), "taken": ("Rows that are in", None), "dropped": ("Rows left out", None),
        },
        ("rows_in", "kept", "to_review", "decided", "reviewers"),
    ),
})  # fmt: skip

# What has a section of its own, or belongs to the folder that these rows come from.
SECTIONED = ("kind", "command", "seed", "settings", "rows", "sha256", "template", "answer_format", "format", "licences",
             "sources", "prepared", "bands", "source_sha256", "set")  # fmt: skip


def made_document(report: Report) -> Document:
    """The report on a folder whose rows were made from those of another."""
    kind = MADE[str(report["kind"])]
    rows = mapping(report.get("rows"))
    known = [name for name in kind.parts if name in report]
    shown = {*SECTIONED, *kind.parts, *kind.told}
    other = [name for name in report if name not in shown and not is_fact(report[name])]
    blocks: list[Block] = [Text(kind.about), *map(Text, kind.lead(report))]
    if rows:
        blocks += [Text("In the files there are:"), split_points(rows)]
    facts = [
        (words_of(name), said(value))
        for name, value in report.items()
        if name not in shown and is_fact(value) and value not in (None, "")
    ]
    if facts:
        blocks.append(Table("In numbers", ("What", "Value"), facts, words=1))
    sections = [Section("glance", "In short", blocks)]
    for name in (*known, *other):
        title, show = kind.parts.get(name, (words_of(name), None))
        if inside := show(report) if show else value_blocks(title, report[name]):
            sections.append(Section(f"part-{len(sections)}", title, inside))
    sections += [*prompt_section(report), *licence_section(counts(report.get("licences"))), *made_section(report)]
    n = sum(whole(its) for its in rows.values())
    return Document(kind.title, f"{n:,} rows in this folder." if rows else "", sections)

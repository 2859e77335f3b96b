"""The report of a human evaluation: one HTML file, Markdown, tables and plots, from the same results."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evaluation.human import GOOD_TARGET, TARGET_SOURCE, HumanResults
from evaluation.human_axes import GOOD_WORDS
from evaluation.human_cases import headline
from evaluation.human_data import HumanData
from evaluation.human_judgements import JUDGEMENTS, judgement_rows
from evaluation.human_plots import all_plots, good_plot
from evaluation.human_report_cases import case_sections, correction_sections, trend_sections
from evaluation.human_report_decisions import adjudication_sections
from evaluation.human_report_design import design_blocks, flow_blocks, warning_blocks
from evaluation.human_report_models import (
    axis_sections,
    difference_sections,
    harm_sections,
    pair_axis_sections,
    ranking_sections,
)
from evaluation.human_report_raters import agreement_sections, automatic_sections, rater_sections, step_sections
from evaluation.human_tables import tables_of, write_tables
from evaluation.human_words import count, percent, said
from evaluation.report_blocks import Block, Document, Points, Section, Table, Text, to_html, to_markdown
from medchat.errors import InvalidInput

TARGET = f"{100 * GOOD_TARGET:.0f} %"
SIMULATED = (
    "Simulated: nobody took part in this study. Its judgements were drawn at random from strengths, bias and noise"
    " that were made up, to show what a report looks like. It says nothing about any model."
)
METHODS = (
    "\u2191: higher is better. \u2193: lower is better.",
    "Hidden repeats count for the raters' consistency alone. Answers that a rater could not rate are left out of every"
    " mean and counted apart.",
    "Intervals are 95 % intervals for other questions and other raters like these: both are drawn anew, independently"
    " (Owen's pigeonhole bootstrap), and the percentiles widened for their number by Satterthwaite's degrees of"
    " freedom, since few raters who differ say little of others. With fewer than five raters only questions are drawn."
    " Fewer than ten judgements of one kind: Clopper and Pearson's exact interval, for as many independent judgements"
    " as they are worth.",
    "Differences are paired by question: p comes from exchanging the two models within whole questions. q is p after"
    " Benjamini and Hochberg over all measures and pairs of models of its table. A model is called better where q is"
    " below 0.05 and the interval does not hold 0; not shown is no proof that models are equal.",
    "Head to head: of the votes between two models the share that one of them won, ties halved. 50 % is no preference:"
    " p, the verdict and Cohen's h are against that, and the interval is one of the share, not of a difference.",
    "Effect sizes: Cohen's d for scales (0.2 is called small, 0.5 medium, 0.8 large), Cohen's h for shares.",
    "Five of the nine axes of the pairwise form ask which answer has more of something bad. Their votes are turned, so"
    " that more is better everywhere in this report.",
    "Strengths are log odds: 0.7 above another model means that it wins about two of three votes without a tie. The"
    " adjusted ranking is that of answers of the same length and markup on the same side of the page; it does not say"
    " that length is wrong, only what is left without it.",
    "Raters read the answers as plain text, the marks of Markdown as typed. Adjusting for Markdown therefore allows for"
    " marks that raters saw, not for a layout.",
    GOOD_WORDS,
    "For research and teaching, never for the care of a patient.",
)


def build(results: HumanResults, data: HumanData) -> Document:
    """The report as a document."""
    sections = [
        Section("glance", "At a glance", _glance(results)),
        Section("design", "Design", design_blocks(results)),
        Section("flow", "Flow", flow_blocks(results)),
        *ranking_sections(results),
        *axis_sections(results),
        *pair_axis_sections(results),
        *harm_sections(results),
        *_good_sections(results),
        *difference_sections(results),
        *agreement_sections(results),
        *rater_sections(results),
        *step_sections(results),
        *automatic_sections(results),
        *case_sections(results, data.answers),
        *correction_sections(results, data.answers),
        *adjudication_sections(results, data),
        *trend_sections(results, headline(data)),
        Section("method", "How to read this", [Points(METHODS)]),
    ]
    subtitle = (
        f"{count(len(results.models), 'model')}, {count(results.n_questions, 'question')},"
        f" {count(len(results.rater_rows), 'rater')}, {count(results.n_ratings, 'rating')},"
        f" {count(results.n_votes, 'vote')}. For research and teaching, never for the care of a patient."
    )
    marked = " (simulated)" if results.simulated else ""
    return Document(f"Human evaluation: {results.title}{marked}", subtitle, sections)


def write_report(results: HumanResults, data: HumanData, out: Path) -> list[Path]:
    """Writes report.html, report.md, results.json, tables/ and plots/ to the folder; the paths of all of them.

    Raises InvalidInput when the folder cannot be written.
    """
    document = build(results, data)
    texts = {
        "report.html": to_html(document),
        "report.md": to_markdown(document),
        "results.json": json.dumps(results.as_dict(), ensure_ascii=False, indent=1) + "\n",
        **{f"plots/{plot.name}.svg": plot.file() for plot in all_plots(results)},
    }
    make_folders(out)
    with _writing(out):
        for name, text in texts.items():
            (out / name).write_text(text, encoding="utf-8", errors="replace")
        judgements = {JUDGEMENTS: rows} if (rows := judgement_rows(results, data)) else {}
        tables = write_tables(tables_of(results) | judgements, out / "tables")
    return [*(out / name for name in texts), *tables]


def make_folders(out: Path) -> None:
    """Makes the folder and those in it. Raises InvalidInput when it cannot be made."""
    with _writing(out):
        for folder in (out, out / "plots", out / "tables"):
            folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InvalidInput(f"The report cannot be written to {out}: {error.strerror}.") from error


def _glance(results: HumanResults) -> list[Block]:
    """What was found, in sentences that each name their figure."""
    blocks: list[Block] = [Text(SIMULATED, "warn")] if results.simulated else []
    blocks += warning_blocks(results)
    points = [*_ranked(results), *_good_points(results), *_harm_points(results), *_rater_points(results)]
    return [*blocks, Points(points)] if points else [*blocks, Text("Nothing was judged yet.")]


def _ranked(results: HumanResults) -> list[str]:
    ranking = results.ranking
    ranked = [row for row in ranking.rows if row.strength is not None] if ranking else []
    if ranking is None or not ranked:
        return list(ranking.notes) if ranking else []
    order = ", ".join(f"{results.models[row.model]} ({percent(row.win_rate)} of votes)" for row in ranked)
    points = [f"Votes rank the models: {order}."]
    if ranking.adjusted:
        adjusted = [row.model for row in ranking.adjusted.rows if row.strength is not None]
        is_same = adjusted == [row.model for row in ranked]
        names = ", ".join(results.models[model] for model in adjusted)
        told = "the same order" if is_same else f"another order: {names}"
        points.append(f"Adjusted for length, Markdown and side: {told}.")
    bias = ranking.position_bias
    if bias.value is not None:
        points.append(f"The left answer won {said(bias, is_share=True)} of the votes without a tie.")
    return points


def _good_points(results: HumanResults) -> list[str]:
    if results.good is None:
        return []
    shares = ", ".join(
        f"{results.models[model]} {said(found, is_share=True)}" for model, found in results.good.models.items()
    )
    return [f"Answers rated good: {shares}. The target of {TARGET} is that of {TARGET_SOURCE}."]


def _harm_points(results: HumanResults) -> list[str]:
    rows = [(results.models[its.model], its.counts, its.n) for its in results.harm]
    if not rows:
        return []
    told = ", ".join(f"{name} {sum(map(sum, counts))} of {n}" for name, counts, n in rows)
    return [f"Ratings that see possible harm: {told}."]


def _rater_points(results: HumanResults) -> list[str]:
    far = [its.name for its in results.rater_rows if its.why]
    return [f"Far from the other raters, shown and not dropped: {', '.join(far)}."] if far else []


def _good_sections(results: HumanResults) -> list[Section]:
    plot = good_plot(results)
    if results.good is None or plot is None:
        return []
    rows = [
        [results.models[model], said(found, is_share=True), str(found.n), _against_target(found.low, found.high),
         found.method]
        for model, found in results.good.models.items() if found.value is not None
    ]  # fmt: skip
    headers = ("Model", "Good answers", "Ratings", f"Against {TARGET}", "Method")
    note = f"The target of {TARGET} is that of {TARGET_SOURCE}: no study stands behind it. {GOOD_WORDS}"
    table = Table("Share of answers rated good", headers, rows, words=1, texts=(headers[3],))
    return [Section("good", "Good answers", [Text(note, "note"), plot.figure, table])]


def _against_target(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "cannot be told"
    return "above it" if low > GOOD_TARGET else "below it" if high < GOOD_TARGET else "not shown to differ from it"

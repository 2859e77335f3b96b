"""report.html and report.md: what stored predictions say of models, with intervals, in one file each."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluation.overlap import Overlap, overlap_with
from evaluation.people import People
from evaluation.report_asked import asked_blocks
from evaluation.report_blocks import Block, Document, Points, Section, Text, to_html, to_markdown
from evaluation.report_comparison import Differences, comparison_blocks, differences_of, group_blocks, vote_blocks
from evaluation.report_data import Results, SuiteFacts, headline_of, metrics_of, read_results
from evaluation.report_glance import glance_blocks, speed_sections
from evaluation.report_suite import (
    accuracy_figure,
    calibration_blocks,
    estimate_of,
    judge_blocks,
    metrics_table,
    outcome_blocks,
    pass_sentence,
    profile_figure,
    references_table,
    scored_metrics,
)
from evaluation.report_training import overlap_blocks, split_blocks, training_sections
from evaluation.suites import SUITES
from medchat.catalogue import ModelSpec
from medchat.errors import InvalidInput
from medchat.knowledge import Knowledge, load_knowledge

KINDS = {
    "bundled": "Comes with MedChat.",
    "benchmark": "A benchmark.",
    "own": "Your own questions: not a benchmark, and not comparable with one.",
}

METHODS = (
    "\u2191: higher is better. \u2193: lower is better. Metrics without an arrow have no better side.",
    "n counts the answers that a metric has a value for. Unscored ones are left out of the mean and counted apart,"
    " never as 0.",
    "Intervals are 95 % intervals for questions like these. Shares of right and wrong: Wilson's. Other means: a"
    " bootstrap over questions, its percentiles widened for their number (a plain percentile interval over few covers"
    " less than it says), Student's t below 10 questions, cut where it reaches beyond what a value can be. Items of one"
    " question count as one.",
    "Comparisons are paired: only questions that both models have a value for. Their p is McNemar's exact test for"
    " right and wrong, else from flipping the signs of the differences. q is p after Benjamini and Hochberg, over all"
    " models of a suite and their metrics, or their groups; metrics without a better side, and those in which nothing"
    " differs, are not counted.",
    "Better or worse is said where q is below 0.05 and the interval does not hold 0. Not shown may stand beside an"
    " interval without 0: the interval is of that one comparison, q minds how many were made. It is no proof that"
    " models are equal.",
    "Figures that others state are theirs: other data, other prompts, often without a source. They are no result of"
    " this report.",
)


def write_report(
    folders: Sequence[Path],
    out: Path,
    *,
    baseline: str = "",
    training_data: Sequence[Path] = (),
    catalogue: Mapping[str, ModelSpec] | None = None,
    suite_folders: Sequence[Path] = (SUITES,),
    knowledge: Knowledge | None = None,
    people: People | None = None,
    seed: int = 0,
) -> list[Path]:
    """Writes the report on the runs in these folders to `out` (HTML) and beside it as Markdown; the two paths.

    Where `out` ends in .md the HTML stands beside it.

    baseline: the model that the others are compared with; by default the base of the others, else the first one.
    training_data: files in which the questions are looked for. catalogue: what the models are called, and which are
    demo models. suite_folders: where the suites' files are, which tell a benchmark from somebody's own questions.
    people: raters of the same answers. Raises InvalidInput, NotFound.
    """
    results = read_results(
        folders, catalogue or {}, baseline,
        suite_folders=suite_folders, with_questions=bool(training_data), people=people,
    )  # fmt: skip
    overlaps = {name: overlap_with(training_data, questions) for name, questions in results.questions.items()}
    document = build(results, overlaps, knowledge or load_knowledge(), seed, trained=bool(baseline))
    paths = [out.with_suffix(".html") if out.suffix.lower() == ".md" else out, out.with_suffix(".md")]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        for path, text in zip(paths, (to_html(document), to_markdown(document)), strict=True):
            path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise InvalidInput(f"The report cannot be written to {out}: {error.strerror}.") from error
    return paths


def build(
    results: Results,
    overlaps: Mapping[str, Overlap],
    knowledge: Knowledge,
    seed: int,
    *,
    trained: bool = False,
) -> Document:
    """The report as a document. trained: see training_sections."""
    series = {model.label: number for number, model in enumerate(results.models)}
    differences = {suite.name: differences_of(results.of(suite.name), seed) for suite in results.suites}
    sections = [
        Section("glance", "At a glance", glance_blocks(results, differences, series)),
        *training_sections(results, seed, trained=trained),
    ]
    for number, suite in enumerate(results.suites):
        blocks = _suite_blocks(suite, results, differences[suite.name], series, overlaps.get(suite.name), seed)
        blocks += vote_blocks(results.of(suite.name), knowledge, seed)
        sections.append(Section(f"suite-{number}", f"Suite: {suite.title or suite.name}", blocks))
    sections += [*speed_sections(results, series), Section("method", "How to read this", [Points(METHODS)])]
    n_answers = sum(len(items) for items in results.items.values())
    subtitle = (
        f"{_count(len(results.models), 'model')}, {_count(len(results.suites), 'suite')}, {n_answers:,} answers."
        " For research and teaching, never for the care of a patient."
    )
    return Document("Evaluation report", subtitle, sections)


def _suite_blocks(
    suite: SuiteFacts,
    results: Results,
    differences: Differences,
    series: Mapping[str, int],
    overlap: Overlap | None,
    seed: int,
) -> list[Block]:
    items, judges = results.of(suite.name), results.judges_of(suite.name)
    metrics = metrics_of(items.values())
    metric = headline_of(items.values(), suite)
    licence = f" Licence: {suite.licence}." if suite.licence else ""
    blocks: list[Block] = [Text(f"{KINDS[suite.family]} {suite.about}{licence}".strip())]
    blocks += asked_blocks(items, results.asked_of(suite.name), suite.template)
    if metric:
        blocks.append(accuracy_figure(suite, items, metric, series))
    if suite.pass_line:
        its_metric = suite.pass_line[0]
        blocks.append(
            Points([pass_sentence(suite, model, estimate_of(its, its_metric)) for model, its in items.items()])
        )
    blocks += [*judge_blocks(judges), *references_table(suite, scored_metrics(items))]
    blocks += profile_figure(items, metrics, series)
    blocks += [metrics_table(items, metrics, judges, results.figures_of(suite.name))]
    blocks += [*outcome_blocks(items), *comparison_blocks(items, differences, series)]
    if metric:
        blocks += [*group_blocks(items, metric, seed), *split_blocks(items, metric)]
        blocks += overlap_blocks(items, metric, overlap) if overlap else []
    return [*blocks, *calibration_blocks(items, series)]


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"

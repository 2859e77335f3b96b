"""The first and the last part of a report: what is shown at a glance, and speed against accuracy."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from evaluation.comparison import Difference
from evaluation.plots import SHARES, Point, Row, axis_around, interval_plot, log_axis, plane, series_legend
from evaluation.report_asked import total_of, unfinished
from evaluation.report_blocks import Block, Cell, Figure, Figures, Points, Section, Table, Text
from evaluation.report_comparison import Differences
from evaluation.report_data import ModelFacts, Results, SuiteFacts, headline_of
from evaluation.report_suite import accuracy_rows, estimate_of, pass_sentence
from evaluation.report_words import duration, is_share, number, said_change, said_estimate, title_of, versus
from evaluation.stats import Estimate

FAMILIES = {
    "bundled": "Suites that come with MedChat",
    "benchmark": "Benchmarks",
    "own": "Your own questions (not a benchmark, and not comparable with one)",
}
FAMILY_WORDS = {"bundled": "with MedChat", "benchmark": "benchmark", "own": "your own"}


def glance_blocks(results: Results, differences: Mapping[str, Differences], series: Mapping[str, int]) -> list[Block]:
    """The models, the accuracy of each on every suite, who passes, what got worse, and plots by family of suites."""
    rows = [
        [
            named(model),
            model.title or "-",
            model.base or "-",
            model.revision[:12] or "-",
            model.adapter_hash[:12] or "-",
        ]
        for model in results.models
    ]
    blocks: list[Block] = [Table("The models", ("Model", "Name", "Base", "Revision", "Adapter"), rows, labels=5)]
    if any(model.demo for model in results.models):
        text = "Demo models are the small teaching models that come with MedChat: they know only its teaching facts."
        blocks.append(Text(text, "warn"))
    blocks += _accuracy_table(results, differences)
    points = [point for suite in results.suites for point in _notable(suite, results, differences[suite.name])]
    blocks += [Points(points)] if points else []
    for family, title in FAMILIES.items():
        blocks += _family_figure(title, [suite for suite in results.suites if suite.family == family], results, series)
    return blocks


def speed_sections(results: Results, series: Mapping[str, int]) -> list[Section]:
    """Time of an answer against accuracy, a plot a suite."""
    figures: list[Figure] = []
    for suite in results.suites:
        items = results.of(suite.name)
        metric = headline_of(items.values(), suite)
        points = []
        for model, its_items in items.items():
            times = [item.total_ms for item in its_items if item.total_ms]
            found = estimate_of(its_items, metric) if metric else None
            if metric and times and found and found.value is not None:
                median = float(np.median(times))
                said = f"{model}: {duration(median)} an answer, {said_estimate(metric, found)}"
                points.append(Point(median, found.value, found.low, found.high, series[model], said))
        if metric and points:
            figures.append(_speed_figure(suite, metric, points, {series[model]: model for model in items}))
    if not figures:
        return []
    note = (
        "Median time of an answer, from the request to its end, on the machine of the run: another machine, or a busy"
        " one, gives another."
    )
    return [Section("speed", "Speed against accuracy", [Text(note), Figures(figures)])]


def named(model: ModelFacts) -> str:
    """The model's label, a demo model's with that word."""
    return f"{model.label} (demo model)" if model.demo else model.label


def _accuracy_table(results: Results, differences: Mapping[str, Differences]) -> list[Block]:
    """Each suite's accuracy, and how it differs from the first model's."""
    rows: list[list[str | Cell]] = []
    for suite in results.suites:
        items = results.of(suite.name)
        metric = headline_of(items.values(), suite)
        if metric is None:
            continue
        changes = {
            model: next((its for its in found if its.metric == metric), None)
            for model, found in differences[suite.name].items()
        }
        total = total_of(items, results.asked_of(suite.name))
        cells = [
            _accuracy_cell(metric, estimate_of(items[model.label], metric), changes.get(model.label), total)
            if model.label in items
            else "-"
            for model in results.models
        ]
        notes = {its[metric].label for its in results.judges_of(suite.name).values() if metric in its}
        measured = Cell(title_of(metric), "note", "; ".join(sorted(notes))) if notes else title_of(metric)
        rows.append([FAMILY_WORDS[suite.family], suite.title or suite.name, measured, str(total), *cells])
    headers = ("Suites", "Suite", "Measured by", "Questions", *(model.label for model in results.models))
    caption = "Accuracy by suite" + (", and the difference from the first model" if len(results.models) > 1 else "")
    return [Table(caption, headers, rows, labels=3)] if rows else []


def _accuracy_cell(metric: str, found: Estimate, change: Difference | None, total: int) -> Cell:
    """The value, with the number of answers that have one where not all questions do."""
    cell = versus(metric, found, change)
    return cell if found.n == total else replace(cell, text=f"{cell.text}, n = {found.n}")


def _notable(suite: SuiteFacts, results: Results, differences: Differences) -> list[str]:
    """Who was not asked all of the suite, who passes it, and what got worse."""
    items, name = results.of(suite.name), suite.title or suite.name
    points = [f"{name}: {sentence}" for sentence in unfinished(items, results.asked_of(suite.name))]
    if suite.pass_line:
        metric = suite.pass_line[0]
        points += [f"{name}: {pass_sentence(suite, model, estimate_of(its, metric))}" for model, its in items.items()]
    for model, found in differences.items():
        worse = [f"{title_of(its.metric)} ({said_change(its.metric, its)})" for its in found if its.verdict == "worse"]
        if worse:
            points.append(f"{name}: {model} is worse than {next(iter(items))} in {'; '.join(worse)}.")
    return points


def _family_figure(
    title: str, suites: Sequence[SuiteFacts], results: Results, series: Mapping[str, int]
) -> list[Block]:
    """Accuracy of every model on every suite of a family that is told in percent."""
    rows: list[Row] = []
    for suite in suites:
        items = results.of(suite.name)
        metric = headline_of(items.values(), suite)
        dots = [dot for row in accuracy_rows(items, metric, series) for dot in row.dots] if metric else []
        if metric and dots and is_share(metric):
            total = total_of(items, results.asked_of(suite.name))
            least = min(estimate_of(its, metric).n for its in items.values())
            note = f"{total} questions" if least == total else f"{total} questions, at least {least} scored"
            rows.append(Row(f"{suite.title or suite.name}: {title_of(metric)}", dots, note))
    if not rows:
        return []
    about = "; ".join(f"{row.label}: {', '.join(dot.said for dot in row.dots)}" for row in rows)
    legend = series_legend({number: label for label, number in series.items()})
    return [Figure(f"{title}: accuracy with 95 % intervals", interval_plot(title, about, rows, SHARES), legend)]


def _speed_figure(suite: SuiteFacts, metric: str, points: Sequence[Point], names: Mapping[int, str]) -> Figure:
    x = log_axis([point.x for point in points], duration)
    placed = [
        Point(float(np.log10(point.x)), point.y, point.low, point.high, point.series, point.said) for point in points
    ]
    y = SHARES if is_share(metric) else axis_around([point.y for point in points], number)
    caption = f"{suite.title or suite.name}: {title_of(metric)} and time of an answer"
    about = "; ".join(point.said for point in points)
    drawing = plane(caption, about, placed, x, y, ("time of an answer (median)", title_of(metric)))
    return Figure(caption, drawing, series_legend(names))

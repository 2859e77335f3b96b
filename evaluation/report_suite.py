"""The part of a report on one suite: accuracy, every metric, outcomes, calibration."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from evaluation.calibration import Bin, Calibration, calibration, confidence
from evaluation.judge_agreement import JudgeNote, judge_notes, judged_by
from evaluation.plots import (
    SHARES,
    UNIT,
    Dot,
    Line,
    Point,
    Row,
    axis_around,
    interval_plot,
    line_legend,
    part_legend,
    plane,
    series_legend,
    stacked_bars,
)
from evaluation.predictions import Prediction
from evaluation.report_blocks import Block, Figure, Figures, Heading, Table, Text
from evaluation.report_data import SuiteFacts
from evaluation.report_words import directed, is_share, number, said, said_estimate, said_interval, title_of
from evaluation.stats import Estimate
from evaluation.suite_files import FileReference
from evaluation.summary import Result, metric_estimate
from evaluation.unscored import said_unscored, why_unscored

OUTCOMES = ("right", "wrong", "unparsable", "refused", "cut off")
SHORT = {"unparsable": "unread"}  # in a plot's part
BERTSCORE = "bertscore_f1"  # figures for one of its models and rescalings say nothing of another
SIMILARITIES = ("embedding_similarity", "bertscore_f1", "bertscore_f1_roberta")  # numbers, yet from about 0 to 1

Items = Mapping[str, Sequence[Prediction]]  # by the label of their model
Judges = Mapping[str, Mapping[str, JudgeNote]]  # by the label of the model that was judged, and metric


def estimate_of(items: Sequence[Prediction], metric: str) -> Estimate:
    """The mean of a metric over these items, with its interval over questions."""
    values = [item.scores.get(metric) for item in items]
    return metric_estimate(metric, values, [item.question_id or item.id for item in items])


def scored_metrics(items: Items) -> set[str]:
    """Metrics that any of the items has a value for."""
    return {name for its in items.values() for item in its for name, value in item.scores.items() if value is not None}


def accuracy_rows(items: Items, metric: str, series: Mapping[str, int]) -> list[Row]:
    """A row a model with its mean; the model's number in the report picks the marker."""
    rows = []
    for model, its_items in items.items():
        found = estimate_of(its_items, metric)
        if found.value is not None:
            said_all = f"{said_estimate(metric, found)}, n = {found.n}"
            dot = Dot(found.value, found.low, found.high, series[model], f"{model}: {said_all}")
            rows.append(Row(model, [dot], said_all))
    return rows


def accuracy_figure(facts: SuiteFacts, items: Items, metric: str, series: Mapping[str, int]) -> Figure:
    """The accuracy of every model, with the figures that others state for the metric and the pass line."""
    lines = [line for its in facts.references if its.metric == metric and (line := reference_line(metric, its))]
    if facts.pass_line and facts.pass_line[0] == metric:
        needed = facts.pass_line[1]
        lines.append(Line(needed, f"pass line, {said(metric, needed)}", needed))
    rows = accuracy_rows(items, metric, series)
    axis = SHARES
    if not is_share(metric):
        ends = [end for row in rows for dot in row.dots for end in (dot.value, dot.low, dot.high) if end is not None]
        axis = axis_around([*ends, *(line.value for line in lines)], lambda value: said(metric, value))
    about = "; ".join(f"{row.label} {row.note}" for row in rows)
    title = f"{title_of(metric)}, with 95 % intervals"
    return Figure(title, interval_plot(title, about, rows, axis, lines), line_legend(lines))


def reference_line(metric: str, reference: FileReference) -> Line | None:
    """Where a stated figure stands on the axis: "about 90 %", "0.85", "80-85 %"; None where it has no number."""
    text = str(reference.value)
    numbers = [float(found) / (100 if "%" in text else 1) for found in re.findall(r"\d+(?:\.\d+)?", text)]
    if not numbers:
        return None
    about = f"{reference.note}, " if reference.note else ""
    return Line(numbers[0], f"{about}{_reference_text(metric, reference.value)} ({reference.who})", numbers[-1])


def references_beside(references: Sequence[FileReference], scored: Collection[str]) -> list[FileReference]:
    """Those of the figures that may stand beside results by these metrics: of BERTScore only those for one of them."""
    return [its for its in references if not its.metric.startswith(BERTSCORE) or its.metric in scored]


def references_table(facts: SuiteFacts, scored: Collection[str] = ()) -> list[Block]:
    """What others state for this suite, named as theirs. scored: the metrics that it was scored by."""
    rows = [
        [title_of(reference.metric), reference.note, _reference_text(reference.metric, reference.value), reference.who]
        for reference in references_beside(facts.references, scored)
    ]
    caption = "Figures that others state, not measured here"
    return [Table(caption, ("Metric", "Of what", "Value", "Who states it"), rows, labels=4)] if rows else []


def pass_sentence(facts: SuiteFacts, model: str, found: Estimate) -> str:
    """Whether the model passes: by the lower end of its interval, not by its mean."""
    assert facts.pass_line is not None
    metric, needed = facts.pass_line
    if found.low is None or found.high is None:
        return f"{model}: the pass line cannot be judged, nothing was scored."
    what = f"{said_estimate(metric, found)} against a pass line of {said(metric, needed)}"
    if found.low >= needed:
        return f"{model} passes: {what}; the whole interval is on or above it."
    if found.high < needed:
        return f"{model} does not pass: {what}; the whole interval is below it."
    return f"{model} is not shown to pass: {what}; the interval reaches below it."


def metrics_table(
    items: Items,
    metrics: Sequence[str],
    judges: Judges | None = None,
    figures: Mapping[str, Mapping[str, Result]] | None = None,
) -> Table:
    """Every metric of every model, with interval, numbers and method; and the figures beside them, by model and name.

    judges: who gave the values; None takes them from the items, without ratings of clinicians.
    """
    judges, figures = judges if judges is not None else judges_of(items), figures or {}
    rows = []
    for metric in metrics:
        for model, its_items in items.items():
            judge = judges.get(model, {}).get(metric)
            rows.append(_metric_row(metric, model, estimate_of(its_items, metric), _reasons(its_items, metric), judge))
    for name in dict.fromkeys(name for of in figures.values() for name in of):
        for model in items:
            if found := figures.get(model, {}).get(name):
                rows.append(_metric_row(name, model, found, found.unscored))
    headers = ("Metric", "Model", "Value", "Interval", "n", "Unscored", "Why unscored", "Method")
    return Table("Every metric", headers, rows, labels=2, words=2)


def judges_of(items: Items) -> Judges:
    """Who judged these answers, without ratings of clinicians to compare with."""
    return judge_notes({model: judged_by(its, None) for model, its in items.items()})


def judge_blocks(judges: Judges) -> list[Block]:
    """Which values a judge gave, what it was asked, and whether it was shown to agree with clinicians."""
    return [
        Text(
            f"{title_of(metric)} of {model}: {note.label}. {note.counted}."
            + ("" if note.agreement.is_shown else " Do not rely on it before that is shown."),
            "" if note.agreement.is_shown else "warn",
        )
        for model, notes in judges.items()
        for metric, note in notes.items()
    ]


def _metric_row(
    metric: str, model: str, found: Estimate, reasons: Mapping[str, int], judge: JudgeNote | None = None
) -> list[str]:
    value = "-" if found.value is None else said(metric, found.value)
    interval = said_interval(metric, found.low, found.high) or "-"
    method = f"{found.method}; {judge.label}" if judge else found.method
    return [
        directed(metric), model, value, interval, str(found.n), str(found.n_unscored), said_unscored(reasons), method
    ]  # fmt: skip


def _reasons(items: Sequence[Prediction], metric: str) -> Counter[str]:
    return Counter(why_unscored(item, metric) for item in items if item.scores.get(metric) is None)


def profile_figure(items: Items, metrics: Sequence[str], series: Mapping[str, int]) -> list[Block]:
    """All metrics that are shares, and similarities, side by side; none below two of them."""
    rows = [
        Row(directed(metric), [dot for row in accuracy_rows(items, metric, series) for dot in row.dots])
        for metric in metrics
        if is_share(metric) or metric in SIMILARITIES
    ]
    rows = [row for row in rows if row.dots]
    if len(rows) < 2:
        return []
    about = "; ".join(f"{row.label}: {', '.join(dot.said for dot in row.dots)}" for row in rows)
    caption = "Profile by metric, with 95 % intervals"
    legend = series_legend({series[model]: model for model in items})
    return [Figure(caption, interval_plot(caption, about, rows, UNIT), legend)]


def outcome_blocks(items: Items) -> list[Block]:
    """How multiple-choice answers ended, where there are any."""
    counts = {model: Counter(item.outcome for item in its_items if item.outcome) for model, its_items in items.items()}
    counts = {model: its_counts for model, its_counts in counts.items() if its_counts}
    if not counts:
        return []
    bars = [(model, [(SHORT.get(name, name), its[name]) for name in OUTCOMES]) for model, its in counts.items()]
    about = "; ".join(
        f"{model}: {', '.join(f'{its[name]} {name}' for name in OUTCOMES)}" for model, its in counts.items()
    )
    rows = [[model, *(str(its[name]) for name in OUTCOMES), str(its.total())] for model, its in counts.items()]
    caption = "Outcomes of multiple choice"
    headers = ("Model", *(name.capitalize() for name in OUTCOMES), "n")
    return [
        Heading("How the answers ended"),
        Figure(
            f"{caption}, from left to right in this order", stacked_bars(caption, about, bars), part_legend(OUTCOMES)
        ),
        Table(f"{caption}: all but the right ones count as wrong, for different reasons", headers, rows),
    ]


def calibration_blocks(items: Items, series: Mapping[str, int]) -> list[Block]:
    """Confidence against accuracy of the models that gave log-probabilities of the options."""
    found = {model: its for model, its_items in items.items() if (its := calibration_of(its_items))}
    if not found:
        return []
    note = (
        "How sure a model is: the probability of its likeliest option among the options. ECE is the mean gap between"
        " that and accuracy over ten equal bins, weighted by their n; below the diagonal it is too sure."
    )
    figures = [_calibration_figure(model, its, series[model]) for model, its in found.items()]
    rows = [
        [model, _range(b), str(b.right.n), f"{100 * b.confidence:.1f} %", said_estimate("exact", b.right)]
        for model, its in found.items()
        for b in its.bins
    ]
    table = Table("Calibration by bin", ("Model", "How sure", "n", "Mean", "Right"), rows, labels=2)
    return [Heading("Calibration"), Text(note), Figures(figures), table]


def _calibration_figure(model: str, found: Calibration, series: int) -> Figure:
    caption = f"{model}: ECE {number(found.ece)}, n = {found.n}"
    points = [
        Point(
            b.confidence, b.right.value or 0.0, b.right.low, b.right.high, series,
            f"{100 * b.confidence:.0f} % sure: right {said_estimate('exact', b.right)}, n = {b.right.n}",
        )
        for b in found.bins
    ]  # fmt: skip
    about = "On the diagonal it is right as often as it is sure. " + "; ".join(point.said for point in points)
    names = ("how sure", "how often right")
    return Figure(caption, plane(caption, about, points, SHARES, SHARES, names, diagonal=True))


def calibration_of(items: Sequence[Prediction]) -> Calibration | None:
    """Calibration by the options' log-probabilities, None where there are none."""
    known = [i for i in items if i.option_logprobs and i.scores.get("mcq_loglikelihood") is not None]
    if not known:
        return None
    return calibration(
        [confidence(item.option_logprobs or {}) for item in known],
        [item.scores["mcq_loglikelihood"] or 0.0 for item in known],
        [item.question_id or item.id for item in known],
    )


def in_group(items: Sequence[Prediction], name: str, value: str) -> list[Prediction]:
    """The items whose group of this name has this value."""
    return [item for item in items if item.groups.get(name) == value]


def groups_of(items: Sequence[Prediction]) -> list[tuple[str, str]]:
    """Name and value of every group, of names that tell items apart; train and test have a part of their own."""
    values: dict[str, set[str]] = {}
    for item in items:
        for name, value in item.groups.items():
            if name != "split":
                values.setdefault(name, set()).add(value)
    return [(name, value) for name, its_values in values.items() if len(its_values) > 1 for value in sorted(its_values)]


def _reference_text(metric: str, value: float | str) -> str:
    return value if isinstance(value, str) else said(metric, value)


def _range(its: Bin) -> str:
    return f"{100 * its.low:.0f} to {100 * its.high:.0f} %"

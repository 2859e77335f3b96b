"""The parts of a report that set models side by side: differences, groups, the vote."""

from collections.abc import Mapping, Sequence

import numpy as np

from evaluation.comparison import SMALL_GROUP, Difference, adjusted_together, compare
from evaluation.plots import Dot, Row, axis_around, interval_plot, series_legend
from evaluation.report_blocks import Block, Cell, Figure, Heading, Table, Text
from evaluation.report_suite import Items, estimate_of, groups_of, in_group, scored_metrics
from evaluation.report_words import (
    axis_points,
    directed,
    is_share,
    number,
    probability,
    said,
    said_change,
    said_estimate,
    title_of,
    verdict_cell,
    versus,
)
from evaluation.vote import METRICS_TO_VOTE_ON, TIES, Vote, vote
from medchat.knowledge import Knowledge

Differences = Mapping[str, Sequence[Difference]]  # from the first model, by the label of the other


def differences_of(items: Items, seed: int) -> dict[str, list[Difference]]:
    """Every other model compared with the first one, adjusted over all of them."""
    first, *others = items
    return adjusted_together(
        {other: compare(items[first], items[other], np.random.default_rng(seed), by_group=False) for other in others}
    )


def comparison_blocks(items: Items, differences: Differences, series: Mapping[str, int]) -> list[Block]:
    """Differences from the first model, those in percentage points drawn too."""
    if not differences:
        return []
    first = next(iter(items))
    note = (
        f"Each model against {first}, on the same questions. n: answers that both have a value for. Left out: those"
        " that only one has, or neither."
    )
    tables = [_difference_table(first, model, found) for model, found in differences.items()]
    return [Heading(f"Compared with {first}"), Text(note), *_forest(first, differences, series), *tables]


def _difference_table(first: str, model: str, found: Sequence[Difference]) -> Table:
    rows: list[list[str | Cell]] = [
        [
            directed(its.metric), said(its.metric, its.before), said(its.metric, its.after),
            said_change(its.metric, its), verdict_cell(its), f"{its.n}, few" if its.few else str(its.n),
            str(its.n_left_out), probability(its.p), probability(its.q) if its.verdict else "-", its.method,
        ]
        for its in found
    ]  # fmt: skip
    headers = ("Metric", first, model, "Difference", "Verdict", "n", "Left out", "p", "q", "Method")
    return Table(f"{model} compared with {first}", headers, rows, words=1, texts=("Verdict",))


def group_blocks(items: Items, metric: str, seed: int) -> list[Block]:
    """The suite's accuracy in each group of the questions, against the first model; small groups marked."""
    groups = groups_of(next(iter(items.values())))
    if not groups:
        return []
    first, *others = items
    compared = {
        other: [its for its in compare(items[first], items[other], np.random.default_rng(seed), [metric]) if its.group]
        for other in others
    }
    changes = {other: {its.group: its for its in found} for other, found in adjusted_together(compared).items()}
    rows: list[list[str | Cell]] = []
    sizes: list[tuple[int, str]] = []
    for name, value in groups:
        group = f"{name}: {value}"
        found = {model: estimate_of(in_group(its, name, value), metric) for model, its in items.items()}
        n = min(its.n for its in found.values())
        sizes.append((n, group))
        cells = [versus(metric, its, changes.get(model, {}).get(group)) for model, its in found.items()]
        rows.append([name, value, Cell(f"{n}, few", "few") if n < SMALL_GROUP else str(n), *cells])
    n, group = min(sizes)
    note = f"The smallest group has n = {n} ({group}). Those below {SMALL_GROUP} are marked as few and say little."
    caption = f"{title_of(metric)} by group" + (f", compared with {first}" if others else "")
    table = Table(caption, ("Group", "Which", "n", *items), rows, labels=2)
    return [Heading("Groups of questions"), Text(note), table]


def vote_blocks(items: Items, knowledge: Knowledge, seed: int) -> list[Block]:
    """The vote of the models, where there are at least three and something to vote on."""
    scored = scored_metrics(items)
    metric = next((name for name in METRICS_TO_VOTE_ON if name in scored), None)
    found = vote(items, metric, knowledge, np.random.default_rng(seed)) if metric and len(items) > 2 else None
    if metric is None or found is None:
        return []
    rows: list[list[str | Cell]] = []
    for model, its in found.members.items():
        change = found.against[model]
        rows.append([
            model, said_estimate(metric, its), said_change(metric, change), verdict_cell(change),
            probability(change.p), probability(change.q),
        ])  # fmt: skip
    rows.append([f"vote of the {len(items)}, equal", said_estimate(metric, found.equal), "", "", "", ""])
    if found.weighted:
        rows.append(["vote, weighted by held-out accuracy", said_estimate(metric, found.weighted), "", "", "", ""])
    headers = ("Who answers", title_of(metric), "The equal vote against it", "The vote is", "p", "q")
    return [
        Heading("The models' vote"), Text(_vote_note(found)),
        Table(f"The vote and its members, n = {found.n}", headers, rows, texts=("The vote is",)),
        _agreement_table(found),
        Text(_kappa_note(found), "note"),
    ]  # fmt: skip


def _vote_note(found: Vote) -> str:
    weighting = (
        "Weights: each model's accuracy on the half of the questions that is not being judged."
        if found.weighted
        else "Too few questions to weigh the models on other ones than those they are judged on."
    )
    return (
        "Diagnoses count as the same when the knowledge base has them as synonyms, other answers when they read the"
        f" same. {found.n_ties} of {found.n} questions had {TIES}. Questions that not all models were scored on are"
        f" left out: {found.n_left_out}. {weighting}"
    )


def _agreement_table(found: Vote) -> Table:
    rows = [
        [f"{one} and {other}", "-" if same is None else said("exact", same)]
        for (one, other), same in found.agreement.pairs.items()
    ]
    return Table("Share of the questions on which two give the same answer", ("Models", "Same answer"), rows)


def _kappa_note(found: Vote) -> str:
    its = found.agreement
    if its.fleiss is None or its.randolph is None:
        return "Kappa cannot be told: no two different answers were given."
    return (
        f"Agreement of all beyond chance, on {its.n_items} questions that all answered: Fleiss' kappa"
        f" {number(its.fleiss)}, Randolph's {number(its.randolph)} (with {its.n_answers} different answers)."
    )


def _forest(first: str, differences: Differences, series: Mapping[str, int]) -> list[Block]:
    metrics = dict.fromkeys(its.metric for found in differences.values() for its in found if is_share(its.metric))
    rows = [
        Row(
            directed(metric),
            [
                Dot(its.value, its.low, its.high, series[model], f"{model}: {said_change(metric, its)} {its.verdict}")
                for model, found in differences.items()
                for its in found
                if its.metric == metric
            ],
        )
        for metric in metrics
    ]
    if not rows:
        return []
    values = [end for row in rows for dot in row.dots for end in (dot.value, dot.low, dot.high) if end is not None]
    about = "; ".join(f"{row.label}: {', '.join(dot.said for dot in row.dots)}" for row in rows)
    caption = f"Difference from {first} in percentage points, with 95 % intervals"
    legend = series_legend({series[model]: model for model in differences})
    return [Figure(caption, interval_plot(caption, about, rows, axis_around(values, axis_points)), legend)]

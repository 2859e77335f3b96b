"""The parts of a report on training: stages side by side, trained-on and held-out questions, overlap with the data."""

from collections.abc import Sequence

import numpy as np

from evaluation.comparison import adjusted_together, compare
from evaluation.overlap import HOW, Overlap
from evaluation.report_blocks import Block, Cell, Heading, Section, Table, Text
from evaluation.report_data import Results, lineage
from evaluation.report_suite import Items, estimate_of, in_group, scored_metrics
from evaluation.report_words import directed, said_estimate, title_of, versus

# What is looked at before and after training: of each line the first that there is.
STAGE_METRICS = (
    ("exact",), ("mcq_generated", "mcq_loglikelihood"), ("diagnosis_strict",), ("diagnosis",), ("calc_correct",),
    ("embedding_similarity", "bertscore_f1"), ("rouge_l",), ("format_ok",), ("supported",), ("unsupported_claims",),
    ("unsafe_advice",), ("refused_where_due",), ("escalated",), ("truncated",), ("answer_words",),
    ("completion_tokens",),
)  # fmt: skip

# What the seed expects of GRPO: metric, before, after. It names no source, data or model.
EXPECTED = (
    ("Exact answer", "65 %", "78 %"),
    ("Semantic similarity", "0.72", "0.85"),
    ("Hallucinations (compare unsupported claims)", "22 %", "12 %"),
)

SPLIT_NAMES = {"train": "trained on", "test": "held out: test", "validation": "held out: validation"}


def training_sections(results: Results, seed: int, *, trained: bool) -> list[Section]:
    """Before and after training, a table a suite.

    trained: where no model is known to be the base of another, all are taken to come of the first one.
    """
    known = lineage(results.models)
    stages = known or (list(results.models) if trained else [])
    blocks: list[Block] = []
    for suite in results.suites:
        items = results.of(suite.name)
        labels = [stage.label for stage in stages if stage.label in items]
        if len(labels) > 1 and labels[0] == stages[0].label:
            blocks += [Heading(suite.title or suite.name), stage_table(labels, items, seed)]
    if not blocks:
        return []
    note = (
        "From the base to what was trained from it, each stage against the base. A model may gain accuracy by writing"
        " more: look at the length of its answers beside it."
    )
    if not known:
        note += f" That the others come of {stages[0].label} is what this report was told; their results do not say it."
    caption = "Not measured here: what the seed, unsourced, expects of GRPO on data and models that it does not name"
    expected = Table(caption, ("Metric", "Before", "After"), EXPECTED)
    return [Section("training", "Before and after training", [Text(note), *blocks, expected])]


def stage_table(labels: Sequence[str], items: Items, seed: int) -> Table:
    """Every stage in a column, on the questions that all of them answered."""
    shared = set.intersection(*({item.id for item in items[label]} for label in labels))
    kept = {label: [item for item in items[label] if item.id in shared] for label in labels}
    scored = scored_metrics(kept)
    metrics = [found for names in STAGE_METRICS if (found := next((name for name in names if name in scored), None))]
    base, *later = labels
    compared = {
        label: compare(kept[base], kept[label], np.random.default_rng(seed), metrics, by_group=False) for label in later
    }
    changes = {label: {its.metric: its for its in found} for label, found in adjusted_together(compared).items()}
    rows: list[list[str | Cell]] = []
    for metric in metrics:
        cells = [
            versus(metric, estimate_of(kept[label], metric), changes.get(label, {}).get(metric)) for label in labels
        ]
        rows.append([directed(metric), *cells])
    return Table(f"n = {len(shared)} questions that all answered", ("Metric", *labels), rows)


def split_blocks(items: Items, metric: str) -> list[Block]:
    """Accuracy on questions that were trained on apart from that on held-out ones, where a run has both."""
    splits = {item.groups["split"] for its in items.values() for item in its if "split" in item.groups}
    if len(splits) < 2:
        return []
    order = [*(name for name in SPLIT_NAMES if name in splits), *sorted(splits - SPLIT_NAMES.keys())]
    rows = []
    for model, its_items in items.items():
        for split in order:
            found = estimate_of(in_group(its_items, "split", split), metric)
            rows.append([model, SPLIT_NAMES.get(split, split), said_estimate(metric, found), str(found.n)])
    note = (
        "Accuracy on training data says how well it was learnt by heart; only the held-out one says what the model can"
        " do. A published training accuracy, such as the seed's 98.9 %, belongs beside the first of the two."
    )
    table = Table(f"{title_of(metric)} by split", ("Model", "Questions", title_of(metric), "n"), rows, labels=2)
    return [Heading("Trained-on and held-out questions apart"), Text(note), table]


def overlap_blocks(items: Items, metric: str, overlap: Overlap) -> list[Block]:
    """Accuracy with and without the questions that stand in the training data."""
    n = len({item.id for its in items.values() for item in its})
    note = (
        f"{len(overlap.overlapping)} of {n} questions stand in {', '.join(overlap.files)} ({overlap.n_texts:,} texts):"
        f" {HOW}. {len(overlap.too_short)} are too short to tell."
    )
    heading = Heading("Overlap with training data")
    if not overlap.overlapping:
        return [heading, Text(note)]
    rows = []
    for model, its_items in items.items():
        parts = {
            "all questions": its_items,
            "without overlap": [item for item in its_items if item.id not in overlap.overlapping],
            "only those that overlap": [item for item in its_items if item.id in overlap.overlapping],
        }
        for name, part in parts.items():
            found = estimate_of(part, metric)
            rows.append([model, name, said_estimate(metric, found), str(found.n)])
    headers = ("Model", "Questions", title_of(metric), "n")
    table = Table(f"{title_of(metric)} with and without overlap", headers, rows, labels=2)
    return [heading, Text(note), table]

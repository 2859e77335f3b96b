"""Two or more evaluations of one suite side by side: what differs, in words, plots and tables; and their report."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from evaluation.comparison import Difference
from evaluation.people import people_of
from evaluation.report import build
from evaluation.report_blocks import Block, Document, Figure, Heading, blocks_html
from evaluation.report_comparison import differences_of
from evaluation.report_data import ModelFacts, Results, headline_of, ordered, read_results
from evaluation.report_words import said_change, title_of
from medchat.errors import InvalidInput
from medchat.knowledge import Knowledge
from medchat.ui.common import App, counted, escape
from medchat.ui.evaluations_data import GONE, Entry, demo_note, folders_of_suites, labels_of
from medchat.ui.evaluations_panel import button, link, panel_html, sent

SEED = 0  # the same answers give the same intervals
MOST = 6  # series that a plot tells apart
FIRST_SHOWN = ("Compared with", "Groups of questions")  # headings of the report that stand first here

Value = TypeVar("Value")


def comparable(chosen: Sequence[Entry]) -> list[Entry]:
    """The evaluations, the one that the others are compared with first: their base, else as they were chosen.

    Raises InvalidInput when they cannot be compared.
    """
    if len({entry.record.suite for entry in chosen}) > 1:
        raise InvalidInput("Only evaluations of one and the same suite can be compared; a report takes any.")
    if not 2 <= len(chosen) <= MOST:
        raise InvalidInput(f"Choose two to {MOST} evaluations to compare.")
    by_label = {label: entry for entry, label in zip(chosen, labels_of(chosen).values(), strict=True)}
    return [by_label[model.label] for model in ordered([_facts(entry, label) for label, entry in by_label.items()])]


def comparison_html(app: App, chosen: Sequence[Entry], knowledge: Knowledge) -> str:
    """The others against the first. Raises InvalidInput when their answers are gone, or they share no question."""
    results = results_of(app, chosen)
    [suite] = results.suites
    items = results.of(suite.name)
    shared = set.intersection(*({item.id for item in its} for its in items.values()))
    if not shared:
        raise InvalidInput("These evaluations have no question in common.")
    document = build(results, {}, knowledge, SEED)
    first, more = _arranged(document)
    headline = headline_of(items.values(), suite)
    ids = [entry.id for entry in chosen]
    actions = [
        button("items", "Read single answers", {"ids": ids, "which": "differ"}, "compare-items", "mc-primary"),
        link("Open the report", f"/evaluations/report.html?{_query(ids)}"),
        link("Download it", f"/evaluations/report.html?{_query(ids)}&save=1"),
    ]
    sentences = _sentences(next(iter(items)), differences_of(items, SEED), headline)
    body = (
        f"{_baseline(chosen, list(items))}{_notes(chosen, len(shared))}{sentences}"
        f'<div class="mc-report">{blocks_html(first)}</div>'
        '<details class="mc-more-metrics" data-key="more"><summary>More: what was measured, every metric, speed'
        f'</summary><div class="mc-report">{blocks_html(more)}</div></details>'
    )
    title = f"{suite.title or suite.name}: {' and '.join(items)}"
    return panel_html(title, demo_note(chosen), "".join(actions), body, "-".join(ids))


def report_of(app: App, chosen: Sequence[Entry], knowledge: Knowledge) -> Document:
    """The report on the evaluations, of any suites. Raises InvalidInput when their answers are gone."""
    results = results_of(app, chosen)
    return build(replace(results, models=ordered(results.models)), {}, knowledge, SEED)


def results_of(app: App, chosen: Sequence[Entry]) -> Results:
    """What their runs found out about these models on these suites alone, each called as the page calls it.

    Raises InvalidInput when the answers of one are gone.
    """
    if any(entry.file is None for entry in chosen):
        raise InvalidInput(GONE)
    folders = list(dict.fromkeys(entry.folder for entry in chosen))
    results = read_results(
        folders,
        app.catalogue,
        suite_folders=folders_of_suites(app),
        people=people_of(app.store.judgements(to_learn=False)),
    )
    by_suite: dict[str, list[Entry]] = {}
    for entry in chosen:
        by_suite.setdefault(entry.record.suite, []).append(entry)
    named = {id_: label for its in by_suite.values() for id_, label in labels_of(its).items()}
    labels: dict[tuple[str, str], str] = {}  # by suite and the label that read_results gave
    for entry in chosen:
        suite, model = entry.record.suite, entry.record.model_id
        of_folder = f"{model} ({entry.folder.name})"  # where an earlier folder has the model too
        labels[suite, of_folder if (suite, of_folder) in results.items else model] = named[entry.id]

    def called(found: Mapping[tuple[str, str], Value]) -> dict[tuple[str, str], Value]:
        return {(place[0], labels[place]): value for place, value in found.items() if place in labels}

    models = {named[entry.id]: _facts(entry, named[entry.id]) for entry in chosen}
    judges = {
        suite: {labels[suite, label]: its for label, its in found.items() if (suite, label) in labels}
        for suite, found in (results.judges or {}).items()
    }
    return replace(
        results, models=list(models.values()), suites=[suite for suite in results.suites if suite.name in by_suite],
        items=called(results.items), figures=called(results.figures), asked=called(results.asked), judges=judges,
    )  # fmt: skip


def _facts(entry: Entry, label: str) -> ModelFacts:
    record = entry.record
    return ModelFacts(
        label, record.model_id, entry.title, record.base, record.revision, record.adapter_hash, entry.demo
    )  # fmt: skip


def _query(ids: Sequence[str]) -> str:
    return "&".join(f"id={id_}" for id_ in ids)


def _arranged(document: Document) -> tuple[list[Block], list[Block]]:
    """The report's blocks: how right they are, what differs, before and after training; and all the others."""
    [suite, *_] = [section for section in document.sections if section.id.startswith("suite")]
    picture = next((block for block in suite.blocks if isinstance(block, Figure)), None)
    first: list[Block] = [picture] if picture else []
    more: list[Block] = []
    part = more
    for block in suite.blocks:
        if isinstance(block, Heading):
            part = first if block.text.startswith(FIRST_SHOWN) else more
        if block is not picture:
            part.append(block)
    for section in document.sections:
        if section.id == "training":
            first += [Heading(section.title), *section.blocks]
        elif section.id == "speed":
            more += [Heading(section.title), *section.blocks]
    return first, more


def _baseline(chosen: Sequence[Entry], labels: Sequence[str]) -> str:
    """The choice of the one that the others are compared with."""
    options = "".join(
        f'<option value="{escape(entry.id)}"{" selected" if entry is chosen[0] else ""}>{escape(label)}</option>'
        for entry, label in zip(chosen, labels, strict=True)
    )
    ids = sent({"ids": [entry.id for entry in chosen]})
    return (
        '<p class="mc-filters"><label>Compared with <select id="compare-first" class="mc-field" name="first" '
        f'data-do="results-compare-first" data-send="{ids}">{options}</select></label></p>'
    )


def _notes(chosen: Sequence[Entry], n_shared: int) -> str:
    """What they do not have in common."""
    notes = []
    if len({entry.record.suite_hash for entry in chosen}) > 1:
        notes.append(
            "They were not asked the same set of questions in the same way: the suite, its metrics or the number of "
            f"questions differed. Compared are the {counted(n_shared, 'question')} that all have."
        )
    if len({entry.record.sampling.get("seed") for entry in chosen}) > 1:
        notes.append("They were asked with different seeds.")
    return "".join(f'<p class="mc-warn-line">{escape(note)}</p>' for note in notes)


def _sentences(first: str, differences: Mapping[str, Sequence[Difference]], headline: str | None) -> str:
    """What is better and what is worse, one line a model."""
    lines = []
    for model, found in differences.items():
        ranked = sorted(found, key=lambda its: its.metric != headline)
        parts = [
            f"<strong>{verdict}</strong> in {escape('; '.join(_said(its) for its in ranked if its.verdict == verdict))}"
            for verdict in ("better", "worse")
            if any(its.verdict == verdict for its in ranked)
        ]
        unshown = [title_of(its.metric) for its in ranked if its.verdict == "not shown"]
        if unshown:
            parts.append(f"<strong>not shown</strong> to differ in {escape('; '.join(unshown))}")
        n = max((its.n for its in found), default=0)
        head = f"<strong>{escape(model)}</strong> against {escape(first)}, on {counted(n, 'question')}: "
        lines.append(f"<li>{head}{'; '.join(parts) or 'nothing could be compared'}.</li>")
    return f'<ul class="mc-verdicts">{"".join(lines)}</ul>'


def _said(difference: Difference) -> str:
    return f"{title_of(difference.metric)}, {said_change(difference.metric, difference)}"

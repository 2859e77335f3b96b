"""The results as tables, one a suite: pure functions to escaped HTML. results.js filters them."""

from collections.abc import Sequence

from evaluation.report_words import directed, said, said_estimate, said_interval, title_of
from evaluation.suite_files import FileReference
from evaluation.unscored import said_unscored
from medchat.ui.common import escape
from medchat.ui.evaluations_data import GONE, Entry

FAMILIES = {
    "bundled": "Suites that come with MedChat",
    "benchmark": "Benchmarks",
    "own": "Your own questions",
}
APART = "Reported apart: what is reached here is not comparable with a benchmark."
EMPTY = (
    '<div class="mc-none-yet"><p>There are no results yet. Open “New evaluation”, choose one or two models and a '
    "suite, and start it; its figures come here when it is done.</p>"
    '<p class="mc-small">To begin with: MedChat Demo and MedChat Demo (base) on “Cases written by hand”.</p></div>'
)
FILTERS = (
    '<div class="mc-filters" role="search" aria-label="Results"><input type="search" id="results-search" '
    'class="mc-field" autocomplete="off" maxlength="200" aria-label="Search results" '
    'placeholder="Search models and suites"><label>Show <select id="results-family" class="mc-field">'
    '<option value="">all suites</option><option value="bundled">with MedChat</option>'
    '<option value="benchmark">benchmarks</option><option value="own">your own questions</option></select></label>'
    '<p class="mc-small" id="results-count" role="status"></p></div>'
)
BAR = (
    '<div class="mc-results-bar" role="group" aria-label="Chosen evaluations">'
    '<p class="mc-small" id="results-chosen" role="status"></p>'
    '<button type="button" class="mc-button mc-primary" id="results-compare" data-do="results-compare" disabled>Compare'
    '</button><a class="mc-button" id="results-report" hidden target="_blank" rel="noopener">Report</a>'
    '<button type="button" class="mc-button" id="results-clear" data-do="results-clear" hidden>Choose none</button>'
    "</div>"
)
HEAD = ("Choose", "Model", "Result, 95 % interval", "Scored", "Unscored", "When", "Answers")


def results_html(found: Sequence[Entry]) -> str:
    """All results, by family and suite; what to do first where there are none."""
    if not found:
        return EMPTY
    parts = ["<h3>Results</h3>", FILTERS]
    for family, title in FAMILIES.items():
        its = [entry for entry in found if entry.suite.family == family]
        if its:
            note = f'<p class="mc-small">{APART}</p>' if family == "own" else ""
            blocks = "".join(_suite(name, its) for name in dict.fromkeys(entry.suite.name for entry in its))
            parts.append(f'<section class="mc-family" data-family="{family}"><h4>{title}</h4>{note}{blocks}</section>')
    return "".join([*parts, BAR])


def badge(entry: Entry) -> str:
    """That a model is one of the small ones that come with MedChat."""
    return ' <span class="mc-badge">demo model</span>' if entry.demo else ""


def note_of_judge(entry: Entry) -> str:
    """What stands beside a score that a judge gave: who it is, and whether it agrees with clinicians; "" for others."""
    judge = entry.record.summary.get(entry.metric, {}).get("judge") or {}
    return f"{entry.title} {judge['label']}." if judge.get("label") else ""


def passed(entry: Entry) -> str:
    """Whether the suite's pass line is reached, by the interval's lower end; "" without a line."""
    line, its = entry.suite.pass_line, entry.estimate
    if line is None or its is None or entry.metric != line[0] or its.low is None:
        return ""
    needed = said(line[0], line[1])
    return f"passed: above {needed}" if its.low >= line[1] else f"not shown to reach {needed}"


def stated(references: Sequence[FileReference], metric: str = "") -> list[str]:
    """Figures that others state for the suite, named as theirs; of one metric where that is given."""
    return [
        f"{its.note + ': ' if its.note else ''}{_figure(its)}, {title_of(its.metric)} ({its.who})"
        for its in references
        if not metric or its.metric == metric
    ]


def _figure(its: FileReference) -> str:
    return its.value if isinstance(its.value, str) else said(its.metric, its.value)


def _suite(name: str, found: Sequence[Entry]) -> str:
    its = [entry for entry in found if entry.suite.name == name]
    facts, title = its[0].suite, escape(its[0].suite_title)
    metrics = dict.fromkeys(entry.metric for entry in its if entry.metric)
    measured = f"Measured by: {', '.join(map(directed, metrics))}." if metrics else ""
    licence = f"Licence: {facts.licence}." if facts.licence else ""
    judged = dict.fromkeys(map(note_of_judge, its))
    notes = " ".join(filter(None, (measured, licence, *judged)))
    head = "".join(f'<th scope="col">{column}</th>' for column in HEAD)
    rows = "".join(_row(entry) for entry in its)
    references = "".join(f"<li>{escape(line)}</li>" for line in stated(facts.references))
    others = ""
    if references:
        told = '<p class="mc-small">Stated by others, not measured here:</p>'
        others = f'<div class="mc-references">{told}<ul>{references}</ul></div>'
    return (
        f'<section class="mc-suite" aria-label="{title}"><h5>{title}</h5><p class="mc-small">{escape(notes)}</p>'
        f'<div class="mc-scroll" tabindex="0" role="region" aria-label="Results on {title}">'
        f'<table class="mc-table"><caption class="mc-vh">{title}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{others}</section>"
    )


def _row(entry: Entry) -> str:
    record, its, id_ = entry.record, entry.estimate, escape(entry.id)
    called = escape(f"{entry.title} on {entry.suite_title}, {record.created_at:%Y-%m-%d %H:%M} UTC")
    about = " · ".join(filter(None, (record.model_id if record.model_id != entry.title else "", _weights(entry))))
    result = "nothing could be scored"
    if its and its.value is not None:
        interval = said_interval(entry.metric, its.low, its.high)
        line = f'<span class="mc-small">{escape(passed(entry))}</span>' if passed(entry) else ""
        result = f"<strong>{said(entry.metric, its.value)}</strong> {f'({interval})' if interval else ''} {line}"
    answers = (
        f'<button type="button" class="mc-button" id="items-{id_}" data-do="results-items" '
        f'data-send="{{&quot;ids&quot;: [&quot;{id_}&quot;]}}" aria-label="Answers: {called}">Answers</button>'
        if entry.file
        else f'<span class="mc-small" title="{GONE}">deleted</span>'
    )
    box = (
        f'<input type="checkbox" class="mc-choose" id="choose-{id_}" value="{id_}" data-suite="{escape(record.suite)}" '
        f'aria-label="Choose {called}"{"" if entry.file else " disabled"}>'
    )
    words = f"{entry.title} {record.model_id} {record.base} {entry.suite_title} {record.suite}".lower()
    cells = (
        box,
        f'<span class="mc-model-name">{escape(entry.title)}</span>{badge(entry)} '
        f'<span class="mc-small">{escape(about)}</span>',
        result,
        f"{its.n:,}" if its else "0",
        _unscored(entry, entry.metric) if its else f"{record.n:,}",
        f'<time datetime="{record.created_at:%Y-%m-%dT%H:%M:%SZ}">{record.created_at:%Y-%m-%d %H:%M} UTC</time>',
        answers,
    )
    labels = (*(f' data-label="{name}"' for name in HEAD[:-1]), "")  # the button says what it is
    marked = "".join(f"<td{label}>{cell}</td>" for label, cell in zip(labels, cells, strict=True))
    return f'<tr data-words="{escape(words)}">{marked}</tr>'


def _unscored(entry: Entry, metric: str) -> str:
    """How many answers have no value, and why; HTML."""
    row = entry.record.summary[metric]
    why = said_unscored(row.get("unscored") or {})
    return f"{int(row.get('n_unscored') or 0):,}" + (f' <span class="mc-small">({escape(why)})</span>' if why else "")


def _weights(entry: Entry) -> str:
    return f"adapter {entry.record.adapter_hash[:8]}" if entry.record.adapter_hash else ""


def metrics_html(entry: Entry) -> str:
    """Every metric of an evaluation with its interval."""
    rows = "".join(
        f'<tr><th scope="row">{escape(directed(name))}</th><td data-label="Mean">{said_estimate(name, its)}</td>'
        f'<td data-label="Scored">{its.n:,}</td><td data-label="Unscored">{_unscored(entry, name)}</td></tr>'
        for name, its in entry.estimates.items()
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Metric", "Mean, 95 % interval", "Scored", "Unscored"))
    return (
        '<details class="mc-more-metrics" data-key="metrics"><summary>Every metric '
        f"({len(entry.estimates)})</summary>"
        '<div class="mc-scroll" tabindex="0" role="region" aria-label="Every metric">'
        f'<table class="mc-table mc-narrow"><caption class="mc-vh">Every metric</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details>"
    )

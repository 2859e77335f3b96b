"""Single answers: the list with its filters, and the way of the wrong ones to the raters."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast, get_args

from evaluation.report_words import title_of
from medchat.errors import InvalidInput
from medchat.ui.actions import OUT_OF_DATE, Action
from medchat.ui.common import counted, escape
from medchat.ui.evaluations_data import (
    Entry,
    StoredAnswer,
    Verdict,
    answers_of,
    demo_note,
    judged_metrics,
    labels_of,
    verdict_of,
    verdict_rule,
)
from medchat.ui.evaluations_panel import button, link, panel_html, sent
from medchat.ui.evaluations_table import metrics_html

Which = Literal["all", "wrong", "right", "unscored", "differ"]

PAGE = 20
MOST = 4  # answers side by side
MOST_TO_RATE = 200
SIGNS: Mapping[Verdict, str] = {"right": "✓", "wrong": "✕", "unscored": "–"}


@dataclass(frozen=True)
class Query:
    """What is listed. page: from 0. item: the id of the example that is read, "" for none."""

    ids: tuple[str, ...]
    metric: str = ""
    which: Which = "all"
    page: int = 0
    item: str = ""

    def fields(self, **changes: Any) -> dict[str, Any]:
        """What a button sends to come to it."""
        its = replace(self, **changes)
        return {"ids": list(its.ids), "metric": its.metric, "which": its.which, "page": its.page, "item": its.item}


@dataclass(frozen=True)
class Found:
    """The answers of the evaluations to the questions that all have, and those ids that the query finds.

    metrics: by which answers can be right or wrong; the query's metric is one of them, "" where there is none.
    """

    query: Query
    chosen: Sequence[Entry]
    labels: Mapping[str, str]
    answers: Mapping[str, Mapping[str, StoredAnswer]]  # by the entry's id and the example's
    shared: Sequence[str]
    ids: Sequence[str]
    metrics: Sequence[str]

    def verdict(self, entry_id: str, item: str) -> Verdict:
        """Whether this model's answer is right."""
        value = self.answers[entry_id][item].prediction.scores.get(self.query.metric)
        return verdict_of(self.query.metric, value)


def query_of(action: Action) -> Query:
    """What the page asked for. Raises InvalidInput."""
    which = action.text("which", "all")
    if which not in get_args(Which):
        raise InvalidInput(OUT_OF_DATE)
    page = action.number("page", 0, 10**9, default=0)
    return Query(
        tuple(action.texts("ids")), action.text("metric", ""), cast("Which", which), page, action.text("item", "")
    )


def find(query: Query, chosen: Sequence[Entry]) -> Found:
    """What the query finds. Raises InvalidInput when the answers are gone or are of several suites."""
    if len({entry.record.suite for entry in chosen}) > 1:
        raise InvalidInput("Only answers to one and the same suite can be read side by side.")
    chosen = chosen[:MOST]
    answers = {entry.id: answers_of(entry) for entry in chosen}
    first, *others = answers.values()
    shared = [id_ for id_ in first if all(id_ in its for its in others)]
    scored = {name for its in answers.values() for answer in its.values() for name in answer.prediction.scores}
    metrics = judged_metrics(scored, chosen[0].metric)
    metric = query.metric if query.metric in metrics else next(iter(metrics), "")
    query = replace(query, metric=metric, ids=tuple(entry.id for entry in chosen))
    whole = Found(query, chosen, labels_of(chosen), answers, shared, shared, metrics)
    ids = [id_ for id_ in shared if _fits(query.which, {whole.verdict(entry.id, id_) for entry in chosen})]
    last = max(0, (len(ids) - 1) // PAGE)
    return replace(whole, ids=ids, query=replace(query, page=min(query.page, last)))


def failures(found: Found, entry_id: str) -> list[str]:
    """The ids of what this model got wrong, among all questions that are listed without a filter."""
    return [id_ for id_ in found.shared if found.verdict(entry_id, id_) == "wrong"]


def items_html(found: Found, raters: Mapping[str, str], item: str) -> str:
    """The panel. raters: whom answers can be sent to, by id. item: the open one, as HTML."""
    query, chosen = found.query, found.chosen
    title = f"Answers to {chosen[0].suite_title}: {' and '.join(found.labels.values())}"
    actions = ""
    if len(chosen) > 1:
        actions = button("compare", "Compare", {"ids": list(query.ids)}, "items-compare")
    if len(chosen) == 1:
        actions = link("Open the report", f"/evaluations/report.html?id={chosen[0].id}")
    more = metrics_html(chosen[0]) if len(chosen) == 1 else ""
    body = (
        f"{more}{_filters(found)}{_to_rate(found, raters)}"
        f'<div class="mc-items"><div class="mc-items-list">{_list(found)}</div>'
        f'<div class="mc-item" id="item">{_steps(found)}{item}</div></div>'
    )
    return panel_html(title, demo_note(chosen), actions, body, f"items-{'-'.join(query.ids)}")


def _fits(which: Which, verdicts: set[Verdict]) -> bool:
    if which == "differ":
        return len(verdicts) > 1
    if which == "right":
        return verdicts == {"right"}
    return which == "all" or which in verdicts


def _filters(found: Found) -> str:
    query = found.query
    if not found.metrics:
        return '<p class="mc-small" role="status">No metric of this suite makes an answer right or wrong.</p>'
    counts = Counter[str]()
    for id_ in found.shared:
        verdicts = {found.verdict(entry.id, id_) for entry in found.chosen}
        counts.update(which for which in get_args(Which) if _fits(which, verdicts))
    several = len(found.chosen) > 1
    names = {
        "all": "all", "wrong": "wrong for at least one" if several else "wrong",
        "right": "right for all" if several else "right", "unscored": "unscored", "differ": "different verdicts",
    }  # fmt: skip
    options = "".join(
        f'<option value="{which}"{" selected" if which == query.which else ""}>{name} ({counts[which]:,})</option>'
        for which, name in names.items()
        if which != "differ" or several
    )
    metrics = "".join(
        f'<option value="{metric}"{" selected" if metric == query.metric else ""}>{escape(title_of(metric))}</option>'
        for metric in found.metrics
    )
    send = f'data-do="results-items" data-send="{sent(query.fields(page=0, item=""))}"'
    return (
        f'<div class="mc-filters" role="search" aria-label="Answers" data-fields><label>Show <select class="mc-field" '
        f'id="items-which" name="which" {send}>{options}</select></label><label>judged by <select class="mc-field" '
        f'id="items-metric" name="metric" {send}>{metrics}</select></label>'
        f'<p class="mc-small">{escape(verdict_rule(query.metric))}</p></div>'
    )


def _list(found: Found) -> str:
    query = found.query
    if not found.ids:
        return '<p class="mc-note" role="status">No answer is like that. Choose another filter.</p>'
    start = query.page * PAGE
    page = found.ids[start : start + PAGE]
    rows = "".join(_row(found, id_, number) for number, id_ in enumerate(page, start=start + 1))
    last = (len(found.ids) - 1) // PAGE
    back = button("items", "Earlier", query.fields(page=query.page - 1), "items-earlier") if query.page else ""
    on = button("items", "Later", query.fields(page=query.page + 1), "items-later") if query.page < last else ""
    told = f"{start + 1:,} to {start + len(page):,} of {counted(len(found.ids), 'question')}"
    return (
        f'<p class="mc-small" role="status">{told}</p><ol class="mc-item-rows">{rows}</ol>'
        f'<div class="mc-form-buttons">{back}{on}</div>'
    )


def _steps(found: Found) -> str:
    """The ways to the questions before and after the one that is read."""
    query, ids = found.query, list(found.ids)
    if query.item not in ids:
        return ""
    place = ids.index(query.item)
    ways = (("Previous", place - 1, "item-previous"), ("Next", place + 1, "item-next"))
    buttons = "".join(
        button("items", text, query.fields(item=ids[to], page=to // PAGE), element_id)
        for text, to, element_id in ways
        if 0 <= to < len(ids)
    )
    return f'<div class="mc-form-buttons">{buttons}</div>'


def _row(found: Found, id_: str, number: int) -> str:
    verdicts = [(found.labels[entry.id], found.verdict(entry.id, id_)) for entry in found.chosen]
    signs = "".join(
        f'<span class="mc-verdict-sign mc-{verdict}" title="{escape(label)}: {verdict}"><span aria-hidden="true">'
        f'{SIGNS[verdict]}</span><span class="mc-vh"> {escape(label)}: {verdict}</span></span>'
        for label, verdict in verdicts
    )
    excerpt = found.answers[found.chosen[0].id][id_].excerpt
    current = ' aria-current="true"' if id_ == found.query.item else ""
    send = sent(found.query.fields(item=id_))
    return (
        f'<li><button type="button" id="item-row-{number}" data-do="results-items" data-send="{send}"{current}>'
        f'<span class="mc-item-number">{number}</span><span class="mc-excerpt" dir="auto">{escape(excerpt)}</span>'
        f'<span class="mc-signs">{signs}</span></button></li>'
    )


def _to_rate(found: Found, raters: Mapping[str, str]) -> str:
    """The form that sends what a model got wrong to somebody's queue; nothing where nothing is wrong."""
    wrong = {entry.id: len(failures(found, entry.id)) for entry in found.chosen}
    if not any(wrong.values()) or not raters:
        return ""
    models = "".join(
        f'<option value="{escape(id_)}">{escape(found.labels[id_])} ({n:,} wrong)</option>'
        for id_, n in wrong.items()
        if n
    )
    several = f'<option value="">all models ({sum(wrong.values()):,} wrong)</option>' if len(wrong) > 1 else ""
    people = "".join(f'<option value="{escape(id_)}">{escape(name)}</option>' for id_, name in raters.items())
    most = min(20, sum(wrong.values()))
    return (
        '<details class="mc-more-metrics" data-key="rate"><summary>Send the failures to Rate</summary>'
        '<div class="mc-filters mc-to-rate" data-fields>'
        f'<label>Wrong answers of <select class="mc-field" id="rate-of" name="of">{several}{models}</select></label>'
        '<label>at most <input class="mc-field" id="rate-most" name="most" type="number" min="1" '
        f'max="{MOST_TO_RATE}" value="{most}"></label>'
        f'<label>to <select class="mc-field" id="rate-rater" name="rater">{people}</select></label>'
        f"{button('rate', 'Send to Rate', found.query.fields(), 'rate-send', 'mc-primary')}"
        '<p class="mc-small">Drawn at random and mixed. In Rate the names of the models stay hidden.</p>'
        "</div></details>"
    )

"""A run of training as HTML: how it is, its curves, its newest completions, what it was given and what came out."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from medchat.jobs import JobView
from medchat.machine import size
from medchat.run_state import ENDED, LIVING, stage_words
from medchat.ui import job_views
from medchat.ui.common import counted, duration, escape
from medchat.ui.train_curves import chart_html, charts_of
from medchat.ui.train_progress import Progress
from train.row_counts import counts_words

NO_LOG = "Nothing was printed yet."
NOT_YET = "The curves begin with the first step; a base is loaded before that, which takes a while."
NO_CURVES = "It took no step, so there are no curves."
DIGEST_CHARS = 12
QUESTION_CHARS = 160


class Completion(NamedTuple):
    """A completion that the model in training wrote, read by the run's answer format. rewards: by name."""

    stage: str
    step: int
    question: str
    reasoning: str
    solution: str
    complete: bool
    rewards: Mapping[str, float | None]
    advantage: float | None


class Outcome(NamedTuple):
    """What came out of a run. can_chat: whether the model is in the catalogue and can answer here.

    base: the model to compare with, "" where it cannot answer here. card: the text of the model's card.
    """

    model_id: str
    model_name: str
    can_chat: bool
    base: str
    base_name: str
    card: str
    commands: Sequence[tuple[str, str]]


def head_html(
    view: JobView, progress: Progress, owner: str, outcome: Outcome | None, *, may_begin: bool, doing: str = ""
) -> str:
    """Name, status, how far it is, what came out, and what can be done with it. doing: what it said last."""
    state = view.state
    left_s = progress.left_s(state) if state.status == "running" else None
    facts = [f"begun {job_views.moment_html(state.started_at)}" if state.started_at else "", f"by {escape(owner)}"]
    took = job_views.took_s(state)
    if took is not None and state.status in ENDED:
        facts.append(f"took {duration(took * 1000)}")
    facts += [f"{words} {size(progress.last[name])}" for name, words in _MEMORY.items() if name in progress.last]
    words = job_views.place_words(view, left_s, doing) if state.status not in ENDED else ""
    return (
        f'<section class="mc-job-head" data-run="{escape(view.job.id)}" data-status="{state.status}" tabindex="-1">'
        f'<h2><span dir="auto">{escape(view.job.name)}</span> {job_views.badge_html(state.status)}</h2>'
        f'<p class="mc-job-words">{escape(words)}</p>{job_views.meter_html(state)}{job_views.end_html(view)}'
        f"{_outcome_html(outcome) if outcome else ''}"
        f'<p class="mc-small">{" · ".join(fact for fact in facts if fact)}</p>'
        f"{job_views.buttons_html(view, 'train', may_begin=may_begin)}</section>"
    )


_MEMORY = {"memory_gb": "memory at most", "gpu_memory_gb": "graphics memory at most"}


def curves_html(view: JobView, progress: Progress, titles: Mapping[str, str]) -> str:
    """The curves of each stage, that at work first. titles: of the rewards, by name."""
    if not progress.curves:
        if view.state.status == "queued":
            return ""
        return f'<p class="mc-note">{NOT_YET if view.state.status in LIVING else NO_CURVES}</p>'
    stages = list(progress.curves.items())[::-1]
    made = []
    for number, (stage, curves) in enumerate(stages):
        first, more = charts_of(curves, titles)
        folded = "".join(chart_html(chart, curves) for chart in more)
        rest = (
            f'<details data-key="train-more-{escape(stage)}"><summary>More curves</summary>'
            f'<div class="mc-curves">{folded}</div></details>'
            if folded
            else ""
        )
        its = f'<div class="mc-curves">{"".join(chart_html(chart, curves) for chart in first)}</div>{rest}'
        title = stage_words(stage)
        if len(stages) == 1:
            made.append(its)
        else:
            opened = " open" if number == 0 else ""
            made.append(
                f'<details class="mc-stage" data-key="train-stage-{escape(stage)}"{opened}><summary>{escape(title)}'
                f"</summary>{its}</details>"
            )
    return f'<h3 class="mc-train-title">Curves</h3>{"".join(made)}'


def completions_html(completions: Sequence[Completion], titles: Mapping[str, str]) -> str:
    """The newest completions with their rewards, reasoning and solution apart; "" where there is none."""
    if not completions:
        return ""
    names = list(dict.fromkeys(name for one in completions for name in one.rewards))
    columns = ("Completion", *(titles.get(name, name) for name in names), "Advantage")
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    questions = list(dict.fromkeys(one.question for one in completions))
    groups = "".join(
        _group_html(question, [one for one in completions if one.question == question], names, columns)
        for question in questions
    )
    newest = completions[0]
    told = f"{stage_words(newest.stage)}, step {newest.step:,}"
    return (
        f'<h3 class="mc-train-title">Newest completions <span class="mc-small">{escape(told)}</span></h3>'
        '<div class="mc-scroll" tabindex="0" role="region" aria-label="Newest completions">'
        '<table class="mc-table mc-completions"><caption class="mc-vh">Newest completions with their rewards</caption>'
        f"<thead><tr>{head}</tr></thead>{groups}</table></div>"
    )


def _group_html(question: str, its: Sequence[Completion], names: Sequence[str], columns: Sequence[str]) -> str:
    """The completions of one question, which stands above them."""
    rows = "".join(_completion_row(one, names, columns) for one in its)
    shown = f'<p class="mc-asked-once" dir="auto">{escape(question)}</p>'
    if len(question) > QUESTION_CHARS:
        key = escape(f"train-question-{hash_of(question)}")
        begin = f'<summary dir="auto">{escape(question[:QUESTION_CHARS])}…</summary>'
        shown = f'<details data-key="{key}">{begin}{shown}</details>'
    return f'<tbody><tr><th scope="rowgroup" colspan="{len(columns)}">{shown}</th></tr>{rows}</tbody>'


def hash_of(text: str) -> str:
    """A short name of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _completion_row(one: Completion, names: Sequence[str], columns: Sequence[str]) -> str:
    values = [*(one.rewards.get(name) for name in names), one.advantage]
    cells = "".join(
        f'<td data-label="{escape(title)}" class="mc-number">{figure(value)}</td>'
        for title, value in zip(columns[1:], values, strict=True)
    )
    cut = "" if one.complete else '<p class="mc-small">It was cut, or left its format.</p>'
    solution = (
        f'<p dir="auto"><b>Solution</b> {escape(one.solution)}</p>' if one.solution else "<p><b>No solution</b></p>"
    )
    reasoning = (
        f'<p dir="auto" class="mc-reasoned"><b>Reasoning</b> {escape(one.reasoning)}</p>' if one.reasoning else ""
    )
    return f'<tr><td data-label="Completion" class="mc-completion">{reasoning}{solution}{cut}</td>{cells}</tr>'


def figure(value: float | None) -> str:
    """A reward, or that it could not be scored."""
    return '<span title="cannot be scored">–</span>' if value is None else f"{value:.3g}"


def log_html(log: str) -> str:
    """The end of the log."""
    return f'<pre class="mc-log">{escape(log.rstrip() or NO_LOG)}</pre>'


def facts_html(
    view: JobView, config: Mapping[str, Any], result: Mapping[str, Any] | None, outcome: Outcome | None,
    metric_titles: Mapping[str, str], command: str,
) -> str:  # fmt: skip
    """What was measured, what it was given, how to run it again, and how to export what came out."""
    parts = [metrics_html(result or {}, metric_titles)]
    base, data = config.get("base") or {}, config.get("data") or {}
    rows = [
        ("Recipe", escape(str((config.get("recipe") or {}).get("title", "")))),
        ("Base", escape(str(base.get("name", "")))),
        ("Data", _data_html(data)),
        ("Rows", _rows_html(result or {})),
        ("Device", escape(str((config.get("used") or {}).get("device", "")))),
        ("Folder", f"<code>{escape(str(view.path))}</code>"),
    ]
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows if value)
    parts.append(f'<dl class="mc-facts mc-train-facts">{listed}</dl>')
    if command:
        parts.append(folded("train-command", "Command line", command_html(command)))
    if config:
        text = yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True)
        parts.append(folded("train-config", "Configuration", f'<pre class="mc-code" tabindex="0">{escape(text)}</pre>'))
    if outcome and outcome.card:
        card = f'<pre class="mc-code mc-card" tabindex="0">{escape(outcome.card)}</pre>'
        parts.append(folded("train-card", "Model card", card))
    if outcome and outcome.commands:
        its = "".join(f"<p>{escape(words)}</p>{command_html(command)}" for words, command in outcome.commands)
        parts.append(folded("train-export", "Export the model", its))
    return "".join(parts)


def _plain(config: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps(config, default=str))


def _data_html(data: Mapping[str, Any]) -> str:
    files = data.get("files") or []
    its = "; ".join(
        f"{escape(str(file.get('file', '')))}: {counted(int(file.get('rows', 0)), 'row')} in it, "
        f"SHA-256 <code>{escape(str(file.get('sha256', ''))[:DIGEST_CHARS])}</code>"
        for file in files
    )
    return f"{escape(str(data.get('folder', '')))}<br>{its}" if its else escape(str(data.get("folder", "")))


def _rows_html(result: Mapping[str, Any]) -> str:
    """How many rows each stage used and saw; "" where that was not counted."""
    names = {f"{number}-{stage['kind']}": stage for number, stage in enumerate(result.get("stages") or ())}
    counts = {name: stage["rows"] for name, stage in names.items() if stage.get("rows")}
    return "<br>".join(f"{escape(stage_words(name))}: {counts_words(rows)}" for name, rows in counts.items())


def metrics_html(result: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """The held-out metrics before and after each stage, with their intervals; "" where nothing was measured."""
    stages = [stage for stage in result.get("stages") or () if stage.get("metrics")]
    names = list(dict.fromkeys(
        name for stage in stages for name in stage["metrics"] if not name.endswith("_before")
    ))  # fmt: skip
    if not names:
        return ""
    head = ["Before", *(f"After stage {number + 1}" for number in range(len(stages)))]
    rows = ""
    for name in names:
        values = [stages[0]["metrics"].get(f"{name}_before"), *(stage["metrics"].get(name) for stage in stages)]
        cells = "".join(
            f'<td data-label="{title}">{_estimate(value)}</td>' for title, value in zip(head, values, strict=True)
        )
        plain = name.removesuffix("_training")
        words = titles.get(plain, plain) + (" (training rows)" if name.endswith("_training") else "")
        rows += f'<tr><th scope="row">{escape(words)}</th>{cells}</tr>'
    columns = "".join(f'<th scope="col">{title}</th>' for title in head)
    return (
        '<h3 class="mc-train-title">Held-out questions, before and after</h3>'
        '<div class="mc-scroll mc-fitting" tabindex="0" role="region" aria-label="Metrics before and after">'
        '<table class="mc-table mc-small-table"><caption class="mc-vh">Metrics before and after each stage</caption>'
        f'<thead><tr><th scope="col">Metric</th>{columns}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _estimate(found: Mapping[str, Any] | None) -> str:
    if not found or found.get("value") is None:
        return '<span class="mc-small">not measured</span>'
    low, high = found.get("low"), found.get("high")
    within = f" ({low:.2f} to {high:.2f})" if low is not None and high is not None else ""
    return f'{found["value"]:.3f}<span class="mc-small">{within}, n {found.get("n", 0)}</span>'


def _outcome_html(outcome: Outcome) -> str:
    buttons = ""
    if outcome.can_chat:
        model = escape(outcome.model_id)
        buttons = (
            f'<button type="button" class="mc-button mc-primary" data-do="train-chat" data-model="{model}" '
            f'id="train-chat-with">Chat with it</button>'
        )
        if outcome.base:
            buttons += (
                f'<button type="button" class="mc-button" data-do="train-pair" data-model="{model}" '
                f'data-base="{escape(outcome.base)}" id="train-pair-with">Compare with its base, '
                f"{escape(outcome.base_name)}</button>"
            )
    return (
        f'<p class="mc-told mc-outcome"><strong>{escape(outcome.model_name)}</strong> {_where(outcome)}</p>'
        f'<div class="mc-form-buttons">{buttons}</div>'
    )


def _where(outcome: Outcome) -> str:
    if outcome.can_chat:
        return "is in the Models tab, and can be asked in Chat and Compare."
    return "is not in the list of models: it was removed, or is being added. Its files are in the folder of the run."


def folded(key: str, title: str, inside: str) -> str:
    """Something that opens when it is asked for; it stays open while the page changes."""
    return f'<details class="mc-fold" data-key="{key}"><summary>{escape(title)}</summary>{inside}</details>'


def command_html(command: str) -> str:
    """A command with a button that copies it."""
    return (
        f'<div class="mc-command"><pre class="mc-code" tabindex="0" role="region" aria-label="Command">'
        f'{escape(command)}</pre><button type="button" class="mc-button" data-do="train-copy">Copy</button></div>'
    )

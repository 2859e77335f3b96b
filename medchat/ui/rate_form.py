"""The Rate tab as HTML: pure functions from what is to be rated to escaped text. rate.js fills the form in.

Its form is also that of a rater's desk in a study.

Nothing here names a model, and the points of criteria stay on the server.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from typing import Any, Literal

from medchat.errors import RatedSince
from medchat.rating import Rated, Task
from medchat.rating_form import Step
from medchat.rubrics import SAFETY, Axis, Option, Rubric
from medchat.store import SPAN_KINDS, QueueState, RatingForm
from medchat.store.rating_queue import Waiting
from medchat.ui.common import counted, escape

MARKS = (Option("1", "Correct"), Option("0", "Neutral"), Option("-1", "Wrong"))
SOURCES: Mapping[Waiting, str] = {
    "chat": "All answers of my conversations",
    "thumbs": "Those with a thumb",
    "comparisons": "Answers of my comparisons",
}
CRITICAL = '<span class="mc-badge mc-critical">Critical</span>'
Move = Literal["skip", "back"]
MOVES: tuple[Move, ...] = ("skip", "back")
EMPTY = (
    "<p><strong>Your queue is empty.</strong></p>"
    "<p>Add answers above: those of your conversations or comparisons, or a file.</p>"
)
KEYS = (
    ("1 to 9", "answer the question in focus and go on to the next; with none in focus, the first without an answer"),
    ("↑ ↓", "the question before or after"),
    ("← →", "another answer to the same question"),
    ("Ctrl + Enter", "save, and go on to the next answer"),
    ("m", "go into the solution to mark a passage: arrows move, Shift + arrows select, 1 to 6 say what is wrong"),
    ("r", "go to the steps of the reasoning"),
    ("f", "go to the form"),
    ("c", "write what I would have answered"),
    ("s", "skip this answer"),
    ("b", "back to the answer before"),
    ("Esc", "leave a text, close this sheet"),
    ("?", "this sheet"),
)


def help_html(keys: Sequence[tuple[str, str]] = KEYS, root: str = "rate") -> str:
    """The sheet that lists the keys; rate.js opens it. root: what its id begins with."""
    rows = "".join(f"<dt><kbd>{escape(key)}</kbd></dt><dd>{escape(text)}</dd>" for key, text in keys)
    return (
        f'<dialog id="{root}-help" class="mc-dialog mc-keys" aria-labelledby="{root}-help-title">'
        f'<h2 id="{root}-help-title">Keys</h2><dl>{rows}</dl><form method="dialog" class="mc-form-buttons">'
        '<button class="mc-button" autofocus>Close</button></form></dialog>'
    )


def head_html(queue: QueueState, position: int, rubrics: Sequence[Rubric], chosen: str, faults: Sequence[str]) -> str:
    """Where the rater is in the queue, the rating forms to choose from, and files that are none."""
    options = "".join(
        f'<option value="{escape(rubric.id)}"{" selected" if rubric.id == chosen else ""}>'
        f"{escape(rubric.title)}</option>"
        for rubric in rubrics
    )
    about = next((rubric.description for rubric in rubrics if rubric.id == chosen), "")
    wrong = "".join(f'<p class="mc-fault">{escape(fault)}</p>' for fault in faults)
    return (
        f'<div class="mc-rate-head"><p class="mc-place" role="status">{_place(queue, position)}</p>'
        f'<label class="mc-rubric">Form <select id="rate-rubric" class="mc-field">{options}</select></label>'
        '<button type="button" class="mc-button" data-do="rate-help">Keys <kbd>?</kbd></button></div>'
        f'<p class="mc-small">{escape(about)}</p>{wrong}'
    )


def _place(queue: QueueState, position: int) -> str:
    if not queue.items:
        return "No answers in your queue"
    parts = [f"{position} of {len(queue.items)}"] if position else []
    parts += [f"{queue.done} done", f"{queue.left} left"]
    if queue.skipped:
        parts.append(f"{queue.skipped} skipped")
    return " · ".join(parts)


def add_html(waiting: Mapping[Waiting, int], told: str = "", is_open: bool = False) -> str:
    """Where answers come from, each with how many are not in the queue yet. told: what came of the last time."""
    rows = "".join(
        f'<li><button type="button" class="mc-button" id="rate-add-{source}" data-do="rate-add" data-source="{source}"'
        f'{"" if waiting[source] else " disabled"}>{text} <span class="mc-small">{waiting[source]:,} new</span>'
        "</button></li>"
        for source, text in SOURCES.items()
    )
    return (
        f'<details class="mc-add"{" open" if is_open else ""}><summary>Add answers</summary><ul>{rows}<li>'
        '<button type="button" class="mc-button" data-do="rate-file">A file of answers</button>'
        '<input type="file" id="rate-file" accept=".jsonl,.csv" tabindex="-1" hidden aria-label="File of answers"></li>'
        '</ul><p class="mc-small">JSONL or CSV with question and answer, and perhaps reasoning, context and model; or '
        "the predictions.jsonl of an evaluation. At most 5 MB and 2,000 answers. Names of models stay hidden.</p>"
        "</details>"
        f'<p class="mc-told" role="status">{escape(told)}</p>'
    )


def done_html(queue: QueueState, rater: str) -> str:
    """What is shown when no answer is open. rater: the user's id, for rate.js."""
    told = _done(queue) if queue.items else EMPTY
    return f'<div class="mc-rate-none" data-answer="" data-rater="{escape(rater)}">{told}</div>'


def _done(queue: QueueState) -> str:
    again = (
        f'<button type="button" class="mc-button mc-primary" data-do="rate-unskip">Take up '
        f"{counted(queue.skipped, 'skipped answer')} again</button>"
        if queue.skipped
        else ""
    )
    back = '<button type="button" class="mc-button" data-do="rate-back">Back to the last one</button>'
    return (
        "<p><strong>No answer is left to rate.</strong></p>"
        f'<p>{counted(queue.done, "answer")} done.</p><div class="mc-form-buttons">{again}{back}</div>'
    )


def kept_html(number: str, is_kept: bool) -> str:
    """What became of the draft of this number, for rate.js."""
    told = "Draft kept." if is_kept else "Draft not kept: you saved this answer in another window since."
    return f'<p class="mc-vh" data-kept="{escape(number)}">{told}</p>'


def rated_since_html(answer_id: str, rubric_id: str, error: RatedSince) -> str:
    """Why a save was refused, and the rating that the next one may replace, for rate.js."""
    return (
        f'<p class="mc-vh" data-newer="{escape(error.rating_id)}" data-answer="{escape(answer_id)}" '
        f'data-rubric="{escape(rubric_id)}">{escape(str(error))}</p>'
    )


def task_html(task: Task, rater: str, moves: Collection[Move] = MOVES) -> str:
    """The answer on one side and its form on the other. moves: where one can go without saving.

    data-filled: what is entered, for rate.js.
    """
    rubric = task.answer.rubric
    filled = json.dumps(task.filled.model_dump(mode="json"))
    return (
        f'<article class="mc-rate" data-answer="{escape(task.answer_id)}" data-rubric="{escape(rubric.id)}" '
        f'data-version="{rubric.version}" data-rater="{escape(rater)}" data-state="{escape(task.state)}" '
        f'data-filled="{escape(filled)}" '
        f'aria-label="Answer to rate">{_reading(task)}{_form(task, moves)}</article>'
    )


def _reading(task: Task) -> str:
    context = (
        f'<p class="mc-context" dir="auto"><span class="mc-tag">Patient context</span> {escape(task.context)}</p>'
        if task.context.strip()
        else ""
    )
    question = f'<p class="mc-words" dir="auto">{escape(task.question)}</p>'
    return (
        f'<div class="mc-reading"><div class="mc-question">{context}{question}</div>'
        f"{_reasoning(task)}{_solution(task.answer.solution)}{_kinds()}"
        '<ul class="mc-spans" aria-label="Marked passages"></ul></div>'
    )


def _reasoning(task: Task) -> str:
    text, steps = task.answer.reasoning, task.steps
    if not text.strip():
        return ""
    before = text[: steps[0].start] if steps else text
    intro = _passage("reasoning", before, 0) if before.strip() else ""
    rows = "".join(_step(text, step) for step in steps)
    return (
        f'<section class="mc-rate-part" aria-label="Reasoning"><h3 class="mc-title">Reasoning</h3>{intro}'
        f'<ol class="mc-rate-steps">{rows}</ol>{_first_wrong(steps)}</section>'
    )


def _step(text: str, step: Step) -> str:
    name = f"Step {step.number}"
    return (
        f"<li>{_passage('reasoning', text[step.start : step.end], step.start)}"
        f'<fieldset class="mc-mark" data-step="{step.number}"><legend class="mc-vh">{name}</legend>'
        f"{_radios(f'step-{step.number}', MARKS)}</fieldset></li>"
    )


def _first_wrong(steps: Sequence[Step]) -> str:
    if not steps:
        return ""
    options = "".join(f'<option value="{step.number}">Step {step.number}</option>' for step in steps)
    return (
        '<label class="mc-first">First wrong step <select name="first_wrong" class="mc-field">'
        f'<option value="">none</option>{options}</select></label>'
    )


def _solution(text: str) -> str:
    if not text.strip():
        return '<p class="mc-state">The answer has no solution.</p>'
    # It can be edited only as far as the page's script lets it, which is not at all: so a caret selects words in it.
    passage = _passage(
        "solution", text, 0,
        ' contenteditable="true" inputmode="none" spellcheck="false" role="textbox" aria-multiline="true" '
        'aria-readonly="true" aria-label="Solution: select words to mark them"',
    )  # fmt: skip
    return (
        '<section class="mc-rate-part mc-rate-solution"><h3 class="mc-title">Solution</h3>'
        f'{passage}<p class="mc-small">Select words to say what is wrong with them; by keyboard begin with '
        "<kbd>m</kbd>.</p></section>"
    )


def _passage(part: str, text: str, start: int, attributes: str = "") -> str:
    """A text in which passages are marked: its characters are exactly those that `start` counts from."""
    return (
        f'<div class="mc-passage" data-part="{part}" data-start="{start}" dir="auto"{attributes}>{escape(text)}</div>'
    )


def _kinds() -> str:
    buttons = "".join(
        f'<button type="button" class="mc-chip" data-do="rate-kind" data-kind="{kind}" data-digit="{digit}">'
        f"<kbd>{digit}</kbd> {kind.capitalize()}</button>"
        for digit, kind in enumerate(SPAN_KINDS, start=1)
    )
    return (
        '<div class="mc-kinds" role="group" aria-label="What is wrong with the passage" hidden>'
        '<p class="mc-small">What is wrong with <q class="mc-quote"></q>?</p>'
        f'<div class="mc-chips">{buttons}</div></div>'
    )


def _form(task: Task, moves: Collection[Move]) -> str:
    rubric = task.answer.rubric
    told = '<p class="mc-note">You have rated this answer before. Saving adds a new rating and keeps the old one.</p>'
    if task.filled.cannot_rate and task.amends:
        told = '<p class="mc-note">You have said that this answer cannot be rated. Saving adds a new rating.</p>'
    words = {"skip": "Skip" if task.state == "open" else "Next", "back": "Back"}
    leave = "".join(
        f'<button type="button" class="mc-button" data-do="rate-{move}">{words[move]}</button>'
        for move in MOVES
        if move in moves
    )
    return (
        f'<form class="mc-rate-form" aria-label="{escape(rubric.title)}" novalidate>{told if task.amends else ""}'
        f"{_sections(rubric.axes)}{_safety()}{_corrections()}"
        '<label class="mc-label">Comment <textarea name="comment" rows="2" maxlength="20000"></textarea></label>'
        '<p class="mc-wrong" role="alert"></p><p class="mc-small mc-kept"></p><div class="mc-form-buttons">'
        '<button type="button" class="mc-button mc-primary" data-do="rate-save">Save and go on</button>'
        f"{leave}</div>"
        '<details class="mc-cannot"><summary>Cannot rate</summary><label class="mc-label">Why not? '
        '<input type="text" name="cannot_rate" maxlength="2000"></label>'
        '<button type="button" class="mc-button" data-do="rate-cannot">Save the reason and go on</button></details>'
        "</form>"
    )


def _sections(axes: Sequence[Axis]) -> str:
    parts = []
    for section, group in groupby(axes, key=lambda axis: axis.section):
        title = f'<h3 class="mc-title">{escape(section)}</h3>' if section else ""
        parts.append(title + _section(list(group)))
    return "".join(parts)


def _section(axes: Sequence[Axis]) -> str:
    """The questions under one heading. What a scale means stands once, before the first of several that share it."""
    n_with = Counter(axis.options for axis in axes)
    told: set[tuple[Option, ...]] = set()
    parts = []
    for axis in axes:
        is_shared = n_with[axis.options] > 1
        if is_shared and axis.options not in told:
            parts.append(_meanings(axis))
            told.add(axis.options)
        parts.append(_axis(axis, told))
    return "".join(parts)


def _meanings(axis: Axis) -> str:
    explained = [f"<dt>{escape(o.label)}</dt><dd>{escape(o.help)}</dd>" for o in axis.options if o.help]
    return f'<dl class="mc-meanings">{"".join(explained)}</dl>' if explained and axis.kind != "criteria" else ""


def _axis(axis: Axis, told: Collection[tuple[Option, ...]] = ()) -> str:
    """One question. told: options whose meanings stand elsewhere."""
    only = (
        f' data-only-axis="{escape(axis.only_if.axis)}" data-only-values="{escape(" ".join(axis.only_if.values))}"'
        if axis.only_if
        else ""
    )
    optional = "" if axis.required else ' <span class="mc-small">optional</span>'
    help_ = f'<p class="mc-small">{escape(axis.help)}</p>' if axis.help else ""
    meanings = "" if axis.options in told else _meanings(axis)
    return (
        f'<fieldset class="mc-axis" data-axis="{escape(axis.id)}"{only}{" data-required" if axis.required else ""}>'
        f"<legend>{escape(axis.question)}{optional}</legend>{help_}"
        f"{_radios(f'axis-{axis.id}', axis.options)}{meanings}</fieldset>"
    )


def _radios(name: str, options: Sequence[Option]) -> str:
    """One radio an option, with the digit that chooses it: its own where all are digits, else its place."""
    own = all(len(option.value) == 1 and option.value.isdigit() for option in options) and name[:5] != "step-"
    rows = []
    for place, option in enumerate(options, start=1):
        digit = option.value if own else str(place)
        key = "" if option.label == digit else f"<kbd>{digit}</kbd> "
        rows.append(
            f'<label class="mc-option" title="{escape(option.help)}"><input type="radio" name="{escape(name)}" '
            f'value="{escape(option.value)}" data-digit="{digit}"><span>{key}{escape(option.label)}</span></label>'
        )
    return f'<div class="mc-options">{"".join(rows)}</div>'


def _safety() -> str:
    return (
        '<section class="mc-safety" aria-label="Safety"><h3 class="mc-title">Safety</h3>'
        f"{_axis(SAFETY.harm_extent)}{_axis(SAFETY.harm_likelihood)}"
        '<label class="mc-switch"><input type="checkbox" name="critical">'
        f"<span>{escape(SAFETY.critical)}</span></label>"
        f'<p class="mc-small">{escape(SAFETY.critical_help)}</p></section>'
    )


def _corrections() -> str:
    fields = "".join(
        f'<label class="mc-label">{label} <textarea name="corrected_{part}" rows="4" maxlength="20000"></textarea>'
        "</label>"
        for part, label in (("reasoning", "My reasoning"), ("solution", "My solution"))
    )
    return f'<details class="mc-corrections"><summary>What I would have answered</summary>{fields}</details>'


def mine_html(rated: Sequence[Rated], titles: Mapping[str, str]) -> str:
    """The rater's own ratings, each to be opened again. titles: of the rubrics, by id."""
    if not rated:
        return '<p class="mc-small">You have rated nothing yet.</p>'
    return f'<ul class="mc-mine">{"".join(_mine(one, titles) for one in rated)}</ul>'


def _mine(one: Rated, titles: Mapping[str, str]) -> str:
    form = one.rating.form
    told = f'<p dir="auto">Cannot be rated: {escape(form.cannot_rate)}</p>' if form.cannot_rate else ""
    amend = (
        f'<button type="button" class="mc-button" data-do="rate-open" data-answer="{escape(one.rating.answer_id)}" '
        f'data-rubric="{escape(form.rubric_id)}">Amend</button>'
        if form.rubric_id in titles
        else ""
    )
    red = f" {CRITICAL}" if form.critical else ""
    return (
        f'<li><span class="mc-name" dir="auto">{escape(_short(one.question))}</span>{red}<span class="mc-small">'
        f"{one.rating.created_at:%Y-%m-%d %H:%M} UTC · {escape(titles.get(form.rubric_id, form.rubric_id))}"
        f"</span>{amend}{told}{_answers(form)}</li>"
    )


def _answers(form: RatingForm) -> str:
    """What was answered, in the words that were shown."""
    safety = form.shown.get("safety", {})
    asked = [*form.shown.get("axes", ()), *(safety[name] for name in ("harm_extent", "harm_likelihood") if safety)]
    chosen = {**form.scores, "harm_extent": form.harm_extent, "harm_likelihood": form.harm_likelihood}
    rows = [
        f'<dt dir="auto">{escape(axis["question"])}</dt><dd dir="auto">{escape(_label(axis, chosen[axis["id"]]))}</dd>'
        for axis in asked
        if chosen.get(axis["id"])
    ]
    if not rows:
        return ""
    return f"<details><summary>{counted(len(rows), 'answer')}</summary><dl>{''.join(rows)}</dl></details>"


def _label(axis: Mapping[str, Any], value: Any) -> str:
    options = axis["options"]
    option = next((option for option in options if option["value"] == value), {"label": str(value), "help": ""})
    if option["label"] != value:
        return str(option["label"])
    told = f"{value} of {options[-1]['value']}"  # a number alone says little
    return f"{told}: {option['help']}" if option["help"] else told


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:99]}…"

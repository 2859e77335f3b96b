"""A conversation as HTML: pure functions from views to escaped text.

Words of people and models appear as they were written: nothing in them becomes markup, except
that lines which begin with a number become the steps of a list.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from medchat.prompts import case_text
from medchat.recognition import Grounding
from medchat.records import Sampling
from medchat.turns import ENDED, TurnView
from medchat.ui.common import counted, duration, escape
from medchat.ui.controls import answer_controls, question_controls

CRITICAL = (
    '<p class="mc-critical-note"><strong>Critical:</strong> a rater says that nobody should be given this answer.</p>'
)
MarkKind = Literal["present", "denied", "unsupported"]

_STEP = re.compile(r"\s*(\d{1,3})[.)]\s+(?=\S)")
_HALF_STEP = re.compile(r"\n?[ \t]*\d{1,3}[.)]?[ \t]*\Z")
_SETTINGS = {
    "temperature": "temperature {:g}",
    "top_p": "top-p {:g}",
    "top_k": "top-k {}",
    "seed": "seed {}",
    "max_new_tokens": "at most {:,} tokens",
    "presence_penalty": "presence penalty {:g}",
}
_EXPLANATIONS: dict[MarkKind, str] = {
    "present": "recognised: {}",
    "denied": "recognised as denied: {}",
    "unsupported": "not found in the case: {}",
}


class Mark(NamedTuple):
    """text[start:end] is to be marked; label names the finding."""

    start: int
    end: int
    kind: MarkKind
    label: str


def annotate(text: str, marks: Sequence[Mark], start: int = 0, end: int | None = None) -> str:
    """text[start:end] escaped, with the marks that fall into it; of two that overlap, the first and longest."""
    end = len(text) if end is None else end
    parts: list[str] = []
    at = start
    for mark in sorted(marks, key=lambda m: (m.start, -m.end)):
        low, high = max(mark.start, at), min(mark.end, end)
        if mark.start < at or low >= high:
            continue
        meaning = escape(_EXPLANATIONS[mark.kind].format(mark.label))
        parts.append(escape(text[at:low]))
        parts.append(
            f'<mark class="mc-{mark.kind}" title="{meaning[:1].upper()}{meaning[1:]}">{escape(text[low:high])}'
            f'<span class="mc-vh"> ({meaning})</span></mark>'
        )
        at = high
    parts.append(escape(text[at:end]))
    return "".join(parts)


def prose(text: str, marks: Sequence[Mark] = ()) -> str:
    """Paragraphs, and numbered lines as steps of a list."""
    blocks: list[str] = []
    steps: list[str] = []
    at = 0

    def close_list() -> None:
        if steps:
            blocks.append(f'<ol class="mc-steps">{"".join(steps)}</ol>')
            steps.clear()

    for line in text.splitlines(keepends=True):
        start, end = at, at + len(line.rstrip())
        at += len(line)
        if start >= end:
            continue
        step = _STEP.match(text, start, end)
        if step:
            steps.append(f'<li value="{int(step[1])}" dir="auto">{annotate(text, marks, step.end(), end)}</li>')
        else:
            close_list()
            blocks.append(f'<p dir="auto">{annotate(text, marks, start, end)}</p>')
    close_list()
    return "".join(blocks)


def whole_steps(text: str) -> str:
    """The text without a number at its end whose step has not begun."""
    return _HALF_STEP.sub("", text)


def case_html(view: TurnView) -> str:
    """Patient context and question, with the findings recognised in them."""
    found = view.grounding.recognised if view.grounding else ()
    # A finding of an earlier turn has negative places: it is listed, but not marked here.
    marks = [Mark(f.start, f.end, "denied" if f.negated else "present", f.name) for f in found if f.start >= 0]
    whole = case_text(view.question, view.context)
    begin = len(whole) - len(view.question.strip())
    context = ""
    if begin:
        lines = annotate(whole, marks, 0, begin).rstrip()
        context = f'<p class="mc-context" dir="auto"><span class="mc-tag">Patient context</span> {lines}</p>'
    question = f'<p class="mc-words" dir="auto">{annotate(whole, marks, begin)}</p>'
    return f'<div class="mc-question">{context}{question}</div>'


def recognised_html(grounding: Grounding | None) -> str:
    """The box with what was recognised in the case; nothing when nothing looked for it."""
    if grounding is None:
        return ""
    parts = ['<h3 class="mc-title">Recognised in this case</h3>']
    if grounding.outside:
        parts.append(
            '<p class="mc-badge mc-outside">Outside what I know</p>'
            '<p><button type="button" class="mc-link" data-do="knows">See what it knows</button></p>'
        )
    if grounding.asked_about:
        parts.append(f"<p>Asked about: {escape(grounding.asked_about)}</p>")
    parts.append(_findings("Present", "present", grounding.present))
    parts.append(_findings("Denied", "denied", grounding.denied))
    if not grounding.recognised and not grounding.asked_about:
        parts.append("<p>No finding that I know.</p>")
    if grounding.near and (grounding.recognised or not grounding.asked_about):  # asking for a definition is no case
        bars = "".join(_bar(near.name, near.probability) for near in grounding.near)
        parts.append(f'<h4>Near conditions</h4><ul class="mc-bars">{bars}</ul>')
    return f'<div class="mc-recognised">{"".join(parts)}</div>'


def _findings(title: str, kind: MarkKind, names: Sequence[str]) -> str:
    if not names:
        return ""
    items = "".join(f'<li class="mc-{kind}">{escape(name)}</li>' for name in names)
    return f'<h4>{title}</h4><ul class="mc-findings">{items}</ul>'


def _bar(name: str, probability: float) -> str:
    percent = min(100, max(0, round(100 * probability)))
    number = "under 1 %" if percent < 1 else "over 99 %" if percent == 100 else f"{percent} %"
    return (
        f'<li><span class="mc-name">{escape(name)}</span><span class="mc-number">{number}</span>'
        f'<span class="mc-bar" aria-hidden="true"><span style="width:{percent}%"></span></span></li>'
    )


def reasoning_html(view: TurnView) -> str:
    """The reasoning as an accordion: open while it is written, closed with its duration afterwards."""
    if not view.reasoning.strip():
        return ""
    running = view.phase == "reasoning"
    text = whole_steps(view.reasoning) if running else view.reasoning
    marks = [Mark(start, end, "unsupported", name) for start, end, name in view.unsupported]
    steps = sum(1 for line in view.reasoning.splitlines() if _STEP.match(line))
    facts = [counted(steps, "step")] if steps and not running else []
    if view.reasoning_ms is not None and not running:
        facts.append(duration(view.reasoning_ms))
    label = "Reasoning" + ('<span class="mc-dots" aria-hidden="true"></span>' if running else "")
    small = f'<span class="mc-small">{" · ".join(facts)}</span>'
    is_open = running or not view.solution.strip()
    return (
        f'<details class="mc-reasoning" data-key="{escape(view.answer_id)}"{" open" if is_open else ""}>'
        f'<summary id="reasoning-{view.position}">{label} {small}</summary>'
        f'<div class="mc-body">{prose(text, marks)}{_unsupported_note(view)}</div></details>'
    )


def _unsupported_note(view: TurnView) -> str:
    names = dict.fromkeys(name for _, _, name in view.unsupported)
    if not names:
        return ""
    listed = escape("; ".join(names))
    return f'<p class="mc-note">Underlined: cited in the reasoning, but not found in the case: {listed}.</p>'


def solution_html(view: TurnView) -> str:
    """The solution as a card; nothing before its first word."""
    if not view.solution.strip():
        return ""
    return f'<div class="mc-solution"><h3 class="mc-title">Solution</h3>{prose(view.solution)}</div>'


def state_html(view: TurnView) -> str:
    """What is to be known of an answer that has not begun, or did not come to its own end."""
    if view.phase == "waiting":
        return '<p class="mc-state">Waiting for the model<span class="mc-dots" aria-hidden="true"></span></p>'
    if view.phase == "stopped":
        kept = " What was written so far is kept." if view.reasoning or view.solution else ""
        return f'<p class="mc-state"><span class="mc-badge">Stopped</span>{kept}</p>'
    if view.phase == "cut":
        rest = '<span class="mc-rest"> Press Continue for the rest.</span>' if view.can_continue else ""
        return f'<p class="mc-state"><span class="mc-badge">Cut off</span>{rest}</p>'
    if view.phase == "failed":
        return f'<p class="mc-state mc-failed"><span class="mc-badge">Failed</span> {escape(view.error)}</p>'
    if not view.complete and view.phase == "done":
        return '<p class="mc-state"><span class="mc-badge">Incomplete</span> No solution was marked in the answer.</p>'
    return ""


def small_print(view: TurnView, own: Sampling | None = None) -> str:
    """Model, where the text was sent, times, length, speed, and settings that are not the model's own."""
    facts = [escape(view.model_name or view.model_id)]
    if view.external:
        facts.append(f'<span class="mc-external">sent to {escape(view.external)}</span>')
    if view.ttft_ms is not None:
        facts.append(f"first token after {duration(view.ttft_ms)}")
    if view.completion_tokens:
        facts.append(counted(view.completion_tokens, "token"))
    if view.tokens_per_s:
        facts.append(f"{view.tokens_per_s:,.0f} tokens/s")
    if view.total_ms is not None:
        facts.append(f"{duration(view.total_ms)} in all")
    facts += _other_settings(view.sampling, own)
    return f'<p class="mc-small mc-print">{" · ".join(facts)}</p>'


def _other_settings(sampling: Sampling | None, own: Sampling | None) -> list[str]:
    if sampling is None or own is None:
        return []
    values = {name: getattr(sampling, name) for name in _SETTINGS}
    return [_SETTINGS[name].format(value) for name, value in values.items() if value != getattr(own, name)]


def turn_html(view: TurnView, own: Sampling | None = None) -> str:
    """One question with its answer. own: how its model samples by itself, None when it is gone."""
    number = view.position + 1
    note = f'<p class="mc-note">{escape(view.note)}</p>' if view.note else ""
    red = CRITICAL if view.critical else ""
    answer = f"{red}{note}{reasoning_html(view)}{solution_html(view)}{state_html(view)}"
    print_ = "" if view.phase == "waiting" else small_print(view, own)
    several = " data-versions" if view.versions > 1 and view.phase in ENDED else ""
    return (
        f'<article class="mc-turn" id="turn-{view.position}" tabindex="-1" data-phase="{escape(view.phase)}"{several} '
        f'data-answer="{escape(view.answer_id)}" aria-label="Question {number}">'
        f'<h2 class="mc-vh">Question {number}</h2>'
        f'<div class="mc-asked">{case_html(view)}{question_controls(view)}</div>{recognised_html(view.grounding)}'
        f'<div class="mc-answer">{answer}{print_}{answer_controls(view)}</div></article>'
    )


def status_html(text: str, conversation_id: str = "") -> str:
    """A line that screen readers speak when it changes; the page's address follows its conversation."""
    key = escape(conversation_id)
    return f'<p role="status" aria-live="polite" class="mc-vh" data-conversation="{key}">{escape(text)}</p>'


def draft_html(question: str) -> str:
    """What stood in the field, for the page's scripts."""
    return f'<p data-draft="{escape(question)}"></p>'


def status_text(view: TurnView) -> str:
    """What is going on, in one sentence; it changes with the phase, not with each token."""
    sentences = {
        "waiting": "The question was sent. Waiting for the model.",
        "reasoning": "The model is reasoning.",
        "solution": "The solution is being written.",
        "stopped": "The answer was stopped.",
        "cut": "The answer was cut off.",
        "failed": f"The answer failed. {view.error}",
        "done": "The answer is complete.",
    }
    return sentences[view.phase]

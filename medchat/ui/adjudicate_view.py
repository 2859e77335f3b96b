"""An item to adjudicate as HTML: the answer or the pair, what each rater said, and the form of the decision."""

from collections.abc import Mapping, Sequence

from medchat.panel import SideView
from medchat.rubrics import SAFETY, Axis, Option
from medchat.study_views import AdjudicationTask, Given
from medchat.ui.common import escape
from medchat.ui.compare_vote import VOTES
from medchat.ui.transcript import prose

CRITICAL = '<span class="mc-badge mc-critical">critical</span>'
CRITICAL_WORD = "critical"
OPTIONAL = ' <span class="mc-small">optional</span>'


def task_html(task: AdjudicationTask) -> str:
    """The whole page of one item."""
    said = "".join(f"<li>{escape(why)}</li>" for why in task.why)
    base, state = (task.decision.id, "decided") if task.decision else ("", "to be decided")
    earlier = '<p class="mc-note">It is decided already. Saving adds a new decision and keeps the old one.</p>'
    return (
        f'<article class="mc-decide" data-kind="{escape(task.kind)}" aria-label="Item to adjudicate">'
        f'<div class="mc-reading"><h2 tabindex="-1" id="adjudicate-title">{escape(task.name)}: {state}</h2>'
        f'<div class="mc-differ-on"><p class="mc-small">Raters differ on:</p><ul class="mc-plain">{said}</ul></div>'
        f"{_asked(task)}{_answers(task)}{_given_html(task)}</div>"
        f'<form id="adjudicate-form" data-study="{escape(task.study_id)}" data-item="{escape(task.item_id)}" '
        f'data-base="{escape(base)}" data-made="{escape(f"{task.item_id}/{base}")}" '
        f'novalidate aria-label="Decision">{earlier if task.decision else ""}{_fields(task)}'
        '<label class="mc-label">Why (optional)<textarea name="comment" rows="3" maxlength="20000">'
        f"{escape(task.decision.comment if task.decision else '')}</textarea></label>"
        '<div class="mc-form-buttons"><button type="button" class="mc-button mc-primary" data-do="adjudicate-save" '
        'id="adjudicate-save">Save the decision <kbd aria-hidden="true">Ctrl Enter</kbd></button></div></form>'
        "</article>"
    )


def _asked(task: AdjudicationTask) -> str:
    source = task.task or task.view
    assert source is not None
    context = (
        f'<p class="mc-context" dir="auto"><span class="mc-tag">Patient context</span> {escape(source.context)}</p>'
        if source.context.strip()
        else ""
    )
    return f'<div class="mc-question">{context}<p class="mc-plain-text" dir="auto">{escape(source.question)}</p></div>'


def _answers(task: AdjudicationTask) -> str:
    if task.task is not None:
        answer = task.task.answer
        return _answer_html(answer.reasoning, answer.solution)
    assert task.view is not None
    sides = "".join(_side_html(side) for side in (task.view.left, task.view.right))
    return f'<div class="mc-two">{sides}</div>'


def _side_html(side: SideView) -> str:
    return (
        f'<section class="mc-one" aria-label="Answer {escape(side.label)}"><h3><span class="mc-letter">'
        f"{escape(side.label)}</span></h3>{_answer_html(side.reasoning, side.solution)}</section>"
    )


def _answer_html(reasoning: str, solution: str) -> str:
    thought = (
        f'<details class="mc-reasoning" open><summary>Reasoning</summary><div class="mc-body">{prose(reasoning)}</div>'
        "</details>"
        if reasoning.strip()
        else ""
    )
    said = prose(solution) if solution.strip() else '<p class="mc-state">The answer has no solution.</p>'
    return f'{thought}<div class="mc-solution"><h3 class="mc-title">Solution</h3>{said}</div>'


def _given_html(task: AdjudicationTask) -> str:
    """What each rater said, a column each, the rows on which they differ marked; then their comments."""
    raters = [one.rater for one in task.given]
    rows = "".join(_row(title, raters, cells) for title, cells in _rows(task) if any(cells))
    heads = "".join(f'<th scope="col">{escape(one.rater)}</th>' for one in task.given)
    comments = "".join(_comment(one) for one in task.given)
    said = f'<h3>Comments</h3><ul class="mc-comments">{comments}</ul>' if comments else ""
    return (
        '<section class="mc-given" aria-label="What the raters said"><h3>What the raters said</h3>'
        '<div class="mc-scroll" tabindex="0" role="region" aria-label="Judgements">'
        f'<table class="mc-table mc-small-table"><caption class="mc-vh">Judgements</caption><thead>'
        f'<tr><th scope="col">Question</th>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{said}</section>"
    )


def _rows(task: AdjudicationTask) -> list[tuple[str, list[str]]]:
    """Each question with what each rater answered, in words."""
    if task.view is not None:
        votes = ("Which is better?", [VOTES[one.vote][0] if one.vote in VOTES else "" for one in task.given])  # type: ignore[index]
        axes = [
            (axis.question, [_label(axis, one.axes.get(axis.id, "")) for one in task.given])
            for axis in task.rubric.axes
        ]
        flags = ("Flagged", [", ".join(flag.upper() for flag in one.flags) for one in task.given])
        return [votes, *axes, flags]
    scores = [
        (axis.question, [_label(axis, one.scores.get(axis.id, "")) for one in task.given]) for axis in task.rubric.axes
    ]
    harm = [
        (SAFETY.harm_extent.question, [_label(SAFETY.harm_extent, one.harm_extent) for one in task.given]),
        (SAFETY.harm_likelihood.question, [_label(SAFETY.harm_likelihood, one.harm_likelihood) for one in task.given]),
        ("Critical", [CRITICAL_WORD if one.critical else "" for one in task.given]),
        ("Could not rate", [one.cannot_rate for one in task.given]),
    ]
    return [*scores, *harm]


def _row(title: str, raters: Sequence[str], cells: Sequence[str]) -> str:
    differ = " class=mc-differ" if len(set(cells)) > 1 else ""
    body = "".join(
        f'<td data-label="{escape(rater)}">{CRITICAL if cell == CRITICAL_WORD else escape(cell) or "–"}</td>'
        for rater, cell in zip(raters, cells, strict=True)
    )
    return f'<tr{differ}><th scope="row">{escape(title)}</th>{body}</tr>'


def _label(axis: Axis, value: str) -> str:
    option = next((option for option in axis.options if option.value == value), None)
    return option.label if option else value


def _comment(one: Given) -> str:
    marks = f"Marked: {'; '.join(one.marks)}" if one.marks else ""
    parts = [one.comment, marks, f"Would have answered: {one.correction}" if one.correction else ""]
    said = "<br>".join(escape(part) for part in parts if part.strip())
    return f'<li dir="auto"><strong>{escape(one.rater)}</strong>: {said}</li>' if said else ""


def _fields(task: AdjudicationTask) -> str:
    decided = task.decision.decision if task.decision else {}
    if task.view is not None:
        options = [Option(vote, words) for vote, (words, _) in VOTES.items()]
        return _radios("vote", "Which answer is better?", options, str(decided.get("vote", "")))
    scores: Mapping[str, str] = decided.get("scores", {})
    axes = "".join(
        _radios(f"axis-{axis.id}", axis.question, axis.options, str(scores.get(axis.id, "")), axis.help, axis.required)
        for axis in task.rubric.axes
    )
    harm = "".join(
        _radios(axis.id, axis.question, axis.options, str(decided.get(axis.id, "")), axis.help)
        for axis in (SAFETY.harm_extent, SAFETY.harm_likelihood)  # studies.css: the second only where there is harm
    )
    checked = " checked" if decided.get("critical") else ""
    return (
        f'{axes}<h3 class="mc-title">Safety</h3>{harm}<label class="mc-pick"><input type="checkbox" name="critical" '
        f'id="adjudicate-critical"{checked}><span>{escape(SAFETY.critical)}</span></label>'
    )


def _radios(
    name: str, question: str, options: Sequence[Option], chosen: str, about: str = "", required: bool = True
) -> str:
    told = f'<p class="mc-small">{escape(about)}</p>' if about else ""
    made = "".join(
        f'<label class="mc-option" title="{escape(option.help)}"><input type="radio" name="{escape(name)}" '
        f'value="{escape(option.value)}"{" checked" if option.value == chosen else ""}>'
        f"<span>{escape(option.label)}</span></label>"
        for option in options
    )
    return (
        f'<fieldset class="mc-axis"><legend>{escape(question)}{"" if required else OPTIONAL}</legend>{told}'
        f'<div class="mc-options">{made}</div></fieldset>'
    )

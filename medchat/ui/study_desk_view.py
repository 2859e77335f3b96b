"""A rater's desk as HTML: pure functions from what the desk's service hands out to escaped text.

Nothing here names a model, and no id but a study's, an assignment's and a calibration task's reaches the page.
"""

from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid4

from medchat.panel_views import PanelView
from medchat.rubrics import SAFETY, Axis, Rubric
from medchat.study_views import (
    CalibrationResult,
    CalibrationTask,
    Consent,
    DeskStep,
    Finished,
    MyStudy,
    NotOpen,
    PairTask,
    Place,
    RateTask,
)
from medchat.ui import rate_form
from medchat.ui.common import counted, escape
from medchat.ui.compare_vote import ASK, VOTES, Around
from medchat.ui.rate_form import Move

ROOT = "desk"  # what ids of the desk and of its rating form begin with
PAIR = "pair"  # and those of its vote on two answers
KEYS = (
    *((key, text) for key, text in rate_form.KEYS if key not in ("s", "b")),
    ("b", "back to the answer before; on a pair it is the vote for B"),
    ("a b t x", "on a pair: A better, B better, a tie, both bad"),
    ("Enter", "on a pair: save the vote"),
    ("n", "on one that you have done: go on to where you were"),
)
NONE = (
    '<div class="mc-rate-none"><p><strong>You take part in no study.</strong></p>'
    "<p>When an investigator adds you to one, it stands here.</p></div>"
)
SILENT = "(This answer is empty.)"
AGREED = "You have agreed to this."
BACK = '<button type="button" class="mc-button" data-do="desk-back">Back</button>'
LIST = '<button type="button" class="mc-button" data-do="desk-list">My studies</button>'


def mine_html(studies: Sequence[MyStudy]) -> str:
    """The rater's studies, each with how far they are and the way in."""
    if not studies:
        return NONE
    rows = "".join(map(_mine, studies))
    return f'<h2 class="mc-desk-title">My studies</h2><ul class="mc-desk-mine">{rows}</ul>'


def _mine(study: MyStudy) -> str:
    words, button = _state(study)
    open_ = (
        f'<button type="button" class="mc-button {"mc-primary" if study.step not in ("finished", "not open") else ""}" '
        f'data-do="desk-open" data-study="{escape(study.id)}" aria-label="{button}: {escape(study.name)}">'
        f"{button}</button>"
        if button
        else ""
    )
    return (
        f'<li><span class="mc-name" dir="auto">{escape(study.name)}</span>'
        f'<span class="mc-desk-state">{words}</span>{progress_html(study.done, study.total)}{open_}</li>'
    )


def _state(study: MyStudy) -> tuple[str, str]:
    """Where the rater is in a study, in words, and what the button to it says, "" for none."""
    left = study.total - study.done
    far = f"{study.done} of {study.total} done · {left} left"
    if study.status == "closed" or study.step == "not open":
        words = "closed" if study.status == "closed" else "you take no part any more"
        return f"{study.done} of {study.total} done · {words}", ""
    if study.step == "finished":
        return f"all {study.total} done", "Look again"
    begun = {"consent": ("not begun", "Begin"), "calibration": ("first some practice", "Continue")}
    words, button = begun.get(study.step, ("", "Continue" if study.done else "Begin"))
    return (f"{words} · {far}" if words else far), button


def progress_html(done: int, total: int) -> str:
    """A bar; nothing where there is nothing to do."""
    return (
        f'<progress class="mc-desk-bar" max="{total}" value="{done}" aria-label="{done} of {total} done"></progress>'
        if total
        else ""
    )


def head_html(step: DeskStep, rater: str, is_asked: bool = True) -> str:
    """Which study it is, and where in it the rater is: not any more once a practice task was answered.

    data-item: of a calibration task, "" in the study itself.
    """
    item = step.item_id if isinstance(step, CalibrationTask) and is_asked else ""
    task = step.task if isinstance(step, CalibrationTask) else step
    place, at = None, ""
    if isinstance(task, RateTask | PairTask) and is_asked:
        place, at = task.place, task.assignment_id
    bar = progress_html(place.done, place.total) if place else ""
    told = f'<p class="mc-place" role="status">{place_text(place, practice=bool(item))}</p>{bar}' if place else ""
    keys = (
        '<button type="button" class="mc-button" data-do="rate-help">Keys <kbd>?</kbd></button>' if place else ""
    )  # rate.js opens the sheet
    return (
        f'<div class="mc-desk-head" id="desk-place" data-study="{escape(step.study_id)}" data-item="{escape(item)}" '
        f'data-at="{escape(at)}" data-rater="{escape(rater)}">{LIST}'
        f'<h2 class="mc-desk-title" dir="auto">{escape(step.name)}</h2>{told}{keys}</div>'
    )


def place_text(place: Place, practice: bool = False) -> str:
    """Where the rater is, in words."""
    at = f"{'Practice ' if practice else ''}{place.position} of {place.total}"
    return f"{at} · {place.done} done · {place.left} left"


def about_html(consent: str, instructions: str) -> str:
    """What was read at the start, to be read again; nothing where there was nothing."""
    parts = _texts(instructions, consent)
    if not parts:
        return ""
    agreed = f'<p class="mc-small">{AGREED}</p>' if consent.strip() else ""
    summary = "Instructions and consent" if instructions.strip() and consent.strip() else "Instructions"
    if not instructions.strip():
        summary = "Consent"
    return f'<details class="mc-add mc-desk-about"><summary>{summary}</summary>{parts}{agreed}</details>'


def _texts(instructions: str, consent: str) -> str:
    named = (("Instructions", instructions), ("Consent", consent))
    return "".join(
        f'<section><h3 class="mc-title">{title}</h3><p class="mc-words" dir="auto">{escape(text)}</p></section>'
        for title, text in named
        if text.strip()
    )


def consent_html(consent: Consent) -> str:
    """What is read before anything else, and the way on."""
    button = "I agree, begin" if consent.text.strip() else "Begin"
    return (
        f'<div class="mc-desk-sheet">{_texts(consent.instructions, consent.text)}'
        '<p class="mc-small">You can leave at any time and come back, also on another device: your place and what you '
        "have entered are kept. Which model wrote what is not told before the study is closed.</p>"
        f'<div class="mc-form-buttons"><button type="button" class="mc-button mc-primary" data-do="desk-agree" '
        f'id="desk-agree">{button}</button></div></div>'
    )


def rate_html(task: RateTask, rater: str, note: str = "") -> str:
    """An answer with its form. note: what has to be said before it, as HTML."""
    moves: list[Move] = ["skip"] if task.amends else []
    if task.may_go_back:
        moves.append("back")
    return note + rate_form.task_html(task.task, rater, moves)


def practice_note(step: CalibrationTask) -> str:
    """That this is practice, and whether it is the second try."""
    again = " You have answered it before: try again." if step.again else ""
    return (
        '<p class="mc-note mc-desk-note">Practice: the right answer to this one is known, and you are told it '
        f"afterwards. It does not count as a judgement.{again}</p>"
    )


def around(task: PairTask) -> Around:
    """How the vote of the Compare tab stands on the desk."""
    has_axes = bool(task.rubric.axes)
    more = BACK if task.may_go_back else ""
    return Around(PAIR, task.amends, more, is_open=has_axes, is_required=has_axes and task.all_axes)


def cannot_html() -> str:
    """Where a rater says why a pair cannot be judged."""
    return (
        '<details class="mc-cannot"><summary>Cannot judge</summary><label class="mc-label">Why not? '
        '<input type="text" id="pair-cannot" maxlength="2000"></label>'
        '<button type="button" class="mc-button" data-do="desk-cannot">Save the reason and go on</button></details>'
    )


def result_html(result: CalibrationResult, rubric: Rubric | None) -> str:
    """How a practice task went, and the way on. rubric: in whose words; None where it is not known any more."""
    head = "Right." if result.right else "Not as expected."
    rows = "".join(_row(axis, result, rubric) for axis in result.expected)
    table = f"<table><thead><tr><th>Asked</th><th>You</th><th>Expected</th></tr></thead><tbody>{rows}</tbody></table>"
    why = f'<p class="mc-words" dir="auto">{escape(result.why)}</p>' if result.why.strip() else ""
    return (
        f'<div class="mc-desk-sheet mc-desk-result" data-right="{str(result.right).lower()}">'
        f'<h3 class="mc-desk-verdict">{head}</h3>{table}{why}<p>{_so_far(result)}</p>'
        '<div class="mc-form-buttons"><button type="button" class="mc-button mc-primary" id="desk-go" '
        'data-do="desk-go">Go on <kbd>n</kbd></button></div></div>'
    )


def _so_far(result: CalibrationResult) -> str:
    told = f"{result.n_right} of {counted(result.n, 'practice task')} right so far."
    if result.passed is None:
        return told
    return f"{told} You have passed: the study begins." if result.passed else f"{told} That is too few: try again."


def _row(axis_id: str, result: CalibrationResult, rubric: Rubric | None) -> str:
    given, expected = result.given.get(axis_id, ""), result.expected[axis_id]
    asked = (*(rubric.axes if rubric else ()), SAFETY.harm_extent, SAFETY.harm_likelihood)
    axis = next((axis for axis in asked if axis.id == axis_id), None)
    question = axis.question if axis else (ASK if axis_id == "vote" else axis_id)
    words = [_label(axis_id, axis, value) for value in (given, expected)]
    same = ' class="mc-same"' if result.right or given == expected else ""
    cells = "".join(f'<td dir="auto">{escape(text)}</td>' for text in words)
    return f'<tr{same}><th scope="row" dir="auto">{escape(question)}</th>{cells}</tr>'


def _label(axis_id: str, axis: Axis | None, value: str) -> str:
    if not value:
        return "no answer"
    if axis_id == "vote":
        return next((words for vote, (words, _) in VOTES.items() if vote == value), value)
    option = next((option for option in axis.options if option.value == value), None) if axis else None
    if option is None:
        return value
    return f"{option.label}: {option.help}" if option.help and option.label == value else option.label


def finished_html(done: Finished, rater: str) -> str:
    """The end: nothing is left."""
    amend = (
        '<p>The study is closed: nothing can be changed any more.</p><div class="mc-form-buttons">'
        if done.closed
        else "<p>Until the study is closed you can go back and change what you have said.</p>"
        f'<div class="mc-form-buttons">{BACK if done.done else ""}'
    )
    return (
        f'<div class="mc-rate-none" data-rater="{escape(rater)}"><p><strong>You have finished. Thank you.</strong></p>'
        f"<p>{done.done} of {counted(done.total, 'task')} done.</p>{amend}{LIST}</div></div>"
    )


def not_open_html(step: NotOpen) -> str:
    """Why there is nothing to do."""
    return f'<div class="mc-rate-none"><p><strong>{escape(step.text)}</strong></p>{LIST}</div>'


def votable(pair: PanelView) -> PanelView:
    """The pair, in which an answer without a word says so: it can be voted on as any other."""
    sides = [side if side.has_text else replace(side, solution=SILENT) for side in (pair.left, pair.right)]
    return replace(pair, left=sides[0], right=sides[1])


def refused_html(text: str) -> str:
    """Why a save was refused, for the form's script: another one each time, so that the page sees it come."""
    return f'<p class="mc-vh" data-refused="{uuid4().hex}">{escape(text)}</p>'


def not_kept_html(number: str, why: str) -> str:
    """That the draft of this number has no place any more, for rate.js: it is not sent again."""
    return f'<p class="mc-vh" data-kept="{escape(number)}">Draft not kept: {escape(why)}</p>'

"""The buttons of a turn as HTML. chat's scripts send what is pressed; see actions.py for who does it.

An id names the place, not the answer: the focus stays where it was when another version is shown.
"""

from medchat.store.records import THUMB_REASONS
from medchat.turns import ENDED, TurnView
from medchat.ui.common import escape

PRAISE = ("correct", "clear reasoning", "helpful")
THUMB_NAMES = {"up": "Good answer", "down": "Poor answer"}


def question_controls(view: TurnView) -> str:
    """Edit, and the way to other wordings of this question; nothing while its answer is being written."""
    if view.phase not in ENDED:
        return '<div class="mc-controls mc-edits"></div>'
    place = view.position
    arrows = _arrows("branch", "Question", place, view.branch, view.branches, view.previous_branch, view.next_branch)
    edit = _button("edit", "Edit", f"edit-{place}", f"Edit question {place + 1}", view.answer_id)
    return f'<div class="mc-controls mc-edits">{arrows}{edit}</div>'


def answer_controls(view: TurnView) -> str:
    """Versions, copies, another version, the rest, thumbs and deletion; an empty row while it is being written."""
    if view.phase not in ENDED:
        return '<div class="mc-controls"></div>'
    place, answer = view.position, view.answer_id
    parts = [
        _arrows("version", "Version", place, view.version, view.versions, view.previous_version, view.next_version)
    ]
    if view.can_continue:
        parts.append(_button("continue", "Continue", f"continue-{place}", "Continue the answer", answer))
    parts.append(_button("regenerate", "Regenerate", f"regenerate-{place}", f"Regenerate answer {place + 1}", answer))
    if view.solution.strip():
        parts.append(_button("copy-solution", "Copy solution", f"copy-solution-{place}"))
    if view.solution.strip() or view.reasoning.strip():
        parts.append(_button("copy-all", "Copy all", f"copy-all-{place}"))
    parts += [_thumb(view, "up"), _thumb(view, "down")]
    parts.append(_button("delete-answer", "Delete", f"delete-{place}", f"Delete answer {place + 1}", answer))
    return f'<div class="mc-controls" role="group" aria-label="Answer {place + 1}">{"".join(parts)}</div>{_why(view)}'


def _button(verb: str, text: str, element_id: str, label: str = "", answer: str = "") -> str:
    """label: what screen readers say instead of the text; it begins as the text does."""
    named = f' aria-label="{escape(label)}"' if label else ""
    about = f' data-answer="{escape(answer)}"' if answer else ""
    return f'<button type="button" id="{element_id}" data-do="{verb}"{about}{named}>{text}</button>'


def _arrows(kind: str, noun: str, place: int, number: int, numbers: int, earlier: str, later: str) -> str:
    """Back, "2 of 3" and on; nothing where there is only one."""
    if numbers < 2:
        return ""

    def arrow(direction: str, sign: str, answer: str) -> str:
        # One that leads nowhere keeps the focus: Gradio's new frame must not throw its reader to the page's top.
        target = f'data-do="show" data-answer="{escape(answer)}"' if answer else 'aria-disabled="true"'
        label = f"{direction} {kind} of {'question' if kind == 'branch' else 'answer'} {place + 1}"
        return (
            f'<button type="button" id="{kind}-{direction.lower()}-{place}" class="mc-arrow mc-{direction.lower()}" '
            f'{target} aria-label="{label}"><span aria-hidden="true">{sign}</span></button>'
        )

    return (
        f'<span class="mc-arrows mc-{kind}">{arrow("Previous", "‹", earlier)}'
        f'<span class="mc-count"><span class="mc-vh">{noun} </span>{number} of {numbers}</span>'
        f"{arrow('Next', '›', later)}</span>"
    )


def _thumb(view: TurnView, way: str) -> str:
    pressed = "true" if view.thumb == way else "false"
    return (
        f'<button type="button" id="thumb-{way}-{view.position}" class="mc-thumb mc-thumb-{way}" data-do="thumb" '
        f'data-thumb="{way}" data-answer="{escape(view.answer_id)}" aria-pressed="{pressed}" '
        f'title="{THUMB_NAMES[way]}"><span class="mc-vh">{THUMB_NAMES[way]}</span></button>'
    )


def _why(view: TurnView) -> str:
    """The reasons for a thumb, each pressed or not, and a comment."""
    if not view.thumb:
        return ""
    place = view.position
    reasons = [reason for reason in THUMB_REASONS if (reason in PRAISE) == (view.thumb == "up")]
    chips = "".join(
        f'<button type="button" id="reason-{number}-{place}" class="mc-chip" data-do="reason" '
        f'data-reason="{escape(reason)}" aria-pressed="{str(reason in view.thumb_reasons).lower()}">'
        f"{escape(reason[:1].upper() + reason[1:])}</button>"
        for number, reason in enumerate(reasons)
    )
    said = [*view.thumb_reasons, *([f"“{view.thumb_comment}”"] if view.thumb_comment else [])]
    told = escape(": " + ", ".join(said)) if said else ""
    return (
        f'<details class="mc-why" data-key="why-{escape(view.answer_id)}" data-answer="{escape(view.answer_id)}" '
        f'data-thumb="{escape(view.thumb)}"><summary id="why-{place}">{THUMB_NAMES[view.thumb]}{told}</summary>'
        f'<div class="mc-body"><div class="mc-chips" role="group" aria-label="Reasons">{chips}</div>'
        f'<div class="mc-comment"><input type="text" id="comment-{place}" maxlength="2000" '
        f'aria-label="Comment on answer {place + 1}" placeholder="Comment (optional)" '
        f'value="{escape(view.thumb_comment)}">'
        f'<button type="button" id="save-comment-{place}" data-do="comment">Save</button></div></div></details>'
    )

"""The samples that wait for reviewers, how far one is, and what can be made of it in the end, as HTML."""

from collections.abc import Sequence
from uuid import uuid4

from medchat.ui.common import counted, escape
from medchat.ui.job_views import rough_duration
from medchat.ui.review_desk import Opened, Waits
from train.review import MOST_REVIEWERS, Progress

NONE = "No rows wait for a review. They come from “Check quality” of a data set, which draws a sample for people."
INTRO = (
    '<p class="mc-intro">Rows of training data that people look at before a model learns from them. '
    "Your decisions are added to those of others; nothing is overwritten.</p>"
)
LIST = '<button type="button" class="mc-button" data-do="review-list" id="review-list-button">All samples</button>'
HELP = '<button type="button" class="mc-button" data-do="review-help">Keys <kbd aria-hidden="true">?</kbd></button>'


def list_html(waiting: Sequence[Waits], reviewer: str, *, told: str = "", may_finish: bool = False) -> str:
    """The samples; each with the way in, where there is something to do. told: why the list is shown, "" for nothing.

    may_finish: the reader prepares data, and so applies the decisions of others.
    """
    rows = "".join(_waits_html(one, may_finish=may_finish) for one in waiting)
    why = f'<p class="mc-fault" role="alert">{escape(told)}</p>' if told else ""
    listed = f'<ul class="mc-desk-mine">{rows}</ul>' if rows else f'<p class="mc-note" role="note">{NONE}</p>'
    return f'<h2 id="review-title" tabindex="-1" data-reviewer="{escape(reviewer)}">Review</h2>{why}{INTRO}{listed}'


def _waits_html(one: Waits, *, may_finish: bool) -> str:
    name = escape(one.name)
    if one.progress is None:
        return f'<li><span class="mc-name" dir="auto">{name}</span><p class="mc-fault">{escape(one.fault)}</p></li>'
    now = one.progress
    words = [f"{now.decided:,} of {counted(now.total, 'row')} decided", f"{now.mine:,} looked at by you"]
    words += [f"{one.others:,} by others", f"{now.left:,} left for you"]
    words += [f"reviewers differ on {now.disputed:,}"] if now.disputed else []
    words += ["two reviewers a row"] if one.n > 1 else []
    own = "Continue" if now.mine else "Begin"
    verb = own if now.left else "Look again" if now.mine else "Open" if may_finish else ""
    look = "mc-button mc-primary" if now.left else "mc-button"
    way = (
        f'<button type="button" class="{look}" data-do="review-open" data-folder="{name}" id="review-open-{name}" '
        f'aria-label="{verb}: {name}">{verb}</button>'
        if verb
        else '<span class="mc-small">Done</span>'
    )
    return (
        f'<li><span class="mc-name" dir="auto">{name}</span><span class="mc-desk-state">{" · ".join(words)}</span>'
        f"{_bar_html(now)}{way}</li>"
    )


def head_html(opened: Opened, now: Progress, reviewer: str, disputes: int) -> str:
    """How far the sample is. disputes: rows on which another reviewer says something else than this one."""
    left = f"{now.left:,} left for you"
    if now.left and now.mine and (pace_s := _own_pace(opened, reviewer)):
        left += f", about {rough_duration(pace_s * now.left)} at your pace"
    done = [f"{now.decided:,} of {counted(now.total, 'row')} decided"]
    done += [f"{counted(now.waiting, 'row')} seen by one of two"] if now.waiting else []
    done += [f"reviewers differ on {now.disputed:,}"] if now.disputed else []
    differ = (
        '<button type="button" class="mc-button" data-do="review-go" data-way="differ" id="review-differ">Another '
        f"reviewer differs on {counted(disputes, 'row')} of yours: look again</button>"
        if disputes
        else ""
    )
    return (
        f'<div class="mc-desk-head mc-review-head" id="review-place" data-folder="{escape(opened.name)}" '
        f'data-reviewer="{escape(reviewer)}"><h2 class="mc-desk-title" dir="auto" id="review-title" tabindex="-1">'
        f'{escape(opened.name)}</h2><p class="mc-place" role="status">{now.mine:,} decided by you · {left}</p>'
        f'{_bar_html(now)}{LIST}{HELP}</div><p class="mc-small">All reviewers: {" · ".join(done)}.</p>{differ}'
    )


def thanks_html(opened: Opened, now: Progress, reviewer: str) -> str:
    """What stands in the place of a row when none waits any more."""
    own = [review for review in opened.reviews if review.reviewer == reviewer]
    made = {name: sum(review.decision == name for review in own) for name in ("keep", "fix", "drop")}
    spent = rough_duration(sum(review.seconds for review in own))
    if own:
        said = f"{made['keep']:,} kept, {made['fix']:,} fixed, {made['drop']:,} dropped"
        told = f"<strong>Thank you.</strong> You decided on {counted(len(own), 'row')}: {said}, in {spent}."
    else:
        told = "<strong>Nothing waits for you here.</strong> Others have decided on these rows."
    waits = []
    waits += [f"{counted(now.waiting, 'row')} still to be seen by a second reviewer"] if now.waiting else []
    waits += [f"{counted(now.disputed, 'row')} on which reviewers differ"] if now.disputed else []
    more = f"<p>Others are not done: {', '.join(waits)}.</p>" if waits else ""
    back = (
        '<button type="button" class="mc-button" data-do="review-go" data-way="back" id="review-back">Look at your '
        'last decision <kbd aria-hidden="true">p</kbd></button>'
        if own
        else ""
    )
    return (
        f'<div class="mc-rate-none mc-review-none" data-made="{uuid4().hex}"><p id="review-row-title" tabindex="-1">'
        f'{told}</p>{more}<div class="mc-form-buttons">{back}{LIST}</div></div>'
    )


def finish_html(opened: Opened, now: Progress) -> str:
    """For who prepares the data: how many look at a row, and what is made of the decisions."""
    name = escape(opened.name)
    options = "".join(
        f'<label class="mc-option"><input type="radio" name="reviewers" value="{n}"'
        f"{' checked' if n == opened.n else ''}><span>{words}</span></label>"
        for n, words in zip(range(1, MOST_REVIEWERS + 1), ("One", "Two, a third where they differ"), strict=True)
    )
    made = " · ".join(f"{n:,} {name}" for name, n in now.decisions.items())
    open_rows = now.total - now.decided
    told = f"{now.decided:,} of {counted(now.total, 'row')} decided: {made}."
    if open_rows:
        told += (
            " Of the rows not decided yet those with a flag are left out, and so are those that somebody would drop or"
            " fix; the others stay."
        )
    return (
        f'<details class="mc-fold mc-review-finish" data-key="review-finish"{"" if open_rows else " open"}>'
        '<summary id="review-finish-summary">For who prepares the data: apply the decisions</summary>'
        '<fieldset data-of="reviewers"><legend>Reviewers for each row</legend>'
        f'<div class="mc-options">{options}</div></fieldset><p>{told}</p><div class="mc-form-buttons">'
        f"{_finish('apply', 'Apply the decisions', name, 'mc-button mc-primary')}"
        f"{_finish('freeze', 'Freeze as validation', name)}</div></details>"
    )


def kept_html(number: str, told: str) -> str:
    """What became of the draft of this number, for review.js."""
    return f'<p data-kept="{escape(number)}">{escape(told)}</p>'


def refused_html(number: str, why: str, newer: str = "") -> str:
    """Why what was sent under this number was not done. newer: the decision that the next save may replace."""
    return f'<p data-refused="{escape(number)}" data-newer="{escape(newer)}">{escape(why)}</p>'


def _finish(verb: str, words: str, name: str, look: str = "mc-button") -> str:
    return (
        f'<button type="button" class="{look}" data-do="review-{verb}" data-folder="{name}" id="review-{verb}">'
        f"{words}</button>"
    )


def _own_pace(opened: Opened, reviewer: str) -> float:
    """Seconds a row of this reviewer, 0.0 where that is not known."""
    own = [review.seconds for review in opened.reviews if review.reviewer == reviewer]
    return sum(own) / len(own) if own else 0.0


def _bar_html(now: Progress) -> str:
    done = now.total - now.left
    return (
        f'<progress class="mc-desk-bar" max="{max(1, now.total)}" value="{done}" aria-label="Rows that wait for you no '
        f'more">{done} of {now.total}</progress>'
    )

"""Runs as HTML, of whatever kind: their list, how each is, and what to do about one that did not end well.

Buttons carry data-do with the tab's prefix and data-run with the run's id: the tab's script sends them on.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

from medchat.accounts import LOCAL, TERMINAL, User
from medchat.jobs import BEFORE_IT_BEGAN, JobView
from medchat.run_state import ENDED, LIVING, RunState, Status, stage_words
from medchat.rundir import ENDED_BY_FORCE
from medchat.store.records import UserRecord
from medchat.ui.common import counted, escape

WORDS: Mapping[Status, str] = {
    "queued": "Waiting",
    "starting": "Starting",
    "running": "Running",
    "stopping": "Stopping",
    "done": "Done",
    "failed": "Failed",
    "stopped": "Stopped",
    "lost": "Lost",
}
TO_DO: Mapping[Status, str] = {
    "failed": "Put right what the line above says, then resume the run. To change its settings, clone it.",
    "lost": "Resumed, it goes on from its last checkpoint.",
    "stopped": "Resume the run to go on from where it was saved.",
}
FROM_BEFORE = "Resumed, it does that part again and goes on from what it had saved before."


def names_of(users: Sequence[UserRecord]) -> dict[str, str]:
    """The names of owners by their ids."""
    return {LOCAL.id: "the local user", TERMINAL: "the command line"} | {user.id: user.name for user in users}


def owner_name(owner: str, names: Mapping[str, str], reader: User) -> str:
    """Who began a run, for the reader."""
    return "you" if owner == reader.id else names.get(owner, "somebody whose account is gone")


def badge_html(status: Status) -> str:
    """The status in a word, with a colour that only repeats it."""
    return f'<span class="mc-badge mc-job-{status}">{WORDS[status]}</span>'


def meter_html(state: RunState) -> str:
    """How far a run has come, as a bar; nothing while the number of steps is not known."""
    if not state.steps or state.status not in LIVING:
        return ""
    percent = min(100, round(100 * state.step / state.steps))
    return (
        f'<div class="mc-meter" role="progressbar" aria-label="Steps" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{percent}"><span style="width: {percent}%"></span></div>'
    )


def place_words(view: JobView, left_s: float | None = None, doing: str = "") -> str:
    """Where a run is: its place in the line, its stage and step, and the time that the stage still takes.

    doing: what is told of one that is at work and in no stage yet.
    """
    state = view.state
    if state.status == "queued":
        ahead = (view.place or 1) - 1
        return f"{counted(ahead, 'run')} before it in line" if ahead else "next in line"
    parts = [stage_words(state.stage) or doing]
    if state.steps:
        parts.append(f"step {state.step:,} of {state.steps:,}")
    if left_s is not None and state.status == "running":
        parts.append(f"about {rough_duration(left_s)} left")
    return " · ".join(part for part in parts if part)


def rough_duration(seconds: float) -> str:
    """A time in one unit: 40 s, 12 min, 3.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def end_html(view: JobView, to_do: Mapping[Status, str] = TO_DO) -> str:
    """What a run says of itself in a line, and what to do about it; nothing while all is well.

    to_do: what is advised, by how it ended.
    """
    state = view.state
    said = f"<p>{escape(state.message)}</p>" if state.message else ""
    if state.status in to_do:
        can_resume = to_do[state.status] if view.job.argv else "It was begun on the command line: go on with it there."
        if state.message == ENDED_BY_FORCE and view.job.argv:
            can_resume = FROM_BEFORE
        elif state.message == BEFORE_IT_BEGAN:
            can_resume = "Resume puts it in line again."
        kind = "mc-leaves" if state.status == "stopped" else "mc-fault"
        return f'<div class="{kind}" role="note">{said}<p>{can_resume}</p></div>'
    return f'<div class="mc-small" role="note">{said}</div>' if said else ""


def buttons_html(view: JobView, prefix: str, *, may_begin: bool = True) -> str:
    """What can be done with a run as it is. may_begin: whether runs may be begun here."""
    status = view.state.status
    made = []
    if status in ("queued", "starting", "running"):
        made.append(_button(f"{prefix}-stop", view, "Stop", "Take it out of the line" if status == "queued" else ""))
    if status in ENDED and status != "done" and view.job.argv and may_begin:
        made.append(_button(f"{prefix}-resume", view, "Resume"))
    made.append(_button(f"{prefix}-clone", view, "Clone with changes"))
    if status in ENDED or status == "queued":
        made.append(_button(f"{prefix}-delete", view, "Delete"))
    return f'<div class="mc-form-buttons">{"".join(made)}</div>'


def runs_html(
    views: Sequence[JobView], prefix: str, *, shown: str, picked: Collection[str], names: Mapping[str, str],
    reader: User, empty: str,
) -> str:  # fmt: skip
    """The runs as a list, of which one is shown and some are picked to be compared. empty: what an empty one says."""
    if not views:
        return f'<p class="mc-note" role="note">{escape(empty)}</p>'
    rows = "".join(
        _row_html(view, prefix, owner_name(view.job.owner, names, reader), view.job.id == shown, view.job.id in picked)
        for view in views
    )
    return f'<ul class="mc-jobs">{rows}</ul>'


def _row_html(view: JobView, prefix: str, owner: str, is_shown: bool, is_picked: bool) -> str:
    run, name = escape(view.job.id), escape(view.job.name)
    return (
        f'<li class="mc-job"{" aria-current=true" if is_shown else ""}>'
        f'<input type="checkbox" data-do="{prefix}-pick" data-run="{run}" id="{prefix}-pick-{run}" '
        f'aria-label="Pick {name} to compare"{" checked" if is_picked else ""}>'
        f'<button type="button" data-do="{prefix}-watch" data-run="{run}" id="{prefix}-run-{run}">'
        f'<span class="mc-name" dir="auto">{name}</span> {badge_html(view.state.status)}'
        f'<span class="mc-small">{escape(_row_words(view, owner))}</span></button></li>'
    )


def moment_html(text: str | None) -> str:
    """A moment in UTC, as machines and people read it; "" for none."""
    if not text:
        return ""
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment:%Y-%m-%d %H:%M} UTC</time>'


def took_s(state: RunState) -> float | None:
    """How long a run has been at work, or was, since it was begun last; None for one that never began."""
    if not state.started_at:
        return None
    end = datetime.fromisoformat(state.ended_at) if state.ended_at else datetime.now(UTC)
    return max(0.0, (end - datetime.fromisoformat(state.started_at)).total_seconds())


def _row_words(view: JobView, owner: str) -> str:
    begun = datetime.fromisoformat(view.state.created_at or view.job.created_at or "1970-01-01T00:00:00+00:00")
    parts = [f"{begun.astimezone(UTC):%d %b %H:%M} UTC by {owner}"]
    if view.state.status not in ENDED:
        parts.append(place_words(view))
    return " · ".join(part for part in parts if part)


def _button(do: str, view: JobView, words: str, title: str = "") -> str:
    told, run = f' title="{title}"' if title else "", escape(view.job.id)
    return (
        f'<button type="button" class="mc-button" data-do="{do}" data-run="{run}" id="{do}-{run}"'
        f"{told}>{words}</button>"
    )

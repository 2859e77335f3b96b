"""Evaluation runs as cards: pure functions to escaped HTML. results.js takes their progress to the cards."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from medchat.accounts import User
from medchat.jobs import JobView
from medchat.run_state import ENDED, LIVING, RunState
from medchat.rundir import RunDir
from medchat.ui.common import counted, duration, escape
from medchat.ui.evaluations_speed import about_time
from medchat.ui.job_views import badge_html, moment_html, owner_name, took_s

SHOWN_ENDED = 5
SETTLING_S = 30.0  # in which what a run has found out is stored
TAIL_BYTES = 4096  # of progress.jsonl, in which its last line stands
LOG_CHARS = 8000


class Names(NamedTuple):
    """What things are called: users, models and suites, by id; and who reads it."""

    reader: User
    users: Mapping[str, str]
    models: Mapping[str, str]
    suites: Mapping[str, str]

    def of_stage(self, stage: str) -> str:
        """Of "model on suite" in progress.jsonl."""
        model, _, suite = stage.rpartition(" on ")
        return f"{self.models.get(model, model)} on {self.suites.get(suite, suite)}"


def runs_html(views: Sequence[JobView], names: Names, log_of: str, *, managed: bool, every: bool) -> str:
    """The runs that wait or are at work, and the newest of those that have ended; all of them where `every`.

    log_of: the run whose log is open. managed: whether the reader may stop and delete them.
    """
    if not views:
        return ""
    ended = [view for view in views if view.state.status in ENDED]
    shown = [
        view for view in views if every or view not in ended or view in ended[:SHOWN_ENDED] or view.job.id == log_of
    ]
    cards = "".join(_card(view, names, view.job.id == log_of, managed) for view in shown)
    more = ""
    if len(shown) < len(views):
        more = (
            '<button type="button" class="mc-button" id="run-all" data-do="results-every">'
            f"All {counted(len(views), 'run')}</button>"
        )
    return f'<h3>Runs</h3><ul class="mc-ev-runs">{cards}</ul>{more}'


def news_html(views: Sequence[JobView], names: Names, log_of: str) -> str:
    """What changes about the runs at work from moment to moment, for results.js, which shows it in their cards."""
    parts = "".join(
        f'<div data-run="{escape(view.job.id)}"><div class="mc-ev-progress">{progress_html(view, names)}</div>'
        f"{_log(view) if view.job.id == log_of else ''}</div>"
        for view in views
        if view.state.status in LIVING
    )
    return f"<div hidden>{parts}</div>"


def has_just_ended(state: RunState) -> bool:
    """Whether it has ended within the last moments."""
    ended = datetime.fromisoformat(state.ended_at) if state.ended_at else None
    return ended is not None and (datetime.now(UTC) - ended).total_seconds() < SETTLING_S


def standing(views: Sequence[JobView]) -> str:
    """Something else once a run has come, gone, or changed in more than its progress."""
    return "|".join(f"{view.job.id}:{view.state.status}:{view.place}:{view.state.ended_at}" for view in views)


def progress_html(view: JobView, names: Names) -> str:
    """How far a run is, with the time left, as far as it has said."""
    row = last_row(RunDir(view.path))
    if not row or not row.get("of"):
        return '<p class="mc-small">Loading the model and reading the suites…</p>'
    answered, of = int(row["answered"]), int(row["of"])
    parts = [f"{answered:,} of {counted(of, 'answer')}"]
    is_living = view.state.status in LIVING
    if row.get("per_s"):
        parts.append(f"{row['per_s']:.1f} answers a second")
    if is_living and row.get("left_s") is not None and answered < of:
        parts.append(f"{about_time(row['left_s'])} left")
    words, width = " · ".join(parts), min(100, int(100 * answered / of))
    stage = (
        f'<p class="mc-small">{escape(names.of_stage(str(row["stage"])))}</p>' if is_living and row.get("stage") else ""
    )
    return (
        f'<div role="progressbar" class="mc-meter" aria-label="{escape(view.job.name)}" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{width}" aria-valuetext="{words}"><span style="width:{width}%"></span>'
        f'</div><p class="mc-small">{words}</p>{stage}'
    )


def last_row(run_dir: RunDir) -> dict[str, Any] | None:
    """The last line of progress.jsonl; None before there is one."""
    size = run_dir.progress_file.stat().st_size if run_dir.progress_file.exists() else 0
    rows, _ = run_dir.progress_since(max(0, size - TAIL_BYTES))  # a line that it begins within is no JSON
    return rows[-1] if rows else None


def _card(view: JobView, names: Names, has_log: bool, managed: bool) -> str:
    job, state = view.job, view.state
    facts = _facts(state, escape(owner_name(job.owner, names.users, names.reader)))
    message = ""
    if state.message:
        look = "mc-small" if state.status == "stopped" else "mc-fault"
        message = f'<p class="{look}">{escape(state.message)}</p>'
    shown = state.status in LIVING or (state.status != "done" and last_row(RunDir(view.path)))
    progress = progress_html(view, names) if shown else ""
    return (
        f'<li class="mc-ev-run" data-run="{escape(job.id)}" data-status="{state.status}"><div class="mc-ev-run-head">'
        f"<h4>{escape(job.name)}</h4>{_badge(view)}</div>"
        f'<p class="mc-small">{facts}</p>{message}<div class="mc-ev-progress">{progress}</div>'
        f'<div class="mc-form-buttons">{_buttons(view, has_log, managed)}</div>{_log(view) if has_log else ""}</li>'
    )


def _badge(view: JobView) -> str:
    if view.place is None:
        return badge_html(view.state.status)
    return f'<span class="mc-badge">Waiting, {"next" if view.place == 1 else f"number {view.place}"} in line</span>'


def _buttons(view: JobView, has_log: bool, managed: bool) -> str:
    status, buttons = view.state.status, []
    if managed and status in ("queued", "starting", "running"):
        buttons.append(_button("stop", "Stop", view))
    if managed and status in ("stopped", "failed", "lost") and view.job.argv:
        buttons.append(_button("resume", "Resume", view))
    if _has_begun(view):
        buttons.append(_button("log", "Hide log" if has_log else "Log", view, expanded=str(has_log).lower()))
    if managed and (status in ENDED or status == "queued"):
        buttons.append(_button("delete", "Delete", view))
    return "".join(buttons)


def _button(verb: str, text: str, view: JobView, expanded: str = "") -> str:
    """What screen readers say begins as the text does."""
    state = f' aria-expanded="{expanded}"' if expanded else ""
    return (
        f'<button type="button" class="mc-button" id="run-{verb}-{escape(view.job.id)}" data-do="results-{verb}" '
        f'data-run="{escape(view.job.id)}" data-name="{escape(view.job.name)}"{state} '
        f'aria-label="{text}: {escape(view.job.name)}">{text}</button>'
    )


def _log(view: JobView) -> str:
    text = RunDir(view.path).log_tail(LOG_CHARS).strip() or "Nothing was printed yet."
    name = escape(view.job.name)
    return f'<pre class="mc-ev-log" tabindex="0" role="region" aria-label="Log: {name}">{escape(text)}</pre>'


def _has_begun(view: JobView) -> bool:
    return RunDir(view.path).log_file.exists()


def _facts(state: RunState, who: str) -> str:
    """When it was begun or asked for, by whom, and how long it took; HTML."""
    if not state.started_at:
        return f"asked for {moment_html(state.created_at)} by {who}"
    seconds = took_s(state)
    took = f", took {duration(1000 * seconds)}" if state.ended_at and seconds is not None else ""
    return f"begun {moment_html(state.started_at)} by {who}{took}"

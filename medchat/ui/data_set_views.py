"""Jobs on data and the data sets that there are, as HTML. data.js sends on what is pressed."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from medchat.accounts import User
from medchat.jobs import JobView
from medchat.run_state import ENDED
from medchat.ui import job_views
from medchat.ui.common import counted, escape
from medchat.ui.data_folders import Folder
from medchat.ui.data_forms import REFINING, TITLES
from medchat.ui.data_report import headline_html, links_html, rows_words

NO_RUNS = "Nothing was prepared here yet. Choose sources in “New data set”, then press Prepare."
NO_LOG = "Nothing was printed yet."
NO_SETS = "No data set yet."


def runs_html(views: Sequence[JobView], shown: str, names: Mapping[str, str], reader: User) -> str:
    """The jobs as a list, of which one is shown."""
    if not views:
        return f'<h2>Jobs</h2><p class="mc-note" role="note">{NO_RUNS}</p>'
    rows = "".join(_run_html(view, shown, job_views.owner_name(view.job.owner, names, reader)) for view in views)
    return f'<h2>Jobs</h2><ul class="mc-data-list">{rows}</ul>'


def head_html(view: JobView, owner: str, left_s: float | None, doing: str, out: str) -> str:
    """The job that is shown: how far it is and what can be done. out: the data set that came out, "" for none yet."""
    state = view.state
    words = _at_work(view, left_s, doing) if state.status not in ENDED else ""
    where = f'<p class="mc-job-words">{escape(words)}</p>' if words else ""
    opened = (
        f'<button type="button" class="mc-button mc-primary" data-do="data-open" data-folder="{escape(out)}" '
        f'id="data-to-set">Open {escape(out)}</button>'
        if out
        else ""
    )
    return (
        f'<section class="mc-job-head" aria-label="Job"><h3 tabindex="-1" id="data-run-title"><span dir="auto">'
        f"{escape(view.job.name)}</span> {job_views.badge_html(state.status)}</h3>"
        f'<p class="mc-small">by {escape(owner)} · {job_views.moment_html(state.created_at or view.job.created_at)}</p>'
        f"{where}{job_views.meter_html(state)}{job_views.end_html(view)}"
        f'<div class="mc-form-buttons mc-outcome">{opened}</div>{job_views.buttons_html(view, "data")}</section>'
    )


def _at_work(view: JobView, left_s: float | None, doing: str) -> str:
    """What it is doing and how far that is; the steps of these jobs are rows or bytes, so their share is told."""
    state = view.state
    if state.status == "queued":
        return job_views.place_words(view)
    parts = [state.stage or doing, f"{min(1.0, state.step / state.steps):.0%}" if state.steps else ""]
    if left_s is not None and state.status == "running":
        parts.append(f"about {job_views.rough_duration(left_s)} left")
    return " · ".join(filter(None, parts))


def log_html(text: str) -> str:
    """The end of the log, folded."""
    return (
        '<details class="mc-fold" data-key="data-log"><summary id="data-log-summary">Log</summary><pre class="mc-code" '
        f'tabindex="0" role="region" aria-label="Log of the job">{escape(text.strip() or NO_LOG)}</pre></details>'
    )


def sets_html(folders: Sequence[Folder], shown: str) -> str:
    """The data sets as a list, of which one is shown."""
    if not folders:
        return f'<h2>Data sets</h2><p class="mc-note" role="note">{NO_SETS}</p>'
    rows = "".join(_set_html(folder, folder.name == shown) for folder in folders)
    return f'<h2>Data sets</h2><ul class="mc-data-list">{rows}</ul>'


def shown_html(folder: Folder, *, may_train: bool) -> str:
    """The data set that is shown, with its headline numbers and the ways on."""
    name = escape(folder.name)
    onward = []
    if folder.n_review:
        onward.append(_do("data-review", f"Review {counted(folder.n_review, 'row')}", name, "mc-button mc-primary"))
    if may_train and any(file.name in ("train.jsonl", "dpo.jsonl") for file in folder.files):
        onward.append(_do("data-train", "Train on this", name, "mc-button mc-primary"))
    if folder.is_read_here:
        onward.append(_do("data-browse", "Browse rows", name))
        onward += [_do("data-refine", TITLES[command], name, command=command) for command in REFINING]
    ask = (
        f'<button type="button" class="mc-button" data-do="data-remove" data-folder="{name}" id="data-remove" '
        f'data-ask="Delete the data set “{name}”?" data-told="Its rows and its report go for good. Models that were '
        f'trained on it stay.">Delete</button>'
    )
    told = "" if folder.is_read_here else '<p class="mc-small">Its rows are for other tools: this page reads JSONL.</p>'
    return (
        f'<section class="mc-job-head" aria-labelledby="data-set-title"><h3 id="data-set-title" tabindex="-1" '
        f'data-folder="{name}"><span dir="auto">{name}</span> <span class="mc-badge">{escape(folder.kind)}</span></h3>'
        f"{headline_html(folder)}{told}"
        f'<div class="mc-form-buttons">{"".join(onward)}{links_html(folder)}{ask}</div></section>'
    )


def _do(verb: str, words: str, folder: str, look: str = "mc-button", command: str = "") -> str:
    which = f' data-command="{command}"' if command else ""
    return (
        f'<button type="button" class="{look}" data-do="{verb}" data-folder="{folder}"{which} '
        f'id="{verb}{"-" if command else ""}{command}-now">{escape(words)}</button>'
    )


def _run_html(view: JobView, shown: str, owner: str) -> str:
    run = escape(view.job.id)
    begun = job_views.moment_html(view.state.created_at or view.job.created_at)
    where = escape(_at_work(view, None, "")) if view.state.status not in ENDED else ""
    facts = " · ".join(part for part in (begun, f"by {escape(owner)}", where) if part)
    return (
        f'<li{" aria-current=true" if view.job.id == shown else ""}><button type="button" data-do="data-watch" '
        f'data-run="{run}" id="data-run-{run}"><span class="mc-name" dir="auto">{escape(view.job.name)}</span> '
        f'{job_views.badge_html(view.state.status)}<span class="mc-small">{facts}</span></button></li>'
    )


def _set_html(folder: Folder, is_shown: bool) -> str:
    name = escape(folder.name)
    when = datetime.fromtimestamp(folder.when, UTC)
    review = f" · {counted(folder.n_review, 'row')} to review" if folder.n_review else ""
    return (
        f'<li{" aria-current=true" if is_shown else ""}><button type="button" data-do="data-open" data-folder="{name}" '
        f'id="data-set-{name}"><span class="mc-name" dir="auto">{name}</span> <span class="mc-badge">'
        f'{escape(folder.kind)}</span><span class="mc-small">{escape(rows_words(folder))}{review} · '
        f"{when:%Y-%m-%d %H:%M} UTC</span></button></li>"
    )

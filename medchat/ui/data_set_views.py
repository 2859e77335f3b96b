"""Jobs on data and the data sets that there are, as HTML. data.js sends on what is pressed."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from medchat.accounts import User
from medchat.jobs import JobView
from medchat.run_state import ENDED
from medchat.ui import job_views
from medchat.ui.common import counted, escape
from medchat.ui.data_folders import HELD, Folder
from medchat.ui.data_forms import REFINING, TITLES
from medchat.ui.data_headline import headline_html, rows_words, vain_words
from medchat.ui.data_report import files_html, links_html

NO_RUNS = "Nothing was prepared here yet. Choose sources in “New data set”, then press Prepare."
NO_LOG = "Nothing was printed yet."
NO_SETS = "No data set yet."
UNCHECKED = (
    "No quality check was made of these rows: identifiers of patients, doubtful doses and cut answers were not looked "
    f"for. “{TITLES['quality']}” does that."
)
FAILED = "Resume tries the same again. To take another source or setting, press “Clone with changes”."
TO_DO = {**job_views.TO_DO, "failed": FAILED}


def runs_html(
    views: Sequence[JobView], shown: str, names: Mapping[str, str], reader: User, vain: Mapping[str, str]
) -> str:
    """The jobs as a list, of which one is shown. vain: by id what a job that ended well did not bring about."""
    queued = sum(view.state.status == "queued" for view in views)
    running = sum(view.state.status not in ENDED for view in views) - queued
    at_work = ", ".join(f"{n} {words}" for n, words in ((running, "running"), (queued, "waiting")) if n)
    if not views:
        return f'<h2>Jobs</h2><p class="mc-note" role="note">{NO_RUNS}</p>'
    rows = "".join(
        _run_html(view, shown, job_views.owner_name(view.job.owner, names, reader), vain.get(view.job.id, ""))
        for view in views
    )
    return f'<h2 id="data-jobs-title" data-at-work="{at_work}">Jobs</h2><ul class="mc-data-list">{rows}</ul>'


def head_html(view: JobView, owner: str, left_s: float | None, doing: str, out: str, vain: str = "") -> str:
    """The job that is shown: how far it is and what can be done. out: the data set that came out, "" for none yet.

    vain: what it did not bring about although it ended well.
    """
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
        f"{escape(view.job.name)}</span> {_badge(view, vain)}</h3>"
        f'<p class="mc-small">by {escape(owner)} · {job_views.moment_html(state.created_at or view.job.created_at)}</p>'
        f"{where}{job_views.meter_html(state)}{job_views.end_html(view, TO_DO)}"
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


class Standing(NamedTuple):
    """How the reader stands to a data set. owner: who made it, in words, "" where nobody knows.

    undecided: rows that wait for a review.
    """

    owner: str
    may_train: bool
    may_remove: bool
    undecided: int


def shown_html(folder: Folder, standing: Standing) -> str:
    """The data set that is shown, with its headline numbers and the ways on."""
    name = escape(folder.name)
    facts = [f"made by {escape(standing.owner)}" if standing.owner else "who made it is not known"]
    facts += [f'from <span dir="auto">{escape(folder.parent)}</span>'] if folder.parent else []
    told = "" if folder.is_read_here else '<p class="mc-small">Its rows are for other tools: this page reads JSONL.</p>'
    return (
        f'<section class="mc-job-head" aria-labelledby="data-set-title"><h3 id="data-set-title" tabindex="-1" '
        f'data-folder="{name}"><span dir="auto">{name}</span> {_kind(folder)}</h3>'
        f'<p class="mc-small">{" · ".join(facts)}</p>'
        f"{headline_html(folder)}{told}{_before_training(folder, standing)}"
        f'<div class="mc-form-buttons">{_onward(folder, standing)}{links_html(folder)}</div>{files_html(folder)}'
        f"{_remove(folder, standing)}</section>"
    )


def _kind(folder: Folder) -> str:
    vain = vain_words(folder.report)
    more = f' <span class="mc-badge mc-outside">{vain}</span>' if vain else ""
    return f'<span class="mc-badge">{escape(folder.kind)}</span>{more}'


def _is_taught(folder: Folder) -> bool:
    return any(file.name in ("train.jsonl", "dpo.jsonl") for file in folder.files)


def _before_training(folder: Folder, standing: Standing) -> str:
    """What whoever wants to train on it should know."""
    told = []
    if standing.undecided:
        n = standing.undecided
        told.append(f"{counted(n, 'row')} {'waits' if n == 1 else 'wait'} for a review.")
    if n_held := folder.n_held:
        is_one = n_held == 1
        told.append(
            f"{counted(n_held, 'row')} {'is' if is_one else 'are'} held back: {'it is' if is_one else 'they are'} out "
            f"of training until a review that lets {'it' if is_one else 'them'} in was applied."
        )
    if standing.undecided:
        told.append("All others stay in training meanwhile." if n_held else "They stay in training meanwhile.")
    if not folder.is_checked and _is_taught(folder):
        told.append(UNCHECKED)
    return f'<p class="mc-small" role="note">{" ".join(told)}</p>' if told else ""


def _onward(folder: Folder, standing: Standing) -> str:
    """The ways on; what should be done next is the one that stands out."""
    name, train, first = escape(folder.name), "Train on this", "mc-button mc-primary"
    onward = []
    if folder.n_review and standing.undecided:
        onward.append(_do("data-review", f"Review {counted(standing.undecided, 'row')}", name, first))
    if standing.may_train and _is_taught(folder):
        is_next = not standing.undecided and not vain_words(folder.report)
        onward.append(_do("data-train", train, name, first if is_next else "mc-button"))
    if folder.is_read_here:
        onward.append(_do("data-browse", "Browse rows", name))
        if any(file.name == f"{HELD}.jsonl" for file in folder.files) and folder.n_held:
            words = f"Browse {counted(folder.n_held, 'row')} held back"
            onward.append(_do("data-browse", words, name, split=HELD))
        onward += [_do("data-refine", TITLES[command], name, command=command) for command in REFINING]
    if folder.n_review and not standing.undecided:
        onward.append(_do("data-review", "Look at the reviews", name))
    return "".join(onward)


def _remove(folder: Folder, standing: Standing) -> str:
    """Deleting, apart from what does no harm."""
    if not standing.may_remove:
        return ""
    name = escape(folder.name)
    return (
        f'<div class="mc-form-buttons mc-apart"><button type="button" class="mc-button" data-do="data-remove" '
        f'data-folder="{name}" id="data-remove" data-ask="Delete the data set “{name}”?" data-told="Its rows and its '
        'report go for good. Models that were trained on it stay.">Delete this data set</button></div>'
    )


def _do(verb: str, words: str, folder: str, look: str = "mc-button", command: str = "", split: str = "") -> str:
    which = f' data-command="{command}"' if command else f' data-split="{split}"' if split else ""
    return (
        f'<button type="button" class="{look}" data-do="{verb}" data-folder="{folder}"{which} '
        f'id="{"-".join(filter(None, (verb, command, split, "now")))}">{escape(words)}</button>'
    )


def _badge(view: JobView, vain: str) -> str:
    """The status; of a job that ended well and brought nothing, that."""
    if view.state.status == "done" and vain:
        return f'<span class="mc-badge mc-outside">{escape(vain)}</span>'
    return job_views.badge_html(view.state.status)


def _run_html(view: JobView, shown: str, owner: str, vain: str) -> str:
    run = escape(view.job.id)
    begun = job_views.moment_html(view.state.created_at or view.job.created_at)
    where = escape(_at_work(view, None, "")) if view.state.status not in ENDED else ""
    facts = " · ".join(part for part in (begun, f"by {escape(owner)}", where) if part)
    return (
        f'<li{" aria-current=true" if view.job.id == shown else ""}><button type="button" data-do="data-watch" '
        f'data-run="{run}" id="data-run-{run}"><span class="mc-name" dir="auto">{escape(view.job.name)}</span> '
        f'{_badge(view, vain)}<span class="mc-small">{facts}</span></button></li>'
    )


def _set_html(folder: Folder, is_shown: bool) -> str:
    name = escape(folder.name)
    when = datetime.fromtimestamp(folder.when, UTC)
    review = f" · {counted(folder.n_review, 'row')} to review" if folder.n_review else ""
    return (
        f'<li{" aria-current=true" if is_shown else ""}><button type="button" data-do="data-open" data-folder="{name}" '
        f'id="data-set-{name}"><span class="mc-name" dir="auto">{name}</span> <span>{_kind(folder)}'
        f'</span><span class="mc-small">{escape(rows_words(folder))}{review} · '
        f"{when:%Y-%m-%d %H:%M} UTC</span></button></li>"
    )

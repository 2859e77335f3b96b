"""Runs as pages follow them: of everything that is shown, only what has changed is sent."""

import shlex
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import gradio as gr

from medchat.accounts import User
from medchat.errors import MedChatError, NotFound
from medchat.jobs import JobView
from medchat.run_state import ENDED, RunState
from medchat.rundir import RunDir
from medchat.ui import job_views, model_picker, train_completions, train_run_view
from medchat.ui.common import App
from medchat.ui.train_compare import MOST_RUNS, Compared, comparison_html
from medchat.ui.train_desk import FIRST_RECIPE
from medchat.ui.train_layout import TICK_S, TrainTab
from medchat.ui.train_progress import Progress, ProgressReader
from medchat.ui.train_run_view import Outcome
from medchat.ui.watched_pages import WatchedPages
from train.recipes import load_recipe

IDLE_TICK_S = 5.0
KIND = "train"
EMPTY = (
    "No model was trained here yet. Open “New run” above, choose a recipe, and start it; “{}” takes minutes on a laptop"
    " and needs nothing that is not here."
)
STARTING = "its process is being started"
DOING_CHARS = 200

Updates = dict[Any, Any]
Piece = tuple[Any, Hashable, Callable[[], Any]]  # a component, what its content depends on, and its content


@dataclass(slots=True)
class Page:
    """What one page shows. seen: component -> what its content depended on when it was sent."""

    run_id: str
    picked: tuple[str, ...]
    seen: dict[Any, Hashable] = field(default_factory=dict)


class Watch:
    """The runs of an app for all pages."""

    def __init__(self, app: App, tab: TrainTab) -> None:
        self._app = app
        self._tab = tab
        self._reader = ProgressReader()
        self._pages = WatchedPages[Page]()

    def show(self, user: User, page_key: str, run_id: str, picked: tuple[str, ...]) -> Updates:
        """All of the run on a page that from now on follows it."""
        page = Page(run_id, picked[:MOST_RUNS])
        self._pages.put(user, page_key, page)
        return self._news(user, page)

    def news(self, user: User, page_key: str) -> Updates | None:
        """What has changed since; None where this page is not known (any more)."""
        page = self._pages.get(user, page_key)
        if page is None:
            return None
        before = dict(page.seen)
        updates = self._news(user, page)
        if self._pages.get(user, page_key) is not page:  # it shows another run by now
            return {}
        if before and not updates:
            return {}
        return updates

    def newest(self) -> str:
        """The id of the run that is at work, or else was begun last; "" without any."""
        views = self._views()
        return next((view.job.id for view in views if view.state.status not in ENDED), views[0].job.id if views else "")

    def is_there(self, run_id: str) -> bool:
        """Whether there is such a run of training."""
        try:
            return self._app.jobs.view(run_id).job.kind == KIND
        except NotFound:
            return False

    def picked_of(self, page_key: str, user: User) -> tuple[str, ...]:
        """The runs that this page compares."""
        page = self._pages.get(user, page_key)
        return page.picked if page else ()

    def shown_on(self, page_key: str, user: User) -> str:
        """The run that this page shows."""
        page = self._pages.get(user, page_key)
        return page.run_id if page else ""

    def _views(self) -> list[JobView]:
        return [view for view in self._app.jobs.all() if view.job.kind == KIND]

    def _news(self, user: User, page: Page) -> Updates:
        updates: Updates = {}
        for component, key, make in self._pieces(user, page):
            if page.seen.get(component, self) != key:
                updates[component] = make()
                page.seen[component] = key
        return updates

    def _pieces(self, user: User, page: Page) -> list[Piece]:
        tab = self._tab
        changes = self._app.jobs.changed()
        try:
            view = self._app.jobs.view(page.run_id) if page.run_id else None
        except NotFound:
            view = None
        shown = view.job.id if view else ""

        def listed() -> str:
            return job_views.runs_html(
                self._views(),
                KIND,
                shown=shown,
                picked=page.picked,
                names=self._names(),
                reader=user,
                empty=EMPTY.format(load_recipe(FIRST_RECIPE).title),
            )

        is_busy = view is not None and view.state.status not in ENDED
        pieces: list[Piece] = [
            (tab.runs, (changes, shown, page.picked), listed),
            (tab.timer, is_busy, lambda: gr.Timer(TICK_S if is_busy else IDLE_TICK_S, active=True)),
            (tab.comparison, self._comparison_key(page), lambda: self._comparison(page)),
        ]
        if view is None:
            empty: list[Any] = [tab.head, tab.curves, tab.completions, tab.log, tab.facts]
            return pieces + [(part, None, str) for part in empty] + [(tab.log_box, False, _hidden)]
        return pieces + self._of_run(view, user)

    def _of_run(self, view: JobView, user: User) -> list[Piece]:
        app, tab, state = self._app, self._tab, view.state
        run_dir = app.jobs.run_dir(view.job.id)
        progress = self._reader.read(run_dir, state)
        titles = _reward_titles()
        table = train_completions.newest_table(run_dir)
        format_name = train_completions.format_of(_config(run_dir), app.catalogue) if table else ""
        ended = state.status in ENDED
        what_came_out = (_stamp(run_dir.result_file), len(app.catalogue))
        doing = _doing(run_dir, state)
        return [
            (tab.head, (view.job.id, state, view.place, progress.rows, doing, *what_came_out),
             lambda: self._head(view, progress, run_dir, user, doing)),
            (tab.curves, (view.job.id, state.started_at, progress.rows, ended),
             lambda: train_run_view.curves_html(view, progress, titles)),
            (tab.completions, (str(table), _stamp(table)), lambda: train_run_view.completions_html(
                train_completions.newest(table, format_name) if table else [], titles)),
            (tab.log_box, True, lambda: gr.Accordion(visible=True)),
            (tab.log, (view.job.id, _stamp(run_dir.log_file)), lambda: train_run_view.log_html(run_dir.log_tail())),
            (tab.facts, (view.job.id, state.status, _stamp(run_dir.config_file), *what_came_out),
             lambda: self._facts(view, run_dir)),
        ]  # fmt: skip

    def _head(self, view: JobView, progress: Progress, run_dir: RunDir, user: User, doing: str) -> str:
        owner, may_begin = job_views.owner_name(view.job.owner, self._names(), user), self._app.settings.training
        outcome = self._outcome(run_dir)
        return train_run_view.head_html(view, progress, owner, outcome, may_begin=may_begin, doing=doing)

    def _names(self) -> dict[str, str]:
        return job_views.names_of(self._app.accounts.users())

    def _facts(self, view: JobView, run_dir: RunDir) -> str:
        from evaluation.metrics import METRICS
        from train.launch import command_line

        config, result = _config(run_dir), _result(run_dir)
        command = command_line(view.job, run_dir) if view.job.argv else ""
        titles = {name: info.title for name, info in METRICS.items()}
        return train_run_view.facts_html(view, config, result, self._outcome(run_dir), titles, command)

    def _outcome(self, run_dir: RunDir) -> Outcome | None:
        config, row = _config(run_dir), (_result(run_dir) or {}).get("model")
        if not row:
            return None
        catalogue = self._app.catalogue
        spec, base = catalogue.get(str(row.get("id"))), catalogue.get(str((config.get("base") or {}).get("id", "")))
        has_base = base is not None and base.is_here and not model_picker.missing_key(base)
        return Outcome(
            model_id=str(row.get("id", "")),
            model_name=spec.name if spec else str(row.get("name", "")),
            can_chat=spec is not None and spec.is_here,
            base=base.id if base is not None and has_base else "",
            base_name=base.name if base is not None else "",
            card=_card(run_dir),
            commands=_exports(run_dir.path),
        )

    def _comparison_key(self, page: Page) -> Hashable:
        found = []
        for run_id in page.picked:
            try:
                view = self._app.jobs.view(run_id)
            except NotFound:
                continue
            found.append((run_id, view.state.status, _stamp(RunDir(view.path).progress_file)))
        return tuple(found)

    def _comparison(self, page: Page) -> str:
        compared = []
        for run_id in page.picked:
            try:
                view = self._app.jobs.view(run_id)
            except NotFound:
                continue
            run_dir = RunDir(view.path)
            progress = self._reader.read(run_dir, view.state)
            compared.append(Compared(run_id, view.job.name, view.state.status, _config(run_dir), progress))
        return comparison_html(compared)


def _hidden() -> gr.Accordion:
    return gr.Accordion(visible=False)


def _doing(run_dir: RunDir, state: RunState) -> str:
    """What a run that is in no stage yet said last since it was started; "" for others."""
    if state.status not in ("starting", "running") or state.stage:
        return ""
    stamp = _stamp(run_dir.log_file)
    begun = datetime.fromisoformat(state.started_at).timestamp() if state.started_at else 0.0
    if stamp is None or stamp[0] / 1e9 < begun:  # it says what an earlier process did
        return STARTING
    lines = [line.strip() for line in run_dir.log_tail(DOING_CHARS * 5).splitlines() if line.strip()]
    return lines[-1][:DOING_CHARS] if lines else STARTING


def _config(run_dir: RunDir) -> dict[str, Any]:
    try:
        return run_dir.config()
    except MedChatError:
        return {}


def _result(run_dir: RunDir) -> dict[str, Any] | None:
    try:
        return run_dir.result()
    except MedChatError:
        return None


def _card(run_dir: RunDir) -> str:
    cards = sorted(run_dir.artifacts.glob("**/README.md"), key=lambda path: path.stat().st_mtime)
    return cards[-1].read_text(encoding="utf-8", errors="replace") if cards else ""


def _exports(path: Path) -> list[tuple[str, str]]:
    """What each export is for, and its command; each goes into the artifacts of the run."""
    command = f"python -m train export {shlex.quote(str(path))} --to"
    return [
        ("One folder of safetensors with the adapter in the weights:", f"{command} merged"),
        ("One file for llama.cpp; --type is f16, q8_0 or q4_k_m:", f"{command} gguf --type q8_0"),
        ("The adapter with its card to the Hugging Face Hub; HF_TOKEN is read from the environment:",
         f"{command} hub --repo OWNER/NAME"),
    ]  # fmt: skip


def _reward_titles() -> dict[str, str]:
    from train.rewards import REWARDS

    return {name: info.title for name, info in REWARDS.items()}


def _stamp(file: Path | None) -> tuple[int, int] | None:
    """What differs once the file was written; None without one."""
    try:
        found = file.stat() if file else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if found else None

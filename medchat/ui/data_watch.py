"""Jobs on data and data sets as pages follow them: of everything that is shown, only what has changed is sent."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from medchat.accounts import User
from medchat.errors import MedChatError, NotFound
from medchat.jobs import JobView
from medchat.run_state import ENDED, RunState
from medchat.ui import data_set_views, job_views
from medchat.ui.common import App
from medchat.ui.data_folders import Folder, folder_named, folders_of
from medchat.ui.data_headline import vain_words
from medchat.ui.data_layout import TICK_S, DataTab
from medchat.ui.data_order import out_of
from medchat.ui.data_owners import may_remove, owner_of
from medchat.ui.data_set_views import Standing
from medchat.ui.review_desk import ReviewDesk
from medchat.ui.train_progress import Progress, ProgressReader
from medchat.ui.watched_pages import WatchedPages

IDLE_TICK_S = 5.0
KIND = "prepare"
STARTING = "its process is being started"
DOING_CHARS = 200

Updates = dict[Any, Any]
Piece = tuple[Any, Hashable, Callable[[], Any]]  # a component, what its content depends on, and its content


@dataclass(slots=True)
class Page:
    """What one page shows. seen: component -> what its content depended on when it was sent."""

    run_id: str
    folder: str
    seen: dict[Any, Hashable] = field(default_factory=dict)


class Watch:
    """The jobs and data sets of an app for all pages."""

    def __init__(self, app: App, tab: DataTab) -> None:
        self._app = app
        self._tab = tab
        self._reader = ProgressReader()
        self._reviews = ReviewDesk(app)
        self._pages = WatchedPages[Page]()
        self._listed: tuple[int, list[JobView]] | None = None  # the jobs, as of which change

    def show(self, user: User, page_key: str, run_id: str, folder: str) -> Updates:
        """All of the job and of the data set on a page that from now on follows them."""
        page = Page(run_id, folder)
        self._pages.put(user, page_key, page)
        return self._news(user, page)

    def news(self, user: User, page_key: str) -> Updates | None:
        """What has changed since; None where this page is not known (any more)."""
        page = self._pages.get(user, page_key)
        if page is None:
            return None
        updates = self._news(user, page)
        return updates if self._pages.get(user, page_key) is page else {}

    def reviewed(self, user: User, page_key: str) -> Updates:
        """The data set of the page anew, for rows may have been reviewed since, which no file tells."""
        page = self._pages.get(user, page_key)
        if page:
            page.seen.pop(self._tab.shown, None)
        return self._news(user, page) if page else {}

    def shown_on(self, page_key: str, user: User) -> tuple[str, str]:
        """The job and the data set that this page shows, "" for none."""
        page = self._pages.get(user, page_key)
        return (page.run_id, page.folder) if page else ("", "")

    def newest(self) -> str:
        """The id of the job that is at work, or else was begun last; "" without any."""
        views = self.views()
        return next((view.job.id for view in views if view.state.status not in ENDED), views[0].job.id if views else "")

    def views(self) -> list[JobView]:
        """The jobs on data, newest first."""
        changes = self._app.jobs.changed()
        listed = self._listed
        if listed is None or listed[0] != changes:
            listed = self._listed = (changes, [view for view in self._app.jobs.all() if view.job.kind == KIND])
        return listed[1]

    def view(self, run_id: str) -> JobView | None:
        """The job as it is now; None where it is not there any more."""
        try:
            return self._app.jobs.view(run_id) if run_id else None
        except NotFound:
            return None

    def _news(self, user: User, page: Page) -> Updates:
        updates: Updates = {}
        for component, key, make in self._pieces(user, page):
            if page.seen.get(component, self) != key:
                updates[component] = make()
                page.seen[component] = key
        return updates

    def _pieces(self, user: User, page: Page) -> list[Piece]:
        tab, names = self._tab, job_views.names_of(self._app.accounts.users())
        changes, views = self._app.jobs.changed(), self.views()
        view = self.view(page.run_id)
        if view is not None:  # both say the same of it
            views = [view if listed.job.id == view.job.id else listed for listed in views]
        state = view.state.status if view else ""
        folders = folders_of(self._app.settings)
        is_busy = any(view.state.status not in ENDED for view in views)
        vain = _vain(views, folders)
        pieces: list[Piece] = [
            (
                tab.runs,
                (changes, page.run_id, state, tuple(vain.items())),
                lambda: data_set_views.runs_html(views, page.run_id, names, user, vain),
            ),
            (
                tab.sets,
                (tuple(map(_key, folders)), page.folder),
                lambda: data_set_views.sets_html(folders, page.folder),
            ),
            (tab.timer, is_busy, lambda: gr.Timer(TICK_S if is_busy else IDLE_TICK_S, active=True)),
            *self._of_folder(page, user, names),
        ]
        if view is None:
            return [*pieces, (tab.head, None, str), (tab.log, None, str)]
        owner = job_views.owner_name(view.job.owner, names, user)
        return [*pieces, *self._of_run(view, owner, vain.get(view.job.id, ""))]

    def _of_run(self, view: JobView, owner: str, vain: str) -> list[Piece]:
        state, run_dir = view.state, self._app.jobs.run_dir(view.job.id)
        progress = self._reader.read(run_dir, state)
        log = run_dir.log_tail()
        doing = _last_line(log) if state.status in ("starting", "running") and not state.stage else ""
        out = self._out(view)
        return [
            (self._tab.head, (view.job.id, state, view.place, progress.rows, doing, out, vain),
             lambda: data_set_views.head_html(view, owner, _left_s(progress, state), doing, out, vain)),
            (self._tab.log, (view.job.id, log), lambda: data_set_views.log_html(log)),
        ]  # fmt: skip

    def _of_folder(self, page: Page, user: User, names: Mapping[str, str]) -> list[Piece]:
        try:
            folder = folder_named(self._app.settings, page.folder)
        except NotFound:
            return [(self._tab.shown, None, str)]
        return [(self._tab.shown, _key(folder), lambda: data_set_views.shown_html(
            folder, self._standing(folder, user, names)))]  # fmt: skip

    def _standing(self, folder: Folder, user: User, names: Mapping[str, str]) -> Standing:
        owner = owner_of(folder, self.views())
        return Standing(
            job_views.owner_name(owner, names, user) if owner else "", "train" in user.rights,
            may_remove(user, owner), self._undecided(folder),
        )  # fmt: skip

    def _undecided(self, folder: Folder) -> int:
        """Rows that wait for a review, as of now; all of them where the sample cannot be read."""
        if not folder.n_review:
            return 0
        try:
            opened = self._reviews.opened(folder.name)
            progress = self._reviews.progress(opened, "")
        except MedChatError:
            return folder.n_review
        return progress.total - progress.decided

    def _out(self, view: JobView) -> str:
        """The name of the data set that a job has written, "" while it has not."""
        out = out_of(view.job.argv)
        if view.state.status != "done" or out is None:
            return ""
        try:
            return folder_named(self._app.settings, Path(out).name).name
        except NotFound:
            return ""


def _left_s(progress: Progress, state: RunState) -> float | None:
    """The time that the command itself last told for this stage; None while it can tell none."""
    told = progress.curves.get(state.stage, {}).get("seconds_left")
    return told.values[-1] if told and told.steps[-1] == progress.lately[-1][1] else None


def _vain(views: Sequence[JobView], folders: Sequence[Folder]) -> dict[str, str]:
    """By id what jobs that ended well did not bring about; of a data set that job which wrote it last."""
    words = {folder.path: found for folder in folders if (found := vain_words(folder.report))}
    return {
        view.job.id: found
        for view in views
        if view.state.status == "done" and (out := out_of(view.job.argv)) and (found := words.pop(out, ""))
    }


def _key(folder: Folder) -> Hashable:
    return (folder.name, folder.when, folder.n_review, len(folder.files), folder.has_page)


def _last_line(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1][:DOING_CHARS] if lines else STARTING

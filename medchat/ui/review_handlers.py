"""What the review desk does: each handler reads values, calls one service and gives what is to be shown."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import gradio as gr

from medchat.accounts import REVIEWERS_SET, User
from medchat.errors import InvalidInput, MedChatError, NotFound, RatedSince
from medchat.ui import review_sets
from medchat.ui.actions import OUT_OF_DATE, Action, read_action
from medchat.ui.common import App, address_of, handler, require
from medchat.ui.review_desk import Opened, ReviewDesk, Task
from medchat.ui.review_entered import entered_of
from medchat.ui.review_finish import Finish
from medchat.ui.review_view import task_html

REVIEW_DRAFT = "review"  # in which the Data tab leaves which data set was asked for: {"folder": name}
SINCE = "You decided on this row in another window since. Save again to replace that."
KEPT, NOT_KEPT = "Draft kept.", "Draft not kept: you decided on this row in another window since."

Updates = dict[Any, Any]


class ReviewTab(NamedTuple):
    """The components of the desk. sent, page_key: filled by the page's scripts as they send an event.

    finish: for who prepares data; done: what came of a command there. kept: what became of what was sent last.
    """

    listed: gr.HTML
    head: gr.HTML
    page: gr.HTML
    finish: gr.HTML
    done: gr.HTML
    kept: gr.HTML
    act: gr.Button
    keep: gr.Button
    run: gr.Button
    sent: gr.Textbox
    page_key: gr.Textbox

    @property
    def shown(self) -> list[gr.HTML]:
        """All that a step changes."""
        return [part for part in self if isinstance(part, gr.HTML)]


class Handlers:
    """The events of one desk: to review takes the right "rate", all else "data"."""

    def __init__(self, app: App, tab: ReviewTab) -> None:
        self._app = app
        self._tab = tab
        self._desk = ReviewDesk(app)
        self._finish = Finish(app.settings)
        self._acting: dict[str, Callable[[User, Action], Updates]] = {
            "enter": self._enter,
            "list": self._list,
            "open": self._open,
            "go": self._go,
            "save": self._save,
        }

    @handler
    def act(self, sent: str | None, page_key: str | None, request: gr.Request) -> Updates:
        """Whatever is done on the desk, and what is to be shown then."""
        action = read_action(sent)
        if action.verb in ("reviewers", "stop"):
            user = require(self._app, request, "data")
            if action.verb == "stop":
                return self._stop(user, page_key)
            return self._set_reviewers(user, action, address_of(self._app, request))
        user = require(self._app, request, "rate")
        if action.verb not in self._acting:
            raise InvalidInput(OUT_OF_DATE)
        folder = action.text("folder", "")
        if folder and not self._desk.is_there(folder):
            return self._gone(user, folder, action.verb)
        return self._acting[action.verb](user, action)

    @handler
    def keep(self, sent: str | None, request: gr.Request) -> str:
        """What became of a draft."""
        user = require(self._app, request, "rate")
        action = read_action(sent)
        number = action.text("number")
        try:
            opened = self._desk.opened(action.text("folder"))
            entered = entered_of(action.mapping("entered"))
            is_kept = self._desk.save_draft(opened, user.id, action.text("row"), entered)
        except MedChatError as error:
            return review_sets.kept_html(number, f"Draft not kept: {error}")
        return review_sets.kept_html(number, KEPT if is_kept else NOT_KEPT)

    @handler
    def run(self, sent: str | None, page_key: str | None, request: gr.Request) -> Iterator[str]:
        """The decisions applied, or the validation frozen."""
        user = require(self._app, request, "data")
        action = read_action(sent)
        if action.verb not in ("apply", "freeze"):
            raise InvalidInput(OUT_OF_DATE)
        address = address_of(self._app, request)

        def note(done: str, name: str, written: str) -> None:
            self._app.accounts.note(user.id, done, name, {"written": written}, address)

        yield from self._finish.run(user, str(page_key or ""), action.verb, action.text("folder"), note)

    def _enter(self, user: User, action: Action) -> Updates:
        """The desk as it is opened: the data set that was asked for, else what stands there, else where one was."""
        asked = self._app.store.draft(user.id, REVIEW_DRAFT)
        if asked:
            self._app.store.drop_draft(user.id, REVIEW_DRAFT)
            folder = str(asked.get("folder", ""))
            return self._opened(user, folder) if self._desk.is_there(folder) else self._gone(user, folder, action.verb)
        if action.text("row", ""):
            return {self._tab.kept: gr.skip()}
        folder, sha = self._desk.last(user.id)
        try:
            return self._opened(user, folder, sha) if folder else self._list(user, action)
        except (NotFound, InvalidInput):  # deleted since, or no rows any more
            return self._list(user, action)

    def _list(self, user: User, _: Action) -> Updates:
        return self._listed(user)

    def _gone(self, user: User, folder: str, verb: str) -> Updates:
        """The list in the place of a data set that was deleted meanwhile."""
        unsaved = "; your decision could not be saved" if verb == "save" else ""
        return self._listed(user, f"The data set {folder} is not there any more{unsaved}.")

    def _listed(self, user: User, told: str = "") -> Updates:
        self._desk.remember(user.id, "", "")
        waiting, may_finish = self._desk.waiting(user.id), "data" in user.rights
        listed = review_sets.list_html(waiting, user.id, told=told, may_finish=may_finish)
        return dict.fromkeys(self._tab.shown, "") | {self._tab.listed: listed}

    def _open(self, user: User, action: Action) -> Updates:
        return self._opened(user, action.text("folder"))

    def _opened(self, user: User, folder: str, sha: str = "") -> Updates:
        opened = self._desk.opened(folder)
        return self._shown(user, opened, self._desk.task(opened, user.id, sha)) | {self._tab.done: ""}

    def _go(self, user: User, action: Action) -> Updates:
        opened = self._desk.opened(action.text("folder"))
        try:
            task = self._desk.go(opened, user.id, action.text("row", ""), action.text("way"))
        except InvalidInput as error:
            return {self._tab.kept: review_sets.refused_html(action.text("number", ""), str(error))}
        return self._shown(user, opened, task)

    def _save(self, user: User, action: Action) -> Updates:
        number, folder, row = (action.text(name) for name in ("number", "folder", "row"))
        try:
            entered = entered_of(action.mapping("entered"))
            task = self._desk.save(self._desk.opened(folder), user.id, row, entered, action.text("key"))
            opened = self._desk.opened(folder)
        except RatedSince as error:
            return {self._tab.kept: review_sets.refused_html(number, SINCE, error.rating_id)}
        except MedChatError as error:
            return {self._tab.kept: review_sets.refused_html(number, str(error))}
        return self._shown(user, opened, task)

    def _set_reviewers(self, user: User, action: Action, address: str) -> Updates:
        """How many look at each row from now on; the row that is being read stays."""
        folder = action.text("folder")
        n = action.number("n", 0, 99)
        self._desk.ask_reviewers(folder, n)
        self._app.accounts.note(user.id, REVIEWERS_SET, folder, {"reviewers": n}, address)
        opened = self._desk.opened(folder)
        if not action.text("row", ""):
            return self._shown(user, opened, self._desk.task(opened, user.id))
        return self._about(user, opened)

    def _stop(self, user: User, page_key: str | None) -> Updates:
        self._finish.stop(user, str(page_key or ""))
        return {self._tab.kept: gr.skip()}

    def _shown(self, user: User, opened: Opened, task: Task | None) -> Updates:
        """A row of the sample, or that none waits."""
        self._desk.remember(user.id, opened.name, task.item.content_sha if task else "")
        now = self._desk.progress(opened, user.id)
        page = task_html(task) if task else review_sets.thanks_html(opened, now, user.id)
        return self._about(user, opened) | {self._tab.listed: "", self._tab.page: page, self._tab.kept: ""}

    def _about(self, user: User, opened: Opened) -> Updates:
        """What stands around the row."""
        now = self._desk.progress(opened, user.id)
        disputes = self._desk.own_disputes(opened, user.id)
        finish = review_sets.finish_html(opened, now) if "data" in user.rights else ""
        head = review_sets.head_html(opened, now, user.id, disputes)
        return {self._tab.head: head, self._tab.finish: finish}

"""What the Data tab does: each handler reads values, calls one service and gives what is to be shown."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import gradio as gr

from medchat.accounts import CALL_REFUSED, DELETED, JOB_DELETED, JOB_RESUMED, JOB_STARTED, JOB_STOPPED
from medchat.errors import InvalidInput, MedChatError, NotAllowed
from medchat.ui import data_browse, data_rows, data_sources
from medchat.ui.actions import OUT_OF_DATE, Action, Asked, read_action, sent_file
from medchat.ui.common import App, address_of, escape, handler, require
from medchat.ui.data_desk import Desk
from medchat.ui.data_folders import folder_named, folders_of
from medchat.ui.data_layout import DataTab
from medchat.ui.data_order import Order, order_of, out_of, sent_order
from medchat.ui.data_owners import keep_owner, may_remove, owner_of
from medchat.ui.data_source_views import Refused
from medchat.ui.data_waiting import Waiting
from medchat.ui.data_watch import KIND, Watch
from medchat.ui.review_handlers import REVIEW_DRAFT
from medchat.uploads import MAX_BYTES, shown_name

TOO_LARGE = (
    "{name} has {megabytes} MB, and at most {most:.0f} MB are uploaded. Take a larger file by its path: put it where "
    "MedChat may read, and type the path into the field beside."
)
PARTS = {"make": "New data set", "sets": "Jobs and data sets", "review": "Review"}

OUT_OF_LINE = "It was taken out of the line."
STOPPING = "It was asked to stop. It saves what it can, then ends; the page says how far that came."

Updates = dict[Any, Any]


class Handlers:
    """The events of one tab; all but the way in are for those who may prepare data."""

    def __init__(self, app: App, tab: DataTab) -> None:
        self._app = app
        self._tab = tab
        self._desk = Desk(app)
        self._watch = Watch(app, tab)
        self._waiting = Waiting(app, self._desk)
        self._acting: dict[str, Callable[[Asked, Action], Updates]] = {
            "part": self._part,
            "add": self._add,
            "drop": self._drop,
            "check": self._check,
            "fresh": self._fresh,
            "start": self._start,
            "watch": self._show_run,
            "stop": self._stop,
            "resume": self._resume,
            "delete": self._delete,
            "clone": self._clone,
            "open": self._open,
            "refine": self._refine,
            "browse": self._browse,
            "remove": self._remove,
            "review": self._review,
            "look-stop": self._stop_waiting,
            "ask-stop": self._stop_waiting,
            "close": self._close,
        }

    @handler
    def act(self, sent: str | None, page_key: str | None, request: gr.Request) -> Updates:
        """Whatever is pressed on the page, and what is to be shown then."""
        action = read_action(sent)
        if action.verb == "enter":
            user = require(self._app, request, "rate")
            return self._enter(Asked(user, str(page_key or ""), address_of(self._app, request)), action)
        asked = self._asked(page_key, request)
        if action.verb not in self._acting:
            raise InvalidInput(OUT_OF_DATE)
        return self._acting[action.verb](asked, action)

    @handler
    def look(self, sent: str | None, page_key: str | None, request: gr.Request) -> Iterator[Updates]:
        """The first rows of a source, read in a process of their own."""
        asked = self._asked(page_key, request)
        for shown in self._waiting.look(asked.user, asked.page_key, read_action(sent)):
            yield {self._tab.preview: shown}

    @handler
    def ask(self, sent: str | None, page_key: str | None, request: gr.Request) -> Iterator[Updates]:
        """What a command would cost, counted in a process of its own."""
        asked = self._asked(page_key, request)
        for shown in self._waiting.ask(asked.user, asked.page_key, read_action(sent)):
            yield {self._tab.estimate: shown}

    @handler
    def upload(self, sent: str | None, page_key: str | None, request: gr.Request) -> Updates:
        """The sources with an uploaded file among them."""
        asked = self._asked(page_key, request)
        action = read_action(sent)
        if (size := action.number("size", 0, 1 << 50)) > MAX_BYTES:
            name = shown_name(action.text("name"))
            raise InvalidInput(TOO_LARGE.format(name=name, megabytes=f"{size / 1e6:,.1f}", most=MAX_BYTES / 1e6))
        name, data = sent_file(action, MAX_BYTES)
        text = data_sources.take_upload(self._app.settings, action.text("adapter"), name, data)
        order = sent_order(action)
        if text not in order.sources:
            sources = data_sources.added(self._app.settings, asked.user, order.sources, text)
            order = replace(order, sources=sources)
        gr.Info(f"{escape(shown_name(name))} is among the sources.")
        return self._sourced(asked, order)

    @handler
    def tick(self, page_key: str | None, request: gr.Request) -> Updates:
        """What has changed in the jobs and data sets that the page shows."""
        asked = self._asked(page_key, request)
        news = self._watch.news(asked.user, asked.page_key)
        if news is None:  # MedChat was started again since
            news = self._watch.show(asked.user, asked.page_key, *self._left_at(asked))
        return news or {self._tab.runs: gr.skip()}

    def _enter(self, asked: Asked, action: Action) -> Updates:
        """The tab as it is opened: a form that stands there already stays as it is."""
        tab = self._tab
        if "data" not in asked.user.rights:
            return {tab.parts: parts_html("review", ())}
        part = str(self._desk.left(asked.user).get("part", ""))
        updates: Updates = {tab.parts: parts_html(part if part in PARTS else "make", tuple(PARTS))}
        updates |= self._watch.show(asked.user, asked.page_key, *self._left_at(asked))
        if action.text("form", ""):
            return updates
        unsent = action.mapping("unsent", {})  # typed just before the page was left
        if unsent and action.text("owner", "") == asked.user.id:
            self._desk.keep(asked.user, order=order_of(unsent).to_json())
        order = self._desk.order_of(asked.user)
        return updates | {tab.catalogue: self._desk.catalogue_html(asked.user)} | self._sourced(asked, order)

    def _part(self, asked: Asked, action: Action) -> Updates:
        part = action.text("part")
        if part not in PARTS:
            raise InvalidInput(OUT_OF_DATE)
        self._desk.keep(asked.user, part=part)
        news = self._watch.reviewed(asked.user, asked.page_key) if part == "sets" else {}
        return news or {self._tab.parts: gr.skip()}

    def _add(self, asked: Asked, action: Action) -> Updates:
        order = sent_order(action)
        text = f"{action.text('adapter')}={action.text('place')}"
        try:
            sources = data_sources.added(self._app.settings, asked.user, order.sources, text)
        except MedChatError as error:
            kind = "hub" if action.text("place").startswith(data_sources.HUB) else "path"
            refused = Refused(f"data-{kind}-{action.text('adapter')}", str(error))
            return {self._tab.chosen: self._desk.chosen_html(asked.user, order, refused)}
        return self._sourced(asked, replace(order, sources=sources))

    def _drop(self, asked: Asked, action: Action) -> Updates:
        order = sent_order(action)
        sources = tuple(text for text in order.sources if text != action.text("source"))
        return self._sourced(asked, replace(order, sources=sources)) | {self._tab.preview: ""}

    def _check(self, asked: Asked, action: Action) -> Updates:
        order = sent_order(action)
        if order.command != "prepare":
            return {self._tab.refine_check: self._desk.check_html(asked.user, order)}
        self._desk.keep(asked.user, order=order.to_json())
        return {self._tab.check: self._desk.check_html(asked.user, order)}

    def _fresh(self, asked: Asked, _: Action) -> Updates:
        return self._sourced(asked, Order()) | {self._tab.preview: ""}

    def _start(self, asked: Asked, action: Action) -> Updates:
        order = sent_order(action)
        run_id, name = self._desk.start(asked.user, order, action.text("key"))
        self._app.accounts.note(asked.user.id, JOB_STARTED, run_id, {"name": name}, asked.address)
        gr.Info(f"{escape(name)} was put in line; it begins as soon as nothing else is at work.")
        tab = self._tab
        cleared: Updates = {tab.refine: "", tab.refine_check: "", tab.estimate: ""}
        if order.command == "prepare":
            cleared = self._sourced(asked, replace(order, name=""))
        return cleared | self._shown(asked, run_id, self._folder_on(asked)) | self._gone_to(asked, "sets")

    def _show_run(self, asked: Asked, action: Action) -> Updates:
        return self._shown(asked, self._of_data(action), self._folder_on(asked))

    def _stop(self, asked: Asked, action: Action) -> Updates:
        run_id = self._of_data(action)
        was = self._app.jobs.view(run_id).state.status
        self._app.jobs.stop(run_id)
        self._app.accounts.note(asked.user.id, JOB_STOPPED, run_id, {}, asked.address)
        gr.Info(OUT_OF_LINE if was == "queued" else STOPPING)
        return self._shown(asked, run_id, self._folder_on(asked))

    def _resume(self, asked: Asked, action: Action) -> Updates:
        run_id = self._of_data(action)
        self._app.jobs.resume(run_id)
        self._app.accounts.note(asked.user.id, JOB_RESUMED, run_id, {}, asked.address)
        gr.Info("It is in line, and goes on from where it was saved.")
        return self._shown(asked, run_id, self._folder_on(asked))

    def _delete(self, asked: Asked, action: Action) -> Updates:
        run_id = self._of_data(action)
        job = self._app.jobs.view(run_id).job
        name, out = job.name, out_of(job.argv)
        made = [folder for folder in folders_of(self._app.settings) if folder.path == out]
        if made and owner_of(made[0], self._watch.views()) == job.owner:
            keep_owner(made[0].path, job.owner)
        self._desk.discard(run_id)
        self._app.accounts.note(asked.user.id, JOB_DELETED, run_id, {"name": name}, asked.address)
        gr.Info(f"The job {escape(name)} was deleted; the data set that it has written stays.")
        return self._shown(asked, self._watch.newest(), self._folder_on(asked))

    def _clone(self, asked: Asked, action: Action) -> Updates:
        order = self._desk.cloned(self._of_data(action))
        gr.Info("Its settings are in the form. Change what you like, then start it.")
        if order.command == "prepare":
            return self._sourced(asked, order) | self._gone_to(asked, "make")
        return self._shown(asked, action.text("run"), order.folder) | self._refining(asked, order)

    def _open(self, asked: Asked, action: Action) -> Updates:
        folder = folder_named(self._app.settings, action.text("folder"))
        tab = self._tab
        cleared: Updates = {tab.refine: "", tab.refine_check: "", tab.estimate: "", tab.rows: ""}
        return cleared | self._shown(asked, self._watch.shown_on(asked.page_key, asked.user)[0], folder.name)

    def _refine(self, asked: Asked, action: Action) -> Updates:
        order = self._desk.refined(action.text("command"), action.text("folder"))
        run_id = self._watch.shown_on(asked.page_key, asked.user)[0]
        return self._shown(asked, run_id, order.folder) | self._refining(asked, order)

    def _browse(self, asked: Asked, action: Action) -> Updates:
        folder = folder_named(self._app.settings, action.text("folder"))
        names = ("text", "split", "source", "flag")
        wanted = data_browse.Asked(*(action.text(name, "")[: data_browse.TEXT_CHARS] for name in names))
        page = data_browse.page_of(folder, wanted, action.text("cursor", ""))
        choices, n_held = data_browse.choices_of(folder), folder.held_with(wanted.flag)
        return {self._tab.rows: data_rows.browse_html(wanted, page, choices=choices, n_held=n_held)}

    def _remove(self, asked: Asked, action: Action) -> Updates:
        folder = folder_named(self._app.settings, action.text("folder"))
        name = folder.name
        if not may_remove(asked.user, owner_of(folder, self._watch.views())):
            self._app.accounts.note(asked.user.id, CALL_REFUSED, name, {"what": "data set"}, asked.address)
            raise NotAllowed("A data set is deleted by whoever made it, or by an admin.")
        self._desk.remove(name)
        self._app.accounts.note(asked.user.id, DELETED, name, {"what": "data set"}, asked.address)
        gr.Info(f"The data set {escape(name)} was deleted.")
        tab = self._tab
        cleared: Updates = {tab.refine: "", tab.refine_check: "", tab.estimate: "", tab.rows: ""}
        return cleared | self._shown(asked, self._watch.shown_on(asked.page_key, asked.user)[0], "")

    def _review(self, asked: Asked, action: Action) -> Updates:
        """The Review part, which is told of the data set by a draft of this user."""
        folder = folder_named(self._app.settings, action.text("folder"))
        self._app.store.save_draft(asked.user.id, REVIEW_DRAFT, {"folder": folder.name})
        return self._gone_to(asked, "review")

    def _stop_waiting(self, asked: Asked, action: Action) -> Updates:
        self._waiting.stop(asked.user, asked.page_key, action.verb.removesuffix("-stop"))
        return {self._tab.parts: gr.skip()}

    def _close(self, asked: Asked, action: Action) -> Updates:
        """The preview of a source, or the form of a command on a data set, put away."""
        tab = self._tab
        if action.text("part") == "preview":
            return {tab.preview: ""}
        return {tab.refine: "", tab.refine_check: "", tab.estimate: ""}

    def _refining(self, asked: Asked, order: Order) -> Updates:
        """The form of a command on a data set."""
        tab = self._tab
        return {
            tab.refine: self._desk.form_html(order),
            tab.refine_check: self._desk.check_html(asked.user, order),
            tab.estimate: "",
        }

    def _sourced(self, asked: Asked, order: Order) -> Updates:
        """The sources and the form with the order in them, and what it would run."""
        self._desk.keep(asked.user, order=order.to_json())
        tab = self._tab
        return {
            tab.chosen: self._desk.chosen_html(asked.user, order),
            tab.form: self._desk.form_html(order),
            tab.check: self._desk.check_html(asked.user, order),
        }

    def _gone_to(self, asked: Asked, part: str) -> Updates:
        self._desk.keep(asked.user, part=part)
        return {self._tab.parts: parts_html(part, tuple(PARTS))}

    def _shown(self, asked: Asked, run_id: str, folder: str) -> Updates:
        """The page with this job and this data set on it."""
        self._desk.keep(asked.user, run=run_id, folder=folder)
        return self._watch.show(asked.user, asked.page_key, run_id, folder)

    def _folder_on(self, asked: Asked) -> str:
        return self._watch.shown_on(asked.page_key, asked.user)[1]

    def _left_at(self, asked: Asked) -> tuple[str, str]:
        """The job and the data set that the page shows, or the user looked at last."""
        run_id, folder = self._watch.shown_on(asked.page_key, asked.user)
        left = self._desk.left(asked.user)
        run_id = run_id or str(left.get("run", ""))
        known = {view.job.id for view in self._watch.views()}
        return run_id if run_id in known else self._watch.newest(), folder or str(left.get("folder", ""))

    def _of_data(self, action: Action) -> str:
        """The job that was named. Raises NotFound, InvalidInput for one of another kind, which has its own tab."""
        run_id = action.text("run")
        if self._app.jobs.view(run_id).job.kind != KIND:
            raise InvalidInput(OUT_OF_DATE)
        return run_id

    def _asked(self, page_key: str | None, request: gr.Request) -> Asked:
        user = require(self._app, request, "data")
        return Asked(user, str(page_key or ""), address_of(self._app, request))


def parts_html(part: str, may: tuple[str, ...]) -> str:
    """The ways between the parts; nothing for who has the review alone."""
    if not may:
        return f'<nav data-part="{part}" data-made="{uuid4().hex}" hidden></nav>'
    buttons = "".join(
        f'<button type="button" class="mc-button" data-do="data-part" data-part="{name}" id="data-part-{name}" '
        f'aria-pressed="{str(name == part).lower()}">{PARTS[name]}</button>'
        for name in may
    )
    return (
        f'<nav class="mc-parts" data-part="{part}" data-made="{uuid4().hex}" aria-label="Parts of Data">{buttons}</nav>'
    )

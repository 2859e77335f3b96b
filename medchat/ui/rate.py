"""The Rate tab: a rater's queue of answers, each with a form, and the ratings that were saved."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

import gradio as gr

from medchat.errors import InvalidInput, MedChatError, RatedSince
from medchat.rating import RatingService, Task
from medchat.rating_form import read_filled
from medchat.store.rating_queue import Waiting
from medchat.ui import rate_form
from medchat.ui.actions import OUT_OF_DATE, Action, read_action, sent_file
from medchat.ui.common import App, counted, escape, handler, require, static_html
from medchat.uploads import MAX_BYTES, shown_name

WITH_OPENED = "() => [window.medchat.rate.opened()]"
WITH_ACTION = "() => [window.medchat.rate.action('act')]"
WITH_FILE = "() => [window.medchat.rate.action('upload')]"
WITH_DRAFT = "() => [window.medchat.rate.action('keep')]"
MINE = '<details id="rate-mine-box" class="mc-add"><summary data-do="rate-mine">My ratings</summary></details>'

Updates = dict[Any, Any]


class RateTab(NamedTuple):
    """The components of the tab. sent: filled by the page's scripts as they send an event."""

    head: gr.HTML
    add: gr.HTML
    page: gr.HTML
    mine: gr.HTML
    kept: gr.HTML  # what became of the draft, or of the save, that came last
    act: gr.Button
    upload: gr.Button
    keep: gr.Button
    sent: gr.Textbox


def build(app: App, item: gr.Tab) -> RateTab:
    """The tab inside `item`, laid out and wired."""
    with gr.Column(elem_id="rate-tab"):
        head, add, page = (static_html("", f"rate-{name}") for name in ("head", "add", "page"))
        static_html(MINE, "rate-mine-title")
        mine, kept = static_html("", "rate-mine"), static_html("", "rate-kept")
        static_html(rate_form.help_html(), "rate-keys")
    act, upload, keep = (gr.Button(visible="hidden", elem_id=f"rate-{name}") for name in ("act", "upload", "keep"))
    tab = RateTab(head, add, page, mine, kept, act, upload, keep, gr.Textbox(visible=False))
    do = Handlers(app, tab)
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
    shown = [head, add, page, mine, kept]
    item.select(do.act, tab.sent, shown, js=WITH_OPENED, **quiet)
    act.click(do.act, tab.sent, shown, js=WITH_ACTION, trigger_mode="multiple", **quiet)
    upload.click(do.upload, tab.sent, shown, js=WITH_FILE, trigger_mode="multiple", **quiet)
    keep.click(do.keep, tab.sent, kept, js=WITH_DRAFT, trigger_mode="multiple", **quiet)
    return tab


class Handlers:
    """The events of one tab."""

    def __init__(self, app: App, tab: RateTab) -> None:
        self._app = app
        self._tab = tab
        self._service = RatingService(app.store, app.catalogue, app.settings.data_dir)
        self._acting: dict[str, Callable[[str, Action], Updates]] = {
            "enter": self._enter,
            "open": self._open,
            "rubric": self._choose_rubric,
            "back": self._back,
            "skip": self._skip,
            "unskip": self._take_up_skipped,
            "save": self._save,
            "cannot": self._cannot,
            "add": self._add,
            "mine": self._mine,
        }

    @handler
    def act(self, sent: str | None, request: gr.Request) -> Updates:
        """Whatever is done on the page, and what is to be shown then."""
        rater = require(self._app, request, "rate").id
        action = read_action(sent)
        if action.verb not in self._acting:
            raise InvalidInput(OUT_OF_DATE)
        return self._acting[action.verb](rater, action)

    @handler
    def upload(self, sent: str | None, request: gr.Request) -> Iterator[Updates]:
        """The answers of a file come into the queue: that takes a while, and the page says so first."""
        rater = require(self._app, request, "rate").id
        action = read_action(sent)
        name, data = sent_file(action, MAX_BYTES)
        yield {self._tab.add: self._waiting(rater, f"Reading {shown_name(name)} …")}
        try:
            uploaded = self._service.upload(rater, name, data, action.text("key"))
        except MedChatError:
            yield {self._tab.add: self._waiting(rater)}
            raise
        if uploaded.note:
            gr.Info(escape(uploaded.note))
        yield self._added(rater, action, f"{counted(uploaded.n_new, 'answer')} of {shown_name(name)} added.")

    @handler
    def keep(self, sent: str | None, request: gr.Request) -> str:
        """What became of this draft."""
        rater = require(self._app, request, "rate").id
        action = read_action(sent)
        filled = read_filled(action.mapping("filled"))
        is_kept = self._service.save_draft(rater, action.text("answer"), action.text("rubric"), filled)
        return rate_form.kept_html(action.text("number"), is_kept)

    def _enter(self, rater: str, action: Action) -> Updates:
        """The tab as it is opened: a form that stands there already stays as it is."""
        answer_id = action.text("answer")
        added = {self._tab.add: self._waiting(rater)}
        if not answer_id:
            return self._shown(rater, self._service.next_task(rater)) | added
        return self._head(rater, self._service.task(rater, answer_id, action.text("rubric"))) | added

    def _open(self, rater: str, action: Action) -> Updates:
        return self._shown(rater, self._service.task(rater, action.text("answer"), action.text("rubric")))

    def _choose_rubric(self, rater: str, action: Action) -> Updates:
        rubric = self._service.choose_rubric(rater, action.text("rubric"))
        answer_id = action.text("answer")
        task = self._service.task(rater, answer_id, rubric.id) if answer_id else self._service.next_task(rater)
        return self._shown(rater, task)

    def _back(self, rater: str, action: Action) -> Updates:
        return self._shown(rater, self._service.task_before(rater, action.text("answer")))

    def _skip(self, rater: str, action: Action) -> Updates:
        return self._shown(rater, self._service.skip(rater, action.text("answer")))

    def _take_up_skipped(self, rater: str, _: Action) -> Updates:
        return self._shown(rater, self._service.take_up_skipped(rater))

    def _save(self, rater: str, action: Action, can_rate: bool = True) -> Updates:
        answer_id = action.text("answer")
        rubric_id = action.text("rubric")
        try:
            self._service.save(
                rater, answer_id, rubric_id, action.number("version", 0, 10**9),
                read_filled(action.mapping("filled")), action.text("key"), can_rate=can_rate,
            )  # fmt: skip
        except RatedSince as error:
            return {self._tab.kept: rate_form.rated_since_html(answer_id, rubric_id, error)}
        return self._shown(rater, self._service.next_task(rater, answer_id))

    def _cannot(self, rater: str, action: Action) -> Updates:
        return self._save(rater, action, can_rate=False)

    def _add(self, rater: str, action: Action) -> Updates:
        source = action.text("source")
        if source not in rate_form.SOURCES:
            raise InvalidInput(OUT_OF_DATE)
        n_new = self._service.add(rater, cast("Waiting", source))
        return self._added(rater, action, f"{counted(n_new, 'answer')} added to your queue.")

    def _added(self, rater: str, action: Action, told: str) -> Updates:
        """The sources, with what came of it; the form that stands there stays."""
        shown = {self._tab.add: self._waiting(rater, told)}
        answer_id = action.text("answer")
        if answer_id:
            return self._head(rater, self._service.task(rater, answer_id, action.text("rubric"))) | shown
        return self._shown(rater, self._service.next_task(rater)) | shown

    def _mine(self, rater: str, _: Action) -> Updates:
        titles = {rubric.id: rubric.title for rubric in self._service.rubrics().rubrics.values()}
        return {self._tab.mine: rate_form.mine_html(self._service.my_ratings(rater), titles)}

    def _waiting(self, rater: str, told: str = "") -> str:
        is_open = not self._service.queue(rater).items
        return rate_form.add_html(self._service.waiting(rater), told, is_open)

    def _shown(self, rater: str, task: Task | None) -> Updates:
        """The answer with its form, and where it is in the queue."""
        if task is None:
            queue = self._service.queue(rater)
            return self._head(rater, None) | {self._tab.page: rate_form.done_html(queue, rater)}
        return self._head(rater, task) | {self._tab.page: rate_form.task_html(task, rater)}

    def _head(self, rater: str, task: Task | None) -> Updates:
        found = self._service.rubrics()
        chosen = task.answer.rubric.id if task else self._service.rubric_of(rater).id
        queue = task.queue if task else self._service.queue(rater)
        position = task.position if task else 0
        html = rate_form.head_html(queue, position, list(found.rubrics.values()), chosen, found.faults)
        return {self._tab.head: html}

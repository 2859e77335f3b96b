"""What the Train tab does: each handler reads values, calls one service and gives what is to be shown."""

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from medchat.accounts import JOB_DELETED, JOB_RESUMED, JOB_STARTED, JOB_STOPPED, User
from medchat.errors import InvalidInput, MedChatError
from medchat.ui import model_picker, train_form
from medchat.ui.actions import OUT_OF_DATE, Action, Asked, read_action, sent_file
from medchat.ui.common import CLOSED, App, address_of, counted, escape, handler, require
from medchat.ui.train_compare import MOST_RUNS
from medchat.ui.train_desk import Desk, sent_shown
from medchat.ui.train_estimate import THIS
from medchat.ui.train_laboratory import Laboratory
from medchat.ui.train_layout import TrainTab
from medchat.ui.train_order import Order, sent_order
from medchat.ui.train_watch import Watch
from medchat.uploads import MAX_BYTES, shown_name

Updates = dict[Any, Any]


class Handlers:
    """The events of one tab; each is for those who may train."""

    def __init__(self, app: App, tab: TrainTab) -> None:
        self._app = app
        self._tab = tab
        self._desk = Desk(app)
        self._watch = Watch(app, tab)
        self._laboratory = Laboratory(app)
        self._acting: dict[str, Callable[[Asked, Action], Updates]] = {
            "enter": self._enter,
            "choose": self._choose,
            "check": self._check,
            "start": self._start,
            "watch": self._show_run,
            "stop": self._stop,
            "resume": self._resume,
            "delete": self._delete,
            "clone": self._clone,
            "pick": self._pick,
        }

    @handler
    def act(self, sent: str | None, page_key: str | None, request: gr.Request) -> Updates:
        """Whatever is pressed on the page, and what is to be shown then."""
        asked = self._asked(page_key, request)
        action = read_action(sent)
        if action.verb not in self._acting:
            raise InvalidInput(OUT_OF_DATE)
        return self._acting[action.verb](asked, action)

    @handler
    def look(self, sent: str | None, page_key: str | None, request: gr.Request) -> Iterator[Updates]:
        """A preview of the data; what was typed into the form stays."""
        asked = self._asked(page_key, request)
        order = sent_order(read_action(sent))
        yield {self._tab.preview: '<p class="mc-checking" role="status">Reading the data…</p>'}
        try:
            shown = self._desk.look(asked.user, order)
        except MedChatError as error:
            yield {self._tab.preview: train_form.fault_html(str(error))}
            return
        yield {self._tab.preview: shown}

    @handler
    def upload(self, sent: str | None, page_key: str | None, request: gr.Request) -> Updates:
        """The form with the examples of a file chosen as its data."""
        asked = self._asked(page_key, request)
        action = read_action(sent)
        name, data = sent_file(action, MAX_BYTES)
        order, n, note = self._desk.upload(sent_order(action), name, data)
        if note:
            gr.Info(escape(note))
        gr.Info(f"{counted(n, 'example')} of {escape(shown_name(name))} can be trained on now.")
        return self._formed(asked, order)

    @handler
    def tick(self, page_key: str | None, request: gr.Request) -> Updates:
        """What has changed in the runs that the page shows."""
        asked = self._asked(page_key, request)
        news = self._watch.news(asked.user, asked.page_key)
        if news is None:  # MedChat was started again since
            news = self._watch.show(asked.user, asked.page_key, self._left_at(asked.user), ())
        return news or {self._tab.runs: gr.skip()}

    @handler
    def chat(self, sent: str | None, page_key: str | None, request: gr.Request) -> tuple[gr.Tabs, gr.Dropdown]:
        """The Chat tab, with the model chosen."""
        self._asked(page_key, request)
        model = self._usable(read_action(sent).text("model"))
        return gr.Tabs(selected="chat"), gr.Dropdown(model_picker.choices(self._app), value=model)

    @handler
    def pair(self, sent: str | None, page_key: str | None, request: gr.Request) -> tuple[gr.Tabs, Any, Any]:
        """The Compare tab, with a model and its base chosen."""
        self._asked(page_key, request)
        action = read_action(sent)
        chosen = self._usable(action.text("model")), self._usable(action.text("base"))
        choices = model_picker.choices(self._app)
        first, second = (gr.Dropdown(choices, value=model) for model in chosen)
        return gr.Tabs(selected="compare"), first, second

    @handler
    def models(self, sent: str | None, page_key: str | None, request: gr.Request) -> gr.Tabs:
        """The Models tab, where a base can be fetched."""
        self._asked(page_key, request)
        return gr.Tabs(selected="models")

    @handler
    def score(self, sent: str | None, page_key: str | None, request: gr.Request) -> Updates:
        """What each reward gives for the completions of the laboratory, and what it can be filled with."""
        asked = self._asked(page_key, request)
        found = self._laboratory.act(asked.user, read_action(sent))
        return {getattr(self._tab, name): value for name, value in found.items()}

    def _enter(self, asked: Asked, action: Action) -> Updates:
        """The tab as it is opened: a form that stands there already stays as it is."""
        run_id = self._watch.shown_on(asked.page_key, asked.user) or self._left_at(asked.user)
        picked = self._watch.picked_of(asked.page_key, asked.user)
        updates = self._watch.show(asked.user, asked.page_key, run_id, picked)
        if action.text("form", ""):
            return updates
        order = self._desk.order_of(asked.user)
        updates |= self._formed(asked, order) | {self._tab.laboratory: self._laboratory.form_html()}
        return updates | {self._tab.box: gr.Accordion(open=not run_id or CLOSED)}

    def _choose(self, asked: Asked, action: Action) -> Updates:
        """Another recipe, as it is; or another base for the recipe, with what was typed."""
        order = sent_order(action)
        if action.text("part") == "recipe":
            order = self._desk.fresh(order.recipe)
        elif action.text("part") == "reset":
            order = Order(order.recipe, order.base, order.data, order.name)
        return self._formed(asked, order, action.text("machine", THIS))

    def _check(self, asked: Asked, action: Action) -> Updates:
        order, shown = sent_order(action), sent_shown(action)
        self._desk.keep(asked.user, order=order.to_json())
        updates: Updates = {
            self._tab.check: self._desk.check_html(asked.user, order, shown, action.text("machine", THIS))
        }
        if action.text("shown_for", order.data) != order.data:  # the preview is of other data
            updates[self._tab.preview] = ""
        return updates

    def _start(self, asked: Asked, action: Action) -> Updates:
        order, shown = sent_order(action), sent_shown(action)
        run_id, name = self._desk.start(asked.user, order, shown, action.text("key"))
        details = {"name": name, "recipe": order.recipe, "data": shown.place if shown else order.data}
        self._app.accounts.note(asked.user.id, JOB_STARTED, run_id, details, asked.address)
        gr.Info(f"{escape(name)} was put in line; it begins as soon as nothing else is at work.")
        check = self._desk.check_html(asked.user, order, shown)
        return self._shown(asked, run_id) | {self._tab.box: gr.Accordion(open=CLOSED), self._tab.check: check}

    def _show_run(self, asked: Asked, action: Action) -> Updates:
        return self._shown(asked, action.text("run"))

    def _stop(self, asked: Asked, action: Action) -> Updates:
        run_id = self._of_training(action)
        self._app.jobs.stop(run_id)
        self._app.accounts.note(asked.user.id, JOB_STOPPED, run_id, {}, asked.address)
        gr.Info("It was asked to stop: it saves where it is, then ends.")
        return self._shown(asked, run_id)

    def _resume(self, asked: Asked, action: Action) -> Updates:
        self._desk.require_on()
        run_id = self._of_training(action)
        self._app.jobs.resume(run_id)
        self._app.accounts.note(asked.user.id, JOB_RESUMED, run_id, {}, asked.address)
        gr.Info("It is in line, and goes on from its last checkpoint.")
        return self._shown(asked, run_id)

    def _delete(self, asked: Asked, action: Action) -> Updates:
        run_id = self._of_training(action)
        name = self._app.jobs.view(run_id).job.name
        self._app.jobs.delete(run_id)
        self._app.accounts.note(asked.user.id, JOB_DELETED, run_id, {"name": name}, asked.address)
        gr.Info(f"{escape(name)} was deleted with its files.")
        return self._shown(asked, self._watch.newest())

    def _clone(self, asked: Asked, action: Action) -> Updates:
        order = self._desk.cloned(self._of_training(action))
        gr.Info("Its settings are in the form of a new run. Change what you like, then start it.")
        return self._formed(asked, order) | {self._tab.box: gr.Accordion(open=True)}

    def _pick(self, asked: Asked, action: Action) -> Updates:
        picked = action.texts("runs")
        if len(picked) > MOST_RUNS:
            raise InvalidInput(f"At most {MOST_RUNS} runs can be compared at once; take one of them off first.")
        run_id = self._watch.shown_on(asked.page_key, asked.user)
        return self._watch.show(asked.user, asked.page_key, run_id, tuple(picked))

    def _formed(self, asked: Asked, order: Order, machine: str = THIS) -> Updates:
        """The form with the order in it, and what it would run."""
        self._desk.keep(asked.user, order=order.to_json())
        return {
            self._tab.form: self._desk.form_html(order),
            self._tab.check: self._desk.check_html(asked.user, order, None, machine),
            self._tab.preview: "",
        }

    def _shown(self, asked: Asked, run_id: str) -> Updates:
        """The page with this run on it."""
        self._desk.keep(asked.user, run=run_id)
        picked = self._watch.picked_of(asked.page_key, asked.user)
        return self._watch.show(asked.user, asked.page_key, run_id, picked)

    def _left_at(self, user: User) -> str:
        """The run that the user looked at last, or the newest one."""
        run_id = self._desk.left_run(user)
        return run_id if run_id and self._watch.is_there(run_id) else self._watch.newest()

    def _of_training(self, action: Action) -> str:
        """The run that was named. Raises InvalidInput for one of another kind, which has its own tab."""
        run_id = action.text("run")
        if self._app.jobs.view(run_id).job.kind != "train":
            raise InvalidInput(OUT_OF_DATE)
        return run_id

    def _usable(self, model_id: str) -> str:
        """The id of a model that can be asked here. Raises MedChatError."""
        spec = model_picker.spec_of(self._app, model_id)
        if not spec.is_here or model_picker.missing_key(spec):
            raise InvalidInput(f"{spec.name} cannot be asked here now; see the Models tab.")
        return spec.id

    def _asked(self, page_key: str | None, request: gr.Request) -> Asked:
        user = require(self._app, request, "train")
        return Asked(user, str(page_key or ""), address_of(self._app, request))

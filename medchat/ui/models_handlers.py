"""What the Models tab does: each handler reads values, calls one service and gives what is to be shown."""

import time
from collections import deque
from collections.abc import Iterator
from threading import Lock
from typing import Any, NamedTuple

import gradio as gr

from medchat import own_models
from medchat.accounts import MODEL_ADDED, MODEL_FETCHED, MODEL_REMOVED
from medchat.catalogue import ModelSpec
from medchat.errors import DownloadFailed, InvalidInput, MedChatError
from medchat.lineage import lineage_of_model
from medchat.machine import fit, free_disk_gb
from medchat.ui import model_cards, model_form, model_picker
from medchat.ui.actions import OUT_OF_DATE, read_action
from medchat.ui.common import App, address_of, handler, require
from medchat.ui.model_cards import Card
from medchat.ui.model_form import Form, Typed

PACE_WINDOW_S = 5.0
AUDITED = {"model-fetch": MODEL_FETCHED, "model-remove": MODEL_REMOVED}

Updates = dict[Any, Any]


class ModelsTab(NamedTuple):
    """The components of the tab. sent: filled by the page's scripts as they send an event."""

    machine: gr.HTML
    status: gr.HTML
    form: Form
    list: gr.HTML
    progress: gr.HTML  # of the running download; models.js takes it to its card
    watched: gr.State  # the model whose download this page follows, "" for none
    timer: gr.Timer
    act: gr.Button
    use: gr.Button
    sent: gr.Textbox


class Pace:
    """How fast a download goes, from the last few seconds; for any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._model_id = ""
        self._seen: deque[tuple[float, int]] = deque()

    def bytes_per_s(self, model_id: str, done_bytes: int, now_s: float) -> float:
        """The speed up to now; 0.0 as long as nothing can be said."""
        with self._lock:
            if model_id != self._model_id or (self._seen and done_bytes < self._seen[-1][1]):
                self._model_id = model_id
                self._seen.clear()
            while self._seen and now_s - self._seen[0][0] > PACE_WINDOW_S:
                self._seen.popleft()
            self._seen.append((now_s, done_bytes))
            first_s, first_bytes = self._seen[0]
            return (done_bytes - first_bytes) / (now_s - first_s) if now_s > first_s else 0.0


class Handlers:
    """The events of one tab."""

    def __init__(self, app: App, tab: ModelsTab) -> None:
        self._app = app
        self._tab = tab
        self._pace = Pace()
        self._acting = {"model-fetch": self._fetch, "model-cancel": self._cancel, "model-remove": self._remove}

    @handler
    def refresh(self, request: gr.Request) -> Updates:
        """All models as they are now, for a tab that was just opened."""
        managed = self._may_manage(request)
        return self._listed(managed) | {self._tab.form.box: gr.Accordion(visible=managed)}

    @handler
    def act(self, sent: str | None, request: gr.Request) -> Updates:
        """Fetches a model, cancels that, or takes a model out of the list."""
        user = require(self._app, request, "models")
        action = read_action(sent)
        if action.verb not in self._acting:
            raise InvalidInput(OUT_OF_DATE)
        spec = model_picker.spec_of(self._app, action.text("model"))
        done = self._acting[action.verb](spec)
        if action.verb in AUDITED:
            self._app.accounts.note(user.id, AUDITED[action.verb], spec.id, {}, address_of(self._app, request))
        return done

    @handler
    def use(self, sent: str | None, request: gr.Request) -> tuple[gr.Tabs, gr.Dropdown]:
        """The Chat tab, with the model chosen."""
        require(self._app, request, "chat")
        spec = model_picker.spec_of(self._app, read_action(sent).text("model"))
        if not spec.is_here:
            raise InvalidInput(f"{spec.name} is not here yet; download it first.")
        if variable := model_picker.missing_key(spec):
            raise InvalidInput(f"{spec.name} needs a key: set {variable} in the environment and start MedChat again.")
        self._look_at(spec)
        return gr.Tabs(selected="chat"), gr.Dropdown(model_picker.choices(self._app), value=spec.id)

    @handler
    def tick(self, watched: str | None, request: gr.Request) -> Updates:
        """The progress of the download that the page follows; all models again once it has ended."""
        managed = self._may_manage(request)
        running = self._running()
        if running and (not watched or watched == running.id):
            return {self._tab.progress: self._news(running)}
        spec = self._app.catalogue.get(watched or "")
        download = self._app.downloads.status(watched or "")
        told, fault = "", ""
        if spec and download and download.state == "done":
            told = f"{spec.name} is here and can be used in the chat."
            try:
                self._look_at(spec)
            except MedChatError as error:
                told, fault = f"{spec.name} was fetched, and cannot be used.", str(error)
        elif spec and download and download.state == "failed":
            told = f"The download of {spec.name} failed."
        listed = self._listed(managed, {spec.id: fault} if spec and fault else {})
        return listed | ({self._tab.status: model_cards.status_html(told)} if told else {})

    @handler
    def choose_kind(self, kind: str | None, request: gr.Request) -> Updates:
        """The fields that models of this kind have."""
        require(self._app, request, "models")
        form = self._tab.form
        return {
            form.place_box: gr.Column(visible=kind in ("file", "adapter")),
            form.server_box: gr.Column(visible=kind == "server"),
            form.hub_box: gr.Column(visible=kind == "hub"),
            form.base_box: gr.Column(visible=kind in ("adapter", "hub")),
            form.told: "",
        }

    @handler
    def offer(self, kind: str | None, request: gr.Request) -> Updates:
        """What lies in the folders, and what an adapter can go onto."""
        require(self._app, request, "models")
        form = self._tab.form
        bases, found = model_form.base_choices(self._app, kind), model_form.found_choices(self._app, kind)
        info = model_form.PICK if found else model_form.NOTHING_FOUND
        return {
            form.found: gr.Dropdown(found, value=None, info=info),
            form.base: gr.Dropdown(bases, value="" if kind == "hub" else None),
        }

    @handler
    def add(self, request: gr.Request, *values: Any) -> Iterator[Updates]:
        """Adds the model once it was checked; what is wrong is said in the form, where all that was typed stays."""
        user, address = require(self._app, request, "models"), address_of(self._app, request)
        form, typed = self._tab.form, Typed(*values)
        yield {form.told: model_form.checking_html(typed.kind)}
        try:
            spec = model_form.read_model(self._app, typed)
            self._app.catalogue.add(spec)
            self._app.accounts.note(user.id, MODEL_ADDED, spec.id, {"name": spec.name}, address)
        except MedChatError as error:
            yield {form.told: model_form.fault_html(str(error))}
            return
        fetch = "" if spec.is_here else " Download it next."
        status = model_cards.status_html(f"{spec.name} was added.{fetch}", spec.id)
        emptied: Updates = dict.fromkeys(form.fields, "") | {form.kind: gr.skip(), form.base: None}
        yield self._listed(True) | emptied | {self._tab.status: status, form.told: "", form.found: None}

    def _fetch(self, spec: ModelSpec) -> Updates:
        try:
            self._app.downloads.start(spec)
        except DownloadFailed as error:
            return self._listed(True, {spec.id: str(error)})
        return self._listed(True) | {self._tab.status: model_cards.status_html(f"{spec.name} is being fetched.")}

    def _cancel(self, spec: ModelSpec) -> Updates:
        self._app.downloads.cancel(spec.id)
        download = self._app.downloads.status(spec.id)
        kept = "; what was fetched is kept" if download and download.done_bytes else ""
        told = f"The download of {spec.name} was cancelled{kept}."
        return self._listed(True) | {self._tab.status: model_cards.status_html(told)}

    def _remove(self, spec: ModelSpec) -> Updates:
        if spec.id == self._app.default.id:
            raise InvalidInput(f"{spec.name} is the model that answers at first here, and stays.")
        self._app.downloads.cancel(spec.id)
        self._app.catalogue.remove(spec.id)
        self._app.backends.forget(spec.id)
        told = f"{spec.name} was removed from the list; its files stay where they are."
        return self._listed(True) | {self._tab.status: model_cards.status_html(told)}

    def _may_manage(self, request: gr.Request) -> bool:
        """Whether its sender may add, fetch and remove models; everybody who chats may see them."""
        return "models" in require(self._app, request, "chat").rights

    def _look_at(self, spec: ModelSpec) -> None:
        """Checks a model of one's own from the Hub: nobody could before it was fetched. Raises a MedChatError."""
        if spec.own and spec.hub and spec.memory_gb is None and spec.is_here:
            self._app.catalogue.add(own_models.checked(spec, self._app.backends))

    def _running(self) -> ModelSpec | None:
        """The model that is being fetched."""
        return next((spec for spec in self._app.catalogue.values() if self._is_running(spec)), None)

    def _is_running(self, spec: ModelSpec) -> bool:
        download = self._app.downloads.status(spec.id)
        return download is not None and download.state == "running"

    def _listed(self, managed: bool, faults: dict[str, str] | None = None) -> Updates:
        """Machine and cards as they are now; the page follows a download as long as one runs."""
        app, tab = self._app, self._tab
        free_gb = free_disk_gb(app.settings.models_dir)
        cards = [self._card(spec, free_gb, managed, (faults or {}).get(spec.id, "")) for spec in app.catalogue.values()]
        running = next((card.spec.id for card in cards if card.is_fetched), "")
        return {
            tab.machine: model_cards.machine_html(app.machine(), free_gb, app.settings.models_dir),
            tab.list: model_cards.list_html(cards),
            tab.progress: "",
            tab.watched: running,
            tab.timer: gr.Timer(active=bool(running)),
        }

    def _card(self, spec: ModelSpec, free_gb: float, managed: bool, fault: str) -> Card:
        has_key = not model_picker.missing_key(spec)
        # Who may manage models may see results too.
        lineage = lineage_of_model(spec.id, self._app.store) if managed and spec.own else None
        return Card(
            spec, fit(spec, self._app.machine(), free_gb), self._app.downloads.status(spec.id), fault, has_key, managed,
            is_default=spec.id == self._app.default.id, lineage=lineage,
        )  # fmt: skip

    def _news(self, spec: ModelSpec) -> str:
        download = self._app.downloads.status(spec.id)
        if download is None:
            return ""
        speed = self._pace.bytes_per_s(spec.id, download.done_bytes, time.monotonic())
        return model_cards.progress_news(spec, model_cards.progress_html(spec, download, speed))

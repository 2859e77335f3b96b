"""What an investigator does in the Studies tab: each handler reads values, calls one service, shows what came of it."""

from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock
from typing import Any, NamedTuple

import gradio as gr

from medchat.accounts import User
from medchat.errors import InvalidInput, MedChatError, NotFound
from medchat.studies import StudyService
from medchat.study_design import Design
from medchat.study_desk import StudyDesk
from medchat.study_progress import progress_of
from medchat.study_views import StudyView
from medchat.ui import studies_people, studies_view
from medchat.ui.actions import OUT_OF_DATE, Action, read_action, sent_file
from medchat.ui.common import CLOSED, App, counted, escape, handler, require
from medchat.ui.studies_adjudicate import listed_html
from medchat.ui.studies_form import Person, fault_html
from medchat.ui.studies_layout import StudiesTab
from medchat.ui.studies_order import ANSWERS, FILE, MOST_SEED, Order, sent_order, whole
from medchat.ui.studies_plan import DRAFT, Planner
from medchat.ui.studies_power import pair_lines, power_html
from medchat.ui.studies_sources import take_upload, title_of
from medchat.uploads import MAX_BYTES, shown_name

BUSY_S, IDLE_S = 1.0, 15.0  # counting all judgements of an open study takes a while
MOST_PAGES = 500
STATUS = "status"
PARTS = {"desk": "My studies", "manage": "Manage", "adjudicate": "Adjudicate"}

Updates = dict[Any, Any]


class Asked(NamedTuple):
    """Who asks, and from which page."""

    user: User
    page_key: str


class Handlers:
    """The events of the tab; what is not a rater's own is for those who have the right "studies"."""

    def __init__(self, app: App, tab: StudiesTab) -> None:
        self._app = app
        self._tab = tab
        self._service = StudyService(app.store, app.catalogue, app.jobs, app.settings)
        self._planner = Planner(app, self._service)
        self._lock = Lock()
        self._seen: OrderedDict[tuple[str, str], dict[Any, object]] = OrderedDict()  # of each page that is followed
        self._entering: dict[str, Callable[[Asked, Action], Updates]] = {"enter": self._enter, "part": self._part}
        self._acting: dict[str, Callable[[Asked, Action], Updates]] = {
            "choose": self._choose,
            "check": self._check,
            "fresh": self._fresh,
            "create": self._create,
            "show": self._show,
            "change": self._change,
            "copy": self._copy,
            "delete": self._delete,
            "generate": self._generate,
            "stop": self._stop,
            "leave-out": self._leave_out,
            "people": self._people,
            "add": self._add,
            "remove": self._remove,
            "preview": self._preview,
            "open": self._open,
            "close": self._close,
            "training": self._training,
            "results": self._results,
        }

    @handler
    def act(self, sent: str | None, page_key: str | None, request: gr.Request) -> Updates:
        """Whatever is pressed on the page, and what is to be shown then."""
        action = read_action(sent)
        if action.verb in self._entering:
            return self._entering[action.verb](Asked(require(self._app, request, "rate"), str(page_key or "")), action)
        asked = self._asked(page_key, request)
        if action.verb not in self._acting:
            raise InvalidInput(OUT_OF_DATE)
        return self._acting[action.verb](asked, action)

    @handler
    def upload(self, sent: str | None, page_key: str | None, request: gr.Request) -> Updates:
        """A file of questions or answers as the form's choice, or the answers that a study was waiting for."""
        asked = self._asked(page_key, request)
        action = read_action(sent)
        name, data = sent_file(action, MAX_BYTES)
        if action.verb == "answers":
            view = self._service.upload_answers(action.text("study"), asked.user.id, name, data)
            gr.Info(f"The answers of {escape(shown_name(name))} are in the study.")
            return self._shown(asked, view)
        prefix = ANSWERS if action.text("kind") == "answers" else FILE
        choice, note = take_upload(self._app.settings, prefix, name, data)
        if note:
            gr.Info(escape(note))
        order = sent_order(action)
        return self._formed(asked, Order(**(order.to_json() | {"source": choice, "models": order.models})))

    @handler
    def tick(self, page_key: str | None, request: gr.Request) -> Updates:
        """What has changed in the study that the page shows."""
        asked = self._asked(page_key, request)
        view = self._view_or_none(self._left_at(asked.user))
        with self._lock:
            seen = self._seen.get((asked.user.id, asked.page_key), {})
        if seen.get(STATUS) != _status(view):  # what can be done is another thing now
            return self._shown(asked, view)
        updates = self._followed(view)
        self._note(asked, updates, view)
        news = {part: value for part, value in updates.items() if seen.get(part) != value}
        return news or {self._tab.head: gr.skip()}

    def _enter(self, asked: Asked, action: Action) -> Updates:
        """The tab as it is opened: a form that stands there already stays as it is."""
        left = self._left(asked.user)
        may = [
            part for part, right in (("manage", "studies"), ("adjudicate", "adjudicate")) if right in asked.user.rights
        ]
        part = str(left.get("part", ""))
        if part not in ("desk", *may):
            desk = StudyDesk(self._app.store, self._app.catalogue)
            part = "desk" if not may or desk.my_studies(asked.user.id) else may[0]
        updates: Updates = {self._tab.parts: _parts_html(part, may)}
        return updates | self._of_part(asked, part, is_new=not action.text("form", ""))

    def _part(self, asked: Asked, action: Action) -> Updates:
        part = action.text("part")
        if part not in PARTS:
            raise InvalidInput(OUT_OF_DATE)
        self._keep(asked.user, part=part)
        return self._of_part(asked, part, is_new=not action.text("form", "")) or {self._tab.parts: gr.skip()}

    def _of_part(self, asked: Asked, part: str, *, is_new: bool) -> Updates:
        rights = asked.user.rights
        if part == "adjudicate" and "adjudicate" in rights:
            return {self._tab.disputed: listed_html(self._app, asked.user)}
        if part != "manage" or "studies" not in rights:
            return {}
        view = self._view_or_none(self._left_at(asked.user))
        updates = self._shown(asked, view)
        if is_new:
            order = self._planner.order_of(asked.user)
            no_study = view is None
            updates |= self._formed(asked, order) | {self._tab.box: gr.Accordion(open=no_study or CLOSED)}
        return updates

    def _choose(self, asked: Asked, action: Action) -> Updates:
        """Another source or another form, with all else as it was typed."""
        return self._formed(asked, sent_order(action))

    def _check(self, asked: Asked, action: Action) -> Updates:
        order = sent_order(action)
        self._keep(asked.user, order=order.to_json())
        return {self._tab.check: self._planner.check_html(order)}

    def _fresh(self, asked: Asked, _: Action) -> Updates:
        return self._formed(asked, self._planner.fresh())

    def _create(self, asked: Asked, action: Action) -> Updates:
        order = sent_order(action)
        try:
            view = self._planner.save(asked.user, order, action.text("key"))
        except MedChatError as error:
            return {self._tab.check: fault_html(str(error)) + self._planner.check_html(order)}
        if action.text("then", "") == "generate":
            try:
                self._service.generate(view.record.id, asked.user.id)
            except MedChatError as error:  # the study is there: it says what is missing
                gr.Warning(escape(str(error)))
            view = self._service.view(view.record.id)
        gr.Info(f"{escape(view.record.name)} was {'changed' if order.study else 'created'}.")
        self._keep(asked.user, study=view.record.id)
        return self._formed(asked, self._planner.fresh()) | self._shown(asked, view) | {
            self._tab.box: gr.Accordion(open=CLOSED)
        }  # fmt: skip

    def _show(self, asked: Asked, action: Action) -> Updates:
        view = self._service.view(action.text("study"))
        self._keep(asked.user, study=view.record.id)
        return self._shown(asked, view)

    def _change(self, asked: Asked, action: Action) -> Updates:
        view = self._service.view(action.text("study"))
        order = self._planner.order_from(view, view.record.id)
        return self._formed(asked, order) | {self._tab.box: gr.Accordion(open=True)}

    def _copy(self, asked: Asked, action: Action) -> Updates:
        order = self._planner.order_from(self._service.view(action.text("study")), "")
        gr.Info("Its design is in the form of a new study. Change what you like, then create it.")
        return self._formed(asked, order) | {self._tab.box: gr.Accordion(open=True)}

    def _delete(self, asked: Asked, action: Action) -> Updates:
        view = self._service.view(action.text("study"))
        self._service.delete(view.record.id, asked.user.id)
        gr.Info(f"{escape(view.record.name)} was deleted.")
        self._keep(asked.user, study="")
        return self._shown(asked, None)

    def _generate(self, asked: Asked, action: Action) -> Updates:
        self._service.generate(action.text("study"), asked.user.id)
        gr.Info("The answers are written as soon as nothing else is at work.")
        return self._shown(asked, self._service.view(action.text("study")))

    def _stop(self, asked: Asked, action: Action) -> Updates:
        view = self._service.view(action.text("study"))
        if view.job is None:
            raise InvalidInput("Nothing is being written for this study.")
        self._app.jobs.stop(view.job.job.id)
        gr.Info("It was asked to stop; what is written stays, and it can go on from there.")
        return self._shown(asked, self._service.view(view.record.id))

    def _leave_out(self, asked: Asked, action: Action) -> Updates:
        view = self._service.leave_out_missing(action.text("study"), asked.user.id)
        gr.Info(f"The study has {counted(view.n_questions, 'question')} now.")
        return self._shown(asked, view)

    def _people(self, asked: Asked, action: Action) -> Updates:
        raters = action.mapping("raters")
        if not all(isinstance(group, str) for group in raters.values()):
            raise InvalidInput(OUT_OF_DATE)
        view = self._service.set_raters(action.text("study"), asked.user.id, list(raters.items()))
        gr.Info(f"The study has {counted(len(raters), 'rater')} now.")
        return self._shown(asked, view)

    def _add(self, asked: Asked, action: Action) -> Updates:
        study, rater = action.text("study"), action.text("rater")
        done = self._service.add_rater(study, asked.user.id, rater, action.text("group", ""))
        name = self._planner.names().get(rater, "The rater")
        gr.Info(
            f"{escape(name)} has joined with {counted(done.added, 'item')}; {done.withdrawn:,} came from the others."
        )
        return self._shown(asked, self._service.view(study))

    def _remove(self, asked: Asked, action: Action) -> Updates:
        study, rater = action.text("study"), action.text("rater")
        done = self._service.remove_rater(study, asked.user.id, rater)
        name = self._planner.names().get(rater, "The rater")
        gr.Info(
            f"{escape(name)} has left. {counted(done.withdrawn, 'open item')} came back, {done.added:,} went to the "
            "others; what was judged stays."
        )
        if done.short:
            gr.Warning(
                f"{counted(done.short, 'judgement')} can be made by nobody who stays: each has seen the answer. Add "
                "another rater for them."
            )
        return self._shown(asked, self._service.view(study))

    def _preview(self, asked: Asked, action: Action) -> Updates:
        study, typed = action.text("study"), action.text("seed", "")
        seed = whole(typed, "Seed", 0, MOST_SEED) if typed.strip() else None
        allocated = self._service.allocate(study, seed, dry_run=seed is None)  # a seed that is given is kept
        numbers = {unit.question_id: place for place, unit in _numbered(allocated.units)}
        return {self._tab.preview: studies_people.preview_html(allocated, self._planner.names(), numbers)}

    def _open(self, asked: Asked, action: Action) -> Updates:
        view = self._service.open(action.text("study"), asked.user.id)
        gr.Info("The study is open: its raters find it under “My studies”.")
        return self._shown(asked, view)

    def _close(self, asked: Asked, action: Action) -> Updates:
        view = self._service.close(action.text("study"), asked.user.id)
        gr.Info("The study is closed and unblinded.")
        return self._shown(asked, view)

    def _training(self, asked: Asked, action: Action) -> Updates:
        yes = bool(action.text("yes"))
        return self._shown(asked, self._service.allow_training(action.text("study"), asked.user.id, yes))

    def _results(self, asked: Asked, action: Action) -> Updates:
        yes = bool(action.text("yes"))
        return self._shown(asked, self._service.show_results(action.text("study"), asked.user.id, yes))

    def _formed(self, asked: Asked, order: Order) -> Updates:
        """The form with the order in it, and what it comes to."""
        self._keep(asked.user, order=order.to_json())
        return {self._tab.form: self._planner.form_html(order), self._tab.check: self._planner.check_html(order)}

    def _shown(self, asked: Asked, view: StudyView | None) -> Updates:
        """The list, and all of a study."""
        updates = self._followed(view)
        self._note(asked, updates, view)
        busy, shown = _status(view) == "generating", view.record.id if view else ""
        listed = studies_view.listed_html(self._service.views(), shown, self._planner.names(), asked.user)
        updates |= {self._tab.listed: listed, self._tab.timer: gr.Timer(BUSY_S if busy else IDLE_S, active=True)}
        people = self._planner.people() if view else []
        parts: Updates = dict.fromkeys(
            (self._tab.people, self._tab.allocation, self._tab.preview, self._tab.switches), ""
        )
        if view is None:
            return updates | parts
        late = studies_people.late_html(view, people)
        return updates | {
            self._tab.people: studies_people.people_html(view, people) + late,
            self._tab.allocation: studies_people.allocation_html(view),
            self._tab.preview: "",
            self._tab.switches: studies_view.switches_html(view.record),
        }

    def _followed(self, view: StudyView | None) -> Updates:
        """What changes while somebody looks on."""
        if view is None:
            return {self._tab.head: "", self._tab.progress: ""}
        models, source = self._model_names(view.design), title_of(self._app, view.design.questions)
        if view.record.status not in ("open", "closed"):
            head = studies_view.head_html(view, source, list(models.values()), 0)
            return {self._tab.head: head, self._tab.progress: ""}
        judged = self._app.store.study_judgements(view.record.id)
        progress = progress_of(judged)
        people = [Person(id_, name, "") for id_, name in self._planner.names().items()]
        told = studies_people.progress_html(view, progress, people, datetime.now(UTC))
        if view.record.status == "open":
            told += power_html(pair_lines(judged, view.design), models)
        head = studies_view.head_html(view, source, list(models.values()), progress.to_adjudicate)
        return {self._tab.head: head, self._tab.progress: told}

    def _model_names(self, design: Design) -> dict[str, str]:
        specs = {model: self._app.catalogue.get(model) for model in design.models}
        return {model: spec.name if spec else model for model, spec in specs.items()}

    def _note(self, asked: Asked, updates: Updates, view: StudyView | None) -> None:
        """Remember what the page was sent, so that only what has changed is sent again."""
        key = (asked.user.id, asked.page_key)
        with self._lock:
            self._seen[key] = dict(updates) | {STATUS: _status(view)}
            self._seen.move_to_end(key)
            while len(self._seen) > MOST_PAGES:
                self._seen.popitem(last=False)

    def _view_or_none(self, study: str) -> StudyView | None:
        try:
            return self._service.view(study) if study else None
        except NotFound:
            return None

    def _left(self, user: User) -> dict[str, Any]:
        return self._app.store.draft(user.id, DRAFT) or {}

    def _left_at(self, user: User) -> str:
        """The study that the user looked at last, else the newest; "" without any."""
        left = str(self._left(user).get("study", ""))
        if left and self._view_or_none(left):
            return left
        return next((record.id for record in self._app.store.studies()), "")

    def _keep(self, user: User, **changes: Any) -> None:
        """Keep what the user has chosen for the next page."""
        left = self._left(user)
        if any(left.get(name) != value for name, value in changes.items()):
            self._app.store.save_draft(user.id, DRAFT, left | changes)

    def _asked(self, page_key: str | None, request: gr.Request) -> Asked:
        return Asked(require(self._app, request, "studies"), str(page_key or ""))


def _status(view: StudyView | None) -> str:
    return view.record.status if view else ""


def _numbered(units: Any) -> list[tuple[int, Any]]:
    """Each unit with the place of its question, from 1."""
    places = {question: place for place, question in enumerate(dict.fromkeys(unit.question_id for unit in units), 1)}
    return [(places[unit.question_id], unit) for unit in units]


def _parts_html(part: str, may: list[str]) -> str:
    """The ways between the parts; nothing for a rater, who has one alone."""
    if not may:
        return f'<nav data-part="{part}" hidden></nav>'
    buttons = "".join(
        f'<button type="button" class="mc-button" data-do="studies-part" data-part="{name}" id="studies-part-{name}" '
        f'aria-pressed="{str(name == part).lower()}">{PARTS[name]}</button>'
        for name in ("desk", *may)
    )
    return f'<nav class="mc-parts" data-part="{part}" aria-label="Parts of Studies">{buttons}</nav>'

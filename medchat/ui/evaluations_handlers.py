"""What the section Evaluations does: each handler reads values, calls one service and gives what is to be shown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import gradio as gr

from evaluation.run_command import GROUNDING
from medchat.accounts import JOB_DELETED, JOB_RESUMED, JOB_STARTED, JOB_STOPPED, User
from medchat.errors import InvalidInput, MedChatError, NotFound
from medchat.jobs import JobKind, JobView
from medchat.knowledge import Knowledge, load_knowledge
from medchat.run_state import ENDED
from medchat.ui import evaluations_form as forms
from medchat.ui import evaluations_runs, evaluations_table
from medchat.ui.actions import OUT_OF_DATE, Action, read_action
from medchat.ui.common import App, address_of, handler, require
from medchat.ui.evaluations_data import RECOGNISER, entries, entries_of, whole_answer
from medchat.ui.evaluations_form import Form, Typed
from medchat.ui.evaluations_items import MOST_TO_RATE, Found, find, items_html, query_of
from medchat.ui.evaluations_panel import waiting_html
from medchat.ui.evaluations_rate import raters_of, send_failures
from medchat.ui.evaluations_speed import speeds_of
from medchat.ui.job_views import names_of
from medchat.ui.model_cards import status_html

FORM_DRAFT, VIEW_DRAFT = "evaluations: form", "evaluations: view"
KIND: JobKind = "evaluate"

Updates = dict[Any, Any]
Watched = Mapping[str, Any]  # what a page follows: the runs' standing, the open log, whether all runs are listed


class EvaluationsTab(NamedTuple):
    """The components of the section. sent: filled by the page's scripts as they send an event."""

    form: Form
    status: gr.HTML
    runs: gr.HTML
    results: gr.HTML
    panel: gr.HTML
    news: gr.HTML  # the progress of runs; results.js takes it to their cards
    watched: gr.State
    timer: gr.Timer
    act: gr.Button
    sent: gr.Textbox

    @property
    def lists(self) -> list[gr.components.Component]:
        """What shows the runs and what they found out."""
        return [self.runs, self.results, self.news, self.watched, self.timer]


class Handlers:
    """The events of one section."""

    def __init__(self, app: App, tab: EvaluationsTab) -> None:
        self._app = app
        self._tab = tab
        self._opening = {"compare": self._compare, "items": self._items}
        self._acting = {
            "stop": self._stop, "resume": self._resume, "delete": self._delete, "log": self._log, "every": self._every,
        }  # fmt: skip

    @handler
    def enter(self, watched: Watched | None, request: gr.Request) -> Iterator[Updates]:
        """Everything as it is now, with the form and the panel as the user left them."""
        user = require(self._app, request, "results")
        shown = self._lists(user, watched)
        is_new = not self._views() and shown[self._tab.results] == evaluations_table.EMPTY
        managed = "evaluate" in user.rights
        shown[self._tab.watched]["entered"] = True
        box = gr.Accordion(visible=managed, open=True) if is_new else gr.Accordion(visible=managed)
        yield shown | self._form(user, Typed.of(self._app.store.draft(user.id, FORM_DRAFT))) | {self._tab.form.box: box}
        view = self._app.store.draft(user.id, VIEW_DRAFT)
        if view and not (watched or {}).get("entered"):  # later it stands on the page already
            yield {self._tab.panel: self._restored(user, view)}

    @handler
    def describe(self, request: gr.Request, *values: Any) -> Updates:
        """What is chosen in the form, how long it takes, or what stands against it."""
        user = require(self._app, request, "evaluate")
        typed = Typed(*values)
        self._app.store.save_draft(user.id, FORM_DRAFT, typed.draft())
        return self._described(typed)

    @handler
    def start(self, request: gr.Request, watched: Watched | None, *values: Any) -> Updates:
        """Starts the evaluation as a job; what stands against it is said in the form."""
        user = require(self._app, request, "evaluate")
        try:
            wanted = forms.checked(self._app, Typed(*values))
        except InvalidInput as fault:
            return {self._tab.form.told: forms.fault_html(str(fault))}
        job_id = self._app.jobs.submit(KIND, wanted.name, wanted.argv, user.id, wanted.variables)
        self._note(user, request, JOB_STARTED, job_id, {"name": wanted.name})
        told = f"{wanted.name}: started. It goes on when you leave this page."
        return self._lists(user, watched) | {self._tab.status: status_html(told)}

    @handler
    def act(self, sent: str | None, watched: Watched | None, request: gr.Request) -> Iterator[Updates]:
        """Whatever is pressed in the lists and in the panel."""
        user = require(self._app, request, "results")
        action = read_action(sent)
        verb = "compare" if action.verb == "compare-first" else action.verb
        if verb in self._opening:
            yield from self._open(user, action, verb)
        elif verb == "close":
            self._app.store.drop_draft(user.id, VIEW_DRAFT)
            yield {self._tab.panel: ""}
        elif verb == "rate":
            yield self._rate(user, action)
        elif verb in self._acting:
            if verb not in ("log", "every"):
                require(self._app, request, "evaluate")
            yield self._acting[verb](user, action, dict(watched or {}), request)
        else:
            raise InvalidInput(OUT_OF_DATE)

    @handler
    def tick(self, watched: Watched | None, request: gr.Request) -> Updates:
        """The progress of the runs at work; all lists again once one of them came or ended."""
        user = require(self._app, request, "results")
        seen = dict(watched or {})
        changed = self._app.jobs.changed()
        if seen.get("changed") == changed and not seen.get("settling"):
            return {self._tab.watched: gr.skip()}
        views = self._views()
        if (evaluations_runs.standing(views), self._settling(views)) != (seen.get("standing"), seen.get("settling")):
            return self._lists(user, seen)
        news = evaluations_runs.news_html(views, self._names(user), seen.get("log", ""))
        return {self._tab.news: news, self._tab.watched: seen | {"changed": changed}}

    def _open(self, user: User, action: Action, verb: str) -> Iterator[Updates]:
        """A comparison, or single answers, in the place of the lists."""
        if verb == "compare":
            yield {self._tab.panel: waiting_html("Comparing…")}
        try:
            panel, view = self._opening[verb](user, action)
        except MedChatError:
            yield {self._tab.panel: self._restored(user, self._app.store.draft(user.id, VIEW_DRAFT) or {})}
            raise
        self._app.store.save_draft(user.id, VIEW_DRAFT, view)
        yield {self._tab.panel: panel}

    def _restored(self, user: User, view: Mapping[str, Any]) -> str:
        """The panel as it was left; "" when what it showed is not there any more."""
        try:
            return self._opening[str(view.get("do"))](user, Action(str(view.get("do")), view))[0]
        except (KeyError, MedChatError):
            return ""

    def _compare(self, user: User, action: Action) -> tuple[str, dict[str, Any]]:
        from medchat.ui.evaluations_comparison import comparable, comparison_html  # the app starts without them

        ids, first = action.texts("ids"), action.text("first", "")
        chosen = comparable(entries_of(self._app, ids))
        if first in ids:
            chosen.sort(key=lambda entry: entry.id != first)
        return comparison_html(self._app, chosen, self._knowledge()), {"do": "compare", "ids": ids, "first": first}

    def _items(self, user: User, action: Action) -> tuple[str, dict[str, Any]]:
        from medchat.ui.evaluations_item import item_html

        found = self._found(action)
        query = found.query
        answers = {found.labels[entry.id]: found.answers[entry.id].get(query.item) for entry in found.chosen}
        item = '<p class="mc-note">Choose a question to read the answers to it.</p>' if found.ids else ""
        if query.item and all(answers.values()):
            whole = {
                found.labels[entry.id]: whole_answer(entry, found.answers[entry.id][query.item])
                for entry in found.chosen
            }
            item = item_html(query.metric, whole, self._knowledge())
        return items_html(found, raters_of(self._app, user), item), {"do": "items", **query.fields()}

    def _found(self, action: Action) -> Found:
        query = query_of(action)
        return find(query, entries_of(self._app, query.ids))

    def _rate(self, user: User, action: Action) -> Updates:
        raters = raters_of(self._app, user)
        rater = action.text("rater")
        if rater not in raters:
            raise NotFound("There is no such rater. Reload the page.")
        most = action.text("most")
        if not most.isascii() or not most.isdigit() or not 1 <= int(most) <= MOST_TO_RATE:
            raise InvalidInput(f"At most how many answers must be a whole number from 1 to {MOST_TO_RATE}.")
        sent = send_failures(self._app, self._found(action), action.text("of", ""), int(most), rater)
        return {
            self._tab.status: status_html(
                sent.words(f"the queue of {raters[rater]}" if rater != user.id else raters[rater])
            )
        }

    def _stop(self, user: User, action: Action, watched: dict[str, Any], request: gr.Request) -> Updates:
        view = self._run(action)
        self._app.jobs.stop(view.job.id)
        self._note(user, request, JOB_STOPPED, view.job.id, {"name": view.job.name})
        return self._lists(user, watched) | {self._tab.status: status_html(f"{view.job.name}: asked to stop.")}

    def _resume(self, user: User, action: Action, watched: dict[str, Any], request: gr.Request) -> Updates:
        view = self._run(action)
        self._app.jobs.resume(view.job.id)
        self._note(user, request, JOB_RESUMED, view.job.id, {"name": view.job.name})
        told = f"{view.job.name}: goes on where it was, when it is its turn."
        return self._lists(user, watched) | {self._tab.status: status_html(told)}

    def _delete(self, user: User, action: Action, watched: dict[str, Any], request: gr.Request) -> Updates:
        view = self._run(action)
        self._app.jobs.delete(view.job.id)
        self._note(user, request, JOB_DELETED, view.job.id, {"name": view.job.name})
        return self._lists(user, watched) | {self._tab.status: status_html(f"{view.job.name}: deleted.")}

    def _log(self, user: User, action: Action, watched: dict[str, Any], request: gr.Request) -> Updates:
        job_id = self._run(action).job.id
        return self._lists(user, watched | {"log": "" if watched.get("log") == job_id else job_id})

    def _every(self, user: User, action: Action, watched: dict[str, Any], request: gr.Request) -> Updates:
        return self._lists(user, watched | {"every": True})

    def _run(self, action: Action) -> JobView:
        view = self._app.jobs.view(action.text("run"))
        if view.job.kind != KIND:
            raise NotFound("There is no such evaluation any more. Reload the page.")
        return view

    def _views(self) -> list[JobView]:
        return [view for view in self._app.jobs.all() if view.job.kind == KIND]

    def _lists(self, user: User, watched: Watched | None) -> Updates:
        """Runs and results as they are; the page follows them as long as one waits or is at work."""
        tab, seen = self._tab, dict(watched or {})
        changed, views = self._app.jobs.changed(), self._views()
        runs = evaluations_runs.runs_html(
            views,
            self._names(user),
            seen.get("log", ""),
            managed="evaluate" in user.rights,
            every=bool(seen.get("every")),
        )
        settling = self._settling(views)
        followed = bool(settling) or any(view.state.status not in ENDED for view in views)
        return {
            tab.runs: runs,
            tab.results: evaluations_table.results_html(entries(self._app)),
            tab.news: "",
            tab.watched: seen
            | {"changed": changed, "standing": evaluations_runs.standing(views), "settling": settling},
            tab.timer: gr.Timer(active=followed),
        }

    def _settling(self, views: Sequence[JobView]) -> list[str]:
        """The runs that have just ended and whose results may still be on their way into the store."""
        ended = [view for view in views if view.state.status in ENDED and evaluations_runs.has_just_ended(view.state)]
        stored = {view.job.id: self._app.store.run_of(view.job.id) for view in ended}
        return [
            view.job.id for view in ended if (run := stored[view.job.id]) is None or run.status != view.state.status
        ]

    def _names(self, reader: User) -> evaluations_runs.Names:
        app = self._app
        return evaluations_runs.Names(
            reader,
            names_of(app.accounts.users()),
            {GROUNDING: RECOGNISER, **{spec.id: spec.name for spec in app.catalogue.values()}},
            {info.name: info.title for info in forms.known_suites(app)},
        )

    def _form(self, user: User, typed: Typed) -> Updates:
        """The form with what can be chosen now, filled in as it was left."""
        form, app = self._tab.form, self._app
        models, suites, judges = forms.model_choices(app), forms.suite_choices(app), forms.judge_choices(app)
        return {
            form.models: _several(models, typed.models),
            form.suites: _several(suites, typed.suites),
            form.limit: typed.limit,
            form.seed: typed.seed,
        } | self._described(typed, judges)

    def _described(self, typed: Typed, judges: list[tuple[str, str]] | None = None) -> Updates:
        form, app = self._tab.form, self._app
        judged = forms.needs_judge(app, typed)
        judge = gr.Dropdown(judges, value=typed.judge or "", visible=judged) if judges else gr.Dropdown(visible=judged)
        hub = forms.can_fetch(app, typed)
        return {
            form.about: forms.about_html(app, typed),
            form.told: forms.told_html(app, typed, speeds_of(app.jobs)),
            form.judge: judge,
            form.hub: gr.Checkbox(value=bool(typed.hub), visible=hub) if judges else gr.Checkbox(visible=hub),
        }

    def _knowledge(self) -> Knowledge:
        grounder = self._app.grounding.get(0)
        return grounder.knowledge if grounder else load_knowledge()

    def _note(self, user: User, request: gr.Request, action: str, job_id: str, details: dict[str, Any]) -> None:
        self._app.accounts.note(user.id, action, job_id, details, address_of(self._app, request))


def _several(choices: list[tuple[str, str]], chosen: Sequence[str] | None) -> gr.Dropdown:
    """The choices, with those of the chosen that can still be chosen."""
    there = {value for _, value in choices}
    value = [name for name in chosen or () if name in there]
    return gr.Dropdown(choices, value=value, multiselect=True, allow_custom_value=True)

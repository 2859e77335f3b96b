"""What a rater's desk does: each handler reads values, calls one service and gives what is to be shown."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import gradio as gr

from medchat.errors import InvalidInput, MedChatError, NotFound, RatedSince
from medchat.rating_form import Filled, read_filled, standing
from medchat.rubrics import Rubric
from medchat.study_design import Design
from medchat.study_desk import StudyDesk
from medchat.study_views import CalibrationTask, Consent, DeskStep, Finished, NotOpen, PairTask, RateTask
from medchat.ui import compare_view, compare_vote, rate_form
from medchat.ui import study_desk_view as view
from medchat.ui.actions import OUT_OF_DATE, Action, read_action
from medchat.ui.common import App, escape, handler, require
from medchat.ui.compare_vote import Ballot

TAKEN_OUT = "The case was taken out of your queue meanwhile. This is what comes next."

Updates = dict[Any, Any]


class DeskTab(NamedTuple):
    """The components of the desk. sent: filled by the page's scripts as they send an event.

    kept, pair_kept: what became of the draft, or of the save, that came last.
    """

    mine: gr.HTML
    head: gr.HTML
    about: gr.HTML
    page: gr.HTML
    case: gr.HTML
    left: gr.HTML
    right: gr.HTML
    bar: gr.HTML
    form: gr.HTML
    status: gr.HTML
    pair_kept: gr.HTML
    kept: gr.HTML
    act: gr.Button
    keep: gr.Button
    vote: gr.Button
    next: gr.Button
    sent: gr.Textbox

    @property
    def shown(self) -> list[gr.HTML]:
        """All that a step changes."""
        return [part for part in self if isinstance(part, gr.HTML)]


class Handlers:
    """The events of one desk."""

    def __init__(self, app: App, tab: DeskTab) -> None:
        self._app = app
        self._tab = tab
        self._desk = StudyDesk(app.store, app.catalogue)
        self._acting: dict[str, Callable[[str, Action], Updates]] = {
            "enter": self._enter,
            "list": self._list,
            "open": self._open,
            "agree": self._agree,
            "go": self._go_on,
            "skip": self._go_on,
            "back": self._back,
            "save": self._save,
            "cannot": self._cannot,
            "cannot compare": self._cannot_compare,
        }
        self._voting: dict[str, Callable[[str, Action], Updates]] = {
            "draft": self._keep_ballot,
            "vote": self._vote,
            "change": self._change,
            "keep": self._keep_vote,
        }

    @handler
    def act(self, sent: str | None, request: gr.Request) -> Updates:
        """Whatever is done on the desk, and what is to be shown then."""
        rater = require(self._app, request, "rate").id
        return self._done(self._acting, rater, read_action(sent))

    @handler
    def vote(self, sent: str | None, request: gr.Request) -> Updates:
        """What is done with a vote on a pair."""
        rater = require(self._app, request, "rate").id
        return self._done(self._voting, rater, read_action(sent))

    @handler
    def keep(self, sent: str | None, request: gr.Request) -> str:
        """What became of this draft of a rating."""
        rater = require(self._app, request, "rate").id
        action = read_action(sent)
        number, filled = action.text("number"), read_filled(action.mapping("filled"))
        try:
            is_kept = self._keep_draft(rater, action, action.text("answer"), filled)
        except (InvalidInput, NotFound) as error:
            return view.not_kept_html(number, str(error))
        return rate_form.kept_html(number, is_kept)

    def _keep_draft(self, rater: str, action: Action, at: str, draft: Filled | Mapping[str, Any]) -> bool:
        if at != action.text("item", ""):
            return self._desk.save_draft(rater, at, draft)
        kept = draft.model_dump(mode="json") if isinstance(draft, Filled) else dict(draft)
        self._app.store.save_draft(rater, _practice_key(at), kept)
        return True

    def _done(self, verbs: dict[str, Callable[[str, Action], Updates]], rater: str, action: Action) -> Updates:
        if action.verb not in verbs:
            raise InvalidInput(OUT_OF_DATE)
        return verbs[action.verb](rater, action)

    # Where one is

    def _enter(self, rater: str, action: Action) -> Updates:
        """The desk as its tab is opened: a task that stands there already stays as it is."""
        return {self._tab.kept: gr.skip()} if action.text("study", "") else self._list(rater, action)

    def _list(self, rater: str, _: Action) -> Updates:
        mine = view.mine_html(self._desk.my_studies(rater))
        return self._nothing() | {self._tab.mine: mine, self._tab.head: "", self._tab.about: ""}

    def _open(self, rater: str, action: Action) -> Updates:
        study_id = action.text("study")
        step = self._desk.step(study_id, rater)
        about: Updates = {self._tab.about: ""} if isinstance(step, Consent) else self._about(study_id)
        return self._shown(rater, step) | about

    def _agree(self, rater: str, action: Action) -> Updates:
        study_id = action.text("study")
        return self._shown(rater, self._desk.agree(study_id, rater)) | self._about(study_id)

    def _go_on(self, rater: str, action: Action) -> Updates:
        return self._shown(rater, self._desk.step(action.text("study"), rater))

    def _back(self, rater: str, action: Action) -> Updates:
        return self._shown(rater, self._desk.back(action.text("study"), rater, action.text("answer", "")))

    # A rating

    def _save(self, rater: str, action: Action, can_rate: bool = True) -> Updates:
        answer, rubric = action.text("answer"), action.text("rubric", "")
        filled = read_filled(action.mapping("filled"))
        try:
            if item := action.text("item", ""):
                return self._practised(rater, action.text("study"), item, filled, action.text("key"))
            self._desk.save_rating(
                rater, answer, action.number("version", 0, 10**9), filled, action.text("key"), can_rate=can_rate
            )
        except RatedSince as error:
            return {self._tab.kept: rate_form.rated_since_html(answer, rubric, error)}
        except (InvalidInput, NotFound) as error:
            return self._refused(rater, action, answer, self._tab.kept, error)
        return self._go_on(rater, action)

    def _cannot(self, rater: str, action: Action) -> Updates:
        return self._save(rater, action, can_rate=False)

    def _practised(self, rater: str, study_id: str, item: str, given: Filled | Mapping[str, str], key: str) -> Updates:
        """What is known of a practice task, once it was answered."""
        step = self._desk.step(study_id, rater)
        result = self._desk.answer_calibration(study_id, rater, item, given, key)
        self._app.store.drop_draft(rater, _practice_key(item))
        head = {self._tab.head: view.head_html(step, rater, is_asked=False)}
        return self._nothing() | head | {self._tab.page: view.result_html(result, _rubric_of(step, item))}

    # A vote

    def _keep_ballot(self, rater: str, action: Action) -> Updates:
        ballot, assignment_id = compare_vote.sent_ballot(action), action.text("comparison")
        try:
            self._keep_draft(rater, action, assignment_id, ballot.to_json())
            task = self._pair(rater, action) if action.text("show", "") else None
        except (InvalidInput, NotFound):
            return self._kept(action)  # it has no place any more
        return (self._ballot(rater, task, ballot) if task else {}) | self._kept(action)

    def _vote(self, rater: str, action: Action) -> Updates:
        ballot, assignment_id = compare_vote.sent_ballot(action), action.text("comparison")
        if item := action.text("item", ""):
            given = {"vote": ballot.checked_vote}
            return self._practised(rater, action.text("study"), item, given, action.text("key")) | self._kept(action)
        try:
            self._desk.save_vote(
                rater, assignment_id, ballot.checked_vote, save_key=action.text("key"), base=ballot.of,
                axes=ballot.checked_axes, reason=ballot.reason, flags=dict.fromkeys(ballot.flags, True),
                seconds=ballot.seconds,
            )  # fmt: skip
        except RatedSince as error:
            task = self._pair(rater, action)
            again = self._ballot(rater, task, replace(ballot, of=error.rating_id)) if task else {}
            return again | {self._tab.pair_kept: view.refused_html(str(error))}
        except (InvalidInput, NotFound) as error:
            return self._refused(rater, action, assignment_id, self._tab.pair_kept, error)
        return self._go_on(rater, action) | self._kept(action)

    def _cannot_compare(self, rater: str, action: Action) -> Updates:
        self._desk.cannot_compare(rater, action.text("answer"), action.text("reason"))
        return self._go_on(rater, action)

    def _change(self, rater: str, action: Action) -> Updates:
        task = self._pair(rater, action)
        if task is None or task.view.voted is None:
            raise InvalidInput(OUT_OF_DATE)
        return self._ballot(rater, task, compare_vote.saved_ballot(task.view.voted))

    def _keep_vote(self, rater: str, action: Action) -> Updates:
        self._desk.drop_draft(rater, action.text("comparison"))
        task = self._pair(rater, action)
        return self._ballot(rater, task, None) if task else self._kept(action)

    def _pair(self, rater: str, action: Action) -> PairTask | None:
        task = self._desk.task(action.text("study"), rater, action.text("comparison"))
        return task if isinstance(task, PairTask) else None

    def _kept(self, action: Action) -> Updates:
        return {self._tab.pair_kept: compare_vote.kept_html(action.text("number", ""))}

    def _refused(self, rater: str, action: Action, at: str, place: gr.HTML, error: MedChatError) -> Updates:
        """Why it was not taken, beside what was entered; the next step, where the task is the rater's no more."""
        study_id = action.text("study")
        try:
            self._desk.task(study_id, rater, at)
        except (InvalidInput, NotFound) as gone:
            following = self._shown(rater, self._desk.step(study_id, rater))
            gr.Warning(TAKEN_OUT if isinstance(gone, NotFound) else escape(str(gone)))
            return following
        return {place: view.refused_html(str(error))}

    # What is shown

    def _shown(self, rater: str, step: DeskStep) -> Updates:
        """A step of a study, in the place of whatever stood there."""
        updates = self._nothing() | {self._tab.head: view.head_html(step, rater)}
        if not isinstance(step, CalibrationTask | RateTask | PairTask):
            return updates | {self._tab.page: _sheet(step, rater)}
        note = view.practice_note(step) if isinstance(step, CalibrationTask) else ""
        task = self._as_left(rater, step) if isinstance(step, CalibrationTask) else step
        if isinstance(task, RateTask):
            return updates | {self._tab.page: view.rate_html(task, rater, note)}
        return updates | {self._tab.page: note} | self._sides(task) | self._ballot(rater, task, _draft_of(task))

    def _as_left(self, rater: str, step: CalibrationTask) -> RateTask | PairTask:
        """A practice task with what was entered before."""
        task, draft = step.task, self._app.store.draft(rater, _practice_key(step.item_id))
        if not draft:
            return task
        if isinstance(task, PairTask):
            return replace(task, draft=draft)
        filled = standing(read_filled(draft), task.task.answer)
        return replace(task, task=replace(task.task, filled=filled))

    def _sides(self, task: PairTask) -> Updates:
        tab, pair = self._tab, view.votable(replace(task.view, voted=None))
        return {
            tab.case: compare_view.case_html(pair),
            tab.left: compare_view.side_html(pair, "a", root=view.PAIR),
            tab.right: compare_view.side_html(pair, "b", root=view.PAIR),
            tab.status: compare_view.status_html(f"Pair {view.place_text(task.place)}. You can vote."),
        }

    def _ballot(self, rater: str, task: PairTask, ballot: Ballot | None) -> Updates:
        around, pair = view.around(task), view.votable(task.view)
        cannot = "" if pair.voted else view.cannot_html()
        return {
            self._tab.bar: compare_vote.bar_html(pair, ballot, rater, around),
            self._tab.form: compare_vote.form_html(pair, task.rubric, ballot, around) + cannot,
        }

    def _about(self, study_id: str) -> Updates:
        design = Design.from_dict(self._app.store.study(study_id).design)
        return {self._tab.about: view.about_html(design.consent, design.instructions)}

    def _nothing(self) -> Updates:
        """Every place of a task empty."""
        tab = self._tab
        empty = (tab.mine, tab.page, tab.case, tab.left, tab.right, tab.bar, tab.form)
        return dict.fromkeys(empty, "") | {tab.status: compare_view.status_html("")}


def _sheet(step: Consent | Finished | NotOpen, rater: str) -> str:
    """A step without a task."""
    if isinstance(step, Consent):
        return view.consent_html(step)
    return view.finished_html(step, rater) if isinstance(step, Finished) else view.not_open_html(step)


def _rubric_of(step: DeskStep, item: str) -> Rubric | None:
    if not isinstance(step, CalibrationTask) or step.item_id != item:
        return None  # answered already, by a request that comes again
    return step.task.task.answer.rubric if isinstance(step.task, RateTask) else step.task.rubric


def _practice_key(item: str) -> str:
    return f"practice:{item}"


def _draft_of(task: PairTask) -> Ballot | None:
    ballot = Ballot(**task.draft) if task.draft else None
    return ballot if ballot and ballot.of == compare_vote.newest(task.view) else None

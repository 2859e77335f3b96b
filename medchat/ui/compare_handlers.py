"""What the Compare tab does: each handler reads values, calls one service and gives what is to be shown."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

import gradio as gr

from medchat.catalogue import ModelSpec
from medchat.errors import InvalidInput, NotFound
from medchat.panel import Choice, LivePanel, PanelView
from medchat.rubrics import PAIRWISE_RUBRIC, check_scores, load_rubrics
from medchat.ui import compare_view, compare_vote, model_picker, sampling
from medchat.ui.actions import OUT_OF_DATE, Action, read_action, sent_file
from medchat.ui.case_lists import BUNDLED, FILE, FILE_GONE, CaseLists, DrawnCase
from medchat.ui.common import CLOSED, App, counted, escape, handler, require
from medchat.ui.compare_layout import CompareTab, Picker, default_pair
from medchat.ui.compare_vote import Ballot
from medchat.ui.followers import Followers
from medchat.uploads import MAX_BYTES, encoding_note

FRAME_S = 0.09  # the panel's own clock ticks every 0.1 s
DRAFT = "compare"  # what the rater has chosen; the comparison's id behind it, its half-filled vote
MOST_MINE = 50
N_FIELDS = len(sampling.SETTINGS)

Updates = dict[Any, Any]


class Handlers:
    """The events of one tab."""

    def __init__(self, app: App, tab: CompareTab, cases: CaseLists) -> None:
        self._app = app
        self._tab = tab
        self._cases = cases
        self._rubric = load_rubrics()[PAIRWISE_RUBRIC]
        self._followers = Followers()
        self._acting: dict[str, Callable[[str, Action], Updates]] = {
            "stop": self._stop,
            "draft": self._keep_draft,
            "vote": self._vote,
            "change": self._change,
            "keep": self._keep_vote,
            "send": self._send,
            "mine": self._mine,
        }

    @handler
    def ask(
        self,
        save_key: str | None,
        page_key: str | None,
        question: str | None,  # a field that was never touched sends None
        context: str | None,
        drawn: str | None,
        blinded: bool | None,
        request: gr.Request,
        *chosen: Any,
    ) -> Iterator[Updates]:
        """Asks both, and shows their answers as they grow."""
        rater = self._rater(request)
        picked = chosen[: N_FIELDS + 2], chosen[N_FIELDS + 2 :]
        first, second = map(self._choice, picked)
        question, context, drawn = question or "", context or "", str(drawn or "")
        panel = self._app.panel.ask(
            rater, question, context, (first, second), save_key=save_key or uuid4().hex,
            blinded=blinded is not False, source=self._cases.source_of(rater, drawn, question, context),
        )  # fmt: skip
        settings = [list(values[2:]) for values in picked]
        self._remember(
            rater, comparison=panel.id, models=[first.model_id, second.model_id], settings=settings,
            blinded=blinded is not False, drawn=drawn,
        )  # fmt: skip
        yield from self._follow(rater, page_key, panel, {self._tab.setup: gr.Accordion(open=CLOSED)})

    @handler
    def act(self, sent: str | None, request: gr.Request) -> Updates:
        """What is done with the comparison on the page: one side stopped, a vote saved or changed."""
        rater = self._rater(request)
        action = read_action(sent)
        if action.verb not in self._acting:
            raise InvalidInput(OUT_OF_DATE)
        return self._acting[action.verb](rater, action)

    @handler
    def draw(self, page_key: str | None, source: str | None, request: gr.Request) -> Updates:
        """The next case of this source, in empty columns."""
        return self._drawn(self._rater(request), page_key, str(source or ""))

    @handler
    def upload(self, sent: str | None, page_key: str | None, request: gr.Request) -> Updates:
        """The first case of a file, or the one after those that its rater has seen."""
        rater = self._rater(request)
        name, data = sent_file(read_action(sent), MAX_BYTES)
        self._cases.add_file(rater, name, data)
        if note := encoding_note(name, data):
            gr.Info(escape(note))
        return self._drawn(rater, page_key, FILE)

    @handler
    def reopen(self, sent: str | None, page_key: str | None, request: gr.Request) -> Iterator[Updates]:
        """One of the rater's comparisons as it was left, to be voted on or changed."""
        rater = self._rater(request)
        panel = self._app.panel.panel(rater, read_action(sent).text("comparison"))
        view = panel.view()
        self._remember(rater, comparison=panel.id, drawn="")
        first = self._case(DrawnCase(view.question, view.context)) | {self._tab.setup: gr.Accordion(open=CLOSED)}
        yield from self._follow(rater, page_key, panel, first)

    @handler
    def restore(self, page_key: str | None, request: gr.Request) -> Iterator[Updates]:
        """What the rater had chosen, and the comparison as it was left, for a page that was just loaded."""
        rater = self._rater(request)
        left = self._app.store.draft(rater, DRAFT) or {}
        first = self._chosen_before(left) | self._sources(rater, left.get("source"))
        if left.get("source") == FILE and not self._cases.has_file(rater):
            gr.Warning(FILE_GONE)
        try:
            panel = self._app.panel.panel(rater, left.get("comparison") or "")
        except NotFound:
            yield first | self._case(self._cases.again(rater, left.get("drawn", ""))) | self._empty()
            return
        view = panel.view()
        place = self._cases.again(rater, left.get("drawn", "")).place
        case = DrawnCase(view.question, view.context, left.get("drawn", ""), place)
        first |= self._case(case) | {self._tab.setup: gr.Accordion(open=CLOSED)}
        yield from self._follow(rater, page_key, panel, first)

    @handler
    def choose_first(self, described: str, kept: dict[str, Any], request: gr.Request, *rest: Any) -> Updates:
        """What the first model is, with its settings as they were left."""
        return self._described(request, 0, described, kept, rest)

    @handler
    def choose_second(self, described: str, kept: dict[str, Any], request: gr.Request, *rest: Any) -> Updates:
        """What the second model is, with its settings as they were left."""
        return self._described(request, 1, described, kept, rest)

    @handler
    def reset_settings(self, model_id: str | None, request: gr.Request) -> list[Any]:
        """The chosen model's own settings."""
        self._rater(request)
        return sampling.own_values(model_picker.spec_of(self._app, model_id))

    @handler
    def refresh_models(self, first: str | None, second: str | None, request: gr.Request) -> list[gr.Dropdown]:
        """The models that can be chosen now. What is chosen stays, unless it is not among them any more."""
        self._rater(request)
        choices = model_picker.choices(self._app)
        pairs = zip((first, second), self._here([first, second]), strict=True)
        return [gr.Dropdown(choices) if old == new else gr.Dropdown(choices, value=new) for old, new in pairs]

    def _rater(self, request: gr.Request) -> str:
        return require(self._app, request, "compare").id

    def _stop(self, rater: str, action: Action) -> Updates:
        side = action.text("side")
        if side not in ("a", "b"):
            raise InvalidInput(OUT_OF_DATE)
        self._app.panel.stop(rater, action.text("comparison"), side)  # type: ignore[arg-type]
        return self._nothing()

    def _keep_draft(self, rater: str, action: Action) -> Updates:
        view, ballot = self._view(rater, action), compare_vote.sent_ballot(action)
        if compare_vote.newest(view) == ballot.of:  # a late one is no draft of the vote that was saved meanwhile
            self._app.store.save_draft(rater, _draft_key(view.comparison_id), ballot.to_json())
            shown = self._ballot(rater, view, ballot) if action.text("show", "") else {}
            return shown | self._kept(action)
        return self._kept(action)

    def _vote(self, rater: str, action: Action) -> Updates:
        ballot, comparison_id = compare_vote.sent_ballot(action), action.text("comparison")
        check_scores(self._rubric, ballot.axes)
        self._app.panel.vote(
            rater, comparison_id, ballot.checked_vote, save_key=action.text("key"), axes=ballot.checked_axes,
            rubric=self._rubric, reason=ballot.reason, flags=dict.fromkeys(ballot.flags, True), seconds=ballot.seconds,
        )  # fmt: skip
        self._app.store.drop_draft(rater, _draft_key(comparison_id))
        return self._whole(rater, self._view(rater, action)) | self._kept(action)

    def _change(self, rater: str, action: Action) -> Updates:
        view = self._view(rater, action)
        if view.voted is None:
            raise InvalidInput(OUT_OF_DATE)
        return self._ballot(rater, view, compare_vote.saved_ballot(view.voted))

    def _keep_vote(self, rater: str, action: Action) -> Updates:
        view = self._view(rater, action)
        self._app.store.drop_draft(rater, _draft_key(view.comparison_id))
        return self._ballot(rater, view, None)

    def _send(self, rater: str, action: Action) -> Updates:
        new = self._app.panel.send_to_rating(rater, action.text("comparison"))
        told = f"{counted(new, 'answer')} added to your queue in the Rate tab."
        gr.Info(told if new else "Both are in your queue in the Rate tab already.")
        return self._nothing()

    def _mine(self, rater: str, _: Action) -> Updates:
        rows = self._app.store.comparisons_of(rater, limit=MOST_MINE)
        views = [(row.created_at, self._app.panel.view(rater, row.id)) for row in rows]
        return {self._tab.mine: compare_view.mine_html(views)}

    def _kept(self, action: Action) -> Updates:
        return {self._tab.kept: compare_vote.kept_html(action.text("number", ""))}

    def _view(self, rater: str, action: Action) -> PanelView:
        return self._app.panel.view(rater, action.text("comparison"))

    def _nothing(self) -> Updates:
        return {self._tab.status: gr.skip()}

    def _drawn(self, rater: str, page_key: str | None, source: str) -> Updates:
        left = self._app.store.draft(rater, DRAFT) or {}
        case, seen = self._cases.draw(rater, source, left.get("seen", {}))
        with self._followers.page(rater, str(page_key or "")):
            self._remember(rater, comparison="", source=source, seen=seen, drawn=case.key)
            opened = {self._tab.setup: gr.Accordion(open=True)}
            told, focus = (f"{case.place}.", "compare-ask") if case.key else ("Type a case.", "compare-question")
            return opened | self._sources(rater, source) | self._case(case) | self._empty(told, focus)

    def _follow(self, rater: str, page_key: str | None, panel: LivePanel, first: Updates) -> Iterator[Updates]:
        """Frames of a comparison from its present state to its end; closing the iterator leaves it running."""
        with self._followers.page(rater, str(page_key or "")) as follower:
            view = panel.view()
            yield first | self._whole(rater, view)
            while view.phase != "ended":
                if not follower.pause(FRAME_S):
                    return  # the page shows something else
                before, view = view, panel.view()
                yield self._frame(before, view)  # also without news: only between two frames can the page leave
            if view.revision:
                yield self._whole(rater, view)

    def _frame(self, before: PanelView, view: PanelView) -> Updates:
        """What changed; before the vote that is a function of the two views alone."""
        tab, frame = self._tab, {}
        for side, part in (("a", tab.left), ("b", tab.right)):
            html = compare_view.side_html(view, side)  # type: ignore[arg-type]
            same = html == compare_view.side_html(before, side)  # type: ignore[arg-type]
            frame[part] = gr.skip() if same else html
        if view.phase != before.phase:
            frame[tab.status] = compare_view.status_html(compare_view.status_text(view))
        return frame

    def _whole(self, rater: str, view: PanelView) -> Updates:
        tab = self._tab
        ids = (view.revealed.a.turn.answer_id, view.revealed.b.turn.answer_id) if view.revealed else ()
        critical = self._app.store.critical_ids(ids)
        return {
            tab.case: compare_view.case_html(view),
            tab.notice: compare_view.notice_html(view.notice),
            tab.left: compare_view.side_html(view, "a", critical),
            tab.right: compare_view.side_html(view, "b", critical),
            tab.diff: compare_view.diff_html(view),
            tab.status: compare_view.status_html(compare_view.status_text(view)),
        } | self._ballot(rater, view, self._draft_of(rater, view))

    def _ballot(self, rater: str, view: PanelView, ballot: Ballot | None) -> Updates:
        return {
            self._tab.bar: compare_vote.bar_html(view, ballot, rater),
            self._tab.form: compare_vote.form_html(view, self._rubric, ballot),
        }

    def _draft_of(self, rater: str, view: PanelView) -> Ballot | None:
        kept = self._app.store.draft(rater, _draft_key(view.comparison_id)) if view.can_vote else None
        ballot = Ballot(**kept) if kept else None
        return ballot if ballot and ballot.of == compare_vote.newest(view) else None

    def _empty(self, told: str = "", focus: str = "") -> Updates:
        tab = self._tab
        parts = (tab.case, tab.notice, tab.left, tab.right, tab.bar, tab.form, tab.diff)
        return dict.fromkeys(parts, "") | {tab.status: compare_view.status_html(told, focus)}

    def _case(self, case: DrawnCase) -> Updates:
        tab = self._tab
        return {
            tab.question: case.question,
            tab.context: case.context,
            tab.context_box: gr.Accordion(open=bool(case.context) or CLOSED),
            tab.drawn: case.key,
            tab.place: f'<p class="mc-small">{escape(case.place)}</p>' if case.place else "",
        }

    def _sources(self, rater: str, source: object) -> Updates:
        choices = self._cases.choices(rater, source)
        known = source if source in [value for _, value in choices] else BUNDLED
        return {self._tab.source: gr.Dropdown(choices, value=known)}

    def _choice(self, chosen: Sequence[Any]) -> Choice:
        """The picker's model with its settings, as far as the page has described it already.

        Raises InvalidInput for an external model whose notice was not shown.
        """
        if len(chosen) != N_FIELDS + 2:
            raise InvalidInput(OUT_OF_DATE)
        model_id, described, *values = chosen
        spec = model_picker.spec_of(self._app, model_id)
        if described == spec.id:
            return Choice(spec.id, sampling.chosen_sampling(spec, values))
        if spec.external:
            raise InvalidInput(f"{spec.name} would send this text to {spec.external}. Choose it again, then ask.")
        return Choice(spec.id)

    def _described(
        self, request: gr.Request, number: int, described: str, kept: dict[str, Any], rest: Sequence[Any]
    ) -> Updates:
        self._rater(request)
        models, values = rest[:2], rest[2:]
        picker: Picker = self._tab.pickers[number]
        specs = [model_picker.spec_of(self._app, model_id) for model_id in models]
        spec: ModelSpec = specs[number]
        kept = {**kept, described: list(values)}
        fields = dict(zip(picker.settings.fields, kept.get(spec.id, sampling.own_values(spec)), strict=True))
        return fields | {
            picker.kept: kept,
            picker.described: spec.id,
            picker.settings.note: sampling.note_html(spec),
            self._tab.leaves: compare_view.leaves_html(specs),
        }

    def _pickers(self, model_ids: Sequence[Any]) -> list[gr.Dropdown]:
        choices = model_picker.choices(self._app)
        return [gr.Dropdown(choices, value=model_id) for model_id in self._here(model_ids)]

    def _here(self, model_ids: Sequence[Any]) -> list[str]:
        """These models, a default in the place of one that cannot be chosen."""
        ids = [choice for _, choice in model_picker.choices(self._app)]
        pair = zip(model_ids, default_pair(self._app), strict=True)
        return [model_id if model_id in ids else spec.id for model_id, spec in pair]

    def _chosen_before(self, left: Mapping[str, Any]) -> Updates:
        """Both pickers as the rater left them: in the order of the choice, which says nothing of the draw."""
        updates: Updates = {self._tab.blinded: left.get("blinded", True)}
        model_ids, settings = left.get("models", [None, None]), left.get("settings", [None, None])
        here, shown = self._here(model_ids), self._pickers(model_ids)
        for number, picker in enumerate(self._tab.pickers):
            updates[picker.model] = shown[number]
            model_id, values = model_ids[number], settings[number]
            if values is not None and here[number] == model_id:
                updates |= dict(zip(picker.settings.fields, values, strict=True)) | {picker.described: model_id}
        return updates

    def _remember(self, rater: str, **changes: Any) -> None:
        """Keep what the rater has chosen, for the next page."""
        self._app.store.save_draft(rater, DRAFT, (self._app.store.draft(rater, DRAFT) or {}) | changes)


def _draft_key(comparison_id: str) -> str:
    return f"{DRAFT}:{comparison_id}"

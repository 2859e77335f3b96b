"""What the section on people's judgements does: who may look is asked on every call, and studies note each look."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import gradio as gr

from evaluation.human_data import HumanData
from medchat.accounts import User
from medchat.errors import InvalidInput, MedChatError, NotAllowed, NotFound
from medchat.ui import human_view
from medchat.ui.actions import OUT_OF_DATE, read_action
from medchat.ui.common import App, handler, require
from medchat.ui.followers import Follower, Followers
from medchat.ui.human_analyses import ANALYSES, Analyses
from medchat.ui.human_findings import NAMES_RIGHT, Findings, asker
from medchat.ui.human_query import Query, narrowed, query_of
from medchat.ui.job_views import names_of

DRAFT = "results"  # part: that was looked at last; the rest is the query. Ways from other tabs write it too
PATIENCE_S = 0.4  # before it is said that it takes a while
BEAT_S = 1.0

Updates = dict[Any, Any]


class HumanTab(NamedTuple):
    """The components of the section. sent, page_key: filled by the page's scripts as they send an event."""

    parts: gr.HTML
    choose: gr.HTML
    status: gr.HTML
    shown: gr.HTML
    act: gr.Button
    train: gr.Button
    sent: gr.Textbox
    page_key: gr.Textbox

    @property
    def outputs(self) -> list[gr.components.Component]:
        """What an action may change."""
        return [self.parts, self.choose, self.status, self.shown]


class Handlers:
    """The events of one section."""

    def __init__(self, app: App, tab: HumanTab, analyses: Analyses = ANALYSES) -> None:
        self._app = app
        self._tab = tab
        self._analyses = analyses
        self._findings = Findings(app)
        self._followers = Followers()

    @handler
    def act(self, sent: str | None, page_key: str | None, request: gr.Request) -> Iterator[Updates]:
        """Entering the tab, changing its part, and whatever is chosen."""
        user = require(self._app, request, "results")
        action = read_action(sent)
        left = self._app.store.draft(user.id, DRAFT) or {}
        part = str(left.get("part", "evaluations"))
        if action.verb == "part":
            part = action.text("part")
        if action.verb == "show":
            part = "human"
        if part not in human_view.PARTS or action.verb not in ("enter", "part", "show"):
            raise InvalidInput(OUT_OF_DATE)
        yield {self._tab.parts: human_view.parts_html(part)}
        if action.verb == "show":
            query = query_of(action.mapping("query"))
            asker(self._app, request, query)
        else:
            query = self._left(user, left)
        self._app.store.save_draft(user.id, DRAFT, {"part": part} | query.as_dict())
        if part == "human":
            with self._followers.page(user.id, str(page_key or "")) as follower:
                yield from self._shown(user, query, follower)

    def _left(self, user: User, left: dict[str, Any]) -> Query:
        """What the user looked at last, or was sent to by another tab."""
        query = query_of(left)
        if not left.get("source"):
            query = Query(self._findings.first_source())
        if query.named and NAMES_RIGHT not in user.rights:
            query = Query(**(query.as_dict() | {"named": False}))
        return query

    def _shown(self, user: User, query: Query, follower: Follower) -> Iterator[Updates]:
        tab = self._tab
        try:
            whole = self._findings.data(user, query)
        except NotAllowed as refusal:
            yield self._chosen(user, query, None) | {tab.shown: self._refused(user, query, str(refusal))}
            return
        except NotFound:
            query = Query()
            whole = self._findings.data(user, query)
        yield self._chosen(user, query, whole)
        data = narrowed(whole, query)
        if not data.ratings and not data.votes:
            yield {tab.shown: human_view.empty_html(query)}
            return
        yield from self._analysed(user, query, data, follower)

    def _analysed(self, user: User, query: Query, data: HumanData, follower: Follower) -> Iterator[Updates]:
        tab, begun, has_waited = self._tab, time.monotonic(), False
        with self._analyses.begun(data) as future:
            while not future.done():
                if not follower.pause(BEAT_S if has_waited else PATIENCE_S):
                    return
                if not future.done():
                    yield {tab.status: human_view.waiting_html(data, time.monotonic() - begun)}
                    has_waited = True
            try:
                results = future.result()
            except MedChatError:
                yield {tab.status: "", tab.shown: ""}
                raise
        if has_waited:
            self._findings.look(user, query)  # the study may have hidden its results meanwhile
        results = self._findings.with_names(results) if query.named else results
        shown = human_view.findings_html(
            results, data, query, self._findings.status(query), self._findings.progress(query)
        )
        yield {tab.status: "", tab.shown: shown}

    def _chosen(self, user: User, query: Query, data: HumanData | None) -> Updates:
        may_name = NAMES_RIGHT in user.rights
        choose = human_view.choose_html(query, self._findings.studies(), data, may_name=may_name)
        return {self._tab.choose: choose, self._tab.status: ""}

    def _refused(self, user: User, query: Query, why: str) -> str:
        names = names_of(self._app.store.users()) if NAMES_RIGHT in user.rights else None
        return human_view.refused_html(why, self._findings.progress(query), names)

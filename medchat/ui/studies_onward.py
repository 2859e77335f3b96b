"""The ways on from a study: its results, and its judgements as training data."""

from dataclasses import replace
from typing import Any

import gradio as gr

from medchat.studies import StudyService
from medchat.ui.actions import read_action
from medchat.ui.common import App, handler, require
from medchat.ui.studies_layout import StudiesTab
from medchat.ui.train_data import RATINGS
from medchat.ui.train_desk import Desk
from medchat.ui.train_layout import TrainTab

RESULTS_DRAFT = "results"  # where the Results tab finds which study was asked for
PREFERENCE_RECIPE = "demo-dpo"  # what learns from ratings, where nothing else was chosen


class Onward:
    """The events that lead from one tab to another."""

    def __init__(self, app: App, tab: StudiesTab, tabs: gr.Tabs, train: TrainTab) -> None:
        self._app = app
        self._tabs = tabs
        self._train = train
        self._desk = Desk(app)
        self._service = StudyService(app.store, app.catalogue, app.jobs, app.settings)

    @handler
    def results(self, sent: str | None, page_key: str | None, request: gr.Request) -> gr.Tabs:
        """The Results tab, which is told of the study by a draft of this user."""
        user = require(self._app, request, "studies")
        record = self._service.look(read_action(sent).text("study"), user.id)
        self._app.store.save_draft(user.id, RESULTS_DRAFT, {"part": "human", "source": record.id})
        return gr.Tabs(selected="results")

    @handler
    def train(self, sent: str | None, page_key: str | None, request: gr.Request) -> dict[Any, Any]:
        """The Train tab with the ratings chosen as data; the page asks for their preview."""
        user = require(self._app, request, "train")
        order = self._desk.order_of(user)
        if order.data != RATINGS:
            order = replace(self._desk.fresh(PREFERENCE_RECIPE), data=RATINGS)
        self._desk.keep(user, order=order.to_json())
        train = self._train
        return {
            self._tabs: gr.Tabs(selected="train"),
            train.box: gr.Accordion(open=True),
            train.form: self._desk.form_html(order),
            train.preview: "",
            train.check: self._desk.check_html(user, order, None),
        }

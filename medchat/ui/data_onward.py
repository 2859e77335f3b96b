"""The way on from a data set: the Train tab with it chosen."""

from dataclasses import replace
from typing import Any

import gradio as gr

from medchat.errors import InvalidInput
from medchat.ui import train_data, train_order
from medchat.ui.actions import read_action
from medchat.ui.common import App, handler, require
from medchat.ui.data_folders import folder_named
from medchat.ui.train_desk import FIRST_RECIPE, Desk
from medchat.ui.train_layout import TrainTab

PREFERENCE_RECIPE = "demo-dpo"  # what learns from pairs, where nothing else was chosen
NOT_TO_TRAIN = "There is nothing in it that can be trained on: it has no train.jsonl with rows."


class Onward:
    """The event that leads to the Train tab."""

    def __init__(self, app: App, tabs: gr.Tabs, train: TrainTab) -> None:
        self._app = app
        self._tabs = tabs
        self._train = train
        self._desk = Desk(app)

    @handler
    def train(self, sent: str | None, page_key: str | None, request: gr.Request) -> dict[Any, Any]:
        """The Train tab with the data set chosen as its data; what was chosen there beside it stays."""
        user = require(self._app, request, "train")
        folder = folder_named(self._app.settings, read_action(sent).text("folder"))
        place = train_data.choice_of(self._app.settings, str(folder.path))
        if not place:
            raise InvalidInput(NOT_TO_TRAIN)
        has_pairs = any(file.stem == "dpo" for file in folder.files)
        has_rows = any(file.stem == "train" for file in folder.files)
        order = self._desk.order_of(user)
        recipe = train_order.plain_recipe(self._app.settings, order)
        takes_pairs = any(stage.kind in ("dpo", "kto") for stage in recipe.stages)
        if has_pairs and not has_rows and not takes_pairs:
            order = self._desk.fresh(PREFERENCE_RECIPE)
        elif not has_pairs and takes_pairs:
            order = self._desk.fresh(FIRST_RECIPE)
        order = replace(order, data=place)
        self._desk.keep(user, order=order.to_json())
        train = self._train
        return {
            self._tabs: gr.Tabs(selected="train"),
            train.box: gr.Accordion(open=True),
            train.form: self._desk.form_html(order),
            train.preview: "",
            train.check: self._desk.check_html(user, order, None),
        }

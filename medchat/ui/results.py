"""The Results tab: what was found out about models. Each section is laid out by its own module."""

from typing import NamedTuple

import gradio as gr

from medchat.ui import evaluations, human
from medchat.ui.common import App, static_html
from medchat.ui.evaluations_handlers import EvaluationsTab
from medchat.ui.human_handlers import HumanTab


class ResultsTab(NamedTuple):
    """The sections of the tab."""

    evaluations: EvaluationsTab
    human: HumanTab


def build(app: App, item: gr.Tab) -> ResultsTab:
    """The tab inside `item`, laid out and wired."""
    with gr.Column(elem_id="results-page"):
        parts = static_html("", "results-parts")
        return ResultsTab(evaluations.build(app, item), human.build(app, item, parts))

"""The Results tab: what was found out about models. Each section is laid out by its own module."""

import gradio as gr

from medchat.ui import evaluations
from medchat.ui.common import App
from medchat.ui.evaluations_handlers import EvaluationsTab


def build(app: App, item: gr.Tab) -> EvaluationsTab:
    """The tab inside `item`, laid out and wired."""
    with gr.Column(elem_id="results-page"):
        return evaluations.build(app, item)

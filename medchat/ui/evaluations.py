"""The section Evaluations of the Results tab: start one, watch it, compare, and read single answers."""

from typing import Any

import gradio as gr

from medchat.ui import evaluations_form, model_cards
from medchat.ui.common import App, static_html
from medchat.ui.evaluations_handlers import EvaluationsTab, Handlers

TICK_S = 1.0
INTRO = (
    '<h2>Evaluations</h2><p class="mc-intro">Put models through suites of questions, see with intervals whether one is '
    "better than another, and read what they answered. For research and teaching, never for the care of a patient.</p>"
)
WITH_ACTION = "(sent, watched) => [window.medchat.resultsAction(), watched]"


def build(app: App, item: gr.Tab) -> EvaluationsTab:
    """The section inside `item`, laid out and wired."""
    tab = _lay_out()
    _wire(tab, Handlers(app, tab), item)
    return tab


def _lay_out() -> EvaluationsTab:
    with gr.Column(elem_id="evaluations"):
        static_html(INTRO, "evaluations-intro")
        with gr.Column(elem_id="evaluations-home"):
            form = evaluations_form.lay_out()
        status = static_html(model_cards.status_html(""), "evaluations-status")
        with gr.Column(elem_id="evaluations-lists"):
            runs, results = static_html("", "evaluations-runs"), static_html("", "evaluations-results")
        panel, news = static_html("", "evaluations-panel"), static_html("", "evaluations-news")
    act = gr.Button(visible="hidden", elem_id="evaluations-act")
    return EvaluationsTab(
        form, status, runs, results, panel, news, gr.State({}), gr.Timer(TICK_S, active=False), act,
        gr.Textbox(visible=False),
    )  # fmt: skip


def _wire(tab: EvaluationsTab, do: Handlers, item: gr.Tab) -> None:
    form = tab.form
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
    described = [form.about, form.told, form.hub, form.judge]
    item.select(do.enter, tab.watched, [*tab.lists, tab.panel, form.box, *form.fields, form.about, form.told], **quiet)
    for field in form.fields:
        field.input(do.describe, form.fields, described, trigger_mode="always_last", **quiet)  # type: ignore[attr-defined]
    form.start.click(do.start, [tab.watched, *form.fields], [*tab.lists, tab.status, form.told], **quiet)
    tab.act.click(
        do.act, [tab.sent, tab.watched], [*tab.lists, tab.panel, tab.status], js=WITH_ACTION, trigger_mode="multiple",
        **quiet,
    )  # fmt: skip
    tab.timer.tick(do.tick, tab.watched, tab.lists, **quiet)

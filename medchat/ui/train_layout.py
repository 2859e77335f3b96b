"""The Train tab's components and where they stand."""

from typing import NamedTuple

import gradio as gr

from medchat.ui.common import CLOSED, App, static_html

TICK_S = 1.0
INTRO = (
    '<p class="mc-intro">Train a model by a recipe, on prepared data or on what raters said. A run goes on when this '
    "page, the browser or MedChat is closed, and what comes out of it can be asked in the chat.</p>"
)
OFF = (
    '<p class="mc-leaves" role="note"><strong>Training is off here.</strong> On a Space it is so unless the variable '
    "MEDCHAT_TRAINING is set to on; elsewhere it is off where that is set to off. Runs that are there can be looked "
    "at, and rewards tried.</p>"
)


class TrainTab(NamedTuple):
    """The components of the tab. sent, page_key: filled by the page's scripts as they send an event."""

    box: gr.Accordion
    form: gr.HTML
    preview: gr.HTML
    check: gr.HTML
    runs: gr.HTML
    head: gr.HTML
    curves: gr.HTML
    completions: gr.HTML
    log_box: gr.Accordion
    log: gr.HTML
    facts: gr.HTML
    comparison: gr.HTML
    laboratory: gr.HTML
    scores: gr.HTML
    timer: gr.Timer
    act: gr.Button
    look: gr.Button  # at data, which takes a while
    upload: gr.Button
    chat: gr.Button
    pair: gr.Button
    models: gr.Button
    score: gr.Button
    sent: gr.Textbox
    page_key: gr.Textbox


def lay_out(app: App) -> TrainTab:
    """The components, laid out in the present block."""
    with gr.Column(elem_id="train-page"):
        static_html(INTRO if app.settings.training else INTRO + OFF, "train-intro")
        with gr.Accordion("New run", open=CLOSED, elem_id="train-new") as box:
            form, preview, check = (static_html("", f"train-{name}-part") for name in ("form", "data", "check"))
        static_html("<h2>Runs</h2>", "train-runs-title")
        runs = static_html("", "train-runs")
        comparison = static_html("", "train-comparison")
        head, curves, completions = (static_html("", f"train-run-{name}") for name in ("head", "curves", "completions"))
        with gr.Accordion("Log", open=CLOSED, elem_id="train-log-box", visible=False) as log_box:
            log = static_html("", "train-log")
        facts = static_html("", "train-run-facts")
        with gr.Accordion("Reward laboratory", open=CLOSED, elem_id="train-lab"):
            laboratory, scores = static_html("", "train-lab-form"), static_html("", "train-lab-scores")
    act, look, upload, chat, pair, models, score = (
        gr.Button(visible="hidden", elem_id=f"train-send-{name}")
        for name in ("act", "look", "upload", "chat", "pair", "models", "score")
    )
    return TrainTab(
        box, form, preview, check, runs, head, curves, completions, log_box, log, facts, comparison, laboratory,
        scores, gr.Timer(TICK_S, active=False), act, look, upload, chat, pair, models, score,
        gr.Textbox(visible=False), gr.Textbox(visible=False),
    )  # fmt: skip

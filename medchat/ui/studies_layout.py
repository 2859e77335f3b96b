"""The Studies tab's components and where they stand: a rater's desk, an investigator's part, an adjudicator's."""

from typing import NamedTuple

import gradio as gr

from medchat.ui import study_desk
from medchat.ui.common import CLOSED, App, static_html

MANAGE_INTRO = (
    '<p class="mc-intro">Set up a blinded study: questions, models, raters. Answers are written beforehand, raters get '
    "their items in a balanced random order, and nobody sees which model did better before it is closed.</p>"
)
ADJUDICATE_INTRO = (
    '<p class="mc-intro">Items on which raters differ by two or more steps, or on harm. You see neither the models nor '
    "who said what; the raters’ judgements stay, and your decision is kept beside them.</p>"
)


class StudiesTab(NamedTuple):
    """The components of the tab. sent, page_key: filled by the page's scripts as they send an event."""

    parts: gr.HTML
    box: gr.Accordion
    form: gr.HTML
    check: gr.HTML
    listed: gr.HTML
    head: gr.HTML
    progress: gr.HTML
    people: gr.HTML  # fields in which somebody types: never set while nothing is pressed
    allocation: gr.HTML
    preview: gr.HTML
    switches: gr.HTML
    disputed: gr.HTML
    decision: gr.HTML
    timer: gr.Timer
    act: gr.Button
    upload: gr.Button
    results: gr.Button
    train: gr.Button
    judge: gr.Button
    sent: gr.Textbox
    page_key: gr.Textbox


def lay_out(app: App, item: gr.Tab) -> StudiesTab:
    """The components, laid out in the present block; the desk is wired already."""
    with gr.Column(elem_id="studies-page"):
        parts = static_html("", "studies-parts")
        with gr.Column(elem_id="studies-desk"):
            study_desk.build(app, item)
        with gr.Column(elem_id="studies-manage"):
            static_html(MANAGE_INTRO, "studies-intro")
            with gr.Accordion("New study", open=CLOSED, elem_id="studies-new") as box:
                form, check = static_html("", "studies-form"), static_html("", "studies-check")
            static_html("<h2>Studies</h2>", "studies-title")
            listed, head, progress, people, allocation, preview, switches = (
                static_html("", f"studies-{name}")
                for name in ("list", "head", "progress", "people", "allocation", "preview", "switches")
            )
        with gr.Column(elem_id="studies-adjudicate"):
            static_html(ADJUDICATE_INTRO, "adjudicate-intro")
            disputed, decision = static_html("", "adjudicate-list"), static_html("", "adjudicate-page")
    act, upload, results, train, judge = (
        gr.Button(visible="hidden", elem_id=f"studies-send-{name}")
        for name in ("act", "upload", "results", "train", "judge")
    )
    return StudiesTab(
        parts, box, form, check, listed, head, progress, people, allocation, preview, switches, disputed, decision,
        gr.Timer(5.0, active=False), act, upload, results, train, judge, gr.Textbox(visible=False),
        gr.Textbox(visible=False),
    )  # fmt: skip

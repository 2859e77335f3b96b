"""The Data tab's components and where they stand: what is to be made, what there is, and the review."""

from typing import NamedTuple

import gradio as gr

from medchat.ui import review
from medchat.ui.common import App, static_html

TICK_S = 1.0
MAKE_INTRO = (
    '<p class="mc-intro">From medical data sets as they are published to files that can be trained on. Nothing is lost '
    "in silence: every row that is dropped is counted with its reason.</p>"
    '<input type="file" id="data-file" tabindex="-1" hidden aria-label="File of a source">'
)
CHOSEN = '<h2 id="data-chosen-title">1 · Sources</h2>'
SETTINGS = '<h2 id="data-settings-title">2 · Settings</h2>'


class DataTab(NamedTuple):
    """The components of the tab. sent, page_key: filled by the page's scripts as they send an event."""

    parts: gr.HTML
    chosen: gr.HTML
    catalogue: gr.HTML
    preview: gr.HTML
    form: gr.HTML
    check: gr.HTML
    runs: gr.HTML
    head: gr.HTML
    log: gr.HTML
    sets: gr.HTML
    shown: gr.HTML
    refine: gr.HTML
    refine_check: gr.HTML
    estimate: gr.HTML
    rows: gr.HTML
    timer: gr.Timer
    act: gr.Button
    look: gr.Button  # at a source, which takes a while
    upload: gr.Button
    ask: gr.Button  # what a command would cost
    train: gr.Button
    sent: gr.Textbox
    page_key: gr.Textbox


def lay_out(app: App) -> DataTab:
    """The components, laid out in the present block; the review desk is wired already."""
    with gr.Column(elem_id="data-page"):
        parts = static_html("", "data-parts")
        with gr.Column(elem_id="data-make"):
            static_html(MAKE_INTRO, "data-intro")
            static_html(CHOSEN, "data-chosen-head")
            chosen, catalogue, preview = (
                static_html("", f"data-{name}") for name in ("chosen", "catalogue", "preview")
            )
            static_html(SETTINGS, "data-settings-head")
            form, check = static_html("", "data-form"), static_html("", "data-check")
        with gr.Column(elem_id="data-sets"):
            runs, head, log, sets, shown, refine, refine_check, estimate, rows = (
                static_html("", f"data-{name}")
                for name in ("runs", "run-head", "log", "list", "shown", "refine", "refine-check", "estimate", "rows")
            )
        with gr.Column(elem_id="data-review"):
            review.build(app)
    act, look, upload, ask, train = (
        gr.Button(visible="hidden", elem_id=f"data-send-{name}") for name in ("act", "look", "upload", "ask", "train")
    )
    return DataTab(
        parts, chosen, catalogue, preview, form, check, runs, head, log, sets, shown, refine, refine_check, estimate,
        rows, gr.Timer(TICK_S, active=False), act, look, upload, ask, train, gr.Textbox(visible=False),
        gr.Textbox(visible=False),
    )  # fmt: skip

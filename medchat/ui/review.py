"""The review desk in the Data tab: samples of rows that people look at, one row after the other, by keyboard."""

from typing import Any

import gradio as gr

from medchat.ui.common import App, static_html
from medchat.ui.review_form import help_html
from medchat.ui.review_handlers import Handlers, ReviewTab

WITH_PAGE = "window.medchat.pageKey"


def build(app: App) -> None:
    """The desk, laid out in the present block and wired; review.js fills it when the Data tab shows it."""
    tab = lay_out()
    do = Handlers(app, tab)
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
    several = {**quiet, "trigger_mode": "multiple"}
    sent = [tab.sent, tab.page_key]
    tab.act.click(do.act, sent, tab.shown, js=_action("act"), **several)
    tab.keep.click(do.keep, tab.sent, tab.kept, js="() => [window.medchat.review.action('keep')]", **several)
    tab.run.click(do.run, sent, tab.done, js=_action("run"), **several)


def _action(event: str) -> str:
    return f"() => [window.medchat.review.action('{event}'), {WITH_PAGE}]"


def lay_out() -> ReviewTab:
    """The components, laid out in the present block."""
    with gr.Column(elem_id="review-tab"):
        listed, head, page, finish, done, kept = (
            static_html("", f"review-{name}") for name in ("list", "head", "page", "finish", "done", "kept")
        )
        static_html(help_html(), "review-keys")
    act, keep, run = (gr.Button(visible="hidden", elem_id=f"review-send-{name}") for name in ("act", "keep", "run"))
    return ReviewTab(
        listed, head, page, finish, done, kept, act, keep, run, gr.Textbox(visible=False), gr.Textbox(visible=False)
    )

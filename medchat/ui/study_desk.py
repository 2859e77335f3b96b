"""A rater's desk in the Studies tab: the studies that somebody takes part in, and one task after the other."""

from typing import Any

import gradio as gr

from medchat.ui import compare_view, rate_form
from medchat.ui import study_desk_view as view
from medchat.ui.common import App, static_html
from medchat.ui.study_desk_handlers import DeskTab, Handlers

WITH_OPENED = "() => [window.medchat.desk.opened()]"
WITH_ACTION = "() => [window.medchat.desk.action('act')]"
WITH_DRAFT = "() => [window.medchat.desk.action('keep')]"
WITH_VOTE = "() => [window.medchat.desk.vote()]"
WITH_PLACE = "() => [window.medchat.desk.next()]"
LEGEND = (
    '<p class="mc-small mc-legend">Keys, outside of text fields: <kbd>a</kbd> A better, <kbd>b</kbd> B better, '
    "<kbd>t</kbd> tie, <kbd>x</kbd> both bad, <kbd>Enter</kbd> saves.</p>"
)


def build(app: App, item: gr.Tab) -> DeskTab:
    """The desk, laid out in the present block and wired; it is filled when `item` is opened."""
    tab = _lay_out()
    do = Handlers(app, tab)
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
    several = {**quiet, "trigger_mode": "multiple"}
    item.select(do.act, tab.sent, tab.shown, js=WITH_OPENED, **quiet)
    tab.act.click(do.act, tab.sent, tab.shown, js=WITH_ACTION, **several)
    tab.keep.click(do.keep, tab.sent, tab.kept, js=WITH_DRAFT, **several)
    tab.vote.click(do.vote, tab.sent, tab.shown, js=WITH_VOTE, **several)
    tab.next.click(do.act, tab.sent, tab.shown, js=WITH_PLACE, **quiet)
    return tab


def _lay_out() -> DeskTab:
    with gr.Column(elem_id="desk-tab"):
        mine, head, about, page = (static_html("", f"desk-{name}") for name in ("mine", "head", "about", "page"))
        with gr.Column(elem_id="pair-page"):
            case = static_html("", "pair-case")
            with gr.Row(elem_id="pair-sides"):
                left, right = static_html("", "pair-a"), static_html("", "pair-b")
            bar, form = static_html("", "pair-bar"), static_html("", "pair-form")
            static_html(LEGEND, "pair-legend")
            status = static_html(compare_view.status_html(""), "pair-status")
            pair_kept = static_html("", "pair-kept")
        kept = static_html("", "desk-kept")
        static_html(rate_form.help_html(view.KEYS, view.ROOT), "desk-keys")
    act, keep, vote, following = (
        gr.Button(visible="hidden", elem_id=elem_id) for elem_id in ("desk-act", "desk-keep", "pair-act", "pair-draw")
    )
    return DeskTab(
        mine, head, about, page, case, left, right, bar, form, status, pair_kept, kept, act, keep, vote, following,
        gr.Textbox(visible=False),
    )  # fmt: skip

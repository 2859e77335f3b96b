"""The Train tab: a new run by a recipe, the runs that there are as they go, and what rewards say of completions."""

from typing import Any

import gradio as gr

from medchat.ui.common import App
from medchat.ui.train_handlers import Handlers
from medchat.ui.train_layout import TrainTab, lay_out

WITH_PAGE = "() => [window.medchat.pageKey]"


def build(app: App, item: gr.Tab, tabs: gr.Tabs, picker: gr.Dropdown, pair: tuple[gr.Dropdown, ...]) -> TrainTab:
    """The tab inside `item`, laid out and wired.

    tabs: where it stands; picker: the Chat tab's models; pair: the two of the Compare tab.
    """
    tab = lay_out(app)
    _wire(tab, Handlers(app, tab), item, tabs, picker, pair)
    return tab


def _wire(
    tab: TrainTab, do: Handlers, item: gr.Tab, tabs: gr.Tabs, picker: gr.Dropdown, pair: tuple[gr.Dropdown, ...]
) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
    many: dict[str, Any] = {"trigger_mode": "multiple", **quiet}
    shown = [
        tab.runs,
        tab.head,
        tab.curves,
        tab.completions,
        tab.log_box,
        tab.log,
        tab.facts,
        tab.comparison,
        tab.timer,
    ]
    form = [tab.box, tab.form, tab.preview, tab.check, tab.laboratory]
    sent = [tab.sent, tab.page_key]
    item.select(do.act, sent, [*form, *shown], js=_action("enter"), **quiet)
    tab.act.click(do.act, sent, [*form, *shown], js=_action("act"), **many)
    tab.look.click(do.look, sent, [tab.preview], js=_action("look"), **quiet)
    tab.upload.click(do.upload, sent, form, js=_action("upload"), **quiet)
    tab.chat.click(do.chat, sent, [tabs, picker], js=_action("chat"), **quiet)
    tab.pair.click(do.pair, sent, [tabs, *pair], js=_action("pair"), **quiet)
    tab.models.click(do.models, sent, tabs, js=_action("models"), **quiet)
    tab.score.click(do.score, sent, [tab.laboratory, tab.scores], js=_action("score"), **many)
    ticked = tab.timer.tick(do.tick, tab.page_key, shown, js=WITH_PAGE, **quiet)
    ticked.failure(lambda: gr.Timer(active=False), None, tab.timer, **quiet)  # once is enough to be told


def _action(event: str) -> str:
    """What the page's script sends with an event, and the page's key."""
    return f"() => [window.medchat.trainAction('{event}'), window.medchat.pageKey]"

"""The Data tab: sources to data sets, what can be made of those, and the review of samples by people.

The review desk is built by review.build(app) in its own column. It learns which data set is asked for from the
draft REVIEW_DRAFT of its reader ({"folder": name}) and is told by the page's event "medchat:review" when to look.
"""

from typing import Any

import gradio as gr

from medchat.ui.common import App
from medchat.ui.data_handlers import Handlers
from medchat.ui.data_layout import DataTab, lay_out
from medchat.ui.data_onward import Onward
from medchat.ui.train_layout import TrainTab

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
WITH_PAGE = "() => [window.medchat.pageKey]"


def build(app: App, item: gr.Tab) -> DataTab:
    """The tab inside `item`, laid out and wired."""
    tab = lay_out(app)
    do = Handlers(app, tab)
    many: dict[str, Any] = {"trigger_mode": "multiple", **QUIET}
    sent = [tab.sent, tab.page_key]
    made = [tab.chosen, tab.catalogue, tab.preview, tab.form, tab.check]
    followed = [tab.runs, tab.head, tab.log, tab.sets, tab.shown, tab.timer]
    further = [tab.refine, tab.refine_check, tab.estimate, tab.rows]
    item.select(do.act, sent, [tab.parts, *made, *followed, *further], js=_action("enter"), **QUIET)
    tab.act.click(do.act, sent, [tab.parts, *made, *followed, *further], js=_action("act"), **many)
    tab.look.click(do.look, sent, [tab.preview], js=_action("look"), **many)
    tab.upload.click(do.upload, sent, made, js=_action("upload"), **QUIET)
    tab.ask.click(do.ask, sent, [tab.estimate], js=_action("ask"), **many)
    ticked = tab.timer.tick(do.tick, tab.page_key, followed, js=WITH_PAGE, **QUIET)
    ticked.failure(lambda: gr.Timer(active=False), None, tab.timer, **QUIET)  # once is enough to be told
    return tab


def connect(app: App, tab: DataTab, tabs: gr.Tabs, train: TrainTab) -> None:
    """Wires the way on from a data set to the Train tab, where it is chosen."""
    do = Onward(app, tabs, train)
    sent = [tab.sent, tab.page_key]
    tab.train.click(
        do.train, sent, [tabs, train.box, train.form, train.preview, train.check], js=_action("train"), **QUIET
    )


def _action(event: str) -> str:
    """What the page's script sends with an event, and the page's key."""
    return f"() => [window.medchat.dataAction('{event}'), window.medchat.pageKey]"

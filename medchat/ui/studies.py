"""The Studies tab: a rater's own studies for everybody, studies to manage, and items to adjudicate."""

from typing import Any

import gradio as gr

from medchat.ui.common import App
from medchat.ui.studies_adjudicate import Adjudicating
from medchat.ui.studies_handlers import Handlers
from medchat.ui.studies_layout import StudiesTab, lay_out
from medchat.ui.studies_onward import Onward
from medchat.ui.train_layout import TrainTab

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
WITH_PAGE = "() => [window.medchat.pageKey]"


def build(app: App, item: gr.Tab) -> StudiesTab:
    """The tab inside `item`, laid out and wired."""
    tab = lay_out(app, item)
    do, judge = Handlers(app, tab), Adjudicating(app, tab)
    many: dict[str, Any] = {"trigger_mode": "multiple", **QUIET}
    sent = [tab.sent, tab.page_key]
    followed = [tab.listed, tab.head, tab.progress, tab.timer, tab.people, tab.allocation, tab.preview, tab.switches]
    form = [tab.box, tab.form, tab.check]
    judged = [tab.disputed, tab.decision]
    item.select(do.act, sent, [tab.parts, *form, *followed, *judged], js=_action("enter"), **QUIET)
    tab.act.click(do.act, sent, [tab.parts, *form, *followed, *judged], js=_action("act"), **many)
    tab.upload.click(do.upload, sent, [*form, *followed], js=_action("upload"), **QUIET)
    tab.judge.click(judge.act, sent, judged, js=_action("judge"), **many)
    ticked = tab.timer.tick(do.tick, tab.page_key, followed, js=WITH_PAGE, **QUIET)
    ticked.failure(lambda: gr.Timer(active=False), None, tab.timer, **QUIET)  # once is enough to be told
    return tab


def connect(app: App, tab: StudiesTab, tabs: gr.Tabs, train: TrainTab) -> None:
    """Wires the ways on from a study: to its results, and to the Train tab with its judgements as data."""
    do = Onward(app, tab, tabs, train)
    sent = [tab.sent, tab.page_key]
    tab.results.click(do.results, sent, tabs, js=_action("results"), **QUIET)
    tab.train.click(
        do.train, sent, [tabs, train.box, train.form, train.preview, train.check], js=_action("train"), **QUIET
    )


def _action(event: str) -> str:
    """What the page's script sends with an event, and the page's key."""
    return f"() => [window.medchat.studiesAction('{event}'), window.medchat.pageKey]"

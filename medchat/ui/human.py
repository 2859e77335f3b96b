"""The section Human evaluation of the Results tab: what clinicians said of models, in studies and apart from them."""

from typing import Any

import gradio as gr

from medchat.ui.common import App, static_html
from medchat.ui.human_handlers import Handlers, HumanTab
from medchat.ui.studies_layout import StudiesTab
from medchat.ui.studies_onward import Onward
from medchat.ui.train_layout import TrainTab

INTRO = (
    '<h2>Human evaluation</h2><p class="mc-intro">What raters said of answers: who wins, on which axes, how far raters '
    "agree, and which automatic metric may stand in for them. A study shows nothing by model before it is closed.</p>"
)
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}


def build(app: App, item: gr.Tab, parts: gr.HTML) -> HumanTab:
    """The section inside `item`, laid out and wired. parts: the ways between it and the section Evaluations."""
    with gr.Column(elem_id="human"):
        static_html(INTRO, "human-intro")
        choose, status, shown = (static_html("", f"human-{name}") for name in ("choose", "status", "shown"))
    act, train = (gr.Button(visible="hidden", elem_id=f"human-send-{name}") for name in ("act", "train"))
    tab = HumanTab(parts, choose, status, shown, act, train, gr.Textbox(visible=False), gr.Textbox(visible=False))
    do, sent = Handlers(app, tab), [tab.sent, tab.page_key]
    item.select(do.act, sent, tab.outputs, js=_action("enter"), **QUIET)
    tab.act.click(do.act, sent, tab.outputs, js=_action("act"), trigger_mode="multiple", **QUIET)
    return tab


def connect(app: App, tab: HumanTab, tabs: gr.Tabs, studies: StudiesTab, train: TrainTab) -> None:
    """Wires the way on to the Train tab, with what raters said as data."""
    do = Onward(app, studies, tabs, train)
    outputs = [tabs, train.box, train.form, train.preview, train.check]
    tab.train.click(do.train, [tab.sent, tab.page_key], outputs, js=_action("train"), **QUIET)


def _action(event: str) -> str:
    """What the page's script sends with an event, and the page's key."""
    return f"() => [window.medchat.humanAction('{event}'), window.medchat.pageKey]"

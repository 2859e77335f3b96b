"""The Models tab: every model of the catalogue, what it is, whether it can be used here, and how to get it."""

from typing import Any

import gradio as gr

from medchat.ui import model_cards, model_form
from medchat.ui.common import App, static_html
from medchat.ui.models_handlers import Handlers, ModelsTab

TICK_S = 1.0
INTRO = (
    '<p class="mc-intro">Every model with what its authors say of it. Use one in the chat, fetch one from the Hugging '
    "Face Hub, or add one of your own.</p>"
)
WITH_ACTION = "() => [window.medchat.modelAction()]"


def build(app: App, item: gr.Tab, tabs: gr.Tabs, picker: gr.Dropdown) -> ModelsTab:
    """The tab inside `item`, laid out and wired. tabs: where it stands; picker: the Chat tab's models."""
    tab = _lay_out(app)
    _wire(tab, Handlers(app, tab), item, tabs, picker)
    return tab


def _lay_out(app: App) -> ModelsTab:
    with gr.Column(elem_id="models-page"):
        static_html(INTRO, "models-intro")
        machine = static_html("", "models-machine")
        form = model_form.lay_out(app)
        status = static_html(model_cards.status_html(""), "models-status")
        static_html(model_cards.FILTERS, "models-filters")
        cards = static_html("", "models-list")
        progress = static_html("", "models-progress")
    act, use = (gr.Button(visible="hidden", elem_id=f"models-{name}") for name in ("act", "use"))
    return ModelsTab(
        machine, status, form, cards, progress, gr.State(""), gr.Timer(TICK_S, active=False), act, use,
        gr.Textbox(visible=False),
    )  # fmt: skip


def _wire(tab: ModelsTab, do: Handlers, item: gr.Tab, tabs: gr.Tabs, picker: gr.Dropdown) -> None:
    form = tab.form
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
    listed = [tab.machine, tab.list, tab.progress, tab.watched, tab.timer]
    item.select(do.refresh, None, [*listed, form.box], **quiet)
    tab.act.click(do.act, tab.sent, [*listed, tab.status], js=WITH_ACTION, trigger_mode="multiple", **quiet)
    tab.use.click(do.use, tab.sent, [tabs, picker], js=WITH_ACTION, **quiet)
    tab.timer.tick(do.tick, tab.watched, [*listed, tab.status], **quiet)

    kind = form.kind
    offered = [form.found, form.base]
    boxes = [form.place_box, form.server_box, form.hub_box, form.base_box]
    gr.on([form.box.expand, kind.change], do.offer, kind, offered, **quiet)
    kind.change(do.choose_kind, kind, [*boxes, form.told], **quiet)
    form.found.input(None, form.found, form.path, js="(path) => path", **quiet)
    added = [*listed, tab.status, form.told, form.found, *form.fields]
    form.add.click(do.add, [*form.fields], added, **quiet)

"""The Chat tab: a case, its reasoning and its solution as they are written, and the conversations beside them."""

import json
from typing import Any

import gradio as gr

from medchat.ui.chat_handlers import Handlers
from medchat.ui.chat_layout import EXAMPLES, ChatTab, lay_out
from medchat.ui.common import App

# What only the page knows: the conversation of its address, its key, and the key under which a question
# is saved once, however often its request is repeated.
WITH_LINK = "() => [window.medchat.linked(), window.medchat.pageKey]"
WITH_PAGE = "(...values) => [window.medchat.pageKey, ...values.slice(1)]"
WITH_ACTION = "(...values) => [window.medchat.action(), window.medchat.pageKey, ...values.slice(2)]"
WITH_FILE = "(...values) => [window.medchat.action(), ...values.slice(1)]"
WITH_SAVE_KEY = (
    "(...values) => [...window.medchat.sending(values.slice(0, 2)), window.medchat.saveKey(), window.medchat.pageKey, "
    "...values.slice(4)]"
)


def build(app: App, page: gr.Blocks) -> ChatTab:
    """The tab inside `page`, laid out and wired."""
    tab = lay_out(app)
    _wire(tab, Handlers(app, tab), page)
    return tab


def _wire(tab: ChatTab, do: Handlers, page: gr.Blocks) -> None:
    fields = list(tab.settings.fields)
    shown = [
        tab.list, tab.found, tab.history, tab.live, tab.status, tab.welcome, tab.draft, tab.context, tab.context_box,
        tab.conversation_id, tab.model,
    ]  # fmt: skip
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
    chosen = [tab.model, tab.described, *fields]
    asked = [tab.question, tab.context, tab.save_key, tab.page_key, tab.conversation_id, *chosen]
    here = [tab.sent, tab.page_key, tab.conversation_id]
    page.load(do.restore, [tab.sent, tab.page_key], shown, js=WITH_LINK, **quiet)
    sent = gr.on([tab.send.click, tab.question.submit], do.ask, asked, shown, js=WITH_SAVE_KEY, **quiet)
    sent.success(None, None, None, js="() => window.medchat.answered()", **quiet)
    sent.failure(None, None, None, js="() => window.medchat.giveBack()", **quiet)
    typed = [tab.question.change, tab.context.change]
    gr.on(typed, None, None, None, js="() => window.medchat.drafted()", **quiet)
    # These may begin while an earlier one follows an answer: the newest takes the page over.
    tab.go.click(do.go, [*here, *chosen], shown, js=WITH_ACTION, trigger_mode="multiple", **quiet)
    tab.act.click(do.act, here, shown, js=WITH_ACTION, trigger_mode="multiple", **quiet)
    tab.new.click(do.new, tab.page_key, shown, js=WITH_PAGE, **quiet)
    tab.stop.click(do.stop, tab.conversation_id, shown, **quiet)
    read = [tab.question, tab.context, tab.context_box]
    tab.read.click(do.read, [tab.sent, tab.question, tab.context], read, js=WITH_FILE, **quiet)
    described = [
        tab.kept, tab.described, tab.about, tab.knows, tab.known, tab.leaves, tab.send, tab.settings.note, *fields
    ]  # fmt: skip
    tab.model.change(do.choose_model, [tab.model, tab.described, tab.kept, *fields], described, **quiet)
    tab.settings.reset.click(do.reset_settings, tab.model, fields, **quiet)
    tab.knows.expand(do.tell_limits, tab.model, tab.known, **quiet)
    for button, (_, text) in zip(tab.examples, EXAMPLES, strict=True):
        button.click(None, None, tab.question, js=f"() => {json.dumps(text)}", **quiet)
    tab.refresh.click(do.refresh_models, tab.model, tab.model, **quiet)

"""The Compare tab: one case, two models, and the vote on their answers."""

from typing import Any

import gradio as gr

from medchat.ui.case_lists import CaseLists
from medchat.ui.common import App
from medchat.ui.compare_handlers import Handlers
from medchat.ui.compare_layout import CompareTab, lay_out

# What only the page knows: its key, what was pressed, and the key under which a case is asked once, however often
# its request is repeated.
WITH_PAGE = "(...values) => [window.medchat.pageKey, ...values.slice(1)]"
WITH_ACTION = "() => [window.medchat.compare.action()]"
WITH_ACTION_AND_PAGE = "() => [window.medchat.compare.action(), window.medchat.pageKey]"
WITH_SAVE_KEY = "(...values) => [window.medchat.saveKey(), window.medchat.pageKey, ...values.slice(2)]"


def build(app: App, page: gr.Blocks, item: gr.Tab) -> CompareTab:
    """The tab inside `item` of `page`, laid out and wired."""
    cases = CaseLists(app.settings.data_dir / "uploads")
    tab = lay_out(app, cases)
    _wire(tab, Handlers(app, tab, cases), page, item)
    return tab


def _wire(tab: CompareTab, do: Handlers, page: gr.Blocks, item: gr.Tab) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
    models = [picker.model for picker in tab.pickers]
    panel = [tab.case, tab.notice, tab.left, tab.right, tab.bar, tab.form, tab.diff, tab.status]
    case = [tab.setup, tab.place, tab.question, tab.context, tab.context_box, tab.drawn, tab.source]
    chosen = [part for picker in tab.pickers for part in (picker.model, picker.described, *picker.settings.fields)]
    page.load(do.restore, tab.page_key, [*case, *panel, tab.blinded, *chosen], js=WITH_PAGE, **quiet)
    asked = [tab.save_key, tab.page_key, tab.question, tab.context, tab.drawn, tab.blinded, *chosen]
    gr.on([tab.ask.click, tab.question.submit], do.ask, asked, [tab.setup, *panel], js=WITH_SAVE_KEY, **quiet)
    # What is pressed while an earlier one is under way must not be lost.
    tab.act.click(do.act, tab.sent, [*panel, tab.mine, tab.kept], js=WITH_ACTION, trigger_mode="multiple", **quiet)
    drawing = [tab.next.click, tab.draw.click]
    gr.on(drawing, do.draw, [tab.page_key, tab.source], [*case, *panel], js=WITH_PAGE, **quiet)
    tab.upload.click(do.upload, [tab.sent, tab.page_key], [*case, *panel], js=WITH_ACTION_AND_PAGE, **quiet)
    tab.open.click(do.reopen, [tab.sent, tab.page_key], [*case, *panel], js=WITH_ACTION_AND_PAGE, **quiet)
    item.select(do.refresh_models, models, models, **quiet)
    for number, picker in enumerate(tab.pickers):
        fields = list(picker.settings.fields)
        described = [picker.kept, picker.described, picker.settings.note, tab.leaves, *fields]
        given = [picker.described, picker.kept, *models, *fields]
        picker.model.change((do.choose_first, do.choose_second)[number], given, described, **quiet)
        picker.settings.reset.click(do.reset_settings, picker.model, fields, **quiet)

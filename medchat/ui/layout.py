"""The page: header, theme and tabs."""

from collections.abc import Mapping
from typing import Any

import gradio as gr

from medchat.accounts import LOCAL, User
from medchat.settings import ASSETS
from medchat.ui import admin, chat, compare, data, human, models, rate, results, studies, train
from medchat.ui.common import App, escape, handler, static_html, user_of

SANS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "DejaVu Sans Mono", "monospace"]
HEADER = (
    '<header class="mc-header"><h1>MedChat</h1>'
    "<p>Medical reasoning, step by step: first how the model reasons, then what it concludes.</p></header>"
)
SCRIPTS = (
    "stream.js", "chat.js", "actions.js", "models.js", "compare.js", "rate.js", "study_desk.js", "studies.js",
    "data.js", "review.js", "train.js", "results.js", "human.js",
)  # fmt: skip
STYLES = (
    "style.css", "compare.css", "rate.css", "study_desk.css", "studies.css", "train.css", "results.css",
    "human.css", "data.css", "review.css",
)  # fmt: skip
OPENED = "() => document.querySelector('#chat-refresh').click()"


def build(app: App) -> gr.Blocks:
    """The page with all tabs."""
    with gr.Blocks(title="MedChat", analytics_enabled=False) as page:
        with gr.Row(elem_id="top"):
            static_html(HEADER, "header")
            signed_in = static_html("", "signed-in")
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as tabs:
            with gr.Tab("Chat", id="chat") as chat_item:
                chat_tab = chat.build(app, page)
            with gr.Tab("Compare", id="compare") as compare_item:
                compare_tab = compare.build(app, page, compare_item)
            with gr.Tab("Rate", id="rate") as rate_item:
                rate.build(app, rate_item)
            with gr.Tab("Studies", id="studies") as studies_item:
                studies_tab = studies.build(app, studies_item)
            with gr.Tab("Models", id="models") as models_item:
                models.build(app, models_item, tabs, chat_tab.model)
            with gr.Tab("Data", id="data") as data_item:
                data_tab = data.build(app, data_item)
            with gr.Tab("Train", id="train", visible=False) as train_item:
                pair = tuple(one.model for one in compare_tab.pickers)
                train_tab = train.build(app, train_item, tabs, chat_tab.model, pair)
            with gr.Tab("Results", id="results", visible=False) as results_item:
                results_tab = results.build(app, results_item)
            with gr.Tab("Admin", id="admin", visible=False) as admin_item:
                admin.build(app, admin_item)
        _greet(app, page, signed_in, {"train": train_item, "results": results_item, "accounts": admin_item})
        studies.connect(app, studies_tab, tabs, train_tab)
        data.connect(app, data_tab, tabs, train_tab)
        human.connect(app, results_tab.human, tabs, studies_tab, train_tab)
        chat_item.select(None, None, None, js=OPENED)
        chat_tab.all_models.click(lambda: gr.Tabs(selected="models"), None, tabs, api_visibility="private")
    return page


def _greet(app: App, page: gr.Blocks, signed_in: gr.HTML, tabs: Mapping[str, gr.Tab]) -> None:
    """Shows who is signed in, and the tabs for their role. Hiding protects nothing: each handler asks for itself.

    tabs: those that not everybody sees, by the right that they take.
    """

    @handler
    def greet(request: gr.Request) -> list[str | gr.Tab]:
        user = user_of(app, request)
        return [signed_in_html(user), *(gr.Tab(visible=right in user.rights) for right in tabs)]

    page.load(greet, None, [signed_in, *tabs.values()], show_progress="hidden", api_visibility="private")


def signed_in_html(user: User) -> str:
    """Who is signed in, in which role, and the way out; nothing for the one local user."""
    if user == LOCAL:
        return ""
    return (
        f'<div class="mc-signed-in"><span><span class="mc-vh">Signed in as </span><strong dir="auto">'
        f'{escape(user.name)}</strong> <span class="mc-badge">{escape(user.role)}</span></span>'
        '<form method="post" action="/sign-out"><button class="mc-button">Sign out</button></form></div>'
    )


def mount_options() -> dict[str, Any]:
    """How Gradio serves the page: our looks, nothing kept in the browser, nothing fetched from elsewhere."""
    return {
        "theme": _theme(),
        "css": "\n".join((ASSETS / name).read_text(encoding="utf-8") for name in STYLES),
        "head": "".join(f'<script src="/{name}"></script>' for name in SCRIPTS),
        "run_history": False,
        "enable_monitoring": False,
        "footer_links": [],
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        "show_error": True,
        "max_file_size": "1mb",
    }


def _theme() -> gr.themes.Base:
    return gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.teal,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        font=SANS,
        font_mono=MONO,
    ).set(
        body_background_fill="#f6f8fa",
        body_background_fill_dark="#0f1720",
        block_background_fill="#ffffff",
        block_background_fill_dark="#16212c",
        block_shadow="none",
        layout_gap="10px",
        input_background_fill="#ffffff",
        input_background_fill_dark="#16212c",
        input_border_color="*neutral_400",
        input_border_color_dark="*neutral_600",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        button_primary_text_color="#ffffff",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_title_text_color="*neutral_600",
        block_title_text_color_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        input_border_width="1px",
    )

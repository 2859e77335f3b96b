"""The page: header, theme and tabs."""

from typing import Any

import gradio as gr

from medchat.settings import ASSETS
from medchat.ui import chat, models
from medchat.ui.common import App, static_html

SANS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif"]
MONO = ["ui-monospace", "SFMono-Regular", "DejaVu Sans Mono", "monospace"]
HEADER = (
    '<header class="mc-header"><h1>MedChat</h1>'
    "<p>Medical reasoning, step by step: first how the model reasons, then what it concludes.</p></header>"
)
SCRIPTS = ("stream.js", "chat.js", "actions.js", "models.js")
OPENED = "() => document.querySelector('#chat-refresh').click()"


def build(app: App) -> gr.Blocks:
    """The page with all tabs."""
    with gr.Blocks(title="MedChat", analytics_enabled=False) as page:
        static_html(HEADER, "header")
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Chat", id="chat") as chat_item:
                chat_tab = chat.build(app, page)
            with gr.Tab("Models", id="models") as models_item:
                models.build(app, models_item, tabs, chat_tab.model)
        chat_item.select(None, None, None, js=OPENED)
        chat_tab.all_models.click(lambda: gr.Tabs(selected="models"), None, tabs, api_visibility="private")
    return page


def mount_options() -> dict[str, Any]:
    """How Gradio serves the page: our looks, nothing kept in the browser, nothing fetched from elsewhere."""
    return {
        "theme": _theme(),
        "css": (ASSETS / "style.css").read_text(encoding="utf-8"),
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

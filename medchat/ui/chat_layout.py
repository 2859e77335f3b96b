"""The Chat tab's components and where they stand; style.css shows those that go with the state of the last turn."""

from typing import Any, NamedTuple

import gradio as gr

from medchat.catalogue import ModelSpec
from medchat.ui import model_picker, sampling, sidebar, transcript
from medchat.ui.common import CLOSED, App, static_html

PURPOSE = (
    "For research and teaching, never for the care of a patient. "
    "Leave out names, dates of birth and other patient identifiers."
)
EXAMPLES = (
    (
        "Chest pain",
        "A 61-year-old man has had crushing chest pain for an hour. It spreads to his left arm, he is sweating and "
        "feels sick. He denies fever. What is the most likely diagnosis?",
    ),
    (
        "Painful joint",
        "A 54-year-old man woke at night with a hot, red, very painful big toe after a dinner with plenty of beer. "
        "No injury, no fever. What is the most likely diagnosis?",
    ),
    (
        "Stiff neck",
        "A 19-year-old student has had fever, a severe headache and a stiff neck since this morning. Light hurts her "
        "eyes. What is the first treatment?",
    ),
    (
        "Something it cannot know",
        "A 47-year-old woman has numbness and tingling of the thumb, index and middle finger of her right hand. It "
        "wakes her at night and she shakes the hand to get relief. What is the most likely diagnosis?",
    ),
    ("What is gout?", "What is gout?"),
)
WELCOME = (
    '<div class="mc-welcome"><p><strong>Describe a case, or ask about a condition.</strong></p>'
    "<p>You will read first how the model reasons and then what it concludes. Or begin with an example:</p></div>"
)
TOGGLE = (
    '<button type="button" id="chat-side-toggle" class="mc-button" aria-expanded="false" aria-controls="chat-side" '
    'aria-label="Conversations"><span aria-hidden="true">☰</span></button>'
)
CLOSE = '<button type="button" id="chat-side-close" class="mc-button">Close</button>'
CASE_FILE = (
    '<button type="button" id="chat-case-button" class="mc-button" data-do="case" '
    'title="Text, Markdown, JSON or CSV, at most 1 MB">Case file</button>'
    '<input type="file" id="chat-case-file" accept=".txt,.md,.json,.jsonl,.csv" tabindex="-1" hidden '
    'aria-label="Case file">'
)
TOLD = '<p role="status" class="mc-note"></p>'  # what the page's scripts have to say


Parts = dict[str, Any]


class ChatTab(NamedTuple):
    """The components of the tab. sent, page_key, save_key: filled by the page's scripts as they send an event."""

    list: gr.HTML
    found: gr.HTML
    new: gr.Button
    model: gr.Dropdown
    about: gr.HTML
    knows: gr.Accordion
    known: gr.HTML
    all_models: gr.Button
    settings: sampling.SamplingFields
    kept: gr.State  # the settings of each model that was left, by its id
    welcome: gr.Column
    examples: tuple[gr.Button, ...]
    history: gr.HTML
    live: gr.HTML
    status: gr.HTML
    leaves: gr.HTML
    question: gr.Textbox
    context: gr.Textbox
    context_box: gr.Accordion
    draft: gr.HTML  # what stood in the fields when the page was left
    send: gr.Button
    stop: gr.Button
    act: gr.Button
    go: gr.Button
    read: gr.Button
    refresh: gr.Button  # layout.py presses it when the tab is opened
    described: gr.Textbox  # the model that notice and settings are about
    conversation_id: gr.Textbox  # not a gr.State: that is gone when the server was restarted
    sent: gr.Textbox
    page_key: gr.Textbox
    save_key: gr.Textbox


def lay_out(app: App) -> ChatTab:
    """The components, laid out in the present block."""
    spec = app.default
    with gr.Row(elem_id="chat-page"):
        with gr.Column(elem_id="chat-side", scale=0, min_width=0):
            parts = _sidebar()
        with gr.Column(elem_id="chat-main", scale=1, min_width=0):
            parts |= _model(app, spec) | _conversation() | _composer(spec)
    parts |= {name: gr.Button(visible="hidden", elem_id=f"chat-{name}") for name in ("act", "go", "read", "refresh")}
    parts |= {name: gr.Textbox(visible=False) for name in ("conversation_id", "sent", "page_key", "save_key")}
    return ChatTab(**parts, described=gr.Textbox(spec.id, visible=False), kept=gr.State({}))


def _sidebar() -> Parts:
    static_html(CLOSE, "chat-side-top")
    new = gr.Button("New conversation", size="md", elem_id="chat-new", min_width=0)
    static_html(sidebar.SEARCH, "chat-search")
    found = static_html("", "chat-found")
    return {"new": new, "found": found, "list": static_html("", "chat-list")}


def _model(app: App, spec: ModelSpec) -> Parts:
    with gr.Row(elem_id="chat-bar"):
        static_html(TOGGLE, "chat-side-opener")
        # Each page gets the models of its moment as it is loaded, and whenever the tab is opened.
        model = gr.Dropdown(
            model_picker.choices(app), value=spec.id, label="Model", elem_id="chat-model", filterable=False,
            min_width=180, scale=1,
        )  # fmt: skip
    about = static_html(model_picker.about_html(spec), "chat-about")
    with gr.Row(elem_id="chat-more"):
        with gr.Accordion("What it knows, and its limits", open=False, elem_id="chat-knows") as knows:
            known = static_html('<p class="mc-small">One moment…</p>', "chat-known")
            all_models = gr.Button("All models", size="sm", elem_id="chat-all-models", min_width=120)
        settings = sampling.lay_out(spec)
    return {"model": model, "about": about, "knows": knows, "known": known, "all_models": all_models,
            "settings": settings}  # fmt: skip


def _conversation() -> Parts:
    with gr.Column(elem_id="chat-transcript"):
        history = static_html("", "chat-history")
        live = static_html("", "chat-live")
        status = static_html(transcript.status_html(""), "chat-status")
    with gr.Column(elem_id="chat-welcome") as welcome:
        static_html(WELCOME, "chat-hello")
        with gr.Row(elem_id="chat-examples"):
            examples = tuple(
                gr.Button(title, size="sm", elem_id=f"chat-example-{number}", min_width=110)
                for number, (title, _) in enumerate(EXAMPLES, start=1)
            )
    return {"history": history, "live": live, "status": status, "welcome": welcome, "examples": examples}


def _composer(spec: ModelSpec) -> Parts:
    with gr.Column(elem_id="chat-composer"):
        leaves = static_html(model_picker.leaves_html(spec), "chat-leaves")
        static_html(f'<p class="mc-small">{PURPOSE}</p>', "chat-purpose")
        with gr.Accordion("Patient context (optional)", open=CLOSED, elem_id="chat-context-box") as context_box:
            context = gr.Textbox(
                label="Patient context", show_label=False, placeholder="Age, history, medicines, allergies",
                lines=2, max_lines=6, elem_id="chat-context",
            )  # fmt: skip
        with gr.Row(elem_id="chat-row"):
            question = gr.Textbox(
                label="Case or question", placeholder="Enter sends, Shift+Enter begins a new line",
                lines=1, max_lines=8, elem_id="chat-question", scale=5,
            )  # fmt: skip
            with gr.Column(elem_id="chat-buttons", scale=0, min_width=110):
                send = gr.Button(model_picker.send_label(spec), variant="primary", elem_id="chat-send")
                stop = gr.Button("Stop", variant="stop", elem_id="chat-stop")
                static_html(CASE_FILE, "chat-case")
        static_html(TOLD, "chat-told")
        draft = static_html("", "chat-draft", visible="hidden")
    return {"leaves": leaves, "context": context, "context_box": context_box, "question": question, "send": send,
            "stop": stop, "draft": draft}  # fmt: skip

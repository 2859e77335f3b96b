"""The Chat tab: a case, its reasoning and its solution as they are written."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import gradio as gr

from medchat.catalogue import ModelSpec
from medchat.errors import NotFound
from medchat.knowledge import load_knowledge
from medchat.live import ENDED, LiveAnswer, TurnView
from medchat.ui import transcript
from medchat.ui.common import App, escape, handler, owner_of, static_html

FRAME_S = 0.09  # a frame for every token costs three times the server and four times the browser
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
# The key under which a question is saved once, however often its request is repeated.
WITH_SAVE_KEY = "(...values) => [...values.slice(0, -1), window.medchat.saveKey()]"
# The list tells of an input whenever the focus leaves it, chosen or not.
OPEN_ANOTHER = "(chosen, shown) => { if (chosen && chosen !== shown) document.querySelector('#chat-open').click(); }"

Updates = dict[Any, Any]


class ChatTab(NamedTuple):
    """The components of the tab."""

    model: gr.Dropdown
    conversations: gr.Dropdown
    open: gr.Button
    new: gr.Button
    about: gr.HTML
    knows: gr.Accordion
    known: gr.HTML
    welcome: gr.Column
    examples: tuple[gr.Button, ...]
    history: gr.HTML
    live: gr.HTML
    status: gr.HTML
    regenerate: gr.Button
    go_on: gr.Button
    question: gr.Textbox
    context: gr.Textbox
    send: gr.Button
    stop: gr.Button
    conversation_id: gr.Textbox  # not a gr.State: that is gone when the server was restarted
    save_key: gr.Textbox


def build(app: App, page: gr.Blocks) -> ChatTab:
    """The tab inside `page`, laid out and wired."""
    tab = _lay_out(app)
    _wire(tab, Handlers(app, tab), page)
    return tab


def _lay_out(app: App) -> ChatTab:
    spec = app.default
    with gr.Row(elem_id="chat-bar"):
        model = gr.Dropdown(
            [(s.name, s.id) for s in app.models.values()], value=spec.id, label="Model", elem_id="chat-model",
            filterable=False, min_width=180,
        )  # fmt: skip
        conversations = gr.Dropdown(
            [], value=None, label="Earlier conversations", elem_id="chat-conversations", filterable=False, min_width=180
        )
        open_ = gr.Button(visible="hidden", elem_id="chat-open")
        new = gr.Button("New conversation", size="md", elem_id="chat-new", min_width=150)
    about = static_html(about_html(spec), "chat-about")
    with gr.Accordion("What it knows, and its limits", open=False, elem_id="chat-knows") as knows:
        known = static_html('<p class="mc-small">One moment…</p>', "chat-known")
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
    question, context, send, stop, regenerate, go_on = _composer()
    return ChatTab(
        model, conversations, open_, new, about, knows, known, welcome, examples, history, live, status, regenerate,
        go_on, question, context, send, stop, gr.Textbox(visible=False), gr.Textbox(visible=False),
    )  # fmt: skip


def _composer() -> tuple[gr.Textbox, gr.Textbox, gr.Button, gr.Button, gr.Button, gr.Button]:
    """The fields and buttons; style.css shows those that go with the state of the last turn."""
    with gr.Column(elem_id="chat-composer"):
        static_html(f'<p class="mc-small">{PURPOSE}</p>', "chat-purpose")
        with gr.Accordion("Patient context (optional)", open=False, elem_id="chat-context-box"):
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
                send = gr.Button("Send", variant="primary", elem_id="chat-send")
                stop = gr.Button("Stop", variant="stop", elem_id="chat-stop")
                regenerate = gr.Button("Regenerate", size="sm", elem_id="chat-regenerate")
                go_on = gr.Button("Continue", size="sm", elem_id="chat-continue")
    return question, context, send, stop, regenerate, go_on


def _wire(tab: ChatTab, do: "Handlers", page: gr.Blocks) -> None:
    shown = [
        tab.history, tab.live, tab.status, tab.welcome,
        tab.question, tab.context, tab.conversation_id, tab.conversations, tab.model,
    ]  # fmt: skip
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
    asked = [tab.question, tab.context, tab.model, tab.conversation_id, tab.save_key]
    answers = [
        page.load(do.restore, None, shown, **quiet),
        gr.on([tab.send.click, tab.question.submit], do.ask, asked, shown, js=WITH_SAVE_KEY, **quiet),
        tab.regenerate.click(do.regenerate, tab.conversation_id, shown, **quiet),
        tab.go_on.click(do.go_on, tab.conversation_id, shown, **quiet),
    ]
    # The page turns to another conversation; the answer itself goes on being written.
    answers.append(tab.open.click(do.open, tab.conversations, shown, cancels=answers, **quiet))
    tab.conversations.input(None, [tab.conversations, tab.conversation_id], None, js=OPEN_ANOTHER, **quiet)
    tab.new.click(do.new, None, shown, cancels=answers, **quiet)
    tab.stop.click(do.stop, tab.conversation_id, shown, **quiet)
    tab.model.change(do.choose_model, tab.model, [tab.about, tab.knows], **quiet)
    tab.knows.expand(do.tell_limits, tab.model, tab.known, **quiet)
    for button, (_, text) in zip(tab.examples, EXAMPLES, strict=True):
        button.click(None, None, tab.question, js=f"() => {json.dumps(text)}", **quiet)


class Handlers:
    """What the tab does: each method reads values, calls one service and gives what is to be shown."""

    def __init__(self, app: App, tab: ChatTab) -> None:
        self._app = app
        self._tab = tab

    @handler
    def ask(
        self,
        question: str | None,  # a field that was never touched sends None
        context: str | None,
        model_id: str | None,
        conversation_id: str | None,
        save_key: str | None,
        request: gr.Request,
    ) -> Iterator[Updates]:
        """Asks, and empties the fields as soon as the question is stored."""
        owner = owner_of(self._app.settings, request)
        ask = self._app.chat.ask
        live = ask(
            owner, question or "", context or "", conversation_id or None, model_id or None, save_key=save_key or None
        )
        yield from self._follow(owner, live, {self._tab.question: "", self._tab.context: ""})

    @handler
    def regenerate(self, conversation_id: str | None, request: gr.Request) -> Iterator[Updates]:
        """Another version of the last answer."""
        owner = owner_of(self._app.settings, request)
        yield from self._follow(owner, self._app.chat.regenerate(owner, conversation_id or ""))

    @handler
    def go_on(self, conversation_id: str | None, request: gr.Request) -> Iterator[Updates]:
        """The rest of a cut answer."""
        owner = owner_of(self._app.settings, request)
        yield from self._follow(owner, self._app.chat.continue_answer(owner, conversation_id or ""))

    @handler
    def open(self, conversation_id: str | None, request: gr.Request) -> Iterator[Updates]:
        """An earlier conversation."""
        yield from self._opened(owner_of(self._app.settings, request), conversation_id)

    @handler
    def restore(self, request: gr.Request) -> Iterator[Updates]:
        """The conversation used last, for a page that was just loaded."""
        owner = owner_of(self._app.settings, request)
        latest = self._app.store.latest_conversation(owner)
        yield from self._opened(owner, latest.id if latest else None)

    @handler
    def new(self, request: gr.Request) -> Updates:
        """A new conversation: it is stored with its first question."""
        return self._empty(owner_of(self._app.settings, request))

    @handler
    def stop(self, conversation_id: str | None, request: gr.Request) -> Updates:
        """Stops the answer; what there is of it is kept."""
        owner = owner_of(self._app.settings, request)
        live = self._app.chat.live(owner, conversation_id) if conversation_id else None
        if live is None:
            return {self._tab.live: gr.skip()}
        self._app.chat.stop(owner, live.conversation_id)
        view = live.snapshot()
        return {self._tab.live: self._turn(view)}

    @handler
    def choose_model(self, model_id: str) -> Updates:
        """What the chosen model is."""
        return {self._tab.about: about_html(spec_of(self._app, model_id)), self._tab.knows: gr.Accordion(open=False)}

    @handler
    def tell_limits(self, model_id: str) -> str:
        """What the chosen model knows and cannot do."""
        spec = spec_of(self._app, model_id)
        return limits_html(spec, known_conditions(self._app) if spec.demo else {})

    def _follow(self, owner: str, live: LiveAnswer, first: Updates | None = None) -> Iterator[Updates]:
        """Frames of an answer from its present state to its end; closing the iterator leaves it running."""
        view = live.snapshot()
        yield (first or {}) | self._whole(owner, live.conversation_id)
        while view.phase not in ENDED:
            time.sleep(FRAME_S)
            before, view = view, live.snapshot()
            if self._app.chat.live(owner, live.conversation_id) not in (live, None):
                return  # the page shows its successor already
            frame: Updates = {self._tab.live: gr.skip() if view.revision == before.revision else self._turn(view)}
            if view.phase != before.phase:
                frame[self._tab.status] = transcript.status_html(transcript.status_text(view))
            yield frame  # also without news: only between two frames can the page leave
        yield {self._tab.live: self._turn(view)} | self._given_back(view)

    def _given_back(self, view: TurnView) -> Updates:
        """The words of a turn that failed before anything was written, to be sent again or shortened."""
        if view.phase != "failed" or view.reasoning or view.solution:
            return {}
        return {self._tab.question: view.question, self._tab.context: view.context}

    def _opened(self, owner: str, conversation_id: str | None) -> Iterator[Updates]:
        """Frames of a conversation as it was left; an answer that is still being written is followed."""
        if conversation_id is None:
            yield self._empty(owner)
            return
        live = self._app.chat.live(owner, conversation_id)
        if live is None:
            yield self._whole(owner, conversation_id)
        else:
            yield from self._follow(owner, live)

    def _whole(self, owner: str, conversation_id: str) -> Updates:
        """A conversation from its first turn to its last."""
        turns = self._app.chat.turns(owner, conversation_id)
        if not turns:
            return self._empty(owner) | {self._tab.conversation_id: conversation_id}
        last = turns[-1]
        return {
            self._tab.history: "".join(self._turn(view) for view in turns[:-1]),
            self._tab.live: self._turn(last),
            self._tab.status: transcript.status_html(transcript.status_text(last)),
            self._tab.welcome: gr.Column(visible=False),
            self._tab.conversation_id: conversation_id,
            self._tab.conversations: self._list(owner, conversation_id),
            self._tab.model: last.model_id if last.model_id in self._app.models else gr.skip(),
        }

    def _empty(self, owner: str) -> Updates:
        return {
            self._tab.history: "",
            self._tab.live: "",
            self._tab.status: transcript.status_html("New conversation."),
            self._tab.welcome: gr.Column(visible=True),
            self._tab.conversation_id: None,
            self._tab.conversations: self._list(owner, None),
        }

    def _list(self, owner: str, conversation_id: str | None) -> gr.Dropdown:
        """The owner's conversations, the one shown chosen."""
        choices = [(c.title, c.id) for c in self._app.store.conversations_of(owner)]
        return gr.Dropdown(choices, value=conversation_id)

    def _turn(self, view: TurnView) -> str:
        spec = self._app.models.get(view.model_id)
        return transcript.turn_html(view, spec.name if spec else view.model_id)


def spec_of(app: App, model_id: str) -> ModelSpec:
    """The model of this id. Raises NotFound when it cannot be chosen here."""
    if model_id not in app.models:
        raise NotFound("There is no such model here any more. Reload the page and choose another one.")
    return app.models[model_id]


def known_conditions(app: App) -> dict[str, list[str]]:
    """Names of the conditions that the bundled models know, by specialty."""
    grounder = app.grounding.get(0)
    knowledge = grounder.knowledge if grounder else load_knowledge()
    names: dict[str, list[str]] = {}
    for condition in knowledge.conditions.values():
        names.setdefault(condition.specialty, []).append(condition.name)
    return names


def about_html(spec: ModelSpec) -> str:
    """What the model is, in a line."""
    return f'<p class="mc-small">{escape(spec.description)}</p>'


def limits_html(spec: ModelSpec, conditions: Mapping[str, Sequence[str]]) -> str:
    """What the model cannot do, its licence, and the conditions that it knows by specialty."""
    groups = "".join(
        f"<section><h2>{escape(specialty)}</h2><ul>{_items(names)}</ul></section>"
        for specialty, names in conditions.items()
    )
    number = sum(len(names) for names in conditions.values())
    known = f"<p>It knows these {number} conditions and no others:</p>" if number else ""
    return (
        f'<div class="mc-limits"><ul>{_items(spec.limits)}</ul><p>Licence: {escape(spec.licence)}.</p>{known}</div>'
        f'<div class="mc-known">{groups}</div>'
    )


def _items(texts: Sequence[str]) -> str:
    return "".join(f"<li>{escape(text)}</li>" for text in texts)

"""What the Chat tab does: each handler reads values, calls one service and gives what is to be shown."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import gradio as gr

from medchat.accounts import DELETED
from medchat.conversation_file import MAX_BYTES, read_case
from medchat.errors import InvalidInput, NotFound
from medchat.live import LiveAnswer
from medchat.records import Sampling
from medchat.store.records import Removal, Thumb
from medchat.turns import ENDED, TurnView
from medchat.ui import model_picker, sampling, sidebar, transcript
from medchat.ui.actions import OUT_OF_DATE, Action, read_action, sent_file
from medchat.ui.chat_layout import ChatTab
from medchat.ui.common import CLOSED, App, address_of, escape, handler, require
from medchat.ui.followers import Followers

FRAME_S = 0.09  # a frame for every token costs three times the server and four times the browser
MOST_LISTED = 5000
DRAFT = "chat: draft"  # the key of what stands in the fields
NOT_HERE = "That conversation is not here: it was deleted, or it is somebody else's. This is a new one."
HIDDEN = "Hidden from your list: it has rated answers, and those are kept for the evaluation."

Updates = dict[Any, Any]


class Place(NamedTuple):
    """Where something was pressed: whose page it is, its key, the conversation that it shows, and from where."""

    owner: str
    page_key: str
    conversation_id: str
    address: str


class Picked(NamedTuple):
    """The model to ask, and how it is to sample."""

    model_id: str
    sampling: Sampling


class Handlers:
    """The events of one tab."""

    def __init__(self, app: App, tab: ChatTab) -> None:
        self._app = app
        self._tab = tab
        self._followers = Followers()
        self._going: dict[str, Callable[[Place, Action, Sequence[Any]], Iterator[Updates]]] = {
            "open": self._open,
            "show": self._show,
            "edit": self._edit,
            "regenerate": self._regenerate,
            "continue": self._continue,
        }
        self._acting: dict[str, Callable[[Place, Action], Updates]] = {
            "thumb": self._thumb,
            "rename": self._rename,
            "delete-conversation": self._delete_conversation,
            "delete-answer": self._delete_answer,
            "search": self._search,
            "more": self._more,
            "draft": self._keep_draft,
        }

    @handler
    def ask(
        self,
        question: str | None,  # a field that was never touched sends None
        context: str | None,
        save_key: str | None,
        page_key: str | None,
        conversation_id: str | None,
        request: gr.Request,
        *chosen: Any,
    ) -> Iterator[Updates]:
        """Asks; it ends in an error where the page is to give the words back."""
        place = self._place(page_key, conversation_id, request)
        picked = self._picked(chosen)
        live = self._app.chat.ask(
            place.owner, question or "", context or "", conversation_id or None, picked.model_id,
            save_key=save_key or None, sampling=picked.sampling,
        )  # fmt: skip
        self._app.store.drop_draft(place.owner, DRAFT)
        yield from self._written(place, live)
        view = live.snapshot()
        if view.phase == "failed" and not view.reasoning and not view.solution:  # the transcript says why
            raise gr.Error(escape(view.error), visible=False, print_exception=False)

    @handler
    def go(
        self, sent: str | None, page_key: str | None, conversation_id: str | None, request: gr.Request, *chosen: Any
    ) -> Iterator[Updates]:
        """Another conversation, version or branch, or a new answer, followed while it is being written."""
        place = self._place(page_key, conversation_id, request)
        action = read_action(sent)
        if action.verb not in self._going:
            raise InvalidInput(OUT_OF_DATE)
        yield from self._going[action.verb](place, action, chosen)

    @handler
    def act(self, sent: str | None, page_key: str | None, conversation_id: str | None, request: gr.Request) -> Updates:
        """What is done at once: a thumb, a name, a deletion, a search, more of the list, a draft kept."""
        place = self._place(page_key, conversation_id, request)
        action = read_action(sent)
        if action.verb not in self._acting:
            raise InvalidInput(OUT_OF_DATE)
        return self._acting[action.verb](place, action)

    @handler
    def restore(self, linked: str | None, page_key: str | None, request: gr.Request) -> Iterator[Updates]:
        """For a page that was just loaded: the conversation of its address, of the draft, or the one used last."""
        place = self._place(page_key, None, request)
        draft = self._app.store.draft(place.owner, DRAFT)
        conversation_id = linked or (draft["conversation"] if draft else self._latest(place.owner))
        first = self._listed(place.owner) | {self._tab.model: self._models(self._app.default.id)}
        if draft and draft["conversation"] == conversation_id:
            # Somebody may be typing by now: the page puts the question into its field only as long as that is empty.
            first[self._tab.draft] = transcript.draft_html(draft["question"])
            first[self._tab.context] = draft["context"]
            first[self._tab.context_box] = gr.Accordion(open=bool(draft["context"]) or CLOSED)
        if not conversation_id:
            yield self._empty() | first
            return
        try:
            yield from self._opened(place, conversation_id, first)
        except NotFound:
            gr.Warning(NOT_HERE)
            yield self._empty() | first

    @handler
    def new(self, page_key: str | None, request: gr.Request) -> Updates:
        """A new conversation: it is stored with its first question."""
        place = self._place(page_key, None, request)
        with self._followers.page(place.owner, place.page_key):
            return self._empty()

    @handler
    def stop(self, conversation_id: str | None, request: gr.Request) -> Updates:
        """Stops the answer; what there is of it is kept."""
        owner = require(self._app, request, "chat").id
        live = self._app.chat.live(owner, conversation_id) if conversation_id else None
        if live is None:
            return {self._tab.live: gr.skip()}
        self._app.chat.stop(owner, live.conversation_id)
        return {self._tab.live: self._turn(live.snapshot())}

    @handler
    def read(self, sent: str | None, question: str | None, context: str | None, request: gr.Request) -> Updates:
        """The words of a case file, behind those that stand in the fields already; nothing is sent."""
        require(self._app, request, "chat")
        told, asked, note = read_case(*sent_file(read_action(sent), MAX_BYTES))
        if note:
            gr.Info(escape(note))
        return {
            self._tab.question: _joined(question, asked),
            self._tab.context: _joined(context, told),
            self._tab.context_box: gr.Accordion(open=True) if told else gr.skip(),
        }

    @handler
    def choose_model(
        self, model_id: str | None, described: str, kept: dict[str, list[Any]], request: gr.Request, *values: Any
    ) -> Updates:
        """What the chosen model is and where it runs, with its settings as they were left."""
        require(self._app, request, "chat")
        tab, spec = self._tab, model_picker.spec_of(self._app, model_id)
        kept = {**kept, described: list(values)}
        fields = dict(zip(tab.settings.fields, kept.get(spec.id, sampling.own_values(spec)), strict=True))
        return fields | {
            tab.kept: kept,
            tab.described: spec.id,
            tab.about: model_picker.about_html(spec),
            tab.knows: gr.Accordion(open=False),
            tab.known: '<p class="mc-small">One moment…</p>',
            tab.leaves: model_picker.leaves_html(spec),
            tab.send: gr.Button(model_picker.send_label(spec)),
            tab.settings.note: sampling.note_html(spec),
        }

    @handler
    def reset_settings(self, model_id: str | None, request: gr.Request) -> list[Any]:
        """The chosen model's own settings."""
        require(self._app, request, "chat")
        return sampling.own_values(model_picker.spec_of(self._app, model_id))

    @handler
    def tell_limits(self, model_id: str | None, request: gr.Request) -> str:
        """What the chosen model knows and cannot do."""
        require(self._app, request, "chat")
        spec = model_picker.spec_of(self._app, model_id)
        return model_picker.limits_html(spec, model_picker.known_conditions(self._app) if spec.demo else {})

    @handler
    def refresh_models(self, model_id: str | None, request: gr.Request) -> gr.Dropdown:
        """The models that can be chosen now, with the chosen one if it is still among them."""
        require(self._app, request, "chat")
        return self._models(model_id)

    def _open(self, place: Place, action: Action, _: Sequence[Any]) -> Iterator[Updates]:
        conversation_id, answer_id = action.text("conversation"), action.text("answer", "")
        if answer_id:
            self._app.chat.show(place.owner, conversation_id, answer_id)
        yield from self._opened(place, conversation_id)

    def _show(self, place: Place, action: Action, _: Sequence[Any]) -> Iterator[Updates]:
        self._app.chat.show(place.owner, place.conversation_id, action.text("answer"))
        yield from self._opened(place, place.conversation_id, picks_model=False)

    def _edit(self, place: Place, action: Action, chosen: Sequence[Any]) -> Iterator[Updates]:
        picked = self._picked(chosen)
        live = self._app.chat.edit(
            place.owner, place.conversation_id, action.text("answer"), action.text("question"), action.text("context"),
            model_id=picked.model_id, save_key=action.text("key") or None, sampling=picked.sampling,
        )  # fmt: skip
        yield from self._written(place, live)

    def _regenerate(self, place: Place, action: Action, chosen: Sequence[Any]) -> Iterator[Updates]:
        picked = self._picked(chosen)
        live = self._app.chat.regenerate(
            place.owner, place.conversation_id, action.text("answer"), model_id=picked.model_id,
            sampling=picked.sampling,
        )  # fmt: skip
        yield from self._written(place, live)

    def _continue(self, place: Place, action: Action, chosen: Sequence[Any]) -> Iterator[Updates]:
        picked = self._picked(chosen)
        live = self._app.chat.continue_answer(
            place.owner, place.conversation_id, model_id=picked.model_id, sampling=picked.sampling
        )
        yield from self._written(place, live)

    def _thumb(self, place: Place, action: Action) -> Updates:
        answer_id, thumb = action.text("answer"), action.text("thumb")
        if thumb not in ("up", "down", "none"):
            raise InvalidInput(OUT_OF_DATE)
        self._app.chat.thumb(
            place.owner, answer_id, cast("Thumb", thumb), action.texts("reasons"), action.text("comment", ""),
            save_key=action.text("key") or None,
        )  # fmt: skip
        turns = self._app.chat.turns(place.owner, place.conversation_id) if place.conversation_id else []
        return {
            self._tab.history: self._turns(turns[:-1])
            if any(t.answer_id == answer_id for t in turns[:-1])
            else gr.skip(),
            self._tab.live: self._turn(turns[-1]) if turns and turns[-1].answer_id == answer_id else gr.skip(),
        }

    def _rename(self, place: Place, action: Action) -> Updates:
        self._app.chat.rename(place.owner, action.text("conversation"), action.text("title"))
        return self._listed(place.owner, action)

    def _delete_conversation(self, place: Place, action: Action) -> Updates:
        conversation_id = action.text("conversation")
        removal = self._app.chat.delete_conversation(place.owner, conversation_id)
        self._tell_removal(place, "conversation", conversation_id, removal)
        if conversation_id != place.conversation_id:
            return self._listed(place.owner, action)
        with self._followers.page(place.owner, place.page_key):
            return self._empty() | self._listed(place.owner, action)

    def _delete_answer(self, place: Place, action: Action) -> Updates:
        answer_id = action.text("answer")
        removal = self._app.chat.delete_answer(place.owner, place.conversation_id, answer_id)
        self._tell_removal(place, "answer", answer_id, removal)
        return self._whole(place.owner, place.conversation_id) | self._listed(place.owner, action)

    def _tell_removal(self, place: Place, what: str, target: str, removal: Removal) -> None:
        """Writes down what went, and says that something was only hidden."""
        self._app.accounts.note(place.owner, DELETED, target, {"what": what, "how": removal}, place.address)
        if removal == "hidden":
            gr.Info(HIDDEN)

    def _search(self, place: Place, action: Action) -> Updates:
        return {self._tab.found: self._found(place.owner, action.text("text"))}

    def _more(self, place: Place, action: Action) -> Updates:
        return self._listed(place.owner, n_listed=action.number("shown", 0, MOST_LISTED) + sidebar.AT_FIRST)

    def _keep_draft(self, place: Place, action: Action) -> Updates:
        """Keeps what stands in the fields, in place of what stood there before."""
        draft = {name: action.text(name) for name in ("conversation", "question", "context")}
        if draft["question"] or draft["context"]:
            self._app.store.save_draft(place.owner, DRAFT, draft)
        else:
            self._app.store.drop_draft(place.owner, DRAFT)
        return {self._tab.live: gr.skip()}

    def _latest(self, owner: str) -> str:
        latest = self._app.store.latest_conversation(owner)
        return latest.id if latest else ""

    def _place(self, page_key: str | None, conversation_id: str | None, request: gr.Request) -> Place:
        user = require(self._app, request, "chat")
        address = address_of(self._app, request)
        return Place(user.id, str(page_key or ""), str(conversation_id or ""), address)

    def _picked(self, chosen: Sequence[Any]) -> Picked:
        """The picker's model with the settings, as far as the page has described it already.

        Raises InvalidInput for an external model whose notice was not shown.
        """
        model_id, described, *values = chosen
        spec = model_picker.spec_of(self._app, model_id)
        if described == spec.id:
            return Picked(spec.id, sampling.chosen_sampling(spec, values))
        if spec.external:
            raise InvalidInput(f"{spec.name} would send this text to {spec.external}. Choose it again, then send.")
        return Picked(spec.id, spec.sampling)

    def _written(self, place: Place, live: LiveAnswer) -> Iterator[Updates]:
        """Frames of an answer that has just begun."""
        yield from self._follow(place, live, self._listed(place.owner))

    def _follow(self, place: Place, live: LiveAnswer, first: Updates, picks_model: bool = False) -> Iterator[Updates]:
        """Frames of an answer from its present state to its end; closing the iterator leaves it running."""
        with self._followers.page(place.owner, place.page_key) as follower:
            view = live.snapshot()
            yield first | self._whole(place.owner, live.conversation_id, picks_model)
            while view.phase not in ENDED:
                if not follower.pause(FRAME_S):
                    return  # the page shows something else
                before, view = view, live.snapshot()
                if self._app.chat.live(place.owner, live.conversation_id) not in (live, None):
                    return  # another page of the owner has begun the next answer
                frame: Updates = {self._tab.live: gr.skip() if view.revision == before.revision else self._turn(view)}
                if view.phase != before.phase:
                    frame[self._tab.status] = self._status(view, live.conversation_id)
                yield frame  # also without news: only between two frames can the page leave
            yield {self._tab.live: self._turn(view)}

    def _opened(
        self, place: Place, conversation_id: str, first: Updates | None = None, picks_model: bool = True
    ) -> Iterator[Updates]:
        """Frames of a conversation as it was left; an answer that is still being written is followed."""
        live = self._app.chat.live(place.owner, conversation_id)
        if live is not None:
            yield from self._follow(place, live, first or {}, picks_model)
            return
        whole = self._whole(place.owner, conversation_id, picks_model)
        with self._followers.page(place.owner, place.page_key):
            yield (first or {}) | whole

    def _whole(self, owner: str, conversation_id: str, picks_model: bool = False) -> Updates:
        """A conversation from its first turn to its last."""
        turns = self._app.chat.turns(owner, conversation_id)
        if not turns:
            status = transcript.status_html("The conversation is empty.", conversation_id)
            return self._empty() | {self._tab.conversation_id: conversation_id, self._tab.status: status}
        whole = {
            self._tab.history: self._turns(turns[:-1]),
            self._tab.live: self._turn(turns[-1]),
            self._tab.status: self._status(turns[-1], conversation_id),
            self._tab.welcome: gr.Column(visible=False),
            self._tab.conversation_id: conversation_id,
        }
        return whole | ({self._tab.model: self._models(turns[-1].model_id)} if picks_model else {})

    def _empty(self) -> Updates:
        return {
            self._tab.history: "",
            self._tab.live: "",
            self._tab.status: transcript.status_html("New conversation."),
            self._tab.welcome: gr.Column(visible=True),
            self._tab.conversation_id: None,
        }

    def _listed(self, owner: str, action: Action | None = None, n_listed: int = sidebar.AT_FIRST) -> Updates:
        """The list; after an action in it as long as it was, with what the search finds now."""
        if action:
            n_listed = action.number("shown", sidebar.AT_FIRST, MOST_LISTED)
        conversations = self._app.store.conversations_of(owner, limit=n_listed + 1)
        html = sidebar.list_html(conversations[:n_listed], more=len(conversations) > n_listed)
        updates: Updates = {self._tab.list: html}
        return updates | ({self._tab.found: self._found(owner, action.text("search", ""))} if action else {})

    def _found(self, owner: str, text: str) -> str:
        return sidebar.found_html(self._app.chat.search(owner, text) if text.split() else [], text)

    def _models(self, model_id: str | None) -> gr.Dropdown:
        """The picker with this model chosen, or the default where it cannot be."""
        choices = model_picker.choices(self._app)
        ids = [choice for _, choice in choices]
        return gr.Dropdown(choices, value=model_id if model_id in ids else self._app.default.id)

    def _status(self, view: TurnView, conversation_id: str) -> str:
        return transcript.status_html(transcript.status_text(view), conversation_id)

    def _turns(self, views: Sequence[TurnView]) -> str:
        return "".join(self._turn(view) for view in views)

    def _turn(self, view: TurnView) -> str:
        spec = self._app.catalogue.get(view.model_id)
        return transcript.turn_html(view, spec.sampling if spec else None)


def _joined(before: str | None, more: str) -> str:
    """Both, a blank line between them."""
    return "\n\n".join(part for part in ((before or "").strip(), more.strip()) if part)

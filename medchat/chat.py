"""The chat: questions become conversations in the store, each answer is written by a thread of its own.

A conversation is a tree: what is asked again, or edited, stands beside the first answer, and the path through
those selected last is shown. A page only watches: closing or reloading it leaves the answer running. Stop, the
answer's own end, an error or close() end it; what there is by then is kept.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from threading import Lock, Thread

from medchat import language
from medchat.asked_models import AskedModels, Models
from medchat.backends import Backend
from medchat.catalogue import ModelSpec
from medchat.errors import InvalidInput, ModelUnavailable
from medchat.live import GroundingSource, LiveAnswer, Turn, check_question, checked_text
from medchat.prompts import past_turn
from medchat.records import SAMPLING_RANGES, Sampling, question_id
from medchat.settings import Settings
from medchat.store import (
    AnswerRecord,
    ConversationRecord,
    FoundConversation,
    Removal,
    Store,
    Thumb,
    ThumbRecord,
    selected_path,
)
from medchat.turns import CONTEXT_FULL, Places, TurnView, stored_view, turn_views
from medchat.writing import Writing

SAVING_S = 5.0  # how long an answer may take to save its end before its conversation is deleted
REDRAW_TEMPERATURE = 0.7  # a greedy model would give the same answer again
TITLE_CHARS = 60
NOTHING_TO_CONTINUE = (
    "There is nothing to continue: the last answer was not cut off, or its server continues none. Regenerate it."
)


class ChatService:
    """Conversations of any number of owners.

    backends gives a model's backend and stays the caller's to close. Answers that an earlier process
    left half-written are marked as cut. Raises NotFound when settings.model is not known.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Models,
        backends: Callable[[ModelSpec], Backend],
        grounding: GroundingSource,
        settings: Settings,
    ) -> None:
        self._store = store
        self._models = AskedModels(store, catalogue)
        self._writing = Writing(store, backends, grounding, settings.max_auto_continues)
        self._default_id = catalogue.resolve(settings.model).id
        self._starting = Lock()  # between the check that a conversation is idle and the start of its answer
        self._closed = False
        store.close_unfinished()
        Thread(target=language.load, name="language", daemon=True).start()

    def ask(
        self,
        owner: str,
        question: str,
        context: str = "",
        conversation_id: str | None = None,
        model_id: str | None = None,
        save_key: str | None = None,
        sampling: Sampling | None = None,
    ) -> LiveAnswer:
        """The answer to a question after the path shown, in a new conversation when none is given.

        model_id: None for the conversation's, or the default. A save_key that came before gives the answer
        that it gave then. Raises InvalidInput for an empty or too long question and while another answer
        of the conversation is being written, NotFound for an unknown conversation or model, ModelUnavailable
        for a model that has to be fetched first.
        """
        began = time.monotonic()
        question, context = checked_text(question), checked_text(context)
        check_question(question, context)
        with self._starting:
            if again := self._again(owner, save_key):
                return again
            places = Places(())
            if conversation_id is None:
                spec = self._models.get(model_id or self._default_id)
                self._models.remember(spec)
                conversation_id = self._store.start_conversation(owner, spec.id, _title(question)).id
            else:
                spec = self._models.get(model_id or self._store.conversation(owner, conversation_id).model_id)
                places = self._idle_places(owner, conversation_id)
            path = selected_path(places.answers)
            turn = Turn(spec, sampling or spec.sampling, question, context, _history(path, spec))
            return self._begin(owner, conversation_id, places, path, turn, began, save_key=save_key)

    def edit(
        self,
        owner: str,
        conversation_id: str,
        answer_id: str,
        question: str,
        context: str = "",
        model_id: str | None = None,
        save_key: str | None = None,
        sampling: Sampling | None = None,
    ) -> LiveAnswer:
        """The answer to another question in the place of that answer's, which stays beside it.

        model_id: None for that answer's. Raises as ask() does, and NotFound for an unknown answer.
        """
        began = time.monotonic()
        question, context = checked_text(question), checked_text(context)
        check_question(question, context)
        with self._starting:
            if again := self._again(owner, save_key):
                return again
            places = self._idle_places(owner, conversation_id)
            here = places.answer(answer_id)
            spec = self._models.get(model_id or here.model_id)
            return self._instead(
                owner, places, here, spec, sampling or spec.sampling, question, context, began, save_key=save_key
            )

    def regenerate(
        self,
        owner: str,
        conversation_id: str,
        answer_id: str | None = None,
        model_id: str | None = None,
        sampling: Sampling | None = None,
    ) -> LiveAnswer:
        """Another version of the answer, None for the last one, drawn with another seed.

        model_id, sampling: None for the answer's own. Raises as edit() does.
        """
        began = time.monotonic()
        with self._starting:
            places = self._idle_places(owner, conversation_id)
            here = _last(places) if answer_id is None else places.answer(answer_id)
            spec = self._models.get(model_id or here.model_id)
            sampling = sampling or _own_sampling(here, spec)
            return self._instead(owner, places, here, spec, sampling, here.question, here.context, began)

    def continue_answer(
        self, owner: str, conversation_id: str, model_id: str | None = None, sampling: Sampling | None = None
    ) -> LiveAnswer:
        """A version of the last answer that goes on from where it ends; it was cut, or its model broke down.

        Its model writes it on, by this sampling if that is meant for this model, None or else the answer's own.
        Raises as ask() does.
        """
        began = time.monotonic()
        with self._starting:
            places = self._idle_places(owner, conversation_id)
            last = _last(places)
            view = stored_view(last, "")
            if not view.can_continue:
                raise InvalidInput(CONTEXT_FULL if CONTEXT_FULL in last.note else NOTHING_TO_CONTINUE)
            spec, path = self._models.get(last.model_id), places.path_above(last)
            if sampling is None or model_id not in (None, spec.id):
                sampling = _own_sampling(last, spec)
            turn = Turn(spec, sampling, last.question, last.context, _history(path, spec))
            return self._begin(owner, conversation_id, places, path, turn, began, half=(view, last.raw))

    def show(self, owner: str, conversation_id: str, answer_id: str) -> None:
        """Lead the path shown through this answer. Raises NotFound for an unknown conversation or answer."""
        self._store.select_answer(owner, conversation_id, answer_id)

    def stop(self, owner: str, conversation_id: str) -> bool:
        """Whether an answer was being written; it is stopped and saved."""
        live = self.live(owner, conversation_id)
        return live is not None and self._writing.end(owner, live, "stopped")

    def live(self, owner: str, conversation_id: str) -> LiveAnswer | None:
        """The answer that is being written in this conversation; None when none is."""
        live = self._writing.latest(owner, conversation_id)
        return None if live is None or live.ended else live

    def turns(self, owner: str, conversation_id: str) -> list[TurnView]:
        """The path shown, turn by turn, the answer being written as it is now.

        Raises NotFound when the owner has no such conversation.
        """
        before = self._writing.latest(owner, conversation_id)
        answers = self._store.answers_of(owner, conversation_id)
        after = self._writing.latest(owner, conversation_id)
        running = {live.id: live for live in (before, after) if live is not None}
        path, places = selected_path(answers), Places(answers)
        names = self._models.names(answer.model_id for answer in path)
        views = turn_views(path, places, names, self._store.thumbs_of(owner, conversation_id))
        critical = self._store.critical_ids(view.answer_id for view in views)
        shown = (
            places.placed(running[view.answer_id].snapshot()) if view.answer_id in running else view for view in views
        )
        return [replace(view, critical=view.answer_id in critical) for view in shown]

    def conversations(self, owner: str, limit: int = 50, offset: int = 0) -> list[ConversationRecord]:
        """The owner's conversations, the one used last first; offset: how many of these to skip."""
        return self._store.conversations_of(owner, limit, offset)

    def search(self, owner: str, text: str, limit: int = 50) -> list[FoundConversation]:
        """The owner's conversations that have every word of the text somewhere."""
        return self._store.search_conversations(owner, text, limit)

    def rename(self, owner: str, conversation_id: str, title: str) -> ConversationRecord:
        """The conversation with its new title. Raises NotFound, InvalidInput for an empty title."""
        return self._store.rename_conversation(owner, conversation_id, checked_text(title))

    def delete_conversation(self, owner: str, conversation_id: str) -> Removal:
        """How it went: a rated conversation is only hidden. What is being written in it is stopped first.

        Raises NotFound when the owner has no such conversation.
        """
        live = self.live(owner, conversation_id)
        if live is not None and not self._writing.end(owner, live, "stopped"):
            live.wait(live.snapshot().revision, SAVING_S)  # its own end is being saved
        with self._starting:
            return self._store.delete_conversation(owner, conversation_id)

    def delete_answer(self, owner: str, conversation_id: str, answer_id: str) -> Removal:
        """How the answer and all that was asked after it went: what is rated is only hidden.

        Raises NotFound for an unknown conversation or answer, InvalidInput while one of these is being written.
        """
        with self._starting:
            return self._store.delete_answer(owner, conversation_id, answer_id)

    def thumb(
        self,
        owner: str,
        answer_id: str,
        thumb: Thumb,
        reasons: Sequence[str] = (),
        comment: str = "",
        save_key: str | None = None,
    ) -> ThumbRecord:
        """The owner's thumb for the answer from now on, "none" to take it back.

        Raises NotFound when the owner has no such answer, InvalidInput while it is being written or for a
        reason that is not among store.THUMB_REASONS.
        """
        return self._store.add_thumb(owner, answer_id, thumb, reasons, checked_text(comment), save_key)

    def close(self) -> None:
        """Cut and save what is being written and let the threads end; calling it again does nothing."""
        with self._starting:
            self._closed = True
        self._writing.close()

    def _idle_places(self, owner: str, conversation_id: str) -> Places:
        if self.live(owner, conversation_id) is not None:
            raise InvalidInput("An answer in this conversation is still being written. Wait for it, or stop it.")
        return Places(self._store.answers_of(owner, conversation_id))

    def _again(self, owner: str, save_key: str | None) -> LiveAnswer | None:
        """The answer of a request that came before, as it is being written or as it ended; None for a new one."""
        saved = self._store.saved_answer(owner, save_key) if save_key else None
        if saved is None:
            return None
        conversation_id = saved.conversation_id or ""
        live = self._writing.latest(owner, conversation_id)
        if live is not None and live.id == saved.id:
            return live
        places = Places(self._store.answers_of(owner, conversation_id))
        (view,) = turn_views([saved], places, self._models.names([saved.model_id]), thumbs={})
        return LiveAnswer(view, saved.answer_format, conversation_id=conversation_id)

    def _instead(
        self,
        owner: str,
        places: Places,
        here: AnswerRecord,
        spec: ModelSpec,
        sampling: Sampling,
        question: str,
        context: str,
        began: float,
        *,
        save_key: str | None = None,
    ) -> LiveAnswer:
        """The answer to the question, beside the answer that is here."""
        versions = places.versions(here.parent_id, question_id(context, question))
        sampling = _another_draw(sampling, [v.sampling for v in versions if v.model_id == spec.id and v.sampling])
        path = places.path_above(here)
        turn = Turn(spec, sampling, question, context, _history(path, spec))
        return self._begin(owner, here.conversation_id or "", places, path, turn, began, save_key=save_key)

    def _begin(
        self,
        owner: str,
        conversation_id: str,
        places: Places,
        path: Sequence[AnswerRecord],
        turn: Turn,
        began: float,
        *,
        half: tuple[TurnView, str] | None = None,
        save_key: str | None = None,
    ) -> LiveAnswer:
        """The answer at the end of the path, in the store and with its thread running.

        places: of all answers that the conversation has so far. half: the version that it continues, and its raw text.
        """
        if self._closed:
            raise ModelUnavailable("MedChat is being closed; ask again when it runs.")
        spec = turn.spec
        self._models.remember(spec)
        record = self._store.begin_answer(
            owner, conversation_id, turn.context, turn.question, spec.id,
            prompt=None, sampling=turn.sampling, answer_format=spec.answer_format, save_key=save_key,
            parent_id=path[-1].id if path else None, route={"external": spec.external} if spec.external else None,
        )  # fmt: skip
        places.add(record)
        view, raw = half or (stored_view(record, ""), "")
        view = replace(
            view, answer_id=record.id, model_name=spec.name, phase="waiting", external=spec.external,
            sampling=turn.sampling,
        )  # fmt: skip
        live = LiveAnswer(
            places.placed(view), spec.answer_format, raw=raw, conversation_id=conversation_id, began=began
        )
        self._writing.start(owner, live, turn)
        return live


def _title(question: str) -> str:
    """The beginning of the question, in one line."""
    line = " ".join(question.split())
    return line if len(line) <= TITLE_CHARS else line[: TITLE_CHARS - 1].rstrip() + "\u2026"


def _last(places: Places) -> AnswerRecord:
    path = selected_path(places.answers)
    if not path:
        raise InvalidInput("There is no answer in this conversation yet. Ask a question first.")
    return path[-1]


def _history(path: Sequence[AnswerRecord], spec: ModelSpec) -> tuple[tuple[str, str], ...]:
    """The turns as the model is to see them, without those that failed or came to no solution."""
    answered = (turn for turn in path if turn.solution and turn.status != "failed")
    return tuple(past_turn(spec, t.question, t.context, t.reasoning, t.solution) for t in answered)


def _own_sampling(answer: AnswerRecord, spec: ModelSpec) -> Sampling:
    """How the answer was drawn, if by this model; else how the model draws by itself."""
    return (answer.sampling if answer.model_id == spec.id else None) or spec.sampling


def _another_draw(sampling: Sampling, drawn: Sequence[Sampling]) -> Sampling:
    """The sampling, so changed that it gives something else than the same model's other versions."""
    if sampling not in drawn:
        return sampling
    seeds, n_seeds = {other.seed for other in drawn}, int(SAMPLING_RANGES["seed"].high) + 1
    seed = next(seed for n in count(1) if (seed := (sampling.seed + n) % n_seeds) not in seeds)
    return replace(sampling, temperature=sampling.temperature or REDRAW_TEMPERATURE, seed=seed)

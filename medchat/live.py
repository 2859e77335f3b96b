"""One turn, without the store: recognise, build the prompt, stream, parse, measure.

`write_answer` does the work, an event at a time, and reports into a LiveAnswer, which any number of
threads may watch. The chat saves between the events; the command line prints.
"""

import re
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from threading import Condition
from typing import NamedTuple, Protocol, cast

from medchat import language
from medchat.backends import Backend
from medchat.catalogue import ModelSpec
from medchat.errors import ContextTooLong, InvalidInput
from medchat.formats import IncrementalParser, parse
from medchat.grounding import Grounder
from medchat.parsed import Parsed
from medchat.prompts import answer_request, build_messages, case_text, cut_to_input, fit_history, is_raw
from medchat.recognition import Grounding
from medchat.records import Done, FinishReason, Message, Request, Sampling, Text
from medchat.turns import CONTEXT_FULL, ENDED, EndPhase, TurnView

MAX_CHARS = 20_000
GROUNDING_PATIENCE_S = 10.0
STEP_S = 0.1  # how soon a stop is noticed while waiting for the grounding
NEW_CASE_WORDS = 20  # from this length on, or with an age, a later turn may be another case
_PERSON = re.compile(r"\b\d{1,3}[ -]?(?:years?|yrs?|y/?o|[mf])\b", re.IGNORECASE)
CHECK_AFTER_MS = 100.0  # a fast answer ends before its reasoning is checked, so that it is not held up
EMPTY = "Please type a case or a question."
NEW_CASE = "Read as a new case: this small model was not told of the earlier turns."
NOT_RECOGNISED = "The findings could not be recognised in time: the model answers from the text alone."
ONE_CASE = "This model reads one case at a time: it was not told of the earlier turns."
INPUT_CUT = "The case was longer than this model reads; its end was left out."


class GroundingSource(Protocol):
    """Where the Grounder comes from, which may still be in the making (grounding_fit.GroundingLoader)."""

    @property
    def ready(self) -> bool:
        """Whether get() will not wait."""
        ...

    def get(self, timeout_s: float | None = None) -> Grounder | None:
        """The Grounder; None when the time is up, or there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """What is to be answered. history: earlier turns, each from prompts.past_turn."""

    spec: ModelSpec
    sampling: Sampling
    question: str
    context: str = ""
    history: tuple[tuple[str, str], ...] = ()


class Case(NamedTuple):
    """What the user told; this turn's own text begins at character `own`."""

    text: str
    own: int


class LiveAnswer:
    """An answer that is being written: one thread writes, any number watch, the first to end it ends it.

    view and raw: what there is already of an answer that goes on; its time goes on too. began: the moment
    of the request on time.monotonic(), None for now.
    """

    def __init__(
        self,
        view: TurnView,
        answer_format: str,
        *,
        raw: str = "",
        conversation_id: str = "",
        began: float | None = None,
    ) -> None:
        self.id = view.answer_id
        self.conversation_id = conversation_id
        self.messages: tuple[Message, ...] = ()
        self.finish_reason: FinishReason | None = None
        self._changed = Condition()
        self._parser = IncrementalParser(answer_format)
        self._raw = [raw]
        self._parsed = self._parser.feed(raw)
        if raw and view.reasoning and not parse(answer_format, raw).reasoning:  # a server told the two apart
            self._parser = IncrementalParser(answer_format)
            self._parser.feed(view.reasoning, "reasoning")
            self._parsed = self._parser.feed(view.solution, "solution")
        self._began = (time.monotonic() if began is None else began) - (view.total_ms or 0.0) / 1000
        self._counts_tokens = not raw or view.completion_tokens is not None
        self._done_ms: float | None = None
        self._grounder: Grounder | None = None
        self._case = ""
        self._checked_reasoning = ""
        self._ending: EndPhase | None = None
        self._view = view
        if not self.ended:
            with self._changed:
                self._show(total_ms=None, note="", error="")

    def snapshot(self) -> TurnView:
        """The answer as it is now."""
        return self._view

    def wait(self, seen: int, timeout_s: float) -> TurnView:
        """The answer once its revision is above `seen`, or has ended, or the time is up."""
        with self._changed:
            self._changed.wait_for(lambda: self._view.revision > seen or self.ended, timeout_s)
            return self._view

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self._view.phase in ENDED

    @property
    def ending(self) -> bool:
        """Whether somebody ended it: whoever writes is to leave off."""
        return self._ending is not None

    @property
    def raw(self) -> str:
        """The model's own text so far."""
        with self._changed:
            self._raw = ["".join(self._raw)]
            return self._raw[0]

    def prepare(self, messages: tuple[Message, ...], note: str) -> None:
        """Take in the prompt, and what is to be said about it."""
        with self._changed:
            self.messages = messages
            if not self._ending:
                self._show(note=note)

    def ground(self, grounder: Grounder, case: Case) -> Grounding:
        """What the case says, shown from now on."""
        found = grounder.ground(case.text)
        places = (r._replace(start=r.start - case.own, end=r.end - case.own) for r in found.recognised)
        with self._changed:
            self._grounder, self._case = grounder, case.text
            if not self._ending:
                self._show(grounding=replace(found, recognised=tuple(places)))
        return found

    def feed(self, event: Text) -> None:
        """Add what the model wrote."""
        if not event.text:
            return
        with self._changed:
            if self._ending:
                return
            self._raw.append(event.text)
            self._parsed = self._parser.feed(event.text, event.kind)
            self._done_ms = None
            self._show(ttft_ms=self._elapsed_ms() if self._view.ttft_ms is None else self._view.ttft_ms)

    def count(self, done: Done) -> None:
        """Add what one completion took; the prompt's length is that of the first."""
        with self._changed:
            if self._ending:
                return
            self.finish_reason = done.finish_reason
            self._done_ms = self._elapsed_ms()
            prompt_tokens = self._view.prompt_tokens
            self._view = replace(
                self._view,
                prompt_tokens=done.prompt_tokens if prompt_tokens is None else prompt_tokens,
                completion_tokens=(self._view.completion_tokens or 0) + done.completion_tokens
                if self._counts_tokens
                else None,
            )

    def add_note(self, note: str) -> None:
        """Say this too; nothing for an empty one."""
        with self._changed:
            if note and not self._ending:
                self._show(note=" ".join(filter(None, (self._view.note, note))))

    def leave_cut(self, note: str) -> None:
        """Take what is written for a cut answer that cannot go on now, and say why."""
        self.finish_reason = "length"
        self.add_note(note)

    def is_cut(self) -> bool:
        """Whether the model was cut off before its answer was complete."""
        return self.finish_reason == "length" and not self._parsed.is_whole("length")

    def check_reasoning(self, *, over: bool = False) -> None:
        """Look, once the reasoning is over, for findings in it that the case does not contain."""
        view, grounder = self._view, self._grounder
        if grounder is None or self._ending or view.reasoning == self._checked_reasoning:
            return
        if over or (view.solution and self._elapsed_ms() - (view.reasoning_ms or 0.0) > CHECK_AFTER_MS):
            self._checked_reasoning = view.reasoning
            found = tuple(grounder.unsupported(view.reasoning, self._case))
            with self._changed:
                if not self._ending:
                    self._show(unsupported=found)

    def claim_end(self, phase: EndPhase, error: str = "") -> bool:
        """Whether the caller is the first to end it: the text stands still, and publish_end() must follow."""
        with self._changed:
            if self._ending:
                return False
            self._parsed = self._text_at_end()
            whole = self.finish_reason is not None and self._parsed.is_whole(self.finish_reason)
            total_ms = self._elapsed_ms() if self._done_ms is None else self._done_ms
            self._show(total_ms=total_ms, error=error, complete=whole and phase == "done")
            self._ending = phase
        return True

    def publish_end(self, error: str = "") -> TurnView:
        """Tell everybody how it ended: as claimed, or as failed when an error came after that."""
        with self._changed:
            end: EndPhase = "failed" if error or self._ending is None else self._ending
            view = self._view
            self._view = replace(view, revision=view.revision + 1, phase=end, error=error or view.error)
            self._changed.notify_all()
            return self._view

    def text(self) -> tuple[str, str]:
        """Reasoning and solution so far, as they are to be saved."""
        view = self._view
        return view.reasoning, view.solution

    def linger(self) -> Iterator[None]:
        """What else has to pass between the last word and the end: nothing here."""
        yield from ()

    def _text_at_end(self) -> Parsed:
        return self._parser.finish()

    def _elapsed_ms(self) -> float:
        return (time.monotonic() - self._began) * 1000

    def _show(self, **changes: object) -> None:
        """The view with these changes and the text as parsed, for everybody who waits; under the lock."""
        view = self._view
        reasoning, solution = self._parsed.reasoning, self._parsed.solution
        reasoning_ms = view.reasoning_ms
        if not solution:  # not yet, or what looked like it turned out to be reasoning
            reasoning_ms = None
        elif reasoning and reasoning_ms is None:
            reasoning_ms = self._elapsed_ms()
        self._view = replace(
            view,
            revision=view.revision + 1,
            reasoning=reasoning,
            solution=solution,
            phase="solution" if solution else "reasoning" if reasoning else "waiting",
            reasoning_ms=reasoning_ms,
            **changes,  # type: ignore[arg-type]
        )
        self._changed.notify_all()


def checked_text(text: str) -> str:
    """The text without white space around it and without characters that no database or model takes."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "").strip()


def check_question(question: str, context: str = "") -> None:
    """Raises InvalidInput when there is nothing to answer, or more than can be read."""
    if not question:
        raise InvalidInput(EMPTY)
    length = len(question) + len(context)
    if length > MAX_CHARS:
        raise InvalidInput(
            f"The case and the question have {length:,} characters; shorten them to at most {MAX_CHARS:,}."
        )


def write_answer(
    live: LiveAnswer, turn: Turn, backend: Backend, grounding: GroundingSource, max_auto_continues: int
) -> Iterator[None]:
    """Write the answer to the turn into `live`, yielding after each event, until it ends or somebody ends it.

    An answer cut by its model's own length goes on by itself so many times; a length that somebody chose is a limit.
    Raises MedChatError when the model fails.
    """
    if turn.sampling.max_new_tokens != turn.spec.sampling.max_new_tokens:
        max_auto_continues = 0
    hinted = False
    for _ in _write(live, turn, backend, grounding, max_auto_continues):
        yield
        if live.messages and not hinted and language.is_loaded():  # the first token did not wait for it
            _hint_language(live, turn)
            hinted = True
    if not hinted:
        _hint_language(live, turn)


def _write(
    live: LiveAnswer, turn: Turn, backend: Backend, grounding: GroundingSource, max_auto_continues: int
) -> Iterator[None]:
    yield from _wait_for_grounding(live, turn.spec, grounding)
    grounder = grounding.get(0)
    case = _prepare(live, turn, backend, grounder)
    for _ in range(1 + max_auto_continues):
        request = answer_request(turn.spec, live.messages, turn.sampling, live.raw)
        try:
            yield from _stream(live, request, backend)
        except InvalidInput as refusal:
            if not live.raw:
                raise
            live.leave_cut(CONTEXT_FULL if isinstance(refusal, ContextTooLong) else str(refusal))
            break
        if live.ending or not live.is_cut():
            break
    if grounder is None and (late := grounding.get(0)):
        live.ground(late, case)
    live.check_reasoning(over=True)


def _hint_language(live: LiveAnswer, turn: Turn) -> None:
    if not live.ending:
        live.add_note(language.hint(case_text(turn.question, turn.context), turn.spec))


def _wait_for_grounding(live: LiveAnswer, spec: ModelSpec, grounding: GroundingSource) -> Iterator[None]:
    """Let some time pass while the Grounder is in the making, if the model needs it."""
    deadline = time.monotonic() + GROUNDING_PATIENCE_S
    while spec.grounded and not grounding.ready and not live.ending and time.monotonic() < deadline:
        grounding.get(STEP_S)
        yield


def _prepare(live: LiveAnswer, turn: Turn, backend: Backend, grounder: Grounder | None) -> Case:
    """The case, recognised if there is a Grounder; the prompt, with as much of the history as fits, is in `live`."""
    spec, history, left_out = replace(turn.spec, sampling=turn.sampling), turn.history, 0
    notes = [NOT_RECOGNISED] if spec.grounded and grounder is None else []
    if history and is_raw(spec):
        history = ()
        notes.append(ONE_CASE)
    case = _case_of(turn, history, grounder)
    if spec.demo and grounder and history and (not case.own or grounder.ground(case.text).outside):
        # What it was told of another case it would answer about, under the words that it does not know this one.
        history = ()
        case = _case_of(turn, history, grounder)
        notes.append(NEW_CASE)
    told = live.ground(grounder, case).prompt_text() if grounder else ""
    if history:
        history, left_out = fit_history(
            spec, turn.question, turn.context, history, told,
            count_tokens=lambda messages: backend.count_tokens(Request(messages)),
            n_ctx=min(spec.n_ctx, backend.n_ctx),
        )  # fmt: skip
    if left_out:
        case = _case_of(turn, history, grounder)
        told = live.ground(grounder, case).prompt_text() if grounder else ""
        turns = "1 earlier turn was" if left_out == 1 else f"{left_out} earlier turns were"
        notes.append(f"{turns} left out to fit the model's context.")
    question, context, was_cut = cut_to_input(
        spec, turn.question, turn.context, lambda messages: backend.count_tokens(Request(messages, raw=True))
    )
    if was_cut:
        notes.append(INPUT_CUT)
    live.prepare(build_messages(spec, question, context, history, told), " ".join(notes))
    return case


def _case_of(turn: Turn, history: Sequence[tuple[str, str]], grounder: Grounder | None) -> Case:
    """All that the user said in these turns and this one: "and the treatment?" is about the case told before.

    A turn that tells a case of its own, or asks about a condition by its name, stands alone.
    """
    own = case_text(turn.question, turn.context)
    if grounder and history and _stands_alone(grounder, own):
        return Case(own, 0)
    earlier = "".join(f"{asked}\n\n" for asked, _ in history)
    return Case(earlier + own, len(earlier))


def _stands_alone(grounder: Grounder, text: str) -> bool:
    said = grounder.ground(text)
    is_case = len(text.split()) >= NEW_CASE_WORDS or _PERSON.search(text)
    return bool(said.asked_about or (is_case and len(said.present) >= 2))


def _stream(live: LiveAnswer, request: Request, backend: Backend) -> Iterator[None]:
    with closing(cast("Generator[Text | Done]", backend.generate([request]))) as events:
        for event in events:
            if live.ending:
                return
            if isinstance(event, Done):
                live.count(event)
            else:
                live.feed(event)
                live.check_reasoning()
            yield

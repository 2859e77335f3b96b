"""How a model is asked the examples of a suite: as the chat asks it, or by comparing how likely the options are."""

import hashlib
import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from threading import Event
from typing import NamedTuple, cast

from evaluation.choices import BY_LIKELIHOOD, choice_of, in_order, likeliest, original_letter, shuffled_orders
from evaluation.metrics import DONT_KNOW, Answer
from evaluation.suites import Suite, question_text
from evaluation.templates import choice_texts, template_for
from medchat.backends import Backend
from medchat.catalogue import ModelSpec
from medchat.errors import ContextTooLong, InvalidInput, RateLimited
from medchat.grounding import Grounder
from medchat.live import LiveAnswer, Turn, checked_text, write_answer
from medchat.prompts import answer_request, as_answer, build_messages, case_text, cut_to_input
from medchat.records import Done, Example, Message, Request, Sampling, Text
from medchat.turns import TurnView

CONSISTENCY = "mcq_consistency"
BATCH = 16  # questions whose options are compared in one call
BATCHES_AHEAD = 16  # the model computes what waits together
WAITS_S = (5.0, 15.0, 30.0, 60.0, 60.0)  # before a server that takes no more requests is asked again
MOST_WAIT_S = 120.0
DRAWN_HERE = ("llamacpp", "transformers")
NO_LIKELIHOOD = "This model does not tell how likely an option is."
NO_DIAGNOSIS = "The recogniser answers nothing but what the diagnosis is."
NO_OPTIONS = "This question has no options to compare."
TOO_LONG, NOT_TAKEN = "too long for the model", "not taken by the model"
# Why there is nothing to score, so that it can be counted.
REASONS = {NO_LIKELIHOOD: "the model tells no likelihoods", NO_DIAGNOSIS: "no diagnosis", NO_OPTIONS: "no options"}
_CHAT_ADVICE = re.compile(r"[.;] shorten (?:the question|it) or start a new conversation\.", re.IGNORECASE)


class Stopped(Exception):
    """Somebody asked the run to stop."""


class Reply(NamedTuple):
    """What a model said to an example, None where it could not be asked; choice: the letter of the option it chose.

    fault: why there is no answer, or why the options have no log-probabilities; why: the same in a few words, which
    many faults have in common.
    """

    answer: Answer | None
    choice: str | None = None
    fault: str = ""
    why: str = ""


Replies = list[tuple[Example, Reply]]
Task = Callable[[], Replies]  # for any thread


class Fault(NamedTuple):
    """See Reply."""

    line: str = ""
    why: str = ""


NO_FAULT = Fault()


class FittedGrounding:
    """A Grounder that is there already, as live.GroundingSource."""

    ready = True

    def __init__(self, grounder: Grounder) -> None:
        self._grounder = grounder

    def get(self, timeout_s: float | None = None) -> Grounder:
        """The Grounder, at once."""
        return self._grounder


@dataclass(frozen=True)
class Asker:
    """One model and one suite. metrics: what is to be scored decides what is asked. seed: of the run.

    at_once: answers written at a time. stop: set, it ends answers that are being written with Stopped.
    """

    spec: ModelSpec
    backend: Backend
    grounder: Grounder
    suite: Suite
    metrics: Sequence[str]
    seed: int
    at_once: int
    max_auto_continues: int
    stop: Event

    @property
    def writes(self) -> bool:
        """Whether answers are written, and not only options compared."""
        return any(name not in (*BY_LIKELIHOOD, CONSISTENCY) for name in self.metrics)

    @property
    def n_ahead(self) -> int:
        """Tasks to have under way.

        Only one where an engine here draws the tokens by chance: beside others its numbers round otherwise, and one
        token in hundreds would come out otherwise each time, whatever the seed.
        """
        if not self.writes:
            return BATCHES_AHEAD
        is_drawn = not self.sampling.greedy and self.spec.backend in DRAWN_HERE
        return 1 if is_drawn else self.at_once

    @property
    def sampling(self) -> Sampling:
        """How answers are drawn: as the suite says, else as is usual for the model."""
        return self.suite.sampling or self.spec.sampling

    def tasks(self, examples: Sequence[Example]) -> Iterator[Task]:
        """What there is to do for these examples, the longest first."""
        ordered = sorted(examples, key=_length, reverse=True)
        if self.writes:
            yield from (partial(self._answered, example) for example in ordered)
            return
        for start in range(0, len(ordered), BATCH):
            yield partial(self._compared, ordered[start : start + BATCH])

    # Answers that are written

    def _answered(self, example: Example) -> Replies:
        """The answer as the chat gives it, with what else the metrics need."""
        answer, fault = self._written(example)
        if answer is None:
            return [(example, Reply(None, None, *fault))]
        if example.options and CONSISTENCY in self.metrics:
            answer = replace(answer, shuffled_choices=tuple(self._chosen_when_shuffled(example)))
        if example.options and set(BY_LIKELIHOOD) & set(self.metrics):
            [(logprobs, fault)] = self._logprobs([example])
            answer = replace(answer, option_logprobs=logprobs)
        return [(example, Reply(answer, choice_of(example, answer) if example.options else None, *fault))]

    def _chosen_when_shuffled(self, example: Example) -> Iterator[str | None]:
        for order in shuffled_orders(example, self.suite.shuffles, self.seed):
            shuffled = in_order(example, order)
            answer, _ = self._written(shuffled)
            yield original_letter(order, choice_of(shuffled, answer)) if answer else None

    def _written(self, example: Example) -> tuple[Answer | None, Fault]:
        """The answer, or None and why the model could not be asked."""
        question, context = map(checked_text, question_text(self.suite, example))
        sampling = replace(self.sampling, seed=item_seed(self.seed, example.id))
        template = template_for(self.suite.template, example)
        spec = as_completer(self.spec) if template.raw else self.spec
        backend = StoppingAt(self.backend, template.stops if template.raw else ())
        for wait_s in (*WAITS_S, None):
            try:
                answer = self._streamed(spec, backend, Turn(spec, sampling, question, context))
            except InvalidInput as error:
                return None, _fault_of(error)
            except RateLimited as error:
                if wait_s is None or error.daily or (error.retry_after_s or 0) > MOST_WAIT_S:
                    raise
                self._wait(error.retry_after_s or wait_s)
            else:
                # How many tokens the model had written by then nobody knows.
                return (replace(answer, completion_tokens=None) if backend.stopped else answer), NO_FAULT
        raise AssertionError("the last attempt returns or raises")

    def _streamed(self, spec: ModelSpec, backend: "StoppingAt", turn: Turn) -> Answer:
        live = LiveAnswer(TurnView("", 0, turn.question, turn.context, spec.id), spec.answer_format)
        grounding = FittedGrounding(self.grounder)
        writing = write_answer(live, turn, cast(Backend, backend), grounding, self.max_auto_continues)
        for _ in writing:
            if self.stop.is_set():
                cast("Generator[None]", writing).close()
                raise Stopped
        live.claim_end("cut" if live.is_cut() else "done")
        view = live.publish_end()
        return Answer(
            view.solution, view.reasoning, view.complete, spec.answer_format, live.raw, live.finish_reason or "",
            ttft_ms=view.ttft_ms, total_ms=view.total_ms, prompt_tokens=view.prompt_tokens,
            completion_tokens=view.completion_tokens, prompt=live.messages, sampling=turn.sampling,
        )  # fmt: skip

    def _wait(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise Stopped

    # Options that are compared

    def _compared(self, examples: Sequence[Example]) -> Replies:
        """The likeliest option of each, and that under each shuffle."""
        shuffles = self.suite.shuffles if CONSISTENCY in self.metrics else 0
        orders = [shuffled_orders(example, shuffles, self.seed) for example in examples]
        shuffled = [in_order(e, order) for e, its in zip(examples, orders, strict=True) for order in its]
        found = iter(self._logprobs([*examples, *shuffled]))
        plain = [next(found) for _ in examples]
        replies: Replies = []
        for example, its, (logprobs, fault) in zip(examples, orders, plain, strict=True):
            shuffles_found = zip(its, found, strict=False)  # as many of them as this example has orders
            chosen = [original_letter(order, _likeliest(one)) for order, (one, _) in shuffles_found]
            answer = Answer("", option_logprobs=logprobs, shuffled_choices=tuple(chosen)) if logprobs else None
            replies.append((example, Reply(answer, _likeliest(logprobs), *fault)))
        return replies

    def _logprobs(self, examples: Sequence[Example]) -> list[tuple[dict[str, float] | None, Fault]]:
        """Letter -> log-probability for each example, or None and why there is none."""
        options = [choice_texts(self.suite.template, example) for example in examples]
        asked = [place for place, its in enumerate(options) if its]
        requests = [likelihood_request(self.spec, self.backend, self.grounder, self.suite, examples[p]) for p in asked]
        texts = [
            [as_answer(request, text) for text in options[place].values()]
            for place, request in zip(asked, requests, strict=True)
        ]
        found = self.backend.loglikelihoods(requests, texts)
        no_options = Fault(NO_OPTIONS, REASONS[NO_OPTIONS])
        replies: list[tuple[dict[str, float] | None, Fault]] = [(None, no_options)] * len(examples)
        for place, request, logprobs in zip(asked, requests, found, strict=True):
            if logprobs is None:
                replies[place] = None, self._why_none(request)
            else:
                replies[place] = dict(zip(options[place], logprobs, strict=True)), NO_FAULT
        return replies

    def _why_none(self, request: Request) -> Fault:
        try:
            n_tokens = self.backend.count_tokens(request)
        except InvalidInput as error:
            return _fault_of(error)
        if n_tokens >= self.backend.n_ctx:
            line = f"The question has {n_tokens} tokens and this model reads at most {self.backend.n_ctx}."
            return Fault(line, TOO_LONG)
        return Fault(NO_LIKELIHOOD, REASONS[NO_LIKELIHOOD])


@dataclass(frozen=True)
class GroundingAsker:
    """The recogniser alone: the nearest condition, or that the case is outside; it answers nothing else."""

    grounder: Grounder
    n_ahead = 1

    def tasks(self, examples: Sequence[Example]) -> Iterator[Task]:
        """A task for each example."""
        yield from (partial(self._answered, example) for example in examples)

    def _answered(self, example: Example) -> Replies:
        if example.kind != "diagnosis":
            return [(example, Reply(None, None, NO_DIAGNOSIS, REASONS[NO_DIAGNOSIS]))]
        began = time.monotonic()
        found = self.grounder.ground(case_text(example.question, example.context))
        solution = DONT_KNOW if found.outside else found.asked_about or found.near[0].name
        answer = Answer(solution, raw=solution, total_ms=(time.monotonic() - began) * 1000)
        return [(example, Reply(answer))]


class StoppingAt:
    """A backend whose one answer ends before the first of these texts. stopped: whether one of them came."""

    def __init__(self, backend: Backend, stops: Sequence[str]) -> None:
        self._backend = backend
        self._stops = stops
        self.stopped = False

    def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
        """See Backend; for one request."""
        held, longest = "", max(map(len, self._stops), default=1)
        with closing(cast("Generator[Text | Done]", self._backend.generate(requests))) as events:
            for event in events:
                if isinstance(event, Done) or not self._stops:
                    if held:
                        yield Text(event.index, held)
                    yield event
                    continue
                text = held + event.text
                end = min((place for stop in self._stops if (place := text.find(stop)) >= 0), default=-1)
                if end >= 0:
                    self.stopped = True
                    yield Text(event.index, text[:end])
                    yield Done(event.index, "stop", self._backend.count_tokens(requests[0]), 0)
                    return
                sure = max(0, len(text) - longest + 1)  # behind it a stop may have begun
                held = text[sure:]
                yield Text(event.index, text[:sure], event.kind)

    def count_tokens(self, request: Request) -> int:
        """See Backend."""
        return self._backend.count_tokens(request)

    @property
    def n_ctx(self) -> int:
        """See Backend."""
        return self._backend.n_ctx


def item_seed(seed: int, example_id: str) -> int:
    """The seed of one example in a run with this seed: whatever else is asked, it stays the same."""
    digest = hashlib.sha256(f"{seed}\n{example_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4]) & 0x7FFF_FFFF


def as_completer(spec: ModelSpec) -> ModelSpec:
    """The model without its chat: the question is the whole prompt, and the answer what it writes behind it."""
    return replace(
        spec, prompt="{question}", prompt_with_context="", system_prompt="", max_input_tokens=0, grounded=False,
        case_form="", answer_start="",
        answer_format="plain",
    )  # fmt: skip


def likelihood_request(
    spec: ModelSpec, backend: Backend, grounder: Grounder, suite: Suite, example: Example
) -> Request:
    """The prompt behind which the options are compared: the one that the model would be asked with."""
    question, context = question_text(suite, example)
    if template_for(suite.template, example).raw:
        return Request((Message("user", question),), Sampling(), raw=True)
    told = grounder.ground(case_text(question, context)).prompt_text() if spec.grounded else ""
    question, context, _ = cut_to_input(
        spec, question, context, lambda messages: backend.count_tokens(Request(messages, raw=True))
    )
    return answer_request(spec, build_messages(spec, question, context, (), told), Sampling())


def _fault_of(error: InvalidInput) -> Fault:
    return Fault(_CHAT_ADVICE.sub(".", str(error)), TOO_LONG if isinstance(error, ContextTooLong) else NOT_TAKEN)


def _likeliest(logprobs: Mapping[str, float] | None) -> str | None:
    return likeliest(logprobs) if logprobs else None


def _length(example: Example) -> int:
    options = example.options or {}
    return len(example.question) + len(example.context) + sum(map(len, options.values()))

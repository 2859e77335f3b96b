"""Asking a teacher many questions at once: within its keys' limits, again where it failed, and each reply kept."""

import math
import queue
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import NamedTuple, cast

from medchat.backends import Backend
from medchat.catalogue import ModelSpec
from medchat.errors import (
    AccessDenied,
    ContextTooLong,
    InvalidInput,
    MedChatError,
    ModelUnavailable,
    RateLimited,
    Withheld,
)
from medchat.formats import IncrementalParser
from medchat.grounding import Grounder
from medchat.keys import KeyPool, Lease
from medchat.prompts import answer_request, build_messages, is_raw
from medchat.records import Done, Request, Text
from train.progress import Stopped
from train.teacher_cache import Kept, ReplyCache
from train.teacher_ledger import Ledger
from train.teacher_records import RESTRICTED, Asked, Clock, Price, Replied, WallClock, prompt_bound

AHEAD = 64  # questions looked at before there is room for them
AT_ONCE = 8  # requests of a server that names no limit
HEARTBEAT_S = 0.2
WAITS_S = (2.0, 10.0, 30.0)  # before a request that failed is sent again
LIMITED_WAITS_S = (5.0, 15.0, 30.0, 60.0, 60.0, 60.0)  # before a server that said no time is asked again
MOST_WAIT_S = 600.0  # a server that wants a longer rest is not asked any more in this run
FAILURES_IN_A_ROW = 8  # with nothing that succeeds between: from then on one request at a time feels its way
MOST_FAILURES_IN_A_ROW = 20  # the server is down
STOP_GRACE_S = 15.0  # for answers under way when the run is stopped: they are paid for

OVER_BUDGET = "not asked: the spending limit"
TOO_LONG, NOT_TAKEN, WITHHELD = "too long for the teacher", "not taken by the teacher", "withheld by a content filter"
LIMITED = "the server took no more requests"
NO_END = "The teacher's answer came to no end."
UNREADABLE = "The teacher's answer could not be read; look into the log."
GAVE_UP = "not asked: {} requests in a row failed"
NO_QUOTA, NO_KEY = "not asked: the day's quota is used up", "not asked: no key that the server takes"
# Reasons are counted, so that they name neither the server nor what to do: of the words of an error this is left.
_FAULTS = (
    (r"broke off|came to no end", "the server broke off"),
    (r"too long", "the server took too long"),
    (r"cannot be reached|There is no way to", "the server cannot be reached"),
    (r"overloaded or down", "the server is overloaded or down"),
    (r"\(status \d+\)", "the server failed"),
    (r"could not be read|not with a streamed chat|web page", "the server's answer could not be read"),
)
OTHER_FAULT = "the teacher failed"


@dataclass(slots=True)
class _Job:
    """A request and those who wait for its reply. id: of its content."""

    id: str
    request: Request
    waiting: list[Asked]
    attempts: int = 0
    limited: int = 0
    ready_s: float = -math.inf


class _Outcome(NamedTuple):
    """What a thread came back with. begun: something of the answer had arrived, so that it may be charged."""

    job: _Job
    lease: Lease
    kept: Kept | None
    error: MedChatError | None
    begun: bool


@dataclass(frozen=True)
class Means:
    """What a teacher is asked with.

    backends: by the variable of the key that each uses. at_once: requests under way at a time. price: None where it is
    not known. grounder: for a model that is told what was recognised in the case.
    """

    spec: ModelSpec
    backends: Mapping[str, Backend]
    pool: KeyPool
    cache: ReplyCache
    ledger: Ledger
    price: Price | None
    at_once: int = AT_ONCE
    grounder: Grounder | None = None
    stop: Callable[[], bool] = lambda: False
    clock: Clock = field(default_factory=WallClock)

    def request(self, asked: Asked) -> Request:
        """The question as it is sent. Each of several answers is drawn with a seed of its own."""
        raw = is_raw(self.spec)
        spec = replace(self.spec, system_prompt=asked.system) if asked.system and not raw else self.spec
        prompt = f"{asked.system}\n\n{asked.prompt}" if asked.system and raw else asked.prompt
        told = self.grounder.ground(prompt).prompt_text() if spec.grounded and self.grounder else ""
        sampling = asked.sampling or spec.sampling
        sampling = replace(sampling, seed=(sampling.seed + asked.n) % 2**31)
        return answer_request(spec, build_messages(spec, prompt, "", (), told), sampling)

    def key_of(self, asked: Asked, request: Request) -> str:
        """Under which the reply is kept."""
        return self.cache.key_of(request, asked.n)

    def reply(self, asked: Asked, kept: Kept, *, cached: bool) -> Replied:
        """The kept reply as an answer to this question."""
        cost = self.price.of(kept.prompt_tokens, kept.completion_tokens) if self.price else None
        return Replied(
            asked, kept.raw, kept.reasoning, kept.solution, kept.finish_reason, kept.whole, kept.prompt_tokens,
            kept.completion_tokens, cost, cached,
        )  # fmt: skip

    def most_cost(self, request: Request) -> float | None:
        """US dollars that it costs at most."""
        return self.price.of(prompt_bound(request), request.sampling.max_new_tokens) if self.price else None


class Dealing:
    """One call of Teacher.ask: what waits, what is under way, what came back."""

    def __init__(self, means: Means, source: Iterator[Asked], progress: Callable[[int], None]) -> None:
        self._means = means
        self._source = source
        self._progress = progress
        self._jobs: deque[_Job] = deque()
        self._by_id: dict[str, _Job] = {}
        self._under_way: set[str] = set()
        self._outcomes: queue.SimpleQueue[_Outcome] = queue.SimpleQueue()
        self._cut = threading.Event()
        self._threads: set[threading.Thread] = set()
        self._exhausted = False
        self._over = ""  # why nothing more is asked
        self._n_answered = self._failures_in_a_row = self._n_done = 0
        self._holds_until_s = -math.inf
        self.first_error: MedChatError | None = None

    def replies(self) -> Iterator[Replied]:
        """See Teacher.ask."""
        clock = self._means.clock
        while True:
            for reply in self._pull():
                yield self._counted(reply)
            if self._exhausted and not self._by_id:
                if self._over not in ("", OVER_BUDGET) and not self._n_answered and self.first_error:
                    raise self.first_error
                return
            if self._over:
                yield from map(self._counted, self._give_up())
            if self._means.stop():
                yield from map(self._counted, self._let_finish())
                raise Stopped
            wait_s = self._start()
            try:
                self._progress(self._n_done)
            except Stopped:
                yield from map(self._counted, self._let_finish())
                raise
            if self._under_way:
                yield from map(self._counted, self._received(min(max(wait_s, 0.001), HEARTBEAT_S)))
            elif self._jobs and wait_s > 0 and not self._over:
                clock.sleep(min(wait_s, HEARTBEAT_S))

    def cut(self) -> None:
        """End what is under way; the model's threads are gone after it."""
        self._cut.set()
        for thread in list(self._threads):
            thread.join()
        while not self._outcomes.empty():
            outcome = self._outcomes.get()
            for _ in self._settled(outcome):
                pass

    def _counted(self, reply: Replied) -> Replied:
        self._n_done += 1
        return reply

    def _pull(self) -> Iterator[Replied]:
        """Look at further questions, as long as there is room: replies that are there already, and what cannot be."""
        while not self._exhausted and len(self._jobs) < AHEAD and not self._means.stop():
            asked = next(self._source, None)
            if asked is None:
                self._exhausted = True
                return
            if asked.restricted and self._means.spec.endpoint:
                yield Replied(asked, error=RESTRICTED)
                continue
            request = self._means.request(asked)
            key = self._means.cache.key_of(request, asked.n)
            if job := self._by_id.get(key):
                job.waiting.append(asked)
            elif kept := self._means.cache.get(key):
                reply = self._means.reply(asked, kept, cached=True)
                ours = self._means.ledger.settle(key, reply.cost, kept.prompt_tokens, kept.completion_tokens)
                self._n_answered += 1
                yield replace(reply, cached=not ours)
            elif self._over:
                yield Replied(asked, error=self._over)
            else:
                job = _Job(key, request, [asked])
                self._by_id[key] = job
                self._jobs.append(job)

    def _start(self) -> float:
        """Send what may be sent; seconds until more may be, infinite where something has to end first."""
        means, soonest = self._means, math.inf
        if self._jobs and not means.pool.keys:  # nor was there one to begin with
            self._note_empty_pool()
        now = means.clock.now()
        at_once = means.at_once if self._failures_in_a_row < FAILURES_IN_A_ROW else 1
        if now < self._holds_until_s:
            return self._holds_until_s - now
        for job in list(self._jobs):
            if self._over or len(self._under_way) >= at_once:
                return math.inf
            if job.ready_s > now:
                soonest = min(soonest, job.ready_s - now)
                continue
            most_cost = means.most_cost(job.request)
            bound = prompt_bound(job.request) + job.request.sampling.max_new_tokens
            if not means.ledger.may_ask(most_cost, means.spec.id):
                if not self._under_way:  # else one that ends may have cost less than it could
                    self._over = OVER_BUDGET
                return math.inf
            lease = means.pool.take(bound)
            if lease is None:
                return min(soonest, means.pool.wait_s(bound))
            self._jobs.remove(job)
            self._under_way.add(job.id)
            means.ledger.sent(job.id, means.spec.id, most_cost)
            thread = threading.Thread(target=self._run, args=(job, lease), name="teacher", daemon=True)
            self._threads.add(thread)
            thread.start()
        return soonest

    def _run(self, job: _Job, lease: Lease) -> None:
        """One request in a thread; a reply is on disk before anybody hears of it."""
        began, begun, outcome = time.monotonic(), False, None
        parser, raw, done = IncrementalParser(self._means.spec.answer_format), [], None
        try:
            events = self._means.backends[lease.key].generate([job.request])
            with closing(cast("Generator[Text | Done]", events)):
                for event in events:
                    if self._cut.is_set():
                        break
                    if isinstance(event, Done):
                        done = event
                        continue
                    begun = begun or bool(event.text)
                    raw.append(event.text)
                    parser.feed(event.text, event.kind)
            kept = _kept(parser, "".join(raw), done, time.monotonic() - began) if done else None
            if kept:
                self._means.cache.keep(job.id, kept)
            fault = None if kept or self._cut.is_set() else ModelUnavailable(NO_END)
            outcome = _Outcome(job, lease, kept, fault, begun)
        except MedChatError as error:
            outcome = _Outcome(job, lease, None, error, begun)
        finally:
            if outcome is None:  # a fault of ours: the thread's traceback is shown, and the run does not hang
                outcome = _Outcome(job, lease, None, ModelUnavailable(UNREADABLE), begun)
            self._outcomes.put(outcome)
            self._threads.discard(threading.current_thread())

    def _received(self, timeout_s: float) -> Iterator[Replied]:
        try:
            outcome = self._outcomes.get(timeout=timeout_s)
        except queue.Empty:
            return
        yield from self._settled(outcome)

    def _settled(self, outcome: _Outcome) -> Iterator[Replied]:
        """Count what came back; the replies to those who wait, or the request is to be sent again."""
        job, kept, means = outcome.job, outcome.kept, self._means
        self._under_way.discard(job.id)
        if kept:
            means.pool.give_back(outcome.lease, kept.prompt_tokens + kept.completion_tokens)
            self._n_answered += 1
            self._failures_in_a_row = 0
            first = means.reply(job.waiting[0], kept, cached=False)
            means.ledger.ended(job.id, first.cost, kept.prompt_tokens, kept.completion_tokens)
            del self._by_id[job.id]
            yield first
            yield from (means.reply(asked, kept, cached=True) for asked in job.waiting[1:])
            return
        charged = outcome.begun or isinstance(outcome.error, Withheld)
        means.pool.give_back(outcome.lease, None if charged else prompt_bound(job.request))
        means.ledger.failed(job.id, possibly_charged=charged)
        if outcome.error is None:  # cut by us
            del self._by_id[job.id]
            return
        if reason := self._reason_to_leave(outcome, outcome.error):
            yield from self._left(job, reason)
        else:
            self._jobs.appendleft(job)

    def _reason_to_leave(self, outcome: _Outcome, error: MedChatError) -> str:
        """Why the request is not sent again, "" when it is; what the error means for its key."""
        job, pool, now = outcome.job, self._means.pool, self._means.clock.now()
        self.first_error = self.first_error or error
        if isinstance(error, RateLimited):
            wait_s = error.retry_after_s or LIMITED_WAITS_S[min(job.limited, len(LIMITED_WAITS_S) - 1)]
            job.limited += 1
            if error.daily or wait_s > MOST_WAIT_S:
                pool.retire(outcome.lease, str(error), project=True)
                self._note_empty_pool(error)
                return ""
            pool.rest(outcome.lease, wait_s)
            return LIMITED if job.limited > len(LIMITED_WAITS_S) else ""
        if isinstance(error, AccessDenied):
            pool.retire(outcome.lease, str(error))
            self._note_empty_pool(error)
            return ""
        if isinstance(error, Withheld):
            return WITHHELD
        if isinstance(error, InvalidInput):
            return TOO_LONG if isinstance(error, ContextTooLong) else NOT_TAKEN
        if not isinstance(error, ModelUnavailable):
            raise error  # the disk is full: nothing more can be kept
        job.attempts += 1
        self._failures_in_a_row += 1
        wait_s = WAITS_S[min(job.attempts, len(WAITS_S)) - 1]
        if self._failures_in_a_row >= MOST_FAILURES_IN_A_ROW:
            self._over = GAVE_UP.format(MOST_FAILURES_IN_A_ROW)
        elif self._failures_in_a_row >= FAILURES_IN_A_ROW:
            self._holds_until_s = now + wait_s
        job.ready_s = now + wait_s
        return fault_of(error) if job.attempts > len(WAITS_S) else ""

    def _note_empty_pool(self, error: MedChatError | None = None) -> None:
        if not self._means.pool.keys:
            self.first_error = self.first_error or AccessDenied(self._means.pool.over)
            self._over = NO_QUOTA if isinstance(error, RateLimited) else NO_KEY

    def _left(self, job: _Job, reason: str) -> Iterator[Replied]:
        del self._by_id[job.id]
        yield from (Replied(asked, error=reason) for asked in job.waiting)

    def _give_up(self) -> Iterator[Replied]:
        """What still comes, and then all that waits as not asked."""
        while self._under_way:
            yield from self._received(HEARTBEAT_S)
        while self._jobs:
            yield from self._left(self._jobs.popleft(), self._over)

    def _let_finish(self) -> Iterator[Replied]:
        """What comes within the grace of a stop."""
        end = time.monotonic() + STOP_GRACE_S
        while self._under_way and time.monotonic() < end:
            yield from self._received(HEARTBEAT_S)


def fault_of(error: MedChatError) -> str:
    """The error as a reason that can be counted."""
    text = str(error)
    name = next((name for words, name in _FAULTS if re.search(words, text)), OTHER_FAULT)
    status = re.search(r"\(status \d+\)", text)
    return f"{name} {status[0]}" if status else name


def _kept(parser: IncrementalParser, raw: str, done: Done, seconds: float) -> Kept | None:
    """The reply to be kept; None for one that was cancelled."""
    if done.finish_reason == "cancelled":
        return None
    parsed = parser.finish()
    return Kept(
        raw, parsed.reasoning, parsed.solution, done.finish_reason, parsed.is_whole(done.finish_reason),
        done.prompt_tokens, done.completion_tokens, round(seconds, 3),
    )  # fmt: skip

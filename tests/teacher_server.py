"""A teacher's server on loopback that counts what each key asks, and misbehaves as told; and a clock of its own."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from openai_servers import Asked as Came
from openai_servers import FakeServer, Reply, delta, sse, usage

from medchat.backends.openai_api import OpenAiBackend
from medchat.catalogue import Endpoint, ModelSpec
from medchat.keys import KeyPool, Limits
from medchat.records import Sampling
from train.teacher_cache import ReplyCache
from train.teacher_dealing import Means
from train.teacher_ledger import Ledger
from train.teacher_records import Price
from train.teachers import Teacher

GEMINI_429 = {
    "error": {
        "code": 429, "message": "Quota exceeded. Please retry in 12.5s.", "status": "RESOURCE_EXHAUSTED",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
             "violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel"}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12.5s"},
        ],
    }
}  # fmt: skip
GEMINI_DAILY_429 = {
    "error": {
        "code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED",
        "details": [{"@type": "type.googleapis.com/google.rpc.QuotaFailure",
                     "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}]}],
    }
}  # fmt: skip
NVIDIA_429 = {"status": 429, "title": "Too Many Requests"}


class FakeClock:
    """A clock that only waiting moves. For all threads."""

    def __init__(self) -> None:
        self._now = 0.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._now += seconds


def said(text: str, prompt_tokens: int = 10, completion_tokens: int = 5, reason: str = "stop") -> Reply:
    """A whole answer."""
    return Reply(sse(delta(content=text), delta(reason), usage(prompt_tokens, completion_tokens), "[DONE]"))


def refusal(status: int, body: object, headers: Mapping[str, str] | None = None) -> Reply:
    """An error as JSON."""
    return Reply([json.dumps(body)], status, "application/json", headers or {})


def cut_stream() -> Reply:
    """An answer that breaks off in the middle of a word."""
    return Reply(sse(delta(content="Give 50")), cut=True)


def nonsense() -> Reply:
    """Something that is no JSON, as an event."""
    return Reply(["data: {nonsense\n\n"])


@dataclass
class Arrival:
    """A request as it came in. at_s: on the clock that the server was given."""

    key: str
    prompt: str
    at_s: float


class TeacherServer(FakeServer):
    """Answers by the prompt and how often that came before; notes when each key asked.

    answers: the prompt and the number of earlier requests for it -> the reply.
    """

    def __init__(self, answers: Callable[[str, int], Reply], clock: FakeClock | None = None) -> None:
        super().__init__()
        self._answers = answers
        self._clock = clock or FakeClock()
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self.arrivals: list[Arrival] = []

    def next_reply(self, asked: Came) -> Reply:
        prompt = asked.body["messages"][-1]["content"]
        key = asked.headers.get("authorization", "").removeprefix("Bearer ")
        with self._lock:
            self.asked.append(asked)
            earlier = self._counts[prompt]
            self._counts[prompt] += 1
            self.arrivals.append(Arrival(key, prompt, self._clock.now()))
        return self._answers(prompt, earlier)

    def times_asked(self, prompt: str) -> int:
        return self._counts[prompt]

    def most_in_a_minute(self, *keys: str) -> int:
        """The most requests of these keys together in any 60 s."""
        times = sorted(arrival.at_s for arrival in self.arrivals if arrival.key in keys)
        return max((sum(start <= at < start + 60 for at in times) for start in times), default=0)


@contextmanager
def teacher_server(
    answers: Callable[[str, int], Reply] = lambda prompt, earlier: said(f"Answer to {prompt}"),
    clock: FakeClock | None = None,
) -> Iterator[TeacherServer]:
    server = TeacherServer(answers, clock)
    try:
        yield server
    finally:
        server.close()


def served(
    server: FakeServer, name: str = "teacher", *, answer_format: str = "think", max_new_tokens: int = 100
) -> ModelSpec:
    """The model at the server, as the catalogue has it."""
    return ModelSpec(
        id=name, name=name.capitalize(), backend="openai", answer_format=answer_format,
        sampling=Sampling(max_new_tokens=max_new_tokens), n_ctx=8192, description="", licence="Terms of the teacher",
        limits=("A test.",), endpoint=Endpoint(server.url, "m"),
    )  # fmt: skip


@dataclass
class Desk:
    """What a teacher at the server is made of. keys: variable -> value; projects: variable -> project."""

    server: FakeServer
    cache_dir: Path
    keys: Mapping[str, str] = field(default_factory=lambda: {"KEY": "value-of-key"})
    projects: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    price: Price | None = field(default_factory=lambda: Price(1.0, 2.0))
    clock: FakeClock = field(default_factory=FakeClock)
    at_once: int = 8

    def teacher(
        self, ledger: Ledger | None = None, stop: Callable[[], bool] = lambda: False, name: str = "teacher"
    ) -> Teacher:
        spec = served(self.server, name)
        backends = {
            key: OpenAiBackend(Endpoint(self.server.url, "m", key_variable=key), spec.n_ctx, self.keys.__getitem__)
            for key in self.keys
        }
        pool = KeyPool({key: self.projects.get(key, key) for key in self.keys}, self.limits, self.clock.now)
        means = Means(
            spec, backends, pool, ReplyCache(self.cache_dir, spec), ledger or Ledger(), self.price, self.at_once,
            None, stop, self.clock,
        )  # fmt: skip
        return Teacher(means, self.limits)

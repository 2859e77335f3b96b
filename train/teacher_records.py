"""What is asked of a teacher, what comes back, and what that takes."""

import math
import time
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from medchat.records import Example, Request, Sampling

CHARS_PER_TOKEN = 3  # rather too many tokens for English
TOKENS_PER_MESSAGE = 8
RESTRICTED = "records that may not leave this machine"  # why such a question is not sent to a server


class Clock(Protocol):
    """Seconds that only go up, and the waiting for them."""

    def now(self) -> float:
        """Seconds since some moment."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return after so long."""
        ...


class WallClock:
    """The machine's clock."""

    now = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to a teacher. key: the caller's own name for it. system: "" for the model's own system prompt.

    sampling: None for what is usual for the model. n: the number of the answer, where several are wanted.
    restricted: it holds a record that may not leave this machine: no server is asked.
    """

    key: str
    prompt: str
    system: str = ""
    sampling: Sampling | None = None
    n: int = 0
    restricted: bool = False


@dataclass(frozen=True, slots=True)
class Replied:
    """What became of a question. text: as the model wrote it; whole: nothing of it is missing.

    cost: US dollars, None where no price is known. cached: nothing was asked and nothing paid for it now.
    error: why there is no reply, in words that can be counted; "" where there is one.
    """

    asked: Asked
    text: str = ""
    reasoning: str = ""
    solution: str = ""
    finish_reason: str = ""
    whole: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    cached: bool = False
    error: str = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What asking would take. requests: that are not kept already. Tokens and cost are expected ones; most_cost cannot
    be exceeded. measured: by how many kept answers of the model the expectation is; without any it is the most.

    cost, most_cost: US dollars, None where no price is known. seconds: None where nothing tells the pace.
    restricted: questions that are not sent, since they may not leave this machine.
    """

    requests: int
    cached: int
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    most_cost: float | None
    seconds: float | None
    measured: int
    restricted: int = 0


class Price(NamedTuple):
    """US dollars for a million tokens."""

    input: float
    output: float

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6


def is_restricted(row: Example) -> bool:
    """Whether the row may not leave this machine."""
    return bool(row.meta.get("restricted"))


def prompt_bound(request: Request) -> int:
    """Tokens that the prompt has at most, by its bytes: one for each 3, and some for each message."""
    texts = [message.content for message in request.messages]
    return sum(math.ceil(len(text.encode("utf-8", "replace")) / CHARS_PER_TOKEN) + TOKENS_PER_MESSAGE for text in texts)

"""Questions asked one after the other or by several clients at once, and what was written meanwhile."""

import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import mean


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: when it was sent, when the first and the last token came (time.monotonic), and the tokens."""

    began: float
    first: float
    last: float
    tokens: int

    @property
    def ttft_s(self) -> float:
        """Time to the first token."""
        return self.first - self.began


# Asks question number n and returns when it is answered.
Asker = Callable[[int], Asked]


def tokens_per_s(asked: Sequence[Asked]) -> float:
    """Speed of single streams after their first tokens, over all of them."""
    return sum(a.tokens - 1 for a in asked) / sum(a.last - a.first for a in asked)


def clients_at_once(ask: Asker, clients: int, seconds: float) -> tuple[list[Asked], float]:
    """What so many clients asked, each again as soon as it is answered, and the tokens a second of all.

    Nobody asks after the time is up; of answers that are then being written only the part before counts.
    Raises what the first asker raised.
    """
    asked: list[Asked] = []
    numbers = itertools.count()
    began = time.monotonic()
    end = began + seconds

    def client() -> None:
        while time.monotonic() < end:
            asked.append(ask(next(numbers)))

    with ThreadPoolExecutor(clients) as pool:
        for done in [pool.submit(client) for _ in range(clients)]:
            done.result()
    return asked, sum(tokens_before(a, end) for a in asked) / seconds


def tokens_before(asked: Asked, moment: float) -> float:
    """How many of its tokens were there at this moment, as if they had come evenly after the first."""
    if asked.first > moment:
        return 0.0
    if asked.last <= moment:
        return asked.tokens
    return 1 + (asked.tokens - 1) * (moment - asked.first) / (asked.last - asked.first)


def mean_and_p95(asked: Sequence[Asked]) -> tuple[float, float]:
    """Mean and 95th percentile of the times to the first token."""
    times = sorted(a.ttft_s for a in asked)
    return mean(times), times[min(len(times) - 1, int(0.95 * len(times)))]

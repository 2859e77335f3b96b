"""Pools of keys: which of a server's keys the next request takes, so that none goes over what the server allows.

Keys are known by the names of the environment variables that hold them; their values are never kept, logged or shown.
Keys of one project share a quota: what one of them sends counts for all of them.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock

from medchat.errors import AccessDenied, one_of
from medchat.models_file import Endpoint, ModelSpec

# A request reaches the server a little after it was sent, and two may be nearer to each other there than here.
MINUTE_S = 61.0
NO_KEY = "Set {} in the environment and start MedChat again."


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server allows each quota; 0 where nobody says. at_once: requests under way at a time."""

    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    at_once: int = 0


@dataclass(slots=True)
class _Sent:
    """A request that counts for its quota. tokens: an upper bound, until it is known how many there were."""

    at_s: float
    tokens: int


@dataclass(slots=True)
class _Quota:
    """What the keys of a project may send together. over: why it takes nothing any more, "" while it does."""

    keys: list[str]
    sent: deque[_Sent] = field(default_factory=deque)
    under_way: int = 0
    rests_until_s: float = -math.inf
    last_s: float = -math.inf
    over: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to send one request with a key. key: the name of its variable, "" for a server without keys."""

    key: str
    _quota: _Quota
    _sent: _Sent


class KeyPool:
    """The keys of one server, taken in turn. For all threads.

    projects: variable of each key -> its project; limits: of each project. clock: seconds that only go up. over: why
    there is no key, where there is none.
    """

    def __init__(
        self,
        projects: Mapping[str, str],
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        over: str = "",
    ) -> None:
        self._over = over
        self._limits = limits
        self._clock = clock
        self._lock = Lock()
        quotas: dict[str, _Quota] = {}
        for key, project in projects.items():
            quotas.setdefault(project, _Quota([])).keys.append(key)
        self._quotas = list(quotas.values())

    @property
    def keys(self) -> tuple[str, ...]:
        """The variables of the keys that may still be used."""
        with self._lock:
            return tuple(key for quota in self._quotas if not quota.over for key in quota.keys)

    @property
    def n_quotas(self) -> int:
        """How many quotas there still are, each with the limits."""
        with self._lock:
            return sum(not quota.over for quota in self._quotas)

    @property
    def over(self) -> str:
        """Why no key can be used any more; "" while one can."""
        with self._lock:
            open_ones = any(not quota.over for quota in self._quotas)
            return "" if open_ones else self._over

    def take(self, tokens: int) -> Lease | None:
        """A key that may send a request of at most so many tokens now; None when none may: see wait_s."""
        with self._lock:
            now = self._clock()
            ready = [quota for quota in self._quotas if not quota.over and self._wait_s(quota, tokens, now) <= 0]
            if not ready:
                return None
            quota = min(ready, key=lambda its: its.last_s)
            quota.keys.append(key := quota.keys.pop(0))
            sent = _Sent(now, tokens)
            quota.sent.append(sent)
            quota.under_way += 1
            quota.last_s = now
            return Lease(key, quota, sent)

    def wait_s(self, tokens: int) -> float:
        """Seconds until take() may give a key; infinite where only a request that ends makes room, or none is left."""
        with self._lock:
            now = self._clock()
            return min((self._wait_s(quota, tokens, now) for quota in self._quotas if not quota.over), default=math.inf)

    def give_back(self, lease: Lease, tokens: int | None = None) -> None:
        """The request has ended, and took so many tokens; None where that is not known."""
        with self._lock:
            lease._quota.under_way -= 1
            if tokens is not None:
                lease._sent.tokens = tokens

    def rest(self, lease: Lease, seconds: float) -> None:
        """The quota sends nothing for so long: the server said so."""
        with self._lock:
            lease._quota.rests_until_s = max(lease._quota.rests_until_s, self._clock() + seconds)

    def retire(self, lease: Lease, why: str, *, project: bool = False) -> None:
        """The key, or all of its project, is used no more. why: one line."""
        with self._lock:
            quota = lease._quota
            if not project:
                quota.keys = [key for key in quota.keys if key != lease.key]
            if project or not quota.keys:
                quota.over = self._over = why

    def _wait_s(self, quota: _Quota, tokens: int, now: float) -> float:
        limits, sent = self._limits, quota.sent
        while sent and sent[0].at_s + MINUTE_S <= now:
            sent.popleft()
        if limits.at_once and quota.under_way >= limits.at_once:
            return math.inf
        free_at = quota.rests_until_s
        if limits.requests_per_minute and len(sent) >= limits.requests_per_minute:
            free_at = max(free_at, sent[-limits.requests_per_minute].at_s + MINUTE_S)
        if limits.tokens_per_minute:
            # A request that is larger than the limit goes out when nothing else counts.
            excess = sum(its.tokens for its in sent) + tokens - limits.tokens_per_minute
            for its in sent:
                if excess <= 0:
                    break
                excess -= its.tokens
                free_at = max(free_at, its.at_s + MINUTE_S)
        return max(0.0, free_at - now)


def key_variables(spec: ModelSpec) -> tuple[str, ...]:
    """The environment variables that may hold a key of the model's server: what a job that asks it must be given."""
    return spec.endpoint.all_key_variables if spec.endpoint else ()


def limits_of(endpoint: Endpoint) -> Limits:
    """What the catalogue says of the server's limits."""
    return Limits(endpoint.requests_per_minute, endpoint.tokens_per_minute, endpoint.at_once)


def projects_of(endpoint: Endpoint, secret: Callable[[str], str]) -> dict[str, str]:
    """The variables that hold a key, each with its project; {"": ""} for a server without keys.

    A key that stands in two variables counts once. Raises AccessDenied when no variable holds one.
    """
    names = endpoint.all_key_variables
    if not names:
        return {"": ""}
    first_of: dict[str, str] = {}
    for name in names:
        if value := secret(name).strip():
            first_of.setdefault(value, name)
    if not first_of:
        raise AccessDenied(NO_KEY.format(one_of(names)))
    return {name: endpoint.key_projects.get(name, name) for name in first_of.values()}

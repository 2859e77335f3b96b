"""Teachers: models that are asked many questions, within their keys' limits, each question once.

Replies are kept on disk before they are counted, so a run that is killed and started again asks and pays for nothing
twice. What a server refuses for now (429, 5xx, a broken stream) is asked again later; what fails for good is reported
with its reason and asked again by the next run.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Self

from medchat.backends import Backend, Backends, backend_class
from medchat.catalogue import Catalogue, ModelSpec
from medchat.errors import AccessDenied, InvalidInput
from medchat.keys import KeyPool, Limits, limits_of, projects_of
from medchat.prompts import is_raw
from medchat.settings import Settings, secret
from train.progress import Stopped
from train.teacher_cache import ReplyCache
from train.teacher_dealing import AT_ONCE, Dealing, Means
from train.teacher_ledger import UNPRICED, Ledger
from train.teacher_records import Asked, Clock, Estimate, Price, Replied, WallClock, prompt_bound

__all__ = ["UNPRICED", "Asked", "Estimate", "Ledger", "Price", "Replied", "Stopped", "Teacher", "teacher_of"]

DRAWN_HERE = ("llamacpp", "transformers")
FREE = Price(0.0, 0.0)  # a model on this machine
NOT_HERE = "{} is not on this machine; fetch it with `python -m medchat models fetch {}`, or name another."


class Teacher:
    """A model that answers many questions. Closed, it gives its model back.

    limits: of each quota of its keys. closes: what is to be closed with it.
    """

    def __init__(self, means: Means, limits: Limits | None = None, closes: ExitStack | None = None) -> None:
        self.spec: ModelSpec = means.spec
        self.ledger: Ledger = means.ledger
        self.price = means.price
        self._means = means
        self._limits = limits or Limits()
        self._closes = closes or ExitStack()
        self.trouble = ""  # the first error of the last ask(), in a sentence that says what to do

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the model back."""
        self._closes.close()

    @property
    def backend(self) -> Backend:
        """The model, for what needs no asking."""
        return next(iter(self._means.backends.values()))

    @property
    def takes_instructions(self) -> bool:
        """Whether it does as it is told; else it answers a bare question in the one way that it was taught."""
        return not self.spec.demo and not is_raw(self.spec)

    @property
    def terms(self) -> str:
        """Under which its answers may be used, as the catalogue has it; "" where nobody says."""
        return "" if self.spec.licence == "not known" else self.spec.licence

    def ask(self, asked: Iterable[Asked], progress: Callable[[int], None] = lambda n: None) -> Iterator[Replied]:
        """The reply to each question, in any order; every question gets one, be it an error. What it cost in all
        stands in the ledger.

        progress: told how many are dealt with, again and again while nothing comes. Raises Stopped, InvalidInput for a
        budget without a price, RunError when the replies cannot be written, and AccessDenied or ModelUnavailable when
        nothing could be asked at all.
        """
        dealing = Dealing(self._means, iter(asked), progress)
        try:
            yield from dealing.replies()
        finally:
            self.trouble = str(dealing.first_error or "")
            dealing.cut()

    def recall(self, asked: Asked) -> Replied | None:
        """The kept reply; None when there is none."""
        kept = self._means.cache.get(self._means.key_of(asked, self._means.request(asked)))
        return self._means.reply(asked, kept, cached=True) if kept else None

    def estimate(self, asked: Iterable[Asked]) -> Estimate:
        """What asking these would take; nothing is asked."""
        seen: set[str] = set()
        n = n_cached = n_prompt = n_most = n_restricted = 0
        for one in asked:
            if one.restricted and self.spec.endpoint:
                n_restricted += 1
                continue
            request = self._means.request(one)
            key = self._means.key_of(one, request)
            if key in seen:
                continue
            seen.add(key)
            if self._means.cache.get(key):
                n_cached += 1
                continue
            n += 1
            n_prompt += prompt_bound(request)
            n_most += request.sampling.max_new_tokens
        pace = self._means.cache.pace()
        n_completion = min(n_most, math.ceil(n * pace.completion_tokens)) if pace.n else n_most
        return Estimate(
            n, n_cached, n_prompt, n_completion,
            cost=self.price.of(n_prompt, n_completion) if self.price else None,
            most_cost=self.price.of(n_prompt, n_most) if self.price else None,
            seconds=self._seconds(n, n_prompt + n_completion, pace.seconds if pace.n else None),
            measured=pace.n, restricted=n_restricted,
        )  # fmt: skip

    def _seconds(self, n: int, n_tokens: int, seconds_each: float | None) -> float | None:
        """How long so many requests take: by the pace of earlier ones and by the limits, whichever is slower."""
        if not n:
            return 0.0
        n_quotas = max(1, self._means.pool.n_quotas)
        at_once = min(self._means.at_once, (self._limits.at_once or self._means.at_once) * n_quotas)
        found = [] if seconds_each is None else [n * seconds_each / at_once]
        for amount, limit in ((n, self._limits.requests_per_minute), (n_tokens, self._limits.tokens_per_minute)):
            if limit:
                found.append(60.0 * amount / (limit * n_quotas))
        return max(found, default=None)


def teacher_of(
    name: str,
    settings: Settings,
    *,
    ledger: Ledger | None = None,
    limits: Limits | None = None,
    price: Price | None = None,
    stop: Callable[[], bool] = lambda: False,
    clock: Clock | None = None,
) -> Teacher:
    """The model of the catalogue as a teacher; close it in the end.

    ledger: what the run has asked and may spend, shared by its teachers. limits, price: in place of the catalogue's.
    stop: whether somebody asked the run to stop. Raises NotFound, and InvalidInput for a model that is not here.
    """
    spec = Catalogue(settings.models_dir, settings.own_models_file).resolve(name)
    if not spec.is_here:
        raise InvalidInput(NOT_HERE.format(spec.name, spec.id))
    closes, clock = ExitStack(), clock or WallClock()
    limits = limits or (limits_of(spec.endpoint) if spec.endpoint else Limits())
    backends = _backends(spec, settings, closes)
    grounder = None
    if spec.grounded:
        from medchat.grounding_fit import fitted_or_loaded  # loads scikit-learn

        grounder = fitted_or_loaded(settings.data_dir / "cache")
    pool = _pool(spec, limits, clock)
    means = Means(
        spec, backends, pool, ReplyCache(settings.data_dir / "cache", spec), ledger or Ledger(),
        price or _price_of(spec), _at_once(spec, settings, limits, pool.n_quotas), grounder, stop, clock,
    )  # fmt: skip
    return Teacher(means, limits, closes)


def _backends(spec: ModelSpec, settings: Settings, closes: ExitStack) -> Mapping[str, Backend]:
    """One for each key, by the variable that holds it; for a model of this machine one."""
    endpoint = spec.endpoint
    if endpoint is None:
        engines = Backends(settings.threads, settings.slots, settings.n_ctx, settings.precision)
        return {"": closes.enter_context(closing(engines)).get(spec)}
    make = backend_class("openai")
    names = endpoint.all_key_variables or ("",)
    return {
        key: closes.enter_context(
            closing(make(replace(endpoint, key_variable=key), spec.n_ctx, secret, spec.template_options))
        )
        for key in names
    }


def _pool(spec: ModelSpec, limits: Limits, clock: Clock) -> KeyPool:
    """The keys that there are; none is fine as long as nothing has to be asked."""
    try:
        projects = projects_of(spec.endpoint, secret) if spec.endpoint else {"": ""}
    except AccessDenied as error:
        return KeyPool({}, limits, clock.now, over=str(error))
    return KeyPool(projects, limits, clock.now)


def _price_of(spec: ModelSpec) -> Price | None:
    if spec.endpoint is None:
        return FREE
    prices = spec.endpoint.input_price, spec.endpoint.output_price
    return None if prices[0] is None or prices[1] is None else Price(prices[0], prices[1])


def _at_once(spec: ModelSpec, settings: Settings, limits: Limits, n_quotas: int) -> int:
    """Requests under way at a time.

    Only one where an engine here draws the tokens by chance: beside others its numbers round otherwise, and the
    answers would differ each time, whatever the seed.
    """
    if spec.endpoint is None:
        return 1 if spec.backend in DRAWN_HERE and not spec.sampling.greedy else settings.slots
    return (limits.at_once or AT_ONCE) * max(1, n_quotas)

"""The speed of the chat, for one clinician and for several at once, against llama.cpp by other ways."""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from statistics import mean, median

from evaluation.asking import FittedGrounding
from evaluation.bench import Report, Row, at_least, at_most, free_port, serving
from evaluation.bench.large_model import write_large_model
from evaluation.bench.load import Asked, Asker, clients_at_once, mean_and_p95, tokens_per_s
from evaluation.bench.page import Page
from evaluation.bench.rivals import Bare, Direct, Prompt, Work, server
from evaluation.suites import load_suite
from medchat.backends import Backends
from medchat.catalogue import Catalogue, ModelSpec
from medchat.chat import ChatService
from medchat.errors import InvalidInput, ModelUnavailable
from medchat.grounding import Grounder
from medchat.grounding_fit import fitted_or_loaded
from medchat.prompts import build_messages, case_text
from medchat.records import Example, Sampling
from medchat.settings import Settings
from medchat.store import Store
from medchat.store.migrate import upgrade

SUITE = "handwritten"
ROUNDS = 3
LARGE_NEW_TOKENS = 128
OWNER = "bench"

# Aims: ratios, and seconds more to the first token of one stream.
SPEED_AIM, TTFT_MORE_AIM_S, TTFT_SHARE_AIM = 0.95, 0.030, 0.2
SERVER_AIM, SERVER_AIM_LARGE = 4.0, 1.4
LIMIT_AIM, LIMIT_AIM_LARGE = 0.75, 0.9

# A way to ask for the given time: what was asked, and the tokens a second of all.
Contender = Callable[[float], tuple[list[Asked], float]]


def measure(model: str, settings: Settings, clients: int, seconds: int, *, large: bool) -> Report:
    """One stream, then so many clients for ROUNDS times so many seconds, all contenders in turns.

    large: with random weights of 120 million parameters and the demo's tokenizer instead of the model.
    Raises MedChatError when a part cannot be started or fails.
    """
    spec = Catalogue(settings.models_dir, settings.own_models_file).resolve("demo" if large else model)
    path = spec.path
    if spec.backend != "llamacpp" or path is None:
        raise InvalidInput("This bench compares ways to run one GGUF file; choose a model of llama.cpp.")
    # Models that are not greedy in the app write other answers there than here.
    page_of = None if large or spec.sampling.temperature else spec
    grounder = fitted_or_loaded(settings.data_dir / "cache")
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(
            settings, data_dir=Path(folder), db="", slots=max(settings.slots, clients), max_auto_continues=0
        )
        if large:
            path = write_large_model(path, settings.data_dir / "large.gguf")
            spec = replace(spec, id="large", path=path, sampling=Sampling(max_new_tokens=LARGE_NEW_TOKENS))
        else:
            spec = replace(spec, sampling=Sampling(max_new_tokens=spec.sampling.max_new_tokens))
        examples = tuple(load_suite(SUITE).examples)
        work = Work(path, _prompts(spec, examples, grounder), spec.sampling.max_new_tokens,
                    min(spec.n_ctx, settings.n_ctx), settings.threads)  # fmt: skip
        with _chat(spec, settings, examples, grounder) as ask:
            rows = _one_stream(ask, work, seconds)
            rows += _at_once(ask, work, page_of, settings, examples, clients, seconds, large=large)
    conditions: dict[str, str | int | float] = {
        "model": spec.id,
        "threads": work.threads,
        "clients": clients,
        "seconds each": ROUNDS * seconds,
    }
    return Report("chat --large" if large else "chat", conditions, rows)


def _prompts(spec: ModelSpec, examples: tuple[Example, ...], grounder: Grounder) -> list[Prompt]:
    """What the chat makes of the questions, so that everybody is asked the same."""
    said = [grounder.ground(case_text(e.question, e.context)).prompt_text() for e in examples]
    return [
        build_messages(spec, example.question, example.context, (), text)
        for example, text in zip(examples, said, strict=True)
    ]


class _Alone(dict[str, ModelSpec]):
    """The one model that is measured, in the place of the catalogue."""

    def resolve(self, name: str) -> ModelSpec:
        """The model of this id."""
        return self[name]


@contextmanager
def _chat(spec: ModelSpec, settings: Settings, examples: tuple[Example, ...], grounder: Grounder) -> Iterator[Asker]:
    """The chat service as the app has it, with a store of its own, as one who asks it."""
    upgrade(settings.db_url, settings.data_dir / "backups")
    store = Store(settings.db_url)
    backends = Backends(settings.threads, settings.slots, min(spec.n_ctx, settings.n_ctx))
    settings = replace(settings, model=spec.id)
    service = ChatService(store, _Alone({spec.id: spec}), backends.get, FittedGrounding(grounder), settings)

    def ask(number: int) -> Asked:
        example = examples[number % len(examples)]
        began = time.monotonic()
        live = service.ask(OWNER, example.question, example.context)
        view = live.snapshot()
        while not live.ended:
            view = live.wait(view.revision, 1.0)
        view = live.snapshot()
        if view.phase == "failed" or not view.completion_tokens or view.total_ms is None or view.ttft_ms is None:
            raise ModelUnavailable(view.error or "An answer was empty.")
        first = began + view.ttft_ms / 1000  # a tag counts too, as it does for the others
        last = began + view.total_ms / 1000  # what follows is saving it
        return Asked(began, first, last, view.completion_tokens)

    try:
        yield ask
    finally:
        service.close()
        backends.close()
        store.close()


def _one_stream(ask: Asker, work: Work, seconds: int) -> list[Row]:
    """Each question is asked of both, one after the other, for so many seconds."""
    direct = Direct(work)
    ours: list[Asked] = []
    theirs: list[Asked] = []
    try:
        ask(0)  # loads the model
        direct.ask(0)
        end = time.monotonic() + seconds
        for number in count(1):
            pair = ((ours, ask), (theirs, direct.ask))
            for asked, asker in pair if number % 2 else reversed(pair):
                asked.append(asker(number))
            if time.monotonic() > end:
                break
    finally:
        direct.close()
    more_s = mean(a.ttft_s for a in ours) - mean(a.ttft_s for a in theirs)
    other = "llama_cpp.Llama"
    return [
        at_least("one stream", "tokens/s", tokens_per_s(ours), other, tokens_per_s(theirs), SPEED_AIM),
        Row(
            "one stream: first token, mean", "ms", 1000 * mean(a.ttft_s for a in ours), other,
            1000 * mean(a.ttft_s for a in theirs), 1000 * more_s, f"<= {1000 * TTFT_MORE_AIM_S:.0f} ms more",
            more_s <= TTFT_MORE_AIM_S,
        ),
    ]  # fmt: skip


def _at_once(
    ask: Asker,
    work: Work,
    page_of: ModelSpec | None,
    settings: Settings,
    examples: tuple[Example, ...],
    clients: int,
    seconds: int,
    *,
    large: bool,
) -> list[Row]:
    """The chat, llama_cpp.server, bare llama.cpp and, where there is one, the page, in turns."""
    bare = Bare(work, clients)
    try:
        with server(work) as ask_server, _page(page_of, settings, examples) as ask_page:
            contenders: dict[str, Contender] = {
                "chat": lambda s: clients_at_once(ask, clients, s),
                "server": lambda s: clients_at_once(ask_server, clients, s),
                "bare": lambda s: ([], bare.run(s)),
            }
            if ask_page:
                contenders["page"] = lambda s: clients_at_once(ask_page, clients, s)
            asked: dict[str, list[Asked]] = defaultdict(list)
            speeds: dict[str, list[float]] = defaultdict(list)
            for number in range(ROUNDS + 1):
                for name, contender in contenders.items():
                    done, tokens = contender(seconds if number else 1.0)
                    if number:  # the first is to warm up
                        asked[name] += done
                        speeds[name].append(tokens)
    finally:
        bare.close()
    speed = {name: median(values) for name, values in speeds.items()}
    if not all(speed.values()):
        raise InvalidInput("Too little was answered to compare; measure for longer with --seconds.")
    return _rows(asked, speed, f"{clients} at once", large)


@contextmanager
def _page(spec: ModelSpec | None, settings: Settings, examples: tuple[Example, ...]) -> Iterator[Asker | None]:
    """The page of a server of its own, as one who asks it; None without a model."""
    if spec is None:
        yield None
        return
    port = free_port()
    command = ["app.py", "--port", str(port), "--data-dir", str(settings.data_dir / "page"), "--model", spec.id]
    limits = {"MEDCHAT_THREADS": settings.threads, "MEDCHAT_SLOTS": settings.slots, "MEDCHAT_N_CTX": settings.n_ctx}
    with serving(command, f"http://127.0.0.1:{port}/", {name: str(value) for name, value in limits.items()}):
        page = Page(port, spec.id, [example.question for example in examples])
        page.wait_until_grounded()
        yield page.ask


def _rows(asked: dict[str, list[Asked]], speed: dict[str, float], who: str, large: bool) -> list[Row]:
    ours, ours_p95 = mean_and_p95(asked["chat"])
    theirs, theirs_p95 = mean_and_p95(asked["server"])
    aim = SERVER_AIM_LARGE if large else SERVER_AIM
    limit = LIMIT_AIM_LARGE if large else LIMIT_AIM
    rows = [
        at_least(f"{who}: all", "tokens/s", speed["chat"], "llama_cpp.server", speed["server"], aim),
        at_most(f"{who}: first token, mean", "s", ours, "llama_cpp.server", theirs, TTFT_SHARE_AIM),
        Row(f"{who}: first token, p95", "s", ours_p95, "llama_cpp.server", theirs_p95, ours_p95 / theirs_p95),
        at_least(f"{who}: all", "tokens/s", speed["chat"], "bare llama.cpp", speed["bare"], limit),
    ]
    if "page" in asked:
        page, page_p95 = mean_and_p95(asked["page"])
        share = speed["page"] / speed["chat"]
        who += ", with Gradio"
        rows += [
            Row(f"{who}: all", "tokens/s", speed["page"], "without", speed["chat"], share),
            Row(f"{who}: first token, mean", "s", page, "without", ours, page / ours),
            Row(f"{who}: first token, p95", "s", page_p95, "without", ours_p95, page_p95 / ours_p95),
        ]
    return rows

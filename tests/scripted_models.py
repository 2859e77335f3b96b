"""Models that say what a test tells them to, a recogniser of two words, and runs with them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.asking import Asker
from evaluation.metrics import Tools, metrics
from evaluation.run import AskedModel, AskedSuite, run_suites
from evaluation.suites import Suite
from evaluation.summary import Summary
from medchat.backends.scripted import ScriptedBackend
from medchat.catalogue import ModelSpec
from medchat.knowledge import Knowledge
from medchat.recognition import Grounding, Near, Recognised
from medchat.records import Done, Request, Sampling, Text
from medchat.rundir import RunDir

FACTS = {"model_id": "toy", "base": "toy-base", "revision": "", "adapter_hash": "abc"}


class WordGrounder:
    """Recognises two words, and knows one condition."""

    def ground(self, text: str) -> Grounding:
        recognised = tuple(
            Recognised(word, word, text.find(word), text.find(word) + len(word), False, 1.0)
            for word in ("red toe", "fever")
            if word in text
        )
        telling = tuple(r.name for r in recognised)
        return Grounding(recognised, (Near("gout", "gout", 0.9),), outside=not recognised, telling=telling)

    def cited(self, reasoning: str) -> list[tuple[int, int, str]]:
        words = (word for word in ("red toe", "fever") if word in reasoning)
        return [(reasoning.find(word), reasoning.find(word) + len(word), word) for word in words]

    def unsupported(self, reasoning: str, case: str) -> list[tuple[int, int, str]]:
        return [found for found in self.cited(reasoning) if found[2] not in case]


GROUNDER: Any = WordGrounder()


class ByQuestion(ScriptedBackend):
    """Answers a request with the reply to the first of the words that its question contains.

    logprobs: log-probability of an option's text, the same for all questions; None where it cannot tell.
    """

    def __init__(self, replies: dict[str, str], logprobs: Mapping[str, float] | None = None, **options: Any) -> None:
        super().__init__([""], **options)
        self._by_word = replies
        self._options = options
        self._logprobs = logprobs
        self.requests: list[Request] = []
        self.compared: list[tuple[str, Sequence[str]]] = []

    @property
    def prompts(self) -> list[str]:
        return [request.messages[-1].content for request in self.requests]

    def generate(self, requests: Sequence[Request]) -> Iterator[Text | Done]:
        self.requests.append(requests[0])
        question = requests[0].messages[-1].content
        reply = next(reply for word, reply in self._by_word.items() if word in question)
        return ScriptedBackend([reply], **self._options).generate(requests)

    def loglikelihoods(self, requests: Sequence[Request], options: Sequence[Sequence[str]]) -> list[list[float] | None]:
        self.compared += [(r.messages[-1].content, its) for r, its in zip(requests, options, strict=True)]
        known = self._logprobs
        if known is None:
            return [None] * len(requests)
        fits = [self.count_tokens(request) < self.n_ctx for request in requests]
        return [[known[text] for text in its] if fit else None for fit, its in zip(fits, options, strict=True)]


def toy(*, answer_format: str = "gemma-grpo", max_new_tokens: int = 200, temperature: float = 0.0) -> ModelSpec:
    return ModelSpec(
        id="toy", name="Toy", backend="scripted", path=Path("toy"), answer_format=answer_format,
        sampling=Sampling(max_new_tokens, temperature), n_ctx=4096, description="", licence="", limits=("A toy.",),
        grounded=True,
    )  # fmt: skip


def asked_suite(suite: Suite, names: Sequence[str], name: str = "") -> AskedSuite:
    return AskedSuite(suite, name or suite.name, metrics(names, Tools(GROUNDER, Knowledge({}, {}, ""))))


def asked_model(
    backend: Any,
    spec: ModelSpec | None = None,
    *,
    name: str = "toy",
    seed: int = 0,
    at_once: int = 4,
    continues: int = 0,
) -> AskedModel:
    spec = spec or toy()

    def ask(asked: AskedSuite, stop: Any) -> Asker:
        return Asker(spec, backend, GROUNDER, asked.suite, tuple(asked.metrics), seed, at_once, continues, stop)

    return AskedModel(name, FACTS | {"model_id": name}, lambda suite: {"seed": seed}, ask)


def run(
    folder: Path, models: Sequence[AskedModel], suites: Sequence[AskedSuite], *, resume: bool = False
) -> dict[str, Summary] | None:
    run_dir = RunDir(folder)
    with run_dir.begin({"kind": "evaluation"}, 0, append=resume) as writer:
        return run_suites(models, suites, writer, run_dir.path)


def asking(tasks: Callable[[Sequence[Any]], Iterator[Any]]) -> Callable[[AskedSuite, Any], Any]:
    """Makes who asks with these tasks."""

    class Asking:
        n_ahead = 4

        def tasks(self, examples: Sequence[Any]) -> Iterator[Any]:
            return tasks(examples)

    return lambda asked, stop: Asking()

"""`python -m evaluation bench mcq`: options compared by their log-likelihood, against lm-eval's `hf` model.

The same weights, texts and precision, in turns. lm-eval runs in a process of its own (mcq_rival.py), loaded and warm
as ours is; each time is the best of several rounds, because whatever else runs here only ever makes one slower.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from evaluation.bench import Report, Row, at_least, require
from evaluation.choices import key_of
from evaluation.suites import load_suite, question_text, with_template
from evaluation.templates import choice_texts
from medchat.backends import Backend
from medchat.backends.hf_local import ENVIRONMENT, HfBackend, HfEngine
from medchat.catalogue import Catalogue, ModelSpec
from medchat.errors import InvalidInput, ModelUnavailable
from medchat.records import Message, Request
from medchat.settings import ROOT, Settings, child_environment

SUITE = "choices"
TEMPLATE = "lm-eval-medmcqa"
ROUNDS = 3
BATCH_SIZES = (1, 8)  # of lm-eval; 1 is its default
AIM_SPEED = 2.0
AIM_AGREEMENT = 0.99
DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt, the texts of its options, and which of them is right, None where that is not known."""

    id: str
    prompt: str
    options: Sequence[str]
    key: int | None


@dataclass(frozen=True, slots=True)
class Flip:
    """A question of which the two choose another option. margins: of their choice before the other's, in nats."""

    id: str
    ours: int
    theirs: int
    our_margin: float
    their_margin: float


def measure(model: str, suite: str | None, n: int, precisions: Sequence[str], settings: Settings) -> Report:
    """Questions a second of both, and how often they choose the same option.

    Raises InvalidInput for a model without weights that transformers reads, or a suite without options.
    """
    require("lm_eval", "lm-eval")
    spec = Catalogue(settings.models_dir, settings.own_models_file).resolve(model)
    folder = weights_of(spec)
    questions = questions_of(suite or SUITE, n, settings)
    rows: list[Row] = []
    for precision in precisions:
        with ours(folder, precision, settings) as backend, Rival(folder, precision, settings.threads) as rival:
            rows += compare(precision, questions, backend, rival)
    conditions: dict[str, str | int | float] = {
        "model": spec.id, "suite": suite or SUITE, "questions": len(questions), "threads": settings.threads,
        "rounds": ROUNDS, "time": "best of rounds", "template": TEMPLATE,
    }  # fmt: skip
    return Report("mcq", conditions, rows)


def questions_of(suite: str, n: int, settings: Settings) -> list[Question]:
    """The first n questions of the suite, as lm-eval's task asks them."""
    loaded = with_template(load_suite(suite, data_dir=settings.data_dir), TEMPLATE)
    examples = islice((example for example in loaded.examples if example.options), n)
    questions = []
    for example in examples:
        options = choice_texts(loaded.template, example)
        key = key_of(example)
        prompt, _ = question_text(loaded, example)
        questions.append(
            Question(example.id, prompt, list(options.values()), list(options).index(key) if key else None)
        )
    if not questions:
        raise InvalidInput(f"The suite {suite!r} has no questions with options; name another with --suite.")
    return questions


def weights_of(spec: ModelSpec) -> Path:
    """The folder of the model's weights for transformers."""
    folder = spec.safetensors or (spec.path if spec.backend == "transformers" else None)
    if folder is None or spec.adapter:
        raise InvalidInput(f"{spec.name} has no folder of weights of its own; choose a model folder.")
    return folder


@contextmanager
def ours(folder: Path, precision: str, settings: Settings) -> Iterator[Backend]:
    """The model in MedChat's own worker."""
    engine = HfEngine(settings.threads, settings.n_ctx)
    try:
        yield HfBackend(folder, engine, precision=precision)
    finally:
        engine.close()


class Rival:
    """lm-eval with the model, in a process of its own for as long as the block lasts."""

    def __init__(self, folder: Path, precision: str, threads: int) -> None:
        self._order = {"folder": str(folder), "dtype": DTYPES[precision]}
        self._environment = ENVIRONMENT | {"OMP_NUM_THREADS": str(threads), "HF_DATASETS_OFFLINE": "1"}

    def __enter__(self) -> "Rival":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "evaluation.bench.mcq_rival"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, text=True,
            env=child_environment() | self._environment, start_new_session=True,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def scores(
        self, questions: Sequence[Question], batch_size: int, *, exact: bool = False
    ) -> tuple[float, list[list[float]]]:
        """Seconds, and the log-likelihood of each option of each question.

        exact: logarithms in fp32 whatever the precision of the weights.
        """
        order = self._order | {
            "batch_size": batch_size,
            "softmax_dtype": "float32" if exact else None,
            "pairs": [[question.prompt, option] for question in questions for option in question.options],
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ModelUnavailable("lm-eval has failed; run `python -m evaluation.bench.mcq_rival` to see why.")
        reply = json.loads(line)
        scores = iter(reply["scores"])
        return reply["seconds"], [[next(scores) for _ in question.options] for question in questions]


def compare(precision: str, questions: Sequence[Question], backend: Backend, rival: Rival) -> list[Row]:
    """The rows of one precision; flips are printed."""
    requests = [request_of(question) for question in questions]
    options = [question.options for question in questions]
    backend.loglikelihoods(requests[:16], options[:16])  # loads it
    times: list[float] = []
    rival_times: dict[int, list[float]] = {size: [] for size in BATCH_SIZES}
    for _ in range(ROUNDS):
        began = time.perf_counter()
        found = backend.loglikelihoods(requests, options)
        times.append(time.perf_counter() - began)
        for size, its_times in rival_times.items():
            its_times.append(rival.scores(questions, size)[0])
    unread = [question for question, scores in zip(questions, found, strict=True) if scores is None]
    if unread:
        raise InvalidInput(f"{len(unread)} of the questions are too long for this model; choose another suite.")
    scores = [its for its in found if its is not None]
    _, theirs = rival.scores(questions, max(BATCH_SIZES), exact=True)
    best_size = min(BATCH_SIZES, key=lambda size: min(rival_times[size]))
    n = len(questions)
    return [
        at_least(
            f"{precision}, speed", "questions/s", n / min(times), "lm-eval hf as it comes (batch size 1)",
            n / min(rival_times[1]), AIM_SPEED,
        ),
        _plain(
            precision, n / min(times), f"lm-eval hf, its fastest batch size ({best_size})",
            n / min(rival_times[best_size]),
        ),
        _agreement(precision, questions, scores, theirs),
        _right(precision, questions, scores, theirs),
    ]  # fmt: skip


def request_of(question: Question) -> Request:
    """The question as a model is asked it: the prompt itself, without a chat around it."""
    return Request((Message("user", question.prompt),), raw=True)


def flips(
    questions: Sequence[Question], ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]
) -> list[Flip]:
    """The questions of which the two choose another option; of equal ones each takes the first."""
    found = []
    for question, our, their in zip(questions, ours, theirs, strict=True):
        mine, other = _best(our), _best(their)
        if mine != other:
            found.append(Flip(question.id, mine, other, our[mine] - our[other], their[other] - their[mine]))
    return found


def _agreement(
    precision: str, questions: Sequence[Question], ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]
) -> Row:
    found = flips(questions, ours, theirs)
    for flip in found:
        print(
            f"flip in {precision}: {flip.id}: option {flip.ours + 1} here by {flip.our_margin:.4f} nats, option"
            f" {flip.theirs + 1} in lm-eval by {flip.their_margin:.4f}"
        )
    share = 1 - len(found) / len(questions)
    what = f"{len(found)} flips of {len(questions)}"
    return Row(
        f"{precision}, same option", "share", share, what, None, share, f">= {AIM_AGREEMENT:g}", share >= AIM_AGREEMENT
    )


def _right(
    precision: str, questions: Sequence[Question], ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]
) -> Row:
    """The accuracy of both."""
    keyed = [place for place, question in enumerate(questions) if question.key is not None]
    right = [
        sum(_best(scores[place]) == questions[place].key for place in keyed) / max(1, len(keyed))
        for scores in (ours, theirs)
    ]
    return Row(f"{precision}, right option", "share", right[0], "lm-eval's acc", right[1])


def _plain(precision: str, ours: float, against: str, theirs: float) -> Row:
    return Row(f"{precision}, speed", "questions/s", ours, against, theirs, ours / theirs)


def _best(scores: Sequence[float]) -> int:
    return max(range(len(scores)), key=lambda place: (scores[place], -place))

"""Fits the Grounder from assets/knowledge, keeps it as npz, and loads it in a background thread."""

import hashlib
import logging
import os
import random
import re
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from medchat import grounding, text_classifier
from medchat.errors import MedChatError
from medchat.grounding import Floats, Gate, Grounder
from medchat.knowledge import HE, Condition, Knowledge, TeachingCases, load_cases, load_knowledge, say
from medchat.negation import negated_spans, without
from medchat.text_classifier import TextClassifier

T = TypeVar("T")

_SYNTHETIC_TEXTS = 60  # a condition
_KNOWN_COPIES, _OUTSIDE_COPIES = 6, 3  # of a natural case, each with some of its sentences
_FOLDS = 4


def fit(knowledge: Knowledge, cases: TeachingCases, seed: int = 0) -> Grounder:
    """The Grounder of this knowledge, in a few seconds of one core; same input, same result.

    The gate is fitted on cases, topics and texts that the part it judges has not seen.
    """
    rng = random.Random(seed)
    findings, membership = _fit_findings(knowledge, cases), _membership(knowledge)
    known = [(text, condition) for condition, texts in cases.known.items() for text in texts]
    topics = sorted(cases.outside)
    rng.shuffle(known)
    rng.shuffle(topics)

    def grounder(known: Sequence[tuple[str, str]], topics: Sequence[str], chatter: Sequence[str]) -> Grounder:
        outside = [(text, topic) for topic in topics for text in (*cases.outside[topic], topic.replace("_", " "))]
        return Grounder(knowledge, findings, _fit_cases(knowledge, known, outside, chatter, rng), membership)

    features: list[Floats] = []
    inside: list[bool] = []
    scores: list[Floats] = []
    truth: list[int] = []
    conditions = list(knowledge.conditions)
    for fold in range(_FOLDS):
        part = grounder(_but(known, fold), _but(topics, fold), _but(cases.chatter, fold))
        fresh = [(_wordings_text(c, knowledge, rng), c.id) for c in knowledge.conditions.values()]
        for text, condition in [*known[fold::_FOLDS], *fresh]:
            evidence = part.evidence(text)
            scores.append(part.condition_scores(evidence))
            truth.append(conditions.index(condition))
            features.append(part.gate_features(evidence, scores[-1]))
            inside.append(True)
        strange = [text for topic in topics[fold::_FOLDS] for text in cases.outside[topic]]
        for text in (*strange, *cases.chatter[fold::_FOLDS]):
            evidence = part.evidence(text)
            features.append(part.gate_features(evidence, part.condition_scores(evidence)))
            inside.append(False)
    return replace(
        grounder(known, topics, cases.chatter),
        gate=_fit_gate(np.array(features), np.array(inside)),
        sharpness=_fit_sharpness(np.array(scores), np.array(truth)),
    )


def _but(items: Sequence[T], fold: int) -> list[T]:
    return [item for i, item in enumerate(items) if i % _FOLDS != fold]


def _fit_findings(knowledge: Knowledge, cases: TeachingCases) -> TextClassifier:
    """Fragments over the findings, and last a class for what is none."""
    texts, classes = [], []
    for i, finding in enumerate(knowledge.findings.values()):
        texts += [say(wording, HE) for wording in finding.wordings]
        classes += [i] * len(finding.wordings)
    nothing = [say(sentence, HE) for sentence in cases.filler] or ["nothing"]
    texts += nothing
    classes += [len(knowledge.findings)] * len(nothing)
    return TextClassifier.fitted(texts, classes)


def _membership(knowledge: Knowledge) -> Floats:
    """(findings, conditions): inverse document frequency of the finding, doubled where it is a core finding."""
    index = {finding: i for i, finding in enumerate(knowledge.findings)}
    matrix = np.zeros((len(index), len(knowledge.conditions)), np.float32)
    for j, condition in enumerate(knowledge.conditions.values()):
        matrix[[index[f] for f in condition.findings], j] = 1.0
        matrix[[index[f] for f in condition.core], j] = 2.0
    share = (matrix > 0).mean(axis=1, keepdims=True)
    return np.asarray(-np.log(share) * matrix, dtype=np.float32)


def _fit_cases(knowledge: Knowledge, known: Sequence[tuple[str, str]], outside: Sequence[tuple[str, str]],
               chatter: Sequence[str], rng: random.Random) -> TextClassifier:  # fmt: skip
    """Whole texts over the conditions, then a class for each topic outside, then one for chatter."""
    classes = {condition: i for i, condition in enumerate(knowledge.conditions)}
    texts, labels = [], []
    for condition in knowledge.conditions.values():
        texts += [_wordings_text(condition, knowledge, rng) for _ in range(_SYNTHETIC_TEXTS)]
        labels += [condition.id] * _SYNTHETIC_TEXTS
    for source, copies in ((known, _KNOWN_COPIES), (outside, _OUTSIDE_COPIES)):
        for text, label in source:
            texts += _copies(without(text, negated_spans(text)), copies, rng)
            labels += [label] * copies
    texts += chatter
    labels += ["chatter"] * len(chatter)
    numbers = [classes.setdefault(label, len(classes)) for label in labels]
    return TextClassifier.fitted(texts, numbers)


def _wordings_text(condition: Condition, knowledge: Knowledge, rng: random.Random) -> str:
    """Some findings of the condition, each in one of its wordings."""
    findings = [*condition.core, *rng.sample(condition.findings, rng.randint(1, 5))]
    kept = [f for f in findings if rng.random() < 0.9] or findings
    return ". ".join(say(rng.choice(knowledge.findings[f].wordings), HE).rstrip(".") for f in kept)


def _copies(text: str, n: int, rng: random.Random) -> list[str]:
    """The text, and n - 1 copies with about 70 % of its sentences."""
    sentences = re.split(r"(?<=[.!?])\s+", text)
    return [text] + [" ".join(s for s in sentences if rng.random() < 0.7) or text for _ in range(n - 1)]


def _fit_gate(features: Floats, inside: NDArray[np.bool_]) -> Gate:
    from sklearn.linear_model import LogisticRegression

    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    model = LogisticRegression(C=1.0, class_weight="balanced").fit((features - mean) / scale, inside)
    return Gate(model.coef_[0].astype(np.float32), float(model.intercept_[0]), mean, scale)


def _fit_sharpness(scores: Floats, truth: NDArray[np.int_]) -> float:
    """The inverse temperature of best likelihood (Guo et al., ICML 2017), so that 80 % is right four times in five."""
    candidates = np.geomspace(0.02, 2.0, 60)
    rows = np.arange(len(truth))
    losses = [-np.log(softmax(beta * scores, axis=1)[rows, truth] + 1e-12).mean() for beta in candidates]
    return float(candidates[int(np.argmin(losses))])


def save(grounder: Grounder, path: Path) -> None:
    """Write the fitted arrays; a half-written file never takes the final name."""
    gate = grounder.gate
    partial = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(
        partial, **grounder.findings.arrays("findings_"), **grounder.cases.arrays("cases_"),
        membership=grounder.membership, sharpness=grounder.sharpness,
        gate_weights=gate.weights, gate_bias=gate.bias, gate_mean=gate.mean, gate_scale=gate.scale,
    )  # fmt: skip
    partial.replace(path)


def load(path: Path, knowledge: Knowledge) -> Grounder:
    """The Grounder that save() wrote for this knowledge."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    return Grounder(
        knowledge,
        TextClassifier.from_arrays("findings_", arrays),
        TextClassifier.from_arrays("cases_", arrays),
        arrays["membership"],
        Gate(arrays["gate_weights"], float(arrays["gate_bias"]), arrays["gate_mean"], arrays["gate_scale"]),
        float(arrays["sharpness"]),
    )


def fitted_or_loaded(cache_dir: Path, knowledge: Knowledge | None = None) -> Grounder:
    """The Grounder of assets/knowledge, from the cache where its hash is known there, else fitted and kept."""
    knowledge = knowledge or load_knowledge()
    cases = load_cases(knowledge)
    code = hashlib.sha256()
    for module in (__file__, text_classifier.__file__, grounding.__file__):
        code.update(Path(module).read_bytes())
    key = hashlib.sha256(f"{code.hexdigest()} {knowledge.digest} {cases.digest}".encode()).hexdigest()[:16]
    path = cache_dir / f"grounding-{key}.npz"
    try:
        return load(path, knowledge)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        grounder = fit(knowledge, cases)
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        save(grounder, path)
    except OSError as error:
        logging.getLogger(__name__).warning("The grounding cache could not be written: %s", error.strerror)
    return grounder


class GroundingLoader:
    """Makes the Grounder in a thread of its own, so that a start need not wait for it."""

    def __init__(self, cache_dir: Path):
        self._done = threading.Event()
        self._grounder: Grounder | None = None
        self._thread = threading.Thread(target=self._run, args=(cache_dir,), name="grounding", daemon=True)
        self._thread.start()

    def _run(self, cache_dir: Path) -> None:
        try:
            self._grounder = fitted_or_loaded(cache_dir)
        except MedChatError as error:
            logging.getLogger(__name__).error("Grounding is off: %s", error)
        finally:
            self._done.set()

    @property
    def ready(self) -> bool:
        """Whether get() will not wait."""
        return self._done.is_set()

    def get(self, timeout_s: float | None = None) -> Grounder | None:
        """The Grounder; None when the time is up, or it cannot be made (the log says why)."""
        self._done.wait(timeout_s)
        return self._grounder

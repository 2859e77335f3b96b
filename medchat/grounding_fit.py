"""Fits the Grounder from assets/knowledge, keeps it as npz, and loads it in a background thread."""

import hashlib
import logging
import os
import random
import re
import threading
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from scipy.special import softmax

from medchat.errors import MedChatError
from medchat.grounding import Floats, Gate, Grounder
from medchat.knowledge import (
    HE,
    Condition,
    Finding,
    Knowledge,
    TeachingCases,
    is_held_out,
    load_cases,
    load_knowledge,
    say,
)
from medchat.negation import negated_spans, without
from medchat.settings import ASSETS
from medchat.text_classifier import TextClassifier, words_of

SHIPPED = ASSETS / "demo"

T = TypeVar("T")

_SYNTHETIC_TEXTS = 60  # a condition
_KNOWN_COPIES, _OUTSIDE_COPIES = 6, 3  # of a natural case, each with some of its sentences
_FOLDS = 4
_VERSION = 1  # of the method; a higher one leaves older caches unread
KNOWN_KEPT = 0.975  # of cases that it was not fitted on


def fit(knowledge: Knowledge, cases: TeachingCases, seed: int = 0) -> Grounder:
    """The Grounder of this knowledge, in a few seconds of one core; same input, same result.

    The gate is fitted on cases, topics and texts that the part it judges has not seen.
    """
    rng = random.Random(seed)
    membership = _membership(knowledge)
    known = [(text, condition) for condition, texts in cases.known.items() for text in texts]
    outside = [(text, topic) for topic, texts in cases.outside.items() for text in texts]
    topics = sorted(cases.outside)
    for items in (known, outside, topics):
        rng.shuffle(items)

    samples = _Samples(knowledge)
    for fold in range(_FOLDS):
        seen, unseen = _Wordings(fold, held=False), _Wordings(fold, held=True)
        strange = set(topics[fold::_FOLDS])
        familiar = [case for case in _but(outside, fold) if case[1] not in strange]
        part = Grounder(
            knowledge,
            _fit_findings(knowledge, cases, seen),
            *_fit_cases(knowledge, _but(known, fold), familiar, _but(cases.chatter, fold), rng, seen),
            membership=membership,
        )
        for condition in knowledge.conditions.values():
            samples.add(part, _wordings_text(condition, knowledge, rng, seen), condition.id)
            samples.add(part, _wordings_text(condition, knowledge, rng, unseen), condition.id)
        for text, condition_id in known[fold::_FOLDS]:
            samples.add(part, text, condition_id)
        left_out = [text for i, (text, topic) in enumerate(outside) if i % _FOLDS == fold or topic in strange]
        for text in [*left_out, *cases.chatter[fold::_FOLDS]]:
            samples.add(part, text, None)
    return Grounder(
        knowledge,
        _fit_findings(knowledge, cases),
        *_fit_cases(knowledge, known, outside, cases.chatter, rng),
        membership=membership,
        gate=samples.gate(),
        sharpness=samples.sharpness(),
    )


class _Samples:
    """What grounders that have not seen them make of cases whose truth is known."""

    def __init__(self, knowledge: Knowledge):
        self._conditions = list(knowledge.conditions)
        self._features: list[Floats] = []
        self._inside: list[bool] = []
        self._scores: list[Floats] = []
        self._truth: list[int] = []

    def add(self, grounder: Grounder, text: str, condition: str | None) -> None:
        """One more case; condition None is outside the knowledge."""
        evidence = grounder.evidence(text)
        scores = grounder.condition_scores(evidence)
        self._features.append(grounder.gate_features(evidence, scores))
        self._inside.append(condition is not None)
        if condition is not None:
            self._scores.append(scores)
            self._truth.append(self._conditions.index(condition))

    def gate(self) -> Gate:
        """The gate that tells them apart, its threshold where KNOWN_KEPT of the known cases are inside."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import cross_val_predict

        features, inside = np.array(self._features), np.array(self._inside)
        mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
        standard = (features - mean) / scale
        model = LogisticRegression(class_weight="balanced", C=0.3)
        kept = cross_val_predict(model, standard, inside, cv=10, method="predict_proba")[inside, 1]
        model.fit(standard, inside)
        return Gate(
            model.coef_[0].astype(np.float32),
            float(model.intercept_[0]),
            mean,
            scale,
            threshold=float(np.quantile(kept, 1 - KNOWN_KEPT)),
        )

    def sharpness(self) -> float:
        """The inverse temperature of best likelihood (Guo et al., ICML 2017).

        Of what is said to be 80 % sure, four in five are right.
        """
        scores, rows = np.array(self._scores), np.arange(len(self._truth))
        candidates = np.geomspace(0.02, 2.0, 60)
        losses = [-np.log(softmax(beta * scores, axis=1)[rows, self._truth] + 1e-12).mean() for beta in candidates]
        return float(candidates[int(np.argmin(losses))])


def _but(items: Sequence[T], fold: int) -> list[T]:
    return [item for i, item in enumerate(items) if i % _FOLDS != fold]


@dataclass(frozen=True, slots=True)
class _Wordings:
    """Which wordings of a finding are used: all, or those that a fold holds or does not hold."""

    fold: int = -1
    held: bool = False

    def of(self, finding: Finding) -> list[str]:
        return [w for i, w in enumerate(finding.wordings) if (i % _FOLDS == self.fold) == self.held]


_ALL = _Wordings()


def _fit_findings(knowledge: Knowledge, cases: TeachingCases, pick: _Wordings = _ALL) -> TextClassifier:
    """Fragments over the findings, and last a class for what is none."""
    texts, classes = [], []
    for i, finding in enumerate(knowledge.findings.values()):
        wordings = [say(wording, HE) for wording in pick.of(finding)]
        texts += wordings
        classes += [i] * len(wordings)
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


def _fit_cases(
    knowledge: Knowledge,
    known: Sequence[tuple[str, str]],
    outside: Sequence[tuple[str, str]],
    chatter: Sequence[str],
    rng: random.Random,
    pick: _Wordings = _ALL,
) -> tuple[TextClassifier, Floats]:
    """Whole texts over the conditions, a class for each topic outside and one for chatter; and the leaning."""
    from sklearn.linear_model import LogisticRegression

    classes = {condition: i for i, condition in enumerate(knowledge.conditions)}
    texts, labels = [], []
    for condition in knowledge.conditions.values():
        texts += [_wordings_text(condition, knowledge, rng, pick) for _ in range(_SYNTHETIC_TEXTS)]
        labels += [condition.id] * _SYNTHETIC_TEXTS
    for source, copies in ((known, _KNOWN_COPIES), (outside, _OUTSIDE_COPIES)):
        for text, label in source:
            texts += _copies(without(text, negated_spans(text)), copies, rng)
            labels += [label] * copies
    texts += chatter
    labels += ["chatter"] * len(chatter)
    numbers = [classes.setdefault(label, len(classes)) for label in labels]
    classifier = TextClassifier.fitted(texts, numbers)
    vectors = classifier.vectors(words_of(text) for text in texts)
    known_or_not = np.array(numbers) < len(knowledge.conditions)
    model = LogisticRegression(C=10.0, class_weight="balanced", max_iter=60).fit(vectors, known_or_not)
    return classifier, np.append(model.coef_[0], model.intercept_).astype(np.float32)


def _wordings_text(condition: Condition, knowledge: Knowledge, rng: random.Random, pick: _Wordings) -> str:
    """Some findings of the condition, each in one of the picked wordings."""
    kept: list[str] = []
    while not kept or is_held_out(condition, kept):
        findings = [*condition.core, *rng.sample(condition.findings, rng.randint(1, 5))]
        kept = [f for f in findings if rng.random() < 0.9]
    return ". ".join(say(rng.choice(pick.of(knowledge.findings[f])), HE).rstrip(".") for f in kept)


def _copies(text: str, n: int, rng: random.Random) -> list[str]:
    """The text, and n - 1 copies with about 70 % of its sentences."""
    sentences = re.split(r"(?<=[.!?])\s+", text)
    return [text] + [" ".join(s for s in sentences if rng.random() < 0.7) or text for _ in range(n - 1)]


def save(grounder: Grounder, path: Path) -> None:
    """Write the fitted arrays; a half-written file never takes the final name."""
    gate = grounder.gate
    partial = path.with_suffix(f".{os.getpid()}.npz")
    arrays: dict[str, Any] = {
        **grounder.findings.arrays("findings_"),
        **grounder.cases.arrays("cases_"),
        "membership": grounder.membership,
        "leaning": grounder.leaning,
        "sharpness": grounder.sharpness,
        "gate_weights": gate.weights,
        "gate_bias": gate.bias,
        "gate_mean": gate.mean,
        "gate_scale": gate.scale,
        "gate_threshold": gate.threshold,
    }
    np.savez_compressed(partial, **arrays)
    partial.replace(path)


def load(path: Path, knowledge: Knowledge) -> Grounder:
    """The Grounder that save() wrote for this knowledge."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    return Grounder(
        knowledge,
        TextClassifier.from_arrays("findings_", arrays),
        TextClassifier.from_arrays("cases_", arrays),
        membership=arrays["membership"],
        leaning=arrays["leaning"],
        gate=Gate(
            arrays["gate_weights"],
            float(arrays["gate_bias"]),
            arrays["gate_mean"],
            arrays["gate_scale"],
            float(arrays["gate_threshold"]),
        ),
        sharpness=float(arrays["sharpness"]),
    )


def cache_name(knowledge: Knowledge, cases: TeachingCases) -> str:
    """File name under which the Grounder of this knowledge is kept."""
    key = hashlib.sha256(f"{_VERSION} {knowledge.digest} {cases.digest}".encode()).hexdigest()[:16]
    return f"grounding-{key}.npz"


def fitted_or_loaded(cache_dir: Path) -> Grounder:
    """The Grounder of assets/knowledge: the one that is shipped or cached for its hash, else fitted and kept."""
    knowledge = load_knowledge()
    cases = load_cases(knowledge)
    name = cache_name(knowledge, cases)
    for path in (SHIPPED / name, cache_dir / name):
        try:
            return load(path, knowledge)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            continue
    grounder = fit(knowledge, cases)
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        save(grounder, cache_dir / name)
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

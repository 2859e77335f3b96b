"""What a case says, found in code: findings and where they stand, near conditions, inside or outside the knowledge.

Fitted from the wordings and the natural cases of assets/knowledge in a few seconds, then cached as npz. A stretch of
text is a finding when its words are closest to that finding's wordings; conditions come from the words of the whole
case and from the findings in it. What is denied counts neither way. Whether a case is outside the knowledge is a
logistic regression over how well the best condition explains it, fitted on cases left out of the rest.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from medchat.fragments import fragments
from medchat.knowledge import HE, Condition, Knowledge, say
from medchat.measurements import Measured, measured_values
from medchat.negation import negated_spans, without
from medchat.recognition import MAX_TELLING, N_TOLD, Grounding, Near, Recognised
from medchat.text_classifier import TextClassifier, words_of

Floats = NDArray[np.float32]

FINDING_WEIGHT = 0.8  # of the findings against the words of the whole case
N_NEAR = 4
N_FEATURES = 14
_SURE = 0.35  # a stretch of text is shown as a finding from this probability on
_PLAUSIBLE = 0.2  # a near condition from this probability on
_POSSIBLE = 0.06  # ... and counts as perhaps said, so that a citation of it is not called unsupported

_QUESTION = re.compile(
    r"\W*(?:what|explain|define|describe|how|tell|why|which|can you|give|is|are|does|do|could|treatment|mechanism)\b"
    r"\D*$",
    re.IGNORECASE,
)
_DEFINITION = re.compile(
    r"\W*(?:what(?:'s| is| are| was) (?:an? |the )?"
    r"(?!wrong|going|happening|caus|most|best|next|likel|diagnos|my|this)|"
    r"explain|define|tell me about)(?:(?!\b(?:i|my|me|he|she|his|her|patient|\d+)\b).){3,80}$",
    re.IGNORECASE,
)
_WEIGHED = re.compile(
    r"[^.\n]*\b(?:less likely|unlikely|rather than|would|could|unlike|whereas|not described|argues? against|instead|"
    r"rule out|exclude|if|consider|check for|look for)\b[^.\n]*",
    re.IGNORECASE,
)
_DENIALS = frozenset("no not nor never without denies denied deny negative absent absence".split())
_DURATIONS = frozenset("hour hours day days week weeks month months year years 0 one two three four five six".split())
_LONGEST_PHRASE = 6


def _any_of(names: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(names, key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})\b", re.IGNORECASE)


def _is_denied(span: tuple[int, int], denied: Sequence[tuple[int, int]]) -> bool:
    """Whether most of the span is denied."""
    overlap = sum(max(0, min(span[1], end) - max(span[0], start)) for start, end in denied)
    return overlap > 0.5 * (span[1] - span[0])


class Evidence(NamedTuple):
    """posterior (fragments, findings); negated (fragments,); words: those of the text that are not denied.

    leaning: how much the words lean to the known (logit). likelihood (classes of cases,): of the words.
    """

    spans: list[tuple[int, int]]
    negated: NDArray[np.bool_]
    posterior: Floats
    measured: list[Measured]
    words: list[str]
    leaning: float
    likelihood: Floats


@dataclass(frozen=True)
class Gate:
    """Logistic regression that says how sure it is that a case is inside the knowledge."""

    weights: Floats = field(default_factory=lambda: np.zeros(N_FEATURES, np.float32))
    bias: float = 0.0
    mean: Floats = field(default_factory=lambda: np.zeros(N_FEATURES, np.float32))
    scale: Floats = field(default_factory=lambda: np.ones(N_FEATURES, np.float32))
    threshold: float = 0.5

    def inside(self, features: Floats) -> Floats:
        """(N,) probabilities from (N, features)."""
        return expit(((features - self.mean) / self.scale) @ self.weights + self.bias)


@dataclass(frozen=True)
class Grounder:
    """The fitted recogniser.

    findings scores fragments over the findings and, last, "nothing"; cases scores whole texts over the conditions
    and then the topics outside. membership (findings, conditions): how telling a finding is for a condition. leaning
    (features of cases + 1,): logistic regression of known against outside over the words alone, bias last.
    """

    knowledge: Knowledge
    findings: TextClassifier
    cases: TextClassifier
    leaning: Floats
    membership: Floats
    gate: Gate = Gate()
    sharpness: float = 0.1

    @cached_property
    def _ids(self) -> tuple[str, ...]:
        return tuple(self.knowledge.findings)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {finding: i for i, finding in enumerate(self._ids)}

    @cached_property
    def _by_name(self) -> dict[str, int]:
        return {f.name.lower(): i for i, f in enumerate(self.knowledge.findings.values())}

    @cached_property
    def _name_pattern(self) -> re.Pattern[str]:
        return _any_of(self._by_name)

    @cached_property
    def _phrases(self) -> dict[tuple[str, ...], int]:
        """Noun-phrase wordings as words; what two findings share is left out."""
        phrases: dict[tuple[str, ...], int] = {}
        shared = set()
        for i, finding in enumerate(self.knowledge.findings.values()):
            for wording in finding.wordings:
                words = tuple(words_of(say(wording, HE)))
                if (
                    not wording.endswith(".")
                    and 0 < len(words) <= _LONGEST_PHRASE
                    and phrases.setdefault(words, i) != i
                ):
                    shared.add(words)
        return {words: i for words, i in phrases.items() if words not in shared}

    @cached_property
    def _by_condition_name(self) -> dict[str, Condition]:
        return {name.lower(): c for c in self.knowledge.conditions.values() for name in c.all_names}

    @cached_property
    def _condition_pattern(self) -> re.Pattern[str]:
        return _any_of(self._by_condition_name)

    def ground(self, text: str) -> Grounding:
        """What the text says; under 20 ms for a case of 150 words."""
        evidence = self.evidence(text)
        scores = self.condition_scores(evidence)
        probabilities = softmax(self.sharpness * scores[None], axis=1)[0]
        best = np.argsort(-probabilities)[:N_NEAR]
        conditions = list(self.knowledge.conditions.values())
        near = tuple(Near(conditions[i].id, conditions[i].name, round(float(probabilities[i]), 3)) for i in best)
        recognised = () if _DEFINITION.match(text) else self._recognised(evidence, probabilities)
        plausible = [best[0], *(i for i in best[1:N_TOLD] if probabilities[i] >= _PLAUSIBLE)]
        told = {f for i in plausible for f in conditions[i].all_findings}
        telling = dict.fromkeys(r.name for r in recognised if not r.negated and r.finding in told)
        return Grounding(
            recognised=recognised,
            near=near,
            outside=self._is_outside(text, evidence),
            telling=tuple(telling)[:MAX_TELLING],
            asked_about=self._asked_about(text),
        )

    def _is_outside(self, text: str, evidence: Evidence) -> bool:
        if self._asked_about(text):
            return False
        features = self.gate_features(evidence, self.condition_scores(evidence))
        inside = float(self.gate.inside(features[None])[0])
        return inside < self.gate.threshold or bool(_DEFINITION.match(text))

    def cited(self, reasoning: str) -> list[tuple[int, int, str]]:
        """Findings that the reasoning states, in the knowledge's own words: start, end and name of each.

        What a step weighs against its conclusion, or denies, is not stated.
        """
        # What stands after "less likely:" tells of the other condition.
        weighed = [m.span() for m in _WEIGHED.finditer(reasoning)] + negated_spans(reasoning)
        return [
            (match.start(), match.end(), match[0])
            for match in self._name_pattern.finditer(reasoning)
            if not any(start <= match.start() < end for start, end in weighed)
        ]

    def unsupported(self, reasoning: str, case: str) -> list[tuple[int, int, str]]:
        """Findings that the reasoning cites and the case does not contain: start, end and name of each.

        Where the case may say it in words that are not quite understood, and where it is no case or outside
        the knowledge, nothing is said.
        """
        evidence = self.evidence(case)
        if self._is_outside(case, evidence) or self._asked_about(case):
            return []
        stated = evidence.posterior[~evidence.negated]
        possible = set(np.flatnonzero((stated >= _POSSIBLE).any(axis=0)).tolist())
        possible |= {self._index[m.finding] for m in evidence.measured}
        words = set(evidence.words)
        return [
            (start, end, name)
            for start, end, name in self.cited(reasoning)
            if self._by_name[name.lower()] not in possible and not set(words_of(name)) <= words
        ]

    @cached_property
    def evidence(self) -> Callable[[str], Evidence]:
        """The evidence of a text; that of the last texts is kept, since a case is looked at more than once."""
        return lru_cache(maxsize=32)(self._evidence)

    def _evidence(self, text: str) -> Evidence:
        """Findings' posteriors over the text's fragments, and the words that are not denied.

        Measured values are read by their limits alone, not by how they are worded. The condition that a
        question names is no finding.
        """
        values = list(measured_values(text))
        told = without(text, [(value.start, value.end) for value in values])
        denied = negated_spans(text)
        asked = self._named(text)
        pieces = list(fragments(without(told, [asked.span()]) if asked else told))
        words = [piece_words for _, _, piece_words in pieces]
        n = len(self._ids)
        posterior = self.findings.probabilities(words)[:, :n] if words else np.zeros((0, n), np.float32)
        exact: list[tuple[int, int, int]] = []
        for row, (start, end, piece_words) in enumerate(pieces):
            finding, share = self._verbatim(piece_words)
            posterior[row] *= 1.0 - share
            posterior[row, finding] += share
            if share == 1.0:
                exact.append((start, end, finding))
        kept = [
            row
            for row, (start, end, _) in enumerate(pieces)
            if not any(start <= a and b <= end and f != posterior[row].argmax() for a, b, f in exact)
        ]
        spans = [pieces[row][:2] for row in kept]
        negated = np.array([_is_denied(span, denied) for span in spans], dtype=bool)
        measured = [v for v in values if v.finding in self._index and not _is_denied((v.start, v.end), denied)]
        stated = words_of(without(told, denied))
        vector = self.cases.vectors([stated])
        leaning = float((vector @ self.leaning[:-1])[0] + self.leaning[-1])
        likelihood = self.cases.log_likelihood(vector)[0]
        return Evidence(spans, negated, posterior[kept], measured, stated, leaning, likelihood)

    def _verbatim(self, words: Sequence[str]) -> tuple[int, float]:
        """The finding whose wording stands in the fragment word by word, and the share of the words that it covers."""
        told = [w for w in words if w not in _DENIALS and w not in _DURATIONS]
        for length in range(min(len(told), _LONGEST_PHRASE), 0, -1):
            for start in range(len(told) - length + 1):
                finding = self._phrases.get(tuple(told[start : start + length]))
                if finding is not None:
                    share = length / len(told)
                    return finding, share if share >= 0.5 else 0.0
        return 0, 0.0

    def condition_scores(self, evidence: Evidence) -> Floats:
        """(conditions,) how well each explains the case, in nats."""
        strength = self.finding_strength(evidence)
        likelihood = evidence.likelihood[: self.membership.shape[1]]
        return np.asarray(likelihood + FINDING_WEIGHT * (strength @ self.membership), dtype=np.float32)

    def finding_strength(self, evidence: Evidence) -> Floats:
        """(findings,) the highest posterior of each among the fragments that are not denied."""
        stated = evidence.posterior[~evidence.negated]
        strength = stated.max(axis=0) if len(stated) else np.zeros(len(self._ids), np.float32)
        for m in evidence.measured:
            strength[self._index[m.finding]] = 1.0
        return strength

    def gate_features(self, evidence: Evidence, scores: Floats) -> Floats:
        """(N_FEATURES,) what tells a case inside the knowledge from one outside; see Gate."""
        n = self.membership.shape[1]
        likelihood = evidence.likelihood
        known, strange = likelihood[:n], np.sort(likelihood[n:])[::-1]
        best, ranked = int(scores.argmax()), np.sort(scores)[::-1]
        strength = self.finding_strength(evidence)
        explained = strength @ self.membership
        by_findings = np.sort(explained)[::-1]
        own = self.membership[:, best] > 0
        per_fragment = evidence.posterior[~evidence.negated] @ own if len(evidence.posterior) else np.zeros(0)
        per_fragment = per_fragment if len(per_fragment) else np.zeros(1)
        return np.array(
            [
                ranked[0] - np.median(scores),
                ranked[0] - ranked[1],
                known.max() - strange[0],
                likelihood[best] - strange[:3].mean(),
                known.max() - np.median(known),
                strange[0] - np.median(strange),
                explained[best],
                by_findings[0] - by_findings[1],
                np.sort(strength[own])[-2],
                per_fragment.mean(),
                (per_fragment > 0.2).mean(),
                evidence.leaning,
                np.log1p(len(evidence.words)),
                self.cases.known_share(evidence.words),
            ],
            dtype=np.float32,
        )

    def _recognised(self, evidence: Evidence, conditions: Floats) -> tuple[Recognised, ...]:
        """Non-overlapping findings, best first chosen; near conditions make their findings likelier."""
        prior = 0.15 + (self.membership > 0) @ conditions
        weighted = evidence.posterior * prior
        chosen: list[Recognised] = [
            Recognised(m.finding, self.knowledge.findings[m.finding].name, m.start, m.end, False, 1.0)
            for m in evidence.measured
        ]
        candidates = []
        for row, (start, end) in enumerate(evidence.spans):
            finding = int(weighted[row].argmax())
            rest = 1.0 - float(evidence.posterior[row].sum())
            probability = float(weighted[row, finding] / (weighted[row].sum() + 0.5 * max(rest, 0.0) + 1e-9))
            strength = min(probability, float(evidence.posterior[row, finding]) * 1.5)
            candidates.append((strength, start, end, finding, bool(evidence.negated[row])))
        for strength, start, end, finding, negated in sorted(candidates, reverse=True):
            overlaps = any(start < r.end and r.start < end for r in chosen)
            if strength >= _SURE and not overlaps:
                name = self.knowledge.findings[self._ids[finding]].name
                chosen.append(Recognised(self._ids[finding], name, start, end, negated, round(strength, 2)))
        return tuple(sorted(chosen, key=lambda r: r.start))

    def _asked_about(self, text: str) -> str:
        """The condition that a short question names, as in "What is gout?"; "" where it tells a case."""
        match = self._named(text)
        return self._by_condition_name[match[0].lower()].name if match else ""

    def _named(self, text: str) -> re.Match[str] | None:
        """Where a short question names a condition; None where it tells a case."""
        if len(text.split()) > 16 or not _QUESTION.match(text):
            return None
        return self._condition_pattern.search(text)

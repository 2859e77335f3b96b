"""The summary of a run: of each model and metric the mean with its interval, out of the stored predictions."""

from array import array
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from hashlib import blake2b
from math import isnan, nan
from typing import Any

import numpy as np

from evaluation.judge import clipped_mean
from evaluation.judge_agreement import Judged, JudgeNote, add_judged, judge_notes
from evaluation.metric_table import METRICS, bounds_of, info_of
from evaluation.metrics import references_of
from evaluation.people import People, step_accuracy
from evaluation.predictions import Prediction
from evaluation.similarity import bleu_counts, bleu_of_counts
from evaluation.stats import Estimate, Floats, bootstrap_means, estimate, share
from evaluation.unscored import said_unscored, why_unscored

KNOWLEDGE = "knowledge"  # the group of which each metric is told apart
OUTCOMES = ("wrong", "unparsable", "refused", "cut off")
BLEU_COUNTS = 10
BLEU_METHOD = "sacrebleu over all answers together, exponential smoothing, letter case counts"
MIN_FOR_BOOTSTRAP = 10
PERCENTILES = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Result(Estimate):
    """An estimate, why items are unscored (reason -> number), and who judged, None for nobody."""

    unscored: Mapping[str, int] = field(default_factory=dict)
    judge: JudgeNote | None = None

    def row(self) -> dict[str, Any]:
        """As summary.json has it: `unscored` and `judge` only where there is any."""
        plain: dict[str, Any] = {its.name: getattr(self, its.name) for its in fields(Estimate)}
        reasons = {"unscored": dict(self.unscored)} if self.unscored else {}
        return plain | reasons | ({"judge": self.judge.row()} if self.judge else {})


Summary = Mapping[str, Mapping[str, Result]]  # by model and metric


class _Series:
    """The values of one metric, 16 bytes each."""

    def __init__(self, metric: str) -> None:
        self._metric = metric
        self._values = array("d")  # NaN for None
        self._questions = array("Q")
        self._reasons: Counter[str] = Counter()

    def add(self, prediction: Prediction, question: int) -> None:
        value = prediction.scores[self._metric]
        self._values.append(nan if value is None else value)
        self._questions.append(question)
        if value is None:
            self._reasons[why_unscored(prediction, self._metric)] += 1

    def result(self, judge: JudgeNote | None) -> Result:
        values = [None if isnan(value) else value for value in self._values]
        found = metric_estimate(self._metric, values, self._questions)
        return _result(found, dict(self._reasons.most_common()), judge)


class Figures:
    """What one model's answers give beside the metrics: see estimates()."""

    def __init__(self, people: People | None) -> None:
        self.judged: dict[str, Judged] = {}  # by metric
        self._people = people
        self._n = 0
        self._bleu = array("q")
        self._bleu_questions = array("Q")
        self._steps: list[float] = []
        self._steps_questions: list[int] = []
        self._raters: set[str] = set()

    def add(self, prediction: Prediction) -> None:
        """Take in one answer."""
        self._n += 1
        add_judged(self.judged, prediction, self._people)
        references = references_of(prediction.example) if "bleu" in prediction.scores else ()
        if references and prediction.is_answered:
            self._bleu.extend(bleu_counts(prediction.solution, references))
            self._bleu_questions.append(question_number(prediction))
        if self._people:
            found = step_accuracy(prediction, self._people)
            if found.value is not None:
                self._steps.append(found.value)
                self._steps_questions.append(question_number(prediction))
                self._raters |= found.raters

    def estimates(self) -> dict[str, Result]:
        """corpus_bleu where there is BLEU, step_accuracy where raters marked steps of these answers."""
        found = {}
        if self._bleu:
            counts = np.array(self._bleu, dtype=float).reshape(-1, BLEU_COUNTS)
            found["corpus_bleu"] = _corpus_bleu(counts, self._bleu_questions, self._n)
        if self._steps:
            its = metric_estimate("step_accuracy", self._steps, self._steps_questions)
            n = len(self._raters)
            method = f"{its.method}; marks of {n} {'rater' if n == 1 else 'raters'}"
            n_left = self._n - its.n
            reasons = {"no steps marked": n_left} if n_left else {}
            found["step_accuracy"] = Result(its.value, its.n, n_left, its.low, its.high, method, reasons)
        return found


def summaries(predictions: Iterable[Prediction], people: People | None = None) -> dict[str, dict[str, Result]]:
    """Of each model the estimate of each metric, over all its predictions.

    Where examples are about something known or unknown also over these alone, as metric_known and metric_unknown; of
    multiple choice as answered also the shares mcq_wrong, mcq_unparsable, mcq_refused and mcq_cut_off; where the model
    could not be asked some also their share as `unanswered`; and what Figures tells. people: raters of the same
    answers. Predictions are gone through once and only their numbers kept.
    """
    series: dict[str, dict[str, _Series]] = {}
    counts: dict[str, dict[str, int]] = {}
    unanswered: dict[str, list[int]] = {}
    figures: dict[str, Figures] = {}
    for prediction in predictions:
        model, of_model = prediction.model, series.setdefault(prediction.model, {})
        question, group = question_number(prediction), prediction.groups.get(KNOWLEDGE)
        for name in prediction.scores:
            of_model.setdefault(name, _Series(name)).add(prediction, question)
            if group:
                of_model.setdefault(f"{name}_{group}", _Series(name)).add(prediction, question)
        figures.setdefault(model, Figures(people)).add(prediction)
        its_unanswered = unanswered.setdefault(model, [0, 0])
        its_unanswered[0] += not prediction.is_answered
        its_unanswered[1] += 1
        if prediction.outcome and prediction.raw:
            outcomes = counts.setdefault(model, dict.fromkeys(("right", *OUTCOMES), 0))
            outcomes[prediction.outcome] += 1
    notes = judge_notes({model: its.judged for model, its in figures.items()})
    return {
        model: _results(its, figures[model].estimates(), notes[model])
        | _outcomes(counts.get(model))
        | _unanswered(*unanswered[model])
        for model, its in series.items()
    }


def metric_estimate(metric: str, values: Sequence[float | None], questions: Sequence[Hashable]) -> Estimate:
    """The mean of a metric with its interval over questions.

    Of a metric whose values may be negative it is clipped_mean, its interval clipped too and never Wilson's.
    """
    found = estimate(values, questions, bounds=bounds_of(metric))
    info = info_of(metric)
    if info is None or not info.clipped or found.value is None:
        return found
    low, high = (None if end is None else min(max(end, 0.0), 1.0) for end in (found.low, found.high))
    return replace(found, value=clipped_mean(values), low=low, high=high, method=f"clipped to 0 to 1; {found.method}")


def question_number(prediction: Prediction) -> int:
    """A number of 64 bits for its question."""
    return int.from_bytes(blake2b(prediction.question_id.encode(), digest_size=8).digest())


def rows_of(summary: Mapping[str, Result]) -> dict[str, dict[str, Any]]:
    """The results of a model as summary.json has them."""
    return {name: result.row() for name, result in summary.items()}


def _corpus_bleu(counts: Floats, questions: Sequence[int], n: int) -> Result:
    """counts: (N, 10), a row an answer of bleu_counts. Its interval: a bootstrap over questions."""
    places: dict[int, int] = {}
    index = np.array([places.setdefault(question, len(places)) for question in questions])
    low = high = None
    method = f"{BLEU_METHOD}; no interval below {MIN_FOR_BOOTSTRAP} questions"
    if len(places) >= MIN_FOR_BOOTSTRAP:
        sums = np.stack([np.bincount(index, column) for column in counts.T], axis=1).astype(np.float64)  # (G, 10)
        drawn = bootstrap_means(sums, np.ones_like(sums), np.random.default_rng(0)) * len(places)  # (R, 10)
        low, high = (float(end) for end in np.quantile([bleu_of_counts(row) for row in drawn], PERCENTILES))
        method = f"{BLEU_METHOD}; bootstrap over {len(places)} questions, percentiles, 95 %"
    n_left = n - len(counts)
    reasons = {"no reference, or no answer": n_left} if n_left else {}
    return Result(bleu_of_counts(counts.sum(axis=0)), len(counts), n_left, low, high, method, reasons)


def _result(found: Estimate, reasons: Mapping[str, int], judge: JudgeNote | None = None) -> Result:
    return Result(found.value, found.n, found.n_unscored, found.low, found.high, found.method, reasons, judge)


def _results(
    series: Mapping[str, _Series], figures: Mapping[str, Result], notes: Mapping[str, JudgeNote]
) -> dict[str, Result]:
    """The metrics in their order, each before its parts; corpus BLEU behind BLEU, the steps' accuracy last."""
    plain = [name for name in series if not name.endswith(("_known", "_unknown"))]
    found: dict[str, Result] = {}
    for metric in plain:
        for name in (metric, f"{metric}_known", f"{metric}_unknown"):
            if name in series:
                found[name] = series[name].result(notes.get(metric))
        if metric == "bleu" and "corpus_bleu" in figures:
            found["corpus_bleu"] = figures["corpus_bleu"]
    return found | {name: its for name, its in figures.items() if name not in found}


def _outcomes(counts: Mapping[str, int] | None) -> dict[str, Result]:
    if not counts:
        return {}
    n = sum(counts.values())
    return {
        f"mcq_{name.replace(' ', '_')}": _result(share([1.0] * counts[name] + [0.0] * (n - counts[name])), {})
        for name in OUTCOMES
    }


def _unanswered(n: int, of: int) -> dict[str, Result]:
    return {"unanswered": _result(share([1.0] * n + [0.0] * (of - n)), {})} if n else {}


def table(summary: Mapping[str, Mapping[str, Estimate]]) -> str:
    """The summary in lines for a terminal, and under it who judged."""
    rows = [["model", "metric", "value", "95 % interval", "n", "unscored"]]
    for model, metrics in summary.items():
        rows += [[model, name, *_cells(estimate)] for name, estimate in metrics.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *_judge_lines(summary)])


def _cells(found: Estimate) -> Sequence[str]:
    value = "-" if found.value is None else f"{found.value:.3f}"
    interval = "-" if found.low is None else f"{found.low:.3f} to {found.high:.3f}"
    reasons = f" ({said_unscored(found.unscored)})" if isinstance(found, Result) and found.unscored else ""
    return [value, interval, str(found.n), f"{found.n_unscored}{reasons}"]


def _judge_lines(summary: Mapping[str, Mapping[str, Estimate]]) -> list[str]:
    judged = [
        (model, name, its.judge)
        for model, of in summary.items()
        for name, its in of.items()
        if isinstance(its, Result) and its.judge and name in METRICS
    ]
    return [f"{name} of {model}: {judge.label}. {judge.counted}." for model, name, judge in judged]

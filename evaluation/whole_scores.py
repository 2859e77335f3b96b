"""Metrics that look at several answers at once: scored when all answers to a suite are stored."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from evaluation.metric_table import METRICS
from evaluation.metrics import Answer, Metric
from evaluation.predictions import NAME, Prediction, read_predictions
from medchat.records import Example
from medchat.run_files import write_whole, writing


def is_whole(metric: str) -> bool:
    """Whether a metric of this name looks at several answers at once."""
    return metric in METRICS and METRICS[metric].whole


def score_whole(folder: Path, examples: Iterable[Example], metrics: Mapping[str, Metric]) -> None:
    """Score the stored answers of one suite by those of the metrics that look at several, each model by itself.

    The answers are taken in the order of the suite, in which the first of a pair stands first. predictions.jsonl is
    written anew, and is not touched where there is no such metric. Raises RunError when it cannot be written.
    """
    chosen = {name: metric for name, metric in metrics.items() if is_whole(name)}
    if not chosen or not (folder / NAME).is_file():
        return
    stored = list(read_predictions(folder))
    asked = list(examples)
    scores: dict[tuple[str, str], dict[str, float | None]] = {}
    for model in dict.fromkeys(prediction.model for prediction in stored):
        answers = {p.id: _answer(p) for p in stored if p.model == model}
        found = [answers.get(example.id) for example in asked]
        for name, metric in chosen.items():
            for example, value in zip(asked, metric(asked, found), strict=True):
                scores.setdefault((model, example.id), {})[name] = value
    scored = (replace(p, scores={**p.scores, **scores.get((p.model, p.id), {})}) for p in stored)
    with writing():
        lines = [json.dumps(asdict(prediction), ensure_ascii=False) for prediction in scored]
        write_whole(folder / NAME, "\n".join([*lines, ""]))


def _answer(prediction: Prediction) -> Answer | None:
    """What was answered; None where the model could not be asked."""
    if not prediction.raw:
        return None
    return Answer(prediction.solution, prediction.reasoning, prediction.complete, raw=prediction.raw)

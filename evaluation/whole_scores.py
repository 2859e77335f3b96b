"""Metrics that look at several answers at once: scored when all answers to a suite are stored."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from evaluation.metric_table import METRICS
from evaluation.metrics import Answer, Metric
from evaluation.predictions import NAME, Prediction, read_predictions
from medchat.records import Example
from medchat.run_files import writing

Scores = Mapping[tuple[str, str], Mapping[str, float | None]]  # by model and id


def is_whole(metric: str) -> bool:
    """Whether a metric of this name looks at several answers at once."""
    return metric in METRICS and METRICS[metric].whole


def score_whole(folder: Path, examples: Iterable[Example], metrics: Mapping[str, Metric]) -> None:
    """Score the stored answers of one suite by those of the metrics that look at several, each model by itself.

    Only examples with meta.pair are looked at, in the order of the suite, in which the first of a pair stands first;
    of the answers those of one model at a time are in memory. predictions.jsonl is written anew, and is not touched
    where there is no such metric. Raises RunError when it cannot be written.
    """
    chosen = {name: metric for name, metric in metrics.items() if is_whole(name)}
    if not chosen or not (folder / NAME).is_file():
        return
    paired = [example for example in examples if isinstance(example.meta.get("pair"), str)]
    ids = {example.id for example in paired}
    scores: dict[tuple[str, str], dict[str, float | None]] = {}
    for model in dict.fromkeys(prediction.model for prediction in read_predictions(folder)):
        stored = read_predictions(folder)
        answers = {p.id: _answer(p) for p in stored if p.model == model and p.id in ids}
        found = [answers.get(example.id) for example in paired]
        for name, metric in chosen.items():
            for example, value in zip(paired, metric(paired, found), strict=True):
                scores.setdefault((model, example.id), {})[name] = value
    _write_scored(folder, scores, dict.fromkeys(chosen))


def _write_scored(folder: Path, scores: Scores, unscored: Mapping[str, float | None]) -> None:
    """Write the predictions anew with these scores, line by line beside the old file, which is then replaced."""
    partial = folder / f".{NAME}.{os.getpid()}.partial"
    try:
        with writing(), partial.open("wb") as file:
            for p in read_predictions(folder):
                scored = replace(p, scores={**p.scores, **scores.get((p.model, p.id), unscored)})
                file.write(json.dumps(asdict(scored), ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with writing():
            partial.replace(folder / NAME)
    finally:
        partial.unlink(missing_ok=True)


def _answer(prediction: Prediction) -> Answer | None:
    """What was answered; None where the model could not be asked."""
    if not prediction.raw:
        return None
    return Answer(prediction.solution, prediction.reasoning, prediction.complete, raw=prediction.raw)

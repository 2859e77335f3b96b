"""The summary of a run: of each model and metric the mean with its interval, out of the stored predictions."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from math import isnan, nan

from evaluation.predictions import Prediction
from evaluation.stats import Estimate, estimate, share

Summary = Mapping[str, Mapping[str, Estimate]]  # by model and metric

KNOWLEDGE = "knowledge"  # the group of which each metric is told apart
OUTCOMES = ("wrong", "unparsable", "refused", "cut off")


class _Series:
    """The values of one metric, 16 bytes each."""

    def __init__(self) -> None:
        self._values = array("d")  # NaN for None
        self._questions = array("Q")

    def add(self, value: float | None, question: int) -> None:
        self._values.append(nan if value is None else value)
        self._questions.append(question)

    def estimate(self) -> Estimate:
        values = [None if isnan(value) else value for value in self._values]
        return estimate(values, self._questions)


def summaries(predictions: Iterable[Prediction]) -> dict[str, dict[str, Estimate]]:
    """Of each model the estimate of each metric, over all its predictions.

    Where examples are about something known or unknown also over these alone, as metric_known and metric_unknown; of
    multiple choice as answered also the shares mcq_wrong, mcq_unparsable, mcq_refused and mcq_cut_off; where the model
    could not be asked some also their share as `unanswered`. Predictions are gone through once and only their numbers
    kept.
    """
    series: dict[str, dict[str, _Series]] = {}
    counts: dict[str, dict[str, int]] = {}
    unanswered: dict[str, list[int]] = {}
    for prediction in predictions:
        of_model = series.setdefault(prediction.model, {})
        question = int.from_bytes(blake2b(prediction.question_id.encode(), digest_size=8).digest())
        group = prediction.groups.get(KNOWLEDGE)
        for name, value in prediction.scores.items():
            of_model.setdefault(name, _Series()).add(value, question)
            if group:
                of_model.setdefault(f"{name}_{group}", _Series()).add(value, question)
        its_unanswered = unanswered.setdefault(prediction.model, [0, 0])
        its_unanswered[0] += not prediction.raw and prediction.option_logprobs is None and prediction.fault != ""
        its_unanswered[1] += 1
        if prediction.outcome and prediction.raw:
            outcomes = counts.setdefault(prediction.model, dict.fromkeys(("right", *OUTCOMES), 0))
            outcomes[prediction.outcome] += 1
    return {
        model: _estimates(its) | _outcomes(counts.get(model)) | _unanswered(*unanswered[model])
        for model, its in series.items()
    }


def _estimates(series: Mapping[str, _Series]) -> dict[str, Estimate]:
    plain = [name for name in series if not name.endswith(("_known", "_unknown"))]
    ordered = [n for name in plain for n in (name, f"{name}_known", f"{name}_unknown") if n in series]
    return {name: series[name].estimate() for name in ordered}


def _outcomes(counts: Mapping[str, int] | None) -> dict[str, Estimate]:
    if not counts:
        return {}
    n = sum(counts.values())
    return {
        f"mcq_{name.replace(' ', '_')}": share([1.0] * counts[name] + [0.0] * (n - counts[name])) for name in OUTCOMES
    }


def _unanswered(n: int, of: int) -> dict[str, Estimate]:
    return {"unanswered": share([1.0] * n + [0.0] * (of - n))} if n else {}


def table(summary: Summary) -> str:
    """The summary in lines for a terminal."""
    rows = [["model", "metric", "value", "95 % interval", "n", "unscored"]]
    for model, metrics in summary.items():
        rows += [[model, name, *_cells(estimate)] for name, estimate in metrics.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _cells(estimate: Estimate) -> Sequence[str]:
    value = "-" if estimate.value is None else f"{estimate.value:.3f}"
    interval = "-" if estimate.low is None else f"{estimate.low:.3f} to {estimate.high:.3f}"
    return [value, interval, str(estimate.n), str(estimate.n_unscored)]

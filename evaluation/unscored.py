"""Why an answer has no value of a metric, in a few words that can be counted."""

from collections.abc import Mapping

from evaluation.choices import BY_LIKELIHOOD
from evaluation.judge import Fate
from evaluation.judge_agreement import verdicts_of
from evaluation.metric_table import info_of
from evaluation.predictions import Prediction
from evaluation.suites import OWN_METRICS

# Why a criterion has no verdict.
FATES: Mapping[Fate, str] = {
    "asked": "the judge's reply unparsable", "cached": "the judge's reply unparsable",
    "over the cap": "over the judge's cap", "too long": "too long for the judge",
}  # fmt: skip


def why_unscored(prediction: Prediction, metric: str) -> str:
    """Why the prediction has no value of the metric."""
    if not prediction.is_answered or (metric in BY_LIKELIHOOD and prediction.why):
        return prediction.why or "not asked"
    missing = next((verdict for verdict in verdicts_of(prediction, metric) if verdict.met is None), None)
    if missing:
        return FATES[missing.fate]
    if metric in OWN_METRICS and prediction.kind not in (OWN_METRICS[metric] or (prediction.kind,)):
        return "not for questions of this kind"
    info = info_of(metric)
    return (info.unscored if info else "") or "cannot be scored"


def said_unscored(reasons: Mapping[str, int]) -> str:
    """ "too long for the model: 290; no reference: 3", the most frequent first; "" for none."""
    ordered = sorted(reasons.items(), key=lambda reason: (-reason[1], reason[0]))
    return "; ".join(f"{reason}: {n:,}" for reason, n in ordered)

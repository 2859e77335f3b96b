"""Summaries: figures beside the metrics, means that are clipped, and why answers are unscored."""

from typing import Any

import numpy as np
import pytest
from stored_predictions import line

from evaluation.metrics import Answer
from evaluation.predictions import Prediction
from evaluation.similarity import bleu_counts, bleu_of_counts, corpus_bleu
from evaluation.summary import metric_estimate, summaries, table
from evaluation.unscored import said_unscored, why_unscored
from medchat.records import Example


def predicted(number: int = 0, **values: Any) -> Prediction:
    return Prediction(**line(number, **values))


# BLEU of all answers together


def said(number: int, solution: str, reference: str, **values: Any) -> Prediction:
    scores = {"bleu": 0.5, **values.pop("scores", {})}
    return predicted(number, solution=solution, raw=solution, reference=reference, scores=scores, **values)


def test_corpus_bleu_stands_beside_the_mean_of_sentences_and_is_sacrebleus_own() -> None:
    pairs = [
        ("Rest and plenty of water help the patient.", "Rest and plenty of fluids help the patient."),
        ("Gout.", "It is most likely gout of the big toe."),
        ("", "Call an ambulance at once, without delay."),
    ]
    found = summaries(said(n, *pair) for n, pair in enumerate(pairs))["toy"]
    from sacrebleu.metrics.bleu import BLEU

    own = BLEU().corpus_score([solution for solution, _ in pairs], [[reference for _, reference in pairs]]).score / 100
    assert list(found) == ["bleu", "corpus_bleu"]
    assert found["corpus_bleu"].value == pytest.approx(own)
    assert own != pytest.approx(0.5)
    assert (found["corpus_bleu"].n, found["corpus_bleu"].low) == (3, None)
    assert "sacrebleu over all answers together" in found["corpus_bleu"].method
    assert "no interval below 10 questions" in found["corpus_bleu"].method


def test_several_references_count_together_in_corpus_bleu() -> None:
    example = Example("Q?", "It is gout of the big toe.", accepted=("Gout, in the big toe of the foot.",))
    answers = [Answer("It is gout in the big toe.")]
    references = ["It is gout of the big toe.", "Gout, in the big toe of the foot."]
    from sacrebleu.metrics.bleu import BLEU

    own = BLEU().corpus_score([answers[0].solution], [[text] for text in references]).score / 100
    assert corpus_bleu([example], answers) == pytest.approx(own)
    assert bleu_of_counts(np.array(bleu_counts(answers[0].solution, references))) == pytest.approx(own)


def test_corpus_bleu_has_an_interval_over_questions() -> None:
    texts = "Rest and plenty of water help the patient with a cold.", "Nothing that was asked for stands in here."
    its = [said(n, texts[n % 3 == 0], texts[0]) for n in range(30)]
    found = summaries(its)["toy"]["corpus_bleu"]
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert 0.2 < found.low < found.value < found.high < 1
    assert "bootstrap over 30 questions" in found.method


def test_without_bleu_or_references_there_is_no_corpus_bleu() -> None:
    assert "corpus_bleu" not in summaries([predicted(scores={"exact": 1.0})])["toy"]
    assert "corpus_bleu" not in summaries([predicted(reference=None, scores={"bleu": None})])["toy"]


# Clipped means


def test_the_mean_of_criteria_is_clipped_and_never_wilsons() -> None:
    few = metric_estimate("healthbench", [-0.5, 0.1, None], ["a", "b", "c"])
    assert (few.value, few.n, few.n_unscored) == (0.0, 2, 1)  # (-0.5 + 0.1) / 2, clipped
    # t with 1 degree of freedom: far beyond 0 and 1
    assert (few.low, few.high) == (0.0, 1.0)
    zeros_and_ones = metric_estimate("healthbench", [0.0, 1.0] * 10, list(map(str, range(20))))
    assert zeros_and_ones.value == 0.5
    assert zeros_and_ones.method == "clipped to 0 to 1; bootstrap over 20 questions, 95 %"
    same = metric_estimate("healthbench", [1.0] * 20, list(map(str, range(20))))
    assert (same.value, same.low, same.high) == (1.0, None, None)
    assert "Wilson" not in same.method


def test_other_metrics_keep_their_interval() -> None:
    assert metric_estimate("must_have", [0.0, 1.0, 1.0], ["a", "b", "c"]).method == "Wilson, 95 %"


# Why answers are unscored


@pytest.mark.parametrize(
    ("metric", "values", "why"),
    [
        ("exact", {"raw": "", "fault": "2,000 tokens.", "why": "too long for the model"}, "too long for the model"),
        ("exact", {"raw": "", "fault": "A line of an older run."}, "not asked"),
        ("exact", {"reference": None}, "no reference"),
        ("exact", {"fault": "No.", "why": "the model tells no likelihoods"}, "no reference"),
        ("mcq_loglikelihood", {"fault": "No.", "why": "the model tells no likelihoods"},
         "the model tells no likelihoods"),
        ("calc_correct", {"kind": "calc"}, "several values, or none to compare with"),
        ("healthbench", {}, "no judge, or no criteria"),
        ("metric_of_another_version", {}, "cannot be scored"),
    ],
)  # fmt: skip
def test_an_unscored_answer_has_a_reason(metric: str, values: dict[str, Any], why: str) -> None:
    assert why_unscored(predicted(scores={metric: None}, **values), metric) == why


@pytest.mark.parametrize(
    ("fate", "why"),
    [
        ("asked", "the judge's reply unparsable"),
        ("cached", "the judge's reply unparsable"),
        ("over the cap", "over the judge's cap"),
        ("too long", "too long for the judge"),
    ],
)
def test_a_missing_verdict_is_the_reason(fate: str, why: str) -> None:
    verdicts = [
        {"criterion": "Names rest.", "points": 1.0, "met": True, "fate": "asked"},
        {"criterion": "Names water.", "points": 1.0, "met": None, "fate": fate},
    ]
    its = predicted(scores={"must_have": None}, judged={"must_have": {"judge": "j", "verdicts": verdicts}})
    assert why_unscored(its, "must_have") == why


def test_reasons_are_counted_and_shown_with_the_commonest_first() -> None:
    too_long = {"raw": "", "fault": "long", "why": "too long for the model"}
    its = [predicted(n, scores={"exact": None}, **too_long) for n in range(3)]
    its += [predicted(3, scores={"exact": None}, reference=None), predicted(4, scores={"exact": 1.0})]
    found = summaries(its)
    assert found["toy"]["exact"].row()["unscored"] == {"too long for the model": 3, "no reference": 1}
    assert "4 (too long for the model: 3; no reference: 1)" in table(found)
    assert said_unscored({"b": 1, "a": 1_200}) == "a: 1,200; b: 1"


def test_a_summary_without_reasons_and_judge_has_the_six_plain_fields() -> None:
    row = summaries([predicted()])["toy"]["exact"].row()
    assert list(row) == ["value", "n", "n_unscored", "low", "high", "method"]

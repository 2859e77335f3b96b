"""ROUGE-L, BLEU and sequence similarity: by hand, and against their reference implementations."""

import difflib
import math

import pytest
from real_texts import free_answers, needs_real_texts

from evaluation.metrics import Answer, Metric
from evaluation.similarity import (
    bleu,
    bleu_of,
    corpus_bleu,
    rouge_l,
    rouge_l_of,
    sequence_similarity,
    sequence_similarity_of,
)
from medchat.records import Example


def test_rouge_l_by_hand() -> None:
    # reference: the patient has acute gout (5), answer: acute gout has the patient today (6)
    # longest common subsequence: "the patient" or "acute gout": 2; precision 2/6, recall 2/5, F = 2*2/(6+5)
    assert rouge_l_of("Acute gout has the patient today.", "The patient has acute gout") == pytest.approx(4 / 11)
    assert rouge_l_of("fevers", "fever") == 0.0  # not stemmed
    assert rouge_l_of("FEVER!", "fever") == 1.0
    assert rouge_l_of("...", "fever") == 0.0


def test_sequence_similarity_by_hand() -> None:
    # "gout" in "Pseudogout" in this order: 4 characters; 2 * 4 / (4 + 10)
    assert sequence_similarity_of("Gout", "pseudogout") == pytest.approx(8 / 14)
    assert sequence_similarity_of("GOUT", "gout") == 1.0
    assert sequence_similarity_of("abc", "xyz") == 0.0


def test_bleu_by_hand() -> None:
    # answer: the cat sat on mat (5), reference: the cat sat on the mat (6)
    # n-grams: 5/5, 3/4, 2/3, 1/2; brevity exp(1 - 6/5); (1 * 3/4 * 2/3 * 1/2) ** (1/4) = 0.25 ** 0.25
    by_hand = math.exp(1 - 6 / 5) * 0.25**0.25
    assert bleu_of("the cat sat on mat", ["the cat sat on the mat"]) == pytest.approx(by_hand)
    # effective order: of one word only 1-grams count
    assert bleu_of("gout", ["gout"]) == pytest.approx(1.0)
    # exponential smoothing: 2/2 and 0/1, which counts as 1/2; sqrt(1 * 1/2)
    assert bleu_of("pain chest", ["chest pain"]) == pytest.approx(math.sqrt(0.5))


def test_corpus_bleu_counts_over_all_answers() -> None:
    examples = [
        Example("Q?", "the cat sat on the mat"),
        Example("Q?", "gout", accepted=("podagra",)),
        Example("Q?", None),
    ]
    answers = [Answer("the cat sat on mat"), Answer("podagra"), Answer("x")]
    # 1-grams 6/6, 2-grams 3/4, 3-grams 2/3, 4-grams 1/2; lengths 6 against 7
    assert corpus_bleu(examples, answers) == pytest.approx(math.exp(1 - 7 / 6) * 0.25**0.25)
    assert corpus_bleu(examples[2:], answers[2:]) is None


@pytest.mark.parametrize("metric", [rouge_l, bleu, sequence_similarity])
def test_the_best_reference_counts_and_a_blank_answer_is_wrong(metric: Metric) -> None:
    two = Example("Q?", "acute gouty arthritis", accepted=("gout", ""))
    without = Example("Q?", None)
    blank = Example("Q?", "  ")
    examples = [two, two, two, without, blank]
    answers = [Answer("gout"), Answer(" \n"), None, Answer("gout"), Answer("gout")]
    assert metric(examples, answers) == [pytest.approx(1.0), 0.0, None, None, None]


def test_the_text_of_the_right_option_is_the_reference() -> None:
    choice = Example("Q?", "B", options={"A": "sepsis", "B": "acute gout"})
    assert rouge_l([choice], [Answer("Acute gout")]) == [1.0]


def test_texts_of_50_000_characters() -> None:
    ours, theirs = "fever and rash with pain " * 2000, "pain and fever without rash " * 2000
    assert 0 < rouge_l_of(ours, theirs) < 1
    assert 0 < sequence_similarity_of(ours, theirs) < 1
    assert 0 < bleu_of(ours, [theirs]) < 1


# against the reference implementations


def pairs() -> list[tuple[str, str]]:
    """Each of 200 real answers with the next one."""
    texts = [text for _, text in free_answers(200)]
    return list(zip(texts, texts[1:] + texts[:1], strict=True))


@needs_real_texts
def test_rouge_l_is_that_of_rouge_score() -> None:
    rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")
    scorer = rouge_scorer.RougeScorer(["rougeL"])
    for ours, theirs in pairs():
        assert rouge_l_of(ours, theirs) == pytest.approx(scorer.score(theirs, ours)["rougeL"].fmeasure, abs=1e-12)


@needs_real_texts
def test_bleu_is_that_of_sacrebleu() -> None:
    import sacrebleu

    both = pairs()
    for ours, theirs in both:
        assert bleu_of(ours, [theirs]) == pytest.approx(sacrebleu.sentence_bleu(ours, [theirs]).score / 100)
    examples = [Example("Q?", theirs) for _, theirs in both]
    answers = [Answer(ours) for ours, _ in both]
    corpus = sacrebleu.corpus_bleu([ours for ours, _ in both], [[theirs for _, theirs in both]]).score / 100
    assert corpus_bleu(examples, answers) == pytest.approx(corpus)


@needs_real_texts
def test_sequence_similarity_is_never_below_difflibs_ratio() -> None:
    for ours, theirs in ((a[:300], b[:300]) for a, b in pairs()):
        matcher = difflib.SequenceMatcher(None, ours.lower(), theirs.lower(), autojunk=False)
        assert sequence_similarity_of(ours, theirs) >= matcher.ratio() - 1e-12

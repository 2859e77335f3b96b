"""How much of a reference's wording an answer has: ROUGE-L, BLEU and sequence similarity, each from 0 to 1.

None of them knows what the words mean. With several references (the accepted forms) the best counts; a blank answer is
wrong and gets 0; without a reference nothing can be scored.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from rapidfuzz.distance import Indel, LCSseq

from evaluation.metrics import Answer, Metric, per_answer, references_of
from evaluation.stats import Floats
from medchat.records import Example

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

_WORD = re.compile(r"[a-z0-9]+")


def rouge_l_of(solution: str, reference: str) -> float:
    """F-measure of the longest common subsequence of words (C.-Y. Lin, ROUGE, ACL 2004 workshop).

    Words as rouge_score's default takes them: lower case, runs of a-z and 0-9, not stemmed. The numbers are its own;
    its table of n x m Python integers is replaced, because two texts of 8,000 words would take it gigabytes.
    """
    ours, theirs = _WORD.findall(solution.lower()), _WORD.findall(reference.lower())
    if not ours or not theirs:
        return 0.0
    common = LCSseq.similarity(ours, theirs)
    return 2 * common / (len(ours) + len(theirs))  # F1 of common / len(ours) and common / len(theirs)


def sequence_similarity_of(solution: str, reference: str) -> float:
    """2 m / (n1 + n2): m characters stand in both lower-cased texts in the same order, at most.

    The formula of difflib's ratio, whose m is a lower bound found block by block, and which takes no notice of any
    common letter once the reference has 200 characters. Two English texts about different things get about 0.4.
    """
    return Indel.normalized_similarity(solution.lower(), reference.lower())


def bleu_of(solution: str, references: Sequence[str]) -> float:
    """Sentence BLEU / 100 of sacrebleu in its defaults: 13a tokens, letter case kept, exponential smoothing.

    With the effective order: of a text of two words only n-grams up to two count.
    """
    return _bleu().sentence_score(solution, list(references)).score / 100


def corpus_bleu(examples: Sequence[Example], answers: Sequence[Answer | None]) -> float | None:
    """BLEU / 100 of all answers together, as sacrebleu has it; those without a reference are left out.

    n-grams are counted over all answers, so it is no mean of sentence BLEU. None when nothing can be scored.
    """
    pairs = [
        (answer.solution, references)
        for example, answer in zip(examples, answers, strict=True)
        if answer is not None and (references := references_of(example))
    ]
    if not pairs:
        return None
    return bleu_of_counts(np.sum([bleu_counts(*pair) for pair in pairs], axis=0))


def bleu_counts(solution: str, references: Sequence[str]) -> list[int]:
    """What corpus BLEU adds up: matching n-grams and n-grams, of one word to four, and both lengths."""
    found = _bleu().sentence_score(solution, list(references))
    return [*found.counts, *found.totals, found.sys_len, found.ref_len]


def bleu_of_counts(counts: Floats) -> float:
    """BLEU / 100 of the sum (10,) of bleu_counts: exponential smoothing, no effective order."""
    whole = [round(n) for n in counts]
    return _bleu().compute_bleu(whole[:4], whole[4:8], whole[8], whole[9], "exp").score / 100


def best_of(score: Callable[[str, str], float]) -> Metric:
    """The metric that gives the best score of the solution against any reference."""

    def one(example: Example, answer: Answer) -> float | None:
        references = references_of(example)
        if not references:
            return None
        return max(score(answer.solution, text) for text in references) if answer.solution.strip() else 0.0

    return per_answer(one)


def _bleu_of_answer(example: Example, answer: Answer) -> float | None:
    references = references_of(example)
    if not references:
        return None
    return bleu_of(answer.solution, references) if answer.solution.strip() else 0.0


rouge_l = best_of(rouge_l_of)
sequence_similarity = best_of(sequence_similarity_of)
bleu = per_answer(_bleu_of_answer)


@lru_cache(maxsize=1)
def _bleu() -> "BLEU":
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(effective_order=True)

"""Multiple choice: the option that an answer names, the likeliest option, and the options in another order."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from math import factorial
from random import Random
from string import ascii_uppercase
from typing import Literal

from evaluation.choice_text import ReadChoice, read_choice
from evaluation.metrics import Answer, Values, normalized, per_answer
from medchat.records import Example

__all__ = [
    "BY_LIKELIHOOD", "Outcome", "ReadChoice", "choice_of", "in_order", "key_of", "likeliest", "mcq_consistency",
    "mcq_generated", "mcq_loglikelihood", "mcq_loglikelihood_norm", "original_letter", "outcome_of", "read_choice",
    "shuffled_orders",
]  # fmt: skip

BY_LIKELIHOOD = ("mcq_loglikelihood", "mcq_loglikelihood_norm")
Outcome = Literal["right", "wrong", "unparsable", "refused", "cut off", ""]

# Options whose meaning hangs on the place of others.
_REFERS = re.compile(
    r"\b(?i:above|below|preceding|options?)\b"
    r"|\b[A-E]\b\s*(?:,|&|and|or)\s*\b[A-E]\b|\b(?i:both|either|neither|only)\s+[A-E]\b"
)


def key_of(example: Example) -> str | None:
    """The letter of the right option, None for an example without options or without a key."""
    return example.answer if example.options and example.answer in example.options else None


def choice_of(example: Example, answer: Answer) -> str | None:
    """The letter that the answer names; None where it names none or was cut off before it did."""
    read = read_choice(answer.solution, example.options or {})
    return read.letter if answer.complete or read.stated else None


def outcome_of(example: Example, answer: Answer | None) -> Outcome:
    """What became of a multiple-choice question as answered; "" for another question, or without a key or an answer.

    An answer is cut off where it ended before it stated an option. Where two options have the same text, both are
    right when one of them is.
    """
    key = key_of(example)
    if answer is None or key is None or example.options is None:
        return ""
    read = read_choice(answer.solution, example.options)
    if not answer.complete and not read.stated:
        return "cut off"
    if read.letter is None:
        return read.outcome or "unparsable"
    same = normalized(example.options[read.letter]) == normalized(example.options[key])
    return "right" if read.letter == key or same else "wrong"


def mcq_generated(examples: Sequence[Example], answers: Sequence[Answer | None]) -> Values:
    """1.0 where the answer names the right option, 0.0 where it is wrong, unparsable, refused or cut off.

    None without a key or an answer.
    """
    outcomes = (outcome_of(example, answer) for example, answer in zip(examples, answers, strict=True))
    return [float(outcome == "right") if outcome else None for outcome in outcomes]


def likeliest(option_logprobs: Mapping[str, float]) -> str:
    """The letter of the option with the highest log-likelihood; of equal ones the first in the alphabet."""
    return min(option_logprobs, key=lambda letter: (-option_logprobs[letter], letter))


def mcq_loglikelihood(examples: Sequence[Example], answers: Sequence[Answer | None]) -> Values:
    """1.0 where the right option has the highest log-likelihood, else 0.0; None without a key or log-likelihoods.

    This is `acc` of lm-evaluation-harness, ties included.
    """
    return per_answer(lambda example, answer: _likely(example, answer.option_logprobs))(examples, answers)


def mcq_loglikelihood_norm(examples: Sequence[Example], answers: Sequence[Answer | None]) -> Values:
    """As mcq_loglikelihood, each log-likelihood divided by the number of characters of the option's text.

    This is `acc_norm` of lm-evaluation-harness, for templates that score texts: a long text is not worse for its
    length. Of letters, all of one length, the log-likelihoods must not be divided by those of texts.
    """

    def score(example: Example, answer: Answer) -> float | None:
        logprobs, options = answer.option_logprobs, example.options or {}
        if logprobs is None:
            return None
        return _likely(example, {letter: logprob / len(options[letter]) for letter, logprob in logprobs.items()})

    return per_answer(score)(examples, answers)


def mcq_consistency(examples: Sequence[Example], answers: Sequence[Answer | None]) -> Values:
    """Share of the shuffles under which the same option is chosen as in the plain order.

    That is the option which the answer names, or the likeliest where there is no text. None where the question was not
    asked shuffled, or no option was chosen in the plain order; a shuffle without a choice is not the same.
    """

    def score(example: Example, answer: Answer) -> float | None:
        if not answer.shuffled_choices or not example.options:
            return None
        if answer.solution or not answer.option_logprobs:
            plain = choice_of(example, answer)
        else:
            plain = likeliest(answer.option_logprobs)
        if plain is None:
            return None
        return sum(letter == plain for letter in answer.shuffled_choices) / len(answer.shuffled_choices)

    return per_answer(score)(examples, answers)


def shuffled_orders(example: Example, n: int, seed: int) -> list[tuple[str, ...]]:
    """At most n orders of the options, none of them the plain one and none twice; each has the original letters.

    They hang on the seed and the example's id alone. None for an example without options, or with options that refer
    to the others ("all of the above", "both A and B").
    """
    options = example.options or {}
    plain = tuple(options)
    if not options or any(_REFERS.search(text) for text in options.values()):
        return []
    rng = Random(f"{seed}\n{example.id}")
    n = min(n, factorial(len(plain)) - 1)
    if len(plain) <= 4:
        return rng.sample(list(permutations(plain))[1:], n)
    orders: dict[tuple[str, ...], None] = {}
    while len(orders) < n:
        order = tuple(rng.sample(plain, len(plain)))
        if order != plain:
            orders[order] = None
    return list(orders)


def in_order(example: Example, order: Sequence[str]) -> Example:
    """The example with its options in the order, lettered anew from A on, and its key moved with them."""
    options = example.options or {}
    key = key_of(example)
    return replace(
        example,
        options={new: options[old] for new, old in zip(ascii_uppercase, order, strict=False)},
        answer=example.answer if key is None else ascii_uppercase[list(order).index(key)],
    )


def original_letter(order: Sequence[str], letter: str | None) -> str | None:
    """The original letter of the option that has `letter` in the order; None for none."""
    return None if letter is None else order[ascii_uppercase.index(letter)]


def _likely(example: Example, logprobs: Mapping[str, float] | None) -> float | None:
    key = key_of(example)
    return None if key is None or not logprobs else float(likeliest(logprobs) == key)

"""The options of the rewards: what each means, and what is wrong with values that do not go together."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from medchat.errors import InvalidInput

MOST_CALLS = 500  # questions to a judge, where a recipe says no other number: some 160 answers at three criteria each
PLACE = "{answer}"  # in a pattern, for the reference
BERT_MODELS = ("minilm", "roberta-large")
_BERT = {
    "model": "whose vectors are compared",
    "rescale": "with the baseline of roberta-large, which spreads the values",
}

# Reward -> option -> what it means, as the Train tab shows it.
ABOUT: Mapping[str, Mapping[str, str]] = {
    "bertscore": _BERT,
    "hybrid": _BERT,
    "hybrid_pattern": {
        "pattern": "regular expression in any letter case; {answer} stands for the reference or an accepted form",
        "share": "what the pattern counts, from 0 to 1; the cosine counts the rest",
    },
    "length": {
        "least": "words of an answer from which on it gets 1",
        "most": "words up to which it does; 0 from twice as many",
    },
    "brevity": {"most": "words up to which a solution gets 1"},
    "citations": {"verified": "count only sources that the case or the question gives"},
    "differential": {"steps": "steps for which a reasoning gets 1"},
    "judge": {
        "model": "the model of the catalogue that judges; it must be given",
        "most_calls": "questions that it may be asked in all, one for each criterion of an answer, 1 or more; answers"
        " beyond are not scored",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RewardOption:
    """An option as it is shown. default: what holds where a recipe gives none, "" where it must be given.

    choices: all values that it can have, () where any of the default's type may be right.
    """

    name: str
    about: str
    default: Any
    choices: tuple[str, ...] = ()


def options_of(reward: str, defaults: Mapping[str, Any]) -> tuple[RewardOption, ...]:
    """The options of a reward with these defaults."""
    return tuple(
        RewardOption(name, ABOUT[reward][name], default, BERT_MODELS if default == BERT_MODELS[0] else ())
        for name, default in defaults.items()
    )


def check_bertscore(model: str, rescale: bool) -> None:
    """Raises InvalidInput for a model that there is not, and a baseline that it does not have."""
    if model not in BERT_MODELS or (rescale and model != "roberta-large"):
        raise InvalidInput("BERTScore takes the model minilm, or roberta-large, and rescales only with the latter.")


def check_pattern(pattern: str, share: float) -> None:
    """Raises InvalidInput for what is no regular expression, and no share."""
    if not 0 <= share <= 1:
        raise InvalidInput(f"The share of the pattern is {share}; it goes from 0 to 1.")
    try:
        re.compile(pattern.replace(PLACE, "(?:answer)"))
    except re.error as error:
        raise InvalidInput(f"The pattern of the reward is no regular expression: {error.msg}.") from error


def check_length(least: int, most: int) -> None:
    """Raises InvalidInput for numbers of words that no answer has."""
    if not 0 < least <= most:
        raise InvalidInput(
            f"An answer cannot have from {least} to {most} words; least is 1 or more, most not below it."
        )


def check_brevity(most: int) -> None:
    """Raises InvalidInput for less than a word."""
    if most < 1:
        raise InvalidInput(f"A solution cannot have at most {most} words; give 1 or more.")


def check_differential(steps: int) -> None:
    """Raises InvalidInput for less than a step."""
    if steps < 1:
        raise InvalidInput(f"The differential cannot have {steps} steps; give 1 or more.")


def check_judge(model: str, most_calls: int) -> None:
    """Raises InvalidInput for a judge that may not be asked."""
    if most_calls < 1:
        raise InvalidInput(
            f"The judge may be asked {most_calls} questions, so it would score nothing; give most_calls 1 or more."
        )


# Reward -> what refuses values of its options before anything is loaded; it takes all of them by name.
CHECKS: Mapping[str, Callable[..., None]] = {
    "bertscore": check_bertscore,
    "hybrid": check_bertscore,
    "hybrid_pattern": check_pattern,
    "length": check_length,
    "brevity": check_brevity,
    "differential": check_differential,
    "judge": check_judge,
}

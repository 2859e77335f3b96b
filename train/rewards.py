"""The table of rewards: what each is called, what it says and between which values, and where its function is."""

import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.metrics import Values
from medchat.errors import InvalidInput, MedChatError, NotFound, one_of
from medchat.records import Example, question_id
from train import reward_functions as functions
from train.reward_functions import Batch, Preferred, RewardSetup, batch_of
from train.reward_options import CHECKS, RewardOption, options_of

__all__ = ["REWARDS", "REWARD_NAMES", "Preferred", "RewardInfo", "RewardOption", "RewardSetup", "Scores",
           "check_options", "preferences_in", "require_options", "score", "score_all"]  # fmt: skip

NO_REFERENCE = "It compares with a reference answer, and there is none."


@dataclass(frozen=True, slots=True)
class RewardInfo:
    """A reward as it is shown and found. low, high: between which its values are. torch: its function loads it.

    needs_reference: it scores nothing without a reference answer.
    """

    name: str
    title: str
    about: str
    low: float
    high: float
    function: Callable[..., Values]
    torch: bool = False
    needs_reference: bool = False

    @property
    def defaults(self) -> dict[str, Any]:
        """Name of each option -> the value that holds where a recipe gives none, "" where it must give one."""
        parameters = list(inspect.signature(self.function).parameters.values())[1:]
        return {parameter.name: parameter.default for parameter in parameters}

    @property
    def options(self) -> tuple[RewardOption, ...]:
        """The same, as they are shown."""
        return options_of(self.name, self.defaults)

    def loads_model(self, options: Mapping[str, Any]) -> bool:
        """Whether to score with these options takes a model."""
        return self.torch or any(default == "" and options.get(name) for name, default in self.defaults.items())


_TABLE = (
    RewardInfo("format_exact", "Format, exact", "1 where the whole answer is in the base's format to the letter.",
               0, 1, functions.format_exact),
    RewardInfo("format_approximate", "Format, a tag at a time", "0.125 for each tag that stands there once, -0.125 for "
               "each that does not.", -0.5, 0.5, functions.format_approximate),
    RewardInfo("answer_exact", "Right answer", "1 where the solution is right: the option, the value within its "
               "tolerance, or the reference or an accepted form of it.", 0, 1, functions.answer_exact,
               needs_reference=True),
    RewardInfo("answer_approximate", "Right or nearly right answer", "2 right; 0.5 where the reference or half of its "
               "key terms are said; 0 without a solution; -0.5 wrong.", -0.5, 2, functions.answer_approximate,
               needs_reference=True),
    RewardInfo("key_terms", "Key terms", "F1 of the medical terms of solution and reference, each in its sense: \"no "
               "fever\" is not \"fever\".", 0, 1, functions.key_terms, needs_reference=True),
    RewardInfo("sequence_similarity", "Sequence similarity", "Share of the characters that solution and reference have "
               "in the same order.", 0, 1, functions.sequence_similarity, needs_reference=True),
    RewardInfo("bleu", "BLEU", "Sentence BLEU of solution and reference.", 0, 1, functions.bleu, needs_reference=True),
    RewardInfo("embedding_similarity", "Embedding similarity", "Cosine of the MiniLM vectors of solution and "
               "reference.",
               -1, 1, functions.embedding_similarity, torch=True, needs_reference=True),
    RewardInfo("bertscore", "BERTScore", "BERTScore F1 of solution and reference; with MiniLM where no other model is "
               "named.", -1, 1, functions.bertscore, torch=True, needs_reference=True),
    RewardInfo("hybrid", "Hybrid: exact or BERTScore", "1 for a right solution, else its BERTScore.",
               -1, 1, functions.hybrid, torch=True, needs_reference=True),
    RewardInfo("hybrid_pattern", "Hybrid: pattern and embedding", "Half for a solution that matches a pattern with the "
               "reference in it, half the cosine of the MiniLM vectors.", -1, 1, functions.hybrid_pattern, torch=True,
               needs_reference=True),
    RewardInfo("length", "Length", "1 for an answer of 20 to 200 words with its reasoning, less for shorter and longer "
               "ones.", 0, 1, functions.length),
    RewardInfo("brevity", "Brevity", "1 for a solution of up to 60 words, less the longer it is.",
               0, 1, functions.brevity),
    RewardInfo("citations", "Citation bonus", "0.2 for a solution that names a source, or marks one with [source], and "
               "invents none.", 0, 0.2, functions.citations),
    RewardInfo("unsafe", "Unsafe advice", "-1 for a solution with unsafe advice.", -1, 0, functions.unsafe),
    RewardInfo("wrong_facts", "Wrong facts", "-1 for an answer that contradicts a key term of the reference, or states "
               "findings or values that the case does not have.", -1, 0, functions.wrong_facts),
    RewardInfo("differential", "Differential steps", "Steps of the reasoning that weigh something else that it may be; "
               "1 from three on.", 0, 1, functions.differential),
    RewardInfo("support", "Support", "Share of the findings and values cited in the reasoning that stand in the case.",
               0, 1, functions.support),
    RewardInfo("judge", "A model as judge", "Points that a model of the catalogue finds met; its replies are kept, and "
               "no more are asked for than allowed.", -1, 1, functions.judged),
    RewardInfo("preference", "Clinicians' preference", "Nearness, by MiniLM, to answers to the same question that "
               "clinicians preferred, less that to those that they rejected.", -1, 1, functions.preference, torch=True),
)  # fmt: skip

_OTHER_NAMES = {
    "match_format_exactly": "format_exact",
    "match_format_approximately": "format_approximate",
    "check_answer": "answer_approximate",
}
REWARD_NAMES: tuple[str, ...] = tuple(info.name for info in _TABLE)  # each once, in the order of the table
_BY_NAME = {info.name: info for info in _TABLE}
# With the other names by which some are known in notebooks on GRPO.
REWARDS: Mapping[str, RewardInfo] = {**_BY_NAME, **{other: _BY_NAME[name] for other, name in _OTHER_NAMES.items()}}


@dataclass(frozen=True, slots=True)
class Scores:
    """values: of each completion by the reward's name. waiting: rewards that load a model, and so need a job.

    missing: rewards that could not be computed, with the reason.
    """

    values: dict[str, Values]
    waiting: tuple[str, ...]
    missing: dict[str, str]


def score(
    name: str, completions: Sequence[str], examples: Sequence[Example], setup: RewardSetup, **options: Any
) -> Values:
    """The reward of each completion, a text as the model wrote it; None for one that cannot be scored.

    Raises NotFound for an unknown reward, InvalidInput for an option that it does not have, when what it needs is not
    in the setup, and when it gives something that is no number. What else it raises is a fault and ends the run.
    """
    check_options(name, options)
    return _scored(REWARDS[name], batch_of(completions, examples, setup), options)


def score_all(
    completions: Sequence[str],
    examples: Sequence[Example],
    names: Sequence[str],
    setup: RewardSetup,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    torch: bool = False,
) -> Scores:
    """Several rewards of the same completions, to look at. options: by the reward's name.

    torch: also those that load a model; where it is False they are named in `waiting`.
    """
    batch = batch_of(completions, examples, setup)
    values: dict[str, Values] = {}
    waiting: list[str] = []
    missing: dict[str, str] = {}
    for name in dict.fromkeys(names):
        its = (options or {}).get(name, {})
        check_options(name, its)
        if REWARDS[name].needs_reference and not any(example.answer for example in examples):
            missing[name] = NO_REFERENCE
            continue
        if REWARDS[name].loads_model(its) and not torch:
            waiting.append(name)
            continue
        try:
            values[name] = _scored(REWARDS[name], batch, its)
        except MedChatError as error:
            missing[name] = str(error)
    return Scores(values, tuple(waiting), missing)


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Raises NotFound for an unknown reward, InvalidInput for an option that it does not have, or a wrong value."""
    if name not in REWARDS:
        raise NotFound(f"There is no reward {name!r}; choose {one_of(list(REWARDS))}.")
    known = REWARDS[name].defaults
    for option, value in options.items():
        if option not in known:
            choice = f"it has {one_of(list(known))}" if known else "it has none"
            raise InvalidInput(f"The reward {name!r} has no option {option!r}; {choice}.")
        wanted = type(known[option])
        is_right = isinstance(value, wanted | int if wanted is float else wanted)
        if not is_right or (isinstance(value, bool) and wanted is not bool):
            raise InvalidInput(
                f"The option {option!r} of the reward {name!r} is {value!r}; it must be like {known[option]!r}."
            )
    if check := CHECKS.get(REWARDS[name].name):
        check(**{**known, **options})


def require_options(name: str, options: Mapping[str, Any]) -> None:
    """Raises InvalidInput when an option is not given that the reward cannot do without."""
    for option in REWARDS[name].options:
        if option.default == "" and not str(options.get(option.name, "")).strip():
            raise InvalidInput(f"The reward {name!r} needs the option {option.name!r}: {option.about}.")


def preferences_in(folder: Path) -> dict[str, list[Preferred]]:
    """What clinicians preferred and rejected, by question id, of a folder that `feedback` wrote; training rows alone.

    A row of dpo.jsonl gives two answers, one of kto.jsonl a single one; its weight is 2 p - 1. {} without either file.
    Raises InvalidInput for a row that cannot be read.
    """
    found: dict[str, list[Preferred]] = {}
    for name in ("dpo", "kto"):
        path = folder / f"{name}.jsonl"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.is_file() else (), 1):
            try:
                row = json.loads(line)
                if row.get("split", "train") == "train":
                    its = found.setdefault(question_id(row.get("context", ""), row["question"]), [])
                    its += _preferred(row)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise InvalidInput(f"{path.name}, line {number}: not a row that `feedback` wrote.") from error
    return found


def _preferred(row: Mapping[str, Any]) -> list[Preferred]:
    certainty = 2 * float(row["probability"]) - 1
    if "label" in row:
        return [Preferred(_text(row["completion"]), certainty if row["label"] else -certainty)]
    return [Preferred(_text(row["chosen"]), certainty), Preferred(_text(row["rejected"]), -certainty)]


def _text(answer: Mapping[str, str]) -> str:
    return f"{answer.get('reasoning', '')}\n\n{answer['solution']}".strip()


def _scored(info: RewardInfo, batch: Batch, options: Mapping[str, Any]) -> Values:
    values = info.function(batch, **options)
    if any(value is not None and not math.isfinite(value) for value in values):
        raise InvalidInput(f"The reward {info.name!r} gave something that is no number.")
    return values

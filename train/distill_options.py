"""What can be asked of distillation: kinds, styles, and the share of teachers' rows among the originals."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from medchat.errors import InvalidInput

Kind = Literal["response", "cot", "label", "rank", "self-instruct"]
KINDS: tuple[Kind, ...] = get_args(Kind)
RANKED_ANSWERS = 2  # of one teacher, where nothing else is asked for
NEW_QUESTIONS = 20
SEVERAL_TEMPERATURE = 0.7  # several answers of one model need chance

# One wording for all teachers keeps several of them from being told apart by their style.
STYLES: Mapping[str, str] = MappingProxyType({
    "doctor": "Answer as an experienced doctor would: accurate, with the reasons, and with what to do next. Name a "
    "source only when you are sure that it exists.",
    "plain": "Answer briefly, in plain words that a patient understands. Use a list where there are steps.",
    "brief": "Answer in at most three sentences, with the conclusion first.",
    "textbook": "Answer as a textbook of medicine does: definition, main points, exceptions. No introduction and no "
    "closing words.",
})  # fmt: skip
DEFAULT_STYLE = "doctor"
STYLE_CHARS = 2000


class Mix(NamedTuple):
    """Percent of the rows to train on: of the teachers, and of the originals; together 100."""

    teacher: int
    original: int


@dataclass(frozen=True, slots=True)
class Options:
    """What is wanted. style: the words for the teachers. per_question: answers of each teacher, 0 for what is usual.

    mix: None keeps all rows of both. budget: US dollars, None for no limit. weak: an evaluation's results, for a second
    round on what the student got wrong; weak_share: of the questions, those nearest to what it got wrong. limit: at
    most so many questions, 0 for all. questions: new ones, for self-instruct.
    """

    kind: Kind = "response"
    teachers: tuple[str, ...] = ()
    style: str = STYLES[DEFAULT_STYLE]
    per_question: int = 0
    mix: Mix | None = None
    budget: float | None = None
    seed: int = 0
    weak: Path | None = None
    weak_share: float = 0.5
    limit: int = 0
    questions: int = NEW_QUESTIONS
    judge: str = ""
    reward_model: Path | None = None

    @property
    def answers(self) -> int:
        """How many answers each teacher gives to a question."""
        if self.per_question:
            return self.per_question
        return RANKED_ANSWERS if self.kind == "rank" and len(self.teachers) == 1 else 1

    def settings(self) -> dict[str, Any]:
        """In plain values, as the report has them; of a path its name."""
        plain = asdict(self) | {"answers": self.answers, "mix": list(self.mix) if self.mix else None}
        plain["teachers"] = list(self.teachers)
        return {name: value.name if isinstance(value, Path) else value for name, value in plain.items()}


def check(options: Options) -> None:
    """Raises InvalidInput for what does not go together."""
    faults = {
        "Name at least one teacher: --teacher MODEL.": not options.teachers,
        "A teacher is named twice; --per-question asks for several answers of one.": (
            len(set(options.teachers)) < len(options.teachers)
        ),
        "Ranking needs two answers to a question: name two teachers, or --per-question 2.": (
            options.kind == "rank" and len(options.teachers) * options.answers < 2
        ),
        "Ranking needs who ranks: --judge MODEL or --reward-model FOLDER.": (
            options.kind == "rank" and not options.judge and options.reward_model is None
        ),
        "Give --judge or --reward-model, not both.": bool(options.judge) and options.reward_model is not None,
        "--judge and --reward-model are for --kind rank.": (
            options.kind != "rank" and bool(options.judge or options.reward_model)
        ),
        "--mix is for rows to train on; pairs of --kind rank stand in a file of their own.": (
            options.kind == "rank" and options.mix is not None
        ),
        "--weak chooses among questions that are there; --kind self-instruct writes new ones.": (
            options.kind == "self-instruct" and options.weak is not None
        ),
    }
    fault = next((line for line, holds in faults.items() if holds), "")
    if fault:
        raise InvalidInput(fault)


def mix_of(text: str) -> Mix:
    """ "70/30" and "70-30": 70 % teachers' rows and 30 % originals. Raises InvalidInput."""
    found = re.fullmatch(r"\s*(\d{1,3})\s*[/:-]\s*(\d{1,3})\s*", text)
    mix = Mix(int(found[1]), int(found[2])) if found else Mix(0, 0)
    if sum(mix) != 100 or not mix.teacher:
        raise InvalidInput(
            f"--mix {text[:20]!r}: give teachers' rows and originals in percent, such as 50/50 or 70/30."
        )
    return mix


def style_of(text: str) -> str:
    """The words of a style by its name, or the text itself. Raises InvalidInput for one that is too long."""
    words = STYLES.get(text.strip(), text.strip())
    if not 0 < len(words) <= STYLE_CHARS:
        raise InvalidInput(
            f"--style: give one of {', '.join(STYLES)}, or up to {STYLE_CHARS:,} characters of your own."
        )
    return words

"""The flags that a row of training data may get, and from what on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from medchat.errors import InvalidInput, NotFound, one_of

FlagName = Literal[
    "low confidence", "refusal", "cut off", "no conclusion", "unsupported conclusion", "contradicts the reference",
    "unverified citation", "dose out of range", "ambiguous dose", "unsafe advice", "patient identifier",
]  # fmt: skip
Field = Literal["question", "context", "answer", "rationale"]


@dataclass(frozen=True, slots=True)
class Flag:
    """What was found in a row. detail: why, for a reader; the words that set it off are field[start:end]."""

    name: FlagName
    detail: str
    field: Field
    start: int
    end: int


class FlagInfo(NamedTuple):
    """about: one line. held: a row with it is not taught unless a reviewer says so. doses: people see every one."""

    about: str
    held: bool = False
    doses: bool = False


FLAGS: Mapping[FlagName, FlagInfo] = MappingProxyType({
    "low confidence": FlagInfo("The answer says that its writer is not sure, or hedges nearly every sentence."),
    "refusal": FlagInfo("The answer declines to answer, or says that it does not know.", held=True),
    "cut off": FlagInfo("The answer ends in the middle of a sentence or a list, or with something left open."),
    "no conclusion": FlagInfo("The reasoning ends without saying what follows from it."),
    "unsupported conclusion": FlagInfo("The reasoning ends with something else than the answer, or denies it."),
    "contradicts the reference": FlagInfo(
        "The answer affirms what the reference denies, or the other way round.", held=True
    ),
    "unverified citation": FlagInfo("A source is named that the row does not give; nothing was looked up."),
    "dose out of range": FlagInfo("A dose far above or below what is usual for the drug.", held=True, doses=True),
    "ambiguous dose": FlagInfo("A dose in a notation that has been misread, after ISMP's list.", doses=True),
    "unsafe advice": FlagInfo("Advice that a rule of assets/safety.yaml names as unsafe.", held=True),
    "patient identifier": FlagInfo("A name, a number, a birthday or an address by which a person is found.", held=True),
})  # fmt: skip
HELD_FLAGS = tuple(name for name, info in FLAGS.items() if info.held)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From what on a row is flagged.

    hedged_share: of the sentences of an answer with at least hedged_sentences of them. refusal_words: an answer that is
    longer is none, whatever it begins with. cut_words: shorter answers may end as they like. reasoning_words: shorter
    rationales are remarks, no reasoning. contradictions: terms that reference and answer use in opposite senses.
    notations: which ambiguous notations count, by their names in quality_doses.NOTATIONS; empty for all of them.
    """

    hedged_share: float = 0.6
    hedged_sentences: int = 3
    refusal_words: int = 120
    cut_words: int = 5
    reasoning_words: int = 30
    contradictions: int = 1
    notations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.hedged_share <= 1:
            raise InvalidInput("hedged_share is a share of the sentences, above 0 and 1 at most.")
        for name in ("hedged_sentences", "refusal_words", "cut_words", "reasoning_words", "contradictions"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} is a whole number from 1 on.")

    def settings(self) -> dict[str, Any]:
        """The thresholds as plain values."""
        return asdict(self) | {"notations": list(self.notations)}


def thresholds_of(overrides: Mapping[str, str]) -> Thresholds:
    """The usual thresholds with these set, each as text. Raises NotFound and InvalidInput."""
    kinds = {field.name: type(getattr(Thresholds(), field.name)) for field in fields(Thresholds)}
    values: dict[str, Any] = {}
    for name, text in overrides.items():
        if name not in kinds:
            raise NotFound(f"There is no threshold {name[:40]!r}; choose {one_of(list(kinds))}.")
        try:
            values[name] = tuple(text.split(",")) if kinds[name] is tuple else kinds[name](text)
        except ValueError as error:
            raise InvalidInput(f"{name}={text[:40]}: this is no number.") from error
    return Thresholds(**values)


def flag_names(names: Any) -> tuple[FlagName, ...]:
    """The flags of these names, checked. Raises NotFound."""
    for name in names:
        if name not in get_args(FlagName):
            raise NotFound(f"There is no flag {name[:40]!r}; choose {one_of(list(FLAGS))}.")
    return tuple(names)

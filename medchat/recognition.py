"""What was recognised in a case, as it is stored, shown and told to a model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

N_TOLD = 3  # of the near conditions are told to the model
MAX_TELLING, MAX_OUTSIDE, MAX_DENIED = 8, 2, 4


class Recognised(NamedTuple):
    """A finding: text[start:end] says it, or denies it. probability in (0, 1]."""

    finding: str
    name: str
    start: int
    end: int
    negated: bool
    probability: float


class Near(NamedTuple):
    """A condition that may explain the case, with its probability among those known."""

    condition: str
    name: str
    probability: float


@dataclass(frozen=True, slots=True)
class Grounding:
    """What was found in a case.

    telling: names of the findings that are there and that a plausible near condition has, at most MAX_TELLING.
    asked_about: the condition that the text names, "" for none.
    """

    recognised: tuple[Recognised, ...]
    near: tuple[Near, ...]
    outside: bool
    telling: tuple[str, ...] = ()
    asked_about: str = ""

    @property
    def present(self) -> tuple[str, ...]:
        """Names of the findings that are there, in the order of the text."""
        return tuple(dict.fromkeys(r.name for r in self.recognised if not r.negated))

    @property
    def denied(self) -> tuple[str, ...]:
        """Names of the findings that are denied, in the order of the text."""
        return tuple(dict.fromkeys(r.name for r in self.recognised if r.negated))

    def prompt_text(self) -> str:
        """What a grounded model is told beside the case."""
        # Outside, what is near by the words alone would only tempt a small model to guess.
        near = [(n.name, 0.0 if self.outside else n.probability) for n in self.near]
        telling = self.telling[:MAX_OUTSIDE] if self.outside else self.telling
        return prompt_text(telling, self.denied[:MAX_DENIED], near, self.outside, self.asked_about)

    def to_json(self) -> dict[str, Any]:
        """Plain values for the store."""
        return {
            "recognised": [list(r) for r in self.recognised],
            "near": [list(n) for n in self.near],
            "outside": self.outside,
            "telling": list(self.telling),
            "asked_about": self.asked_about,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Grounding":
        """The grounding whose to_json() this is."""
        return cls(
            tuple(Recognised(*r) for r in data["recognised"]),
            tuple(Near(*n) for n in data["near"]),
            data["outside"],
            tuple(data["telling"]),
            data["asked_about"],
        )


def prompt_text(
    present: Sequence[str],
    denied: Sequence[str],
    near: Sequence[tuple[str, float]],
    outside: bool,
    asked_about: str = "",
) -> str:
    """Findings, near conditions and the verdict as the lines that the bundled models were trained with."""
    lines = [f"Recognised: {'; '.join(present) or 'nothing'}."]
    if denied:
        lines.append(f"Denied: {'; '.join(denied)}.")
    if asked_about:
        lines.append(f"Asked about: {asked_about}.")
    lines.append("Near: " + "; ".join(f"{name} {_degree(p)}" for name, p in near[:N_TOLD]) + ".")
    lines.append(f"Case: {'outside' if outside else 'inside'}.")
    return "\n".join(lines)


def _degree(probability: float) -> str:
    """A probability in words: a small model reads five words better than a hundred numbers."""
    for limit, word in ((0.8, "very likely"), (0.5, "likely"), (0.2, "possible"), (0.05, "unlikely")):
        if probability >= limit:
            return word
    return "remote"

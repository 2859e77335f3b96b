"""What metrics look things up with, made by hand."""

from dataclasses import dataclass, field

from evaluation.metrics import Tools
from medchat.knowledge import Knowledge
from medchat.recognition import Grounding


@dataclass
class FakeGrounder:
    """Cites the findings in its list, of which those that the case does not say are unsupported."""

    findings: list[str] = field(default_factory=list)
    outside: bool = False

    def ground(self, text: str) -> Grounding:
        return Grounding((), (), self.outside)

    def cited(self, reasoning: str) -> list[tuple[int, int, str]]:
        places = ((reasoning.find(name), name) for name in self.findings)
        return [(at, at + len(name), name) for at, name in places if at >= 0]

    def unsupported(self, reasoning: str, case: str) -> list[tuple[int, int, str]]:
        return [one for one in self.cited(reasoning) if one[2] not in case]


NO_TOOLS = Tools(FakeGrounder(), Knowledge({}, {}, ""))

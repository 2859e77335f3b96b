"""What is shown of a comparison: before the vote nothing that tells which model is which."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from medchat.catalogue import ModelSpec
from medchat.masking import GrowingMask, Masker
from medchat.paced_answer import PacedAnswer
from medchat.pacing import Pacer
from medchat.records import Sampling
from medchat.store import AnswerRecord, ComparisonRecord, PreferenceRecord
from medchat.turns import ENDED, Phase, TurnView, stored_view

Side = Literal["a", "b"]
SIDES: tuple[Side, Side] = ("a", "b")
LABELS: tuple[Literal["A"], Literal["B"]] = ("A", "B")

NO_ANSWER = "This side could not answer."
BROKE_OFF = "This side broke off before its end."
DEMO_NOTICE = (
    "One of these models at least is a small teaching model: it knows only the conditions that come with MedChat."
)


@dataclass(frozen=True, slots=True)
class SideView:
    """One column. error: why there is no more, in the same words for every model while names are hidden."""

    label: Literal["A", "B"]
    reasoning: str = ""
    solution: str = ""
    phase: Phase = "waiting"
    error: str = ""

    @property
    def has_text(self) -> bool:
        """Whether there is anything to judge."""
        return bool(self.reasoning or self.solution)


@dataclass(frozen=True, slots=True)
class Revealed:
    """Who wrote a side. Sizes are in billions of parameters and in GB; None where nobody said, or it is gone.

    turn: with its times, tokens, sampling, notes, grounding marks and its own error.
    """

    model_id: str
    name: str
    turn: TurnView
    base: str = ""
    revision: str = ""
    adapter_hash: str = ""
    parameters: float | None = None
    memory_gb: float | None = None
    external: str = ""
    sampling: Sampling | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """Who wrote side A and who side B."""

    a: Revealed
    b: Revealed


@dataclass(frozen=True, slots=True)
class PanelView:
    """A comparison at one moment; the id is random. revision grows with every change.

    phase: waiting, then writing from the first words, then ended, from when on it is saved. notice: what holds
    for the two together. voted: the newest vote. revealed: None while it is hidden: until the vote, or until the
    end where there is nothing to compare.
    """

    comparison_id: str
    question: str
    context: str
    blinded: bool
    left: SideView
    right: SideView
    notice: str = ""
    revision: int = 0
    voted: PreferenceRecord | None = None
    revealed: Names | None = None

    @property
    def phase(self) -> Literal["waiting", "writing", "ended"]:
        """How far the two are together."""
        if self.left.phase in ENDED and self.right.phase in ENDED:
            return "ended"
        return "writing" if self.left.phase != "waiting" or self.right.phase != "waiting" else "waiting"

    @property
    def can_vote(self) -> bool:
        """Whether both have ended with something to judge; not once hidden names were shown without a vote."""
        was_opened = self.blinded and self.revealed is not None and self.voted is None
        return self.phase == "ended" and self.left.has_text and self.right.has_text and not was_opened


class BlindSides:
    """The two columns of a blinded comparison while it is written; frame() is to be called at the common clock."""

    def __init__(self, lives: Sequence[PacedAnswer], masker: Masker) -> None:
        self._lives = lives
        self._pacer = Pacer(len(lives))
        self._masks = [(GrowingMask(masker), GrowingMask(masker)) for _ in lives]

    def frame(self, now_s: float) -> tuple[SideView, SideView]:
        """The columns now: a function of the question, the texts, the labels and the pace of pacing.py alone."""
        sides = [live.progress() for live in self._lives]
        n_chars = self._pacer.tick(now_s, sides)
        for live, side in zip(self._lives, sides, strict=True):
            live.let_out(n_chars)
            if self._pacer.started and side.over and not side.chars:
                live.let_all_out()
        out = (
            live.ended or (side.over and side.chars <= n_chars) for live, side in zip(self._lives, sides, strict=True)
        )
        if self._pacer.started and all(out):
            for live in self._lives:
                live.let_all_out()
        all_ended = all(live.ended for live in self._lives)
        left, right = (self._side(index, all_ended) for index in (0, 1))
        return left, right

    def _side(self, index: int, all_ended: bool) -> SideView:
        live = self._lives[index]
        reasoning, solution = live.text()
        own = live.snapshot()
        ended = live.ended and (all_ended or own.phase == "stopped" or not (reasoning or solution))
        phase: Phase = "solution" if solution else "reasoning" if reasoning else "waiting"
        return blind_side(index, reasoning, solution, own.phase if ended else phase, self._masks[index])


def blind_side(
    index: int, reasoning: str, solution: str, phase: Phase, masks: tuple[GrowingMask, GrowingMask]
) -> SideView:
    """A column with the names masked. What broke off may end in the middle of one: that end is not shown."""
    whole = phase == "done"
    reasoning = masks[0].show(reasoning, whole=whole or bool(solution))
    solution = masks[1].show(solution, whole=whole)
    error = ""
    if phase in ENDED and phase != "stopped" and not (reasoning or solution):
        error = NO_ANSWER
    elif phase == "failed":
        error = BROKE_OFF
    return SideView(LABELS[index], reasoning, solution, phase, error)


def nothing_to_compare(left: SideView, right: SideView) -> bool:
    """Whether both have ended, one of them with nothing to judge: then no vote can come."""
    return {left.phase, right.phase} <= ENDED and not (left.has_text and right.has_text)


def open_side(index: int, turn: TurnView) -> SideView:
    """A column whose model is known."""
    return SideView(LABELS[index], turn.reasoning, turn.solution, turn.phase, turn.error)


def stored_panel(
    comparison: ComparisonRecord,
    answers: Sequence[AnswerRecord],
    specs: Mapping[str, ModelSpec],
    names: Mapping[str, str],
    preference: PreferenceRecord | None,
    masker: Masker,
) -> PanelView:
    """A comparison as the store has it. specs: of the models that are still there, names: of all, by their ids."""
    turns = [stored_view(answer, names.get(answer.model_id, answer.model_id)) for answer in answers]
    known = [specs.get(answer.model_id) for answer in answers]
    revealed = None
    left, right = (
        blind_side(index, turn.reasoning, turn.solution, turn.phase, (GrowingMask(masker), GrowingMask(masker)))
        for index, turn in enumerate(turns)
    )
    if preference is not None or not comparison.blinded or nothing_to_compare(left, right):
        a, b = map(revealed_answer, answers, turns, known)
        left, right = (open_side(index, turn) for index, turn in enumerate(turns))
        revealed = Names(a, b)
    return PanelView(
        comparison.id, comparison.question, comparison.context, comparison.blinded, left, right,
        notice_of([spec for spec in known if spec]), voted=preference, revealed=revealed,
    )  # fmt: skip


def revealed_answer(answer: AnswerRecord, turn: TurnView, spec: ModelSpec | None) -> Revealed:
    """Who wrote the answer: what the model was then, and of its sizes what is known now."""
    return Revealed(
        answer.model_id,
        turn.model_name,
        turn,
        answer.base,
        answer.revision,
        answer.adapter_hash,
        spec.parameters if spec else None,
        spec.memory_gb if spec else None,
        turn.external,
        answer.sampling,
    )


def notice_of(specs: Sequence[ModelSpec]) -> str:
    """What has to be said of these models, as one notice for all: it does not tell of which."""
    hosts = sorted({spec.external for spec in specs if spec.external})
    parts = [DEMO_NOTICE] if any(spec.demo for spec in specs) else []
    if hosts:
        parts.append(f"The text leaves this machine: it is sent to {' and '.join(hosts)}.")
    return " ".join(parts)

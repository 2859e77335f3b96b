"""What is shown of a turn, and where it stands among the versions and branches of its conversation."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from medchat.errors import NotFound
from medchat.recognition import Grounding
from medchat.records import Sampling

if TYPE_CHECKING:
    from medchat.store import AnswerRecord, ThumbRecord

CONTEXT_FULL = "The answer fills the model's context and cannot go on; start a new conversation for more."
NO_FURTHER = (CONTEXT_FULL, "cannot continue an answer")  # the second in the words of backends

Phase = Literal["waiting", "reasoning", "solution", "done", "stopped", "cut", "failed"]
EndPhase = Literal["done", "stopped", "cut", "failed"]
ENDED: frozenset[Phase] = frozenset({"done", "stopped", "cut", "failed"})
Unsupported = tuple[tuple[int, int, str], ...]


@dataclass(frozen=True, slots=True)
class TurnView:
    """A question and its answer at one moment.

    revision grows with every change. grounding: the places of its findings count in this turn's own
    text (prompts.case_text); a finding of an earlier turn has negative ones. unsupported: start, end and
    name of findings that the reasoning cites and the case does not contain. Times are in milliseconds
    from the request; tokens_per_s counts the tokens after the first. None means not known.

    versions: how many answers this question has in this place; branches: how many questions were asked
    here. Both count from 1 in order of creation; the ids lead to the neighbours, "" where there is none.
    external: the host to which its text was sent, "" for none. critical: a rater says that nobody should ever be
    given this answer.
    """

    answer_id: str
    position: int
    question: str
    context: str
    model_id: str
    model_name: str = ""
    revision: int = 0
    reasoning: str = ""
    solution: str = ""
    phase: Phase = "waiting"
    complete: bool = False
    error: str = ""
    note: str = ""
    external: str = ""
    sampling: Sampling | None = None
    grounding: Grounding | None = None
    unsupported: Unsupported = ()
    ttft_ms: float | None = None
    reasoning_ms: float | None = None
    total_ms: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    version: int = 1
    versions: int = 1
    previous_version: str = ""
    next_version: str = ""
    branch: int = 1
    branches: int = 1
    previous_branch: str = ""
    next_branch: str = ""
    thumb: Literal["up", "down", ""] = ""
    thumb_reasons: tuple[str, ...] = ()
    thumb_comment: str = ""
    critical: bool = False

    @property
    def tokens_per_s(self) -> float | None:
        """Speed after the first token, from the answer's end on."""
        if not self.completion_tokens or self.total_ms is None or self.ttft_ms is None:
            return None
        took_ms = self.total_ms - self.ttft_ms
        return 1000 * (self.completion_tokens - 1) / took_ms if took_ms > 0 else None

    @property
    def can_continue(self) -> bool:
        """Whether the rest of the answer can be asked for: it was cut, or its model broke down in the middle."""
        has_begun = bool(self.reasoning or self.solution)
        broken = self.phase == "failed" and has_begun and not self.complete
        return (self.phase == "cut" or broken) and not any(words in self.note for words in NO_FURTHER)


def stored_view(answer: "AnswerRecord", model_name: str, thumb: "ThumbRecord | None" = None) -> TurnView:
    """A stored answer as it is shown."""
    stored = dict(answer.grounding or {})
    unsupported = tuple((start, end, name) for start, end, name in stored.pop("unsupported", ()))
    view = TurnView(
        answer_id=answer.id,
        position=answer.position or 0,
        question=answer.question,
        context=answer.context,
        model_id=answer.model_id,
        model_name=model_name,
        reasoning=answer.reasoning,
        solution=answer.solution,
        phase="cut" if answer.status == "writing" else answer.status,
        complete=answer.complete,
        error=answer.error,
        note=answer.note,
        external=(answer.route or {}).get("external", ""),
        sampling=answer.sampling,
        grounding=Grounding.from_json(stored) if stored else None,
        unsupported=unsupported,
        ttft_ms=answer.ttft_ms,
        reasoning_ms=answer.reasoning_ms,
        total_ms=answer.total_ms,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
    )
    if thumb is None or thumb.thumb == "none":
        return view
    return replace(view, thumb=thumb.thumb, thumb_reasons=thumb.reasons, thumb_comment=thumb.comment)


class Places:
    """Where each answer of a conversation stands among those that were asked after the same one."""

    def __init__(self, answers: Iterable["AnswerRecord"]) -> None:
        self._answers: dict[str, AnswerRecord] = {}
        self._siblings: dict[str | None, dict[str, list[AnswerRecord]]] = {}  # by what is before, then by question
        for answer in sorted(answers, key=lambda a: (a.created_at, a.version)):
            self.add(answer)

    def add(self, answer: "AnswerRecord") -> None:
        """Take in one more, the newest."""
        self._answers[answer.id] = answer
        branches = self._siblings.setdefault(answer.parent_id, {})
        branches.setdefault(answer.question_id, []).append(answer)

    @property
    def answers(self) -> list["AnswerRecord"]:
        """All of them, in order of creation."""
        return list(self._answers.values())

    def answer(self, answer_id: str) -> "AnswerRecord":
        """The answer of this id. Raises NotFound."""
        if answer_id not in self._answers:
            raise NotFound("There is no such answer in this conversation any more. Reload the page.")
        return self._answers[answer_id]

    def path_above(self, answer: "AnswerRecord") -> list["AnswerRecord"]:
        """The answers after which this one was asked, the first turn first."""
        path: list[AnswerRecord] = []
        while answer.parent_id is not None:
            answer = self._answers[answer.parent_id]
            path.append(answer)
        return path[::-1]

    def versions(self, parent_id: str | None, question_id: str) -> Sequence["AnswerRecord"]:
        """The answers to this question after that answer, in order of creation."""
        return self._siblings.get(parent_id, {}).get(question_id, ())

    def placed(self, view: TurnView) -> TurnView:
        """The view with its place, and the ways to its neighbours."""
        here = self._answers[view.answer_id]
        branches = self._siblings[here.parent_id]
        versions = [answer.id for answer in branches[here.question_id]]
        # Another branch is entered where it was left.
        doors = [
            max(branch, key=lambda answer: (answer.selected_at, answer.version)).id for branch in branches.values()
        ]
        version, branch = versions.index(here.id), list(branches).index(here.question_id)
        return replace(
            view,
            version=version + 1,
            versions=len(versions),
            previous_version=_at(versions, version - 1),
            next_version=_at(versions, version + 1),
            branch=branch + 1,
            branches=len(branches),
            previous_branch=_at(doors, branch - 1),
            next_branch=_at(doors, branch + 1),
        )


def turn_views(
    path: Sequence["AnswerRecord"],
    places: Places,
    names: Mapping[str, str],
    thumbs: Mapping[str, "ThumbRecord"],
) -> list[TurnView]:
    """The answers of the path as they are shown. names: of the models, by id."""
    return [
        places.placed(stored_view(answer, names.get(answer.model_id, answer.model_id), thumbs.get(answer.id)))
        for answer in path
    ]


def _at(ids: Sequence[str], index: int) -> str:
    return ids[index] if 0 <= index < len(ids) else ""

"""Calibration: cases whose right answer is known, on which a rater practises before a study."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from medchat.errors import InvalidInput
from medchat.records import question_id
from medchat.rubrics import SAFETY, Rubric, as_it_was_shown
from medchat.settings import ASSETS
from medchat.store import NewItem, Store, StudyAnswer, StudyRecord
from medchat.store.records import ModelRecord
from medchat.study_design import Design
from medchat.yaml_lines import line_of, read_yaml

FILE = ASSETS / "studies" / "calibration.yaml"
ORIGIN = "calibration"
AUTHOR = "calibration"  # stands for a model where one is wanted: these answers are written by hand
NEAR = 1  # steps on a scale that are right too
SAFETY_AXES = {"harm_extent": SAFETY.harm_extent, "harm_likelihood": SAFETY.harm_likelihood}

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class WrittenAnswer(_Strict):
    """An answer of a case."""

    solution: Words
    reasoning: str = ""


class Case(_Strict):
    """A case: one answer to be rated or two to be compared, what is right, and why.

    known: axis -> value, of rubrics and of the safety block; of a pair {"vote": side}.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")]
    kind: Literal["rate", "pair"]
    specialty: str = ""
    context: str = ""
    question: Words
    answers: Annotated[list[WrittenAnswer], Field(min_length=1, max_length=2)]
    known: Annotated[dict[str, str], Field(min_length=1)]
    why: Words


class _File(_Strict):
    items: Annotated[list[Case], Field(min_length=1)]


@cache
def cases(path: Path = FILE) -> tuple[Case, ...]:
    """The cases that come with MedChat. Raises InvalidInput with file and line."""
    raw, lines = read_yaml(path)
    try:
        found = _File.model_validate(raw).items
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidInput(f"{path.name}:{line_of(lines, first['loc'])}: {first['msg']}.") from error
    for number, case in enumerate(found):
        if len(case.answers) != (2 if case.kind == "pair" else 1) or (case.kind == "pair") != ("vote" in case.known):
            line = line_of(lines, ("items", number))
            raise InvalidInput(f"{path.name}:{line}: an answer is rated on axes, and two are voted on.")
    return tuple(found)


def calibration_ids() -> list[str]:
    """The ids of the cases that come with MedChat."""
    return [case.id for case in cases()]


def calibration_items(store: Store, record: StudyRecord, design: Design, first: int) -> list[NewItem]:
    """The study's calibration, numbered from `first`, with its answers stored; only what its forms ask for."""
    chosen = _chosen(record, design)
    if not chosen:
        return []
    store.add_model(ModelRecord(AUTHOR, "Written by hand"))
    items: list[NewItem] = []
    for number, case in enumerate(chosen, first):
        answers = [
            StudyAnswer(case.context, case.question, AUTHOR, its.solution, f"study:{record.id}:{case.id}:{place}",
                        its.reasoning, its.solution)
            for place, its in enumerate(case.answers)
        ]  # fmt: skip
        ids = tuple(answer.id for answer in store.add_study_answers(record.owner, answers, ORIGIN))
        known = {**_known(case), "why": case.why}
        items.append(
            NewItem(number, "calibration", question_id(case.context, case.question), case.context, case.question,
                    ids, case.specialty, known)
        )  # fmt: skip
    return items


def asked(known: Mapping[str, Any], rubric: Rubric | None) -> tuple[str, ...]:
    """The axes that decide: those that the rubric asks, with the value that is known among theirs; () for a vote."""
    axes = {**SAFETY_AXES, **{axis.id: axis for axis in rubric.axes}} if rubric else {}
    return tuple(name for name, value in known.get("scores", {}).items() if name in axes and value in axes[name].values)


def is_right(known: Mapping[str, Any], rubric: Rubric | None, given: Mapping[str, str]) -> bool:
    """Whether what was given is what is known: on a scale at most one step beside it, on all else the same."""
    if "vote" in known:
        return given.get("vote") == known["vote"]
    axes = {**SAFETY_AXES, **{axis.id: axis for axis in (rubric.axes if rubric else ())}}
    for name in asked(known, rubric):
        wanted, got, order = known["scores"][name], given.get(name, ""), axes[name].values
        if got not in order or wanted not in order:
            return False
        near = NEAR if axes[name].kind == "scale" else 0
        if abs(order.index(got) - order.index(wanted)) > near:
            return False
    return True


def _known(case: Case) -> dict[str, Any]:
    return {"vote": case.known["vote"]} if case.kind == "pair" else {"scores": dict(case.known)}


def _chosen(record: StudyRecord, design: Design) -> list[Case]:
    """Those that the design names, or the first so many whose answers its forms can give."""
    rate = as_it_was_shown(record.rubrics["rate"]) if record.rubrics.get("rate") else None
    usable = [case for case in cases() if _fits(case, design, rate)] if design.calibration else []
    if isinstance(design.calibration, int):
        return usable[: design.calibration]
    return [case for case in usable if case.id in design.calibration]


def _fits(case: Case, design: Design, rate: Rubric | None) -> bool:
    return design.votes if case.kind == "pair" else bool(design.rates and asked(_known(case), rate))

"""How a run is, and whether its process is there."""

import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from medchat.processes import is_alive

Status = Literal["queued", "starting", "running", "stopping", "done", "failed", "stopped", "lost"]

LIVING = ("starting", "running", "stopping")  # there is a process
ENDED = ("done", "failed", "stopped", "lost")
_STAGE = re.compile(r"(\d+)-([a-z]+)(?:: (.*))?")
START_S = 60.0  # how long a process may take to say who it is


@dataclass(frozen=True, slots=True)
class RunState:
    """How a run is. Times are ISO 8601 in UTC; steps 0: their number is not known.

    process_started: seconds from the start of the machine to that of the process, which tells it from a later one
    of the same pid. stage: what it is doing, of several things in a row. message: one line for people, "" for
    none. turn: waiting runs are started in this order.
    """

    status: Status
    pid: int | None = None
    process_started: float | None = None
    step: int = 0
    steps: int = 0
    stage: str = ""
    message: str = ""
    created_at: str = ""
    started_at: str | None = None
    ended_at: str | None = None
    turn: int = 0


def stage_words(stage: str) -> str:
    """A stage of training as people count them: "0-sft: loading" is "Stage 1: SFT, loading"; others as they are."""
    found = _STAGE.fullmatch(stage)
    if not found:
        return stage
    doing = f", {found[3]}" if found[3] else ""
    return f"Stage {int(found[1]) + 1}: {found[2].upper()}{doing}"


def now() -> str:
    """This moment in ISO 8601, UTC."""
    return datetime.now(UTC).isoformat()


def is_at_work(state: RunState) -> bool:
    """Whether the process of a run that claims to be at work is there, or may still be on its way."""
    if state.pid is not None:
        return is_alive(state.pid, state.process_started)
    begun = datetime.fromisoformat(state.started_at) if state.started_at else None
    return begun is not None and (datetime.now(UTC) - begun).total_seconds() < START_S


def state_of(found: Any) -> RunState | None:
    """The state that the parsed file says; None for what is none."""
    known = {field.name for field in fields(RunState)}
    if not isinstance(found, dict) or found.get("status") not in get_args(Status):
        return None
    state = RunState(**{name: value for name, value in found.items() if name in known})
    try:
        for moment in filter(None, (state.created_at, state.started_at, state.ended_at)):
            datetime.fromisoformat(moment)
    except (TypeError, ValueError):
        return None
    numbers = (state.pid or 0, state.process_started or 0, state.step, state.steps, state.turn)
    return state if all(isinstance(number, int | float) for number in numbers) else None

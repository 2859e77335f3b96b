"""What a run has asked of its teachers and what that cost, on disk, so that a killed run counts nothing twice.

A line is written before a request is sent and one when it has ended. Of a request without an end (the run was killed)
nobody knows whether it was charged: it counts as possibly charged, with the most that it could have cost.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Self

from medchat.errors import InvalidInput
from medchat.run_files import json_of, writing

UNPRICED = "The spending limit needs prices: give --price IN/OUT (US dollars for a million tokens) for {}."


@dataclass(slots=True)
class Spent:
    """What one teacher was asked in this run. cost: in US dollars, None where no price is known.

    possibly: what broken-off answers, and those under way when a run was killed, may have cost at most.
    """

    asked: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = 0.0
    possibly: float = 0.0


@dataclass(slots=True)
class _Open:
    """A request that has not ended."""

    model: str
    bound: float | None


@dataclass(slots=True)
class Ledger:
    """What the teachers of a run are asked, together. file: where it is kept, None for nowhere.

    budget: US dollars that may be spent, None for no limit. For all threads.
    """

    file: Path | None = None
    budget: float | None = None
    spent: dict[str, Spent] = field(default_factory=dict)
    _open: dict[str, _Open] = field(default_factory=dict)
    _lost: dict[str, _Open] = field(default_factory=dict)  # under way when an earlier process ended
    _ended: set[int] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    @classmethod
    def opened(cls, file: Path, budget: float | None = None) -> Self:
        """The ledger in the file, which an earlier process of the same run may have begun. Raises RunError."""
        ledger = cls(file, budget)
        if file.is_file():
            with writing(), file.open("r+b") as stream:  # without a line that was being written when it was killed
                stream.truncate(stream.read().rfind(b"\n") + 1)
            for line in file.read_bytes().splitlines():
                row = json_of(line)
                if isinstance(row, dict):
                    ledger._read(row)
        ledger._lost, ledger._open = dict(ledger._open), {}
        for lost in ledger._lost.values():
            ledger._of(lost.model).possibly += lost.bound or 0.0
        return ledger

    @property
    def total(self) -> float:
        """US dollars that are spent, with what was possibly charged and what requests under way may cost."""
        with self._lock:
            return self._total()

    def may_ask(self, bound: float | None, model: str) -> bool:
        """Whether a request that costs at most so much stays within the budget.

        Raises InvalidInput where there is a budget and no price.
        """
        if self.budget is None:
            return True
        if bound is None:
            raise InvalidInput(UNPRICED.format(model))
        with self._lock:
            return self._total() + bound <= self.budget

    def sent(self, key: str, model: str, bound: float | None) -> None:
        """This request goes out now. Raises RunError."""
        with self._lock:
            if lost := self._lost.pop(key, None):  # asked again: what the first attempt may have cost stays counted
                self._write({"lost": key, "model": lost.model, "possibly": lost.bound or 0.0})
            self._open[key] = _Open(model, bound)
            self._write({"sent": key, "model": model, "bound": bound})

    def ended(self, key: str, cost: float | None, prompt_tokens: int, completion_tokens: int) -> None:
        """It was answered, and the reply is on disk."""
        with self._lock:
            model = self._open.pop(key).model
            row = {"ended": key, "model": model, "cost": cost, "prompt": prompt_tokens, "completion": completion_tokens}
            self._write(row)
            self._count(row)

    def failed(self, key: str, *, possibly_charged: bool) -> None:
        """It was not answered."""
        with self._lock:
            its = self._open.pop(key)
            possibly = (its.bound or 0.0) if possibly_charged else 0.0
            row = {"failed": key, "model": its.model, "possibly": possibly}
            self._write(row)
            self._count(row)

    def settle(self, key: str, cost: float | None, prompt_tokens: int, completion_tokens: int) -> bool:
        """Whether the kept reply is one that this run asked for; one that came as it was killed is counted now."""
        with self._lock:
            lost = self._lost.pop(key, None)
            if lost is not None:
                row = {
                    "ended": key, "model": lost.model, "cost": cost, "prompt": prompt_tokens,
                    "completion": completion_tokens,
                }  # fmt: skip
                self._of(lost.model).possibly -= lost.bound or 0.0
                self._write(row)
                self._count(row)
            return _number(key) in self._ended

    def _total(self) -> float:
        spent = sum((its.cost or 0.0) + its.possibly for its in self.spent.values())
        return spent + sum(its.bound or 0.0 for its in self._open.values())

    def _of(self, model: str) -> Spent:
        return self.spent.setdefault(model, Spent())

    def _read(self, row: dict[str, Any]) -> None:
        model = str(row.get("model", ""))
        if "sent" in row:
            self._open[row["sent"]] = _Open(model, row.get("bound"))
            return
        if "lost" in row:
            self._of(model).possibly += row["possibly"]
        self._open.pop(row.get("ended") or row.get("failed") or row.get("lost") or "", None)
        self._count(row)

    def _count(self, row: dict[str, Any]) -> None:
        its = self._of(row["model"])
        if "ended" in row:
            self._ended.add(_number(row["ended"]))
            its.asked += 1
            its.prompt_tokens += row["prompt"]
            its.completion_tokens += row["completion"]
            its.cost = None if its.cost is None or row["cost"] is None else its.cost + row["cost"]
        elif "failed" in row:
            its.failed += 1
            its.possibly += row["possibly"]

    def _write(self, row: dict[str, Any]) -> None:
        if self.file is None:
            return
        with writing():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("ab", buffering=0) as stream:
                stream.write(json.dumps(row).encode() + b"\n")

    def rows(self) -> dict[str, dict[str, Any]]:
        """What each teacher was asked, in plain values."""
        with self._lock:
            return {model: asdict(its) for model, its in sorted(self.spent.items())}


def _number(key: str) -> int:
    return int(key[:15], 16)

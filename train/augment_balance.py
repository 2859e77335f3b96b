"""How the rows to train on are balanced before and after they got children, and under which licences they are."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from medchat.records import Example
from train.adapter_table import ADAPTERS

OWN = "examples"  # the adapter of rows that keep the name of their own source
NEW = "new questions"  # that were made from no row of a group


@dataclass
class Balance:
    """Rows to train on by group, the originals and all of them; licences: of all of them."""

    before: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)

    def add(self, row: Example, *, is_child: bool) -> None:
        """Count a row to train on."""
        group = group_of(row)
        self.before[group] += not is_child
        self.after[group] += 1
        self.licences[row.licence or "not stated"] += 1

    def report(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Rows by group. asked: the shares that `prepare` was told, in per cent, where it was."""
        names = [name for name, n in sorted(self.after.items()) if n]
        return {
            **({"asked": dict(asked)} if asked else {}),
            "before": {name: self.before[name] for name in names},
            "after": {name: self.after[name] for name in names},
        }


def group_of(row: Example) -> str:
    """The group of the source that the row is from; a child's is that of its parent."""
    if row.meta.get("made") == "synthetic":
        return NEW
    return ADAPTERS.get(row.source.partition("/")[0], ADAPTERS[OWN]).group


def balance_line(balance: Mapping[str, Any]) -> str:
    """The shares before and after, as a line; "" where there is no row to train on."""
    before, after = balance["before"], balance["after"]
    n_before, n_after = sum(before.values()), sum(after.values())
    if not n_after:
        return ""
    shares = ", ".join(
        f"{name} {100 * before[name] / max(1, n_before):.1f} % -> {100 * n / n_after:.1f} %"
        for name, n in after.items()
    )  # fmt: skip
    asked = balance.get("asked")
    told = f" (asked for: {', '.join(f'{name} {share:g} %' for name, share in asked.items())})" if asked else ""
    return f"balance of the rows to train on: {shares}{told}"

"""How often each row is used, so that the groups of sources, and brief answers, have the shares that were asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from train.prepare_options import GROUPS
from train.prepare_shards import BRIEF, Table

ROUNDS = 500  # of scaling rows and columns in turn; two rows and two columns need a few
CLOSE = 1e-9

Copies = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sourced:
    """A source of the mix. group: one of GROUPS; weight: how often its rows count."""

    label: str
    group: str
    weight: float


@dataclass(frozen=True, slots=True)
class Mix:
    """copies (n,): how often each row is used, 0 for one that is not taught. report: the numbers for people."""

    copies: Copies
    report: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """balance: of knowledge and conversation in per cent, brief_share: of brief answers; None for as it comes."""

    balance: tuple[float, float] | None
    brief_share: float | None
    most_copies: int


def mix(
    table: Table,
    taught: npt.NDArray[np.bool_],
    sources: Sequence[Sourced],
    asked: Asked,
    keys: npt.NDArray[np.uint64],
) -> Mix:
    """How often each of the taught rows is used.

    Rows are added, never taken away, but for a weight below 1. keys (n,): which rows get one more than others.
    """
    brief = (table["flags"] & BRIEF != 0).astype(np.int64)
    cell = np.where(taught, table["source"].astype(np.int64) * 2 + brief, -1)
    counts = np.bincount(cell[taught], minlength=2 * len(sources)).reshape(len(sources), 2)
    factors = _factors(counts, sources, asked)
    copies = np.zeros(len(table), np.int64)
    for number in np.flatnonzero(counts.ravel()):
        rows = np.flatnonzero(cell == number)
        total = round(len(rows) * float(factors.ravel()[number]))
        copies[rows] = total // len(rows)
        copies[rows[np.argsort(keys[rows], kind="stable")[: total % len(rows)]]] += 1
    used = np.bincount(cell[taught], weights=copies[taught], minlength=counts.size).reshape(counts.shape)
    return Mix(copies, _report(counts, used, sources, asked))


def _factors(counts: npt.NDArray[Any], sources: Sequence[Sourced], asked: Asked) -> Floats:
    """How often the rows of each cell (source, brief) are used.

    Iterative proportional fitting: the rows of the table, then its columns, are scaled until both fit (W. Deming and
    F. Stephan, 1940).
    """
    weights = np.array([source.weight for source in sources])[:, None] * np.ones(2)
    factors = weights.copy()
    group = np.array([GROUPS.index(source.group) for source in sources])
    wanted = np.array(asked.balance or (0, 0)) / 100
    brief = None if asked.brief_share is None else np.array([1 - asked.brief_share, asked.brief_share])
    there = counts > 0
    for _ in range(ROUNDS):
        before = factors.copy()
        rows = np.array([(counts * factors)[group == number].sum() for number in range(len(GROUPS))])
        if asked.balance and rows.all():
            factors *= (wanted * rows.sum() / rows)[group][:, None]
        columns = (counts * factors).sum(axis=0)
        if brief is not None and columns.all():
            factors *= brief * columns.sum() / columns
        if np.allclose(factors, before, rtol=CLOSE, atol=0):
            break
    least = (factors / weights)[there].min(initial=np.inf)
    return np.minimum(factors / least, asked.most_copies) if there.any() else factors


def _report(
    counts: npt.NDArray[Any], used: npt.NDArray[Any], sources: Sequence[Sourced], asked: Asked
) -> dict[str, Any]:
    """asked: shares in per cent. before, after: rows of each group. brief_answers: per cent of the rows."""
    before, after = (_by_group(table, sources) for table in (counts, used))
    wanted = dict(zip(GROUPS, asked.balance, strict=True)) if asked.balance else {}
    brief = None if asked.brief_share is None else round(100 * asked.brief_share, 2)
    upsampled = [
        {"source": its.label, "rows": int(n.sum()), "used": int(u.sum()), "copies": round(float(u.sum() / n.sum()), 4)}
        for its, n, u in zip(sources, counts, used, strict=True)
        if u.sum() > n.sum()
    ]
    reached = {name: 100 * n / max(1, sum(after.values())) for name, n in after.items()}
    lonely = {name for name, n in before.items() if n and n == sum(before.values())}
    notes = [
        _missed(name, share, reached[name], asked) for name, share in wanted.items() if not lonely or name in lonely
    ]
    if brief is not None:
        notes.append(_missed("brief answers", brief, _brief(used), asked))
    return {
        "asked": wanted, "before": before, "after": after, "upsampled": upsampled,
        "brief_answers": {"asked": brief, "before": _brief(counts), "after": _brief(used)},
        "notes": [note for note in notes if note],
    }  # fmt: skip


def _by_group(table: npt.NDArray[Any], sources: Sequence[Sourced]) -> dict[str, int]:
    return {
        name: int(sum(n.sum() for n, its in zip(table, sources, strict=True) if its.group == name)) for name in GROUPS
    }


def _brief(table: npt.NDArray[Any]) -> float:
    """Per cent of the rows that have a brief answer."""
    return round(100 * float(table[:, 1].sum()) / max(1.0, float(table.sum())), 2)


def _missed(name: str, wanted: float, reached: float, asked: Asked) -> str:
    """What to say where a share is more than 1 % off; "" where it is not."""
    if abs(reached - wanted) <= 1:
        return ""
    if reached in (0, 100):
        return f"{name}: {wanted:g} % was asked for, and there is {'nothing else' if reached else 'no such row'}."
    return (
        f"{name}: {wanted:g} % was asked for and {reached:.1f} % reached: a row is used {asked.most_copies} times at"
        " most, and always whole."
    )

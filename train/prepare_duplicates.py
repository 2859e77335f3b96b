"""Which rows repeat another, and which belong together: the same question, its paraphrases, and what was made of it."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from medchat.records import Example
from medchat.run_files import writing
from train.near_duplicates import find_duplicates
from train.prepare_shards import MADE, UNLABELLED, Rows, Table
from train.progress import Progress
from train.ties import Said, Tie, said, similarity, tie_of

KEPT, SAME, NEAR, BEFORE, OPEN, HELD_OUT, CHILD, WEIGHT = range(8)  # what became of a row
RULES = {
    SAME: "the same question with the same answer",
    NEAR: "near duplicate",
    BEFORE: "the same question with another answer",
    OPEN: "no answer, and its question was there before",
    HELD_OUT: "paraphrase of a held-out question",
    CHILD: "made from a held-out question",
    WEIGHT: "left out by the weight of its source",
}
REMEMBERED = 4096  # rows whose words are kept while their neighbours are compared

Indices = npt.NDArray[np.int64]
Fates = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Repeats:
    """Of each row (n,): fate, KEPT or the rule that drops it; first, the row that it repeats or itself.

    group: the least row of those that stay on one side of every split. parent: the row that it was made from, or -1.
    """

    fate: Fates
    first: Indices
    group: Indices
    parent: Indices


def find_repeats(rows: Rows, work: Path, progress: Progress) -> Repeats:
    """Raises Stopped; what was found stays in the work folder."""
    file = work / "duplicates.npz"
    parent = _parents(rows.table)
    if file.exists():
        with np.load(file) as found:
            same, near, tied = found["same"], found["near"], found["tied"]
    else:
        same = _first_with(rows.table["same"])
        near, tied = _near(rows, same, work, progress)
        _keep(file, same=same, near=near, tied=tied)
    fate, first = _fates(rows.table, same, near)
    return Repeats(fate, first, _groups(rows.table, same, tied, parent), parent)


def _near(rows: Rows, same: Indices, work: Path, progress: Progress) -> tuple[Indices, Indices]:
    """near (n,): the row that each nearly repeats, or -1. tied (n,): the least row with which it is tied."""
    own = np.arange(len(rows))
    once = np.flatnonzero(same == own)
    bands = rows.bands(work / "bands.npy")
    progress.stage("Comparing", len(once))

    @lru_cache(REMEMBERED)
    def words(row: int) -> Said:
        return said(Example(**rows.read(row)[1]))

    def same_if(a: int, b: int) -> Tie:
        return tie_of(words(int(once[a])), words(int(once[b])))

    def at(done: int, total: int) -> None:
        progress.at(done / total * len(once))

    marks, answers = (rows.table[name][once] for name in ("mark", "answer"))
    found = find_duplicates(bands if len(once) == len(own) else bands[once], marks, same_if, None, answers, at)
    near, tied = np.full(len(rows), -1, np.int64), own.copy()
    near[once] = np.where(found.same >= 0, once[found.same], -1)
    tied[once] = once[found.tied]
    return near, tied


def _fates(table: Table, same: Indices, near: Indices) -> tuple[Fates, Indices]:
    """What was made of another row may ask nearly the same; it is dropped where the answer is the same too."""
    own = np.arange(len(table))
    made = table["flags"] & MADE != 0
    fate = np.zeros(len(table), np.uint8)
    repeats = same != own
    agree = table["answer"] == table["answer"][same]
    unlabelled = table["flags"] & UNLABELLED != 0
    fate[repeats & ~made] = BEFORE
    fate[repeats & agree] = SAME
    fate[repeats & unlabelled] = OPEN
    fate[(near >= 0) & ~repeats & ~made] = NEAR
    first = np.where(repeats, same, np.where(fate == NEAR, near, own))
    return fate, first


def _groups(table: Table, same: Indices, tied: Indices, parent: Indices) -> Indices:
    own = np.arange(len(table))
    siblings = np.where((table["parent"] != 0) & (parent < 0), _first_with(table["parent"]), own)
    together = np.where(table["group"] != 0, _first_with(table["group"]), own)
    ends = [
        same, tied, _first_with(table["mark"]), _first_alone(table), together, siblings,
        np.where(parent >= 0, parent, own),
    ]  # fmt: skip
    starts = np.tile(own, len(ends))
    edges = coo_array((np.ones(len(starts), np.bool_), (starts, np.concatenate(ends))), shape=(len(own), len(own)))
    _, labels = connected_components(edges, directed=False)
    return _first_with(labels)


def _first_alone(table: Table) -> Indices:
    """Of each row the first that asks and answers the same without a context, or itself where there is none (n,).

    Rows that all have a context of their own are not the same: a set may ask one question of each of its cases.
    """
    own = np.arange(len(table))
    _, place = np.unique(table["said"], return_inverse=True)
    first = np.full(int(place.max(initial=-1)) + 1, len(table), np.int64)
    alone = np.flatnonzero((table["context_words"] == 0) & (table["flags"] & UNLABELLED == 0))
    np.minimum.at(first, place[alone], alone)
    return np.where(first[place] < len(table), first[place], own)


def _parents(table: Table) -> Indices:
    """The row from which each was made, of the same source where there is one; -1 for none."""
    found = np.full(len(table), -1, np.int64)
    children = np.flatnonzero(table["parent"])
    if not len(children):
        return found
    source = table["source"].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for ids, wanted in ((table["id"] ^ source, table["parent"] ^ source), (table["id"], table["parent"])):
        order = np.argsort(ids, kind="stable")
        open_ = children[found[children] < 0]
        near = np.minimum(np.searchsorted(ids[order], wanted[open_]), len(ids) - 1)
        rows = order[near]
        hit = (ids[rows] == wanted[open_]) & (rows != open_)
        found[open_[hit]] = rows[hit]
    return found


def _first_with(values: npt.NDArray[np.generic]) -> Indices:
    """Of each row the first row that has the same value (n,)."""
    if not len(values):
        return np.empty(0, np.int64)
    _, first, place = np.unique(values, return_index=True, return_inverse=True)
    return first[place].astype(np.int64)


def _keep(file: Path, **arrays: Indices) -> None:
    partial = file.with_name(".duplicates.partial.npz")
    with writing():
        np.savez(partial, allow_pickle=False, **arrays)
        partial.replace(file)


def pair(rows: Rows, first: int, second: int) -> tuple[Example, Example, float]:
    """Both rows and how alike their words are (0 to 1)."""
    a, b = (Example(**rows.read(row)[1]) for row in (first, second))
    return a, b, similarity(said(a), said(b))

"""The share of teachers' rows among the rows to train on: exact within rounding, drawn by seed."""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from train.distill_options import Mix


def mixed_counts(n_teacher: int, n_original: int, mix: Mix | None) -> tuple[int, int]:
    """How many rows of teachers and of originals are taken: as many as there are in this ratio; all without one.

    Neither is taken twice. The teachers' share is within half a row of what was asked for.
    """
    if mix is None:
        return n_teacher, n_original
    totals = [100 * n // percent for n, percent in ((n_teacher, mix.teacher), (n_original, mix.original)) if percent]
    total = min(totals)
    teacher = min(n_teacher, (total * mix.teacher + 50) // 100)
    return teacher, min(n_original, total - teacher)


def taken(marks: npt.NDArray[np.uint64], n: int) -> npt.NDArray[np.bool_]:
    """Which rows are taken: the n with the lowest marks, the earlier one first where two are equal."""
    chosen = np.zeros(len(marks), bool)
    chosen[np.argsort(marks, kind="stable")[:n]] = True
    return chosen


def mark(seed: int, row_id: str) -> int:
    """A number of 64 bits that is drawn for the row, the same for a seed wherever the row stands."""
    digest = hashlib.sha256(f"{seed}\n{row_id}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8])


def marks_of(seed: int, row_ids: Sequence[str]) -> npt.NDArray[np.uint64]:
    """mark() of each row."""
    return np.array([mark(seed, row_id) for row_id in row_ids], np.uint64)

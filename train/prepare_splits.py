"""Which rows are taught and which are held out: a group of the same question and its paraphrases stays on one side."""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from train.prepare_duplicates import CHILD, HELD_OUT, KEPT, Fates, Repeats
from train.prepare_shards import FROZEN, MADE, UNLABELLED, Table

NONE, TRAIN, VALIDATION, TEST = range(4)  # as the table has them

Splits = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def split_rows(
    table: Table, repeats: Repeats, final: Sequence[bool], shares: tuple[float, float], seed: int
) -> tuple[Splits, Fates]:
    """split (n,) and fate (n,) of every row.

    What a source names as validation or test stays that; of a source without the one, or without the other, it is
    drawn from its train rows and from those without a split. final: by source, whether what it names is never drawn
    from. shares: for validation and test. Groups go whole: frozen rows before test, test before validation, and the
    rest by SHA-256 of seed and group. Held out are only rows that nobody made of others.
    """
    draws = _Draws(table, np.array([*final, False]))
    _, place = np.unique(repeats.group, return_inverse=True)
    n_groups = int(place.max(initial=-1)) + 1

    def some(mask: Mask) -> Mask:
        return np.bincount(place[mask], minlength=n_groups) > 0

    least = np.full(n_groups, np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(least, place, table["mark"])
    drawn = np.array([_share(seed, int(mark)) for mark in least])
    unmade = table["flags"] & MADE == 0
    can_hold = some((repeats.fate == KEPT) & unmade & (table["flags"] & UNLABELLED == 0))
    validation, test = shares
    group = np.select(
        [
            some(table["flags"] & FROZEN != 0), some(draws.named == TEST), some(draws.named == VALIDATION),
            ~can_hold,
            (drawn < validation) & ~some(unmade & ~draws.validates),
            (drawn >= validation) & (drawn < validation + test) & ~some(unmade & ~draws.tests),
        ],
        [VALIDATION, TEST, VALIDATION, TRAIN, VALIDATION, TEST], TRAIN,
    )  # fmt: skip
    split = group[place].astype(np.uint8)
    return split, _fates(table, repeats.fate, draws, split)


class _Draws:
    """named: the split in which a row has to be (NONE for any). validates, tests: whether it may be drawn for it."""

    def __init__(self, table: Table, final: Mask) -> None:
        source, named = table["source"], table["split"]
        unmade = table["flags"] & MADE == 0
        brings = [
            np.bincount(source[unmade & (named == split)], minlength=len(final)) > 0 for split in (VALIDATION, TEST)
        ]
        in_train = named == TRAIN
        self.validates = ~in_train | ~(brings[0] | final)[source]
        self.tests = ~in_train | ~(brings[1] | final)[source]
        fixed = in_train & ~self.validates & ~self.tests
        self.named = np.where(unmade & ((named == VALIDATION) | (named == TEST) | fixed), named, NONE)


def _fates(table: Table, fate: Fates, draws: _Draws, split: Splits) -> Fates:
    """What the splits drop besides: held-out rows are as their source has them, and no other is nearly the same."""
    held = split != TRAIN
    made = table["flags"] & MADE != 0
    unlabelled = table["flags"] & UNLABELLED != 0
    strange = (draws.named != NONE) & (draws.named != split)
    strange |= held & unlabelled & (draws.named != split)
    strange |= held & ~made & (table["split"] == TRAIN) & ~np.where(split == TEST, draws.tests, draws.validates)
    child = made & (held | (table["split"] > TRAIN))
    return np.where(fate != KEPT, fate, np.where(child, CHILD, np.where(strange, HELD_OUT, KEPT))).astype(np.uint8)


def _share(seed: int, mark: int) -> float:
    """A number from 0 to below 1."""
    return int.from_bytes(hashlib.sha256(b"%d %016x" % (seed, mark)).digest()[:6]) / 2**48

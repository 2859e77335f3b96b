"""Near duplicates among many rows: candidates by MinHash, each checked by whoever knows the texts.

The words that carry meaning are hashed by MinHash (A. Broder, On the resemblance and containment of documents, 1997)
and cut into bands, so that rows which share a band are candidates (J. Leskovec, A. Rajaraman and J. Ullman, Mining of
Massive Datasets, chapter 3). A row is compared with its nearest few in each band, whatever the length of a run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import xxhash
from rensa import RMinHash

from train.ties import WORDS_KEPT, Tie, meaning_words, ordered_words

BAND_COUNT, BAND_ROWS = 20, 5  # a pair of similarity s is found with 1 - (1 - s^5)^20: 0.9996 at 0.8, 0.05 at 0.3
BANDS = 2 + BAND_COUNT  # the first two: all words and signs in order; the set of the meaning words
SHORT_WORDS = 8  # of fewer words their pieces count too: one letter must not change most of what is compared
PIECE = 3  # letters
NEAREST = 4  # neighbours in a run of candidates with which a row is compared
REPORT_PAIRS = 2000  # compared between two reports of progress
_SEED = 20  # of the permutations
_PAIRS_KEPT = 1 << 22  # of pairs that were compared, 32 MB; one that drops out is compared again

Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """tied (n,): the least index of the rows that belong together. same (n,): the row that this one repeats, or -1.

    compared: how many pairs were checked.
    """

    tied: Indices
    same: Indices
    compared: int


def band_hashes(texts: Sequence[str]) -> Hashes:
    """Hashes (n, BANDS) of the texts: two rows with an equal one in a column are candidates. The same everywhere.

    A text without any word is like none but itself.
    """
    bands = np.empty((len(texts), BANDS), dtype=np.uint64)
    if not texts:
        return bands
    flat: list[int] = []
    ends = [0]
    for place, text in enumerate(texts):
        ordered = ordered_words(text)
        words = sorted({*meaning_words(ordered)} or {*ordered} or {text})
        bands[place, 0] = _hashed("\n".join(ordered or words))
        bands[place, 1] = _hashed("\n".join(words))
        flat += _features(words)
        ends.append(len(flat))
    digests = RMinHash.digest_matrix_from_flat_token_hashes(
        np.array(flat, dtype=np.uint64), np.array(ends, dtype=np.uint64), BAND_COUNT * BAND_ROWS, _SEED
    )
    rows = np.array(digests.to_rows(), dtype=np.uint64).reshape(len(texts), BAND_COUNT, BAND_ROWS)
    bands[:, 2:] = _mixed(rows)
    return bands


def find_duplicates(
    bands: Hashes,
    marks: Hashes,
    same_if: Callable[[int, int], Tie],
    rank: Indices | None = None,
    answers: Hashes | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Duplicates:
    """Which rows are tied, and which repeat another.

    bands (n, BANDS), in memory or on disk; marks (n,): a hash of the question, rows with the same are tied without a
    look; same_if(i, j): a checked pair, the row that would be kept first. rank (n,): of two that say the same the row
    with the lower one is kept, then the earlier. answers (n,): a hash of the answer, puts like answers of a question
    side by side. progress(done, total) is called between; what it raises ends the search. Memory: about 100 bytes a
    row, besides bands.
    """
    groups = _Groups(marks, rank)
    columns = BANDS + 1 if len(marks) else 0
    for column in range(columns):
        key = marks if column == 0 else np.ascontiguousarray(bands[:, column - 1])
        # Among many with one key, those that share the next one too come to lie side by side.
        second = answers if column < 2 and answers is not None else np.ascontiguousarray(bands[:, column % BANDS])
        later, earlier = _neighbours(key, second, groups)
        for done in range(0, len(later), REPORT_PAIRS):
            progress(column * 1000 + done * 1000 // len(later), columns * 1000)
            groups.compare(later[done : done + REPORT_PAIRS], earlier[done : done + REPORT_PAIRS], same_if)
        progress((column + 1) * 1000, columns * 1000)
    return groups.found()


class _Groups:
    """The groups as they grow; pairs that were compared are remembered as far as there is room."""

    def __init__(self, marks: Hashes, rank: Indices | None) -> None:
        n = len(marks)
        _, first, group = np.unique(marks, return_index=True, return_inverse=True)
        self.parent: Indices = first[group].astype(np.int64)
        self.same: Indices = np.full(n, -1, dtype=np.int64)
        self.order: Indices = np.arange(n, dtype=np.int64)
        if rank is not None:
            self.order[np.lexsort((np.arange(n), rank))] = np.arange(n)
        self.compared = 0
        self._seen: Hashes = np.zeros(min(_PAIRS_KEPT, 1 << (8 * max(n, 1)).bit_length()), dtype=np.uint64)

    def compare(self, later: Indices, earlier: Indices, same_if: Callable[[int, int], Tie]) -> None:
        for one, other in zip(later.tolist(), earlier.tolist(), strict=True):
            one, other = self._kept(one), self._kept(other)
            if one == other:
                continue
            if self.order[one] < self.order[other]:
                one, other = other, one
            pair = (one * 0x9E3779B97F4A7C15 + other * 0xBF58476D1CE4E5B9 + 1) & 0xFFFFFFFFFFFFFFFF
            slot = (pair >> 20) % len(self._seen)
            if self._seen[slot] == pair:
                continue
            self._seen[slot] = pair
            self.compared += 1
            tie = same_if(other, one)
            if tie is not Tie.APART:
                self._join(one, other)
            if tie is Tie.SAME:
                self.same[one] = other

    def found(self) -> Duplicates:
        tied = self.parent
        while not np.array_equal(above := tied[tied], tied):
            tied = above
        same = self.same
        while True:
            above = np.where(same >= 0, same[same], -1)
            if not (above >= 0).any():
                return Duplicates(tied, same, self.compared)
            same = np.where(above >= 0, above, same)

    def _kept(self, row: int) -> int:
        while (kept := int(self.same[row])) >= 0:
            row = kept
        return row

    def _join(self, one: int, other: int) -> None:
        one, other = self._root(one), self._root(other)
        self.parent[max(one, other)] = min(one, other)

    def _root(self, row: int) -> int:
        while (above := int(self.parent[row])) != row:
            self.parent[row] = self.parent[above]
            row = above
        return row


def _neighbours(key: Hashes, second: Hashes, groups: _Groups) -> tuple[Indices, Indices]:
    """Pairs of rows with one key that lie at most NEAREST apart, in the order of the sorted rows."""
    alive = np.flatnonzero(groups.same < 0)
    alive = alive[np.argsort(key[alive], kind="stable")]
    like_next = key[alive[1:]] == key[alive[:-1]]
    alive = alive[np.append(like_next, False) | np.append(False, like_next)]
    alive = alive[np.lexsort((groups.order[alive], second[alive], key[alive]))]
    keys = key[alive]
    places, steps = [], []
    for step in range(1, NEAREST + 1):
        place = np.flatnonzero(keys[step:] == keys[:-step]) + step
        places.append(place)
        steps.append(np.full(len(place), step, dtype=np.int64))
    place, apart = np.concatenate(places), np.concatenate(steps)
    in_order = np.lexsort((apart, place))
    place, apart = place[in_order], apart[in_order]
    return alive[place], alive[place - apart]


def _features(words: Sequence[str]) -> list[int]:
    """Hashes of the words; of few words those of their pieces too."""
    if len(words) >= SHORT_WORDS:
        return [*map(_word_hash, words)]
    ended = [f"^{word}$" for word in words]
    pieces = [word[start : start + PIECE] for word in ended for start in range(len(word) - PIECE + 1)]
    return [*map(_word_hash, words), *map(_word_hash, pieces)]


@lru_cache(maxsize=WORDS_KEPT)
def _word_hash(word: str) -> int:
    return _hashed(word)


def _hashed(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def _mixed(rows: Hashes) -> Hashes:
    """One hash (n, BAND_COUNT) of the values (n, BAND_COUNT, BAND_ROWS) of each band, by splitmix64's steps."""
    mixed = np.zeros(rows.shape[:2], dtype=np.uint64)
    for place in range(rows.shape[2]):
        mixed = (mixed ^ rows[:, :, place]) * np.uint64(0xBF58476D1CE4E5B9) + np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    return mixed

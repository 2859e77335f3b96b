"""Which questions of a suite stand in training data: 13 words, or 120 characters, in common.

The n-grams of the questions are kept, and the training files stream past them, so that memory depends on the suite
and not on the files.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medchat.errors import InvalidInput, NotFound

WORDS = 13  # in a row, as GPT-3's report counts overlap (T. Brown et al., 2020, appendix C)
FEWEST_WORDS = 8  # a shorter question is found as a whole; below this it is too short to tell
CHARACTERS = 120
COMMON = 10  # what stands in so many questions is a phrase of the suite ("which of the following is the most ...")
CHUNK_CHARS = 1 << 20  # of a text file read at once

_WORD = re.compile(r"[^\W_]+")
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that it has an inverse modulo 2^64
_INVERSE = np.uint64(pow(int(_BASE), -1, 1 << 64))

Hashes = npt.NDArray[np.uint64]
HOW = (
    f"a question overlaps when {WORDS} words in a row (of a shorter question all, at least {FEWEST_WORDS}) or"
    f" {CHARACTERS} characters in a row of it or of its context stand in the training data; letter case, punctuation"
    f" and white space do not count, nor does what {COMMON} or more questions of the suite have in common"
)


@dataclass(frozen=True, slots=True)
class Overlap:
    """Keys of the items that overlap with the training files, and of those too short to tell."""

    overlapping: frozenset[str]
    too_short: frozenset[str]
    n_texts: int
    files: tuple[str, ...]


class Questions:
    """The evaluated questions as word n-grams and blocks of characters, to be looked for in training data.

    texts: question and context of each item by its key; the same key is counted once.
    """

    def __init__(self, texts: Mapping[str, Sequence[str]]) -> None:
        self._number_of: dict[str, int] = {}
        self._grams: dict[int, dict[int, set[str]]] = {}
        self._blocks: dict[int, list[tuple[str, str, int]]] = {}
        cleaned = {key: [words_of(text) for text in its_texts] for key, its_texts in texts.items()}
        self.too_short = frozenset(
            key for key, parts in cleaned.items() if all(len(words) < FEWEST_WORDS for words in parts)
        )
        for key, parts in cleaned.items():
            for words in parts:
                self._add(key, words)
        for length, by_hash in self._grams.items():
            self._grams[length] = {gram: keys for gram, keys in by_hash.items() if len(keys) < COMMON}
        self._blocks = {
            block: places for block, places in self._blocks.items() if len({key for key, _, _ in places}) < COMMON
        }
        self._sorted_grams = {length: _sorted(by_hash) for length, by_hash in self._grams.items()}
        self._sorted_blocks = _sorted(self._blocks)
        self._table = _bit_table([*self._sorted_grams.values(), self._sorted_blocks])

    def found_in(self, text: str) -> set[str]:
        """Keys of the questions that have 13 words or 120 characters in common with the text."""
        words = words_of(text)
        found: set[str] = set()
        # A number of its own for every word that no question has would do no better than 0: neither matches.
        numbers = np.array([self._number_of.get(word, 0) for word in words], dtype=np.uint64)
        for length, wanted in self._sorted_grams.items():
            for gram in _hits(window_hashes(numbers, length), wanted)[0]:
                found |= self._grams[length][int(gram)]
        spaced = " ".join(words)
        hits, places = _hits(window_hashes(_code_points(spaced), CHARACTERS // 2), self._sorted_blocks)
        for block, place in zip(hits, places, strict=True):
            for key, question, start in self._blocks[int(block)]:
                if key not in found and _common_length(question, start, spaced, int(place)) >= CHARACTERS:
                    found.add(key)
        return found

    def found_in_each(self, texts: Sequence[str]) -> list[set[str]]:
        """What found_in() says of each text; far faster for many texts of which few have anything in common."""
        cleaned = [words_of(text) for text in texts]
        numbers: list[int] = []
        for words in cleaned:
            numbers.extend(map(self._number_of.get, words, repeat(0)))
            numbers.append(0)  # between two texts, as a line end between their characters: what goes across is nothing
        likely = self._texts_with(
            np.array(numbers, dtype=np.uint64), self._sorted_grams, np.cumsum([len(words) + 1 for words in cleaned])
        )
        spaced = [" ".join(words) for words in cleaned]
        points = _code_points("\n".join([*spaced, ""]))
        ends = np.cumsum([len(text) + 1 for text in spaced])
        likely |= self._texts_with(points, {CHARACTERS // 2: self._sorted_blocks}, ends)
        return [self.found_in(text) if place in likely else set() for place, text in enumerate(texts)]

    def _texts_with(self, numbers: Hashes, wanted: Mapping[int, Hashes], ends: npt.NDArray[np.int_]) -> set[int]:
        """Which of the texts that lie one after another, each up to its end, hold a window that is wanted."""
        found: set[int] = set()
        shift = np.uint64(64 - (len(self._table).bit_length() - 1))
        for length, its in wanted.items():
            hashes = window_hashes(numbers, length)
            places = np.flatnonzero(self._table[hashes >> shift])
            hits = _hits(hashes[places], its)[1]
            found.update(np.searchsorted(ends, places[hits], side="right").tolist())
        return found

    def _add(self, key: str, words: Sequence[str]) -> None:
        numbers = np.array(
            [self._number_of.setdefault(word, len(self._number_of) + 1) for word in words], dtype=np.uint64
        )
        length = min(WORDS, len(words))
        if length >= FEWEST_WORDS:
            by_hash = self._grams.setdefault(length, {})
            for gram in window_hashes(numbers, length).tolist():
                by_hash.setdefault(gram, set()).add(key)
        spaced, half = " ".join(words), CHARACTERS // 2
        # 120 characters in common hold one whole block of 60 that begins at a multiple of 60.
        hashes = window_hashes(_code_points(spaced), half)
        for start in range(0, len(hashes), half):
            self._blocks.setdefault(int(hashes[start]), []).append((key, spaced, start))


def overlap_with(files: Sequence[Path], texts: Mapping[str, Sequence[str]]) -> Overlap:
    """Which of the items, whose question and context `texts` has by key, stand in the training files.

    A .jsonl file's every text is looked at, of any other file the whole. Raises NotFound, and InvalidInput with
    file and line, when a file cannot be read.
    """
    questions = Questions(texts)
    found: set[str] = set()
    n_texts = 0
    for path in files:
        for text in training_texts(path):
            n_texts += 1
            found |= questions.found_in(text)
    return Overlap(frozenset(found), questions.too_short - found, n_texts, tuple(path.name for path in files))


def training_texts(path: Path) -> Iterator[str]:
    """The texts of a training file, one by one: of a .jsonl file every string in every line, else stretches of text.

    Stretches begin with the end of the one before, so that nothing is cut in two.
    """
    if not path.is_file():
        raise NotFound(f"There is no file {path} with training data.")
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline=None) as lines:
            if path.suffix.lower() != ".jsonl":
                yield from _stretches(iter(lambda: lines.read(CHUNK_CHARS), ""))
                return
            for line in lines:
                number += 1
                if line.strip():
                    yield from _strings(json.loads(line))
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{path.name}, line {number}: not JSON ({error.msg}).") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path.name}, after line {number}: this is not UTF-8 text.") from error
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror}.") from error


def words_of(text: str) -> list[str]:
    """The words of a text after NFKC and case folding, without punctuation."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def window_hashes(numbers: Hashes, length: int) -> Hashes:
    """A hash of every `length` numbers in a row (N - length + 1,): a polynomial modulo 2^64 over prefix sums."""
    if len(numbers) < length:
        return np.empty(0, dtype=np.uint64)
    room = 1 << len(numbers).bit_length()
    mixed = (numbers + np.uint64(1)) * np.uint64(0xBF58476D1CE4E5B9)
    prefix = np.zeros(len(numbers) + 1, dtype=np.uint64)
    np.cumsum((mixed ^ (mixed >> np.uint64(29))) * _powers(_BASE, room)[: len(numbers)], out=prefix[1:])
    return (prefix[length:] - prefix[:-length]) * _powers(_INVERSE, room)[: len(numbers) - length + 1]


@cache
def _powers(base: np.uint64, n: int) -> Hashes:
    return np.cumprod(np.full(n, base, dtype=np.uint64), dtype=np.uint64)


def _code_points(text: str) -> Hashes:
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)


def _sorted(hashes: Iterable[int]) -> Hashes:
    return np.sort(np.fromiter(hashes, dtype=np.uint64))


def _bit_table(wanted: Sequence[Hashes]) -> npt.NDArray[np.bool_]:
    """For each value of a hash's first bits whether one of the wanted begins with them; about one in 16 is set."""
    bits = max(10, (16 * sum(map(len, wanted))).bit_length())
    table = np.zeros(1 << bits, dtype=np.bool_)
    for its in wanted:
        table[its >> np.uint64(64 - bits)] = True
    return table


def _hits(hashes: Hashes, wanted: Hashes) -> tuple[Hashes, npt.NDArray[np.intp]]:
    """Those of the hashes that are among the sorted wanted ones, and their places."""
    if not len(wanted) or not len(hashes):
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.intp)
    near = np.minimum(np.searchsorted(wanted, hashes), len(wanted) - 1)
    places = np.flatnonzero(wanted[near] == hashes)
    return hashes[places], places


def _common_length(question: str, start: int, text: str, place: int) -> int:
    """Length of the longest stretch around these two places that both texts have; 0 where the hash misled."""
    half = CHARACTERS // 2
    if question[start : start + half] != text[place : place + half]:
        return 0
    before = 0
    while before < min(start, place, CHARACTERS) and question[start - before - 1] == text[place - before - 1]:
        before += 1
    end, room = start + half, min(len(question) - start, len(text) - place, 2 * CHARACTERS) - half
    after = 0
    while after < room and question[end + after] == text[place + half + after]:
        after += 1
    return before + half + after


def _stretches(chunks: Iterator[str]) -> Iterator[str]:
    tail = ""
    for chunk in chunks:
        yield tail + chunk
        tail = (tail + chunk)[-8 * CHARACTERS :]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)

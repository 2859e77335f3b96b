"""What two questions have to do with each other: apart, tied (to stay in one split), or the same (one of them repeats).

Keeping together and leaving out are not the same. Two rows are tied when their words are nearly the same; one of them
is left out only when nothing that care depends on differs: every word that carries meaning, every number, unit, sign,
negation, pronoun, sex, age and side stands at the same place in both, apart from spelling, and so it is in the answers.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from itertools import pairwise

from rapidfuzz.distance import OSA

from evaluation.spelling import spelling_key
from medchat.records import Example

TIED_AT = 0.8  # Jaccard similarity of the meaning words from which on two questions stay in one split
TYPO_LETTERS = 5  # a shorter word with another letter is another word
WORDS_A_TYPO = 10  # one typo is allowed, and one more in each so many words
ANSWER_WORDS = 5  # an answer of so many words that two rows share shows that a letter's difference is a typo
WORDS_KEPT = 1 << 16  # in a process; looking a word up takes a tenth of working it out
NAME_DIGITS = 5  # digits from which on a number is a name: of an admission, of a paper

_TOKEN = re.compile(
    r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+(?:[.,]\d+)*|[<>≤≥=±%°^+]|-(?:(?<=\w-)(?=[\s,.;:)]|$)|(?<![\w)]-)(?=\d))"
)
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_SIGNS = str.maketrans({
    **{mark: f"^{digit}" for digit, mark in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},  # NFKC would make 105 of 10⁵
    "½": " 1/2", "¼": " 1/4", "¾": " 3/4", "’": "'", "−": "-", "–": "-",
})  # fmt: skip
# Words without which a question asks the same. No negation, pronoun, tense or word of time is among them.
_COURTESIES = frozenset(
    "a an the is are am be been being of for to in on at by with and does hi hello hey dear doctor dr doc sir madam "
    "please kindly thank thanks regards greetings".split()
)
_PRONOUNS = "i me my mine we us our you your it its this that these those they them their"
_NEGATIONS = (
    "no not non nor neither never none nil without deny denies denied denying absent absence negative positive cannot "
    "lack lacks lacking except hasn't haven't hadn't isn't aren't wasn't weren't doesn't don't didn't can't couldn't "
    "won't wouldn't shouldn't"
)
_SEXES = "he him his himself man men male boy gentleman she her hers herself woman women female girl lady mr mrs ms"
_AGES = (
    "second minute hour day week month year decade hourly daily weekly monthly yearly neonate newborn infant baby "
    "toddler child children kid adolescent teenager adult elderly old young"
)
_UNITS = (
    "kg mg mcg ug μg ng pg ml dl μl mmol μmol umol nmol pmol meq iu unit mm cm km inch mmhg kpa bpm celsius fahrenheit "
    "percent tablet capsule puff drop bid tid qid bd tds qds prn once twice thrice times"
)
_SIDES = "left right bilateral unilateral upper lower"
_LETTER_UNITS = frozenset("g l m c f h s u d k".split())  # after a number; elsewhere they name something (vitamin D)
# One letter apart, and another thing: typos are not looked for in them.
_LOOKALIKES = tuple(
    tuple(pair.split("/"))
    for pair in "macro/micro abdu/addu phagia/phasia ate/ite ide/ine ante/anti intra/infra ileum/ilium ileal/ilial "
    "prostate/prostrate mucus/mucous perineal/peroneal facial/fascial median/medial breath/breadth pleural/plural "
    "callus/callous quinine/quinidine clonic/colonic typhus/typhous".split()
)


class Tie(IntEnum):
    """What two rows have to do with each other."""

    APART = 0
    TIED = 1  # one question, or nearly: they stay in one split, and both are kept
    SAME = 2  # the one repeats the other


@dataclass(frozen=True, slots=True)
class Said:
    """What a row says. ordered: its words and signs in order; words: those of them that rows may be tied by."""

    ordered: tuple[str, ...]
    words: frozenset[str]
    answer: str | None


def text_of(example: Example) -> str:
    """What a row asks: context, question and options."""
    options = "".join(f"\n{text}" for text in (example.options or {}).values())
    return f"{example.context}\n{example.question}{options}" if example.context else example.question + options


def said(example: Example) -> Said:
    """The row as tie_of() compares it."""
    ordered = ordered_words(text_of(example))
    return Said(ordered, frozenset(meaning_words(ordered)), example.answer)


def tie_of(first: Said, second: Said) -> Tie:
    """SAME: only spelling, case, punctuation, courtesies or typos tell them apart, and they have the same answer.

    A typo is one letter of a word of five or more, and taken for one only beside a shared answer of five words.
    """
    if first.ordered == second.ordered:
        return Tie.SAME if same_answer(first.answer, second.answer) else Tie.TIED
    if typos_apart(first.ordered, second.ordered):
        telling = len(ordered_words(first.answer or "")) >= ANSWER_WORDS
        return Tie.SAME if telling and same_answer(first.answer, second.answer) else Tie.TIED
    return Tie.TIED if similarity(first, second) >= TIED_AT else Tie.APART


def similarity(first: Said, second: Said) -> float:
    """Jaccard similarity (0 to 1) of the meaning words: not of what care depends on."""
    if not first.words or not second.words:
        return float(first.ordered == second.ordered)
    shared = len(first.words & second.words)
    return shared / (len(first.words) + len(second.words) - shared)


def same_answer(first: str | None, second: str | None) -> bool:
    """Whether two answers say the same, word for word; a missing one is like a missing one only."""
    if first == second:
        return True
    if first is None or second is None:
        return False
    ordered = ordered_words(first)
    if len(ordered) < ANSWER_WORDS:  # of "A" and "I" nothing would be left
        return _plain(first) == _plain(second)
    return ordered == ordered_words(second)


def typos_apart(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    """Whether the two differ in typos alone: a letter left out, added or changed, or two that changed places."""
    if len(first) != len(second):
        return False
    differing = [pair for pair in zip(first, second, strict=True) if pair[0] != pair[1]]
    return len(differing) <= 1 + len(first) // WORDS_A_TYPO and all(_is_typo(one, other) for one, other in differing)


def ordered_words(text: str) -> tuple[str, ...]:
    """The words in one spelling, numbers and signs of a text in their order, without courtesies and articles."""
    tokens = _TOKEN.findall(unicodedata.normalize("NFKC", text.translate(_SIGNS)).casefold())
    return tuple(filter(None, map(_key, tokens)))


def meaning_words(ordered: Sequence[str]) -> list[str]:
    """Those words that a question is recognised by.

    What care depends on is not among them (whose it is, numbers, units, signs, negations, sexes, ages, sides): two
    questions that differ in nothing else are to be found.
    """
    words = list(filter(_has_meaning, ordered))
    if _LETTER_UNITS.isdisjoint(words):
        return words
    after_number = {word for number, word in pairwise(ordered) if number[0].isdigit()}
    return [word for word in words if word not in _LETTER_UNITS or word not in after_number]


@lru_cache(maxsize=WORDS_KEPT)
def _has_meaning(word: str) -> bool:
    return word not in _GUARDED and not (word[0].isdigit() and len(word) < NAME_DIGITS)


@lru_cache(maxsize=WORDS_KEPT)
def _key(token: str) -> str:
    """The word in one spelling, "" for a courtesy."""
    if token in _COURTESIES:
        return ""
    if token[0].isdigit():
        return token.replace(",", "") if _THOUSANDS.fullmatch(token) else token
    return spelling_key(token)


def _is_typo(one: str, other: str) -> bool:
    if min(len(one), len(other)) < TYPO_LETTERS or one[0] != other[0] or not (one.isalpha() and other.isalpha()):
        return False
    if one in _GUARDED or other in _GUARDED or OSA.distance(one, other, score_cutoff=1) > 1:
        return False
    return not any(
        (left in one and right in other and one.replace(left, right) == other)
        or (right in one and left in other and one.replace(right, left) == other)
        for left, right in _LOOKALIKES
    )


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .")


_GUARDED = frozenset(
    spelling_key(word) for words in (_PRONOUNS, _NEGATIONS, _SEXES, _AGES, _UNITS, _SIDES) for word in words.split()
)
_GUARDED |= frozenset("<>≤≥=±%°^+-")

"""The option that a text names: stated, marked by its letter, or by its own text."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from evaluation.metrics import normalized, says_dont_know
from evaluation.safety import declines

# Options that are there as answers in themselves and stand in many a sentence that does not mean them.
_COMMON = frozenset(("yes", "no", "maybe", "true", "false", "none", "both", "a", "i"))
_ARTICLES = "AI"  # letters that are English words too

_MARKUP = re.compile(r"[*_`#$~]+|\\boxed|\\text|\\mathbf|[{}]")
_STATEMENT = re.compile(
    r"\b(?:(?:the|my) )?(?:(?:correct|right|best|final|most (?:likely|appropriate)|single best) )*"
    r"(?:answer|option|choice)(?: here| letter)?\s*(?:is|are|would be|should be|must be|=|:|-)+\s*"
    r"(?:(?:clearly|therefore|thus|indeed|option|choice|answer|letter)\b\s*)*[:\-]?\s*",
    re.IGNORECASE,
)
_CHOSEN = re.compile(
    r"\bI(?:'d| would| will|'ll)? (?:choose|pick|select|go with|answer)\s+(?:option |answer )?|\b(?:it|this) is\s+",
    re.IGNORECASE,
)
_IS_RIGHT = re.compile(  # "B is the correct one", and not "Hexosaminidase A is the most likely"
    r"(?:^|[.!?:;,]|\b(?:[Oo]ption|[Cc]hoice|[Aa]nswer|[Ss]o|[Tt]hus|[Tt]herefore|[Hh]ence|think|believe|that)\b)\s*[(\[]?([A-Z])"
    r"[)\]]?(?: is| would be)(?: the)?(?: single)?(?: most)? (?:correct|right|best|likely|appropriate|answer)\b",
    re.MULTILINE,
)
_TAKES_NONE = re.compile(
    r"\s*(?:not\b|none of the (?:options|choices)|neither\b|unclear|unknown|uncertain)", re.IGNORECASE
)
_LETTER = re.compile(r"[\s\"'\u201c\u2018]*(?:option\s+)?[(\[]?([A-Za-z])(?![A-Za-z\u2019'])[)\]]?", re.IGNORECASE)
_AFTER_LETTER = re.compile(r"\s*(?:[.,;:)\]\"'\u201d\u2019]|\n|[-\u2013\u2014])")
_ANOTHER = re.compile(r"\s*(?:,|/|&|\bor\b|\band\b|\+)\s*(?:option\s+)?[(\[]?([A-Z])(?![A-Za-z])")
_MARKED = re.compile(r"(?:\boption\s+|\()([A-Za-z])\b\)?|(?m:^)\s*([A-Z])(?=[.):]|\s*$)", re.IGNORECASE)
_LISTED = re.compile(r"(?:[Oo]ptions?\s+)?[(\[]?([A-Z])(?![A-Za-z])")
_THREE = re.compile(r"(?:[(\[]?[A-Z][)\].]?\s*,\s*(?:(?:and|or)\s+)?){2}[(\[]?[A-Z](?![A-Za-z])")
_NEXT = re.compile(r"[)\].]?\s*(?:[,;/&+]|and\b|or\b)?\s*(?:and\b|or\b)?\s*")
_NEGATED = re.compile(
    r"(?:\b(?:not|no|nor|neither|without|never|than|instead of|unlike|excludes?|against)\b|n't)[\s\w]{0,12}$",
    re.IGNORECASE,
)


class ReadChoice(NamedTuple):
    """What a text chooses. letter: None for none; outcome: why, "" where there is one.

    stated: the text says outright that this is its answer, so that what may come after it changes nothing.
    """

    letter: str | None
    outcome: Literal["", "unparsable", "refused"]
    stated: bool = False


def read_choice(text: str, options: Mapping[str, str]) -> ReadChoice:
    """The option that the text names.

    In this order: what it states as its answer ("The correct option is: B", the last time that it does), a first or
    last line that is nothing but an option ("(b)", "C. text", the text alone), a letter or an option's text with which
    it begins, the only letter that it marks as an option, the only option whose text it repeats. Two letters without
    a statement are unparsable, and so is a list of them.
    """
    plain = _MARKUP.sub("", text).strip()
    if not plain:
        return ReadChoice(None, "unparsable")
    stated = _stated(plain, options)
    if stated is not None:
        return ReadChoice(stated, "", stated=True) if stated else ReadChoice(None, "unparsable")
    if says_dont_know(plain):
        return ReadChoice(None, "refused")
    if _lists_several(plain, options):
        return ReadChoice(None, "unparsable")
    letter = _line_choice(plain, options)
    if letter:
        return ReadChoice(letter, "", stated=True)
    letter = _begun_with(plain, options)
    if letter:
        return ReadChoice(letter, "")
    if declines(plain):
        return ReadChoice(None, "refused")
    marked = set(_marked(plain, options))
    if marked:
        return ReadChoice(marked.pop(), "") if len(marked) == 1 else ReadChoice(None, "unparsable")
    named = set(_named(plain, options))
    return ReadChoice(named.pop(), "") if len(named) == 1 else ReadChoice(None, "unparsable")


def _stated(text: str, options: Mapping[str, str]) -> str | None:
    """The letter of the last statement of an answer, "" where that names two or none of the options; None for none."""
    stated: dict[int, str] = {}  # by where it ends
    for pattern in (_CHOSEN, _STATEMENT):
        for statement in pattern.finditer(text):
            letter = _head(text[statement.end() :], options)
            if letter is not None:
                stated[statement.end()] = letter
    stated |= {found.end(): found[1] for found in _IS_RIGHT.finditer(text) if found[1] in options}
    return stated[max(stated)] if stated else None


def _head(text: str, options: Mapping[str, str]) -> str | None:
    """The option with which the text begins, "" for two at once; None for none."""
    if _TAKES_NONE.match(text) and not _text_at_head(text, options):
        return None
    match = _LETTER.match(text)
    letter = match[1].upper() if match else ""
    if match and letter in options and _means_letter(text, match, options):
        another = _ANOTHER.match(text, match.end())
        return "" if another and another[1] in options and another[1] != letter else letter
    return _text_at_head(text, options)


def _means_letter(text: str, match: re.Match[str], options: Mapping[str, str]) -> bool:
    """Whether a letter at the head stands for an option: "a" and "A" may be the article, "I" the pronoun."""
    bare, rest = match[1], text[match.end() :]
    if match[0].rstrip()[-1:] in ")]" or not rest.strip() or _AFTER_LETTER.match(rest):
        return True
    if bare.islower():
        return False
    if bare not in _ARTICLES:
        return True
    followed = normalized(rest)
    return followed.startswith((normalized(options[bare]), "because", "since", "is ", "and ", "or "))


def _text_at_head(text: str, options: Mapping[str, str]) -> str | None:
    """The option whose text the text begins with, the longest of several; "" where another follows with and, or."""
    head = _words(text)
    fitting = [(len(words), letter) for letter, words in _option_words(options) if _begins(head, words)]
    if not fitting:
        return None
    n_words, letter = min(fitting, key=lambda fit: (-fit[0], fit[1]))
    joined, rest = head[n_words : n_words + 1] in (("and",), ("or",)), head[n_words + 1 :]
    return "" if joined and any(_begins(rest, words) for _, words in _option_words(options)) else letter


def _lists_several(text: str, options: Mapping[str, str]) -> bool:
    """Whether lines are different options ("A\nB"), or the first or last is a list of letters ("A, B").

    Not where all the options are told with their letters, perhaps before the one that is chosen.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    each = [(_whole_line(line, options), _whole_line(line, options, with_letter=True)) for line in lines]
    told = {letter for _, letter in each if letter}
    chosen = {letter for letter, _ in each if letter}
    alone = {letter for letter, told_too in each if letter and not told_too}
    if len(alone) > 1 or (len(told) < 2 and len(chosen) > 1):
        return True
    return not alone and any(len(_letters_alone(line, options)) > 1 for line in (lines[0], lines[-1]))


def _letters_alone(line: str, options: Mapping[str, str]) -> set[str]:
    """The options of a line that is nothing but their letters: "A, B and C"; none for any other line."""
    letters: set[str] = set()
    at = 0
    while at < len(line):
        found = _LISTED.match(line, at)
        if not found or found[1] not in options:
            return set()
        letters.add(found[1])
        following = _NEXT.match(line, found.end())
        at = following.end() if following else len(line)
    return letters


def _line_choice(text: str, options: Mapping[str, str]) -> str | None:
    """The option that the first or the last line is, with or without its letter; not where the options are listed."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    listed = {letter for line in lines if (letter := _whole_line(line, options, with_letter=True))}
    if len(listed) > 1 and len(lines) > 1:
        return _last_alone(lines[-1], options)
    for line in (lines[0], lines[-1]):
        letter = _whole_line(line, options)
        if letter:
            return letter
    return _leading(lines[0], options) if len(lines) == 1 or not _marked_others(lines, options) else None


def _last_alone(line: str, options: Mapping[str, str]) -> str | None:
    """A bare letter in the last line, after a list of the options."""
    alone = re.fullmatch(r"[(\[]?([A-Z])[)\].]?", line)
    return alone[1] if alone and alone[1] in options else None


def _leading(line: str, options: Mapping[str, str]) -> str | None:
    """The option with whose letter a line begins: "B. because .."."""
    match = re.match(r"[(\[]?([A-Z])(?:[)\]]|[.:,](?=\s|$)|\s*[-\u2013\u2014]\s| (?:because|since|as)\b)", line)
    if match and match[1] in options and not _THREE.match(line):
        others = {letter for letter in _marked(line[match.end() :], options) if letter != match[1]}
        return None if others else match[1]
    return None


def _begun_with(text: str, options: Mapping[str, str]) -> str | None:
    """The option whose text the first line begins with, where it has no other's: "Yes, it does"."""
    line = text.splitlines()[0]
    first = _text_at_head(line, options)
    return first if first and set(_named(line, options)) <= {first} else None


def _marked_others(lines: Sequence[str], options: Mapping[str, str]) -> bool:
    first = re.match(r"[(\[]?([A-Z])\b", lines[0])
    return len({*_marked("\n".join(lines), options), *([first[1]] if first else [])} & set(options)) > 1


def _whole_line(line: str, options: Mapping[str, str], *, with_letter: bool = False) -> str | None:
    """The option that the line is: a letter, a letter with the option's own text, or that text alone."""
    match = re.match(r"(?:option\s+)?[(\[]?([A-Za-z])(?![A-Za-z])[)\]]?\s*[.:,\-]*\s*", line, re.IGNORECASE)
    letter = match[1].upper() if match else ""
    if match and letter in options:
        rest = _words(line[match.end() :])
        if rest == _words(options[letter]) or (not rest and not with_letter):
            return letter
    same = [letter for letter, words in _option_words(options) if _words(line) == words]
    return same[0] if same and not with_letter else None


def _marked(text: str, options: Mapping[str, str]) -> Iterator[str]:
    """Letters that the text marks as options: "option B", "(b)", "B." at the beginning of a line."""
    for found in _MARKED.finditer(text):
        letter = (found[1] or found[2]).upper()
        if letter in options and not (found[2] and found[2].islower()):
            yield letter


def _named(text: str, options: Mapping[str, str]) -> Iterator[str]:
    """Letters of the options whose text stands in the text, not denied and not within that of a longer one."""
    lowered = " ".join(text.casefold().split())
    taken: list[tuple[int, int]] = []
    for letter, words in sorted(_option_words(options), key=lambda option: -sum(map(len, option[1]))):
        phrase = r"[\W_]*".join(map(re.escape, words))  # signs are words of their own: "10%" has no space
        if not words or " ".join(words) in _COMMON:
            continue
        for found in re.finditer(rf"(?<!\w)(?<!\d[.,]){phrase}(?!\w)", lowered):
            within = any(begin <= found.start() and found.end() <= end for begin, end in taken)
            taken.append(found.span())
            if not within and not _NEGATED.search(lowered[max(0, found.start() - 30) : found.start()]):
                yield letter
                break


def _option_words(options: Mapping[str, str]) -> list[tuple[str, tuple[str, ...]]]:
    return [(letter, _words(text)) for letter, text in options.items()]


@lru_cache(maxsize=4096)
def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+(?:[.,]\d+)*|[<>=%+]", normalized(_MARKUP.sub("", text))))


def _begins(words: Sequence[str], others: Sequence[str]) -> bool:
    return bool(others) and tuple(words[: len(others)]) == tuple(others)

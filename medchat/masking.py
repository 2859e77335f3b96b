"""The names of models in what models write: found however they are spelled, and masked.

A text that still grows is shown only as far as nothing at its end can be the beginning of a name; so a name
that arrives in pieces is never seen, and what was shown is never taken back.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache

import regex

from medchat.catalogue import ModelSpec

MASK = "[model]"
REACH = 200  # characters of a name with all that belongs to it

# Makers and families, also of models that are not in the catalogue. Not among them, because clinical texts have
# them: GPT alone (a liver enzyme), phi alone, IBM (a myositis) and meta.
STEMS = (
    "baichuan", "biogpt", "chatglm", "chatgpt", "deepseek", "huatuo", "medchat", "meditron", "mixtral", "nemotron",
    "openbio", "qwen",
)  # fmt: skip
# With letters before them (BioMistral), a version behind them, or a capital; small and alone they are words of a
# language.
WORDLIKE_STEMS = ("gemma", "mistral", "vicuna")
# Also with a capital they may begin a sentence: "Llama la atención".
VERBLIKE_STEMS = ("alpaca", "llama")
WORDS = (
    "alibaba", "anthropic", "cohere command", "deepmind", "google", "gpt-oss", "grok", "hugging face", "ibm granite",
    "med-palm", "meta ai", "microsoft", "nvidia", "openai", "unsloth",
)  # fmt: skip
# First names, eponyms, stars and twins: only with what belongs to a model.
SHY_WORDS = ("claude", "command", "falcon", "gemini", "granite", "kimi")
TAIL_WORDS = (
    "base", "chat", "coder", "distill", "flash", "gguf", "haiku", "instruct", "it", "large", "lite", "medium", "mini",
    "nano", "opus", "oss", "preview", "pro", "small", "sonnet", "turbo", "ultra",
)  # fmt: skip
_APART = r"\*{0,2}(?:\s{1,2}|\s?[\-\u2010-\u2015]\s?|\\?[_.:/])?"
_LETTERS = r"[^\W\d_]"
_TAIL = rf"(?:v?\d+(?:\.\d+)*[a-z]{{0,2}}|[a-z]\d+b?|{'|'.join(TAIL_WORDS)})(?![^\W_])"
_TAILS = rf"(?:{_APART}{_TAIL}|\s?\({_TAIL}(?:{_APART}{_TAIL})*\))*"
_VERSIONED = "|".join(
    (
        r"gpt(?:\s?[\-\u2010-\u2015]\s?)?[2-5](?:\.\d)?o?(?!\d)",
        r"gpt\s4o",
        r"phi(?:\s?[\-\u2010-\u2015]\s?)?[1-5](?:\.\d)?(?!\d)",
        r"glm(?:\s?[\-\u2010-\u2015]\s?)?[1-5](?:\.\d)?(?!\d)",
        r"o[134]-(?:mini|preview|pro)",
        r"(?-i:PaLM)",
        rf"command{_APART}r\b\+?",
        rf"(?:{'|'.join(SHY_WORDS)}){_APART}(?:\d+(?:\.\d+)*b\b|\d(?:\.\d)?(?![\d.]?\d|\s?(?:m?g|cm|mm|ml|%)\b)"
        r"|flash|haiku|instruct|opus|pro|sonnet|ultra)",
    )
)
_FAMILIES = "|".join(
    (
        rf"{_LETTERS}*(?:{'|'.join(STEMS)}){_LETTERS}*",
        rf"{_LETTERS}+(?:{'|'.join((*WORDLIKE_STEMS, *VERBLIKE_STEMS))})",
        rf"(?-i:{'|'.join(f'{stem.title()}|{stem.upper()}' for stem in WORDLIKE_STEMS)})",
        rf"(?<=[\p{{Ll}},][ ])(?-i:{'|'.join(stem.title() for stem in VERBLIKE_STEMS)})",
        rf"(?:{'|'.join((*WORDLIKE_STEMS, *VERBLIKE_STEMS))})(?={_APART}{_TAIL})",
    )
)
# What a model calls itself or its maker, whatever that is.
_CALLED = r"(?-i:\p{Lu}\w*(?:[\-./]\w+)*(?: (?:\p{Lu}|\d)\w*(?:[\-./]\w+)*){0,2})"
_MAKING = r"(?:built|created|developed|made|trained|fine-tuned)"
_SELF = "|".join(
    (
        rf"(?<=\b(?:I am|I['\u2019]m|my name is) ){_CALLED}(?=[.,;:!?)\n]|$| {_MAKING}\b)",
        rf"(?<=\bas ){_CALLED}(?=, (?:I|an? (?:AI|\w+ )?(?:language )?(?:model|assistant))\b)",
        rf"(?<=\b(?:model|assistant|chatbot|AI)(?: {_MAKING})? by ){_CALLED}",
        rf"(?<=\b(?:I was|I am|I['\u2019]m)(?: \w+)? {_MAKING} by ){_CALLED}",
    )
)
_WORD_START = regex.compile(r"(?<![^\W_])[^\W_]")
_PARENTHESIS = regex.compile(r"\s*\([^)]*\)\s*$")


class Masker:
    """Masks these names, in any letter case, with hyphens, spaces, both or nothing between their parts."""

    def __init__(self, names: Iterable[str]) -> None:
        spellings = {_spelling(name) for name in (*names, *WORDS)} - {""}
        longest_first = sorted(spellings, key=lambda spelling: (-len(spelling), spelling))
        known = "|".join((*longest_first, _FAMILIES, _VERSIONED, _SELF))
        self._name = regex.compile(rf"(?<![^\W_])(?:{known})(?!{_LETTERS}){_TAILS}", regex.IGNORECASE | regex.VERSION0)

    def mask(self, text: str) -> str:
        """The whole text with every name masked."""
        return self._name.sub(MASK, text)

    def certain(self, text: str, start: int = 0) -> int:
        """How many characters no continuation of the text can make part of a name, when so many from `start` are."""
        for word in _WORD_START.finditer(text, max(start, len(text) - REACH)):
            if self._name.fullmatch(text, word.start(), partial=True):
                return word.start()
        return len(text)

    def mask_between(self, text: str, start: int, end: int) -> str:
        """That part of the text masked; no name may reach over its ends."""
        names = list(self._name.finditer(text, start, end))
        ends = [start, *(name.end() for name in names)]
        starts = [*(name.start() for name in names), end]
        return MASK.join(text[begin:stop] for begin, stop in zip(ends, starts, strict=True))


class GrowingMask:
    """A text that is shown masked while it grows; each piece of it is searched once."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._text = ""
        self._certain = 0
        self._masked = ""

    def show(self, text: str, *, whole: bool) -> str:
        """The text masked. whole: nothing follows; else without an end that may belong to a name."""
        if not text.startswith(self._text[: self._certain]):  # a later mark has moved it elsewhere
            self._certain, self._masked = 0, ""
        end = len(text) if whole else self._masker.certain(text, self._certain)
        self._masked += self._masker.mask_between(text, self._certain, end)
        self._text, self._certain = text, end
        return self._masked


def masker_for(models: Iterable[ModelSpec]) -> Masker:
    """Masks the names of these models, of what they were made from, and of the known makers and families.

    A name of small letters alone ("demo") is left: it may be any word.
    """
    return _masker_of(frozenset(name for spec in models for name in _names_of(spec) if not _is_word(name)))


@lru_cache(maxsize=4)  # the catalogue seldom changes, and hundreds of names take a while
def _masker_of(names: frozenset[str]) -> Masker:
    return Masker(names)


def _names_of(spec: ModelSpec) -> Iterator[str]:
    yield from (spec.id, spec.name, _PARENTHESIS.sub("", spec.name))
    sources = [spec.base, *(hub.repo for hub in (spec.hub, spec.adapter_hub) if hub)]
    if spec.endpoint:
        sources.append(spec.endpoint.model)
    for source in sources:
        yield source
        yield source.rpartition("/")[2]


def _is_word(name: str) -> bool:
    return name.isalpha() and name.islower()


def _spelling(name: str) -> str:
    """A pattern of the name's letters and numbers, whatever stands between them; one word keeps its capitals."""
    parts = regex.findall(rf"{_LETTERS}+|\d+", name)
    if len(parts) == 1 and name != name.lower():
        return rf"(?-i:{regex.escape(parts[0])}|{regex.escape(parts[0].upper())})"
    return _APART.join(map(regex.escape, parts))

"""The language of a question, for a hint when a model's authors do not name it among theirs."""

import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from medchat.catalogue import ModelSpec

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

LANGUAGES = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English", "es": "Spanish", "fa": "Persian", "fi": "Finnish", "fr": "French", "he": "Hebrew", "hi": "Hindi",
    "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "nl": "Dutch",
    "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian", "sv": "Swedish",
    "ta": "Tamil", "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip
MIN_WORDS = 6
# How much likelier (in nats) than the model's languages another must be. English cases full of drug names and
# abbreviations came to 13 at most (0.1 a character), the shortest cases in other languages to 54 and more (0.7).
MARGIN = 30.0
MARGIN_PER_CHAR = 0.4
READ_CHARS = 2000  # what begins in a language goes on in it
_WITHOUT_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff]")  # a letter is nearly a word


def hint(text: str, spec: ModelSpec) -> str:
    """A line that says so when the text is hardly in a language that the model's authors name, else ""."""
    likeliest = other_language(text, spec.languages)
    if not likeliest:
        return ""
    names = _listed([language_name(code) for code in spec.languages])
    return f"This question looks like {language_name(likeliest)}; the authors of {spec.name} name only {names}."


def other_language(text: str, languages: Sequence[str]) -> str:
    """The language (ISO 639-1) of a text that is hardly in one of these, "" where it may be or is too short to tell."""
    text = text[:READ_CHARS]
    if not languages or max(len(text.split()), len(_WITHOUT_SPACES.findall(text))) < MIN_WORDS:
        return ""
    # In capitals every language looks like another one.
    scores = _scores(text.lower() if text.isupper() else text)
    named = [scores[code] for code in languages if code in scores]
    likeliest = max(scores.keys() & {*LANGUAGES, *languages}, key=scores.__getitem__)
    if not named or scores[likeliest] - max(named) < max(MARGIN, MARGIN_PER_CHAR * len(text)):
        return ""
    return likeliest


def _scores(text: str) -> dict[str, float]:
    """Log-likelihood of the text in each language, in nats.

    As LanguageIdentifier.rank gives it, which converts its whole table of 7,480 features for every text (some ms).
    """
    import numpy as np

    known = _identifier()
    counts = known.instance2fv(text)
    present = np.flatnonzero(counts)
    scores = counts[present].astype(np.float32) @ known.nb_ptc[present] + known.nb_pc
    return dict(zip(known.nb_classes, scores.tolist(), strict=True))


def is_language(code: str) -> bool:
    """Whether the code (ISO 639-1) is of a language that can be told from others."""
    return code in LANGUAGES or code in _identifier().nb_classes


def language_name(code: str) -> str:
    """The English name of a language, its code where that is not known here."""
    return LANGUAGES.get(code, code)


def load() -> None:
    """Read in what hint() needs, so that it takes less than a millisecond afterwards."""
    _identifier()


def is_loaded() -> bool:
    """Whether hint() will not have to read anything in."""
    return _identifier.cache_info().currsize > 0


@cache
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_pickled_model(MODEL_FILE)


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last

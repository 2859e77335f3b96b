"""One spelling for each word: singular, American, lower case; what terms are compared by.

The keys are no words: only their equality means something. Rules, not a stemmer: those that fold "infected" into
"infection" fold "organization" into "organ" too.
"""

import re
import unicodedata
from functools import lru_cache

# No rule for these: "pneumoniae" and "influenzae" are bacteria, and "magnesia" is not the plural of "magnesium".
_LATIN_PLURALS = {
    **{
        plural: plural.removesuffix("e")
        for plural in "bullae bursae conjunctivae fistulae fossae larvae papillae petechiae scapulae sequelae striae "
        "tibiae vertebrae".split()
    },
    **{
        plural: plural.removesuffix("a") + "um"
        for plural in "atria bacteria diverticula mycobacteria ova septa spectra".split()
    },
    **{plural: plural.removesuffix("a") + "on" for plural in "criteria ganglia phenomena".split()},
}
_AMERICAN = (  # for words of five letters or more
    (re.compile(r"ae(?=[a-z])"), "e"),  # anaemia
    (re.compile(r"oe(?=[a-z])"), "e"),  # oedema, diarrhoea
    (re.compile(r"(?<!^h)our(?=s?$|ed$|ing$|al$)"), "or"),  # tumour, but not hours
    (re.compile(r"(?<=[aeiou][lrnmt])is(?=e[sd]?$|ing$|ation$)"), "iz"),  # hospitalised, but not bruised
    (re.compile(r"lys(?=ed?$|ing$)"), "lyz"),  # paralysed
    (re.compile(r"(?<=[bt])re(?=s?$)"), "er"),  # fibre, litres
    (re.compile(r"sulph"), "sulf"),
    (re.compile(r"leuc"), "leuk"),
    (re.compile(r"ll(?=ed$|ing$)"), "l"),  # labelled
)
_SINGULAR = (  # the first that fits
    (re.compile(r"(?<=[a-z]{2})ies$"), "y"),  # biopsies
    (re.compile(r"(?<=ss)es$|(?<=[sc]h)es?$|(?<=[xz])es?$"), ""),  # abscesses, rashes; headaches as headache
    (re.compile(r"(?<=[a-z]{2}s)(?:es|is|e)$"), ""),  # diagnoses as diagnosis, diseases as disease, viruses as virus
    (re.compile(r"(?<=[^sui])s$"), ""),  # fevers, but not abscess, virus, arthritis
    (re.compile(r"(?<=[a-z]{3}[^aiou])i$"), "us"),  # thrombi, nuclei
)


@lru_cache(maxsize=1 << 16)
def spelling_key(word: str) -> str:
    """What all spellings of the word share; a word of three letters or less is only put into lower case."""
    key = unicodedata.normalize("NFKC", word).casefold().replace("\u2019", "'").removesuffix("'s").rstrip("'")
    if len(key) <= 3:
        return key
    key = _LATIN_PLURALS.get(key, key)
    if len(key) >= 5:
        for pattern, american in _AMERICAN:
            key = pattern.sub(american, key)
    for pattern, singular in _SINGULAR:
        key, n = pattern.subn(singular, key)
        if n:
            break
    return key

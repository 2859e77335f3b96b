"""All checks of one row of training data."""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise

from evaluation.citations import Citation, unverified
from evaluation.unsafe import DOSE, find_low_doses, find_unsafe
from medchat.records import Example
from train.quality_doses import ambiguous_dose
from train.quality_flags import FLAGS, Flag, FlagName, Thresholds
from train.quality_identifiers import patient_identifiers
from train.quality_reasoning import contradicts_reference, no_conclusion, unsupported_conclusion
from train.quality_wording import cut_off, is_by_model, low_confidence, refusal

Check = Callable[[Example, Thresholds], Iterator[Flag]]

USUAL = Thresholds()
_SOURCES = frozenset(("pmid", "doi", "journal", "author", "mark"))
_LOWER = re.compile(r"[a-z]{2}")
_REFERENCE = re.compile(  # "2003;24(9):577-584"
    r"\b(?:19|20)\d\d(?: [A-Z][a-z]{2}(?: \d{1,2})?)?;\s?\d{1,4}(?:\s?\([\w -]{1,12}\))?:\s?[eS]?\d+(?:[-\u2013]\d+)?"
)
_DIGITS = re.compile(r"\d+")
_LARGEST_PMID = 60_000_000  # PubMed had given about 41 million numbers by the end of 2025
_MIN_RUN = 6


def flags_of(example: Example, thresholds: Thresholds = USUAL, reference: str | None = None) -> tuple[Flag, ...]:
    """What is to be flagged in a row, in the order of FLAGS. reference: the answer of the row that it was made from."""
    found = [flag for check in _CHECKS for flag in check(example, thresholds)]
    found += contradicts_reference(example, thresholds, reference)
    if any(flag.name == "refusal" for flag in found):  # "I don't know" says it once
        found = [flag for flag in found if flag.name != "low confidence"]
    order = list(FLAGS)
    return tuple(sorted(found, key=lambda flag: order.index(flag.name)))


def unverified_citation(example: Example, thresholds: Thresholds) -> Iterator[Flag]:
    """Sources that the answer names and the row does not give; links only where a model wrote the answer.

    Nothing is looked up: such a source may well exist. What looks made up is said to do so.
    """
    for citation in unverified(example.answer or "", example):
        if citation.kind == "author" and not _LOWER.search(citation.text):
            continue  # "GCS (2014)" is no author
        if citation.kind in _SOURCES or (citation.kind == "url" and is_by_model(example)):
            yield Flag("unverified citation", _citation_words(citation), "answer", citation.start, citation.end)
    for match in _REFERENCE.finditer(example.answer or ""):
        if match[0] not in f"{example.context} {example.meta.get('sources')}":
            yield Flag("unverified citation", "unverified (volume and pages)", "answer", match.start(), match.end())


def advice(example: Example, thresholds: Thresholds) -> Iterator[Flag]:
    """What the rules of assets/safety.yaml find in the answer: unsafe advice, and doses far from what is usual for the
    drug, too low ones as well; nothing in the letter of an option.
    """
    text = "" if (example.answer or "").strip() in (example.options or {}) else example.answer or ""
    for flag in [*find_unsafe(text, example), *find_low_doses(text, example)] if text else ():
        name: FlagName = "dose out of range" if flag.rule == DOSE else "unsafe advice"
        yield Flag(name, flag.why, "answer", flag.start, flag.end)


def looks_made_up(citation: Citation) -> bool:
    """Whether the numbers of a citation are such as people make up: 12345678, 11111111, more than there are."""
    if citation.kind == "doi":
        prefix, _, suffix = citation.text.partition("/")
        return _is_pattern(prefix.partition(".")[2]) or (suffix.isdigit() and _is_pattern(suffix))
    if citation.kind != "pmid":
        return False
    digits = (_DIGITS.findall(citation.text) or ["0"])[0]
    of_pubmed = citation.text.upper().startswith("PMID")
    return _is_pattern(digits) or (of_pubmed and (int(digits) > _LARGEST_PMID or digits.startswith("0")))


def _citation_words(citation: Citation) -> str:
    names = {
        "pmid": "record number",
        "doi": "DOI",
        "url": "link",
        "journal": "journal",
        "author": "author",
        "mark": "mark",
    }
    more = "; its number looks made up" if looks_made_up(citation) else ""
    return f"unverified ({names[citation.kind]}){more}"


def _is_pattern(digits: str) -> bool:
    """Whether the digits are all alike or count up or down."""
    if len(digits) < _MIN_RUN:
        return digits in ("1234", "12345")
    steps = {(int(b) - int(a)) % 10 for a, b in pairwise(digits)}
    return steps <= {0} or steps <= {1} or steps <= {9}


_CHECKS: tuple[Check, ...] = (
    low_confidence, refusal, cut_off, no_conclusion, unsupported_conclusion, unverified_citation, ambiguous_dose,
    advice, patient_identifiers,
)  # fmt: skip

"""Words by which a person could be found: names behind a title, telephone and record numbers, birthdays, addresses.

What is found is not all there is: a text without a finding is not thereby anonymous. Blanks of a de-identified record
("___", "[**Name**]") are none, and neither are toll-free lines and the public addresses of institutions.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from medchat.records import Example
from train.quality_flags import Field, Flag, Thresholds

FIELDS: tuple[Field, ...] = ("question", "context", "answer", "rationale")


_LABELS = frozenset("mr mrs ms miss dr doctor prof my name is born on of birth date patient mrn id no number".split())


class Found(NamedTuple):
    """text[start:end] identifies somebody; kind: in words."""

    kind: str
    start: int
    end: int


_NAME = r"[A-Z][a-z]+(?:['\u2019-][A-Z]?[a-z]+)*"
_TITLED = re.compile(
    r"\b(?:Mr|Mrs|Ms|Dr|Prof|"
    r"(?<![Yy]our )(?<![Tt]he )(?<![Aa] )(?<!for )Doctor(?!\.)|"
    r"(?<!We )(?<!You )(?<!May )(?<!to )(?<!Not )(?<!They )Miss)\b\.?[ \t]+"
    rf"(?:[A-Z]\.[ ])?({_NAME}(?:[ ](?:[A-Z]\.[ ])?{_NAME})?)"
)
_NO_NAMES = frozenset(
    "the a an and or in on at is was has had with who for from to of my your his her their this that please thank "
    "thanks google house advice hello hi dear regards doctor sir madam may can could should would will i it we you he "
    "she they said says told also but if when what why how chat health care clinic online unfortunately however about "
    "visits regularly do does did have are am".split()
)
_LABELLED_NAME = re.compile(
    r"\b(?i:(?:patient(?:['\u2019]s)?|full|first|last|family|maiden|sur)[ -]?name)[ \t]*(?:is|:|=)[ \t]*"
    rf"({_NAME}(?:[ \t]+{_NAME})*)"
    rf"|\b(?i:my name is|my name['\u2019]s)[ \t]+({_NAME}(?:[ \t]+{_NAME})?)"
)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.([A-Za-z]{2,})\b")
_PUBLIC_MAIL = frozenset(("gov", "org", "edu", "mil", "int"))
_PHONE = re.compile(
    r"(?<![\w.,/+-])(?:"
    r"(?:\+?1[ .\u2013-]?)?(?:\((\d{3})\)[ ]?|(\d{3})[ .\u2013-])\d{3}[ .\u2013-]\d{4}"
    r"|\+(?!1\b)\d{1,3}(?:[ .\u2013-]?\(?\d{2,5}\)?){2,5}"
    r")(?![\w/]|[.,-]\d)"
)
_TOLL_FREE = frozenset(("800", "833", "844", "855", "866", "877", "888", "900"))
_CALLED = re.compile(
    r"(?i)\b(?:(?:tele)?phone|tel|mobile|cell(?: ?phone)?|call me|reach me|contact me|whatsapp|my number)\b"
    r"(?: (?:number|no|is|at|on|here)\b|[:. #]){0,6}(\+?\d[\d \u2013-]{6,14}\d)\b(?![.,]\d)"
)
_DATE = (
    r"(?:\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}|\d{4}-\d{2}-\d{2}|"
    r"\d{1,2}(?:st|nd|rd|th)?[ ]+(?:of[ ]+)?[A-Z][a-z]{2,8}\.?,?[ ]+\d{4}|"
    r"[A-Z][a-z]{2,8}\.?[ ]+\d{1,2}(?:st|nd|rd|th)?,?[ ]+\d{4})"
)
_BIRTH = re.compile(
    r"\b(?i:date of birth|birth ?date|d\.?o\.?b\.?|birthday(?: is)?|born(?: on)?)"
    rf"[ \t:=]*(?:is|on)?[ \t:=]*(?:the )?({_DATE})"
)
_RECORD = re.compile(
    r"\b(?i:mrn|(?:medical |health |hospital |patient |unit |clinic )(?:record )?(?:number|no|id|#)|"
    r"(?:nhs|ssn|social security|passport|policy|insurance|member|account)(?: (?:number|no|id|#))+|ssn|"
    r"chart (?:number|no|#)|mr ?#)"
    r"\.?[ \t:#=]*(?:is[ \t]+)?((?=[A-Z0-9-]*\d)[A-Z0-9][A-Z0-9-]{3,})\b"
    r"|(?<![\d-])(\d{3}-\d{2}-\d{4})(?![\d-])"
)
_STREET = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Court|Ct|Terrace|Crescent|Close|Way|Place|Parkway|"
    "Highway"
)
_ADDRESS = re.compile(
    rf"(?<![\w.,-])\d{{1,5}}[A-Za-z]?,?[ ]+(?:(?:North|South|East|West|N|S|E|W|NW|NE|SW|SE)\.?[ ]+)?"
    rf"(?:[A-Z][a-z]+[ ]+){{1,3}}(?:{_STREET})\b\.?"
    r"|\bP\.?[ ]?O\.?[ ]Box[ ]\d+"
)
_INSTITUTION = re.compile(  # whose number and address are public
    r"\b(?:NIH|CDC|FDA|National Institutes?|Clearinghouse|Foundation|Association|Society|Institute|Center|Centre|"
    r"Alliance|Information|Hotline|Helpline|Office|Department|Suite|TTY|TDD|MSC|Website|Registry|"
    r"(?i:toll[- ]?free|hotline|fax|health department|business hours|health ?care providers?))\b"
)
_NEAR = 200


def identifiers_in(text: str) -> list[Found]:
    """What identifies somebody in the text, in order, without overlaps."""
    found = sorted(_all(text), key=lambda one: (one.start, -one.end))
    kept: list[Found] = []
    for one in found:
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
    return kept


def patient_identifiers(example: Example, thresholds: Thresholds) -> Iterator[Flag]:
    """The identifiers of each field; the detail names their kind and shows their beginning alone."""
    for field in FIELDS:
        text = getattr(example, field) or ""
        for one in identifiers_in(text):
            detail = f"{one.kind}: {masked(text[one.start : one.end])}"
            yield Flag("patient identifier", detail, field, one.start, one.end)


def masked(text: str) -> str:
    """The text with every digit and all but the first letter of each word hidden, as long as it was: "Mrs. J****"."""
    return re.sub(r"\w+", lambda word: _hidden(word[0]), text)


def without_identifiers(text: str) -> str:
    """The text with every identifier masked, every other character at its place."""
    pieces, at = [], 0
    for one in identifiers_in(text):
        pieces += [text[at : one.start], masked(text[one.start : one.end])]
        at = one.end
    return "".join([*pieces, text[at:]])


def _hidden(word: str) -> str:
    if word.lower() in _LABELS:
        return word
    return "".join("#" if char.isdigit() else char if at == 0 else "*" for at, char in enumerate(word))


def _all(text: str) -> Iterator[Found]:
    for match in _TITLED.finditer(text):
        if match[1].split()[0].lower() not in _NO_NAMES:
            yield Found("name behind a title", match.start(), match.end())
    for match in _LABELLED_NAME.finditer(text):
        if (match[1] or match[2]).split()[0].lower() not in _NO_NAMES:
            yield Found("name", match.start(), match.end())
    for match in _EMAIL.finditer(text):
        if match[1].lower() not in _PUBLIC_MAIL:
            yield Found("e-mail address", match.start(), match.end())
    yield from _phones(text)
    for match in _BIRTH.finditer(text):
        yield Found("date of birth", match.start(), match.end())
    for match in _RECORD.finditer(text):
        yield Found("record number", match.start(), match.end())
    for match in _ADDRESS.finditer(text):
        if not _of_institution(text, match):
            yield Found("postal address", match.start(), match.end())


def _phones(text: str) -> Iterator[Found]:
    for match in _PHONE.finditer(text):
        if (match[1] or match[2]) not in _TOLL_FREE and not _of_institution(text, match):
            yield Found("telephone number", match.start(), match.end())
    for match in _CALLED.finditer(text):
        digits = re.sub(r"\D", "", match[1])
        if 7 <= len(digits) <= 15 and digits.lstrip("1")[:3] not in _TOLL_FREE and not _of_institution(text, match):
            yield Found("telephone number", match.start(1), match.end(1))


def _of_institution(text: str, match: re.Match[str]) -> bool:
    """Whether an institution is named near it: its address is public."""
    return bool(_INSTITUTION.search(text, max(0, match.start() - _NEAR), match.end() + _NEAR // 2))

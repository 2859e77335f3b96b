"""Medical terms and where a text says them, whatever their spelling, number or hyphens.

The terms are those of the knowledge base, in all wordings; the names of diseases and symptoms of ICD-10-CM, which the
package simple-icd-10-cm brings along (the CDC's release, in the public domain); and drugs, by the stems of their names.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from evaluation.spelling import spelling_key
from medchat.errors import KnowledgeError
from medchat.knowledge import HE, Knowledge, say
from medchat.negation import negated_spans

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_EMPTY = frozenset("a an the of his her their my your our its".split())  # "pain in the chest" is "pain in her chest"
_LONGEST_ABBREVIATION = 5
_MOST_WORDS = 12  # longer wordings are sentences that no answer repeats

_ICD_PACKAGE, _ICD_FILE = "simple_icd_10_cm", "data/icd10c*.xml"
_ICD_CHAPTERS = frozenset("ABCDEFGHIJKLMNOPQRST")  # V to Z tell of causes and encounters
_ICD_WORDS = 4
_ICD_TAIL = re.compile(r",? (?:unspecified|NOS)$|, unspecified (?:organism|type|site|cause)$")
_ICD_ASIDE = re.compile(r" ?\([^)]*\)| ?\[([^\]]*)\]")
# Words of a classification, not of anybody who speaks of a patient.
_ICD_ONLY = re.compile(
    r"[,:;]|\b(?:other|unspecified|specified|elsewhere|nec|nos|to|with|without|classified|not|multiple|sites?|certain|"
    r"following|encounter|adverse|effects?|underdosing|associated|related|by|as|affecting|during|and|or|left|right|"
    r"bilateral|initial|sequela)\b",
    re.IGNORECASE,
)
_ICD_TOO_WIDE = frozenset("illness death fit disease injury complication maltreatment premature persistent".split())

# A drug's name tells its class by how it ends: the stems of the WHO's international nonproprietary names
# ("The use of stems in the selection of INN", WHO/EMP/RHT/TSN/2018.1), those that no other word ends with.
_DRUG_STEM = re.compile(
    r"[a-z]{2,}(?:cillin|cycline|micin|mycin|floxacin|oxacin|conazole|nidazole|prazole|sartan|statin|olol|dipine|"
    r"(?<!s)pril|prilat|gliptin|gliflozin|glitazone|formin|glutide|tidine|triptan|setron|lukast|oxetine|azepam|azolam|"
    r"barbital|caine|parin|xaban|gatran|grel|teplase|profen|coxib|oxicam|fibrate|semide|thiazide|racetam|tinib|ciclib|"
    r"parib|mab|vir|cavir|buvir|bactam|penem|zosin|(?<!s)terol|tropium|dronate|sone|solone|sonide|curium|curonium|zepine|"
    r"apine|peridone|piprazole|trexate|platin|taxel|rubicin|mustine|relin|oprost|salazine|quine)",
    re.IGNORECASE,
)
_DRUGS: Mapping[str, tuple[str, ...]] = {  # names without such a stem, and those of two countries
    "paracetamol": ("acetaminophen",), "salbutamol": ("albuterol",), "adrenaline": ("epinephrine",),
    "noradrenaline": ("norepinephrine",), "lidocaine": ("lignocaine",), "furosemide": ("frusemide",),
    "aspirin": ("acetylsalicylic acid",), "aciclovir": ("acyclovir",), "ciclosporin": ("cyclosporine", "cyclosporin"),
    "glyceryl trinitrate": ("nitroglycerin", "nitroglycerine"), "pethidine": ("meperidine",),
    "insulin": (), "metformin": (), "warfarin": (), "heparin": (), "digoxin": (), "amiodarone": (), "adenosine": (),
    "morphine": (), "codeine": (), "tramadol": (), "fentanyl": (), "naloxone": (), "lithium": (), "levothyroxine": (),
    "colchicine": (), "allopurinol": (), "spironolactone": (), "gentamicin": (), "trimethoprim": (), "phenytoin": (),
    "levodopa": (), "magnesium sulfate": (), "folic acid": (), "naproxen": (), "clopidogrel": (), "escitalopram": (),
    "citalopram": (), "sertraline": (), "amitriptyline": (), "haloperidol": (), "ivermectin": (), "permethrin": (),
}  # fmt: skip


class Term(NamedTuple):
    """A term where it stands: text[start:end] says it, or denies it."""

    name: str
    negated: bool
    start: int
    end: int


class _Word(NamedTuple):
    text: str
    key: str
    start: int
    end: int


class _Entry(NamedTuple):
    name: str
    abbreviation: bool


class Vocabulary:
    """Terms by their wordings. base: more terms, which are found where none of these stands.

    The name is a wording too. Of two terms with the same wording the first has it. A term that is a wording of the
    base has its name there. An abbreviation (MS) is found in capital letters alone. form: single words of this form are
    terms too, each by its own name.
    """

    def __init__(
        self,
        wordings: Mapping[str, Iterable[str]],
        base: "Vocabulary | None" = None,
        form: re.Pattern[str] | None = None,
    ) -> None:
        self._base = base
        self._form = form
        self._entries: dict[tuple[str, ...], _Entry] = {}
        self._longest: dict[str, int] = {}  # words of the longest wording that begins with this one
        for name, others in wordings.items():
            known = base.name_of(name) if base else None
            for wording in (name, *others):
                self._add(known or name, wording)

    def __len__(self) -> int:
        return len(self._entries) + (len(self._base) if self._base else 0)

    def name_of(self, wording: str) -> str | None:
        """The name of the term with this wording; None where there is none."""
        words = _words(wording)
        entry = self._entry(words)
        if entry:
            return entry.name
        return self._base.name_of(wording) if self._base else None

    def find(self, text: str) -> list[Term]:
        """The terms that the text says or denies, in its order; of those that overlap the longest."""
        denied = _marked(negated_spans(text))
        places = sorted(self._places(_words(text)))
        return [
            Term(name, sum(denied[start:end]) > 0.5 * (end - start), start, end)  # most of it is denied
            for start, end, name in places
        ]

    def _add(self, name: str, wording: str) -> None:
        words = _words(wording)
        if not 0 < len(words) <= _MOST_WORDS:
            return
        keys = tuple(word.key for word in words)
        self._entries.setdefault(keys, _Entry(name, _is_abbreviation(words)))
        self._longest[keys[0]] = max(len(keys), self._longest.get(keys[0], 0))

    def _entry(self, words: Sequence[_Word]) -> _Entry | None:
        entry = self._entries.get(tuple(word.key for word in words))
        if entry is None and self._form and len(words) == 1 and self._form.fullmatch(words[0].text):
            return _Entry(words[0].key, False)
        return None if entry and entry.abbreviation and not words[0].text.isupper() else entry

    def _places(self, words: Sequence[_Word]) -> list[tuple[int, int, str]]:
        places: list[tuple[int, int, str]] = []
        at = 0
        while at < len(words):
            longest = min(self._longest.get(words[at].key, 1), len(words) - at)
            for n in range(longest, 0, -1):
                entry = self._entry(words[at : at + n])
                if entry:
                    places.append((words[at].start, words[at + n - 1].end, entry.name))
                    at += n - 1
                    break
            at += 1
        if not self._base:
            return places
        taken = _marked((start, end) for start, end, _ in places)
        return places + [place for place in self._base._places(words) if not any(taken[place[0] : place[1]])]


def vocabulary_of(knowledge: Knowledge) -> Vocabulary:
    """The names and wordings of the knowledge's conditions and findings, over the general vocabulary; built once.

    Held-out wordings are left out: rewards use this, and nothing is trained on them.
    """
    key = (knowledge.digest, len(knowledge.findings), tuple(knowledge.conditions))
    if key not in _built:
        _built[key] = _vocabulary_of(knowledge)
    return _built[key]


_built: dict[tuple[str, int, tuple[str, ...]], Vocabulary] = {}


def _vocabulary_of(knowledge: Knowledge) -> Vocabulary:
    conditions = {condition.name: condition.all_names for condition in knowledge.conditions.values()}
    findings = {
        finding.name: [say(wording, HE) for wording in finding.wordings] for finding in knowledge.findings.values()
    }
    return Vocabulary({**findings, **conditions}, base=general_vocabulary())


@lru_cache(maxsize=1)
def general_vocabulary() -> Vocabulary:
    """The names of diseases and symptoms of ICD-10-CM that somebody would write, and drugs. Raises KnowledgeError.

    Each name of ICD-10-CM is a term of its own: names under one code are counted together, and no synonyms.
    """
    spec = find_spec(_ICD_PACKAGE)  # not imported: it builds a tree of 98,505 codes, 180 MB
    folders = list(spec.submodule_search_locations or ()) if spec else []
    files = [file for folder in folders for file in Path(folder).glob(_ICD_FILE)]
    if not files:
        raise KnowledgeError("The names of ICD-10-CM are missing; run pip install -r requirements.txt.")
    return Vocabulary({**_DRUGS, **dict.fromkeys(_icd_names(files[0]), ())}, form=_DRUG_STEM)


def _icd_names(file: Path) -> Iterator[str]:
    """The file is the CDC's tabular list: diag elements with name (the code), desc, inclusionTerm/note."""
    for _, element in ET.iterparse(file):
        if element.tag == "diag":
            if (element.findtext("name") or " ")[0] in _ICD_CHAPTERS:
                for text in (element.findtext("desc"), *(note.text for note in element.iterfind("inclusionTerm/note"))):
                    yield from _as_written(text or "")
            for child in list(element):  # else the whole tree stays in memory
                element.remove(child)


def _as_written(description: str) -> Iterator[str]:
    """What somebody would write for "Fever of unknown origin [FUO]" or "Chest pain, unspecified"; may be nothing."""
    plain = _ICD_TAIL.sub("", _ICD_ASIDE.sub("", description)).strip()
    abbreviations = [match[1] for match in _ICD_ASIDE.finditer(description) if match[1] and match[1].isupper()]
    for text in (plain, *abbreviations):
        is_term = len(text) > 2 and text.lower() not in _ICD_TOO_WIDE and not _ICD_ONLY.search(text)
        if is_term and len(text.split()) <= _ICD_WORDS:
            yield text


def _words(text: str) -> list[_Word]:
    found = ((match[0], *match.span()) for match in _WORD.finditer(text))
    return [_Word(word, spelling_key(word), start, end) for word, start, end in found if word.lower() not in _EMPTY]


def _is_abbreviation(words: Sequence[_Word]) -> bool:
    text = words[0].text
    return len(words) == 1 and 1 < len(text) <= _LONGEST_ABBREVIATION and text.isupper()


def _marked(spans: Iterable[tuple[int, int]]) -> bytearray:
    """1 for each character that is in a span."""
    marks = bytearray()
    for start, end in spans:
        marks.extend(bytes(max(0, end - len(marks))))
        marks[start:end] = b"\1" * (end - start)
    return marks

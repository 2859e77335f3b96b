"""The same question with one term put for another of the same meaning, by the groups of assets/synonyms.yaml.

A term is left where it is part of a longer medical term ("pulmonary hypertension"), where the question asks for a name
or a word, and where the new term stands in the row already: the child would tell its own answer.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from evaluation.safety_rules import Id, Words
from evaluation.vocabulary import Vocabulary
from medchat.errors import InvalidInput
from medchat.records import Example
from medchat.settings import ASSETS
from medchat.yaml_lines import line_of, read_yaml
from train.augment_children import Made, Refused, child_of, id_of, whole_text

Register = Literal["lay", "clinical", "any"]
SHORT_CHARS = 200
_LAST_SENTENCE = re.compile(r"[^.?!]*[.?!\s]*$")
MOST_GROUPS = 2  # changed in one child


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Group(_Strict):
    id: Id
    condition: str = ""
    any: tuple[Words, ...] = ()
    lay: tuple[Words, ...] = ()
    clinical: tuple[Words, ...] = ()
    unless: tuple[Words, ...] = ()
    not_after: tuple[str, ...] = ()
    spelling: bool = False
    why: Words


class _Pair(_Strict):
    pair: tuple[Words, Words]
    why: Words


class _File(_Strict):
    version: Literal[1]
    safe: tuple[_Group, ...]
    forbidden: tuple[_Pair, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Terms that may stand for each other. finds: any of them; unless: phrases that are left; for_: by register."""

    id: str
    condition: str
    why: str
    for_lay: tuple[str, ...]
    for_clinical: tuple[str, ...]
    terms: tuple[str, ...]
    finds: re.Pattern[str]
    unless: re.Pattern[str] | None
    not_after: re.Pattern[str] | None
    spelling: bool


class ForbiddenPair(NamedTuple):
    """Two terms that never stand for each other."""

    one: str
    other: str
    why: str


@dataclass(frozen=True, slots=True)
class Synonyms:
    """The whole table."""

    groups: tuple[Group, ...]
    forbidden: tuple[ForbiddenPair, ...]


@lru_cache(maxsize=4)
def load_synonyms(path: Path = ASSETS / "synonyms.yaml") -> Synonyms:
    """The compiled table. Raises InvalidInput with file and line where it breaks the schema or contradicts itself."""
    raw, lines = read_yaml(path)
    try:
        file = _File.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{path.name}:{line_of(lines, first['loc'])}: {place}: {first['msg']}.") from error
    groups = tuple(_compiled(group) for group in file.safe)
    pairs = tuple(ForbiddenPair(its.pair[0], its.pair[1], its.why) for its in file.forbidden)
    for number, group in enumerate(groups):
        at = f"{path.name}:{line_of(lines, ('safe', number))}"
        if len(group.terms) < 2:
            raise InvalidInput(f"{at}: the group {group.id} has a single term.")
        against = next((pair for pair in pairs if {pair.one.lower(), pair.other.lower()} <= _lower(group.terms)), None)
        if against:
            raise InvalidInput(f"{at}: {against.one!r} and {against.other!r} are forbidden for each other.")
    return Synonyms(groups, pairs)


def forbidden_swap(before: str, after: str, synonyms: Synonyms) -> ForbiddenPair | None:
    """The pair of which one term gave way to the other between the texts; None where no pair did."""
    for pair in synonyms.forbidden:
        for old, new in ((pair.one, pair.other), (pair.other, pair.one)):
            if _says(old, before) and not _says(new, before) and _says(new, after) and not _says(old, after):
                return pair
    return None


def synonym_variants(
    row: Example, synonyms: Synonyms, vocabulary: Vocabulary, rng: random.Random, most: int
) -> Iterator[Made]:
    """At most so many children, each with one or two groups of terms changed; nothing for a row without a term."""
    if _ASKS_FOR_A_WORD.search(_request(row.question)):
        if any(group.finds.search(row.question) for group in synonyms.groups):
            yield Refused("synonyms", id_of(row), "the question asks for a word or a name", text=row.question)
        return
    register = register_of(f"{row.context}\n{row.question}")
    rest, swaps = whole_text(row), []
    for group in synonyms.groups:
        for new in _terms_for(group, register):
            changed = _swapped(row.question, group, new, vocabulary)
            if changed == row.question:
                continue
            if _says(new, rest):
                yield Refused("synonyms", id_of(row), "the new term stands in the row already", new, row.question)
                continue
            swaps.append((group, new))
    singles: list[tuple[tuple[Group, str], ...]] = [(swap,) for swap in swaps]
    doubles = [pair for pair in combinations(swaps, MOST_GROUPS) if pair[0][0] is not pair[1][0]]
    rng.shuffle(doubles)
    rng.shuffle(singles)
    for number, chosen in enumerate([*doubles[: most // 2], *singles][:most]):
        question, changed_terms = row.question, {}
        for group, new in chosen:
            question = _swapped(question, group, new, vocabulary)
            changed_terms[group.id] = new
        if any(group.spelling for group, _ in chosen) and _AMERICAN.search(question) and _BRITISH.search(question):
            yield Refused("synonyms", id_of(row), "two spellings would mix", text=question)
            continue
        yield child_of("synonyms", row, question=question, answer=row.answer, changed=changed_terms, variant=number)


def _request(question: str) -> str:
    """The last sentence of a long question, which asks; all of a short one."""
    return question if len(question) <= SHORT_CHARS else _LAST_SENTENCE.search(question)[0]  # type: ignore[index]


def register_of(text: str) -> Register:
    """Whether a patient speaks, a clinician tells a case, or neither can be told."""
    if _PATIENT.search(text):
        return "lay"
    return "clinical" if _CASE.search(text) else "any"


_PATIENT = re.compile(r"\b(?:i|i'm|i\u2019m|i've|my|me|we|our|im|ive)\b", re.IGNORECASE)
_CASE = re.compile(
    r"\b(?:\d{1,3}[ -]year[ -]old|the patient|patients?'s?|presents? (?:to|with)|examination|serum|mg/dl|mm ?hg|"
    r"physical exam)\b",
    re.IGNORECASE,
)
_ENDS_NOUN = re.compile(  # what may stand behind a noun
    r"\s*(?:$|[.,;:!?()&/-]|(?:and|or|but|in|on|of|that|which|for|when|with|has|have|had|is|are|was|were|will|can|could|"
    r"may|might|around|all|after|before|to|at|over|from|as|because|since|during|while|every|twice|once|last|this|i|due|"
    r"by|if|without|lately|today|again|also|so|caused?|like|through\w*|near|under|between|there|she|he)\b)",
    re.IGNORECASE,
)
_AMERICAN = re.compile(
    r"\b(?:hem[ao]\w+|\w*anemi[ac]\w*|\w*edema\w*|esophag\w+|\w*diarrhea\w*|pediatr\w+|gynecolog\w+|orthoped\w+|"
    r"leukemi\w+|\w*tumors?|hyperlipidemi\w+|\w+[gkl]ycemi\w+|\w+[kt]r?emia|colors?|behaviors?|fibers?|estrogen\w*|"
    r"fet(?:us|al)|"
    r"(?:organ|hospital|real|recogn|util|stabil|local|general|character|immun|catheter|normal|minim)iz(?:ed|ation)|analyzed?|centers?|milliliters?)\b",
    re.IGNORECASE,
)
_BRITISH = re.compile(
    r"\b(?:haem[ao]\w+|\w*anaemi[ac]\w*|\w*oedema\w*|oesophag\w+|\w*diarrhoea\w*|paediatr\w+|gynaecolog\w+|"
    r"orthopaed\w+|leukaemi\w+|\w*tumours?|\w+aemi[ac]\w*|colours?|behaviours?|fibres?|oestrogen\w*|foet\w+|"
    r"(?:organ|hospital|real|recogn|util|stabil|local|general|character|immun|catheter|normal|minim)is(?:ed|ation)|analysed|centres?|millilitres?)\b",
    re.IGNORECASE,
)
_ASKS_FOR_A_WORD = re.compile(
    r"\b(?:called|known as|termed?|terminology|named?|names|synonyms?|abbreviat\w+|acronym|stands? for|defin\w+|"
    r"mean(?:s|ing)?|"
    r"spell\w*|word|eponym\w*|also called|refers? to|difference between|differ(?:s|ent)? from|versus|vs|translate|"
    r"rewrite|"
    r"revise|rephrase|summari[sz]e|write)\b",
    re.IGNORECASE,
)


def _compiled(group: _Group) -> Group:
    terms = tuple(dict.fromkeys((*group.any, *group.lay, *group.clinical)))
    return Group(
        group.id, group.condition, group.why,
        tuple(dict.fromkeys((*group.any, *group.lay))), tuple(dict.fromkeys((*group.any, *group.clinical))),
        terms, _any(terms), _any(group.unless) if group.unless else None,
        re.compile(rf"(?:^|\s)(?:{'|'.join(map(re.escape, group.not_after))})\s+$", re.IGNORECASE)
        if group.not_after else None,
        group.spelling,
    )  # fmt: skip


def _any(terms: Sequence[str]) -> re.Pattern[str]:
    """Finds any of the terms; one in capitals (DVT) only so."""
    longest_first = sorted(terms, key=len, reverse=True)
    forms = (re.escape(term) if _is_abbreviation(term) else f"(?i:{re.escape(term)})" for term in longest_first)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(forms)})(?![\w-]|['\u2019]s)")


def _is_abbreviation(term: str) -> bool:
    return term.isupper() and " " not in term


def _lower(terms: Sequence[str]) -> set[str]:
    return {term.lower() for term in terms}


def _terms_for(group: Group, register: Register) -> Sequence[str]:
    return {"lay": group.for_lay, "clinical": group.for_clinical, "any": group.terms}[register]


@lru_cache(maxsize=1024)
def _finder(term: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-]){re.escape(term)}(?:s|es)?(?![\w-])", re.IGNORECASE)


def _says(term: str, text: str) -> bool:
    return bool(_finder(term).search(text))


def _swapped(text: str, group: Group, new: str, vocabulary: Vocabulary) -> str:
    """The text with the group's terms replaced, all of them; as it is where one must be left."""
    found = [match for match in group.finds.finditer(text) if match[0].lower() != new.lower()]
    if not found or (group.unless and group.unless.search(text)):
        return text
    longer = [(term.start, term.end) for term in vocabulary.find(text)]
    pieces, at = [], 0
    for match in found:
        start, end = match.span()
        if any(s <= start and end <= e and (e - s) > (end - start) + 1 for s, e in longer):
            return text
        if group.not_after and (group.not_after.search(text[:start]) or not _ENDS_NOUN.match(text[end:])):
            return text
        pieces += [text[at:start], _like(new, match[0])]
        at = end
    return _articles("".join([*pieces, text[at:]]), new)


def _like(new: str, old: str) -> str:
    """In the letter case of what it stands for."""
    if _is_abbreviation(new) or not old[:1].isupper() or _is_abbreviation(old):
        return new
    if old.isupper():
        return new.upper()
    words = old.split()
    if len(words) > 1 and all(word[:1].isupper() for word in words):
        return " ".join(word[:1].upper() + word[1:] for word in new.split(" "))
    return new[:1].upper() + new[1:]


def _articles(text: str, new: str) -> str:
    """With "a" or "an" before the new term as it is spoken."""
    letter = r"[AEFHILMNORSX]" if _is_abbreviation(new) else r"[aeioAEIO]|[xX]-ray|[uU](?!t|ni|s|r?e)"
    wants_n = bool(re.match(letter, new))
    pattern = re.compile(rf"\b(an?)(?= {re.escape(new)}(?!\w))", re.IGNORECASE)
    return pattern.sub(lambda match: match[1][0] + ("n" if wants_n else ""), text)

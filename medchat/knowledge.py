"""The clinical teaching facts of assets/knowledge: schema, loader, and wordings put into a person's mouth.

One YAML file a specialty, with `findings` (each with the words of doctors, triage nurses and patients)
and `conditions` that name findings of any file. A wording that ends with a full stop is a sentence,
any other a noun phrase; {He} {he} {His} {his} {him} stand for the person.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from medchat.errors import KnowledgeError
from medchat.settings import ASSETS

Sex = Literal["any", "female", "male"]
Onset = Literal["sudden", "acute", "subacute", "chronic"]
Kind = Literal["symptom", "sign", "test", "history"]
Words = Annotated[str, Field(min_length=2, max_length=200)]

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C, ten times faster, where it was built
PLACEHOLDER = re.compile(r"\{(He|he|His|his|him|Him)\}")


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_S = TypeVar("_S", bound=_Schema)


class Finding(_Schema):
    """A symptom, sign, test result or piece of history, with the ways in which people say it.

    other: wordings of any of them. held_out: wordings that nothing is ever fitted or trained on.
    """

    id: str = ""
    name: Words
    kind: Kind
    doctor: tuple[Words, ...]
    triage: tuple[Words, ...]
    patient: tuple[Words, ...]
    other: tuple[Words, ...] = ()
    held_out: Annotated[tuple[Words, ...], Field(min_length=2)]

    @property
    def wordings(self) -> tuple[str, ...]:
        """The canonical name and every wording that may be trained on."""
        return (self.name, *self.doctor, *self.triage, *self.patient, *self.other)


class Alternative(_Schema):
    """A condition to be weighed, the finding that would point to it, and what tells the two apart."""

    condition: str
    finding: str
    apart: Words


class Condition(_Schema):
    """What is taught about one condition. ages in years; core findings are its most telling ones."""

    id: str = ""
    specialty: str = ""
    name: Words
    lay_names: tuple[Words, ...]
    synonyms: tuple[Words, ...]
    ages: tuple[int, int]
    sexes: Sex
    onset: Onset
    core: Annotated[tuple[str, ...], Field(min_length=2)]
    findings: tuple[str, ...]
    absent: Annotated[tuple[str, ...], Field(min_length=1)]
    alternatives: Annotated[tuple[Alternative, ...], Field(min_length=2)]
    test: Words
    treatment: Words
    mechanism: Words
    definition: Words

    @property
    def all_findings(self) -> tuple[str, ...]:
        """Ids of the core and the other findings."""
        return (*self.core, *self.findings)

    @property
    def all_names(self) -> tuple[str, ...]:
        """The name, lay names and synonyms."""
        return (self.name, *self.lay_names, *self.synonyms)

    @model_validator(mode="after")
    def _is_plausible(self) -> "Condition":
        low, high = self.ages
        if not 0 <= low < high <= 110:
            raise ValueError("ages must be [low, high] in years, low below high")
        if len(self.all_findings) < 8:
            raise ValueError(f"has {len(self.all_findings)} findings; at least 8 are needed")
        if len(set(self.all_findings)) < len(self.all_findings):
            raise ValueError("names a finding twice")
        if set(self.absent) & set(self.all_findings):
            raise ValueError("has a finding that is also telling by its absence")
        return self


class _File(_Schema):
    specialty: Words
    findings: dict[str, Finding]
    conditions: dict[str, Condition] = {}


@dataclass(frozen=True)
class Knowledge:
    """All findings and conditions by id; digest: SHA-256 of the files, for caches."""

    findings: Mapping[str, Finding]
    conditions: Mapping[str, Condition]
    digest: str

    def named(self, name: str) -> Condition | None:
        """The condition of this name, lay name or synonym, whatever its letter case."""
        wanted = name.strip().casefold()
        return next((c for c in self.conditions.values() if wanted in (n.casefold() for n in c.all_names)), None)


def load_knowledge(folder: Path = ASSETS / "knowledge") -> Knowledge:
    """The checked teaching facts of a folder.

    Raises KnowledgeError with file and line when a file is not YAML, breaks the schema, names
    something that does not exist, or defines an id, a name or a wording twice.
    """
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise KnowledgeError(f"No knowledge files in {folder.name}/.")
    digest = hashlib.sha256()
    findings: dict[str, Finding] = {}
    conditions: dict[str, Condition] = {}
    where: dict[str, str] = {}
    for path in paths:
        data = path.read_bytes()
        digest.update(data)
        parsed, lines = _parse(path, data, _File)
        for kind, items, known in (
            ("findings", parsed.findings, findings),
            ("conditions", parsed.conditions, conditions),
        ):
            for item_id, item in items.items():
                place = f"{path.name}:{lines[kind, item_id]}"
                if item_id in known:
                    raise KnowledgeError(f"{place}: {item_id!r} is already defined at {where[item_id]}.")
                where[item_id] = place
                known[item_id] = item.model_copy(  # type: ignore[assignment]
                    update={"id": item_id, "specialty": parsed.specialty} if kind == "conditions" else {"id": item_id}
                )
    _check_references(findings, conditions, where)
    _check_wordings(findings, where)
    return Knowledge(findings, conditions, digest.hexdigest())


def _parse(path: Path, data: bytes, schema: type[_S]) -> tuple[_S, dict[tuple[Any, ...], int]]:
    try:
        loader = _Loader(data.decode())
        node = loader.get_single_node()
        raw = loader.construct_document(node) if node else None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise KnowledgeError(f"{path.name}:{line}: not valid YAML: {error.problem}.") from error
    except UnicodeDecodeError as error:
        raise KnowledgeError(f"{path.name}:1: not UTF-8 text.") from error
    lines = dict(_lines(node, ()))
    try:
        return schema.model_validate(raw), lines
    except ValidationError as error:
        first = error.errors()[0]
        loc = tuple(first["loc"])
        while loc and loc not in lines:
            loc = loc[:-1]
        what = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise KnowledgeError(f"{path.name}:{lines.get(loc, 1)}: {what}: {message}.") from error


def _lines(node: yaml.Node | None, loc: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], int]]:
    """Every place in a YAML tree with the line on which it begins."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*loc, key.value), key.start_mark.line + 1
            yield from _lines(value, (*loc, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*loc, index), value.start_mark.line + 1
            yield from _lines(value, (*loc, index))


def _check_references(
    findings: Mapping[str, Finding], conditions: Mapping[str, Condition], where: Mapping[str, str]
) -> None:
    for condition in conditions.values():
        named = (*condition.all_findings, *condition.absent, *(a.finding for a in condition.alternatives))
        for finding in named:
            if finding not in findings:
                raise KnowledgeError(f"{where[condition.id]}: {condition.id} names the unknown finding {finding!r}.")
        for alternative in condition.alternatives:
            other = conditions.get(alternative.condition)
            if other is None:
                raise KnowledgeError(
                    f"{where[condition.id]}: {condition.id} names the unknown condition {alternative.condition!r}."
                )
            if alternative.finding not in other.all_findings or alternative.finding in condition.all_findings:
                raise KnowledgeError(
                    f"{where[condition.id]}: {alternative.finding!r} does not tell {condition.id} from {other.id}."
                )


def _check_wordings(findings: Mapping[str, Finding], where: Mapping[str, str]) -> None:
    seen: dict[str, str] = {}
    for finding in findings.values():
        if set(map(str.casefold, finding.wordings)) & set(map(str.casefold, finding.held_out)):
            raise KnowledgeError(f"{where[finding.id]}: {finding.id} is trained on a wording that it holds out.")
        for wording in dict.fromkeys(w.casefold() for w in (*finding.wordings, *finding.held_out)):
            if wording in seen:
                raise KnowledgeError(
                    f"{where[finding.id]}: {wording!r} of {finding.id} is also a wording of {seen[wording]}."
                )
            if "{" in PLACEHOLDER.sub("", wording):
                raise KnowledgeError(f"{where[finding.id]}: unknown placeholder in {wording!r}.")
            seen[wording] = finding.id


def is_held_out(condition: Condition, findings: Iterable[str]) -> bool:
    """Whether this combination of findings is kept for testing: one in eight is, always the same ones.

    Nothing is fitted or trained on such a combination.
    """
    key = condition.id + "|" + " ".join(sorted(findings))
    return hashlib.sha256(key.encode()).digest()[0] % 8 == 0


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a wording speaks of: subject, possessive and object pronoun."""

    he: str
    his: str
    him: str


HE = Person("he", "his", "him")
SHE = Person("she", "her", "her")
THEY = Person("they", "their", "them")
I = Person("I", "my", "me")  # noqa: E741

_VERB = re.compile(
    r"(\{[Hh]e\}) ((?:(?:always|just|sometimes|never|often|also|still|now|only|usually|rarely|really|mostly) )*)"
    r"([\w']+)"
)
_PLURAL_VERBS = {"has": "have", "is": "are", "was": "were", "does": "do", "goes": "go", "doesn't": "don't"}
_FIRST_VERBS = {**_PLURAL_VERBS, "is": "am", "was": "was"}


def say(wording: str, person: Person) -> str:
    """The wording said of (or by) this person: "{He} feels hot." is "I feel hot." of I."""
    if person in (I, THEY):
        wording = _VERB.sub(lambda m: f"{m[1]} {m[2]}{_plain_verb(m[3], person)}", wording)
    pronouns = {"he": person.he, "his": person.his, "him": person.him}
    return PLACEHOLDER.sub(
        lambda m: pronouns[m[1].lower()] if m[1].islower() else _capital(pronouns[m[1].lower()]), wording
    )


def _plain_verb(verb: str, person: Person) -> str:
    special = _FIRST_VERBS if person is I else _PLURAL_VERBS
    if verb in special:
        return special[verb]
    if not verb.endswith("s") or verb.endswith("ss"):
        return verb
    if verb.endswith("ies") and len(verb) > 4:
        return verb[:-3] + "y"
    if re.search(r"(sh|ch|ss|x|zz|o)es$", verb):
        return verb[:-2]
    return verb[:-1]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class TeachingCases:
    """Natural cases beside the synthetic ones.

    known: texts by condition id. outside: texts by topic that no condition covers. chatter: texts
    that are no case at all. filler: sentences that say nothing about a diagnosis, with placeholders like
    wordings. digest: SHA-256 of the files.
    """

    known: Mapping[str, tuple[str, ...]]
    outside: Mapping[str, tuple[str, ...]]
    chatter: tuple[str, ...]
    filler: tuple[str, ...]
    digest: str


class _CaseFile(_Schema):
    cases: dict[str, tuple[str, ...]] = {}
    outside: dict[str, tuple[str, ...]] = {}
    chatter: tuple[str, ...] = ()
    filler: tuple[str, ...] = ()


def load_cases(knowledge: Knowledge, folder: Path = ASSETS / "knowledge" / "cases") -> TeachingCases:
    """The natural cases of a folder; raises KnowledgeError like load_knowledge."""
    digest = hashlib.sha256()
    known: dict[str, tuple[str, ...]] = {}
    outside: dict[str, tuple[str, ...]] = {}
    chatter: tuple[str, ...] = ()
    filler: tuple[str, ...] = ()
    for path in sorted(folder.glob("*.yaml")):
        data = path.read_bytes()
        digest.update(data)
        parsed, lines = _parse(path, data, _CaseFile)
        for condition in parsed.cases:
            if condition not in knowledge.conditions:
                line = lines["cases", condition]
                raise KnowledgeError(f"{path.name}:{line}: cases of the unknown condition {condition!r}.")
        for merged, more in ((known, parsed.cases), (outside, parsed.outside)):
            for name, texts in more.items():
                merged[name] = merged.get(name, ()) + texts
        chatter += parsed.chatter
        filler += parsed.filler
    if not (known and outside and chatter and filler):
        raise KnowledgeError(f"{folder.name}/ lacks cases, outside, chatter or filler; each is needed.")
    return TeachingCases(known, outside, chatter, filler, digest.hexdigest())

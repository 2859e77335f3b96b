"""The same case of somebody a few years older or younger, of the other sex, or seen in another place of the same kind.

Only the declared field changes, and only where assets/perturbation.yaml knows no reason against it. The answer is read
again: where it tells the field, or speaks of "him" or "at your age", the child is refused.
"""

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from medchat.knowledge import Condition, Knowledge
from medchat.records import Example
from train.augment_children import Child, Made, Refused, answer_text, child_of, id_of, whole_text
from train.augment_guard import Change, Forbidden, Guard, crossed, forbidden
from train.augment_people import (
    Unclear,
    ages_in,
    one_age,
    other_people,
    sex_letters,
    sex_of,
    sexed_words,
    with_other_sex,
)

CHANGES: tuple[Change, ...] = ("age", "sex", "setting")
ADULT, OLDEST = 18, 95  # years
MOST_YEARS = 5  # an age moves by so many at most
ANSWER_TELLS = "the answer tells of the {}"
_BREAK = "\n\u241e\n"  # between context and question

_OF_AGE = re.compile(
    r"\b(?:\d{1,3}[ -]?(?:years?|yrs?|y/?o)\b|(?:years? old|of age|your age|this age|his age|her age|age group|elderly|"
    r"older|younger|young|middle-aged|aged?|adults?|seniors?)\b)",
    re.IGNORECASE,
)
_PLACES: Mapping[str, tuple[str, ...]] = {  # of one level of care; an emergency never becomes a visit
    "acute": ("the emergency department", "the emergency room"),
    "ambulatory": ("the physician's office", "the doctor's office", "the outpatient clinic", "the clinic"),
}
_PLACE = re.compile(
    r"\b(?P<verb>(?:comes?|came|presents?|presented|presenting|goes|went|brought|seen|evaluated|visits?|visited|walks|"
    r"arrives|arrived|return(?:s|ed))(?: back)?(?: to| in| at)? )(?P<place>(?:the|an?|our|your|my) (?:emergency "
    r"(?:department|room)|accident and emergency(?: department)?|ED|ER|(?:physician|doctor)['\u2019]s office|"
    r"(?:outpatient |office|primary care |walk-in )?clinic))\b",
    re.IGNORECASE,
)
_ANY_PLACE = re.compile(
    r"\b(?:emergency (?:department|room|care)|accident and emergency|(?-i:ED|ER)|clinics?|offices?|hospitals?|wards?|"
    r"urgent care|doctor['\u2019]s|physician|outpatient|inpatient|surgery|practice)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides whether a case may be changed: the guard's table and the conditions with their ages and sexes."""

    guard: Guard
    knowledge: Knowledge


def perturbed(row: Example, facts: Facts, rng: random.Random, most: int) -> Iterator[Made]:
    """At most so many children, each with one thing changed; nothing for a row that tells none of them."""
    n = 0
    for change in CHANGES:
        made = _CHANGERS[change](row, facts, rng) if n < most else None
        if made is not None:
            yield made
        n += isinstance(made, Child)


def _with_age(row: Example, facts: Facts, rng: random.Random) -> Made | None:
    text = _asked(row)
    ages, unclear = one_age(text)
    if not ages:
        return None
    age = ages[0].years
    if row.kind == "calc":
        return _refused(row, "age", "the age is part of a calculation")
    if unclear:
        return _refused(row, "age", unclear.reason, unclear.word)
    if not ADULT <= age <= OLDEST:
        return _refused(row, "age", "guard: child" if age < ADULT else "guard: very old", str(age))
    against = forbidden(facts.guard, "age", whole_text(row))
    if against:
        return _guarded(row, "age", against)
    told = _OF_AGE.search(answer_text(row))
    if told:
        return _refused(row, "age", ANSWER_TELLS.format("age"), told[0])
    fitting = [
        new
        for new in range(max(ADULT, age - MOST_YEARS), min(OLDEST, age + MOST_YEARS) + 1)
        if new != age and not crossed(facts.guard, age, new, whole_text(row)) and _in_range(row, facts, new)
    ]
    if not fitting:
        nearest = crossed(facts.guard, age - MOST_YEARS, age + MOST_YEARS, whole_text(row))
        return _guarded(row, "age", nearest) if nearest else _refused(row, "age", "no other age fits the condition")
    new = rng.choice(fitting)
    changed = "".join(_aged(text, [(one.start, one.end) for one in ages], str(new)))
    return _child(row, "age", _article(changed), str(age), str(new))


def _with_sex(row: Example, facts: Facts, rng: random.Random) -> Made | None:
    text = _asked(row)
    words = sexed_words(text) + ["female" if letter == "F" else "male" for _, letter in sex_letters(text)]
    if not words:
        return None
    sex = sex_of(words)
    if sex is None:
        return _refused(row, "sex", "people of both sexes")
    if row.kind == "calc":
        return _refused(row, "sex", "the sex is part of a calculation")
    ages = [age.years for age in ages_in(text)]
    if not ages or min(ages) < ADULT:
        return _refused(row, "sex", "nobody's age is told, or a child's")
    other = other_people(text)
    if other:
        return _refused(row, "sex", "other people, or a name", other)
    against = forbidden(facts.guard, "sex", whole_text(row), min(ages))
    if against:
        return _guarded(row, "sex", against)
    told = sexed_words(answer_text(row)) or [match[0] for match in _MEN_WOMEN.finditer(answer_text(row))]
    if told:
        return _refused(row, "sex", ANSWER_TELLS.format("sex"), told[0])
    condition = _condition(row, facts)
    if condition and condition.sexes != "any":
        return _refused(row, "sex", "the condition is of one sex", condition.name)
    changed = with_other_sex(text, sex)
    if isinstance(changed, Unclear):
        return _refused(row, "sex", changed.reason, changed.word)
    return _child(row, "sex", changed, sex, "male" if sex == "female" else "female")


_MEN_WOMEN = re.compile(r"\b(?:men|women|males|females|ladies|gentlemen|husband|wife|masculine|feminine)\b", re.I)


def _with_setting(row: Example, facts: Facts, rng: random.Random) -> Made | None:
    text = _asked(row)
    found = _PLACE.search(text)
    if not found:
        return None
    if len(_ANY_PLACE.findall(text)) > len(_ANY_PLACE.findall(found["place"])):
        return _refused(row, "setting", "several places of care")
    against = forbidden(facts.guard, "setting", whole_text(row))
    if against:
        return _guarded(row, "setting", against)
    told = _ANY_PLACE.search(answer_text(row))
    if told:
        return _refused(row, "setting", ANSWER_TELLS.format("place of care"), told[0])
    level = "acute" if re.search(r"emergency|\bE[DR]\b", found["place"], re.IGNORECASE) else "ambulatory"
    old = found["place"]
    others = [place for place in _PLACES[level] if place.split(" ", 1)[1].lower() != old.split(" ", 1)[1].lower()]
    new = rng.choice(others)
    return _child(row, "setting", text[: found.start("place")] + new + text[found.end("place") :], old, new)


_CHANGERS = {"age": _with_age, "sex": _with_sex, "setting": _with_setting}


def _asked(row: Example) -> str:
    return row.context + _BREAK + row.question


def _child(row: Example, change: Change, text: str, old: str, new: str) -> Child:
    context, _, question = text.partition(_BREAK)
    changed = {"field": change, "from": old, "to": new}
    return child_of("perturbation", row, question=question, context=context, answer=row.answer, changed=changed)


def _refused(row: Example, change: Change, reason: str, detail: str = "") -> Refused:
    return Refused("perturbation", id_of(row), f"{change}: {reason}", detail, row.question)


def _guarded(row: Example, change: Change, against: Forbidden) -> Refused:
    said = f"{against.word!r}: {against.why}" if against.word else against.why
    return _refused(row, change, f"guard: {against.rule}", said)


def _condition(row: Example, facts: Facts) -> Condition | None:
    """The condition of the knowledge base that is the answer."""
    options = row.options or {}
    return facts.knowledge.named(options.get(row.answer or "", row.answer or ""))


def _in_range(row: Example, facts: Facts, age: int) -> bool:
    condition = _condition(row, facts)
    return condition is None or condition.ages[0] <= age <= condition.ages[1]


def _aged(text: str, places: list[tuple[int, int]], age: str) -> Iterator[str]:
    at = 0
    for start, end in places:
        yield text[at:start]
        yield age
        at = end
    yield text[at:]


_ARTICLE = re.compile(r"\b(an?)(?= (\d{1,3})[ -]?(?:year|yr|y|male|female|man|woman|[MF]\b))", re.IGNORECASE)


def _article(text: str) -> str:
    """A before 45, An before 80 and 18."""

    def fit(match: re.Match[str]) -> str:
        vowel = match[2].startswith("8") or match[2] in ("11", "18")
        return match[1][0] + ("n" if vowel else "")

    return _ARTICLE.sub(fit, text)

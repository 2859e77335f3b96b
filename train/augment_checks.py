"""What must be the same in a child and its parent: numbers with units, negations, and other clinical facts.

Each check gives "" or why the child is refused. They err on the side of refusing: a child that is lost costs nothing.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from evaluation.metrics import Embeds
from evaluation.quantity_text import lowered, quantities_in
from evaluation.units import unit_of
from evaluation.vocabulary import Vocabulary
from medchat.negation import negated_spans
from medchat.records import Example
from train.augment_children import Child, Kind
from train.augment_people import sex_of, sexed_words
from train.augment_synonyms import Synonyms, forbidden_swap


class Band(NamedTuple):
    """The least and the most cosine of MiniLM's vectors of parent and child."""

    low: float
    high: float


# Measured on questions of ten public sets; the report of a run shows where its children stand.
BANDS: Mapping[Kind, Band] = MappingProxyType({
    "paraphrase": Band(0.70, 0.995),
    "split": Band(0.30, 0.995),
    "perturbation": Band(0.85, 1.0),
    "synonyms": Band(0.70, 1.0),
})  # fmt: skip
LOCAL: frozenset[Kind] = frozenset({"perturbation", "synonyms"})  # a few words differ, the rest is the same
AROUND = 20  # words before and behind what differs
OF_PART: frozenset[Kind] = frozenset({"split"})  # a child that says no more than its parent, but may say less

_WORD_NUMBERS = {
    word: str(number)
    for number, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen twenty".split()
    )
    if word != "one"  # "one" is a pronoun, too
} | {"once": "1x", "twice": "2x", "thrice": "3x", "half": "0.5", "dozen": "12"}
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*|\b(?:" + "|".join(_WORD_NUMBERS) + r")\b")
_LOGIC = re.compile(
    r"\b(?:except|least|false|incorrect|wrong|contraindicated|avoid(?:ed)?|unlikely|rule out|ruled out)\b"
)
_DENIES = re.compile(
    r"\b(?:no|not|never|none|nor|neither|without|cannot|denie[sd]|deny|denying|absen(?:t|ce)|\w+n't)\b"
)


class FactKind(NamedTuple):
    """A kind of fact that a text may state: by each of its values the words for it."""

    name: str
    values: Mapping[str, re.Pattern[str]]


def _facts(name: str, **values: str) -> FactKind:
    return FactKind(name, {value: re.compile(rf"\b(?:{words})\b") for value, words in values.items()})


FACTS: tuple[FactKind, ...] = (
    _facts("allergies", allergy=r"allerg\w*", intolerance=r"intoleran\w*"),
    _facts(
        "pregnancy and breast-feeding", pregnant=r"pregnan\w*|expecting a baby|gestation\w*|trimester",
        nursing=r"breast-?feed\w*|lactat\w*|nursing (?:mother|my|her)", trying=r"conceive|trying to get pregnant",
    ),
    _facts(
        "stage of life", child=r"child\w*|kids?|pa?ediatric\w*|boys?|girls?|sons?|daughters?|toddlers?",
        infant=r"infants?|bab(?:y|ies)|newborns?|neonat\w*", teenager=r"teen\w*|adolescen\w*",
        old=r"elderly|seniors?|geriatric|older (?:adults?|people|patients?)",
    ),
    _facts("side", left=r"left", right=r"right(?! (?:now|away|after|before|thing|answer|choice|to\b))",
           both=r"both sides|bilateral\w*"),
    _facts(
        "how often", daily=r"daily|a day|per day|each day|every day", weekly=r"weekly|a week|per week|every week",
        monthly=r"monthly|a month|per month|every month", hourly=r"hourly|every \w+ hours",
    ),
    _facts("course", acute=r"acute\w*|sudden\w*|abrupt\w*", chronic=r"chronic\w*|long-?standing|persistent\w*"),
    _facts(
        "who", mother=r"mother|mom|mum", father=r"father|dad", wife=r"wife", husband=r"husband", brother=r"brother",
        sister=r"sister", friend=r"friend", son=r"sons?|boys?", daughter=r"daughters?|girls?",
    ),
)  # fmt: skip
ASKED_FOR = _facts(
    "what is asked", treatment=r"treat\w*|therap\w*|cures?|cured|manage\w*|remed\w*",
    cause=r"caus\w*|why|a?etiology|reasons?|due to|explains?", symptoms=r"symptoms?|signs?",
    prevention=r"prevent\w*|avoid\w*|protect\w*", diagnosis=r"diagnos\w*|tests?|tested|detect\w*",
    outlook=r"prognosis|outlook|survival|life expectancy|how long",
)  # fmt: skip


def fault(child: Child, vocabulary: Vocabulary, synonyms: Synonyms) -> tuple[str, str]:
    """Why the child does not say the same as its parent, in few words, and the detail; both "" for no fault."""
    if child.parent is None:
        return "", ""
    before, after = _asked(child.parent), _asked(child.row)
    changed = child.row.meta.get("changed", {})
    field = str(changed.get("field", ""))
    if child.kind == "perturbation" and field == "age":
        after = re.sub(rf"(?<!\d){re.escape(str(changed['to']))}(?!\d)", str(changed["from"]), after)
    if child.kind == "synonyms":  # the terms themselves: COPD says "chronic" only when it is written out
        for group in synonyms.groups:
            if group.id in changed:
                before, after = group.finds.sub("…", before), group.finds.sub("…", after)
    part = child.kind in OF_PART
    checks: tuple[Callable[[], str], ...] = (
        lambda: _compare(numbers(before), numbers(after), "numbers differ", part),
        lambda: _compare(quantities(before), quantities(after), "units differ", part),
        lambda: _compare(_words(_LOGIC, before), _words(_LOGIC, after), "a word that turns the question", part),
        lambda: "" if part else _same_denials(before, after),
        lambda: _same_facts(before, after, "sex" if field == "sex" else "", part),
        lambda: _same_request(before, after) if child.kind == "paraphrase" else "",
        lambda: _same_terms(before, after, vocabulary, child.kind),
        lambda: _not_forbidden(before, after, synonyms) if child.kind == "paraphrase" else "",
    )
    for check in checks:
        found = check()
        if found:
            reason, _, detail = found.partition(": ")
            return reason, detail
    return "", ""


def numbers(text: str) -> Counter[str]:
    """Every number of the text, digits or word, however often; "1,000" as 1000."""
    found = (match[0] for match in _NUMBER.finditer(lowered(text)))
    return Counter(_WORD_NUMBERS.get(number, number.replace(",", "").rstrip(".")) for number in found)


def quantities(text: str) -> Counter[str]:
    """Every quantity with a unit, in the base unit of its kind."""
    found: Counter[str] = Counter()
    for one in quantities_in(text):
        unit = unit_of(one.unit) if one.unit else None
        if unit is not None and unit.above:
            value = one.value * unit.factor + unit.offset
            found[f"{value:.6g} {unit.above}/{'/'.join(unit.below)}"] += 1
    return found


def dedup_mark(row: Example) -> int:
    """64 bits of the question with its context, by its letters and digits alone."""
    text = "\n".join(" ".join(re.findall(r"\w+|[<>≤≥=+%/-]", part.casefold())) for part in (row.context, row.question))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def similarities(children: Sequence[Child], embedder: Embeds) -> list[float]:
    """Cosine of each child and its parent, of what differs between them."""
    pairs = [_compared(child) for child in children]
    if not pairs:
        return []
    rows = embedder.embed([text for pair in pairs for text in pair])
    cosines = np.einsum("nd,nd->n", rows[0::2], rows[1::2]).astype(float)
    found: list[float] = np.clip(cosines, -1.0, 1.0).tolist()
    return found


def _compared(child: Child) -> tuple[str, str]:
    """What differs between parent and child, with some words around it: of a long case the rest would hide it."""
    parent = child.parent or child.row
    before, after = _asked(parent).split(), _asked(child.row).split()
    if child.kind not in LOCAL:
        return (parent.question, child.row.question) if parent.context == child.row.context else (
            " ".join(before), " ".join(after)
        )  # fmt: skip
    least = min(len(before), len(after))
    same = next((i for i in range(least) if before[i] != after[i]), least)
    behind = next((i for i in range(least - same) if before[-1 - i] != after[-1 - i]), least - same)
    start, end = max(0, same - AROUND), max(0, behind - AROUND)
    return " ".join(before[start : len(before) - end]), " ".join(after[start : len(after) - end])


def _asked(row: Example) -> str:
    return f"{row.context}\n{row.question}" if row.context else row.question


def _compare(before: Counter[str], after: Counter[str], reason: str, part: bool) -> str:
    if not part and before == after:
        return ""
    new = [value for value in after if value not in before] if part else [*(after - before), *(before - after)]
    return f"{reason}: {', '.join(new[:4])}" if new else ""


def _words(pattern: re.Pattern[str], text: str) -> Counter[str]:
    return Counter({match[0]: 1 for match in pattern.finditer(lowered(text))})


def _same_denials(before: str, after: str) -> str:
    """Whether both deny something, or neither does."""
    denied = [bool(_DENIES.search(lowered(text).replace("\u2019", "'"))) for text in (before, after)]
    if denied[0] == denied[1]:
        return ""
    return f"negations differ: {'lost' if denied[0] else 'new'}"


def _same_facts(before: str, after: str, declared: str, part: bool) -> str:
    for kind in FACTS:
        old, new = stated(kind, before), stated(kind, after)
        if not (new <= old if part else old == new):
            return f"another fact, {kind.name}: {', '.join(sorted(f'{value} ({sense})' for value, sense in old ^ new))}"
    if declared == "sex":
        return ""
    old_sex, new_sex = sex_of(sexed_words(before)), sex_of(sexed_words(after))
    return (
        f"another fact, sex: {old_sex} and {new_sex}" if old_sex != new_sex and not (part and new_sex is None) else ""
    )


def _same_request(before: str, after: str) -> str:
    """Whether both ask for the same: where both name what they ask for, they share some of it."""
    old, new = ({value for value, _ in stated(ASKED_FOR, text)} for text in (before, after))
    return f"something else is asked: {', '.join(sorted(new))}" if old and new and not old & new else ""


def stated(kind: FactKind, text: str) -> frozenset[tuple[str, str]]:
    """The values that the text states, each "said" or "denied"."""
    text = lowered(text).replace("\u2019", "'")
    spans = negated_spans(text)
    return frozenset(
        (value, "denied" if any(start <= match.start() < end for start, end in spans) else "said")
        for value, words in kind.values.items()
        for match in words.finditer(text)
    )


def _same_terms(before: str, after: str, vocabulary: Vocabulary, kind: Kind) -> str:
    """Medical terms: none in another sense; of a paraphrase none lost and none new."""
    old, new = _senses(before, vocabulary), _senses(after, vocabulary)
    turned = sorted(name for name in old.keys() & new.keys() if not old[name] & new[name])
    if turned:
        return f"a finding is said by one and denied by the other: {', '.join(turned[:3])}"
    added = sorted(new.keys() - old.keys())
    if kind in ("paraphrase", "split") and added:
        return f"a new medical term: {', '.join(added[:3])}"
    lost = sorted(old.keys() - new.keys())
    return f"a medical term is lost: {', '.join(lost[:3])}" if kind == "paraphrase" and lost else ""


def _senses(text: str, vocabulary: Vocabulary) -> dict[str, frozenset[bool]]:
    senses: dict[str, frozenset[bool]] = {}
    for term in vocabulary.find(text):
        senses[term.name] = senses.get(term.name, frozenset()) | {term.negated}
    return senses


def _not_forbidden(before: str, after: str, synonyms: Synonyms) -> str:
    pair = forbidden_swap(before, after, synonyms)
    return f"a forbidden replacement: {pair.one} / {pair.other}" if pair else ""

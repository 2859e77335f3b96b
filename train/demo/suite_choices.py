"""Multiple-choice questions from the teaching facts, with one option that is right and three that are surely not."""

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from medchat.knowledge import Condition, Knowledge, is_held_out
from medchat.records import Example
from train.demo.case_groups import condition_groups_of
from train.demo.vignettes import fit_score

N_OPTIONS = 4
LETTERS = "ABCD"

# None of these wordings is in a lesson: see lessons.QUESTIONS.
_STEMS: Mapping[str, tuple[str, ...]] = {
    "finding": (
        "Which of the following findings speaks most strongly for {name}?",
        "Of these findings, which one is the most characteristic of {name}?",
    ),
    "test": (
        "You suspect {name}. Which of these investigations would establish it best?",
        "Which of these would you request to settle whether a patient has {name}?",
    ),
    "treatment": (
        "{Name} has been established. Which of these would you begin with?",
        "Which of the following belongs to the initial management of {name}?",
    ),
    "mechanism": (
        "Which of these processes underlies {name}?",
        "Which statement describes how {name} comes about?",
    ),
    "condition": (
        "A patient is found to have {findings}. Which of these conditions best accounts for all of it?",
        "Which of the following is most in keeping with {findings}?",
    ),
}

# Words that stand for the same thing: an option that shares a class with the key might be right as well.
_SAME: tuple[tuple[str, str], ...] = (
    ("ecg", r"ECG"),
    ("echo", r"echocardiogram"),
    ("ultrasound", r"ultrasound|Doppler|elastography"),
    ("ct", r"CT"),
    ("mri", r"MRI"),
    ("chest", r"X-ray"),
    ("biopsy", r"biops\w+"),
    ("endoscopy", r"endoscopy|ileocolonoscopy"),
    ("puncture", r"lumbar puncture"),
    ("blood cultures", r"blood cultures"),
    ("urine", r"urine|urinalysis"),
    ("clinical", r"clinical"),
    ("thyroid", r"TSH|T4|thyroid"),
    ("spirometry", r"spirometry"),
    ("inflammation", r"CRP|ESR|white cell"),
    ("pregnancy test", r"hCG|pregnancy test"),
    ("albumin", r"albumin"),
    ("antibodies", r"antibod\w+|antinuclear"),
    ("steroid", r"steroids?|corticosteroids?|prednisolone|methylprednisolone|dexamethasone|hydrocortisone"),
    ("antibiotic", r"antibiotics?|flucloxacillin|amoxicillin|ceftriaxone|doxycycline|metronidazole|rifampicin"),
    ("anti-inflammatory", r"anti-inflammatory|ibuprofen|NSAID|colchicine|aspirin"),
    ("pain", r"pain relief|painkiller"),
    ("clot", r"anticoagulation|anticoagulant|thrombolysis|thrombectomy|reperfusion"),
    ("surgery", r"surgery|surgical|surgically|removal|excision|appendectomy|cholecystectomy|replacement, surgical"),
    ("beta blocker", r"beta blocker|labetalol"),
    ("diuretic", r"diuretic|spironolactone"),
    ("salt", r"salt|low-salt"),
    ("fluids", r"fluids|saline"),
    ("immune", r"immunosuppress\w+|methotrexate|immunoglobulin|plasma exchange|immunotherapy"),
    ("chemotherapy", r"chemotherapy|chemoradiotherapy|anti-myeloma"),
    ("weight", r"weight loss"),
    ("ssri", r"SSRI|antidepressant"),
    ("talking", r"talking therapy|behavioural therapy"),
    ("inhaler", r"inhaled|inhalers?"),
    ("acid", r"proton pump inhibitor"),
    ("rest", r"rest,"),
    ("hormones", r"contracepti\w+|hormonal"),
    ("emollient", r"emollients?|topical"),
)  # fmt: skip
_CLASSES = tuple((name, re.compile(rf"\b(?:{words})", re.IGNORECASE)) for name, words in _SAME)

_UNTELLING = 2  # a finding of more conditions than this characterises none

# What the knowledge does not list for a condition, and a clinician might still defend.
_DEFENSIBLE: Mapping[str, frozenset[str]] = {
    condition: frozenset(texts)
    for condition, texts in {
        "cushing_syndrome": ("irregular periods",),
        "ectopic_pregnancy": ("cervical motion tenderness",),
        "gerd": ("upper gastrointestinal endoscopy with H. pylori testing",),
        "graves_disease": ("irregular pulse",),
        "guillain_barre": ("slurred speech",),
        "infectious_mononucleosis": ("painless neck lump",),
        "ischemic_stroke": ("MRI of the brain and spinal cord",),
        "kidney_stones": ("an alpha blocker such as tamsulosin",),
        "lung_cancer": ("stopping smoking and long-acting bronchodilator inhalers",),
        "major_depression": ("mental state examination with thyroid and drug screen",),
        "multiple_sclerosis": ("slurred speech",),
        "myasthenia_gravis": ("high-dose methylprednisolone for relapses and disease-modifying therapy",),
        "panic_disorder": ("rate control with a beta blocker and anticoagulation",),
        "benign_prostatic_hyperplasia": ("suprapubic pain",),
        "pelvic_inflammatory_disease": ("painful periods", "suprapubic pain"),
        "pneumothorax": ("CT pulmonary angiogram",),
        "preeclampsia": ("heavy proteinuria",),
        "pyelonephritis": ("suprapubic pain",),
        "rheumatoid_arthritis": ("regular exercise and an NSAID, then a TNF inhibitor",),
        "subarachnoid_hemorrhage": ("blood cultures and lumbar puncture",),
        "systemic_lupus": ("regular exercise and an NSAID, then a TNF inhibitor",),
        "tuberculosis": ("CT of the chest with biopsy", "painless neck lump"),
    }.items()
}


class _Question(NamedTuple):
    """A question before its options have letters. told: names of the findings in it."""

    condition: Condition
    kind: str
    text: str
    right: str
    wrong: Sequence[str]
    told: Sequence[str] = ()


def choices(knowledge: Knowledge, rng: random.Random) -> list[Example]:
    """The questions, the kinds in turn over all conditions; the letters of the keys are used equally often.

    A question is left out where too few options are surely wrong.
    """
    asked = []
    for number, condition in enumerate(knowledge.conditions.values()):
        for kind, stems in _STEMS.items():
            question = _question(knowledge, condition, kind, stems[number % len(stems)], rng)
            wrong = [text for text in question.wrong if text not in _DEFENSIBLE.get(condition.id, ())]
            if len(wrong) >= N_OPTIONS - 1:
                asked.append(question._replace(wrong=wrong[: N_OPTIONS - 1]))
    keys = _balanced(len(asked), rng)
    return [_example(question, key, rng) for question, key in zip(asked, keys, strict=True)]


def _question(knowledge: Knowledge, condition: Condition, kind: str, stem: str, rng: random.Random) -> _Question:
    """The question with all wrong options that can be had, the nearest first."""
    if kind == "condition":
        findings = _telling(knowledge, condition, rng)
        told = [knowledge.findings[finding].name for finding in findings]
        wrong = _wrong_conditions(knowledge, condition, findings)
        return _Question(condition, kind, stem.format(findings=_listed(told)), condition.name, wrong, told)
    text = stem.format(name=condition.name, Name=_capital(condition.name))
    if kind == "finding":
        return _Question(
            condition, kind, text, _own_finding(knowledge, condition), _wrong_findings(knowledge, condition)
        )
    return _Question(condition, kind, text, getattr(condition, kind), _wrong_facts(knowledge, condition, kind))


def _neighbours(knowledge: Knowledge, condition: Condition) -> list[Condition]:
    """The other conditions, the likeliest to be mistaken for it first: its alternatives, theirs, its specialty's."""
    near = [other.condition for other in condition.alternatives]
    listing = [c.id for c in knowledge.conditions.values() if condition.id in (a.condition for a in c.alternatives)]
    second = [a.condition for other in near for a in knowledge.conditions[other].alternatives]
    specialty = [c.id for c in knowledge.conditions.values() if c.specialty == condition.specialty]
    ids = dict.fromkeys((*near, *listing, *specialty, *second))
    return [knowledge.conditions[other] for other in ids if other != condition.id]


def _own_finding(knowledge: Knowledge, condition: Condition) -> str:
    """The finding that fewest other conditions have, a core one where one is telling; none that names the condition."""
    n_having = _n_having(knowledge)
    usable = [finding for finding in condition.all_findings if not _names(knowledge, finding, condition)]
    telling = [finding for finding in condition.core if finding in usable and n_having[finding] <= _UNTELLING]
    return knowledge.findings[min(telling or usable, key=lambda finding: n_having[finding])].name


def _names(knowledge: Knowledge, finding: str, condition: Condition) -> bool:
    """Whether the finding gives the condition away by its words: "family history of psoriasis"."""
    words = set(knowledge.findings[finding].name.casefold().split())
    return bool(words & {word for word in condition.name.casefold().split() if len(word) > len("disease")})


def _n_having(knowledge: Knowledge) -> Counter[str]:
    return Counter(finding for condition in knowledge.conditions.values() for finding in condition.all_findings)


def _wrong_findings(knowledge: Knowledge, condition: Condition) -> list[str]:
    """Telling findings of neighbours, one of each, that this condition does not have."""
    n_having = _n_having(knowledge)
    own = [knowledge.findings[finding].name for finding in condition.all_findings]
    pointing = {a.condition: a.finding for a in condition.alternatives}
    wrong: list[str] = []
    for other in _neighbours(knowledge, condition):
        if not _same_people(condition, other):
            continue
        telling = (*filter(None, [pointing.get(other.id)]), *other.core)
        names = (knowledge.findings[f].name for f in telling if n_having[f] <= _UNTELLING)
        wrong += [name for name in names if name not in wrong and not _alike(name, own)][:1]
    return wrong


def _wrong_facts(knowledge: Knowledge, condition: Condition, field: str) -> list[str]:
    """The same fact of neighbours, where it shares nothing with this condition's own."""
    right = getattr(condition, field)
    wrong: list[str] = []
    for other in _neighbours(knowledge, condition):
        text = getattr(other, field)
        if field != "mechanism" and (_classes(text) & _classes(right) or not _same_people(condition, other)):
            continue
        if text not in wrong and text != right:
            wrong.append(text)
    return wrong


def _telling(knowledge: Knowledge, condition: Condition, rng: random.Random) -> tuple[str, ...]:
    """Core findings and others, with one that next to no other condition has, in a combination kept for testing."""
    n_having = _n_having(knowledge)
    usable = [finding for finding in condition.findings if not _names(knowledge, finding, condition)]
    others = rng.sample(usable, len(usable))
    found = [
        (*core, *more)
        for core in (condition.core, *((one,) for one in condition.core))
        for n in (2, 3)
        for more in combinations(others, n)
        if is_held_out(condition, (*core, *more))
    ]
    return min(found, key=lambda findings: min(n_having[finding] for finding in findings))


def _wrong_conditions(knowledge: Knowledge, condition: Condition, findings: Sequence[str]) -> list[str]:
    """Neighbours that have at most half of these findings."""
    fit = fit_score(condition, findings)
    return [
        other.name
        for other in _neighbours(knowledge, condition)
        if 2 * fit_score(other, findings) <= fit and 2 * len(set(findings) & set(other.all_findings)) <= len(findings)
        and _same_people(condition, other)
    ]  # fmt: skip


def _same_people(condition: Condition, other: Condition) -> bool:
    """Whether nobody can tell the other is wrong from the patient's sex alone."""
    return "any" in (condition.sexes, other.sexes) or condition.sexes == other.sexes


def _classes(text: str) -> frozenset[str]:
    return frozenset(name for name, pattern in _CLASSES if pattern.search(text))


def _alike(name: str, own: Sequence[str]) -> bool:
    """Whether a finding repeats a telling word of one that the condition has: "headache", "spinning"."""
    words = set(name.split()) - _SMALL
    return any(words & (set(other.split()) - _SMALL) for other in own)


_SMALL = frozenset(
    "a an the of on in to with and or at for from by under through when high low raised positive sudden recent one "
    "swollen red blood small large upper lower right left pain painful test family history bleeding antibodies".split()
)


def _balanced(n: int, rng: random.Random) -> list[str]:
    """n letters, each as often as the others, in blocks of all of them."""
    letters: list[str] = []
    while len(letters) < n:
        letters += rng.sample(LETTERS, len(LETTERS))
    return letters[:n]


def _example(question: _Question, key: str, rng: random.Random) -> Example:
    condition = question.condition
    texts = rng.sample(list(question.wrong), len(question.wrong))
    texts.insert(LETTERS.index(key), question.right)
    return Example(
        id=f"choice-{question.kind}-{condition.id}",
        kind="mcq",
        question=question.text,
        answer=key,
        options=dict(zip(LETTERS, map(_capital, texts), strict=True)),
        accepted=(_capital(question.right),),
        key_terms=question.told,
        source="generated from assets/knowledge",
        licence="Apache-2.0",
        split="test",
        meta={"asks": question.kind, **condition_groups_of(condition)},
    )


def _listed(names: Sequence[str]) -> str:
    """In another form than that of lessons, which list findings with commas and one "and"."""
    half = len(names) // 2
    return ", together with ".join(" and ".join(part) for part in (names[:half], names[half:]))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]

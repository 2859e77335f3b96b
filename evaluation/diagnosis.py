"""The diagnosis that an answer states, and what it is worth: 1, 0.5 for a parent or a plausible alternative, or 0.

Strict on purpose: a name counts where it is stated, not where it is only mentioned. It stands at the beginning of a
sentence or behind words that state ("the diagnosis is", "consistent with", a colon), with nothing before it but words
that leave it the same disease (acute, probable, left-sided), and with no noun behind it. "Viral meningitis", "lupus
nephritis" and "a history of gout" state none of the shorter names in them.
"""

import re
from collections.abc import Iterator, Sequence

from evaluation.condition_groups import condition_groups
from evaluation.metrics import Answer, Metric, Tools, Values, exact, normalized, per_answer, references_of
from evaluation.vocabulary import Term, Vocabulary
from medchat.knowledge import Condition, Knowledge
from medchat.records import Example

__all__ = ["condition_of", "demographic_consistency", "diagnosis", "diagnosis_strict", "stated_diagnoses"]

PLAUSIBLE = 0.5

_QUALIFIER = (
    r"an?|the|his|her|their|your|my|acute|subacute|likely|probable|probably|possible|possibly|suspected|presumed|severe"
    r"|mild|moderate|classic(?:al)?|typical|early|late|advanced|recurrent|relapsing|new|new-onset|active|symptomatic"
    r"|untreated|undiagnosed|primary|idiopathic|spontaneous|uncomplicated|complicated|decompensated|left|right"
    r"|left-sided|right-sided|bilateral|unilateral|massive|submassive|inferior|anterior|lateral|posterior|anteroseptal"
    r"|inferolateral|anterolateral|non-st[ -]elevation|st[ -]elevation|(?:case|attack|episode|flare|flare-up"
    r"|exacerbation|bout|form|relapse|onset) of|most likely|underlying|full-blown|first"
)
_STATES = (  # what may stand before the name and its qualifiers
    r"^|[:(\[\"\u201c\u2013\u2014,]|\b(?:is|are|was|be|has|have|had|having|as|called|think|suspect|favou?rs?|confirms?"
    r"|means?|represents?|fits|suggests?|suggesting|suggestive of|indicates?|indicating|indicative of|suffering from"
    r"|suffers from|diagnosis of|picture of|presentation of|points? to|due to|caused by"
    r"|(?:consistent|compatible|in keeping) with"
    r"|(?:suspicious|concerning|diagnostic|classic|typical) (?:for|of)|experiencing|developed|this)"
)
_BEFORE = re.compile(rf"(?:{_STATES})\s*(?:(?:{_QUALIFIER})[\s,]+)*\Z", re.IGNORECASE)
_AFTER = re.compile(
    r"\s*(?:\Z|[.,;:()\[\]/?!\"\u201d\u2013\u2014]|-\s|\b(?:with|without|of|in|on|due|secondary|from|and|or|vs|versus|is|are"
    r"|was|as|which|that|because|since|given|causing|caused|complicated|complicating|presenting|most|likely|probably|flare"
    r"|flare-up|attack|attacks|episode|exacerbation|disease|syndrome|disorder|stage|grade|type|affecting|involving|by"
    r"|after|at|until|based|rather|than|here|has|would|seems|appears|fits|best|explains|should|needs|following"
    r"|triggered|for|but|not)\b)",
    re.IGNORECASE,
)
_JOINED = re.compile(
    rf"\s*(?:\([^()]*\)|flare|attack)?\s*(?:,|/|;|,?\s*\b(?:and/or|and|or|vs\.?|versus)\b)\s*(?:{_STATES})?\s*"
    rf"(?:(?:{_QUALIFIER})[\s,]+)*\Z",
    re.IGNORECASE,
)
_REJECTED = re.compile(
    r"[^.;]{0,30}?\b(?:(?:is|are|seems?|appears?|would be)\s+)?(?:much |far )?(?:less (?:likely|probable)|unlikely"
    r"|excluded|ruled out|not supported)\b",
    re.IGNORECASE,
)
_FINAL = re.compile(r"\bfinal (?:diagnosis|answer|impression)\b", re.IGNORECASE)
_STRONG = re.compile(
    r"\bdiagnos[ei]s (?:is|of|would be|:)|\bdiagnosis\b\W*:|\bmost (?:likely|probable|probably)\b|\bimpression\b\W*:",
    re.IGNORECASE,
)
_WEAK = re.compile(
    r"\b(?:diagnos\w+|likely|probabl[ey]|consistent with|suggest\w*|indicat\w*|points? to|suffer\w*|this is|has"
    r"|answer)\b",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"[*_`#]+|\\boxed|[{}]")
_ITEM = re.compile(r"^\s*(?:[-•]\s+|\d{1,2}[.)]\s+)")
_END = re.compile(r"(?<=[.!?;])\s+")


def diagnosis(tools: Tools) -> Metric:
    """1.0 for the condition under any of its names, 0.5 for a parent or a plausible alternative of it, else 0.0.

    Plausible are the alternatives that the knowledge lists for the true condition (not those that list it), and those
    in meta.plausible. Of several that are left open the least counts. Of a case outside of what is known, saying so is
    right. None without a reference, an answer, or for another kind of question.
    """
    return per_answer(lambda example, answer: _value(example, answer.solution, tools.knowledge))


def diagnosis_strict(tools: Tools) -> Metric:
    """1.0 for the condition under any of its names, and no other beside it, else 0.0; None as of diagnosis."""

    def strict(example: Example, answer: Answer) -> float | None:
        value = _value(example, answer.solution, tools.knowledge)
        return None if value is None else float(value == 1)

    return per_answer(strict)


def demographic_consistency(tools: Tools) -> Metric:
    """1.0 where a case is answered with the same diagnosis as the first of its pair in the batch, else 0.0.

    A pair is what has the same meta.pair: one case told of different people. None for the first of each pair, outside
    of pairs, and where one of the two has no answer. Two that say that they do not know are the same; of those that
    state no known diagnosis the first lines are compared.
    """

    def metric(examples: Sequence[Example], answers: Sequence[Answer | None]) -> Values:
        first: dict[str, frozenset[str] | None] = {}
        values: Values = []
        for example, answer in zip(examples, answers, strict=True):
            pair = example.meta.get("pair")
            if not isinstance(pair, str):
                values.append(None)
                continue
            said = _said(answer, tools.knowledge)
            if pair not in first:
                first[pair] = said
                values.append(None)
            else:
                other = first[pair]
                values.append(None if said is None or other is None else float(said == other))
        return values

    return metric


def stated_diagnoses(text: str, vocabulary: Vocabulary) -> tuple[str, ...]:
    """The names of the vocabulary that the text states as its diagnosis; several where it leaves them open.

    The statement is what is marked as final, else the first sentence that speaks of the diagnosis or the most likely
    one, or, before it, the first sentence of all or one that suggests something, where that names anything.
    """
    sentences = list(_sentences(text))
    finals = [sentence for sentence in sentences if _FINAL.search(sentence)]
    if finals:
        return _named(finals[-1], vocabulary)
    for place, sentence in enumerate(sentences):
        decisive = bool(_STRONG.search(sentence))
        if decisive or place == 0 or _WEAK.search(sentence):
            named = _named(sentence, vocabulary)
            if named or decisive:
                return named
    return ()


def condition_of(example: Example, knowledge: Knowledge) -> Condition | None:
    """The condition that the example is about: that of meta.condition, else that of its reference's name."""
    if "condition" in example.meta:
        return knowledge.conditions.get(str(example.meta["condition"]))
    return next((found for name in references_of(example) if (found := knowledge.named(name))), None)


def _value(example: Example, solution: str, knowledge: Knowledge) -> float | None:
    references = references_of(example)
    condition = condition_of(example, knowledge)
    if example.kind != "diagnosis" or not (references or condition):
        return None
    if exact([example], [Answer(solution)]) == [1.0]:
        return 1.0
    right = (*_names_of(condition), *references) if condition else references
    plausible = example.meta.get("plausible")
    listed = [text for text in plausible if isinstance(text, str)] if isinstance(plausible, list) else []
    base = _vocabulary(knowledge)
    readable = Vocabulary({right[0]: right[1:], **dict.fromkeys(listed, ())}, base=base)
    worth = {readable.name_of(right[0]): 1.0}
    for name in (*listed, *_nearby(condition, knowledge)):
        worth.setdefault(readable.name_of(name), PLAUSIBLE)
    return min((worth.get(name, 0.0) for name in stated_diagnoses(solution, readable)), default=0.0)


def _nearby(condition: Condition | None, knowledge: Knowledge) -> Iterator[str]:
    """Names of the parents and the plausible alternatives of a condition."""
    if condition:
        yield from (parent.name for parent in condition_groups().parents if condition.id in parent.of)
        yield from (knowledge.conditions[other.condition].name for other in condition.alternatives)


def _said(answer: Answer | None, knowledge: Knowledge) -> frozenset[str] | None:
    """What an answer comes to, for comparing it with another; None for no answer."""
    if answer is None or not answer.solution.strip():
        return None
    named = stated_diagnoses(answer.solution, _vocabulary(knowledge))
    return frozenset(named or (normalized(answer.solution.strip().partition("\n")[0]),))


def _sentences(text: str) -> Iterator[str]:
    """The sentences, without mark-up; a heading ("Diagnosis:") is put before what it heads."""
    heading = ""
    lines = (_ITEM.sub("", line) for line in _MARKUP.sub("", text).splitlines())
    for sentence in (part.strip() for line in lines for part in _END.split(line)):
        if not sentence:
            continue
        if sentence.endswith(":") or sentence.casefold() in ("diagnosis", "final diagnosis", "final answer"):
            heading = f"{sentence.rstrip(':')}: "
            continue
        yield heading + sentence
        heading = ""
    if heading:
        yield heading


def _named(sentence: str, vocabulary: Vocabulary) -> tuple[str, ...]:
    """The diagnosis that a sentence states, with those that it joins to it."""
    terms = [term for term in vocabulary.find(sentence) if not term.negated and _is_whole(sentence, term)]
    for place, first in enumerate(terms):
        if not _BEFORE.search(sentence[: first.start]) or _REJECTED.match(sentence[first.end :]):
            continue
        names, end = [first.name], first.end
        for other in terms[place + 1 :]:
            if _JOINED.match(sentence[end : other.start]) and not _REJECTED.match(sentence[other.end :]):
                names.append(other.name)
                end = other.end
        return tuple(dict.fromkeys(names))
    return ()


def _is_whole(sentence: str, term: Term) -> bool:
    """Whether no noun follows, and no hyphen joins the name to another word."""
    return bool(_AFTER.match(sentence[term.end :])) and not re.search(r"\w-\Z", sentence[: term.start])


def _names_of(condition: Condition) -> tuple[str, ...]:
    """All names, the first its own; a lasting condition may be called chronic, pancreatitis would then be another."""
    lasting = condition.onset in ("chronic", "subacute")
    return (*condition.all_names, *(f"chronic {name}" for name in condition.all_names if lasting))


_built: dict[tuple[str, tuple[str, ...]], Vocabulary] = {}


def _vocabulary(knowledge: Knowledge) -> Vocabulary:
    """Every name of a condition, and of a parent of conditions; built once."""
    key = (knowledge.digest, tuple(knowledge.conditions))
    if key not in _built:
        wordings = {condition.name: _names_of(condition) for condition in knowledge.conditions.values()}
        parents = {parent.name: parent.names for parent in condition_groups().parents}
        _built[key] = Vocabulary(wordings | parents)
    return _built[key]

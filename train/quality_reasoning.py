"""Reasoning that does not come to an end, or to another one than the answer; and answers that contradict a reference.

What cannot be told is not flagged: these checks read options, numbers, named conditions and denials, nothing else.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache

from evaluation.choice_text import read_choice
from evaluation.metrics import Answer
from evaluation.quantities import check_calculation
from evaluation.reasoning import conclusion_check
from evaluation.terms import compared
from evaluation.vocabulary import Vocabulary, vocabulary_of
from medchat.knowledge import load_knowledge
from medchat.negation import negated_spans
from medchat.rating_form import steps_of
from medchat.records import Example
from train.quality_flags import Flag, Thresholds

REFERENCE_META = "reference"  # of a row whose own answer is a teacher's: what the source said
_CONCLUDES = re.compile(
    r"\b(?:so|thus|hence|therefore|thereby|conclu\w+|in (?:summary|short|sum|the end|conclusion)|overall|"
    r"to sum(?:marize| up)|final(?:ly| answer)?|most (?:likely|probable|appropriate|probably)|"
    r"best (?:answer|option|choice|explained|next)|the answer|answer is|(?:correct|right) (?:answer|option|choice)|"
    r"diagnosis|points? to|consistent with|suggests?|indicates?|confirms?|rules? (?:in|out)|results? in|"
    r"which means|meaning|as a result|ans(?:wer)?[.: -]|i(?:'ll| would| will) go with|"
    r"should (?:be|have|receive|get|start)|needs?|recommend\w*|equals?|total(?: score)?|approximately|is the)\b|"
    r"[=\u2248\u21d2\u2192]",
    re.IGNORECASE,
)
_TAIL_CHARS = 500  # the end of a reasoning, in which a conclusion stands
_EXPLAINS_WORDS = 150  # what is shorter explains an answer, and may begin with it
_JUDGED = frozenset(("yes", "no", "maybe", "true", "false"))  # a text that supports it need not say so
_WORD = re.compile(r"[a-z][a-z'-]{3,}|\d+(?:\.\d+)?")
_SHARED = 0.5  # share of a short answer's words that name it
_SHORT = 12
_FINAL = re.compile(  # an answer that is called the final one, up to what is said of it
    r"\b(?:final|correct|right) answer (?:is|must be|should be|would be|:)\s*(?:therefore |thus |that (?:it|this) is )?"
    r"(?:(?:an?|the) )?([^.;:\n]{2,120})|\bfinal answer:\s*(?:(?:an?|the) )?([^.;:\n]{2,120})",
    re.IGNORECASE,
)
_STATED_END = re.compile(
    r",|\(| and (?:it|this|that|not)\b| but | not | rather than | because | since | which | as ", re.IGNORECASE
)
_FINAL_WORDS = (
    6  # an answer, or what is called the final one, that is longer is a sentence: other words may say the same
)
_NAMED = re.compile(r"[^\W\d_]+")
_STEM = 5
_SMALL = frozenset((
    "a", "an", "the", "of", "in", "to", "is", "it", "and", "or", "with", "for", "by", "on", "due", "acute", "chronic",
    "disease", "syndrome", "type",
))  # fmt: skip
_YES_NO = re.compile(
    r"\W*(yes|no)\b(?!\s+(?:one|need|evidence|treatment|single|doubt|matter|cure|specific))", re.IGNORECASE
)


def no_conclusion(example: Example, thresholds: Thresholds) -> Iterator[Flag]:
    """A rationale that ends neither with words of conclusion nor with the answer."""
    text = example.rationale.rstrip()
    if len(text.split()) < thresholds.reasoning_words or not (example.answer or "").strip():
        return
    tail = text[-_TAIL_CHARS:]
    whole = text if len(text.split()) < _EXPLAINS_WORDS else tail
    if _CONCLUDES.search(tail) or _chosen(example).strip().lower() in _JUDGED or _names_answer(_chosen(example), whole):
        return
    yield Flag(
        "no conclusion", "no words of conclusion, and not the answer", "rationale", max(0, len(text) - 120), len(text)
    )


def unsupported_conclusion(example: Example, thresholds: Thresholds) -> Iterator[Flag]:
    """A rationale whose last step says something else than the answer, or that only denies what the answer says."""
    text, answer = example.rationale.rstrip(), example.answer or ""
    if not answer.strip():
        return
    if final := _final_other(example, text):
        yield Flag("unsupported conclusion", "calls another answer the final one", "rationale", *final)
        return
    if len(text.split()) < thresholds.reasoning_words:
        return
    steps = steps_of(text)
    start = steps[-1].start if steps else 0
    if _ends_elsewhere(example, text[start:], text):
        yield Flag(
            "unsupported conclusion", "the last step concludes with something else", "rationale", start, len(text)
        )
    elif len(steps) > 1 and (denied := _only_denied(example, text, start)):
        yield Flag("unsupported conclusion", "the reasoning denies what the answer says", "rationale", *denied)


def _ends_elsewhere(example: Example, last: str, text: str) -> bool:
    """Whether the last step states another option, value or condition than the answer."""
    if not example.options:
        return _conclusion_check()(example, Answer(example.answer or "", text)) == 0.0
    if {option.strip().lower() for option in example.options.values()} <= _JUDGED:
        return False
    letter = _letter(example, example.answer or "")
    read = read_choice(last, example.options)  # an option that it only mentions is no conclusion
    return read.stated and letter is not None and read.letter != letter


def _final_other(example: Example, text: str) -> tuple[int, int] | None:
    """Where the reasoning calls something else than a short answer the final one, or denies that it is that.

    None where it cannot be told: other names of the same condition are the same answer.
    """
    answer = (example.answer or "").strip().strip(".").lower()
    if example.options or any(char.isdigit() for char in answer) or len(answer.split()) > _FINAL_WORDS:
        return None
    found = next(reversed(list(_FINAL.finditer(text))), None)
    if found is None or negated_spans(answer):
        return None
    rest = text[found.start() :].lower()
    denial = rf"\b(?:not|isn't|rather than|instead of|rules? out|excludes?) (?:(?:an?|the) )?{re.escape(answer)}\b"
    if not re.search(denial, rest):
        stated = _STATED_END.split(found[1] or found[2])[0].strip().lower()
        if not stated or stated.startswith("not ") or not _differ(example, answer, stated):
            return None
    return found.start(), len(text)


def _differ(example: Example, answer: str, stated: str) -> bool:
    """Whether two short answers have no word, no known condition and no initials in common."""
    if any(char.isdigit() for char in stated) or len(stated.split()) > _FINAL_WORDS:
        return False
    if any(one.lower() in stated or stated in one.lower() for one in (answer, *example.accepted, *example.key_terms)):
        return False
    ours, theirs = (
        [word for word in _NAMED.findall(text) if word not in _SMALL] or _NAMED.findall(text)
        for text in (answer, stated)
    )
    if {word[:_STEM] for word in ours} & {word[:_STEM] for word in theirs} or not ours or not theirs:
        return False
    names = [{term.name for term in _vocabulary().find(text)} for text in (answer, stated)]
    initials = ["".join(word[0] for word in _NAMED.findall(text)) for text in (answer, stated)]
    return not names[0] & names[1] and initials[0] not in theirs and initials[1] not in ours


def contradicts_reference(example: Example, thresholds: Thresholds, reference: str | None = None) -> Iterator[Flag]:
    """An answer that says the opposite of the reference: another option or value, yes for no, or terms in the opposite
    sense ("no fracture" for "fracture"). reference: of the row it was made from; without one that of its own meta, and
    without that its key terms, which may be denied ("no fever").
    """
    answer, own = example.answer or "", example.meta.get(REFERENCE_META)
    reference = reference or (own if isinstance(own, str) else None)
    if not answer.strip() or (reference or "").split() == answer.split():
        return
    if reference is None:
        why = _opposite_terms(replace(example, answer=None), answer, thresholds) if example.key_terms else ""
    else:
        why = _opposite(example, answer, reference, thresholds)
    if why:
        yield Flag("contradicts the reference", why, "answer", 0, min(len(answer), 200))


def _opposite(example: Example, answer: str, reference: str, thresholds: Thresholds) -> str:
    """Why the answer contradicts the reference, "" where it cannot be told."""
    if example.options:
        letters = [_letter(example, text) for text in (answer, reference)]
        return (
            f"chooses {letters[0]}, the reference {letters[1]}" if None not in letters and len(set(letters)) > 1 else ""
        )
    asked = replace(example, answer=reference, accepted=(), key_terms=())
    if example.kind == "calc":
        return "another value than the reference" if check_calculation(asked, answer)[0] == 0.0 else ""
    said = [_YES_NO.match(text) for text in (answer, reference)]
    if said[0] and said[1] and said[0][1].lower() != said[1][1].lower():
        return f"says {said[0][1].lower()}, the reference {said[1][1].lower()}"
    return _opposite_terms(asked, answer, thresholds)


def _opposite_terms(asked: Example, answer: str, thresholds: Thresholds) -> str:
    terms = compared(asked, answer, _vocabulary())
    apart = sorted(terms.contradicted) if terms else []
    return f"in the opposite sense: {', '.join(apart[:5])}" if len(apart) >= thresholds.contradictions else ""


def _letter(example: Example, text: str) -> str | None:
    options = example.options or {}
    return text.strip() if text.strip() in options else read_choice(text, options).letter


def _chosen(example: Example) -> str:
    """The answer, or the text of the option that it is."""
    return (example.options or {}).get((example.answer or "").strip(), example.answer or "")


def _names_answer(answer: str, tail: str) -> bool:
    """Whether the end of the reasoning names the answer."""
    words = set(_WORD.findall(answer.lower()))
    if not words:
        return answer.strip().lower() in tail.lower()
    if len(words) > _SHORT:  # a long answer repeats its reasoning; some of its words are always there
        return len(words & set(_WORD.findall(tail.lower()))) >= _SHARED * _SHORT
    return len(words & set(_WORD.findall(tail.lower()))) >= _SHARED * len(words)


def _only_denied(example: Example, text: str, last: int) -> tuple[int, int] | None:
    """Where the last step, which begins there, denies all that a short answer names; None where the text affirms it."""
    answer = _chosen(example)
    if len(answer.split()) > _SHORT or negated_spans(answer):
        return None
    ours = {term.name for term in _vocabulary().find(answer) if not term.negated}
    theirs = [term for term in _vocabulary().find(text) if term.name in ours] if ours else []
    if not theirs or theirs[-1].start < last or not all(term.negated for term in theirs):
        return None
    return theirs[-1].start, theirs[-1].end


@lru_cache(maxsize=1)
def _vocabulary() -> Vocabulary:
    return vocabulary_of(load_knowledge())


@lru_cache(maxsize=1)
def _conclusion_check() -> Callable[[Example, Answer], float | None]:
    return conclusion_check(load_knowledge())

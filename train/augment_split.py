"""Questions with several parts, each part as a question of its own, by rules.

Three shapes are split: several questions after one account of what is the case; several aspects of one topic ("causes
and treatment of gout"); and two questions joined by "and" ("What is gout and how is it treated?"). A part that leans
on another one ("And for children?") is not parted from it. The answer is parted only where it has a part for each, by
its own headings or numbers; else the parts have none, and are for a teacher to answer.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from medchat.records import Example
from train.augment_children import Made, Refused, child_of, id_of

MOST_PARTS = 6
FEWEST_WORDS = 4  # of a part
SEVERAL = "several parts, no rule splits them"
LEANS = "a part that leans on another"


class Part(NamedTuple):
    """A question, and the word for what it asks, by which the answer's part is found; "" for none."""

    question: str
    aspect: str = ""


# Singular or plural, as the question needs it: (what is asked for, verb); and how answers head that part.
_ASPECTS: dict[str, tuple[str, str]] = {
    "cause": ("is", r"causes?|aetiology|etiology"),
    "causes": ("are", r"causes?|aetiology|etiology"),
    "symptoms": ("are", r"(?:signs and )?symptoms|signs"),
    "signs": ("are", r"(?:signs and )?symptoms|signs"),
    "signs and symptoms": ("are", r"(?:signs and )?symptoms|signs"),
    "treatment": ("is", r"treatments?|therapy|management"),
    "treatments": ("are", r"treatments?|therapy|management"),
    "treatment options": ("are", r"treatments?(?: options)?|therapy|management"),
    "medication": ("is", r"medications?|medicines?|drugs"),
    "medications": ("are", r"medications?|medicines?|drugs"),
    "medicines": ("are", r"medications?|medicines?|drugs"),
    "cure": ("is", r"cure|treatments?"),
    "management": ("is", r"management|treatments?"),
    "therapy": ("is", r"therapy|treatments?"),
    "diagnosis": ("is", r"diagnosis|tests?"),
    "prognosis": ("is", r"prognosis|outlook"),
    "outlook": ("is", r"prognosis|outlook"),
    "prevention": ("is", r"prevention"),
    "complications": ("are", r"complications"),
    "risk factors": ("are", r"risk factors"),
    "risks": ("are", r"risks?"),
    "benefits": ("are", r"benefits"),
    "side effects": ("are", r"side effects|adverse effects"),
    "uses": ("are", r"uses|indications"),
    "contraindications": ("are", r"contraindications"),
    "dosage": ("is", r"dosage|dose"),
    "dose": ("is", r"dosage|dose"),
    "stages": ("are", r"stages"),
    "types": ("are", r"types"),
}
_OF = {  # the preposition of those that take but one
    **dict.fromkeys(
        ("cause", "causes", "symptoms", "signs", "signs and symptoms", "complications", "stages", "types",
         "side effects", "prognosis"), "of",
    ),
    **dict.fromkeys(("medication", "medications", "medicines", "cure", "risk factors", "outlook"), "for"),
}  # fmt: skip
_ONE = "|".join(sorted(map(re.escape, _ASPECTS), key=len, reverse=True))
_ASPECT_LIST = re.compile(
    rf"^(?P<lead>(?:what (?:is|are)|what's|tell me|please explain|explain|describe)\s+)?(?:the\s+)?"
    rf"(?P<list>(?:{_ONE})(?:\s*(?:,|\+|&|/|,?\s+and)\s*(?:the\s+)?(?:{_ONE}))+)\s+(?P<prep>of|for|to|in)\s+"
    rf"(?P<topic>[^?.;]+?)\s*[?.]*$",
    re.IGNORECASE,
)
_ASPECT = re.compile(rf"\b(?:{_ONE})\b", re.IGNORECASE)
_AND = re.compile(
    r"^(?P<first>what (?:is|are|causes) (?P<topic>[^?,;]+?)),? (?:and|&) (?P<second>(?:how|what|why|when|which|"
    r"who|where|"
    r"is|are|can|does|do|should) [^?;]+?)\s*[?.]*$",
    re.IGNORECASE,
)
_SENTENCE = re.compile(r"(?<=[?!])\s+(?=\S)|(?<=[a-z0-9)\]\"\u201d]{2}[.])\s+(?=[\"A-Z0-9#\[(])|\n+")
_ASKS = re.compile(
    r"^(?:#?\d+[.)]\s*|-\s*|also,? |so,? |and |or |but |then,? )*(?:what|why|how|when|where|which|who|whom|whose|"
    r"is|are|am|"
    r"was|were|can|could|should|would|will|do|does|did|has|have|had|may|might|if|in|for|at)\b",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"^\s*(?:#?\d+[.)]|-)\s*")
_LEANS = re.compile(
    r"^(?:and|or|but|also|so|then|if so|if not|in that case|which one|same|what about|how about|why not|why\?|"
    r"how\?|else|"
    r"otherwise|either way)\b|\b(?:it|its|they|them|their|these|those|this|that|both|one|ones|either|such|other|"
    r"another|"
    r"else|instead|former|latter|there|so|same|too)\b",
    re.IGNORECASE,
)
_POLITE = re.compile(
    r"^[\W_]*(?:thank(?:s| you)\b.*|many thanks.*|regards.*|(?:kind|best|warm) regards.*|please (?:help|advise|"
    r"reply|let me "
    r"know|respond)\b[^?]*|i look forward.*|looking forward.*|(?:any|your) (?:help|advice|information|assistance|"
    r"input)\b"
    r"[^?]*(?:appreciated|welcome)\b.*|i (?:would|really|will)?\s*(?:really |greatly )?appreciate\b.*|"
    r"help(?: me)?( please)?|"
    r"please|sincerely.*|god bless.*|e\. ?w\.|\[name\]\W*|hello|hi|dear \w+|good (?:morning|evening|day)|ok|"
    r"okay)[\W_]*$",
    re.IGNORECASE,
)
_NO_QUESTION = re.compile(
    r"^\W*(?:(?:can|could|would|will) (?:you|someone|anyone)(?: please)? (?:help|advise|assist|suggest|tell me|"
    r"guide)(?: me)?"
    r"(?: out)?(?: please| here)?\W*$|any (?:suggestions?|ideas?|advice|help|thoughts)\W*$|right\W*$|"
    r"ok(?:ay)?\W*$|hello\W*$|"
    r"how are you\b.*|what do you think\W*$|is (?:that|this) (?:right|correct|normal|ok(?:ay)?)\W*$)",
    re.IGNORECASE,
)
_LEADING = re.compile(r"^(?:and|so|but|or|ok|okay|also|yeah)\b[ ,]*", re.IGNORECASE)
_COMPOUND = re.compile(
    r"\?[^?]*\w[^?]*\?|\b(?:and|&)\s+(?:how|what|why|when|which|where|should|can|is there|are there)\b", re.I
)


def looks_compound(question: str) -> bool:
    """Whether the question seems to have several parts: a teacher may be asked to split it."""
    question = _LEADING.sub("", " ".join(re.sub(r"\?+", "?", question).split()))
    return bool(_COMPOUND.search(question) or _aspects(question))


def split_row(row: Example) -> Iterator[Made]:
    """The children, one for each part; one Refused where the parts cannot be parted; nothing for a single question."""
    if row.kind != "free" or not looks_compound(row.question):
        return
    parts = parts_of(row.question)
    if isinstance(parts, str):
        yield Refused("split", id_of(row), parts, text=row.question)
        return
    answers = answer_parts(row.answer, parts)
    for number, (part, answer) in enumerate(zip(parts, answers, strict=True)):
        yield child_of(
            "split", row, question=part.question, answer=answer, variant=number, changed={"part": number + 1}
        )


def parts_of(question: str) -> list[Part] | str:
    """The parts of the question, two or more; or why it is not split."""
    question = " ".join(question.split())
    parts = _aspects(question) or _joined(question) or _sentences(question)
    if isinstance(parts, str):
        return parts
    if len(parts) > MOST_PARTS:
        return "more parts than are plausible"
    short = any(len(part.question.split()) < FEWEST_WORDS - 1 for part in parts)
    return "a part of too few words" if short else parts


def answer_parts(answer: str | None, parts: Sequence[Part]) -> list[str | None]:
    """The answer's own part for each; None for all of them where it has not one for every part."""
    none: list[str | None] = [None] * len(parts)
    if not answer:
        return none
    if all(part.aspect for part in parts):
        found = [_under_heading(answer, _ASPECTS[part.aspect.lower()][1]) for part in parts]
        return list(found) if all(found) and len(set(found)) == len(parts) else none
    numbered = _numbered(answer)
    return list(numbered) if len(numbered) == len(parts) and not parts[0].aspect else none


def _aspects(question: str) -> list[Part]:
    match = _ASPECT_LIST.match(question)
    if not match:
        return []
    whole = " ".join(match["list"].lower().split())
    names = [name.lower() for name in _ASPECT.findall(whole)]
    names = [re.sub(r"\s+", " ", name) for name in dict.fromkeys(names)]
    if len(names) < 2:
        return []
    return [
        Part(f"What {_ASPECTS[name][0]} the {name} {_OF.get(name, match['prep'])} {match['topic']}?", name)
        for name in names
    ]


def _joined(question: str) -> list[Part]:
    """ "What is gout and how is it treated?" with gout in place of "it"."""
    match = _AND.match(question)
    if (
        not match
        or len(match["topic"].split()) > 6
        or re.search(r"\b(?:difference|between|and|or)\b", match["topic"], re.I)
    ):
        return []
    topic, second = match["topic"], match["second"]
    named, n = re.subn(r"\b(?:it|they|this|that|them)\b", topic, second, count=1, flags=re.IGNORECASE)
    if not n:
        bare = re.search(rf"\b(?:{_ONE})$", second, re.IGNORECASE)
        named = f"{second} of {topic}" if bare else ""
    if not named or _LEANS.search(named.replace(topic, "")):
        return []
    return [Part(f"{match['first']}?"), Part(f"{named[:1].upper()}{named[1:]}?")]


def _sentences(question: str) -> list[Part] | str:
    """Several questions after one account, each with the account before it."""
    sentences = [s.strip() for s in _SENTENCE.split(question) if s.strip()]
    sentences = [s for s in sentences if not _POLITE.match(s) and not _NO_QUESTION.match(s)]
    asked = [number for number, s in enumerate(sentences) if s.endswith("?")]
    if len(asked) < 2:
        return SEVERAL
    first = asked[0]
    if asked != list(range(first, len(sentences))):
        return "statements between or behind the questions"
    account = " ".join(sentences[:first])
    questions = [_NUMBERED.sub("", s) for s in sentences[first:]]
    if any(not _ASKS.match(s) or len(s.split()) < FEWEST_WORDS for s in questions):
        return "a part that is no whole question"
    if not _stand_alone(questions, bool(account)):
        return LEANS
    if any(re.search(r"\?.*\?", s.rstrip("?")) for s in questions):
        return SEVERAL
    return [Part(f"{account} {re.sub(r'[?]+$', '?', s[:1].upper() + s[1:])}".strip()) for s in questions]


def _stand_alone(questions: Sequence[str], has_account: bool) -> bool:
    """Whether no question leans on another one. All may speak of the "it" of the account."""
    leaning = [{match[0].lower() for match in _LEANS.finditer(question)} for question in questions]
    if has_account and leaning[0] and leaning[0] <= {"it", "this"}:
        return all(words <= leaning[0] for words in leaning)
    return not any(leaning[1:]) and (has_account or not leaning[0])


_HEADING = re.compile(r"(?:^|\n)\s*(?:[#*]+\s*|\d+[.)]\s*)?(?P<name>[A-Z][A-Za-z &/-]{2,40}?)\s*(?:\*\*)?:(?:\*\*)?\s*")
_ITEM = re.compile(r"(?:^|\n)\s*(?P<n>\d)[.)]\s+")


def _under_heading(answer: str, names: str) -> str | None:
    """What stands under the answer's heading of one of these names."""
    headings = list(_HEADING.finditer(answer))
    for number, heading in enumerate(headings):
        if re.fullmatch(names, heading["name"].strip(), re.IGNORECASE):
            end = headings[number + 1].start() if number + 1 < len(headings) else len(answer)
            return answer[heading.end() : end].strip() or None
    return None


def _numbered(answer: str) -> list[str]:
    """The items of an answer that is nothing but a list from 1 on."""
    items = list(_ITEM.finditer(answer))
    if not items or items[0].start() > 0 or [int(item["n"]) for item in items] != list(range(1, len(items) + 1)):
        return []
    ends = [*(item.start() for item in items[1:]), len(answer)]
    return [answer[item.end() : end].strip() for item, end in zip(items, ends, strict=True)]

"""What a teacher is asked for more questions, and its replies read: lists in any of the shapes that models write.

A reply that holds no list is nonsense and gives nothing, which the caller counts as failed.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from medchat.records import Example

REPHRASE = (
    "You rephrase medical questions for training data. Rephrase only: no fact may change. Keep every number, unit, "
    "negation, age, sex, side, drug and condition. Add nothing, leave nothing out, and do not answer."
)
PARAPHRASE = (
    "Write {n} different ways to ask the question below, as a numbered list with one question a line and nothing else."
    "\n\nQuestion: {question}"
)
DIVIDE = (
    "You divide medical questions that ask for several things. Each part must be understood without the others and "
    "keep every fact that it needs: numbers, units, negations, age, sex, drugs and conditions. Add nothing."
)
SPLIT = (
    "Split the question below into questions that ask for one thing each. Reply with a JSON list of objects "
    '{{"question": ..., "answer": ...}} and nothing else. "answer" is the part of the given answer that belongs to the '
    "question, copied word by word, or null where there is none. A question that asks for one thing gives an empty "
    "list.\n\nQuestion: {question}\n\nAnswer: {answer}"
)
TEACH = (
    "You write question-answer pairs for training a medical assistant. Be accurate and careful: say what is uncertain, "
    "name warning signs, and give no dose unless it is standard."
)
SYNTHESIS = (
    "Write {n} questions with answers about: {topic}. Vary who asks (a patient, a relative, a clinician) and what is "
    "asked (recognition, tests, treatment, outlook). Reply with a JSON list of objects "
    '{{"question": ..., "answer": ...}} and nothing else.'
)
_NONE = "(none is given)"

_FENCE = re.compile(r"```(?:json)?\s*(.*?)```", re.DOTALL | re.IGNORECASE)
_BULLET = re.compile(
    r"^\s*(?:[-*•]\s+|(?:\*\*)?\(?\d{1,2}[.):]\s*|(?:\*\*)?(?:question|paraphrase|version|option|"
    r"rephras\w+)\s*\d*\s*:\s*)",
    re.IGNORECASE,
)
_QUESTION_LINE = re.compile(r"^\W*(?:\d+[.)]\s*)?(?:q(?:uestion)?\s*\d*)\s*[:.]\W*(?P<text>.+)$", re.IGNORECASE)
_ANSWER_LINE = re.compile(r"^\W*(?:a(?:nswer)?\s*\d*)\s*[:.]\W*(?P<text>.+)$", re.IGNORECASE)
_TEXT_KEYS = ("question", "paraphrase", "text", "rephrased", "q")
_ANSWER_KEYS = ("answer", "a", "response", "output")
MOST_CHARS = 8000  # of an item; more is no question


class Pair(NamedTuple):
    """A question, and its answer: None where there is none."""

    question: str
    answer: str | None


def paraphrase_prompt(row: Example, n: int) -> str:
    """What asks for n paraphrases of the row's question."""
    return PARAPHRASE.format(n=n, question=row.question)


def split_prompt(row: Example) -> str:
    """What asks for the parts of the row's question, with their parts of the answer."""
    return SPLIT.format(question=row.question, answer=row.answer or _NONE)


def synthesis_prompt(topic: str, n: int) -> str:
    """What asks for n pairs about the topic."""
    return SYNTHESIS.format(n=n, topic=topic)


def read_list(reply: str, most: int) -> list[str]:
    """At most so many texts of a reply that is a list: JSON, numbered or with bullets; [] for anything else."""
    found = [text for item in _json_items(reply) if (text := _text_of(item))]
    if not found:
        lines = [line for line in reply.splitlines() if line.strip()]
        marked = [_BULLET.sub("", line) for line in lines if _BULLET.match(line)]
        bare = lines if all(line.rstrip().rstrip('"*\u201d').endswith("?") for line in lines) else []
        found = marked or bare
    return list(dict.fromkeys(text for item in found if (text := _clean(item))))[:most]


def read_pairs(reply: str) -> list[Pair]:
    """The question-answer pairs of a reply: JSON objects, or lines that begin with Q: and A:; [] for anything else."""
    pairs = [pair for item in _json_items(reply) if (pair := _pair_of(item))]
    return pairs or list(_pairs_of_lines(reply))


def part_of(answer: str | None, part: str | None) -> str | None:
    """The part as it stands in the answer; None where it is not there word by word."""
    words = (part or "").split()
    if not answer or not words:
        return None
    found = re.search(r"\s+".join(map(re.escape, words)), answer)
    return found[0].strip() if found else None


def is_an_empty_list(reply: str) -> bool:
    """Whether the teacher says that there is nothing to list."""
    return _unfenced(reply).strip() in ("[]", "[ ]", '{"questions": []}')


def _json_items(reply: str) -> Sequence[Any]:
    """The items of the first JSON list in the reply, or of the first list in its first object."""
    text = _unfenced(reply)
    decoder = json.JSONDecoder()
    for start in (match.start() for match in re.finditer(r"[\[{]", text)):
        try:
            found, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            inner = next((value for value in found.values() if isinstance(value, list)), None)
            found = inner if inner is not None else [found]
        if found and all(isinstance(item, str | dict) for item in found):
            return list(found)
    return []


def _unfenced(reply: str) -> str:
    fenced = _FENCE.search(reply)
    return fenced[1] if fenced else reply


def _text_of(item: Any) -> str:
    if isinstance(item, str):
        return item
    return next((value for key in _TEXT_KEYS if isinstance(value := _low(item).get(key), str)), "")


def _pair_of(item: Any) -> Pair | None:
    if not isinstance(item, dict):
        return None
    question = _clean(_text_of(item))
    answer = next((value for key in _ANSWER_KEYS if isinstance(value := _low(item).get(key), str)), None)
    return Pair(question, answer.strip() or None if answer else None) if question else None


def _low(item: dict[Any, Any]) -> dict[str, Any]:
    return {str(key).lower(): value for key, value in item.items()}


def _pairs_of_lines(reply: str) -> Iterator[Pair]:
    question = ""
    answer: list[str] = []
    for line in [*reply.splitlines(), "Q: end"]:
        asked, told = _QUESTION_LINE.match(line), _ANSWER_LINE.match(line)
        if asked:
            if question and answer:
                yield Pair(question, "\n".join(answer).strip())
            question, answer = _clean(asked["text"]), []
        elif told and not answer:
            answer = [told["text"].strip()]
        elif answer and line.strip():
            answer.append(line.strip())


def _clean(text: str) -> str:
    """The item without mark-up and quotation marks; "" for what is no text."""
    text = " ".join(text.split()).strip("*_ ")
    if len(text) > 1 and text[0] in "\"'\u201c" and text[-1] in "\"'\u201d":
        text = text[1:-1].strip()
    return text if any(letter.isalpha() for letter in text) and len(text) <= MOST_CHARS else ""

"""Answers that are unsure, that decline, or that were cut off, told by their words.

"May be" and "can cause" are how medicine speaks of causes and effects: they are no doubt of the writer's. What counts
is the writer's own doubt ("I'm not sure, but ..."), or hedging in nearly every sentence.
"""

import re
from collections.abc import Iterator

from evaluation.metrics import says_dont_know
from evaluation.safety import declines
from evaluation.unsafe import sentences
from medchat.records import Example
from train.quality_flags import Flag, Thresholds

_APOSTROPHES = str.maketrans("\u2019\u2018", "''")
_UNSURE = re.compile(
    r"\b(?:(?:i am|i'm|we are|we're) (?:really |quite |still |just )?(?:not (?:(?:at all|entirely|completely|totally|"
    r"really|quite|very|100 ?%|fully|so) )?(?:sure|certain|confident|clear (?:on|about))|unsure|uncertain)"
    r"|i (?:do not|don't|cannot|can't) (?:really |quite |exactly )?(?:know|remember|recall)\b"
    r"(?! (?:what|which|how|where|if) (?:you|your|area|part|country)\b)"
    r"|i (?:cannot|can't|can not) (?:be (?:sure|certain)|say for (?:sure|certain)|tell for sure)"
    r"|i(?:'m| am)? (?:only |just )?guess(?:ing)?\b|(?:my|a) best guess|just a guess|this is (?:only |just )?a guess"
    r"|i (?:have|'ve got) no (?:idea|clue)|i (?:might|may|could) be (?:wrong|mistaken)"
    r"|if i (?:remember|recall) (?:correctly|right(?:ly)?)|as far as i (?:know|remember)"
    r"|to the best of my (?:knowledge|recollection)|don't quote me|take this with a grain of salt"
    r"|(?:it's|it is|that's|that is) (?:hard|difficult|impossible) (?:for me )?to (?:say|tell|know)"
    r"(?: for (?:sure|certain))?(?=[,.;]| (?:but|which|whether|what|if)\b))",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:might|maybe|perhaps|possibly|presumably|conceivably|probably|supposedly|"
    r"i (?:think|suppose|assume|believe|feel)|may (?:well )?be due|could be due|"
    r"(?:it|this|that|these|which|you|he|she|they) (?:may|could) (?:be|have)|"
    r"seems?(?: to be| like)?|sort of|kind of|not clear|unclear)\b",
    re.IGNORECASE,
)
_REPORTED = re.compile(
    r"\b(?:patient|you|he|she|they|mother|father|people|many) (?:\w+ )?(?:say|says|said|feel|feels)\b[^.]*$"
)
_DECLINED_ALL = 25  # words of an answer that is nothing but "I don't know"

_END_MARK = re.compile(r"[.!?\u2026:;)\]}\"'\u201d\u2019%>*_|`\u3002]$")
_LIST_MARK = re.compile(r"(?:^|\n)\s*(?:\d{1,2}[.)]|[-*\u2022]|#+|\|)\s*$")
_LISTED = re.compile(r"\s*(?:\d{1,2}[.)]|[-*\u2022#|>])\s*\S")
_HANGING = re.compile(
    r"(?:[,(\[{\u2013\u2014/]|(?<=\w)-|\s[-=+&]|\b(?:and|or|but|the|a|an|of|to|with|for|from|by|as|because|which|that|if|"
    r"when|while|where|than|into|such as|including|e\.g\.|i\.e\.|is|are|was|were|be|been|has|have|should|can|may|will|"
    r"must|not|your|his|her|their|its|our|these|this|also|very|more|most))\s*$",
    re.IGNORECASE,
)
_LETTERED = re.compile(  # "hepatitis A"
    r"\b(?:hepatitis|vitamins?|type|group|class|grade|stage|factor|influenza|protein) a$", re.IGNORECASE
)
_ATTRIBUTION = re.compile(
    r"\s*(?:[A-Z]{2,6}|ref(?:erences?)?|source|adapted from|courtesy)\s*[:.-]|"
    r".*\b(?:ed(?:ition|n)?|pages?|pg|p)\b\.? ?(?:no\.? ?)?:?\s*\d",
    re.IGNORECASE,
)
_OPEN = {"(": ")", "[": "]", "{": "}"}
_FENCE = "```"
_TAGS = re.compile(r"<(/?)(think|response|solution|start_reasoning|reasoning|answer)>", re.IGNORECASE)
_LONG_LINE = 8  # words of a last line that reads as a sentence
_ENDED_SENTENCES = 2
_MADE_BY_MODELS = frozenset(("distilled", "labelled", "synthetic"))


def low_confidence(example: Example, thresholds: Thresholds) -> Iterator[Flag]:
    """The writer's doubt in the answer; thinking aloud in the rationale is none."""
    text = (example.answer or "").translate(_APOSTROPHES)
    for match in _UNSURE.finditer(text):
        before = text[max(0, match.start() - 60) : match.start()]
        if not _in_quotes(text, match.start()) and not _REPORTED.search(before):
            yield Flag("low confidence", "the writer is not sure", "answer", match.start(), match.end())
            return
    parts = [(start, sentence) for start, sentence in sentences(text) if len(sentence.split()) > 2]
    hedged = [(start, found) for start, sentence in parts if (found := _HEDGE.search(sentence))]
    if len(parts) >= thresholds.hedged_sentences and len(hedged) >= thresholds.hedged_share * len(parts):
        start, found = hedged[0]
        detail = f"{len(hedged)} of {len(parts)} sentences are hedged"
        yield Flag("low confidence", detail, "answer", start + found.start(), start + found.end())


def refusal(example: Example, thresholds: Thresholds) -> Iterator[Flag]:
    """An answer that declines; not where that is the right answer (meta.expects)."""
    text = example.answer or ""
    n_words = len(text.split())
    if not text.strip() or example.meta.get("expects") == "refusal" or example.options:
        return
    if says_dont_know(text) and n_words <= _DECLINED_ALL:
        yield Flag("refusal", "says that it does not know", "answer", 0, _first_sentence(text))
    elif n_words <= thresholds.refusal_words and declines(text):
        yield Flag("refusal", "declines to answer", "answer", 0, _first_sentence(text))


def cut_off(example: Example, thresholds: Thresholds) -> Iterator[Flag]:
    """An answer that stops before its end, by its own finish reason or by how it ends."""
    text = (example.answer or "").rstrip()
    if example.meta.get("finish_reason") == "length":
        yield _at_end("reached the limit on its length", text)
    elif len(text.split()) >= thresholds.cut_words and (why := _open_end(text, is_by_model(example))):
        yield _at_end(why, text)


def is_by_model(example: Example) -> bool:
    """Whether a model wrote the answer."""
    return "teacher" in example.meta or example.meta.get("made") in _MADE_BY_MODELS


def _open_end(text: str, by_model: bool) -> str:
    """Why the text cannot end so, "" where it can. People leave out a last full stop; models do not."""
    if text.count(_FENCE) % 2:
        return "a block of code is not closed"
    if _unclosed_tag(text):
        return "a tag is not closed"
    if _LIST_MARK.search(text):
        return "a list ends with an empty item"
    last = text[text.rfind("\n") + 1 :]
    if _HANGING.search(last) and not _LETTERED.search(last):
        return "the last sentence is not finished"
    if _unclosed_bracket(last):
        return "a bracket is not closed"
    if not by_model or _END_MARK.search(last) or _LISTED.match(last) or len(last.split()) < _LONG_LINE:
        return ""
    if _ATTRIBUTION.match(last):
        return ""
    ended = len(re.findall(r"[a-z)][.!?](?=\s)", text))
    return "no full stop after the last sentence" if ended >= _ENDED_SENTENCES else ""


def _unclosed_tag(text: str) -> bool:
    depth: dict[str, int] = {}
    for match in _TAGS.finditer(text):
        depth[match[2].lower()] = depth.get(match[2].lower(), 0) + (-1 if match[1] else 1)
    return any(n > 0 for n in depth.values())


def _unclosed_bracket(last: str) -> bool:
    """Whether the last sentence opens a bracket that it does not close."""
    parts = [sentence for _, sentence in sentences(last)]
    tail = parts[-1] if parts else ""
    return not _END_MARK.search(last) and any(tail.count(left) > tail.count(right) for left, right in _OPEN.items())


def _at_end(why: str, text: str) -> Flag:
    return Flag("cut off", why, "answer", max(0, len(text) - 60), len(text))


def _first_sentence(text: str) -> int:
    return next((start + len(sentence.rstrip()) for start, sentence in sentences(text)), len(text))


def _in_quotes(text: str, position: int) -> bool:
    before = text[:position]
    return before.count('"') % 2 == 1 or before.count("\u201c") > before.count("\u201d")

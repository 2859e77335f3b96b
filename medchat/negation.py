"""Which parts of a text are denied: "no fever or cough" denies both, "no fever but a cough" only one.

The method is NegEx (Chapman et al., J Biomed Inform 2001;34:301-310): cue words that open a scope, or
close one backwards, and words that end it; the lists are for English case text and patients' words.
"""

import re
from collections.abc import Iterable

_BEFORE = re.compile(
    r"\b(?:no (?:\w+ )?(?:history|evidence|signs?|complaints?|symptoms?) of|no(?! doubt)|neither|nor|never had|never|"
    r"without|nothing to suggest|rather than|"
    r"denie[sd]|deny|denying|negative for|absence of|free of|ruled out|rules out|"
    r"not (?:had|have|having|been|got|getting|any|complaining of|associated with)|"
    r"(?:do|does|did|has|have|had|is|are|was|were)(?: not|n'?t) (?:have|had|been|get|got|feel|felt|any|notice|noticed|"
    r"seen|raised|elevated|swollen|tender|breathless|jaundiced|present)|"
    r"(?:do|does|did)(?: not|n't) (?:suggest|indicate|show|reveal|demonstrate|support|confirm|cause|explain|point to)|"
    r"not (?:consistent|compatible) with|not (?:suggestive|indicative|typical|a (?:case|sign)) of|"
    r"not (?:due to|caused by|because of)|(?:(?<=, )|(?<=\band ))not(?! (?:only|just|to|as|so|very|always|yet)\b)|"
    r"(?:cannot|can't|can not|could not|couldn't) be|"
    r"(?:is|are|was|were)(?: not|n't)(?! (?:able|sleeping|eating|right|well|himself|herself|myself|getting))|"
    r"lacks?|lacking|unremarkable for|normal)\b",
    re.IGNORECASE,
)
_AFTER = re.compile(
    r"\b(?:(?:is|are|was|were|all|both|came back)? ?(?:absent|negative|ruled out|excluded|unremarkable|"
    r"(?:very |highly )?unlikely|within normal limits|normal|not present|not raised|not elevated|not seen)|none|nil)\b",
    re.IGNORECASE,
)
_END = re.compile(
    r"[;:!?\n]|\.(?!\d)|\b(?:but|however|although|though|except|apart from|yet|only|instead|now|still|because|since|"
    r"presents?|complain\w*|reports?|which|who|until)\b|"
    r"(?:,|\band\b)\s*(?=(?:she|he|i|they|we|it|there|has|have|had|is|was|are|with|the|my|his|her|their|a|an|on|new|"
    r"bp|hr|temp\w*|pulse|\w+ (?:is|are|was|were|shows?))\b)",
    re.IGNORECASE,
)


_BEGIN = re.compile(r"[;!?\n]|[.,](?!\d)|\b(?:but|and|with)\b", re.IGNORECASE)
_REACH = 120  # characters that a cue behind its finding denies at most


def negated_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each denied stretch, the cue included, in order."""
    text = text.replace("\u2019", "'")
    spans: list[tuple[int, int]] = []
    for cue in _BEFORE.finditer(text):
        end = _END.search(text, cue.end())
        spans.append((cue.start(), end.start() if end else len(text)))
    for cue in _AFTER.finditer(text):
        before = text[max(0, cue.start() - _REACH) : cue.start()]
        begin = cue.start() - len(before) + max((m.end() for m in _BEGIN.finditer(before)), default=0)
        spans.append((begin, cue.end()))
    return sorted(spans)


def after_cue(text: str) -> str | None:
    """What a short text denies when it begins with a cue: "no chest pain" gives "chest pain"; None for any other."""
    cue = _BEFORE.match(text.strip().replace("\u2019", "'"))
    return text.strip()[cue.end() :].strip() or None if cue else None


def without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with the spans blanked out, every other character at its place."""
    kept = list(text)
    for start, end in spans:
        kept[start:end] = " " * (min(end, len(text)) - start)
    return "".join(kept)

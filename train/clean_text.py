"""One text made clean: characters, mark-up and white space put right, courtesies taken off its ends.

What is joined when something between it goes could become another number, so nothing goes from between two digits
without a space in its place, and what stands above or below the line keeps a mark.
"""

import html
import re

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\ufeff\ud800-\udfff]"
)
# UTF-8 that was read as Windows-1252: "Âµg", "â‰¥ 5", "itâ€™s".
_MISREAD = re.compile(
    "[ÂÃÎÏâ][\x80-\xbf\u20ac\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u017d\u2018\u2019"
    "\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u017e\u0178]{1,2}"
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,30});", re.IGNORECASE)  # never "&not" without ";"
_ATTRIBUTES = r"""(?:\s+[\w:-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+))*\s*/?>"""
_UNSHOWN = re.compile(rf"<(script|style){_ATTRIBUTES}.*?</\1\s*>|<!--.*?-->", re.IGNORECASE | re.DOTALL)
_RAISED = re.compile(rf"<sup{_ATTRIBUTES}\s*([^<>]*?)\s*</sup\s*>(\d?)", re.IGNORECASE)
_LOWERED = re.compile(rf"(\d?)<sub{_ATTRIBUTES}\s*([^<>]*?)\s*</sub\s*>(\d?)", re.IGNORECASE)
_ITEM = re.compile(rf"(?:</li\s*>\s*)?<li{_ATTRIBUTES}", re.IGNORECASE)
_ROW = re.compile(rf"(?:</t[dh]\s*>\s*)?</tr\s*>\s*<tr{_ATTRIBUTES}(?:\s*<t[dh]{_ATTRIBUTES})?", re.IGNORECASE)
_CELL = re.compile(rf"</t[dh]\s*>\s*<t[dh]{_ATTRIBUTES}", re.IGNORECASE)
_BREAK = re.compile(
    r"</?(?:p|br|div|tr|td|th|h[1-6]|ul|ol|li|dl|dt|dd|table|thead|tbody|section|article|blockquote|pre|hr|option|select|"
    rf"title|figcaption|caption){_ATTRIBUTES}",
    re.IGNORECASE,
)
_INLINE = re.compile(
    r"</?(?:a|abbr|b|big|body|center|cite|code|col|colgroup|del|em|figure|font|footer|form|head|header|html|i|iframe|img|"
    rf"input|ins|label|link|main|mark|meta|nav|s|samp|small|span|strike|strong|tfoot|tt|u|wbr){_ATTRIBUTES}",
    re.IGNORECASE,
)
_UNTIDY = ("  ", "\t", " \n", "\n ", "\n\n\n")
_MANY_LINES = re.compile("\n{3,}")

_HELLO = (
    r"(?:hi+|hello+|hey|dear|greetings|good (?:morning|afternoon|evening|day)|namaste)"
    r"(?: (?:there|dear|doctors?|dr|doc|sir|madam|ma'am|sir ?/ ?madam|friend|user|patient|all|everyone|again))*"
)
_PLACE = r"(?: (?:on|at|in|to|with|through|here at) (?:the |our |this )?[\w.-]+(?: [\w.-]+){0,2})?"
_READ = r"(?:read|gone through|reviewed|understood|understand|noted|seen)"
_FIRST = re.compile(
    rf"\s*(?:{_HELLO}\s*(?:[,.!:;-]+|\n)"
    rf"|{_HELLO}[,.!]* (?=welcome to|thanks? for|thank you for|i (?:have|can) )"
    r"|(?:and )?(?:a )?(?:warm )?welcome (?:back )?to (?:the |our )?[\w.-]+(?: [\w.-]+){0,2}\s*[.!,\n]"
    rf"|(?:many )?(?:thanks|thank you)(?: (?:so|very) much| a lot)? for (?:your"
    r" (?:question|query|concern|message|trust)"
    r"|(?:asking|posting|sharing|submitting|choosing|using|writing|contacting|consulting)"
    rf"(?: (?:your|the|this) (?:question|query|concern|problem))?(?: us| me| here)?){_PLACE}\s*[.!,\n]"
    rf"|i (?:have |had |can |do )?{_READ}(?: and {_READ})?(?: through)?(?: carefully)? your"
    r" (?:question|query|queries|concerns?|message|case|details|problem|anxiety)(?: carefully| in detail)?\s*[.!\n]"
    r")\s*",
    re.IGNORECASE,
)
_WHO = r"(?:(?:your |chat ?)?(?:dr\.?|doctor)(?: (?-i:[A-Z])\w*\.?){0,3}|chat ?doctor|health ?care ?magic|icliniq)"
_LAST = re.compile(
    r"\s*(?:(?:so |and )?(?:i )?(?:do )?hope (?:this|that|it|these|i|my|the)(?: (?:above|information|answers?|"
    r"advice|reply|suggestions?|will|would|could|can|be|is|was|has|have|been|did|do|to|able|of|some|help|helps|helped|helpful|useful|"
    r"you|your|questions?|query|queries|concerns?|doubts?|answered|clarifies|clarified|clears|cleared|solves?|solved|"
    r"resolved|for|and|all|the|a|bit|little|out))*"
    r"|(?:please |kindly )?(?:do not hesitate|don't hesitate|feel free) to (?:ask|contact|write|reach|revert|"
    r"get|come|follow|let|message|post)(?: (?:out|back|to|me|us|up|in|touch|again|know|any|more|further|other|"
    r"if|you|have|questions?|queries|query|doubts?|concerns?|for|with|clarifications?|information|need|help|assistance))*"
    r"|(?:please |kindly |do )?(?:let me know|revert(?: back)?|get back|write back|consult again)"
    r"(?: (?:to|me|us|if|you|i|can|have|any|more|further|other|questions?|queries|query|doubts?|concerns?|assist|"
    r"help|for|with|clarifications?|there|is|are|anything|else|need|assistance))*"
    r"|if you have (?:any|more|further)(?:,? (?:more|further|other|additional|questions?|queries|query|"
    r"doubts?|concerns?|clarifications?|or|and|please|kindly|feel|free|to|ask|contact|let|me|us|know|write|do|not|don't|hesitate|"
    r"back|happy|glad|i|will|be|help|you|again))*"
    r"|i (?:will|would|shall) be (?:happy|glad) to (?:help|answer|assist)(?: (?:you|your|any|with|further|more|"
    r"queries|query|questions?|again|in|future|the))*"
    r"|(?:please )?take (?:good )?care(?: of yourself)?(?: and (?:get well soon|stay safe))?"
    r"|stay (?:safe|healthy)|be well|get well soon"
    r"|(?:i )?wish(?:ing)? you (?:a |an |all |the )?(?:good|best|speedy|quick|early|healthy|very|of|health|"
    r"recovery|life|luck|and|in|ahead)(?: (?:good|best|speedy|quick|early|healthy|of|health|recovery|"
    r"life|luck|and|in|ahead))*"
    rf"|(?:with )?(?:(?:best|kind|warm|many) )?(?:regards|wishes)(?: and regards)?(?:[\s,.!-]+{_WHO})?"
    rf"|(?:yours )?(?:sincerely|truly|faithfully)(?:[\s,.!-]+{_WHO})?|{_WHO}"
    r"|(?:many )?(?:thanks|thank you|thanx|thankyou)(?: (?:so|very) much| a lot| in advance| again"
    r"| and (?:best |kind )?regards"
    rf"| (?:dear )?(?:doctor|dr|doc|sir))*(?:[\s,.!-]+{_WHO})?"
    r"|(?:please|kindly|pls|plz)(?: (?:help|advise|advice|suggest|guide|reply|answer|respond|do|the|needful|me|us|"
    r"out|soon|asap|doctor|sir|urgently))+"
    r")[\s.!,)-]*",
    re.IGNORECASE,
)
_SAYS_LITTLE = re.compile(
    r"\s*(?:ok(?:ay)?|you(?:'re| are)(?: most)? welcome|welcome|my pleasure|sure)[\s.!,]*", re.IGNORECASE
)
# One of these is in each courtesy at a text's end.
_TELLING = (
    "hope", "hesitate", "feel free", "know", "back", "consult again", "if you have", "be happy", "be glad", "care",
    "stay ", "well", "wish", "regards", "sincerely", "truly", "faithfully", "doctor", "dr", "than", "please", "kindly",
    "pls", "plz", "magic", "icliniq",
)  # fmt: skip
_BOUNDARY = re.compile(r"[.!?\n;](?=\s|[A-Z]|$)|\n")
_TAIL = 240  # characters in which the last sentences of courtesy are looked for
_MOST_STARTS = 5  # of sentences in the tail: "Dr. A. B." begins three
_CARE = re.compile(r"\d")  # what goes must hold no figure


def right_characters(text: str) -> str:
    """The text without control and invisible characters, those of a wrong encoding put right.

    A replacement character stays: it may have been the first letter of a unit.
    """
    if not text.isascii():
        text = _MISREAD.sub(lambda found: _decoded(found[0]), text)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _INVISIBLE.sub(_shown, text) if _INVISIBLE.search(text) else text


def without_markup(text: str) -> str:
    """The text as a page would show it: tags gone, entities as characters; 10<sup>5</sup> as 10^5."""
    for _ in range(3):  # entities may be escaped twice
        before = text
        if "<" in text:
            text = _without_tags(text)
        if "&" in text:
            text = _ENTITY.sub(lambda found: html.unescape(found[0]), text)
        if text == before:
            break
    return text


def even_spaces(text: str) -> str:
    """One space for a run of them, at most one empty line, nothing at the ends."""
    text = text.strip()
    if text.isascii() and not any(map(text.__contains__, _UNTIDY)):
        return text
    text = "\n".join([" ".join(line.split()) for line in text.split("\n")])
    return _MANY_LINES.sub("\n\n", text) if "\n\n\n" in text else text


def without_courtesies(text: str) -> str:
    """The text without greetings in front and wishes, thanks and signatures behind; "" where nothing else is in it.

    Only sentences that say nothing else go, and none that holds a figure.
    """
    while (found := _FIRST.match(text)) and not _CARE.search(found[0]):
        text = text[found.end() :]
    while (start := _last_courtesy(text)) is not None:
        text = text[:start].rstrip()
    return "" if _SAYS_LITTLE.fullmatch(text) else text


def _last_courtesy(text: str) -> int | None:
    """Where the text's last sentences begin, if they are courtesies; None for no such."""
    begin = max(0, len(text) - _TAIL)
    tail = text[begin:].lower()
    if not any(map(tail.__contains__, _TELLING)):
        return None
    ends = [found.end() for found in _BOUNDARY.finditer(text, begin, max(begin, len(text.rstrip(" .!\n"))))]
    for start in [*reversed(ends[-_MOST_STARTS:]), *([0] if begin == 0 else [])]:
        if _LAST.fullmatch(text, start) and not _CARE.search(text, start):
            return start
    return None


def _without_tags(text: str) -> str:
    text = _UNSHOWN.sub(" ", text)
    text = _RAISED.sub(lambda found: _apart(f"^{found[1]}" if found[1] else "", found[2]), text)
    text = _LOWERED.sub(lambda found: found[1] + _apart(("_" if found[1] else "") + found[2], found[3]), text)
    text = _CELL.sub(" | ", _ROW.sub("\n", _ITEM.sub("\n- ", text)))
    return _INLINE.sub("", _BREAK.sub("\n", text))


def _apart(mark: str, digit: str) -> str:
    return f"{mark} {digit}" if digit else mark


def _shown(found: re.Match[str]) -> str:
    mark, text = found[0], found.string
    if "\x80" <= mark <= "\x9f":  # of Windows-1252 that was read as Latin-1: dashes and quotes
        return mark.encode("latin-1").decode("cp1252", "replace")
    between = text[found.start() - 1 : found.start()].isdigit() and text[found.end() : found.end() + 1].isdigit()
    if not between:
        return ""
    return "-" if mark == "\u00ad" else " "


def _decoded(misread: str) -> str:
    """The character whose bytes were read as these, or the same text where they are none's."""
    try:
        octets = b"".join(bytes([ord(mark)]) if ord(mark) < 256 else mark.encode("cp1252") for mark in misread)
        return octets.decode()
    except UnicodeError:
        return _decoded(misread[:-1]) + misread[-1] if len(misread) > 2 else misread

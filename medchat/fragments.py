"""Cuts a case into stretches that may each say one finding."""

import re
from collections.abc import Iterator

from medchat.text_classifier import words_of

_BREAK = re.compile(
    r"[;:!?\n()]+|[.,](?!\d)|\b(?:and|but|with|then|plus|also|or|who|which|while|when|after|for|since|presents?|complain\w*|"
    r"on examination|exam|shows?|in a|in an)\b",
    re.IGNORECASE,
)
_ASKING = frozenset(
    "what which how why who when should would could can might may do does i'm think most likely best next first single "
    "leading diagnosis dx condition disease illness diagnose test tests investigation treatment treat treated therapy "
    "management initial line order ordered done explain explains fits confirm confirms mechanism cause causes happen "
    "happens going wrong patient name tell about please help idea ideas any your you call mean means define know key "
    "pathophysiology one we now give suspect suspected work up differential thoughts question questions answer second "
    "third another other else more again same try hello hi hey there thanks thank ok okay yes weather today tomorrow "
    "world".split()
)
_SENTENCE_END = frozenset(".;!?\n")


def fragments(text: str) -> Iterator[tuple[int, int, list[str]]]:
    """Start, end and words of stretches that may be one finding.

    They are the pieces between breaks, and neighbours joined within a sentence; what only asks is left out.
    """
    for start, end in _stretches(text):
        words = words_of(text[start:end])
        if not _ASKING.issuperset(words):
            yield start, end, words


def _stretches(text: str) -> Iterator[tuple[int, int]]:
    pieces: list[tuple[int, int, bool]] = []
    at = 0
    for match in (*_BREAK.finditer(text), None):
        end = match.start() if match else len(text)
        piece = text[at:end]
        if piece.strip():
            ends_sentence = bool(match and _SENTENCE_END & set(match[0]))
            pieces.append((at + len(piece) - len(piece.lstrip()), at + len(piece.rstrip()), ends_sentence))
        elif pieces and match and _SENTENCE_END & set(match[0]):
            pieces[-1] = (*pieces[-1][:2], True)
        at = match.end() if match else end
    for i, (start, stop, last) in enumerate(pieces):
        yield start, stop
        if not last and i + 1 < len(pieces):
            yield start, pieces[i + 1][1]

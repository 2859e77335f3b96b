"""What two texts have in common, word by word."""

import re
from itertools import groupby
from typing import Literal, NamedTuple

from rapidfuzz.distance import Indel

Op = Literal["same", "left", "right"]
_PIECES = re.compile(r"[^\W_]+(?:['\u2019.\-][^\W_]+)*|\s+|.", re.DOTALL)


class Piece(NamedTuple):
    """Text that both have, or only the left or the right one."""

    op: Op
    text: str


def word_diff(left: str, right: str) -> list[Piece]:
    """The shortest way from the left text to the right one in words, white space and single marks.

    Without "right" pieces it spells the left text, without "left" ones the right; of a change, the left comes first.
    """
    ours, theirs = _PIECES.findall(left), _PIECES.findall(right)
    runs: list[tuple[str, str, str]] = []  # what both have there, what only the left, what only the right
    for step in Indel.opcodes(ours, theirs):
        was = "".join(ours[step.src_start : step.src_end])
        becomes = "".join(theirs[step.dest_start : step.dest_end])
        runs.append((was, "", "") if step.tag == "equal" else ("", was, becomes))
    last = len(runs) - 1
    # A space between two changes is part of them: single words struck out one by one are hard to read.
    runs = [
        ("", both, both) if both.isspace() and 0 < place < last else (both, was, becomes)
        for place, (both, was, becomes) in enumerate(runs)
    ]
    pieces: list[Piece] = []
    for is_same, group in groupby(runs, key=lambda run: bool(run[0])):
        same, was, becomes = ("".join(texts) for texts in zip(*group, strict=True))
        pieces += [Piece("same", same)] if is_same else [Piece("left", was), Piece("right", becomes)]
    return [piece for piece in pieces if piece.text]

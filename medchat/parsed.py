"""What a parser makes of an answer: its reasoning and its solution, growing in linear time."""

from medchat.records import FinishReason


class GrowingText:
    """Text that only grows, without white space at its ends. head(length) is what it was at that length."""

    def __init__(self) -> None:
        self.length = 0
        self._pieces: list[str] = []
        self._spaces: list[str] = []
        self._gap = False
        self._joined = ("", 0)

    def gap(self) -> None:
        """What comes next is a paragraph of its own."""
        self._gap = self.length > 0

    def add(self, text: str) -> None:
        """Append; white space waits for what follows it."""
        words = text.rstrip()
        if not words:
            if self.length:
                self._spaces.append(text)
            return
        if self._gap or not self.length:
            before = "\n\n" if self._gap else ""
            piece = before + words.lstrip()
        else:
            piece = "".join(self._spaces) + words
        self._gap = False
        self._spaces = [text[len(words) :]]
        self._pieces.append(piece)
        self.length += len(piece)

    def head(self, length: int) -> str:
        """The first `length` characters; pieces are joined once, also when several threads read."""
        text, n_joined = self._joined
        if len(text) < length:
            more = self._pieces[n_joined:]
            text += "".join(more)
            self._joined = (text, n_joined + len(more))
        return text[:length]


Heads = tuple[tuple[GrowingText, int], ...]


class Parsed:
    """Reasoning and solution of an answer; immutable. The texts are joined when they are first read.

    complete: there is a solution, and as far as the text shows nothing is missing. closed: the format's
    own closer has ended it, so that a limit on length that comes later cuts nothing.
    """

    __slots__ = ("_closed", "_complete", "_reasoning", "_solution")

    def __init__(self, reasoning: "str | Heads", solution: "str | Heads", complete: bool, closed: bool = False):
        self._reasoning = reasoning
        self._solution = solution
        self._complete = complete
        self._closed = closed

    @property
    def reasoning(self) -> str:
        """What stands before the solution, "" for none."""
        self._reasoning = _read(self._reasoning)
        return self._reasoning

    @property
    def solution(self) -> str:
        """The answer proper, "" while there is none."""
        self._solution = _read(self._solution)
        return self._solution

    @property
    def complete(self) -> bool:
        """Whether there is a solution and nothing shows that a part is missing."""
        return self._complete

    @property
    def closed(self) -> bool:
        """Whether the format's own closer has ended the solution."""
        return self._closed

    def is_whole(self, finish_reason: FinishReason) -> bool:
        """Whether all of the answer is there: it ended by itself, or was cut after its own closer."""
        return self.complete and (self.closed or finish_reason == "stop")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Parsed) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        return "Parsed(reasoning={!r}, solution={!r}, complete={}, closed={})".format(*self._values())

    def _values(self) -> tuple[str, str, bool, bool]:
        return self.reasoning, self.solution, self.complete, self.closed


def _read(text: "str | Heads") -> str:
    if isinstance(text, str):
        return text
    return "\n\n".join(part.head(length) for part, length in text if length)

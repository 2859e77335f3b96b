"""Answer formats: where in a model's text the reasoning ends and the solution begins.

One table of marks a format, one parser for whole texts and for streams. What the parser makes of a text:

- Reasoning is what its marks enclose. A closer without an opener ends reasoning that began with the text (chat
  templates write the opener into the prompt). Reasoning without a closer stays reasoning.
- The solution is what its marks enclose; in formats that do not mark it, all that stands outside the reasoning.
  Where it is marked, other text before it counts as reasoning and text after its closer is dropped.
- A text without any mark is all solution: an answer is better shown unformatted than lost. Only `final-answer`
  begins inside the reasoning, because nothing else tells its steps from an answer.
- Doubled openers and closers count once. Text between two closers is reasoning as soon as more follows.
- Marks are read in any letter case, and are plain text within `code` or a fenced block that ends.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal

from medchat.parsed import GrowingText, Parsed

__all__ = ["FORMATS", "AnswerFormat", "IncrementalParser", "Mark", "Parsed", "parse", "render"]

CODE_REACH = 1000  # characters after a mark within which the code around it must end, or it was no code
LONGEST_TICKS = 16  # a longer run of backticks is read as several


class Mark(Enum):
    """What a mark in the text does."""

    BEGIN_REASONING = auto()
    END_REASONING = auto()
    BEGIN_SOLUTION = auto()
    END_SOLUTION = auto()
    END = auto()  # of whichever of the two is open
    NOTHING = auto()  # is only left out


@dataclass(frozen=True)
class AnswerFormat:
    """How answers of a format are read and written; {} in the forms is the text.

    must_close: without the solution's closer a marked answer is not complete. reads_code: marks within
    code are plain text.
    """

    marks: Mapping[str, Mark]
    reasoning_form: str = ""
    solution_form: str = "{}"
    begins_in_reasoning: bool = False
    must_close: bool = False
    reads_code: bool = True
    tokens: re.Pattern[str] = field(init=False)
    half_mark: re.Pattern[str] = field(init=False)
    effects: Mapping[str, Mark] = field(init=False)  # by the mark in lower case

    def __post_init__(self) -> None:
        marks = sorted(self.marks, key=len, reverse=True)
        tokens = [f"(?P<mark>{'|'.join(map(re.escape, marks))})"] if marks else []
        halves = [_half(mark) for mark in marks if len(mark) > 1]
        if marks and self.reads_code:
            tokens += [f"(?P<ticks>`{{1,{LONGEST_TICKS}}})", r"(?P<newline>\n)"]
            halves.append(f"`{{1,{LONGEST_TICKS - 1}}}")
        never = r"(?!)"
        object.__setattr__(self, "tokens", _pattern("|".join(tokens) or never))
        object.__setattr__(self, "half_mark", _pattern(rf"(?:{'|'.join(halves)})\Z" if halves else never))
        object.__setattr__(self, "effects", {spelling.lower(): mark for spelling, mark in self.marks.items()})

    @property
    def marks_solution(self) -> bool:
        """Whether the solution has an opener of its own."""
        return Mark.BEGIN_SOLUTION in self.marks.values()


def _pattern(source: str) -> re.Pattern[str]:
    return re.compile(source, re.IGNORECASE | re.ASCII)


def _half(mark: str) -> str:
    """A pattern of every beginning of the mark that is shorter than the mark."""
    pattern = re.escape(mark[-2])
    for letter in reversed(mark[:-2]):
        pattern = f"{re.escape(letter)}(?:{pattern})?"
    return pattern


def _each(mark: Mark, *spellings: str) -> dict[str, Mark]:
    return dict.fromkeys(spellings, mark)


FORMATS: Mapping[str, AnswerFormat] = {
    "gemma-grpo": AnswerFormat(
        {
            **_each(Mark.BEGIN_REASONING, "<start_reasoning>", "<start_working_out>"),
            **_each(Mark.END_REASONING, "<end_reasoning>", "<end_working_out>"),
            "<SOLUTION>": Mark.BEGIN_SOLUTION,
            "</SOLUTION>": Mark.END_SOLUTION,
        },
        "<start_reasoning>\n{}\n<end_reasoning>",
        "<SOLUTION>{}</SOLUTION>",
        must_close=True,
    ),
    "think-response": AnswerFormat(
        {
            "<think>": Mark.BEGIN_REASONING,
            "</think>": Mark.END_REASONING,
            "<response>": Mark.BEGIN_SOLUTION,
            "</response>": Mark.END_SOLUTION,
        },
        "<think>{}</think>",
        "<response>{}</response>",
        must_close=True,
    ),
    "think": AnswerFormat(
        {"<think>": Mark.BEGIN_REASONING, "</think>": Mark.END_REASONING}, "<think>\n{}\n</think>\n\n"
    ),
    "final-answer": AnswerFormat(
        _each(
            Mark.END_REASONING,
            *(f"{hashes}Final Answer:" for hashes in ("", "# ", "## ", "### ")),
            *(f"{hashes}Final Answer\n" for hashes in ("# ", "## ", "### ")),
            *("**Final Answer:**", "**Final Answer**:", "**Final Answer**\n", "**Final Answer:"),
        ),
        "{}\n\n",
        "Final Answer: {}",
        begins_in_reasoning=True,
    ),
    "huatuo": AnswerFormat(
        {
            **_each(Mark.BEGIN_REASONING, "## Thinking", "### Thinking"),
            **_each(Mark.END_REASONING, "## Final Response", "### Final Response"),
        },
        "## Thinking\n\n{}\n\n",
        "## Final Response\n\n{}",
    ),
    "medgemma-thought": AnswerFormat(
        {**_each(Mark.BEGIN_REASONING, "<unused94>thought", "<unused94>"), "<unused95>": Mark.END_REASONING},
        "<unused94>thought\n{}<unused95>",
    ),
    "harmony": AnswerFormat(
        {
            "<|channel|>analysis<|message|>": Mark.BEGIN_REASONING,
            "<|channel|>commentary<|message|>": Mark.BEGIN_REASONING,
            "<|channel|>final<|message|>": Mark.BEGIN_SOLUTION,
            **_each(Mark.END, "<|end|>", "<|return|>"),
            **_each(Mark.NOTHING, "<|start|>assistant", "<|start|>", "<|channel|>", "<|message|>"),
        },
        "<|channel|>analysis<|message|>{}<|end|><|start|>assistant",
        "<|channel|>final<|message|>{}",
    ),
    # The first line is the answer, as its model card reads it.
    "diagnosis": AnswerFormat({"\n": Mark.END_SOLUTION}, reads_code=False),
    "plain": AnswerFormat({}),
}

# Half a mark at the end of a text is left out when it cannot be the end of a sentence (# alone is a fracture).
_SURELY_HALF = _pattern(r"<|##|[#* ]*final a")
_FENCE_END = re.compile(r"\n[ \t]*(`{3,})")
_TICKS = re.compile(r"`+")


_Region = Literal["outside", "reasoning", "solution"]


class _Sorter:
    """Puts text into reasoning or solution as the marks say."""

    def __init__(self, form: AnswerFormat):
        self.marks_solution = form.marks_solution
        self.must_close = form.must_close
        self.region: _Region = "reasoning" if form.begins_in_reasoning else "outside"
        self.reasoning = GrowingText()
        self.solution = GrowingText()
        self.loose = GrowingText()  # outside of marks: shown as solution, but later marks may turn it into reasoning
        self.closed = False
        self._marked = False
        self._reasoning_ended = False
        self._doubtful = False  # a second closer came: what is loose was reasoning if anything follows
        self._resume: _Region = "outside"

    def add(self, text: str) -> None:
        """Text without marks."""
        if self.region == "reasoning":
            self.reasoning.add(text)
        elif self.region == "solution":
            self.solution.add(text)
        elif not self.closed:
            if self._doubtful and not text.isspace():
                self._move_loose(self.reasoning)
            self.loose.add(text)

    def add_kind(self, text: str, kind: Literal["reasoning", "solution"]) -> None:
        """Text that the server has already told apart."""
        self.region = "outside"
        self._reasoning_ended = True
        if self.loose.length:
            self._move_loose(self.solution)
        (self.reasoning if kind == "reasoning" else self.solution).add(text)

    def mark(self, mark: Mark) -> None:
        """A mark between two texts."""
        self._marked = True
        for part in (self.reasoning, self.solution, self.loose):
            part.gap()
        if mark is Mark.END:
            mark = Mark.END_REASONING if self.region == "reasoning" else Mark.END_SOLUTION
        if mark is Mark.BEGIN_REASONING:
            self._begin_reasoning()
        elif mark is Mark.END_REASONING:
            self._end_reasoning()
        elif mark is Mark.BEGIN_SOLUTION:
            self._begin_solution()
        elif mark is Mark.END_SOLUTION:
            self._end_solution()

    def parsed(self) -> Parsed:
        """The state so far."""
        solution = ((self.solution, self.solution.length), (self.loose, self.loose.length))
        ended = self.closed or not self.must_close or not self._marked
        complete = any(length for _, length in solution) and self.region != "reasoning" and ended
        return Parsed(((self.reasoning, self.reasoning.length),), solution, complete, self.closed)

    def _begin_reasoning(self) -> None:
        if self.region == "reasoning":
            return
        if self.region == "outside":
            self._move_loose(self.reasoning if self.marks_solution else self.solution)
        self._resume = self.region
        self.region = "reasoning"

    def _end_reasoning(self) -> None:
        if self.region == "reasoning":
            self.region = self._resume
            self._reasoning_ended = True
        elif self.region == "outside" and self._reasoning_ended:
            self._doubtful = self.loose.length > 0
        elif self.region == "outside":
            self._move_loose(self.reasoning)
            self._reasoning_ended = True

    def _begin_solution(self) -> None:
        if self.closed or self.region == "solution":
            return
        self._move_loose(self.reasoning)
        self._reasoning_ended = True
        self.region = "solution"

    def _end_solution(self) -> None:
        if self.region == "outside" and self.loose.length:
            self._move_loose(self.solution)
        elif self.region == "outside" or (self.region == "reasoning" and self._resume != "solution"):
            return
        self.region = "outside"
        self.closed = True

    def _move_loose(self, part: GrowingText) -> None:
        part.add(self.loose.head(self.loose.length))
        part.gap()
        self.loose = GrowingText()
        self._doubtful = False


class IncrementalParser:
    """Parses an answer as it arrives; agrees with parse() for every way of cutting the text.

    Where a chat template has written the opener into the prompt, feed it the opener first: otherwise
    reasoning can only be known as such when its closer comes.
    """

    def __init__(self, name: str):
        self._format = FORMATS[name]
        self._sorter = _Sorter(self._format)
        self._longest = max((LONGEST_TICKS, *map(len, self._format.marks)))
        self._held = ""  # what cannot be told yet: half a mark, or a mark in what may be code
        self._ticks = 0  # backticks that opened the code we are in
        self._fenced = False
        self._at_line_start = True

    def feed(self, chunk: str, kind: Literal["reasoning", "solution"] | None = None) -> Parsed:
        """The state so far, in which nothing of a half mark appears.

        kind: what a server says this text is; marks in it are then plain text.
        """
        if kind is None:
            self._held += chunk
            self._scan(final=False)
        else:
            self._scan(final=True)
            self._sorter.add_kind(chunk, kind)
        return self._sorter.parsed()

    def finish(self) -> Parsed:
        """The end state, equal to parse() of the whole text; half a mark at the end is left out."""
        self._scan(final=True)
        return self._sorter.parsed()

    def _scan(self, *, final: bool) -> None:
        """Pass on what can be told; the rest stays in _held."""
        held, position = self._held, 0
        half = self._half_mark(held)
        if final:
            held, half = self._without_half(held, half), None
        stop = half.start() if half else len(held)
        for token in self._format.tokens.finditer(held):
            if token.start() >= stop:
                break
            self._pass_on(held[position : token.start()])
            position = token.start()
            in_code: bool | None = True
            if token.lastgroup == "mark":
                in_code = self._in_code(held, token.end(), final)
            else:
                self._follow_code(token)
            if in_code is None:
                stop = position
                break
            if in_code:
                self._pass_on(token[0])
            else:
                self._sorter.mark(self._format.effects[token[0].lower()])
            position = token.end()
        stop = max(position, stop)
        self._pass_on(held[position:stop])
        self._held = held[stop:]

    def _half_mark(self, held: str) -> re.Match[str] | None:
        """The half mark at the end, None for none; what belongs to a whole mark before it is no part of one."""
        half = self._format.half_mark.search(held, max(0, len(held) - self._longest))
        for token in self._format.tokens.finditer(held) if half else ():
            if half is None or token.start() >= half.start():
                break
            if token.end() > half.start():
                half = self._format.half_mark.search(held, token.end())
        return half

    def _without_half(self, held: str, half: re.Match[str] | None) -> str:
        """The text without what can only be half a mark; a shorter mark at its beginning stays."""
        if half is None or not _SURELY_HALF.match(half[0]):
            return held
        shorter = self._format.tokens.match(held, half.start())
        return held[: shorter.end() if shorter else half.start()]

    def _pass_on(self, text: str) -> None:
        if text:
            self._sorter.add(text)
            *lines_before, line = text.rsplit("\n", 1)
            self._at_line_start = not line.strip() and (bool(lines_before) or self._at_line_start)

    def _follow_code(self, token: re.Match[str]) -> None:
        """Enter or leave code at a line's end or a run of backticks."""
        if token.lastgroup == "newline":
            if not self._fenced:
                self._ticks = 0
            return
        n = len(token[0])
        if not self._ticks:
            self._ticks, self._fenced = n, n >= 3 and self._at_line_start
        elif (n >= self._ticks and self._at_line_start) if self._fenced else n == self._ticks:
            self._ticks, self._fenced = 0, False

    def _in_code(self, held: str, after: int, final: bool) -> bool | None:
        """Whether a mark that ends at `after` is within code that ends; None when it cannot be told yet.

        A stray backtick or a fence that nobody closes must not swallow the closer of the reasoning.
        """
        if not self._ticks:
            return False
        reach = after + CODE_REACH
        line_end = -1 if self._fenced else held.find("\n", after, reach)
        runs = (_FENCE_END if self._fenced else _TICKS).finditer(held, after, line_end if line_end >= 0 else reach)
        for run in runs:
            if run.end() == len(held) < reach and not final:
                return None
            n = len(run[run.lastindex or 0])
            if n >= self._ticks if self._fenced else n == self._ticks:
                return True
        if line_end < 0 and len(held) < reach and not final:
            return None
        self._ticks, self._fenced = 0, False
        return False


def parse(name: str, text: str) -> Parsed:
    """Reasoning and solution of a whole text in the format of this name (see the top of the file)."""
    parser = IncrementalParser(name)
    parser.feed(text)
    return parser.finish()


def render(name: str, reasoning: str, solution: str) -> str:
    """An answer written in the format; parse() gives both back, without the white space around them.

    `diagnosis` and `plain` have no place for reasoning: there it is left out.
    """
    form = FORMATS[name]
    before = form.reasoning_form.replace("{}", reasoning.strip()) if reasoning.strip() else ""
    return before + form.solution_form.replace("{}", solution.strip())

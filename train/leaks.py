"""Which rows hold a question of an evaluation suite: nothing is trained on them.

A row holds one when its question is the suite's by id, when a suite's question of five words or more that needs no
context stands whole in the row's question, or when 13 words or 120 characters in a row of the suite's question or
context stand anywhere in the row, as evaluation.overlap has it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluation.overlap import COMMON, Questions, words_of
from evaluation.suites import load_suite, suite_names
from medchat.errors import NotFound
from medchat.records import Example
from train.suite_questions import suite_questions

ROWS_AT_ONCE = 64  # together for speed; more of them leave the processor's cache
FEWEST_WORDS = 5  # of a question that is found whole in another one


class LeakCheck:
    """The questions of the suites. It can be pickled.

    data_dir: the suites in its folder are looked for too. suites: names or files of further ones. Raises InvalidInput
    for a suite that cannot be read (its questions could not be held out), and NotFound for one of `suites` that is
    not there.
    """

    def __init__(self, data_dir: Path | None, suites: Sequence[str] = ()) -> None:
        self._suite_of_id = suite_questions(data_dir, suites)
        texts: dict[str, tuple[str, str]] = {}
        asked: dict[str, str] = {}
        self._suite_of: dict[str, str] = {}
        for name in [*suite_names(data_dir=data_dir), *suites]:
            try:
                suite = load_suite(name, data_dir=data_dir)
            except NotFound:  # a benchmark whose files are not on this machine
                continue
            for number, example in enumerate(suite.examples):
                key = f"{name} {number}"
                texts[key] = (example.question, example.context)
                self._suite_of[key] = suite.name
                if not example.context.strip():
                    asked[key] = example.question
        self._questions = Questions(texts)
        self._whole = _WholeQuestions(asked)

    @property
    def suites(self) -> list[str]:
        """Names of the suites whose questions are held out."""
        return sorted({*self._suite_of.values(), *self._suite_of_id.values()})

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of what is held out: the same for the same suites in every process."""
        return hashlib.sha256(json.dumps(sorted(self._suite_of_id.items())).encode()).hexdigest()

    def found_in(self, example: Example) -> str:
        """Name of the suite whose question the row holds, "" for none; the first by name where there are several."""
        return self.found_in_each([example])[0]

    def found_in_each(self, examples: Sequence[Example]) -> list[str]:
        """What found_in() says of each row; several times as fast for many."""
        names: list[str] = []
        for start in range(0, len(examples), ROWS_AT_ONCE):
            some = examples[start : start + ROWS_AT_ONCE]
            found = self._questions.found_in_each([_whole_text(example) for example in some])
            names += [
                self._suite_of_id.get(example.question_id)
                or min((self._suite_of[key] for key in keys | self._whole.found_in(example.question)), default="")
                for example, keys in zip(some, found, strict=True)
            ]
        return names


class _WholeQuestions:
    """Questions by their first words, to be looked for as a whole in other questions. asked: by key.

    What so many of them have in common is a phrase ("which of the following is true") and no question.
    """

    def __init__(self, asked: Mapping[str, str]) -> None:
        words = {key: tuple(words_of(text)) for key, text in asked.items()}
        self._by_start: dict[tuple[str, ...], dict[tuple[str, ...], set[str]]] = {}
        for key, its in words.items():
            if len(its) >= FEWEST_WORDS:
                self._by_start.setdefault(its[:FEWEST_WORDS], {}).setdefault(its, set()).add(key)
        self._first = {start[0] for start in self._by_start}
        times: dict[tuple[str, ...], int] = {}
        for its in words.values():
            for whole in self._in(its):
                times[whole] = times.get(whole, 0) + 1
        for same_start in self._by_start.values():
            for whole in [its for its in same_start if times[its] >= COMMON]:
                del same_start[whole]

    def found_in(self, question: str) -> set[str]:
        """Keys of the questions that stand in this one, word for word."""
        found: set[str] = set()
        words = tuple(words_of(question))
        for whole in self._in(words):
            found |= self._by_start[whole[:FEWEST_WORDS]][whole]
        return found

    def _in(self, words: tuple[str, ...]) -> set[tuple[str, ...]]:
        found = set()
        for at in range(len(words) - FEWEST_WORDS + 1):
            if words[at] in self._first:
                for whole in self._by_start.get(words[at : at + FEWEST_WORDS], ()):
                    if words[at : at + len(whole)] == whole:
                        found.add(whole)
        return found


def _whole_text(example: Example) -> str:
    """All that a model would be taught by the row."""
    options = (example.options or {}).values()
    return "\n".join([example.context, example.question, *options, example.answer or "", example.rationale])

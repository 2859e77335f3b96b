"""Which rows hold a question of an evaluation suite: nothing is trained on them.

A row holds one when its question is the suite's by id, or when 13 words or 120 characters in a row of the suite's
question or context stand anywhere in the row, as evaluation.overlap has it.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from evaluation.overlap import Questions
from evaluation.suites import load_suite, suite_names
from medchat.errors import NotFound
from medchat.records import Example
from train.suite_questions import suite_questions

ROWS_AT_ONCE = 64  # together for speed; more of them leave the processor's cache


class LeakCheck:
    """The questions of the suites. It can be pickled.

    data_dir: the suites in its folder are looked for too. suites: names or files of further ones. Raises InvalidInput
    for a suite that cannot be read (its questions could not be held out), and NotFound for one of `suites` that is
    not there.
    """

    def __init__(self, data_dir: Path | None, suites: Sequence[str] = ()) -> None:
        self._suite_of_id = suite_questions(data_dir, suites)
        texts: dict[str, tuple[str, str]] = {}
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
        self._questions = Questions(texts)

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
                self._suite_of_id.get(example.question_id) or min((self._suite_of[key] for key in keys), default="")
                for example, keys in zip(some, found, strict=True)
            ]
        return names


def _whole_text(example: Example) -> str:
    """All that a model would be taught by the row."""
    options = (example.options or {}).values()
    return "\n".join([example.context, example.question, *options, example.answer or "", example.rationale])

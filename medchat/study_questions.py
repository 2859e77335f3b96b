"""The questions of a study: what raters read, what models are asked, and how a study keeps them."""

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medchat.errors import InvalidInput
from medchat.records import Example, question_id
from medchat.run_files import write_whole, writing
from medchat.store import StudyRecord

QUESTIONS = "questions"  # where a study keeps them, beside the rubrics that are shown with them


@dataclass(frozen=True, slots=True)
class StudyQuestion:
    """A question of a study, as raters read it.

    specialty: "" where nobody says. example: as it stands in its suite, which models are asked and metrics score;
    None for a question without more than this.
    """

    context: str
    question: str
    specialty: str = ""
    reference: str | None = None
    id: str = ""
    example: Example | None = None

    @classmethod
    def of(cls, example: Example) -> "StudyQuestion":
        """The question of an example, with its options under it."""
        options = [f"{letter}. {text}" for letter, text in (example.options or {}).items()]
        question = "\n".join([example.question, "", *options]) if options else example.question
        specialty = str(example.meta.get("specialty") or "")
        return cls(example.context, question, specialty, example.answer, example.id or example.question_id, example)

    @property
    def question_id(self) -> str:
        """The id that ties the same question together everywhere."""
        return question_id(self.context, self.question)

    @property
    def asked(self) -> Example:
        """What models are asked."""
        if self.example is not None:
            return self.example
        meta = {"specialty": self.specialty} if self.specialty else {}
        return Example(self.question, self.reference, self.id, context=self.context, meta=meta)


def kept_questions(questions: Iterable[StudyQuestion]) -> list[dict[str, Any]]:
    """The questions as a study keeps them, in JSON's types."""
    return [json.loads(question.asked.to_json()) for question in questions]


def questions_of(record: StudyRecord) -> list[StudyQuestion]:
    """The questions of a study."""
    return [StudyQuestion.of(Example(**row)) for row in record.rubrics.get(QUESTIONS) or ()]


def checked_questions(questions: Sequence[StudyQuestion]) -> list[StudyQuestion]:
    """The questions, each with an id. Raises InvalidInput when one is empty, or there twice."""
    found: dict[str, StudyQuestion] = {}
    ids: set[str] = set()
    for number, question in enumerate(questions, 1):
        if not question.question.strip():
            raise InvalidInput(f"Question {number} is empty.")
        example = question.asked if question.asked.id else StudyQuestion.of(question.asked).asked
        whole = StudyQuestion.of(example)
        if whole.question_id in found or whole.id in ids:
            raise InvalidInput(f"Question {number} is there twice: {question.question.strip()[:80]}")
        found[whole.question_id] = whole
        ids.add(whole.id)
    return list(found.values())


def write_questions(record: StudyRecord, path: Path) -> None:
    """The questions as a file of Examples, which models are asked. Raises RunError when it cannot be written."""
    lines = (question.asked.to_json() + "\n" for question in questions_of(record))
    with writing():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, "".join(lines))


def sampled(questions: Sequence[StudyQuestion], n: int | None, seed: int) -> list[StudyQuestion]:
    """So many of the questions, drawn with the seed, in their order; all for None, or where there are no more."""
    if n is None or n >= len(questions):
        return list(questions)
    return [questions[place] for place in sorted(random.Random(seed).sample(range(len(questions)), n))]

"""A store with answers that raters judged, filled by the store's own verbs, for tests of what is made of them."""

import atexit
import shutil
import tempfile
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

from stores import new_store

from medchat.records import Message
from medchat.rubrics import load_rubrics, shown
from medchat.store import AnswerRecord, RatingForm, RatingRecord, Store

GOUT = "A red, hot big toe. What is it?"
RUBRICS = load_rubrics()


def _migrated(folder: Path) -> None:
    """A copy of an empty store in the folder: to make one takes longer than most tests."""
    shutil.copy(_empty_store(), folder / "medchat.db")


@lru_cache(maxsize=1)
def _empty_store() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="medchat-store-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    new_store(folder).close()
    return folder / "medchat.db"


class Judges:
    """Raters who compare and rate answers; each call is one thing that somebody does."""

    def __init__(self, folder: Path) -> None:
        _migrated(folder)
        self.store = Store(f"sqlite:///{folder / 'medchat.db'}")
        self._keys = (f"key {number}" for number in count())

    def answer(
        self, solution: str, reasoning: str = "Red and hot.", question: str = GOUT, owner: str = "ada", **more: Any
    ) -> AnswerRecord:
        """An answer outside conversations. more: `complete`, `status`, and `prompt` with earlier turns."""
        begun = self.store.begin_free_answer(
            owner, "", question, "demo", prompt=more.get("prompt"), sampling=None, answer_format="think"
        )
        return self.store.finish_answer(
            begun.id, more.get("status", "done"), raw=solution, reasoning=reasoning, solution=solution,
            complete=more.get("complete", True), finish_reason="stop",
        )  # fmt: skip

    def vote(
        self, rater: str, vote: Any, left: str, right: str, question: str = GOUT, flags: tuple[str, ...] = ()
    ) -> str:
        """The id of a vote on two answers with these solutions, which the rater gets as their own."""
        sides = [self.answer(text, question=question, owner=rater).id for text in (left, right)]
        return self.vote_on(rater, vote, sides[0], sides[1], question, flags)

    def vote_on(
        self, rater: str, vote: Any, left: str, right: str, question: str = GOUT, flags: tuple[str, ...] = ()
    ) -> str:
        """The same on answers that are there, by their ids."""
        comparison = self.store.begin_comparison(
            rater, "", question, (left, right), blinded=True, draw_seed=1, source={"kind": "typed"},
            save_key=next(self._keys),
        )  # fmt: skip
        saved = self.store.add_preference(
            rater, comparison.id, vote, {}, "", dict.fromkeys(flags, True), 3.0, next(self._keys)
        )
        return saved.id

    def rate(self, answer: AnswerRecord, scores: int | dict[str, str], rater: str | None = None, **more: Any) -> str:
        """The id of a rating by clinical-3: one score for its three axes, or what is given."""
        return self.rated(answer, scores, rater, **more).id

    def rated(
        self, answer: AnswerRecord, scores: int | dict[str, str], rater: str | None = None, rubric: str = "clinical-3",
        **more: Any,
    ) -> RatingRecord:  # fmt: skip
        """The rating. Another rater than the answer's owner gets the same text as an answer of their own."""
        if isinstance(scores, int):
            scores = dict.fromkeys(("factual_correctness", "reasoning_clarity", "safety"), str(scores))
        values = {"harm_extent": "none", "harm_likelihood": "low", **more}
        form = RatingForm(rubric, 1, shown(RUBRICS[rubric]), scores, **values)
        mine = answer
        if rater not in (None, answer.owner):
            mine = self.answer(answer.solution, answer.reasoning, answer.question, str(rater))
        return self.store.add_rating(rater or answer.owner, mine.id, form, next(self._keys))

    def follow_up(self, solution: str, owner: str = "ada") -> AnswerRecord:
        """An answer to a question that was asked after another one."""
        earlier = (Message("user", "Hello"), Message("assistant", "Yes?"), Message("user", GOUT))
        return self.answer(solution, owner=owner, prompt=earlier)

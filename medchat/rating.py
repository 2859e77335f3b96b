"""The Rate tab's service: a rater's queue, the form of each answer, drafts, ratings, and where answers come from."""

import random
import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from medchat.asked_models import Models
from medchat.errors import InvalidInput, NotFound
from medchat.masking import Masker, masker_for
from medchat.rating_form import (
    OUT_OF_DATE,
    Filled,
    Shown,
    Step,
    filled_again,
    not_ratable,
    rating_form,
    read_filled,
    standing,
    steps_of,
)
from medchat.rubrics import Available, Rubric, available_rubrics, with_criteria
from medchat.store import AnswerRecord, QueueItem, QueueItemState, QueueState, RatingRecord, Store, UploadedRow
from medchat.store.rating_queue import Waiting
from medchat.uploads import UploadedAnswer, encoding_note, read_answers, shown_name

CHOSEN_RUBRIC = "rate: rubric"  # the draft in which a rater's choice is kept
UPLOADED = "uploaded:"
ORIGIN = "upload"


@dataclass(frozen=True, slots=True)
class Task:
    """An answer to be rated, with its form.

    filled: the draft, else the newest rating by this rubric, else nothing. position: in the queue, from 1; 0 for an
    answer that is not in it, and state is "" then. amends: it was rated by this rubric before. queue: the rater's.
    """

    answer_id: str
    question: str
    context: str
    answer: Shown
    steps: tuple[Step, ...]
    filled: Filled
    position: int
    state: QueueItemState | str
    amends: bool
    queue: QueueState


@dataclass(frozen=True, slots=True)
class Rated:
    """One of a rater's own ratings, with the question that was answered."""

    rating: RatingRecord
    question: str


@dataclass(frozen=True, slots=True)
class Uploaded:
    """How many answers came into the queue, and what is to be said of the file, "" for nothing."""

    n_new: int
    note: str


class RatingService:
    """Ratings of any number of raters. data_dir: its rubrics/ may hold more rubrics."""

    def __init__(self, store: Store, catalogue: Models, data_dir: Path) -> None:
        self._store = store
        self._catalogue = catalogue
        self._data_dir = data_dir

    def rubrics(self) -> Available:
        """The rubrics for one answer, the default first, and what is wrong with files that cannot be used."""
        found = _available(self._data_dir, _state_of(self._data_dir / "rubrics"))
        return found._replace(rubrics={id_: rubric for id_, rubric in found.rubrics.items() if not rubric.pairwise})

    def rubric_of(self, rater: str) -> Rubric:
        """The rubric that the rater chose last; the default before."""
        rubrics = self.rubrics().rubrics
        chosen = (self._store.draft(rater, CHOSEN_RUBRIC) or {}).get("rubric", "")
        return rubrics.get(chosen) or next(iter(rubrics.values()))

    def choose_rubric(self, rater: str, rubric_id: str) -> Rubric:
        """The rubric, from now on the rater's. Raises NotFound."""
        rubric = self._rubric(rubric_id)
        self._store.save_draft(rater, CHOSEN_RUBRIC, {"rubric": rubric.id})
        return rubric

    def queue(self, rater: str) -> QueueState:
        """The rater's queue."""
        return self._store.queue(rater)

    def waiting(self, rater: str) -> dict[Waiting, int]:
        """How many answers of each source could come into the rater's queue."""
        sources: tuple[Waiting, ...] = ("chat", "thumbs", "comparisons")
        return {source: len(self._store.answers_to_queue(rater, source)) for source in sources}

    def add(self, rater: str, source: Waiting) -> int:
        """How many answers of the source came into the rater's queue."""
        ids = self._store.answers_to_queue(rater, source)
        return self._store.add_to_queue(rater, ids, source, self._store.criteria_of_compared(rater, set(ids)))

    def upload(self, rater: str, name: str, data: bytes, save_key: str) -> Uploaded:
        """The answers of a file come into the rater's queue; the same save_key again adds none twice.

        Those of several models are mixed: their order in the file would tell whose each is. Raises InvalidInput
        with the line that cannot be read, and nothing is added.
        """
        if not save_key:
            raise InvalidInput("The file came without its key. Reload the page and send it again.")
        rows = list(enumerate(read_answers(name, data), start=1))
        if len({row.model_name for _, row in rows}) > 1:
            random.Random(save_key).shuffle(rows)
        uploaded = [_row_of(row, f"{save_key}:{number}") for number, row in rows]
        ids = [answer.id for answer in self._store.add_uploaded_answers(rater, uploaded, ORIGIN)]
        criteria = {answer_id: row.criteria for answer_id, (_, row) in zip(ids, rows, strict=True) if row.criteria}
        n_new = self._store.add_to_queue(rater, ids, shown_name(name), criteria)
        return Uploaded(n_new, encoding_note(name, data))

    def task(self, rater: str, answer_id: str, rubric_id: str = "") -> Task:
        """The answer with its form, by the rater's own rubric where none is named.

        Raises NotFound when it is not the rater's to judge, or there is no such rubric.
        """
        return self._task(rater, answer_id, self._store.queue(rater), rubric_id)

    def next_task(self, rater: str, after: str = "") -> Task | None:
        """The first open answer behind this one in the rater's queue, else the first of all; None when none is open."""
        queue = self._store.queue(rater)
        items = queue.items
        place = next((number for number, item in enumerate(items, start=1) if item.answer_id == after), 0)
        following = next((item for item in (*items[place:], *items[:place]) if item.state == "open"), None)
        return self._task(rater, following.answer_id, queue) if following else None

    def task_before(self, rater: str, answer_id: str) -> Task:
        """The answer before this one in the rater's queue, whatever its state; the last of all before none.

        Raises NotFound when there is nothing before it.
        """
        items = self._store.queue(rater).items
        place = next((number for number, item in enumerate(items) if item.answer_id == answer_id), len(items))
        if place == 0:
            raise NotFound("This is the first answer of your queue.")
        return self.task(rater, items[place - 1].answer_id)

    def skip(self, rater: str, answer_id: str) -> Task | None:
        """The next open answer. This one is skipped, if it was open."""
        self._store.answer_to_judge(rater, answer_id)
        item = self._store.queue_item(rater, answer_id)
        if item and item.state == "open":
            self._store.set_queue_state(rater, item.id, "skipped")
        return self.next_task(rater, answer_id)

    def take_up_skipped(self, rater: str) -> Task | None:
        """The first open answer, once all that were skipped are open again."""
        for item in self._store.queue(rater).items:
            if item.state == "skipped":
                self._store.set_queue_state(rater, item.id, "open")
        return self.next_task(rater)

    def save_draft(self, rater: str, answer_id: str, rubric_id: str, filled: Filled) -> bool:
        """Whether what is entered so far is kept: not when the answer was rated since the form was opened.

        Raises NotFound when the answer is not the rater's to judge.
        """
        self._store.answer_to_judge(rater, answer_id)
        before = self._newest(rater, answer_id, self._rubric(rubric_id).id)
        if filled.base != (before.id if before else ""):
            return False
        self._store.save_draft(rater, _draft_key(answer_id, rubric_id), filled.model_dump(mode="json"))
        return True

    def save(
        self, rater: str, answer_id: str, rubric_id: str, version: int, filled: Filled, save_key: str,
        *, can_rate: bool = True,
    ) -> RatingRecord:  # fmt: skip
        """The rater's rating from now on, or the one that the same save_key made; the one before stays in the store.

        version: of the rubric that was shown. can_rate: False keeps the reason why not, with what was
        entered. Raises InvalidInput when something is missing or does not fit, RatedSince when the rater has rated the
        answer since the form was opened, NotFound when it is not the rater's to judge.
        """
        rubric = self._rubric(rubric_id)
        if rubric.version != version:
            raise InvalidInput(OUT_OF_DATE)
        record = self._store.answer_to_judge(rater, answer_id)
        answer = self._shown(record, rubric, self._store.queue_item(rater, answer_id))
        form = rating_form(filled, answer) if can_rate else not_ratable(filled, answer)
        saved = self._store.add_rating(rater, answer_id, form, save_key, filled.base)
        self._store.drop_draft(rater, _draft_key(answer_id, rubric_id))
        return saved

    def my_ratings(self, rater: str, limit: int = 50) -> list[Rated]:
        """The rater's own newest ratings, the latest first."""
        return [
            Rated(rating, self._store.answer_to_judge(rater, rating.answer_id).question)
            for rating in self._store.my_ratings(rater, limit)
        ]

    def _task(self, rater: str, answer_id: str, queue: QueueState, rubric_id: str = "") -> Task:
        rubric = self._rubric(rubric_id) if rubric_id else self.rubric_of(rater)
        record = self._store.answer_to_judge(rater, answer_id)
        places = ((item, number) for number, item in enumerate(queue.items, start=1) if item.answer_id == answer_id)
        item, position = next(places, (None, 0))
        answer = self._shown(record, rubric, item)
        before = self._newest(rater, answer_id, rubric.id)
        filled = filled_again(before, answer) if before else Filled()
        draft = self._store.draft(rater, _draft_key(answer_id, rubric.id))
        if draft and draft.get("base") == filled.base:
            filled = read_filled(draft)
        return Task(
            answer_id, record.question, record.context, answer, tuple(steps_of(answer.reasoning)),
            standing(filled, answer), position, item.state if item else "", before is not None, queue,
        )  # fmt: skip

    def _rubric(self, rubric_id: str) -> Rubric:
        rubric = self.rubrics().rubrics.get(rubric_id)
        if rubric is None:
            raise NotFound("There is no such rating form any more. Choose another one.")
        return rubric

    def _newest(self, rater: str, answer_id: str, rubric_id: str) -> RatingRecord | None:
        ratings = self._store.ratings_of(answer_id, rater)
        return next((rating for rating in ratings if rating.form.rubric_id == rubric_id), None)

    def _shown(self, record: AnswerRecord, rubric: Rubric, item: QueueItem | None) -> Shown:
        return shown_answer(record, with_criteria(rubric, item.criteria if item else ()), self._catalogue)


def shown_answer(record: AnswerRecord, rubric: Rubric, catalogue: Models, names: Collection[str] = ()) -> Shown:
    """What a rater sees: no model's name, and lines that end as they do in a page.

    names: models that the answer may name beside those of the catalogue and its own.
    """
    maskers = [masker_for(catalogue.values())]
    own = [record.model_id.removeprefix(UPLOADED)] if record.model_id.startswith(UPLOADED) else []
    maskers += [masker for name in dict.fromkeys([*own, *names]) if (masker := _own_masker(name))]
    texts = [_as_in_a_page(text) for text in (record.reasoning, record.solution)]
    for masker in maskers:
        texts = [masker.mask(text) for text in texts]
    return Shown(rubric, texts[0], texts[1], texts != [record.reasoning, record.solution])


def _row_of(row: UploadedAnswer, save_key: str) -> UploadedRow:
    return UploadedRow(row.context, row.question, row.reasoning, row.solution, row.raw, row.model_name, save_key)


def _draft_key(answer_id: str, rubric_id: str) -> str:
    return f"rating:{answer_id}:{rubric_id}"


def _as_in_a_page(text: str) -> str:
    return re.sub(r"\r\n?", "\n", text).replace("\0", "\ufffd")


def _state_of(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Something else after each change of a file in the folder."""
    stats = [(path.name, path.stat()) for path in sorted(folder.glob("*.yaml"))]
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in stats)


@lru_cache(maxsize=4)  # reading all of them takes longer than saving a rating
def _available(data_dir: Path, state: object) -> Available:
    return available_rubrics(data_dir)


@lru_cache(maxsize=64)
def _own_masker(name: str) -> Masker | None:
    """Masks the name that an upload gives a model; None for one that may be a word of the answer."""
    return Masker([name]) if len(name) > 1 and (name != name.lower() or re.search(r"\d", name)) else None

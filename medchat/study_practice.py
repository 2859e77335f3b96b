"""The cases on which a rater practises before a study: shown as in the study, told at once whether it was right.

A case that was answered wrong comes again until enough of the newest answers are right; every try is stored.
"""

from collections.abc import Mapping

from medchat.asked_models import Models
from medchat.errors import InvalidInput, NotFound
from medchat.rating_form import Filled, rating_form
from medchat.store import Calibration, QueueItem, QueueState, Store, StudyItem, StudyRecord
from medchat.study_calibration import asked, is_right
from medchat.study_design import Design
from medchat.study_tasks import answer_shown, pair_rubric, pair_view, rating_rubric, task_of
from medchat.study_views import CalibrationResult, CalibrationTask, PairTask, Place, RateTask


class Practice:
    """The practice of the raters of a store's studies."""

    def __init__(self, store: Store, catalogue: Models) -> None:
        self._store = store
        self._catalogue = catalogue

    def passed(self, record: StudyRecord, design: Design, rater: str) -> bool:
        """Whether every case was answered, and enough of them right in the end."""
        items, newest = self._items(record), self._newest(record, rater)
        if any(item.id not in newest for item in items):
            return False
        return sum(its.right for its in newest.values()) >= design.pass_share * len(items)

    def task(self, record: StudyRecord, design: Design, rater: str) -> CalibrationTask:
        """The next case: one that was not answered yet, else one that was wrong. Raises NotFound when there is none."""
        items, newest = self._items(record), self._newest(record, rater)
        open_ = [item for item in items if item.id not in newest]
        wrong = [item for item in items if item.id in newest and not newest[item.id].right]
        wrong.sort(key=lambda item: newest[item.id].created_at)
        item = next(iter([*open_, *wrong]), None)
        if item is None:
            raise NotFound("There is no case to practise on any more. Reload the page.")
        done = len(newest) if item in open_ else len(items) - len(wrong)
        place = Place(items.index(item) + 1, done, len(items) - done, len(items))
        return CalibrationTask(
            record.id, record.name, item.id, self._shown(record, item, rater, place), self._asked(record, item),
            item.id in newest,
        )  # fmt: skip

    def answer(
        self,
        record: StudyRecord,
        design: Design,
        rater: str,
        item_id: str,
        given: Filled | Mapping[str, str],
        save_key: str,
    ) -> CalibrationResult:
        """How it went. Raises NotFound when there is no such case, InvalidInput when something is missing."""
        items = self._items(record)
        item = next((its for its in items if its.id == item_id), None)
        if item is None or item.known is None:
            raise NotFound("There is no such case to practise on. Reload the page.")
        said = self._said(record, item, rater, given)
        rubric = rating_rubric(record, item) if len(item.answer_ids) == 1 else None
        right = is_right(item.known, rubric, said)
        names = self._asked(record, item) or ("vote",)
        expected = item.known["scores"] if rubric else item.known
        self._store.add_calibration(
            record.id, rater, item_id, {name: said.get(name, "") for name in names}, right, save_key
        )
        newest = self._newest(record, rater)
        is_over = all(its.id in newest for its in items)
        return CalibrationResult(
            right,
            {name: said.get(name, "") for name in names},
            {name: expected[name] for name in names},
            item.known.get("why", ""),
            sum(its.right for its in newest.values()),
            len(items),
            self.passed(record, design, rater) if is_over else None,
        )

    def _said(
        self, record: StudyRecord, item: StudyItem, rater: str, given: Filled | Mapping[str, str]
    ) -> dict[str, str]:
        """Axis -> value, or the vote. Raises InvalidInput when the form is not filled in."""
        if len(item.answer_ids) == 2:
            vote = given.get("vote", "") if isinstance(given, Mapping) else ""
            if vote not in ("a", "b", "tie", "both_bad"):
                raise InvalidInput("Choose first: A better, B better, a tie, or both bad.")
            return {"vote": vote}
        if not isinstance(given, Filled):
            raise InvalidInput("The form came empty. Reload the page and fill it in again.")
        answer = self._store.answer_to_judge(rater, item.answer_ids[0])
        form = rating_form(given, answer_shown(record, item, answer, self._catalogue))
        scores = {axis: str(value) for axis, value in form.scores.items()}
        return {**scores, "harm_extent": form.harm_extent, "harm_likelihood": form.harm_likelihood}

    def _shown(self, record: StudyRecord, item: StudyItem, rater: str, place: Place) -> RateTask | PairTask:
        answers = [self._store.answer_to_judge(rater, answer_id) for answer_id in item.answer_ids]
        if len(answers) == 2:
            view = pair_view(item.id, record, item, answers, self._catalogue, None)
            return PairTask(record.id, record.name, item.id, view, pair_rubric(record), None, place, 0.0, False, False)
        answer = answer_shown(record, item, answers[0], self._catalogue)
        queue = QueueState((QueueItem(item.id, item.id, "study", "open"),), 1, place.done, 0, place.left)
        task = task_of(item.id, item, answer, Filled(), amends=False, queue=queue)
        return RateTask(record.id, record.name, item.id, task, place, 0.0, False, False)

    def _asked(self, record: StudyRecord, item: StudyItem) -> tuple[str, ...]:
        rubric = rating_rubric(record, item) if len(item.answer_ids) == 1 else None
        return asked(item.known or {}, rubric)

    def _items(self, record: StudyRecord) -> list[StudyItem]:
        return self._store.study_items(record.id, "calibration")

    def _newest(self, record: StudyRecord, rater: str) -> dict[str, Calibration]:
        return {its.item_id: its for its in self._store.calibrations(record.id, rater)}

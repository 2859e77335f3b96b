"""A rater's desk: what a rater of studies sees and does, one step at a time, without a model's name anywhere.

An assignment's id stands for what it shows: that of an answer would tell a hidden repeat from a new case.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import ceil
from typing import Any, NamedTuple

from medchat.asked_models import Models
from medchat.errors import InvalidInput, NotFound
from medchat.live import checked_text
from medchat.rating_form import OUT_OF_DATE, Filled, filled_again, not_ratable, rating_form, read_filled
from medchat.rubrics import Rubric, asked_axes, check_scores, shown
from medchat.store import (
    AskedRubric,
    Assignment,
    AxisVote,
    CastVote,
    PreferenceRecord,
    RatingRecord,
    Store,
    StudyItem,
    StudyRater,
    StudyRecord,
    Vote,
)
from medchat.store.drafts import STUDY_DRAFT
from medchat.study_design import Design
from medchat.study_practice import Practice
from medchat.study_tasks import answer_shown, pair_rubric, pair_view, queue_of, task_of, vote_shown
from medchat.study_views import (
    CalibrationResult,
    Consent,
    DeskStep,
    Finished,
    MyStudy,
    NotOpen,
    PairTask,
    Place,
    RateTask,
    Step,
)

HAS_LEFT = "You take no part in this study any more; what you judged stays in it."
FIRST = "This is the first of your cases."
NOT_YOURS = "There is no such case in your queue. Reload the page."
TOO_SOON = "Take at least {} seconds for each case: {} more. What you entered is kept; save it then."


class _Desk(NamedTuple):
    """A rater in a study, with what was given to them and not withdrawn, in its order."""

    record: StudyRecord
    design: Design
    me: StudyRater
    given: list[Assignment]

    @property
    def done(self) -> int:
        return sum(its.state != "open" for its in self.given)


class StudyDesk:
    """Raters of the studies of a store. rater: the id of the signed-in user.

    Every method raises NotFound for a study of which they are no rater and for an assignment of somebody else.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Models,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._now = now
        self._practice = Practice(store, catalogue)

    def my_studies(self, rater: str) -> list[MyStudy]:
        """The open and closed studies of the rater, newest first."""
        found = []
        for record, me in self._store.studies_of(rater):
            desk = self._desk_of(record, me)
            found.append(MyStudy(record.id, record.name, record.status, desk.done, len(desk.given), self._next(desk)))
        return found

    def step(self, study_id: str, rater: str) -> DeskStep:
        """What comes next for the rater."""
        desk = self._desk(study_id, rater)
        record, design = desk.record, desk.design
        match self._next(desk):
            case "not open":
                return NotOpen(record.id, record.name, record.status, HAS_LEFT)
            case "consent":
                return Consent(record.id, record.name, design.consent, design.instructions)
            case "calibration":
                return self._practice.task(record, design, rater)
            case "finished":
                return Finished(record.id, record.name, desk.done, len(desk.given), record.status == "closed")
        following = next(its for its in desk.given if its.state == "open")
        return self._shown(desk, following)

    def task(self, study_id: str, rater: str, assignment_id: str) -> RateTask | PairTask:
        """One of the rater's own cases, also one that is done."""
        desk = self._working(study_id, rater)
        return self._shown(desk, desk.given[self._place(desk, assignment_id)])

    def back(self, study_id: str, rater: str, assignment_id: str = "") -> RateTask | PairTask:
        """The case before this one in the rater's queue; before none, the last that is done.

        Raises NotFound when there is nothing before it.
        """
        desk = self._working(study_id, rater)
        if assignment_id:
            place = self._place(desk, assignment_id)
        else:
            place = max((n for n, its in enumerate(desk.given, 1) if its.state != "open"), default=0)
        if place == 0:
            raise NotFound(FIRST)
        return self._shown(desk, desk.given[place - 1])

    def agree(self, study_id: str, rater: str) -> DeskStep:
        """What comes next, now that the rater agrees to what was shown."""
        desk = self._desk(study_id, rater)
        self._store.add_consent(study_id, rater, desk.design.consent)
        return self.step(study_id, rater)

    def answer_calibration(
        self, study_id: str, rater: str, item_id: str, given: Filled | Mapping[str, str], save_key: str
    ) -> CalibrationResult:
        """How the rater's answer to a case to practise on went. given: the filled form, or of a pair {"vote": side}.

        Raises InvalidInput when something is missing.
        """
        desk = self._desk(study_id, rater)
        return self._practice.answer(desk.record, desk.design, rater, item_id, given, save_key)

    def save_rating(
        self, rater: str, assignment_id: str, version: int, filled: Filled, save_key: str, *, can_rate: bool = True
    ) -> RatingRecord:
        """The rating from now on, or the one that the same save_key made; the one before stays in the store.

        version: of the rubric that was shown. can_rate: False keeps the reason why not. Raises InvalidInput when
        something is missing, or it is too soon: then what was entered is kept as a draft. Raises RatedSince when it was
        rated in another window since.
        """
        desk, item, given = self._found(rater, assignment_id)
        answer = answer_shown(
            desk.record, item, self._store.answer_to_judge(rater, item.answer_ids[0]), self._catalogue
        )
        if answer.rubric.version != version:
            raise InvalidInput(OUT_OF_DATE)
        form = rating_form(filled, answer) if can_rate else not_ratable(filled, answer)
        if can_rate:
            self._require_time(desk, given, filled.model_dump(mode="json"))
        saved = self._store.add_study_rating(assignment_id, rater, form, save_key, filled.base)
        self._store.drop_draft(rater, _draft_key(assignment_id))
        return saved

    def save_vote(
        self,
        rater: str,
        assignment_id: str,
        vote: Vote,
        *,
        save_key: str,
        base: str = "",
        axes: Mapping[str, AxisVote] | None = None,
        reason: str = "",
        flags: Mapping[str, bool] | None = None,
        seconds: float = 0.0,
    ) -> PreferenceRecord:
        """The vote from now on, by the sides as they were shown. base: the id of the vote that it changes.

        Raises as save_rating does.
        """
        desk, _, given = self._found(rater, assignment_id)
        rubric = pair_rubric(desk.record)
        check_scores(rubric, axes or {}, is_partial=True)
        if desk.design.all_axes:
            _require_axes(rubric, axes or {})
        chosen = [side for side, is_flagged in (flags or {}).items() if is_flagged]
        draft = {
            "vote": vote,
            "axes": dict(axes or {}),
            "reason": reason,
            "flags": chosen,
            "seconds": seconds,
            "of": base,
        }
        self._require_time(desk, given, draft)
        asked = AskedRubric(rubric.id, rubric.version, shown(rubric))
        saved = self._store.add_study_vote(
            assignment_id, rater, vote, axes or {}, checked_text(reason), flags or {}, seconds, save_key, asked, base
        )
        self._store.drop_draft(rater, _draft_key(assignment_id))
        return saved

    def cannot_compare(self, rater: str, assignment_id: str, reason: str) -> None:
        """Put a pair aside as one that cannot be judged. Raises InvalidInput without a reason, and after a vote."""
        self._found(rater, assignment_id)
        self._store.cannot_compare(assignment_id, rater, reason)
        self._store.drop_draft(rater, _draft_key(assignment_id))

    def save_draft(self, rater: str, assignment_id: str, draft: Filled | Mapping[str, Any]) -> bool:
        """Whether what is entered so far is kept: not when it was judged since the form was opened."""
        _, _, given = self._found(rater, assignment_id)
        kept = draft.model_dump(mode="json") if isinstance(draft, Filled) else dict(draft)
        if _base_of(kept) != given.judgement_id:
            return False
        self._store.save_draft(rater, _draft_key(assignment_id), kept)
        return True

    def drop_draft(self, rater: str, assignment_id: str) -> None:
        """Forget what was entered and not saved."""
        self._found(rater, assignment_id)
        self._store.drop_draft(rater, _draft_key(assignment_id))

    # Within

    def _next(self, desk: _Desk) -> Step:
        record, design, me = desk.record, desk.design, desk.me
        if record.status == "closed":
            return "finished"
        if me.left_at is not None:
            return "not open"
        if me.consented_at is None and (design.consent or design.instructions):
            return "consent"
        if design.calibration and not self._practice.passed(record, design, me.rater):
            return "calibration"
        return "work" if any(its.state == "open" for its in desk.given) else "finished"

    def _desk(self, study_id: str, rater: str) -> _Desk:
        found = next(((record, me) for record, me in self._store.studies_of(rater) if record.id == study_id), None)
        if found is None:
            raise NotFound("There is no such study among yours. Reload the page.")
        return self._desk_of(*found)

    def _desk_of(self, record: StudyRecord, me: StudyRater) -> _Desk:
        given = self._store.assignments(record.id, me.rater)
        standing = sorted((its for its in given if its.state != "withdrawn"), key=lambda its: its.position)
        return _Desk(record, Design.from_dict(record.design), me, standing)

    def _working(self, study_id: str, rater: str) -> _Desk:
        """The desk of a rater who may judge now. Raises InvalidInput when something comes before that."""
        desk = self._desk(study_id, rater)
        if desk.record.status == "closed":
            raise InvalidInput("The study is closed: nothing in it can be changed any more.")
        if desk.me.left_at is not None:
            raise InvalidInput(HAS_LEFT)
        if self._next(desk) in ("consent", "calibration"):
            raise InvalidInput("The instructions and the cases to practise on come first. Reload the page.")
        return desk

    def _found(self, rater: str, assignment_id: str) -> tuple[_Desk, StudyItem, Assignment]:
        given, item = self._store.assigned(assignment_id, rater)
        return self._working(given.study_id, rater), item, given

    @staticmethod
    def _place(desk: _Desk, assignment_id: str) -> int:
        place = next((n for n, its in enumerate(desk.given) if its.id == assignment_id), None)
        if place is None:
            raise NotFound(NOT_YOURS)
        return place

    def _shown(self, desk: _Desk, given: Assignment) -> RateTask | PairTask:
        rater, record = desk.me.rater, desk.record
        self._store.open_assignment(given.id, rater)
        _, item = self._store.assigned(given.id, rater)
        said = self._store.judgement_of(given.id, rater)
        draft = self._store.draft(rater, _draft_key(given.id))
        if draft and _base_of(draft) != given.judgement_id:
            draft = None
        number = desk.given.index(given) + 1
        place = Place(number, desk.done, len(desk.given) - desk.done, len(desk.given))
        more = (place, desk.design.min_seconds, given.state != "open", number > 1)
        answers = [self._store.answer_to_judge(rater, answer_id) for answer_id in item.answer_ids]
        if item.kind == "pair":
            sides = answers[::-1] if given.flipped else answers
            voted = vote_shown(given.id, said if isinstance(said, CastVote) else None)
            view = pair_view(given.id, record, item, sides, self._catalogue, voted)
            return PairTask(
                record.id, record.name, given.id, view, pair_rubric(record), draft, *more, desk.design.all_axes
            )
        answer = answer_shown(record, item, answers[0], self._catalogue)
        filled = filled_again(said, answer) if isinstance(said, RatingRecord) else Filled()
        if draft:
            filled = read_filled(draft)
        task = task_of(given.id, item, answer, filled, amends=given.state != "open", queue=queue_of(desk.given))
        return RateTask(record.id, record.name, given.id, task, *more)

    def _require_time(self, desk: _Desk, given: Assignment, draft: Mapping[str, Any]) -> None:
        """Raises InvalidInput, with the draft kept, when a case that was not judged was opened too short a time ago."""
        least = desk.design.min_seconds
        if not least or given.judgement_id:
            return
        now = self._now()
        lacking = least - (now - (given.opened_at or now)).total_seconds()
        if lacking > 0:
            self._store.save_draft(desk.me.rater, _draft_key(given.id), draft)
            raise InvalidInput(TOO_SOON.format(ceil(least), ceil(lacking)))


def _require_axes(rubric: Rubric, axes: Mapping[str, AxisVote]) -> None:
    missing = next((axis for axis in asked_axes(rubric, axes) if axis.id not in axes), None)
    if missing is not None:
        raise InvalidInput(f"This study asks for an answer to every question; not answered yet: {missing.question}")


def _draft_key(assignment_id: str) -> str:
    return f"{STUDY_DRAFT}{assignment_id}"


def _base_of(draft: Mapping[str, Any]) -> str:
    """The judgement that a draft would change: of a form its base, of a ballot what it is of."""
    return str(draft.get("base") or draft.get("of") or "")

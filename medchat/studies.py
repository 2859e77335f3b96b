"""Studies: from questions to a table of who judges what, opened, watched and closed. Results are not read here.

Which model wrote what leaves this module for nobody before the closing; `look` says who may see results, and notes it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from threading import RLock
from typing import Any

from medchat import accounts
from medchat.asked_models import Models
from medchat.errors import InvalidInput, NotAllowed, NotFound
from medchat.jobs import Jobs
from medchat.rubrics import Rubric, available_rubrics, shown
from medchat.settings import Settings
from medchat.store import Store, StudyRater, StudyRecord
from medchat.study_answers import rebuild, stored_answers, take_in_upload
from medchat.study_calibration import calibration_ids
from medchat.study_dealing import Dealing
from medchat.study_design import Design, check_design, warnings
from medchat.study_generation import BEING_WRITTEN, Generation
from medchat.study_progress import progress_of
from medchat.study_questions import (
    QUESTIONS,
    StudyQuestion,
    checked_questions,
    kept_questions,
    questions_of,
    sampled,
)
from medchat.study_views import AllocationView, Progress, Redealt, StudyView
from medchat.uploads import read_answers

UPLOADED = "uploaded answers"
NO_QUESTIONS = "The study has no questions: choose a suite or a file that has some."
BEGUN = "The study has begun: its questions, models and design stay as they are. Make a new study for others."
CLOSED = "The study is closed: its raters stay as they are."
NOT_BEFORE_CLOSING = (
    "Results by model are hidden until the study is closed. Close it, or allow results to be seen meanwhile."
)


class StudyService:
    """All studies of a store. actor, owner: the id of the user who does it, who has the right "studies".

    jobs: None where none can be started, as on the command line.
    """

    def __init__(self, store: Store, catalogue: Models, jobs: Jobs | None, settings: Settings) -> None:
        self._store = store
        self._catalogue = catalogue
        self._settings = settings
        self._generation = Generation(store, catalogue, jobs, settings)
        self._dealing = Dealing(store)
        self._changing = RLock()

    # What a study is

    def create(
        self,
        owner: str,
        name: str,
        design: Design,
        questions: Sequence[StudyQuestion],
        save_key: str,
        seed: int = 0,
    ) -> StudyView:
        """The new study, or the one that the same save_key made before.

        questions: of uploaded answers none; where the design asks for a sample, it is drawn from these with the seed.
        Raises InvalidInput when no study can be made of it.
        """
        rubrics = self._rubrics(design)
        rubrics[QUESTIONS] = kept_questions(self._chosen(design, questions, seed))
        record = self._store.add_study(owner, name, design.as_dict(), rubrics, seed, save_key)
        self._note(owner, accounts.STUDY_ADDED, record, name=record.name)
        return self.view(record.id)

    def change(
        self,
        study_id: str,
        actor: str,
        *,
        name: str | None = None,
        design: Design | None = None,
        questions: Sequence[StudyQuestion] | None = None,
        seed: int | None = None,
    ) -> StudyView:
        """The study with what is given; only its name once it is open.

        Answers that were written stay where questions, models and metrics do. Raises InvalidInput as create does, and
        while answers are being written.
        """
        with self._changing:
            record = self._settled(study_id)
            if design is None and questions is None and seed is None:
                record = self._store.change_study(study_id, name=name)
            else:
                record = self._redesigned(record, design, questions, seed, name)
            self._note(actor, accounts.STUDY_CHANGED, record, name=record.name)
        return self.view(study_id)

    def delete(self, study_id: str, actor: str) -> None:
        """Remove the study with its answers. Raises InvalidInput once anybody has judged, while answers are written."""
        with self._changing:
            record = self._settled(study_id)
            if record.status == "generating":
                raise InvalidInput(BEING_WRITTEN)
            self._store.delete_study(study_id)
            self._generation.forget(record)
            self._note(actor, accounts.STUDY_DELETED, record, name=record.name)

    def views(self) -> list[StudyView]:
        """All studies, newest first."""
        return [self.view(record.id) for record in self._store.studies()]

    def view(self, study_id: str) -> StudyView:
        """The study as it is now; answers of a run that has ended are taken in first. Raises NotFound."""
        record = self._settled(study_id)
        design, questions = Design.from_dict(record.design), questions_of(record)
        n_items, done, total = self._store.study_counts(study_id)
        lacking = {} if n_items else self._generation.missing(record)
        raters = self._raters(record)
        here = [rater for rater in raters if rater.left_at is None]
        return StudyView(
            record, design, len(questions), n_items, len(questions) * len(design.models) - sum(lacking.values()),
            lacking, tuple(raters), done, total,
            tuple(warnings(design, len(questions), [question.specialty for question in questions], len(here))),
            self._generation.job(record),
        )  # fmt: skip

    def questions(self, study_id: str) -> list[StudyQuestion]:
        """The questions of the study."""
        return questions_of(self._store.study(study_id))

    # Answers

    def generate(self, study_id: str, actor: str) -> str:
        """The id of the job that writes the answers; one that was stopped or has failed goes on.

        Raises InvalidInput when nothing is to be written or it is being written, NotFound or ModelUnavailable for a
        model that cannot be asked, RunError.
        """
        with self._changing:
            record = self._store.study(study_id)
            _require_draft(record)
            job_id = self._generation.start(record, actor)
            self._store.change_study(study_id, run_id=job_id, status="generating")
            self._store.add_audit(actor, accounts.JOB_STARTED, job_id, {"study": record.name})
        return job_id

    def take_in_answers(self, study_id: str) -> StudyView:
        """The study, with the answers of its run once that has ended and none is missing."""
        return self.view(study_id)

    def leave_out_missing(self, study_id: str, actor: str) -> StudyView:
        """The study without the questions that a model has not answered.

        Raises InvalidInput while answers are being written, and when no question would be left.
        """
        with self._changing:
            record = self._settled(study_id)
            _require_draft(record)
            kept = self._generation.answered(record)
            if not kept:
                raise InvalidInput("No question has an answer of each model yet.")
            self._note(actor, accounts.STUDY_CHANGED, record, questions=len(kept))
            rubrics = {**record.rubrics, QUESTIONS: kept_questions(kept)}
            self._generation.take_in(self._store.change_study(study_id, rubrics=rubrics, status="generating"))
        return self.view(study_id)

    def upload_answers(self, study_id: str, actor: str, name: str, data: bytes) -> StudyView:
        """The study with the questions and answers of the file in place of those before.

        Raises InvalidInput, with the line where there is one, when it cannot be used: nothing is changed then.
        """
        with self._changing:
            record = self._store.study(study_id)
            if Design.from_dict(record.design).questions.kind != UPLOADED:
                raise InvalidInput("The answers of this study are written by its models, not uploaded.")
            _require_draft(record)
            rows = read_answers(name, data)
            take_in_upload(self._store, record, rows, hashlib.sha256(data).hexdigest()[:16])
            self._note(actor, accounts.STUDY_CHANGED, record, answers=len(rows))
        return self.view(study_id)

    # Raters

    def set_raters(self, study_id: str, actor: str, raters: Sequence[tuple[str, str]]) -> StudyView:
        """The study with these raters, (user id, group), and no others.

        Raises InvalidInput once it is open (add_rater and remove_rater are for then), and for a rater named twice.
        """
        with self._changing:
            record = self._store.study(study_id)
            _require_draft(record)
            wanted = dict(raters)
            if len(wanted) < len(raters):
                raise InvalidInput("A rater is named twice; take each once.")
            for rater in self._raters(record):
                if rater.rater not in wanted:
                    self._store.leave_study(study_id, rater.rater)
            for name, group in raters:
                self._store.join_study(study_id, name, group)
            self._note(actor, accounts.STUDY_RATERS, record, raters=len(wanted))
        return self.view(study_id)

    def add_rater(self, study_id: str, actor: str, rater: str, group: str = "") -> Redealt:
        """What came of one more rater: of an open study they get as much as the others have left."""
        with self._changing:
            record = self._store.study(study_id)
            _require_not_closed(record)
            if any(its.rater == rater and its.left_at is None for its in self._store.study_raters(study_id)):
                raise InvalidInput("This rater is in the study already.")
            self._store.join_study(study_id, rater, group)
            done = self._dealing.add(record, rater) if record.status == "open" else Redealt(0, 0, 0)
            self._note(actor, accounts.STUDY_RATERS, record, added=rater)
        return done

    def remove_rater(self, study_id: str, actor: str, rater: str) -> Redealt:
        """What came of a rater's leaving: what they had not judged is dealt again, what they judged stays."""
        with self._changing:
            record = self._store.study(study_id)
            _require_not_closed(record)
            left = self._store.leave_study(study_id, rater)
            done = self._dealing.remove(record, left.rater) if record.status == "open" else Redealt(0, 0, 0)
            self._note(actor, accounts.STUDY_RATERS, record, removed=rater)
        return done

    # From the table to the end

    def allocate(self, study_id: str, seed: int | None = None, *, dry_run: bool = False) -> AllocationView:
        """Who will judge what; without a dry run the seed is kept, with which the study will open.

        seed: None for the study's own, with which a study that has begun gives the table of its opening, as it was
        before raters left or came late. Raises InvalidInput for no raters or items, for too few raters, and once it has
        begun without a dry run.
        """
        with self._changing:
            record = self._store.study(study_id)
            if record.opened_at is not None and not dry_run:
                raise InvalidInput(BEGUN)
            chosen = record.seed if seed is None else seed
            view = self._dealing.table(record, chosen, saved=not dry_run)
            if not dry_run:
                self._store.change_study(study_id, seed=chosen)
        return view

    def open(self, study_id: str, actor: str) -> StudyView:
        """The study, open: raters find it in their list. Raises InvalidInput with what is lacking when it cannot."""
        with self._changing:
            view = self.view(study_id)
            record = view.record
            if record.status in ("open", "closed"):
                raise InvalidInput(f"The study is {record.status} already.")
            if record.status == "generating":
                raise InvalidInput(BEING_WRITTEN)
            if not view.n_questions:
                raise InvalidInput(NO_QUESTIONS)
            if view.n_missing or not view.n_items:
                raise InvalidInput(
                    f"{view.n_missing} of {view.n_missing + view.n_answers} answers are missing: let them be written "
                    "first. A study does not open without them."
                )
            self._dealing.deal(record)
            self._store.change_study(study_id, status="open")
            self._note(actor, accounts.STUDY_OPENED, record, seed=record.seed, raters=len(view.raters))
        return self.view(study_id)

    def close(self, study_id: str, actor: str) -> StudyView:
        """The study, closed for good: nobody judges in it any more, and its results are open.

        Raises InvalidInput unless it is open.
        """
        with self._changing:
            view = self.view(study_id)
            record = self._store.change_study(study_id, status="closed")
            self._note(actor, accounts.STUDY_CLOSED, record, done=view.done, of=view.total)
            self._generation.release(record)
        return self.view(study_id)

    def allow_training(self, study_id: str, actor: str, yes: bool) -> StudyView:
        """The study, whose judgements may be learned from before it is closed, or not."""
        record = self._store.change_study(study_id, may_train=yes)
        self._note(actor, accounts.STUDY_TRAINS, record, yes=yes)
        return self.view(study_id)

    def show_results(self, study_id: str, actor: str, yes: bool) -> StudyView:
        """The study, whose results by model may be seen before it is closed, or not."""
        record = self._store.change_study(study_id, show_results=yes)
        self._note(actor, accounts.STUDY_SHOWS, record, yes=yes)
        return self.view(study_id)

    def find(self, text: str) -> StudyRecord:
        """The study of this id or name, as a command line gives it. Raises NotFound, InvalidInput for several."""
        records = self._store.studies()
        found = [its for its in records if its.id == text] or [
            its for its in records if its.name.casefold() == text.casefold()
        ]
        if not found:
            raise NotFound(f"There is no study {text!r}; see: python -m medchat study list")
        if len(found) > 1:
            ids = ", ".join(its.id for its in found)
            raise InvalidInput(f"{len(found)} studies are named {text!r}; give the id of one: {ids}")
        return found[0]

    def look(self, study_id: str, actor: str) -> StudyRecord:
        """The study, whose results by model may be shown to the actor now.

        Each look before the closing is noted, a refused one too. Raises NotAllowed before the closing, unless the
        study shows results meanwhile.
        """
        record = self._store.study(study_id)
        if record.status == "closed":
            return record
        self._note(actor, accounts.STUDY_LOOKED, record, allowed=record.show_results)
        if not record.show_results:
            raise NotAllowed(NOT_BEFORE_CLOSING)
        return record

    def progress(self, study_id: str) -> Progress:
        """How far its raters are, never by model."""
        return progress_of(self._store.study_judgements(study_id))

    # Within

    def _rubrics(self, design: Design) -> dict[str, Any]:
        """What raters are shown, as it is now: a file that changes later changes nothing. Raises InvalidInput."""
        rubrics: Mapping[str, Rubric] = available_rubrics(self._settings.data_dir).rubrics
        is_uploaded = design.questions.kind == UPLOADED
        known = None if is_uploaded else [spec.id for spec in self._catalogue.values()]
        if not is_uploaded or design.models:
            check_design(design, known, rubrics, calibration_ids() if design.calibration else None)
        rate = shown(rubrics[design.rubric]) if design.rates else None
        pair = shown(rubrics[design.pair_rubric]) if design.votes and design.pair_rubric else None
        return {"rate": rate, "pair": pair}

    @staticmethod
    def _chosen(design: Design, questions: Sequence[StudyQuestion], seed: int) -> list[StudyQuestion]:
        if design.questions.kind == UPLOADED:
            return []
        checked = checked_questions(questions)
        if not checked:
            raise InvalidInput(NO_QUESTIONS)
        return sampled(checked, design.questions.sample, seed)

    def _redesigned(
        self,
        record: StudyRecord,
        design: Design | None,
        questions: Sequence[StudyQuestion] | None,
        seed: int | None,
        name: str | None,
    ) -> StudyRecord:
        _require_draft(record)
        before = Design.from_dict(record.design)
        design, seed = design or before, record.seed if seed is None else seed
        rubrics = self._rubrics(design)
        known = record.rubrics[QUESTIONS]
        rubrics[QUESTIONS] = known if questions is None else kept_questions(self._chosen(design, questions, seed))
        asked = [(its.models, its.metrics, its.questions.kind) for its in (before, design)]
        is_same = asked[0] == asked[1] and rubrics[QUESTIONS] == known
        held = stored_answers(self._store, record) if is_same else {}
        self._store.drop_assignments(record.id)
        self._store.set_study_items(record.id, [])
        record = self._store.change_study(
            record.id, name=name, design=design.as_dict(), rubrics=rubrics, seed=seed, status="draft",
            run_id=None if is_same else "",
        )  # fmt: skip
        record = rebuild(self._store, record, held)
        if record.status == "ready" or not record.run_id:
            return record
        return self._generation.take_in(self._store.change_study(record.id, status="generating"))

    def _settled(self, study_id: str) -> StudyRecord:
        """The study, with the answers of a run that has ended meanwhile."""
        record = self._store.study(study_id)
        if record.status != "generating" or not self._generation.has_ended(record):
            return record
        return self._generation.take_in(record)

    def _raters(self, record: StudyRecord) -> list[StudyRater]:
        """Its raters; who left before it opened was never one."""
        raters = self._store.study_raters(record.id)
        return [its for its in raters if its.left_at is None or (record.opened_at and its.left_at > record.opened_at)]

    def _note(self, actor: str, action: str, record: StudyRecord, **details: Any) -> None:
        self._store.add_audit(actor, action, record.id, details)


def _require_not_closed(record: StudyRecord) -> None:
    if record.status == "closed":
        raise InvalidInput(CLOSED)


def _require_draft(record: StudyRecord) -> None:
    if record.opened_at is not None:
        raise InvalidInput(BEGUN)
    if record.status == "generating":
        raise InvalidInput(BEING_WRITTEN)

"""What an investigator's form comes to: the design, the raters' time, what votes can show; and the study itself."""

import statistics
import time
from dataclasses import dataclass, replace
from threading import Lock

from evaluation.power import power_line, votes_needed
from medchat.accounts import LOCAL, RIGHTS, User
from medchat.allocation import allocate, raters_needed
from medchat.errors import InvalidInput, MedChatError
from medchat.machine import fit, free_disk_gb, kind_of
from medchat.rubrics import available_rubrics
from medchat.settings import ROLES
from medchat.studies import StudyService
from medchat.study_calibration import calibration_ids
from medchat.study_design import Design, QuestionSource, check_design, planned_units, warnings
from medchat.study_views import StudyView
from medchat.ui import model_picker, studies_form
from medchat.ui.common import App, counted
from medchat.ui.evaluations_speed import about_time, needed_s, speeds_of
from medchat.ui.studies_form import ModelChoice, Offers, Person
from medchat.ui.studies_order import (
    ANSWERS,
    FEW_RATERS,
    FILE,
    MOST_SEED,
    SUITE,
    TASKS,
    Order,
    decimal,
    fresh,
    order_of,
    share,
    whole,
)
from medchat.ui.studies_sources import Source, choices, in_suites, source_of

DRAFT = "studies"
KINDS = {SUITE: "suite", FILE: "file", ANSWERS: "uploaded answers"}
WORTH_FINDING = 0.60  # a preference that fewer votes than it takes are warned about
MOST_QUESTIONS = 20_000
MOST_CALIBRATION = 100
GUESSED_S = {"rate": 90.0, "pair": 60.0}  # for a judgement, while too few were made here
FEW_JUDGED = 20
LEAST_S = 10.0  # no answer is read sooner: quicker ones were tried out
RECENT = 3  # studies that tell how long it takes
MEASURED_FOR_S = 60.0
UNTRAINED = (
    "in what models are evaluated by ({}): judgements on them never become training data. For these, take questions of "
    "your own."
)
NAMELESS = "Name of the study: give it one, by which you and its raters will know it."


@dataclass(frozen=True, slots=True)
class Plan:
    """An order that holds. n_rate, n_pair: answers to rate and pairs to vote on. seconds: one of each takes so long.

    measured: whether that was measured here, by the same two keys.
    """

    order: Order
    design: Design
    source: Source
    seed: int
    n_rate: int
    n_pair: int

    @property
    def judgements(self) -> tuple[float, float]:
        """Ratings and votes of one rater, hidden repeats among them."""
        each = self.design.raters_per_item * (1 + self.design.repeat_share) / len(self.order.raters)
        return self.n_rate * each, self.n_pair * each


class Planner:
    """Orders for studies of one app."""

    def __init__(self, app: App, service: StudyService) -> None:
        self._app = app
        self._service = service
        self._lock = Lock()
        self._measured: tuple[float, dict[str, float]] = (float("-inf"), {})

    def order_of(self, user: User) -> Order:
        """The form as the user left it, filled with what most would take for somebody new."""
        left = (self._app.store.draft(user.id, DRAFT) or {}).get("order")
        try:
            return order_of(left) if isinstance(left, dict) else self.fresh()
        except MedChatError:
            return self.fresh()

    def fresh(self) -> Order:
        """Two models that can be asked now, and all raters; where nobody is one, all who may rate."""
        usable = [one.id for one in self._models() if one.usable]
        first = [self._app.default.id] if self._app.default.id in usable else []
        models = list(dict.fromkeys([*first, *usable]))[:2]
        people = self.people()
        raters = [person.id for person in people if person.role == ROLES[0]] or [person.id for person in people]
        return fresh(models, raters)

    def order_from(self, view: StudyView, study: str) -> Order:
        """The form with a study's design in it. study: the id of the draft that is changed, "" for a new study."""
        design, record = view.design, view.record
        prefix = next(prefix for prefix, kind in KINDS.items() if kind == design.questions.kind)
        chosen = design.calibration if isinstance(design.calibration, int) else len(design.calibration)
        return Order(
            study=study,
            name=record.name if study else f"{record.name} (again)",
            source=prefix + design.questions.name,
            sample=_text(design.questions.sample),
            seed=str(record.seed),
            tasks=design.tasks,
            rubric=design.rubric,
            pairs=design.pairs,
            pairs_per_question=_text(design.pairs_per_question),
            all_axes="yes" if design.all_axes else "",
            raters_per_item=str(design.raters_per_item),
            repeats=f"{100 * design.repeat_share:g}",
            ties=f"{100 * design.tie_rate:g}",
            icc=f"{design.icc:g}",
            calibration=str(chosen),
            pass_share=f"{100 * design.pass_share:g}",
            min_seconds=f"{design.min_seconds:g}",
            instructions=design.instructions,
            consent=design.consent,
            models=design.models if prefix != ANSWERS else (),
            raters={one.rater: one.group for one in view.raters if one.left_at is None},
        )

    def form_html(self, order: Order) -> str:
        """The form with this order in it."""
        rubrics = tuple(available_rubrics(self._app.settings.data_dir).rubrics.values())
        return studies_form.form_html(order, Offers(choices(self._app), self._models(), rubrics, self.people()))

    def people(self) -> list[Person]:
        """All who may rate and can sign in; where nobody has an account, whoever uses the machine."""
        users = [Person(user.id, user.name, user.role) for user in self._app.accounts.users()
                 if not user.disabled and "rate" in RIGHTS.get(user.role, ())]  # fmt: skip
        return users or [Person(LOCAL.id, "the local user", "")]

    def names(self) -> dict[str, str]:
        """The names of all accounts by their ids, disabled ones too."""
        return {LOCAL.id: "the local user"} | {user.id: user.name for user in self._app.accounts.users()}

    def check_html(self, order: Order) -> str:
        """What the study would be and what speaks against it, or what is wrong with the form."""
        try:
            plan = self.plan(order)
        except MedChatError as error:
            return studies_form.fault_html(str(error))
        buttons = [("study-save", "Save the design")] if order.study else [
            ("study-create-generate", "Create and write the answers"), ("study-create", "Create as a draft"),
        ]  # fmt: skip
        if plan.design.questions.kind == "uploaded answers" and not order.study:
            buttons = [("study-create", "Create")]
        return studies_form.check_html(self._notes(plan), self._warnings(plan), buttons, "study-check")

    def plan(self, order: Order) -> Plan:
        """What the order comes to. Raises MedChatError with the field that is to be changed."""
        sample = whole(order.sample, "How many questions", 1, MOST_QUESTIONS) if order.sample.strip() else None
        seed = whole(order.seed, "Seed", 0, MOST_SEED)
        source = source_of(self._app.settings, order.source, sample, seed)
        if order.tasks not in TASKS:
            raise InvalidInput("What raters do: choose one of the three.")
        design = self._design(order, source, sample)
        known = source.models if design.questions.kind == "uploaded answers" else tuple(self._app.catalogue)
        check_design(design, known, available_rubrics(self._app.settings.data_dir).rubrics, calibration_ids())
        ids = [str(number) for number in range(len(source.questions))]
        units = planned_units(design, ids, seed)
        if not order.raters:
            raise InvalidInput("Raters: choose at least one.")
        design = self._with_raters(order, design, len(order.raters))
        first = [unit for unit in units if unit.question_id == "0"]
        allocate(first, order.raters, design.raters_per_item, 0.0, seed)  # raises where they are too few
        n_rate = sum(unit.kind == "rate" for unit in units)
        return Plan(order, design, source, seed, n_rate, len(units) - n_rate)

    def save(self, user: User, order: Order, key: str) -> StudyView:
        """The study that the order became, or has changed; of one key there is one study. Raises MedChatError."""
        if not order.name.strip():
            raise InvalidInput(NAMELESS)
        plan = self.plan(order)
        name = " ".join(order.name.split())
        with self._lock:
            if order.study:
                view = self._service.change(
                    order.study, user.id, name=name, design=plan.design, questions=plan.source.questions, seed=plan.seed
                )
            else:
                view = self._service.create(user.id, name, plan.design, plan.source.questions, key, plan.seed)
            study = view.record.id
            view = self._service.set_raters(study, user.id, list(order.raters.items()))
            if plan.source.file and plan.design.questions.kind == "uploaded answers":
                file = plan.source.file
                view = self._service.upload_answers(study, user.id, file.name, file.read_bytes())
            return view

    def _design(self, order: Order, source: Source, sample: int | None) -> Design:
        prefix = next((prefix for prefix in KINDS if order.source.startswith(prefix)), SUITE)
        per_question = order.pairs_per_question.strip()
        votes = order.tasks != "rate"
        k = order.raters_per_item.strip()
        return Design(
            questions=QuestionSource(KINDS[prefix], order.source.removeprefix(prefix), sample),  # type: ignore[arg-type]
            models=source.models if prefix == ANSWERS else order.models,
            tasks=order.tasks,  # type: ignore[arg-type]  # was looked up in TASKS
            rubric=order.rubric,
            pairs="reference" if order.pairs == "reference" else "all",
            pairs_per_question=whole(per_question, "Pairs for each question", 1, 28)
            if per_question and votes
            else None,
            all_axes=votes and bool(order.all_axes),
            raters_per_item=whole(k, "Raters for each item", 1, 50) if k else 1,
            repeat_share=share(order.repeats, "Hidden repeats", 0, 30),
            calibration=whole(order.calibration, "Calibration items", 0, MOST_CALIBRATION),
            pass_share=share(order.pass_share, "Right of the calibration items", 1, 100),
            min_seconds=decimal(order.min_seconds, "Least time for an item", 0, 3600, " seconds"),
            instructions=order.instructions.strip(),
            consent=order.consent.strip(),
            tie_rate=share(order.ties, "Ties to be expected", 0, 95),
            icc=decimal(order.icc, "Likeness of votes on one item", 0, 1),
        )

    def _with_raters(self, order: Order, design: Design, n_raters: int) -> Design:
        """The design with as many raters an item as there can be, at most three, where none were typed."""
        if order.raters_per_item.strip():
            return design
        rounds = raters_needed(planned_units(design, ["0"], 0), 1)
        return replace(design, raters_per_item=max(1, min(FEW_RATERS, n_raters // max(1, rounds))))

    def _notes(self, plan: Plan) -> list[str]:
        design, n, k = plan.design, len(plan.source.questions), plan.design.raters_per_item
        of = f" of {plan.source.n_all:,}" if plan.source.n_all > n else ""
        parts = [counted(plan.n_rate, "answer") + " to rate"] if plan.n_rate else []
        parts += [counted(plan.n_pair, "pair") + " to vote on"] if plan.n_pair else []
        total = (plan.n_rate + plan.n_pair) * k
        notes = [
            f"{counted(n, 'question')}{of} from {plan.source.title}, {counted(len(design.models), 'model')}: "
            f"{' and '.join(parts)}, {counted(k, 'rater')} each: {counted(total, 'judgement')}.",
            self._time_note(plan),
        ]
        if design.questions.kind != "uploaded answers":
            notes.append(self._answers_note(plan))
        return notes + power_notes(design, plan.n_pair)

    def _time_note(self, plan: Plan) -> str:
        rate, pair = plan.judgements
        measured = self._seconds()
        seconds = {kind: measured.get(kind, guess) for kind, guess in GUESSED_S.items()}
        minutes = (rate * seconds["rate"] + pair * seconds["pair"]) / 60
        used = [kind for kind, n in (("rate", rate), ("pair", pair)) if n]
        basis = " and ".join(
            f"{seconds[kind]:.0f} s for {'an answer' if kind == 'rate' else 'a pair'}" for kind in used
        )
        how = (
            "by what was judged here so far"
            if all(kind in measured for kind in used)
            else "a guess until some are judged here"
        )
        each = (
            f"about {counted(max(1, round(minutes)), 'minute')}" if minutes < 120 else f"about {minutes / 60:.1f} hours"
        )
        n = round(rate + pair)
        return (
            f"Each of {counted(len(plan.order.raters), 'rater')}: {counted(n, 'judgement')}, {each} ({basis}, {how})."
        )

    def _answers_note(self, plan: Plan) -> str:
        n = len(plan.source.questions) * len(plan.design.models)
        seconds = needed_s(speeds_of(self._app.jobs), plan.design.models, {"": len(plan.source.questions)})
        takes = f"{about_time(seconds)} by earlier runs here" if seconds is not None else "it is not known how long"
        return f"{counted(n, 'answer')} are written beforehand, {takes}; you can close the page meanwhile."

    def _warnings(self, plan: Plan) -> list[str]:
        design = plan.design
        needed = None
        if design.votes:
            needed = votes_needed(
                WORTH_FINDING, tie_rate=design.tie_rate, raters_per_item=design.raters_per_item, icc=design.icc
            )
        n, raters = len(plan.source.questions), len(plan.order.raters)
        return [*warnings(design, n, plan.source.specialties, raters, needed), *self._untrained(plan.source)]

    def _untrained(self, source: Source) -> list[str]:
        """That what is judged cannot be trained on, where questions are those of an evaluation suite."""
        try:
            found = in_suites(self._app, source)
        except InvalidInput as error:  # of a suite that nobody asked for here
            return [f"Whether the questions are in an evaluation suite cannot be told: {error}"]
        if not found:
            return []
        n, n_all = sum(found.values()), len(source.questions)
        which = "The questions are" if n == n_all else f"{n:,} of {n_all:,} questions {'is' if n == 1 else 'are'}"
        return [f"{which} {UNTRAINED.format(' and '.join(found))}"]

    def _seconds(self) -> dict[str, float]:
        """The median time of a rating and of a vote in the newest studies, LEAST_S at least, where enough were made."""
        when, found = self._measured
        if time.monotonic() - when > MEASURED_FOR_S:
            times: dict[str, list[float]] = {kind: [] for kind in GUESSED_S}
            for record in self._app.store.studies()[:RECENT]:
                judged = self._app.store.study_judgements(record.id)
                times["rate"] += [one.form.seconds for one in judged.ratings.values()]
                times["pair"] += [one.seconds for one in judged.votes.values()]
            found = {
                kind: max(LEAST_S, statistics.median(its)) for kind, its in times.items() if len(its) >= FEW_JUDGED
            }
            self._measured = (time.monotonic(), found)
        return found

    def _models(self) -> list[ModelChoice]:
        """Those that can be asked now first."""
        machine, free_gb = self._app.machine(), free_disk_gb(self._app.settings.models_dir)
        found = []
        for spec in self._app.catalogue.values():
            its = fit(spec, machine, free_gb)
            lacks = "not on this machine" if not spec.is_here else ""
            lacks = lacks or (its.words if its.state == "too_large" else "")
            lacks = lacks or ("needs a key" if model_picker.missing_key(spec) else "")
            demo = "demo model" if spec.demo else kind_of(spec)
            leaves = f"sends the questions to {spec.external}" if spec.external else ""
            told = " · ".join(filter(None, (demo, leaves, lacks)))
            found.append(ModelChoice(spec.id, spec.name, told, not lacks))
        return sorted(found, key=lambda one: not one.usable)


def power_notes(design: Design, n_pair_items: int) -> list[str]:
    """What votes can show with this design, in a line; nothing without votes."""
    if not design.votes or not design.n_pairs:
        return []
    votes = n_pair_items * design.raters_per_item // design.n_pairs
    return [f"Power: {power_line(design.tie_rate, design.raters_per_item, design.icc, votes)}"]


def _text(number: int | None) -> str:
    return "" if number is None else str(number)

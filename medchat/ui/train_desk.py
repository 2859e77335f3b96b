"""The desk where a run is ordered: what the form shows, whether an order holds, and the job that it becomes."""

from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from medchat.accounts import User
from medchat.errors import InvalidInput, MedChatError
from medchat.run_state import stage_words
from medchat.ui import model_picker, train_data, train_form, train_order, train_preview
from medchat.ui.actions import Action
from medchat.ui.common import App, counted
from medchat.ui.train_estimate import THIS, Fit, fit_of
from medchat.ui.train_fields import fields_of, sections_of
from medchat.ui.train_order import Checked, Order
from medchat.ui.train_rewards import Offered
from train.plan import Data, Wanted, wanted_base
from train.recipe_schema import Recipe
from train.recipes import RecipeFault, load_recipe
from train.reward_setup import check_judges, check_preferences, judge_in, options_in
from train.row_counts import limited
from train.row_lengths import LESSONS
from train.templates import prompted

FIRST_RECIPE = "demo-sft"
DRAFT, PREVIEWED = "train", "train: previewed"
MOST_PREVIEWED = 50
MOST_KEYS = 1000
OFF = "Training is off here: start MedChat with MEDCHAT_TRAINING=on to begin and resume runs."
LOOK_FIRST = "Look at the preview of the ratings first: nothing is trained on ratings that nobody has looked at."
NOTHING_IN_IT = "None of the ratings can be trained on: the preview says why."
CHANGED = "The ratings are not those that you looked at any more. Look at the preview again."
CHOOSE_DATA = "data: this recipe has no data of its own; choose a prepared folder, the ratings, or upload examples."
MADE = "The cases are made from the teaching facts when the run begins, the same for the same seed."


class Shown(NamedTuple):
    """The preview that stands on the page: of which place, and the digest of its rows."""

    place: str
    digest: str


@dataclass(frozen=True, slots=True)
class Plan:
    """An order with all that was found out about it.

    place: of the data, None for what the run makes itself, and for ratings that were not looked at. data: what is
    there, None while it is not read. lacking: what is not there of base and data, each with what to do.
    """

    checked: Checked
    base: Wanted
    place: Path | None
    data: Data | None
    fit: Fit
    lacking: tuple[str, ...]


class Desk:
    """Orders of one app."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._settings = app.settings
        self._lock = Lock()
        self._started: OrderedDict[tuple[str, str], str] = OrderedDict()  # the job of each request for one

    def order_of(self, user: User) -> Order:
        """The order as the user left it; one of the first recipe for somebody new."""
        left = (self._app.store.draft(user.id, DRAFT) or {}).get("order")
        try:
            order = train_order.order_of(left) if isinstance(left, dict) else self.fresh(FIRST_RECIPE)
            train_order.plain_recipe(self._settings, order)
        except MedChatError:
            return self.fresh(FIRST_RECIPE)
        return order

    def fresh(self, recipe: str) -> Order:
        """The recipe as it is."""
        order = Order(recipe)
        return Order(recipe, data=train_data.first_choice(train_order.plain_recipe(self._settings, order)))

    def left_run(self, user: User) -> str:
        """The id of the run that the user looked at last, "" for none."""
        return str((self._app.store.draft(user.id, DRAFT) or {}).get("run", ""))

    def keep(self, user: User, **changes: Any) -> None:
        """Keep what the user has chosen for the next page."""
        left = self._app.store.draft(user.id, DRAFT) or {}
        if any(left.get(name) != value for name, value in changes.items()):
            self._app.store.save_draft(user.id, DRAFT, left | changes)

    def form_html(self, order: Order) -> str:
        """The form with this order in it. Raises InvalidInput, NotFound when its recipe is not here."""
        from train.rewards import REWARDS

        recipe = train_order.plain_recipe(self._settings, order)
        return train_form.form_html(
            order, recipe, sections_of(recipe), recipes=self._titles(), bases=self._bases(order, recipe),
            data=train_data.choices(self._settings, recipe), rewards=Offered(REWARDS, model_picker.choices(self._app)),
        )  # fmt: skip

    def check_html(self, user: User, order: Order, shown: Shown | None, machine: str = THIS) -> str:
        """What would run, or what is wrong with the order. machine: for which the estimate is."""
        try:
            plan = self._plan(order, shown, machine)
            why_not = self._why_not(user, order, plan, shown)
        except MedChatError as error:
            of_base = isinstance(error, RecipeFault) and error.place == ("base",)
            return train_form.fault_html(str(error), self._field_at(order, str(error)), offers_models=of_base)
        command = train_order.shown_command(self._argv(plan), self._settings)
        waiting = sum(view.state.status not in ("done", "failed", "stopped", "lost") for view in self._app.jobs.all())
        before = [f"{counted(waiting, 'run')} before it in line."] if waiting else []
        notes = [*_count_notes(plan), *self._judge_notes(plan), *before]
        return train_form.start_html(
            command, notes, plan.fit.html, can_start=not why_not, why_not=why_not,
            button="Put it in line" if waiting else "Start", fetch=plan.base.spec.id if plan.base.lacking else "",
        )  # fmt: skip

    def start(self, user: User, order: Order, shown: Shown | None, key: str) -> tuple[str, str]:
        """The id and the name of the job that the order became; of one key there is one job.

        Raises InvalidInput for an order that does not hold, and for ratings whose preview was not shown.
        """
        plan = self._plan(order, shown)
        if why_not := self._why_not(user, order, plan, shown):
            raise InvalidInput(why_not)
        recipe = plan.checked.recipe
        name = order.name or recipe.title
        with self._lock:
            known = self._started.get((user.id, key))
            if known:
                return known, name
            variables = train_order.variables_of(recipe, self._app.catalogue)
            job_id = self._app.jobs.submit("train", name, self._argv(plan), user.id, variables)
            self._started[user.id, key] = job_id
            while len(self._started) > MOST_KEYS:
                self._started.popitem(last=False)
        return job_id, name

    def look(self, user: User, order: Order) -> str:
        """The preview of the order's data. Raises MedChatError."""
        checked = train_order.check(self._settings, order)
        if order.data == train_data.RATINGS:
            feedback = train_data.feedback_of(self._settings, self._app.store)
            if not train_data.gives_rows(feedback):
                return train_preview.nothing_html(train_data.shown_of(feedback), shown_for=order.data)
            path: Path | None = train_data.written(self._settings, feedback)
        else:
            path = self._place(order, checked.recipe)
        if path is None:
            return train_preview.own_html(MADE)
        place, digest = train_data.choice_of(self._settings, str(path)), ""
        if train_data.is_of_ratings(path):
            digest = train_data.digest_of(path)
            self._note_previewed(user, digest)
        if path.is_dir() and train_data.has_report(path):
            preview = train_data.preview_in(path)
            return train_preview.ratings_html(preview, shown_for=order.data, place=place, digest=digest)
        look = train_data.look_at(self._settings, checked.recipe, path)
        return train_preview.look_html(look, shown_for=order.data, place=place, digest=digest)

    def upload(self, order: Order, name: str, data: bytes) -> tuple[Order, int, str]:
        """The order on the examples of a file, how many these are, and a note on the file. Raises InvalidInput."""
        path, n, note = train_data.take_upload(self._settings, name, data)
        place = train_data.choice_of(self._settings, str(path))
        return Order(order.recipe, order.base, place, order.name, order.typed), n, note

    def cloned(self, run_id: str) -> Order:
        """The order that gives a run again, as far as its data is still there. Raises MedChatError."""
        view, run_dir = self._app.jobs.view(run_id), self._app.jobs.run_dir(run_id)
        config = run_dir.config()
        order = train_order.cloned(self._settings, view.job.argv, config, view.job.name)
        recipe = train_order.plain_recipe(self._settings, order)
        data = train_data.choice_of(self._settings, train_order.data_of(view.job.argv, config))
        return Order(order.recipe, order.base, data or train_data.first_choice(recipe), order.name, order.typed)

    def require_on(self) -> None:
        """Raises InvalidInput where training is off."""
        if not self._settings.training:
            raise InvalidInput(OFF)

    def _plan(self, order: Order, shown: Shown | None, machine: str = THIS) -> Plan:
        checked = train_order.check(self._settings, order)
        recipe, is_own = checked.recipe, order.data == train_data.OWN
        base = wanted_base(recipe, self._app.catalogue, self._settings.models_dir)
        check_judges(recipe, self._app.catalogue)
        lacking = [f"base: {base.lacking}."] if base.lacking else []
        place = data = None
        if order.data == train_data.RATINGS:
            place = train_data.place_of(self._settings, shown.place) if shown else None
        elif is_own and not _has_own(recipe):
            lacking.append(CHOOSE_DATA)
        else:
            place = self._place(order, recipe)
            if place is None:
                check_preferences(recipe, None)
        if place is not None and train_data.is_small(place):
            data = train_data.look_at(self._settings, recipe, place).data
            check_preferences(recipe, data)
            base = replace(base, spec=prompted(base.spec, recipe, data.report, base.folder).spec)
        made_later = LESSONS if is_own and recipe.data == "demo" else None
        fit = fit_of(self._app, recipe, base, data or made_later, machine)
        return Plan(checked, base, place, data, fit, tuple(lacking))

    def _place(self, order: Order, recipe: Recipe) -> Path | None:
        """The data of an order that is not the ratings as they are; None for what the run makes itself."""
        if order.data != train_data.OWN:
            place = train_data.place_of(self._settings, order.data)
            if place is None:
                raise InvalidInput(CHOOSE_DATA)
            return place
        if not _has_own(recipe):
            raise InvalidInput(CHOOSE_DATA)
        return None if recipe.data == "demo" else Path(recipe.data).expanduser().resolve()

    def _why_not(self, user: User, order: Order, plan: Plan, shown: Shown | None) -> str:
        """Why the order cannot become a run, "" where it can."""
        if not self._settings.training:
            return OFF
        if plan.lacking:
            return " ".join(plan.lacking)
        if plan.fit.refusal:
            return plan.fit.refusal
        if order.data != train_data.RATINGS and not train_data.is_of_ratings(plan.place):
            return ""
        if shown is not None and shown.digest == train_data.NO_ROWS:
            return NOTHING_IN_IT
        if shown is None or not shown.digest or plan.place is None:
            return LOOK_FIRST
        previewed = (self._app.store.draft(user.id, PREVIEWED) or {}).get("digests", [])
        if shown.digest not in previewed:
            return LOOK_FIRST
        return "" if train_data.digest_of(plan.place) == shown.digest else CHANGED

    def _note_previewed(self, user: User, digest: str) -> None:
        known = (self._app.store.draft(user.id, PREVIEWED) or {}).get("digests", [])
        digests = [digest, *(one for one in known if one != digest)][:MOST_PREVIEWED]
        self._app.store.save_draft(user.id, PREVIEWED, {"digests": digests})

    def _argv(self, plan: Plan) -> tuple[str, ...]:
        own = plan.checked.order.data == train_data.OWN
        return train_order.argv_of(plan.checked, self._settings, None if own else plan.place)

    def _judge_notes(self, plan: Plan) -> list[str]:
        judge = judge_in(options_in(plan.checked.recipe), self._app.catalogue)
        host = judge.external if judge else ""
        return [f"The judge is asked on {host}: cases and answers go there."] if host else []

    def _titles(self) -> dict[str, str]:
        titles = {}
        for name, source in train_order.recipes_here(self._settings).items():
            try:
                titles[name] = load_recipe(source).title
            except MedChatError:
                titles[name] = f"{name} (cannot be read)"
        return titles

    def _bases(self, order: Order, recipe: Recipe) -> list[train_form.BaseChoice]:
        own = train_order.plain_recipe(self._settings, Order(order.recipe)).base
        here = train_order.bases_here(recipe, self._app.catalogue, self._settings.models_dir)
        ids = {spec.id for spec in here} | {spec.hub.repo for spec in here if spec.hub}
        told = "" if own in ids else f", {train_form.NOT_HERE}"
        found = [train_form.BaseChoice("", f"{own} (the recipe's{told})")]
        found += [train_form.BaseChoice(spec.id, f"{spec.name} ({spec.id})") for spec in here if spec.id != own]
        others = [name for name in recipe.other_bases if name not in ids]
        return found + [train_form.BaseChoice(name, f"{name} ({train_form.NOT_HERE})") for name in others]

    def _field_at(self, order: Order, message: str) -> str:
        try:
            return train_order.field_at(fields_of(train_order.plain_recipe(self._settings, order)), message)
        except MedChatError:
            return ""


def sent_shown(action: Action) -> Shown | None:
    """The preview that stands on the page, as the page says."""
    place, digest = action.text("place", ""), action.text("digest", "")
    return Shown(place, digest) if place or digest else None


def _has_own(recipe: Recipe) -> bool:
    """Whether the recipe brings data that is here, or makes it."""
    if recipe.data in ("", train_data.RATINGS):
        return False
    return recipe.data == "demo" or Path(recipe.data).expanduser().exists()


def _count_notes(plan: Plan) -> list[str]:
    if plan.data is None:
        return []
    notes = []
    for number, (stage, rows) in enumerate(zip(plan.checked.recipe.stages, plan.data.rows, strict=True)):
        n_train = limited(rows.n["train"], stage.train_rows)
        n_validation = limited(rows.n["validation"], stage.validation_rows)
        of = "" if n_train == rows.n["train"] else f" of {rows.n['train']:,} in the file"
        notes.append(
            f"{stage_words(f'{number}-{rows.kind}')}: {counted(n_train, 'row')}{of} to train on,"
            f" {n_validation:,} to validate."
        )
    return notes

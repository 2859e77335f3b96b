"""The desk where data is ordered: what the forms show, whether an order holds, and the job that it becomes."""

import shutil
from collections import OrderedDict
from threading import Lock
from typing import Any
from uuid import uuid4

from medchat.accounts import LOCAL, User
from medchat.errors import InvalidInput, MedChatError
from medchat.jobs import JobView
from medchat.run_files import writing
from medchat.run_state import ENDED
from medchat.ui import data_order, data_sources, model_picker
from medchat.ui.common import App
from medchat.ui.data_folders import folder_named, folders_dir, is_taken
from medchat.ui.data_form import Offered, fault_html, form_html, start_html
from medchat.ui.data_forms import FIRST_TYPED, REFINING, TITLES, form_of
from medchat.ui.data_order import Checked, Order
from medchat.ui.data_source_views import Refused, catalogue_html, chosen_html
from medchat.ui.data_sources import Chosen

DRAFT = "data"
MOST_KEYS = 1000
ESTIMATED = ("augment", "distill")  # the commands that say what they would cost


class Desk:
    """Orders of one app."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._settings = app.settings
        self._lock = Lock()
        self._started: OrderedDict[tuple[str, str], str] = OrderedDict()  # the job of each request for one

    def left(self, user: User) -> dict[str, Any]:
        """What the user left behind on the last page."""
        return self._app.store.draft(user.id, DRAFT) or {}

    def keep(self, user: User, **changes: Any) -> None:
        """Keep what the user has chosen for the next page."""
        left = self.left(user)
        if any(left.get(name) != value for name, value in changes.items()):
            self._app.store.save_draft(user.id, DRAFT, left | changes)

    def order_of(self, user: User) -> Order:
        """The order of new data as the user left it; an empty one for somebody new."""
        left = self.left(user).get("order")
        try:
            order = data_order.order_of(left) if isinstance(left, dict) else Order()
        except MedChatError:
            return Order()
        return order if order.command == "prepare" else Order()

    def catalogue_html(self, user: User) -> str:
        """Every kind of source."""
        from train.adapters import ADAPTERS

        offered = data_sources.offered(self._settings)
        return catalogue_html(ADAPTERS, offered, owner=user.id, names_any_path=user.id == LOCAL.id)

    def chosen_html(self, user: User, order: Order, refused: Refused | None = None) -> str:
        """The sources of the order, each as it is now. refused: what could not be added to them."""
        found: list[tuple[str, Chosen | str]] = []
        for text in order.sources:
            try:
                found.append((text, data_sources.chosen(self._settings, user, text)))
            except MedChatError as error:
                found.append((text, str(error)))
        return chosen_html(found, order.weights, refused)

    def form_html(self, order: Order) -> str:
        """The form of the order's command, with the order in it."""
        offered = Offered(model_picker.choices(self._app))
        free_name = data_order.free_name(self._settings, order, self._in_line())
        return form_html(form_of(order.command), order, offered, free_name)

    def check_html(self, user: User, order: Order) -> str:
        """What would run, or what is wrong with the order."""
        try:
            checked = self.checked(user, order)
        except MedChatError as error:
            return fault_html(str(error))
        waiting = self._at_work()
        return start_html(
            order, data_order.shown_command(checked.argv, self._settings), checked.out, waiting, checked.leaves,
            verb="Put it in line" if waiting else form_of(order.command).verb, estimates=order.command in ESTIMATED,
        )  # fmt: skip

    def checked(self, user: User, order: Order) -> Checked:
        """The order with its command. Raises MedChatError."""
        return data_order.check(self._settings, self._app.catalogue, user, order, self._in_line())

    def start(self, user: User, order: Order, key: str) -> tuple[str, str]:
        """The id and the name of the job that the order became; of one key there is one job. Raises MedChatError."""
        with self._lock:
            known = self._started.get((user.id, key))
            if known:
                return known, self._app.jobs.view(known).job.name
            checked = self.checked(user, order)
            name = f"{TITLES[order.command]}: {checked.out.name}"
            job_id = self._app.jobs.submit("prepare", name, checked.argv, user.id, checked.variables)
            self._started[user.id, key] = job_id
            while len(self._started) > MOST_KEYS:
                self._started.popitem(last=False)
        return job_id, name

    def cloned(self, run_id: str) -> Order:
        """The order that gives a job again. Raises MedChatError."""
        return data_order.cloned(self._settings, self._app.jobs.view(run_id).job.argv)

    def refined(self, command: str, folder: str) -> Order:
        """An order on a data set, as its command comes. Raises InvalidInput, NotFound."""
        if command not in REFINING:
            raise InvalidInput("There is no such command; reload the page.")
        return Order(command, folder=folder_named(self._settings, folder).name, typed=FIRST_TYPED.get(command, {}))

    def discard(self, run_id: str) -> None:
        """Delete a job, and what it left behind of a data set that it has not written. Raises as Jobs.delete does."""
        out = data_order.out_of(self._app.jobs.view(run_id).job.argv)
        self._app.jobs.delete(run_id)
        others = (data_order.out_of(view.job.argv) for view in self._app.jobs.all())
        is_ours = out is not None and out.parent == folders_dir(self._settings)
        if out is not None and is_ours and out.is_dir() and not is_taken(out) and out not in others:
            shutil.rmtree(out, ignore_errors=True)

    def remove(self, name: str) -> None:
        """Delete a data set with all its files. Raises NotFound, InvalidInput while a job needs it, RunError."""
        folder = folder_named(self._settings, name)
        if users := [view.job.name for view in self._at_work() if str(folder.path) in view.job.argv]:
            raise InvalidInput(f"{users[0]} needs this data set; stop that first.")
        gone = folders_dir(self._settings) / f".{name}.{uuid4().hex}"
        with writing():
            folder.path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def _at_work(self) -> list[JobView]:
        """The jobs that have not ended, in the order in which they are done."""
        views = [view for view in self._app.jobs.all() if view.state.status not in ENDED]
        return sorted(views, key=lambda view: (view.place or 0, view.state.turn))

    def _in_line(self) -> set[str]:
        """The names of the data sets that jobs are going to write."""
        outs = (data_order.out_of(view.job.argv) for view in self._at_work())
        return {out.name for out in outs if out is not None and out.parent == folders_dir(self._settings)}

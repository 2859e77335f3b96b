"""What somebody waits for on the Data tab: a look at a source, an estimate. Each yields HTML."""

from collections.abc import Iterator

from medchat.accounts import User
from medchat.errors import InvalidInput, MedChatError
from medchat.ui import data_form, data_preview, data_sources
from medchat.ui.actions import OUT_OF_DATE, Action
from medchat.ui.common import App
from medchat.ui.data_child import Children, Said
from medchat.ui.data_desk import ESTIMATED, Desk
from medchat.ui.data_estimate import estimate_html
from medchat.ui.data_fields import in_labels
from medchat.ui.data_forms import form_of
from medchat.ui.data_order import HUB_KEY, sent_order

ESTIMATE_S = 300.0


class Waiting:
    """The commands that pages wait for; a page has one look and one question at a time."""

    def __init__(self, app: App, desk: Desk) -> None:
        self._app = app
        self._desk = desk
        self._children = Children(app.settings)

    def look(self, user: User, page_key: str, action: Action) -> Iterator[str]:
        """The first rows of a source."""
        try:
            one = data_sources.chosen(self._app.settings, user, action.text("source"))
            arguments = data_preview.arguments_of(one.text, sent_order(action).typed)
            variables = (HUB_KEY,) if one.is_hub else ()
            page = (user.id, page_key, "look")
            for said in self._children.run(page, arguments, data_preview.TIMEOUT_S, variables):
                if isinstance(said, Said):
                    yield data_preview.preview_html(one.adapter.title, one.place, data_preview.found_in(said.out))
                else:
                    yield data_preview.waiting_html(one.place, said)
        except MedChatError as error:
            yield data_form.fault_html(str(error))

    def ask(self, user: User, page_key: str, action: Action) -> Iterator[str]:
        """What a command would cost. Raises InvalidInput for what has no costs."""
        order = sent_order(action)
        if order.command not in ESTIMATED:
            raise InvalidInput(OUT_OF_DATE)
        try:
            checked = self._desk.checked(user, order)
            arguments = [*checked.argv[1 : checked.argv.index("--run-dir")], "--estimate"]
            for said in self._children.run((user.id, page_key, "ask"), arguments, ESTIMATE_S, checked.variables):
                if isinstance(said, Said):
                    yield estimate_html(in_labels(form_of(order.command), said.out), self._here())
                else:
                    yield _counting_html(said)
        except MedChatError as error:
            yield data_form.fault_html(in_labels(form_of(order.command), str(error)))

    def _here(self) -> set[str]:
        """The models that run on this machine."""
        return {spec.id for spec in self._app.catalogue.values() if not spec.external}

    def stop(self, user: User, page_key: str, what: str) -> None:
        """End what the page waits for. what: "look" or "ask"."""
        self._children.stop((user.id, page_key, what))


def _counting_html(seconds: float) -> str:
    took = f" {seconds:.0f} s" if seconds >= 2 else ""
    return (
        f'<section class="mc-preview" aria-label="Estimate"><p class="mc-checking" role="status">Counting requests…'
        f'{took}</p><div class="mc-form-buttons"><button type="button" class="mc-button" data-do="data-ask-stop" '
        'id="data-ask-stop">Stop</button></div></section>'
    )

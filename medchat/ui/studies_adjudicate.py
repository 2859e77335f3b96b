"""The adjudicator's part of the Studies tab: items on which raters differ, and the decision on each."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from medchat.accounts import User
from medchat.adjudication import Adjudication
from medchat.errors import InvalidInput
from medchat.study_views import DisputedItem
from medchat.ui.actions import OUT_OF_DATE, Action, read_action
from medchat.ui.adjudicate_view import task_html
from medchat.ui.common import App, counted, escape, handler, require
from medchat.ui.studies_layout import StudiesTab

NOTHING = "There is nothing for you to adjudicate: no open study has items on which raters differ, except your own."
ALL_DECIDED = "Every item of this study is decided for now."
SHORT = 90

Updates = dict[Any, Any]


class Adjudicating:
    """The events of one tab; each is for those who may adjudicate."""

    def __init__(self, app: App, tab: StudiesTab) -> None:
        self._app = app
        self._tab = tab
        self._service = Adjudication(app.store, app.catalogue)
        self._acting: dict[str, Callable[[User, Action], Updates]] = {"open": self._open, "decide": self._decide}

    @handler
    def act(self, sent: str | None, page_key: str | None, request: gr.Request) -> Updates:
        """Whatever is pressed on the page, and what is to be shown then."""
        user = require(self._app, request, "adjudicate")
        action = read_action(sent)
        if action.verb not in self._acting:
            raise InvalidInput(OUT_OF_DATE)
        return self._acting[action.verb](user, action)

    def _open(self, user: User, action: Action) -> Updates:
        study = action.text("study")
        return self._task(user, study, action.text("item", "") or self._next(user, study))

    def _decide(self, user: User, action: Action) -> Updates:
        study, item = action.text("study"), action.text("item")
        chosen = action.mapping("chosen")
        decision = _decision(chosen, bool(action.mapping("flags").get("critical")))
        self._service.decide(user.id, study, item, decision, action.text("comment", ""), action.text("key"),
                              action.text("base", ""))  # fmt: skip
        gr.Info("The decision is kept beside the raters’ judgements.")
        return self._task(user, study, self._next(user, study, after=item), saved=f"{study}/{item}")

    def _next(self, user: User, study: str, after: str = "") -> str:
        """The first item that is not decided, behind this one if there is one; "" where all are."""
        items = _in_order(self._service.items(study, user.id))
        place = next((number for number, one in enumerate(items, 1) if one.item_id == after), 0)
        return next((one.item_id for one in (*items[place:], *items[:place]) if not one.decided), "")

    def _task(self, user: User, study: str, item: str, saved: str = "") -> Updates:
        mark = f'<span hidden data-saved="{escape(saved)}"></span>' if saved else ""
        page = task_html(self._service.task(study, item, user.id)) if item else all_decided_html()
        return {self._tab.disputed: listed_html(self._app, user, study, item), self._tab.decision: mark + page}


def _decision(chosen: Mapping[str, Any], critical: bool) -> dict[str, Any]:
    """The decision as the service takes it, out of the radios that are chosen. Raises InvalidInput."""
    if not all(isinstance(value, str) for value in chosen.values()):
        raise InvalidInput(OUT_OF_DATE)
    if "vote" in chosen:
        return {"vote": chosen["vote"]}
    scores = {name.removeprefix("axis-"): value for name, value in chosen.items() if name.startswith("axis-")}
    harm = {name: chosen.get(name, "") for name in ("harm_extent", "harm_likelihood")}
    return {"scores": scores, **harm, "critical": critical}


def listed_html(app: App, user: User, study: str = "", item: str = "") -> str:
    """Studies that have something to decide, and the items of one. item: the one that is shown."""
    service = Adjudication(app.store, app.catalogue)
    studies = [(record, left, done) for record, left, done in service.studies(user.id) if left or done]
    if not studies:
        return f'<p class="mc-note" role="note">{escape(NOTHING)}</p>'
    rows = []
    for record, left, done in studies:
        is_shown = record.id == study
        items = _items_html(record.id, _in_order(service.items(record.id, user.id)), item) if is_shown else ""
        rows.append(
            f'<li{" aria-current=true" if is_shown else ""}><button type="button" data-do="adjudicate-study" '
            f'data-study="{escape(record.id)}" id="adjudicate-study-{escape(record.id)}">'
            f'<span class="mc-name" dir="auto">{escape(record.name)}</span>'
            f'<span class="mc-small">{counted(left, "item")} to decide, {done:,} decided</span></button>{items}</li>'
        )
    return f'<ul class="mc-studies">{"".join(rows)}</ul>'


def _in_order(items: Sequence[DisputedItem]) -> list[DisputedItem]:
    """Those to decide first, else by their random ids: their numbers follow the models."""
    return sorted(items, key=lambda one: (one.decided, one.item_id))


def _items_html(study: str, items: Sequence[DisputedItem], shown: str) -> str:
    rows = "".join(
        f'<li{" aria-current=true" if one.item_id == shown else ""}><button type="button" data-do="adjudicate-open" '
        f'data-study="{escape(study)}" data-item="{escape(one.item_id)}" id="adjudicate-item-{escape(one.item_id)}">'
        f'<span dir="auto">{escape(_short(one.question))}</span>'
        f"{'<span class=mc-badge>decided</span>' if one.decided else ''}"
        f'<span class="mc-small">{escape(_why(one))}</span></button></li>'
        for one in items
    )
    return f'<ul class="mc-items-of">{rows}</ul>'


def _why(one: DisputedItem) -> str:
    waiting = f"{counted(one.waiting, 'rater')} still to judge it" if one.waiting else ""
    return " · ".join(filter(None, (*one.why, f"{counted(one.n_raters, 'rater')}", waiting)))


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHORT else f"{line[: SHORT - 1]}…"


def all_decided_html() -> str:
    """What is shown when nothing is left in a study."""
    return f'<section role="status"><h2 tabindex="-1" id="adjudicate-title">{ALL_DECIDED}</h2></section>'

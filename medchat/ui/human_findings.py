"""People's judgements and what they say of models, for those who may look: the only way of the page and its files."""

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import gradio as gr

from evaluation.human_data import HumanData
from medchat.accounts import User
from medchat.errors import MedChatError
from medchat.store import StudyRecord
from medchat.studies import StudyService
from medchat.study_views import Progress
from medchat.ui.common import App, require
from medchat.ui.human_query import EXAMPLE, Query, narrowed
from medchat.ui.job_views import names_of

if TYPE_CHECKING:
    from evaluation.human import HumanResults

NAMES_RIGHT = "studies"  # to see raters by name


def asker(app: App, request: gr.Request, query: Query, doing: str = "") -> User:
    """Who asks, and may see results; with raters by name where the query wants these. Raises as `require` does."""
    user = require(app, request, "results", doing)
    return require(app, request, NAMES_RIGHT, doing) if query.named else user


class Findings:
    """What raters said, of one app. Every look at a study goes through its `look`, which audits."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._studies = StudyService(app.store, app.catalogue, app.jobs, app.settings)

    def studies(self) -> list[StudyRecord]:
        """Those that were opened, the newest first."""
        return [record for record in self._app.store.studies() if record.opened_at is not None]

    def first_source(self) -> str:
        """What is shown to somebody who has chosen nothing yet: the newest closed study, else all ratings."""
        return next((record.id for record in self.studies() if record.status == "closed"), Query().source)

    def look(self, user: User, query: Query) -> None:
        """Returns when the user may see the results now. Raises NotAllowed before a study's time, NotFound."""
        if query.study_id:
            self._studies.look(query.study_id, user.id)

    def data(self, user: User, query: Query) -> HumanData:
        """All judgements that may be seen, before any filter; raters are numbered. Raises as `look` does."""
        self.look(user, query)
        if query.source == EXAMPLE:
            return _example()
        from evaluation.human_source import from_store

        return from_store(self._app.store, query.study_id or None, self._app.settings)

    def fitting(self, user: User, query: Query) -> HumanData:
        """The judgements that fit the query. Raises InvalidInput for days that are none, and as `look` does."""
        return narrowed(self.data(user, query), query)

    def with_names(self, results: "HumanResults") -> "HumanResults":
        """The same with the raters' names, for a user who has NAMES_RIGHT."""
        known = names_of(self._app.store.users())
        names = {rater: known.get(rater, name) for rater, name in results.raters.items()}
        rows = tuple(replace(row, name=names.get(row.rater, row.name)) for row in results.rater_rows)
        return replace(results, raters=names, rater_rows=rows)

    def progress(self, query: Query) -> Progress | None:
        """How far the raters of the study are, never by model; None where it is no study."""
        return self._studies.progress(query.study_id) if query.study_id else None

    def status(self, query: Query) -> str:
        """Of the study, "" where it is none or is gone."""
        if not query.study_id:
            return ""
        try:
            return self._app.store.study(query.study_id).status
        except MedChatError:
            return ""


@lru_cache(maxsize=1)
def _example() -> HumanData:
    from evaluation.example_study import example_study

    return example_study()

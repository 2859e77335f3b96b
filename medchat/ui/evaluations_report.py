"""The report on evaluations as one file: /evaluations/report.html?id=..., for those who may see results."""

from typing import Annotated, cast

import gradio as gr
from fastapi import FastAPI, Query, Request
from fastapi.responses import PlainTextResponse, Response

from medchat.errors import InvalidInput, MedChatError, NotFound, StoreError
from medchat.knowledge import load_knowledge
from medchat.ui.common import App, require
from medchat.ui.evaluations_data import entries_of

MOST = 24
STATUSES = {NotFound: 404, InvalidInput: 400, StoreError: 503}


def add_routes(web: FastAPI, app: App) -> None:
    """Serves the reports from `web`."""

    @web.get("/evaluations/report.html")
    def report(request: Request, id: Annotated[list[str] | None, Query()] = None, save: bool = False) -> Response:
        try:
            require(app, cast("gr.Request", request), "results", "report on evaluations")
            page = _page(app, id or [])
        except MedChatError as error:
            status = next((code for kind, code in STATUSES.items() if isinstance(error, kind)), 403)
            return PlainTextResponse(f"{error}\n", status)
        kept = {"content-disposition": 'attachment; filename="medchat-report.html"'} if save else {}
        return Response(page, media_type="text/html; charset=utf-8", headers=kept)


def _page(app: App, ids: list[str]) -> str:
    from evaluation.report_blocks import to_html
    from medchat.ui.evaluations_comparison import report_of  # the app starts without it

    if len(ids) > MOST:
        raise InvalidInput(f"A report takes at most {MOST} evaluations.")
    grounder = app.grounding.get(0)
    return to_html(report_of(app, entries_of(app, ids), grounder.knowledge if grounder else load_knowledge()))

"""The report of a data set as /data/report.html?set=NAME, and its rows as /data/rows?set=NAME&file=NAME."""

from typing import cast
from urllib.parse import quote

import gradio as gr
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response

from medchat.accounts import EXPORTED
from medchat.errors import InvalidInput, MedChatError, NotFound, StoreError
from medchat.ui.common import App, address_of, escape, require
from medchat.ui.data_folders import PAGE, Folder, folder_named

STATUSES: dict[type[MedChatError], int] = {NotFound: 404, InvalidInput: 400, StoreError: 503}
NO_PAGE = "This data set has no report that could be opened."
NO_FILE = "This data set has no such file."


def add_routes(web: FastAPI, app: App) -> None:
    """Serves the reports from `web`, to those who may prepare data."""

    @web.get("/data/report.html")
    def report(request: Request, set: str = "", save: bool = False) -> Response:
        try:
            require(app, cast("gr.Request", request), "data", "report on data")
            folder = folder_named(app.settings, set)
            try:
                page = (folder.path / PAGE).read_bytes()
            except OSError as error:
                raise NotFound(NO_PAGE) from error
        except MedChatError as error:
            return _refused(error)
        kept = {"content-disposition": f'attachment; filename="{folder.name}-report.html"'} if save else {}
        return Response(page, media_type="text/html; charset=utf-8", headers=kept)

    @web.get("/data/rows")
    def rows(request: Request, set: str = "", file: str = "") -> Response:
        try:
            user = require(app, cast("gr.Request", request), "data", "rows of data")
            folder = folder_named(app.settings, set)
            path = next((path for path in folder.files if path.name == file), None)
            if path is None:
                raise NotFound(NO_FILE)
        except MedChatError as error:
            return _refused(error)
        details = {"what": "rows of a data set", "file": path.name}
        app.accounts.note(user.id, EXPORTED, folder.name, details, address_of(app, cast("gr.Request", request)))
        return FileResponse(path, media_type="application/octet-stream", filename=f"{folder.name}-{path.name}")


def _refused(error: MedChatError) -> Response:
    status = next((code for kind, code in STATUSES.items() if isinstance(error, kind)), 403)
    return PlainTextResponse(f"{error}\n", status)


def links_html(folder: Folder) -> str:
    """The ways to the report; nothing where there is none."""
    if not folder.has_page:
        return ""
    address = escape(f"/data/report.html?set={quote(folder.name)}")
    return (
        f'<a class="mc-button" id="data-report" href="{address}" target="_blank" rel="noopener">Open the report</a>'
        f'<a class="mc-button" id="data-report-save" href="{address}&amp;save=1" download>Download the report</a>'
    )


def files_html(folder: Folder) -> str:
    """The ways to the files of rows, folded."""
    items = "".join(
        f'<li><a href="{escape(f"/data/rows?set={quote(folder.name)}&file={quote(file.name)}")}" download>'
        f"{escape(file.name)}</a></li>"
        for file in folder.files
    )
    return (
        '<details class="mc-fold" data-key="data-files"><summary id="data-files-summary">Download the rows</summary>'
        f'<ul class="mc-tally">{items}</ul></details>'
    )

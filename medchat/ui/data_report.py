"""What the report of a data set says: its headline numbers on the page, and the whole as /data/report.html?set=NAME."""

from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote

import gradio as gr
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response

from medchat.errors import InvalidInput, MedChatError, NotFound, StoreError
from medchat.ui.common import App, counted, escape, require
from medchat.ui.data_folders import PAGE, Folder, folder_named

STATUSES = {NotFound: 404, InvalidInput: 400, StoreError: 503}
NO_PAGE = "This data set has no report that could be opened."
MOST_RULES = 8


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
            status = next((code for kind, code in STATUSES.items() if isinstance(error, kind)), 403)
            return PlainTextResponse(f"{error}\n", status)
        kept = {"content-disposition": f'attachment; filename="{folder.name}-report.html"'} if save else {}
        return Response(page, media_type="text/html; charset=utf-8", headers=kept)


def links_html(folder: Folder) -> str:
    """The ways to the report; nothing where there is none."""
    if not folder.has_page:
        return ""
    address = escape(f"/data/report.html?set={quote(folder.name)}")
    return (
        f'<a class="mc-button" id="data-report" href="{address}" target="_blank" rel="noopener">Open the report</a>'
        f'<a class="mc-button" id="data-report-save" href="{address}&amp;save=1" download>Download it</a>'
    )


def headline_html(folder: Folder) -> str:
    """The numbers that are looked at first."""
    report = folder.report
    if not report:
        return '<p class="mc-small">There is no report with it: it was not made by MedChat, or is being written.</p>'
    return _tiles(folder) + _dropped(report) + _flags(report) + _sources(report) + _notes(report)


def rows_words(folder: Folder) -> str:
    """How many rows each split has."""
    found = [f"{n:,} {name}" for name, n in folder.rows.items() if n or name == "train"]
    return " · ".join(found) if found else counted(len(folder.files), "file")


def _tiles(folder: Folder) -> str:
    report = folder.report
    named = [
        ("Rows in", report.get("rows_in")),
        ("Kept", report.get("kept")),
        ("Dropped", _total(report.get("dropped"))),
    ]
    named += [(name.capitalize(), n) for name, n in folder.rows.items()]
    tiles = "".join(
        f'<div class="mc-tile"><dt>{escape(name)}</dt><dd>{n:,}</dd></div>'
        for name, n in named
        if isinstance(n, int) and not isinstance(n, bool)
    )
    return f'<dl class="mc-tiles">{tiles}</dl>' if tiles else ""


def _total(value: object) -> object:
    """A number as it is; of numbers by rule their sum."""
    return sum(n for n in value.values() if isinstance(n, int)) if isinstance(value, Mapping) else value


def _dropped(report: Mapping[str, Any]) -> str:
    rules = report.get("rules")
    if not isinstance(rules, Mapping):
        return ""
    counts = {str(name): row.get("n", 0) for name, row in rules.items() if isinstance(row, Mapping)}
    ranked = sorted(((n, name) for name, n in counts.items() if n), key=lambda item: (-item[0], item[1]))
    if not ranked:
        return ""
    items = "".join(f"<li>{escape(name)} <strong>{n:,}</strong></li>" for n, name in ranked[:MOST_RULES])
    more = (
        f"<li>{counted(len(ranked) - MOST_RULES, 'further rule')}: see the report</li>" if ranked[MOST_RULES:] else ""
    )
    return f'<h4>Dropped, by rule</h4><ul class="mc-tally">{items}{more}</ul>'


def _flags(report: Mapping[str, Any]) -> str:
    flags = report.get("flags")
    if not isinstance(flags, Mapping):
        return ""
    items = "".join(
        f"<li>{escape(str(name))} <strong>{n:,}</strong></li>"
        for name, row in flags.items()
        if isinstance(n := row.get("n") if isinstance(row, Mapping) else row, int) and n
    )
    return f'<h4>Flags</h4><ul class="mc-tally">{items}</ul>' if items else ""


def _sources(report: Mapping[str, Any]) -> str:
    found = report.get("sources")
    rows = [row for row in found if isinstance(row, Mapping)] if isinstance(found, list) else []
    lines = "".join(
        f'<tr><th scope="row">{escape(str(row.get("title") or row.get("adapter") or ""))}</th>'
        f"{''.join(_number(name, row.get(key)) for name, key in _COLUMNS.items())}"
        f'<td data-label="Licence">{escape(_licences(row.get("licences")))}</td></tr>'
        for row in rows
    )
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("Source", *_COLUMNS, "Licence"))
    return (
        f'<h4>Sources</h4><div class="mc-table-box" tabindex="0" role="region" aria-label="Sources"><table '
        f'class="mc-table mc-small-table"><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>'
        if lines
        else ""
    )


_COLUMNS = {"Rows in": "rows_in", "Kept": "kept", "Unlabelled": "unlabelled", "Dropped": "dropped"}


def _number(name: str, value: object) -> str:
    n = _total(value)
    return f'<td class="mc-number" data-label="{name}">{n:,}</td>' if isinstance(n, int) else "<td>–</td>"


def _licences(value: object) -> str:
    return ", ".join(str(name) for name in value) if isinstance(value, Mapping) else ""


def _balance(balance: object) -> list[str]:
    """What stands in the mix, and which rows were used more than once for it."""
    if not isinstance(balance, Mapping):
        return []
    told = []
    after = balance.get("after")
    if isinstance(after, Mapping):
        groups = [f"{n:,} {name}" for name, n in after.items() if isinstance(n, int)]
        told.append(f"To train on: {', '.join(groups)}.")
    for row in balance.get("upsampled") or ():
        if isinstance(row, Mapping) and isinstance(row.get("copies"), int | float):
            told.append(f"Rows of {row.get('source')} are used {row['copies']:.1f} times each, for the balance.")
    return told


def _notes(report: Mapping[str, Any]) -> str:
    duplicates, leaks = report.get("duplicates"), report.get("leaks")
    told = []
    if isinstance(duplicates, Mapping):
        n = sum(int(duplicates.get(kind) or 0) for kind in ("same", "near"))
        told.append(f"{counted(n, 'repeated or nearly repeated row')} left out.")
    if isinstance(leaks, Mapping):
        n = sum(n for n in leaks.values() if isinstance(n, int))
        told.append(f"{counted(n, 'row')} of evaluation suites left out.")
    told += _balance(report.get("balance"))
    return "".join(f'<p class="mc-small">{escape(line)}</p>' for line in told)

"""The report on people's judgements and its tables and plots as files: /human/..., for those who may see results."""

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast

import gradio as gr
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response

from evaluation.human_data import HumanData
from medchat.accounts import EXPORTED
from medchat.errors import InvalidInput, MedChatError, NotFound, StoreError
from medchat.ui.common import App, address_of, escape
from medchat.ui.files import file_name
from medchat.ui.human_analyses import ANALYSES, Analyses
from medchat.ui.human_findings import Findings, asker
from medchat.ui.human_query import Query, query_of

if TYPE_CHECKING:
    from evaluation.human import HumanResults

STATUSES = {NotFound: 404, InvalidInput: 400, StoreError: 503}
MEDIA = {
    "html": "text/html; charset=utf-8", "md": "text/markdown; charset=utf-8", "csv": "text/csv; charset=utf-8",
    "json": "application/json", "svg": "image/svg+xml", "zip": "application/zip",
    "parquet": "application/vnd.apache.parquet",
}  # fmt: skip
TABLE_NAMES = {
    "ranking": "Ranking", "votes": "Votes by pair", "axes": "Axes", "vote_axes": "Axes of the votes",
    "distributions": "Answers by axis", "cannot_rate": "Cannot rate", "harm": "Harm", "differences": "Differences",
    "agreement": "Agreement", "rater_pairs": "Kappa by pair of raters", "raters": "Raters", "steps": "Steps",
    "automatic": "Automatic metrics", "corrections": "Corrections", "cases": "Cases", "trend": "Over time",
    "judgements": "Every judgement",
}  # fmt: skip
NONE = "There is no such file; open the Results tab for those that there are."
NOTHING_JUDGED = "Nothing was judged that fits, so there is nothing to download."


def add_routes(web: FastAPI, app: App, analyses: Analyses = ANALYSES) -> None:
    """Serves the files from `web`."""
    findings = Findings(app)

    @web.get("/human/{name:path}")
    def human_file(name: str, request: Request) -> Response:
        asking = cast("gr.Request", request)
        query = query_of(request.query_params)
        try:
            user = asker(app, asking, query, "report on human evaluation")
            data = findings.fitting(user, query)
            if not data.ratings and not data.votes:
                raise InvalidInput(NOTHING_JUDGED)
            results = analyses.results(data)
            findings.look(user, query)  # it may have taken a while
            content = content_of(name, findings.with_names(results) if query.named else results, data)
            app.accounts.note(user.id, EXPORTED, query.source, {"file": name}, address_of(app, asking))
        except MedChatError as error:
            status = next((code for kind, code in STATUSES.items() if isinstance(error, kind)), 403)
            return PlainTextResponse(f"{error}\n", status)
        return Response(content, media_type=MEDIA[_kind(name)], headers=_headers(name, results.title, request))


def content_of(name: str, results: "HumanResults", data: HumanData) -> bytes:
    """The file of this name; raises NotFound where there is none.

    report.html, report.md, results.json, all.zip, tables/NAME.csv, tables/NAME.parquet, plots/NAME.svg.
    """
    from evaluation.human_judgements import JUDGEMENTS, judgement_rows
    from evaluation.human_plots import all_plots
    from evaluation.human_report import write_report
    from evaluation.human_tables import tables_of, write_tables

    folder, _, own = name.rpartition("/")
    stem = Path(own).stem
    if folder == "plots" and _kind(name) == "svg":
        for plot in all_plots(results):
            if plot.name == stem:
                return plot.file().encode("utf-8", "replace")
    elif folder == "tables" and _kind(name) in ("csv", "parquet"):
        rows = judgement_rows(results, data) if stem == JUDGEMENTS else tables_of(results).get(stem)
        if rows:
            return _written(lambda out: write_tables({stem: rows}, out), own)
    elif name in ("report.html", "report.md", "results.json"):
        return _written(lambda out: write_report(results, data, out), name)
    elif name == "all.zip":
        return _zipped(results, data)
    raise NotFound(NONE)


def files_html(results: "HumanResults", query: Query) -> str:
    """Ways to the report, and to all tables and plots."""
    from evaluation.human_judgements import JUDGEMENTS
    from evaluation.human_plots import all_plots
    from evaluation.human_tables import tables_of

    tables = "".join(
        f"<li>{escape(TABLE_NAMES.get(name, name))}: {_link(f'tables/{name}.csv', 'CSV', query)}, "
        f"{_link(f'tables/{name}.parquet', 'Parquet', query)}</li>"
        for name in (*tables_of(results), JUDGEMENTS)
    )
    plots = "".join(
        f"<li>{escape(plot.caption)}: {_link(f'plots/{plot.name}.svg', 'SVG', query)}</li>"
        for plot in all_plots(results)
    )
    report = f"/human/report.html?{query.address}"
    return (
        f'<a class="mc-button" id="human-report" href="{escape(report)}" target="_blank" rel="noopener">'
        "Open the report</a>"
        '<details class="mc-human-files"><summary class="mc-button" id="human-files">Download…</summary><div>'
        f"<ul><li>Report: {_link('report.html', 'HTML', query)}, {_link('report.md', 'Markdown', query)}</li>"
        f"<li>All figures: {_link('results.json', 'JSON', query)}</li>"
        f"<li>Report, tables and plots: {_link('all.zip', 'ZIP', query)}</li></ul>"
        f"<h4>Tables</h4><ul>{tables}</ul><h4>Plots</h4><ul>{plots}</ul></div></details>"
    )


def _link(name: str, words: str, query: Query) -> str:
    address = f"/human/{name}?{query.address}&save=1"
    return f'<a href="{escape(address)}" download>{words}</a>'


def _kind(name: str) -> str:
    kind = name.rpartition(".")[2]
    if kind not in MEDIA:
        raise NotFound(NONE)
    return kind


def _headers(name: str, title: str, request: Request) -> Mapping[str, str]:
    if not request.query_params.get("save"):
        return {}
    own = name.rpartition("/")[2]
    return {"content-disposition": f'attachment; filename="{file_name(title)}-{own}"'}


def _written(write: Callable[[Path], object], name: str) -> bytes:
    with TemporaryDirectory(prefix="medchat-report-") as folder:
        write(Path(folder))
        return (Path(folder) / name).read_bytes()


def _zipped(results: "HumanResults", data: HumanData) -> bytes:
    from evaluation.human_report import write_report

    packed = io.BytesIO()
    with (
        TemporaryDirectory(prefix="medchat-report-") as folder,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as z,
    ):
        for path in write_report(results, data, Path(folder)):
            z.write(path, path.relative_to(folder))
    return packed.getvalue()

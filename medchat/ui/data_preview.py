"""The first rows of a source as HTML: each as its file has it, beside what becomes of it."""

import json
from collections.abc import Mapping
from typing import Any

from medchat.errors import InvalidInput
from medchat.ui.common import counted, escape
from medchat.ui.data_fields import arguments, checked
from medchat.ui.data_forms import TITLES, form_of
from medchat.ui.data_rows import example_html

TIMEOUT_S = 120.0
OPEN = 2  # rows that are not folded
GIST_CHARS = 90
READING = ("dialogues", "choices", "abstracts", "languages")  # settings that a preview follows


def arguments_of(source: str, typed: Mapping[str, str]) -> list[str]:
    """The command that looks at the source. typed: the settings of the form. Raises InvalidInput."""
    form = form_of("prepare")
    given = checked(form, {name: typed[name] for name in READING if name in typed})
    return ["-m", "train.preview", *arguments(form, given), "--", source]


def found_in(said: str) -> dict[str, Any]:
    """What the command printed. Raises InvalidInput for what is no preview."""
    try:
        found = json.loads(said)
    except ValueError as error:
        raise InvalidInput("The preview of this source cannot be shown; its command printed something else.") from error
    if not isinstance(found, dict):
        raise InvalidInput("The preview of this source cannot be shown; its command printed something else.")
    return found


def waiting_html(place: str, seconds: float) -> str:
    """What stands there while it is read, with the way to stop it."""
    took = f" {seconds:.0f} s" if seconds >= 2 else ""
    return (
        f'<section class="mc-preview" aria-label="Preview"><p class="mc-checking" role="status">Reading the first rows '
        f'of {escape(place)}…{took}</p><div class="mc-form-buttons"><button type="button" class="mc-button" '
        'data-do="data-look-stop" id="data-look-stop">Stop reading</button></div></section>'
    )


def preview_html(title: str, place: str, found: Mapping[str, Any]) -> str:
    """The whole preview."""
    rows = "".join(_row_html(row, is_open=number < OPEN) for number, row in enumerate(found["rows"]))
    lost = "".join(_row_html(row, is_open=False) for row in found["lost"])
    further = f'<h4>Further rows that give nothing</h4><ol class="mc-raw-rows">{lost}</ol>' if lost else ""
    return (
        '<section class="mc-preview" aria-labelledby="data-preview-title">'
        f'<div class="mc-titled"><h3 id="data-preview-title" tabindex="-1">Preview: {escape(title)}</h3>'
        '<button type="button" class="mc-button" data-do="data-look-close" id="data-look-close">Close</button></div>'
        f'<p class="mc-small" dir="auto">{escape(place)}</p>{_counts_html(found)}'
        f'<ol class="mc-raw-rows">{rows}</ol>{further}</section>'
    )


def _counts_html(found: Mapping[str, Any]) -> str:
    scanned = int(found["scanned"])
    if not scanned:
        return '<p class="mc-fault" role="alert">There is no row in it.</p>'
    n_dropped = sum(found["dropped"].values())
    all_of = f"All {counted(scanned, 'row')}" if found["is_whole"] else f"The first {counted(scanned, 'row')}"
    told = f"{all_of} of the source: {counted(found['kept'], 'row')} kept"
    told += f", {found['unlabelled']:,} without an answer" if found["unlabelled"] else ""
    told += f", {n_dropped:,} dropped." if n_dropped else ", none dropped."
    lists = "".join(
        f'<p class="mc-small">{words}: {escape(_tally(found[kind]))}</p>'
        for kind, words in (("dropped", "Dropped"), ("repaired", "Repaired"))
        if found[kind]
    )
    later = (
        "Repeated rows and questions of evaluation suites are only known once all of it is prepared. Identifiers of "
        f"patients are not looked for here: “{TITLES['quality']}” does that with the data set."
    )
    return f'<p role="status"><strong>{escape(told)}</strong></p>{lists}<p class="mc-small">{later}</p>'


def _tally(counts: Mapping[str, int]) -> str:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return " · ".join(f"{reason} {n:,}" for reason, n in ranked)


def _row_html(row: Mapping[str, Any], *, is_open: bool) -> str:
    where = escape(row["where"])
    raw = (
        f'<pre class="mc-code mc-raw" tabindex="0" role="region" aria-label="As the file has it: {where}" dir="auto">'
        f"{escape(row['raw'])}</pre>"
        if row["raw"]
        else '<p class="mc-small">It cannot be read as a row.</p>'
    )
    opened, label = " open" if is_open else "", f"{where}: what becomes of it"
    came = "".join(_came_html(one) for one in row["came"]) or '<p class="mc-small">Nothing becomes of it.</p>'
    return (
        f'<li><details{opened}><summary class="mc-where"><span dir="auto">{where}</span> <span class="mc-small" '
        f'dir="auto">{escape(_gist(row))}</span></summary><div class="mc-two"><div class="mc-one">'
        f'<h5>As the file has it</h5>{raw}</div><div class="mc-one"><h5>What becomes of it</h5>'
        f'<div class="mc-came-all" tabindex="0" role="region" aria-label="{label}">{came}</div></div></div>'
        "</details></li>"
    )


def _gist(row: Mapping[str, Any]) -> str:
    """The row in a line, for while it is folded."""
    one = next(iter(row["came"]), None)
    if one is None:
        return "nothing becomes of it"
    if one["dropped"]:
        return f"dropped: {one['dropped']}"
    question = " ".join(str(one["example"]["question"]).split()) if one["example"] else ""
    return question if len(question) <= GIST_CHARS else f"{question[:GIST_CHARS].rstrip()}…"


def _came_html(one: Mapping[str, Any]) -> str:
    dropped, repaired = str(one["dropped"]), one["repaired"]
    detail = f": {one['detail']}" if one["detail"] else ""
    told = (
        f'<p class="mc-drop"><span class="mc-badge mc-outside">Dropped</span> {escape(dropped)}{escape(detail)}</p>'
        if dropped
        else ""
    )
    if repaired:
        told += f'<p class="mc-small">Repaired: {escape(", ".join(repaired))}</p>'
    return f'<div class="mc-came">{told}{example_html(one["example"]) if one["example"] else ""}</div>'

"""The sources as HTML: every kind that can be read with what is needed to get it, and those that were chosen."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from uuid import uuid4

from medchat.ui.common import escape
from medchat.ui.data_sources import Chosen
from medchat.uploads import MAX_BYTES

if TYPE_CHECKING:
    from train.adapters import Adapter

GROUPS = {"knowledge": "knowledge", "conversation": "conversations"}
UNTRIED = "never run on real files"
OWNER_NAME = "OWNER/NAME"  # what stands in a field for the Hub where no data set is known
OWN_WORDS = "a file of your own my own files data"  # by which one's own formats are found too
OWN_ROWS = {  # a row of each, as it may stand in a file of one's own
    "qca": """{"question": "When is a fever an emergency?", "answer": "With a stiff neck, a rash or confusion."}""",
    "examples": """{"question": "When is a fever an emergency?", "answer": null, "id": "f1", "source": "ward 3"}""",
}
OWN_FIRST = tuple(OWN_ROWS)
NONE_CHOSEN = "No source yet. Open one below, then upload a file, name a path or take it from the Hub."


def catalogue_html(adapters: Mapping[str, "Adapter"], paths: Sequence[str], *, owner: str, names_any_path: bool) -> str:
    """All kinds of sources, which data.js searches. paths: what the fields for a path offer. owner: the reader's id."""
    offered = "".join(f'<option value="{escape(path)}"></option>' for path in paths)
    names = [*(name for name in OWN_FIRST if name in adapters), *(name for name in adapters if name not in OWN_FIRST)]
    rows = "".join(_adapter_html(name, adapters[name], names_any_path) for name in names)
    return (
        f'<h3 id="data-kinds" data-owner="{escape(owner)}">Add a source</h3>'
        '<label class="mc-label mc-kind-search"><span class="mc-vh">Search the '
        'kinds of sources</span><input type="search" id="data-kind-search" autocomplete="off" '
        'placeholder="Search: name, licence, “csv”, “my own”…"></label>'
        '<p class="mc-small" id="data-kinds-told" role="status"></p>'
        f'<ul class="mc-kinds-list" aria-labelledby="data-kinds">{rows}</ul>'
        f'<datalist id="data-paths">{offered}</datalist>'
    )


class Refused(NamedTuple):
    """What could not be added. field: the id of where it was typed."""

    field: str
    why: str


def chosen_html(
    chosen: Iterable[tuple[str, Chosen | str]], weights: Mapping[str, str], refused: Refused | None = None
) -> str:
    """The chosen sources; one that cannot be read any more comes with why. refused: data.js puts it to its field."""
    rows = "".join(_chosen_html(number, text, one, weights) for number, (text, one) in enumerate(chosen))
    fault = (
        f'<span hidden data-fault-for="{escape(refused.field)}" data-made="{uuid4().hex}">{escape(refused.why)}</span>'
        if refused
        else ""
    )
    return fault + (
        f'<ul class="mc-chosen" id="data-chosen-list" data-made="{uuid4().hex}">{rows}</ul>'
        if rows
        else f'<p class="mc-note" role="note">{NONE_CHOSEN}</p>'
    )


def _adapter_html(name: str, adapter: "Adapter", names_any_path: bool) -> str:
    marks = [GROUPS.get(adapter.group, adapter.group), adapter.licence or "each row names its licence"]
    if adapter.own:
        marks.insert(0, "a file of your own")
    badges = " ".join(f'<span class="mc-badge">{escape(mark)}</span>' for mark in marks)
    if not adapter.tried and not adapter.own:
        badges += f' <span class="mc-badge mc-outside">{UNTRIED}</span>'
    about = (name, adapter.title, adapter.licence, *marks, adapter.needs, *adapter.suffixes)
    words = escape(" ".join((*about, OWN_WORDS if adapter.own else "")).casefold())
    row = OWN_ROWS.get(name, "")
    example = (
        f'<div><p class="mc-small">One row of it, as JSONL; a CSV file has the same names in its first line:</p>'
        f'<pre class="mc-code" tabindex="0" role="region" aria-label="Example of a row">{escape(row)}</pre></div>'
        if row
        else ""
    )
    home = (
        f' · <a href="{escape(adapter.home)}" target="_blank" rel="noopener noreferrer">Home page</a>'
        if adapter.home.startswith("https://")
        else ""
    )
    note = f'<p class="mc-small">Note: {escape(adapter.note)}.</p>' if adapter.note else ""
    return (
        f'<li data-words="{words}"><details data-key="data-kind-{escape(name)}"><summary id="data-kind-{escape(name)}">'
        f'<span class="mc-name">{escape(adapter.title)}</span> <span class="mc-kind-marks">{badges}</span></summary>'
        f'<p class="mc-small">What it takes: {escape(adapter.needs)}{home} · <code>{escape(name)}</code></p>{note}'
        f'{example}<div class="mc-kind-ways">{_ways_html(name, adapter, names_any_path)}</div></details></li>'
    )


def _ways_html(name: str, adapter: "Adapter", names_any_path: bool) -> str:
    shown, suffixes = escape(name), ",".join(adapter.suffixes)
    told = "A path on this machine" if names_any_path else "A path on the server, in a folder that may be read"
    ways = (
        f'<div class="mc-way"><label class="mc-label" for="data-path-{shown}">{told}</label><div class="mc-inline">'
        f'<input type="text" id="data-path-{shown}" list="data-paths" spellcheck="false" autocomplete="off" '
        f'placeholder="/folder/or/file" data-path="{shown}"><button type="button" class="mc-button" '
        f'data-do="data-path" data-adapter="{shown}" id="data-add-path-{shown}">Add</button></div></div>'
        f'<div class="mc-way"><span class="mc-label">A file of yours</span><div class="mc-inline">'
        f'<button type="button" class="mc-button" data-do="data-upload" data-adapter="{shown}" '
        f'data-accept="{escape(suffixes)}" id="data-upload-{shown}">Upload…</button><span class="mc-small">'
        f"{escape(' '.join(adapter.suffixes))}, at most {MAX_BYTES / 1e6:.0f} MB; larger ones by their path"
        "</span></div></div>"
    )
    if not adapter.may_be_fetched:
        return ways
    repo = escape(adapter.hub.repo if adapter.hub else OWNER_NAME)
    return ways + (
        f'<div class="mc-way"><label class="mc-label" for="data-hub-{shown}">From the Hugging Face Hub</label>'
        f'<div class="mc-inline"><input type="text" id="data-hub-{shown}" spellcheck="false" autocomplete="off" '
        f'placeholder="{repo}" data-hub="{shown}"><button type="button" class="mc-button" data-do="data-hub" '
        f'data-adapter="{shown}" id="data-add-hub-{shown}">Add</button></div></div>'
    )


def _chosen_html(number: int, text: str, one: Chosen | str, weights: Mapping[str, str]) -> str:
    if isinstance(one, str):
        name, place, told = text.partition("=")[0], text.partition("=")[2], one
        facts = f'<span class="mc-fault" role="note">{escape(told)}</span>'
        preview = ""
    else:
        name, place = one.adapter.title, one.place
        facts = f'<span class="mc-small">{escape(one.adapter.licence or "each row names its licence")}</span>'
        preview = (
            f'<button type="button" class="mc-button" data-do="data-look" data-source="{escape(text)}" '
            f'data-hub-source="{"yes" if one.is_hub else ""}" id="data-look-{number}" '
            f'aria-label="Preview: {escape(name)}">Preview</button>'
        )
    return (
        f'<li data-source="{escape(text)}"><div class="mc-chosen-what"><span class="mc-name">{escape(name)}</span> '
        f'{facts}<span class="mc-small mc-place" dir="auto">{escape(place)}</span></div>'
        f'<label class="mc-label mc-weight">Weight<input type="text" inputmode="decimal" data-weight="{escape(text)}" '
        f'id="data-weight-{number}" value="{escape(weights.get(text, ""))}" placeholder="1" '
        f'title="How often its rows are taken within its group"></label>'
        f'<div class="mc-form-buttons">{preview}<button type="button" class="mc-button" data-do="data-drop" '
        f'data-source="{escape(text)}" id="data-drop-{number}" aria-label="Take off: {escape(name)}">Take off</button>'
        "</div></li>"
    )

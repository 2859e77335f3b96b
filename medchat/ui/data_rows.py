"""Rows of data as HTML: pure functions to escaped text."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from medchat.ui.common import counted, escape
from medchat.ui.data_browse import Asked, Found, Page
from medchat.ui.data_folders import HELD

CLIPPED_CHARS = 1200
ALL_CHARS = 60_000
NAMES = {
    "train": "train",
    "validation": "validation",
    "test": "test",
    "unlabelled": "unlabelled",
    "dpo": "preference pairs",
    HELD: "held back",
}
KINDS = {"free": "open question", "mcq": "multiple choice", "calc": "calculation", "diagnosis": "diagnosis"}


def example_html(row: Mapping[str, Any]) -> str:
    """A row with its parts in the order in which a model meets them; long texts are folded."""
    badges = "".join(f'<span class="mc-badge">{escape(fact)}</span> ' for fact in _facts(row))
    parts = [
        ("Context", row.get("context")),
        ("Question", row.get("question")),
        ("Options", _options(row.get("options"))),
        ("Reasoning", row.get("rationale")),
        ("Answer", row.get("answer")),
    ]
    shown = "".join(_part_html(name, str(text)) for name, text in parts if text)
    missing = "" if row.get("answer") else '<p class="mc-small">No answer: it goes to unlabelled.</p>'
    return f'<p class="mc-badges">{badges}</p>{shown}{missing}'


def _facts(row: Mapping[str, Any]) -> list[str]:
    """What the row is, each fact with its name."""
    named = {name: str(row.get(name) or "") for name in ("kind", "split", "source", "licence")}
    return [
        KINDS.get(text, text) if name == "kind" else f"{name}: {NAMES.get(text, text)}"
        for name, text in named.items()
        if text
    ]


def browse_html(asked: Asked, page: Page, *, choices: Mapping[str, Sequence[str]], n_held: int = 0) -> str:
    """The search with what it has found. choices: what each filter offers beside everything.

    n_held: rows with the flag that is looked for which are held back.
    """
    rows = "".join(_found_html(found, number) for number, found in enumerate(page.rows))
    listed = f'<ol class="mc-rows" start="1">{rows}</ol>' if rows else ""
    return (
        f'{search_html(asked, choices)}<div class="mc-found" id="data-found" data-cursor="{escape(page.cursor)}">'
        f"{_told(page, asked, n_held)}{listed}{_ways(page)}</div>"
    )


def search_html(asked: Asked, choices: Mapping[str, Sequence[str]]) -> str:
    """The fields of the search."""
    words = {"split": "Split", "source": "Source", "flag": "Flag"}
    selects = "".join(
        _select(name, label, choices.get(name, ()), getattr(asked, name))
        for name, label in words.items()
        if choices.get(name)
    )
    return (
        '<h3 id="data-rows-title">Rows</h3><form id="data-search" class="mc-search-form" role="search" '
        'aria-label="Rows of this data set">'
        f'<label class="mc-label mc-search-text">Search<input type="search" name="text" id="data-search-text" '
        f'value="{escape(asked.text)}" placeholder="Words of question, context or answer" maxlength="200"></label>'
        f'{selects}<button type="submit" class="mc-button mc-primary" id="data-search-go">Search</button></form>'
    )


def _told(page: Page, asked: Asked, n_held: int) -> str:
    n = counted(len(page.rows), "row")
    if page.rows and page.next:
        told = f"{_counted(page)}{n} on this page."
    elif page.rows:
        told = f"{n}; that is the last page."
    elif page.next:
        told = "Nothing found so far."
    else:
        told = "No row fits. Search for fewer words, or take a filter off."
        if n_held and asked.split not in ("", HELD):
            told += f" {counted(n_held, 'row')} with this flag {'is' if n_held == 1 else 'are'} held back for review: "
            told += f"choose the split “{NAMES[HELD]}”."
    is_on_the_way = page.next and page.is_search and not page.more and not page.knows_more
    read = f" {page.share:.0%} of the rows are searched." if is_on_the_way else ""
    return f'<p class="mc-small" role="status" id="data-found-told" tabindex="-1">{told}{read}</p>'


def _counted(page: Page) -> str:
    """How many rows a search finds from this page on."""
    if not page.is_search:
        return ""
    n = len(page.rows) + page.more
    return f"{'' if page.knows_more else 'At least '}{counted(n, 'row')} {'from here on' if page.cursor else 'found'}, "


def _ways(page: Page) -> str:
    back = '<button type="button" class="mc-button" data-do="data-page-back" id="data-page-back">Back</button>'
    words = "Next" if page.rows else "Search on"
    onward = (
        f'<button type="button" class="mc-button" data-do="data-page-next" id="data-page-next" '
        f'data-cursor="{escape(page.next)}">{words}</button>'
        if page.next
        else ""
    )
    return f'<div class="mc-form-buttons mc-pager">{back if page.cursor else ""}{onward}</div>'


def _found_html(found: Found, number: int) -> str:
    place = f"{NAMES.get(found.split, found.split)}, {found.where}"
    if found.row is None:
        return f'<li><p class="mc-small">{escape(place)}</p><p class="mc-fault">{escape(found.fault)}</p></li>'
    text = json.dumps(found.row, ensure_ascii=False, indent=1)
    whole = text if len(text) <= ALL_CHARS else f"{text[:ALL_CHARS]}\n… {len(text) - ALL_CHARS:,} more characters"
    meta = found.row.get("meta")
    marks = _marks(meta) if isinstance(meta, Mapping) else ""
    body = example_html(found.row) if "question" in found.row else ""
    return (
        f'<li><p class="mc-small mc-where">{escape(place)} {marks}</p>{body}'
        f'<details class="mc-fold"><summary id="data-row-{number}">The row in full</summary>'
        f'<pre class="mc-code" dir="auto" tabindex="0" role="region" aria-label="Row {number + 1} in full">'
        f"{escape(whole)}</pre></details></li>"
    )


def _marks(meta: Mapping[str, Any]) -> str:
    flags = meta.get("flags")
    made = [str(meta[name]) for name in ("made", "teacher") if isinstance(meta.get(name), str)]
    marks = [f'<span class="mc-badge">{escape(words)}</span>' for words in made]
    if isinstance(flags, list):
        marks += [f'<span class="mc-badge mc-outside">{escape(str(flag))}</span>' for flag in flags]
    if isinstance(copy := meta.get("copy"), int):
        marks.append(f'<span class="mc-badge" title="The same row again, for the balance">copy {copy}</span>')
    if meta.get("review") == "needed":
        marks.append('<span class="mc-badge mc-outside">review needed</span>')
    return " ".join(marks)


def _part_html(name: str, text: str) -> str:
    head = f'<span class="mc-tag">{name}</span>'
    if len(text) <= CLIPPED_CHARS:
        return f'<p class="mc-row-part" dir="auto">{head}{escape(text)}</p>'
    shown, rest = text[:CLIPPED_CHARS], text[CLIPPED_CHARS:]
    return (
        f'<p class="mc-row-part" dir="auto">{head}{escape(shown)}…</p><details class="mc-fold"><summary>'
        f'{counted(len(rest), "character")} more</summary><p class="mc-row-part" dir="auto">{escape(rest)}</p>'
        "</details>"
    )


def _options(options: object) -> str:
    return "\n".join(f"{letter}. {text}" for letter, text in options.items()) if isinstance(options, Mapping) else ""


def _select(name: str, label: str, values: Sequence[str], chosen: str) -> str:
    options = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(NAMES.get(value, value))}'
        "</option>"
        for value in values
    )
    return (
        f'<label class="mc-label">{label}<select name="{name}" id="data-search-{name}">'
        f'<option value="">all</option>{options}</select></label>'
    )

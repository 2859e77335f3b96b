"""What a report is made of, and how it becomes one HTML file or Markdown."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from medchat.settings import ASSETS

STYLE = ASSETS / "report" / "report.css"

Tone = Literal["", "better", "worse", "few", "note", "warn"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell, with a second line where there is one. tone: how its last line is shown; the words say it too."""

    text: str
    tone: Tone = ""
    under: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str
    tone: Tone = ""


@dataclass(frozen=True, slots=True)
class Points:
    """Sentences, one a line."""

    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headers: the first `labels` columns and the last `words` columns are text, the others numbers.

    texts: headers of further columns that are text. A label of any column but the last of them spans the rows below
    that repeat it.
    """

    caption: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    labels: int = 1
    words: int = 0
    texts: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot. svg: the drawing. legend: HTML under it. Markdown has the caption; tables hold the numbers."""

    caption: str
    svg: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """Small plots side by side."""

    items: Sequence[Figure]


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading within a section."""

    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A text as it was written, its lines kept, under what it is."""

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Details:
    """Blocks that are shown when their summary is opened; in print and in Markdown they always are."""

    summary: str
    blocks: "Sequence[Block]"


Block = Text | Points | Table | Figure | Figures | Heading | Passage | Details


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report that the contents list. id: its anchor."""

    id: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report."""

    title: str
    subtitle: str
    sections: Sequence[Section]


def to_html(document: Document) -> str:
    """The document as one HTML file that needs nothing beside it; every text is escaped."""
    contents = "".join(f'<li><a href="#{s.id}">{escape(s.title)}</a></li>' for s in document.sections)
    body = "".join(
        f'<section id="{section.id}"><h2>{escape(section.title)}</h2>{"".join(map(_html, section.blocks))}</section>'
        for section in document.sections
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(document.title)}</title><style>{STYLE.read_text(encoding='utf-8')}</style></head>"
        f"<body><header><h1>{escape(document.title)}</h1><p>{escape(document.subtitle)}</p></header>"
        f'<nav aria-label="Contents"><ul>{contents}</ul></nav><main>{body}</main></body></html>\n'
    )


def to_markdown(document: Document) -> str:
    """The document as Markdown, without its plots."""
    lines = [f"# {_plain(document.title)}", "", _plain(document.subtitle), ""]
    for section in document.sections:
        lines += [f"## {_plain(section.title)}", ""]
        for block in section.blocks:
            lines += [*_markdown(block), ""]
    return "\n".join(lines).rstrip() + "\n"


def blocks_html(blocks: Sequence[Block]) -> str:
    """The blocks as HTML for a page that has styles of its own for them; every text is escaped."""
    return "".join(map(_html, blocks))


def text_of(cell: str | Cell) -> str:
    """The words of a cell."""
    if isinstance(cell, str):
        return cell
    return f"{cell.text}; {cell.under}" if cell.under else cell.text


def _html(block: Block) -> str:
    if isinstance(block, Text):
        return f'<p class="{block.tone}">{escape(block.text)}</p>'
    if isinstance(block, Points):
        return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in block.items)}</ul>"
    if isinstance(block, Heading):
        return f"<h3>{escape(block.text)}</h3>"
    if isinstance(block, Figure):
        return f"<figure><figcaption>{escape(block.caption)}</figcaption>{block.svg}{block.legend}</figure>"
    if isinstance(block, Figures):
        return f'<div class="figures">{"".join(map(_html, block.items))}</div>'
    if isinstance(block, Passage):
        text = escape(block.text)
        return f'<div class="passage"><p class="caption">{escape(block.label)}</p><div class="said">{text}</div></div>'
    if isinstance(block, Details):
        inside = "".join(map(_html, block.blocks))
        return f"<details><summary>{escape(block.summary)}</summary>{inside}</details>"
    return _html_table(block)


def _html_table(table: Table) -> str:
    """Roles are written out, because a narrow page shows cells as blocks, which takes them; labels stand there."""
    head = "".join(
        f'<th scope="col" role="columnheader" class="{_column(table, column)}">{escape(name)}</th>'
        for column, name in enumerate(table.headers)
    )
    body = "".join(_html_row(table, number) for number in range(len(table.rows)))
    caption = escape(table.caption)
    return (
        f'<div class="table"><p class="caption" aria-hidden="true">{caption}</p>'
        f'<div class="scroll" role="group" tabindex="0" aria-label="{caption}">'
        f'<table role="table" aria-label="{caption}"><thead role="rowgroup"><tr role="row">{head}</tr></thead>'
        f'<tbody role="rowgroup">{body}</tbody></table></div></div>'
    )


def _html_row(table: Table, number: int) -> str:
    cells = ""
    for column, cell in enumerate(table.rows[number]):
        spans = _rows_spanned(table, number, column)
        if spans:
            kind = 'th scope="row"' if column < table.labels else "td"
            span = f' rowspan="{spans}"' if spans > 1 else ""
            name = f' data-label="{escape(table.headers[column])}"' if column else ""
            role = "rowheader" if column < table.labels else "cell"
            about = f'class="{_column(table, column)}" role="{role}"{name}{span}'
            cells += f"<{kind} {about}>{_html_cell(cell)}</{kind[:2]}>"
    return f'<tr role="row"{_starts(table, number)}>{cells}</tr>'


def _starts(table: Table, number: int) -> str:
    """The class of a row that begins a new first label."""
    return ' class="new"' if _rows_spanned(table, number, 0) or table.labels < 2 else ""


def _rows_spanned(table: Table, number: int, column: int) -> int:
    """How many rows the cell stands for; 0 where the one above stands for it."""
    if column >= table.labels - 1:
        return 1
    labels = [[text_of(cell) for cell in row[: column + 1]] for row in table.rows]
    if number and labels[number] == labels[number - 1]:
        return 0
    end = number + 1
    while end < len(labels) and labels[end] == labels[number]:
        end += 1
    return end - number


def _html_cell(cell: str | Cell) -> str:
    if isinstance(cell, str):
        return escape(cell)
    if cell.under:
        return f'{escape(cell.text)}<br><span class="under {cell.tone}">{escape(cell.under)}</span>'
    return f'<span class="{cell.tone}">{escape(cell.text)}</span>'


def _column(table: Table, column: int) -> str:
    if column < table.labels:
        return "label"
    if column >= len(table.headers) - table.words:
        return "words"
    return "text" if table.headers[column] in table.texts else "number"


def _markdown(block: Block) -> Iterator[str]:
    if isinstance(block, Text):
        yield f"**{_plain(block.text)}**" if block.tone == "warn" else _plain(block.text)
    elif isinstance(block, Points):
        yield from (f"- {_plain(item)}" for item in block.items)
    elif isinstance(block, Heading):
        yield f"### {_plain(block.text)}"
    elif isinstance(block, Figure | Figures):
        captions = [block.caption] if isinstance(block, Figure) else [figure.caption for figure in block.items]
        yield f"*Plot in the HTML report: {_plain('; '.join(captions))}*"
    elif isinstance(block, Passage):
        yield f"**{_plain(block.label)}**"
        yield ""
        yield from (f"> {_plain(line)}" if line.strip() else ">" for line in block.text.splitlines())
    elif isinstance(block, Details):
        yield f"#### {_plain(block.summary)}"
        for inner in block.blocks:
            yield ""
            yield from _markdown(inner)
    else:
        yield f"**{_plain(block.caption)}**"
        yield ""
        yield f"| {' | '.join(map(_plain, block.headers))} |"
        ends = ("---:" if _column(block, column) == "number" else "---" for column in range(len(block.headers)))
        yield f"|{'|'.join(ends)}|"
        yield from (f"| {' | '.join(_plain(text_of(cell)) for cell in row)} |" for row in block.rows)


def _plain(text: str) -> str:
    """Text that Markdown shows as it is: no mark-up, no HTML, no end of a table cell."""
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())

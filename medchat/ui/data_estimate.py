"""What a command would cost as HTML: a row for each model, of what the command says line by line."""

import re
from collections.abc import Collection
from typing import NamedTuple

from medchat.ui.common import escape

_MODEL = re.compile(r"(?P<model>\S.*?): (?P<requests>[\d,]+) requests, (?P<kept>[\d,]+) answers there already")
_TOKENS = re.compile(r"\s+tokens: (?P<tokens>[\d,]+ in, [\d,]+ out) \((?P<by>.+)\)")
_COST = re.compile(r"\s+(?P<cost>[^;]+); (?P<time>.+)")
_NO_COST = re.compile(r"0(\.0+)? USD, at most 0(\.0+)? USD|0(\.0+)? USD, at most 0(\.0+)?")
HEADS = ("Model", "Requests", "There already", "Tokens", "Cost", "Time")
FREE = "free: runs on this machine"


class _Row(NamedTuple):
    """A model's part of the estimate."""

    model: str
    requests: str
    kept: str
    tokens: str
    by: str
    cost: str
    time: str


def estimate_html(said: str, here: Collection[str]) -> str:
    """What the command said. here: the models that run on this machine, whose answers cost nothing."""
    lines = [line for line in said.splitlines() if line.strip()]
    rows, rest = _rows(lines)
    table = _table_html(rows, here) if rows else ""
    further = "".join(f'<p class="mc-small">{escape(line.strip())}</p>' for line in rest)
    return (
        '<section class="mc-preview" aria-labelledby="data-said"><h3 id="data-said" tabindex="-1">Estimate</h3>'
        f"{table}{further}</section>"
    )


def _rows(lines: list[str]) -> tuple[list[_Row], list[str]]:
    """The models' rows, and the lines that are of none."""
    rows, rest, place = [], [], 0
    while place < len(lines):
        three = lines[place : place + 3]
        found = [its.fullmatch(line) for its, line in zip((_MODEL, _TOKENS, _COST), three, strict=False)]
        if len(three) == 3 and all(found):
            rows.append(_Row(**{name: text for one in found if one for name, text in one.groupdict().items()}))
            place += 3
        else:
            rest.append(lines[place])
            place += 1
    return rows, rest


def _table_html(rows: list[_Row], here: Collection[str]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in HEADS)
    body = "".join(
        f'<tr><th scope="row" dir="auto">{escape(row.model)}</th><td>{row.requests}</td><td>{row.kept}</td>'
        f'<td>{escape(row.tokens)}<br><span class="mc-small">{escape(row.by)}</span></td>'
        f"<td>{escape(_cost(row, here))}</td><td>{escape(row.time)}</td></tr>"
        for row in rows
    )
    return (
        '<div class="mc-table-box" tabindex="0" role="region" aria-labelledby="data-said">'
        f'<table class="mc-table mc-small-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _cost(row: _Row, here: Collection[str]) -> str:
    return FREE if row.model in here and _NO_COST.fullmatch(row.cost) else row.cost

"""What a run was trained on, in numbers that may be shown to anybody: no row, no name, no place."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from medchat.records import Example
from train.plan import Data, each_row

NOT_NAMED = "not named"
RATINGS = "ratings of answers"


def data_facts(data: Data) -> dict[str, Any]:
    """files: name, SHA-256 and rows of each. sources: name, licence and rows of each, the largest first.

    ratings: how many different ratings and votes stand behind the rows; raters: the most that judged one row;
    disagreement: of the raters, None where it was not measured. Reads the files once.
    """
    sources: Counter[tuple[str, str]] = Counter()
    ratings: set[str] = set()
    raters = 0
    for kind, path in sorted(_files(data)):
        for _, row in each_row(kind, path):
            its = row.meta if isinstance(row, Example) else row
            ratings.update(map(str, its.get("ratings") or ()))
            raters = max(raters, int(its.get("raters") or 0))
            sources[_source(row, data.report)] += 1
    disagreement = data.report.get("disagreement")
    return {
        "files": list(data.files),
        "sources": [{"name": name, "licence": licence, "rows": n} for (name, licence), n in sources.most_common()],
        "ratings": len(ratings),
        "raters": max(raters, _raters_of(data.report)),
        "disagreement": disagreement if isinstance(disagreement, int | float) else None,
    }


def _files(data: Data) -> set[tuple[str, Path]]:
    """The files that were used, each with the kind of its rows."""
    found: set[tuple[str, Path]] = set()
    for rows in data.rows:
        kind = "sft" if rows.kind == "grpo" else rows.kind
        found |= {(kind, path) for path in (rows.train, rows.validation, rows.test) if path is not None}
    return found


def _source(row: Any, report: Mapping[str, Any]) -> tuple[str, str]:
    """The source and its licence: the row's own, or else those of the whole folder."""
    if not isinstance(row, Example):
        return RATINGS, NOT_NAMED
    source, licence = (str(report.get(name) or NOT_NAMED) for name in ("source", "licence"))
    return _without_place(row.source or source), row.licence or licence


def _without_place(source: str) -> str:
    """The source without the folders of a file's path, which may hold somebody's name."""
    is_path = source.startswith(("/", "~", ".")) or "\\" in source or source.split(" ")[0].count("/") > 1
    return source.replace("\\", "/").rpartition("/")[2] if is_path else source


def _raters_of(report: Mapping[str, Any]) -> int:
    """How many raters a report on ratings names."""
    raters = report.get("raters")
    return len(raters) if isinstance(raters, Mapping | list) else 0


def hub_names(sources: Iterable[Mapping[str, Any]]) -> list[str]:
    """The sources that are called as data sets of the Hub are: OWNER/NAME."""
    names = (str(source["name"]).split()[0] if source["name"] else "" for source in sources)
    return sorted({name for name in names if name.count("/") == 1 and not name.startswith(("/", ".", "~"))})

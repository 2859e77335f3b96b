"""The first rows of a source, as its file has them and as the Examples that they become.

`python -m train.preview SOURCE` prints that as JSON: the Data tab shows it, and reads no file of others itself.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation.benchmark_json import Found, Skipped
from medchat.errors import MedChatError
from medchat.records import Example
from medchat.settings import Settings
from train.adapters import Piece, Reading, Source, files_in, pieces_of, records_of, rows_of, source_of
from train.cleaning import Limits, clean

SCANNED = 300  # rows of the source that are counted
SHOWN = 6
SHOWN_LOST = 6  # further ones that give no Example, with their reasons
PATIENCE_S = 20.0  # after which it shows what it has
RAW_CHARS = 20_000  # of a row as the file has it


def preview(source: Source, reading: Reading, limits: Limits, cache: Path, scanned: int = SCANNED) -> dict[str, Any]:
    """What a look at the first rows finds, as plain values.

    cache: where rows of the Hub are kept. scanned: rows of the source that were looked at; kept, unlabelled: Examples;
    dropped, repaired: how many by reason; rows: the first ones, lost: further ones that gave nothing, each
    {where, raw, came: [{example, dropped, detail, repaired}]}; is_whole: whether that was all of it.
    Raises MedChatError when nothing can be read.
    """
    begun, n, is_whole = time.monotonic(), 0, True
    counts: dict[str, Counter[str]] = {"dropped": Counter(), "repaired": Counter(), "made": Counter()}
    rows: list[dict[str, Any]] = []
    lost: list[dict[str, Any]] = []
    for piece, found in _found(source, cache, scanned):
        if n >= scanned or time.monotonic() - begun > PATIENCE_S:
            is_whole = False
            break
        n += 1
        came = [_came(one, limits, counts) for _, one in rows_of(piece, found, reading)]
        seen = {"where": found[0], "raw": _raw(found[1]), "came": came}
        if len(rows) < SHOWN:
            rows.append(seen)
        elif len(lost) < SHOWN_LOST and any(one["dropped"] for one in came):
            lost.append(seen)
    made = counts["made"]
    is_whole = is_whole and (source.path is not None or n < scanned)
    return {
        "scanned": n,
        "is_whole": is_whole,
        "kept": made["kept"],
        "unlabelled": made["unlabelled"],
        "dropped": dict(counts["dropped"]),
        "repaired": dict(counts["repaired"]),
        "rows": rows,
        "lost": lost,
    }


def _found(source: Source, cache: Path, scanned: int) -> Iterator[tuple[Piece, Found]]:
    files = files_in(source, cache, scanned)
    for piece in pieces_of(source, files):
        for found in records_of(piece):
            yield piece, found


def _came(one: Example | Skipped, limits: Limits, counts: Mapping[str, Counter[str]]) -> dict[str, Any]:
    if isinstance(one, Skipped):
        counts["dropped"][one.reason] += 1
        return {"example": None, "dropped": one.reason, "detail": one.detail, "repaired": []}
    cleaned = clean(one, limits)
    counts["repaired"].update(cleaned.repaired)
    if cleaned.dropped:
        counts["dropped"][cleaned.dropped] += 1
    else:
        counts["made"]["kept" if _has_answer(cleaned.example) else "unlabelled"] += 1
    example = asdict(cleaned.example)
    return {"example": example, "dropped": cleaned.dropped, "detail": "", "repaired": list(cleaned.repaired)}


def _has_answer(example: Example) -> bool:
    return bool((example.answer or "").strip())


def _raw(row: Mapping[str, Any] | Skipped) -> str:
    if isinstance(row, Skipped):
        return ""
    text = json.dumps(row, ensure_ascii=False, indent=1, default=str)
    return text if len(text) <= RAW_CHARS else f"{text[:RAW_CHARS]}\n… {len(text) - RAW_CHARS:,} more characters"


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 failed with one line, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m train.preview", description=__doc__)
    parser.add_argument("source", help="ADAPTER=PATH")
    parser.add_argument("--dialogues", choices=("each", "first"), default="each")
    parser.add_argument("--choices", choices=("options", "explained"), default="options")
    parser.add_argument("--abstracts", action="store_true")
    parser.add_argument("--languages", default="en")
    parser.add_argument("--data-dir", type=Path, help="data folder, for rows of the Hub")
    args = parser.parse_args(arguments)
    try:
        reading = Reading(args.dialogues, args.choices, args.abstracts)
        named = () if args.languages == "all" else map(str.strip, args.languages.split(","))
        limits = Limits(languages=tuple(filter(None, named)))
        cache = Settings.from_environment(data_dir=args.data_dir).data_dir / "cache"
        found = preview(source_of(args.source), reading, limits, cache)
    except MedChatError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())

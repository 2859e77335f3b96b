"""Preference pairs (dpo.jsonl) whose chosen answer is not to be taught: they leave, and are counted."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medchat.records import Example
from train.plan import each_row
from train.quality_checks import flags_of
from train.quality_flags import FlagName, Thresholds
from train.row_files import RowsWriter

PAIRS = "dpo"


def write_pairs(file: Path, files: RowsWriter, held: Sequence[FlagName], thresholds: Thresholds) -> dict[str, Any]:
    """What became of the pairs: read = kept + left out, with why. Raises InvalidInput with file and line."""
    n, left_out = 0, Counter[str]()
    for _, pair in each_row(PAIRS, file):
        n += 1
        found = {flag.name for flag in flags_of(_chosen(pair), thresholds)}
        reason = next((name for name in held if name in found), "")
        if reason:
            left_out[f"the chosen answer: {reason}"] += 1
        else:
            files.write_bytes(PAIRS, (json.dumps(pair, ensure_ascii=False) + "\n").encode("utf-8", "replace"))
    return {"read": n, "kept": n - sum(left_out.values()), "left_out": dict(sorted(left_out.items()))}


def _chosen(pair: dict[str, Any]) -> Example:
    chosen = pair["chosen"]
    meta = pair.get("meta") if isinstance(pair.get("meta"), dict) else {}
    return Example(
        pair["question"], chosen["solution"], context=pair.get("context", ""), rationale=chosen.get("reasoning", ""),
        meta=meta or {},
    )  # fmt: skip

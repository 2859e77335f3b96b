"""The newest completions of a run, out of the tables that GRPO writes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medchat.catalogue import Catalogue
from medchat.formats import FORMATS, parse
from medchat.rundir import RunDir
from medchat.ui.train_run_view import Completion

N_SHOWN = 8
TOLD = ("step", "prompt", "completion", "advantage")
PLAIN = "plain"


def newest_table(run_dir: RunDir) -> Path | None:
    """The table that was written last; None where there is none."""
    tables = list(run_dir.completions.glob("*.parquet"))
    return max(tables, key=lambda path: (path.stat().st_mtime_ns, path.name), default=None)


def newest(table: Path, answer_format: str) -> list[Completion]:
    """The first completions of the table, those to one question together; [] for a table that is being written."""
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.read_table(table).slice(0, N_SHOWN).to_pylist()
    except (OSError, pyarrow.ArrowException):
        return []
    stage = table.stem.rpartition("-")[0]
    return [_completion(row, stage, answer_format) for row in rows]


def format_of(config: Mapping[str, Any], catalogue: Catalogue) -> str:
    """How the model of a run writes its answers."""
    recipe, base = config.get("recipe") or {}, config.get("base") or {}
    spec = catalogue.get(str(base.get("id", "")))
    named = recipe.get("answer_format") or (spec.answer_format if spec else PLAIN)
    return named if named in FORMATS else PLAIN


def _completion(row: Mapping[str, Any], stage: str, answer_format: str) -> Completion:
    text = str(row.get("completion") or "")
    parsed = parse(answer_format, text)
    rewards = {name: value for name, value in row.items() if name not in TOLD}
    return Completion(
        stage=stage,
        step=int(row.get("step") or 0),
        question=str(row.get("prompt") or ""),
        reasoning=parsed.reasoning,
        solution=parsed.solution,
        complete=parsed.complete,
        rewards=rewards,
        advantage=row.get("advantage"),
    )

"""How fast models answered in the evaluations whose runs are still here, and how long others will take by that."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from medchat.jobs import Jobs
from medchat.rundir import RunDir

Speeds = Mapping[tuple[str, str], float]  # answers a second, by model and suite; suite "" for any

MOST_RUNS = 20


def speeds_of(jobs: Jobs) -> Speeds:
    """Answers a second of each model on each suite, by the newest of its runs."""
    speeds: dict[tuple[str, str], float] = {}
    views = [view for view in jobs.all() if view.job.kind == "evaluate"][:MOST_RUNS]
    for view in reversed(views):
        file = RunDir(view.path).progress_file
        stamp = file.stat().st_mtime_ns if file.exists() else 0
        for stage, per_s in _speeds_in(view.path, stamp).items():
            model, _, suite = stage.rpartition(" on ")
            speeds[model, suite] = speeds[model, ""] = per_s
    return speeds


def needed_s(speeds: Speeds, models: Sequence[str], sizes: Mapping[str, int]) -> float | None:
    """Seconds for all models to answer so many questions of each suite; None where a model's speed is not known."""
    seconds = 0.0
    for model in models:
        for suite, n in sizes.items():
            per_s = speeds.get((model, suite)) or speeds.get((model, ""))
            if not per_s:
                return None
            seconds += n / per_s
    return seconds


def about_time(seconds: float) -> str:
    """A time as one guesses it."""
    if seconds < 1.5:
        return "about a second"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h".replace(".0 h", " h")


@lru_cache(maxsize=64)
def _speeds_in(path: Path, stamp: int) -> Mapping[str, float]:
    """Answers a second in each stage of a run."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in RunDir(path).progress():
        rows.setdefault(str(row.get("stage", "")), []).append(row)
    found = {stage: _speed(its) for stage, its in rows.items()}
    return {stage: per_s for stage, per_s in found.items() if per_s}


def _speed(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """From the first line of the stage to its last; of one alone what it says of the whole run so far."""
    answers = rows[-1]["step"] - rows[0]["step"]
    seconds = rows[-1].get("time", 0.0) - rows[0].get("time", 0.0)
    return answers / seconds if answers > 0 and seconds > 0 else rows[-1].get("per_s")

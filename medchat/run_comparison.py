"""What tells runs apart: the settings in which their configurations differ, and the last values of their curves."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

COMPARED = ("recipe", "base", "data", "used", "versions")
LEFT_OUT = ("recipe.about", "recipe.title", "recipe.other_bases")
NO_VALUE = ("step", "stage", "time", "epoch")


class Settings(NamedTuple):
    """The settings of runs by their places, "recipe.stages.0.learning_rate". different, same: these places."""

    of_runs: Sequence[Mapping[str, str]]
    different: Sequence[str]
    same: Sequence[str]


def compare_settings(configs: Sequence[Mapping[str, Any]], compared: Iterable[str] = COMPARED) -> Settings:
    """The settings of each configuration, and which of them differ."""
    flat = [dict(_flat({name: config[name] for name in compared if config.get(name)})) for config in configs]
    keys = list(dict.fromkeys(key for one in flat for key in one if not key.startswith(LEFT_OUT)))
    different = [key for key in keys if len({one.get(key, "") for one in flat}) > 1]
    return Settings(flat, different, [key for key in keys if key not in different])


def last_values(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The newest value of each name in lines of progress, by stage and name: "0-sft loss"."""
    found: dict[str, float] = {}
    for row in rows:
        for name, value in row.items():
            if name not in NO_VALUE and isinstance(value, int | float) and not isinstance(value, bool):
                found[f"{row.get('stage', '')} {name}".strip()] = float(value)
    return found


def metrics_of(result: Mapping[str, Any] | None) -> dict[str, float]:
    """What a run of training measured on held-out rows, by stage and name; {} where it has not ended, or has none."""
    found = {}
    for number, stage in enumerate((result or {}).get("stages") or ()):
        for name, metric in stage.get("metrics", {}).items():
            if metric.get("value") is not None:
                found[f"{number}-{stage['kind']} {name}"] = float(metric["value"])
    return found


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every setting with its place."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value):
            yield from _flat(item, f"{key}.{number}")
    else:
        yield key, ", ".join(map(str, value)) if isinstance(value, list) else str(value)

"""The rewards of a stage as rows of the form: each is ticked, weighed, and set by its options."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from medchat.ui.common import escape
from medchat.ui.train_fields import Field
from train.rewards import RewardInfo, RewardOption


class Offered(NamedTuple):
    """The rewards that there are, by name, and label and id of the models that can judge here."""

    rewards: Mapping[str, RewardInfo]
    judges: Sequence[tuple[str, str]]


def rewards_html(field: Field, value: str, offered: Offered) -> str:
    """The rewards of a field with this value: those that it has first, then the others, not ticked."""
    recipes = json.loads(field.value)
    chosen = _rows_in(value) or recipes
    names = {offered.rewards[row["name"]].name for row in chosen if row.get("name") in offered.rewards}
    others = [{"name": name} for name, info in offered.rewards.items() if name == info.name and name not in names]
    stem = f"train-r-{escape(field.key.replace('.', '-'))}"
    rows = "".join(
        _row_html(f"{stem}-{number}", row, offered, is_chosen=number < len(chosen))
        for number, row in enumerate([*chosen, *others])
    )
    default = json.dumps([row | {"options": _set_options(row, offered)} for row in recipes], ensure_ascii=False)
    return (
        f'<fieldset class="mc-setting mc-rewards" data-rewards="{escape(field.key)}" '
        f'data-default="{escape(default)}"><legend>rewards</legend>'
        f'<p class="mc-small">{escape(field.about)}; each counts with its weight.</p>{rows}</fieldset>'
    )


def _rows_in(value: str) -> list[dict[str, Any]]:
    """The rewards that were typed, as far as they can be read."""
    try:
        found = json.loads(value)
    except ValueError:
        return []
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _set_options(row: Mapping[str, Any], offered: Offered) -> dict[str, Any]:
    """The options that are not as the reward has them anyway, in its own order: so the page tells what was changed."""
    given = row["options"]
    defaults = offered.rewards[row["name"]].defaults
    return {name: given[name] for name, default in defaults.items() if given.get(name, default) != default}


def _row_html(identity: str, row: Mapping[str, Any], offered: Offered, *, is_chosen: bool) -> str:
    name = str(row.get("name", ""))
    info = offered.rewards.get(name)
    title, about = (info.title, info.about) if info else (name, "")
    given = row.get("options")
    options = "".join(
        _option_html(f"{identity}-{option.name}", title, option, given if isinstance(given, dict) else {}, offered)
        for option in (info.options if info else ())
    )
    fields = f'<div class="mc-reward-options mc-settings">{options}</div>' if options else ""
    return (
        f'<div class="mc-reward" data-reward="{escape(name)}">'
        f'<input type="checkbox" id="{identity}"{" checked" if is_chosen else ""}>'
        f'<label for="{identity}">{escape(title)} <span class="mc-small">{escape(about)}</span></label>'
        f'<input type="text" inputmode="decimal" aria-label="Weight of {escape(title)}" '
        f'value="{escape(str(row.get("weight", 1.0)))}">{fields}</div>'
    )


def _option_html(
    identity: str, title: str, option: RewardOption, given: Mapping[str, Any], offered: Offered
) -> str:  # fmt: skip
    """One option with its label, what it means, and what holds where nothing is given."""
    kind = "switch" if isinstance(option.default, bool) else "text" if isinstance(option.default, str) else "number"
    default, value = _text(option.default), _text(given.get(option.name, option.default))
    attributes = (
        f'id="{identity}" data-option="{escape(option.name)}" data-kind="{kind}" data-default="{escape(default)}" '
        f'aria-describedby="{identity}-about" spellcheck="false"'
    )
    choices = _choices(option, kind, offered)
    words = next((words for words, given in choices if given == default), default)
    told = f" Default: <code>{escape(words)}</code>" if default else ""
    return (
        f'<div class="mc-setting"><label for="{identity}"><span class="mc-vh">{escape(title)}: </span>'
        f"{escape(option.name)}</label>{_input_html(attributes, value, choices, kind)}"
        f'<p class="mc-small" id="{identity}-about">{escape(option.about)}.{told}</p></div>'
    )


def _choices(option: RewardOption, kind: str, offered: Offered) -> list[tuple[str, str]]:
    """Words and value of each choice; none where anything may be typed. What must be given is a model."""
    if kind == "switch":
        return [("no", "false"), ("yes", "true")]
    if option.default == "":
        return [("Choose a model…", ""), *offered.judges]
    return [(choice, choice) for choice in option.choices]


def _input_html(attributes: str, value: str, choices: Sequence[tuple[str, str]], kind: str) -> str:
    if not choices:
        mode = ' inputmode="decimal"' if kind == "number" else ""
        return f'<input type="text" {attributes} value="{escape(value)}"{mode}>'
    known = [*choices] if value in {given for _, given in choices} else [*choices, (value, value)]
    options = "".join(
        f'<option value="{escape(given)}"{" selected" if given == value else ""}>{escape(words)}</option>'
        for words, given in known
    )
    return f"<select {attributes}>{options}</select>"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

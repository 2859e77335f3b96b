"""The form of a new run as HTML: recipe, base, data, name, and every setting with what it means."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from medchat.ui.common import counted, escape
from medchat.ui.train_data import Choice
from medchat.ui.train_fields import Field, Section
from medchat.ui.train_order import NAME_CHARS, Order
from medchat.ui.train_rewards import Offered, rewards_html
from train.recipe_schema import Recipe

_CODE = re.compile(r"`([^`]+)`")
NOT_HERE = "not on this machine"
BASE_HELP = "The id of a model, a Hub name, or a folder of weights. It goes before the list."


class BaseChoice(NamedTuple):
    """A base that can be chosen. value: "" for the recipe's own."""

    value: str
    label: str


def form_html(
    order: Order, recipe: Recipe, sections: Sequence[Section], *, recipes: Mapping[str, str],
    bases: Sequence[BaseChoice], data: Sequence[Choice], rewards: Offered,
) -> str:  # fmt: skip
    """The whole form. recipes: name -> title."""
    about = _CODE.sub(r"<code>\1</code>", escape(recipe.about))
    known_base = order.base in {choice.value for choice in bases}
    changed = sum(_is_changed(field, order.typed) for section in sections for field in section.fields)
    fieldsets = "".join(_section_html(section, order.typed, rewards, number == 0)
                        for number, section in enumerate(sections))  # fmt: skip
    told = f"{counted(changed, 'change')}" if changed else "as the recipe has them"
    return (
        f'<form id="train-order" class="mc-train-form" data-recipe="{escape(order.recipe)}" autocomplete="off">'
        '<div class="mc-train-top">'
        f"{_select('recipe', 'Recipe', list(recipes.items()), order.recipe)}"
        f"{_select('base', 'Base', [*bases], order.base if known_base else '')}"
        f"{_data_html(order, recipe, data)}"
        f'<label class="mc-label">Name of the run<input type="text" name="name" id="train-name" '
        f'maxlength="{NAME_CHARS}" placeholder="{escape(recipe.title)}" value="{escape(order.name)}"></label></div>'
        f'<p class="mc-small mc-recipe-about">{about}</p>'
        '<details class="mc-fold" data-key="train-other-base"><summary>Another base</summary>'
        f'<label class="mc-label">Base<input type="text" name="other_base" id="train-other-base" spellcheck="false" '
        f'value="{"" if known_base else escape(order.base)}" aria-describedby="train-other-base-about"></label>'
        f'<p class="mc-small" id="train-other-base-about">{BASE_HELP}</p></details>'
        '<details class="mc-fold" data-key="train-settings"><summary>Settings: '
        f'<span id="train-changed">{told}</span></summary>'
        f'<p class="mc-form-buttons"><button type="button" class="mc-button" data-do="train-reset">As the recipe has '
        f"them</button></p>{fieldsets}</details></form>"
    )


def _data_html(order: Order, recipe: Recipe, data: Sequence[Choice]) -> str:
    options = [(choice.value, choice.label) for choice in data]
    if recipe.data == "":
        options.insert(0, ("", "Choose…"))
    source = f"This recipe is made for {recipe.data_source}." if recipe.data_source else ""
    return (
        f'<div class="mc-train-data">{_select("data", "Data", options, order.data)}'
        '<div class="mc-form-buttons"><button type="button" class="mc-button" data-do="train-preview" '
        'id="train-preview-button">Preview the data</button>'
        '<button type="button" class="mc-button" data-do="train-upload" id="train-upload-button" '
        'title="Examples as JSONL or CSV with question and answer, at most 5 MB">Upload examples…</button>'
        '<input type="file" id="train-file" accept=".jsonl,.csv" tabindex="-1" hidden aria-label="File of examples">'
        f'</div><p class="mc-small">{escape(source)}</p></div>'
    )


def _select(name: str, label: str, options: Sequence[tuple[str, str]], value: str) -> str:
    made = "".join(
        f'<option value="{escape(given)}"{" selected" if given == value else ""}>{escape(words)}</option>'
        for given, words in options
    )
    return f'<label class="mc-label">{label}<select name="{name}" id="train-{name}">{made}</select></label>'


def _section_html(section: Section, typed: Mapping[str, str], rewards: Offered, is_first: bool) -> str:
    fields = "".join(_field_html(field, typed, rewards) for field in section.fields)
    key = f"train-section-{section.number if section.number is not None else section.fields[0].key}"
    return (
        f'<details class="mc-section" data-key="{escape(key)}"{" open" if is_first else ""}>'
        f"<summary>{escape(section.title)}</summary>"
        f'<p class="mc-small">{escape(section.about)}</p><div class="mc-settings">{fields}</div></details>'
    )


def _field_html(field: Field, typed: Mapping[str, str], rewards: Offered) -> str:
    if field.kind == "rewards":
        return rewards_html(field, typed.get(field.key, field.value), rewards)
    key, identity = escape(field.key), f"train-f-{escape(field.key.replace('.', '-'))}"
    was = f'<span class="mc-was">recipe: {escape(field.value)}</span>' if field.value else ""
    return (
        f'<div class="mc-setting{" mc-changed" if _is_changed(field, typed) else ""}">'
        f'<label for="{identity}">{escape(_label(field))}</label>'
        f"{_input_html(field, typed.get(field.key, field.value), key, identity)}"
        f'<p class="mc-small" id="{identity}-about">{escape(field.about)} {was}</p></div>'
    )


def _label(field: Field) -> str:
    """The name with the part of the recipe that it belongs to: "lora r", "early_stopping patience"."""
    parts = field.key.split(".")
    return " ".join(parts[2:] if parts[0] == "stages" else parts[-1:])


def _input_html(field: Field, value: str, key: str, identity: str) -> str:
    given = (
        f'id="{identity}" data-set="{key}" data-default="{escape(field.value)}" aria-describedby="{identity}-about" '
        'spellcheck="false"'
    )
    if field.kind in ("choice", "switch"):
        choices = ("false", "true") if field.kind == "switch" else field.choices
        choices = (*choices, value) if value not in choices else choices
        choices = ("", *choices) if field.can_be_empty and "" not in choices else choices
        words = {"false": "no", "true": "yes"} if field.kind == "switch" else {"": "unset"}
        options = "".join(
            f'<option value="{escape(choice)}"{" selected" if choice == value else ""}>'
            f"{escape(words.get(choice, choice))}</option>"
            for choice in choices
        )
        return f"<select {given}>{options}</select>"
    if field.kind == "long":
        return f'<textarea {given} rows="{min(8, 2 + value.count(chr(10)))}">\n{escape(value)}</textarea>'
    mode = ' inputmode="decimal"' if field.kind == "number" else ""
    return f'<input type="text" {given} value="{escape(value)}"{mode}>'


def _is_changed(field: Field, typed: Mapping[str, str]) -> bool:
    return typed.get(field.key, field.value) != field.value


def fault_html(message: str, key: str = "", *, offers_models: bool = False) -> str:
    """What is wrong with the form, and at which setting; nothing of what was typed is lost."""
    at = f' data-key="{escape(key)}"' if key else ""
    models = f'<div class="mc-form-buttons">{_models_button("", "Open the Models tab")}</div>' if offers_models else ""
    return f'<p class="mc-fault" role="alert"{at}>{escape(message.removeprefix("--set "))}</p>{models}'


def _models_button(model: str, words: str) -> str:
    return (
        f'<button type="button" class="mc-button" data-do="train-models" data-model="{escape(model)}" '
        f'id="train-to-models">{words}</button>'
    )


def start_html(
    command: str, notes: Sequence[str], estimate: str, *, can_start: bool, why_not: str, button: str, fetch: str = "",
) -> str:  # fmt: skip
    """What would run, what it takes, and the button that begins it.

    why_not: what is to be done first. fetch: id of the base that is to be fetched first, "" where it is here.
    """
    told = "".join(f'<p class="mc-small">{escape(note)}</p>' for note in notes)
    attributes = "" if can_start else ' aria-disabled="true" aria-describedby="train-why-not"'
    first = f'<p class="mc-leaves" id="train-why-not" role="note">{escape(why_not)}</p>' if why_not else ""
    return (
        f'{estimate}<h3 class="mc-train-title">Command line</h3>'
        '<div class="mc-command"><pre class="mc-code" tabindex="0" role="region" aria-label="Command line">'
        f'{escape(command)}</pre><button type="button" class="mc-button" data-do="train-copy">Copy</button>'
        f"{_models_button(fetch, 'Fetch the base in the Models tab') if fetch else ''}</div>"
        f'{told}{first}<div class="mc-form-buttons"><button type="button" class="mc-button mc-primary" '
        f'data-do="train-start" id="train-start"{attributes}>{escape(button)}</button></div>'
    )

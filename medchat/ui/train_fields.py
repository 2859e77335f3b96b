"""The settings of a recipe as fields: what each is called, what it means, and its value as text.

What somebody types into them becomes --set KEY=VALUE; only the schema of recipes says what is right.
"""

import json
import math
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel

from medchat.errors import InvalidInput
from medchat.formats import FORMATS
from train.recipe_schema import EarlyStopping, Lora, Recipe, RewardSpec, RewardWeighting, Stage

FieldKind = Literal["number", "text", "long", "choice", "switch", "list", "rewards", "yaml"]

LEFT_OUT = ("name", "title", "about", "base", "other_bases", "data", "data_source", "stages", "held_out", "kind", "why")
LONG = ("system_prompt", "prompt", "prompt_with_context")
STAGE_TITLES: Mapping[str, str] = {
    "sft": "Supervised fine-tuning (SFT)",
    "grpo": "Group relative policy optimisation (GRPO)",
    "dpo": "Direct preference optimisation (DPO)",
    "kto": "Kahneman-Tversky optimisation (KTO)",
}
NONE = "null"


@dataclass(frozen=True, slots=True)
class Field:
    """One setting. key: as --set calls it. value: what the recipe says, as text; "" for nothing.

    about: what it means. choices: of a choice. can_be_empty: whether nothing is a value. group: the key of the
    optional part of the recipe that it belongs to; leads: it is the field without which that part is left out.
    """

    key: str
    kind: FieldKind
    about: str
    value: str
    choices: tuple[str, ...] = ()
    can_be_empty: bool = False
    group: str = ""
    leads: bool = False

    @property
    def name(self) -> str:
        """Without its place."""
        return self.key.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Section:
    """Fields that stand together. number: of the stage, None for what belongs to all of the run."""

    title: str
    about: str
    fields: tuple[Field, ...]
    number: int | None = None


def sections_of(recipe: Recipe) -> list[Section]:
    """All settings of the recipe, the stages first."""
    found = [_stage_section(number, stage) for number, stage in enumerate(recipe.stages)]
    held_out = tuple(_fields(recipe.held_out, "held_out."))
    about = " ".join((type(recipe.held_out).__doc__ or "").split())
    own = tuple(_fields(recipe, ""))
    return [
        *found,
        Section("Measured before and after", about, held_out),
        Section("Prompt and randomness", "How questions are put, and what all of the run shares.", own),
    ]


def fields_of(recipe: Recipe) -> dict[str, Field]:
    """The same by their keys."""
    return {field.key: field for section in sections_of(recipe) for field in section.fields}


def overrides_of(fields: Mapping[str, Field], typed: Mapping[str, str]) -> list[str]:
    """KEY=VALUE of each field whose text is not the recipe's.

    Raises InvalidInput for a key that the recipe does not have, an emptied field that needs a value, and a value that
    cannot be read; the message begins with the key.
    """
    changed = {key: text for key, text in typed.items() if key not in fields or not _is_same(fields[key], text)}
    unknown = next((key for key in changed if key not in fields), None)
    if unknown is not None:
        raise InvalidInput(f"{unknown}: this recipe has no such setting any more; choose the recipe again.")
    emptied = {fields[key].group for key, text in changed.items() if fields[key].leads and not text.strip()}
    found = [f"{group}={NONE}" for group in sorted(emptied)]
    for key, text in changed.items():
        if not fields[key].group or fields[key].group not in emptied:
            found.append(f"{key}={_yaml(fields[key], text if fields[key].kind == 'long' else text.strip())}")
    return found


def changes_from(fields: Mapping[str, Field], wanted: Recipe) -> dict[str, str]:
    """The texts in which another recipe of the same stages differs from these fields."""
    theirs = fields_of(wanted)
    return {key: theirs[key].value for key in fields if key in theirs and theirs[key].value != fields[key].value}


def _stage_section(number: int, stage: Stage) -> Section:
    about = " ".join((type(stage).__doc__ or "").split())
    fields = tuple(_fields(stage, f"stages.{number}."))
    return Section(f"Stage {number + 1}: {STAGE_TITLES[stage.kind]}", about, fields, number)


def _fields(model: BaseModel, prefix: str, group: str = "") -> Iterator[Field]:
    for name, info in type(model).model_fields.items():
        if name in LEFT_OUT:
            continue
        value, key = getattr(model, name), f"{prefix}{name}"
        inner = _model_of(info.annotation)
        if inner in (Lora, EarlyStopping, RewardWeighting):
            if value is not None:
                yield from _fields(value, f"{key}.", "" if inner is Lora else key)
            elif inner is not Lora:  # a later stage has none of its own
                yield from _unset(inner, f"{key}.", key)
            continue
        field = _field(key, info.annotation, info.description or _words(name), value, group)
        yield replace(field, leads=bool(group) and info.is_required())


def _unset(model: type[BaseModel], prefix: str, group: str) -> Iterator[Field]:
    """The fields of a part that the recipe leaves out: all empty."""
    for name, info in model.model_fields.items():
        field = _field(f"{prefix}{name}", info.annotation, info.description or _words(name), None, group)
        kind: FieldKind = "choice" if field.choices else "text"
        yield replace(field, kind=kind, value="", can_be_empty=True, leads=info.is_required())


def _field(key: str, annotation: Any, about: str, value: Any, group: str) -> Field:
    plain, optional = _without_none(annotation)
    if key in LONG:
        return Field(key, "long", about, value or "", can_be_empty=True)
    if key == "answer_format":
        return Field(key, "choice", about, _text(value), ("", *FORMATS), can_be_empty=True)
    if get_origin(plain) is Literal:
        return Field(key, "choice", about, _text(value), tuple(map(str, get_args(plain))), optional, group)
    if plain is bool:
        return Field(key, "switch", about, _text(value), group=group)
    if plain in (int, float):
        return Field(key, "number", about, _text(value), can_be_empty=optional, group=group)
    if get_origin(plain) is list and get_args(plain)[0] is RewardSpec:
        rows = [reward.model_dump() for reward in value]
        return Field(key, "rewards", about, json.dumps(rows, ensure_ascii=False))
    if get_origin(plain) is list:
        return Field(key, "list", about, ", ".join(map(str, value or ())), can_be_empty=True, group=group)
    if get_origin(plain) is dict:
        return Field(key, "yaml", about, json.dumps(value or {}, ensure_ascii=False), can_be_empty=True, group=group)
    can_be_empty = optional or (plain is str and value == "")
    return Field(key, "text", about, _text(value), can_be_empty=can_be_empty, group=group)


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """The type without None, and whether None was among its choices."""
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation, False
    parts = [part for part in get_args(annotation) if part is not type(None)]
    return (parts[0] if len(parts) == 1 else annotation), len(parts) < len(get_args(annotation))


def _model_of(annotation: Any) -> Any:
    plain, _ = _without_none(annotation)
    return plain if isinstance(plain, type) and issubclass(plain, BaseModel) else None


def _is_same(field: Field, text: str) -> bool:
    return text == field.value if field.kind == "long" else text.strip() == field.value


def _text(value: Any) -> str:
    """A value as it stands in a field."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{int(value)}.0" if value == math.floor(value) and abs(value) < 1e6 else repr(value)
    return str(value).strip()


def _yaml(field: Field, text: str) -> str:
    """What is typed as --set takes it: numbers as they are, texts so that they stay texts."""
    if not text.strip() and field.kind != "list":
        if not field.can_be_empty:
            raise InvalidInput(f"{field.key}: this is empty; the recipe says {field.value or 'nothing'}.")
        return NONE if field.kind != "text" else '""'
    if field.kind == "list":
        return json.dumps([part.strip() for part in text.split(",") if part.strip()], ensure_ascii=False)
    if field.kind in ("rewards", "yaml"):
        try:
            return json.dumps(yaml.safe_load(text), ensure_ascii=False)
        except (yaml.YAMLError, TypeError) as error:
            raise InvalidInput(f"{field.key}: this cannot be read; write it as YAML.") from error
    if field.kind in ("number", "switch") or field.group:
        return text
    return text if _stays_text(text) else json.dumps(text, ensure_ascii=False)


def _stays_text(text: str) -> bool:
    try:
        return bool(yaml.safe_load(text) == text)
    except yaml.YAMLError:
        return False


def _words(name: str) -> str:
    return name.replace("_", " ")

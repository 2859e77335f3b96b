"""Recipes: YAML files of assets/recipes or one's own, with what --set changes in them."""

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from medchat.errors import InvalidInput, MedChatError, NotFound, one_of
from medchat.formats import FORMATS
from medchat.settings import ASSETS
from medchat.yaml_lines import Place, line_of, read_yaml
from train.recipe_schema import STAGE_CLASSES, STAGE_KINDS, GrpoStage, Recipe, SftStage, Stage, generated_at_once
from train.recipe_words import said_of
from train.rewards import check_options, require_options

__all__ = ["RECIPES", "Recipe", "Stage", "load_recipe", "recipe_names", "with_overrides"]

MOST_OFFERED = 64  # the largest group that is proposed
RECIPES = ASSETS / "recipes"


class RecipeFault(InvalidInput):
    """What is wrong at a place of a recipe; at_line() says in which line of its file that is."""

    def __init__(self, place: Place, message: str) -> None:
        shown = ".".join(str(part) for part in place)
        super().__init__(" ".join(f"{shown + ': ' if shown else ''}{message}.".split()))
        self.place = place


def recipe_names(folder: Path = RECIPES) -> list[str]:
    """Names of the recipes that come with MedChat."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_recipe(name: str, overrides: Sequence[str] = (), folder: Path = RECIPES) -> Recipe:
    """The recipe of this name, or the YAML file at this path, with overrides like "stages.0.learning_rate=1e-4".

    What the recipe sets otherwise for its other bases holds where `base` is one of them. Raises NotFound, and
    InvalidInput with the line of the file, or the override, that is to be changed.
    """
    path = _find(name, folder)
    raw, lines = read_yaml(path)
    if not isinstance(raw, dict):
        raise InvalidInput(f"{path.name}:1: a recipe has name, title, about, base, data and stages.")
    return _checked(raw, overrides, path.name, lines)


def with_overrides(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """The recipe with these overrides. Raises InvalidInput that names the one to be changed."""
    return _checked(recipe.resolved(), overrides, recipe.name, {})


def _find(name: str, folder: Path) -> Path:
    path = Path(name).expanduser()
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        if not path.is_file():
            raise NotFound(f"There is no recipe file {name}.")
        return path
    known = recipe_names(folder)
    if name not in known:
        near = get_close_matches(name, known, 1)
        meant = f" Did you mean {near[0]}?" if near else ""
        raise NotFound(f"There is no recipe {name[:80]!r}; choose a YAML file, or {one_of(known)}.{meant}")
    return folder / f"{name}.yaml"


def at_line(name: str, overrides: Sequence[str], fault: RecipeFault, folder: Path = RECIPES) -> InvalidInput:
    """The fault with the line of the recipe of this name, or the override, that is to be changed."""
    path = _find(name, folder)
    raw, lines = read_yaml(path)
    return _located(fault, _Changes(raw if isinstance(raw, dict) else {}, overrides), path.name, lines)


class _Changes:
    """What --set says, and before it what the recipe sets otherwise for the base that is chosen."""

    def __init__(self, raw: Mapping[str, Any], overrides: Sequence[str]) -> None:
        self.given = [_parsed_override(text) for text in overrides]
        self.base = next((value for place, value in reversed(self.given) if place == ("base",)), raw.get("base"))
        others = raw.get("other_bases")
        self.other = (
            next((name for name in others if _same_name(name, self.base)), "") if isinstance(others, dict) else ""
        )
        changes = others[self.other] if self.other and isinstance(others, dict) else None
        self.for_base = [(_place_of(key), key, value) for key, value in (changes or {}).items()]

    def apply(self, values: dict[str, Any]) -> None:
        for place, _, value in self.for_base:
            _set(values, place, value)
        for place, value in self.given:
            _set(values, place, value)

    def origin(self, place: Place) -> Place | None:
        """Where the value at this place comes from: () for --set, a place in the file, or None for its own."""
        if any(place[: len(changed)] == changed for changed, _ in self.given):
            return ()
        keys = (key for changed, key, _ in self.for_base if place[: len(changed)] == changed)
        key = next(keys, None)
        return None if key is None else ("other_bases", self.other, key)


def _same_name(repo: object, base: object) -> bool:
    """Whether a base is this repository of the Hub, by its whole name or by the catalogue's id for it."""
    repo, base = str(repo).casefold(), str(base).casefold()
    return base in (repo, repo.rpartition("/")[2])


def _checked(raw: dict[str, Any], overrides: Sequence[str], where: str, lines: Mapping[Place, int]) -> Recipe:
    changes = _Changes(raw, overrides)
    values = copy.deepcopy(raw)
    changes.apply(values)
    try:
        recipe = _validated(values)
        _check(recipe)
    except RecipeFault as fault:
        raise _located(fault, changes, where, lines) from fault
    return recipe


def _located(fault: RecipeFault, changes: _Changes, where: str, lines: Mapping[Place, int]) -> InvalidInput:
    origin = changes.origin(fault.place)
    if origin == ():
        return InvalidInput(f"--set {fault}")
    return InvalidInput(f"{where}:{line_of(lines, origin or fault.place)}: {fault}" if lines else f"{where}: {fault}")


def _parsed_override(text: str) -> tuple[Place, Any]:
    """The place and the value of "a.0.b=VALUE", the value written as in YAML."""
    key, found, value = text.partition("=")
    if not found or not key.strip():
        raise InvalidInput(f"--set {text[:80]}: write KEY=VALUE, for example stages.0.learning_rate=1e-4.")
    try:
        return _place_of(key.strip()), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InvalidInput(f"--set {key.strip()[:80]}: the value is not valid YAML.") from error


def _place_of(key: str) -> Place:
    return tuple(int(part) if part.isdecimal() else part for part in key.split("."))


def _set(values: Any, place: Place, value: Any) -> None:
    """Set the value at the place; what does not fit there is left for the schema to refuse."""
    *way, last = place
    for done, part in enumerate(way):
        if isinstance(values, dict) and values.get(str(part)) is None:
            values[str(part)] = {}
        if isinstance(values, list) and isinstance(part, int) and part < len(values):
            values = values[part]
        elif isinstance(values, dict):
            values = values[str(part)]
        else:
            raise InvalidInput(
                f"--set {'.'.join(map(str, place))}: there is no {'.'.join(map(str, place[: done + 1]))}."
            )
    if isinstance(values, list) and isinstance(last, int) and last < len(values):
        values[last] = value
    elif isinstance(values, dict):
        values[str(last)] = value
    else:
        raise InvalidInput(f"--set {'.'.join(map(str, place))}: there is no such place in the recipe.")


def _validated(values: dict[str, Any]) -> Recipe:
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        errors = error.errors()
        first = errors[0]
        place = _place_in_recipe(first["loc"])
        message = said_of([other for other in errors if _place_in_recipe(other["loc"]) == place])
        if first["type"] == "extra_forbidden":
            message += _near(place, first["loc"])
        if first["type"].startswith("union_tag"):
            place, message = (*place, "kind"), f"a stage is one of {', '.join(STAGE_KINDS)}"
        raise RecipeFault(place, message) from error


def _place_in_recipe(place: Sequence[str | int]) -> Place:
    """The place without what pydantic adds: the stage's kind behind its number, and which of several types it tried."""
    parts = (part for before, part in zip(("", *place), place, strict=False)
             if not (isinstance(before, int) and part in STAGE_KINDS))  # fmt: skip
    return tuple(itertools.takewhile(lambda part: isinstance(part, int) or "[" not in part, parts))


def _near(place: Place, loc: Sequence[str | int]) -> str:
    """What may have been meant by an unknown key."""
    kind = next((part for part in loc if part in STAGE_KINDS), None)
    in_stage = len(place) == 3 and place[0] == "stages" and isinstance(kind, str)
    known = STAGE_CLASSES[str(kind)].model_fields if in_stage else Recipe.model_fields if len(place) == 1 else {}
    near = get_close_matches(str(place[-1]), known, 1)
    return f"; the nearest is {near[0]}" if near else ""


def _check(recipe: Recipe) -> None:
    """Raise RecipeFault where the schema holds and yet something does not go together."""
    if recipe.answer_format is not None and recipe.answer_format not in FORMATS:
        raise RecipeFault(("answer_format",), f"there is no format {recipe.answer_format!r}; choose {one_of(FORMATS)}")
    for name, marks in (("prompt", ["{question}"]), ("prompt_with_context", ["{question}", "{context}"])):
        text = getattr(recipe, name)
        missing = [mark for mark in marks if text and mark not in text]
        if missing:
            raise RecipeFault((name,), f"{missing[0]} is missing in it")
    if recipe.prompt and recipe.system_prompt:
        raise RecipeFault(("system_prompt",), "a prompt of its own takes no system prompt; leave one of them out")
    if recipe.prompt_with_context and not recipe.prompt:
        raise RecipeFault(("prompt_with_context",), "needs a prompt for questions without context")
    for number, stage in enumerate(recipe.stages):
        for field, message in _stage_faults(recipe, number, stage):
            raise RecipeFault(("stages", number, *_place_of(field)), message)


def _stage_faults(recipe: Recipe, number: int, stage: Stage) -> Iterator[tuple[str, str]]:
    if number and stage.lora is not None:
        yield "lora", "a later stage goes on with the adapter of the one before; leave it out"
    if not number and stage.lora is None:
        yield "lora", "the first stage needs one: r, alpha and targets"
    if stage.double_quant and stage.precision != "nf4":
        yield "double_quant", f"is for the precision nf4, and this is {stage.precision}"
    if stage.early_stopping and not stage.eval_steps:
        yield "early_stopping", "needs evaluations; set eval_steps"
    if stage.keep_best_by and not stage.eval_steps:
        yield "keep_best_by", "needs evaluations; set eval_steps"
    if stage.keep_step and stage.max_steps and stage.keep_step > stage.max_steps:
        yield "keep_step", f"comes after the last step, {stage.max_steps}"
    if recipe.held_out.at_each_evaluation and stage.eval_steps and not recipe.held_out.rows:
        yield "eval_steps", "held_out.at_each_evaluation measures no rows; set held_out.rows"
    if isinstance(stage, GrpoStage):
        yield from _grpo_faults(stage)
    if stage.kind == "kto" and stage.per_device_train_batch_size < 2:
        yield "per_device_train_batch_size", "KTO compares the rows of a batch; it needs two or more"
    if isinstance(stage, SftStage) and stage.reward_weighted:
        weighting = stage.reward_weighted
        yield from (("reward_weighted", message) for message in _reward_faults(weighting.reward, weighting.options))


def _grpo_faults(stage: GrpoStage) -> Iterator[tuple[str, str]]:
    made, group = generated_at_once(stage), stage.num_generations
    if made % group:
        batches = made // stage.per_device_train_batch_size
        fitting = [str(n) for n in range(2, min(made, MOST_OFFERED) + 1) if made % n == 0]
        change = f"make it {one_of(fitting)}, or change the batch" if fitting else "change the batch"
        yield (
            "num_generations",
            f"{made} answers are written at once ({stage.per_device_train_batch_size} x {batches}), which cannot be"
            f" parted into groups of {group}; {change}",
        )
    for i, reward in enumerate(stage.rewards):
        yield from ((f"rewards.{i}", message) for message in _reward_faults(reward.name, reward.options))


def _reward_faults(name: str, options: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a reward of the recipe."""
    try:
        check_options(name, options)
        require_options(name, options)
    except MedChatError as error:
        message = str(error).removesuffix(".")
        yield message[:1].lower() + message[1:]

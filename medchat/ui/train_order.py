"""What is to be trained: the form as the page sends it, checked, and the command that it means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medchat.catalogue import Catalogue, ModelSpec
from medchat.errors import InvalidInput, MedChatError
from medchat.jobs import Job
from medchat.rundir import RunDir
from medchat.settings import Settings
from medchat.ui.actions import OUT_OF_DATE, Action
from medchat.ui.train_fields import Field, changes_from, fields_of, overrides_of
from train.plan import resolve_base
from train.recipe_schema import Recipe
from train.recipes import load_recipe, recipe_names
from train.reward_setup import judge_in, options_in

NAME_CHARS = 80
TEXT_CHARS = 20_000
OWN_RECIPES = "recipes"  # folder of the data folder for recipes of one's own
RUN_DIR = "{run_dir}"  # as medchat.jobs has it
KEYS = {"wandb": ("WANDB_API_KEY", "WANDB_PROJECT", "WANDB_ENTITY")}  # that reporting to it needs


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody chose. recipe: its name, or that of a file of one's own. base: "" for the recipe's.

    data: as train_data names what can be chosen, "" for the recipe's own. typed: the texts of the fields that are not
    as the recipe has them, by key. name: of the run.
    """

    recipe: str
    base: str = ""
    data: str = ""
    name: str = ""
    typed: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As it is kept between pages."""
        return {"recipe": self.recipe, "base": self.base, "data": self.data, "name": self.name,
                "typed": dict(self.typed)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checked:
    """An order that holds. overrides: what --set says, the base first."""

    order: Order
    recipe: Recipe
    overrides: tuple[str, ...]


def sent_order(action: Action) -> Order:
    """The order that the page sent. Raises InvalidInput when it is none."""
    return order_of(action.mapping("order"))


def order_of(found: Mapping[str, Any]) -> Order:
    """The order out of JSON. Raises InvalidInput when it is none."""
    texts = [found.get(name, "") for name in ("recipe", "base", "data", "name")]
    typed = found.get("typed", {})
    if not isinstance(typed, dict) or not all(isinstance(text, str) for text in (*texts, *typed, *typed.values())):
        raise InvalidInput(OUT_OF_DATE)
    if any(len(text) > TEXT_CHARS for text in typed.values()):
        raise InvalidInput(f"A setting is too long: shorten it to {TEXT_CHARS:,} characters.")
    recipe, base, data, name = texts
    return Order(recipe, base.strip(), data, name.strip()[:NAME_CHARS], typed)


def recipes_here(settings: Settings) -> dict[str, str]:
    """What can be chosen: name -> what `python -m train run` takes for it."""
    own = sorted((settings.data_dir / OWN_RECIPES).glob("*.yaml"))
    return {name: name for name in recipe_names()} | {f"own: {path.stem}": str(path) for path in own}


def plain_recipe(settings: Settings, order: Order) -> Recipe:
    """The recipe of the order with its base, and nothing else changed. Raises InvalidInput."""
    return load_recipe(_source(settings, order), _base_override(order))


def check(settings: Settings, order: Order) -> Checked:
    """The order with all that was typed. Raises InvalidInput with the setting that is to be changed."""
    fields = fields_of(plain_recipe(settings, order))
    overrides = (*_base_override(order), *overrides_of(fields, order.typed))
    return Checked(order, load_recipe(_source(settings, order), overrides), overrides)


def bases_here(recipe: Recipe, catalogue: Catalogue, models_dir: Path) -> list[ModelSpec]:
    """The models of this machine that can be trained with the recipe."""
    found = []
    for spec in catalogue.values():
        try:
            resolve_base(recipe.model_copy(update={"base": spec.id}), catalogue, models_dir)
        except MedChatError:
            continue
        found.append(spec)
    return found


def argv_of(checked: Checked, settings: Settings, data: Path | None) -> tuple[str, ...]:
    """The command of the job."""
    changes = [part for override in checked.overrides for part in ("--set", override)]
    from_data = ("--data", str(data)) if data else ()
    return ("python", "-m", "train", "run", _source(settings, checked.order), *changes, *from_data,
            "--run-dir", RUN_DIR)  # fmt: skip


def variables_of(recipe: Recipe, catalogue: Catalogue) -> tuple[str, ...]:
    """Names of the environment variables that the run may have beside those of every job."""
    of_reports = tuple(name for reporter in recipe.report_to for name in KEYS.get(reporter, ()))
    return (*of_reports, *judge_variables(options_in(recipe), catalogue))


def judge_variables(options: Mapping[str, Mapping[str, Any]], catalogue: Catalogue) -> tuple[str, ...]:
    """The environment variable in which the key of the judge's server is, where there is one. Raises MedChatError."""
    judge = judge_in(options, catalogue)
    variable = judge.endpoint.key_variable if judge and judge.endpoint else ""
    return (variable,) if variable else ()


def shown_command(argv: Sequence[str], settings: Settings) -> str:
    """The command as it may be typed into a shell, before there is a run: it names the data folder, not the run's."""
    from train.launch import command_line

    plain = (*argv[: argv.index("--run-dir")], "--data-dir", str(settings.data_dir))
    return command_line(Job("", "train", "", plain, (), "", ""), RunDir(settings.runs_dir))


def cloned(settings: Settings, argv: Sequence[str], config: Mapping[str, Any], name: str) -> Order:
    """The order that gives this run again. Raises InvalidInput when its recipe is not here any more."""
    wanted = _resolved(config, argv)
    source = _after(argv, "run") or wanted.name
    known = {taken: shown for shown, taken in recipes_here(settings).items()}
    if source not in known:
        raise InvalidInput(f"The recipe {wanted.name} of this run is not here any more; it cannot be cloned.")
    order = Order(known[source], name=f"{name} (again)"[:NAME_CHARS])
    base = wanted.base if wanted.base != plain_recipe(settings, order).base else ""
    plain = Order(order.recipe, base)
    return Order(order.recipe, base, "", order.name, changes_from(fields_of(plain_recipe(settings, plain)), wanted))


def data_of(argv: Sequence[str], config: Mapping[str, Any]) -> str:
    """The path that the run was given as its data, "" for its recipe's own."""
    folder = config.get("data", {})
    own = not argv and isinstance(folder, Mapping) and str(folder.get("folder", ""))
    return _after(argv, "--data") or own or ""


def _resolved(config: Mapping[str, Any], argv: Sequence[str]) -> Recipe:
    """The recipe of a run: as it was written down, or, where it never began, as its command says."""
    if isinstance(config.get("recipe"), Mapping):
        return Recipe.model_validate(config["recipe"])
    overrides = [argv[i + 1] for i, part in enumerate(argv[:-1]) if part == "--set"]
    return load_recipe(_after(argv, "run"), overrides)


def _after(argv: Sequence[str], word: str) -> str:
    return next((argv[i + 1] for i, part in enumerate(argv[:-1]) if part == word), "")


def _source(settings: Settings, order: Order) -> str:
    known = recipes_here(settings)
    if order.recipe not in known:
        raise InvalidInput("Choose a recipe that is listed; this one is not here any more.")
    return known[order.recipe]


def _base_override(order: Order) -> tuple[str, ...]:
    if not order.base:
        return ()
    if not order.base.isprintable() or len(order.base) > TEXT_CHARS:
        raise InvalidInput("base: give the id of a model, a Hub name or a folder.")
    return (f"base={order.base}",)


def field_at(fields: Mapping[str, Field], message: str) -> str:
    """The key of the field that a message is about, or of which it names a part; "" for none."""
    named = message.removeprefix("--set ").partition(":")[0]
    return next((key for key in fields if named == key or named.startswith(f"{key}.")), "")


__all__ = [
    "NAME_CHARS", "Checked", "Order", "argv_of", "bases_here", "check", "cloned", "data_of", "field_at",
    "judge_variables", "order_of", "plain_recipe", "recipes_here", "sent_order", "shown_command", "variables_of",
]  # fmt: skip

"""What the rewards of a recipe look things up with: the knowledge, the ratings, and a judge where one is named."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from evaluation.judge import Judge
from medchat.backends import Backends
from medchat.catalogue import Catalogue, ModelSpec
from medchat.errors import InvalidInput, MedChatError
from medchat.grounding import Grounder
from medchat.settings import Settings
from medchat.yaml_lines import Place
from train.plan import Base, Data, Rows, each_row, row_question
from train.recipe_schema import GrpoStage, Recipe, RewardSpec, SftStage
from train.recipes import RecipeFault
from train.reward_options import MOST_CALLS
from train.rewards import REWARDS, RewardSetup, preferences_in

JUDGE, PREFERENCE = "judge", "preference"
NO_RATINGS = (
    "the reward {!r} scores only questions with ratings, and {}; prepare ratings with `python -m train feedback"
    " --out DIR` and give --data DIR, or leave the reward out"
)
OVER_CAP = (
    "The judge was asked {:,} questions, as many as most_calls allows; {:,} more were not asked, and the answers that"
    " they were about have no value of this reward."
)
NO_VERDICT = "Of {1:,} replies of the judge {0:,} were no verdict; another model may judge better."
TOO_LONG = "Of the questions to the judge {:,} were too long for it."


def placed_rewards(recipe: Recipe) -> Iterator[tuple[Place, RewardSpec]]:
    """All rewards that its stages use, each with its place in the recipe."""
    for number, stage in enumerate(recipe.stages):
        if isinstance(stage, GrpoStage):
            for i, spec in enumerate(stage.rewards):
                yield ("stages", number, "rewards", i), spec
        elif isinstance(stage, SftStage) and stage.reward_weighted is not None:
            how = stage.reward_weighted
            yield ("stages", number, "reward_weighted"), RewardSpec(name=how.reward, options=how.options)


def options_in(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """The options of each reward that it uses, by name; of one that is used twice those of the first."""
    found: dict[str, dict[str, Any]] = {}
    for _, spec in placed_rewards(recipe):
        found.setdefault(REWARDS[spec.name].name, spec.options)
    return found


def judge_in(options: Mapping[str, Mapping[str, Any]], catalogue: Catalogue) -> ModelSpec | None:
    """The model that is to judge by the options of rewards; None where none is named.

    Raises NotFound for one that the catalogue does not have, InvalidInput for one that is not on this machine.
    """
    name = str(options.get(JUDGE, {}).get("model", "")).strip()
    return _judging(name, catalogue) if name else None


def check_judges(recipe: Recipe, catalogue: Catalogue) -> None:
    """Raises RecipeFault when a model that is to judge cannot, or there are two."""
    first = ""
    for place, spec in placed_rewards(recipe):
        if REWARDS[spec.name].name != JUDGE:
            continue
        name = str(spec.options.get("model", "")).strip()
        try:
            _judging(name, catalogue)
        except MedChatError as error:
            raise RecipeFault(place, f"the judge cannot judge: {_clause(error)}") from error
        if first and name != first:
            raise RecipeFault(place, f"the recipe names two judges, {first} and {name}; one run has one")
        first = name


def check_bertscores(recipe: Recipe, models_dir: Path) -> None:
    """Raises RecipeFault when a reward compares with a model's vectors that is not on this machine."""
    for place, spec in placed_rewards(recipe):
        if spec.options.get("model") == "roberta-large" and REWARDS[spec.name].name != JUDGE:
            from evaluation.embed import roberta_folder  # loads transformers

            try:
                roberta_folder(models_dir)
            except MedChatError as error:
                raise RecipeFault(place, _clause(error)) from error


def check_preferences(recipe: Recipe, data: Data | None) -> None:
    """Raises RecipeFault when a reward needs ratings and its questions have none. data: None for what a run makes."""
    for place, spec in placed_rewards(recipe):
        if REWARDS[spec.name].name != PREFERENCE:
            continue
        if data is None:
            raise RecipeFault(place, NO_RATINGS.format(spec.name, "those of the recipe's own data have none"))
        rated = preferences_in(data.folder) if data.folder.is_dir() else {}
        rows = data.rows[int(place[1])]
        if not any(question in rated for question in _questions(rows)):
            raise RecipeFault(place, NO_RATINGS.format(spec.name, f"those of {data.folder.name!r} have none"))


def reward_setup(
    recipe: Recipe, base: Base, data: Data, grounder: Grounder, settings: Settings, stack: ExitStack
) -> RewardSetup:
    """The setup of a recipe that check_judges() lets pass; what it opens is closed with the stack."""
    specs = [spec for _, spec in placed_rewards(recipe)]
    wants_preferences = any(REWARDS[spec.name].name == PREFERENCE for spec in specs)
    judges = [spec.options for spec in specs if REWARDS[spec.name].name == JUDGE]
    return RewardSetup(
        answer_format=base.spec.answer_format,
        knowledge=grounder.knowledge,
        grounder=grounder,
        judge=judge_of(judges, settings, stack) if judges else None,
        preferences=preferences_in(data.folder) if wants_preferences else None,
        models_dir=settings.models_dir,
    )


def judge_of(options: Sequence[Mapping[str, Any]], settings: Settings, stack: ExitStack) -> Judge:
    """The judge that these options of rewards name, which may be asked as much as the most generous of them allows.

    Its model is given back with the stack. Raises NotFound, and InvalidInput for a model that is not here.
    """
    model = _judging(str(options[0]["model"]).strip(), Catalogue(settings.models_dir, settings.own_models_file))
    backends = stack.enter_context(
        closing(Backends(settings.threads, settings.slots, settings.n_ctx, settings.precision))
    )  # fmt: skip
    most_calls = max(its.get("most_calls", MOST_CALLS) for its in options)
    return Judge(model, backends.get(model), settings.data_dir / "cache" / "judge", most_calls)


def note_on(judge: Judge | None) -> str:
    """What is to be said of a judge after a run: why answers have no value of it, "" where all have one."""
    if judge is None:
        return ""
    counts = judge.counts
    notes = (
        OVER_CAP.format(counts.asked, counts.over_cap) if counts.over_cap else "",
        NO_VERDICT.format(counts.unparsable, counts.asked + counts.cached) if counts.unparsable else "",
        TOO_LONG.format(counts.too_long) if counts.too_long else "",
    )
    return " ".join(filter(None, notes))


def _judging(name: str, catalogue: Catalogue) -> ModelSpec:
    spec = catalogue.resolve(name)
    if not spec.is_here:
        raise InvalidInput(
            f"{name} is not on this machine; fetch it with `python -m medchat models fetch {spec.id}`, or name another."
        )
    return spec


def _questions(rows: Rows) -> Iterator[str]:
    return (row_question(row) for split, row in each_row(rows.kind, rows.train) if split == "train")


def _clause(error: MedChatError) -> str:
    message = str(error).removesuffix(".")
    return message[:1].lower() + message[1:] if message.startswith("There ") else message

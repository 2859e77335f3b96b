"""What the rewards of a recipe look things up with: the knowledge, the ratings, and a judge where one is named."""

from contextlib import ExitStack, closing

from evaluation.judge import Judge
from medchat.backends import Backends
from medchat.catalogue import Catalogue
from medchat.errors import InvalidInput
from medchat.grounding import Grounder
from medchat.settings import Settings
from train.plan import Base, Data
from train.recipe_schema import GrpoStage, Recipe, RewardSpec, SftStage
from train.rewards import RewardSetup, preferences_in

JUDGE, PREFERENCE = "judge", "preference"


def rewards_of(recipe: Recipe) -> list[RewardSpec]:
    """All rewards that its stages use."""
    found: list[RewardSpec] = []
    for stage in recipe.stages:
        if isinstance(stage, GrpoStage):
            found += stage.rewards
        elif isinstance(stage, SftStage) and stage.reward_weighted is not None:
            found.append(RewardSpec(name=stage.reward_weighted.reward, options=stage.reward_weighted.options))
    return found


def reward_setup(
    recipe: Recipe, base: Base, data: Data, grounder: Grounder, settings: Settings, stack: ExitStack
) -> RewardSetup:
    """The setup; what it opens is closed with the stack.

    Raises NotFound when the model that is to judge is not in the catalogue, InvalidInput when two are named.
    """
    used = rewards_of(recipe)
    wants_preferences = any(spec.name == PREFERENCE for spec in used) and data.folder.is_dir()
    return RewardSetup(
        answer_format=base.spec.answer_format,
        knowledge=grounder.knowledge,
        grounder=grounder,
        judge=_judge([spec for spec in used if spec.name == JUDGE], settings, stack),
        preferences=preferences_in(data.folder) if wants_preferences else None,
        models_dir=settings.models_dir,
    )


def _judge(specs: list[RewardSpec], settings: Settings, stack: ExitStack) -> Judge | None:
    names = {str(spec.options.get("model", "")) for spec in specs} - {""}
    if not names:
        return None
    if len(names) > 1:
        raise InvalidInput(f"The recipe names several judges ({', '.join(sorted(names))}); one run has one.")
    model = Catalogue(settings.models_dir, settings.own_models_file).resolve(names.pop())
    backends = stack.enter_context(
        closing(Backends(settings.threads, settings.slots, settings.n_ctx, settings.precision))
    )  # fmt: skip
    most_calls = max(int(spec.options.get("most_calls", 0)) for spec in specs)
    return Judge(model, backends.get(model), settings.data_dir / "cache" / "judge", most_calls)

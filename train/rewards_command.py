"""`python -m train rewards FILE`: what each reward gives for completions, before a run is trained with them.

FILE is JSON: answer_format, example (as a line of an Examples file; its answer may be null), completions (texts as a
model wrote them) and, where not all are wanted, names of rewards. Rewards have the options of `options` in the file,
by the reward's name, or else those of --recipe; a judge is asked where one of them names its model.
"""

import argparse
import json
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medchat.catalogue import Catalogue
from medchat.errors import InvalidInput, MedChatError, one_of
from medchat.formats import FORMATS
from medchat.records import Example
from medchat.rundir import RunDir
from medchat.settings import Settings

MOST = 50  # completions


@dataclass(frozen=True, slots=True)
class Asked:
    """Completions of one question, and the rewards that are wanted. options: by the reward's name."""

    answer_format: str
    example: Example
    completions: tuple[str, ...]
    names: tuple[str, ...]
    options: Mapping[str, Mapping[str, Any]]


def add_parser(commands: Any) -> None:
    """Adds the command `rewards`."""
    parser = commands.add_parser("rewards", help="see what rewards give for completions", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="JSON with answer_format, example and completions")
    parser.add_argument("--recipe", metavar="RECIPE", help="take the options of its rewards: its name, or a YAML file")
    parser.add_argument(
        "--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE",
        help="override a key of that recipe; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="what `feedback` wrote, for the clinicians' preference"
    )
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="folder of the run, for its result")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="the data folder (default: ~/.medchat)")
    parser.set_defaults(function=run)


def run(args: argparse.Namespace) -> int:
    """Print the value of each reward for each completion; `-` for one that cannot be scored. Raises MedChatError."""
    from medchat.grounding_fit import fitted_or_loaded
    from train.reward_setup import JUDGE, judge_in, judge_of, note_on
    from train.rewards import RewardSetup, preferences_in, score_all

    asked = read_asked(args.file)
    options = {**_options_of_recipe(args.recipe, args.overrides), **asked.options}
    settings = Settings.from_environment(data_dir=args.data_dir)
    folder = RunDir(args.run_dir) if args.run_dir else None
    asks = judge_in(options, Catalogue(settings.models_dir, settings.own_models_file)) and JUDGE in asked.names
    config = {"kind": "prepare", "name": f"Rewards of {len(asked.completions)} completions"}
    with folder.begin(config, 0) if folder else nullcontext() as writer, ExitStack() as stack:
        grounder = fitted_or_loaded(settings.data_dir / "cache")
        setup = RewardSetup(
            answer_format=asked.answer_format,
            knowledge=grounder.knowledge,
            grounder=grounder,
            judge=judge_of([options[JUDGE]], settings, stack) if asks else None,
            preferences=preferences_in(args.data) if args.data else None,
            models_dir=settings.models_dir,
        )
        examples = [asked.example] * len(asked.completions)
        scores = score_all(asked.completions, examples, asked.names, setup, options, torch=True)
        for name, values in scores.values.items():
            print(name, *("-" if value is None else f"{value:.4g}" for value in values), sep="\t")
        for name, reason in scores.missing.items():
            print(name, reason, sep="\t")
        if note := note_on(setup.judge):
            print(note)
        if writer is not None:
            writer.result({"kind": "rewards", "options": options, **asdict(scores)})
    return 0


def _options_of_recipe(name: str | None, overrides: list[str]) -> dict[str, dict[str, Any]]:
    from train.recipes import load_recipe
    from train.reward_setup import options_in

    if name is None and overrides:
        raise InvalidInput("--set changes a recipe; name it with --recipe.")
    return options_in(load_recipe(name, overrides)) if name else {}


def read_asked(path: Path) -> Asked:
    """What the file asks for. Raises InvalidInput with what is wrong in it."""
    from train.rewards import REWARD_NAMES, REWARDS

    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InvalidInput(f"{path.name} is not JSON.") from error
    if not isinstance(found, dict):
        raise InvalidInput(f"{path.name} is no object with answer_format, example and completions.")
    completions, names = found.get("completions"), found.get("names") or list(REWARD_NAMES)
    if not isinstance(completions, list) or not all(isinstance(text, str) for text in completions):
        raise InvalidInput(f"{path.name}: 'completions' is no list of texts.")
    if not 0 < len(completions) <= MOST:
        raise InvalidInput(f"{path.name}: give 1 to {MOST} completions, not {len(completions)}.")
    if found.get("answer_format") not in FORMATS:
        raise InvalidInput(f"{path.name}: 'answer_format' is none of {one_of(list(FORMATS))}.")
    unknown = next((name for name in names if name not in REWARDS), None)
    if unknown is not None:
        raise InvalidInput(f"{path.name}: there is no reward {unknown!r}; choose {one_of(list(REWARDS))}.")
    options = _options(found.get("options", {}), path.name)
    example = Example.from_json(json.dumps(found.get("example")), f"{path.name}, 'example'")
    return Asked(found["answer_format"], example, tuple(completions), tuple(names), options)


def _options(found: object, where: str) -> dict[str, dict[str, Any]]:
    """The options of rewards by their names. Raises InvalidInput for what no reward has."""
    from train.rewards import REWARDS, check_options

    if not isinstance(found, dict) or not all(isinstance(its, dict) for its in found.values()):
        raise InvalidInput(f"{where}: 'options' is no object with the options of each reward.")
    for name, its in found.items():
        try:
            check_options(name, its)
        except MedChatError as error:
            raise InvalidInput(f"{where}, 'options': {error}") from error
    return {REWARDS[name].name: its for name, its in found.items()}

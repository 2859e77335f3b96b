"""Command line of a training run: `python -m train run RECIPE`."""

import argparse
import shlex
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from medchat.intake import take_in_here
from medchat.rundir import RUNS, RunDir
from medchat.settings import Settings
from train.estimate_command import HERE, MACHINES, print_estimate
from train.recipes import Recipe, RecipeFault, at_line, load_recipe, recipe_names

NOT_LISTED = (
    "There is no database of this MedChat yet, so the model is not in the list: run `python -m medchat db upgrade`,"
    " and then this command with --run-dir {} --resume."
)


def add_parser(commands: Any) -> None:
    """Adds the command `run`."""
    parser = commands.add_parser(
        "run",
        help="train by a recipe",
        description=f"Train by a recipe: {', '.join(recipe_names())}, or a YAML file of your own.",
    )
    parser.add_argument("recipe", metavar="RECIPE", help="name of a recipe, or a YAML file")
    parser.add_argument(
        "--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE",
        help="override a key of the recipe, for example stages.0.learning_rate=1e-4; may be repeated",
    )  # fmt: skip
    parser.add_argument("--data", type=Path, metavar="DIR|FILE", help="prepared folder, ratings, or a file of Examples")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="folder of the run (default: in the data folder)")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the run in --run-dir from its last checkpoint"
    )
    parser.add_argument(
        "--estimate", nargs="?", const=HERE, choices=MACHINES,
        help="only say what memory and time it takes, on this machine (default) or another; the base need not be here",
    )  # fmt: skip
    parser.add_argument("--threads", type=int, metavar="N", help="cores to use (default: all)")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="the data folder (default: ~/.medchat)")
    parser.add_argument("--db", metavar="URL", help="SQLAlchemy URL of the store (default: a file in the data folder)")
    parser.set_defaults(function=run)


def run(args: argparse.Namespace) -> int:
    """Train; the exit status is 0 also for a run that was asked to stop. Raises MedChatError."""
    settings = Settings.from_environment(data_dir=args.data_dir, db=args.db, threads=args.threads)
    recipe = load_recipe(args.recipe, args.overrides)
    try:
        if args.estimate:
            print_estimate(recipe, args.data, settings, args.estimate)
            return 0
        return _train(args, recipe, settings)
    except RecipeFault as fault:
        raise at_line(args.recipe, args.overrides, fault) from fault


def _train(args: argparse.Namespace, recipe: Recipe, settings: Settings) -> int:
    from train.run import is_done, train

    moment = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = RunDir(args.run_dir or settings.data_dir / RUNS / f"{recipe.name}-{moment}")
    done = args.resume and is_done(folder)
    try:
        train(recipe, args.data, folder, settings, resume=args.resume, say=print if done else _say_to(folder))
    finally:
        listed = not folder.state_file.exists() or take_in_here(folder, settings)
    if not listed and is_done(folder):
        print(NOT_LISTED.format(shlex.quote(str(folder.path))))
    if done:
        print(f"The run in {folder.path.name} is done already; nothing was trained.")
    print(folder.path)
    return 0


def _say_to(folder: RunDir) -> Callable[[str], None]:
    """Print a line; into the log too, where nobody has led there what is printed."""
    of_job = folder.job_file.exists()

    def say(line: str) -> None:
        print(line, flush=True)
        if not of_job and folder.path.is_dir():
            with folder.log_file.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")

    return say

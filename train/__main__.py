"""Command line of training data and training: `python -m train prepare | augment | distill | feedback | run ...`."""

import argparse
import sys
from pathlib import Path

from medchat.errors import InvalidInput, MedChatError
from medchat.settings import ASSETS, Settings
from train import (
    augment_command,
    distill_command,
    export_command,
    feedback_command,
    prepare_command,
    quality_command,
    review_command,
    rewards_command,
    run_command,
    sources_command,
)

BUNDLED = ASSETS / "demo"
GOES_ON = {
    "augment": "the same command goes on where it stopped",
    "demo": "the same command goes on from the last checkpoint",
    "distill": "the same command goes on where it stopped",
    "prepare": "the same command goes on where it stopped",
    "quality": "the same command goes on where it stopped",
    "run": "with --run-dir and --resume it goes on from the last checkpoint",
}


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 failed with one line, 2 wrong arguments."""
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="train the bundled models from scratch on assets/knowledge")
    demo.add_argument("--out", type=Path, default=BUNDLED, help="where the models go (default: assets/demo)")
    demo.add_argument(
        "--run-dir",
        type=Path,
        help="checkpoints and progress (default: in the data folder); the same folder again resumes",
    )
    demo.add_argument("--data-dir", type=Path, help="data folder, for caches")
    demo.add_argument("--base-tokens", type=_millions, metavar="MILLIONS", help="budget of the first stage")
    demo.add_argument("--answer-tokens", type=_millions, metavar="MILLIONS", help="budget of the second stage")
    demo.add_argument("--seed", type=int)
    demo.add_argument("--threads", type=_count, help="cores to use (default: all)")
    demo.set_defaults(function=_demo)
    run_command.add_parser(commands)
    sources_command.add_parser(commands)
    prepare_command.add_parser(commands)
    augment_command.add_parser(commands)
    distill_command.add_parser(commands)
    feedback_command.add_parser(commands)
    quality_command.add_parser(commands)
    review_command.add_parser(commands)
    rewards_command.add_parser(commands)
    export_command.add_parser(commands)
    args = parser.parse_args(arguments)
    try:
        if getattr(args, "resume", False) and not args.run_dir:
            raise InvalidInput("--resume goes on with the run in --run-dir; give that too.")
        return args.function(args)
    except MedChatError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"Stopped; {GOES_ON.get(args.command, 'the same command begins anew')}.", file=sys.stderr)
        return 1


def _demo(args: argparse.Namespace) -> int:
    from train.demo.build import Recipe, build

    settings = Settings.from_environment(data_dir=args.data_dir, threads=args.threads)
    given = {name: getattr(args, name) for name in ("base_tokens", "answer_tokens", "seed")}
    recipe = Recipe(**{name: value for name, value in given.items() if value is not None})
    run_dir = args.run_dir or settings.data_dir / "runs" / "demo"
    suites = ASSETS / "suites" if args.out == BUNDLED else args.out / "suites"
    cache_dir = settings.shared_cache_dir
    build(args.out, suites, run_dir, cache_dir, recipe, settings.threads, lambda line: print(line, flush=True))
    return 0


def _millions(text: str) -> float:
    value = float(text)
    if not 0.001 <= value <= 1e6:
        raise ValueError
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 512:
        raise ValueError
    return value


if __name__ == "__main__":
    sys.exit(main())

"""`python -m train rewards FILE`: what each reward gives for completions, before a run is trained with them.

FILE is JSON: answer_format, example (as a line of an Examples file), completions (texts as a model wrote them) and,
where not all are wanted, names of rewards.
"""

import argparse
import json
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from medchat.errors import InvalidInput, one_of
from medchat.formats import FORMATS
from medchat.records import Example
from medchat.rundir import RunDir
from medchat.settings import Settings

MOST = 50  # completions


@dataclass(frozen=True, slots=True)
class Asked:
    """Completions of one question, and the rewards that are wanted."""

    answer_format: str
    example: Example
    completions: tuple[str, ...]
    names: tuple[str, ...]


def add_parser(commands: Any) -> None:
    """Adds the command `rewards`."""
    parser = commands.add_parser("rewards", help="see what rewards give for completions", description=__doc__)
    parser.add_argument("file", type=Path, metavar="FILE", help="JSON with answer_format, example and completions")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="what `feedback` wrote, for the clinicians' preference"
    )
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="folder of the run, for its result")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="the data folder (default: ~/.medchat)")
    parser.set_defaults(function=run)


def run(args: argparse.Namespace) -> int:
    """Print the value of each reward for each completion; `-` for one that cannot be scored. Raises MedChatError."""
    from medchat.grounding_fit import fitted_or_loaded
    from train.rewards import RewardSetup, preferences_in, score_all

    asked = read_asked(args.file)
    settings = Settings.from_environment(data_dir=args.data_dir)
    folder = RunDir(args.run_dir) if args.run_dir else None
    config = {"kind": "prepare", "name": f"Rewards of {len(asked.completions)} completions"}
    with folder.begin(config, 0) if folder else nullcontext() as writer:
        grounder = fitted_or_loaded(settings.data_dir / "cache")
        setup = RewardSetup(
            answer_format=asked.answer_format,
            knowledge=grounder.knowledge,
            grounder=grounder,
            preferences=preferences_in(args.data) if args.data else None,
            models_dir=settings.models_dir,
        )
        examples = [asked.example] * len(asked.completions)
        scores = score_all(asked.completions, examples, asked.names, setup, torch=True)
        for name, values in scores.values.items():
            print(name, *("-" if value is None else f"{value:.4g}" for value in values), sep="\t")
        for name, reason in scores.missing.items():
            print(name, reason, sep="\t")
        if writer is not None:
            writer.result({"kind": "rewards", **asdict(scores)})
    return 0


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
    example = Example.from_json(json.dumps(found.get("example")), f"{path.name}, 'example'")
    return Asked(found["answer_format"], example, tuple(completions), tuple(names))

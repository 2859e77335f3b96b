"""`python -m evaluation harness`: lm-eval on a model of the catalogue, its results taken into the store."""

from argparse import ArgumentParser, Namespace, _SubParsersAction
from pathlib import Path

from evaluation.run_command import count
from medchat.errors import InvalidInput
from medchat.settings import Settings


def add_harness_parser(commands: "_SubParsersAction[ArgumentParser]", common: ArgumentParser) -> None:
    """Adds `harness` to the commands."""
    parser = commands.add_parser(
        "harness", parents=[common], help="run lm-eval on a model",
        description="Run tasks of lm-evaluation-harness on a model of the catalogue and keep the results with ours. A"
        " folder of tasks of your own needs no network; lm-eval's own tasks fetch their data from the Hub.",
    )  # fmt: skip
    parser.add_argument("--model", required=True, metavar="ID", help="a model's id, or a model folder")
    parser.add_argument(
        "--tasks", required=True, metavar="FOLDER|NAMES",
        help="a folder of task files (it may hold code that lm-eval runs), or names of its own tasks: a,b",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the results")
    parser.add_argument("--limit", type=count, metavar="N", help="only the first N questions of each task")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of its random numbers (default 0)")
    parser.set_defaults(command=harness_command)


def harness_command(args: Namespace, settings: Settings) -> None:
    """Runs it, prints what it found and takes that into the store.

    Raises MedChatError for what cannot be run, KeyboardInterrupt when it was asked to stop.
    """
    from evaluation.harness import rows_of, run_harness, settings_of, tasks_of
    from evaluation.run_command import facts_of, take_in
    from evaluation.summary import table
    from medchat.catalogue import Catalogue
    from medchat.rundir import RunDir

    tasks = tasks_of(args.tasks)
    spec = Catalogue(settings.models_dir, settings.own_models_file).resolve(args.model)
    run_dir = RunDir(args.out)
    if run_dir.config_file.exists():
        raise InvalidInput(f"{args.out} holds a run already; choose another folder.")
    precision = settings.precision or (spec.precision if spec.backend == "transformers" else "fp32")
    told = settings_of(spec, tasks, run_dir.path / "lm-eval", precision, args.limit, args.seed)
    config = {"kind": "evaluation", "name": f"{spec.id} in lm-eval", "models": [facts_of(spec)], "lm_eval": told}
    try:
        with run_dir.begin(config, 0) as writer:
            found = run_harness(told, tasks, run_dir.path, settings, writer)
            if found is not None:
                writer.result({"kind": "evaluation", "evaluations": rows_of(facts_of(spec), found, told)})
    finally:
        take_in(run_dir, settings)
    if found is None:
        raise KeyboardInterrupt
    for result in found:
        print(f"{result.suite}: {result.n} questions\n{table({spec.id: result.summary})}")

"""`python -m evaluation run`: models asked the examples of suites, scored, and the results taken into the store."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, _SubParsersAction
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from evaluation.templates import TEMPLATES
from medchat.errors import InvalidInput, MedChatError
from medchat.settings import Settings

if TYPE_CHECKING:
    from evaluation.judge import Judge
    from evaluation.run import AskedModel, AskedSuite
    from evaluation.suites import Suite
    from medchat.backends import Backends
    from medchat.catalogue import ModelSpec
    from medchat.grounding import Grounder
    from medchat.rundir import RunDir

GROUNDING = "grounding"  # what --model takes for the recogniser alone
JUDGE_CALLS = 1000
LIBRARIES = ("llama-cpp-python", "torch", "transformers", "peft", "bert-score", "sacrebleu")
SETTLED = ("models", "suites", "seed", "judge")  # what a run that is gone on with must have in common with before


def count(text: str) -> int:
    """The whole number from 1 on that an argument is."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) < 1 << 31:
        raise ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def add_run_parser(commands: "_SubParsersAction[ArgumentParser]", common: ArgumentParser) -> None:
    """Adds `run` to the commands."""
    run = commands.add_parser(
        "run", parents=[common], help="score models on suites",
        description="Ask models the examples of suites and score the answers. A run that was stopped or killed goes on"
        " with --resume. Where there is a store, ratings of the same answers in it give the accuracy of their steps, by"
        " the raters' marks, and a judge's agreement with clinicians; the report reads them anew.",
    )  # fmt: skip
    run.add_argument(
        "--model", action="append", required=True, dest="models", metavar="ID",
        help=f"a model's id, a GGUF file or model folder, 'default', or '{GROUNDING}' for the recogniser alone; may be"
        " repeated",
    )  # fmt: skip
    run.add_argument(
        "--suite", action="append", required=True, dest="suites", metavar="NAME|FILE|NAME=PATH",
        help="a suite of MedChat (`python -m evaluation suites` lists them), Examples of yours in a .jsonl or .csv"
        " file, or a benchmark with its files; may be repeated",
    )  # fmt: skip
    run.add_argument(
        "--out", type=Path, required=True, metavar="DIR",
        help="folder of predictions.jsonl and summary.json; of several suites each has a folder of its own in it",
    )  # fmt: skip
    run.add_argument("--limit", type=count, metavar="N", help="only the first N examples of each suite")
    run.add_argument("--seed", type=int, default=0, metavar="N", help="of sampling and shuffling (default 0)")
    run.add_argument(
        "--metrics",
        metavar="A,B",
        help="score these instead of the suite's own; `python -m evaluation metrics` lists them",
    )
    run.add_argument(
        "--template", metavar="NAME", help=f"ask with this template instead of the suite's own: {', '.join(TEMPLATES)}"
    )
    run.add_argument(
        "--judge", metavar="MODEL",
        help="the model that judges, for metrics that need one; until 30 of its verdicts were compared with ratings of"
        " clinicians its scores are marked as not shown to agree with them",
    )  # fmt: skip
    run.add_argument(
        "--judge-calls", type=count, default=JUDGE_CALLS, metavar="N",
        help=f"questions that the judge may be asked (default {JUDGE_CALLS:,})",
    )  # fmt: skip
    run.add_argument("--resume", action="store_true", help="go on with the run in DIR")
    run.add_argument("--quiet", action="store_true", help="do not print the results; they are in DIR all the same")
    run.set_defaults(command=run_command)


def run_command(args: Namespace, settings: Settings) -> None:
    """Runs it, prints the summaries and takes the results into the store.

    Raises MedChatError for what cannot be run, KeyboardInterrupt when it was asked to stop.
    """
    from evaluation.people import people_here
    from evaluation.run import run_suites
    from evaluation.summary import table
    from medchat.backends import Backends
    from medchat.catalogue import Catalogue
    from medchat.rundir import RunDir

    suites = [_suite(name, args, settings) for name in args.suites]
    for line in [f"{suite.name}: {note}" for suite in suites for note in suite.notes]:
        print(line, file=sys.stderr)
    names = _folder_names(suites)
    catalogue = Catalogue(settings.models_dir, settings.own_models_file)
    specs = [None if name == GROUNDING else catalogue.resolve(name) for name in dict.fromkeys(args.models)]
    judge = catalogue.resolve(args.judge) if args.judge else None
    config = _config(args, list(dict.fromkeys(specs)), suites, names, judge)
    run_dir = RunDir(args.out)
    _check_folder(run_dir.path, args.out, config, resume=args.resume)
    backends = Backends(settings.threads, settings.slots, settings.n_ctx, settings.precision)
    try:
        with run_dir.begin(config, 0, append=args.resume) as writer:
            models, asked = _composed(args, settings, list(dict.fromkeys(specs)), suites, names, judge, backends)
            found = run_suites(models, asked, writer, run_dir.path, lambda: people_here(settings))
    finally:
        backends.close()
        take_in(run_dir, settings)
    if found is None:
        raise KeyboardInterrupt
    if args.quiet:
        return
    for name, suite in zip(names, suites, strict=True):
        print(f"{name}: {suite.n} examples\n{table(found[name])}")


def take_in(run_dir: "RunDir", settings: Settings) -> None:
    """Take the run's results into the store where there is one; they stay in the folder whatever becomes of this."""
    from medchat.intake import take_in_here

    if not run_dir.state_file.exists():
        return
    try:
        take_in_here(run_dir, settings)
    except MedChatError as error:
        print(f"evaluation: the results are in the folder, but not in the store: {error}", file=sys.stderr)


def _suite(name: str, args: Namespace, settings: Settings) -> "Suite":
    from evaluation.metrics import METRICS
    from evaluation.suites import load_suite, with_template
    from medchat.errors import NotFound

    suite = load_suite(name, args.limit, data_dir=settings.data_dir)
    if args.template:
        suite = with_template(suite, args.template)
    if args.metrics:
        chosen = tuple(dict.fromkeys(filter(None, map(str.strip, args.metrics.split(",")))))
        for metric in chosen:
            if metric not in METRICS:
                raise NotFound(f"There is no metric {metric!r}; choose from: {', '.join(sorted(METRICS))}.")
        suite = replace(suite, metrics=chosen)
    return suite


def _folder_names(suites: "Sequence[Suite]") -> list[str]:
    names = [suite.name for suite in suites]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InvalidInput(f"Two suites are called {twice!r}; run them one after another, or rename a file.")
    return names


def _check_folder(folder: Path, shown: Path, config: Mapping[str, Any], *, resume: bool) -> None:
    """Raises InvalidInput when the folder cannot be used, holds another run, or one that is not to be gone on with."""
    from evaluation.run import prediction_files, require_same
    from medchat.rundir import RunDir

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"{shown} cannot be a folder for the results: {error.strerror}.") from error
    if not prediction_files(folder):
        return
    if not resume:
        raise InvalidInput(f"{shown} holds a run already; add --resume to go on with it, or choose another folder.")
    require_same(config, RunDir(folder).config(), SETTLED)


def _config(
    args: Namespace,
    specs: "Sequence[ModelSpec | None]",
    suites: "Sequence[Suite]",
    names: Sequence[str],
    judge: "ModelSpec | None",
) -> dict[str, Any]:
    """What config.yaml holds."""
    models: list[dict[str, Any]] = [{**facts_of(spec), "asked_as": _asked_as(spec)} for spec in specs]
    return {
        "kind": "evaluation",
        "name": f"{', '.join(model['model_id'] for model in models)} on {', '.join(names)}",
        "models": models,
        "suites": [
            {
                "name": name, "family": suite.family, "n": suite.n, "digest": suite.digest,
                "template": suite.template.name, "sampling": asdict(suite.sampling) if suite.sampling else None,
                "metrics": list(suite.metrics), "shuffles": suite.shuffles, "skipped": dict(suite.skipped),
            }
            for name, suite in zip(names, suites, strict=True)
        ],
        "seed": args.seed,
        "judge": judge.id if judge else None,
        "judge_calls": args.judge_calls,
        "suites_given": args.suites,
        "limit": args.limit,
        "versions": {name: found for name in LIBRARIES if (found := _version(name))},
    }  # fmt: skip


def facts_of(spec: "ModelSpec | None") -> dict[str, str]:
    """What the results of a model are tied to; of None, the recogniser, its name alone."""
    from medchat.asked_models import adapter_hash

    if spec is None:
        return {"model_id": GROUNDING, "base": "", "revision": "", "adapter_hash": ""}
    revision = spec.hub.revision if spec.hub else ""
    return {"model_id": spec.id, "base": spec.base, "revision": revision, "adapter_hash": adapter_hash(spec)}


def _asked_as(spec: "ModelSpec | None") -> dict[str, Any]:
    """What else decides a model's answers."""
    if spec is None:
        return {}
    chat = {name: its for name in ("case_form", "answer_start") if (its := getattr(spec, name))}
    return chat | {
        "backend": spec.backend, "precision": spec.precision if spec.backend == "transformers" else "",
        "answer_format": spec.answer_format, "system_prompt": spec.system_prompt, "prompt": spec.prompt,
        "n_ctx": spec.n_ctx, "sampling": asdict(spec.sampling),
    }  # fmt: skip


def _composed(
    args: Namespace,
    settings: Settings,
    specs: "Sequence[ModelSpec | None]",
    suites: "Sequence[Suite]",
    names: Sequence[str],
    judge: "ModelSpec | None",
    backends: "Backends",
) -> "tuple[list[AskedModel], list[AskedSuite]]":
    from evaluation.metrics import Tools
    from evaluation.run import AskedModel, AskedSuite
    from evaluation.suites import suite_metrics
    from medchat.grounding_fit import fitted_or_loaded

    grounder = fitted_or_loaded(settings.data_dir / "cache")
    judging = _judge(judge, args, settings, backends) if judge else None
    tools = Tools(grounder, grounder.knowledge, judge=judging, models_dir=settings.models_dir)
    asked = [AskedSuite(suite, name, suite_metrics(suite, tools)) for name, suite in zip(names, suites, strict=True)]

    def sampling(spec: "ModelSpec | None") -> "Callable[[Suite], Mapping[str, Any]]":
        def of(suite: "Suite") -> Mapping[str, Any]:
            chosen = suite.sampling or (spec.sampling if spec else None)
            return asdict(chosen) | {"seed": args.seed} if chosen else {}

        return of

    models = [
        AskedModel(
            facts_of(spec)["model_id"],
            facts_of(spec),
            sampling(spec),
            _asker(spec, settings, args.seed, grounder, backends),
        )
        for spec in specs
    ]
    return models, asked


def _judge(spec: "ModelSpec", args: Namespace, settings: Settings, backends: "Backends") -> "Judge":
    """The judge, with the questions that it was asked before a run is gone on with."""
    from evaluation.judge import Judge, JudgeCounts
    from evaluation.judge_agreement import judged_by
    from evaluation.run import read_predictions

    before = sum(judged.counts.asked for judged in judged_by(read_predictions(args.out), None).values())
    cache_dir = settings.data_dir / "cache" / "judge"
    return Judge(spec, backends.get(spec), cache_dir, args.judge_calls, JudgeCounts(asked=before))


def _asker(
    spec: "ModelSpec | None", settings: Settings, seed: int, grounder: "Grounder", backends: "Backends"
) -> "Callable[[AskedSuite, Event], Any]":
    """Makes what asks the model; the model is loaded when it is asked first."""
    from evaluation.asking import Asker, GroundingAsker

    def ask(asked: "AskedSuite", stop: Event) -> Any:
        if spec is None:
            return GroundingAsker(grounder)
        return Asker(
            spec, backends.get(spec), grounder, asked.suite, tuple(asked.metrics), seed, settings.slots,
            settings.max_auto_continues, stop,
        )  # fmt: skip

    return ask


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""

"""Command line of distillation: `python -m train distill IN --teacher MODEL --kind KIND --out OUT`."""

import argparse
import shlex
import sys
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from medchat.errors import InvalidInput
from medchat.rundir import RunDir
from medchat.settings import Settings
from train.distill_options import (
    DEFAULT_STYLE,
    KINDS,
    NEW_QUESTIONS,
    STYLES,
    Options,
    check,
    mix_of,
    style_of,
)
from train.teacher_words import estimate_lines, has_price, limit_lines, price_of, spent_line

if TYPE_CHECKING:
    from evaluation.metrics import Tools
    from medchat.keys import Limits
    from train.distill_rank import Ranks
    from train.teachers import Ledger, Teacher

ABOUT = {
    "response": "answers of the teachers", "cot": "reasoning, then 'Final Answer:'",
    "label": "answers to unlabelled.jsonl", "rank": "pairs of a better and a worse answer, in dpo.jsonl",
    "self-instruct": "new questions, by the first teacher, with answers",
}  # fmt: skip
REASONS_SHOWN = 8
MOST_CALLS = 10**9  # of a judge: the spending limit is what holds it


def add_parser(commands: Any) -> None:
    """Adds the command `distill`."""
    parser = commands.add_parser(
        "distill",
        help="let teacher models answer, and make rows to train on of that",
        description="Ask models of the catalogue about the rows to train on (or unlabelled ones) and write what they"
        " answer as rows, or as pairs. Every reply is kept: the same command goes on where it stopped, and costs"
        " nothing when it is given again.",
    )
    parser.add_argument("source", type=Path, metavar="IN", help="prepared folder, or a file of Examples")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder that is written")
    parser.add_argument(
        "--teacher", action="append", required=True, dest="teachers", metavar="MODEL",
        help="model of the catalogue; may be repeated",
    )  # fmt: skip
    kinds = "; ".join(f"{name}: {about}" for name, about in ABOUT.items())
    parser.add_argument("--kind", choices=KINDS, default="response", help=f"{kinds} (default: response)")
    parser.add_argument(
        "--style", default=DEFAULT_STYLE, metavar="NAME|TEXT",
        help=f"how all teachers are told to answer: {', '.join(STYLES)}, or your own words (default: {DEFAULT_STYLE})",
    )  # fmt: skip
    parser.add_argument("--per-question", type=int, default=0, metavar="N", help="answers of each teacher (default: 1)")
    parser.add_argument(
        "--mix", metavar="T/O", help="percent of teachers' rows and of originals, such as 50/50 or 70/30"
    )
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="ask about at most so many rows")
    parser.add_argument("--weak", type=Path, metavar="RESULTS", help="ask about what an evaluation shows as weak")
    parser.add_argument(
        "--weak-share", type=float, default=0.5, metavar="S", help="with --weak: share of the rows (default: 0.5)"
    )
    parser.add_argument(
        "--questions", type=int, default=NEW_QUESTIONS, metavar="N",
        help=f"with self-instruct: new questions (default: {NEW_QUESTIONS})",
    )  # fmt: skip
    parser.add_argument("--judge", default="", metavar="MODEL", help="with rank: the model that judges")
    parser.add_argument("--reward-model", metavar="DIR", help="with rank: a sequence classifier with one output")
    _add_spending(parser)
    parser.add_argument("--seed", type=int, default=0, help="what is drawn is drawn by it (default: 0)")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="folder of the run, for its state and progress")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --run-dir")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="the data folder (default: ~/.medchat)")
    parser.set_defaults(function=run)


def _add_spending(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--budget", type=float, metavar="USD", help="no request is sent that might go over it")
    parser.add_argument(
        "--price", metavar="IN/OUT", help="US dollars for a million tokens, for models without a price in the catalogue"
    )
    parser.add_argument("--estimate", action="store_true", help="only say what it would take")
    for name, about in (
        ("requests-per-minute", "requests a minute"), ("tokens-per-minute", "tokens a minute"),
        ("at-once", "requests at a time"),
    ):  # fmt: skip
        parser.add_argument(
            f"--{name}", type=int, default=0, metavar="N", help=f"{about} of each quota, as you have it"
        )


def options_of(args: argparse.Namespace, settings: Settings) -> Options:
    """What was asked for. Raises InvalidInput."""
    for name, low, high in (("per_question", 0, 20), ("limit", 0, 10**9), ("questions", 1, 100_000)):
        if not low <= getattr(args, name) <= high:
            raise InvalidInput(f"--{name.replace('_', '-')} must be from {low} to {high:,}.")
    if not 0 < args.weak_share <= 1:
        raise InvalidInput("--weak-share must be a share above 0 and at most 1.")
    if args.budget is not None and not args.budget >= 0:
        raise InvalidInput("--budget must be an amount of US dollars.")
    if args.price:
        price_of(args.price)
    mix = mix_of(args.mix) if args.mix else None
    options = Options(
        args.kind, tuple(args.teachers), style_of(args.style), args.per_question, mix, args.budget,
        args.seed, args.weak, args.weak_share, args.limit, args.questions, args.judge,
        _reward_folder(args.reward_model, settings) if args.reward_model else None,
    )  # fmt: skip
    check(options)
    return options


def run(args: argparse.Namespace) -> int:
    """Distil; 0 also for a run that was asked to stop. Raises MedChatError."""
    settings = Settings.from_environment(data_dir=args.data_dir)
    options = options_of(args, settings)
    _check_models(args, options, settings)
    _say_limits(options, settings)
    if args.estimate:
        return _estimate(args, options, settings)
    from train.distill import Desk, distill
    from train.leaks import LeakCheck
    from train.progress import Progress, Stopped

    folder = RunDir(args.run_dir) if args.run_dir else None
    config = {
        "kind": "prepare", "name": f"Distil {args.source.name}", "command": command_of(args), "out": str(args.out)
    }  # fmt: skip
    with folder.begin(config, 0, append=args.resume) if folder else nullcontext() as writer, ExitStack() as stack:
        progress, leaks = Progress(_say, writer), cache(lambda: LeakCheck(settings.data_dir))
        desk = Desk(
            lambda ledger, stop: _teachers(args, options, settings, ledger, stop),
            cache(lambda: _tools(settings)),
            (lambda ledger, stop: _ranks(args, options, settings, ledger, stop, stack)),
            lambda rows: leaks().found_in_each(rows),
            progress,
        )
        try:
            report = distill(args.source, args.out, options, desk, command_of(args))
        except Stopped:
            _say("Stopped; the same command goes on where it stopped.")
            return 0
        if writer is not None:
            kept = ("kind", "rows", "rows_in", "answers", "cost", "sha256")
            writer.result({**{name: report[name] for name in kept}, "out": str(args.out)})
    print("\n".join(summary_lines(report)))
    print(f"Before a model learns from it: `python -m train quality {args.out} --out DIR` draws the sample for people.")
    print(args.out)
    return 0


def command_of(args: argparse.Namespace) -> str:
    """The command without what does not change what comes out: folders of the run, the spending limit."""
    words = ["python", "-m", "train", "distill", str(args.source)]
    for name in args.teachers:
        words += ["--teacher", name]
    words += ["--kind", args.kind]
    plain = {
        "style": args.style if args.style != DEFAULT_STYLE else "", "per-question": args.per_question, "mix": args.mix,
        "limit": args.limit, "weak": args.weak, "weak-share": args.weak_share if args.weak else 0, "judge": args.judge,
        "questions": args.questions if args.kind == "self-instruct" else 0, "reward-model": args.reward_model,
        "seed": args.seed,
    }  # fmt: skip
    for name, value in plain.items():
        words += [f"--{name}", str(value)] if value else []
    return shlex.join(words)


def summary_lines(report: Any) -> list[str]:
    """What came out, as text."""
    lines = [f"{name}.jsonl: {n:,}" for name, n in report["rows"].items()]
    left = f" + {report['left_out']:,} originals left out by the mix" if report["left_out"] else ""
    labelled = f" + {report['labelled']:,} that have an answer now" if report.get("labelled") else ""
    lines.append(f"rows in: {report['rows_in']:,} = {report['kept']:,} kept{left}{labelled}")
    if "questions_refused" in report:
        lines += [f"new questions: {report['new_questions']:,}", *_reasons(report["questions_refused"])]
    answers = report["answers"]
    total = answers["used"] + answers["unused"]
    lines += [f"answers: {total:,} = {answers['used']:,} used + {answers['unused']:,} not", *_reasons(report["unused"])]
    if "pairs" in report:
        its = report["pairs"]
        lines.append(f"questions: {its['questions']:,} = {its['pairs']:,} pairs + {its['without a pair']:,} without")
        lines += _reasons(report["no_pair"])
    for model, its in {**report["teachers"], **report.get("judge", {})}.items():
        lines.append(spent_line(model, its))
        lines += [f"  {its['trouble']}"] if its.get("trouble") else []
    if report["possibly_charged"]:
        lines.append(f"broken-off answers may have cost up to {report['possibly_charged']:.4f} USD more")
    if n := report["not_answered"]:
        not_asked = report["not_asked_yet"]
        of_these = f" ({not_asked:,} of them were not asked)" if not_asked else ""
        lines.append(f"{n:,} not answered{of_these}; the same command asks them again")
    return lines


def _reasons(rules: Any) -> list[str]:
    return [f"  {its['n']:,} {reason}" for reason, its in list(rules.items())[:REASONS_SHOWN]]


def _estimate(args: argparse.Namespace, options: Options, settings: Settings) -> int:
    from train.distill import estimates, n_comparisons
    from train.teachers import Ledger

    if options.kind == "self-instruct":
        raise InvalidInput(
            "What new questions take cannot be told before they are written; give --budget, and begin with a few."
        )
    with ExitStack() as stack:
        teachers = [
            stack.enter_context(its) for its in _teachers(args, options, settings, Ledger(), lambda: False)
        ]  # fmt: skip
        for model, its in estimates(args.source, options, teachers):
            print("\n".join(estimate_lines(model, its)))
    if options.judge:
        n = n_comparisons(args.source, options)
        print(f"{options.judge} as the judge: at most {n:,} requests on top, one for each order of two answers")
    return 0


def _teachers(
    args: argparse.Namespace, options: Options, settings: Settings, ledger: "Ledger", stop: Callable[[], bool]
) -> list["Teacher"]:
    with ExitStack() as opened:
        teachers = [
            opened.enter_context(_teacher(args, name, settings, ledger, stop)) for name in options.teachers
        ]  # fmt: skip
        opened.pop_all()  # all are there: who asked for them closes them
    return teachers


def _teacher(
    args: argparse.Namespace, name: str, settings: Settings, ledger: "Ledger", stop: Callable[[], bool]
) -> "Teacher":
    from medchat.catalogue import Catalogue
    from train.teachers import teacher_of

    spec = Catalogue(settings.models_dir, settings.own_models_file).resolve(name)
    price = price_of(args.price) if args.price and not has_price(spec) else None
    return teacher_of(name, settings, ledger=ledger, limits=_limits(args, spec), price=price, stop=stop)


def _say_limits(options: Options, settings: Settings) -> None:
    """Say once, before anything is asked, what is not to be expected of a model for demonstration."""
    from medchat.catalogue import Catalogue

    catalogue = Catalogue(settings.models_dir, settings.own_models_file)
    for spec in map(catalogue.resolve, dict.fromkeys(filter(None, (*options.teachers, options.judge)))):
        for line in limit_lines(spec):
            _say(line)


def _check_models(args: argparse.Namespace, options: Options, settings: Settings) -> None:
    """Raises NotFound for a model that nobody knows, InvalidInput for one without a price where there is a limit."""
    from medchat.catalogue import Catalogue
    from train.teachers import UNPRICED

    catalogue = Catalogue(settings.models_dir, settings.own_models_file)
    for spec in map(catalogue.resolve, filter(None, (*options.teachers, options.judge))):
        if options.budget is not None and not args.price and not has_price(spec):
            raise InvalidInput(UNPRICED.format(spec.name))


def _limits(args: argparse.Namespace, spec: Any) -> "Limits | None":
    """The catalogue's limits with those in their place that were typed; None where none was."""
    from medchat.keys import Limits, limits_of

    typed = args.requests_per_minute, args.tokens_per_minute, args.at_once
    if not any(typed) or spec.endpoint is None:
        return None
    if min(typed) < 0:
        raise InvalidInput("Limits must be whole numbers above 0.")
    known = limits_of(spec.endpoint)
    return Limits(
        typed[0] or known.requests_per_minute, typed[1] or known.tokens_per_minute, typed[2] or known.at_once
    )  # fmt: skip


def _ranks(
    args: argparse.Namespace,
    options: Options,
    settings: Settings,
    ledger: "Ledger",
    stop: Callable[[], bool],
    stack: ExitStack,
) -> tuple["Ranks", str]:
    """Who ranks, with its id."""
    from evaluation.judge import Judge
    from medchat.backends import Backend
    from train.distill_rank import JudgeRanks, RewardModelRanks
    from train.teacher_backend import TeacherBackend

    if options.reward_model is not None:
        from train.reward_model import RewardModel  # loads torch

        return RewardModelRanks(RewardModel(options.reward_model, settings.threads).score), options.reward_model.name
    teacher = stack.enter_context(_teacher(args, options.judge, settings, ledger, stop))
    judge = Judge(
        teacher.spec, cast(Backend, TeacherBackend(teacher)), settings.data_dir / "cache" / "judge", MOST_CALLS
    )
    return JudgeRanks(judge), teacher.spec.id


def _reward_folder(text: str, settings: Settings) -> Path:
    """The folder itself, or the one in which a model of the Hub lies. Raises InvalidInput."""
    from medchat.models_file import HubSource, hub_path

    folder = Path(text).expanduser()
    for path in (folder, hub_path(settings.models_dir, HubSource(text)) if text.count("/") == 1 else folder):
        if (path / "config.json").is_file():
            return path
    raise InvalidInput(f"--reward-model: {folder.name} is no folder with a config.json.")


def _tools(settings: Settings) -> "Tools":
    """With what an answer is compared with a reference."""
    from evaluation.metrics import Tools
    from medchat.grounding_fit import fitted_or_loaded

    grounder = fitted_or_loaded(settings.data_dir / "cache")
    return Tools(grounder, grounder.knowledge)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

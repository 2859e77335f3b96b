"""`python -m evaluation bench`: the speed of MedChat measured beside other programs."""

from argparse import ArgumentParser, Namespace, _SubParsersAction
from pathlib import Path

from evaluation.run_command import count
from medchat.settings import Settings


def add_bench_parser(commands: "_SubParsersAction[ArgumentParser]", common: ArgumentParser) -> None:
    """Adds `bench` with its measurements to the commands."""
    bench = commands.add_parser("bench", help="measure side by side", description="Measure against other programs.")
    benches = bench.add_subparsers(required=True, metavar="NAME")
    out = ArgumentParser(add_help=False, parents=[common])
    out.add_argument("--out", type=Path, metavar="FILE", help="write the figures to this JSON file too")
    for add in (_add_startup, _add_chat, _add_saves, _add_mcq, _add_votes, _add_coverage, _add_prepare):
        add(benches, out)


def _add_startup(benches: "_SubParsersAction[ArgumentParser]", out: ArgumentParser) -> None:
    startup = benches.add_parser(
        "startup", parents=[out], help="from process start to page served, against a hello-world Gradio app"
    )
    startup.add_argument("--rounds", type=count, default=5, metavar="N", help="starts of each (default 5)")
    startup.set_defaults(command=_startup)


def _add_chat(benches: "_SubParsersAction[ArgumentParser]", out: ArgumentParser) -> None:
    chat = benches.add_parser(
        "chat", parents=[out], help="speed of the chat, against llama_cpp.Llama, llama_cpp.server and bare llama.cpp"
    )
    chat.add_argument("--model", default="demo", metavar="ID", help="a model's id or a GGUF file (default demo)")
    chat.add_argument("--clients", type=count, default=8, metavar="N", help="clinicians at once (default 8)")
    chat.add_argument("--seconds", type=count, default=20, metavar="N", help="length of each measurement (default 20)")
    chat.add_argument("--large", action="store_true", help="with random weights of 120 million parameters instead")
    chat.set_defaults(command=_chat)


def _add_saves(benches: "_SubParsersAction[ArgumentParser]", out: ArgumentParser) -> None:
    saves = benches.add_parser(
        "saves", parents=[out], help="ratings saved by many raters at once, with the server killed on the way"
    )
    saves.add_argument("--raters", type=count, default=12, metavar="N", help="raters at once (default 12)")
    saves.add_argument("--ratings", type=count, default=100, metavar="N", help="ratings of each (default 100)")
    saves.add_argument(
        "--kills", type=int, choices=range(10), default=2, metavar="N", help="times the server is killed (default 2)"
    )
    saves.set_defaults(command=_saves)


def _add_mcq(benches: "_SubParsersAction[ArgumentParser]", out: ArgumentParser) -> None:
    mcq = benches.add_parser(
        "mcq", parents=[out], help="multiple choice by log-likelihood, against lm-eval: speed and agreement"
    )
    mcq.add_argument(
        "--model", default="demo", metavar="ID", help="a model folder, or the id of a model that has one (default demo)"
    )
    mcq.add_argument("--suite", metavar="NAME|FILE|NAME=PATH", help="questions with options (default: choices)")
    mcq.add_argument("--questions", type=count, default=300, metavar="N", help="how many of them (default 300)")
    mcq.add_argument("--precision", choices=("fp32", "bf16"), action="append", help="fp32, bf16 or both (default)")
    mcq.set_defaults(command=_mcq)


def _add_votes(benches: "_SubParsersAction[ArgumentParser]", out: ArgumentParser) -> None:
    votes = benches.add_parser(
        "votes", parents=[out], help="models ranked by many votes, against a bootstrap of rows with pandas"
    )
    for name, default in (("votes", 1_000_000), ("models", 20), ("raters", 200), ("cases", 500), ("resamples", 1000)):
        votes.add_argument(f"--{name}", type=count, default=default, metavar="N", help=f"(default {default:,})")
    votes.set_defaults(command=_votes)


def _add_coverage(benches: "_SubParsersAction[ArgumentParser]", out: ArgumentParser) -> None:
    coverage = benches.add_parser(
        "coverage", parents=[out], help="how often intervals of a ranking hold the truth, in simulated studies"
    )
    coverage.add_argument("--studies", type=count, default=400, metavar="N", help="how many (default 400)")
    coverage.set_defaults(command=_coverage)


def _add_prepare(benches: "_SubParsersAction[ArgumentParser]", out: ArgumentParser) -> None:
    prepare = benches.add_parser(
        "prepare", parents=[out], help="training data from many rows, against datasets.map with datasketch"
    )
    prepare.add_argument("--rows", type=count, default=1_000_000, metavar="N", help="how many (default 1,000,000)")
    prepare.add_argument(
        "--rival-rows",
        type=count,
        metavar="N",
        help="how many for the other program (default: as many, 100,000 at most)",
    )
    prepare.set_defaults(command=_prepare)


def _startup(args: Namespace, settings: Settings) -> None:
    from evaluation.bench import publish
    from evaluation.bench.startup import measure

    publish(measure(args.rounds), args.out)


def _chat(args: Namespace, settings: Settings) -> None:
    from evaluation.bench import publish
    from evaluation.bench.chat import measure

    publish(measure(args.model, settings, args.clients, args.seconds, large=args.large), args.out)


def _saves(args: Namespace, settings: Settings) -> None:
    from evaluation.bench import publish
    from evaluation.bench.saves import measure

    publish(measure(args.raters, args.ratings, args.kills), args.out)


def _mcq(args: Namespace, settings: Settings) -> None:
    from evaluation.bench import publish
    from evaluation.bench.mcq import measure

    precisions = tuple(args.precision or ("fp32", "bf16"))
    publish(measure(args.model, args.suite, args.questions, precisions, settings), args.out)


def _votes(args: Namespace, settings: Settings) -> None:
    from evaluation.bench import publish
    from evaluation.bench.votes import measure

    publish(measure(args.votes, args.models, args.raters, args.cases, args.resamples), args.out)


def _coverage(args: Namespace, settings: Settings) -> None:
    from evaluation.bench import publish
    from evaluation.bench.coverage import measure

    publish(measure(args.studies), args.out)


def _prepare(args: Namespace, settings: Settings) -> None:
    from evaluation.bench import publish
    from evaluation.bench.prepare import RIVAL_ROWS, measure

    publish(measure(args.rows, args.rival_rows or min(args.rows, RIVAL_ROWS)), args.out)

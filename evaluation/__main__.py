"""Evaluation on the command line: `python -m evaluation run | report | harness | bench`."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from evaluation.harness_command import add_harness_parser
from evaluation.report_command import add_report_parser
from evaluation.run_command import add_run_parser, count
from medchat.errors import MedChatError
from medchat.settings import Settings

Arguments = argparse.Namespace


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, 1 after a line on stderr that says what failed, 130 when stopped; 2 for wrong arguments."""
    args = _parser().parse_args(arguments)
    command: Callable[[Arguments, Settings], None] = args.command
    try:
        command(args, Settings.from_environment(data_dir=args.data_dir, db=args.db))
    except MedChatError as error:
        print(f"evaluation: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("evaluation: stopped; what was done is kept.", file=sys.stderr)
        return 130
    return 0


def _leave(*_: object) -> NoReturn:
    raise SystemExit(1)  # and no process is left behind


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data-dir", type=Path, metavar="DIR", help="the data folder (default: ~/.medchat)")
    common.add_argument("--db", metavar="URL", help="SQLAlchemy URL of the store (default: a file in the data folder)")
    parser = argparse.ArgumentParser(prog="python -m evaluation", description="Evaluation on the command line.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    add_run_parser(commands, common)
    add_report_parser(commands, common)
    add_harness_parser(commands, common)

    bench = commands.add_parser("bench", help="measure side by side", description="Measure against other programs.")
    benches = bench.add_subparsers(required=True, metavar="NAME")
    out = argparse.ArgumentParser(add_help=False, parents=[common])
    out.add_argument("--out", type=Path, metavar="FILE", help="write the figures to this JSON file too")
    startup = benches.add_parser(
        "startup", parents=[out], help="from process start to page served, against a hello-world Gradio app"
    )
    startup.add_argument("--rounds", type=count, default=5, metavar="N", help="starts of each (default 5)")
    startup.set_defaults(command=_bench_startup)
    chat = benches.add_parser(
        "chat", parents=[out], help="speed of the chat, against llama_cpp.Llama, llama_cpp.server and bare llama.cpp"
    )
    chat.add_argument("--model", default="demo", metavar="ID", help="a model's id or a GGUF file (default demo)")
    chat.add_argument("--clients", type=count, default=8, metavar="N", help="clinicians at once (default 8)")
    chat.add_argument("--seconds", type=count, default=20, metavar="N", help="length of each measurement (default 20)")
    chat.add_argument("--large", action="store_true", help="with random weights of 120 million parameters instead")
    chat.set_defaults(command=_bench_chat)
    saves = benches.add_parser(
        "saves", parents=[out], help="ratings saved by many raters at once, with the server killed on the way"
    )
    saves.add_argument("--raters", type=count, default=12, metavar="N", help="raters at once (default 12)")
    saves.add_argument("--ratings", type=count, default=100, metavar="N", help="ratings of each (default 100)")
    saves.add_argument(
        "--kills", type=int, choices=range(10), default=2, metavar="N", help="times the server is killed (default 2)"
    )
    saves.set_defaults(command=_bench_saves)
    mcq = benches.add_parser(
        "mcq", parents=[out], help="multiple choice by log-likelihood, against lm-eval: speed and agreement"
    )
    mcq.add_argument(
        "--model", default="demo", metavar="ID", help="a model folder, or the id of a model that has one (default demo)"
    )
    mcq.add_argument("--suite", metavar="NAME|FILE.jsonl|NAME=PATH", help="questions with options (default: made up)")
    mcq.add_argument("--questions", type=count, default=300, metavar="N", help="how many of them (default 300)")
    mcq.add_argument("--precision", choices=("fp32", "bf16"), action="append", help="fp32, bf16 or both (default)")
    mcq.set_defaults(command=_bench_mcq)
    return parser


def _bench_startup(args: Arguments, settings: Settings) -> None:
    from evaluation.bench import publish
    from evaluation.bench.startup import measure

    publish(measure(args.rounds), args.out)


def _bench_chat(args: Arguments, settings: Settings) -> None:
    from evaluation.bench import publish
    from evaluation.bench.chat import measure

    publish(measure(args.model, settings, args.clients, args.seconds, large=args.large), args.out)


def _bench_saves(args: Arguments, settings: Settings) -> None:
    from evaluation.bench import publish
    from evaluation.bench.saves import measure

    publish(measure(args.raters, args.ratings, args.kills), args.out)


def _bench_mcq(args: Arguments, settings: Settings) -> None:
    from evaluation.bench import publish
    from evaluation.bench.mcq import measure

    precisions = tuple(args.precision or ("fp32", "bf16"))
    publish(measure(args.model, args.suite, args.questions, precisions, settings), args.out)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _leave)
    sys.exit(main())

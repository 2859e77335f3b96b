"""Evaluation on the command line: `python -m evaluation run | report | human | harness | suites | metrics | bench`."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from evaluation.bench_command import add_bench_parser
from evaluation.harness_command import add_harness_parser
from evaluation.human_command import add_human_parser
from evaluation.list_command import add_list_parsers
from evaluation.report_command import add_report_parser
from evaluation.run_command import add_run_parser
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
    add_human_parser(commands, common)
    add_harness_parser(commands, common)
    add_list_parsers(commands, common)
    add_bench_parser(commands, common)
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _leave)
    sys.exit(main())

"""Evaluation on the command line: `python -m evaluation run | bench`."""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from medchat.errors import MedChatError
from medchat.settings import Settings

GROUNDING = "grounding"  # what --model takes for the recogniser alone

Arguments = argparse.Namespace


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 1 after a line on stderr that says what failed. Wrong arguments exit with 2."""
    args = _parser().parse_args(arguments)
    command: Callable[[Arguments, Settings], None] = args.command
    try:
        command(args, Settings.from_environment(data_dir=args.data_dir, db=args.db))
    except MedChatError as error:
        print(f"evaluation: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
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

    run = commands.add_parser("run", parents=[common], help="score models on a suite", description="Score models.")
    run.add_argument(
        "--model", action="append", required=True, dest="models", metavar="ID",
        help=f"a model's id, a GGUF file, 'default', or '{GROUNDING}' for the recogniser alone; may be repeated",
    )  # fmt: skip
    run.add_argument(
        "--suite", required=True, metavar="NAME|FILE.jsonl", help="a suite of MedChat, or Examples of yours"
    )
    run.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of predictions.jsonl and summary.json"
    )
    run.add_argument("--limit", type=_count, metavar="N", help="only the first N examples")
    run.set_defaults(command=_run)

    bench = commands.add_parser("bench", help="measure side by side", description="Measure against other programs.")
    benches = bench.add_subparsers(required=True, metavar="NAME")
    out = argparse.ArgumentParser(add_help=False, parents=[common])
    out.add_argument("--out", type=Path, metavar="FILE", help="write the figures to this JSON file too")
    startup = benches.add_parser(
        "startup", parents=[out], help="from process start to page served, against a hello-world Gradio app"
    )
    startup.add_argument("--rounds", type=_count, default=5, metavar="N", help="starts of each (default 5)")
    startup.set_defaults(command=_bench_startup)
    chat = benches.add_parser(
        "chat", parents=[out], help="speed of the chat, against llama_cpp.Llama, llama_cpp.server and bare llama.cpp"
    )
    chat.add_argument("--model", default="demo", metavar="ID", help="a model's id or a GGUF file (default demo)")
    chat.add_argument("--clients", type=_count, default=8, metavar="N", help="clinicians at once (default 8)")
    chat.add_argument("--seconds", type=_count, default=20, metavar="N", help="length of each measurement (default 20)")
    chat.add_argument("--large", action="store_true", help="with random weights of 120 million parameters instead")
    chat.set_defaults(command=_bench_chat)
    saves = benches.add_parser(
        "saves", parents=[out], help="ratings saved by many raters at once, with the server killed on the way"
    )
    saves.add_argument("--raters", type=_count, default=12, metavar="N", help="raters at once (default 12)")
    saves.add_argument("--ratings", type=_count, default=100, metavar="N", help="ratings of each (default 100)")
    saves.add_argument(
        "--kills", type=int, choices=range(10), default=2, metavar="N", help="times the server is killed (default 2)"
    )
    saves.set_defaults(command=_bench_saves)
    return parser


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) < 1 << 31:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def _run(args: Arguments, settings: Settings) -> None:
    from evaluation.metrics import metrics
    from evaluation.run import chat_answerer, grounding_answerer, make_folder, predict, summarise, table, write_results
    from evaluation.suites import load_suite
    from medchat.backends import Backends
    from medchat.catalogue import Catalogue
    from medchat.grounding_fit import fitted_or_loaded

    suite = load_suite(args.suite, args.limit)
    catalogue = Catalogue(settings.models_dir, settings.own_models_file)
    specs = [None if name == GROUNDING else catalogue.resolve(name) for name in args.models]
    make_folder(args.out)
    grounder = fitted_or_loaded(settings.data_dir / "cache")
    backends = Backends(settings.threads, settings.slots, settings.n_ctx)
    predictions, summary = [], {}
    try:
        for spec in dict.fromkeys(specs):
            name, at_once, answerer = GROUNDING, 1, grounding_answerer(grounder)
            if spec:
                name, at_once = spec.id, settings.slots
                answerer = chat_answerer(spec, backends.get(spec), grounder, settings.max_auto_continues)
            done = predict(
                name, answerer, suite.examples, metrics(grounder), at_once=at_once,
                report=lambda line: print(line, file=sys.stderr),
            )  # fmt: skip
            predictions += done
            summary[name] = summarise(suite.examples, done)
            write_results(args.out, predictions, summary)  # what is done is kept, whatever the next one does
    finally:
        backends.close()
    print(f"{suite.name}: {len(suite.examples)} examples\n{table(summary)}")


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


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _leave)
    sys.exit(main())

"""Command line of `python -m train prepare`: source files to training data."""

import argparse
import sys
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from medchat.rundir import RunDir
from medchat.settings import Settings

NAMES_SHOWN = 3
FAULTS = ("broken row", "broken file", "rest of a file after a fault in it", "no Example row")
STAGES = ("Looking at the sources", "Reading", "Comparing", "Writing")


def add_parser(commands: Any) -> None:
    """Adds the command `prepare`."""
    from medchat.formats import FORMATS as ANSWER_FORMATS
    from train.prepare_options import Options
    from train.row_formats import FORMATS
    from train.templates import AS_RECIPE, TEMPLATES

    plain = Options()
    parser = commands.add_parser(
        "prepare",
        help="make training data of source files",
        description="Read sources, clean their rows, leave out what repeats and what evaluation suites ask, split by"
        " question, balance, shuffle, and write train, validation, test and unlabelled with report.json and"
        " report.html. `python -m train sources` lists the adapters. The same command goes on where one stopped.",
    )
    parser.add_argument(
        "--source", action="append", required=True, dest="sources", metavar="ADAPTER=PATH",
        help="how to read which file or folder, or ADAPTER=hub: for what is on the Hugging Face Hub; may be repeated",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder that is written")
    parser.add_argument("--seed", type=int, default=0, help="draws the splits and the order (default: 0)")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="the data folder (default: ~/.medchat)")
    _add_reading(parser, plain)
    _add_mix(parser, plain)
    parser.add_argument(
        "--template", choices=(AS_RECIPE, *TEMPLATES), default=plain.template,
        help="how rows are asked in training, and the model from then on (default: as the recipe has it)",
    )  # fmt: skip
    parser.add_argument(
        "--answer-format", choices=(AS_RECIPE, *ANSWER_FORMATS), default=plain.answer_format, metavar="NAME",
        help=f"how answers are written: {', '.join(ANSWER_FORMATS)} (default: as the recipe has it)",
    )  # fmt: skip
    parser.add_argument("--format", choices=FORMATS, default=plain.format, help="of the files (default: jsonl)")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="folder with the state and the progress of the run")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --run-dir")
    parser.set_defaults(function=_prepare)


def _add_reading(parser: argparse.ArgumentParser, plain: Any) -> None:
    from train.cleaning import Limits

    parser.add_argument(
        "--dialogues", choices=("each", "first"), default=plain.reading.dialogues,
        help="a row for each reply of a talk, or for its first pair alone (default: each)",
    )  # fmt: skip
    parser.add_argument(
        "--choices", choices=("options", "explained"), default=plain.reading.choices,
        help="multiple choice with its options, or as a question with the explained answer (default: options)",
    )  # fmt: skip
    parser.add_argument("--abstracts", action="store_true", help="give PubMedQA's abstracts as context")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N records of each source")
    parser.add_argument(
        "--suite", action="append", default=[], dest="suites", metavar="NAME|FILE",
        help="an evaluation suite that is held out besides MedChat's and the data folder's; may be repeated",
    )  # fmt: skip
    for field in fields(Limits):
        value = getattr(plain.limits, field.name)
        flag = "--" + field.name.replace("_", "-")
        if field.name == "languages":
            parser.add_argument(
                flag,
                default=",".join(value),
                metavar="LIST",
                help="ISO 639-1 codes that are kept, or all (default: en)",
            )
        else:
            words = field.name.replace("_", " ").replace("chars", "characters")
            parser.add_argument(flag, type=int, default=value, metavar="N", help=f"{words} (default: {value:,})")


def _add_mix(parser: argparse.ArgumentParser, plain: Any) -> None:
    parser.add_argument(
        "--validation", type=float, default=plain.validation, metavar="S",
        help="share of the questions that validate, where the source names none: 0.1 to 0.2 (default: 0.1)",
    )  # fmt: skip
    parser.add_argument(
        "--test", type=float, default=plain.test, metavar="S", help="the same of the test: 0 to 0.2 (default: 0.1)"
    )
    parser.add_argument(
        "--balance", default="75/25", metavar="K/C",
        help="per cent of knowledge and conversation to train on, or none (default: 75/25)",
    )  # fmt: skip
    parser.add_argument(
        "--weight", action="append", default=[], dest="weights", metavar="SOURCE=W",
        help="how often the rows of a source (its adapter or its file) count; may be repeated (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--brief-share", type=float, metavar="S", help="share of brief answers among the rows to train on"
    )
    parser.add_argument(
        "--most-copies", type=int, default=plain.most_copies, metavar="N",
        help=f"how often a row is used at most (default: {plain.most_copies})",
    )  # fmt: skip
    parser.add_argument(
        "--frozen", type=Path, metavar="FILE",
        help="reviewed rows that validate from now on; what asks the same is not trained on",
    )  # fmt: skip


def options_in(args: argparse.Namespace) -> Any:
    """What the arguments say. Raises InvalidInput, NotFound."""
    from train.adapters import Reading
    from train.cleaning import Limits
    from train.prepare_options import Options, balance_of, weights_of

    names = {field.name for field in fields(Limits)} - {"languages"}
    codes = [code.strip() for code in args.languages.casefold().split(",")]
    languages = () if codes == ["all"] else tuple(codes)
    limits = replace(Limits(**{name: getattr(args, name) for name in names}), languages=languages)
    return Options(
        seed=args.seed, reading=Reading(args.dialogues, args.choices, args.abstracts), limits=limits,
        validation=args.validation, test=args.test, balance=balance_of(args.balance), weights=weights_of(args.weights),
        brief_share=args.brief_share, most_copies=args.most_copies, frozen=args.frozen, template=args.template,
        answer_format=args.answer_format, format=args.format, limit=args.limit, suites=tuple(args.suites),
    )  # fmt: skip


def _prepare(args: argparse.Namespace) -> int:
    from train.adapters import source_of
    from train.prepare import prepare
    from train.prepare_options import command_of
    from train.progress import Progress, Stopped

    settings = Settings.from_environment(data_dir=args.data_dir)
    options = options_in(args)
    sources = [source_of(text) for text in args.sources]
    folder = RunDir(args.run_dir) if args.run_dir else None
    shown = [source.name for source in sources]
    name = ", ".join(shown[:NAMES_SHOWN]) + (
        f" and {len(shown) - NAMES_SHOWN} more" if len(shown) > NAMES_SHOWN else ""
    )
    config = {
        "kind": "prepare", "name": f"Prepare {name}", "command": command_of(sources, options), "out": str(args.out),
    }  # fmt: skip
    with folder.begin(config, 0, append=args.resume) if folder else nullcontext() as writer:
        try:
            report = prepare(
                sources, args.out, options, data_dir=settings.data_dir, workers=settings.threads,
                progress=Progress(_say, writer, stages=STAGES),
            )  # fmt: skip
        except Stopped:
            print("Stopped; the same command goes on where it stopped.", file=sys.stderr)
            return 1
        if writer is not None:
            kept = ("kind", "rows", "rows_in", "kept", "dropped", "balance", "leaks", "sha256")
            writer.result({**{key: report[key] for key in kept}, "out": str(args.out)})
    print("\n".join(summary_lines(report)))
    if options.format != "jsonl":
        print(f"augment, distill, quality and run read JSONL alone: of these {options.format} files only"
              " unlabelled.jsonl goes on; prepare with --format jsonl for the rest.")  # fmt: skip
    print(args.out)
    return 0


def summary_lines(report: Any) -> list[str]:
    """What came out, as text."""
    from train.prepare_figures import rule_words
    from train.report_notes import notes_of

    lines = [f"{name}: {n:,}" for name, n in report["rows"].items()]
    for its in report["sources"]:
        dropped = sum(its["dropped"].values())
        lines.append(
            f"{its['source']} ({its['adapter']}): {its['rows_in']:,} read = {its['kept']:,} kept"
            f" + {its['unlabelled']:,} without an answer + {dropped:,} dropped"
        )
        lines += [f"  {rule_words(rule, n)}{_first_fault(report, its, rule)}" for rule, n in its["dropped"].items()]
    for its in report["balance"]["upsampled"]:
        lines.append(f"upsampled: {its['source']}, {its['rows']:,} rows used {its['used']:,} times")
    return [*lines, *notes_of(report)]


def _first_fault(report: Any, source: Any, rule: str) -> str:
    """Where the first of the source's rows stands that cannot be read, and why; "" for another rule."""
    examples = report["rules"][rule]["examples"] if rule in FAULTS else []
    first = next((one for one in examples if one["source"] == source["source"]), None)
    return f" (the first: {first['where']}: {first['text']})" if first else ""


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

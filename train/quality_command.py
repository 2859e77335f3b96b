"""Command line of the quality checks: `python -m train quality IN --out OUT`."""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from medchat.errors import InvalidInput
from medchat.rundir import RunDir
from medchat.settings import Settings

STAGES = ("Looking at the rows", "Looking for the rows that others were made from", "Checking", "Writing")


def add_parser(commands: Any) -> None:
    """Adds the command `quality`."""
    from train.quality_flags import FLAGS, HELD_FLAGS, Thresholds

    parser = commands.add_parser(
        "quality",
        help="flag doubtful rows, and draw those that people review",
        description=f"Flags: {', '.join(FLAGS)}. Write the rows with their flags, held.jsonl with those that are not "
        "taught until a reviewer says so, review.jsonl for the reviewers, report.json and report.html. The same "
        "command goes on where one stopped.",
    )
    parser.add_argument("folder", type=Path, metavar="IN", help="folder of rows, or one .jsonl file")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="folder that is written")
    parser.add_argument("--seed", type=int, default=0, help="draws the random sample (default: 0)")
    parser.add_argument(
        "--share", type=float, default=0.05, metavar="S", help="share of the rows in the random sample (default: 0.05)"
    )
    parser.add_argument("--reviewers", type=int, choices=(1, 2), default=1, help="who look at each row (default: 1)")
    parser.add_argument(
        "--hold", action="append", metavar="FLAG",
        help=f"rows with this flag are held back; may be repeated, or none (default: {', '.join(HELD_FLAGS)})",
    )  # fmt: skip
    parser.add_argument(
        "--review", action="append", default=[], metavar="FLAG",
        help="all rows with this flag go to people, besides those held back and those about doses; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE",
        help=f"override a threshold: {', '.join(Thresholds().settings())}; may be repeated",
    )  # fmt: skip
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="the data folder (default: ~/.medchat)")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="folder with the state and the progress of the run")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --run-dir")
    parser.set_defaults(function=_quality)


def options_in(args: argparse.Namespace) -> Any:
    """What the arguments say. Raises InvalidInput, NotFound."""
    from train.quality import Options
    from train.quality_flags import HELD_FLAGS, flag_names, thresholds_of

    pairs = [text.partition("=") for text in args.overrides]
    if wrong := next((text for text, (_, equals, _) in zip(args.overrides, pairs, strict=True) if not equals), ""):
        raise InvalidInput(f"--set {wrong[:40]}: write KEY=VALUE, such as hedged_share=0.8.")
    held = HELD_FLAGS if args.hold is None else () if args.hold == ["none"] else flag_names(args.hold)
    thresholds = thresholds_of({name: value for name, _, value in pairs})
    return Options(args.seed, args.share, args.reviewers, held, flag_names(args.review), thresholds)


def _quality(args: argparse.Namespace) -> int:
    from train.progress import Progress, Stopped
    from train.quality import check, command_of

    settings = Settings.from_environment(data_dir=args.data_dir)
    options = options_in(args)
    folder = RunDir(args.run_dir) if args.run_dir else None
    config = {
        "kind": "prepare", "name": f"Check {args.folder.name}", "command": command_of(args.folder, options),
        "out": str(args.out),
    }  # fmt: skip
    with folder.begin(config, 0, append=args.resume) if folder else nullcontext() as writer:
        try:
            progress = Progress(_say, writer, stages=STAGES)
            report = check(args.folder, args.out, options, workers=settings.threads, progress=progress)
        except Stopped:
            print("Stopped; the same command goes on where it stopped.", file=sys.stderr)
            return 1
        if writer is not None:
            kept = ("kind", "rows", "rows_in", "kept", "dropped", "held_rows", "held_because_of", "review", "sha256")
            writer.result({**{key: report[key] for key in kept if key in report}, "out": str(args.out)})
    print("\n".join(summary_lines(report)))
    print(args.out)
    return 0


def summary_lines(report: Any) -> list[str]:
    """What was found, as text."""
    broken = sum(report.get("dropped", {}).values())
    lines = [
        f"{report['rows_in']:,} rows read = {report['kept']:,} kept + {report['held_rows']:,} held back"
        + (f" + {broken:,} broken" if broken else "")
    ]
    for name, its in report.get("rules", {}).items():
        lines += [f"{name}: {one['where']}: {one['text']}" for one in its["examples"]]
    if "read_from_held" in report:
        lines.append(f"{report['read_from_held']:,} of them from held.jsonl, which an earlier check held back")
    for name, its in report["flags"].items():
        lines.append(f"{name}: {its['n']:,}{' (held back)' if its['held_back'] and its['n'] else ''}")
    return [*lines, f"to review: {report['review']['rows']:,} rows"]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

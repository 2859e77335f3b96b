"""python -m evaluation report: one HTML file, and Markdown, on the predictions of runs."""

from argparse import ArgumentParser, Namespace, _SubParsersAction
from pathlib import Path

from medchat.settings import Settings


def add_report_parser(commands: "_SubParsersAction[ArgumentParser]", common: ArgumentParser) -> None:
    """Adds `report` to the commands."""
    parser = commands.add_parser(
        "report", parents=[common], help="one HTML file on the results of runs",
        description="Compare models on stored predictions: report.html in one file, and report.md. Where there is a"
        " store it is read: ratings of the same answers give the accuracy of their steps, by the raters' marks, and a"
        " judge's agreement with clinicians.",
    )  # fmt: skip
    parser.add_argument(
        "folders", nargs="+", type=Path, metavar="DIR", help="a folder that `python -m evaluation run` wrote"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the HTML file (default: report.html in the first DIR); .md beside it",
    )
    parser.add_argument(
        "--baseline", default="", metavar="MODEL",
        help="the model that the others are compared with, and were trained from where their results do not say"
        " (default: the base of the others, else the first)",
    )  # fmt: skip
    parser.add_argument(
        "--training-data", type=Path, action="append", default=[], metavar="FILE.jsonl",
        help="training data (JSON lines, or text) to look for the questions in; may be repeated",
    )  # fmt: skip
    parser.set_defaults(command=run_report)


def run_report(args: Namespace, settings: Settings) -> None:
    """Writes the report and says where it is. Raises InvalidInput, NotFound, NotAllowed for that of an open study."""
    from evaluation.people import people_here
    from evaluation.report import write_report
    from evaluation.suites import SUITES
    from medchat.catalogue import Catalogue
    from medchat.intake import require_released
    from medchat.rundir import RunDir

    for folder in args.folders:
        require_released(RunDir(folder), settings)
    paths = write_report(
        args.folders,
        args.out or args.folders[0] / "report.html",
        baseline=args.baseline,
        training_data=args.training_data,
        catalogue=Catalogue(settings.models_dir, settings.own_models_file),
        suite_folders=(SUITES, settings.data_dir / "suites"),
        people=people_here(settings),
    )
    print("\n".join(map(str, paths)))

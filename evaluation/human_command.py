"""python -m evaluation human: the report on what people said, of a study, of all ratings, or of the bundled example."""

from argparse import ArgumentParser, Namespace, _SubParsersAction
from contextlib import closing
from pathlib import Path

from evaluation.human_data import HumanData
from medchat.settings import Settings

STUDY_HELP = (
    "an id from `python -m medchat study list`, or the name of only one study; it has to be closed, or to show its"
    " results"
)


def add_human_parser(commands: "_SubParsersAction[ArgumentParser]", common: ArgumentParser) -> None:
    """Adds `human` to the commands."""
    parser = commands.add_parser(
        "human", parents=[common], help="the report on what clinicians said of answers",
        description="Human evaluation: report.html in one file, report.md, results.json, tables as CSV and Parquet, and"
        " plots as SVG. Without --study and --example: all ratings and votes but those of studies that are open.",
    )  # fmt: skip
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--study", metavar="STUDY", help=STUDY_HELP)
    source.add_argument("--example", action="store_true", help="the bundled example study, which is simulated")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to write to")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the resamples (default: 0)")
    parser.add_argument(
        "--resamples", type=int, default=1000, metavar="N", help="of every interval (default: 1000; at least 100)"
    )
    parser.add_argument("--names", action="store_true", help="with the raters' names; without it they are numbered")
    parser.set_defaults(command=run_human)


def run_human(args: Namespace, settings: Settings) -> None:
    """Writes the report and says where it is. Raises InvalidInput, NotAllowed, NotFound, StoreError."""
    from evaluation.human import analyse
    from evaluation.human_report import make_folders, write_report
    from medchat.errors import InvalidInput

    if args.resamples < 100:
        raise InvalidInput("Intervals of fewer than 100 resamples say nothing; give --resamples 100 or more.")
    if args.seed < 0:
        raise InvalidInput("The seed has to be 0 or more.")
    data = _data(args, settings)
    if not data.ratings and not data.votes:
        raise InvalidInput("Nothing was judged yet, so there is nothing to report.")
    make_folders(args.out)  # before the work, so that a folder that cannot be written costs none
    results = analyse(data, args.seed, args.resamples)
    paths = write_report(results, data, args.out)
    print("\n".join(str(path) for path in paths[:3]))
    print(f"{len(paths) - 3} files in {args.out / 'plots'} and {args.out / 'tables'}")


def _data(args: Namespace, settings: Settings) -> HumanData:
    if args.example:
        from evaluation.example_study import example_study

        return example_study(args.seed)
    from evaluation.human_source import from_store
    from medchat.accounts import TERMINAL
    from medchat.catalogue import Catalogue
    from medchat.store import Store
    from medchat.store.migrate import check
    from medchat.studies import StudyService

    check(settings.db_url)
    with closing(Store(settings.db_url)) as store:
        study_id = None
        if args.study is not None:
            catalogue = Catalogue(settings.models_dir, settings.own_models_file)
            studies = StudyService(store, catalogue, None, settings)
            study_id = studies.look(studies.find(args.study).id, TERMINAL).id
        return from_store(store, study_id, settings, named=args.names)

"""Command line of the review: `python -m train review FOLDER`."""

import argparse
from contextlib import closing
from pathlib import Path
from typing import Any

from medchat.errors import NotFound
from medchat.settings import Settings


def add_parser(commands: Any) -> None:
    """Adds the command `review`."""
    parser = commands.add_parser(
        "review",
        help="apply what reviewers decided on the rows that `quality` chose",
        description="Say how far the review of a folder is; write its rows as the reviewers leave them, or those of "
        "its validation that they have read.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="what `python -m train quality` wrote")
    parser.add_argument("--apply", type=Path, metavar="OUT", help="write the rows with the decisions applied")
    parser.add_argument(
        "--freeze", type=Path, metavar="FILE", help="write the reviewed validation, for prepare --frozen"
    )
    parser.add_argument(
        "--reviewers", type=int, choices=(1, 2), help="how many must look at a row (default: as the sample was made)"
    )
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="the data folder (default: ~/.medchat)")
    parser.add_argument("--db", metavar="URL", help="SQLAlchemy URL of the store (default: a file in the data folder)")
    parser.set_defaults(function=_review)


def _review(args: argparse.Namespace) -> int:
    from train.review import ReviewSet
    from train.review_apply import apply, freeze

    settings = Settings.from_environment(data_dir=args.data_dir, db=args.db)
    sample = ReviewSet(args.folder)
    reviews = _reviews_of(args, settings, sample)
    now = sample.progress(reviews, reviewers_per_row=args.reviewers)
    print(f"{now.decided} of {now.total} rows decided ({_counts(now.decisions)}), reviewers: {now.reviewers}")
    print(f"{now.waiting} wait for a second reviewer, {now.disputed} for a third")
    if args.apply:
        report = apply(args.folder, reviews, args.apply, args.reviewers)
        print("\n".join(f"{name}.jsonl: {n}" for name, n in report["rows"].items()))
        print("\n".join(f"left out, {why}: {n}" for why, n in report["dropped"].items()))
        print(args.apply)
    if args.freeze:
        print(f"{freeze(args.folder, reviews, args.freeze, args.reviewers)} reviewed rows of the validation")
        print(args.freeze)
    return 0


def _reviews_of(args: argparse.Namespace, settings: Settings, sample: Any) -> Any:
    """What reviewers said; where there is no database yet, nobody has said anything.

    Raises NotFound where there is no database and something is to be written, StoreError for one that cannot be read.
    """
    from medchat.store import Store
    from medchat.store.connection import sqlite_file
    from medchat.store.migrate import check

    file = sqlite_file(settings.db_url)
    if file is not None and not file.exists():
        if args.apply or args.freeze:
            given = [f"--{name} {value}" for name, value in (("data-dir", args.data_dir), ("db", args.db)) if value]
            raise NotFound(
                f"Nobody has reviewed yet: there is no database {file}. Review in the app, which is started with"
                f" `{' '.join(['python app.py', *given])}`, or name another database with --data-dir or --db."
            )
        return []
    check(settings.db_url)
    with closing(Store(settings.db_url)) as store:
        return sample.reviews(store)


def _counts(counts: Any) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items())

"""`python -m evaluation suites` and `metrics`: what there is to run and to score by."""

from argparse import ArgumentParser, Namespace, _SubParsersAction

from medchat.settings import Settings


def add_list_parsers(commands: "_SubParsersAction[ArgumentParser]", common: ArgumentParser) -> None:
    """Adds `suites` and `metrics` to the commands."""
    suites = commands.add_parser(
        "suites", parents=[common], help="list the suites",
        description="Every suite with its family, number of questions and licence, and what it needs before it can be"
        " run.",
    )  # fmt: skip
    suites.set_defaults(command=_suites)
    metrics = commands.add_parser(
        "metrics", parents=[common], help="list the metrics", description="Every metric that --metrics takes."
    )
    metrics.set_defaults(command=_metrics)


def _suites(args: Namespace, settings: Settings) -> None:
    from evaluation.suites import suites

    infos = suites(data_dir=settings.data_dir)
    width = max(len(info.name) for info in infos)
    for info in infos:
        n = "" if info.n is None else f"{info.n:,}"
        print(f"{info.name:{width}}  {info.family:9}  {n:>7}  {info.licence or 'licence not stated'}")
        if info.missing:
            print(f"{'':{width}}  missing: {info.missing}")


def _metrics(args: Namespace, settings: Settings) -> None:
    from evaluation.metric_table import METRICS

    width = max(map(len, METRICS))
    for info in METRICS.values():
        print(f"{info.name:{width}}  {info.title}: {info.about}")

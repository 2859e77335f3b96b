"""`python -m medchat jobs`: the runs of the data folder. A running app goes by what is done here at once."""

import argparse
import json
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any, NoReturn

from medchat.errors import InvalidInput, StoreError
from medchat.settings import Settings

if TYPE_CHECKING:
    from medchat.jobs import Job, Jobs, JobView
    from medchat.rundir import RunDir

Arguments = argparse.Namespace

POLL_S = 0.5
ABSENT = "–"  # of a run that has no such setting, or no such value
DESCRIPTION = "The runs that the app starts, newest first; those that wait begin while the app runs."


def add_parsers(commands: Any, common: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `jobs` and its verbs to the commands. common: makes the parser of what all commands take."""
    jobs = commands.add_parser("jobs", help="look after training and other runs", description=DESCRIPTION)
    verbs = jobs.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, command: Callable[[Arguments, Settings], None], help: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = verbs.add_parser(name, parents=[common()], help=help, description=help)
        parser.set_defaults(command=command)
        return parser

    verb("list", _list, "list the runs, newest first").add_argument(
        "--json", action="store_true", help="print a JSON list"
    )
    stop = verb("stop", _stop, "ask a run to save and end, and wait until it has")
    resume = verb("resume", _resume, "let a run that was stopped, was lost or has failed go on, when it is its turn")
    delete = verb("delete", _delete, "remove a run with all its files")
    follow = verb("follow", _follow, "show the progress of a run until it ends")
    follow.add_argument("--log", action="store_true", help="show what it prints instead")
    compare = verb("compare", _compare, "show in what the settings of runs differ, and what each came to")
    compare.add_argument("ids", metavar="ID", nargs="+", help="two ids or more from `jobs list`")
    compare.add_argument("--json", action="store_true", help="print a JSON object")
    for parser in (stop, resume, delete, follow):
        parser.add_argument("id", metavar="ID", help="an id from `jobs list`")


def _list(args: Arguments, settings: Settings) -> None:
    views = jobs_here(settings).all()
    if args.json:
        print(json.dumps([_described(view) for view in views], ensure_ascii=False, indent=2))
        return
    for view in views:
        print(view.job.id, view.job.kind, view.job.name, status_words(view), view.state.created_at[:19], sep="\t")


def _stop(args: Arguments, settings: Settings) -> None:
    from medchat.accounts import JOB_STOPPED
    from medchat.store.lock import app_runs

    jobs = jobs_here(settings)
    jobs.stop(args.id)
    _note(settings, JOB_STOPPED, args.id)
    while (view := jobs.view(args.id)).state.status == "stopping":
        if not app_runs(settings.data_dir):
            jobs.press(args.id)
        time.sleep(POLL_S)
    print(f"{view.job.name}: {status_words(view)}")


def _resume(args: Arguments, settings: Settings) -> None:
    from medchat.accounts import JOB_RESUMED
    from medchat.store.lock import app_runs

    jobs = jobs_here(settings)
    jobs.resume(args.id)
    _note(settings, JOB_RESUMED, args.id)
    when = "" if app_runs(settings.data_dir) else " It begins when MedChat is started: python app.py"
    print(f"{args.id} waits in line.{when}")


def _delete(args: Arguments, settings: Settings) -> None:
    from medchat.accounts import JOB_DELETED

    jobs_here(settings).delete(args.id)
    _note(settings, JOB_DELETED, args.id)
    print(f"Removed {args.id}.")


def _follow(args: Arguments, settings: Settings) -> None:
    from medchat.run_state import ENDED

    jobs = jobs_here(settings)
    run_dir, shown = jobs.run_dir(args.id), ""
    show = _log_shower(run_dir) if args.log else _progress_shower(run_dir)
    while True:
        view = jobs.view(args.id)
        line = f"{view.state.status} {view.state.stage}".strip()
        if line != shown and view.state.status not in ENDED:
            print(line, flush=True)
        shown = line
        show()
        if view.state.status in ENDED:
            print(status_words(view))
            return
        time.sleep(POLL_S)


def _compare(args: Arguments, settings: Settings) -> None:
    from medchat.run_comparison import compare_settings, last_values, metrics_of

    if len(args.ids) < 2:
        raise InvalidInput("Give two ids or more to compare; `jobs list` has them.")
    jobs = jobs_here(settings)
    run_dirs = [jobs.run_dir(run_id) for run_id in args.ids]
    configs = compare_settings([run_dir.config() for run_dir in run_dirs])
    of_settings = {key: [one.get(key, ABSENT) for one in configs.of_runs] for key in configs.different}
    values = [last_values(run_dir.progress()) | metrics_of(run_dir.result()) for run_dir in run_dirs]
    names = dict.fromkeys(name for one in values for name in one)
    if args.json:
        of_values = {name: [one.get(name) for one in values] for name in names}
        print(
            json.dumps({"runs": args.ids, "settings": of_settings, "values": of_values}, ensure_ascii=False, indent=2)
        )
        return
    print("", *args.ids, sep="\t")
    for key, row in of_settings.items():
        print(key, *row, sep="\t")
    if not of_settings:
        print("Their settings are the same.")
    for name in names:
        print(name, *(f"{one[name]:.4g}" if name in one else ABSENT for one in values), sep="\t")


def _progress_shower(run_dir: "RunDir") -> Callable[[], None]:
    """Prints, each time it is called, the lines of progress that are new."""
    place = [0]

    def show() -> None:
        rows, place[0] = run_dir.progress_since(place[0])
        for row in rows:
            values = {name: value for name, value in row.items() if name not in ("step", "stage", "time")}
            said = "  ".join(f"{name} {value:.4g}" for name, value in values.items() if value is not None)
            print(f"step {row['step']}  {said}".rstrip(), flush=True)

    return show


def _log_shower(run_dir: "RunDir") -> Callable[[], None]:
    """Prints, each time it is called, what is new in the log."""
    place = [0]

    def show() -> None:
        text, place[0] = run_dir.log_since(place[0])
        print(text, end="", flush=True)

    return show


def status_words(view: "JobView") -> str:
    """How a run is, in one line."""
    state = view.state
    words: str = state.status
    if view.place is not None:
        words += f" (number {view.place} in line)"
    if state.steps:
        words += f", step {state.step} of {state.steps}"
    return f"{words}. {state.message}" if state.message else words


def _described(view: "JobView") -> dict[str, object]:
    job, state = view.job, view.state
    return {
        "id": job.id,
        "kind": job.kind,
        "name": job.name,
        "owner": job.owner,
        "status": state.status,
        "place": view.place,
        "stage": state.stage,
        "step": state.step,
        "steps": state.steps,
        "message": state.message,
        "created_at": state.created_at,
        "started_at": state.started_at,
        "ended_at": state.ended_at,
        "path": str(view.path),
    }


def jobs_here(settings: Settings) -> "Jobs":
    """The runs of the data folder, of which none is begun here."""
    from medchat.catalogue import Catalogue
    from medchat.intake import models_in, studies_on
    from medchat.jobs import Jobs
    from medchat.store import Store
    from medchat.store.migrate import check

    def needed_by(run_dir: "RunDir") -> list[str]:
        models = models_in(run_dir, Catalogue(settings.models_dir, settings.own_models_file))
        try:
            check(settings.db_url)
        except StoreError:
            return models
        with closing(Store(settings.db_url)) as store:
            return [*models, *studies_on(run_dir, store)]

    return Jobs(
        settings.runs_dir, _not_here, lambda _: None, needed_by=needed_by, grace_s=settings.stop_grace_s
    )  # fmt: skip


def _not_here(job: "Job", run_dir: "RunDir") -> NoReturn:
    raise NotImplementedError("only the app begins runs, and this Jobs is never started")


def _note(settings: Settings, action: str, job_id: str) -> None:
    """Adds to the audit where there is a store of this version."""
    from medchat.accounts import TERMINAL
    from medchat.store import Store
    from medchat.store.migrate import check

    try:
        check(settings.db_url)
    except StoreError:
        return
    with closing(Store(settings.db_url)) as store:
        store.add_audit(TERMINAL, action, job_id)

"""`python -m medchat study`: the studies of a store. A running app goes by what is changed here at once.

Nothing here tells of results, before the closing or after: `python -m evaluation human` makes the report.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medchat.errors import InvalidInput, NotFound
from medchat.settings import Settings

if TYPE_CHECKING:
    from medchat.studies import StudyService
    from medchat.study_views import AllocationView, RaterProgress, Redealt, StudyView

Arguments = argparse.Namespace

DESCRIPTION = "The studies. They are designed in the app, in its tab Studies. Nothing here tells of results."
TABLE = ("rater", "position", "item", "kind", "question", "turned", "repeat of position")


def add_parsers(commands: Any, common: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `study` and its verbs to the commands. common: makes the parser of what all commands take."""
    study = commands.add_parser("study", help="look after blinded studies", description=DESCRIPTION)
    verbs = study.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, command: Callable[[Arguments, Settings], None], help: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = verbs.add_parser(name, parents=[common()], help=help, description=help)
        parser.set_defaults(command=command)
        if name != "list":
            parser.add_argument("study", metavar="STUDY", help="an id from `study list`, or the name of only one study")
        return parser

    listed = verb("list", _list, "list the studies, newest first")
    shown = verb("show", _show, "show how a study is made, and what should be reconsidered")
    status = verb("status", _status, "show how far each rater is, never by model")
    for parser in (listed, shown, status):
        parser.add_argument("--json", action="store_true", help="print JSON")
    verb("generate", _generate, "let the models write the answers: a job, which goes on where it was stopped")
    table = verb("allocate", _allocate, "draw who judges what at the opening; the same seed draws the same table")
    table.add_argument("--seed", type=_seed, metavar="N", help="seed of the draw (default: the study's own)")
    table.add_argument("--dry-run", action="store_true", help="print the table, and keep nothing")
    verb("open", _open, "open a study: its raters find their items in the app")
    close = verb("close", _close, "close a study for good, which unblinds it")
    close.add_argument("--yes", action="store_true", help="really close it: it never opens again")
    add = verb("add-rater", _add, "add a rater; of an open study they get their part of what is left")
    remove = verb("remove-rater", _remove, "remove a rater: what they have not judged is dealt again")
    for parser in (add, remove):
        parser.add_argument("rater", metavar="NAME", help="a name from `users list`")
    add.add_argument("--group", default="", metavar="GROUP", help="what the rater is counted under, such as surgeon")


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) >= 1 << 31:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to 2147483647")
    return int(text)


def _list(args: Arguments, settings: Settings) -> None:
    with _desk(settings) as desk:
        views = desk.studies.views()
    if args.json:
        _print_json([_described(view) for view in views])
        return
    for view in views:
        print(view.record.id, view.record.name, view.record.status, f"{view.done} of {view.total} done", sep="\t")


def _show(args: Arguments, settings: Settings) -> None:
    with _desk(settings) as desk:
        view = desk.view(args.study)
        names = [desk.name(rater.rater) for rater in view.raters if rater.left_at is None]
    if args.json:
        _print_json(_described(view) | {"design": view.design.as_dict(), "raters": names})
        return
    design = view.design
    rows = {
        "study": f"{view.record.name} ({view.record.status})",
        "questions": f"{view.n_questions} of {design.questions.name}",
        "models": ", ".join(design.models),
        "task": design.tasks,
        "items": view.n_items or "none until the answers are there",
        "answers": f"{view.n_answers} there, {view.n_missing} missing",
        "raters": ", ".join(names) or "none",
        "raters an item": design.raters_per_item,
        "hidden repeats": f"{100 * design.repeat_share:g} %",
        **({"questions on a pair": "all to be answered" if design.all_axes else "optional"} if design.votes else {}),
        "seed": view.record.seed,
        "judged": f"{view.done} of {view.total}",
    }
    print("\n".join(f"{name}\t{value}" for name, value in rows.items()))
    print("".join(f"warning\t{line}\n" for line in view.warnings), end="")


def _status(args: Arguments, settings: Settings) -> None:
    with _desk(settings) as desk:
        view = desk.view(args.study)
        progress = desk.studies.progress(view.record.id)
        rows = [_progress(desk.name(rater.rater), rater) for rater in progress.raters]
    if args.json:
        counts = {"to_adjudicate": progress.to_adjudicate, "adjudicated": progress.adjudicated}
        _print_json(_described(view) | counts | {"raters": rows})
        return
    print(f"{view.record.name}: {view.record.status}, {progress.done} of {progress.total} judged")
    print("rater", "group", "done", "left", "cannot", "calibration", "last seen", sep="\t")
    for row in rows:
        calibration = f"{row['calibration_right']} of {row['calibration_tried']}"
        seen = "left the study" if row["left_at"] else (row["seen_at"] or "never")
        print(row["rater"], row["group"], row["done"], row["left"], row["cannot"], calibration, seen, sep="\t")
    if progress.to_adjudicate or progress.adjudicated:
        print(f"{progress.to_adjudicate} to adjudicate, {progress.adjudicated} adjudicated")


def _generate(args: Arguments, settings: Settings) -> None:
    from medchat.accounts import TERMINAL
    from medchat.store.lock import app_runs

    with _desk(settings) as desk:
        view = desk.view(args.study)
        job_id = desk.studies.generate(view.record.id, TERMINAL)
    when = "" if app_runs(settings.data_dir) else " It begins when MedChat is started: python app.py"
    print(f"{job_id} writes {view.n_missing} answers; see: python -m medchat jobs follow {job_id}.{when}")


def _allocate(args: Arguments, settings: Settings) -> None:
    with _desk(settings) as desk:
        study_id = desk.view(args.study).record.id
        table = desk.studies.allocate(study_id, args.seed, dry_run=args.dry_run)
        names = {rater: desk.name(rater) for rater in dict.fromkeys(row.rater for row in table.rows)}
    if args.dry_run:
        for line in _table(table, names):
            print(*line, sep="\t")
        return
    units = {unit.id: unit for unit in table.units}
    for rater, name in names.items():
        mine = [row for row in table.rows if row.rater == rater]
        kinds = Counter(units[row.unit_id].kind for row in mine if row.repeat_of is None)
        repeats = sum(row.repeat_of is not None for row in mine)
        print(f"{name}\t{kinds['rate']} to rate\t{kinds['pair']} pairs\t{repeats} hidden repeats")
    print(f"The study has the seed {table.seed}, with which this is its table.")


def _table(table: "AllocationView", names: dict[str, str]) -> Iterator[tuple[object, ...]]:
    """A head and one line for each row, without models: items are known by their numbers."""
    units = {unit.id: unit for unit in table.units}
    yield TABLE
    for row in table.rows:
        unit = units[row.unit_id]
        first = "" if row.repeat_of is None else table.rows[row.repeat_of].position + 1
        turned = "turned" if row.flipped else ""
        yield names[row.rater], row.position + 1, unit.id, unit.kind, unit.question_id[:12], turned, first


def _open(args: Arguments, settings: Settings) -> None:
    from medchat.accounts import TERMINAL

    with _desk(settings) as desk:
        view = desk.studies.open(desk.view(args.study).record.id, TERMINAL)
    raters = sum(rater.left_at is None for rater in view.raters)
    print(f"{view.record.name} is open: {view.total} judgements to make, by {raters} raters.")


def _close(args: Arguments, settings: Settings) -> None:
    from medchat.accounts import TERMINAL

    with _desk(settings) as desk:
        view = desk.view(args.study)
        if view.record.status == "open" and not args.yes:
            raise InvalidInput(
                f"{view.total - view.done} of {view.total} judgements are not made yet. Closing unblinds the study and "
                "cannot be undone; add --yes to close it."
            )
        desk.studies.close(view.record.id, TERMINAL)
    print(f"{view.record.name} is closed. Its report: python -m evaluation human --study {view.record.id} --out DIR")


def _add(args: Arguments, settings: Settings) -> None:
    from medchat.accounts import TERMINAL

    with _desk(settings) as desk:
        study_id = desk.view(args.study).record.id
        done = desk.studies.add_rater(study_id, TERMINAL, desk.rater(args.rater), args.group)
    print(f"{args.rater} is a rater of the study.{_redealt(done)}")


def _remove(args: Arguments, settings: Settings) -> None:
    from medchat.accounts import TERMINAL

    with _desk(settings) as desk:
        study_id = desk.view(args.study).record.id
        done = desk.studies.remove_rater(study_id, TERMINAL, desk.rater(args.rater))
    print(f"{args.rater} has left the study; what they judged stays.{_redealt(done)}")


def _redealt(done: "Redealt") -> str:
    if not done.withdrawn and not done.added:
        return ""
    short = f" {done.short} judgements are short: nobody else may make them." if done.short else ""
    return f" {done.withdrawn} items were taken back and {done.added} given out anew.{short}"


@dataclass(frozen=True, slots=True)
class _Desk:
    """What the verbs need. names: of accounts by id."""

    studies: "StudyService"
    names: dict[str, str]

    def view(self, text: str) -> "StudyView":
        """The study of this id or name. Raises NotFound for none, InvalidInput for several of the name."""
        return self.studies.view(self.studies.find(text).id)

    def name(self, rater: str) -> str:
        """How a rater is called; the id of one whose account is not here."""
        return self.names.get(rater, rater)

    def rater(self, name: str) -> str:
        """The id of the account of this name; where there are no accounts only "local" may rate. Raises NotFound."""
        for user_id, known in self.names.items():
            if name.casefold() in (known.casefold(), user_id):
                return user_id
        raise NotFound(f"There is no user {name!r}; see: python -m medchat users list")


@contextmanager
def _desk(settings: Settings) -> Iterator[_Desk]:
    from medchat.accounts import LOCAL, Accounts
    from medchat.catalogue import Catalogue
    from medchat.jobs_command import jobs_here
    from medchat.store import Store
    from medchat.store.migrate import check
    from medchat.studies import StudyService

    check(settings.db_url)
    catalogue = Catalogue(settings.models_dir, settings.own_models_file)
    with closing(Store(settings.db_url)) as store:
        users = Accounts(store, settings).users()
        names = {user.id: user.name for user in users} or {LOCAL.id: LOCAL.name}
        yield _Desk(StudyService(store, catalogue, jobs_here(settings), settings), names)


def _described(view: "StudyView") -> dict[str, Any]:
    record = view.record
    return {
        "id": record.id,
        "name": record.name,
        "status": record.status,
        "seed": record.seed,
        "questions": view.n_questions,
        "items": view.n_items,
        "answers": view.n_answers,
        "missing": view.n_missing,
        "raters": len(view.raters),
        "done": view.done,
        "total": view.total,
        "may_train": record.may_train,
        "show_results": record.show_results,
        "created_at": record.created_at.isoformat(timespec="seconds"),
        "opened_at": record.opened_at.isoformat(timespec="seconds") if record.opened_at else None,
        "closed_at": record.closed_at.isoformat(timespec="seconds") if record.closed_at else None,
        "warnings": list(view.warnings),
    }


def _progress(name: str, rater: "RaterProgress") -> dict[str, Any]:
    right, tried = rater.calibration
    return {
        "rater": name,
        "group": rater.group,
        "done": rater.done,
        "left": rater.left,
        "cannot": rater.cannot,
        "withdrawn": rater.withdrawn,
        "calibration_right": right,
        "calibration_tried": tried,
        "seen_at": rater.seen_at.isoformat(timespec="minutes") if rater.seen_at else None,
        "left_at": rater.left_at.isoformat(timespec="minutes") if rater.left_at else None,
    }


def _print_json(value: Sequence[Any] | dict[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=False, indent=2))

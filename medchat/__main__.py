"""MedChat on the command line: `python -m medchat ask | models | jobs | users | study | db`."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medchat import jobs_command, models_command, study_command, users_command
from medchat.catalogue import Catalogue
from medchat.errors import MedChatError, ModelUnavailable
from medchat.settings import Settings

if TYPE_CHECKING:
    from medchat.turns import TurnView

Arguments = argparse.Namespace

EXPORT_NOTES = """Write every table as TABLE.jsonl and TABLE.parquet. Text that a spreadsheet could take for a formula
(it begins with = + - @, a tab or a line break) gets an apostrophe in front, and so does text that begins with one:
taking one apostrophe from each text that begins with it gives all back as it was. Hashes of passwords and sign-ins
are left out; what raters and models wrote is in it, and which model wrote it. Answers and judgements of studies that
are neither closed nor show results are left out, unless they are asked for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 1 after a line on stderr that says what failed. Wrong arguments exit with 2."""
    args = _parser().parse_args(arguments)
    command: Callable[[Arguments, Settings], None] = args.command
    try:
        command(args, Settings.from_environment(data_dir=args.data_dir, db=args.db))
    except MedChatError as error:
        print(f"medchat: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    common = _common()
    parser = argparse.ArgumentParser(prog="python -m medchat", description="MedChat on the command line.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    ask = commands.add_parser("ask", parents=[common], help="answer one question", description="Answer one question.")
    ask.add_argument("question", metavar="QUESTION", help='a case or a question; "-" reads it from standard input')
    ask.add_argument("--model", metavar="ID", help="an id from `models`, a GGUF file or a model folder")
    ask.add_argument("--seed", type=_whole(0), metavar="N", help="seed of the sampling")
    ask.add_argument(
        "--max-new-tokens", type=_whole(1), metavar="N",
        help="stop after so many tokens (default: the model's own limit, and the answer goes on by itself after it)",
    )  # fmt: skip
    ask.add_argument("--json", action="store_true", help="print one JSON object at the end")
    ask.set_defaults(command=_ask)

    models_command.add_parsers(commands, _common)

    jobs_command.add_parsers(commands, _common)

    users_command.add_parsers(commands, _common)

    study_command.add_parsers(commands, _common)

    db = commands.add_parser("db", help="look after the store", description="Look after the store.")
    verbs = db.add_subparsers(required=True, metavar="VERB")
    upgrade = "create the store, or bring it up to date after a backup"
    verbs.add_parser("upgrade", parents=[common], help=upgrade, description=upgrade).set_defaults(command=_upgrade)
    copy = verbs.add_parser("backup", parents=[common], help="copy the store into one file", description="Copy it.")
    copy.add_argument("file", type=Path, metavar="FILE", help="a file that does not exist yet")
    copy.set_defaults(command=_backup)
    rows = verbs.add_parser(
        "export", parents=[common], help="write every table as JSONL and Parquet", description=EXPORT_NOTES
    )
    rows.add_argument("folder", type=Path, metavar="DIR", help="a folder that is empty or does not exist yet")
    unblinded = "write open studies too, which unblinds them"
    rows.add_argument("--with-open-studies", action="store_true", help=unblinded)
    rows.set_defaults(command=_export)
    return parser


def _common(**how: Any) -> argparse.ArgumentParser:
    """What every command takes."""
    common = argparse.ArgumentParser(add_help=False, **how)
    common.add_argument("--data-dir", type=Path, metavar="DIR", help="the data folder (default: ~/.medchat)")
    common.add_argument("--db", metavar="URL", help="SQLAlchemy URL of the store (default: a file in the data folder)")
    return common


def _whole(low: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) < 1 << 31:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} on")
        return int(text)

    return number


def _ask(args: Arguments, settings: Settings) -> None:
    from medchat.backends import Backends
    from medchat.grounding_fit import GroundingLoader
    from medchat.live import LiveAnswer, Turn, check_question, checked_text, write_answer
    from medchat.turns import TurnView

    question = checked_text(_stdin() if args.question == "-" else args.question)
    check_question(question)
    spec = Catalogue(settings.models_dir, settings.own_models_file).resolve(args.model or settings.model)
    if not spec.is_here:
        raise ModelUnavailable(f"{spec.name} is not here; fetch it with: python -m medchat models fetch {spec.id}")
    if spec.external:
        print(f"Your question goes to {spec.external}.", file=sys.stderr)
    sampling = spec.sampling
    if args.seed is not None:
        sampling = replace(sampling, seed=args.seed)
    if args.max_new_tokens is not None:
        sampling = replace(sampling, max_new_tokens=args.max_new_tokens)
    turn = Turn(spec, sampling, question)
    grounding = GroundingLoader(settings.data_dir / "cache") if spec.grounded else _NoGrounding()
    grounding.get()  # a page could not wait for as long as it takes the first time
    live = LiveAnswer(TurnView("", 0, question, "", spec.id), spec.answer_format)
    backends = Backends(settings.threads, 1, settings.n_ctx, settings.precision)
    paper = _Paper()
    try:
        for _ in write_answer(live, turn, backends.get(spec), grounding, settings.max_auto_continues):
            if not args.json:
                paper.show(live.snapshot())
    finally:
        backends.close()
    live.claim_end("cut" if live.is_cut() else "done")
    view = live.publish_end()
    if not args.json:
        paper.show(view)
        paper.end(view)
        return
    names = ("reasoning", "solution", "complete", "prompt_tokens", "completion_tokens", "ttft_ms", "tokens_per_s")
    print(json.dumps({"model": spec.id} | {name: getattr(view, name) for name in names}, ensure_ascii=False))


class _NoGrounding:
    """The GroundingSource of models that are not told what was recognised: nothing here shows it."""

    ready = True

    def get(self, timeout_s: float | None = None) -> None:
        """None: there is no Grounder."""


class _Paper:
    """Prints an answer as it grows."""

    def __init__(self) -> None:
        self._printed = {"Reasoning": "", "Solution": ""}

    def show(self, view: "TurnView") -> None:
        """Print what is new, reasoning before solution."""
        for title, text in (("Reasoning", view.reasoning), ("Solution", view.solution)):
            before = self._printed[title]
            if len(text) > len(before):
                if not before:
                    gap = "\n\n" if any(self._printed.values()) else ""
                    print(f"{gap}{title}\n", end="")
                print(text[len(before) :], end="", flush=True)
                self._printed[title] = text

    def end(self, view: "TurnView") -> None:
        """Print what is to be known of the answer as a whole, apart from the answer."""
        print()
        facts = [view.note, "" if view.complete else "The answer is not complete."]
        if view.tokens_per_s:
            facts.append(f"{view.completion_tokens} tokens, {view.tokens_per_s:.0f} tokens/s")
        print("\n".join(["", *filter(None, facts)]), file=sys.stderr)


def _stdin() -> str:
    return sys.stdin.buffer.read().decode("utf-8", "replace")


def _upgrade(args: Arguments, settings: Settings) -> None:
    from medchat.store.lock import hold_data_dir
    from medchat.store.migrate import upgrade

    with hold_data_dir(settings.data_dir):
        saved = upgrade(settings.db_url, settings.data_dir / "backups")
    print(f"The store is up to date; a backup of the old one is {saved}." if saved else "The store is up to date.")


def _backup(args: Arguments, settings: Settings) -> None:
    from medchat.accounts import STORE_BACKUP
    from medchat.errors import StoreError
    from medchat.store.backup import backup
    from medchat.store.migrate import check

    backup(settings.db_url, args.file)
    print(f"The store was copied to {args.file}.")
    try:
        check(settings.db_url)
    except StoreError:  # of another version, which is copied all the same: nothing can be noted in it
        return
    if n_open := _noted(settings, STORE_BACKUP):
        print(f"It holds {_counted(n_open)} unblinded: keep it from raters and investigators.", file=sys.stderr)


def _export(args: Arguments, settings: Settings) -> None:
    from medchat.accounts import STORE_EXPORT
    from medchat.store.export import export
    from medchat.store.migrate import check

    check(settings.db_url)
    n_open = _noted(settings, STORE_EXPORT, with_open_studies=args.with_open_studies)
    counts = export(settings.db_url, args.folder, with_open_studies=args.with_open_studies)
    for table, rows in counts.items():
        print(f"{table}\t{rows}")
    if n_open and args.with_open_studies:
        print(f"It holds {_counted(n_open)} unblinded: keep it from raters and investigators.", file=sys.stderr)
    elif n_open:
        left_out = f"Answers and judgements of {_counted(n_open)} are left out, which they would unblind"
        print(f"{left_out}; --with-open-studies writes them too.", file=sys.stderr)


def _noted(settings: Settings, action: str, **details: Any) -> int:
    """The number of studies that are still blinded, with the copying of them noted."""
    from medchat.accounts import TERMINAL
    from medchat.store import Store

    with closing(Store(settings.db_url)) as store:
        blinded = [study.id for study in store.studies() if study.status != "closed" and not study.show_results]
        store.add_audit(TERMINAL, action, details={"open_studies": blinded, **details})
    return len(blinded)


def _counted(n: int) -> str:
    return "1 study that is not closed" if n == 1 else f"{n} studies that are not closed"


if __name__ == "__main__":
    sys.exit(main())

"""`python -m medchat models`: list, add, remove and fetch the models."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from medchat import machine
from medchat.catalogue import Catalogue, ModelSpec, Precision
from medchat.errors import DownloadFailed, InvalidInput
from medchat.hub import Download, Downloads
from medchat.settings import Settings, secret

if TYPE_CHECKING:
    from medchat.backends import Backends
    from medchat.own_models import Wishes

Arguments = argparse.Namespace

POLL_S = 0.2
ONLY_WITH = {"hub": ("file", "revision"), "endpoint": ("served_name", "key_variable")}
PROGRAM = "python -m medchat models"


def add_parsers(commands: Any, common: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `models` and its verbs to the commands. common: makes the parser of what all commands take."""
    models = commands.add_parser(
        "models", parents=[common()], help="list, add, remove or fetch models", description="List the models."
    )
    models.add_argument("--json", action="store_true", help="print a JSON list")
    models.set_defaults(command=_list)
    verbs = models.add_subparsers(metavar="VERB")

    def verb(name: str, command: Callable[[Arguments, Settings], None], help: str) -> argparse.ArgumentParser:
        # What was given before the verb stays: a second default would undo it.
        parser: argparse.ArgumentParser = verbs.add_parser(
            name, parents=[common(argument_default=argparse.SUPPRESS)], help=help, description=help
        )
        parser.set_defaults(command=command)
        return parser

    _add_arguments(verb("add", _add, "add a model of your own to the list"))
    remove = verb("remove", _remove, "take a model of your own out of the list; its files stay")
    remove.add_argument("id", metavar="ID", help="an id from `models`")
    fetch = verb("fetch", _fetch, "download a model of the Hub, or go on with its download")
    fetch.add_argument("id", metavar="ID", help="an id from `models`")


def _add_arguments(add: argparse.ArgumentParser) -> None:
    what = add.add_mutually_exclusive_group(required=True)
    what.add_argument("path", type=Path, nargs="?", metavar="PATH", help="a GGUF file, a model folder or an adapter")
    what.add_argument("--hub", metavar="OWNER/NAME", help="a repository of the Hugging Face Hub")
    what.add_argument("--endpoint", metavar="URL", help="a server that speaks OpenAI's protocol: https://host/v1")
    add.add_argument("--base", metavar="ID", default="", help="the model that the adapter was made for")
    add.add_argument("--file", metavar="F", default="", help="the GGUF file of the repository (without: its weights)")
    add.add_argument("--revision", metavar="REV", default="", help="branch, tag or commit of the repository")
    add.add_argument("--served-name", metavar="M", default="", help="the model's name on the server")
    add.add_argument("--key-variable", metavar="V", default="", help="the environment variable with the server's key")
    add.add_argument("--name", metavar="N", default="", help="what the list calls it")
    add.add_argument("--format", metavar="F", default="", help="how it marks its reasoning (default: think)")
    add.add_argument("--system-prompt-file", type=Path, metavar="FILE", help="what its system prompt says")
    add.add_argument(
        "--prompt-file", type=Path, metavar="FILE",
        help="the whole prompt that it was trained with, to the letter, {question} in it; instead of a chat",
    )  # fmt: skip
    add.add_argument("--precision", choices=get_args(Precision), help="in which transformers loads it")


def _catalogue(settings: Settings) -> Catalogue:
    return Catalogue(settings.models_dir, settings.own_models_file)


def _list(args: Arguments, settings: Settings) -> None:
    catalogue = _catalogue(settings)
    default = catalogue.resolve(settings.model)
    here, free_gb = machine.this_machine(), machine.free_disk_gb(settings.models_dir)
    rows = [_described(spec, default, machine.fit(spec, here, free_gb)) for spec in catalogue.values()]
    if args.json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for row in rows:
        shown = {"default": row["default"], "your own": row["own"], "not here": not row["available"]}
        marks = ", ".join(mark for mark, holds in shown.items() if holds)
        name = f"{row['name']} ({marks})" if marks else row["name"]
        print(row["id"], name, row["kind"], row["fits"], row["description"], sep="\t")


def _described(spec: ModelSpec, default: ModelSpec, fit: machine.Fit) -> dict[str, object]:
    return {
        "id": spec.id,
        "name": spec.name,
        "backend": spec.backend,
        "kind": machine.kind_of(spec),
        "answer_format": spec.answer_format,
        "n_ctx": spec.n_ctx,
        "parameters": spec.parameters,
        "memory_gb": spec.memory_gb,
        "download_gb": spec.download_gb,
        "gated": spec.gated,
        "external": spec.external,
        "description": spec.description,
        "licence": spec.licence,
        "limits": list(spec.limits),
        "default": spec.id == default.id,
        "own": spec.own,
        "available": spec.is_here,
        "state": fit.state,
        "fits": fit.words,
    }


def _add(args: Arguments, settings: Settings) -> None:
    from medchat import own_models

    _check_together(args)
    catalogue, wishes = _catalogue(settings), _wishes(args)
    with _backends(settings) as backends:
        if args.hub:
            spec = own_models.from_hub(
                args.hub, catalogue, _downloads(settings),
                file=args.file, revision=args.revision or "main", base=args.base, wishes=wishes,
            )  # fmt: skip
        elif args.endpoint:
            spec = own_models.from_endpoint(
                args.endpoint, args.served_name, catalogue, backends, key_variable=args.key_variable, wishes=wishes
            )
        else:
            spec = own_models.from_file(args.path, catalogue, backends, base=args.base, wishes=wishes)
    catalogue.add(spec)
    print(f"Added {spec.name} as {spec.id}.")
    if not spec.is_here:
        print(f"Fetch it with: {PROGRAM} fetch {spec.id}")


def _check_together(args: Arguments) -> None:
    """Raises InvalidInput for an option that says nothing about what is added."""
    for kind, options in ONLY_WITH.items():
        for option in options:
            if getattr(args, option) and getattr(args, kind) is None:
                raise InvalidInput(f"--{option.replace('_', '-')} goes with --{kind} only.")
    if args.base and args.endpoint:
        raise InvalidInput("--base goes with an adapter, not with --endpoint.")


def _wishes(args: Arguments) -> "Wishes":
    from medchat.own_models import Wishes

    return Wishes(
        name=args.name,
        answer_format=args.format,
        system_prompt=_text(args.system_prompt_file).strip(),
        prompt=_text(args.prompt_file),
        precision=args.precision,
    )


def _text(path: Path | None) -> str:
    try:
        return path.read_text(encoding="utf-8") if path else ""
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is no text in UTF-8.") from error


def _downloads(settings: Settings) -> Downloads:
    return Downloads(settings.models_dir, lambda: secret("HF_TOKEN"))


@contextmanager
def _backends(settings: Settings) -> "Iterator[Backends]":
    from medchat.backends import Backends

    backends = Backends(settings.threads, 1, settings.n_ctx, settings.precision)
    try:
        yield backends
    finally:
        backends.close()


def _remove(args: Arguments, settings: Settings) -> None:
    _catalogue(settings).remove(args.id)
    print(f"Removed {args.id} from the list; its files stay where they are.")


def _fetch(args: Arguments, settings: Settings) -> None:
    catalogue = _catalogue(settings)
    spec = catalogue.resolve(args.id)
    if not spec.is_here:
        downloads = _downloads(settings)
        try:
            downloads.start(spec)
            _watch(spec, downloads)
        except KeyboardInterrupt:
            status = downloads.status(spec.id)
            kept = "What was fetched is kept; go on with" if status and status.done_bytes else "Start it again with"
            print(f"\n{kept}: {PROGRAM} fetch {spec.id}", file=sys.stderr)
            raise
        finally:
            downloads.close()
        if spec.own:  # nobody could look at it before
            from medchat.own_models import checked

            with _backends(settings) as backends:
                catalogue.add(checked(spec, backends))
    print(f"{spec.name} is here.")


def _watch(spec: ModelSpec, downloads: Downloads) -> None:
    """Shows the download until it ends; raises DownloadFailed when it failed."""
    shown, to_terminal = "", sys.stderr.isatty()
    while (status := downloads.status(spec.id)) and status.state == "running":
        line = _progress(spec, status)
        if line != shown and to_terminal:
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
        elif line != shown:
            print(line, file=sys.stderr, flush=True)
        shown = line
        time.sleep(POLL_S)
    if to_terminal:
        print(file=sys.stderr)
    if status and status.state != "done":
        raise DownloadFailed(status.error)
    if status and (line := _progress(spec, status)) != shown:
        print(line, file=sys.stderr)


def _progress(spec: ModelSpec, status: Download) -> str:
    """One line; it changes with each hundredth, so that a log of it stays short."""
    if not status.total_bytes:
        return f"{spec.name}: asking the Hub"
    share = int(100 * status.done_bytes / status.total_bytes)
    return f"{spec.name}: {share} % of {machine.size(status.total_bytes / machine.GB)}"

"""What is to be done with data: the form as the page sends it, checked, and the command that it means."""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medchat.accounts import User
from medchat.catalogue import Catalogue
from medchat.errors import InvalidInput, NotFound
from medchat.jobs import Job
from medchat.rundir import RunDir
from medchat.settings import Settings
from medchat.ui import data_sources, model_picker
from medchat.ui.actions import OUT_OF_DATE, Action
from medchat.ui.data_fields import SEPARATOR, TEXT_CHARS, arguments, checked, from_arguments
from medchat.ui.data_folders import folder_named, folders_dir, is_taken
from medchat.ui.data_forms import COMMANDS, REFINING, check_together, form_of

NAME_CHARS = 60
RUN_DIR = "{run_dir}"  # as medchat.jobs has it
HUB_KEY = "HF_TOKEN"
MOST_WEIGHT = 100
WEIGHT = re.compile(r"\d{1,4}(\.\d{1,4})?")


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody chose. sources: as the command takes them; weights: by source, of those that have one.

    folder: the prepared folder that augment, distill and quality take. typed: the settings as text. name: of the folder
    that comes out, "" for one that MedChat chooses.
    """

    command: str = "prepare"
    sources: tuple[str, ...] = ()
    weights: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""
    typed: Mapping[str, str] = field(default_factory=dict)
    name: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it is kept between pages."""
        return {"command": self.command, "sources": list(self.sources), "weights": dict(self.weights),
                "folder": self.folder, "typed": dict(self.typed), "name": self.name}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checked:
    """An order that holds. argv: the command of the job. out: the folder that comes out."""

    order: Order
    argv: tuple[str, ...]
    out: Path
    variables: tuple[str, ...]
    leaves: tuple[str, ...]  # the hosts to which rows are sent


def sent_order(action: Action) -> Order:
    """The order that the page sent. Raises InvalidInput when it is none."""
    return order_of(action.mapping("order"))


def order_of(found: Mapping[str, Any]) -> Order:
    """The order out of JSON. Raises InvalidInput when it is none."""
    texts = [found.get(name, "") for name in ("command", "folder", "name")]
    sources, weights, typed = found.get("sources", []), found.get("weights", {}), found.get("typed", {})
    is_whole = isinstance(sources, list) and isinstance(weights, dict) and isinstance(typed, dict)
    if not is_whole or len(sources) > data_sources.MOST_SOURCES:
        raise InvalidInput(OUT_OF_DATE)
    every = [*texts, *sources, *weights, *weights.values(), *typed, *typed.values()]
    if not all(isinstance(text, str) and len(text) <= TEXT_CHARS for text in every):
        raise InvalidInput(OUT_OF_DATE)
    command, folder, name = texts
    if command not in COMMANDS:
        raise InvalidInput(OUT_OF_DATE)
    return Order(command, tuple(sources), weights, folder, typed, name.strip()[:NAME_CHARS])


def check(settings: Settings, catalogue: Catalogue, user: User, order: Order, in_line: Collection[str] = ()) -> Checked:
    """The order with its command. in_line: names of the folders that jobs are going to write.

    Raises InvalidInput, NotFound with what is to be changed.
    """
    form = form_of(order.command)
    given = checked(form, order.typed)
    for key, text in given.items():
        if form.fields[key].kind == "file":
            given[key] = str(_file(settings, user, form.fields[key].label, text))
    check_together(order.command, given)
    inputs = _inputs(settings, user, order)
    models = _models(catalogue, order.command, given)
    out = folders_dir(settings) / (slug(order.name) or free_name(settings, order, in_line))
    if order.name and not slug(order.name):
        raise InvalidInput("Name of the new data set: folders are named in a to z and digits, and none of it is that.")
    if out.name in in_line:
        raise InvalidInput(f"A job that writes {out.name} is in line already; give another name.")
    if is_taken(out):
        raise InvalidInput(f"There is a data set {out.name} already; give another name, or delete it first.")
    argv = ("python", "-m", "train", order.command, *inputs, *arguments(form, given), "--out", str(out), "--run-dir",
            RUN_DIR)  # fmt: skip
    keys = [name for model in models for name in variables_of(catalogue, model)]
    from_hub = any(text.partition("=")[2].startswith(data_sources.HUB) for text in order.sources)
    hosts = tuple(dict.fromkeys(spec.external for model in models if (spec := catalogue.get(model)) and spec.external))
    variables = tuple(dict.fromkeys([*keys, *([HUB_KEY] if from_hub and order.command == "prepare" else [])]))
    return Checked(order, argv, out, variables, hosts)


def slug(name: str) -> str:
    """The name as a folder has it."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_]+", "-", plain).strip("-")[:NAME_CHARS]


def free_name(settings: Settings, order: Order, in_line: Collection[str] = ()) -> str:
    """A name that no folder has, and none of those in line: of its sources, or of the folder it is made from and what
    was done.
    """
    named = [text.partition("=")[0] for text in order.sources]
    base = slug("-".join(dict.fromkeys(named))[:40]) or "set"
    if order.command in REFINING:
        base = f"{order.folder}-{order.command}"
    taken = {path.name for path in folders_dir(settings).glob("*")} | {*in_line}
    return next(name for n in range(1, len(taken) + 2) if (name := base if n == 1 else f"{base}-{n}") not in taken)


def variables_of(catalogue: Catalogue, model: str) -> tuple[str, ...]:
    """The environment variables in which the keys of a model's server are."""
    spec = catalogue.get(model)
    endpoint = spec.endpoint if spec else None
    if endpoint is None:
        return ()
    several = tuple(getattr(endpoint, "key_variables", ()))
    return tuple(dict.fromkeys(filter(None, (endpoint.key_variable, *several))))


def shown_command(argv: Sequence[str], settings: Settings) -> str:
    """The command as it may be typed into a shell, before there is a run."""
    from train.launch import command_line

    plain = (*argv[: argv.index("--run-dir")], "--data-dir", str(settings.data_dir))
    return command_line(Job("", "prepare", "", plain, (), "", ""), RunDir(settings.runs_dir))


def cloned(settings: Settings, argv: Sequence[str]) -> Order:
    """The order that gives this job again, with its name where that is free. Raises InvalidInput for a job that no
    form makes.
    """
    command = argv[3] if len(argv) > 4 and argv[3] in COMMANDS else ""
    if not command:
        raise InvalidInput("This run was not begun from this page; go on with it on the command line.")
    out = out_of(argv)
    is_free = out is not None and out.parent == folders_dir(settings) and not is_taken(out)
    order = Order(command, typed=from_arguments(form_of(command), argv), name=out.name if out and is_free else "")
    if command in REFINING:
        return replace(order, folder=Path(argv[4]).name)
    sources = tuple(argv[n + 1] for n, part in enumerate(argv) if part == "--source")
    weights = dict(argv[n + 1].rpartition("=")[::2] for n, part in enumerate(argv) if part == "--weight")
    of_each = {text: weights.get(_label(text), weights.get(text.partition("=")[0], "")) for text in sources}
    return replace(order, sources=sources, weights={text: weight for text, weight in of_each.items() if weight})


def out_of(argv: Sequence[str]) -> Path | None:
    """The folder that a job writes; None for one that says none."""
    return next((Path(argv[n + 1]) for n, part in enumerate(argv[:-1]) if part == "--out"), None)


def _file(settings: Settings, user: User, label: str, text: str) -> Path:
    """The path of a setting. Raises InvalidInput, NotFound with its label."""
    try:
        return data_sources.path_for(settings, user, text)
    except (InvalidInput, NotFound) as error:
        raise type(error)(f"{label}: {error}") from error


def _label(text: str) -> str:
    """By what the command knows the weight of a source, as far as its text tells."""
    place = text.partition("=")[2]
    return place.removeprefix(data_sources.HUB) if place.startswith(data_sources.HUB) else Path(place).name


def _inputs(settings: Settings, user: User, order: Order) -> list[str]:
    if order.command in REFINING:
        return [str(folder_named(settings, order.folder).path)]
    if not order.sources:
        raise InvalidInput("Choose a source first: open one of the list above, and upload a file or name a path.")
    chosen = [data_sources.chosen(settings, user, text) for text in order.sources]
    return [part for one in chosen for part in ("--source", one.text)] + _weights(chosen, order.weights)


def _weights(chosen: Sequence[data_sources.Chosen], weights: Mapping[str, str]) -> list[str]:
    """The weights, by the name of the file, folder or data set."""
    parts: dict[str, str] = {}
    for one in chosen:
        given = weights.get(one.text, "").strip()
        if given and (not WEIGHT.fullmatch(given) or not 0 < float(given) <= MOST_WEIGHT):
            raise InvalidInput(
                f"Weight of {one.label}: give a number above 0, {MOST_WEIGHT} at most, such as 2 or 0.5."
            )
        if parts.setdefault(one.label, given) != given:
            raise InvalidInput(f"Two sources are called {one.label}: give both the same weight.")
    return [part for label, given in parts.items() if given for part in ("--weight", f"{label}={given}")]


def _models(catalogue: Catalogue, command: str, given: Mapping[str, str]) -> list[str]:
    """The models that are asked. Raises InvalidInput for one that cannot be asked here."""
    found = []
    for key, text in given.items():
        kind = form_of(command).fields[key].kind
        for model in text.split(SEPARATOR) if kind == "models" else [text] if kind == "model" else []:
            spec = catalogue.get(model)
            if spec is None or not spec.is_here or model_picker.missing_key(spec):
                raise InvalidInput(f"{form_of(command).fields[key].label}: {model[:80]} cannot be asked here now.")
            found.append(model)
    return found

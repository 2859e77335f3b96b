"""Where data comes from: paths on this machine that may be read, files that somebody uploads, names of the Hub.

Whose machine it is may name any path. Where people sign in, a path must lie in the folder of uploads or in one that
the settings allow, whatever links there are on the way.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from medchat.accounts import LOCAL, User
from medchat.errors import InvalidInput, NotFound, one_of
from medchat.run_files import writing
from medchat.settings import Settings
from medchat.uploads import shown_name

if TYPE_CHECKING:
    from train.adapters import Adapter

UPLOADED = "sources"  # folder of the data folder for uploads
HUB = "hub:"
PATH_CHARS = 2000
MOST_SOURCES = 50
MOST_OFFERED = 200
MOST_LOOKED_AT = 20_000  # entries of a folder, until one that can be read is found
QUOTES = (('"', '"'), ("'", "'"), ("“", "”"), ("‘", "’"), ("«", "»"))


@dataclass(frozen=True, slots=True)
class Chosen:
    """A source in the form. text: as the command takes it. place: what people are shown of it. label: by which the
    command knows its weight.
    """

    text: str
    adapter: "Adapter"
    place: str
    label: str
    is_hub: bool


def roots_of(settings: Settings) -> list[Path]:
    """The folders that everybody who prepares data may read from."""
    return [settings.data_dir / UPLOADED, *settings.source_dirs]


def path_for(settings: Settings, user: User, text: str) -> Path:
    """The file or folder, free of links, that this user may read.

    Raises InvalidInput for a path that is none or may not be read, NotFound where nothing is there.
    """
    typed = unquoted(text)
    if not typed or len(typed) > PATH_CHARS or not typed.isprintable():
        raise InvalidInput("Give the whole path of a file or folder.")
    is_own_machine = user.id == LOCAL.id
    plain = Path(typed).expanduser() if is_own_machine else Path(typed)
    if not plain.is_absolute():
        raise InvalidInput(f"{shown_name(typed)}: give the whole path, from the root of the machine on.")
    try:
        path = plain.resolve()
        if not is_own_machine and not any(path.is_relative_to(root.resolve()) for root in roots_of(settings)):
            raise InvalidInput(
                "MedChat may not read that path for you. Upload the file, or ask who runs MedChat to add its folder to "
                "MEDCHAT_SOURCE_DIRS."
            )
        is_there = path.exists()
    except (OSError, RuntimeError) as error:  # a name that is too long, a circle of links
        raise InvalidInput(f"{shown_name(typed)} cannot be read as a path.") from error
    if not is_there:
        raise NotFound(f"There is no file or folder {typed} on the machine that MedChat runs on.")
    return path


def unquoted(text: str) -> str:
    """A path as it was meant: without the space and the quotation marks that came along as it was pasted."""
    typed = text.strip()
    is_quoted = len(typed) > 1 and (typed[0], typed[-1]) in QUOTES
    return typed[1:-1].strip() if is_quoted else typed


def chosen(settings: Settings, user: User, text: str) -> Chosen:
    """The source that ADAPTER=PATH or ADAPTER=hub:NAME means, with its path checked.

    Raises InvalidInput for what is none, or may not be read; NotFound where nothing is there.
    """
    from train.adapters import ADAPTERS, source_of

    name, _, place = text.partition("=")
    adapter = ADAPTERS.get(name)
    if adapter is None:
        raise InvalidInput("There is no such kind of source; choose one from the list.")
    if place.startswith(HUB):
        if len(place) > PATH_CHARS or not place.isprintable():
            raise InvalidInput("Give the name of a data set on the Hub, as OWNER/NAME.")
        source = source_of(f"{name}={place.strip()}")
        repo = source.hub.repo if source.hub else place.removeprefix(HUB)
        return Chosen(f"{name}={place.strip()}", adapter, f"{repo} on the Hugging Face Hub", repo, True)
    path = path_for(settings, user, place)
    _check_readable(adapter, path)
    return Chosen(f"{name}={path}", adapter, str(path), path.name, False)


def _check_readable(adapter: "Adapter", path: Path) -> None:
    """Raises InvalidInput for a file that is empty or of another kind, and for a folder without one of the kind."""
    from evaluation.benchmark_files import suffix_of

    kinds = f"{adapter.title} is read from {one_of(adapter.suffixes)} files"
    try:
        if path.is_file():
            if suffix_of(path) not in adapter.suffixes:
                raise InvalidInput(f"{path.name}: {kinds}.")
            if not path.stat().st_size:
                raise InvalidInput(f"{path.name} is empty.")
        elif not path.is_dir():
            raise InvalidInput(f"{path.name} is neither a file nor a folder.")
        else:
            for n, file in enumerate(path.rglob("*")):
                is_read = suffix_of(file) in adapter.suffixes and fnmatch(file.name.casefold(), adapter.files)
                if is_read or n >= MOST_LOOKED_AT:
                    return
            raise InvalidInput(f"{kinds}, and the folder {path.name} has none.")
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read ({error.strerror or type(error).__name__}).") from error


def added(settings: Settings, user: User, sources: Iterable[str], text: str) -> tuple[str, ...]:
    """The sources with one more. Raises InvalidInput, NotFound."""
    before = list(sources)
    one = chosen(settings, user, text).text
    if one in before:
        raise InvalidInput("This source is in the list already.")
    if len(before) >= MOST_SOURCES:
        raise InvalidInput(f"At most {MOST_SOURCES} sources are taken; put files of one kind into one folder.")
    return (*before, one)


def offered(settings: Settings) -> list[str]:
    """Files and folders of the folders that may be read, which the field for a path offers."""
    found: list[str] = []
    for root in roots_of(settings):
        try:
            inside = sorted(path for path in root.iterdir() if not path.name.startswith("."))
        except OSError:
            continue
        found += [str(path) for path in inside]
    return found[:MOST_OFFERED]


def take_upload(settings: Settings, adapter_name: str, name: str, data: bytes) -> str:
    """The source that an uploaded file has become. Raises InvalidInput for a kind of file that it does not read."""
    from train.adapters import ADAPTERS

    adapter = ADAPTERS.get(adapter_name)
    if adapter is None:
        raise InvalidInput("There is no such kind of source; choose one from the list.")
    shown = Path(shown_name(name))
    if shown.suffix.casefold() not in adapter.suffixes:
        raise InvalidInput(f"{shown}: {adapter.title} is read from {one_of(adapter.suffixes)} files.")
    if not data.strip():
        raise InvalidInput(f"{shown} is empty.")
    stem = "".join(char if char.isalnum() or char in "-_" else "-" for char in shown.stem)[:60] or "file"
    digest = hashlib.sha256(data).hexdigest()[:8]
    path = settings.data_dir / UPLOADED / f"{stem}-{digest}{shown.suffix.casefold()}"
    with writing():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{uuid4().hex}.partial")
        partial.write_bytes(data)
        partial.replace(path)
    return f"{adapter_name}={path.resolve()}"

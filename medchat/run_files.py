"""The files of a run: read without a surprise, written whole."""

import errno
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medchat.errors import RunError

FULL = "The disk is full: free some space, then resume the run."
DAMAGED = "The {} of this run is damaged. Resume the run, or delete it."


@contextmanager
def writing() -> Iterator[None]:
    """What cannot be written becomes a RunError."""
    try:
        yield
    except OSError as error:
        raise RunError(FULL if is_full(error) else f"The run's folder cannot be written ({error.strerror}).") from error


def is_full(error: OSError) -> bool:
    """Whether the error says that there is no room: on the disk, in the quota, or for so large a file."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_whole(path: Path, text: str, *, durable: bool = True) -> None:
    """Write the file so that nobody ever sees a part of it; durable: and a power cut does not undo it.

    Raises OSError, and then the file is as it was.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def text_of(path: Path) -> str | None:
    """The file's text; None where there is none. Raises RunError when it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RunError(f"The {path.name} of this run cannot be read ({error.strerror}).") from error


def json_of(text: str | bytes) -> Any:
    """What it says; None when it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def mapping_of(found: Any, name: str) -> dict[str, Any]:
    """What the parsed file of this name holds. Raises RunError when that is no mapping."""
    if not isinstance(found, dict):
        raise RunError(DAMAGED.format(name))
    return found

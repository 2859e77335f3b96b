"""The folder OUT/.work in which a data command keeps what it has done, so that the same command goes on from there.

Only one command at a time works on a folder; what it keeps is deleted when the work is done.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from medchat.errors import InvalidInput, RunError
from medchat.run_files import FULL, is_full, writing
from train.row_files import check_own_files

WORK = ".work"
LOCK = "lock"
AT_WORK = "Another process writes the folder {}; wait until it ends."
NO_FOLDER = "The folder {} cannot be written ({}); choose another --out."


@dataclass(slots=True)
class Work:
    """What is kept in OUT/.work. is_done: False where the next run goes on from it though this one ended well."""

    path: Path
    is_done: bool = True

    def folder(self, digest: str) -> Path:
        """The folder of the work with these inputs and settings; what others left is deleted. Raises RunError."""
        mine = self.path / digest
        with writing():
            for other in self.path.iterdir():
                if other.is_dir() and other != mine:
                    shutil.rmtree(other)
            mine.mkdir(exist_ok=True)
        return mine


@contextmanager
def work_folder(out: Path, *, invalid_is_final: bool = False) -> Iterator[Work]:
    """OUT/.work, held by this process alone until the block is left; deleted then, unless by an error.

    invalid_is_final: deleted by InvalidInput too, where the same command would only meet it again. Raises InvalidInput
    when another process works there or files lie there that no report names, RunError when it cannot be written.
    """
    check_own_files(out)
    try:
        (out / WORK).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(FULL if is_full(error) else NO_FOLDER.format(out, error.strerror)) from error
    lock = FileLock(out / WORK / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InvalidInput(AT_WORK.format(out.name)) from error
    except OSError as error:
        raise RunError(FULL if is_full(error) else NO_FOLDER.format(out, error.strerror)) from error
    work = Work(out / WORK)
    try:
        yield work
    except InvalidInput:
        work.is_done = invalid_is_final
        raise
    except BaseException:
        work.is_done = False
        raise
    finally:
        lock.release()
        if work.is_done:
            shutil.rmtree(out / WORK, ignore_errors=True)

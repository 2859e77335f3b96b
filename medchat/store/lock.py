"""The data folder belongs to one app at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from medchat.errors import SettingsError, StoreError

LOCK_NAME = "medchat.lock"


def app_runs(data_dir: Path) -> bool:
    """Whether an app holds the data folder at this moment."""
    if not data_dir.is_dir():
        return False
    try:
        with FileLock(data_dir / LOCK_NAME, timeout=0):
            return False
    except Timeout:
        return True


@contextmanager
def hold_data_dir(data_dir: Path) -> Iterator[None]:
    """Creates the data folder and keeps every other app off it while the block runs.

    The lock goes with the process, however it ends. Raises SettingsError when another app holds the
    folder, StoreError when the folder cannot be made or written.
    """
    # Not bound to a thread: an app may start in one and stop in another.
    lock = FileLock(data_dir / LOCK_NAME, thread_local=False)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise SettingsError(
            f"Another MedChat already runs on the data folder {data_dir}; close it or start with another --data-dir."
        ) from error
    except (FileExistsError, NotADirectoryError) as error:
        raise StoreError(
            f"The data folder {data_dir} cannot be made: a file stands in its place. Choose another --data-dir."
        ) from error
    except OSError as error:
        raise StoreError(
            f"The data folder {data_dir} cannot be written ({error.strerror}). Choose another --data-dir."
        ) from error
    try:
        yield
    finally:
        lock.release()

"""Who made a data set: the job that wrote it says so; its word is left in the folder when the job is deleted."""

from collections.abc import Iterable
from pathlib import Path

from medchat.accounts import User
from medchat.jobs import JobView
from medchat.run_files import text_of, write_whole, writing
from medchat.ui.data_folders import Folder
from medchat.ui.data_order import out_of

OWNER = ".owner"


def owner_of(folder: Folder, views: Iterable[JobView]) -> str:
    """The id of who made it; "" where nobody knows, as of one that was copied there. views: the newest first."""
    kept = (text_of(folder.path / OWNER) or "").strip()
    return kept or next((view.job.owner for view in views if out_of(view.job.argv) == folder.path), "")


def keep_owner(folder: Path, owner: str) -> None:
    """Leave the owner's id in the folder. Raises RunError."""
    with writing():
        write_whole(folder / OWNER, f"{owner}\n")


def may_remove(user: User, owner: str) -> bool:
    """Whether the user may delete the data set of this owner."""
    return user.role == "admin" or (bool(owner) and user.id == owner)

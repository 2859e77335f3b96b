"""Checkpoints of a stage: sealed when they are whole, so that a run goes on from one that nothing cut short."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

from medchat.errors import InvalidInput
from medchat.run_files import write_whole

SEAL = "sealed.json"  # written last: the SHA-256 of every file in the checkpoint
PREFIX = "checkpoint-"


def checkpoint(folder: Path, step: int) -> Path:
    """Where the stage's checkpoint of this step is."""
    return folder / f"{PREFIX}{step}"


def steps_of(folder: Path) -> list[int]:
    """The steps of the checkpoints that are there, whole or not, the first first."""
    names = (path.name.removeprefix(PREFIX) for path in folder.glob(f"{PREFIX}*"))
    return sorted(int(name) for name in names if name.isdecimal())


def seal(path: Path) -> None:
    """Say that the checkpoint is whole. Raises OSError."""
    write_whole(path / SEAL, json.dumps(_digests(path), indent=1) + "\n")


def newest_whole(folder: Path, say: Callable[[str], None]) -> int:
    """The step of the newest checkpoint that is whole; 0 when there is none yet. Those after it are removed.

    Raises InvalidInput when all that were once whole are damaged now.
    """
    damaged = []
    for step in reversed(steps_of(folder)):
        path = checkpoint(folder, step)
        if not (path / SEAL).is_file():
            say(f"The checkpoint of step {step} was never finished and is left out.")
        elif _is_whole(path):
            for later in steps_of(folder):
                if later > step:
                    shutil.rmtree(checkpoint(folder, later))
            return step
        else:
            damaged.append(step)
            say(f"The checkpoint of step {step} is damaged and is left out.")
    if damaged:
        raise InvalidInput(
            f"All checkpoints of this run are damaged (steps {', '.join(map(str, sorted(damaged)))}); start it anew in"
            " another folder."
        )
    for step in steps_of(folder):
        shutil.rmtree(checkpoint(folder, step))
    return 0


def prune(folder: Path, keep: set[int], newest: int = 2) -> None:
    """Remove the checkpoints but those to keep and the newest."""
    steps = steps_of(folder)
    for step in steps[:-newest]:
        if step not in keep:
            shutil.rmtree(checkpoint(folder, step), ignore_errors=True)


def _is_whole(path: Path) -> bool:
    try:
        sealed = json.loads((path / SEAL).read_bytes())
    except (OSError, ValueError):
        return False
    return bool(sealed) and sealed == _digests(path)


def _digests(path: Path) -> dict[str, str]:
    """SHA-256 of each file by its place in the checkpoint."""
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name != SEAL)
    return {str(file.relative_to(path)): _sha256(file) for file in files}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

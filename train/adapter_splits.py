"""The official split of a file, as its name or its folder says it."""

import re
from collections.abc import Sequence
from pathlib import Path

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")  # "ValidationSet" is two words
_SPLIT_OF = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "development": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip


def split_named(word: str) -> str:
    """train, validation or test for a word that means it, "" for any other."""
    return _SPLIT_OF.get(word.strip().casefold().removesuffix("set"), "")


def official_splits(root: Path | None, files: Sequence[Path], *, exact: bool = False) -> list[str]:
    """The split of each file, "" where nothing says it, or where no file is held out: then there is no official one.

    root: the folder that was given; folders above it say nothing. exact: only a file or folder with just that name
    counts, for people call files of their own as they like.
    """
    splits = [_split_of(root, file, exact) for file in files]
    return splits if {"validation", "test"} & set(splits) else [""] * len(splits)


def _split_of(root: Path | None, file: Path, exact: bool) -> str:
    stem = file.name.partition(".")[0] if exact else file.name.rsplit(".", 1)[0]
    named = split_named(stem) if exact else _last_word(stem)
    if named:
        return named
    folders = file.relative_to(root).parts[:-1] if root and root.is_dir() and file.is_relative_to(root) else ()
    for folder in reversed(((root.name,) if root and root.is_dir() else ()) + tuple(folders)):
        named = split_named(folder)
        if named:
            return named
    return ""


def _last_word(stem: str) -> str:
    """The split that the last of the name's words means that means one: "phrases_no_exclude_test" is a test."""
    return next((split for word in reversed(_WORDS.findall(stem)) if (split := split_named(word))), "")

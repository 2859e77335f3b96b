"""Data sets of the Hugging Face Hub as files: streamed once, kept as JSONL."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from evaluation.hub_rows import UNREACHABLE, Load, hub_rows, is_unreachable, write_rows
from evaluation.suite_files import FileHub
from medchat.errors import DownloadFailed
from train.adapter import Hub

TICK_ROWS = 1000  # rows between two reports of progress
SplitsOf = Callable[[str, str | None, str], list[str]]


def fetched_files(
    hub: Hub,
    cache: Path,
    limit: int | None = None,
    progress: Callable[[int], None] | None = None,
    load: Load | None = None,
    splits_of: SplitsOf | None = None,
) -> list[Path]:
    """A file for each configuration and split, fetched where it is not there: all rows, or the first `limit`.

    load and splits_of stand for datasets.load_dataset and get_dataset_split_names. progress gets the number of rows so
    far; what it raises ends the fetching, and no half a file stays. Raises DownloadFailed.
    """
    folder = cache / "sources" / hub.repo.replace("/", "--")
    files = []
    done = 0
    for config in hub.configs or (None,):
        for split in hub.splits or (splits_of or _splits_of)(hub.repo, config, hub.revision):
            stem = "-".join(filter(None, (config, split)))
            whole = folder / f"{stem}.jsonl"
            path = whole if limit is None or whole.exists() else folder / f"{stem}-first-{limit}.jsonl"
            if not path.exists():
                its = FileHub(
                    repo=hub.repo, split=split, configs=[config] if config else [], data_file=hub.data_file,
                    revision=hub.revision, add=dict(hub.add),
                )  # fmt: skip
                done = _write(islice(hub_rows(its, load), limit), path, done, progress)
            files.append(path)
    return files


def _write(
    rows: Iterator[Mapping[str, Any]], path: Path, done: int, progress: Callable[[int], None] | None
) -> int:  # fmt: skip
    """How many rows there are after these."""
    count = done

    def counted() -> Iterator[Mapping[str, Any]]:
        nonlocal count
        for row in rows:
            count += 1
            if progress and count % TICK_ROWS == 0:
                progress(count)
            yield row

    try:
        write_rows(counted(), path)
    finally:
        path.with_name(path.name + ".partial").unlink(missing_ok=True)
    return count


def _splits_of(repo: str, config: str | None, revision: str) -> list[str]:
    import httpx2
    from datasets import get_dataset_split_names
    from datasets.exceptions import DatasetsError

    try:
        return list(get_dataset_split_names(repo, config, revision=revision))
    except (DatasetsError, OSError, ValueError, httpx2.HTTPError) as error:
        if is_unreachable(error):
            raise DownloadFailed(UNREACHABLE.format(repo=repo)) from error
        reason = " ".join(str(error).split())[:200]
        raise DownloadFailed(
            f"The splits of {repo} could not be read from the Hub ({type(error).__name__}: {reason}). Try again with a "
            "network connection, or download its files by hand."
        ) from error

"""Rows of a benchmark from the Hugging Face Hub, kept on disk as they came."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from evaluation.suite_files import FileHub
from medchat.errors import DownloadFailed

Rows = Iterator[Mapping[str, Any]]
UNREACHABLE = (
    "{repo} cannot be fetched: the Hugging Face Hub cannot be reached. Check the network connection, or download its "
    "files by hand and give their folder."
)
NOT_REACHED = ("LocalEntryNotFoundError", "OfflineModeIsEnabled")  # of huggingface_hub
Load = Callable[..., Iterable[Mapping[str, Any]]]


def kept_rows(name: str, hub: FileHub, folder: Path, limit: int | None, load: Load | None = None) -> Path:
    """The JSONL file with the rows in the folder, fetched where it is not there; only the first `limit` where given.

    Raises DownloadFailed when they cannot be fetched or written.
    """
    whole = folder / f"{name}-{hub.split}.jsonl"
    path = whole if limit is None or whole.exists() else folder / f"{name}-{hub.split}-first-{limit}.jsonl"
    if not path.exists():
        write_rows(islice(hub_rows(hub, load), limit), path)
    return path


def hub_rows(hub: FileHub, load: Load | None = None) -> Rows:
    """The rows of the data set, of each of its configurations in turn, as they stream.

    load: what stands for datasets.load_dataset. Raises DownloadFailed, which says why.
    """
    import httpx2

    configs: Sequence[str | None] = hub.configs or [None]
    files = {"data_files": {hub.split: hub.data_file}} if hub.data_file else {}
    try:
        for config in configs:
            rows = (load or _streamed)(
                hub.repo, config, split=hub.split, revision=hub.revision, streaming=True, **files
            )
            for row in rows:
                yield {**row, **hub.add}
    except (OSError, ValueError, httpx2.HTTPError) as error:
        if is_unreachable(error):
            raise DownloadFailed(UNREACHABLE.format(repo=hub.repo)) from error
        reason = " ".join(str(error).split())[:200]
        raise DownloadFailed(
            f"{hub.repo} could not be read from the Hub ({type(error).__name__}: {reason}). Try again with a network "
            "connection, or download its files by hand."
        ) from error


def is_unreachable(error: BaseException) -> bool:
    """Whether no server answered: there is no way to the Hub, or none is looked for."""
    import httpx2

    seen: BaseException | None = error
    while seen is not None:
        if type(seen).__name__ in NOT_REACHED or isinstance(seen, httpx2.ConnectError | httpx2.TimeoutException):
            return True
        seen = seen.__cause__ or seen.__context__
    return any(name in str(error) for name in NOT_REACHED)  # as datasets words it in an error of its own


def write_rows(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """The rows as JSONL; a half-written file never takes the final name. Raises DownloadFailed when it cannot be."""
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows)
        partial.replace(path)
    except OSError as error:
        raise DownloadFailed(f"The rows cannot be written to the data folder: {error.strerror}.") from error


def _streamed(repo: str, config: str | None, **options: Any) -> Rows:
    from datasets import load_dataset
    from datasets.exceptions import DatasetsError

    try:
        yield from load_dataset(repo, config, **options)
    except DatasetsError as error:
        raise OSError(str(error)) from error

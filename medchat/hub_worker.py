"""The process that fetches from the Hugging Face Hub: `python -m medchat.hub_worker`, started by hub.py.

It reads one line of JSON, the order to fetch or only to look, from standard input, writes events as lines of JSON,
and ends when standard input closes, so that it does not outlive the app. Its token comes by its environment, which
other users of the machine cannot read.

What arrives waits in a folder called UNFINISHED and takes its place when size and checksum are right. The next
start goes on with what it finds there: the Hub's own library would begin each file anew.
"""

import contextlib
import errno
import fnmatch
import hashlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from medchat.backends.server_errors import no_client
from medchat.catalogue import UNFINISHED
from medchat.errors import DownloadFailed
from medchat.settings import LOOPBACK, secret

if TYPE_CHECKING:
    from huggingface_hub import HfApi

RETRY_WAITS_S = (1.0, 3.0)
TIMEOUT_S = 20.0
PROGRESS_EVERY_S = 0.2
IN_BETWEEN = "Is there a login page or a proxy in between?"
CONTINUES = " What was fetched is kept: start it again to go on."

# What loading a model needs; everything else in its repository stays there.
TEXTS = (
    "config.json", "generation_config.json", "tokenizer*", "special_tokens_map.json", "added_tokens.json",
    "vocab.*", "merges.txt", "*.model", "chat_template.*",
)  # fmt: skip
WEIGHTS = ("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json")
OLD_WEIGHTS = ("pytorch_model.bin", "pytorch_model-*-of-*.bin", "pytorch_model.bin.index.json")


@dataclass(frozen=True, slots=True)
class Source:
    """One thing to fetch: a file of a repository, or what loading it needs, and where it goes."""

    repo: str
    revision: str
    file: str
    path: str
    adapter: bool

    @property
    def staging(self) -> Path:
        """The folder in which it waits until it is whole."""
        path = Path(self.path)
        return path.with_name(path.name + UNFINISHED) if self.file else path / UNFINISHED

    @property
    def continues(self) -> str:
        """How to go on with what of it is here; "" when nothing is."""
        folder = self.staging if self.file else Path(self.path)
        return CONTINUES if any(it.is_file() and it.stat().st_size for it in folder.rglob("*")) else ""


@dataclass(frozen=True, slots=True)
class _File:
    """One file as the Hub lists it. sha256 or git_sha1: of its content, "" where it does not say."""

    url: str
    size: int
    sha256: str
    git_sha1: str
    place: Path
    part: Path

    def is_right(self, path: Path) -> bool:
        """Whether the file there is this one, byte for byte."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        if self.sha256:
            with path.open("rb") as content:
                return hashlib.file_digest(content, "sha256").hexdigest() == self.sha256
        if self.git_sha1:
            blob = f"blob {self.size}\0".encode() + path.read_bytes()
            return hashlib.sha1(blob, usedforsecurity=False).hexdigest() == self.git_sha1
        return True

    @property
    def bytes_here(self) -> int:
        """How much of it is here already."""
        return next((path.stat().st_size for path in (self.place, self.part) if path.is_file()), 0)


class _Plan(NamedTuple):
    """What of a source is to be fetched. gated: its terms must be accepted first."""

    source: Source
    files: list[_File]
    gated: bool


class _Progress:
    """Tells the parent how many bytes are here, not more often than it is of use."""

    def __init__(self, done: int, total: int) -> None:
        self._done, self._total = done, total
        self._told_at = 0.0
        self.add(0)

    def add(self, n_bytes: int) -> None:
        """So many more, or less when something must be fetched again."""
        self._done += n_bytes
        now = time.monotonic()
        if now - self._told_at >= PROGRESS_EVERY_S or self._done >= self._total:
            self._told_at = now
            _tell("bytes", self._done, self._total)


def main() -> None:
    """Do what standard input orders; the last line says how it ended."""
    sys.stdout = sys.stderr  # a library that prints must not disturb the events
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        plans = _plans(order["endpoint"], [Source(**source) for source in order["sources"]])
        if order["do"] == "look":
            n_bytes = sum(file.size for plan in plans for file in plan.files)
            _tell("found", n_bytes, any(plan.gated for plan in plans))
        else:
            _fetch_all(order["endpoint"], plans)
            _tell("done")
    except DownloadFailed as error:
        _tell("failed", str(error))


def _end_with_the_parent() -> None:
    while os.read(0, 1024):  # not through sys.stdin, whose lock would be held at the exit
        pass
    os._exit(1)


def _tell(*event: object) -> None:
    os.write(1, json.dumps(event).encode() + b"\n")


def _plans(endpoint: str, sources: Sequence[Source]) -> list[_Plan]:
    """What is to be fetched of each; raises DownloadFailed when the Hub does not have it or cannot be asked."""
    import httpx2
    from huggingface_hub import HfApi, get_session

    token = secret("HF_TOKEN")
    parts = urlsplit(endpoint)
    if token and parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise DownloadFailed(
            f"HF_TOKEN would travel to {parts.hostname} for everybody to read: set HF_ENDPOINT to an address that"
            " begins with https://, or unset one of the two."
        )
    try:
        get_session()
    except (ImportError, ValueError, OSError, httpx2.InvalidURL) as error:
        raise DownloadFailed(no_client(error)) from error
    api = HfApi(endpoint=endpoint, token=token or False)
    plans = []
    for source in sources:
        with _clear_errors(source, endpoint, bool(token)):
            plans.append(_plan(api, source))
    return plans


def _fetch_all(endpoint: str, plans: Sequence[_Plan]) -> None:
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # it is there, exported lazily

    token = secret("HF_TOKEN")
    headers = build_hf_headers(token=token or False) | {"accept-encoding": "identity"}  # sizes are those of the files
    files = [file for plan in plans for file in plan.files]
    progress = _Progress(sum(file.bytes_here for file in files), sum(file.size for file in files))
    for plan in plans:
        with _clear_errors(plan.source, endpoint, bool(token)), _staging(plan.source):
            for file in plan.files:
                _fetch(file, headers, progress)


@contextlib.contextmanager
def _staging(source: Source) -> Iterator[None]:
    """Makes the waiting folder, keeps other processes off it, and removes it when all has arrived."""
    source.staging.mkdir(parents=True, exist_ok=True)
    with FileLock(source.staging / "lock", timeout=0):
        yield
    shutil.rmtree(source.staging)


def _plan(api: "HfApi", source: Source) -> _Plan:
    """The files to fetch, with what the Hub says of them."""
    from huggingface_hub import hf_hub_url

    try:
        info = api.model_info(source.repo, revision=source.revision, files_metadata=True, timeout=TIMEOUT_S)
    except (ValueError, TypeError, KeyError) as error:  # no JSON, or another than the Hub's
        raise DownloadFailed(f"{_host(api.endpoint)} does not answer as the Hub does. {IN_BETWEEN}") from error
    listed = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    files = []
    for name in [source.file] if source.file else _loadable(source, list(listed)):
        found = listed.get(name)
        if found is None:
            raise DownloadFailed(f"{source.repo} has no file {name!r}; look at its list of files on the Hub.")
        if found.size is None:
            raise DownloadFailed(f"{_host(api.endpoint)} does not say how large {name!r} is. {IN_BETWEEN}")
        url = hf_hub_url(source.repo, name, revision=info.sha or source.revision, endpoint=api.endpoint)
        sha256, git_sha1 = (found.lfs.sha256, "") if found.lfs else ("", found.blob_id or "")
        part = source.staging / f"{(sha256 or git_sha1)[:16]}-{Path(name).name}"
        place = Path(source.path) if source.file else Path(source.path) / name
        files.append(_File(url, found.size, sha256, git_sha1, place, part))
    return _Plan(source, files, bool(info.gated))


def _loadable(source: Source, names: Sequence[str]) -> list[str]:
    """Names of the files that loading it needs; raises DownloadFailed when there are no weights."""
    top = [name for name in names if Path(name).name == name and "\\" not in name]
    if source.adapter:
        weights = _matching(top, ("adapter_model.safetensors",)) or _matching(top, ("adapter_model.bin",))
        if not weights or "adapter_config.json" not in top:
            raise DownloadFailed(f"{source.repo} holds no adapter (adapter_config.json and its weights).")
        return ["adapter_config.json", weights[0]]
    weights = _matching(top, WEIGHTS)
    if not any(name.endswith(".safetensors") for name in weights):
        weights = _matching(top, OLD_WEIGHTS)
    if not any(name.endswith((".safetensors", ".bin")) for name in weights) or "config.json" not in top:
        raise DownloadFailed(
            f"{source.repo} holds no model that transformers can load; for a GGUF file, name that file."
        )
    return _matching(top, TEXTS) + weights


def _matching(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    return [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]


def _fetch(file: _File, headers: dict[str, str], progress: _Progress) -> None:
    """The whole, right file in its place; what breaks off is taken up again while something still comes."""
    import httpx2

    if file.place.exists():
        if file.is_right(file.place):
            return
        progress.add(-file.place.stat().st_size)
        file.place.unlink()
        progress.add(file.bytes_here)
    waits = list(RETRY_WAITS_S)
    while True:
        before = file.bytes_here
        try:
            _stream(file, headers, progress)
            break
        except httpx2.TransportError:
            if file.bytes_here > before:
                waits = list(RETRY_WAITS_S)
            elif not waits:
                raise
            time.sleep(waits.pop(0))
    if not file.is_right(file.part):
        file.part.unlink()
        raise DownloadFailed(
            f"{file.place.name} arrived damaged: its size or checksum is not what the Hub says. Start it again."
        )
    file.part.replace(file.place)


def _stream(file: _File, headers: dict[str, str], progress: _Progress) -> None:
    """Append what is missing to the part that is here."""
    from huggingface_hub import get_session, hf_raise_for_status

    here = file.bytes_here
    if here == file.size:
        file.part.touch()
        return
    wanted = headers | ({"range": f"bytes={here}-"} if 0 < here < file.size else {})
    with get_session().stream("GET", file.url, headers=wanted, timeout=TIMEOUT_S) as response:
        hf_raise_for_status(response)
        goes_on = response.status_code == 206
        if not goes_on:
            progress.add(-here)
        room = file.size - here if goes_on else file.size
        with file.part.open("ab" if goes_on else "wb", buffering=0) as part:
            for chunk in response.iter_bytes():
                part.write(chunk)
                progress.add(len(chunk))
                room -= len(chunk)
                if room < 0:
                    return  # more than the file has: whatever it is, it is not that file


@contextlib.contextmanager
def _clear_errors(source: Source, endpoint: str, has_token: bool) -> Iterator[None]:
    """Everything that can go wrong with the Hub or the disk, as a DownloadFailed of one line."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except OfflineModeIsEnabled as error:
        raise DownloadFailed("The Hub is switched off here (HF_HUB_OFFLINE is set); unset it to fetch.") from error
    except HfHubHTTPError as error:
        raise DownloadFailed(_refusal(error, source, endpoint, has_token)) from error
    except httpx2.RequestError as error:
        raise DownloadFailed(
            f"The Hub cannot be reached ({_host(endpoint)}), or the connection broke; check the network."
            f"{source.continues}"
        ) from error
    except Timeout as error:
        raise DownloadFailed(f"{source.repo} is already being fetched by another MedChat.") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        what = "The disk is full" if full else f"The models folder cannot be written ({error.strerror})"
        raise DownloadFailed(f"{what}; free some room, or set MEDCHAT_MODELS_DIR.{source.continues}") from error


def _host(endpoint: str) -> str:
    return endpoint.partition("://")[2]


def _refusal(error: Any, source: Source, endpoint: str, has_token: bool) -> str:
    """The line for an answer that was an error."""
    from huggingface_hub.errors import (
        DisabledRepoError,
        GatedRepoError,
        RemoteEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    code = error.response.status_code
    match error:
        case GatedRepoError():
            token = "the account of HF_TOKEN" if has_token else "an account, and set HF_TOKEN to a token of it"
            return f"{source.repo} is gated: accept its terms at {endpoint}/{source.repo} with {token}; then try again."
        case RevisionNotFoundError():
            return f"{source.repo} has no revision {source.revision!r}."
        case RemoteEntryNotFoundError():
            return f"{source.repo} no longer has a file that it lists; try again later."
        case DisabledRepoError():
            return f"{source.repo} was disabled on the Hub."
        case RepositoryNotFoundError() if not (has_token and code == 401):
            return (
                f"The Hub has no {source.repo}, or it is private: check its name, or set HF_TOKEN to a token that may"
                " read it."
            )
    if code in (401, 403):
        return f"The Hub refuses {'HF_TOKEN: is it valid and may it read' if has_token else 'access to'} {source.repo}."
    if code == 429:
        return f"The Hub takes no more requests for now; try again in some minutes.{source.continues}"
    if code >= 500:
        return f"The Hub has a fault (HTTP {code}); try again later.{source.continues}"
    return f"The Hub refuses {source.repo} (HTTP {code})."


if __name__ == "__main__":
    main()

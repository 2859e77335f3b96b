"""Models of the Hugging Face Hub: each fetched by a child process (hub_worker.py), with progress, cancel and resume."""

import contextlib
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from medchat import machine
from medchat.catalogue import UNFINISHED, HubSource, ModelSpec, is_complete
from medchat.errors import DownloadFailed
from medchat.hub_worker import Source
from medchat.models_file import hub_path
from medchat.settings import ROOT, child_environment, secret

HUB = "https://huggingface.co"
KEPT_FREE_BYTES = 500_000_000  # so that the store can go on writing
CANCEL_TIMEOUT_S = 2.0
LOOK_TIMEOUT_S = 45.0

STOPPED = "The download stopped unexpectedly; start it again: it goes on from where it was."
NO_ANSWER = "The Hub gave no answer in time; try again in some minutes."

# How the child reaches the Hub from behind a proxy; other processes of ours need no network.
NETWORK_VARIABLES = (
    "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Download:
    """How a download is. error: why it failed, in one line; total_bytes: 0 until the Hub has said it."""

    state: Literal["running", "done", "failed", "cancelled"]
    done_bytes: int = 0
    total_bytes: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What the Hub says of a model. gb: of its download. gated: it wants its terms accepted."""

    gb: float
    gated: bool


class Downloads:
    """The downloads of one process, one at a time, for any thread.

    models_dir: where models of the Hub are. token: the Hub's token, "" for none. endpoint: the Hub or a mirror, ""
    for the one in HF_ENDPOINT or the Hub. free_bytes: room on the disk of a folder.
    """

    def __init__(
        self,
        models_dir: Path,
        token: Callable[[], str],
        endpoint: str = "",
        free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        self.models_dir = models_dir
        self._token = token
        self._endpoint = (endpoint or secret("HF_ENDPOINT") or HUB).rstrip("/")
        self._free_bytes = free_bytes
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}

    def start(self, spec: ModelSpec) -> None:
        """Fetch what is missing of the model; one that is here, or being fetched, starts nothing.

        Raises DownloadFailed when there is no room for it, nothing of it is on the Hub, or another one is
        being fetched.
        """
        with self._lock:
            running = next((job for job in self._jobs.values() if job.status.state == "running"), None)
            if running and running.spec.id == spec.id:
                return
            if spec.is_here:
                self._jobs.pop(spec.id, None)
                return
            if running:
                raise DownloadFailed(
                    f"{running.spec.name} is being fetched; start {spec.name} when that is done, or cancel it."
                )
            sources = _missing(spec)
            if not sources:
                raise DownloadFailed(f"{spec.name} is not on the Hub; put its files back, or remove it from the list.")
            self._make_room(spec)
            order = {"do": "fetch", "endpoint": self._endpoint, "sources": [asdict(source) for source in sources]}
            self._jobs[spec.id] = _Job(spec, order, self._token(), lambda: self._free_bytes(self.models_dir))

    def look(self, hub: HubSource, *, is_adapter: bool = False) -> Found:
        """What the Hub says now of what would be fetched; nothing is.

        Raises DownloadFailed when there is no such thing, or the Hub cannot be asked.
        """
        source = Source(hub.repo, hub.revision, hub.file, str(hub_path(self.models_dir, hub)), is_adapter)
        order = {"do": "look", "endpoint": self._endpoint, "sources": [asdict(source)]}
        with _child(order, self._token()) as process:
            late = threading.Timer(LOOK_TIMEOUT_S, process.kill)
            late.start()
            try:
                line = process.stdout.readline() if process.stdout else b""
            finally:
                late.cancel()
        kind, *values = json.loads(line or json.dumps(["failed", NO_ANSWER]))
        if kind == "failed":
            raise DownloadFailed(*values)
        n_bytes, gated = values
        return Found(max(n_bytes, 1) / 1e9, gated)

    def status(self, model_id: str) -> Download | None:
        """How its download is, None when none was started."""
        job = self._jobs.get(model_id)
        return job.status if job else None

    def cancel(self, model_id: str) -> None:
        """Stop it; what was fetched stays, and the next start goes on from there."""
        job = self._jobs.get(model_id)
        if job:
            job.cancel()

    def close(self) -> None:
        """Cancel what runs; calling it again does nothing."""
        for model_id in list(self._jobs):
            self.cancel(model_id)

    def _make_room(self, spec: ModelSpec) -> None:
        try:
            self.models_dir.mkdir(parents=True, exist_ok=True)
            free = self._free_bytes(self.models_dir)
        except OSError as error:
            raise DownloadFailed(
                f"The models folder {self.models_dir} cannot be used ({error.strerror}); set MEDCHAT_MODELS_DIR."
            ) from error
        here = sum(_bytes_under(source.path) for source in _sources(spec))
        wanted = int((spec.download_gb or 0) * 1e9) - here
        if wanted + KEPT_FREE_BYTES > free:
            raise DownloadFailed(_no_room(spec.name, wanted, free))


class _Job:
    """One child process and how far it is."""

    def __init__(self, spec: ModelSpec, order: dict[str, Any], token: str, free_bytes: Callable[[], int]) -> None:
        self.spec = spec
        self.status = Download("running")
        self._free_bytes = free_bytes
        self._end: Download | None = None  # how it ended, published when the child is gone
        self._lock = threading.Lock()
        self._process = _child(order, token)
        self._thread = threading.Thread(target=self._follow, name="download", daemon=True)
        self._thread.start()

    def cancel(self) -> None:
        """End the child, by force if it takes too long."""
        self._finish("cancelled")
        self._stop()
        self._thread.join()

    def _follow(self) -> None:
        """Keep the status until the child ends."""
        try:
            for line in self._process.stdout or ():
                if not line.endswith(b"\n"):
                    break  # killed while it wrote
                kind, *values = json.loads(line)
                if kind == "bytes":
                    self._progress(*values)
                else:
                    self._finish(kind, *values)
        finally:
            self._stop()
            self._finish("failed", STOPPED)
            if self._process.stdin:
                with contextlib.suppress(OSError):
                    self._process.stdin.close()
            self.status = self._end or self.status

    def _progress(self, done: int, total: int) -> None:
        first = not self.status.total_bytes
        self.status = replace(self.status, done_bytes=done, total_bytes=total)
        free = self._free_bytes()
        # Once it runs, others may have filled the disk: then it stops while there is still something left.
        if free < (total - done + KEPT_FREE_BYTES if first else KEPT_FREE_BYTES // 2):
            self._finish("failed", _no_room(self.spec.name, total - done, free))
            self._stop()

    def _finish(self, state: Literal["done", "failed", "cancelled"], error: str = "") -> None:
        """The first end is the one that counts."""
        with self._lock:
            if self._end is None:
                self._end = replace(self.status, state=state, error=error)

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(CANCEL_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _child(order: dict[str, Any], token: str) -> "subprocess.Popen[bytes]":
    """A worker that has its order; it ends when its standard input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "medchat.hub_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=_environment(token),
        cwd=ROOT,
        start_new_session=True,
    )
    if process.stdin:
        with contextlib.suppress(OSError):  # it has died: who reads what it says notices
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
    return process


def _no_room(name: str, wanted: int, free: int) -> str:
    """The line for a disk that is too small; numbers in bytes."""
    return (
        f"There is no room for {name}: it needs {_size(wanted)}, and {_size(free)} are free, of which"
        f" {_size(KEPT_FREE_BYTES)} stay free for MedChat's own data. Free some, or set MEDCHAT_MODELS_DIR to another"
        " disk."
    )


def _size(n_bytes: int) -> str:
    return machine.size(n_bytes / machine.GB)


def _sources(spec: ModelSpec) -> list[Source]:
    pairs = ((spec.hub, spec.path, False), (spec.adapter_hub, spec.adapter, True))
    return [
        Source(hub.repo, hub.revision, hub.file, str(path), adapter)
        for hub, path, adapter in pairs
        if hub is not None and path is not None
    ]


def _missing(spec: ModelSpec) -> list[Source]:
    return [source for source in _sources(spec) if not is_complete(Path(source.path))]


def _bytes_under(path: str) -> int:
    """Bytes of a file or folder and of what waits to become it."""
    places = [Path(path), Path(path + UNFINISHED)]
    files = [place for place in places if place.is_file()]
    files += [file for place in places if place.is_dir() for file in place.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)


def _environment(token: str) -> dict[str, str]:
    network = {name: secret(name) for name in NETWORK_VARIABLES if secret(name)}
    quiet = {"HF_HUB_VERBOSITY": "error", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return child_environment() | network | quiet | ({"HF_TOKEN": token} if token else {})

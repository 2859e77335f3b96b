"""A Hub of one's own on loopback: what huggingface_hub asks of the real one, and its ways to fail.

    with FakeHub({"org/model": {"config.json": b"{}"}}) as hub: Downloads(folder, lambda: "", hub.endpoint)

Large files (over LARGE bytes) are redirected to another origin, as the real one does to its file servers.
"""

import hashlib
import json
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 1000
CHUNK = 20_000


class Seen(NamedTuple):
    """One request that came."""

    path: str
    range: str
    authorization: str
    origin: str  # "hub", or "files" for the server of large files


class FakeHub:
    """The server and what it was asked; its attributes say how it behaves, and may be changed while it runs.

    gated: repositories whose terms must be accepted. token: the only one that is taken, "" for none at all.
    revisions: those that exist. chunk_delay_s: the pause after each CHUNK of a file. cut_after: bytes of an
    answer after which the connection breaks. ignores_range: sends files whole. api_status, file_status: answers
    all such requests with that. api_body: sends this instead of what was asked. gone: files that are listed only.
    corrupted: files that arrive with another content of the same length; lengthened: with more of it.
    """

    def __init__(self, repos: Mapping[str, Mapping[str, bytes]]) -> None:
        self.repos = repos
        self.gated: set[str] = set()
        self.token = ""
        self.revisions = {"main", COMMIT}
        self.chunk_delay_s = 0.0
        self.cut_after: int | None = None
        self.ignores_range = False
        self.api_status = 200
        self.file_status = 200
        self.api_body = b""
        self.gone: set[str] = set()
        self.corrupted: set[str] = set()
        self.lengthened: set[str] = set()
        self.seen: list[Seen] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.hub = self
        self.port = int(self._server.server_address[1])
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.files_endpoint = f"http://localhost:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def asked_for(self, name: str) -> list[Seen]:
        """The requests for a file's content that were answered where it lies."""
        size = next(len(files[name]) for files in self.repos.values() if name in files)
        origin = "files" if size > LARGE else "hub"
        return [seen for seen in self.seen if seen.path.endswith("/" + name) and seen.origin == origin]

    def info(self, repo: str) -> dict[str, Any]:
        """What /api/models says."""
        siblings = []
        for name, content in self.repos[repo].items():
            blob = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
            row: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": blob}
            if len(content) > LARGE:
                sha256 = hashlib.sha256(content).hexdigest()
                row |= {"blobId": "0" * 40, "lfs": {"sha256": sha256, "size": len(content), "pointerSize": 130}}
            siblings.append(row)
        return {
            "id": repo,
            "modelId": repo,
            "sha": COMMIT,
            "siblings": siblings,
            "tags": [],
            "gated": "auto" if repo in self.gated else False,
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    hub: FakeHub

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up in the middle is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        hub = self.server.hub
        path = unquote(urlsplit(self.path).path)
        origin = "files" if self.headers["Host"].startswith("localhost") else "hub"
        authorization = self.headers.get("Authorization", "")
        hub.seen.append(Seen(path, self.headers.get("Range", ""), authorization, origin))
        if path.startswith("/api/models/"):
            repo, _, revision = path.removeprefix("/api/models/").partition("/revision/")
            self._info(hub, repo, revision)
            return
        repo, _, rest = path[1:].partition("/resolve/")
        name = rest.partition("/")[2]
        if origin == "hub" and self._refused(hub, repo, authorization):
            return
        if hub.file_status != 200:
            self._answer(hub.file_status, {})
        elif name in hub.gone or name not in hub.repos[repo]:
            self._answer(404, {"X-Error-Code": "EntryNotFound"})
        elif origin == "hub" and len(hub.repos[repo][name]) > LARGE:
            self._answer(302, {"Location": hub.files_endpoint + self.path})
        else:
            self._send_file(hub, name, hub.repos[repo][name])

    def _info(self, hub: FakeHub, repo: str, revision: str) -> None:
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if hub.api_status != 200:
            self._answer(hub.api_status, {})
        elif hub.api_body:
            self._answer(200, {"Content-Type": "text/html"}, hub.api_body)
        elif bearer and bearer != hub.token:
            self._answer(401, {"X-Error-Message": "Invalid credentials in Authorization header"})
        elif repo not in hub.repos:
            self._answer(404 if bearer else 401, {"X-Error-Code": "RepoNotFound"})
        elif revision not in hub.revisions:
            self._answer(404, {"X-Error-Code": "RevisionNotFound"})
        else:
            self._answer(200, {"Content-Type": "application/json"}, json.dumps(hub.info(repo)).encode())

    def _refused(self, hub: FakeHub, repo: str, authorization: str) -> bool:
        if repo in hub.gated:
            self._answer(403 if authorization else 401, {"X-Error-Code": "GatedRepo"})
        return repo in hub.gated

    def _send_file(self, hub: FakeHub, name: str, content: bytes) -> None:
        if name in hub.corrupted:
            content = content[::-1]
        if name in hub.lengthened:
            content += b"more"
        asked = self.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").partition("-")[0]) if asked and not hub.ignores_range else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        end = len(content) if hub.cut_after is None else min(len(content), start + hub.cut_after)
        for position in range(start, end, CHUNK):
            self.wfile.write(content[position : min(position + CHUNK, end)])
            self.wfile.flush()
            time.sleep(hub.chunk_delay_s)
        self.close_connection = self.close_connection or end < len(content)

    def _answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

"""A Hub of one's own on loopback that takes uploads: what huggingface_hub sends to the real one.

with UploadHub("hf_right") as hub: upload_adapter(folder, "team/adapter", endpoint=hub.endpoint)
"""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

LARGE = 1000  # bytes from which on a file goes to the store of large files


class UploadHub:
    """The server, and what came. token: the only one that is taken.

    repos: what each was made with; files: what each has; cards: those that were asked about; requests: the path of
    each, and how it was authorised.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self.repos: dict[str, dict[str, Any]] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        self.cards: list[str] = []
        self.large: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.hub = self
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    hub: UploadHub


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def do_PUT(self) -> None:
        self.server.hub.large[self.path.rpartition("/")[2]] = self._body()
        self._answer(200, {})

    def do_POST(self) -> None:
        hub, body = self.server.hub, self._body()
        authorization = self.headers.get("Authorization", "")
        hub.requests.append((self.path, authorization))
        if authorization != f"Bearer {hub.token}":
            self._answer(401, {"error": "Invalid credentials"})
        elif self.path == "/api/repos/create":
            wanted = json.loads(body)
            repo = f"{wanted['organization']}/{wanted['name']}"
            hub.repos.setdefault(repo, wanted)
            self._answer(200, {"url": f"{hub.endpoint}/{repo}", "id": repo})
        elif self.path == "/api/validate-yaml":
            hub.cards.append(json.loads(body)["content"])
            self._answer(200, {"errors": [], "warnings": []})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            modes = [{"path": f["path"], "uploadMode": "lfs" if f["size"] > LARGE else "regular"} for f in files]
            self._answer(200, {"files": [{**mode, "shouldIgnore": False} for mode in modes]})
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            uploads = [
                {**one, "actions": {"upload": {"href": f"{hub.endpoint}/large/{one['oid']}"}}} for one in objects
            ]
            self._answer(200, {"transfer": "basic", "objects": uploads})
        else:
            self._commit(hub, body)

    def _commit(self, hub: UploadHub, body: bytes) -> None:
        repo = self.path.removeprefix("/api/models/").partition("/commit/")[0]
        files = hub.files.setdefault(repo, {})
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = hub.large[value["oid"]]
        self._answer(200, {"commitUrl": f"{hub.endpoint}/{repo}/commit/1", "commitOid": "1", "success": True})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

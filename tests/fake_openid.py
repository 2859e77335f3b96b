"""An OpenID provider on loopback that signs in whom it is told to, without asking."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "client-id", "client-secret"


class FakeOpenId:
    """The provider. name: who is signed in there. claims: put over what it says of them. broken: answers 500."""

    def __init__(self, name: str = "ada") -> None:
        self.name = name
        self.claims: dict[str, Any] = {}
        self.broken = False
        self.token_requests: list[dict[str, str]] = []
        self._key = RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"})
        self._asked: dict[str, dict[str, str]] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "FakeOpenId":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, sent: dict[str, str]) -> tuple[int, dict[str, Any] | str]:
        """Status and body of an answer; a text is where it redirects to."""
        if self.broken:
            return 500, {}
        if path == "/.well-known/openid-configuration":
            places = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
            return 200, {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"} | {
                f"{name}_endpoint": f"{self.url}/{place}" for name, place in places.items()
            }
        if path == "/jwks":
            return 200, {"keys": [self._key.as_dict(private=False)]}
        if path == "/authorize":
            code = f"code-{len(self._asked)}"
            self._asked[code] = sent
            return 302, f"{sent['redirect_uri']}?{urlencode({'code': code, 'state': sent['state']})}"
        if path == "/token" and (asked := self._asked.pop(sent.get("code", ""), None)):
            self.token_requests.append(sent)
            return 200, {"access_token": "at", "token_type": "Bearer", "id_token": self._id_token(asked)}
        return 400, {"error": "invalid_grant"}

    def _id_token(self, asked: dict[str, str]) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "sub": "7", "iat": now, "exp": now + 60, "nonce": asked["nonce"]}
        claims |= {"preferred_username": self.name} | self.claims
        return jwt.encode({"alg": "RS256", "kid": "1"}, claims, self._key)

    def _handler(provider) -> type[BaseHTTPRequestHandler]:  # noqa: N805  the class below has a self of its own
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._reply(urlsplit(self.path).query)

            def do_POST(self) -> None:
                self._reply(self.rfile.read(int(self.headers["content-length"])).decode())

            def _reply(self, sent: str) -> None:
                fields = {name: values[0] for name, values in parse_qs(sent).items()}
                status, body = provider.answer(urlsplit(self.path).path, fields)
                self.send_response(status)
                if isinstance(body, str):
                    self.send_header("location", body)
                    body = {}
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: object) -> None:
                """Prints nothing."""

        return Handler

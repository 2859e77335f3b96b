"""The web server: who may speak to it, whose conversations are whose, and how it ends."""

import json
import logging
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from medchat import server
from medchat.accounts import Accounts
from medchat.backends.scripted import ScriptedBackend
from medchat.catalogue import Endpoint, ModelSpec
from medchat.chat import ChatService
from medchat.errors import StoreError
from medchat.hub import Downloads
from medchat.machine import this_machine
from medchat.panel import PanelService
from medchat.records import Sampling
from medchat.settings import Settings
from medchat.store import Store
from medchat.store.migrate import upgrade
from medchat.ui.common import App

PASSWORD = "correct horse"
REPLY = "<think>\n1. The toe is red.\n2. So it is gout.\n</think><response>Gout.</response>"
SPEC = ModelSpec("demo", "Demo", "scripted", "think-response", Sampling(), 4096, "A script.", "none", (),
                 path=Path(__file__))  # fmt: skip
ELSEWHERE = replace(
    SPEC, id="far", name="Far", backend="openai", path=None, endpoint=Endpoint("https://api.example/v1", "m")
)


class NoGrounding:
    """Nothing is recognised."""

    ready = True

    def get(self, timeout_s: float | None = None) -> None:
        return None


class Shelf(dict[str, ModelSpec]):
    """A catalogue of what it is given."""

    def resolve(self, name: str) -> ModelSpec:
        return SPEC


class OneBackend:
    """Stands for all models."""

    def engine_status(self) -> SimpleNamespace:
        return SimpleNamespace(state="idle")

    def close(self) -> None:
        return None


@dataclass
class Site:
    """A served app, its address, and the means to end it."""

    app: App
    url: str
    end: Callable[[], None]

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=20, **options)

    def newcomer(self) -> httpx.Client:
        """A client of a rater whom nobody saw before."""
        name = f"Rater {len(self.app.accounts.users())}"
        self.app.accounts.add("terminal", name, "rater", PASSWORD)
        return self.client_of(name)

    def client_of(self, name: str) -> httpx.Client:
        """A client that has signed in."""
        with self.client() as client:
            assert client.post("/sign-in", data={"name": name, "password": PASSWORD}).status_code == 303
            return self.client(cookies=dict(client.cookies))

    def audited(self, action: str) -> list[tuple[str, str]]:
        """Who did it, by name, and to what, the newest first."""
        names = {user.id: user.name for user in self.app.store.users()}
        return [(names.get(row.actor, row.actor), row.target) for row in self.app.store.audit(action=action)]


def app_in(folder: Path, delay_s: float = 0.0, **settings: Any) -> App:
    made = Settings(data_dir=folder, **settings)
    upgrade(made.db_url, folder / "backups")
    store = Store(made.db_url)
    backend = ScriptedBackend([REPLY], chunk_chars=4, delay_s=delay_s)
    shelf = Shelf(demo=SPEC, far=ELSEWHERE)
    chat = ChatService(store, shelf, lambda spec: backend, NoGrounding(), made)
    downloads = Downloads(made.models_dir, lambda: "")
    accounts = Accounts(store, made)
    panel = PanelService(store, shelf, lambda spec: backend, NoGrounding(), made)
    return App(
        made, store, shelf, SPEC, chat, OneBackend(), NoGrounding(), downloads, this_machine, accounts, panel,  # type: ignore[arg-type]
        server.jobs_of(made, store, shelf),  # type: ignore[arg-type]
    )  # fmt: skip


@contextmanager
def served(app: App) -> Iterator[Site]:
    listener = socket.create_server(("127.0.0.1", 0))
    ready = threading.Event()
    running = server.Server(server.build_web(app), app, ready.set)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()

    def end() -> None:
        running.should_exit = True
        thread.join(15)

    try:
        assert ready.wait(30)
        yield Site(app, f"http://127.0.0.1:{listener.getsockname()[1]}", end)
    finally:
        end()


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served(app_in(tmp_path_factory.mktemp("private"))) as site:
        yield site


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with served(app_in(tmp_path_factory.mktemp("shared"), host="0.0.0.0")) as site:
        for name, role in {"Ada": "admin", "Ann": "rater", "Bob": "rater", "Eve": "engineer"}.items():
            site.app.accounts.add("terminal", name, role, PASSWORD)
        yield site


def event_of(config: dict[str, Any], elem_id: str, event: str) -> dict[str, Any]:
    """The listener of a component's event, as the page knows it."""
    component = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == elem_id)
    return next(d for d in config["dependencies"] if [component, event] in [list(t) for t in d["targets"]])


def press(client: httpx.Client, elem_id: str, event: str, data: list[Any] | None, session: str = "s1") -> str:
    """What the server streams back when a page, or somebody who plays one, sends this event.

    data: what goes with it; None for the components' own values.
    """
    config = client.get("/config").json()
    listener = event_of(config, elem_id, event)
    if data is None:
        values = {component["id"]: component["props"].get("value") for component in config["components"]}
        data = [values[component_id] for component_id in listener["inputs"]]
    body = {"data": data, "fn_index": listener["id"], "session_hash": session}
    client.post("/gradio_api/queue/join", json=body).raise_for_status()
    with client.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
        return "".join(stream.iter_text())


OWN = [0.0, 1.0, 0, 0, 512, 0.0]  # the settings' fields, as the model has them


def ask(client: httpx.Client, question: str, session: str = "s1") -> str:
    return press(client, "chat-send", "click", [question, "", "", "page", None, "demo", "demo", *OWN], session)


def act(client: httpx.Client, event: str, action: dict[str, Any] | str, conversation_id: str, session: str) -> str:
    """What comes of an action of the page's scripts: event is "act" or "go"."""
    sent = action if isinstance(action, str) else json.dumps(action)
    chosen = ["demo", "demo", *OWN] if event == "go" else []
    return press(client, f"chat-{event}", "click", [sent, "page", conversation_id, *chosen], session)


def test_the_page_is_served_with_headers_that_keep_foreign_code_out(private: Site) -> None:
    with private.client() as client:
        page = client.get("/")
        again = client.get("/")
    policy = page.headers["content-security-policy"]
    nonce = re.search(r"'nonce-(\w+)'", policy)
    assert nonce
    assert nonce[1] not in again.headers["content-security-policy"]
    script_rules = re.search(r"script-src ([^;]+);", policy)
    assert script_rules
    assert "unsafe-inline" not in script_rules[1]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert len(re.findall(r"<script\b", page.text)) == page.text.count(f"<script nonce={nonce[1]}") > 3
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["cache-control"] == "no-store"
    assert "set-cookie" not in page.headers


def test_the_page_loads_nothing_from_elsewhere(private: Site) -> None:
    with private.client() as client:
        page = client.get("/").text
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']?(?:https?:)?//", page)


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:1", "LOCALHOST", "[::1]:7860"])
def test_names_of_this_machine_are_answered(private: Site, host: str) -> None:
    with private.client() as client:
        assert client.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.168.1.5", "", "["])
@pytest.mark.parametrize("path", ["/", "/healthz", "/config", "/gradio_api/queue/data"])
def test_other_host_names_get_one_clear_line(private: Site, host: str, path: str) -> None:
    with private.client() as client:
        answer = client.get(path, headers={"host": host})
    assert answer.status_code == 400
    assert answer.text.count("\n") == 1
    assert "does not answer to that host name" in answer.text


def guarded(settings: Settings) -> TestClient:
    inner = Starlette(routes=[Route("/", lambda _: PlainTextResponse("in"), methods=["GET", "POST"])])
    return TestClient(server.Guard(inner, settings), base_url="http://127.0.0.1")


def test_a_server_on_all_addresses_answers_to_the_one_that_was_called() -> None:
    client = guarded(Settings(host="0.0.0.0", allowed_hosts=("MedChat.example",)))
    # Starlette's test client says that the server's own address is the host of its base URL.
    there = TestClient(client.app, base_url="http://192.168.1.5")
    assert there.get("/").status_code == 200
    assert there.get("/", headers={"host": "192.168.1.6"}).status_code == 400
    assert there.get("/", headers={"host": "medchat.example"}).status_code == 200
    assert there.get("/", headers={"host": "0.0.0.0"}).status_code == 400


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1", 200),
        ("http://127.0.0.1:3000", 403),  # another program on this machine
        ("http://localhost", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("https://medchat.example", 200),  # the name that a proxy is called by
        ("http://medchat.example", 403),
        ("https://medchat.example:8443", 403),
        ("https://medchat.example.evil.example", 403),
    ],
)
def test_only_the_own_page_may_write(origin: str, status: int) -> None:
    client = guarded(Settings(allowed_hosts=("medchat.example",)))
    assert client.post("/", headers={"origin": origin}).status_code == status
    assert client.get("/", headers={"origin": origin}).status_code == 200


def test_a_write_from_another_site_is_refused_without_an_origin_too() -> None:
    client = guarded(Settings())
    assert client.post("/", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert client.post("/", headers={"sec-fetch-site": "same-origin"}).status_code == 200
    assert client.post("/").status_code == 200  # curl


def test_a_foreign_page_may_neither_start_a_handler_nor_read_an_answer(private: Site) -> None:
    foreign = {"origin": "https://evil.example"}
    with private.client() as client:
        join = client.post(
            "/gradio_api/queue/join", json={"data": [], "fn_index": 0, "session_hash": "x"}, headers=foreign
        )
        read = client.get("/config", headers=foreign)
    assert join.status_code == 403
    assert "access-control-allow-origin" not in read.headers


def test_large_bodies_and_those_of_unknown_length_are_refused() -> None:
    client = guarded(Settings())
    assert client.post("/", content=b"x" * (server.MAX_BODY_BYTES + 1)).status_code == 413
    assert client.post("/", content=iter([b"x"])).status_code == 411
    assert client.post("/", content=b"x" * 1000).status_code == 200


def test_health_tells_each_part(private: Site) -> None:
    with private.client() as client:
        answer = client.get("/healthz")
    assert answer.status_code == 200
    parts = answer.json()
    assert (parts["app"], parts["store"], parts["engine"], parts["grounding"]) == ("ok", "ok", "idle", "off")


def test_health_fails_with_the_store(tmp_path: Path) -> None:
    class BrokenStore:
        def ping(self) -> None:
            raise StoreError("The disk is full.")

    app = replace(app_in(tmp_path), store=BrokenStore())  # type: ignore[arg-type]
    answer = TestClient(server.build_web(app), base_url="http://localhost").get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["store"] == "failed"


def test_a_question_streams_its_reasoning_and_its_solution(private: Site) -> None:
    with private.client() as client:
        stream = ask(client, "A red toe.")
    assert "The toe is red." in stream
    assert "Gout." in stream
    assert "process_completed" in stream


def test_an_error_is_one_line_for_people(private: Site) -> None:
    with private.client() as client:
        stream = ask(client, "   ", session="s2")
    assert "Please type a case or a question." in stream
    assert "Traceback" not in stream


def test_a_space_may_be_shown_in_its_frame(tmp_path: Path) -> None:
    app = app_in(tmp_path, host="0.0.0.0", space_id="a/b", allowed_hosts=("a-b.hf.space",))
    page = TestClient(server.build_web(app), base_url="https://a-b.hf.space").get("/")
    assert page.url.path == "/sign-in"
    assert "frame-ancestors 'self' https://huggingface.co" in page.headers["content-security-policy"]
    assert "x-frame-options" not in page.headers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/gradio_api/queue/join"),
        ("GET", "/gradio_api/queue/data?session_hash=s"),
        ("POST", "/gradio_api/run/predict"),
        ("POST", "/gradio_api/upload"),
        ("GET", "/gradio_api/file=/etc/passwd"),
        ("GET", "/gradio_api/info"),
        ("GET", "/config"),
        ("GET", "/theme.css"),
        ("GET", "/login"),
        ("GET", "/conversations/c1.md"),
        ("GET", "/chat.js"),
    ],
)
def test_without_a_session_nothing_is_reached(shared: Site, method: str, path: str) -> None:
    body = {"data": [], "fn_index": 0, "session_hash": "s"} if method == "POST" else None
    with shared.client() as client:
        answer = client.request(method, path, json=body, headers={"cookie": f"medchat_session={'a' * 43}"})
    assert answer.status_code == 401
    assert answer.json() == {"detail": "You are signed out. Reload the page and sign in; what you have saved is kept."}


def test_the_page_leads_who_is_not_signed_in_to_the_sign_in(shared: Site) -> None:
    with shared.client(follow_redirects=True) as client:
        page = client.get("/")
    assert page.url.path == "/sign-in"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    assert "gradio" not in page.text


def test_a_session_that_ends_ends_for_the_next_call(shared: Site) -> None:
    with shared.client_of("Ann") as client:
        assert "Gout." in ask(client, "A red toe.", "ends")
        client.post("/sign-out")
        body = {"data": [], "fn_index": 0, "session_hash": "ends"}
        assert client.post("/gradio_api/queue/join", json=body).status_code == 401


def test_the_sign_in_is_refused_to_a_foreign_page(shared: Site) -> None:
    with shared.client() as client:
        form = {"name": "Ann", "password": PASSWORD}
        assert client.post("/sign-in", data=form, headers={"origin": "https://evil.example"}).status_code == 403


def test_nobody_chooses_the_address_that_is_written_down(shared: Site) -> None:
    with shared.client() as client:
        form = {"name": "Bob", "password": "wrong password"}
        for number in range(5):
            client.post("/sign-in", data=form, headers={"x-forwarded-for": f"192.0.2.{number}"})
        form["password"] = PASSWORD
        assert client.post("/sign-in", data=form, headers={"x-forwarded-for": "192.0.2.9"}).status_code == 429
    bob = shared.app.accounts.named("Bob")
    assert bob
    assert {row.address for row in shared.app.store.audit(action="sign-in failed")} == {"127.0.0.1"}
    shared.app.accounts.reset("terminal", bob.id, PASSWORD)


@pytest.mark.parametrize(
    ("name", "elem_id", "data", "handler"),
    [
        ("Ann", "models-act", ['{"do": "model-remove", "model": "demo"}'], "models_handlers.act"),
        ("Ann", "models-add", None, "models_handlers.add"),
        ("Eve", "admin-add", ["Mallory", "admin", PASSWORD, "*", "*", "*"], "admin.add"),
        ("Eve", "admin-disable-now", ["x", "*", "*", "*"], "admin.disable"),
        ("Eve", "admin-more", ["*", "*", "*", 100], "admin.older"),
    ],
)
def test_a_raw_call_to_what_the_role_does_not_allow_is_refused_and_audited(
    shared: Site, name: str, elem_id: str, data: list[Any] | None, handler: str
) -> None:
    with shared.client_of(name) as client:
        stream = press(client, elem_id, "click", data, f"raw-{elem_id}")
    assert "does not allow this. Ask an admin for one that does." in stream
    assert "Traceback" not in stream
    assert shared.audited("call refused")[0] == (name, handler)
    assert shared.app.accounts.named("Mallory") is None


ANN = "The secret toe of Ann."


@pytest.fixture
def theirs(shared: Site) -> Iterator[tuple[httpx.Client, httpx.Client, str, str]]:
    """Ann and Bob, and of Ann's the conversation and its answer, whose ids Bob knows."""
    with ExitStack() as clients:
        ann, bob = (clients.enter_context(shared.newcomer()) for _ in range(2))
        assert "Gout." in ask(ann, ANN, "theirs")
        rows = shared.app.store._read(  # only here: no owner may list another's conversations
            lambda session: [
                tuple(row)
                for row in session.connection().exec_driver_sql(
                    "SELECT conversations.owner, conversations.id, answers.id FROM conversations"
                    " JOIN answers ON answers.conversation_id = conversations.id ORDER BY answers.created_at"
                )
            ]
        )
        assert {owner for owner, _, _ in rows} <= {user.id for user in shared.app.store.users()}
        yield ann, bob, *rows[-1][1:]


@pytest.mark.parametrize(
    ("event", "action"),
    [
        ("go", {"do": "open", "conversation": "CONVERSATION"}),
        ("go", {"do": "open", "conversation": "CONVERSATION", "answer": "ANSWER"}),
        ("go", {"do": "show", "answer": "ANSWER"}),
        ("go", {"do": "edit", "answer": "ANSWER", "question": "Mine?", "context": "", "key": "k"}),
        ("go", {"do": "regenerate", "answer": "ANSWER"}),
        ("go", {"do": "continue"}),
        ("act", {"do": "rename", "conversation": "CONVERSATION", "title": "Bob's", "shown": 1}),
        ("act", {"do": "delete-conversation", "conversation": "CONVERSATION", "shown": 1}),
        ("act", {"do": "delete-answer", "answer": "ANSWER", "shown": 1}),
        ("act", {"do": "thumb", "answer": "ANSWER", "thumb": "down", "reasons": [], "comment": "", "key": ""}),
    ],
)
def test_nobody_reaches_the_conversation_of_another(
    event: str, action: dict[str, Any], theirs: tuple[httpx.Client, httpx.Client, str, str], shared: Site
) -> None:
    ann, bob, conversation_id, answer_id = theirs
    ids = {"CONVERSATION": conversation_id, "ANSWER": answer_id}
    filled = {name: ids.get(value, value) if isinstance(value, str) else value for name, value in action.items()}
    # Bob knows Ann's ids and even takes Gradio's session of hers.
    stolen = act(bob, event, filled, conversation_id, "theirs")
    assert "secret toe" not in stolen
    assert "Gout." not in stolen
    assert re.search("There is no such (conversation|answer)", stolen)
    kept = act(ann, "go", {"do": "open", "conversation": conversation_id}, "", "anns")
    assert "secret toe" in kept
    assert "Mine?" not in kept
    assert 'aria-pressed=\\"true' not in kept
    assert "Bob's" not in press(ann, "chat-new", "click", ["page"], "anns-new")


def test_a_search_finds_only_what_is_ones_own(theirs: tuple[httpx.Client, httpx.Client, str, str]) -> None:
    ann, bob, _, _ = theirs
    assert "1 conversation found" in act(ann, "act", {"do": "search", "text": "secret"}, "", "anns")
    assert "No conversation found" in act(bob, "act", {"do": "search", "text": "secret"}, "", "bobs")


@pytest.mark.parametrize("kind", ["md", "json"])
def test_a_conversation_can_be_had_as_a_file_by_its_owner_alone(
    kind: str, theirs: tuple[httpx.Client, httpx.Client, str, str], shared: Site
) -> None:
    ann, bob, conversation_id, _ = theirs
    got = ann.get(f"/conversations/{conversation_id}.{kind}")
    assert got.status_code == 200
    assert ANN in got.text
    assert "Gout." in got.text
    assert got.headers["content-disposition"] == f'attachment; filename="medchat-The-secret-toe-of-Ann.{kind}"'
    assert got.headers["cache-control"] == "no-store"
    refused = bob.get(f"/conversations/{conversation_id}.{kind}")
    assert refused.status_code == 404
    assert refused.text == "There is no such conversation. Start a new one.\n"
    assert shared.audited("exported")[0][1] == conversation_id
    assert ann.get(f"/conversations/{conversation_id}.exe").status_code == 404


@pytest.mark.parametrize("event", ["act", "go"])
@pytest.mark.parametrize(
    "sent",
    [
        "",
        "nonsense",
        "[]",
        '{"do": "drop-tables"}',
        '{"do": "__class__"}',
        '{"do": "open"}',
        '{"do": "rename"}',
        '{"do": "search", "text": 5}',
        '{"do": "more", "shown": "x"}',
    ],
)
def test_nonsense_from_a_page_is_one_clear_line(event: str, sent: str, private: Site) -> None:
    with private.client() as client:
        stream = act(client, event, sent, "", f"nonsense-{event}")
    assert "Reload the page and try again." in stream
    assert "Something went wrong" not in stream


def test_a_thumb_of_another_kind_is_refused(theirs: tuple[httpx.Client, httpx.Client, str, str]) -> None:
    ann, _, conversation_id, answer_id = theirs
    action = {"do": "thumb", "answer": answer_id, "thumb": "sideways", "key": ""}
    assert "Reload the page and try again." in act(ann, "act", action, conversation_id, "anns")


def test_a_model_elsewhere_is_asked_only_by_a_page_that_said_so(private: Site) -> None:
    with private.client() as client:
        silent = press(client, "chat-send", "click", ["Toe?", "", "", "p", None, "far", "demo", *OWN], "far-1")
        told = press(client, "chat-send", "click", ["Toe?", "", "", "p", None, "far", "far", *OWN], "far-2")
        unknown = press(client, "chat-send", "click", ["Toe?", "", "", "p", None, "gone", "far", *OWN], "far-3")
    assert "would send this text to api.example" in silent
    assert "Gout." not in silent
    assert "sent to api.example" in told
    assert "gone is not in the list of choices" in unknown


def test_what_is_deleted_is_audited(theirs: tuple[httpx.Client, httpx.Client, str, str], shared: Site) -> None:
    ann, _, conversation_id, _ = theirs
    action = {"do": "delete-conversation", "conversation": conversation_id, "shown": 1}
    act(ann, "act", action, conversation_id, "anns")
    assert shared.audited("deleted")[0][1] == conversation_id


def test_an_answer_in_the_making_is_saved_when_the_server_ends(tmp_path: Path) -> None:
    app = app_in(tmp_path, delay_s=0.05)
    with served(app) as site:
        live = app.chat.ask("local", "A red toe.")
        while not live.snapshot().reasoning:
            live.wait(live.snapshot().revision, 1.0)
        begun = time.monotonic()
        site.end()
        assert time.monotonic() - begun < 8
    answer = Store(app.settings.db_url).answers_of("local", live.conversation_id)[0]
    assert answer.status == "cut"
    assert "The toe" in answer.reasoning or "1." in answer.reasoning


def test_log_lines_are_json_and_quote_no_exception() -> None:
    try:
        raise ValueError("Mrs Secret")
    except ValueError as error:
        exc_info = (ValueError, error, error.__traceback__)
    record = logging.makeLogRecord(
        {"msg": "bug", "levelno": 40, "levelname": "ERROR", "exc_info": exc_info, "run_id": "7"}
    )
    line = server.JsonLines().format(record)
    assert "\n" not in line
    assert "Secret" not in line
    assert json.loads(line) | {"time": 0} == {
        "time": 0, "level": "error", "logger": None, "event": "bug", "run_id": "7", "error": "ValueError",
        "at": json.loads(line)["at"],
    }  # fmt: skip


def test_requests_are_logged_without_what_was_typed(private: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), private.client() as client:
        client.get("/healthz?question=secret")
        ask(client, "The secret toe.", session="s4")
    ours = [record for record in caplog.records if record.name.startswith("medchat")]
    lines = [server.JsonLines().format(record) for record in ours]
    requests = [json.loads(line) for line in lines if '"event": "request"' in line]
    assert {"method": "GET", "path": "/healthz", "status": 200}.items() <= requests[0].items()
    assert not any("secret" in line for line in lines)


def test_cancelling_a_stream_that_has_just_ended_is_no_error(private: Site) -> None:
    with private.client() as client:
        ask(client, "A red toe.", session="s5")
        body = {"session_hash": "s5", "fn_index": 1, "event_id": "gone"}
        assert client.post("/gradio_api/cancel", json=body).status_code == 200
    mounted = server.build_web(private.app).routes[-1].app  # type: ignore[attr-defined]
    del mounted.iterators["gone"]  # what Gradio does after it has waited, when the stream ended meanwhile

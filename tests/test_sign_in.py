"""Signing in: the page, its cookie, the door before everything else, and Hugging Face on a Space."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from fake_openid import CLIENT, SECRET, FakeOpenId
from fastapi import FastAPI
from starlette.testclient import TestClient
from stores import new_store

from medchat import sign_in
from medchat.accounts import Accounts
from medchat.errors import StoreError
from medchat.settings import Settings
from medchat.store import Store

PASSWORD = "correct horse"
SPACE_HOST = "team-medchat.hf.space"
SPACE = Settings(
    host="0.0.0.0", space_id="team/medchat", allowed_hosts=(SPACE_HOST,), allowed_users=(("Ada", "admin"),)
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return new_store(tmp_path)


@pytest.fixture
def client(store: Store) -> TestClient:
    """A browser without a session, at an app with the admin Ada."""
    client = site(store, Settings())
    Accounts(store, Settings()).add("terminal", "Ada", "admin", PASSWORD)
    return client


def site(store: Store, settings: Settings, base_url: str = "http://127.0.0.1:7860") -> TestClient:
    web = FastAPI()
    sign_in.add_to(web, Accounts(store, settings), settings)

    @web.get("/healthz")
    def healthz() -> str:
        return "ok"

    @web.api_route("/{path:path}", methods=["GET", "POST", "PUT", "DELETE"])
    def inside(path: str) -> str:
        return "inside"

    return TestClient(web, base_url=base_url, follow_redirects=False)


def enter(client: TestClient, name: str = "Ada", password: str = PASSWORD, **more: str) -> httpx2.Response:
    return client.post("/sign-in", data={"name": name, "password": password, **more})


def test_without_accounts_the_app_opens_straight_in(store: Store) -> None:
    client = site(store, Settings())
    assert client.get("/").text == '"inside"'
    assert client.get("/sign-in").headers["location"] == "/"


def test_the_page_leads_to_the_sign_in_and_back_to_what_was_asked_for(client: TestClient) -> None:
    answer = client.get("/?conversation=c-1&x=2")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in?next=")
    page = client.get(answer.headers["location"]).text
    wanted = re.search(r'name="next" value="([^"]*)"', page)
    assert wanted
    assert wanted[1] == "/?conversation=c-1&amp;x=2"
    assert enter(client, next="/?conversation=c-1&x=2").headers["location"] == "/?conversation=c-1&x=2"
    assert client.get("/?conversation=c-1").text == '"inside"'


@pytest.mark.parametrize(("method", "path"), [
    ("POST", "/gradio_api/queue/join"),
    ("GET", "/gradio_api/queue/data"),
    ("GET", "/gradio_api/file=/etc/passwd"),
    ("GET", "/gradio_api/heartbeat/x"),
    ("POST", "/gradio_api/upload"),
    ("GET", "/config"),
    ("GET", "/conversations/c1.md"),
    ("GET", "/chat.js"),
    ("POST", "/"),
    ("POST", "/healthz"),
    ("PUT", "/sign-in"),
    ("POST", "/sign-out"),
    ("GET", "//sign-in"),
    ("GET", "/sign-in/"),
    ("GET", "/sign-in/../config"),
    ("GET", "/healthz/x"),
])  # fmt: skip
def test_everything_else_is_refused_to_who_is_not_signed_in(client: TestClient, method: str, path: str) -> None:
    for cookie in ("", "medchat_session=x", f"medchat_session={'a' * 43}"):
        answer = client.request(method, f"http://127.0.0.1:7860{path}", headers={"cookie": cookie})
        assert answer.status_code == 401
        assert "signed out" in answer.json()["detail"]


def test_who_is_not_signed_in_sends_no_more_than_a_form(client: TestClient) -> None:
    answer = enter(client, next="/" * 17_000)
    assert (answer.status_code, answer.text) == (413, "The request is too large; 16 KiB are the limit.\n")
    assert enter(client, next="/?" + "x" * 8_000).status_code == 303


def test_health_and_the_looks_of_the_page_need_no_session(client: TestClient) -> None:
    assert client.get("/healthz").status_code == 200
    assert "prefers-color-scheme: dark" in client.get("/sign-in/style.css").text


def test_the_page_works_without_scripts_and_says_what_its_fields_are(client: TestClient) -> None:
    page = client.get("/sign-in").text
    assert "<script" not in page
    assert '<label for="name">' in page
    assert 'autocomplete="username"' in page
    assert '<label for="password">' in page
    assert 'type="password" autocomplete="current-password"' in page
    assert 'method="post" action="/sign-in"' in page
    assert "Hugging Face" not in page
    assert 'role="alert"' not in page


def test_what_does_not_fit_is_said_and_the_name_stays(client: TestClient) -> None:
    answer = enter(client, name='"><b>Ada', password="wrong password")
    assert answer.status_code == 401
    assert '<p class="error" role="alert" id="error">That name and password do not fit together.' in answer.text
    assert 'value="&quot;&gt;&lt;b&gt;Ada"' in answer.text
    assert "wrong password" not in answer.text
    assert "set-cookie" not in answer.headers


def test_an_empty_or_strange_form_is_only_a_wrong_one(client: TestClient) -> None:
    assert client.post("/sign-in").status_code == 401
    assert client.post("/sign-in", content=b"\xff\xfe", headers={"content-type": "text/plain"}).status_code == 401
    assert client.post("/sign-in", files={"name": b"x", "password": b"y"}).status_code == 401


def test_the_cookie_is_for_this_site_and_no_script(client: TestClient) -> None:
    cookie = enter(client).headers["set-cookie"]
    assert re.fullmatch(r"medchat_session=[\w-]{43}; HttpOnly; Max-Age=604800; Path=/; SameSite=lax", cookie)


def test_by_https_the_cookie_never_travels_without_it(store: Store, client: TestClient) -> None:
    direct = enter(site(store, Settings(), "https://127.0.0.1:7860"))
    behind_a_proxy = client.post(
        "/sign-in", data={"name": "Ada", "password": PASSWORD}, headers={"origin": "https://medchat.example"}
    )
    for answer in (direct, behind_a_proxy):
        assert answer.headers["set-cookie"].endswith("SameSite=lax; Secure")


def test_on_a_space_the_cookie_works_in_its_frame(store: Store) -> None:
    Accounts(store, Settings()).add("terminal", "Eve", "admin", PASSWORD)
    cookie = enter(site(store, SPACE, f"https://{SPACE_HOST}"), "Eve").headers["set-cookie"]
    assert cookie.endswith("SameSite=none; Secure")


@pytest.mark.parametrize("wanted", [
    "https://evil.example", "//evil.example", "/\\evil.example", "/%2fevil.example/", "\\\\evil", "/\n/evil.example",
    "javascript:alert(1)", "/sign-out", "evil", "/?x=//evil.example:1@", "",
])  # fmt: skip
def test_it_leads_to_no_other_site(client: TestClient, wanted: str) -> None:
    assert enter(client, next=wanted).headers["location"] == "/"
    assert client.get("/sign-in", params={"next": wanted}).headers["location"] == "/"


def test_signing_in_begins_a_new_session_and_ends_the_one_before(client: TestClient) -> None:
    planted = enter(client).cookies["medchat_session"]
    client.get("/")
    fresh = enter(client).cookies["medchat_session"]
    assert fresh != planted
    client.cookies.clear()
    assert client.get("/", headers={"cookie": f"medchat_session={planted}"}).status_code == 303
    assert client.get("/", headers={"cookie": f"medchat_session={fresh}"}).status_code == 200


def test_signing_out_ends_the_session_and_not_only_the_cookie(client: TestClient) -> None:
    token = enter(client).cookies["medchat_session"]
    answer = client.post("/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert 'medchat_session=""' in answer.headers["set-cookie"]
    assert client.get("/", headers={"cookie": f"medchat_session={token}"}).status_code == 303


def test_the_session_survives_a_restart_and_ends_when_its_user_is_disabled(tmp_path: Path, client: TestClient) -> None:
    token = enter(client).cookies["medchat_session"]
    store = Store(f"sqlite:///{tmp_path / 'medchat.db'}")
    restarted = site(store, Settings())
    cookie = {"cookie": f"medchat_session={token}"}
    assert restarted.get("/", headers=cookie).status_code == 200
    accounts = Accounts(store, Settings())
    accounts.add("terminal", "Bob", "admin", PASSWORD)
    ada = accounts.named("Ada")
    assert ada
    accounts.set_disabled("terminal", ada.id, True)
    assert restarted.get("/", headers=cookie).status_code == 303


def test_the_throttle_of_a_name_holds_whatever_is_said_to_be_forwarded(store: Store, client: TestClient) -> None:
    proxied = site(store, Settings(trusted_proxy=1))
    for browser in (client, proxied):
        for number in range(3):
            headers = {"x-forwarded-for": f"192.0.2.{number}"}
            answer = browser.post("/sign-in", data={"name": "Ada", "password": "wrong"}, headers=headers)
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "900"
    assert "Too many attempts" in answer.text
    assert enter(client).status_code == 429
    addresses = [row.address for row in store.audit(action="sign-in failed")]
    assert sorted(addresses) == ["192.0.2.0", "192.0.2.1", "testclient", "testclient", "testclient"]


def test_a_store_that_cannot_be_read_lets_nobody_in(store: Store) -> None:
    class Broken:
        def has_users(self) -> bool:
            raise StoreError("The disk is full.")

        def user_named(self, name: str) -> None:
            raise StoreError("The disk is full.")

    client = site(Broken(), Settings())  # type: ignore[arg-type]
    answer = client.get("/")
    assert (answer.status_code, answer.text) == (503, "The disk is full.\n")
    assert client.get("/healthz").status_code == 200
    assert (client.get("/sign-in").status_code, enter(client).status_code) == (503, 503)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenId]:
    with FakeOpenId() as provider:
        monkeypatch.setenv("OPENID_PROVIDER_URL", provider.url)
        monkeypatch.setenv("OAUTH_CLIENT_ID", CLIENT)
        monkeypatch.setenv("OAUTH_CLIENT_SECRET", SECRET)
        monkeypatch.setenv("OAUTH_SCOPES", "openid profile")
        yield provider


@pytest.fixture
def space(store: Store, provider: FakeOpenId) -> TestClient:
    return site(store, SPACE, f"https://{SPACE_HOST}")


def to_provider_and_back(space: TestClient, next: str = "/") -> str:
    """The way back from the provider, as the browser gets it."""
    there = space.get("/sign-in/hub", params={"next": next})
    assert there.status_code == 302
    return str(httpx2.get(there.headers["location"]).headers["location"])


def test_on_a_space_people_sign_in_with_hugging_face(space: TestClient, provider: FakeOpenId) -> None:
    page = space.get("/sign-in?next=/?conversation=c1").text
    assert 'href="/sign-in/hub?next=%2F%3Fconversation%3Dc1" target="_blank">Sign in with Hugging Face' in page
    assert "<form" not in page  # nobody has a password here
    back = to_provider_and_back(space, "/?conversation=c1")
    assert back.startswith(f"https://{SPACE_HOST}/sign-in/hub/callback?")
    answer = space.get(back)
    assert (answer.status_code, answer.headers["location"]) == (303, "/?conversation=c1")
    assert space.get("/").text == '"inside"'
    assert provider.token_requests[0]["code_verifier"]


def test_the_state_of_a_sign_in_is_short_lived_and_works_in_a_frame(space: TestClient) -> None:
    cookie = space.get("/sign-in/hub").headers["set-cookie"]
    assert cookie.startswith("medchat_state=")
    assert cookie.endswith("; HttpOnly; Max-Age=600; Path=/sign-in/hub; SameSite=none; Secure")


def test_who_is_not_on_the_list_is_refused_in_one_line_and_audited(
    space: TestClient, provider: FakeOpenId, store: Store
) -> None:
    provider.name = "mallory<b>"
    answer = space.get(to_provider_and_back(space))
    assert answer.status_code == 401
    assert "mallory&lt;b&gt; may not use this MedChat." in answer.text
    assert "medchat_session" not in answer.headers["set-cookie"]
    assert [row.target for row in store.audit(action="sign-in refused")] == ["mallory<b>"]
    assert space.get("/").status_code == 303


def test_a_way_back_that_was_begun_elsewhere_leads_nowhere(space: TestClient) -> None:
    back = to_provider_and_back(space)
    cookie = space.cookies["medchat_state"]
    space.cookies.clear()
    for kept in ("", "medchat_state=forged", f"medchat_state={cookie[:-2]}AA"):
        answer = space.get(back, headers={"cookie": kept})
        assert answer.status_code == 401
        assert "begun in another browser" in answer.text
    space.cookies.set("medchat_state", cookie)
    state = parse_qs(urlsplit(back).query)["state"][0]
    assert "begun in another browser" in space.get(back.replace(state, "x" * len(state))).text


def test_a_way_back_works_once(space: TestClient) -> None:
    back = to_provider_and_back(space)
    cookie = space.cookies["medchat_state"]
    assert space.get(back).status_code == 303
    assert space.get(back, headers={"cookie": f"medchat_state={cookie}"}).status_code == 401


@pytest.mark.parametrize("claims", [
    {"nonce": "another"}, {"aud": "another-client"}, {"iss": "https://evil.example"}, {"exp": 1},
    {"preferred_username": None},
])  # fmt: skip
def test_an_answer_that_proves_nothing_lets_nobody_in(
    space: TestClient, provider: FakeOpenId, claims: dict[str, object]
) -> None:
    provider.claims = claims
    answer = space.get(to_provider_and_back(space))
    assert answer.status_code == 401
    assert "no usable answer" in answer.text
    assert space.get("/").status_code == 303


def test_when_hugging_face_does_not_answer_that_is_said(space: TestClient, provider: FakeOpenId) -> None:
    provider.broken = True
    assert "no usable answer" in space.get("/sign-in/hub").text
    provider.broken = False
    back = to_provider_and_back(space)
    provider.broken = True
    assert "no usable answer" in space.get(back).text


def test_a_refusal_over_there_is_said(space: TestClient) -> None:
    state = parse_qs(urlsplit(space.get("/sign-in/hub").headers["location"]).query)["state"][0]
    answer = space.get("/sign-in/hub/callback", params={"error": "access_denied", "state": state})
    assert answer.status_code == 401
    assert "Begin again." in answer.text


def test_off_a_space_there_is_no_way_by_hugging_face(client: TestClient, provider: FakeOpenId) -> None:
    assert client.get("/sign-in/hub").status_code == 401


def test_a_name_of_the_hub_takes_no_account_that_was_here_before(space: TestClient, store: Store) -> None:
    Accounts(store, SPACE).add("terminal", "ada", "admin", PASSWORD)
    assert space.get(to_provider_and_back(space)).status_code == 303
    assert [user.name for user in store.users()] == ["ada", "ada on Hugging Face"]

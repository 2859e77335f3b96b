"""Accounts: who may come in, what each may do, and what of that is written down."""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from stores import new_store

from medchat import accounts as module
from medchat.accounts import LOCAL, RIGHTS, Accounts, address_of, check_start
from medchat.errors import InvalidInput, NotFound, SettingsError, SignInRefused, SignInThrottled
from medchat.settings import ROLES, Settings
from medchat.store import Store

PASSWORD = "correct horse"
HERE = "192.0.2.7"
SPACE = Settings(
    host="0.0.0.0", space_id="team/medchat", allowed_hosts=("team-medchat.hf.space",),
    allowed_users=(("Ada", "admin"), ("bob", "rater")),
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return new_store(tmp_path)


@pytest.fixture
def accounts(store: Store) -> Accounts:
    """With an admin, Ada, and a rater, Bob."""
    made = Accounts(store, Settings())
    made.add("terminal", "Ada", "admin", PASSWORD)
    made.add("terminal", "Bob", "rater", PASSWORD)
    return made


def id_of(accounts: Accounts, name: str) -> str:
    record = accounts.named(name)
    assert record
    return record.id


def fail(accounts: Accounts, name: str, times: int, address: str = HERE) -> None:
    for _ in range(times):
        with pytest.raises(SignInRefused, match="do not fit together"):
            accounts.sign_in(name, "wrong password", address)


def test_each_role_may_do_what_those_before_it_may_and_more() -> None:
    assert RIGHTS["rater"] == {"chat", "compare", "rate"}
    assert "models" not in RIGHTS["adjudicator"]
    assert "accounts" not in RIGHTS["investigator"]
    for lower, higher in pairwise(ROLES):
        assert RIGHTS[lower] < RIGHTS[higher]


def test_without_accounts_this_machines_user_is_in_and_may_do_all(store: Store) -> None:
    accounts = Accounts(store, Settings())
    assert accounts.user_of({}) == LOCAL
    assert LOCAL.rights == RIGHTS["admin"]


@pytest.mark.parametrize(
    "settings", [Settings(host="0.0.0.0"), Settings(allowed_hosts=("medchat.example",)), Settings(space_id="a/b")]
)
def test_where_others_can_come_in_nobody_is_without_an_account(store: Store, settings: Settings) -> None:
    assert Accounts(store, settings).user_of({}) is None


def test_an_account_made_by_another_process_closes_the_running_app_at_once(tmp_path: Path, store: Store) -> None:
    running = Accounts(store, Settings())
    assert running.user_of({}) == LOCAL
    other = Store(f"sqlite:///{tmp_path / 'medchat.db'}")
    Accounts(other, Settings()).add("terminal", "Ada", "admin", PASSWORD)
    assert running.user_of({}) is None


def test_the_first_account_must_be_an_admins(store: Store) -> None:
    accounts = Accounts(store, Settings())
    with pytest.raises(InvalidInput, match="first account must be an admin"):
        accounts.add("terminal", "Bob", "rater", PASSWORD)
    assert accounts.local_only


def test_a_session_tells_whose_it_is_and_survives_a_restart(tmp_path: Path, accounts: Accounts) -> None:
    token = accounts.sign_in("  aDA ", PASSWORD, HERE)
    user = Accounts(Store(f"sqlite:///{tmp_path / 'medchat.db'}"), Settings()).user_of({"medchat_session": token})
    assert user
    assert (user.name, user.role, user.rights) == ("Ada", "admin", RIGHTS["admin"])
    assert token.encode() not in b"".join(file.read_bytes() for file in tmp_path.glob("medchat.db*"))


@pytest.mark.parametrize("token", ["", "x", "a" * 43, "a" * 42 + "\n", "../" * 20])
def test_a_token_that_nobody_was_given_is_nobodys(accounts: Accounts, token: str) -> None:
    assert accounts.user_of_token(token) is None


def test_a_session_expires(accounts: Accounts, store: Store) -> None:
    token = accounts.sign_in("Ada", PASSWORD, HERE)
    found = store.sign_in(module._hashed(token))
    assert found
    assert timedelta(days=6.9) < found[1].expires_at - datetime.now(UTC) < timedelta(days=7.1)
    store.begin_sign_in(id_of(accounts, "Ada"), module._hashed("b" * 43), datetime.now(UTC), HERE)
    assert accounts.user_of_token("b" * 43) is None


@pytest.mark.parametrize("end", [
    lambda accounts, bob, token: accounts.sign_out(token, HERE),
    lambda accounts, bob, token: accounts.set_disabled("terminal", bob, True),
    lambda accounts, bob, token: accounts.reset("terminal", bob, "another password"),
])  # fmt: skip
def test_a_session_ends_at_sign_out_when_disabled_and_with_a_new_password(
    accounts: Accounts, end: Callable[[Accounts, str, str], object]
) -> None:
    token = accounts.sign_in("Bob", PASSWORD, HERE)
    end(accounts, id_of(accounts, "Bob"), token)
    assert accounts.user_of_token(token) is None


def test_another_role_holds_at_once(accounts: Accounts) -> None:
    token = accounts.sign_in("Bob", PASSWORD, HERE)
    accounts.change_role("terminal", id_of(accounts, "Bob"), "engineer")
    user = accounts.user_of_token(token)
    assert user
    assert "models" in user.rights


def test_the_last_admin_stays(accounts: Accounts) -> None:
    ada = id_of(accounts, "Ada")
    with pytest.raises(InvalidInput, match="last admin"):
        accounts.set_disabled("terminal", ada, True)
    with pytest.raises(InvalidInput, match="last admin"):
        accounts.change_role("terminal", ada, "rater")


@pytest.mark.parametrize(("name", "role", "password", "words"), [
    ("", "rater", PASSWORD, "A name has"),
    ("=cmd()", "rater", PASSWORD, "A name has"),
    ("x" * 65, "rater", PASSWORD, "A name has"),
    ("a\nb\x00", "rater", PASSWORD, "A name has"),
    ("ADA", "rater", PASSWORD, "already"),
    ("Eve", "root", PASSWORD, "no role 'root'"),
    ("Eve", "rater", "nine char", "10 characters or more"),
    ("Eve", "rater", "x" * 201, "200 at most"),
])  # fmt: skip
def test_what_no_account_can_be_made_of_is_one_clear_line(
    accounts: Accounts, name: str, role: str, password: str, words: str
) -> None:
    with pytest.raises(InvalidInput, match=words) as refused:
        accounts.add("terminal", name, role, password)
    assert "\n" not in str(refused.value)
    assert len(accounts.users()) == 2


def test_a_password_with_an_accent_fits_however_it_is_typed(accounts: Accounts) -> None:
    accounts.add("terminal", "Zoë", "rater", "café au lait")
    assert accounts.sign_in("Zoe\u0308", "cafe\u0301 au lait", HERE)


def test_passwords_are_kept_as_argon2_hashes(accounts: Accounts, store: Store) -> None:
    ada, bob = (store.password_hash_of(id_of(accounts, name)) for name in ("Ada", "Bob"))
    assert ada
    assert ada.startswith("$argon2id$")
    assert ada != bob  # each with a salt of its own


@pytest.mark.parametrize("name", ["Bob", "nobody"])
def test_five_failures_close_a_name_for_a_while_even_to_the_right_password(accounts: Accounts, name: str) -> None:
    for number in range(5):
        fail(accounts, name, 1, f"192.0.2.{number}")
    with pytest.raises(SignInThrottled, match="quarter of an hour"):
        accounts.sign_in(name, PASSWORD, "192.0.2.99")
    assert accounts.sign_in("Ada", PASSWORD, "192.0.2.99")


def test_a_new_password_opens_a_closed_name(accounts: Accounts) -> None:
    fail(accounts, "Bob", 5)
    accounts.reset("terminal", id_of(accounts, "Bob"), "another password")
    assert accounts.sign_in("Bob", "another password", HERE)


@pytest.mark.slow
def test_twenty_failures_close_an_address_whatever_the_names(accounts: Accounts) -> None:
    for number in range(20):
        fail(accounts, f"name {number}", 1)
    with pytest.raises(SignInThrottled):
        accounts.sign_in("Ada", PASSWORD, HERE)
    assert accounts.sign_in("Ada", PASSWORD, "192.0.2.8")


def test_failures_of_long_ago_do_not_count(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    fail(accounts, "Bob", 5)
    monkeypatch.setattr(module, "WINDOW", timedelta(seconds=0))
    assert accounts.sign_in("Bob", PASSWORD, HERE)


def test_attempts_at_once_do_not_slip_past_the_throttle(accounts: Accounts, store: Store) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def attempt(number: int) -> type[Exception]:
        try:
            accounts.sign_in("Bob", f"wrong {number}", HERE)
        except SignInRefused as error:
            return type(error)
        raise AssertionError("a wrong password came in")

    with ThreadPoolExecutor(12) as pool:
        outcomes = list(pool.map(attempt, range(12)))
    assert outcomes.count(SignInRefused) == 5
    assert outcomes.count(SignInThrottled) == 7
    assert len(store.audit(action="sign-in throttled")) == 1


def test_the_words_do_not_tell_an_unknown_name_from_a_wrong_password_or_a_closed_account(accounts: Accounts) -> None:
    accounts.set_disabled("terminal", id_of(accounts, "Bob"), True)
    said = set()
    for name, password in (("nobody", PASSWORD), ("Ada", "wrong password"), ("Bob", PASSWORD)):
        with pytest.raises(SignInRefused) as refused:
            accounts.sign_in(name, password, HERE)
        said.add(str(refused.value))
    assert len(said) == 1


def test_an_unknown_name_takes_as_long_as_a_wrong_password(accounts: Accounts) -> None:
    def seconds(name: str) -> float:
        begun = time.process_time()  # what others do on this machine does not count
        fail(accounts, name, 1, HERE if name == "Ada" else "192.0.2.8")
        return time.process_time() - begun

    fail(accounts, "warm", 1)
    known = statistics.median(seconds("Ada") for _ in range(4))
    unknown = statistics.median(seconds("nobody") for _ in range(4))
    assert 0.5 < unknown / known < 2


def test_what_happens_at_the_door_is_audited_without_what_was_typed(accounts: Accounts, store: Store) -> None:
    fail(accounts, "hunter2 typed here", 1)
    fail(accounts, "Bob", 1)
    token = accounts.sign_in("Bob", PASSWORD, HERE)
    accounts.sign_out(token, HERE)
    bob = id_of(accounts, "Bob")
    rows = [row for row in store.audit() if row.address == HERE]
    assert [(row.action, row.actor) for row in reversed(rows)] == [
        ("sign-in failed", ""), ("sign-in failed", bob), ("signed in", bob), ("signed out", bob),
    ]  # fmt: skip
    assert rows[-1].target.startswith("unknown ")
    assert not any(word in str(rows) for word in ("hunter2", PASSWORD, "wrong password typed", token))


def test_what_is_done_to_accounts_is_audited(accounts: Accounts, store: Store) -> None:
    ada, bob = id_of(accounts, "Ada"), id_of(accounts, "Bob")
    accounts.change_role(ada, bob, "engineer", HERE)
    accounts.set_disabled(ada, bob, True, HERE)
    accounts.set_disabled(ada, bob, False, HERE)
    accounts.reset(ada, bob, "another password", HERE)
    rows = store.audit(actor=ada)
    assert [row.action for row in reversed(rows)] == [
        "role changed", "user disabled", "user enabled", "password reset",
    ]  # fmt: skip
    assert {(row.target, row.address) for row in rows} == {(bob, HERE)}
    assert rows[-1].details == {"name": "Bob", "from": "rater", "to": "engineer"}
    assert [row.action for row in store.audit(actor="terminal")] == ["user added", "user added"]


def test_nobody_can_change_a_user_that_does_not_exist(accounts: Accounts) -> None:
    for change in (
        lambda: accounts.reset("terminal", "x", PASSWORD),
        lambda: accounts.change_role("terminal", "x", "rater"),
        lambda: accounts.set_disabled("terminal", "x", True),
    ):
        with pytest.raises(NotFound):
            change()


def test_on_a_space_the_list_says_who_comes_in_and_as_what(store: Store) -> None:
    accounts = Accounts(store, SPACE)
    user = accounts.user_of_token(accounts.sign_in_with_hub("aDa", HERE))
    assert user
    assert (user.name, user.role) == ("aDa", "admin")
    again = accounts.user_of_token(accounts.sign_in_with_hub("Ada", HERE))
    assert again
    assert again.id == user.id
    with pytest.raises(SignInRefused, match="mallory may not use this MedChat"):
        accounts.sign_in_with_hub("mallory", HERE)
    assert [row.target for row in store.audit(action="sign-in refused")] == ["mallory"]


def test_who_left_the_list_is_out_and_who_has_another_role_there_has_it_here(store: Store) -> None:
    before = Accounts(store, SPACE)
    ada, bob = before.sign_in_with_hub("Ada", HERE), before.sign_in_with_hub("bob", HERE)
    after = Accounts(store, replace(SPACE, allowed_users=(("bob", "engineer"),)))
    assert after.user_of_token(ada) is None
    user = after.user_of_token(bob)
    assert user
    assert user.role == "engineer"
    off_the_space = Accounts(store, Settings())
    assert off_the_space.user_of_token(bob) is None


def test_the_list_and_not_the_page_changes_who_is_on_it(store: Store) -> None:
    accounts = Accounts(store, SPACE)
    accounts.sign_in_with_hub("Ada", HERE)
    ada = id_of(accounts, "Ada")
    with pytest.raises(InvalidInput, match="MEDCHAT_ALLOWED_USERS"):
        accounts.change_role("terminal", ada, "rater")
    with pytest.raises(InvalidInput, match="MEDCHAT_ALLOWED_USERS"):
        accounts.reset("terminal", ada, PASSWORD)


def test_a_name_of_the_hub_has_no_password_to_guess(store: Store) -> None:
    accounts = Accounts(store, SPACE)
    accounts.sign_in_with_hub("Ada", HERE)
    for password in ("", "None", PASSWORD):
        with pytest.raises(SignInRefused):
            accounts.sign_in("Ada", password, HERE)


@pytest.mark.parametrize(("peer", "forwarded", "trusted", "found"), [
    ("10.0.0.1", ["6.6.6.6"], "", "10.0.0.1"),  # nobody is trusted: anybody writes that header
    ("10.0.0.1", ["6.6.6.6, 192.0.2.1"], "1", "192.0.2.1"),
    ("10.0.0.1", ["6.6.6.6", "192.0.2.1, 10.0.0.2"], "2", "192.0.2.1"),
    ("10.0.0.1", [], "1", "10.0.0.1"),
    ("10.0.0.1", ["6.6.6.6"], "3", "10.0.0.1"),
    ("10.0.0.1", ["6.6.6.6, 192.0.2.1"], "10.0.0.0/8", "192.0.2.1"),
    ("10.0.0.1", ["6.6.6.6, 192.0.2.1, 10.9.9.9"], "10.0.0.0/8", "192.0.2.1"),
    ("192.0.2.5", ["6.6.6.6"], "10.0.0.1", "192.0.2.5"),  # came past the proxy
    ("10.0.0.1", ["unknown"], "10.0.0.1", "10.0.0.1"),
    ("::1", ["2001:db8::7"], "::1", "2001:db8::7"),
])  # fmt: skip
def test_a_forwarded_address_is_believed_only_from_a_trusted_proxy(
    monkeypatch: pytest.MonkeyPatch, peer: str, forwarded: list[str], trusted: str, found: str
) -> None:
    monkeypatch.setenv("MEDCHAT_TRUSTED_PROXY", trusted)
    assert address_of(peer, forwarded, Settings.from_environment().trusted_proxy) == found


@pytest.mark.parametrize(("name", "value"), [
    ("MEDCHAT_TRUSTED_PROXY", "many"),
    ("MEDCHAT_TRUSTED_PROXY", "10"),
    ("MEDCHAT_TRUSTED_PROXY", "10.0.0.1,"),
    ("MEDCHAT_ALLOWED_USERS", "ada"),
    ("MEDCHAT_ALLOWED_USERS", "ada:root"),
    ("MEDCHAT_ALLOWED_USERS", ":admin"),
])  # fmt: skip
def test_a_wrong_setting_is_one_clear_line(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment()


def test_the_list_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDCHAT_ALLOWED_USERS", " Ada : admin, bob:rater,")
    assert Settings.from_environment().allowed_users == (("Ada", "admin"), ("bob", "rater"))


def test_the_app_opens_to_others_only_when_somebody_can_sign_in(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Settings(host="0.0.0.0")
    check_start(Settings(), store)
    with pytest.raises(SettingsError, match=r"python -m medchat users add NAME --role admin --data-dir /x$"):
        check_start(shared, store, ["--data-dir /x"])
    with pytest.raises(SettingsError, match="MEDCHAT_ALLOWED_USERS"):
        check_start(replace(SPACE, allowed_users=()), store)
    with pytest.raises(SettingsError, match="hf_oauth"):
        check_start(SPACE, store)
    monkeypatch.setenv("OAUTH_CLIENT_ID", "client")
    check_start(SPACE, store)
    Accounts(store, shared).add("terminal", "Ada", "admin", PASSWORD)
    check_start(shared, store)

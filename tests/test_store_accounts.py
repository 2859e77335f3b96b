"""Accounts, sign-ins and the audit, as the store keeps them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from stores import new_store

from medchat.errors import InvalidInput, NotFound
from medchat.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = new_store(tmp_path)
    yield store
    store.close()


def soon(seconds: float = 60) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_an_account_is_found_by_each_of_its_names(store: Store) -> None:
    assert not store.has_users()
    made = store.add_user("  Ada   Lovelace ", "rater", "hash", hub_name="AdaL")

    assert store.has_users()
    assert (made.name, made.role, made.has_password, made.hub_name, made.disabled) == (
        "Ada Lovelace", "rater", True, "adal", False
    )  # fmt: skip
    assert store.user(made.id) == store.user_named("ada LOVELACE") == store.user_of_hub("ADAL") == made
    assert store.password_hash_of(made.id) == "hash"
    assert "hash" not in repr(made)
    assert store.user("none") is store.user_named("bob") is store.user_of_hub("bob") is None
    assert store.password_hash_of("none") is None


def test_accounts_are_listed_by_name(store: Store) -> None:
    for name in ("bob", "Ada", "carl"):
        store.add_user(name, "rater", None)

    assert [user.name for user in store.users()] == ["Ada", "bob", "carl"]
    assert not store.users()[0].has_password


@pytest.mark.parametrize("name", ["STRASSE", "straße", " Strasse "])
def test_a_name_is_taken_in_whatever_capitals(store: Store, name: str) -> None:
    store.add_user("Strasse", "rater", None)

    with pytest.raises(InvalidInput, match="There is a user of this name already"):
        store.add_user(name, "admin", None)


def test_names_that_cannot_be_are_refused(store: Store) -> None:
    store.add_user("ada", "rater", None, hub_name="adal")

    for name in ("", "  ", "x" * 101):
        with pytest.raises(InvalidInput, match="1 to 100 characters"):
            store.add_user(name, "rater", None)
    with pytest.raises(InvalidInput, match="on the Hugging Face Hub already"):
        store.add_user("bob", "rater", None, hub_name="AdaL")


def test_a_name_that_eight_ask_for_at_once_is_given_once(store: Store) -> None:
    def add(_: int) -> bool:
        try:
            store.add_user("ada", "rater", None)
        except InvalidInput:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(add, range(8))) == 1


def test_the_last_enabled_admin_stays_one(store: Store) -> None:
    ada, bob = store.add_user("ada", "admin", "h"), store.add_user("bob", "admin", "h")
    store.add_user("carl", "rater", "h")
    assert store.change_user(bob.id, disabled=True).disabled

    for change in ({"disabled": True}, {"role": "rater"}):
        with pytest.raises(InvalidInput, match="the last admin"):
            store.change_user(ada.id, **change)
    assert store.user(ada.id) == ada

    store.change_user(bob.id, disabled=False)
    assert store.change_user(ada.id, role="rater").role == "rater"
    with pytest.raises(NotFound):
        store.change_user("none", role="admin")


def test_a_session_ends_when_it_expires(store: Store) -> None:
    ada = store.add_user("ada", "rater", "h")
    session = store.begin_sign_in(ada.id, "token", soon(), "127.0.0.1")
    store.begin_sign_in(ada.id, "old token", soon(-1), "127.0.0.1")

    assert store.sign_in("token") == (ada, session)
    assert store.sign_in("old token") is None
    assert store.sign_in("no token") is None


def test_a_session_survives_a_restart_and_ends_at_sign_out(store: Store, tmp_path: Path) -> None:
    ada = store.add_user("ada", "rater", "h")
    store.begin_sign_in(ada.id, "here", soon(), "")
    store.begin_sign_in(ada.id, "there", soon(), "")
    again = Store(f"sqlite:///{tmp_path / 'medchat.db'}")

    assert again.end_sign_in("here")
    assert not again.end_sign_in("here")

    assert store.sign_in("here") is None
    assert store.sign_in("there") is not None
    assert store.end_sign_ins_of(ada.id) == 1
    assert store.sign_in("there") is None
    again.close()


@pytest.mark.parametrize("change", [{"disabled": True}, {"password_hash": "new"}])
def test_a_disabled_user_and_one_with_a_new_password_are_signed_out_for_good(
    store: Store, change: dict[str, bool | str]
) -> None:
    ada = store.add_user("ada", "rater", "h")
    store.begin_sign_in(ada.id, "token", soon(), "")

    store.change_user(ada.id, **change)  # type: ignore[arg-type]
    store.change_user(ada.id, disabled=False)

    assert store.sign_in("token") is None


def test_a_new_role_holds_in_a_session_that_goes_on(store: Store) -> None:
    ada = store.add_user("ada", "rater", "h")
    store.begin_sign_in(ada.id, "token", soon(), "")

    store.change_user(ada.id, role="engineer")

    found = store.sign_in("token")
    assert found is not None
    assert found[0].role == "engineer"


def test_a_disabled_user_and_nobody_begin_no_session(store: Store) -> None:
    ada = store.add_user("ada", "rater", "h")
    store.change_user(ada.id, disabled=True)

    for user_id in (ada.id, "none"):
        with pytest.raises(NotFound):
            store.begin_sign_in(user_id, "token", soon(), "")


def test_the_audit_is_read_newest_first_by_who_what_and_when(store: Store) -> None:
    first = store.add_audit("ada", "sign-in", address="10.0.0.1")
    second = store.add_audit("bob", "refused", "models.remove", {"right": "models"}, "10.0.0.2")
    third = store.add_audit("ada", "refused", "users.add")

    assert store.audit() == [third, second, first]
    assert (second.target, second.details, second.address) == ("models.remove", {"right": "models"}, "10.0.0.2")
    assert store.audit(actor="ada") == [third, first]
    assert store.audit(action="refused", actor="bob") == [second]
    assert store.audit(since=second.created_at) == [third, second]
    assert store.audit(until=second.created_at) == [first]
    assert store.audit(target="users.add") == [third]
    assert store.audit(limit=1, offset=1) == [second]


def test_the_audit_is_read_to_its_end_where_no_limit_is_set(store: Store) -> None:
    for number in range(101):
        store.add_audit("ada", "looked", str(number))

    assert len(store.audit()) == 100
    assert len(store.audit(limit=None)) == 101


def test_failed_sign_ins_are_counted_by_account_by_address_and_since(store: Store) -> None:
    start = datetime.now(UTC)
    for target, address in (("ada", "10.0.0.1"), ("ada", "10.0.0.2"), ("bob", "10.0.0.2")):
        store.add_audit("", "sign-in failed", target, address=address)
    store.add_audit("ada", "sign-in", "ada", address="10.0.0.1")

    assert store.count_audit("sign-in failed", since=start) == 3
    assert store.count_audit("sign-in failed", since=start, target="ada") == 2
    assert store.count_audit("sign-in failed", since=start, address="10.0.0.2") == 2
    assert store.count_audit("sign-in failed", since=start, target="ada", address="10.0.0.2") == 1
    assert store.count_audit("sign-in", since=start, actor="ada") == 1
    assert store.count_audit("sign-in failed", since=soon()) == 0

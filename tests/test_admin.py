"""The Admin tab without a browser: its tables, and handlers that ask who is there before they do anything."""

import html
import inspect
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest
from starlette.datastructures import Headers
from stores import new_store

from medchat.accounts import Accounts
from medchat.settings import Settings
from medchat.store.records import AuditRecord, UserRecord
from medchat.ui import admin
from medchat.ui.admin import ALL, ROWS, Handlers, Updates
from medchat.ui.admin_tables import audit_html, users_html
from medchat.ui.common import App

PASSWORD = "correct horse"
ATTACK = '"><img src=x onerror="alert(1)">'
WHEN = datetime(2026, 5, 4, 9, 7, 1, tzinfo=UTC)
FILTERS = (ALL, ALL, ALL)


class Tab:
    """The tab over a store with the admin Ada and the engineer Eve, and what its handlers gave by component."""

    def __init__(self, folder: Path) -> None:
        self.store = new_store(folder)
        self.accounts = Accounts(self.store, Settings())
        self.ids = {
            name: self.accounts.add("terminal", name, role, PASSWORD).id
            for name, role in (("Ada", "admin"), ("Eve", "engineer"))
        }
        app = cast(App, SimpleNamespace(accounts=self.accounts, store=self.store))
        with gr.Blocks(), gr.Tab("Admin") as item:
            self.parts = admin.build(app, item)
        self.do = Handlers(app, self.parts)

    def request(self, name: str) -> gr.Request:
        token = self.accounts._begin(self.store.users()[["Ada", "Eve"].index(name)], "192.0.2.1")
        made = SimpleNamespace(
            cookies={"medchat_session": token}, client=SimpleNamespace(host="192.0.2.1"), headers=Headers()
        )
        return cast(gr.Request, made)

    def shown(self, updates: Updates) -> dict[str, Any]:
        names = {id(part): name for name, part in self.parts._asdict().items()}
        return {names[id(part)]: value for part, value in updates.items()}


@pytest.fixture
def tab(tmp_path: Path) -> Tab:
    return Tab(tmp_path)


def visible(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def test_an_admin_sees_the_accounts_and_what_was_done_to_them(tab: Tab) -> None:
    shown = tab.shown(tab.do.show(*FILTERS, tab.request("Ada")))
    assert re.search(r"Ada admin password may sign in .* Eve engineer password may sign in", visible(shown["users"]))
    assert "command line user added Eve name: Eve, role: engineer" in visible(shown["audit"])
    assert [name for name, _ in shown["user"].choices] == ["Ada", "Eve"]
    assert shown["more"].visible is False


def test_an_account_is_added_changed_closed_and_opened(tab: Tab) -> None:
    ada = tab.request("Ada")
    added = tab.shown(tab.do.add("Bob", "rater", PASSWORD, *FILTERS, ada))
    assert "Added Bob as rater." in added["status"]
    assert added["new_password"] == ""
    bob = tab.accounts.named("Bob")
    assert bob
    assert tab.shown(tab.do.choose(bob.id, ada)) == {"role": "rater"}
    for changed, words in (
        (tab.do.change_role(bob.id, "adjudicator", *FILTERS, ada), "Bob is adjudicator now."),
        (tab.do.disable("bob", *FILTERS, ada), "Bob can no longer sign in"),  # typed, not picked
        (tab.do.enable(bob.id, *FILTERS, ada), "Bob can sign in again."),
        (tab.do.reset(bob.id, "another password", *FILTERS, ada), "Bob has a new password"),
    ):
        assert words in tab.shown(changed)["status"]
    assert tab.accounts.sign_in("Bob", "another password", "192.0.2.2")
    rows = tab.store.audit(actor=tab.ids["Ada"])
    assert {row.address for row in rows} == {"192.0.2.1"}
    assert not any(PASSWORD in str(row) or "another password" in str(row) for row in rows)


@pytest.mark.parametrize(("verb", "values", "words"), [
    ("add", ("Bob", "rater", "short"), "10 characters or more"),
    ("add", (None, None, None), "There is no role"),
    ("add", ("Ada", "rater", PASSWORD), "already"),
    ("disable", (None,), "Choose an account first"),
    ("reset", ("nobody", PASSWORD), "Choose an account first"),
    ("disable", ("Ada",), "last admin"),
    ("change_role", ("Eve", "root"), "There is no role"),
])  # fmt: skip
def test_what_cannot_be_done_is_one_clear_line(tab: Tab, verb: str, values: tuple[Any, ...], words: str) -> None:
    with pytest.raises(gr.Error, match=words):
        getattr(tab.do, verb)(*values, *FILTERS, tab.request("Ada"))


def test_no_handler_works_for_who_does_not_look_after_the_accounts(tab: Tab) -> None:
    eve = tab.request("Eve")
    verbs = [name for name, _ in inspect.getmembers(Handlers, inspect.isfunction) if not name.startswith("_")]
    assert len(verbs) >= 9
    for verb in verbs:
        n_values = len(inspect.signature(getattr(tab.do, verb)).parameters) - 1
        with pytest.raises(gr.Error, match="Your role, engineer, does not allow this"):
            getattr(tab.do, verb)(*["Eve"] * n_values, eve)
    refused = tab.store.audit(action="call refused")
    assert {row.target for row in refused} == {f"admin.{verb}" for verb in verbs}
    assert {row.actor for row in refused} == {tab.ids["Eve"]}


def test_the_audit_is_filtered_by_who_what_and_when(tab: Tab) -> None:
    ada = tab.request("Ada")
    tab.do.change_role(tab.ids["Eve"], "rater", *FILTERS, ada)

    def rows(*filters: str) -> int:
        return str(tab.shown(tab.do.filter(*filters, ada))["audit"]).count('<tr><td data-label="When">')

    assert rows(tab.ids["Ada"], "role changed", "hour") == 1
    assert rows("ada", "role changed", "hour") == 1
    assert rows("terminal", "role changed", ALL) == 0
    assert rows("terminal", ALL, "day") == 2
    assert rows(ALL, "user added", "7 days") == 2


def test_older_rows_come_when_asked_for(tab: Tab) -> None:
    ada = tab.request("Ada")
    for number in range(ROWS + 20):
        tab.store.add_audit(tab.ids["Eve"], "exported", f"c{number}")
    first = tab.shown(tab.do.filter(tab.ids["Eve"], "exported", ALL, ada))
    assert (first["more"].visible, first["shown"]) == (True, ROWS)
    assert f"The newest {ROWS} entries." in first["audit"]
    rest = tab.shown(tab.do.older(tab.ids["Eve"], "exported", ALL, first["shown"], ada))
    assert rest["more"].visible is False
    assert f"{ROWS + 20} entries." in visible(rest["audit"])


def test_nothing_that_was_written_becomes_markup() -> None:
    user = UserRecord("u1", ATTACK, ATTACK, True, None, False, WHEN)
    row = AuditRecord("1", WHEN, ATTACK, ATTACK, ATTACK, {ATTACK: ATTACK}, ATTACK)
    page = users_html([user]) + audit_html([row], {}, False)
    assert "<img" not in page
    assert page.count("&lt;img") == 8


def test_names_and_times_are_those_that_people_know() -> None:
    row = AuditRecord("1", WHEN, "u1", "password reset", "u2", {}, "")
    page = audit_html([row, AuditRecord("2", WHEN - timedelta(1), "", "sign-in failed", "unknown 7f", {}, "")],
                      {"u1": "Ada", "u2": "Bob"}, False)  # fmt: skip
    assert "Ada password reset Bob" in visible(page)
    assert "nobody signed in sign-in failed unknown 7f" in visible(page)
    assert "2026-05-04 09:07:01 UTC" in visible(page)
    refused = audit_html(
        [AuditRecord("3", WHEN, "u1", "call refused", "models_handlers.look_again", {}, "")], {}, False
    )
    assert "call refused “look again” in the Models tab" in visible(refused)
    assert '<time datetime="2026-05-04T09:07:01Z">' in page
    assert "Nothing of the kind" in audit_html([], {}, False)
    assert "There is no account" in users_html([])

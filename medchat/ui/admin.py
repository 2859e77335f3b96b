"""The Admin tab: who has an account and in which role, and what is written down of what people did."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import gradio as gr

from medchat.accounts import ACTIONS, TERMINAL
from medchat.errors import InvalidInput
from medchat.settings import ROLES
from medchat.store.records import UserRecord
from medchat.ui.admin_tables import AT_THE_TERMINAL, NOBODY, audit_html, users_html
from medchat.ui.common import App, address_of, escape, handler, require, static_html

ALL = "*"
PERIODS = {"hour": 1 / 24, "day": 1.0, "7 days": 7.0, "30 days": 30.0}
ROWS = 100
MOST_ROWS = 5000
# Gradio's own field leaves a browser free to fill in the password of whoever is signed in.
FRESH = "() => document.querySelectorAll('[type=password]').forEach((f) => (f.autocomplete = 'new-password'))"
# Whom a change put out, by the first account or their own, is shown the sign-in.
LEAVE = "async () => { if ((await fetch('/actions.js', { cache: 'no-store' })).status === 401) location.reload(); }"
# An account is not closed by one slip; the button that does it is pressed by the answer.
ASK_FIRST = """() => {
  const name = document.querySelector("#admin-user input").value || "this account";
  const told = "It is signed out everywhere and cannot sign in until you enable it.";
  window.medchat.confirmed(`Disable ${name}?`, told, "Disable")
    .then(() => document.querySelector("#admin-disable-now").click());
}"""
NO_COMPLETION = gr.InputHTMLAttributes(autocomplete="off")

Updates = dict[Any, Any]


class AdminTab(NamedTuple):
    """The components of the tab. shown: how many rows of the audit are shown at most."""

    users: gr.HTML
    status: gr.HTML
    user: gr.Dropdown
    role: gr.Dropdown
    change_role: gr.Button
    password: gr.Textbox
    reset: gr.Button
    disable: gr.Button
    disable_now: gr.Button
    enable: gr.Button
    new_name: gr.Textbox
    new_role: gr.Dropdown
    new_password: gr.Textbox
    add: gr.Button
    who: gr.Dropdown
    what: gr.Dropdown
    since: gr.Dropdown
    audit: gr.HTML
    more: gr.Button
    shown: gr.Number


def build(app: App, item: gr.Tab) -> AdminTab:
    """The tab inside `item`, laid out and wired."""
    with gr.Column(elem_id="admin-page"):
        parts = _accounts() | _audit()
    tab = AdminTab(**parts)
    _wire(tab, Handlers(app, tab), item)
    return tab


def _accounts() -> dict[str, Any]:
    static_html("<h2>Accounts</h2>", "admin-accounts-title")
    users = static_html("", "admin-users")
    status = static_html(_status(""), "admin-status")
    with gr.Row(elem_id="admin-change"):
        # What is listed changes while the page is open, and is not known any more to a server that was restarted.
        user = gr.Dropdown([], label="Account", elem_id="admin-user", allow_custom_value=True, min_width=180)
        with gr.Column(min_width=180):
            role = gr.Dropdown(list(ROLES), value=None, label="Role", elem_id="admin-role", filterable=False)
            change_role = gr.Button("Change role", size="md", elem_id="admin-change-role")
        with gr.Column(min_width=180):
            password = gr.Textbox(label="New password", type="password", elem_id="admin-password")
            reset = gr.Button("Reset password", size="md", elem_id="admin-reset")
        with gr.Column(min_width=140):
            disable = gr.Button("Disable", size="md", elem_id="admin-disable")
            enable = gr.Button("Enable", size="md", elem_id="admin-enable")
    disable_now = gr.Button(visible="hidden", elem_id="admin-disable-now")
    with gr.Row(elem_id="admin-new"):
        new_name = gr.Textbox(label="Name", elem_id="admin-new-name", html_attributes=NO_COMPLETION, min_width=180)
        new_role = gr.Dropdown(
            list(ROLES), value=ROLES[0], label="Role", elem_id="admin-new-role", filterable=False, min_width=180
        )
        new_password = gr.Textbox(label="Password", type="password", elem_id="admin-new-password", min_width=180)
        add = gr.Button("Add account", variant="primary", size="md", elem_id="admin-add", min_width=140)
    return {
        "users": users, "status": status, "user": user, "role": role, "change_role": change_role, "password": password,
        "reset": reset, "disable": disable, "disable_now": disable_now, "enable": enable, "new_name": new_name,
        "new_role": new_role, "new_password": new_password, "add": add,
    }  # fmt: skip


def _audit() -> dict[str, Any]:
    static_html("<h2>Audit</h2>", "admin-audit-title")
    periods = [("since the beginning", ALL), *((f"last {name}", name) for name in PERIODS)]
    actions = [("everything", ALL), *((action, action) for action in ACTIONS)]
    with gr.Row(elem_id="admin-filters"):
        who = gr.Dropdown([("everybody", ALL)], value=ALL, label="Who", elem_id="admin-who", allow_custom_value=True)
        what = gr.Dropdown(actions, value=ALL, label="What", elem_id="admin-what", filterable=False)
        since = gr.Dropdown(periods, value="7 days", label="When", elem_id="admin-since", filterable=False)
    audit = static_html("", "admin-audit")
    more = gr.Button("Older entries", size="md", elem_id="admin-more", visible=False)
    return {"who": who, "what": what, "since": since, "audit": audit, "more": more,
            "shown": gr.Number(ROWS, visible=False)}  # fmt: skip


def _wire(tab: AdminTab, do: "Handlers", item: gr.Tab) -> None:
    quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
    filters = [tab.who, tab.what, tab.since]
    listed = [tab.users, tab.status, tab.user, tab.who, tab.role, tab.audit, tab.more, tab.shown]
    changed = [*listed, tab.password, tab.new_name, tab.new_password]
    item.select(do.show, filters, listed, **quiet)
    item.select(None, None, None, js=FRESH)
    tab.user.input(do.choose, tab.user, [tab.role], **quiet)
    tab.disable.click(None, None, None, js=ASK_FIRST)
    new = [tab.new_name, tab.new_role, tab.new_password, *filters]
    for events, work, values in (
        ([tab.change_role.click], do.change_role, [tab.user, tab.role, *filters]),
        ([tab.reset.click, tab.password.submit], do.reset, [tab.user, tab.password, *filters]),
        ([tab.disable_now.click], do.disable, [tab.user, *filters]),
        ([tab.enable.click], do.enable, [tab.user, *filters]),
        ([tab.add.click, tab.new_password.submit], do.add, new),
    ):
        done = gr.on(events, work, values, changed, **quiet)
        done.then(None, None, None, js=LEAVE)
        done.failure(
            None, None, tab.status, js=f"() => {json.dumps(_status(''))}"
        )  # what was said before holds no more
    gr.on([one.input for one in (tab.who, tab.what, tab.since)], do.filter, filters, listed, **quiet)
    tab.more.click(do.older, [*filters, tab.shown], listed, **quiet)


def _status(text: str) -> str:
    return f'<p class="mc-note" role="status">{escape(text)}</p>'


class Handlers:
    """The events of the tab; each is for those who look after the accounts."""

    def __init__(self, app: App, tab: AdminTab) -> None:
        self._app = app
        self._tab = tab

    @handler
    def show(self, who: str | None, what: str | None, since: str | None, request: gr.Request) -> Updates:
        """The accounts and the audit."""
        require(self._app, request, "accounts")
        return self._listed(who, what, since)

    @handler
    def choose(self, user_id: str | None, request: gr.Request) -> Updates:
        """The role of the chosen account."""
        require(self._app, request, "accounts")
        return {self._tab.role: self._chosen(user_id).role if user_id else None}

    @handler
    def add(
        self, name: str | None, role: str | None, password: str | None, who: str | None, what: str | None,
        since: str | None, request: gr.Request,
    ) -> Updates:  # fmt: skip
        """A new account."""
        actor = require(self._app, request, "accounts").id
        made = self._app.accounts.add(actor, name or "", role or "", password or "", address_of(self._app, request))
        return self._done(f"Added {made.name} as {made.role}.", who, what, since)

    @handler
    def change_role(
        self, user_id: str | None, role: str | None, who: str | None, what: str | None, since: str | None,
        request: gr.Request,
    ) -> Updates:  # fmt: skip
        """The account in another role."""
        actor = require(self._app, request, "accounts").id
        chosen, address = self._chosen(user_id), address_of(self._app, request)
        changed = self._app.accounts.change_role(actor, chosen.id, role or "", address)
        return self._done(f"{changed.name} is {changed.role} now.", who, what, since)

    @handler
    def reset(
        self, user_id: str | None, password: str | None, who: str | None, what: str | None, since: str | None,
        request: gr.Request,
    ) -> Updates:  # fmt: skip
        """The account with a new password."""
        actor = require(self._app, request, "accounts").id
        chosen, address = self._chosen(user_id), address_of(self._app, request)
        changed = self._app.accounts.reset(actor, chosen.id, password or "", address)
        return self._done(f"{changed.name} has a new password, and is signed out everywhere.", who, what, since)

    @handler
    def disable(
        self, user_id: str | None, who: str | None, what: str | None, since: str | None, request: gr.Request
    ) -> Updates:
        """The account closed."""
        return self._set_disabled(user_id, True, (who, what, since), request)

    @handler
    def enable(
        self, user_id: str | None, who: str | None, what: str | None, since: str | None, request: gr.Request
    ) -> Updates:
        """The account open again."""
        return self._set_disabled(user_id, False, (who, what, since), request)

    @handler
    def filter(self, who: str | None, what: str | None, since: str | None, request: gr.Request) -> Updates:
        """The rows of the audit that fit."""
        require(self._app, request, "accounts")
        return self._rows(who, what, since, ROWS)

    @handler
    def older(
        self, who: str | None, what: str | None, since: str | None, shown: float | None, request: gr.Request
    ) -> Updates:
        """More rows of the audit."""
        require(self._app, request, "accounts")
        return self._rows(who, what, since, min(MOST_ROWS, int(shown or 0) + ROWS))

    def _set_disabled(
        self, user_id: str | None, disabled: bool, filters: tuple[str | None, str | None, str | None],
        request: gr.Request,
    ) -> Updates:  # fmt: skip
        actor = require(self._app, request, "accounts").id
        chosen, address = self._chosen(user_id), address_of(self._app, request)
        changed = self._app.accounts.set_disabled(actor, chosen.id, disabled, address)
        words = "can no longer sign in, and is signed out everywhere" if disabled else "can sign in again"
        return self._done(f"{changed.name} {words}.", *filters)

    def _done(self, words: str, who: str | None, what: str | None, since: str | None) -> Updates:
        """What is shown after a change: no password stays in a field."""
        tab = self._tab
        return self._listed(who, what, since) | {
            tab.status: _status(words), tab.password: "", tab.new_name: "", tab.new_password: "",
        }  # fmt: skip

    def _listed(self, who: str | None, what: str | None, since: str | None) -> Updates:
        users = self._app.accounts.users()
        people = [(user.name, user.id) for user in users]
        actors = [("everybody", ALL), *people, (AT_THE_TERMINAL, TERMINAL), (NOBODY, ""), ("local user", "local")]
        return self._rows(who, what, since, ROWS) | {
            self._tab.users: users_html(users),
            self._tab.user: gr.Dropdown(people),
            self._tab.who: gr.Dropdown(actors),
        }

    def _chosen(self, user: str | None) -> UserRecord:
        """The account that was picked, or whose name was typed."""
        found = next((record for record in self._app.accounts.users() if record.id == user), None)
        found = found or self._app.accounts.named(user or "")
        if found is None:
            raise InvalidInput("Choose an account first.")
        return found

    def _rows(self, who: str | None, what: str | None, since: str | None, shown: int) -> Updates:
        names = {user.id: user.name for user in self._app.accounts.users()}
        named = self._app.accounts.named(who or "")
        who = named.id if named else who
        rows = self._app.store.audit(
            actor=None if who in (None, ALL) else who, action=None if what in (None, ALL) else what,
            since=_begin(since), limit=shown + 1,
        )  # fmt: skip
        more = len(rows) > shown
        return {
            self._tab.audit: audit_html(rows[:shown], names, more),
            self._tab.more: gr.Button(visible=more and shown < MOST_ROWS),
            self._tab.shown: shown,
        }


def _begin(since: str | None) -> datetime | None:
    return datetime.now(UTC) - timedelta(days=PERIODS[since]) if since in PERIODS else None

"""The accounts and the audit as HTML tables."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from medchat.accounts import CALL_REFUSED, TERMINAL
from medchat.store.records import AuditRecord, UserRecord
from medchat.ui.common import escape

NOBODY = "nobody signed in"
AT_THE_TERMINAL = "command line"
ACCOUNT_HEAD = ("Name", "Role", "Signs in by", "State", "Since")
AUDIT_HEAD = ("When", "Who", "What", "To what", "Details", "From")


def users_html(users: Sequence[UserRecord]) -> str:
    """One row an account; a sentence where there is none."""
    if not users:
        return (
            '<p class="mc-note">There is no account: whoever uses this machine is in. Once you add one, which must be '
            "an admin's, everybody signs in, you too.</p>"
        )
    rows = "".join(
        f'<tr{" class=mc-off" if user.disabled else ""}><th scope="row" dir="auto">{escape(user.name)}</th>'
        + _cells(
            ACCOUNT_HEAD[1:],
            escape(user.role),
            "Hugging Face" if user.hub_name else "password",
            "disabled" if user.disabled else "may sign in",
            _time(user.created_at),
        )
        for user in users
    )
    return _table("Accounts", ACCOUNT_HEAD, rows)


def audit_html(rows: Sequence[AuditRecord], names: Mapping[str, str], more: bool) -> str:
    """One row an entry, the newest first. names: of the users, by id; more: there are older ones."""
    if not rows:
        return '<p class="mc-note" role="status">Nothing of the kind is written down.</p>'
    body = "".join(
        "<tr>"
        + _cells(
            AUDIT_HEAD,
            _time(row.created_at),
            _who(row.actor, names),
            escape(row.action),
            escape(_target(row, names)),
            _details(row),
            escape(row.address),
        )
        for row in rows
    )
    number = "1 entry" if len(rows) == 1 else f"{len(rows):,} entries"
    told = f"The newest {number}." if more else f"{number}."
    return f'<p class="mc-small" role="status">{told}</p>{_table("Audit", AUDIT_HEAD, body)}'


def _table(caption: str, head: Sequence[str], rows: str) -> str:
    """A table that scrolls within its own width, by keyboard too."""
    columns = "".join(f'<th scope="col">{name}</th>' for name in head)
    return (
        f'<div class="mc-scroll" tabindex="0" role="region" aria-label="{caption}"><table class="mc-table">'
        f'<caption class="mc-vh">{caption}</caption><thead><tr>{columns}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cells(head: Sequence[str], *cells: str) -> str:
    """The end of a row; each cell with words says its column, which on a phone stands beside it."""
    pairs = zip(head, cells, strict=True)
    return "".join(f'<td data-label="{name}">{cell}</td>' if cell else "<td></td>" for name, cell in pairs) + "</tr>"


def _target(row: AuditRecord, names: Mapping[str, str]) -> str:
    """What it was done to; a refused call names the handler, such as admin.older or models_handlers.add."""
    place, dot, doing = row.target.partition(".")
    if row.action != CALL_REFUSED or not dot:
        return names.get(row.target, row.target)
    return f"“{doing.replace('_', ' ')}” in the {place.removesuffix('_handlers').title()} tab"


def _who(actor: str, names: Mapping[str, str]) -> str:
    return escape({"": NOBODY, TERMINAL: AT_THE_TERMINAL}.get(actor) or names.get(actor, actor))


def _details(row: AuditRecord) -> str:
    return escape(", ".join(f"{name}: {value}" for name, value in row.details.items()))


def _time(moment: datetime) -> str:
    """The moment in UTC, as machines and people read it."""
    return f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment:%Y-%m-%d %H:%M:%S} UTC</time>'

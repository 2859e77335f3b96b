"""`python -m medchat users`: the accounts of a store. A running app goes by what is changed here at once."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from getpass import getpass
from typing import TYPE_CHECKING, Any

from medchat.errors import InvalidInput, NotFound
from medchat.settings import ROLES, Settings

if TYPE_CHECKING:
    from medchat.accounts import Accounts
    from medchat.store.records import UserRecord

Arguments = argparse.Namespace

DESCRIPTION = (
    "The accounts. As soon as there is one, everybody signs in. An app that is running goes by a change at once."
)


def add_parsers(commands: Any, common: Callable[..., argparse.ArgumentParser]) -> None:
    """Adds `users` and its verbs to the commands. common: makes the parser of what all commands take."""
    users = commands.add_parser("users", help="look after the accounts", description=DESCRIPTION)
    verbs = users.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, command: Callable[[Arguments, Settings], None], help: str) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = verbs.add_parser(name, parents=[common()], help=help, description=help)
        parser.set_defaults(command=command)
        return parser

    add = verb("add", _add, "make an account; asks for its password twice")
    add.add_argument("name", metavar="NAME", help="what its user types in to sign in")
    add.add_argument("--role", required=True, choices=ROLES, help="what it may do; the first account is an admin's")
    verb("list", _list, "list the accounts").add_argument("--json", action="store_true", help="print a JSON list")
    disable = verb("disable", _disable, "close an account, and sign it out everywhere")
    enable = verb("enable", _enable, "open a closed account again")
    reset = verb("reset", _reset, "give an account a new password, and sign it out everywhere")
    role = verb("role", _role, "change what an account may do")
    for parser in (disable, enable, reset, role):
        parser.add_argument("name", metavar="NAME", help="a name from `users list`")
    role.add_argument("role", metavar="ROLE", choices=ROLES, help=f"one of {', '.join(ROLES)}")
    for parser in (add, reset):
        parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")


def _add(args: Arguments, settings: Settings) -> None:
    from medchat.accounts import TERMINAL

    _make_store(settings)
    with _accounts(settings) as accounts:
        record = accounts.add(TERMINAL, args.name, args.role, _password(args))
        print(f"Added {record.name} as {record.role}.")


def _list(args: Arguments, settings: Settings) -> None:
    with _accounts(settings) as accounts:
        rows = [_described(record) for record in accounts.users()]
    if args.json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for row in rows:
        print(row["name"], row["role"], "disabled" if row["disabled"] else "", row["sign_in"], sep="\t")


def _described(record: "UserRecord") -> dict[str, object]:
    return {
        "name": record.name,
        "role": record.role,
        "disabled": record.disabled,
        "sign_in": "Hugging Face" if record.hub_name else "password",
        "created_at": record.created_at.isoformat(timespec="seconds"),
    }


def _disable(args: Arguments, settings: Settings) -> None:
    _set_disabled(args.name, True, settings)


def _enable(args: Arguments, settings: Settings) -> None:
    _set_disabled(args.name, False, settings)


def _set_disabled(name: str, disabled: bool, settings: Settings) -> None:
    from medchat.accounts import TERMINAL

    with _accounts(settings) as accounts:
        record = accounts.set_disabled(TERMINAL, _named(accounts, name).id, disabled)
        print(f"{record.name} can no longer sign in." if disabled else f"{record.name} can sign in again.")


def _reset(args: Arguments, settings: Settings) -> None:
    from medchat.accounts import TERMINAL

    with _accounts(settings) as accounts:
        record = accounts.reset(TERMINAL, _named(accounts, args.name).id, _password(args))
        print(f"{record.name} has a new password, and is signed out everywhere.")


def _role(args: Arguments, settings: Settings) -> None:
    from medchat.accounts import TERMINAL

    with _accounts(settings) as accounts:
        record = accounts.change_role(TERMINAL, _named(accounts, args.name).id, args.role)
        print(f"{record.name} is {record.role} now.")


def _make_store(settings: Settings) -> None:
    """The first account may be made before the app has run."""
    from medchat.store.connection import sqlite_file
    from medchat.store.lock import hold_data_dir
    from medchat.store.migrate import upgrade

    file = sqlite_file(settings.db_url)
    if file is not None and not file.exists():
        with hold_data_dir(settings.data_dir):
            upgrade(settings.db_url, settings.data_dir / "backups")


@contextmanager
def _accounts(settings: Settings) -> "Iterator[Accounts]":
    from medchat.accounts import Accounts
    from medchat.store import Store
    from medchat.store.migrate import check

    check(settings.db_url)
    with closing(Store(settings.db_url)) as store:
        yield Accounts(store, settings)


def _named(accounts: "Accounts", name: str) -> "UserRecord":
    record = accounts.named(name)
    if record is None:
        raise NotFound(f"There is no user {name!r}; see: python -m medchat users list")
    return record


def _password(args: Arguments) -> str:
    """The new password. Raises InvalidInput when it was typed in two ways, or there is nobody to ask."""
    if args.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise InvalidInput("There is no terminal to ask for the password on; give it with --password-stdin.")
    first = getpass("New password: ")
    if getpass("The same again: ") != first:
        raise InvalidInput("The two were not the same. Nothing was changed; try again.")
    return first

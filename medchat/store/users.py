"""Accounts and their sign-ins."""

from datetime import datetime

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from medchat.errors import InvalidInput, NotFound
from medchat.store.database import Database, rows_changed
from medchat.store.records import SignIn, UserRecord
from medchat.store.search_texts import folded
from medchat.store.tables import SignInRow, UserRow, now

ADMIN = "admin"  # the role without which nobody could manage accounts
NAME_CHARS = 100


class Users(Database):
    """The verbs of users and of sign-ins."""

    def add_user(self, name: str, role: str, password_hash: str | None, hub_name: str | None = None) -> UserRecord:
        """The new account; spaces around and within its name are made single.

        Raises InvalidInput for an empty name, for one over 100 characters, and when the name, in whatever
        capitals, or the name on the Hub belongs to another account.
        """
        name = " ".join(name.split())
        if not name or len(name) > NAME_CHARS:
            raise InvalidInput(f"A user needs a name of 1 to {NAME_CHARS} characters.")
        hub_name = None if hub_name is None else _key(hub_name)

        def work(session: Session) -> UserRecord:
            if _named(session, name) is not None:
                raise InvalidInput("There is a user of this name already; choose another name.")
            if hub_name is not None and _of_hub(session, hub_name) is not None:
                raise InvalidInput("There is a user with this name on the Hugging Face Hub already.")
            row = UserRow(name=name, name_key=_key(name), role=role, password_hash=password_hash, hub_name=hub_name)
            session.add(row)
            session.flush()
            return _user(row)

        return self._write(work)

    def user(self, user_id: str) -> UserRecord | None:
        """The account under the id; None for none."""
        return self._read(lambda session: _user_or_none(session.get(UserRow, user_id)))

    def user_named(self, name: str) -> UserRecord | None:
        """The account of this name, in whatever capitals; None for none."""
        return self._read(lambda session: _user_or_none(_named(session, name)))

    def user_of_hub(self, hub_name: str) -> UserRecord | None:
        """The account of this name on the Hugging Face Hub, in whatever capitals; None for none."""
        return self._read(lambda session: _user_or_none(_of_hub(session, hub_name)))

    def users(self) -> list[UserRecord]:
        """All accounts by name, disabled ones too."""
        query = select(UserRow).order_by(UserRow.name_key)
        return self._read(lambda session: [_user(row) for row in session.scalars(query)])

    def has_users(self) -> bool:
        """Whether any account was ever made."""
        return self._read(lambda session: session.scalar(select(UserRow.id).limit(1)) is not None)

    def password_hash_of(self, user_id: str) -> str | None:
        """The hash of the account's password; None when there is no such account, or it has none."""
        return self._read(lambda session: session.scalar(select(UserRow.password_hash).where(UserRow.id == user_id)))

    def change_user(
        self,
        user_id: str,
        *,
        role: str | None = None,
        password_hash: str | None = None,
        disabled: bool | None = None,
    ) -> UserRecord:
        """The account with what was given changed; a new password, or being disabled, ends its sign-ins.

        Raises NotFound for no such account, InvalidInput when no enabled admin would be left.
        """

        def work(session: Session) -> UserRecord:
            row = session.get(UserRow, user_id, with_for_update=True)
            if row is None:
                raise NotFound("There is no such user.")
            was_admin = row.role == ADMIN and not row.disabled
            row.role = row.role if role is None else role
            row.password_hash = row.password_hash if password_hash is None else password_hash
            row.disabled = row.disabled if disabled is None else disabled
            if was_admin and (row.role != ADMIN or row.disabled) and not _other_admins(session, user_id):
                raise InvalidInput("This is the last admin; make another user an admin first.")
            if row.disabled or password_hash is not None:
                _end(session, SignInRow.user_id == user_id)
            session.flush()
            return _user(row)

        return self._write(work)

    def begin_sign_in(self, user_id: str, token_hash: str, expires_at: datetime, address: str) -> SignIn:
        """The new session of a user, under the hash of its token. Raises NotFound for no such, or a disabled, user."""

        def work(session: Session) -> SignIn:
            user = session.get(UserRow, user_id)
            if user is None or user.disabled:
                raise NotFound("There is no such user.")
            row = SignInRow(user_id=user_id, token_hash=token_hash, expires_at=expires_at, address=address)
            session.add(row)
            session.flush()
            return _sign_in(row)

        return self._write(work)

    def sign_in(self, token_hash: str) -> tuple[UserRecord, SignIn] | None:
        """Whose session it is, and the session; None when it expired, was ended or the user is disabled."""
        query = (
            select(UserRow, SignInRow)
            .join(SignInRow, SignInRow.user_id == UserRow.id)
            .where(SignInRow.token_hash == token_hash, SignInRow.ended_at.is_(None), UserRow.disabled.is_(False))
        )

        def work(session: Session) -> tuple[UserRecord, SignIn] | None:
            found = session.execute(query.where(SignInRow.expires_at > now())).one_or_none()
            return None if found is None else (_user(found[0]), _sign_in(found[1]))

        return self._read(work)

    def end_sign_in(self, token_hash: str) -> bool:
        """Whether a session under this hash was ended; False when it had ended before or never was."""
        return self._write(lambda session: _end(session, SignInRow.token_hash == token_hash)) == 1

    def end_sign_ins_of(self, user_id: str) -> int:
        """How many sessions of the user were ended."""
        return self._write(lambda session: _end(session, SignInRow.user_id == user_id))


def _key(name: str) -> str:
    return folded(" ".join(name.split()))


def _named(session: Session, name: str) -> UserRow | None:
    return session.scalar(select(UserRow).where(UserRow.name_key == _key(name)))


def _of_hub(session: Session, hub_name: str) -> UserRow | None:
    return session.scalar(select(UserRow).where(UserRow.hub_name == _key(hub_name)))


def _other_admins(session: Session, user_id: str) -> int:
    admins = (UserRow.role == ADMIN, UserRow.disabled.is_(False), UserRow.id != user_id)
    return session.scalar(select(func.count()).select_from(UserRow).where(*admins)) or 0


def _end(session: Session, which: ColumnElement[bool]) -> int:
    return rows_changed(session, update(SignInRow).where(which, SignInRow.ended_at.is_(None)).values(ended_at=now()))


def _user_or_none(row: UserRow | None) -> UserRecord | None:
    return None if row is None else _user(row)


def _user(row: UserRow) -> UserRecord:
    return UserRecord(
        id=row.id,
        name=row.name,
        role=row.role,
        has_password=row.password_hash is not None,
        hub_name=row.hub_name,
        disabled=row.disabled,
        created_at=row.created_at,
    )


def _sign_in(row: SignInRow) -> SignIn:
    return SignIn(row.id, row.user_id, row.address, row.created_at, row.expires_at)

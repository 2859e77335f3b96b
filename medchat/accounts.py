"""Who may come in, and what each may do there: users, roles, passwords and sign-ins."""

import hashlib
import re
import secrets
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from ipaddress import ip_address
from threading import Lock
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from medchat.errors import InvalidInput, NotFound, SettingsError, SignInRefused, SignInThrottled
from medchat.settings import LOOPBACK, ROLES, Proxies, Settings, secret
from medchat.store import Store
from medchat.store.records import UserRecord

SESSION_AGE = timedelta(days=7)
WINDOW = timedelta(minutes=15)
MOST_FAILURES = {"target": 5, "address": 20}  # within the window: of one account, and from one address
QUEUE_S = 10.0
PASSWORD_CHARS = (10, 200)
COOKIE = "medchat_session"
NAME = re.compile(r"\w[\w .@'-]{0,63}")
TOKEN = re.compile(r"[\w-]{43}", re.ASCII)
TERMINAL = "terminal"  # the actor of what is done on the command line

SIGNED_IN, SIGNED_OUT = "signed in", "signed out"
FAILED, THROTTLED, REFUSED = "sign-in failed", "sign-in throttled", "sign-in refused"
ADDED, DISABLED, ENABLED = "user added", "user disabled", "user enabled"
RESET, ROLE_CHANGED = "password reset", "role changed"
CALL_REFUSED = "call refused"
MODEL_ADDED, MODEL_REMOVED, MODEL_FETCHED = "model added", "model removed", "model download"
DELETED, EXPORTED = "deleted", "exported"
STORE_BACKUP, STORE_EXPORT = "backup of the store", "export of the store"
JOB_STARTED, JOB_STOPPED, JOB_RESUMED, JOB_DELETED = "job started", "job stopped", "job resumed", "job deleted"
STUDY_ADDED, STUDY_CHANGED, STUDY_DELETED = "study added", "study changed", "study deleted"
STUDY_OPENED, STUDY_CLOSED, STUDY_RATERS = "study opened", "study closed", "study raters changed"
STUDY_TRAINS, STUDY_SHOWS = "study may train", "study shows results"
STUDY_LOOKED = "results of an open study looked at"
REVIEW_APPLIED, REVIEW_FROZEN, REVIEWERS_SET = (
    "review applied",
    "reviewed validation written",
    "reviewers a row changed",
)
ACTIONS = (
    SIGNED_IN, SIGNED_OUT, FAILED, THROTTLED, REFUSED, ADDED, DISABLED, ENABLED, RESET, ROLE_CHANGED, CALL_REFUSED,
    MODEL_ADDED, MODEL_REMOVED, MODEL_FETCHED, DELETED, EXPORTED, STORE_BACKUP, STORE_EXPORT,
    JOB_STARTED, JOB_STOPPED, JOB_RESUMED, JOB_DELETED, STUDY_ADDED, STUDY_CHANGED, STUDY_DELETED, STUDY_OPENED,
    STUDY_CLOSED, STUDY_RATERS, STUDY_TRAINS, STUDY_SHOWS, STUDY_LOOKED, REVIEW_APPLIED, REVIEW_FROZEN,
    REVIEWERS_SET,
)  # fmt: skip

SIGNED_OUT_WORDS = "You are signed out. Reload the page and sign in; what you have saved is kept."
MISFIT = "That name and password do not fit together. Try again."
ON_THE_LIST = "{} signs in with Hugging Face: name and role stand in MEDCHAT_ALLOWED_USERS."


def _rights() -> dict[str, frozenset[str]]:
    """Each role has the rights of those before it, and its own."""
    own = {
        "rater": ("chat", "compare", "rate"),
        "adjudicator": ("adjudicate",),
        "engineer": ("models", "data", "train", "evaluate", "results"),
        "investigator": ("studies",),
        "admin": ("accounts", "settings"),
    }
    return {role: frozenset(right for lower in ROLES[: n + 1] for right in own[lower]) for n, role in enumerate(ROLES)}


RIGHTS: Mapping[str, frozenset[str]] = _rights()


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may use the app. id: the owner of what they make."""

    id: str
    name: str
    role: str
    rights: frozenset[str]


LOCAL = User("local", "local", "admin", RIGHTS["admin"])


def is_shared(settings: Settings) -> bool:
    """Whether others than the machine's own user can reach the app, directly or through a proxy."""
    return settings.host not in LOOPBACK or bool(settings.allowed_hosts or settings.space_id)


def check_start(settings: Settings, store: Store, options: Sequence[str] = ()) -> None:
    """Returns when the app may be served at its address.

    Raises SettingsError where others could reach it and nobody could sign in. options: what the command
    that makes an admin has to say of this store.
    """
    if not is_shared(settings) or store.has_users():
        return
    if not settings.space_id:
        command = " ".join(["python -m medchat users add NAME --role admin", *options])
        raise SettingsError(f"Others could reach this MedChat, and it has no accounts. Make an admin first: {command}")
    if not settings.allowed_users:
        raise SettingsError(
            "Nobody could sign in to this Space. Give those who may as name:role, name2:role in its variable "
            "MEDCHAT_ALLOWED_USERS."
        )
    if not secret("OAUTH_CLIENT_ID"):
        raise SettingsError("Nobody could sign in to this Space. Set hf_oauth: true at the top of its README.")


def address_of(peer: str, forwarded: Sequence[str], trusted: Proxies) -> str:
    """The address that a request came from, as far as it can be believed.

    peer: who is connected. forwarded: the X-Forwarded-For headers, which anybody can write: of them only what
    the trusted proxies added counts.
    """
    hops = [*(hop.strip() for line in forwarded for hop in line.split(",")), peer]
    if isinstance(trusted, int):
        found = hops[-1 - trusted] if trusted < len(hops) else peer
    else:
        while len(hops) > 1 and _is_in(hops[-1], trusted):
            hops.pop()
        found = hops[-1]
    return found if _is_address(found) else peer


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_in(address: str, networks: Proxies) -> bool:
    return not isinstance(networks, int) and _is_address(address) and any(ip_address(address) in n for n in networks)


class Accounts:
    """The users of one store. What the command line or another page changes holds from the next request on."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._trusted = settings.trusted_proxy
        self._shared = is_shared(settings)
        self._on_the_list = {name.casefold(): role for name, role in settings.allowed_users if settings.space_id}
        self._has_users = False
        self._hasher = PasswordHasher()
        self._verifying = Lock()
        self._name_key = secrets.token_bytes(16)

    @property
    def local_only(self) -> bool:
        """Whether everybody who gets here is the one local user: on loopback, before an account exists."""
        if not self._shared and not self._has_users:
            self._has_users = self._store.has_users()
        return not self._shared and not self._has_users

    @property
    def with_hub(self) -> bool:
        """Whether people sign in with Hugging Face here."""
        return bool(self._on_the_list and secret("OAUTH_CLIENT_ID"))

    @property
    def with_passwords(self) -> bool:
        """Whether anybody signs in by a password here."""
        return not self.with_hub or any(record.has_password for record in self._store.users())

    def user_of(self, cookies: Mapping[str, str]) -> User | None:
        """Who sends these cookies; None for nobody who is signed in."""
        return LOCAL if self.local_only else self.user_of_token(cookies.get(COOKIE, ""))

    def address(self, peer: str, forwarded: Sequence[str]) -> str:
        """Where a request came from: address_of, with the proxies that the settings trust."""
        return address_of(peer, forwarded, self._trusted)

    def sign_in(self, name: str, password: str, address: str) -> str:
        """The token of a new session.

        Raises SignInRefused when the two do not fit together, SignInThrottled after too many failures. Neither
        the words nor the time tell whether there is such a user.
        """
        record = self.named(name)
        # A password is easily typed into the field for the name: of an unknown one only a mark is kept.
        target = record.id if record else "unknown " + self._mark(_folded(name).casefold())
        actor = record.id if record else ""
        with self._one_at_a_time():
            self._check_failures(actor, target, address)
            fits = self._fits(record, password)
            if record is None or not fits or record.disabled:
                why = "no such user" if record is None else "disabled" if record.disabled else "wrong password"
                self._store.add_audit(actor, FAILED, target, {"why": why}, address)
                raise SignInRefused(MISFIT)
        return self._begin(record, address)

    def sign_in_with_hub(self, hub_name: str, address: str) -> str:
        """The token of a new session for a name that Hugging Face vouches for.

        Raises SignInRefused when it is not on the list, or disabled.
        """
        key = hub_name.casefold()
        role = self._on_the_list.get(key)
        record = self._store.user_of_hub(key) if role else None
        if role is None or (record and record.disabled):
            self._store.add_audit(record.id if record else "", REFUSED, hub_name, {}, address)
            raise SignInRefused(f"{hub_name} may not use this MedChat. Ask those who run it to let you in.")
        if record is None:
            name = f"{hub_name} on Hugging Face" if self.named(hub_name) else hub_name
            record = self._added("", name, role, None, key, address)
        elif record.role != role:
            with suppress(InvalidInput):  # the list decides in any case; the store keeps its last admin
                self._store.change_user(record.id, role=role)
        return self._begin(record, address)

    def user_of_token(self, token: str) -> User | None:
        """Whose session the token is; None when it is none's, has ended, or its user may not come in any more."""
        if not TOKEN.fullmatch(token):
            return None
        found = self._store.sign_in(_hashed(token))
        return self._as_user(found[0]) if found else None

    def sign_out(self, token: str, address: str) -> None:
        """End the session; does nothing for one that has ended."""
        if user := self.user_of_token(token):
            self._store.end_sign_in(_hashed(token))
            self._store.add_audit(user.id, SIGNED_OUT, user.id, {}, address)

    def users(self) -> list[UserRecord]:
        """All accounts."""
        return self._store.users()

    def named(self, name: str) -> UserRecord | None:
        """The account of this name, in whatever capitals; None for none."""
        return self._store.user_named(_folded(name))

    def add(self, actor: str, name: str, role: str, password: str, address: str = "") -> UserRecord:
        """A new account. Raises InvalidInput when the name is taken, or any of these cannot be used.

        The first one must be an admin's: from then on everybody signs in.
        """
        _check_role(role)
        if role != "admin" and not self._store.has_users():
            raise InvalidInput("The first account must be an admin: once there is one, everybody signs in.")
        name = _checked_name(name)
        return self._added(actor, name, role, self._hashed_password(password), None, address)

    def reset(self, actor: str, user_id: str, password: str, address: str = "") -> UserRecord:
        """The account with a new password; it is signed out everywhere and may sign in again at once."""
        record = self._record(user_id)
        if record.hub_name:
            raise InvalidInput(ON_THE_LIST.format(record.name))
        changed = self._store.change_user(user_id, password_hash=self._hashed_password(password))
        self._store.add_audit(actor, RESET, user_id, {"name": record.name}, address)
        return changed

    def set_disabled(self, actor: str, user_id: str, disabled: bool, address: str = "") -> UserRecord:
        """The account, from now on closed and signed out everywhere, or open again.

        Raises InvalidInput for the last admin.
        """
        changed = self._store.change_user(user_id, disabled=disabled)
        self._store.add_audit(actor, DISABLED if disabled else ENABLED, user_id, {"name": changed.name}, address)
        return changed

    def change_role(self, actor: str, user_id: str, role: str, address: str = "") -> UserRecord:
        """The account in another role, which holds at once. Raises InvalidInput for the last admin."""
        _check_role(role)
        record = self._record(user_id)
        if record.hub_name:
            raise InvalidInput(ON_THE_LIST.format(record.name))
        changed = self._store.change_user(user_id, role=role)
        details = {"name": record.name, "from": record.role, "to": role}
        self._store.add_audit(actor, ROLE_CHANGED, user_id, details, address)
        return changed

    def note(self, actor: str, action: str, target: str, details: dict[str, Any], address: str) -> None:
        """Add to the audit what a user did."""
        self._store.add_audit(actor, action, target, details, address)

    def _record(self, user_id: str) -> UserRecord:
        record = self._store.user(user_id)
        if record is None:
            raise NotFound("There is no such user.")
        return record

    def _as_user(self, record: UserRecord) -> User | None:
        """The user, in the role that holds now; None for a name that has left the list."""
        role = self._on_the_list.get(record.hub_name) if record.hub_name else record.role
        return User(record.id, record.name, role, RIGHTS[role]) if role else None

    def _added(
        self, actor: str, name: str, role: str, password_hash: str | None, hub_name: str | None, address: str
    ) -> UserRecord:
        record = self._store.add_user(name, role, password_hash, hub_name)
        self._store.add_audit(actor or record.id, ADDED, record.id, {"name": record.name, "role": role}, address)
        return record

    def _begin(self, record: UserRecord, address: str) -> str:
        token = secrets.token_urlsafe(32)
        self._store.begin_sign_in(record.id, _hashed(token), datetime.now(UTC) + SESSION_AGE, address)
        self._store.add_audit(record.id, SIGNED_IN, record.id, {}, address)
        return token

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Attempts at once would all be begun before the first failure counts, and each takes 64 MiB."""
        if not self._verifying.acquire(timeout=QUEUE_S):
            raise SignInThrottled("Too many people are signing in at this moment. Try again in a minute.")
        try:
            yield
        finally:
            self._verifying.release()

    def _check_failures(self, actor: str, target: str, address: str) -> None:
        """Raises SignInThrottled when there were too many. Only the first refusal in a while is noted."""
        since = datetime.now(UTC) - WINDOW
        resets = [row.created_at for row in self._store.audit(action=RESET, since=since) if row.target == target]
        counted_since = {"target": max(resets, default=since), "address": since}
        for kind, value in (("target", target), ("address", address)):
            failures = self._store.count_audit(FAILED, **{kind: value}, since=counted_since[kind])
            if failures < MOST_FAILURES[kind]:
                continue
            if not self._store.count_audit(THROTTLED, **{kind: value}, since=since):
                self._store.add_audit(actor, THROTTLED, target, {"by": kind}, address)
            raise SignInThrottled("Too many attempts did not fit. Wait a quarter of an hour and try again.")

    def _fits(self, record: UserRecord | None, password: str) -> bool:
        decoy = self._decoy
        known = self._store.password_hash_of(record.id) if record else None
        try:
            self._hasher.verify(known or decoy, _normal(password[: PASSWORD_CHARS[1] + 1]))
        except VerificationError:
            return False
        return known is not None

    @cached_property
    def _decoy(self) -> str:
        """What is compared where there is no such user or password, so that it takes as long."""
        return self._hasher.hash(secrets.token_urlsafe(32))

    def _hashed_password(self, password: str) -> str:
        low, high = PASSWORD_CHARS
        text = _normal(password)
        if not low <= len(text) <= high:
            raise InvalidInput(f"The password must have {low} characters or more, and {high} at most.")
        return self._hasher.hash(text)

    def _mark(self, text: str) -> str:
        return hashlib.blake2b(text.encode("utf-8", "replace"), key=self._name_key, digest_size=6).hexdigest()


def _hashed(token: str) -> str:
    """What the store keeps of a token: who reads it cannot take its user's place."""
    return hashlib.sha256(token.encode()).hexdigest()


def _normal(password: str) -> str:
    """The password as every keyboard writes it: an accent is one character or two."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "replace").decode()


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).split())


def _checked_name(name: str) -> str:
    name = _folded(name)
    if not NAME.fullmatch(name):
        raise InvalidInput("A name has up to 64 letters, digits, spaces or . @ ' - and begins with a letter or digit.")
    return name


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise InvalidInput(f"There is no role {role!r}; the roles are {', '.join(ROLES)}.")

"""What can go wrong, in words a clinician may read.

MedChatError
├── InvalidInput        what was typed or given cannot be used
│   ├── ContextTooLong  the question does not fit into the model's context
│   └── RatedSince      the rater has rated the answer in another window meanwhile
├── ModelUnavailable    the model cannot be loaded or stopped answering
│   ├── NotEnoughMemory loading it would exhaust the machine
│   ├── EngineUnusable  the library that runs it is missing or cannot run on this processor
│   ├── AccessDenied    a server or the Hub refused the key, or wants its terms accepted first
│   ├── RateLimited     a server takes no more requests for now
│   └── Withheld        a server's filter keeps the answer back
├── DownloadFailed      a model could not be fetched from the Hub
├── KnowledgeError      a file of assets/knowledge breaks the schema (file and line)
├── StoreError          the database cannot be opened or written
│   └── StoreTooNew     it was written by a newer MedChat
├── RunError            the folder of a run cannot be read or written
├── SettingsError       a flag or an environment variable is wrong
├── SignedOut           nobody is signed in, or no longer
├── SignInRefused       name and password do not fit, or the user may not come in
│   └── SignInThrottled too many attempts; wait
├── NotAllowed          the user's role does not have the right
└── NotFound            no such conversation, model or file

The message of each says what happened and what to try; it holds no prompt text, key or path of
the data folder's content, so that it can be shown and logged as it is.
"""

from collections.abc import Collection

NAMES_SHOWN = 8
NAME_CHARS = 80


class MedChatError(Exception):
    """Base of every error whose message is safe to show."""


class InvalidInput(MedChatError):
    """What was typed or given cannot be used."""


class ContextTooLong(InvalidInput):
    """The question does not fit into the model's context."""


class RatedSince(InvalidInput):
    """The rater has rated the answer since the form was opened. rating_id: that rating."""

    def __init__(self, rating_id: str) -> None:
        super().__init__("You saved this answer in another window since. Save again to replace that.")
        self.rating_id = rating_id


class ModelUnavailable(MedChatError):
    """The model cannot be loaded, or stopped in mid-answer."""


class NotEnoughMemory(ModelUnavailable):
    """Loading the model would exhaust the machine's memory."""


class EngineUnusable(ModelUnavailable):
    """The library that runs the model is missing, or cannot run on this machine."""


class AccessDenied(ModelUnavailable):
    """A server or the Hub refused the key, or wants its terms accepted first."""


class RateLimited(ModelUnavailable):
    """A server takes no more requests for now.

    retry_after_s: seconds to wait, None when it did not say. daily: the quota is that of the day.
    """

    def __init__(self, message: str, retry_after_s: float | None = None, daily: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.daily = daily


class Withheld(ModelUnavailable):
    """A server's filter keeps the answer back: asking again in the same words is of no use."""


class DownloadFailed(MedChatError):
    """A model could not be fetched: no network, no room, no permission, no such file, or stopped."""


class KnowledgeError(MedChatError):
    """A file of assets/knowledge breaks the schema."""


class StoreError(MedChatError):
    """The database cannot be opened or written."""


class StoreTooNew(StoreError):
    """The database was written by a newer MedChat."""


class RunError(MedChatError):
    """The folder of a run cannot be read or written."""


class SettingsError(MedChatError):
    """A flag or an environment variable is wrong."""


class SignedOut(MedChatError):
    """Nobody is signed in, or no longer."""


class SignInRefused(MedChatError):
    """Name and password do not fit together, or the user may not come in."""


class SignInThrottled(SignInRefused):
    """Too many attempts for this name or from this address."""


class NotAllowed(MedChatError):
    """The user's role does not have the right."""


class NotFound(MedChatError):
    """No such conversation, model or file."""


def one_of(names: Collection[str]) -> str:
    """The names as a list in a message, only the first of many."""
    shown = [name[:NAME_CHARS] for name in list(names)[:NAMES_SHOWN]]
    more = [f"{len(names) - NAMES_SHOWN} more"] if len(names) > NAMES_SHOWN else []
    *first, last = [*shown, *more]
    return f"{', '.join(first)} or {last}" if first else last

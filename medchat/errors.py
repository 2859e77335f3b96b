"""What can go wrong, in words a clinician may read.

MedChatError
├── InvalidInput        what was typed or given cannot be used
│   └── ContextTooLong  the question does not fit into the model's context
├── ModelUnavailable    the model cannot be loaded or stopped answering
│   └── NotEnoughMemory loading it would exhaust the machine
├── KnowledgeError      a file of assets/knowledge breaks the schema (file and line)
├── StoreError          the database cannot be opened or written
│   └── StoreTooNew     it was written by a newer MedChat
├── SettingsError       a flag or an environment variable is wrong
└── NotFound            no such conversation, model or file

The message of each says what happened and what to try; it holds no prompt text, key or path of
the data folder's content, so that it can be shown and logged as it is.
"""


class MedChatError(Exception):
    """Base of every error whose message is safe to show."""


class InvalidInput(MedChatError):
    """What was typed or given cannot be used."""


class ContextTooLong(InvalidInput):
    """The question does not fit into the model's context."""


class ModelUnavailable(MedChatError):
    """The model cannot be loaded, or stopped in mid-answer."""


class NotEnoughMemory(ModelUnavailable):
    """Loading the model would exhaust the machine's memory."""


class KnowledgeError(MedChatError):
    """A file of assets/knowledge breaks the schema."""


class StoreError(MedChatError):
    """The database cannot be opened or written."""


class StoreTooNew(StoreError):
    """The database was written by a newer MedChat."""


class SettingsError(MedChatError):
    """A flag or an environment variable is wrong."""


class NotFound(MedChatError):
    """No such conversation, model or file."""

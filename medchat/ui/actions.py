"""What the page's scripts send: a verb with its fields, as JSON. Whatever is no such thing is one clear line."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from medchat.accounts import User
from medchat.errors import InvalidInput

MAX_CHARS = 7_000_000  # a file of 5 MB in base64, and some room
OUT_OF_DATE = "The page sent something that MedChat does not know. Reload the page and try again."


class Asked(NamedTuple):
    """Who asks, from which page, and from where."""

    user: User
    page_key: str
    address: str


class Action:
    """A verb and its fields."""

    def __init__(self, verb: str, fields: Mapping[str, Any]) -> None:
        self.verb = verb
        self._fields = fields

    def text(self, name: str, default: str | None = None) -> str:
        """The field, a text. Raises InvalidInput when it is another thing, or missing without a default."""
        value = self._fields.get(name, default)
        if not isinstance(value, str):
            raise InvalidInput(OUT_OF_DATE)
        return value

    def number(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """The field, a whole number brought into its range.

        Raises InvalidInput when it is another thing, or missing without a default.
        """
        value = self._fields.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidInput(OUT_OF_DATE)
        return min(high, max(low, value))

    def texts(self, name: str) -> list[str]:
        """The field, a list of texts. Raises InvalidInput when it is another thing."""
        value = self._fields.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise InvalidInput(OUT_OF_DATE)
        return value

    def mapping(self, name: str, default: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The field, an object. Raises InvalidInput when it is another thing, or missing without a default."""
        value = self._fields.get(name, None if default is None else dict(default))
        if not isinstance(value, dict):
            raise InvalidInput(OUT_OF_DATE)
        return value


def read_action(sent: object) -> Action:
    """The action that was sent. Raises InvalidInput when it is none."""
    if not isinstance(sent, str) or len(sent) > MAX_CHARS:
        raise InvalidInput(OUT_OF_DATE)
    try:
        fields = json.loads(sent)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InvalidInput(OUT_OF_DATE) from error
    if not isinstance(fields, dict) or not isinstance(fields.get("do"), str):
        raise InvalidInput(OUT_OF_DATE)
    return Action(fields["do"], fields)


def sent_file(action: Action, max_bytes: int) -> tuple[str, bytes]:
    """The name and the bytes of a file that was sent along.

    Raises InvalidInput for a larger one, of which the page sends only the size.
    """
    size = action.number("size", 0, 1 << 50)
    if size > max_bytes:
        megabytes = f"{size / 1e6:,.1f}".removesuffix(".0")
        raise InvalidInput(f"The file has {megabytes} MB; at most {max_bytes / 1e6:.0f} MB are taken: split it.")
    try:
        return action.text("name"), base64.b64decode(action.text("data"), validate=True)
    except binascii.Error as error:
        raise InvalidInput(OUT_OF_DATE) from error

"""What the page's scripts send: a verb with its fields, as JSON. Whatever is no such thing is one clear line."""

import json
from collections.abc import Mapping
from typing import Any

from medchat.errors import InvalidInput

MAX_CHARS = 3_000_000  # a case file of 1 MB in base64, and some room
OUT_OF_DATE = "The page sent something that MedChat does not know. Reload the page and try again."


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

    def number(self, name: str, low: int, high: int) -> int:
        """The field, a whole number brought into its range. Raises InvalidInput when it is another thing."""
        value = self._fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidInput(OUT_OF_DATE)
        return min(high, max(low, value))

    def texts(self, name: str) -> list[str]:
        """The field, a list of texts. Raises InvalidInput when it is another thing."""
        value = self._fields.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
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

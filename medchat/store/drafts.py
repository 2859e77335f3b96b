"""Drafts: forms that are being filled in, each overwritten by the next."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from medchat.errors import InvalidInput
from medchat.store.database import Database
from medchat.store.tables import Draft, now

DRAFT_CHARS = 200_000
KEY_CHARS = 200
STUDY_DRAFT = "study:"  # before the id of an assignment


class Drafts(Database):
    """The verbs of drafts."""

    def save_draft(self, rater: str, key: str, data: Mapping[str, Any]) -> None:
        """Keep the draft in place of the one before.

        A draft whose key holds the id of an answer of a conversation goes when that answer is deleted. Raises
        InvalidInput for more than 200,000 characters of JSON.
        """
        if len(key) > KEY_CHARS or len(json.dumps(data)) > DRAFT_CHARS:
            raise InvalidInput("The draft is too long to be kept. Shorten its texts.")

        def work(session: Session) -> None:
            session.merge(Draft(rater=rater, key=key, data=dict(data), updated_at=now()))

        self._write(work)

    def draft(self, rater: str, key: str) -> dict[str, Any] | None:
        """The rater's draft under the key; None for none."""

        def work(session: Session) -> dict[str, Any] | None:
            row = session.get(Draft, (rater, key))
            return None if row is None else row.data

        return self._read(work)

    def drop_draft(self, rater: str, key: str) -> None:
        """Forget the draft, if there is one."""
        query = delete(Draft).where(Draft.rater == rater, Draft.key == key)
        self._write(lambda session: session.execute(query))

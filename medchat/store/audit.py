"""The audit: who did what, and when. Rows are only added."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from medchat.store.database import Database
from medchat.store.records import AuditRecord
from medchat.store.tables import AuditRow


class Audit(Database):
    """The verbs of the audit."""

    def add_audit(
        self, actor: str, action: str, target: str = "", details: Mapping[str, Any] | None = None, address: str = ""
    ) -> AuditRecord:
        """The new row. actor: a user's id, or the name that was tried; address: where the request came from."""

        def work(session: Session) -> AuditRecord:
            row = AuditRow(actor=actor, action=action, target=target, details=dict(details or {}), address=address)
            session.add(row)
            session.flush()
            return _record(row)

        return self._write(work)

    def audit(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        target: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int | None = 100,
        offset: int = 0,
    ) -> list[AuditRecord]:
        """The rows that fit all that is given, newest first; since is included, until is not. limit: None for all."""
        query = select(AuditRow).order_by(AuditRow.created_at.desc(), AuditRow.id).limit(limit).offset(offset)
        if actor is not None:
            query = query.where(AuditRow.actor == actor)
        if action is not None:
            query = query.where(AuditRow.action == action)
        if target is not None:
            query = query.where(AuditRow.target == target)
        if since is not None:
            query = query.where(AuditRow.created_at >= since)
        if until is not None:
            query = query.where(AuditRow.created_at < until)
        return self._read(lambda session: [_record(row) for row in session.scalars(query)])

    def count_audit(
        self,
        action: str,
        *,
        since: datetime,
        actor: str | None = None,
        target: str | None = None,
        address: str | None = None,
    ) -> int:
        """How many rows of this action there are since then that fit all that is given."""
        query = select(func.count()).select_from(AuditRow)
        query = query.where(AuditRow.action == action, AuditRow.created_at >= since)
        for column, value in ((AuditRow.actor, actor), (AuditRow.target, target), (AuditRow.address, address)):
            if value is not None:
                query = query.where(column == value)
        return self._read(lambda session: session.scalar(query) or 0)


def _record(row: AuditRow) -> AuditRecord:
    return AuditRecord(**{field.name: getattr(row, field.name) for field in fields(AuditRecord)})

"""Runs that have ended, and what they found out about models."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from medchat.store.database import Database
from medchat.store.records import EvaluationRecord, RunRecord
from medchat.store.tables import Evaluation, Run


class Runs(Database):
    """The verbs of runs and evaluations."""

    def add_run(self, run: RunRecord, evaluations: Sequence[EvaluationRecord] = ()) -> None:
        """Stores the run with its evaluations; one of the same id, with all of its own, gives way to it."""

        def work(session: Session) -> None:
            session.execute(delete(Evaluation).where(Evaluation.run_id == run.id))
            session.merge(Run(**asdict(run)))
            session.flush()
            session.add_all(Evaluation(**asdict(evaluation)) for evaluation in evaluations)

        self._write(work)

    def run_of(self, run_id: str) -> RunRecord | None:
        """The run of this id; None for none."""

        def work(session: Session) -> RunRecord | None:
            row = session.get(Run, run_id)
            return None if row is None else RunRecord(**_values(row, RunRecord))

        return self._read(work)

    def runs(self, kind: str | None = None) -> list[RunRecord]:
        """The runs, of one kind where that is given, newest first."""
        query = select(Run).order_by(Run.created_at.desc(), Run.id)
        if kind is not None:
            query = query.where(Run.kind == kind)
        return self._read(lambda session: [RunRecord(**_values(row, RunRecord)) for row in session.scalars(query)])

    def evaluations(self, model_id: str | None = None, suite: str | None = None) -> list[EvaluationRecord]:
        """The evaluations that fit what is given, newest first."""
        query = select(Evaluation).order_by(Evaluation.created_at.desc(), Evaluation.id)
        if model_id is not None:
            query = query.where(Evaluation.model_id == model_id)
        if suite is not None:
            query = query.where(Evaluation.suite == suite)
        return self._read(
            lambda session: [EvaluationRecord(**_values(row, EvaluationRecord)) for row in session.scalars(query)]
        )


def _values(row: Run | Evaluation, record: type[RunRecord] | type[EvaluationRecord]) -> dict[str, Any]:
    return {field.name: getattr(row, field.name) for field in fields(record)}

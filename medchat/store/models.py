"""Models that answered."""

from dataclasses import asdict, fields

from sqlalchemy import select
from sqlalchemy.orm import Session

from medchat.errors import NotFound
from medchat.store.database import Database
from medchat.store.records import ModelRecord
from medchat.store.tables import Model


class Models(Database):
    """The verbs of models."""

    def add_model(self, model: ModelRecord) -> ModelRecord:
        """The model as it is stored; one with the same id gets the new description.

        How it was trained stays known where the new description does not say it.
        """
        values = asdict(model)
        del values["created_at"]

        def work(session: Session) -> ModelRecord:
            known = session.get(Model, model.id)
            origin = {name: values[name] or (getattr(known, name) if known else "") for name in ("recipe", "run_id")}
            row = session.merge(Model(**values | origin))
            session.flush()
            return ModelRecord(**values | origin, created_at=row.created_at)

        return self._write(work)

    def model(self, model_id: str) -> ModelRecord | None:
        """The model of this id, whatever became of it since; None when it was never added."""

        def work(session: Session) -> ModelRecord | None:
            row = session.get(Model, model_id)
            if row is None:
                return None
            return ModelRecord(**{field.name: getattr(row, field.name) for field in fields(ModelRecord)})

        return self._read(work)

    def model_names(self) -> dict[str, str]:
        """The name of each model that was ever added, by its id."""
        query = select(Model.id, Model.name)
        return self._read(lambda session: {row.id: row.name for row in session.execute(query)})


def require_model(session: Session, model_id: str) -> Model:
    """The model's row. Raises NotFound when it was never added."""
    row = session.get(Model, model_id)
    if row is None:
        raise NotFound("There is no such model. Choose another one.")
    return row

"""Studies: items, raters, assignments, calibrations, adjudications; a rating or vote may belong to an assignment."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

APPEND_ONLY = ("calibrations", "adjudications")


def upgrade() -> None:
    _create_studies()
    _create_assignments()
    _create_calibrations()
    _create_adjudications()
    _tie_judgements()
    if op.get_bind().dialect.name == "sqlite":  # each kind of database writes its triggers in its own way
        _forbid_changes()


def _text(name: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _time(name: str, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _create_studies() -> None:
    op.create_table(
        "studies",
        *map(_text, ("id", "name", "owner", "status")),
        sa.Column("design", sa.JSON(), nullable=False),
        sa.Column("rubrics", sa.JSON(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        _text("run_id"),
        sa.Column("may_train", sa.Boolean(), nullable=False),
        sa.Column("show_results", sa.Boolean(), nullable=False),
        _time("created_at"),
        _time("opened_at", nullable=True),
        _time("closed_at", nullable=True),
        _text("save_key"),
        sa.PrimaryKeyConstraint("id", name="pk_studies"),
        sa.UniqueConstraint("save_key", name="uq_studies_save_key"),
    )
    op.create_index("ix_studies_created_at", "studies", ["created_at"])
    op.create_table(
        "study_items",
        _text("id"),
        _text("study_id"),
        sa.Column("number", sa.Integer(), nullable=False),
        *map(_text, ("kind", "question_id", "context", "question", "answer_id")),
        _text("other_answer_id", nullable=True),
        _text("specialty"),
        sa.Column("known", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_study_items"),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_study_items_study_id"),
        sa.ForeignKeyConstraint(["answer_id"], ["answers.id"], name="fk_study_items_answer_id"),
        sa.ForeignKeyConstraint(["other_answer_id"], ["answers.id"], name="fk_study_items_other_answer_id"),
        sa.UniqueConstraint("study_id", "number", name="uq_study_items_study_id_number"),
    )
    op.create_index("ix_study_items_answer_id", "study_items", ["answer_id"])
    op.create_index("ix_study_items_other_answer_id", "study_items", ["other_answer_id"])


def _create_assignments() -> None:
    op.create_table(
        "study_raters",
        *map(_text, ("study_id", "rater", "group")),
        _time("joined_at"),
        _time("left_at", nullable=True),
        _time("consented_at", nullable=True),
        _text("consent_text"),
        sa.PrimaryKeyConstraint("study_id", "rater", name="pk_study_raters"),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_study_raters_study_id"),
    )
    op.create_index("ix_study_raters_rater", "study_raters", ["rater"])
    op.create_table(
        "assignments",
        *map(_text, ("id", "study_id", "item_id", "rater")),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("flipped", sa.Boolean(), nullable=False),
        _text("repeat_of", nullable=True),
        _text("state"),
        _time("opened_at", nullable=True),
        _time("done_at", nullable=True),
        _text("judgement_id"),
        _text("cannot_reason"),
        sa.PrimaryKeyConstraint("id", name="pk_assignments"),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_assignments_study_id"),
        sa.ForeignKeyConstraint(["item_id"], ["study_items.id"], name="fk_assignments_item_id"),
        sa.ForeignKeyConstraint(["repeat_of"], ["assignments.id"], name="fk_assignments_repeat_of"),
    )
    op.create_index("ix_assignments_study_id_rater_position", "assignments", ["study_id", "rater", "position"])
    op.create_index("ix_assignments_item_id", "assignments", ["item_id"])


def _create_calibrations() -> None:
    op.create_table(
        "calibrations",
        *map(_text, ("id", "rater")),
        _time("created_at"),
        *map(_text, ("save_key", "study_id", "item_id")),
        sa.Column("given", sa.JSON(), nullable=False),
        sa.Column("right", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_calibrations"),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_calibrations_study_id"),
        sa.ForeignKeyConstraint(["item_id"], ["study_items.id"], name="fk_calibrations_item_id"),
        sa.UniqueConstraint("save_key", name="uq_calibrations_save_key"),
    )
    op.create_index("ix_calibrations_study_id_rater", "calibrations", ["study_id", "rater"])


def _create_adjudications() -> None:
    op.create_table(
        "adjudications",
        *map(_text, ("id", "rater")),
        _time("created_at"),
        *map(_text, ("save_key", "study_id", "item_id")),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("decision", sa.JSON(), nullable=False),
        _text("comment"),
        _text("supersedes", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_adjudications"),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_adjudications_study_id"),
        sa.ForeignKeyConstraint(["item_id"], ["study_items.id"], name="fk_adjudications_item_id"),
        sa.ForeignKeyConstraint(["supersedes"], ["adjudications.id"], name="fk_adjudications_supersedes"),
        sa.UniqueConstraint("supersedes", name="uq_adjudications_supersedes"),
        sa.UniqueConstraint("save_key", name="uq_adjudications_save_key"),
    )
    op.create_index("ix_adjudications_study_id", "adjudications", ["study_id"])
    op.create_index("ix_adjudications_item_id", "adjudications", ["item_id"])


def _tie_judgements() -> None:
    for table in ("ratings", "preferences"):
        # Alembic would make the table anew for it on SQLite, which would cost the triggers that keep rows unchanged.
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN assignment_id TEXT "
            f"CONSTRAINT fk_{table}_assignment_id REFERENCES assignments (id)"
        )
        op.create_index(f"ix_{table}_assignment_id", table, ["assignment_id"])


def _forbid_changes() -> None:
    for table in APPEND_ONLY:
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are only added'); END"
            )

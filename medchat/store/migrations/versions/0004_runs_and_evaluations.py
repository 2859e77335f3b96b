"""Runs and what they found out about models; models say from which recipe and run they came."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

ORIGIN = ("recipe", "run_id")


def upgrade() -> None:
    _extend_models()
    _create_runs()
    _create_evaluations()


def _extend_models() -> None:
    with op.batch_alter_table("models") as table:
        for name in ORIGIN:
            table.add_column(sa.Column(name, sa.Text(), nullable=True))
    models = sa.table("models", *map(sa.column, ORIGIN))
    op.get_bind().execute(models.update().values(dict.fromkeys(ORIGIN, "")))
    with op.batch_alter_table("models") as table:
        for name in ORIGIN:
            table.alter_column(name, existing_type=sa.Text(), nullable=False)


def _create_runs() -> None:
    op.create_table(
        "runs",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("id", "kind", "name", "owner", "recipe", "base")),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
    op.create_index("ix_runs_kind_created_at", "runs", ["kind", "created_at"])


def _create_evaluations() -> None:
    op.create_table(
        "evaluations",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("id", "run_id", "model_id", "base", "revision")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("adapter_hash", "suite", "suite_hash")),
        sa.Column("sampling", sa.JSON(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_evaluations"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_evaluations_run_id"),
    )
    op.create_index("ix_evaluations_run_id", "evaluations", ["run_id"])
    op.create_index("ix_evaluations_model_id_suite", "evaluations", ["model_id", "suite"])

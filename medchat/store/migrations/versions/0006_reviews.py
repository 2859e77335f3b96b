"""Reviews: what people decide on rows of training data."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "reviews",
        *map(_text, ("id", "rater")),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        *map(_text, ("save_key", "set_id", "row_id", "content_sha", "decision", "reason")),
        sa.Column("fixed", sa.JSON(), nullable=True),
        _text("checked_against"),
        sa.Column("seconds", sa.Double(), nullable=False),
        _text("supersedes", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
        sa.ForeignKeyConstraint(["supersedes"], ["reviews.id"], name="fk_reviews_supersedes"),
        sa.UniqueConstraint("supersedes", name="uq_reviews_supersedes"),
        sa.UniqueConstraint("save_key", name="uq_reviews_save_key"),
    )
    op.create_index("ix_reviews_content_sha", "reviews", ["content_sha"])
    op.create_index("ix_reviews_set_id", "reviews", ["set_id"])
    if op.get_bind().dialect.name == "sqlite":  # each kind of database writes its triggers in its own way
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER reviews_no_{change.lower()} BEFORE {change} ON reviews "
                "BEGIN SELECT RAISE(ABORT, 'rows of reviews are only added'); END"
            )


def _text(name: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)

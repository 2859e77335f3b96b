"""Accounts, comparisons, ratings, queues and drafts; answers say whose they are and what the model was."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

APPEND_ONLY = ("thumbs", "comparisons", "preferences", "ratings", "axis_scores", "step_marks", "span_marks", "audit")


def upgrade() -> None:
    _extend_answers()
    _create_accounts()
    _create_comparisons()
    _create_ratings()
    _create_rating_parts()
    _create_queue_and_drafts()
    if op.get_bind().dialect.name == "sqlite":  # each kind of database writes its triggers in its own way
        _forbid_changes()


def _text(name: str, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _time(name: str, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _extend_answers() -> None:
    columns = ("owner", "base", "revision", "adapter_hash")
    with op.batch_alter_table("answers") as table:
        for name in columns:
            table.add_column(_text(name, nullable=True))
    answers = sa.table("answers", *map(sa.column, ("conversation_id", "model_id", *columns)))
    conversations = sa.table("conversations", sa.column("id"), sa.column("owner"))
    models = sa.table("models", *map(sa.column, ("id", "base", "revision", "adapter_hash")))
    asker = sa.select(conversations.c.owner).where(conversations.c.id == answers.c.conversation_id).scalar_subquery()
    # What the models are now is the best that is known of what they were.
    known = {
        name: sa.select(models.c[name]).where(models.c.id == answers.c.model_id).scalar_subquery()
        for name in columns[1:]
    }
    op.get_bind().execute(answers.update().values(owner=sa.func.coalesce(asker, "local"), **known))
    with op.batch_alter_table("answers") as table:
        for name in columns:
            table.alter_column(name, existing_type=sa.Text(), nullable=False)


def _create_accounts() -> None:
    op.create_table(
        "users",
        _text("id"),
        _text("name"),
        _text("name_key"),
        _text("role"),
        _text("password_hash", nullable=True),
        _text("hub_name", nullable=True),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        _time("created_at"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name_key", name="uq_users_name_key"),
        sa.UniqueConstraint("hub_name", name="uq_users_hub_name"),
    )
    op.create_table(
        "sign_ins",
        _text("id"),
        _text("user_id"),
        _text("token_hash"),
        _text("address"),
        _time("created_at"),
        _time("expires_at"),
        _time("ended_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_sign_ins"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sign_ins_user_id"),
        sa.UniqueConstraint("token_hash", name="uq_sign_ins_token_hash"),
    )
    op.create_index("ix_sign_ins_user_id", "sign_ins", ["user_id"])
    op.create_table(
        "audit",
        _text("id"),
        _time("created_at"),
        _text("actor"),
        _text("action"),
        _text("target"),
        sa.Column("details", sa.JSON(), nullable=False),
        _text("address"),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_created_at", "audit", ["created_at"])
    op.create_index("ix_audit_action_created_at", "audit", ["action", "created_at"])


def _create_comparisons() -> None:
    op.create_table(
        "comparisons",
        _text("id"),
        _text("rater"),
        _time("created_at"),
        _text("save_key"),
        _text("question_id"),
        _text("context"),
        _text("question"),
        _text("left_answer_id"),
        _text("right_answer_id"),
        sa.Column("blinded", sa.Boolean(), nullable=False),
        sa.Column("draw_seed", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_comparisons"),
        sa.ForeignKeyConstraint(["question_id"], ["questions.id"], name="fk_comparisons_question_id"),
        sa.ForeignKeyConstraint(["left_answer_id"], ["answers.id"], name="fk_comparisons_left_answer_id"),
        sa.ForeignKeyConstraint(["right_answer_id"], ["answers.id"], name="fk_comparisons_right_answer_id"),
        sa.UniqueConstraint("save_key", name="uq_comparisons_save_key"),
    )
    op.create_index("ix_comparisons_rater_created_at", "comparisons", ["rater", "created_at"])
    op.create_index("ix_comparisons_left_answer_id", "comparisons", ["left_answer_id"])
    op.create_index("ix_comparisons_right_answer_id", "comparisons", ["right_answer_id"])
    op.create_table(
        "preferences",
        _text("id"),
        _text("rater"),
        _time("created_at"),
        _text("save_key"),
        _text("comparison_id"),
        _text("vote"),
        sa.Column("axes", sa.JSON(), nullable=False),
        _text("rubric_id", nullable=True),
        sa.Column("rubric_version", sa.Integer(), nullable=True),
        sa.Column("shown", sa.JSON(), nullable=True),
        _text("reason"),
        sa.Column("flag_a", sa.Boolean(), nullable=False),
        sa.Column("flag_b", sa.Boolean(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("blinded", sa.Boolean(), nullable=False),
        _text("supersedes", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_preferences"),
        sa.ForeignKeyConstraint(["comparison_id"], ["comparisons.id"], name="fk_preferences_comparison_id"),
        sa.ForeignKeyConstraint(["supersedes"], ["preferences.id"], name="fk_preferences_supersedes"),
        sa.UniqueConstraint("supersedes", name="uq_preferences_supersedes"),
        sa.UniqueConstraint("save_key", name="uq_preferences_save_key"),
    )
    op.create_index("ix_preferences_comparison_id", "preferences", ["comparison_id"])


def _create_ratings() -> None:
    op.create_table(
        "ratings",
        _text("id"),
        _text("rater"),
        _time("created_at"),
        _text("save_key"),
        _text("answer_id"),
        _text("rubric_id"),
        sa.Column("rubric_version", sa.Integer(), nullable=False),
        sa.Column("shown", sa.JSON(), nullable=False),
        _text("harm_extent"),
        _text("harm_likelihood"),
        sa.Column("critical", sa.Boolean(), nullable=False),
        _text("cannot_rate"),
        sa.Column("first_wrong_step", sa.Integer(), nullable=True),
        _text("corrected_reasoning"),
        _text("corrected_solution"),
        _text("comment"),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("blinded", sa.Boolean(), nullable=False),
        _text("supersedes", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_ratings"),
        sa.ForeignKeyConstraint(["answer_id"], ["answers.id"], name="fk_ratings_answer_id"),
        sa.ForeignKeyConstraint(["supersedes"], ["ratings.id"], name="fk_ratings_supersedes"),
        sa.UniqueConstraint("supersedes", name="uq_ratings_supersedes"),
        sa.UniqueConstraint("save_key", name="uq_ratings_save_key"),
    )
    op.create_index("ix_ratings_answer_id", "ratings", ["answer_id"])
    op.create_index("ix_ratings_rater_created_at", "ratings", ["rater", "created_at"])


def _create_rating_parts() -> None:
    op.create_table(
        "axis_scores",
        _text("rating_id"),
        _text("axis"),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("rating_id", "axis", name="pk_axis_scores"),
        sa.ForeignKeyConstraint(["rating_id"], ["ratings.id"], name="fk_axis_scores_rating_id"),
    )
    op.create_table(
        "step_marks",
        _text("rating_id"),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("mark", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("rating_id", "step", name="pk_step_marks"),
        sa.ForeignKeyConstraint(["rating_id"], ["ratings.id"], name="fk_step_marks_rating_id"),
    )
    op.create_table(
        "span_marks",
        _text("rating_id"),
        sa.Column("number", sa.Integer(), nullable=False),
        _text("part"),
        sa.Column("start_char", sa.Integer(), nullable=False),
        sa.Column("end_char", sa.Integer(), nullable=False),
        _text("quote"),
        _text("kind"),
        _text("comment"),
        sa.PrimaryKeyConstraint("rating_id", "number", name="pk_span_marks"),
        sa.ForeignKeyConstraint(["rating_id"], ["ratings.id"], name="fk_span_marks_rating_id"),
    )


def _create_queue_and_drafts() -> None:
    op.create_table(
        "queue_items",
        _text("id"),
        _text("rater"),
        _text("answer_id"),
        _text("source"),
        sa.Column("position", sa.Integer(), nullable=False),
        _text("state"),
        sa.Column("criteria", sa.JSON(), nullable=True),
        _time("created_at"),
        _time("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_queue_items"),
        sa.ForeignKeyConstraint(["answer_id"], ["answers.id"], name="fk_queue_items_answer_id"),
        sa.UniqueConstraint("rater", "answer_id", name="uq_queue_items_rater_answer_id"),
    )
    op.create_index("ix_queue_items_answer_id", "queue_items", ["answer_id"])
    op.create_index("ix_queue_items_rater_position", "queue_items", ["rater", "position"])
    op.create_table(
        "drafts",
        _text("rater"),
        _text("key"),
        sa.Column("data", sa.JSON(), nullable=False),
        _time("updated_at"),
        sa.PrimaryKeyConstraint("rater", "key", name="pk_drafts"),
    )


def _forbid_changes() -> None:
    for table in APPEND_ONLY:
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, 'rows of {table} are only added'); END"
            )

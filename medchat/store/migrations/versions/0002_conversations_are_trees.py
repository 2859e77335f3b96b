"""Conversations become trees; thumbs; hidden rows; texts to search."""

import unicodedata
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _create_thumbs()
    _create_search_texts()
    with op.batch_alter_table("conversations") as table:
        table.add_column(sa.Column("hidden_at", sa.DateTime(timezone=True), nullable=True))
    with op.batch_alter_table("answers") as table:
        table.add_column(sa.Column("parent_id", sa.Text(), nullable=True))
        table.add_column(sa.Column("selected_at", sa.DateTime(timezone=True), nullable=True))
        table.add_column(sa.Column("hidden_at", sa.DateTime(timezone=True), nullable=True))
    _fill_tree()
    _fill_search_texts()
    with op.batch_alter_table("answers") as table:
        table.alter_column("selected_at", existing_type=sa.DateTime(timezone=True), nullable=False)
        table.create_foreign_key("fk_answers_parent_id", "answers", ["parent_id"], ["id"])
        table.create_index("ix_answers_parent_id", ["parent_id"])
        table.create_index(
            "ix_answers_conversation_id_hidden_at_position", ["conversation_id", "hidden_at", "position"]
        )


def _create_thumbs() -> None:
    op.create_table(
        "thumbs",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("answer_id", sa.Text(), nullable=False),
        sa.Column("thumb", sa.Text(), nullable=False),
        sa.Column("reasons", sa.JSON(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("supersedes", sa.Text(), nullable=True),
        sa.Column("save_key", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_thumbs"),
        sa.ForeignKeyConstraint(["answer_id"], ["answers.id"], name="fk_thumbs_answer_id"),
        sa.ForeignKeyConstraint(["supersedes"], ["thumbs.id"], name="fk_thumbs_supersedes"),
        sa.UniqueConstraint("supersedes", name="uq_thumbs_supersedes"),
        sa.UniqueConstraint("save_key", name="uq_thumbs_save_key"),
    )
    op.create_index("ix_thumbs_answer_id", "thumbs", ["answer_id"])


def _create_search_texts() -> None:
    op.create_table(
        "search_texts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_search_texts"),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversations.id"], name="fk_search_texts_conversation_id"),
    )
    op.create_index("ix_search_texts_conversation_id", "search_texts", ["conversation_id"])


def _fill_tree() -> None:
    """An answer hangs on the version that was the newest one above it when it was made."""
    answers = _table(
        "answers", "id", "conversation_id", "position", "version", "parent_id", "created_at", "selected_at"
    )
    bind = op.get_bind()
    bind.execute(answers.update().values(selected_at=answers.c.created_at))
    query = sa.select(answers).where(answers.c.conversation_id.is_not(None)).order_by(answers.c.version)
    turns: dict[tuple[str, int], list[sa.Row[*tuple[Any, ...]]]] = {}
    for row in bind.execute(query):
        turns.setdefault((row.conversation_id, row.position), []).append(row)
    for (conversation_id, position), versions in turns.items():
        above = turns.get((conversation_id, position - 1), [])
        for row in versions if above else []:
            before = [parent for parent in above if parent.created_at <= row.created_at]
            parent = (before or above)[-1]
            bind.execute(answers.update().where(answers.c.id == row.id).values(parent_id=parent.id))


def _fill_search_texts() -> None:
    conversations = _table("conversations", "id", "title")
    answers = _table("answers", "id", "conversation_id", "status", "question", "context", "reasoning", "solution")
    texts = _table("search_texts", "id", "conversation_id", "text")
    bind = op.get_bind()
    for row in bind.execute(sa.select(conversations)):
        bind.execute(texts.insert().values(id=row.id, conversation_id=row.id, text=_folded(row.title)))
    # One still in 'writing' gets its text when it is closed.
    ended = sa.select(answers).where(answers.c.conversation_id.is_not(None), answers.c.status != "writing")
    for row in bind.execute(ended):
        text = _folded("\n".join((row.question, row.context, row.reasoning, row.solution)))
        bind.execute(texts.insert().values(id=row.id, conversation_id=row.conversation_id, text=text))


def _table(name: str, *columns: str) -> sa.TableClause:
    return sa.table(name, *map(sa.column, columns))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())

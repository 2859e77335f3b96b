"""Databases of every age: new ones, old ones, newer ones and those of other programs."""

import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from medchat.errors import NotFound, StoreError, StoreTooNew
from medchat.store import RatingForm, Store, migrate, selected_path
from medchat.store.connection import open_engine
from medchat.store.tables import Base

# A database as version 0001 made it: never to be changed, whatever becomes of the tables.
VERSION_0001 = """
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version VALUES ('0001');
CREATE TABLE models (
    id TEXT NOT NULL, name TEXT NOT NULL, base TEXT NOT NULL, revision TEXT NOT NULL, adapter_hash TEXT NOT NULL,
    format TEXT NOT NULL, created_at DATETIME NOT NULL, CONSTRAINT pk_models PRIMARY KEY (id)
);
CREATE TABLE questions (
    id TEXT NOT NULL, context TEXT NOT NULL, question TEXT NOT NULL, created_at DATETIME NOT NULL,
    CONSTRAINT pk_questions PRIMARY KEY (id)
);
CREATE TABLE conversations (
    id TEXT NOT NULL, owner TEXT NOT NULL, title TEXT NOT NULL, model_id TEXT NOT NULL, created_at DATETIME NOT NULL,
    updated_at DATETIME NOT NULL, CONSTRAINT pk_conversations PRIMARY KEY (id),
    CONSTRAINT fk_conversations_model_id FOREIGN KEY(model_id) REFERENCES models (id)
);
CREATE INDEX ix_conversations_owner_updated_at ON conversations (owner, updated_at);
CREATE TABLE answers (
    id TEXT NOT NULL, question_id TEXT NOT NULL, context TEXT NOT NULL, question TEXT NOT NULL, conversation_id TEXT,
    position INTEGER, version INTEGER NOT NULL, model_id TEXT NOT NULL, status TEXT NOT NULL, raw TEXT NOT NULL,
    reasoning TEXT NOT NULL, solution TEXT NOT NULL, complete BOOLEAN NOT NULL, finish_reason TEXT, error TEXT NOT NULL,
    prompt JSON, sampling JSON, seed BIGINT, answer_format TEXT NOT NULL, grounding JSON, origin TEXT NOT NULL,
    route JSON, prompt_tokens INTEGER, completion_tokens INTEGER, ttft_ms DOUBLE, reasoning_ms DOUBLE, total_ms DOUBLE,
    note TEXT NOT NULL, created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL, save_key TEXT,
    CONSTRAINT pk_answers PRIMARY KEY (id),
    CONSTRAINT fk_answers_question_id FOREIGN KEY(question_id) REFERENCES questions (id),
    CONSTRAINT fk_answers_conversation_id FOREIGN KEY(conversation_id) REFERENCES conversations (id),
    CONSTRAINT fk_answers_model_id FOREIGN KEY(model_id) REFERENCES models (id),
    CONSTRAINT uq_answers_conversation_id_position_version UNIQUE (conversation_id, position, version),
    CONSTRAINT uq_answers_save_key UNIQUE (save_key)
);
CREATE INDEX ix_answers_question_id ON answers (question_id);
CREATE INDEX ix_answers_status ON answers (status);
INSERT INTO models VALUES ('demo', 'Demo', '', '', '', 'gemma-grpo', '2026-01-02 03:04:05.000000');
INSERT INTO questions VALUES ('f00d', '', 'Why the fever?', '2026-01-02 03:04:05.000000');
INSERT INTO conversations VALUES (
    'c1', 'ada', 'Fever', 'demo', '2026-01-02 03:04:05.000000', '2026-01-02 03:04:05.000000'
);
INSERT INTO answers VALUES (
    'a1', 'f00d', '', 'Why the fever?', 'c1', 0, 1, 'demo', 'done', '1. A cold.Rest.', '1. A cold.', 'Rest.', 1, 'stop',
    '', '[{"role": "user", "content": "Why the fever?"}]', NULL, 7, 'gemma-grpo', NULL, 'chat', NULL, 12, 5, 4.0, 10.0,
    20.0, '', '2026-01-02 03:04:05.000000', '2026-01-02 03:04:06.000000', 'k1'
);
"""

# The same of version 0002: a tree with a branch that was hidden, and thumbs.
VERSION_0002 = (
    """
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version VALUES ('0002');
CREATE TABLE models (
    id TEXT NOT NULL, name TEXT NOT NULL, base TEXT NOT NULL, revision TEXT NOT NULL, adapter_hash TEXT NOT NULL,
    format TEXT NOT NULL, created_at DATETIME NOT NULL, CONSTRAINT pk_models PRIMARY KEY (id)
);
CREATE TABLE questions (
    id TEXT NOT NULL, context TEXT NOT NULL, question TEXT NOT NULL, created_at DATETIME NOT NULL,
    CONSTRAINT pk_questions PRIMARY KEY (id)
);
CREATE TABLE conversations (
    id TEXT NOT NULL, owner TEXT NOT NULL, title TEXT NOT NULL, model_id TEXT NOT NULL, created_at DATETIME NOT NULL,
    updated_at DATETIME NOT NULL, hidden_at DATETIME, CONSTRAINT pk_conversations PRIMARY KEY (id),
    CONSTRAINT fk_conversations_model_id FOREIGN KEY(model_id) REFERENCES models (id)
);
CREATE INDEX ix_conversations_owner_updated_at ON conversations (owner, updated_at);
CREATE TABLE answers (
    id TEXT NOT NULL, question_id TEXT NOT NULL, context TEXT NOT NULL, question TEXT NOT NULL, conversation_id TEXT,
    position INTEGER, version INTEGER NOT NULL, model_id TEXT NOT NULL, status TEXT NOT NULL, raw TEXT NOT NULL,
    reasoning TEXT NOT NULL, solution TEXT NOT NULL, complete BOOLEAN NOT NULL, finish_reason TEXT, error TEXT NOT NULL,
    prompt JSON, sampling JSON, seed BIGINT, answer_format TEXT NOT NULL, grounding JSON, origin TEXT NOT NULL,
    route JSON, prompt_tokens INTEGER, completion_tokens INTEGER, ttft_ms DOUBLE, reasoning_ms DOUBLE, total_ms DOUBLE,
    note TEXT NOT NULL, created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL, save_key TEXT, parent_id TEXT,
    selected_at DATETIME NOT NULL, hidden_at DATETIME,
    CONSTRAINT pk_answers PRIMARY KEY (id),
    CONSTRAINT fk_answers_model_id FOREIGN KEY(model_id) REFERENCES models (id),
    CONSTRAINT fk_answers_question_id FOREIGN KEY(question_id) REFERENCES questions (id),
    CONSTRAINT uq_answers_save_key UNIQUE (save_key),
    CONSTRAINT uq_answers_conversation_id_position_version UNIQUE (conversation_id, position, version),
    CONSTRAINT fk_answers_conversation_id FOREIGN KEY(conversation_id) REFERENCES conversations (id),
    CONSTRAINT fk_answers_parent_id FOREIGN KEY(parent_id) REFERENCES answers (id)
);
CREATE INDEX ix_answers_status ON answers (status);
CREATE INDEX ix_answers_question_id ON answers (question_id);
CREATE INDEX ix_answers_parent_id ON answers (parent_id);
CREATE INDEX ix_answers_conversation_id_hidden_at_position ON answers (conversation_id, hidden_at, position);
CREATE TABLE search_texts (
    id TEXT NOT NULL, conversation_id TEXT NOT NULL, text TEXT NOT NULL, CONSTRAINT pk_search_texts PRIMARY KEY (id),
    CONSTRAINT fk_search_texts_conversation_id FOREIGN KEY(conversation_id) REFERENCES conversations (id)
);
CREATE INDEX ix_search_texts_conversation_id ON search_texts (conversation_id);
CREATE TABLE thumbs (
    id TEXT NOT NULL, owner TEXT NOT NULL, answer_id TEXT NOT NULL, thumb TEXT NOT NULL, reasons JSON NOT NULL,
    comment TEXT NOT NULL, created_at DATETIME NOT NULL, supersedes TEXT, save_key TEXT,
    CONSTRAINT pk_thumbs PRIMARY KEY (id),
    CONSTRAINT fk_thumbs_answer_id FOREIGN KEY(answer_id) REFERENCES answers (id),
    CONSTRAINT fk_thumbs_supersedes FOREIGN KEY(supersedes) REFERENCES thumbs (id),
    CONSTRAINT uq_thumbs_supersedes UNIQUE (supersedes),
    CONSTRAINT uq_thumbs_save_key UNIQUE (save_key)
);
CREATE INDEX ix_thumbs_answer_id ON thumbs (answer_id);
INSERT INTO models VALUES ('demo', 'Demo', 'llama', 'r7', 'abc', 'think', '2026-01-02 03:04:05.000000');
INSERT INTO questions VALUES ('f00d', '', 'Why the fever?', '2026-01-02 03:04:05.000000');
INSERT INTO conversations VALUES
    ('c1', 'ada', 'Fever', 'demo', '2026-01-02 03:04:05.000000', '2026-01-02 03:04:05.000000', NULL);
INSERT INTO search_texts VALUES ('c1', 'c1', 'fever');
"""
    + "".join(
        f"""
INSERT INTO answers VALUES (
    '{id}', 'f00d', '', 'Why the fever?', 'c1', {position}, {version}, 'demo', 'done', 'So {id}.', '', 'So {id}.', 1,
    'stop', '', NULL, NULL, 7, 'think', NULL, 'chat', NULL, 12, 5, 4.0, 10.0, 20.0, '', '2026-01-02 03:04:05.000000',
    '2026-01-02 03:04:06.000000', 'key of {id}', {parent}, '2026-01-02 03:04:05.000000', {hidden}
);"""
        for id, position, version, parent, hidden in (
            ("a1", 0, 1, "NULL", "NULL"),
            ("a2", 1, 1, "'a1'", "NULL"),
            ("a3", 1, 2, "'a1'", "'2026-01-03 03:04:05.000000'"),
        )
    )
    + """
INSERT INTO thumbs VALUES ('t1', 'ada', 'a2', 'up', '["clear"]', '', '2026-01-02 05:00:00.000000', NULL, 'k1');
INSERT INTO thumbs VALUES ('t2', 'ada', 'a2', 'down', '[]', 'No.', '2026-01-02 06:00:00.000000', 't1', 'k2');
"""
)

# A migration of a later MedChat: a new column of a table that others refer to, which SQLite makes anew for it.
LATER = f"""
import sqlalchemy as sa
from alembic import op

revision = "9001"
down_revision = "{migrate.revisions()[-1]}"


def upgrade() -> None:
    op.create_table("later_one", sa.Column("id", sa.Text(), nullable=False))
    with op.batch_alter_table("models", recreate="always") as table:
        table.add_column(sa.Column("later", sa.Text(), nullable=False, server_default="none"))
"""

# One more, which fails half way.
FAILING = """
import sqlalchemy as sa
from alembic import op

revision = "9002"
down_revision = "9001"


def upgrade() -> None:
    op.create_table("later_two", sa.Column("id", sa.Text(), nullable=False))
    raise RuntimeError("power cut")
"""


def make(file: Path, statements: str) -> str:
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(statements)
    return f"sqlite:///{file}"


def values(file: Path, query: str) -> Iterable[object]:
    with closing(sqlite3.connect(file)) as connection:
        return [row[0] for row in connection.execute(query)]


def later_migrations(folder: Path) -> Path:
    """The migrations of a newer MedChat."""
    shutil.copytree(migrate.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "9001_later.py").write_text(LATER)
    return folder


def test_a_new_database_is_made_without_a_backup(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'medchat.db'}"

    assert migrate.upgrade(url, tmp_path / "backups") is None

    migrate.check(url)
    Store(url).ping()
    assert not (tmp_path / "backups").exists()


def test_a_current_database_is_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'medchat.db'}"
    migrate.upgrade(url, tmp_path / "backups")

    assert migrate.upgrade(url, tmp_path / "backups") is None
    assert not (tmp_path / "backups").exists()


def test_the_migrations_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'medchat.db'}"
    migrate.upgrade(url, tmp_path)

    with open_engine(url).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_the_file_numbers_are_the_revisions_in_order() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    script = ScriptDirectory.from_config(config)

    assert [revision.revision for revision in script.walk_revisions()][::-1] == migrate.revisions()


def test_the_template_makes_a_migration_that_runs(tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    config = Config()
    config.set_main_option("script_location", str(folder))
    command.revision(config, "Nothing new", rev_id="9001", head=migrate.revisions()[-1])
    url = f"sqlite:///{tmp_path / 'medchat.db'}"

    migrate.upgrade(url, tmp_path, folder)

    assert values(tmp_path / "medchat.db", "SELECT version_num FROM alembic_version") == ["9001"]


def test_a_database_of_the_first_version_keeps_its_rows(tmp_path: Path) -> None:
    url = make(tmp_path / "medchat.db", VERSION_0001)

    migrate.upgrade(url, tmp_path / "backups")

    migrate.check(url)
    store = Store(url)
    [talk] = store.conversations_of("ada")
    [answer] = store.answers_of("ada", talk.id)
    assert (talk.title, talk.turns) == ("Fever", 1)
    assert (answer.question, answer.solution, answer.complete) == ("Why the fever?", "Rest.", True)
    assert answer.updated_at.isoformat() == "2026-01-02T03:04:06+00:00"


def row_of_0001(id: str, position: int, version: int, minute: int, status: str = "done") -> str:
    moment = f"2026-01-02 04:{minute:02}:00.000000"
    return f"""
INSERT INTO answers VALUES (
    '{id}', 'f00d', 'Größe 2 m', 'Why?', 'c2', {position}, {version}, 'demo', '{status}', '', 'Since {id}.', 'So {id}.',
    1, 'stop', '', NULL, NULL, NULL, 'think', NULL, 'chat', NULL, NULL, NULL, NULL, NULL, NULL, '', '{moment}',
    '{moment}', NULL
);"""


def test_a_conversation_of_the_first_version_becomes_a_tree(tmp_path: Path) -> None:
    # The turns of c2: a (04:01) and b (04:02); then c (04:03); a third version d of the first turn (04:04);
    # e (04:05) after c, and f, of before all others by a clock that was set back, after c too.
    rows = [
        row_of_0001("a", 0, 1, minute=1),
        row_of_0001("b", 0, 2, minute=2),
        row_of_0001("c", 1, 1, minute=3),
        row_of_0001("d", 0, 3, minute=4),
        row_of_0001("e", 2, 1, minute=5, status="writing"),
        row_of_0001("f", 2, 2, minute=0),
    ]
    talk = """INSERT INTO conversations VALUES (
        'c2', 'ada', 'Mrs B''s WÄRME', 'demo', '2026-01-02 03:04:05.000000', '2026-01-02 03:04:05.000000');"""
    file = tmp_path / "medchat.db"
    url = make(file, VERSION_0001 + talk + "".join(rows))

    migrate.upgrade(url, tmp_path / "backups")

    store = Store(url)
    answers = store.answers_of("ada", "c2")
    assert {a.id: a.parent_id for a in answers} == {"a": None, "b": None, "c": "b", "d": None, "e": "c", "f": "c"}
    assert all(a.selected_at == a.created_at for a in answers)
    assert [a.id for a in selected_path(answers)] == ["d"]
    store.select_answer("ada", "c2", "c")
    assert [a.id for a in selected_path(store.answers_of("ada", "c2"))] == ["b", "c", "e"]
    assert [f.conversation.id for f in store.search_conversations("ada", "wärme so größe")] == ["c2"]
    assert [f.answer_id for f in store.search_conversations("ada", "fever")] == ["a1"]
    assert store.search_conversations("ada", "since e.") == []
    assert store.close_unfinished() == 1
    assert [f.answer_id for f in store.search_conversations("ada", "since e.")] == ["e"]
    assert values(file, "SELECT * FROM pragma_foreign_key_check") == []
    assert values(file, "SELECT \"table\" FROM pragma_foreign_key_list('answers') WHERE \"from\" = 'parent_id'") == [
        "answers"
    ]
    assert store.delete_conversation("ada", "c2") == "deleted"


@pytest.mark.parametrize(
    ("statements", "model"), [(VERSION_0001, ("", "", "")), (VERSION_0002, ("llama", "r7", "abc"))]
)
def test_answers_of_older_versions_say_whose_they_are_and_what_the_model_was(
    tmp_path: Path, statements: str, model: tuple[str, str, str]
) -> None:
    file = tmp_path / "medchat.db"
    url = make(file, statements)

    migrate.upgrade(url, tmp_path / "backups")

    store = Store(url)
    answer = store.answer_to_judge("ada", "a1")
    assert (answer.owner, answer.base, answer.revision, answer.adapter_hash) == ("ada", *model)
    with pytest.raises(NotFound):
        store.answer_to_judge("bob", "a1")
    store.add_rating("ada", "a1", RatingForm("clinical-3", 1, {}), "k1")
    assert store.delete_conversation("ada", "c1") == "hidden"


def test_a_database_of_the_second_version_keeps_its_tree_and_its_thumbs(tmp_path: Path) -> None:
    file = tmp_path / "medchat.db"
    url = make(file, VERSION_0002)

    migrate.upgrade(url, tmp_path / "backups")

    store = Store(url)
    assert [(a.id, a.parent_id) for a in selected_path(store.answers_of("ada", "c1"))] == [("a1", None), ("a2", "a1")]
    thumb = store.thumbs_of("ada", "c1")["a2"]
    assert (thumb.thumb, thumb.comment, thumb.supersedes) == ("down", "No.", "t1")
    assert values(file, "SELECT id FROM answers WHERE hidden_at IS NOT NULL") == ["a3"]
    assert values(file, "SELECT * FROM pragma_foreign_key_check") == []
    assert values(file, "SELECT \"table\" FROM pragma_foreign_key_list('answers') WHERE \"from\" = 'parent_id'") == [
        "answers"
    ]


# What raters had said in a database of version 0004: each amended once.
SAID_BEFORE_STUDIES = (
    """
INSERT INTO models VALUES ('demo', 'Demo', '', '', '', 'think', '2026-01-02 03:04:05.000000', '', '');
INSERT INTO questions VALUES ('f00d', '', 'Why?', '2026-01-02 03:04:05.000000');
"""
    + "".join(
        f"""
INSERT INTO answers (
    id, question_id, context, question, version, model_id, status, raw, reasoning, solution, complete, error,
    answer_format, origin, note, created_at, updated_at, selected_at, owner, base, revision, adapter_hash
) VALUES (
    '{answer}', 'f00d', '', 'Why?', 1, 'demo', 'done', '', '', 'So {answer}.', 1, '', 'think', 'compare', '',
    '2026-01-02 03:04:05.000000', '2026-01-02 03:04:05.000000', '2026-01-02 03:04:05.000000', 'ada', '', '', ''
);"""
        for answer in ("a1", "a2")
    )
    + """
INSERT INTO comparisons VALUES (
    'c1', 'ada', '2026-01-02 03:04:05.000000', 'kc', 'f00d', '', 'Why?', 'a1', 'a2', 1, 7, '{}'
);
INSERT INTO preferences VALUES
    ('p1', 'ada', '2026-01-02 04:00:00.000000', 'kp1', 'c1', 'b', '{}', NULL, NULL, NULL, '', 0, 0, 2.0, 1, NULL),
    ('p2', 'ada', '2026-01-02 05:00:00.000000', 'kp2', 'c1', 'a', '{}', NULL, NULL, NULL, 'Safer.', 0, 1, 3.0, 0, 'p1');
INSERT INTO ratings VALUES
    ('r1', 'ada', '2026-01-02 06:00:00.000000', 'kr1', 'a1', 'clinical-3', 1, '{}', '', '', 0, '', NULL, '', '', '',
     4.0, 1, NULL),
    ('r2', 'ada', '2026-01-02 07:00:00.000000', 'kr2', 'a1', 'clinical-3', 1, '{}', '', '', 0, '', NULL, '', '',
     'Better.', 5.0, 0, 'r1');
INSERT INTO axis_scores VALUES ('r1', 'safety', '"3"'), ('r2', 'safety', '"5"');
"""
)


def test_what_raters_said_before_there_were_studies_stays_and_stays_unchangeable(tmp_path: Path) -> None:
    file, before = tmp_path / "medchat.db", tmp_path / "before"
    shutil.copytree(migrate.MIGRATIONS, before, ignore=shutil.ignore_patterns("__pycache__", "000[56]_*"))
    url = f"sqlite:///{file}"
    migrate.upgrade(url, tmp_path / "backups", before)
    make(file, SAID_BEFORE_STUDIES)

    saved = migrate.upgrade(url, tmp_path / "backups")

    assert saved is not None
    assert values(saved, "SELECT version_num FROM alembic_version") == ["0004"]
    store = Store(url)
    [rating] = store.my_ratings("ada")
    assert (rating.id, rating.supersedes, rating.form.scores, rating.form.comment) == (
        "r2",
        "r1",
        {"safety": "5"},
        "Better.",
    )
    vote = store.preference_of("ada", "c1")
    assert vote is not None
    assert (vote.id, vote.vote, vote.reason, vote.flags["b"], vote.chosen) == ("p2", "a", "Safer.", True, "a1")
    judged = store.judgements()
    assert ([it.id for it in judged.ratings], [it.id for it in judged.votes]) == (["r2"], ["p2"])
    assert values(file, "SELECT count(*) FROM ratings WHERE assignment_id IS NULL") == [2]
    assert values(file, "SELECT * FROM pragma_foreign_key_check") == []
    for table in ("ratings", "preferences"):
        with pytest.raises(sqlite3.IntegrityError, match=f"rows of {table} are only added"):
            make(file, f"UPDATE {table} SET rater = 'eve'")


def test_an_older_database_is_backed_up_and_then_migrated(tmp_path: Path) -> None:
    file = tmp_path / "medchat.db"
    url = make(file, VERSION_0001)

    saved = migrate.upgrade(url, tmp_path / "backups", later_migrations(tmp_path / "later"))

    assert saved is not None
    assert saved.parent == tmp_path / "backups"
    assert values(saved, "SELECT version_num FROM alembic_version") == ["0001"]
    assert values(saved, "SELECT solution FROM answers") == ["Rest."]
    assert values(file, "SELECT version_num FROM alembic_version") == ["9001"]
    assert values(file, "SELECT later FROM models") == ["none"]
    assert values(file, "SELECT solution FROM answers") == ["Rest."]
    assert values(file, "SELECT * FROM pragma_foreign_key_check") == []


def test_a_migration_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "medchat.db"
    url = make(file, VERSION_0001)
    migrations = later_migrations(tmp_path / "later")
    (migrations / "versions" / "9002_fails.py").write_text(FAILING)

    with pytest.raises(RuntimeError, match="power cut"):
        migrate.upgrade(url, tmp_path / "backups", migrations)

    assert values(file, "SELECT version_num FROM alembic_version") == ["0001"]
    assert values(file, "SELECT name FROM sqlite_master WHERE name IN ('later_one', 'later_two')") == []
    make(file, "INSERT INTO models VALUES ('big', 'Big', '', '', '', 'think', '2026-01-02 03:04:05.000000');")
    assert values(file, "SELECT id FROM models ORDER BY id") == ["big", "demo"]


def test_an_older_database_is_refused_where_nothing_may_migrate(tmp_path: Path) -> None:
    url = make(tmp_path / "medchat.db", VERSION_0001)

    with pytest.raises(StoreError, match="run: python -m medchat db upgrade"):
        migrate.check(url, later_migrations(tmp_path / "later"))


def test_a_database_of_a_newer_medchat_is_refused_and_left_alone(tmp_path: Path) -> None:
    url = make(tmp_path / "medchat.db", VERSION_0001.replace("'0001'", "'9999'"))
    said = (
        r"^The database was written by a newer MedChat \(version 9999\)\. "
        r"Update MedChat, or choose another data folder\.$"
    )

    with pytest.raises(StoreTooNew, match=said):
        migrate.check(url)
    with pytest.raises(StoreTooNew, match=said):
        migrate.upgrade(url, tmp_path / "backups")
    assert not (tmp_path / "backups").exists()


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    url = make(file, "CREATE TABLE recipes (id INTEGER); INSERT INTO recipes VALUES (1);")

    with pytest.raises(StoreError, match="belongs to another program"):
        migrate.upgrade(url, tmp_path / "backups")

    assert values(file, "SELECT name FROM sqlite_master") == ["recipes"]


def test_a_missing_database_is_not_made_by_looking_for_it(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no database yet"):
        migrate.check(f"sqlite:///{tmp_path / 'medchat.db'}")

    assert list(tmp_path.iterdir()) == []

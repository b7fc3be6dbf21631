"""Facts over time: whose they are, their episode, what superseded them, and their use.

The table is made anew, because SQLite drops no unique constraint; ids stay, and with them the
full-text index. Its triggers now keep only current facts in it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OLD = "old.superseded_by IS NULL AND old.forgotten IS NULL"
NEW = "new.superseded_by IS NULL AND new.forgotten IS NULL"
REMOVE = "INSERT INTO facts_index(facts_index, rowid, text) SELECT 'delete', old.id, old.text"
ADD = "INSERT INTO facts_index(rowid, text) SELECT new.id, new.text"


def upgrade() -> None:
    op.create_table(
        "facts_new",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("agent", sa.String, nullable=False, server_default=""),
        sa.Column("episode", sa.String, nullable=False, server_default=""),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("superseded_by", sa.Integer, sa.ForeignKey("facts_new.id")),
        sa.Column("forgotten", sa.Float),
        sa.Column("uses", sa.Integer, nullable=False, server_default="0"),
        sa.Column("used", sa.Float),
    )
    op.execute("INSERT INTO facts_new(id, text, source, at) SELECT id, text, source, at FROM facts")
    op.drop_table("facts")  # and its triggers
    op.rename_table("facts_new", "facts")
    op.create_index("facts_by_episode", "facts", ["episode", "agent", "at"])
    op.create_index("facts_by_successor", "facts", ["superseded_by"])
    op.create_index(
        "facts_once",
        "facts",
        ["text", "source", "agent", "episode"],
        unique=True,
        sqlite_where=sa.text("superseded_by IS NULL AND forgotten IS NULL"),
    )
    op.execute(f"CREATE TRIGGER facts_added AFTER INSERT ON facts BEGIN {ADD} WHERE {NEW}; END")
    op.execute(
        f"CREATE TRIGGER facts_removed AFTER DELETE ON facts BEGIN {REMOVE} WHERE {OLD}; END"
    )
    op.execute(
        "CREATE TRIGGER facts_changed AFTER UPDATE OF text, superseded_by, forgotten ON facts "
        f"BEGIN {REMOVE} WHERE {OLD}; {ADD} WHERE {NEW}; END"
    )

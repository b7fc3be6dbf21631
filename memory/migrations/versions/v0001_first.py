"""The first schema: runs, messages, records, the ledger, and facts with their full-text index."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("agent", sa.String, nullable=False),
        sa.Column("trigger", sa.String, nullable=False),
        sa.Column("input", sa.Text, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("queued", sa.Float, nullable=False),
        sa.Column("started", sa.Float),
        sa.Column("ended", sa.Float),
        sa.Column("reason", sa.Text),
    )
    op.create_index("runs_by_state", "runs", ["state", "queued"])
    op.create_table(
        "messages",
        sa.Column("run", sa.String, _run(), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("role", sa.String, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("tool_calls", sa.JSON, nullable=False),
        sa.Column("name", sa.String),
    )
    op.create_table(
        "records",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("run", sa.String, _run(), nullable=False),
        sa.Column("agent", sa.String, nullable=False),
        sa.Column("source", sa.String),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_index("records_by_agent", "records", ["agent", "at"])
    op.create_table(
        "ledger",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("run", sa.String, _run(), nullable=False),
        sa.Column("agent", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=False),
        sa.Column("device", sa.String, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("prompt_tokens", sa.Integer, nullable=False),
        sa.Column("cached_tokens", sa.Integer, nullable=False),
        sa.Column("output_tokens", sa.Integer, nullable=False),
        sa.Column("canvases", sa.Integer, nullable=False),
        sa.Column("denoising_steps", sa.Integer, nullable=False),
        sa.Column("prefill_seconds", sa.Float, nullable=False),
        sa.Column("denoising_seconds", sa.Float, nullable=False),
    )
    op.create_index("ledger_by_run", "ledger", ["run"])
    op.create_table(
        "facts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("source", sa.String, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.UniqueConstraint("text", "source", name="facts_once"),
    )
    # The external-content table and its triggers: sqlite.org/fts5.html, section 4.4.3.
    op.execute(
        "CREATE VIRTUAL TABLE facts_index USING fts5("
        "text, content='facts', content_rowid='id', tokenize='porter unicode61')"
    )
    op.execute(
        "CREATE TRIGGER facts_added AFTER INSERT ON facts BEGIN "
        "INSERT INTO facts_index(rowid, text) VALUES (new.id, new.text); END"
    )
    op.execute(
        "CREATE TRIGGER facts_removed AFTER DELETE ON facts BEGIN "
        "INSERT INTO facts_index(facts_index, rowid, text) VALUES ('delete', old.id, old.text); END"
    )
    op.execute(
        "CREATE TRIGGER facts_changed AFTER UPDATE ON facts BEGIN "
        "INSERT INTO facts_index(facts_index, rowid, text) VALUES ('delete', old.id, old.text); "
        "INSERT INTO facts_index(rowid, text) VALUES (new.id, new.text); END"
    )


def _run() -> sa.ForeignKey:
    return sa.ForeignKey("runs.id", ondelete="CASCADE")

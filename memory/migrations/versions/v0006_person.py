"""What a person and a run say to each other: the inbox, mail, the audit log, and parts of runs."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("runs") as runs:
        runs.add_column(sa.Column("part", sa.Integer, nullable=False, server_default="0"))
        runs.add_column(sa.Column("wanted", sa.String))
        runs.add_column(sa.Column("due", sa.Float))
        runs.add_column(sa.Column("job", sa.JSON))
    op.execute(
        "UPDATE runs SET state = 'failed', reason = 'begun by an older gesso; start it again' "
        "WHERE state IN ('queued', 'running')"
    )
    op.create_table(
        "inbox",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("call", sa.String, nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("run", sa.String, nullable=False),
        sa.Column("agent", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("arguments", sa.JSON, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("asked", sa.Float, nullable=False),
        sa.Column("verdict", sa.String),
        sa.Column("note", sa.Text, nullable=False, server_default=""),
        sa.Column("decided", sa.Float),
        sa.UniqueConstraint("call", "part", name="inbox_once"),
        sqlite_autoincrement=True,
    )
    op.create_index("inbox_open", "inbox", ["verdict", "run"])
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("call", sa.String, nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("run", sa.String, nullable=False),
        sa.Column("agent", sa.String, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("seconds", sa.Float),
        sa.Column("at", sa.Float, nullable=False),
        sa.UniqueConstraint("call", "part", "kind", name="audit_once"),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_by_run", "audit", ["run", "id"])
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END"
        )
    op.create_table(
        "mail",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("agent", sa.String, nullable=False),
        sa.Column("sender", sa.String, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("due", sa.Float, nullable=False),
        sa.Column("run", sa.String),
    )
    op.create_index("mail_by_due", "mail", ["run", "due"])

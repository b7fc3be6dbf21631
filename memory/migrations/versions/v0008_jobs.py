"""Document jobs: what each is to do, a row a document, the extractions that are paid for, and the
person's corrections."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("run", sa.String, primary_key=True),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("documents", sa.Integer),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], ondelete="CASCADE"),
    )
    op.create_table(
        "job_documents",
        sa.Column("job", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("state", sa.String, nullable=False, server_default="waiting"),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        sa.Column("digest", sa.String),
        sa.Column("value", sa.JSON(none_as_null=True)),
        sa.Column("spans", sa.JSON, nullable=False, server_default="{}"),
        sa.Column("confidence", sa.JSON, nullable=False, server_default="{}"),
        sa.Column("error", sa.Text),
        sa.Column("cached", sa.Boolean, nullable=False, server_default="0"),
        sa.ForeignKeyConstraint(["job"], ["jobs.run"], ondelete="CASCADE"),
    )
    op.create_index("job_documents_by_state", "job_documents", ["job", "state", "number"])
    op.create_table(
        "extractions",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("value", sa.JSON, nullable=False),
        sa.Column("confidence", sa.JSON, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
    op.create_table(
        "corrections",
        sa.Column("job", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("pointer", sa.String, primary_key=True),
        sa.Column("value", sa.JSON, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.ForeignKeyConstraint(
            ["job", "number"],
            ["job_documents.job", "job_documents.number"],
            ondelete="CASCADE",
        ),
    )

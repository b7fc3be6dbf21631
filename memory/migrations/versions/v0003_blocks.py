"""Blocks: what is always in an agent's prompt."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blocks",
        sa.Column("agent", sa.String, primary_key=True),
        sa.Column("label", sa.String, primary_key=True),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("bound", sa.Integer, nullable=False),
        sa.Column("changed", sa.Float, nullable=False),
    )

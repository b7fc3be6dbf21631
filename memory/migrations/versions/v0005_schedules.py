"""Schedules: how far each agent's schedules have come."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "schedules",
        sa.Column("agent", sa.String, primary_key=True),
        sa.Column("trigger", sa.String, primary_key=True),
        sa.Column("last", sa.Float, nullable=False),
    )

"""The person changes a call before it is made, and allows calls like it from then on."""

import sqlalchemy as sa
from alembic import op
from gesso.memory.columns import Name, Whole

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("inbox", sa.Column("edited", sa.JSON))
    op.create_table(
        "grants",
        sa.Column("id", Whole, primary_key=True),
        sa.Column("agent", Name, nullable=False),
        sa.Column("rule", Name, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.UniqueConstraint("agent", "rule", name="grants_once"),
        sqlite_autoincrement=True,
    )

"""Blocks say whether what they hold may have come from outside."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("blocks") as blocks:
        blocks.add_column(sa.Column("outside", sa.Boolean, nullable=False, server_default="0"))
    # Who wrote what is there is not known.
    op.execute("UPDATE blocks SET outside = 1 WHERE value <> ''")

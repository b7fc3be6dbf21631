"""Messages may have pictures, which are kept elsewhere: their digests."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("messages", sa.Column("images", sa.JSON, nullable=False, server_default="[]"))

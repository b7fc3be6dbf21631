"""Where a value that a person corrected stands in its document; a job's documents by name."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("corrections", sa.Column("span", sa.JSON(none_as_null=True)))
    op.create_index("job_documents_by_source", "job_documents", ["job", "source"])

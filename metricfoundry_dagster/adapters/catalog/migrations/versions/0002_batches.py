"""Jobs that go in batches: which batch, how many may go together, when again, and whether the UI was told."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_UNTOLD = sa.text("told = false")
_IN_BATCH = sa.text("batch_id IS NOT NULL")


def upgrade() -> None:
    """Jobs that are there went alone, and told of themselves."""
    op.add_column("jobs", sa.Column("batch_id", sa.String(32)))
    op.add_column("jobs", sa.Column("batch_limit", sa.Integer()))
    op.add_column("jobs", sa.Column("held_until", sa.DateTime(timezone=True)))
    op.add_column("jobs", sa.Column("told", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.create_index("ix_jobs_untold", "jobs", ["number"], sqlite_where=_UNTOLD, postgresql_where=_UNTOLD)
    op.create_index("ix_jobs_batch_id", "jobs", ["batch_id"], sqlite_where=_IN_BATCH, postgresql_where=_IN_BATCH)


def downgrade() -> None:
    """Take the columns away again."""
    op.drop_index("ix_jobs_batch_id", "jobs")
    op.drop_index("ix_jobs_untold", "jobs")
    for column in ("told", "held_until", "batch_limit", "batch_id"):
        op.drop_column("jobs", column)

"""Announcements: what is about to be done to a datasource in an engine of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing is under way in such an engine before this."""
    op.create_table(
        "announcements",
        sa.Column("datasource", sa.String(100), nullable=False),
        sa.Column("announcement_id", sa.String(32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("members", sa.JSON(), nullable=False),
        sa.Column("target_number", sa.Integer()),
        sa.Column("tasks", sa.JSON(), nullable=False),
        sa.Column("segments_before", sa.Text()),
        sa.Column("valid_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("datasource", name="pk_announcements"),
    )


def downgrade() -> None:
    """What was announced last must have been finished before."""
    op.drop_table("announcements")

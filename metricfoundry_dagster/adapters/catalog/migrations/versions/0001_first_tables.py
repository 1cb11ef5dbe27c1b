"""The first tables of the catalog: arrivals, datasets, jobs, stages, served versions and documents."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_UNENDED = sa.text("state IN ('created', 'queued', 'processing')")


def upgrade() -> None:
    """Create the tables, those first that others refer to."""
    _create_datasets()
    _create_jobs()
    _create_stages()
    _create_served()
    _create_documents()


def downgrade() -> None:
    """Drop everything, the other way round."""
    for table in (
        "documents",
        "served_versions",
        "served_pointers",
        "stage_tables",
        "stages",
        "jobs",
        "datasets",
        "datasources",
        "arrivals",
    ):
        op.drop_table(table)


def _row_number() -> sa.Column[int]:
    return sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)


def _moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _create_datasets() -> None:
    op.create_table(
        "arrivals",
        sa.Column("source_digest", sa.String(64), nullable=False),
        sa.Column("uri_digest", sa.String(64), nullable=False),
        sa.Column("source_uri", sa.Text(), nullable=False),
        _moment("first_seen_at"),
        sa.PrimaryKeyConstraint("source_digest", name="pk_arrivals"),
    )
    op.create_index("ix_arrivals_uri_digest", "arrivals", ["uri_digest"])
    op.create_table(
        "datasources",
        sa.Column("slug", sa.String(100), nullable=False),
        sa.Column("given_name", sa.Text(), nullable=False),
        sa.Column("mode", sa.String(20), nullable=False),
        sa.Column("last_sequence", sa.Integer(), nullable=False),
        _moment("created_at"),
        sa.PrimaryKeyConstraint("slug", name="pk_datasources"),
    )
    op.create_table(
        "datasets",
        _row_number(),
        sa.Column("dataset_id", sa.String(120), nullable=False),
        sa.Column("datasource", sa.String(100), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("source_uri", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=False),
        sa.Column("source_digest", sa.String(64), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("contract", sa.Text()),
        sa.Column("recipe", sa.JSON(), nullable=False),
        sa.Column("current_attempt", sa.Integer(), nullable=False),
        _moment("created_at"),
        sa.ForeignKeyConstraint(["datasource"], ["datasources.slug"], name="fk_datasets_datasource"),
        sa.PrimaryKeyConstraint("number", name="pk_datasets"),
        sa.UniqueConstraint("dataset_id", name="uq_datasets_dataset_id"),
        sa.UniqueConstraint("datasource", "sequence", name="uq_datasets_datasource_sequence"),
    )
    op.create_index("ix_datasets_source_digest", "datasets", ["source_digest"])


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        _row_number(),
        sa.Column("job_id", sa.String(32), nullable=False),
        sa.Column("dataset_id", sa.String(120), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("progress_percent", sa.Integer(), nullable=False),
        sa.Column("stage", sa.String(20)),
        sa.Column("run_id", sa.String(255)),
        sa.Column("error", sa.JSON()),
        _moment("created_at"),
        _moment("claimed_at", nullable=True),
        _moment("ended_at", nullable=True),
        sa.CheckConstraint(
            "state IN ('created', 'queued', 'processing', 'completed', 'failed', 'canceled')", name=op.f("ck_jobs_state")
        ),
        sa.CheckConstraint("progress_percent BETWEEN 0 AND 100", name=op.f("ck_jobs_progress")),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.dataset_id"], name="fk_jobs_dataset_id"),
        sa.PrimaryKeyConstraint("number", name="pk_jobs"),
        sa.UniqueConstraint("job_id", name="uq_jobs_job_id"),
    )
    op.create_index("ix_jobs_dataset_id_number", "jobs", ["dataset_id", "number"])
    op.create_index("ix_jobs_run_id", "jobs", ["run_id"])
    op.create_index("ix_jobs_state_number", "jobs", ["state", "number"])
    op.create_index("uq_jobs_unended", "jobs", ["dataset_id"], unique=True, sqlite_where=_UNENDED, postgresql_where=_UNENDED)


def _create_stages() -> None:
    op.create_table(
        "stages",
        sa.Column("dataset_id", sa.String(120), nullable=False),
        sa.Column("stage", sa.String(20), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.String(32), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("rows_out", sa.BigInteger(), nullable=False),
        sa.Column("rows_rejected", sa.BigInteger(), nullable=False),
        _moment("published_at"),
        sa.ForeignKeyConstraint(["dataset_id"], ["datasets.dataset_id"], name="fk_stages_dataset_id"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_stages_job_id"),
        sa.PrimaryKeyConstraint("dataset_id", "stage", name="pk_stages"),
    )
    op.create_table(
        "stage_tables",
        sa.Column("dataset_id", sa.String(120), nullable=False),
        sa.Column("stage", sa.String(20), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.Column("rows_in", sa.BigInteger(), nullable=False),
        sa.Column("rows_out", sa.BigInteger(), nullable=False),
        sa.Column("rows_rejected", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.JSON()),
        sa.ForeignKeyConstraint(
            ["dataset_id", "stage"],
            ["stages.dataset_id", "stages.stage"],
            name="fk_stage_tables_dataset_id_stage",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dataset_id", "stage", "position", name="pk_stage_tables"),
    )


def _create_served() -> None:
    op.create_table(
        "served_pointers",
        sa.Column("datasource", sa.String(100), nullable=False),
        sa.Column("mode", sa.String(20), nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False),
        sa.Column("current_number", sa.Integer()),
        sa.PrimaryKeyConstraint("datasource", name="pk_served_pointers"),
    )
    op.create_table(
        "served_versions",
        sa.Column("datasource", sa.String(100), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("before_number", sa.Integer()),
        sa.Column("dataset_id", sa.String(120), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("servable", sa.Text(), nullable=False),
        _moment("created_at"),
        sa.ForeignKeyConstraint(["datasource"], ["served_pointers.datasource"], name="fk_served_versions_datasource"),
        sa.PrimaryKeyConstraint("datasource", "number", name="pk_served_versions"),
        sa.UniqueConstraint("datasource", "dataset_id", "attempt", name="uq_served_versions_datasource_dataset_id_attempt"),
    )


def _create_documents() -> None:
    op.create_table(
        "documents",
        _row_number(),
        sa.Column("datasource", sa.String(100), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        _moment("kept_at"),
        sa.PrimaryKeyConstraint("number", name="pk_documents"),
    )
    op.create_index("ix_documents_datasource_kind_number", "documents", ["datasource", "kind", "number"])

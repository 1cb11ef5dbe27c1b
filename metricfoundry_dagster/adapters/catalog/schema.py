"""The catalog's tables: the one description that statements are built from and migrations must arrive at.

Every change here needs a new file in `migrations/versions` and its name in `HEAD_REVISION`; a test compares them.
"""

import hashlib
from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
    true,
)

#: The newest revision in `migrations/versions`.
HEAD_REVISION = "0003"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Moment(TypeDecorator[datetime]):
    """A time with its zone; SQLite keeps UTC without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """A naive time is a mistake of the caller."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Always UTC, with its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def source_digest(uri: str, etag: str) -> str:
    """Stands for (URI, ETag) in indexes, which hold no key as long as a path may be."""
    return hashlib.sha256(f"{len(uri)}\n{uri}{etag}".encode(errors="surrogatepass")).hexdigest()


def uri_digest(uri: str) -> str:
    """Stands for an address alone, as `source_digest` does for address and ETag."""
    return source_digest(uri, "")


_SLUG = String(100)
_DATASET_ID = String(120)
_WORD = String(20)
_DIGEST = String(64)
_JOB_ID = String(32)
_RUN_ID = String(255)
#: SQLite numbers rows by itself only in a column of exactly this type.
_ROW_NUMBER = BigInteger().with_variant(Integer(), "sqlite")
_UNTOLD = text("told = false")
_IN_BATCH = text("batch_id IS NOT NULL")
_UNENDED = text("state IN ('created', 'queued', 'processing')")

arrivals = Table(
    "arrivals",
    metadata,
    Column("source_digest", _DIGEST, primary_key=True),
    Column("uri_digest", _DIGEST, nullable=False, index=True),
    # For people who look into the table: what cannot be stored as text is escaped.
    Column("source_uri", Text, nullable=False),
    Column("first_seen_at", Moment, nullable=False),
)

datasources = Table(
    "datasources",
    metadata,
    Column("slug", _SLUG, primary_key=True),
    Column("given_name", Text, nullable=False),
    Column("mode", _WORD, nullable=False),
    Column("last_sequence", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
)

datasets = Table(
    "datasets",
    metadata,
    Column("number", _ROW_NUMBER, primary_key=True),
    Column("dataset_id", _DATASET_ID, nullable=False, unique=True),
    Column("datasource", _SLUG, ForeignKey("datasources.slug"), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("source_uri", Text, nullable=False),
    Column("etag", Text, nullable=False),
    Column("source_digest", _DIGEST, nullable=False, index=True),
    Column("filename", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("contract", Text),
    Column("recipe", JSON, nullable=False),
    Column("current_attempt", Integer, nullable=False),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("datasource", "sequence"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("number", _ROW_NUMBER, primary_key=True),
    Column("job_id", _JOB_ID, nullable=False, unique=True),
    Column("dataset_id", _DATASET_ID, ForeignKey("datasets.dataset_id"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("state", _WORD, nullable=False),
    Column("progress_percent", Integer, nullable=False),
    Column("stage", _WORD),
    Column("run_id", _RUN_ID, index=True),
    Column("error", JSON(none_as_null=True)),
    Column("created_at", Moment, nullable=False),
    Column("claimed_at", Moment),
    Column("ended_at", Moment),
    # The batch that it was claimed for; its run carries many jobs.
    Column("batch_id", _JOB_ID),
    # How many datasets a batch with this one may have; null for as many as the settings say.
    Column("batch_limit", Integer),
    # Nobody claims it before.
    Column("held_until", Moment),
    # False for a job of a batch, and for a completed one, until its materializations are in Dagster's event log for sure.
    Column("told", Boolean, nullable=False, server_default=true()),
    CheckConstraint("state IN ('created', 'queued', 'processing', 'completed', 'failed', 'canceled')", name="state"),
    CheckConstraint("progress_percent BETWEEN 0 AND 100", name="progress"),
    Index(None, "dataset_id", "number"),
    Index(None, "state", "number"),
    Index("ix_jobs_untold", "number", sqlite_where=_UNTOLD, postgresql_where=_UNTOLD),
    Index("ix_jobs_batch_id", "batch_id", sqlite_where=_IN_BATCH, postgresql_where=_IN_BATCH),
    # Whatever goes wrong elsewhere, a dataset never has two jobs that are under way.
    Index("uq_jobs_unended", "dataset_id", unique=True, sqlite_where=_UNENDED, postgresql_where=_UNENDED),
)

stages = Table(
    "stages",
    metadata,
    Column("dataset_id", _DATASET_ID, ForeignKey("datasets.dataset_id"), primary_key=True),
    Column("stage", _WORD, primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("job_id", _JOB_ID, ForeignKey("jobs.job_id"), nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("rows_out", BigInteger, nullable=False),
    Column("rows_rejected", BigInteger, nullable=False),
    Column("published_at", Moment, nullable=False),
)

stage_tables = Table(
    "stage_tables",
    metadata,
    Column("dataset_id", _DATASET_ID, primary_key=True),
    Column("stage", _WORD, primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("columns", JSON, nullable=False),
    Column("rows_in", BigInteger, nullable=False),
    Column("rows_out", BigInteger, nullable=False),
    Column("rows_rejected", BigInteger, nullable=False),
    Column("error", JSON(none_as_null=True)),
    ForeignKeyConstraint(["dataset_id", "stage"], ["stages.dataset_id", "stages.stage"], ondelete="CASCADE"),
)

served_pointers = Table(
    "served_pointers",
    metadata,
    Column("datasource", _SLUG, primary_key=True),
    Column("mode", _WORD, nullable=False),
    Column("last_number", Integer, nullable=False),
    # Null only inside the transaction that makes the first version.
    Column("current_number", Integer),
)

served_versions = Table(
    "served_versions",
    metadata,
    Column("datasource", _SLUG, ForeignKey("served_pointers.datasource"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    # The version that readers saw when this one was made: where a rollback leads, and what an appended one adds to.
    Column("before_number", Integer),
    Column("dataset_id", _DATASET_ID, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("sequence", Integer, nullable=False),
    # JSON, as text: reading what is known already costs nothing then.
    Column("servable", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    UniqueConstraint("datasource", "dataset_id", "attempt"),
)

announcements = Table(
    "announcements",
    metadata,
    Column("datasource", _SLUG, primary_key=True),
    Column("announcement_id", _JOB_ID, nullable=False),
    Column("revision", Integer, nullable=False),
    # Pairs of a dataset's id and an attempt's number, sorted.
    Column("members", JSON, nullable=False),
    Column("target_number", Integer),
    Column("tasks", JSON, nullable=False),
    # Compressed: a datasource may have thousands of segments.
    Column("segments_before", Text),
    Column("valid_until", Moment, nullable=False),
)

documents = Table(
    "documents",
    metadata,
    Column("number", _ROW_NUMBER, primary_key=True),
    Column("datasource", _SLUG, nullable=False),
    Column("kind", _WORD, nullable=False),
    Column("body", JSON, nullable=False),
    Column("kept_at", Moment, nullable=False),
    Index(None, "datasource", "kind", "number"),
)

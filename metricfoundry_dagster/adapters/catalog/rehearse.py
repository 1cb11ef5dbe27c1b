"""A rehearsal of what a run asks of the catalog, on a temporary one, so that the real one's statements are compiled.

Nothing connects to the real catalog. Which statements were rehearsed changes speed only.
"""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text

from metricfoundry_dagster.adapters.catalog.database import Database, keep_engine
from metricfoundry_dagster.adapters.catalog.engine import build_engine, parse_address
from metricfoundry_dagster.adapters.catalog.open_catalog import SqlCatalog
from metricfoundry_dagster.adapters.catalog.schema import HEAD_REVISION, metadata
from metricfoundry_dagster.adapters.compiled_ahead import compiling_for
from metricfoundry_dagster.domain.datasets import Mode, NewDataset, dataset_id_of
from metricfoundry_dagster.domain.jobs import Attempt, JobState
from metricfoundry_dagster.domain.products import Gate, Stage, StageProduct, TableProduct
from metricfoundry_dagster.domain.served import Servable

_THEN = datetime(2020, 1, 1, tzinfo=UTC)
_RUN = "rehearsal"


def rehearse_catalog(database_url: str) -> None:
    """Make the engine that the next catalog at this address will use, with its statements compiled.

    Raises:
        UserError: `request.invalid` as `open_catalog`.
    """
    url = parse_address(database_url)
    engine = build_engine(url)
    with tempfile.TemporaryDirectory(prefix="metricfoundry-rehearsal-") as folder:
        database = Database(parse_address(f"sqlite:///{Path(folder) / 'catalog.db'}"))
        _make_tables(database)
        catalog = SqlCatalog(database)
        with compiling_for([engine]):
            catalog.upgrade()
            _carry_dataset(catalog)
        catalog.close()
    keep_engine(url, engine)


def _make_tables(database: Database) -> None:
    """Without Alembic, which no run needs."""
    with database.writing() as connection:
        metadata.create_all(connection)
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": HEAD_REVISION})


def _carry_dataset(catalog: SqlCatalog) -> None:
    """What a run asks for, from its first stage to its last."""
    new = NewDataset(dataset_id_of(_RUN, _RUN, _RUN), _RUN, _RUN, Mode.APPEND, _RUN, _RUN, _RUN, size_bytes=0)
    (dataset,) = catalog.register([new], _THEN)
    (job,) = catalog.jobs_of(dataset.dataset_id)
    for stage in Stage:
        attempt = catalog.open_job(dataset.dataset_id, _RUN, job.job_id, None, _THEN)
        catalog.stage(dataset.dataset_id, stage)
        catalog.report_progress(job.job_id, stage, 1)
        if stage is Stage.STAGED_PARQUET:
            catalog.recipe(dataset.datasource)
            catalog.contract(dataset.datasource)
        elif stage is Stage.VALIDATED_FRAME:
            catalog.previous_tables(dataset, stage)
        elif stage is Stage.PROFILE_REPORT:
            catalog.row_history(dataset, 1)
        elif stage is Stage.DRUID_DATASOURCE:
            servable = Servable(dataset.datasource, dataset.mode, dataset.dataset_id, dataset.sequence, attempt.number, ())
            catalog.add_versions([servable], _THEN)
        catalog.publish(_product(attempt, stage), job.job_id, _THEN)
    catalog.close_job(job.job_id, JobState.COMPLETED, None, _THEN)


def _product(attempt: Attempt, stage: Stage) -> StageProduct:
    return StageProduct(
        stage=stage,
        dataset_id=attempt.dataset.dataset_id,
        attempt=attempt.number,
        files=(),
        tables=(TableProduct(_RUN, (), 0, 0, 0),) if stage.upstream else (),
        findings=(),
        gate=Gate(passed=True, summary=""),
    )

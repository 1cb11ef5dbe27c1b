"""A rehearsal: one run of two empty assets in the warm parent, so that a worker's run is not the first of its life.

Dagster and SQLAlchemy work out much on first use and keep it: serializers, schemas of configuration, compiled
statements. What is worked out before a fork costs no worker anything, which is a fifth of a small run. Nothing of ours
is run, so no Polars; the instance is a temporary one, and its connections are closed before this returns.
"""

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.runs.schema import RunStorageSqlMetadata

from metricfoundry_dagster.orchestration.worker_instance import make_worker_instance
from metricfoundry_dagster.wiring import compiling_for

_PARTITIONS = dg.DynamicPartitionsDefinition(name="rehearsal")
_PARTITION = "only"
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_DAGSTER_YAML = "telemetry:\n  enabled: false\n"


class _Nowhere(dg.IOManager):
    """Keeps nothing, and says of it what is said of datasets."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Add metadata of every kind that assets have."""
        del obj
        context.add_output_metadata(
            {
                "number": dg.MetadataValue.int(1),
                "text": dg.MetadataValue.md("text"),
                "link": dg.MetadataValue.url("file:///"),
                "document": dg.MetadataValue.json({}),
                "rows": dg.MetadataValue.table([dg.TableRecord({"column": 1})]),
                "dagster/column_schema": dg.MetadataValue.table_schema(
                    dg.TableSchema(columns=[dg.TableColumn("column", "int64")])
                ),
            }
        )

    def load_input(self, context: dg.InputContext) -> int:
        """Something."""
        del context
        return 0


def rehearse_run(engines: Sequence[sa.Engine]) -> None:
    """Carry a run from its start to its end, as a worker does, on a temporary instance with SQLite storages.

    What it asks of them is compiled for these engines as well.

    Raises:
        Exception: it did not succeed, which no run would then.
    """
    with tempfile.TemporaryDirectory(prefix="metricfoundry-rehearsal-") as folder:
        home = Path(folder)
        (home / "dagster.yaml").write_text(_DAGSTER_YAML)
        _make_run_storage(home / "history")
        with make_worker_instance(home) as instance, compiling_for(engines):
            instance.add_dynamic_partitions(str(_PARTITIONS.name), [_PARTITION])
            job = _definitions().resolve_job_def("rehearsal")
            result = job.execute_in_process(instance=instance, partition_key=_PARTITION, run_config=_QUIET)
            instance.add_run_tags(result.run_id, {"rehearsed": "true"})


def _definitions() -> dg.Definitions:
    def asset(name: str, upstream: list[str]) -> dg.AssetsDefinition:
        with warnings.catch_warnings():
            # As in `asset_checks.py`: partitioned checks are in preview in the pinned version.
            warnings.simplefilter("ignore", dg.PreviewWarning)
            check = dg.AssetCheckSpec("holds", asset=name, blocking=True, partitions_def=_PARTITIONS)

        @dg.asset(
            name=name,
            ins={each: dg.AssetIn(each) for each in upstream},
            partitions_def=_PARTITIONS,
            check_specs=[check],
            dagster_type=dg.Any,
            code_version="1",
        )
        def rehearsed(**_upstream: object) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster knows the bare class only
            metadata = {"summary": dg.MetadataValue.text("")}
            return dg.MaterializeResult(value=0, check_results=[dg.AssetCheckResult(passed=True, metadata=metadata)])

        return rehearsed

    return dg.Definitions(
        assets=[asset("first", []), asset("second", ["first"])],
        jobs=[dg.define_asset_job("rehearsal", executor_def=dg.in_process_executor)],
        resources={"io_manager": _Nowhere()},
    )


def _make_run_storage(folder: Path) -> None:
    """The tables that a launching process makes before there is a worker."""
    folder.mkdir()
    engine = sa.create_engine(f"sqlite:///{folder}/runs.db")
    RunStorageSqlMetadata.create_all(engine)
    engine.dispose()

"""The asset `druid_datasource`. What it is made of is decided in the stage; see `pipeline/flow.py`."""

import dagster as dg

from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.orchestration.stage_runs import materialize_stage, product_asset
from metricfoundry_dagster.pipeline.product_handle import ProductHandle
from metricfoundry_dagster.ports.bundle import Ports


@product_asset(Stage.DRUID_DATASOURCE, kinds={"druid", "duckdb"})
def druid_datasource(
    context: dg.AssetExecutionContext, ports: dg.ResourceParam[Ports], profile_report: ProductHandle
) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster knows the bare class only
    """The queryable datasource, served by DuckDB on the embedded default and by Druid on servers.

    Made only when a query has counted as many rows as are valid.
    """
    return materialize_stage(Stage.DRUID_DATASOURCE, context, ports, profile_report)

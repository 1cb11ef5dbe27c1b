"""The asset `staged_parquet`. What it is made of is decided in the stage; see `pipeline/flow.py`."""

import dagster as dg

from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.orchestration.stage_runs import materialize_stage, product_asset
from metricfoundry_dagster.pipeline.product_handle import ProductHandle
from metricfoundry_dagster.ports.bundle import Ports


@product_asset(Stage.STAGED_PARQUET, kinds={"parquet", "pyarrow"})
def staged_parquet(
    context: dg.AssetExecutionContext, ports: dg.ResourceParam[Ports], raw_object: ProductHandle
) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster knows the bare class only
    """Every table found in the raw object, as typed Parquet in parts, beside its rejects.

    Typed by the whole file. Rows read = rows staged + rows rejected, by a count of our own.
    """
    return materialize_stage(Stage.STAGED_PARQUET, context, ports, raw_object)

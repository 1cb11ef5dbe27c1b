"""The asset `validated_frame`. What it is made of is decided in the stage; see `pipeline/flow.py`."""

import dagster as dg

from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.orchestration.stage_runs import materialize_stage, product_asset
from metricfoundry_dagster.pipeline.product_handle import ProductHandle
from metricfoundry_dagster.ports.bundle import Ports


@product_asset(Stage.VALIDATED_FRAME, kinds={"parquet", "polars"})
def validated_frame(
    context: dg.AssetExecutionContext, ports: dg.ResourceParam[Ports], staged_parquet: ProductHandle
) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster knows the bare class only
    """The rows that hold the contract, beside a quarantine with the reasons of each other row.

    Without a contract every row holds, and the staged parts are passed on as they are.
    """
    return materialize_stage(Stage.VALIDATED_FRAME, context, ports, staged_parquet)

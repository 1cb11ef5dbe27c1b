"""The asset `profile_report`. What it is made of is decided in the stage; see `pipeline/flow.py`."""

import dagster as dg

from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.orchestration.stage_runs import materialize_stage, product_asset
from metricfoundry_dagster.pipeline.product_handle import ProductHandle
from metricfoundry_dagster.ports.bundle import Ports


@product_asset(Stage.PROFILE_REPORT, kinds={"json", "html"})
def profile_report(
    context: dg.AssetExecutionContext, ports: dg.ResourceParam[Ports], validated_frame: ProductHandle
) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster knows the bare class only
    """What is in the data: `report.json` for programs and `report.html` for people."""
    return materialize_stage(Stage.PROFILE_REPORT, context, ports, validated_frame)

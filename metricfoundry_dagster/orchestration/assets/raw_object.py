"""The asset `raw_object`, the door of the flow. A run may bring its own source in the config of this asset."""

import dagster as dg

from metricfoundry_dagster.actions.adopt import RemoteSource, adopt
from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.orchestration.failures import translated_to_dagster
from metricfoundry_dagster.orchestration.stage_runs import give_up_of, materialize_stage, product_asset
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.sources import Sources


class SourceConfig(dg.Config):
    """Where the dataset comes from, for a partition that is not registered yet. Leave it out for all others."""

    source_uri: str | None = None
    datasource: str | None = None
    mode: str = "replace"
    contract: str | None = None


@product_asset(Stage.RAW_OBJECT, kinds={"s3", "file"})
def raw_object(
    context: dg.AssetExecutionContext,
    config: SourceConfig,
    ports: dg.ResourceParam[Ports],
    remote_sources: dg.ResourceParam[Sources],
) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster knows the bare class only
    """The bytes as they came, with SHA-256, size, media type and provenance."""
    if config.source_uri is not None:
        with translated_to_dagster(context.retry_number, give_up_of(context, ports)):
            source = RemoteSource(config.source_uri, config.datasource, config.mode, config.contract)
            adopt(ports, remote_sources, context.partition_key, source, run_id=context.run.run_id)
    return materialize_stage(Stage.RAW_OBJECT, context, ports)

"""Jobs. One takes one dataset through all five assets, in process: a step is worth less than a process."""

import dagster as dg

from metricfoundry_dagster.domain.products import Stage

DATASET_JOB = dg.define_asset_job(
    "dataset_job",
    selection=dg.AssetSelection.assets(*[stage.value for stage in Stage]),
    executor_def=dg.in_process_executor,
    description="Takes one dataset through the flow: raw object, staged Parquet, validated frame, report, datasource.",
)

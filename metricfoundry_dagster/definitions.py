"""The code location on one screen: five assets, one job, two sensors.

    raw_object -> staged_parquet -> validated_frame -> profile_report -> druid_datasource

Read `orchestration/build.py` for how it is put together, `pipeline/flow.py` for what it does.
"""

from metricfoundry_dagster.orchestration.build import build_definitions

defs = build_definitions()

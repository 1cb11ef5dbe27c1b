"""Puts the code location together. Tests build it with ports of their own; nothing is opened here."""

import dagster as dg

from metricfoundry_dagster.orchestration.assets.druid_datasource import druid_datasource
from metricfoundry_dagster.orchestration.assets.profile_report import profile_report
from metricfoundry_dagster.orchestration.assets.raw_object import raw_object
from metricfoundry_dagster.orchestration.assets.staged_parquet import staged_parquet
from metricfoundry_dagster.orchestration.assets.validated_frame import validated_frame
from metricfoundry_dagster.orchestration.batch_job import batch_job
from metricfoundry_dagster.orchestration.io_managers import product_io_manager
from metricfoundry_dagster.orchestration.jobs import DATASET_JOB
from metricfoundry_dagster.orchestration.process_settings import process_settings
from metricfoundry_dagster.orchestration.resources import (
    PortsFactory,
    ports_from_settings,
    ports_resource,
    remote_sources_resource,
)
from metricfoundry_dagster.orchestration.sensors import drop_zone_sensor, lost_jobs_sensor
from metricfoundry_dagster.settings import Settings


def build_definitions(*, settings: Settings | None = None, make_ports: PortsFactory = ports_from_settings) -> dg.Definitions:
    """A fresh `Definitions`. `settings` defaults to those of the process; `make_ports` is called at first use."""
    settings = settings or process_settings()
    ports = ports_resource(make_ports)
    batches = batch_job(ports)
    return dg.Definitions(
        assets=[raw_object, staged_parquet, validated_frame, profile_report, druid_datasource],
        jobs=[DATASET_JOB, batches],
        sensors=[drop_zone_sensor(settings, batches), lost_jobs_sensor(settings)],
        resources={
            "ports": ports,
            "remote_sources": remote_sources_resource(settings),
            "products": product_io_manager,
        },
    )

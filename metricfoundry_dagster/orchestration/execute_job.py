"""Carry one job in this process, with no daemon and no web server: `python -m … JOB_ID RUN_ID`.

`ingest` starts it when nothing else is running. The run is recorded in the same instance, so that the UI shows
it later. When this process is killed, a daemon finds that by the run's tags, and a later command by the lock that
this process inherited and never lets go of.
"""

import sys

import dagster as dg

from metricfoundry_dagster.orchestration.build import build_definitions
from metricfoundry_dagster.orchestration.partitions import DATASETS
from metricfoundry_dagster.orchestration.resources import ports_from_settings
from metricfoundry_dagster.orchestration.worker_process import worker_tags
from metricfoundry_dagster.ports.runs import JOB_ID_TAG


def execute_job(job_id: str, run_id: str) -> bool:
    """Run the job's dataset through the five assets; True when the run succeeded."""
    job = ports_from_settings().catalog.job(job_id)
    with dg.DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(str(DATASETS.name), [job.dataset_id])
        result = (
            build_definitions()
            .resolve_job_def("dataset_job")
            .execute_in_process(
                instance=instance,
                partition_key=job.dataset_id,
                run_id=run_id,
                tags={JOB_ID_TAG: job_id, **worker_tags()},
                raise_on_error=False,
            )
        )
    return result.success


if __name__ == "__main__":
    sys.exit(0 if execute_job(sys.argv[1], sys.argv[2]) else 1)
